"""Outgoing HTTP: the one guarded client (C-54, S-10, S-11).

https only, default or permitted ports, no userinfo; the host is resolved once, every address
checked, and the checked address connected to, while SNI, certificate check and Host keep the name.
Redirects are off unless asked for, and each is checked anew. No cookies, no credentials of the
environment, no proxies, no content coding; connect 3 s, read 5 s, 10 s in all, and a cap on the
answer while it comes in. Built on httpcore2, the transport of httpx2: what httpx2 adds above it
(cookies, netrc, proxies from the environment, redirects) is what must not happen here.
"""

import ssl
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode, urljoin, urlsplit

import httpcore2
import orjson

from ..encoding import JsonValue, parse_json_object
from ..errors import InvalidInput, NotFound, Unavailable
from .connections import FetchPolicy, GuardedBackend, deadline, listed, tls_client
from .settings import LOOPBACK, ServiceSettings

_USER_AGENT = "citizen-wallet"
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_MAX_URL = 8 * 1024


__all__ = ["BadAnswer", "FetchPolicy", "Fetched", "Fetcher"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. *headers* have lower-case names; the last of equal names counts."""

    url: str
    status: int
    headers: Mapping[str, str]
    content_type: str
    body: bytes

    def json(self) -> dict[str, JsonValue]:
        """The body as strict JSON object; raises InvalidInput."""
        return parse_json_object(self.body, max_bytes=len(self.body))


class BadAnswer(InvalidInput):
    """What came is not what was asked for; whoever caused the call is not at fault."""

    code = "bad_answer"
    status = 502
    whose_fault = "us"
    public = "Another service gave an answer that cannot be used."
    next_step = "Try again later; if it stays, tell support the support_id."


class _ClosedMeanwhile(Unavailable):
    """The connection ended without an answer."""


class Fetcher:
    """The guarded client; one for each process, used by any thread.

    Args: policy: what may be reached. transport: what carries requests that passed the checks of
    their URL; without one, connections to addresses that are checked too.
    """

    def __init__(
        self, policy: FetchPolicy, *, transport: httpcore2.ConnectionInterface | None = None
    ) -> None:
        self._policy = policy
        self._pool = transport or httpcore2.ConnectionPool(
            ssl_context=tls_client(policy.ca_bundle),
            max_connections=20,
            max_keepalive_connections=10,
            keepalive_expiry=20,
            network_backend=GuardedBackend(policy),
        )

    @classmethod
    def from_settings(cls, settings: ServiceSettings, *, seconds: float | None = None) -> "Fetcher":
        """As the service's settings permit; a call takes at most *seconds*, 10 if none are said."""
        usual = FetchPolicy().timeouts
        return cls(
            FetchPolicy(
                permitted_private_hosts=frozenset(settings.permitted_private_hosts),
                permitted_ports=frozenset(settings.permitted_ports),
                insecure_http_loopback=settings.insecure_http_loopback,
                ca_bundle=settings.ca_bundle,
                timeouts=usual if seconds is None else (min(seconds, usual[0]), seconds, seconds),
            )
        )

    def get(
        self,
        url: str,
        *,
        accept: str | Collection[str] | None,
        max_bytes: int,
        redirects: int = 0,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """The document at *url*.

        Args:
            url: where; checked as S-11 says.
            accept: media types, the first one preferred; another one is refused. None: any.
            max_bytes: of the body, see S-20.
            redirects: how many to follow, each checked anew (S-11: at most 3).
            headers: further ones.

        Raises:
            InvalidInput: the URL may not be fetched, the type is another, the body too large.
            NotFound: 404 or 410.
            Unavailable: any other status, no connection, no answer in time.
        """
        with self._time_limit():
            for _ in range(redirects + 1):
                found = self._send(
                    "GET",
                    url,
                    body=b"",
                    accept=accept,
                    max_bytes=max_bytes,
                    headers=headers or {},
                )
                if found.status in _REDIRECTS and redirects:
                    url = _redirected(url, found.headers.get("location", ""))
                    continue
                break
        if found.status in {404, 410}:
            raise NotFound(f"fetch: status {found.status}")
        if found.status != 200:
            raise Unavailable(f"fetch: status {found.status}")
        return found

    def post_form(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        accept: str | Collection[str] | None,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """Send a form; the answer has any status, its type is checked below 300 only.

        Raises:
            InvalidInput: the URL may not be fetched, the type is another, the body too large.
            Unavailable: no connection, no answer in time.
        """
        return self.post_bytes(
            url,
            urlencode(fields).encode(),
            content_type="application/x-www-form-urlencoded",
            accept=accept,
            max_bytes=max_bytes,
            headers=headers,
        )

    def post_json(
        self,
        url: str,
        content: JsonValue,
        *,
        accept: str | Collection[str] | None,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """As `post_form`, with JSON."""
        return self.post_bytes(
            url,
            orjson.dumps(content),
            content_type="application/json",
            accept=accept,
            max_bytes=max_bytes,
            headers=headers,
        )

    def post_bytes(
        self,
        url: str,
        body: bytes,
        *,
        content_type: str,
        accept: str | Collection[str] | None,
        max_bytes: int,
        headers: Mapping[str, str] | None = None,
    ) -> Fetched:
        """As `post_form`, with any body."""
        sent = {**(headers or {}), "Content-Type": content_type}
        with self._time_limit():
            return self._send(
                "POST", url, body=body, accept=accept, max_bytes=max_bytes, headers=sent
            )

    def close(self) -> None:
        """Close every connection."""
        self._pool.close()

    @contextmanager
    def _time_limit(self) -> Iterator[None]:
        token = deadline.set(time.monotonic() + self._policy.timeouts[2])
        try:
            yield
        finally:
            deadline.reset(token)

    def _check_url(self, url: str) -> None:
        """Step 1 of S-11, before any name is resolved."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError as error:
            raise InvalidInput("fetch: not a URL") from error
        if len(url) > _MAX_URL or not url.isascii() or any(each <= " " for each in url):
            raise InvalidInput("fetch: not a URL")
        if parts.username is not None or parts.password is not None:
            raise InvalidInput("fetch: the URL carries a user")
        loopback = host in LOOPBACK and self._policy.insecure_http_loopback
        if parts.scheme == "http":
            if not loopback:
                raise InvalidInput("fetch: not https")
            return
        if parts.scheme != "https" or not host:
            raise InvalidInput("fetch: not https")
        port = 443 if port is None else port
        if loopback or listed(host, port, self._policy.permitted_private_hosts):
            return
        if port not in self._policy.permitted_ports:
            raise InvalidInput("fetch: the port is not permitted")

    def _send(
        self,
        method: str,
        url: str,
        *,
        body: bytes,
        accept: str | Collection[str] | None,
        max_bytes: int,
        headers: Mapping[str, str],
    ) -> Fetched:
        def send() -> Fetched:
            return self._send_once(
                method, url, body=body, accept=accept, max_bytes=max_bytes, headers=headers
            )

        try:
            return send()
        except _ClosedMeanwhile:  # a kept connection, just as it was used
            if method != "GET":  # nobody knows whether it arrived
                raise
            return send()

    def _send_once(
        self,
        method: str,
        url: str,
        *,
        body: bytes,
        accept: str | Collection[str] | None,
        max_bytes: int,
        headers: Mapping[str, str],
    ) -> Fetched:
        self._check_url(url)
        accepted = (accept,) if isinstance(accept, str) else tuple(accept or ())
        connect, read, _ = self._policy.timeouts
        sent: list[tuple[bytes | str, bytes | str]] = [
            ("User-Agent", _USER_AGENT),
            ("Accept", ", ".join(accepted) or "*/*"),
            ("Accept-Encoding", "identity"),
            *headers.items(),
        ]
        try:
            with self._pool.stream(
                method,
                url,
                headers=sent,
                content=body if method == "POST" else None,
                extensions={
                    "timeout": {"connect": connect, "read": read, "write": read, "pool": connect}
                },
            ) as response:
                return _read(url, response, accepted, max_bytes)
        except httpcore2.TimeoutException as error:
            raise Unavailable(f"fetch: {type(error).__name__}") from error
        except httpcore2.RemoteProtocolError as error:
            kind = _ClosedMeanwhile if "disconnected" in str(error) else Unavailable
            raise kind("fetch: RemoteProtocolError") from error
        except (httpcore2.ReadError, httpcore2.WriteError) as error:
            raise _ClosedMeanwhile(f"fetch: {type(error).__name__}") from error
        except (httpcore2.NetworkError, httpcore2.ProtocolError, ssl.SSLError) as error:
            raise Unavailable(f"fetch: {type(error).__name__}") from error
        except (httpcore2.UnsupportedProtocol, UnicodeError, ValueError) as error:
            raise InvalidInput("fetch: not a URL") from error


def _read(
    url: str, response: httpcore2.Response, accepted: tuple[str, ...], max_bytes: int
) -> Fetched:
    headers = {
        name.decode("latin-1").lower(): value.decode("latin-1") for name, value in response.headers
    }
    content_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if response.status < 300 and accepted and not {content_type, "*/*"}.intersection(accepted):
        raise BadAnswer("fetch: another media type than asked for")
    if headers.get("content-encoding", "identity") != "identity":
        raise BadAnswer("fetch: a content coding that was not asked for")
    if headers.get("content-length", "0").isdigit():
        _check_size(int(headers.get("content-length", "0")), max_bytes)
    parts, size = [], 0
    for part in response.iter_stream():
        size += len(part)
        _check_size(size, max_bytes)
        parts.append(part)
    return Fetched(url, response.status, headers, content_type, b"".join(parts))


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise InvalidInput("fetch: redirected to what is not a URL") from error


def _check_size(size: int, max_bytes: int) -> None:
    if size > max_bytes:
        raise BadAnswer("fetch: the answer is too large")
