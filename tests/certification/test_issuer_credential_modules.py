"""The official OpenID4VCI issuer modules about metadata and the credential endpoint, both formats.

A live issuer over TLS and the suite's two clients. Each test is named after its module; what the
conditions enforce of a credential (CERTIFICATION 2.2.7) is checked here with a JSON and a CBOR
reader of other projects, not with our own formats.

Specification: CERTIFICATION 1.3, 1.4, 2.1, 2.2.1, 2.2.6 and 2.2.7; OpenID4VCI 1.0; HAIP 4.
"""

import base64
import hashlib
import json
import re
import zlib
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import cbor2
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from shared.crypto.software import SoftwareKey
from shared.jose import jwe
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci import key_attestation
from shared.runtime.clock import utc_now
from shared.trust import Role
from tests.certification.suite_client import (
    SuiteClient,
    check_error,
    check_json,
    entropy,
    forged,
)
from tests.support.live_issuer import LiveIssuer

FORMATS = ["pid_sd_jwt", "pid_mdoc"]
ATTESTED = {"pid_sd_jwt": "attested_sd_jwt", "pid_mdoc": "attested_mdoc"}
METADATA = "/.well-known/openid-credential-issuer/haip"
KNOWN = {
    "credential_issuer",
    "authorization_servers",
    "credential_endpoint",
    "nonce_endpoint",
    "deferred_credential_endpoint",
    "notification_endpoint",
    "credential_request_encryption",
    "credential_response_encryption",
    "batch_credential_issuance",
    "signed_metadata",
    "display",
    "credential_configurations_supported",
}


@pytest.fixture(scope="module")
def live(live_issuer: LiveIssuer) -> LiveIssuer:
    return live_issuer


@pytest.fixture(scope="module")
def clients(live: LiveIssuer) -> tuple[SuiteClient, SuiteClient]:
    return SuiteClient.pair(live)


@pytest.fixture(scope="module")
def tokens(clients: tuple[SuiteClient, SuiteClient]) -> dict[str, str]:
    """One access token of the first client for each configuration: several modules share it."""
    names = [*FORMATS, *ATTESTED.values()]
    return {name: clients[0].tokens(scope=name)["access_token"] for name in names}


@pytest.fixture
def client(clients: tuple[SuiteClient, SuiteClient]) -> SuiteClient:
    return clients[0]


def part(text: str) -> Any:
    return json.loads(b64(text))


def b64(text: str) -> bytes:
    assert re.fullmatch(r"[A-Za-z0-9_-]+", text)
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def checked_chain(live: LiveIssuer, role: Role, chain: list[bytes]) -> ec.EllipticCurvePublicKey:
    """2.1: one leaf, valid now, not self-signed, the anchor left out, signed by the anchor."""
    (anchor_der,) = live.trust.registry.authorities[role].anchors
    assert chain
    assert anchor_der not in chain
    leaf, anchor = (x509.load_der_x509_certificate(each) for each in (chain[0], anchor_der))
    assert leaf.not_valid_before_utc <= utc_now() < leaf.not_valid_after_utc
    assert leaf.issuer != leaf.subject
    leaf.verify_directly_issued_by(anchor)
    public = leaf.public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    return public


def checked_jwt(live: LiveIssuer, token: str, *, typ: str, role: Role) -> Any:
    head, body, signature = token.split(".")
    header = part(head)
    assert (header["typ"], header["alg"]) == (typ, "ES256")
    public = checked_chain(live, role, [base64.b64decode(each) for each in header["x5c"]])
    raw = b64(signature)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    public.verify(der, f"{head}.{body}".encode(), ec.ECDSA(hashes.SHA256()))
    return part(body)


class Judged:
    """A credential as 2.2.7 judges it: its key, salts, digests, place and times."""

    key: tuple[bytes, bytes]
    salts: list[bytes]
    digests: list[bytes]
    data: str
    uri: str
    idx: int
    times: list[datetime]

    def __init__(self, live: LiveIssuer, configuration: str, credential: str) -> None:
        if "mdoc" in configuration:
            self._mdoc(live, credential)
        else:
            self._sd_jwt(live, credential)
        assert all(each == each.replace(minute=0, second=0) for each in self.times)
        assert len(set(self.salts)) == len(self.salts)
        assert all(len(each) >= 16 for each in self.salts)
        assert isinstance(self.idx, int)
        assert self.idx >= 0
        assert self.uri.startswith("https://")

    def _sd_jwt(self, live: LiveIssuer, credential: str) -> None:
        assert credential.endswith("~")
        token, *disclosures, _ = credential.split("~")
        claims = checked_jwt(live, token, typ="dc+sd-jwt", role=Role.CREDENTIAL)
        assert {"iss", "nbf", "exp", "cnf", "vct", "status"} & claims.keys() >= {"cnf", "vct"}
        assert claims["vct"].startswith("urn:")
        assert "exp" in claims
        assert claims["cnf"].keys() == {"jwk"}
        jwk = claims["cnf"]["jwk"]
        assert "d" not in jwk
        self.key = b64(jwk["x"]), b64(jwk["y"])
        read = [part(each) for each in disclosures]
        assert all(len(each) in {2, 3} for each in read)
        hidden = {each[1] for each in read if len(each) == 3}
        assert not hidden & {"iss", "nbf", "exp", "cnf", "vct", "status", "_sd", "..."}
        self.salts = [b64(each[0]) for each in read]
        made = [
            base64.urlsafe_b64encode(hashlib.sha256(each.encode()).digest()).rstrip(b"=")
            for each in disclosures
        ]
        assert all(each.decode() in json.dumps([claims, read]) for each in made)
        self.digests = made
        self.data = json.dumps(sorted(json.dumps(each[1:]) for each in read if len(each) == 2))
        (self.uri, self.idx) = (claims["status"]["status_list"][name] for name in ("uri", "idx"))
        names = [name for name in ("iat", "nbf", "exp") if name in claims]
        self.times = [datetime.fromtimestamp(claims[name], utc_now().tzinfo) for name in names]

    def _mdoc(self, live: LiveIssuer, credential: str) -> None:
        signed = cbor2.loads(b64(credential))
        protected, unprotected, payload, signature = signed["issuerAuth"]
        assert cbor2.loads(protected) == {1: -7}
        chain = unprotected[33]
        public = checked_chain(live, Role.CREDENTIAL, chain if isinstance(chain, list) else [chain])
        der = encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )
        covered = cbor2.dumps(["Signature1", protected, b"", payload])
        public.verify(der, covered, ec.ECDSA(hashes.SHA256()))
        mso = cbor2.loads(cbor2.loads(payload).value)
        assert mso["docType"] == "eu.europa.ec.eudi.pid.1"
        self.salts, self.digests, values = [], [], []
        for namespace, items in signed["nameSpaces"].items():
            for each in items:
                item = cbor2.loads(each.value)
                digest = hashlib.sha256(cbor2.dumps(each)).digest()
                assert mso["valueDigests"][namespace][item["digestID"]] == digest
                self.salts.append(item["random"])
                self.digests.append(digest)
                values.append((item["elementIdentifier"], repr(item["elementValue"])))
        self.data = json.dumps(sorted(values))
        device = mso["deviceKeyInfo"]["deviceKey"]
        assert -4 not in device
        self.key = device[-2], device[-3]
        assert set(mso["status"]) <= {"status_list", "identifier_list"}
        (self.uri, self.idx) = (mso["status"]["status_list"][name] for name in ("uri", "idx"))
        validity = mso["validityInfo"]
        assert validity["signed"] <= validity["validFrom"] < validity["validUntil"]
        self.times = [validity[name] for name in ("signed", "validFrom", "validUntil")]


def point(key: SoftwareKey) -> tuple[bytes, bytes]:
    jwk = key.public.to_jwk()
    return b64(str(jwk["x"])), b64(str(jwk["y"]))


def collected(
    client: SuiteClient, access: str, configuration: str, keys: list[SoftwareKey]
) -> tuple[list[Judged], Any]:
    nonce = client.c_nonce()
    proofs = {"jwt": [client.proof(key, nonce=nonce) for key in keys]}
    answer = client.credential(access, configuration, proofs=proofs)
    client.check_credential(answer)
    content = answer.json()
    return [
        Judged(client.live, configuration, each["credential"]) for each in content["credentials"]
    ], content


def status_of(live: LiveIssuer, found: Judged) -> int:
    """2.2.7: by its Accept, exactly that type, believed by the status anchor, idx inside."""
    answer = live.http.get(found.uri, headers={"Accept": "application/statuslist+jwt"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    claims = checked_jwt(live, answer.text, typ="statuslist+jwt", role=Role.STATUS)
    assert claims["sub"] == found.uri
    bits = int(claims["status_list"]["bits"])
    data = zlib.decompress(b64(claims["status_list"]["lst"]))
    position = found.idx * bits
    assert position // 8 < len(data)
    return int(data[position // 8] >> position % 8) & ((1 << bits) - 1)


# --- metadata-test, metadata-test-signed ---


def test_metadata(live: LiveIssuer) -> None:
    """T-07, I-01 to I-08, CERTIFICATION 2.2.1."""
    content = check_json(live.http.get(live.url + METADATA), 200)
    assert set(content) <= KNOWN
    assert content["credential_issuer"] == f"{live.url}/haip"
    for name, value in content.items():
        if name.endswith("_endpoint"):
            assert value.startswith("https://")
    assert "nonce_endpoint" in content
    assert content["batch_credential_issuance"]["batch_size"] >= 2
    asked, given = (content[f"credential_{each}_encryption"] for each in ("request", "response"))
    kids = [each["kid"] for each in asked["jwks"]["keys"]]
    assert len(set(kids)) == len(kids) > 0
    for each in asked["jwks"]["keys"]:
        assert each["alg"] == "ECDH-ES"
        assert not {"d", "p", "q", "k"} & each.keys()
    for each in (asked, given):
        assert each["enc_values_supported"]
        assert isinstance(each["encryption_required"], bool)
    assert given["alg_values_supported"]
    locales = [each["locale"] for each in content["display"]]
    assert len(set(locales)) == len(locales)
    for each in content["credential_configurations_supported"].values():
        assert re.fullmatch(r"[\x21\x23-\x5B\x5D-\x7E]+", each["scope"])
        assert "cryptographic_binding_methods_supported" in each
        for kind in each["proof_types_supported"].values():
            assert kind["proof_signing_alg_values_supported"] == ["ES256"]
        numbers = each["credential_signing_alg_values_supported"]
        if each["format"] == "mso_mdoc":
            assert each["doctype"]
            assert set(numbers) <= {-7, -9}
        else:
            assert (each["format"], numbers) == ("dc+sd-jwt", ["ES256"])
            assert each["vct"].startswith("urn:")
        for claim in each["credential_metadata"]["claims"]:
            assert {"path"} <= set(claim) <= {"path", "mandatory", "display"}


def test_metadata_signed(live: LiveIssuer) -> None:
    """I-02, I-07, CERTIFICATION 2.2.1: a JWT for who asks for one, with the same members."""
    answer = live.http.get(live.url + METADATA, headers={"Accept": "application/jwt"})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jwt")
    typ = "openidvci-issuer-metadata+jwt"
    claims = checked_jwt(live, answer.text, typ=typ, role=Role.METADATA)
    assert claims["sub"] == f"{live.url}/haip"
    assert isinstance(claims["iat"], int)
    plain = live.http.get(live.url + METADATA).json()
    assert {name: claims[name] for name in plain} == plain


# --- happy-flow and its variants ---


@pytest.mark.parametrize("configuration", FORMATS)
def test_happy_flow(client: SuiteClient, tokens: dict[str, str], configuration: str) -> None:
    """F-VC-01, F-MD-03, I-110, I-115, CERTIFICATION 1.3, 2.2.7: one key, one credential, valid;
    and the notification."""
    key = SoftwareKey.generate()
    (found,), content = collected(client, tokens[configuration], configuration, [key])
    assert found.key == point(key)
    assert status_of(client.live, found) == 0
    body = {"notification_id": content["notification_id"], "event": "credential_accepted"}
    headers = {
        "Authorization": f"DPoP {tokens[configuration]}",
        "DPoP": client.dpop("notification", access_token=tokens[configuration]),
    }
    url = f"{client.issuer}/notification"
    assert client.live.http.post(url, json=body, headers=headers).status_code == 204


@pytest.mark.parametrize("configuration", FORMATS)
def test_happy_flow_additional_requests(
    client: SuiteClient, tokens: dict[str, str], configuration: str
) -> None:
    """I-74, C-32, CERTIFICATION 1.3: the token again, permissive Accept headers, unknown members;
    nobody misses a notification (happy-flow-skip-notification)."""
    for accept in ("*/*", "application/json, application/*;q=0.8", "text/html, */*;q=0.1"):
        for path in (METADATA, "/.well-known/oauth-authorization-server/haip"):
            answer = client.live.http.get(client.live.url + path, headers={"Accept": accept})
            assert answer.headers["content-type"] == "application/json"
    for _ in range(2):
        collected(client, tokens[configuration], configuration, [SoftwareKey.generate()])


@pytest.mark.parametrize("configuration", FORMATS)
def test_happy_flow_multiple_clients(
    clients: tuple[SuiteClient, SuiteClient], tokens: dict[str, str], configuration: str
) -> None:
    """I-111, S-40, CERTIFICATION 2.2.7: two wallets' credentials share nothing but their data."""
    first, second = clients
    token = second.tokens(scope=configuration)["access_token"]
    (one,), _ = collected(first, tokens[configuration], configuration, [SoftwareKey.generate()])
    (two,), _ = collected(second, token, configuration, [SoftwareKey.generate()])
    assert one.data == two.data
    assert one.key != two.key
    assert not set(one.salts) & set(two.salts)
    assert not set(one.digests) & set(two.digests)
    assert (one.uri, one.idx) != (two.uri, two.idx)


@pytest.mark.parametrize("configuration", FORMATS)
def test_batch_issuance(client: SuiteClient, tokens: dict[str, str], configuration: str) -> None:
    """T-06, I-111, ST-31, CERTIFICATION 1.3, 2.2.7: as many as batch_size says; distinct keys,
    salts, digests, places on one list, no progression; one dataset, equal rounded times."""
    metadata = client.live.http.get(client.live.url + METADATA).json()
    size = min(metadata["batch_credential_issuance"]["batch_size"], 20)
    keys = [SoftwareKey.generate() for _ in range(size)]
    found, _ = collected(client, tokens[configuration], configuration, keys)
    assert len(found) == size >= 2
    assert {each.key for each in found} <= {point(key) for key in keys}
    assert len({each.key for each in found}) == len(found)
    for values in ([each.salts for each in found], [each.digests for each in found]):
        flat = [value for each in values for value in each]
        assert len(set(flat)) == len(flat)
    assert len({each.uri for each in found}) == 1
    indexes = sorted(each.idx for each in found)
    assert len(set(indexes)) == len(indexes)
    assert len({after - before for before, after in pairwise(indexes)}) > 1
    assert len({each.data for each in found}) == 1
    assert len({tuple(each.times) for each in found}) == 1


def test_identifiers_are_hard_to_guess(client: SuiteClient, tokens: dict[str, str]) -> None:
    """S-01, CERTIFICATION 2.1."""
    _, content = collected(client, tokens["pid_sd_jwt"], "pid_sd_jwt", [SoftwareKey.generate()])
    assert entropy(content["notification_id"]) > 96
    assert entropy(client.c_nonce()) > 96


# --- fail-… ---


@pytest.mark.parametrize("configuration", FORMATS)
def test_fail_invalid_nonce(
    client: SuiteClient, tokens: dict[str, str], configuration: str
) -> None:
    """T-05, I-61: an unknown c_nonce; and one that was used."""
    proofs = {"jwt": [client.proof(nonce="unknown-nonce-of-the-suite")]}
    answer = client.credential(tokens[configuration], configuration, proofs=proofs)
    check_error(answer, {400}, {"invalid_nonce"})
    nonce = client.c_nonce()
    for codes in (set[str](), {"invalid_nonce"}):
        proofs = {"jwt": [client.proof(nonce=nonce)]}
        answer = client.credential(tokens[configuration], configuration, proofs=proofs)
        if codes:
            check_error(answer, {400}, codes)
        else:
            client.check_credential(answer)


@pytest.mark.parametrize("configuration", FORMATS)
def test_fail_invalid_proofs(
    client: SuiteClient, tokens: dict[str, str], configuration: str
) -> None:
    """T-05, I-67, I-68: fail-invalid-jwt-proof-signature, fail-missing-proof."""
    for proofs in ({"jwt": [forged(client.proof())]}, None):
        answer = client.credential(tokens[configuration], configuration, proofs=proofs)
        check_error(answer, {400}, {"invalid_proof"})


@pytest.mark.parametrize("configuration", FORMATS)
def test_fail_invalid_key_attestation_signature(
    client: SuiteClient, tokens: dict[str, str], configuration: str
) -> None:
    """T-05, I-69, HAIP 4.5.1: with a good one the credential comes; without, or forged, it does
    not."""
    name = ATTESTED[configuration]
    metadata = client.live.http.get(client.live.url + METADATA).json()
    required = metadata["credential_configurations_supported"][name]["proof_types_supported"]
    assert required["jwt"]["key_attestations_required"]
    key, nonce = SoftwareKey.generate(), client.c_nonce()
    good = key_attestation.make(
        signer=client.attester,
        keys=[key.public],
        nonce=nonce,
        now=utc_now(),
        lifetime=timedelta(minutes=5),
        key_storage=["iso_18045_high"],
        user_authentication=["iso_18045_high"],
    )
    for attested in (forged(good), None):
        proofs = {"jwt": [client.proof(key, nonce=nonce, key_attestation=attested)]}
        answer = client.credential(tokens[name], name, proofs=proofs)
        check_error(answer, {400}, {"invalid_proof"})
    proofs = {"jwt": [client.proof(key, nonce=nonce, key_attestation=good)]}
    client.check_credential(client.credential(tokens[name], name, proofs=proofs))
    nonce = client.c_nonce()
    alone = key_attestation.make(
        signer=client.attester,
        keys=[key.public],
        nonce=nonce,
        now=utc_now(),
        lifetime=timedelta(minutes=5),
    )
    answer = client.credential(
        tokens[configuration], configuration, proofs={"attestation": [alone]}
    )
    client.check_credential(answer)
    bad = client.credential(
        tokens[configuration], configuration, proofs={"attestation": [forged(alone)]}
    )
    check_error(bad, {400}, {"invalid_proof"})


@pytest.mark.parametrize("configuration", FORMATS)
@pytest.mark.parametrize("encrypted", [False, True])
def test_fail_unknown_configuration_and_identifier(
    client: SuiteClient, tokens: dict[str, str], *, configuration: str, encrypted: bool
) -> None:
    """T-05, I-66, I-82: the registered codes, never encrypted, even if no identifier was issued."""
    access = tokens[configuration]
    for members, code in (
        ({"credential_configuration_id": "unknown"}, "unknown_credential_configuration"),
        (
            {"credential_configuration_id": None, "credential_identifier": "unknown"},
            "unknown_credential_identifier",
        ),
    ):
        body: dict[str, Any] = {name: each for name, each in members.items() if each is not None}
        body["proofs"] = {"jwt": [client.proof()]}
        if encrypted:
            key = SoftwareKey.generate()
            answer = sent(client, access, body | asking(key))
        else:
            answer = client.credential(access, **members)
        check_error(answer, {400}, {code})


# --- The encrypted variant ---


def asking(key: SoftwareKey, **members: Any) -> dict[str, Any]:
    jwk = {**key.public.to_jwk(), "alg": "ECDH-ES", **members}
    return {"credential_response_encryption": {"jwk": jwk, "enc": "A256GCM"}}


def sent(client: SuiteClient, access: str, body: Any, *, endpoint: str = "credential") -> Any:
    """Encrypted as the suite does it, with a `cty` and parties' names in the header."""
    metadata = client.live.http.get(client.live.url + METADATA).json()
    (jwk,) = metadata["credential_request_encryption"]["jwks"]["keys"]
    to = EncryptionKey.from_jwk(jwk)
    token = jwe.encrypt(
        json.dumps(body).encode(),
        to=to.public,
        kid=to.kid,
        enc="A128GCM",
        cty="json",
        apu=b"suite",
        apv=b"issuer",
    )
    return client.live.http.post(
        f"{client.issuer}/{endpoint}",
        content=token,
        headers={
            "Content-Type": "application/jwt",
            "Authorization": f"DPoP {access}",
            "DPoP": client.dpop(endpoint, access_token=access),
        },
    )


@pytest.mark.parametrize("configuration", FORMATS)
def test_happy_flow_encrypted(
    client: SuiteClient, tokens: dict[str, str], configuration: str
) -> None:
    """I-80 to I-82, CERTIFICATION 1.4, 2.2.6: made to the wallet's jwk, without a kid it lacks."""
    key, response_key = SoftwareKey.generate(), SoftwareKey.generate()
    body = {
        "credential_configuration_id": configuration,
        "proofs": {"jwt": [client.proof(key)]},
        **asking(response_key),
    }
    answer = sent(client, tokens[configuration], body)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/jwt")
    header = part(answer.text.partition(".")[0])
    assert (header["alg"], header["enc"]) == ("ECDH-ES", "A256GCM")
    assert "kid" not in header
    _, plain = jwe.decrypt(
        answer.text, key=response_key, enc_values=["A256GCM"], max_bytes=1_000_000
    )
    (credential,) = json.loads(plain)["credentials"]
    assert Judged(client.live, configuration, credential["credential"]).key == point(key)


@pytest.mark.parametrize("configuration", FORMATS)
def test_fail_unsupported_encryption_algorithm(
    client: SuiteClient, tokens: dict[str, str], configuration: str
) -> None:
    """T-05, I-81: alg UNSUPPORTED_ALG; and a plain request that asks for an encrypted answer."""
    proofs = {"jwt": [client.proof()]}
    body = {"credential_configuration_id": configuration, "proofs": proofs}
    wrong = asking(SoftwareKey.generate(), alg="UNSUPPORTED_ALG")
    answer = sent(client, tokens[configuration], body | wrong)
    check_error(answer, {400}, {"invalid_encryption_parameters"})
    asked = asking(SoftwareKey.generate())
    plain = client.credential(tokens[configuration], configuration, proofs=proofs, **asked)
    check_error(plain, {400}, {"invalid_encryption_parameters"})
