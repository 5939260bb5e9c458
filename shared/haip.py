"""What the High Assurance Interoperability Profile narrows, as constants and checks (HAIP 1.0).

The protocol modules already offer nothing wider where one choice is left: ES256, ECDH-ES,
`direct_post.jwt`, signed requests by reference. Here is what remains to be
asked of documents, a peer's or our own.
"""

from .errors import InvalidInput
from .oauth.attestation import AUTH_METHOD
from .oauth.metadata import AuthorizationServerMetadata
from .oid4vci.metadata import CredentialIssuerMetadata
from .oid4vp.request import VerifiedRequest

FORMATS = frozenset({"dc+sd-jwt", "mso_mdoc"})  # HAIP 6
SIGNING_ALGORITHM = "ES256"  # HAIP 7; C-01
CLIENT_ID_PREFIX = "x509_hash"  # HAIP 5


def check_issuer_metadata(metadata: CredentialIssuerMetadata) -> None:
    """What HAIP demands of Credential Issuer Metadata.

    Raises:
        InvalidInput: a configuration without `scope`, or key-bound ones without a nonce endpoint.

    Specification: HAIP 4.1; PROFILE I-03, I-04.
    """
    configurations = metadata.credential_configurations_supported.values()
    profiled = [each for each in configurations if each.format in FORMATS]
    if any(each.scope is None for each in profiled):
        raise InvalidInput("HAIP: a configuration has no scope")
    if metadata.nonce_endpoint is None and any(each.key_bound for each in profiled):
        raise InvalidInput("HAIP: no nonce endpoint for key-bound credentials")


def check_authorization_server(metadata: AuthorizationServerMetadata) -> None:
    """What HAIP demands of Authorization Server Metadata for the authorization code flow.

    Raises:
        InvalidInput: no PAR, S256, DPoP with ES256, `iss` in responses or attestation.

    Specification: HAIP 4, 4.1 to 4.4; PROFILE I-10, I-11; CERTIFICATION 2.2.2.
    """
    demanded = {
        "pushed_authorization_request_endpoint": bool(
            metadata.pushed_authorization_request_endpoint
        ),
        "authorization_endpoint": bool(metadata.authorization_endpoint),
        "response_types_supported": "code" in (metadata.response_types_supported or ()),
        "grant_types_supported": "authorization_code" in (metadata.grant_types_supported or ()),
        "code_challenge_methods_supported": "S256"
        in (metadata.code_challenge_methods_supported or ()),
        "authorization_response_iss_parameter_supported": bool(
            metadata.authorization_response_iss_parameter_supported
        ),
        "dpop_signing_alg_values_supported": SIGNING_ALGORITHM
        in (metadata.dpop_signing_alg_values_supported or ()),
        "token_endpoint_auth_methods_supported": AUTH_METHOD
        in (metadata.token_endpoint_auth_methods_supported or ()),
    }
    for member, there in demanded.items():
        if not there:
            raise InvalidInput(f"HAIP: AS metadata: {member}")


def check_request(request: VerifiedRequest) -> None:
    """The Verifier is identified by the hash of its access certificate.

    Raises:
        InvalidInput: by another Client Identifier Prefix.

    Specification: HAIP 5, 5.1; PROFILE W-54.
    """
    if request.client_id.prefix != CLIENT_ID_PREFIX:
        raise InvalidInput("HAIP: client_id is not an x509_hash")
