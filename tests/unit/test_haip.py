"""What HAIP narrows: HAIP 1.0, sections 4, 5 and 6; PROFILE I-03, I-04, I-10, I-11, W-54."""

from dataclasses import replace
from typing import Any

import pytest

from shared import haip
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.errors import InvalidInput
from shared.oauth.encryption import EncryptionKey
from shared.oauth.metadata import AuthorizationServerMetadata
from shared.oid4vci.metadata import CredentialIssuerMetadata
from shared.oid4vp import client_id, dcql, request
from tests.support.certificates import Authority
from tests.support.clock import NOW

ISSUER = "https://issuer.example/t1"
BOUND: dict[str, Any] = {
    "format": "dc+sd-jwt",
    "vct": "urn:eudi:pid:1",
    "scope": "pid",
    "cryptographic_binding_methods_supported": ["jwk"],
    "proof_types_supported": {"jwt": {"proof_signing_alg_values_supported": ["ES256"]}},
}
UNBOUND: dict[str, Any] = {"format": "dc+sd-jwt", "vct": "urn:ticket:1", "scope": "ticket"}


def issuer(*configurations: dict[str, Any], nonce: bool = True) -> CredentialIssuerMetadata:
    metadata: dict[str, Any] = {
        "credential_issuer": ISSUER,
        "credential_endpoint": f"{ISSUER}/credential",
        "credential_configurations_supported": {
            str(index): each for index, each in enumerate(configurations)
        },
    }
    if nonce:
        metadata["nonce_endpoint"] = f"{ISSUER}/nonce"
    return CredentialIssuerMetadata.from_object(metadata)


def test_every_configuration_has_a_scope() -> None:
    """I-04; HAIP 4.1. Formats outside HAIP are not its business."""
    haip.check_issuer_metadata(issuer(BOUND, UNBOUND, {"format": "ldp_vc"}))
    with pytest.raises(InvalidInput):
        haip.check_issuer_metadata(issuer(BOUND, {**UNBOUND, "scope": None}))


def test_key_bound_credentials_need_a_nonce_endpoint() -> None:
    """I-03; HAIP 4.1."""
    haip.check_issuer_metadata(issuer(UNBOUND, nonce=False))
    with pytest.raises(InvalidInput):
        haip.check_issuer_metadata(issuer(UNBOUND, BOUND, nonce=False))


SERVER: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/authorize",
    "token_endpoint": f"{ISSUER}/token",
    "pushed_authorization_request_endpoint": f"{ISSUER}/par",
    "response_types_supported": ["code"],
    "grant_types_supported": ["authorization_code"],
    "code_challenge_methods_supported": ["S256"],
    "authorization_response_iss_parameter_supported": True,
    "dpop_signing_alg_values_supported": ["ES256"],
    "token_endpoint_auth_methods_supported": ["attest_jwt_client_auth"],
    "client_attestation_signing_alg_values_supported": ["ES256"],
    "client_attestation_pop_signing_alg_values_supported": ["ES256"],
}


def test_an_authorization_server_of_the_profile_passes() -> None:
    """I-10; CERTIFICATION 2.2.2."""
    haip.check_authorization_server(AuthorizationServerMetadata.from_object(SERVER))


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("authorization_endpoint", None),
        ("pushed_authorization_request_endpoint", None),
        ("response_types_supported", ["token"]),
        ("response_types_supported", None),
        ("grant_types_supported", ["refresh_token"]),
        ("code_challenge_methods_supported", ["plain"]),
        ("authorization_response_iss_parameter_supported", False),
        ("authorization_response_iss_parameter_supported", None),
        ("dpop_signing_alg_values_supported", ["RS256"]),
        ("token_endpoint_auth_methods_supported", ["private_key_jwt"]),
    ],
)
def test_an_authorization_server_that_lacks_something_does_not(member: str, value: Any) -> None:
    """I-10, I-11; CERTIFICATION 2.2.2."""
    metadata = AuthorizationServerMetadata.from_object({**SERVER, member: value})
    with pytest.raises(InvalidInput, match=member):
        haip.check_authorization_server(metadata)


def test_a_verifier_is_known_by_the_hash_of_its_certificate() -> None:
    """W-54; HAIP 5."""
    root = Authority.make()
    signer = root.signer(Profile.ACCESS, dns=["verifier.example"])
    name = client_id.x509_hash(signer.certificates[0])
    token = request.make(
        signer=signer,
        client_id=name,
        response_uri="https://verifier.example/1",
        nonce="n",
        state="s",
        query=dcql.parse({"credentials": [{"id": "a", "format": "dc+sd-jwt", "meta": {}}]}),
        encryption_key=EncryptionKey(SoftwareKey.generate().public, "k"),
        now=NOW,
    )
    verified = request.verify(
        token,
        client_id=name,
        wallet_nonce=None,
        formats=haip.FORMATS,
        transaction_types={},
        anchors=root.anchors,
        now=NOW,
    )
    haip.check_request(verified)
    other = replace(verified, client_id=client_id.parse("x509_san_dns:verifier.example"))
    with pytest.raises(InvalidInput):
        haip.check_request(other)
