"""Status Lists as anybody may fetch them: from memory, compressed once (ST-40 to ST-44).

Who asks is neither counted apart nor logged (ST-41, S-41).
"""

from collections.abc import Mapping

from starlette.responses import Response

from shared.encoding import JsonValue
from shared.errors import ExpectedError, NotFound
from shared.formats.status_list import MEDIA_TYPE, aggregation
from shared.oauth.errors import InvalidRequest
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from ..context import Issuer
from ..status_tokens import all_lists

router: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)
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


@router.get("/{tenant}/statuslists/{number}", cors=True)
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
    headers = {
        "ETag": served.etag,
        "Cache-Control": f"public, max-age={served.max_age}",
        "Vary": "Accept, Accept-Encoding",
    }
    if call.header("if-none-match") == served.etag:
        return Response(None, 304, headers)
    if "gzip" in (call.header("accept-encoding") or ""):
        headers["Content-Encoding"] = "gzip"
        return Response(served.packed, 200, headers, MEDIA_TYPE)
    return Response(served.token, 200, headers, MEDIA_TYPE)


@router.get("/{tenant}/statuslists", cors=True, cache="public, max-age=300")
def status_lists(call: Call, issuer: Issuer) -> Mapping[str, JsonValue]:
    """Status List Aggregation (Token Status List, section 9; ST-43)."""
    tenant = issuer.tenant(call.path["tenant"])
    numbers = all_lists(issuer.database, tenant.name, now=issuer.clock())
    return aggregation(tenant.status_uri(each) for each in numbers)
