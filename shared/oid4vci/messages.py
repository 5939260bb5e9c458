"""Nonce, credential, deferred and notification messages, encrypted or not.

Specification: OpenID4VCI 1.0, sections 7, 8, 9, 10 and 11; PROFILE I-60 to I-90, W-40.
"""

from collections.abc import Collection
from datetime import timedelta
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import Field, model_validator
from pydantic import JsonValue as JsonMember

from ..crypto.keys import Decrypter
from ..errors import InvalidInput, VerificationError
from ..jose import jwe
from ..oauth.encryption import EncryptionKey
from ..oauth.messages import ProtocolModel, Several, Text
from .errors import InvalidCredentialRequest, InvalidEncryptionParameters
from .metadata import RequestEncryption, ResponseEncryption

Message = TypeVar("Message", bound=ProtocolModel)
MAX_REQUEST_BYTES = 256 * 1024  # S-20
MAX_RESPONSE_BYTES = 2 * 1024 * 1024  # S-20
MAX_CREDENTIAL = 512 * 1024
_DESCRIPTION = r"^[\x20-\x21\x23-\x5B\x5D-\x7E]*$"


class NonceResponse(ProtocolModel):
    """Section 7.2 (I-60)."""

    c_nonce: Text


class Proofs(ProtocolModel):
    """Section 8.2: exactly one member, named as its proof type (I-67)."""

    jwt: Several[Text] | None = None
    attestation: Annotated[Several[Text], Field(max_length=1)] | None = None
    di_vp: Several[dict[str, JsonMember]] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.jwt, self.attestation, self.di_vp)) != 1:
            raise ValueError("not exactly one proof type")
        return self


class ResponseEncryptionRequest(ProtocolModel):
    """Section 8.2, `credential_response_encryption` (I-81)."""

    jwk: dict[str, JsonMember]
    enc: Text
    zip: str | None = None

    def key(self, *, offered: ResponseEncryption | None) -> EncryptionKey:
        """The wallet's key, if all parameters are among those *offered* in the metadata.

        Raises:
            InvalidEncryptionParameters: not offered, or the key is not usable.

        Specification: OpenID4VCI 1.0, sections 8.3.1.2 and 10; PROFILE I-81.
        """
        if offered is None or self.enc not in offered.enc_values_supported or self.zip is not None:
            raise InvalidEncryptionParameters("response encryption: not what the metadata offers")
        try:
            return EncryptionKey.from_jwk(self.jwk)
        except InvalidInput as error:
            raise InvalidEncryptionParameters(f"response encryption: {error}") from error


class CredentialRequest(ProtocolModel):
    """Section 8.2 (I-66). Whether `proofs` may be missing is said by the configuration (I-67)."""

    credential_identifier: Text | None = None
    credential_configuration_id: Text | None = None
    proofs: Proofs | None = None
    credential_response_encryption: ResponseEncryptionRequest | None = None

    @model_validator(mode="after")
    def _identified(self) -> Self:
        if (self.credential_identifier is None) == (self.credential_configuration_id is None):
            raise ValueError("not exactly one of the two identifiers")
        return self


class DeferredRequest(ProtocolModel):
    """Section 9.1 (I-85)."""

    transaction_id: Text
    credential_response_encryption: ResponseEncryptionRequest | None = None


class IssuedCredential(ProtocolModel):
    """Section 8.3: one credential, a string in every format we have."""

    credential: Text


class CredentialResponse(ProtocolModel):
    """Sections 8.3 and 9.2: issued (200) or deferred (202), never both (I-72, I-73)."""

    max_string: ClassVar[int] = MAX_CREDENTIAL
    credentials: Several[IssuedCredential] | None = None
    notification_id: Text | None = None
    transaction_id: Text | None = None
    interval: Annotated[int, Field(gt=0)] | Annotated[float, Field(gt=0)] | None = None

    @model_validator(mode="after")
    def _one_outcome(self) -> Self:
        deferred = self.transaction_id is not None
        if deferred == (self.credentials is not None) or deferred != (self.interval is not None):
            raise ValueError("neither issued nor deferred, or both")
        if deferred and self.notification_id is not None:
            raise ValueError("notification_id without credentials")
        return self

    @property
    def status(self) -> int:
        """The HTTP status that goes with it."""
        return 200 if self.transaction_id is None else 202

    @property
    def wait(self) -> timedelta:
        """How long to wait before asking again; zero when issued."""
        return timedelta(seconds=float(self.interval or 0))


class NotificationRequest(ProtocolModel):
    """Section 11.1 (I-90)."""

    notification_id: Text
    event: Literal["credential_accepted", "credential_failure", "credential_deleted"]
    event_description: Annotated[str, Field(max_length=1024, pattern=_DESCRIPTION)] | None = None


def encrypt(message: ProtocolModel, *, to: EncryptionKey, enc: str) -> str:
    """*message* as a compact JWE of media type `application/jwt`; `kid` as the key has one.

    Specification: OpenID4VCI 1.0, section 10; PROFILE I-80, I-82, W-34.
    """
    return jwe.encrypt(message.to_json(), to=to.public, kid=to.kid, enc=enc, cty="json")


def decrypt_request(
    token: str, message: type[Message], *, key: Decrypter, offered: RequestEncryption
) -> Message:
    """The request of type *message* in a JWE made to our *key*.

    Raises:
        InvalidEncryptionParameters: not made with what the metadata offers, or not decryptable.
        InvalidCredentialRequest: decrypted, but not this message.

    Specification: OpenID4VCI 1.0, sections 8.2 and 10; PROFILE I-80.
    """
    try:
        plaintext = _decrypted(token, key, offered.enc_values_supported, MAX_REQUEST_BYTES)
    except (InvalidInput, VerificationError) as error:
        raise InvalidEncryptionParameters(f"encrypted request: {error}") from error
    try:
        return message.parse(plaintext, max_bytes=MAX_REQUEST_BYTES)
    except InvalidInput as error:
        raise InvalidCredentialRequest(str(error)) from error


def decrypt_response(
    token: str, *, key: Decrypter, enc_values: Collection[str]
) -> CredentialResponse:
    """The credential response in a JWE made to the wallet's one-time *key*.

    Raises:
        InvalidInput: malformed, or made with other parameters than asked for.
        VerificationError: not decryptable.

    Specification: OpenID4VCI 1.0, sections 8.3 and 10; PROFILE W-40.
    """
    plaintext = _decrypted(token, key, enc_values, MAX_RESPONSE_BYTES)
    return CredentialResponse.parse(plaintext, max_bytes=MAX_RESPONSE_BYTES)


def check_encryption(
    request: CredentialRequest | DeferredRequest,
    *,
    offered: RequestEncryption | None,
    response: ResponseEncryption | None,
    encrypted: bool,
) -> None:
    """Encryption is where it has to be, before anything else is looked at.

    Args:
        request: as parsed.
        offered: `credential_request_encryption` of our metadata.
        response: `credential_response_encryption` of our metadata.
        encrypted: whether the request came as a JWE.

    Raises:
        InvalidEncryptionParameters: required but missing, or asked for in a plain request.

    Specification: OpenID4VCI 1.0, sections 8.2, 8.3.1.2 and 10; PROFILE I-80, I-81.
    """
    asked = request.credential_response_encryption is not None
    if not encrypted and (asked or (offered is not None and offered.encryption_required)):
        raise InvalidEncryptionParameters("encryption: the request is not encrypted")
    if not asked and response is not None and response.encryption_required:
        raise InvalidEncryptionParameters("encryption: the response has to be encrypted")


def _decrypted(token: str, key: Decrypter, enc_values: Collection[str], max_bytes: int) -> bytes:
    header, plaintext = jwe.decrypt(token, key=key, enc_values=enc_values, max_bytes=max_bytes)
    kid = header.get("kid")
    if kid is not None and kid != key.kid:
        raise InvalidInput("JWE: made to another key")
    return plaintext
