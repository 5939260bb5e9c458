"""Encrypted requests and encrypted answers, at the credential and the deferred endpoint alike.

A request may come in the clear or as a JWE to our key; only a request that was encrypted may ask
for an encrypted answer, and an error is never encrypted. OpenID4VCI 1.0, section 10; PROFILE I-80
to I-82.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar

from starlette.responses import Response

from shared.encoding import JsonValue
from shared.errors import InvalidInput
from shared.jose.jwe import parse_jwe
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci.errors import InvalidEncryptionParameters
from shared.oid4vci.messages import (
    MAX_REQUEST_BYTES,
    CredentialRequest,
    CredentialResponse,
    DeferredRequest,
    check_encryption,
    decrypt_request,
    encrypt,
)
from shared.runtime.calls import json_answer

from .context import Issuer, Tenant

MEDIA_TYPE = "application/jwt"
_Request = TypeVar("_Request", CredentialRequest, DeferredRequest)


@dataclass(frozen=True, slots=True)
class Opened(Generic[_Request]):
    """A request, and the key its answer is to be encrypted to (None: in the clear)."""

    message: _Request
    reply_to: EncryptionKey | None

    def answer(self, response: CredentialResponse) -> Response:
        """*response* as it is sent: 200 or 202, encrypted if that was asked for (I-82)."""
        asked = self.message.credential_response_encryption
        if self.reply_to is None or asked is None:
            return json_answer(response, status=response.status)
        token = encrypt(response, to=self.reply_to, enc=asked.enc)
        return Response(token, response.status, {"Cache-Control": "no-store"}, MEDIA_TYPE)


def open_request(
    issuer: Issuer,
    tenant: Tenant,
    message: type[_Request],
    *,
    media_type: str,
    body: bytes,
    plain: Callable[[], Mapping[str, JsonValue]],
    now: datetime,
) -> Opened[_Request]:
    """The *message* in *body*, decrypted if need be.

    Args:
        issuer: has the keys.
        tenant: whose metadata says what is offered.
        message: which one this endpoint takes.
        media_type: of the request; `application/jwt` is a JWE.
        body: as it came.
        plain: reads *body* as JSON.
        now: an old key is good for a while.

    Raises:
        InvalidEncryptionParameters: not as the metadata offers or demands it.
        InvalidInput, InvalidCredentialRequest: not this message.

    Specification: OpenID4VCI 1.0, sections 8.2, 9.1 and 10; PROFILE I-80, I-81, I-85.
    """
    encrypted = media_type == MEDIA_TYPE
    metadata = tenant.documents.current(issuer.request_keys.current(tenant.name, now))
    offered = metadata.credential_request_encryption
    answering = metadata.credential_response_encryption
    if encrypted and offered is not None:
        try:
            token = body.decode("ascii")
            kid = parse_jwe(token, max_bytes=MAX_REQUEST_BYTES).header.get("kid")
        except (InvalidInput, UnicodeDecodeError) as error:
            raise InvalidEncryptionParameters("encrypted request: not a JWE") from error
        own = issuer.request_keys.by_kid(tenant.name, kid, now)
        found = decrypt_request(token, message, key=own, offered=offered)
    else:
        found = message.from_object(plain())
    check_encryption(found, offered=offered, response=answering, encrypted=encrypted)
    asked = found.credential_response_encryption
    return Opened(found, None if asked is None else asked.key(offered=answering))
