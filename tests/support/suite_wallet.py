"""The wallet of the official verifier tests, restated: other libraries, other bytes, no mercy.

`Suite.open` does to a request what the suite's conditions do (CERTIFICATION 2.5.1 to 2.5.3) and
fails at whatever it calls a failure or a warning; `present_sd_jwt` and `present_mdoc` make what it
sends (2.5.4). Nothing here is made or checked by our own library: sd-jwt, jwcrypto, cbor2 and
cryptography do it.
"""

import base64
import hashlib
import json
import math
import re
import secrets
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import cbor2
import httpx2
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwcrypto.jwe import JWE
from jwcrypto.jwk import JWK
from jwcrypto.jws import JWS
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer

from shared.crypto.software import SoftwareKey
from shared.runtime.clock import utc_now

from .live_verifier import DocumentSigner
from .trust import PID, PID_MDOC

_KNOWN_CLAIMS = {
    "aud", "client_id", "client_metadata", "dcql_query", "exp", "iat", "iss", "jti", "nbf",
    "nonce", "response_mode", "response_type", "response_uri", "state", "verifier_info",
    "wallet_nonce",
}  # fmt: skip
PERSON = {
    "given_name": "Erika",
    "family_name": "Möbius",
    "birthdate": "1964-08-12",
    "nationalities": ["DE", "FR"],
    "place_of_birth": {"locality": "Köln", "country": "DE"},
    "address": {"street_address": "Heidestraße 17", "locality": "Köln"},
    "age_equal_or_over": {"18": True},
}


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def entropy(text: str) -> float:
    """As the suite counts: Shannon entropy of the characters times their number."""
    counts = Counter(text).values()
    return -sum(each * math.log2(each / len(text)) for each in counts)


@dataclass(frozen=True)
class Asked:
    """A request that passed every condition."""

    client_id: str
    claims: dict[str, Any]

    @property
    def key(self) -> dict[str, Any]:
        """The first key, with the first `enc`: what the suite encrypts with."""
        found: dict[str, Any] = self.claims["client_metadata"]["jwks"]["keys"][0]
        return found

    @property
    def thumbprint(self) -> bytes:
        members = {name: self.key[name] for name in ("crv", "kty", "x", "y")}
        return hashlib.sha256(json.dumps(members, separators=(",", ":")).encode()).digest()


@dataclass
class Suite:
    """One run: a wallet that holds a PID in both formats."""

    http: httpx2.Client
    credential_signer: SoftwareKey
    documents: DocumentSigner
    anchor: bytes
    status_uri: str | None = None
    haip: bool = True
    keys_seen: set[str] = field(default_factory=set)

    # -- The request -----------------------------------------------------------------------

    def open(self, link: str, *, post: Mapping[str, str] | None = None) -> Asked:
        """Fetch the request twice and hold it against every condition."""
        assert "#" not in link
        parameters = {name: one for name, [one] in parse_qs(urlsplit(link).query).items()}
        assert parameters.keys() <= {"client_id", "request_uri", "request_uri_method"}
        uri = parameters["request_uri"]
        assert uri.startswith("https://")
        assert "#" not in uri
        tokens = []
        for _ in range(2):
            found = self.http.get(uri) if post is None else self.http.post(uri, data=dict(post))
            assert found.status_code == 200, found.text
            assert found.headers["content-type"] == "application/oauth-authz-req+jwt"
            assert abs(_date(found.headers["date"]) - utc_now()) < timedelta(minutes=5)
            tokens.append(found.text)
        first, second = (self._claims(each) for each in tokens)
        assert first == second
        self._check(first, parameters["client_id"], post or {})
        return Asked(parameters["client_id"], first)

    def _claims(self, token: str) -> dict[str, Any]:
        """Header, chain and signature (2.1, 2.5.1)."""
        header = json.loads(unb64(token.split(".", maxsplit=1)[0]))
        assert header["typ"] == "oauth-authz-req+jwt"
        assert header["alg"] == "ES256"
        chain = [base64.b64decode(each, validate=True) for each in header["x5c"]]
        assert self.anchor not in chain
        leaf = x509.load_der_x509_certificate(chain[0])
        now = utc_now()
        assert leaf.not_valid_before_utc < now < leaf.not_valid_after_utc
        assert not _signed_by(leaf, leaf)
        assert _signed_by(leaf, x509.load_der_x509_certificate(self.anchor))
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == ["localhost"]
        jws = JWS()
        jws.deserialize(token)
        jws.verify(JWK.from_pyca(leaf.public_key()))
        claims: dict[str, Any] = json.loads(jws.payload)
        prefix, _, value = claims["client_id"].partition(":")
        if prefix == "x509_hash":
            assert value == b64(hashlib.sha256(chain[0]).digest())
        else:
            assert (prefix, value) == ("x509_san_dns", "localhost")
        return claims

    def _check(self, claims: dict[str, Any], client_id: str, post: Mapping[str, str]) -> None:
        """2.5.1 to 2.5.3; whatever would be a warning fails, too."""
        assert claims.keys() <= _KNOWN_CLAIMS
        assert claims["client_id"] == client_id
        assert claims.get("iss", client_id) == client_id
        assert claims["response_type"] == "vp_token"
        assert claims["response_mode"] == ("direct_post.jwt" if self.haip else "direct_post")
        assert claims["response_uri"].startswith("https://")
        assert "#" not in claims["response_uri"]
        assert claims["aud"] == "https://self-issued.me/v2"
        assert abs(claims["iat"] - utc_now().timestamp()) < 60
        assert claims["exp"] > utc_now().timestamp()
        assert ("wallet_nonce" in claims) == ("wallet_nonce" in post)
        assert claims.get("wallet_nonce") == post.get("wallet_nonce")
        assert re.fullmatch(r"[A-Za-z0-9\-._~]{16,43}", claims["nonce"])
        assert entropy(claims["nonce"]) > 96
        self._check_metadata(claims["client_metadata"], claims["dcql_query"])
        self._check_query(claims["dcql_query"])

    def _check_metadata(self, metadata: dict[str, Any], query: dict[str, Any]) -> None:
        encrypted = {"jwks", "encrypted_response_enc_values_supported"} if self.haip else set()
        assert set(metadata) == {"vp_formats_supported", *encrypted}
        for each in query["credentials"]:
            lists = metadata["vp_formats_supported"][each["format"]]
            if each["format"] == "dc+sd-jwt":
                assert lists["sd-jwt_alg_values"]
                assert lists["kb-jwt_alg_values"]
                assert all(isinstance(alg, str) for found in lists.values() for alg in found)
            else:
                assert set(lists) == {"issuerauth_alg_values", "deviceauth_alg_values"}
                assert all(type(alg) is int for found in lists.values() for alg in found)
        if not self.haip:
            return
        assert {"A128GCM", "A256GCM"} <= set(metadata["encrypted_response_enc_values_supported"])
        keys = metadata["jwks"]["keys"]
        assert len({each["kid"] for each in keys}) == len(keys)
        for key in keys:
            assert (key["kty"], key["crv"], key["alg"]) == ("EC", "P-256", "ECDH-ES")
            assert key.get("use", "enc") == "enc"
            assert not {"d", "p", "q", "k"} & set(key)
            assert key["x"] not in self.keys_seen  # new for each request
            self.keys_seen.add(key["x"])

    def _check_query(self, query: dict[str, Any]) -> None:
        [credential] = query["credentials"]
        assert "credential_sets" not in query
        assert re.fullmatch(r"[A-Za-z0-9_-]+", credential["id"])
        paths = [tuple(each["path"]) for each in credential["claims"]]
        assert len(set(paths)) == len(paths)
        if credential["format"] == "dc+sd-jwt":
            assert credential["meta"]["vct_values"] == [PID]
            names = {path[0] for path in paths}
            assert not names & {"iss", "nbf", "exp", "cnf", "vct", "status"}
            assert names <= PERSON.keys()
        else:
            assert credential["meta"]["doctype_value"] == PID_MDOC
            assert all(len(path) == 2 for path in paths)

    # -- The response ----------------------------------------------------------------------

    def encrypt(self, asked: Asked, payload: Mapping[str, Any], **header: Any) -> str:
        """To the first key, with the first `enc`; cty, kid and random apu and apv."""
        metadata = asked.claims["client_metadata"]
        protected = {
            "alg": asked.key["alg"],
            "enc": metadata["encrypted_response_enc_values_supported"][0],
            "kid": asked.key["kid"],
            "cty": "json",
            "apu": b64(secrets.token_bytes(16)),
            "apv": b64(secrets.token_bytes(16)),
        } | header
        public = {name: asked.key[name] for name in ("kty", "crv", "x", "y")}
        jwe = JWE(json.dumps(payload).encode(), protected=json.dumps(protected))
        jwe.add_recipient(JWK(**public))
        return str(jwe.serialize(compact=True))

    def payload(self, asked: Asked, presentation: str) -> dict[str, Any]:
        query_id = asked.claims["dcql_query"]["credentials"][0]["id"]
        return {"vp_token": {query_id: [presentation]}, "state": asked.claims["state"]}

    def post(self, asked: Asked, presentation: str) -> httpx2.Response:
        """As the suite: one POST, form-encoded, `response` alone."""
        payload = self.payload(asked, presentation)
        if self.haip:
            form = {"response": self.encrypt(asked, payload)}
        else:
            form = {"vp_token": json.dumps(payload["vp_token"]), "state": payload["state"]}
        return self.http.post(asked.claims["response_uri"], data=form)

    # -- SD-JWT ----------------------------------------------------------------------------

    def credential(self, holder: JWK, *, minimal: bool = False) -> SDJWTIssuer:
        """With decoys, nested and array disclosures; cnf.jwk with or without kid, use and alg."""
        jwk = json.loads(holder.export_public())
        jwk = {name: jwk[name] for name in ("kty", "crv", "x", "y")}
        if not minimal:
            jwk |= {"kid": "holder", "use": "sig", "alg": "ES256"}
        now = int(utc_now().timestamp())
        claims: dict[Any, Any] = {
            "iss": "https://suite.example/test/a/citizen/",
            "vct": PID,
            "iat": now,
            "exp": now + 14 * 86_400,
            "cnf": {"jwk": jwk},
        }
        if self.status_uri is not None:
            claims["status"] = {"status_list": {"idx": 6, "uri": self.status_uri}}
        for name, value in PERSON.items():
            if isinstance(value, list):
                claims[SDObj(name)] = [SDObj(each) for each in value]
            elif isinstance(value, dict):
                claims[SDObj(name)] = {SDObj(part): each for part, each in value.items()}
            else:
                claims[SDObj(name)] = value
        chain = [base64.b64encode(each).decode() for each in self.credential_signer.certificates]
        scalar = int.from_bytes(self.credential_signer.scalar(), "big")
        return SDJWTIssuer(
            claims,
            JWK.from_pyca(ec.derive_private_key(scalar, ec.SECP256R1())),
            sign_alg="ES256",
            add_decoy_claims=True,
            extra_header_parameters={"typ": "dc+sd-jwt", "x5c": chain},
        )

    def present_sd_jwt(
        self,
        asked: Asked,
        *,
        minimal: bool = False,
        bend: Callable[[str], str] = lambda text: text,
        sign: Callable[[JWK], JWK] = lambda holder: holder,
        **changes: Any,
    ) -> str:
        """A presentation of exactly what is asked; *changes* replace claims of the KB-JWT.

        Args:
            asked: the request.
            minimal: `cnf.jwk` carries only kty, crv, x and y.
            bend: what is done to the Issuer-signed JWT before the holder signs over it.
            sign: with which key the holder signs.
            changes: of nonce, aud, iat and sd_hash.
        """
        holder = JWK.generate(kty="EC", crv="P-256")
        issued = self.credential(holder, minimal=minimal).sd_jwt_issuance
        wanted = {
            each["path"][0]: _everything(PERSON[each["path"][0]])
            for each in asked.claims["dcql_query"]["credentials"][0]["claims"]
        }
        chooser = SDJWTHolder(issued)
        chooser.create_presentation(wanted)
        shown = bend(chooser.sd_jwt_presentation)
        claims = {
            "iat": int(utc_now().timestamp()),
            "aud": asked.client_id,
            "nonce": asked.claims["nonce"],
            "sd_hash": b64(hashlib.sha256(shown.encode()).digest()),
        } | changes
        proof = JWS(json.dumps(claims).encode())
        header = json.dumps({"typ": "kb+jwt", "alg": "ES256"})
        proof.add_signature(sign(holder), protected=header)
        return shown + str(proof.serialize(compact=True))

    # -- mdoc ------------------------------------------------------------------------------

    def present_mdoc(
        self,
        asked: Asked,
        *,
        origin: str | None = None,
        transcript: Callable[[list[Any]], list[Any]] = lambda info: info,
    ) -> str:
        """A DeviceResponse with the elements asked for.

        Args:
            asked: the request.
            origin: of the page, over the Digital Credentials API.
            transcript: bends what the handover is made of.
        """
        device = ec.generate_private_key(ec.SECP256R1())
        wanted = [
            each["path"][1] for each in asked.claims["dcql_query"]["credentials"][0]["claims"]
        ]
        values = {
            "given_name": "Erika",
            "family_name": "Möbius",
            "birth_date": cbor2.CBORTag(1004, "1964-08-12"),
            "age_over_18": True,
        }
        items = {
            number: cbor2.dumps(
                {
                    "digestID": number,
                    "random": secrets.token_bytes(32),
                    "elementIdentifier": name,
                    "elementValue": value,
                }
            )
            for number, (name, value) in enumerate(values.items())
        }
        auth = self._issuer_auth({n: _tag(item) for n, item in items.items()}, device)
        shown = [cbor2.CBORTag(24, items[n]) for n, name in enumerate(values) if name in wanted]
        thumbprint = asked.thumbprint if self.haip else None
        if origin is None:
            handover = "OpenID4VPHandover"
            info = [
                asked.client_id,
                asked.claims["nonce"],
                thumbprint,
                asked.claims["response_uri"],
            ]
        else:
            handover, info = "OpenID4VPDCAPIHandover", [origin, asked.claims["nonce"], thumbprint]
        hashed = hashlib.sha256(cbor2.dumps(transcript(info))).digest()
        session = [None, None, [handover, hashed]]
        namespaces = cbor2.CBORTag(24, cbor2.dumps({}))
        authentication = ["DeviceAuthentication", session, PID_MDOC, namespaces]
        payload = _tag(cbor2.dumps(authentication))
        signature = _cose(device, {1: -7}, {}, payload, detached=True)
        document = {
            "docType": PID_MDOC,
            "issuerSigned": {"nameSpaces": {PID_MDOC: shown}, "issuerAuth": auth},
            "deviceSigned": {
                "nameSpaces": namespaces,
                "deviceAuth": {"deviceSignature": signature},
            },
        }
        return b64(cbor2.dumps({"version": "1.0", "documents": [document], "status": 0}))

    def _issuer_auth(
        self, items: Mapping[int, bytes], device: ec.EllipticCurvePrivateKey
    ) -> list[Any]:
        now = utc_now().replace(microsecond=0)
        point = device.public_key().public_numbers()
        text = "%Y-%m-%dT%H:%M:%SZ"
        mso = {
            "version": "1.0",
            "digestAlgorithm": "SHA-256",
            "valueDigests": {
                PID_MDOC: {number: hashlib.sha256(item).digest() for number, item in items.items()}
            },
            "deviceKeyInfo": {
                "deviceKey": {
                    1: 2,
                    -1: 1,
                    -2: point.x.to_bytes(32, "big"),
                    -3: point.y.to_bytes(32, "big"),
                }
            },
            "docType": PID_MDOC,
            "validityInfo": {
                "signed": cbor2.CBORTag(0, now.strftime(text)),
                "validFrom": cbor2.CBORTag(0, now.strftime(text)),
                "validUntil": cbor2.CBORTag(0, (now + timedelta(days=14)).strftime(text)),
            },
        }
        if self.status_uri is not None:
            mso["status"] = {"status_list": {"idx": 6, "uri": self.status_uri}}
        chain = {33: self.documents.certificate}
        return _cose(self.documents.key, {1: -7}, chain, _tag(cbor2.dumps(mso)))


def _everything(value: Any) -> Any:
    """How sd-jwt is told to disclose *value* with all that is below it."""
    if isinstance(value, dict):
        return {name: _everything(each) for name, each in value.items()}
    return [True for _ in value] if isinstance(value, list) else True


def _tag(data: bytes) -> bytes:
    return cbor2.dumps(cbor2.CBORTag(24, data))


def _cose(
    key: ec.EllipticCurvePrivateKey,
    protected: Mapping[int, Any],
    unprotected: Mapping[int, Any],
    payload: bytes,
    *,
    detached: bool = False,
) -> list[Any]:
    header = cbor2.dumps(dict(protected))
    signed = cbor2.dumps(["Signature1", header, b"", payload])
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(hashes.SHA256())))
    raw = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return [header, dict(unprotected), None if detached else payload, raw]


def _signed_by(certificate: x509.Certificate, by: x509.Certificate) -> bool:
    key, algorithm = by.public_key(), certificate.signature_hash_algorithm
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert algorithm is not None
    try:
        key.verify(certificate.signature, certificate.tbs_certificate_bytes, ec.ECDSA(algorithm))
    except InvalidSignature:
        return False
    return True


def _date(text: str) -> datetime:
    return datetime.strptime(text, "%a, %d %b %Y %H:%M:%S GMT").replace(tzinfo=UTC)
