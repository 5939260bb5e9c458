"""Documents in several forms at one address, served from memory: chosen by `Accept`, packed once.

Who asks is neither counted apart nor logged (ST-41, S-41). RFC 9110, sections 12.5 and 13; PROFILE
ST-40, ST-41, C-52.
"""

import gzip
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from http import HTTPStatus
from typing import NamedTuple

from starlette.responses import Response

from ..errors import ExpectedError
from .negotiation import accepts_gzip, matches, preferred


class NotAcceptable(ExpectedError):
    """None of the forms that there are is acceptable to who asks."""

    status = 406

    def __init__(self, offered: Sequence[str]) -> None:
        super().__init__("document: no acceptable form")
        self.public = f"This is served as {' or '.join(offered)}."


@dataclass(frozen=True, slots=True)
class Form:
    """One form: its bytes, and the same in gzip where that is smaller to send."""

    media_type: str
    content: bytes
    packed: bytes | None
    etag: str


@dataclass(frozen=True, slots=True)
class Published:
    """One version of a document, in the order in which its forms are preferred.

    Attributes:
        max_age: seconds for which it may be kept.
    """

    version: int
    forms: tuple[Form, ...]
    max_age: int


def pack(content: bytes) -> bytes:
    """*content* in gzip, the same bytes each time."""
    return gzip.compress(content, 6, mtime=0)


def form(media_type: str, content: bytes, *, packed: bytes | None) -> Form:
    """A form with its entity tag."""
    return Form(media_type, content, packed, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


class Prepared(Response):
    """An answer that is sent many times, its head written once."""

    def __init__(
        self, content: bytes | None, status: int, headers: Mapping[str, str], media_type: str | None
    ) -> None:
        super().__init__(content, status, headers, media_type)
        lines = [b"%b: %b\r\n" % each for each in self.raw_headers]
        self.head = b"HTTP/1.1 %d %b\r\n" % (status, HTTPStatus(status).phrase.encode())
        self.head += b"".join(lines)


class FromMemory(NamedTuple):
    """How a service answers plain requests for one kind of document at once (see `serving.py`).

    Attributes:
        route: the template of the route that answers all other requests there.
        mark: is in every URL of these documents.
        find: by the request's target and headers; None sends the request the usual way.
    """

    route: str
    mark: bytes
    find: Callable[[bytes, Mapping[bytes, bytes]], Prepared | None]


@lru_cache(maxsize=256)
def _answers(found: Form, max_age: int) -> tuple[Prepared, Prepared, Prepared]:
    """As it is, packed, and the answer to who has it already."""
    headers = {
        "ETag": found.etag,
        "Cache-Control": f"public, max-age={max_age}",
        "Vary": "Accept, Accept-Encoding",
        "Access-Control-Allow-Origin": "*",  # C-52
    }
    plain = Prepared(found.content, 200, headers, found.media_type)
    packed = plain
    if found.packed is not None:
        encoded = {**headers, "Content-Encoding": "gzip"}
        packed = Prepared(found.packed, 200, encoded, found.media_type)
    return plain, packed, Prepared(None, 304, headers, None)


def answer(
    published: Published,
    *,
    accept: Sequence[str],
    if_none_match: Sequence[str],
    accept_encoding: Sequence[str],
) -> Response:
    """What is sent to who asks with these headers (every value of each).

    Raises:
        NotAcceptable: 406.
    """
    offered = [each.media_type for each in published.forms]
    wanted = preferred(accept, offered)
    if wanted is None:
        raise NotAcceptable(offered)
    return stored(
        published.forms[offered.index(wanted)],
        published.max_age,
        if_none_match=if_none_match,
        accept_encoding=accept_encoding,
    )


def stored(
    found: Form, max_age: int, *, if_none_match: Sequence[str], accept_encoding: Sequence[str]
) -> Prepared:
    """What is sent to who gets the form *found*, as `answer`."""
    plain, packed, unchanged = _answers(found, max_age)
    if if_none_match and matches(found.etag, if_none_match):
        return unchanged
    return packed if accepts_gzip(accept_encoding) else plain
