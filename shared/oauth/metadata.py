"""Authorization Server Metadata and where metadata lies.

URLs are compared as plain strings, never normalised (C-35).
Specification: RFC 8414; ABCA, section 10.1; PROFILE I-10, I-11.
"""

from typing import Self

from pydantic import Field, model_validator

from ..errors import InvalidInput
from .messages import ProtocolModel, Several, Text, Url, check_url


def well_known_url(issuer: str, name: str) -> str:
    """The metadata URL of *issuer*: `/.well-known/<name>` goes between host and path.

    Args:
        issuer: an https URL without query or fragment.
        name: such as "openid-credential-issuer" (I-01; a trailing slash is kept) or
            "oauth-authorization-server" (RFC 8414: a trailing slash is dropped).

    Raises:
        InvalidInput: *issuer* is no URL that can be an issuer identifier.

    Specification: RFC 8414, section 3.1; OpenID4VCI 1.0, section 12.2.2; CERTIFICATION 2.3.1.
    """
    parts = check_url(issuer)
    if "?" in issuer:
        raise InvalidInput("issuer identifier: with a query")
    path = parts.path
    if name == "oauth-authorization-server":
        path = path.removesuffix("/")
    return f"{parts.scheme}://{parts.netloc}/.well-known/{name}{path}"


class AuthorizationServerMetadata(ProtocolModel):
    """RFC 8414 with the members of I-10."""

    issuer: Text
    token_endpoint: Url
    authorization_endpoint: Url | None = None
    pushed_authorization_request_endpoint: Url | None = None
    require_pushed_authorization_requests: bool | None = None
    challenge_endpoint: Url | None = None
    revocation_endpoint: Url | None = None
    revocation_endpoint_auth_methods_supported: Several[str] | None = None
    jwks_uri: Url | None = None
    response_types_supported: Several[str] | None = None
    response_modes_supported: Several[str] | None = None
    grant_types_supported: Several[str] | None = None
    scopes_supported: Several[str] | None = None
    authorization_details_types_supported: Several[str] | None = None
    code_challenge_methods_supported: Several[str] | None = None
    authorization_response_iss_parameter_supported: bool | None = None
    dpop_signing_alg_values_supported: Several[str] | None = None
    token_endpoint_auth_methods_supported: Several[str] | None = None
    client_attestation_signing_alg_values_supported: Several[str] | None = None
    client_attestation_pop_signing_alg_values_supported: Several[str] | None = None
    pre_authorized_grant_anonymous_access_supported: bool | None = Field(
        default=None, alias="pre-authorized_grant_anonymous_access_supported"
    )
    status_list_aggregation_endpoint: Url | None = None

    @model_validator(mode="after")
    def _attested(self) -> Self:
        if "attest_jwt_client_auth" in (self.token_endpoint_auth_methods_supported or ()) and not (
            self.client_attestation_signing_alg_values_supported
            and self.client_attestation_pop_signing_alg_values_supported
        ):
            raise ValueError("client_attestation algorithms missing")  # I-11
        return self

    def check_issuer(self, expected: str) -> None:
        """`issuer` is, character for character, the one the metadata was fetched for.

        Raises:
            InvalidInput: it is not.

        Specification: RFC 8414, section 3.3; PROFILE I-11, W-04, C-35.
        """
        if self.issuer != expected:
            raise InvalidInput("AS metadata: issuer is another one")
