"""Every registered error code of the credential, deferred and notification endpoints.

Their authorization errors (`invalid_token`, `insufficient_scope`, DPoP) are in `oauth.errors`.
Specification: OpenID4VCI 1.0, sections 8.3.1.2, 9.3 and 11.3; PROFILE I-95.
"""

from ..errors import ProtocolError


class InvalidCredentialRequest(ProtocolError):
    """Section 8.3.1.2: missing, repeated or contradictory members, or too many proofs."""

    error = "invalid_credential_request"
    public = "Send exactly one identifier and at most batch_size proofs."


class UnknownCredentialConfiguration(ProtocolError):
    """Section 8.3.1.2."""

    error = "unknown_credential_configuration"
    public = "Use a key of credential_configurations_supported."


class UnknownCredentialIdentifier(ProtocolError):
    """Section 8.3.1.2."""

    error = "unknown_credential_identifier"
    public = "Use a credential_identifier of the token response."


class InvalidProof(ProtocolError):
    """Section 8.3.1.2: missing though required, or one of them is not good."""

    error = "invalid_proof"
    public = "Send valid proofs of a listed type, made for this issuer, each with the c_nonce."


class InvalidNonce(ProtocolError):
    """Section 8.3.1.2: a c_nonce is there but wrong, expired or used."""

    error = "invalid_nonce"
    public = "Ask the Nonce Endpoint for a new c_nonce."


class InvalidEncryptionParameters(ProtocolError):
    """Section 8.3.1.2."""

    error = "invalid_encryption_parameters"
    public = "Use the encryption parameters of the issuer metadata, in an encrypted request."


class CredentialRequestDenied(ProtocolError):
    """Sections 8.3.1.2 and 9.3: final."""

    error = "credential_request_denied"
    public = "This credential cannot be issued. Do not repeat the request."


class InvalidTransactionId(ProtocolError):
    """Section 9.3: unknown, or the credential was obtained already."""

    error = "invalid_transaction_id"
    public = "The transaction is unknown or finished. Do not repeat the request."


class InvalidNotificationId(ProtocolError):
    """Section 11.3."""

    error = "invalid_notification_id"
    public = "Use the notification_id of the credential response."


class InvalidNotificationRequest(ProtocolError):
    """Section 11.3."""

    error = "invalid_notification_request"
    public = "Send notification_id and one of the three events."
