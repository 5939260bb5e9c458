"""Credential Issuer Metadata: OpenID4VCI 1.0, section 12.2; PROFILE I-01 to I-08, W-03, W-04."""

import copy
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import to_numeric_date
from shared.errors import Expired, InvalidInput, Untrusted, VerificationError
from shared.jose import jws
from shared.oid4vci.metadata import CredentialIssuerMetadata
from tests.support.certificates import Authority
from tests.support.clock import NOW
from tests.support.vectors import vector_json

ISSUER = "https://issuer.example/t1"
REGISTRY = Authority.make("Registry Root")
SIGNER = REGISTRY.signer(Profile.METADATA)
PID: dict[str, Any] = {
    "format": "dc+sd-jwt",
    "scope": "pid_sd_jwt",
    "vct": "urn:eudi:pid:1",
    "cryptographic_binding_methods_supported": ["jwk"],
    "credential_signing_alg_values_supported": ["ES256"],
    "proof_types_supported": {
        "jwt": {
            "proof_signing_alg_values_supported": ["ES256"],
            "key_attestations_required": {"key_storage": ["iso_18045_high"]},
        }
    },
    "credential_metadata": {
        "display": [
            {"name": "Person", "locale": "en", "logo": {"uri": "https://issuer.example/l.png"}},
            {"name": "Personne", "locale": "fr"},
        ],
        "claims": [
            {"path": ["family_name"], "mandatory": True, "display": [{"name": "Name"}]},
            {"path": ["nationalities", None]},
            {"path": ["place_of_birth", "country"]},
        ],
    },
}
MDL: dict[str, Any] = {
    "format": "mso_mdoc",
    "doctype": "org.iso.18013.5.1.mDL",
    "credential_signing_alg_values_supported": [-7, -9],
}
METADATA: dict[str, Any] = {
    "credential_issuer": ISSUER,
    "credential_endpoint": f"{ISSUER}/credential",
    "nonce_endpoint": f"{ISSUER}/nonce",
    "deferred_credential_endpoint": f"{ISSUER}/deferred",
    "notification_endpoint": f"{ISSUER}/notification",
    "credential_request_encryption": {
        "jwks": {"keys": [SoftwareKey.generate().public.to_jwk()]},
        "enc_values_supported": ["A128GCM", "A256GCM"],
        "encryption_required": False,
    },
    "credential_response_encryption": {
        "alg_values_supported": ["ECDH-ES"],
        "enc_values_supported": ["A128GCM", "A256GCM"],
        "encryption_required": False,
    },
    "batch_credential_issuance": {"batch_size": 20},
    "display": [{"name": "Registry", "locale": "en"}, {"name": "Registre", "locale": "fr-FR"}],
    "credential_configurations_supported": {"pid_sd_jwt": PID, "mdl": MDL},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """METADATA with the member at *path* (slashes) replaced, or removed if None."""
    metadata = copy.deepcopy(METADATA)
    *parents, last = (int(each) if each.isdigit() else each for each in path.split("/"))
    node: Any = metadata
    for each in parents:
        node = node[each]
    if value is None:
        del node[last]
    else:
        node[last] = value
    return metadata


def parse(value: Any = None) -> CredentialIssuerMetadata:
    return CredentialIssuerMetadata.from_object(METADATA if value is None else value)


def test_metadata_of_the_profile_round_trips() -> None:
    """I-03, I-04."""
    metadata = parse()
    assert metadata.to_object() == METADATA
    assert metadata.batch_size == 20
    pid = metadata.credential_configurations_supported["pid_sd_jwt"]
    assert pid.key_bound
    assert not metadata.credential_configurations_supported["mdl"].key_bound


def test_without_batch_one_key_is_allowed() -> None:
    """I-67."""
    assert parse(changed("batch_credential_issuance", None)).batch_size == 1


def test_unknown_members_are_ignored_everywhere() -> None:
    """C-32, T-07."""
    for path in ("", "display/0/", "credential_configurations_supported/pid_sd_jwt/"):
        assert parse(changed(f"{path}unknown", {"x": 1})) == parse()


def test_configurations_in_unknown_formats_do_not_disturb() -> None:
    """W-01, C-32: what a format of somebody else's means is not ours to judge."""
    other = {"format": "ldp_vc", "credential_signing_alg_values_supported": "whatever", "scope": 1}
    metadata = parse(changed("credential_configurations_supported/other", other))
    assert metadata.configurations(["other"])["other"].format == "ldp_vc"


_PID = "credential_configurations_supported/pid_sd_jwt"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("credential_issuer", None),
        ("credential_issuer", "http://issuer.example/t1"),
        ("credential_endpoint", None),
        ("credential_endpoint", "http://issuer.example/credential"),
        ("nonce_endpoint", "http://issuer.example/nonce"),
        ("authorization_servers", []),
        ("batch_credential_issuance", {"batch_size": 1}),
        ("batch_credential_issuance", {}),
        ("display/1/locale", "en"),
        ("display/1/locale", "not a tag"),
        ("display", []),
        ("credential_request_encryption/jwks", {"keys": []}),
        ("credential_request_encryption/encryption_required", "false"),
        ("credential_response_encryption/alg_values_supported", []),
        ("credential_configurations_supported", None),
        ("credential_configurations_supported", []),
        ("credential_configurations_supported/x", []),
        ("credential_configurations_supported/x", {}),
        ("credential_configurations_supported/x", {"format": {}}),
        ("credential_configurations_supported/x", {"format": ["mso_mdoc"]}),
        (f"{_PID}/vct", None),
        ("credential_configurations_supported/mdl/doctype", None),
        ("credential_configurations_supported/w3c", {"format": "jwt_vc_json"}),
        (f"{_PID}/scope", "two scopes"),
        (f"{_PID}/scope", ""),
        (f"{_PID}/credential_signing_alg_values_supported", [True]),
        (f"{_PID}/proof_types_supported", None),
        (f"{_PID}/proof_types_supported", {}),
        (f"{_PID}/cryptographic_binding_methods_supported", None),
        (f"{_PID}/proof_types_supported/jwt", {}),
        (f"{_PID}/proof_types_supported/jwt/key_attestations_required", {"key_storage": []}),
        (f"{_PID}/credential_metadata/display/0", {"locale": "de"}),
        (f"{_PID}/credential_metadata/display/1/locale", "en"),
        (f"{_PID}/credential_metadata/claims/0", {}),
        (f"{_PID}/credential_metadata/claims/0/path", []),
        (f"{_PID}/credential_metadata/claims/0/path", ["a", -1]),
        (f"{_PID}/credential_metadata/claims/0/path", ["nationalities", None]),
        (f"{_PID}/credential_metadata/claims/0/path", ["nationalities", 0]),
        (f"{_PID}/credential_metadata/claims/0/path", ["place_of_birth", 0]),
    ],
)
def test_malformed_metadata_is_refused(path: str, value: Any) -> None:
    """I-01, I-03 to I-08, T-07."""
    with pytest.raises(InvalidInput):
        parse(changed(path, value))


def test_response_encryption_cannot_be_required_without_request_encryption() -> None:
    """I-03, T-07; CERTIFICATION 2.2.1."""
    metadata = changed("credential_request_encryption", None)
    parse(metadata)
    metadata["credential_response_encryption"]["encryption_required"] = True
    with pytest.raises(InvalidInput):
        parse(metadata)


def test_metadata_of_another_issuer_is_not_used() -> None:
    """W-03, C-35: identical as plain strings, the slash at the end included."""
    parse().check_issuer(ISSUER)
    for other in (f"{ISSUER}/", "https://ISSUER.example/t1"):
        with pytest.raises(InvalidInput):
            parse().check_issuer(other)


def test_an_offered_authorization_server_must_be_listed() -> None:
    """W-04, I-21."""
    assert parse().authorization_server() == ISSUER
    with pytest.raises(InvalidInput):
        parse().authorization_server(ISSUER)
    servers = parse(changed("authorization_servers", ["https://a.example", "https://b.example"]))
    assert servers.authorization_server() == "https://a.example"
    assert servers.authorization_server("https://b.example") == "https://b.example"
    with pytest.raises(InvalidInput):
        servers.authorization_server("https://c.example")


def test_an_offer_names_only_configurations_of_the_metadata() -> None:
    """W-01."""
    assert set(parse().configurations(["pid_sd_jwt", "mdl"])) == {"pid_sd_jwt", "mdl"}
    with pytest.raises(InvalidInput):
        parse().configurations(["pid_sd_jwt", "unknown"])


def verify(token: str, **more: Any) -> CredentialIssuerMetadata:
    expected: dict[str, Any] = {"issuer": ISSUER, "anchors": REGISTRY.anchors, "now": NOW, **more}
    return CredentialIssuerMetadata.verify(token, **expected)


def test_signed_metadata_verifies_for_its_issuer() -> None:
    """I-07, W-03."""
    token = parse().sign(signer=SIGNER, now=NOW, lifetime=timedelta(hours=1))
    assert verify(token) == parse()
    claims = jws.parse_jws(token, max_bytes=99999).unverified_claims()
    assert claims["sub"] == ISSUER
    assert claims.keys() >= METADATA.keys()
    assert (
        "exp"
        not in jws.parse_jws(
            parse().sign(signer=SIGNER, now=NOW), max_bytes=99999
        ).unverified_claims()
    )


def test_signed_metadata_by_a_stranger_or_out_of_time_is_refused() -> None:
    """W-03, C-21 to C-23: no falling back to unsigned."""
    token = parse().sign(signer=SIGNER, now=NOW, lifetime=timedelta(hours=1))
    with pytest.raises(Untrusted):
        verify(token, anchors=Authority.make("Other").anchors)
    with pytest.raises(Untrusted):
        verify(token, revoked=_thumbprints(token))
    with pytest.raises(Expired):
        verify(token, now=NOW + timedelta(hours=2))
    with pytest.raises(InvalidInput):
        verify(token, issuer="https://issuer.example/t2")


def _thumbprints(token: str) -> frozenset[str]:
    return jws.verify_x5c_jwt(
        token,
        typ="openidvci-issuer-metadata+jwt",
        algorithms=("ES256",),
        anchors=REGISTRY.anchors,
        profile=Profile.METADATA,
        now=NOW,
    ).chain.thumbprints


@pytest.mark.parametrize(
    ("typ", "changes"),
    [
        ("JWT", {}),
        ("openidvci-issuer-metadata+jwt", {"sub": None}),
        ("openidvci-issuer-metadata+jwt", {"sub": "https://other.example"}),
        ("openidvci-issuer-metadata+jwt", {"iat": None}),
        ("openidvci-issuer-metadata+jwt", {"iat": to_numeric_date(NOW) + 3600}),
        ("openidvci-issuer-metadata+jwt", {"credential_issuer": "https://other.example"}),
        ("openidvci-issuer-metadata+jwt", {"credential_endpoint": None}),
    ],
)
def test_signed_metadata_says_what_it_is_and_for_whom(typ: str, changes: dict[str, Any]) -> None:
    """I-07, W-03: typ, sub, iat, and all members at the top."""
    claims = {**METADATA, "sub": ISSUER, "iat": to_numeric_date(NOW), **changes}
    claims = {name: value for name, value in claims.items() if value is not None}
    with pytest.raises((InvalidInput, VerificationError)):
        verify(jws.sign_jwt(claims, typ=typ, signer=SIGNER))


@pytest.mark.vectors
def test_the_printed_metadata_parses_but_for_its_slip() -> None:
    """OpenID4VCI 1.0, appendix I: `jwks` is printed as an array, against section 12.2.4."""
    printed = vector_json("openid4vci-1_0/credential_issuer_metadata_sd_jwt_long.json")
    with pytest.raises(InvalidInput):
        parse(printed)
    keys = printed["credential_request_encryption"]["jwks"]
    printed["credential_request_encryption"]["jwks"] = {"keys": keys}
    metadata = parse(printed)
    assert metadata.authorization_server() == "https://server.example.com"
    claims = vector_json("openid4vci-1_0/derived/signed_issuer_metadata.json")["claims"]
    assert CredentialIssuerMetadata.from_object(claims).credential_issuer == claims["sub"]


@pytest.mark.vectors
@pytest.mark.parametrize("name", ["sd_jwt_vc", "mso_mdoc", "jwt_vc_json", "ldp_vc"])
def test_the_printed_configurations_parse(name: str) -> None:
    """OpenID4VCI 1.0, appendix A."""
    printed = vector_json(f"openid4vci-1_0/credential_metadata_{name}.json")
    configurations = printed["credential_configurations_supported"]
    if name == "mso_mdoc":  # binding methods without proof types, against section 12.2.4 (I-05)
        with pytest.raises(InvalidInput):
            parse(changed("credential_configurations_supported", configurations))
        proof_types = {"jwt": {"proof_signing_alg_values_supported": ["ES256"]}}
        configurations["org.iso.18013.5.1.mDL"]["proof_types_supported"] = proof_types
    metadata = parse(changed("credential_configurations_supported", configurations))
    assert metadata.credential_configurations_supported.keys() == configurations.keys()
