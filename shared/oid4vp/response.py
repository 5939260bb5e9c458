"""Authorization Response: VP Token, encryption, `direct_post.jwt` (OpenID4VP 1.0, section 8).

The Wallet builds, encrypts and posts one field; the Verifier finds its transaction by path, opens
with that transaction's key alone, then compares `state`. Lines W-60 to W-63,
V-40 to V-43, V-60 (1).
"""

import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Self

from pydantic import Field, model_validator

from ..crypto.keys import Decrypter
from ..encoding import dump_json, parse_json_object
from ..errors import InvalidInput, ProtocolError, VerificationError
from ..jose import jwe
from ..oauth.encryption import EncryptionKey
from ..oauth.messages import ProtocolModel, Several, Text, make_form, parse_form
from .dcql import DcqlQuery
from .errors import InvalidRequest
from .request import ENC_VALUES

MAX_FORM_BYTES = 1024 * 1024  # S-20
MAX_PLAINTEXT_BYTES = 2 * 1024 * 1024  # S-20


class AuthorizationResponse(ProtocolModel):
    """What is encrypted: a VP Token or an error, and `state` (sections 8.1, 8.3 and 8.5)."""

    max_string: ClassVar[int] = 512 * 1024
    vp_token: Annotated[dict[str, Several[Text]], Field(min_length=1)] | None = None
    error: Text | None = None
    error_description: str | None = None
    state: str | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.vp_token is None) == (self.error is None):
            raise ValueError("not exactly one of vp_token and error")
        return self


class MalformedResponse(InvalidRequest):
    """It opened with the key of our request and holds no response: a fault of the Wallet."""


class PostAnswer(ProtocolModel):
    """What the Response URI answers (section 8.2; V-42, W-62)."""

    redirect_uri: Text | None = None


@dataclass(frozen=True, slots=True)
class WalletError:
    """The Wallet refused; `code` is untrusted text of the sender."""

    code: str


def presentations(
    by_query: Mapping[str, Sequence[str]], *, state: str | None
) -> AuthorizationResponse:
    """The response with these presentations, always in arrays.

    Args:
        by_query: presentations by Credential Query id; ids that are not answered are left out.
        state: of the request, None if it had none.

    Specification: OpenID4VP 1.0, section 8.1; PROFILE W-60.
    """
    return AuthorizationResponse(
        vp_token={query_id: tuple(each) for query_id, each in by_query.items()}, state=state
    )


def refusal(error: ProtocolError, *, state: str | None) -> AuthorizationResponse:
    """The response that refuses; in this system only ever with `AccessDenied`.

    Specification: OpenID4VP 1.0, section 8.5; PROFILE W-63.
    """
    return AuthorizationResponse(error=error.error, error_description=error.public, state=state)


def encrypt(response: AuthorizationResponse, *, to: EncryptionKey, enc: str) -> bytes:
    """The form body to post to `response_uri`: `response=<JWE>` and nothing else.

    Args:
        response: with presentations, or a refusal.
        to: the key of the verified request.
        enc: likewise.

    Specification: OpenID4VP 1.0, sections 8.3 and 8.3.1; PROFILE W-61, W-62.
    """
    token = jwe.encrypt(response.to_json(), to=to.public, kid=to.kid, enc=enc, cty="json")
    return make_form({"response": token})


def plain(response: AuthorizationResponse) -> bytes:
    """The form body of `direct_post`, which HAIP does not have: the VP Token itself, or an error.

    Specification: OpenID4VP 1.0, section 8.2; PROFILE W-53, W-60.
    """
    members = response.to_object()
    return make_form(
        {
            name: each if isinstance(each, str) else dump_json(each).decode()
            for name, each in members.items()
        }
    )


def parse_posted(body: bytes, *, encrypted: bool = True) -> str | AuthorizationResponse:
    """What was posted to our Response URI: a JWE still closed, or an error sent plain.

    Args:
        body: the form.
        encrypted: False for `direct_post`, where the VP Token is plain and a JWE is refused.

    Raises:
        InvalidRequest: none of these, two of them, or a plain `vp_token` where a JWE is due.

    Specification: OpenID4VP 1.0, sections 8.2 and 8.3.1; PROFILE V-40.
    """
    try:
        form = parse_form(body, max_bytes=MAX_FORM_BYTES)
    except InvalidInput as error:
        raise InvalidRequest(f"response: {error}") from error
    due = "response" if encrypted else "vp_token"
    if sum(name in form for name in ("response", "vp_token", "error")) != 1:
        raise InvalidRequest("response: not exactly one of response, vp_token and error")
    if due in form and encrypted:
        return form["response"]
    if due in form:
        return _plain(form)
    if "error" not in form:
        raise InvalidRequest(f"response: not a {due}")
    return AuthorizationResponse(
        error=form["error"],
        error_description=form.get("error_description"),
        state=form.get("state"),
    )


def _plain(form: Mapping[str, str]) -> AuthorizationResponse:
    try:
        token = parse_json_object(
            form["vp_token"], max_bytes=MAX_FORM_BYTES, max_string=AuthorizationResponse.max_string
        )
        return AuthorizationResponse.from_object(
            {"vp_token": token} | {k: v for k, v in form.items() if k == "state"}
        )
    except InvalidInput as error:
        raise InvalidRequest(f"response: {error}") from error


def decrypt(
    token: str, *, key: Decrypter, enc_values: Collection[str] = ENC_VALUES
) -> AuthorizationResponse:
    """Open a posted JWE with the key of its transaction. Nothing is consumed if that fails.

    Raises:
        InvalidRequest: another key, `alg`, `enc` or `kid`, or compressed.
        MalformedResponse: not a response inside.

    Specification: OpenID4VP 1.0, section 8.3; PROFILE V-41.
    """
    try:
        header, plaintext = jwe.decrypt(
            token, key=key, enc_values=enc_values, max_bytes=MAX_FORM_BYTES
        )
        if header.get("kid") != key.kid:
            raise InvalidInput("kid is missing or of another key")
    except (InvalidInput, VerificationError) as error:
        raise InvalidRequest(f"response: {error}") from error
    try:
        return AuthorizationResponse.parse(plaintext, max_bytes=MAX_PLAINTEXT_BYTES)
    except InvalidInput as error:
        raise MalformedResponse(f"response: {error}") from error


def accept(
    response: AuthorizationResponse, *, state: str | None, query: DcqlQuery
) -> dict[str, tuple[str, ...]] | WalletError:
    """The presentations by Credential Query id, or the error of the Wallet, of our transaction.

    Args:
        response: as opened, or as sent plain.
        state: what our request carried.
        query: what it asked for.

    Raises:
        InvalidRequest: another `state`, ids we did not ask for, or several where one was asked for.

    Specification: OpenID4VP 1.0, sections 8.1 and 8.6, step 1; PROFILE V-41, V-60.
    """
    if not hmac.compare_digest((response.state or "").encode(), (state or "").encode()):
        raise InvalidRequest("response: state is missing or another one")
    if response.vp_token is None:
        return WalletError(str(response.error))
    try:
        for query_id, shown in response.vp_token.items():
            if len(shown) > 1 and not query.credential(query_id).multiple:
                raise InvalidInput("several presentations where one is asked for")
            query.credential(query_id)
    except InvalidInput as error:
        raise InvalidRequest(f"vp_token: {error}") from error
    return dict(response.vp_token)
