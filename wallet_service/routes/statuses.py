"""The wallet provider's Status Lists, as anybody may fetch them (ST-40 to ST-42)."""

from starlette.responses import Response

from shared.errors import NotFound
from shared.formats.status_list import MEDIA_TYPE
from shared.oauth.errors import InvalidRequest
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from ..context import Wallet

router: ProtocolRouter[Wallet] = protocol_router(InvalidRequest)


@router.get("/statuslists/{number}", cors=True)
def status_list(call: Call, wallet: Wallet) -> Response:
    """The Status List Token (Token Status List, section 8.1); who asks is not recorded (ST-41)."""
    number = call.path["number"]
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFound("status list: not a number")
    served = wallet.provider.lists.published(int(number))
    headers = {
        "ETag": served.etag,
        "Cache-Control": f"public, max-age={served.max_age}",
        "Vary": "Accept-Encoding",
        "Access-Control-Allow-Origin": "*",
    }
    if call.header("if-none-match") == served.etag:
        return Response(None, 304, headers)
    if "gzip" in (call.header("accept-encoding") or ""):
        packed = {**headers, "Content-Encoding": "gzip"}
        return Response(served.packed, 200, packed, MEDIA_TYPE)
    return Response(served.token, 200, headers, MEDIA_TYPE)
