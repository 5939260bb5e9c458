"""OAuth messages: the base of every protocol message, forms, token requests and responses.

Messages are frozen and strict; unknown members are ignored (C-32), registered values are literals,
and whatever does not fit raises `InvalidInput`. Repeated parameters are refused (I-55).
Specification: RFC 6749, 9396; OpenID4VCI 1.0, sections 5.1.1 and 6.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal, Self, TypeAlias, TypeVar
from urllib.parse import SplitResult, parse_qsl, quote_plus, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)

from ..encoding import MAX_STRING, JsonValue, dump_json, parse_json, parse_json_object
from ..errors import InvalidInput
from .errors import (
    InvalidAuthorizationDetails,
    InvalidRequest,
    UnsupportedGrantType,
    UnsupportedResponseType,
)

T = TypeVar("T")
Several: TypeAlias = Annotated[tuple[T, ...], Strict(strict=False), Field(min_length=1)]
"""A non-empty JSON array. Its items stay strict; "lax" only lets an array become a tuple."""
Text: TypeAlias = Annotated[str, Field(min_length=1)]
ClientId: TypeAlias = Annotated[str, Field(pattern=r"^[\x20-\x7E]{1,200}$")]
"""RFC 6749, appendix A.1, no longer than services keep it."""

_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})

PRE_AUTHORIZED_CODE = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
MAX_FORM_BYTES = 64 * 1024  # S-20
_MAX_PARAMETERS = 100
_VISIBLE = re.compile(r"[\x21-\x7E]+")
_APP_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+\-]*(\.[A-Za-z0-9+\-]+)+")
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


def check_url(url: str) -> SplitResult:
    """The parts of *url*, an https URL without user information or fragment (C-50).

    http to this machine passes too: the guarded client refuses it unless its setting allows it.

    Raises:
        InvalidInput: anything else.
    """
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput("URL: malformed") from error
    if not host or "@" in parts.netloc or "#" in url or not _VISIBLE.fullmatch(url):
        raise InvalidInput("URL: without host, with user information, a fragment or odd characters")
    if parts.scheme != "https" and not (parts.scheme == "http" and host in _LOOPBACK):
        raise InvalidInput("URL: not https")
    return parts


def _url(url: str) -> str:
    try:
        check_url(url)
    except InvalidInput as error:
        raise ValueError(str(error)) from error
    return url


Url: TypeAlias = Annotated[str, AfterValidator(_url)]
"""An https URL, kept as written."""


class ProtocolModel(BaseModel):
    """Base of all protocol messages: frozen, strict, unknown members ignored."""

    model_config = ConfigDict(
        frozen=True,
        strict=True,
        extra="ignore",
        hide_input_in_errors=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )
    max_string: ClassVar[int] = MAX_STRING
    """More where whole credentials are carried: with a portrait they are longer than S-21 says."""

    @classmethod
    def parse(cls, data: bytes | str, *, max_bytes: int = MAX_FORM_BYTES) -> Self:
        """The message in strict JSON text *data* (C-31).

        Raises:
            InvalidInput: not JSON, or not this message.
        """
        value = parse_json_object(data, max_bytes=max_bytes, max_string=cls.max_string)
        return cls.from_object(value)

    @classmethod
    def from_object(cls, value: object) -> Self:
        """The message in an object that was parsed already.

        Raises:
            InvalidInput: not this message; the text names the member, never a value.
        """
        try:
            return cls.model_validate(value, by_alias=True, by_name=False)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            member = str(first["loc"][0]) if first["loc"] else "message"
            raise InvalidInput(f"{cls.__name__}: {member}: {first['type']}") from error

    def to_object(self) -> dict[str, JsonValue]:
        """The JSON object with wire names; what was not said is left out."""
        return self.model_dump(mode="json", exclude_none=True, exclude_unset=True)

    def to_json(self) -> bytes:
        """Compact UTF-8 JSON of `to_object`."""
        return dump_json(self.to_object())


@dataclass(frozen=True, slots=True)
class NonceSource:
    """Nonces this server demands: `check` raises `WrongNonce`, `fresh` makes the next one."""

    check: Callable[[str], object]
    fresh: Callable[[], str]


def parse_form(body: bytes, *, max_bytes: int = MAX_FORM_BYTES) -> dict[str, str]:
    """The parameters of an `application/x-www-form-urlencoded` body or query string.

    Parameters without a value count as absent; UTF-8 and percent escapes must be right.

    Raises:
        InvalidInput: malformed, too large, or a parameter is repeated.

    Specification: RFC 6749, sections 3.1, 3.2 and appendix B; PROFILE I-55.
    """
    if len(body) > max_bytes:
        raise InvalidInput("form: too large")
    if _BAD_ESCAPE.search(body):
        raise InvalidInput("form: a percent escape is malformed")
    try:
        pairs = parse_qsl(
            body.decode("ascii"),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=_MAX_PARAMETERS,
        )
    except ValueError as error:
        raise InvalidInput("form: not parseable") from error
    form = dict(pairs)
    if len(form) != len(pairs):
        raise InvalidInput("form: a parameter is repeated")
    return {name: value for name, value in form.items() if value}


def make_form(parameters: Mapping[str, str]) -> bytes:
    """An `application/x-www-form-urlencoded` body, parameters in the order given."""
    pairs = [f"{_escaped(name)}={_escaped(value)}" for name, value in parameters.items()]
    return "&".join(pairs).encode("ascii")


_ESCAPES = str.maketrans({each: quote_plus(each) for each in map(chr, range(128))})


def _escaped(text: str) -> str:
    """As `quote_plus`, whose work for each character is Python's; this is every link."""
    return text.translate(_ESCAPES) if text.isascii() else quote_plus(text)


class AuthorizationDetail(ProtocolModel):
    """RFC 9396 detail of type `openid_credential` (OpenID4VCI 1.0, sections 5.1.1 and 6.2)."""

    type: Literal["openid_credential"]
    credential_configuration_id: Text
    locations: Several[str] | None = None
    credential_identifiers: Several[Text] | None = None


class TokenRequest(ProtocolModel):
    """What all grants share. `client_id` may be absent: client authentication says it (I-32)."""

    client_id: ClientId | None = None
    scope: str | None = None
    resource: str | None = None
    authorization_details: Several[AuthorizationDetail] | None = None


class PushedRequest(ProtocolModel):
    """The authorization request that a wallet pushes (RFC 9126, section 2.1; I-40).

    `state` has the characters of RFC 6749, appendix A.5; PKCE is judged by `pkce`.
    """

    client_id: ClientId
    redirect_uri: Annotated[str, Field(min_length=1, max_length=2048)]
    code_challenge: str | None = None
    code_challenge_method: str | None = None
    scope: str | None = None
    authorization_details: Several[AuthorizationDetail] | None = None
    state: Annotated[str, Field(pattern=r"^[\x20-\x7E]{1,4096}$")] | None = None
    issuer_state: str | None = None
    dpop_jkt: Annotated[str, Field(pattern=r"^[A-Za-z0-9\-_]{43}$")] | None = None
    resource: str | None = None
    response_mode: Literal["query"] | None = None


class PreAuthorizedCodeRequest(TokenRequest):
    """OpenID4VCI 1.0, section 6.1 (I-51)."""

    grant_type: Literal["urn:ietf:params:oauth:grant-type:pre-authorized_code"]
    pre_authorized_code: Text = Field(alias="pre-authorized_code")
    tx_code: str | None = None

    def check_tx_code(self, *, expected: bool) -> None:
        """`tx_code` is there exactly if the offer asked for one.

        Raises:
            InvalidRequest: unexpected or missing; a wrong value is `invalid_grant`.

        Specification: OpenID4VCI 1.0, section 6.3; PROFILE I-51.
        """
        if expected and self.tx_code is None:
            raise InvalidRequest("token request: tx_code is missing")
        if not expected and self.tx_code is not None:
            raise InvalidRequest("token request: tx_code is unexpected")


class AuthorizationCodeRequest(TokenRequest):
    """RFC 6749, section 4.1.3 (I-50). A missing `code_verifier` is `invalid_grant`, see `pkce`."""

    grant_type: Literal["authorization_code"]
    code: Text
    redirect_uri: Text
    code_verifier: str | None = None


class RefreshRequest(TokenRequest):
    """RFC 6749, section 6 (I-54)."""

    grant_type: Literal["refresh_token"]
    refresh_token: Text


AnyTokenRequest: TypeAlias = PreAuthorizedCodeRequest | AuthorizationCodeRequest | RefreshRequest
_GRANTS: dict[str, type[AnyTokenRequest]] = {
    PRE_AUTHORIZED_CODE: PreAuthorizedCodeRequest,
    "authorization_code": AuthorizationCodeRequest,
    "refresh_token": RefreshRequest,
}


def parse_token_request(form: Mapping[str, str]) -> AnyTokenRequest:
    """The token request in the parameters that `parse_form` gave.

    Raises:
        InvalidRequest: a parameter is missing.
        UnsupportedGrantType: the grant type is not one of ours.
        InvalidAuthorizationDetails: `authorization_details` is malformed.

    Specification: RFC 6749, section 5.2; OpenID4VCI 1.0, section 6.1; PROFILE I-50, I-51, I-52.
    """
    grant_type = form.get("grant_type")
    if grant_type is None:
        raise InvalidRequest("token request: grant_type is missing")
    model = _GRANTS.get(grant_type)
    if model is None:
        raise UnsupportedGrantType("token request: grant_type is unknown")
    members: dict[str, object] = dict(form)
    if "authorization_details" in form:
        members["authorization_details"] = _details(form["authorization_details"])
    try:
        return model.from_object(members)
    except InvalidInput as error:
        raise InvalidRequest(str(error)) from error


def parse_pushed_request(form: Mapping[str, str]) -> PushedRequest:
    """The authorization request in the parameters of a request to the PAR endpoint.

    Raises:
        InvalidRequest: a parameter is missing or malformed, or it is one that must not be pushed.
        UnsupportedResponseType: any other than `code`.
        InvalidAuthorizationDetails: `authorization_details` is malformed.

    Specification: RFC 9126, section 2.1; PROFILE I-40.
    """
    if "request_uri" in form or "request" in form:
        raise InvalidRequest("pushed request: carries another request")
    response_type = form.get("response_type")
    if response_type is None:
        raise InvalidRequest("pushed request: response_type is missing")
    if response_type != "code":
        raise UnsupportedResponseType("pushed request: response_type is not code")
    members: dict[str, object] = dict(form)
    if "authorization_details" in form:
        members["authorization_details"] = _details(form["authorization_details"])
    try:
        return PushedRequest.from_object(members)
    except InvalidInput as error:
        raise InvalidRequest(str(error)) from error


def check_redirect_uri(uri: str) -> None:
    """*uri* is one that codes may be sent to: https, or a scheme that an app has for itself.

    Such a scheme is a domain name backwards, so it holds a dot (RFC 8252, section 7.1); http goes
    to this machine only.

    Raises:
        InvalidRequest: anything else.

    Specification: FAPI 2.0, section 5.3.2.2; PROFILE I-43.
    """
    scheme, _, rest = uri.partition(":")
    if _APP_SCHEME.fullmatch(scheme) and rest and _VISIBLE.fullmatch(uri) and "#" not in uri:
        return
    try:
        check_url(uri)
    except InvalidInput as error:
        raise InvalidRequest(f"redirect_uri: {error}") from error


class PushedResponse(ProtocolModel):
    """RFC 9126, section 2.2 (I-41)."""

    request_uri: Text
    expires_in: Annotated[int, Field(gt=0)]


def _details(text: str) -> tuple[AuthorizationDetail, ...]:
    try:
        items = parse_json(text, max_bytes=MAX_FORM_BYTES)
        if not isinstance(items, list) or not items:
            raise InvalidInput("authorization_details: not a non-empty array")
        return tuple(AuthorizationDetail.from_object(item) for item in items)
    except InvalidInput as error:
        raise InvalidAuthorizationDetails(str(error)) from error


class TokenResponse(ProtocolModel):
    """RFC 6749, section 5.1; OpenID4VCI 1.0, section 6.2 (I-53)."""

    access_token: Text
    token_type: Text
    expires_in: Annotated[int, Field(gt=0)] | None = None
    refresh_token: Text | None = None
    scope: str | None = None
    authorization_details: Several[AuthorizationDetail] | None = None

    @model_validator(mode="after")
    def _identified(self) -> Self:
        details = self.authorization_details or ()
        if any(detail.credential_identifiers is None for detail in details):
            raise ValueError("credential_identifiers missing")
        return self

    def check_bound(self) -> None:
        """The token is sender-constrained by DPoP (W-13); the type's case does not matter.

        Raises:
            InvalidInput: any other token type.
        """
        if self.token_type.lower() != "dpop":
            raise InvalidInput("token response: token_type is not DPoP")


class ErrorResponse(ProtocolModel):
    """RFC 6749, section 5.2, as read from a peer; `error_description` is untrusted text."""

    error: Text
    error_description: str | None = None


class ChallengeResponse(ProtocolModel):
    """ABCA, section 8 (I-26)."""

    attestation_challenge: Text
