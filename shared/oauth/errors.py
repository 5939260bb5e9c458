"""Every registered OAuth error code that these services send or read.

`ProtocolError.headers` carries what a code demands beside its body: `WWW-Authenticate` at resources
(I-95), `DPoP-Nonce` (I-34) and `OAuth-Client-Attestation-Challenge` (I-32).
Specification: RFC 6749, 6750, 8707, 9126, 9396, 9449; ABCA, section 6.2; OpenID4VCI 1.0, 6.3.
"""

from typing import ClassVar

from ..errors import ProtocolError


class _TryAgain(ProtocolError):
    """A refusal that brings a fresh value in *header*, to be used in the next try."""

    header: ClassVar[str]

    def __init__(self, message: str, *, fresh: str) -> None:
        super().__init__(message)
        self.fresh = fresh

    @property
    def headers(self) -> dict[str, str]:
        """The fresh value."""
        return {**super().headers, self.header: self.fresh}


class _Challenged(ProtocolError):
    """A refusal at a resource (RFC 6750, section 3; RFC 9449, section 7.1)."""

    @property
    def headers(self) -> dict[str, str]:
        """The challenge."""
        challenge = f'DPoP error="{self.error}", algs="ES256"'
        return {**super().headers, "WWW-Authenticate": challenge}


class InvalidRequest(ProtocolError):
    """RFC 6749, section 5.2: missing, repeated or contradictory parameter."""

    error = "invalid_request"
    public = "A parameter is missing, repeated or malformed."


class InvalidClient(ProtocolError):
    """RFC 6749, section 5.2; PROFILE I-95: one code for every fault of client authentication."""

    error = "invalid_client"
    status = 401
    public = "Authenticate with a valid client attestation and its proof of possession."


class InvalidClientAttestation(InvalidClient):
    """ABCA, section 6.2: the permitted alternative to `invalid_client`; read, not sent."""

    error = "invalid_client_attestation"


class UseAttestationChallenge(_TryAgain):
    """ABCA, section 6.2."""

    error = "use_attestation_challenge"
    header = "OAuth-Client-Attestation-Challenge"
    public = "Repeat the request with the challenge in OAuth-Client-Attestation-Challenge."


class UseFreshAttestation(ProtocolError):
    """ABCA, section 6.2: the client attestation is older than the policy allows."""

    error = "use_fresh_attestation"
    public = "Obtain a new client attestation and repeat the request."


class InvalidGrant(ProtocolError):
    """RFC 6749, section 5.2: the code, verifier, Transaction Code or refresh token is not good."""

    error = "invalid_grant"
    public = "The code or token is wrong, expired or already used. Start again with a new one."


class UnauthorizedClient(ProtocolError):
    """RFC 6749, section 5.2."""

    error = "unauthorized_client"
    public = "This client may not use this grant type."


class UnsupportedGrantType(ProtocolError):
    """RFC 6749, section 5.2."""

    error = "unsupported_grant_type"
    public = "Use a grant type listed in grant_types_supported."


class UnsupportedResponseType(ProtocolError):
    """RFC 6749, section 4.1.2.1."""

    error = "unsupported_response_type"
    public = "Use response_type=code."


class InvalidScope(ProtocolError):
    """RFC 6749, section 5.2."""

    error = "invalid_scope"
    public = "Use scope values listed in scopes_supported."


class AccessDenied(ProtocolError):
    """RFC 6749, section 4.1.2.1; the person or the server refused."""

    error = "access_denied"
    public = "The request was refused."


class ServerError(ProtocolError):
    """RFC 6749, section 4.1.2.1."""

    error = "server_error"
    status = 500
    public = "Something went wrong here. Try again later."


class TemporarilyUnavailable(ProtocolError):
    """RFC 6749, section 4.1.2.1."""

    error = "temporarily_unavailable"
    status = 503
    public = "A service that is needed does not answer. Try again later."


class InvalidTarget(ProtocolError):
    """RFC 8707, section 2."""

    error = "invalid_target"
    public = "The resource is unknown here."


class InvalidAuthorizationDetails(ProtocolError):
    """RFC 9396, section 5; also when a token request asks for more than was granted (I-52)."""

    error = "invalid_authorization_details"
    public = "Ask in authorization_details only for configurations that were granted."


class InvalidRequestUri(ProtocolError):
    """RFC 9126, section 2.3 with OpenID Connect Core: unknown, expired, used or foreign."""

    error = "invalid_request_uri"
    public = "Push the authorization request again."


class InvalidDpopProof(ProtocolError):
    """RFC 9449, section 5."""

    error = "invalid_dpop_proof"
    public = "Send exactly one valid DPoP proof made for this request."


class UseDpopNonce(_TryAgain):
    """RFC 9449, section 8."""

    error = "use_dpop_nonce"
    header = "DPoP-Nonce"
    public = "Repeat the request with the nonce in DPoP-Nonce in the DPoP proof."


class InvalidToken(_Challenged):
    """RFC 6750, section 3.1; RFC 9449, section 7.1."""

    error = "invalid_token"
    status = 401
    public = "The access token is missing, expired or not bound to this key. Obtain a new one."


class InsufficientScope(_Challenged):
    """RFC 6750, section 3.1: known, but not covered by this token (I-66)."""

    error = "insufficient_scope"
    status = 403
    public = "Obtain an access token that covers this credential."


class InvalidDpopProofAtResource(_Challenged, InvalidDpopProof):
    """RFC 9449, section 7.1."""

    status = 401


class UseDpopNonceAtResource(_Challenged, UseDpopNonce):
    """RFC 9449, section 9."""

    status = 401
