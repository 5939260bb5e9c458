"""Who has seen my data: the log in words, and what its citizen can do about an entry."""

from shared.errors import NotFound
from shared.runtime.routes import Answer, ApiRouter, Call, hot_api_router

from .. import history
from ..context import Wallet
from . import messages
from .signed_in import open_wallet

router: ApiRouter[Wallet] = hot_api_router()


@router.get("/history", answer=messages.Answer)
def read_history(call: Call, wallet: Wallet) -> Answer:
    """Everything that happened, newest first, in the citizen's language."""
    return {"entries": history.read(wallet, open_wallet(call, wallet))}


@router.get("/history/{seq}", answer=messages.Answer)
def read_history_entry(call: Call, wallet: Wallet) -> Answer:
    """One entry, with contacts and letters: to have data erased, to complain about a request."""
    return history.detail(wallet, open_wallet(call, wallet), number_of(call))


@router.post("/history/{seq}/letters", body=messages.LetterBody, status=204)
def remember_letter(call: Call, wallet: Wallet) -> Answer:
    """The citizen sends this letter now, by a way of their own: the log remembers it."""
    opened = open_wallet(call, wallet)
    kind = call.message(messages.LetterBody).kind
    history.remember(wallet, opened, number_of(call), kind, now=wallet.clock())
    return None


def number_of(call: Call) -> int:
    """The place of an entry in the log; raises NotFound if it is no number."""
    seq = call.path["seq"]
    if not (seq.isascii() and seq.isdecimal()):
        raise NotFound("log: no such entry")
    return int(seq[:9])
