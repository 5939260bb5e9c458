"""Status Lists as anybody may fetch them: JWT or CWT, from memory (I-15, ST-40 to ST-44).

Who asks is neither counted apart nor logged (ST-41, S-41).
"""

from collections.abc import Mapping

from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from shared.encoding import JsonValue
from shared.errors import ExpectedError, NotFound
from shared.formats import status_cwt
from shared.formats import status_list as status_list_jwt
from shared.oauth.errors import InvalidRequest
from shared.runtime.published import FromMemory, Prepared, answer, stored
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from ..context import Issuer
from ..status_tokens import all_lists

router: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)
_PATH = "/{tenant}/statuslists/{number}"
_FORMS = (status_list_jwt.MEDIA_TYPE, status_cwt.MEDIA_TYPE)
_PLAIN: dict[bytes | None, int] = {None: 0, b"*/*": 0}
_PLAIN |= {each.encode(): place for place, each in enumerate(_FORMS)}


class NoHistory(ExpectedError):
    """`time` asks for a list of the past, which is not kept (ST-44)."""

    public = "Status Lists of the past are not served."
    status = 501


@router.get(_PATH, cors=True)
def status_list(call: Call, issuer: Issuer) -> Response:
    """The Status List Token (Token Status List, section 8.1)."""
    if "time" in call.query:
        raise NoHistory("status list: historical")
    number = call.path["number"]
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFound("status list: not a number")
    tenant = issuer.tenant(call.path["tenant"])
    served = issuer.lists.get(tenant.name, int(number), now=issuer.clock())
    return answer(
        served,
        accept=call.headers("accept"),
        if_none_match=call.headers("if-none-match"),
        accept_encoding=call.headers("accept-encoding"),
    )


class _FromMemory:
    """Answers plain requests for a list looked up within the last second, without a thread.

    Everything else is the route's: it looks the list up, or says what is wrong with the request.
    """

    def __init__(self, otherwise: ASGIApp) -> None:
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = _from_memory(scope) or self._otherwise
        scope["route_template"] = _PATH
        await found(scope, receive, send)


def _from_memory(scope: Scope) -> Response | None:
    headers = dict(scope["headers"])
    if scope["query_string"] or len(headers) != len(scope["headers"]):
        return None
    issuer: Issuer = scope["app"].state.context
    place = scope["path_params"]
    return _held(issuer, place["tenant"], place["number"], headers)


def from_memory(issuer: Issuer) -> FromMemory:
    """The same for the server, before it makes a request of it."""

    def find(target: bytes, headers: Mapping[bytes, bytes]) -> Prepared | None:
        parts = target.decode("latin-1").split("/")
        if len(parts) != 4 or parts[0] or parts[2] != "statuslists":
            return None
        return _held(issuer, parts[1], parts[3], headers)

    return FromMemory(_PATH, b"/statuslists/", find)


def _held(
    issuer: Issuer, tenant: str, number: str, headers: Mapping[bytes, bytes]
) -> Prepared | None:
    place = _PLAIN.get(headers.get(b"accept"))
    if place is None or not (number.isascii() and number.isdigit() and len(number) < 10):
        return None
    served = issuer.lists.fresh(tenant, int(number), now=issuer.clock())
    if served is None or len(served.forms) != len(_FORMS):
        return None
    return stored(
        served.forms[place],
        served.max_age,
        if_none_match=_texts(headers, b"if-none-match"),
        accept_encoding=_texts(headers, b"accept-encoding"),
    )


def _texts(headers: Mapping[bytes, bytes], name: bytes) -> tuple[str, ...]:
    return (headers[name].decode("latin-1"),) if name in headers else ()


router.routes[:] = [
    Route(_PATH, _FromMemory(each.app), methods=["GET"], name=each.name) for each in router.routes
]


@router.get("/{tenant}/statuslists", cors=True, cache="public, max-age=300")
def status_lists(call: Call, issuer: Issuer) -> Mapping[str, JsonValue]:
    """Status List Aggregation (Token Status List, section 9; ST-43)."""
    tenant = issuer.tenant(call.path["tenant"])
    numbers = all_lists(issuer.database, tenant.name, now=issuer.clock())
    return status_list_jwt.aggregation(tenant.status_uri(each) for each in numbers)
