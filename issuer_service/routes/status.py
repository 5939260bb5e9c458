"""Status Lists as anybody may fetch them: from memory, compressed once (ST-40 to ST-44).

Who asks is neither counted apart nor logged (ST-41, S-41).
"""

from collections.abc import Mapping
from functools import lru_cache

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.encoding import JsonValue
from shared.errors import ExpectedError, NotFound
from shared.formats.status_list import MEDIA_TYPE, aggregation
from shared.oauth.errors import InvalidRequest
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from ..context import Issuer
from ..status_tokens import Served, all_lists

router: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)
_PATH = "/{tenant}/statuslists/{number}"
_PLAIN = frozenset({None, b"*/*", MEDIA_TYPE.encode()})
_RANGES = frozenset({"*/*", "application/*", MEDIA_TYPE})


class NotAcceptable(ExpectedError):
    """Only the JWT form is served yet; CWT comes with mdoc."""

    public = "This Status List is served as application/statuslist+jwt."
    status = 406


class NoHistory(ExpectedError):
    """`time` asks for a list of the past, which is not kept (ST-44)."""

    public = "Status Lists of the past are not served."
    status = 501


def _accepts(header: str) -> bool:
    """Whether *header* lets us answer with the JWT form; `q=0` excludes a range."""
    for part in header.split(",") if header.strip() else ("*/*",):
        media_range, *parameters = (each.strip().lower() for each in part.split(";"))
        weights = [each[2:] for each in parameters if each.startswith("q=")]
        if media_range in _RANGES and (not weights or weights[0].strip("0.") != ""):
            return True
    return False


@lru_cache(maxsize=256)
def _answers(served: Served) -> tuple[Response, Response, Response]:
    """The token plain, the token packed, and the answer to who has it already."""
    headers = {
        "ETag": served.etag,
        "Cache-Control": f"public, max-age={served.max_age}",
        "Vary": "Accept, Accept-Encoding",
        "Access-Control-Allow-Origin": "*",  # C-52
    }
    packed = {**headers, "Content-Encoding": "gzip"}
    return (
        Response(served.token, 200, headers, MEDIA_TYPE),
        Response(served.packed, 200, packed, MEDIA_TYPE),
        Response(None, 304, headers),
    )


def _answer(served: Served, known: str | None, encodings: str | None) -> Response:
    plain, packed, unchanged = _answers(served)
    if known == served.etag:
        return unchanged
    return packed if encodings is not None and "gzip" in encodings else plain


@router.get(_PATH, cors=True)
def status_list(call: Call, issuer: Issuer) -> Response:
    """The Status List Token (Token Status List, section 8.1)."""
    if "time" in call.query:
        raise NoHistory("status list: historical")
    if not _accepts(",".join(call.headers("accept"))):
        raise NotAcceptable("status list: no acceptable form")
    number = call.path["number"]
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFound("status list: not a number")
    tenant = issuer.tenant(call.path["tenant"])
    served = issuer.lists.get(tenant.name, int(number), now=issuer.clock())
    return _answer(served, call.header("if-none-match"), call.header("accept-encoding"))


class _FromMemory:
    """Answers plain requests for a list looked up within the last second, without a thread.

    Everything else is the route's: it looks the list up, or says what is wrong with the request.
    """

    def __init__(self, otherwise: ASGIApp) -> None:
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = _from_memory(scope) or self._otherwise
        scope["route_template"] = _PATH
        await answer(scope, receive, send)


def _from_memory(scope: Scope) -> Response | None:
    if scope["query_string"]:
        return None
    headers = dict(scope["headers"])
    if len(headers) != len(scope["headers"]) or headers.get(b"accept") not in _PLAIN:
        return None
    number = scope["path_params"]["number"]
    if not number.isdecimal() or len(number) >= 10:
        return None
    issuer: Issuer = scope["app"].state.context
    tenant = scope["path_params"]["tenant"]
    served = issuer.lists.fresh(tenant, int(number), now=issuer.clock())
    if served is None:
        return None
    known, encodings = headers.get(b"if-none-match"), headers.get(b"accept-encoding")
    return _answer(served, known and known.decode("latin-1"), encodings and str(encodings))


router.routes[:] = [
    Route(_PATH, _FromMemory(each.app), methods=["GET"], name=each.name) for each in router.routes
]


@router.get("/{tenant}/statuslists", cors=True, cache="public, max-age=300")
def status_lists(call: Call, issuer: Issuer) -> Mapping[str, JsonValue]:
    """Status List Aggregation (Token Status List, section 9; ST-43)."""
    tenant = issuer.tenant(call.path["tenant"])
    numbers = all_lists(issuer.database, tenant.name, now=issuer.clock())
    return aggregation(tenant.status_uri(each) for each in numbers)
