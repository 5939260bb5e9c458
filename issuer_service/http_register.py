"""A register behind HTTP: one POST for each question, so no reference to a person stands in a URL.

    POST <url>   {"reference": "AV-000001"}   or   {"match": {"email": "…"}}
    200 {"reference": "…", "version": "…", "marks": ["…"], "fields": {"family_name": "…"}}
    202 not finished, Retry-After says when to ask again; 404 nobody; 409 several
    401 once: with a new token; anything else, or nothing in time: the register is down

Access tokens come by OAuth client credentials (RFC 6749, section 4.4). After three failures in a
row the register counts as down without being asked, until one question after a pause is answered.
Addresses, sizes and times are those of the guarded client (S-10, S-11).
"""

import base64
import threading
import time
from collections.abc import Callable, Mapping
from typing import Annotated, Literal
from urllib.parse import quote_plus

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.encoding import JsonValue
from shared.errors import ExpectedError, InvalidInput, Unavailable
from shared.runtime.breaker import Breaker
from shared.runtime.fetch import Fetched, Fetcher

from .registers import Entry, EntryNotReady, RegisterUnavailable, SubjectUnknown

_JSON = "application/json"
_MAX_ENTRY = 256 * 1024
_MAX_TOKEN = 16 * 1024
_EARLIER = 30.0  # seconds before its end a token is replaced
_RETRY = 60

Secret = Callable[[], str]


class _Answer(BaseModel):
    """An entry as the register sends it."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    reference: Annotated[str, Field(min_length=1, max_length=200)]
    version: str = ""
    marks: frozenset[str] = frozenset()
    fields: Mapping[str, str | int | None]


class _Token(BaseModel):
    """RFC 6749, section 5.1."""

    model_config = ConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    access_token: Annotated[str, Field(min_length=1, pattern=r"^[\x21-\x7E]+$")]
    token_type: Annotated[str, Field(pattern=r"^[Bb]earer$")]
    expires_in: Annotated[float, Field(gt=0)] = 60


class Client(BaseModel):
    """What we are to the register's authorization server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token_url: str
    client_id: str
    scope: str | None = None
    method: Literal["client_secret_basic", "client_secret_post"] = "client_secret_basic"


class HttpRegister:
    """See above.

    Args:
        url: of the one endpoint.
        client: for its authorization server.
        secret: the client's secret, read when a token is needed.
        fields: our name of a field -> the register's; none if they are the same.
        fetcher: the guarded client, with the time limits of this register.
        clock: seconds on a clock that never goes back.
    """

    def __init__(
        self,
        url: str,
        *,
        client: Client,
        secret: Secret,
        fields: Mapping[str, str],
        fetcher: Fetcher,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._url = url
        self._client = client
        self._secret = secret
        self._fields = fields
        self._fetcher = fetcher
        self._clock = clock
        self._breaker = Breaker(clock)
        self._lock = threading.Lock()
        self._token = ("", 0.0)  # and when to replace it

    def entry(self, reference: str) -> Entry:
        """See `Register.entry`."""
        answer = self._ask({"reference": reference})
        if answer.reference != reference:
            raise RegisterUnavailable("register: answered with the entry of somebody else")
        return self._entry(answer)

    def find(self, fields: Mapping[str, str]) -> str:
        """See `Register.find`."""
        match: dict[str, JsonValue] = {
            self._fields.get(name, name): value for name, value in fields.items()
        }
        return self._ask({"match": match}).reference

    def check(self) -> None:
        """See `Register.check`: whether it gives us a token."""
        try:
            self._access_token(fresh=True)
        except ExpectedError as error:
            raise RegisterUnavailable(f"register: {error}") from error

    def _entry(self, answer: _Answer) -> Entry:
        wanted = self._fields or {name: name for name in answer.fields}
        found = {name: answer.fields.get(theirs) for name, theirs in wanted.items()}
        fields = {name: str(value) for name, value in found.items() if value not in {None, ""}}
        return Entry(answer.reference, fields, answer.marks, answer.version)

    def _ask(self, question: Mapping[str, JsonValue]) -> _Answer:
        try:
            self._breaker.enter()
        except Unavailable as error:
            raise RegisterUnavailable(f"register: {error}") from error
        try:
            found = self._post(question, fresh=False)
            if found.status == 401:
                found = self._post(question, fresh=True)
            answer = self._read(found)
        except (SubjectUnknown, EntryNotReady):
            self._breaker.answered()
            raise
        except ExpectedError as error:
            self._breaker.failed()
            raise RegisterUnavailable(f"register: {error}") from error
        self._breaker.answered()
        return answer

    def _post(self, question: Mapping[str, JsonValue], *, fresh: bool) -> Fetched:
        headers = {"Authorization": f"Bearer {self._access_token(fresh=fresh)}"}
        return self._fetcher.post_json(
            self._url, question, accept=None, max_bytes=_MAX_ENTRY, headers=headers
        )

    def _read(self, found: Fetched) -> _Answer:
        if found.status in {404, 409}:
            raise SubjectUnknown(f"register: status {found.status}")
        if found.status == 202:
            after = found.headers.get("retry-after", "")
            seconds = int(after) if after.isascii() and after[:5].isdigit() else _RETRY
            raise EntryNotReady("register: not finished", retry_after=min(max(seconds, 1), 86_400))
        if found.status != 200 or found.content_type != _JSON:
            raise Unavailable(f"status {found.status}")
        try:
            return _Answer.model_validate(found.json())
        except ValidationError as error:
            raise InvalidInput("an answer of another shape") from error

    def _access_token(self, *, fresh: bool) -> str:
        with self._lock:
            token, until = self._token
            if token and not fresh and self._clock() < until:
                return token
            found = self._new_token()
            kept = max(found.expires_in - _EARLIER, found.expires_in / 2)
            self._token = found.access_token, self._clock() + kept
            return found.access_token

    def _new_token(self) -> _Token:
        client, secret = self._client, self._secret()
        form, headers = {"grant_type": "client_credentials"}, {}
        if client.scope:
            form["scope"] = client.scope
        if client.method == "client_secret_post":
            form |= {"client_id": client.client_id, "client_secret": secret}
        else:
            pair = f"{quote_plus(client.client_id)}:{quote_plus(secret)}"  # RFC 6749, 2.3.1
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        found = self._fetcher.post_form(
            client.token_url, form, accept=None, max_bytes=_MAX_TOKEN, headers=headers
        )
        if found.status != 200:
            raise Unavailable(f"token: status {found.status}")
        try:
            return _Token.model_validate(found.json())
        except ValidationError as error:
            raise InvalidInput("token: an answer of another shape") from error
