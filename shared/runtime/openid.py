"""Login at the agency's OpenID Provider: code flow with PKCE, state, nonce and `iss`.

Authlib is the client; it speaks through our guarded client, so addresses, sizes and times are
limited as for every call (S-11). What the provider says of a person is believed only as claims of a
verified ID token or of the UserInfo of the same subject. What a sign-in then means is said by the
subclass of `ProviderFile`: an entry of the register, or the roles of staff. OpenID Connect Core
1.0, sections 3.1 and 5.3; OpenID Connect Discovery 1.0, section 4; RFC 7636; RFC 9207; ADR 0012.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn
from urllib.parse import urlencode, urlsplit

from authlib.common.errors import AuthlibBaseError  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic import JsonValue as JsonMember

from ..encoding import JsonValue
from ..errors import ExpectedError, InvalidInput, NotFound, Unavailable
from .breaker import Breaker
from .fetch import Fetched, Fetcher
from .languages import mark

if TYPE_CHECKING:
    from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
    from authlib.oauth2.client import OAuth2Client  # type: ignore[import-untyped]

_JSON = "application/json"
_MAX_BYTES = 256 * 1024
_KEPT = timedelta(hours=1)
_KEYS_AGAIN = timedelta(seconds=30)
_LEEWAY = 60  # seconds


class ProviderFile(BaseModel):
    """An OpenID Provider, ourselves as its client, and what is demanded of a sign-in.

    Attributes:
        issuer: the provider's identifier; its metadata stands below it.
        names: what the button says, by language tag.
        client_secret_file: a file with the secret; a client without one proves itself by PKCE.
        require: claims with the value that they must have, such as `"email_verified": true`.
        acr: levels of authentication, one of which is demanded.
        algorithms: that an ID token may be signed with.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    issuer: Annotated[str, Field(pattern=r"^https?://[^\s?#]+$")]
    names: Annotated[Mapping[str, str], Field(min_length=1)]
    client_id: str
    client_secret_file: Path | None = None
    client_authentication: Literal["client_secret_basic", "client_secret_post"] = (
        "client_secret_basic"
    )
    scope: str = "openid"
    require: Mapping[str, JsonMember] = Field(default_factory=dict)
    acr: tuple[str, ...] = ()
    algorithms: tuple[Literal["ES256", "PS256", "RS256"], ...] = ("ES256", "PS256", "RS256")

    @property
    def read(self) -> set[str]:
        """The claims that are looked at; where the ID token lacks one, UserInfo is asked."""
        return set(self.require)

    def client_secret(self) -> str | None:
        """The secret, read anew each time: it may be replaced while the service runs."""
        if self.client_secret_file is None:
            return None
        try:
            return self.client_secret_file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Unavailable("OpenID: the client secret's file cannot be read") from error


class NotSignedIn(ExpectedError):
    """The provider did not sign the person in, or its answer is not to be believed."""

    status = 403
    code = "not_signed_in"
    public = mark("You were not signed in.")
    next_step = mark("Go back and try again, or cancel.")


class ProviderUnavailable(Unavailable):
    """The provider does not answer, or not as one."""

    public = mark("The sign-in service of this agency does not answer.")
    next_step = mark("Try again in a few minutes.")


@dataclass(frozen=True, slots=True)
class ProviderVisit:
    """What a visit to an OpenID Provider must come back with."""

    state: str
    nonce: str
    verifier: str


class _Metadata(BaseModel):
    """What is used of a provider's metadata (Discovery 1.0, section 3; RFC 9207, section 3)."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    authorization_response_iss_parameter_supported: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    metadata: _Metadata
    keys: KeySet
    fetched_at: datetime


class _Response:
    """What Authlib reads of an answer."""

    def __init__(self, found: Fetched) -> None:
        self._found = found
        self.status_code = found.status

    def json(self) -> Mapping[str, JsonValue]:
        return self._found.json()

    def raise_for_status(self) -> NoReturn:
        raise Unavailable(f"OpenID Provider: status {self.status_code}")


class _Session:
    """What Authlib sends through: the guarded client."""

    def __init__(self, fetcher: Fetcher) -> None:
        self._fetcher = fetcher

    def post(
        self, url: str, *, data: Mapping[str, str], headers: Mapping[str, str], auth: "ClientAuth"
    ) -> _Response:
        sent: dict[str, str] = {}
        where, sent, body = auth.prepare("POST", url, sent, urlencode(data))
        found = self._fetcher.post_bytes(
            where,
            body.encode(),
            content_type="application/x-www-form-urlencoded",
            accept=_JSON,
            max_bytes=_MAX_BYTES,
            headers=sent,
        )
        del headers  # the guarded client says what is sent and accepted
        return _Response(found)


class OpenIdProvider:
    """One tenant's OpenID Provider, and ourselves as its client.

    Its metadata and keys are fetched when first needed, and again after an hour; keys also when a
    token names one that is not known.
    """

    def __init__(self, file: ProviderFile, fetcher: Fetcher, *, redirect_uri: str) -> None:
        self.file = file
        self._fetcher = fetcher
        self._redirect_uri = redirect_uri
        self._known: _Known | None = None
        self._lock = threading.Lock()
        self._breaker = Breaker()

    def authorization_url(self, visit: ProviderVisit, *, locale: str, now: datetime) -> str:
        """Where the browser goes to sign in.

        Raises:
            ProviderUnavailable: the provider's metadata cannot be had.
        """
        extra = {"acr_values": " ".join(self.file.acr)} if self.file.acr else {}
        url, _ = self._client().create_authorization_url(
            self._provider(now).metadata.authorization_endpoint,
            state=visit.state,
            code_verifier=visit.verifier,
            nonce=visit.nonce,
            ui_locales=locale,
            **extra,
        )
        return str(url)

    def claims(
        self, visit: ProviderVisit, answer: Mapping[str, str], *, now: datetime
    ) -> Mapping[str, Any]:
        """What the provider says of the person who came back with *answer*.

        Args:
            visit: what the browser left with.
            answer: the query of the redirect.
            now: the time.

        Raises:
            NotSignedIn: the person gave up, or something in the answer is not to be believed.
            ProviderUnavailable: the provider does not answer.

        Specification: OpenID Connect Core 1.0, sections 3.1.2.7 to 3.1.3.7, 5.3.4; RFC 9207.
        """
        # 1. The answer belongs to this browser's visit, and is from this provider.
        known = self._provider(now)
        if answer.get("state") != visit.state:
            raise NotSignedIn("OpenID: another state")
        self._check_issuer(known.metadata, answer.get("iss"))
        code = answer.get("code")
        if "error" in answer or not code:
            raise NotSignedIn("OpenID: the provider answered with an error")
        # 2. The code for tokens, with the verifier that only we know.
        token = self._token(known.metadata, code, visit.verifier)
        # 3. The ID token: signature, then every claim of section 3.1.3.7.
        claims = self._id_token(str(token.get("id_token", "")), visit.nonce, token, now)
        # 4. Claims that the ID token does not carry, of the same subject.
        if not self.file.read <= set(claims) and known.metadata.userinfo_endpoint:
            claims = {**self._userinfo(known.metadata, token, str(claims["sub"])), **claims}
        # 5. What this agency demands of a sign-in.
        self._check_demands(claims)
        return claims

    def check(self, now: datetime) -> None:
        """Raises ProviderUnavailable if nobody could sign in now."""
        self._provider(now)

    def _client(self) -> "OAuth2Client":
        from authlib.oauth2.client import OAuth2Client  # noqa: PLC0415  # with a provider only

        secret = self.file.client_secret()
        return OAuth2Client(
            _Session(self._fetcher),
            client_id=self.file.client_id,
            client_secret=secret,
            token_endpoint_auth_method=self.file.client_authentication if secret else "none",
            scope=self.file.scope,
            redirect_uri=self._redirect_uri,
            code_challenge_method="S256",
        )

    def _check_issuer(self, metadata: _Metadata, issuer: str | None) -> None:
        if issuer is None:
            if metadata.authorization_response_iss_parameter_supported:
                raise NotSignedIn("OpenID: the answer does not say whose it is")
        elif issuer != metadata.issuer:
            raise NotSignedIn("OpenID: the answer is of another provider")

    def _token(self, metadata: _Metadata, code: str, verifier: str) -> Mapping[str, Any]:
        try:
            found: Mapping[str, Any] = self._client().fetch_token(
                metadata.token_endpoint,
                grant_type="authorization_code",
                code=code,
                code_verifier=verifier,
            )
        except Unavailable as error:
            raise ProviderUnavailable("OpenID: token endpoint") from error
        except (AuthlibBaseError, InvalidInput, ValueError) as error:
            raise NotSignedIn(f"OpenID: no token: {type(error).__name__}") from error
        return found

    def _id_token(
        self, id_token: str, nonce: str, token: Mapping[str, Any], now: datetime
    ) -> Mapping[str, Any]:
        from authlib.oidc.core import (  # type: ignore[import-untyped]  # noqa: PLC0415
            CodeIDToken,
        )

        known = self._provider(now)
        try:
            try:
                found = jwt.decode(id_token, known.keys, algorithms=list(self.file.algorithms))
            except (JoseError, ValueError):
                if now - known.fetched_at < _KEYS_AGAIN:
                    raise
                known = self._provider(now, again=True)  # it may have rotated its keys
                found = jwt.decode(id_token, known.keys, algorithms=list(self.file.algorithms))
            claims = CodeIDToken(
                found.claims,
                found.header,
                options={
                    "iss": {"essential": True, "value": known.metadata.issuer},
                    "aud": {"essential": True, "value": self.file.client_id},
                },
                params={
                    "client_id": self.file.client_id,
                    "nonce": nonce,
                    "access_token": token.get("access_token"),
                },
            )
            claims.validate(now=int(now.timestamp()), leeway=_LEEWAY)
        except (JoseError, AuthlibBaseError, ValueError) as error:
            raise NotSignedIn(f"OpenID: ID token: {type(error).__name__}") from error
        return dict(claims)

    def _userinfo(
        self, metadata: _Metadata, token: Mapping[str, Any], subject: str
    ) -> Mapping[str, Any]:
        headers = {"Authorization": f"Bearer {token.get('access_token', '')}"}
        found = self._fetch(str(metadata.userinfo_endpoint), headers=headers)
        if found.get("sub") != subject:
            raise NotSignedIn("OpenID: UserInfo of another subject")
        return found

    def _check_demands(self, claims: Mapping[str, Any]) -> None:
        if self.file.acr and claims.get("acr") not in self.file.acr:
            raise NotSignedIn("OpenID: not at the level that is demanded")
        for name, value in self.file.require.items():
            if claims.get(name) != value:
                raise NotSignedIn("OpenID: a claim has not the value that is demanded")

    def _provider(self, now: datetime, *, again: bool = False) -> _Known:
        known = self._known
        if known is not None and not again and now - known.fetched_at < _KEPT:
            return known
        with self._lock:
            if self._known is not known and self._known is not None:
                return self._known  # another thread has just fetched it
            try:
                self._breaker.enter()
            except Unavailable as error:
                raise ProviderUnavailable(f"OpenID: {error}") from error
            try:
                found = self._discover(now)
            except ProviderUnavailable:
                self._breaker.failed()
                raise
            self._breaker.answered()
            self._known = found
            return found

    def _discover(self, now: datetime) -> _Known:
        base = self.file.issuer.rstrip("/")
        try:
            metadata = _Metadata.model_validate(
                self._fetch(f"{base}/.well-known/openid-configuration")
            )
            keys = KeySet.import_key_set(dict(self._fetch(metadata.jwks_uri)))  # type: ignore[arg-type]  # checked by it
        except (ValidationError, JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderUnavailable("OpenID: metadata that cannot be used") from error
        if metadata.issuer != self.file.issuer:
            raise ProviderUnavailable("OpenID: metadata of another issuer")
        self._check_web(metadata.authorization_endpoint)
        return _Known(metadata, keys, now)

    def _check_web(self, url: str) -> None:
        """The browser is sent there: as secure as the provider's own name."""
        if urlsplit(url).scheme != urlsplit(self.file.issuer).scheme:
            raise ProviderUnavailable("OpenID: an authorization endpoint of another scheme")

    def _fetch(
        self, url: str, *, headers: Mapping[str, str] | None = None
    ) -> Mapping[str, JsonValue]:
        try:
            found = self._fetcher.get(url, accept=None, max_bytes=_MAX_BYTES, headers=headers)
            return found.json()
        except (Unavailable, NotFound, InvalidInput) as error:
            raise ProviderUnavailable(f"OpenID: {error}") from error
