"""Every parser that reads what somebody else sends, and input to begin with.

A target takes bytes, and may return or raise an `ExpectedError`; anything else is a finding. What
a signature protects is signed here with a key of ours, so that the noise reaches the reader behind
it.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from shared.crypto import x509
from shared.crypto.keys import PublicKey
from shared.crypto.sealing import (
    Keyring,
    TimedNonces,
    hpke_open,
    hpke_seal,
    open_row,
    open_sealed,
    seal,
    seal_row,
)
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import (
    b64_decode,
    b64url_decode,
    b64url_encode,
    canonical_json,
    from_numeric_date,
    parse_json,
)
from shared.formats import (
    cbor,
    claims_path,
    cose,
    device_response,
    images,
    kb_jwt,
    mdoc,
    sd_jwt,
    sd_jwt_vc,
    status_cwt,
    status_list,
    svg_templates,
)
from shared.formats import type_metadata as type_metadata_documents
from shared.jose import jwe, jws
from shared.oauth import attestation, dpop, messages, pkce
from shared.oauth.encryption import EncryptionKey, Jwks
from shared.oauth.messages import NonceSource
from shared.oauth.metadata import AuthorizationServerMetadata
from shared.oid4vci import key_attestation, offer, proofs
from shared.oid4vci import messages as issuance
from shared.oid4vci.metadata import CredentialIssuerMetadata, ProofType
from shared.oid4vp import client_id, dcql, invocation, request, response, transaction_data
from shared.trust import TrustList
from tests.support.certificates import Authority
from tests.support.clock import NOW, CountingBytes
from tests.support.credentials import SESSION
from tests.support.mdocs import (
    CLAIMS,
    LICENCE,
    TRUSTED_MDOC,
    issued,
    opened,
    presented,
    received,
    security_object,
    verified,
)
from tests.support.mdocs import SIGNER as DOCUMENT_SIGNER

_SECONDS = int(NOW.timestamp())
_KEY = SoftwareKey.generate(kid="k")
_ROOT = Authority.make()
_SIGNER = _ROOT.signer(Profile.CREDENTIAL, dns=["host.example"])
_JWK = _KEY.public.to_jwk()
_X25519 = X25519PrivateKey.generate()
_PLACE: dict[str, Any] = {"table": "t", "row": "r", "owner": "o", "schema": 1}
_ES256 = frozenset({"ES256"})
_ENC = frozenset({"A128GCM", "A256GCM"})
_TRUSTED: dict[str, Any] = {"anchors": _ROOT.anchors, "now": NOW}


@dataclass(frozen=True)
class Target:
    """One parser: `run` gets the noise, *seeds* are input it takes."""

    name: str
    run: Callable[[bytes], object]
    seeds: tuple[bytes, ...]


def _text(data: bytes) -> str:
    """Noise as text: bytes that are no UTF-8 become lone surrogates, which JSON can carry too."""
    return data.decode("utf-8", "surrogateescape")


def _json(value: object) -> bytes:
    return json.dumps(value).encode()


def _signed(payload: bytes, signer: SoftwareKey = _KEY, **header: object) -> str:
    """A JWS over noise whose signature fits."""
    members = {"alg": "ES256", **header}
    if signer.certificates:
        members["x5c"] = [base64.b64encode(each).decode() for each in signer.certificates]
    signing_input = f"{b64url_encode(_json(members))}.{b64url_encode(payload)}"
    return f"{signing_input}.{b64url_encode(signer.sign(signing_input.encode()))}"


def _object(data: bytes) -> dict[str, Any]:
    value = parse_json(data, max_bytes=1_000_000)
    return dict(value) if isinstance(value, Mapping) else {"": value}


_JWT = jws.sign_jwt({"iat": _SECONDS}, typ="t", signer=_SIGNER).encode()
_JWE = jwe.encrypt(b'{"a":1}', to=_KEY.public, kid="k", enc="A256GCM", apu=b"a").encode()
_LEAF = _SIGNER.certificates[0]
_X5C = _json([base64.b64encode(_LEAF).decode()])

_MDOC = issued()
_MDOC_SECURITY = security_object(opened(_MDOC))
_MDOC_TRUST: dict[str, Any] = {"trusted": TRUSTED_MDOC, "now": NOW, "algorithms": {"ES256"}}
_CWT: dict[str, Any] = {
    "uri": "https://host.example/1",
    "now": NOW,
    "algorithms": {"ES256"},
    "newest": None,
}


def _security_signed(data: bytes) -> object:
    """Noise as Mobile Security Object under a signature that fits."""
    auth = cose.parse(cbor.loads(cose.sign(cbor.embed(data), signer=DOCUMENT_SIGNER)))
    return mdoc.verify(mdoc.IssuerSigned((), (), auth), **_MDOC_TRUST)


def _item_signed(data: bytes) -> object:
    """Noise as an element that was hashed and signed."""
    digests = {"n": dict.fromkeys(range(16), hashlib.sha256(cbor.embed(data)).digest())}
    security = cbor.dumps({**_MDOC_SECURITY, "valueDigests": digests})
    auth = cose.parse(cbor.loads(cose.sign(cbor.embed(security), signer=DOCUMENT_SIGNER)))
    return mdoc.verify(mdoc.IssuerSigned((("n", 1),), (data,), auth), **_MDOC_TRUST)


def _cwt_signed(data: bytes) -> object:
    token = cose.sign(data, signer=_STATUS_SIGNER, typ=status_cwt.MEDIA_TYPE)
    return status_cwt.verify_token(token, anchors=_ROOT.anchors, **_CWT)


_STATUS_SIGNER = _ROOT.signer(Profile.STATUS)
_CWT_CLAIMS = {
    2: "https://host.example/1",
    6: _SECONDS,
    65533: {"bits": 1, "lst": status_list.StatusList.empty(1, 64).compress()},
}

_DISCLOSURE = b64url_encode(b'["salt","given_name","Erika"]')
_ELEMENT = b64url_encode(b'["salt","DE"]')
_SD_PAYLOAD = _json(
    {
        "vct": "urn:x",
        "iat": _SECONDS,
        "exp": _SECONDS + 900,
        "cnf": {"jwk": _JWK},
        "_sd_alg": "sha-256",
        "_sd": [sd_jwt.digest(_DISCLOSURE)],
        "nationalities": [{"...": sd_jwt.digest(_ELEMENT)}],
        "status": {"status_list": {"idx": 1, "uri": "https://host.example/1"}},
    }
)
_SD_JWT = (
    _signed(_SD_PAYLOAD, _SIGNER, typ="dc+sd-jwt").encode() + f"~{_DISCLOSURE}~{_ELEMENT}~".encode()
)


def _sd_jwt_signed(data: bytes) -> object:
    """The payload up to the first line's end, one Disclosure a line after it."""
    payload, *disclosures = data.split(b"\n")
    text = "~".join(
        (_signed(payload, _SIGNER, typ="dc+sd-jwt"), *map(b64url_encode, disclosures), "")
    )
    verified = sd_jwt_vc.verify(text, algorithms=_ES256, **_TRUSTED)
    return status_list.status_reference(verified.claims)


def _kb_jwt_signed(data: bytes) -> object:
    parsed = sd_jwt.parse(f"a~{_signed(data, typ='kb+jwt')}")
    return kb_jwt.verify(
        parsed, key=_KEY.public, audience="a", nonce="n", now=NOW, algorithms=_ES256
    )


def _status_token_signed(data: bytes) -> object:
    return status_list.verify_token(
        _signed(data, _SIGNER, typ="statuslist+jwt"),
        uri="https://host.example/1",
        algorithms=_ES256,
        newest=None,
        **_TRUSTED,
    )


_LIST = {"bits": 1, "lst": b64url_encode(zlib.compress(bytes(8), 9))}
_NONCES = TimedNonces(b"k" * 32, "x", NOW - NOW.replace(hour=11))
_NONCE = _NONCES.make(NOW, CountingBytes())
_DEMANDED = NonceSource(check=lambda value: _NONCES.check(value, NOW), fresh=lambda: _NONCE)
_URL = "https://host.example/token"


def _dpop_signed(data: bytes) -> object:
    proof = _signed(data, typ="dpop+jwt", jwk=_JWK)
    return dpop.verify(
        [proof],
        method="POST",
        url=_URL,
        now=NOW,
        access_token=None,
        expected_jkt=None,
        nonces=_DEMANDED,
    )


def _attestation(attested: str, pop: str) -> object:
    return attestation.verify(
        [attested],
        [pop],
        audience="https://host.example",
        client_id=None,
        challenges=_DEMANDED,
        **_TRUSTED,
    )


_ATTESTED = _json({"iss": "i", "sub": "c", "exp": _SECONDS + 900, "cnf": {"jwk": _JWK}})
_POP = _json(
    {
        "iss": "c",
        "aud": "https://host.example",
        "jti": "j" * 32,
        "iat": _SECONDS,
        "challenge": _NONCE,
    }
)


def _attestation_signed(data: bytes) -> object:
    return _attestation(
        _signed(data, _SIGNER, typ="oauth-client-attestation+jwt"),
        _signed(_POP, typ="oauth-client-attestation-pop+jwt"),
    )


def _attestation_pop_signed(data: bytes) -> object:
    return _attestation(
        _signed(_ATTESTED, _SIGNER, typ="oauth-client-attestation+jwt"),
        _signed(data, typ="oauth-client-attestation-pop+jwt"),
    )


def _proofs(data: bytes) -> object:
    return proofs.verify(
        issuance.Proofs.parse(data),
        audience="https://host.example",
        client_id="c",
        check_nonce=lambda value: _NONCES.check(value, NOW),
        accept={
            each: ProofType(proof_signing_alg_values_supported=("ES256",))
            for each in ("jwt", "attestation")
        },
        max_keys=20,
        **_TRUSTED,
    )


_PROOF = _json({"iss": "c", "aud": "https://host.example", "iat": _SECONDS, "nonce": _NONCE})
_PROOFS = _json({"jwt": [_signed(_PROOF, typ="openid4vci-proof+jwt", jwk=_JWK)]})


def _proof_signed(data: bytes) -> object:
    return _proofs(_json({"jwt": [_signed(data, typ="openid4vci-proof+jwt", jwk=_JWK)]}))


def _key_attestation_signed(data: bytes) -> object:
    token = _signed(data, _SIGNER, typ="key-attestation+jwt")
    return key_attestation.verify(token, algorithms=_ES256, **_TRUSTED)


def _metadata_signed(data: bytes) -> object:
    token = _signed(data, _SIGNER, typ="openidvci-issuer-metadata+jwt")
    return CredentialIssuerMetadata.verify(token, issuer="https://host.example", **_TRUSTED)


_CLIENT_ID = "x509_hash:" + b64url_encode(hashlib.sha256(_LEAF).digest())
_QUERY = {
    "credentials": [
        {
            "id": "pid",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": ["urn:x"]},
            "claims": [{"id": "a", "path": ["a", None, 0], "values": [True, 1, "x"]}],
            "claim_sets": [["a"]],
            "trusted_authorities": [{"type": "aki", "values": ["AA"]}],
        }
    ],
    "credential_sets": [{"options": [["pid"]], "required": False}],
}
_REQUEST = {
    "client_id": _CLIENT_ID,
    "aud": "https://self-issued.me/v2",
    "response_type": "vp_token",
    "response_mode": "direct_post.jwt",
    "response_uri": "https://host.example/response",
    "nonce": "n" * 43,
    "state": "s" * 43,
    "dcql_query": _QUERY,
    "client_metadata": {
        "jwks": {"keys": [{**_JWK, "kid": "k", "alg": "ECDH-ES", "use": "enc"}]},
        "encrypted_response_enc_values_supported": ["A128GCM", "A256GCM"],
        "vp_formats_supported": {
            "dc+sd-jwt": {"sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"]}
        },
    },
    "verifier_info": [
        {"format": "citizen-wallet-registration", "data": {"entity": "ent_1", "purpose": "p"}}
    ],
}


def _request_signed(data: bytes) -> object:
    return request.verify(
        _signed(data, _SIGNER, typ="oauth-authz-req+jwt"),
        client_id=_CLIENT_ID,
        wallet_nonce=None,
        formats={"dc+sd-jwt"},
        transaction_types={},
        **_TRUSTED,
    )


def _response_sealed(data: bytes) -> object:
    token = jwe.encrypt(data, to=_KEY.public, kid="k", enc="A256GCM")
    opened = response.decrypt(token, key=_KEY)
    return response.accept(opened, state=None, query=dcql.parse(_QUERY))


_TYPES: dict[str, Any] = {"t": lambda *_: None}


def _transaction_data(data: bytes) -> object:
    entries = [b64url_encode(each) for each in data.split(b"\n")]
    return transaction_data.parse(entries, query=dcql.parse(_QUERY), types=_TYPES)


_OFFER = {
    "credential_issuer": "https://host.example/t",
    "credential_configuration_ids": ["pid"],
    "grants": {
        "urn:ietf:params:oauth:grant-type:pre-authorized_code": {
            "pre-authorized_code": "c" * 43,
            "tx_code": {"length": 6, "input_mode": "numeric"},
        }
    },
}
_ISSUER = {
    "credential_issuer": "https://host.example",
    "sub": "https://host.example",
    "iat": _SECONDS,
    "credential_endpoint": "https://host.example/credential",
    "nonce_endpoint": "https://host.example/nonce",
    "credential_configurations_supported": {
        "pid": {
            "format": "dc+sd-jwt",
            "vct": "urn:x",
            "scope": "pid",
            "cryptographic_binding_methods_supported": ["jwk"],
            "credential_signing_alg_values_supported": ["ES256"],
            "proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": ["ES256"]}},
            "credential_metadata": {"display": [{"name": "PID", "locale": "en"}]},
        }
    },
}
_TYPE = {
    "vct": "urn:x",
    "name": "X",
    "display": [{"locale": "en", "name": "X"}],
    "claims": [{"path": ["a", None], "sd": "always", "mandatory": True, "svg_id": "a"}],
}
_SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><text x="1">{{a}}</text></svg>'
_PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01"
_FORM = b"grant_type=authorization_code&code=c&code_verifier=v&redirect_uri=https%3A%2F%2Fh.example"


def _token_form(data: bytes) -> object:
    return messages.parse_token_request(messages.parse_form(data))


TARGETS = (
    # encodings
    Target("base64url", lambda data: b64url_decode(_text(data)), (b"Zm9v",)),
    Target("base64", lambda data: b64_decode(_text(data)), (b"Zm8=",)),
    Target(
        "json",
        lambda data: canonical_json(parse_json(data, max_bytes=100_000)),
        (b'{"a":[1,-2.5e3,"\\u00e9\\ud83d\\ude00",null,true],"b":{}}', b'{"a": 1, "b": "x"}'),
    ),
    Target(
        "numeric date",
        lambda data: from_numeric_date(parse_json(data, max_bytes=100)),
        (b"1803902400", b"-1", b"1.5"),
    ),
    # keys, certificates, seals
    Target("jwk", lambda data: PublicKey.from_jwk(_object(data)), (_json(_JWK),)),
    Target("jwks", Jwks.parse, (_json({"keys": [_JWK]}),)),
    Target(
        "encryption key",
        lambda data: EncryptionKey.from_jwk(_object(data)),
        (_json({**_JWK, "kid": "k", "alg": "ECDH-ES", "use": "enc"}),),
    ),
    Target(
        "x5c",
        lambda data: x509.parse_x5c(parse_json(data, max_bytes=100_000)),
        (_X5C,),
    ),
    Target(
        "certificate",
        lambda data: x509.verify_chain([data], profile=Profile.CREDENTIAL, **_TRUSTED),
        (_LEAF, _ROOT.certificate),
    ),
    Target(
        "pinned certificate",
        lambda data: x509.verify_chain(
            [data], profile=Profile.CREDENTIAL, pinned=frozenset({data}), **_TRUSTED
        ),
        (_LEAF, _ROOT.certificate),
    ),
    Target("pem", x509.parse_pem, (x509.to_pem([_LEAF]),)),
    Target(
        "pem key",
        lambda data: SoftwareKey.from_pem(data, password=b"p"),
        (_KEY.to_pem(password=b"p"),),
    ),
    Target(
        "sealed",
        lambda data: open_sealed(b"k" * 32, data, aad=b""),
        (seal(b"k" * 32, b"x", aad=b""),),
    ),
    Target(
        "sealed row",
        lambda data: open_row(b"k" * 32, data, **_PLACE),
        (seal_row(b"k" * 32, b"x", **_PLACE),),
    ),
    Target(
        "keyring",
        lambda data: Keyring("k", {"k": b"k" * 32}).open(data, aad=b""),
        (Keyring("k", {"k": b"k" * 32}).seal(b"x", aad=b""),),
    ),
    Target(
        "hpke",
        lambda data: hpke_open(_X25519.private_bytes_raw(), data, info=b""),
        (hpke_seal(_X25519.public_key().public_bytes_raw(), b"x", info=b""),),
    ),
    Target("nonce", lambda data: _NONCES.check(_text(data), NOW), (_NONCE.encode(),)),
    # JOSE
    Target(
        "jws",
        lambda data: jws.parse_jws(_text(data), max_bytes=100_000).unverified_claims(),
        (_JWT,),
    ),
    Target(
        "jwt with x5c",
        lambda data: jws.verify_x5c_jwt(
            _text(data), typ="t", algorithms=_ES256, profile=Profile.CREDENTIAL, **_TRUSTED
        ),
        (_JWT,),
    ),
    Target(
        "jwt times",
        lambda data: jws.check_times(_object(data), now=NOW, leeway=NOW - NOW),
        (b'{"exp":9876543210,"nbf":2,"iat":3}',),
    ),
    Target(
        "jwe",
        lambda data: jwe.decrypt(_text(data), key=_KEY, enc_values=_ENC, max_bytes=100_000),
        (_JWE,),
    ),
    # formats
    Target("cbor", cbor.loads, (b64url_decode(_MDOC), cbor.dumps(_CWT_CLAIMS))),
    Target(
        "cose",
        lambda data: cose.parse(cbor.loads(data)).unverified_chain(),
        (cose.sign(b"x", signer=DOCUMENT_SIGNER),),
    ),
    Target(
        "cose key",
        lambda data: cose.key_from_map(cbor.loads(data)),
        (cose.encode_key(_KEY.public),),
    ),
    Target("mdoc", lambda data: received(b64url_encode(data)), (b64url_decode(_MDOC),)),
    Target("mdoc security object, signed", _security_signed, (cbor.dumps(_MDOC_SECURITY),)),
    Target(
        "mdoc element, signed",
        _item_signed,
        (opened(_MDOC)["nameSpaces"]["org.iso.18013.5.1"][0].value,),
    ),
    Target(
        "device response",
        lambda data: verified(b64url_encode(data)),
        (b64url_decode(presented("family_name", "portrait")),),
    ),
    Target(
        "session transcript",
        lambda data: device_response.session_transcript(
            replace(SESSION, audience=_text(data), nonce=_text(data))
        ),
        (b"x509_hash:abc", b"origin:https://host.example"),
    ),
    Target(
        "mdoc elements",
        lambda data: LICENCE.elements.encode(_object(data)),
        (_json(CLAIMS),),
    ),
    Target("status list cwt, signed", _cwt_signed, (cbor.dumps(_CWT_CLAIMS),)),
    Target(
        "status list token, either",
        lambda data: status_cwt.verify_token(data, anchors=_ROOT.anchors, **_CWT),
        (cose.sign(cbor.dumps(_CWT_CLAIMS), signer=_STATUS_SIGNER, typ=status_cwt.MEDIA_TYPE),),
    ),
    Target(
        "disclosure", lambda data: sd_jwt.Disclosure.parse(_text(data)), (_DISCLOSURE.encode(),)
    ),
    Target(
        "sd-jwt vc",
        lambda data: sd_jwt_vc.verify(_text(data), algorithms=_ES256, **_TRUSTED),
        (_SD_JWT,),
    ),
    Target(
        "sd-jwt vc, signed",
        _sd_jwt_signed,
        (_SD_PAYLOAD + b'\n["salt","given_name","Erika"]\n["salt","DE"]',),
    ),
    Target(
        "kb-jwt, signed",
        _kb_jwt_signed,
        (_json({"iat": _SECONDS, "nonce": "n", "aud": "a", "sd_hash": sd_jwt.digest("a~")}),),
    ),
    Target(
        "claims path",
        lambda data: claims_path.select(
            {"a": [{"b": 1}, 2]}, claims_path.parse_path(parse_json(data, max_bytes=10_000))
        ),
        (b'["a",0,"b"]', b'["a",null]'),
    ),
    Target(
        "type metadata",
        lambda data: type_metadata_documents.parse(data, vct="urn:x"),
        (_json(_TYPE),),
    ),
    Target("svg template", lambda data: svg_templates.render(data, {"a": "x"}), (_SVG,)),
    Target(
        "image",
        lambda data: images.harmless(images.from_data_uri(_text(data)), texts={"a": "x"}),
        (
            b"data:image/svg+xml," + _SVG,
            b"data:image/svg+xml;charset=utf-8;base64," + base64.b64encode(_SVG),
            b"data:image/png;base64," + base64.b64encode(_PNG),
        ),
    ),
    Target(
        "status list",
        lambda data: status_list.StatusList.from_json(parse_json(data, max_bytes=100_000)).get(3),
        (_json(_LIST),),
    ),
    Target("status list bytes", status_list.expand, (zlib.compress(bytes(8), 9),)),
    Target(
        "status list token, signed",
        _status_token_signed,
        (
            _json(
                {
                    "sub": "https://host.example/1",
                    "iat": _SECONDS,
                    "exp": _SECONDS + 900,
                    "ttl": 300,
                    "status_list": _LIST,
                }
            ),
        ),
    ),
    Target(
        "status reference",
        lambda data: status_list.status_reference(_object(data)),
        (b'{"status":{"status_list":{"idx":1,"uri":"https://host.example/1"}}}',),
    ),
    Target(
        "status aggregation",
        status_list.parse_aggregation,
        (b'{"status_lists":["https://host.example/1"]}',),
    ),
    # OAuth
    Target("form", messages.parse_form, (_FORM,)),
    Target("token request", _token_form, (_FORM, b"grant_type=refresh_token&refresh_token=r")),
    Target(
        "token response",
        messages.TokenResponse.parse,
        (b'{"access_token":"a","token_type":"DPoP","expires_in":300,"refresh_token":"r"}',),
    ),
    Target(
        "authorization server metadata",
        AuthorizationServerMetadata.parse,
        (b'{"issuer":"https://host.example","token_endpoint":"https://host.example/token"}',),
    ),
    Target(
        "pkce",
        lambda data: pkce.verify(_text(data), code_challenge=pkce.challenge("v" * 43)),
        (b"v" * 43,),
    ),
    Target(
        "dpop",
        lambda data: dpop.verify(
            [_text(data)],
            method="POST",
            url=_URL,
            now=NOW,
            access_token="t",
            expected_jkt=None,
            nonces=None,
        ),
        (
            dpop.make_proof(
                signer=_KEY,
                method="POST",
                url=_URL,
                now=NOW,
                random_bytes=CountingBytes(),
                access_token="t",
            ).encode(),
        ),
    ),
    Target(
        "dpop, signed",
        _dpop_signed,
        (_json({"jti": "j" * 32, "htm": "POST", "htu": _URL, "iat": _SECONDS, "nonce": _NONCE}),),
    ),
    Target("dpop authorization", lambda data: dpop.access_token([_text(data)]), (b"DPoP abc",)),
    Target("client attestation, signed", _attestation_signed, (_ATTESTED,)),
    Target("client attestation pop, signed", _attestation_pop_signed, (_POP,)),
    # OpenID4VCI
    Target("credential offer", offer.parse_offer, (_json(_OFFER),)),
    Target(
        "credential offer link",
        lambda data: offer.parse_offer_link(_text(data)),
        (
            b"openid-credential-offer://?credential_offer_uri=https%3A%2F%2Fhost.example%2F1",
            b"https://w.example/?credential_offer=%7B%7D",
        ),
    ),
    Target("issuer metadata", CredentialIssuerMetadata.parse, (_json(_ISSUER),)),
    Target("issuer metadata, signed", _metadata_signed, (_json(_ISSUER),)),
    Target(
        "credential request",
        issuance.CredentialRequest.parse,
        (_json({"credential_configuration_id": "pid", "proofs": {"jwt": ["a.b.c"]}}),),
    ),
    Target(
        "credential response",
        issuance.CredentialResponse.parse,
        (b'{"credentials":[{"credential":"a~"}],"notification_id":"n"}', b'{"transaction_id":"t"}'),
    ),
    Target(
        "notification",
        issuance.NotificationRequest.parse,
        (b'{"notification_id":"n","event":"credential_accepted"}',),
    ),
    Target("proofs", _proofs, (_PROOFS,)),
    Target(
        "proof, signed",
        _proof_signed,
        (_PROOF,),
    ),
    Target(
        "key attestation, signed",
        _key_attestation_signed,
        (_json({"iat": _SECONDS, "exp": _SECONDS + 9, "attested_keys": [_JWK], "nonce": _NONCE}),),
    ),
    # OpenID4VP
    Target("client id", lambda data: client_id.parse(_text(data)), (_CLIENT_ID.encode(),)),
    Target(
        "request link",
        lambda data: invocation.parse_request_link(_text(data)),
        (b"openid4vp://?client_id=x509_hash%3AAA&request_uri=https%3A%2F%2Fhost.example%2F1",),
    ),
    Target("request object, signed", _request_signed, (_json(_REQUEST),)),
    Target("dcql", lambda data: dcql.parse(_object(data)), (_json(_QUERY),)),
    Target("transaction data", _transaction_data, (b'{"type":"t","credential_ids":["pid"]}',)),
    Target("response form", response.parse_posted, (b"response=a.b.c", b"error=access_denied")),
    Target(
        "response, encrypted",
        _response_sealed,
        (b'{"vp_token":{"pid":["a~b"]}}', b'{"error":"access_denied"}'),
    ),
    # trust
    Target(
        "trust list",
        lambda data: TrustList.parse(data, version=1),
        (b'{"format":"citizen-wallet-trust-list/1","environment":"test","entities":[]}',),
    ),
)
