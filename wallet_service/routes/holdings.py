"""What the wallet holds: cards, details, the log, and the end of it all."""

from starlette.responses import Response

from shared.encoding import JsonValue, b64url_encode, to_numeric_date
from shared.errors import NotFound
from shared.runtime.routes import Answer, ApiRouter, Call, hot_api_router

from .. import (
    contacting,
    exporting,
    forgetting,
    holding,
    labelling,
    leaving,
    logbook,
    overview,
    picturing,
    refreshing,
    renewing,
)
from ..context import Wallet
from . import messages
from .showing import issuance_answer
from .signed_in import open_wallet

router: ApiRouter[Wallet] = hot_api_router()

_IMAGE_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"


@router.get("/wallet", answer=messages.Answer)
def read_wallet(call: Call, wallet: Wallet) -> Answer:
    """The open wallet: cards with their state in words, version and log head, what needs doing."""
    return overview.overview(wallet, open_wallet(call, wallet), now=wallet.clock())


@router.post("/wallet/refresh", answer=messages.Answer)
def refresh(call: Call, wallet: Wallet) -> Answer:
    """Look at the status lists of this wallet's cards, and renew; for when it was just opened."""
    opened = open_wallet(call, wallet)
    renewing.renew(wallet, opened, now=wallet.clock())
    refreshing.refresh(wallet, opened, now=wallet.clock())
    return overview.overview(wallet, opened, now=wallet.clock())


@router.post("/wallet/locale", body=messages.LocaleBody, status=204)
def set_locale(call: Call, wallet: Wallet) -> Answer:
    """The citizen's language."""
    opened = open_wallet(call, wallet)
    overview.set_locale(wallet, opened, call.message(messages.LocaleBody).locale)
    return None


@router.post("/wallet/deletion", answer=messages.Answer, status=201)
def propose_deletion(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *delete_wallet*."""
    return {"approval": leaving.propose(wallet, open_wallet(call, wallet), now=wallet.clock())}


@router.post("/export", answer=messages.Answer, status=201)
def propose_export(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *export*; its answer carries what TS10 calls `MigrationData`."""
    return {"approval": exporting.propose(wallet, open_wallet(call, wallet), now=wallet.clock())}


@router.get("/credentials/{id}", answer=messages.Answer)
def read_credential(call: Call, wallet: Wallet) -> Answer:
    """One card with its claims under their labels."""
    opened = open_wallet(call, wallet)
    card = holding.card(wallet, opened, call.path["id"])
    left = holding.copies_left(wallet, opened).get(card.id, 0)
    locale = holding.locale_of(wallet, opened)
    labels = labelling.labels_of(wallet, opened, [card.id])[card.id]
    agency = contacting.entity(wallet, card.data["issuer"]["entity"])
    return {
        **holding.details(card, labels, locale=locale, left=left, now=wallet.clock()),
        "contacts": contacting.contacts(agency, locale=locale),
    }


@router.post("/credentials/{id}/renewal", answer=messages.FlowAnswer, status=201)
def renew_credential(call: Call, wallet: Wallet) -> Answer:
    """A new issue of this card: silently, or a flow in which the citizen decides."""
    opened = open_wallet(call, wallet)
    flow = renewing.renew_now(wallet, opened, call.path["id"], now=wallet.clock())
    return issuance_answer(wallet, opened, flow)


@router.get("/credentials/{id}/images/{name}")
def read_image(call: Call, wallet: Wallet) -> Answer:
    """An image of a card, as it was made harmless when the card was received (W-06)."""
    opened = open_wallet(call, wallet)
    found = picturing.image(wallet, opened, call.path["id"], call.path["name"])
    headers = {"Cache-Control": "no-store", "Content-Security-Policy": _IMAGE_POLICY}
    return Response(found.content, 200, headers, found.media_type)


@router.post("/credentials/{id}/deletion", answer=messages.Answer, status=201)
def propose_delete(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *delete_credential*."""
    opened = open_wallet(call, wallet)
    approval = holding.propose_delete(wallet, opened, call.path["id"], now=wallet.clock())
    return {"approval": approval}


@router.get("/log", answer=messages.Answer)
def read_log(call: Call, wallet: Wallet) -> Answer:
    """Everything that happened, oldest first, with the hashes that chain it."""
    opened = open_wallet(call, wallet)
    entries: list[JsonValue] = [
        {
            "seq": each.seq,
            "time": each.time,
            "type": each.type,
            "result": each.result,
            "body": each.body,
            "body_hash": b64url_encode(each.body_hash),
            "entry_hash": b64url_encode(each.entry_hash),
        }
        for each in logbook.read(wallet, opened)
    ]
    return {
        "wallet": opened.pseudonym,
        "exported_at": to_numeric_date(wallet.clock()),
        "entries": entries,
    }


@router.post("/log/{seq}/deletion", answer=messages.Answer, status=201)
def propose_forgetting(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *delete_log_entry*."""
    opened = open_wallet(call, wallet)
    if not call.path["seq"].isdecimal():
        raise NotFound("log: no such entry")
    seq = int(call.path["seq"][:9])
    return {"approval": forgetting.propose(wallet, opened, seq, now=wallet.clock())}
