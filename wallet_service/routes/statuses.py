"""The wallet provider's Status Lists, as anybody may fetch them (ST-40 to ST-42)."""

from starlette.responses import Response

from shared.errors import NotFound
from shared.oauth.errors import InvalidRequest
from shared.runtime.published import answer
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from ..context import Wallet

router: ProtocolRouter[Wallet] = protocol_router(InvalidRequest)


@router.get("/statuslists/{number}", cors=True)
def status_list(call: Call, wallet: Wallet) -> Response:
    """The Status List Token (Token Status List, section 8.1); who asks is not recorded (ST-41)."""
    number = call.path["number"]
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise NotFound("status list: not a number")
    return answer(
        wallet.provider.lists.published(int(number)),
        accept=call.headers("accept"),
        if_none_match=call.headers("if-none-match"),
        accept_encoding=call.headers("accept-encoding"),
    )
