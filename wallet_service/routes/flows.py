"""Long flows: scan, issuances, presentations, approvals. Pollable, resumable, idempotent."""

from collections.abc import Callable
from typing import TypeAlias

from shared.encoding import JsonValue
from shared.errors import InvalidInput
from shared.oid4vci import offer
from shared.oid4vp import invocation
from shared.runtime.routes import Answer, ApiRouter, Call, hot_api_router

from .. import (
    answering,
    approving,
    authorizing,
    flows,
    holding,
    obtaining,
    presenting,
    receiving,
)
from ..context import Wallet
from ..flows import Flow
from ..tables import issuances, presentations
from ..vault import OpenWallet
from . import messages
from .showing import issuance_answer, presentation_answer, warnings_shown
from .signed_in import open_wallet

router: ApiRouter[Wallet] = hot_api_router()


@router.post("/scan", body=messages.ScanBody, answer=messages.Answer, status=201, keyed=True)
def scan(call: Call, wallet: Wallet) -> Answer:
    """One entry point for whatever was scanned, tapped or pasted (W-02, W-50)."""
    opened = open_wallet(call, wallet)
    body = call.message(messages.ScanBody)
    text, key, now = body.text.strip(), call.header("idempotency-key"), wallet.clock()
    if is_offer(text):
        flow = receiving.open_offer(wallet, opened, text, idempotency_key=key, now=now)
        return {"kind": "offer", **issuance_answer(wallet, opened, flow)}
    if is_request(text):
        flow = presenting.open_request(
            wallet, opened, text, cross_device=body.cross_device, idempotency_key=key, now=now
        )
        return {"kind": "request", **presentation_answer(wallet, opened, flow)}
    raise NotForMe("scan: neither an offer nor a request")


class NotForMe(InvalidInput):
    """Somebody else's QR code."""

    code = "not_for_me"
    public = "This is neither an offer nor a request for a wallet."
    next_step = "Scan the code that the agency shows for wallets."


def is_offer(text: str) -> bool:
    """By scheme, or by the parameters of an https link to our own offer endpoint."""
    scheme = text.partition(":")[0].lower()
    query = text.partition("?")[2]
    return scheme in offer.SCHEMES or (scheme in {"https", "http"} and "credential_offer" in query)


def is_request(text: str) -> bool:
    """By scheme, or by the parameters of an https link to our own authorization endpoint."""
    scheme = text.partition(":")[0].lower()
    query = text.partition("?")[2]
    return scheme in invocation.SCHEMES or (scheme in {"https", "http"} and "request_uri" in query)


# -- Issuances -------------------------------------------------------------------------------


@router.get("/issuances/{id}", answer=messages.FlowAnswer)
def read_issuance(call: Call, wallet: Wallet) -> Answer:
    """Where an issuance stands: the preview, the content to check, what can be done."""
    opened = open_wallet(call, wallet)
    return issuance_answer(wallet, opened, _issuance(call, wallet, opened))


@router.post("/issuances/{id}/tx-code", body=messages.TxCodeBody, answer=messages.FlowAnswer)
def give_tx_code(call: Call, wallet: Wallet) -> Answer:
    """The Transaction Code from the letter."""
    opened = open_wallet(call, wallet)
    code = call.message(messages.TxCodeBody).tx_code
    flow = receiving.give_tx_code(
        wallet, opened, _issuance(call, wallet, opened), code, now=wallet.clock()
    )
    return issuance_answer(wallet, opened, flow)


@router.post("/issuances/{id}/accept", body=messages.AcceptBody, answer=messages.Answer, status=201)
def accept_issuance(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *accept*; without a body both cards are kept if one is there already."""
    opened = open_wallet(call, wallet)
    body = call.message(messages.AcceptBody) if call.body else messages.AcceptBody()
    flow = _issuance(call, wallet, opened)
    approval = receiving.propose_accept(
        wallet, opened, flow, replace=body.replace, now=wallet.clock()
    )
    return {"approval": approval}


@router.post(
    "/issuances", body=messages.WishBody, answer=messages.FlowAnswer, status=201, keyed=True
)
def ask_issuer(call: Call, wallet: Wallet) -> Answer:
    """Get a document from an agency of the trust list without an offer (W-02)."""
    opened = open_wallet(call, wallet)
    body = call.message(messages.WishBody)
    if body.configuration is None:
        wished = {
            "issuer": {"identifier": body.issuer},
            "format": body.format,
            "type": body.type,
        }
        flow = receiving.open_again(
            wallet,
            opened,
            wished,
            idempotency_key=call.header("idempotency-key"),
            now=wallet.clock(),
        )
        return issuance_answer(wallet, opened, flow)
    flow = receiving.open_issuer(
        wallet,
        opened,
        issuer=body.issuer,
        configuration=body.configuration,
        idempotency_key=call.header("idempotency-key"),
        now=wallet.clock(),
    )
    return issuance_answer(wallet, opened, flow)


@router.post("/issuances/callback", body=messages.CallbackBody, answer=messages.FlowAnswer)
def come_back(call: Call, wallet: Wallet) -> Answer:
    """The browser is back from the agency: in the session that began, and once (W-12)."""
    opened = open_wallet(call, wallet)
    parameters = call.message(messages.CallbackBody).parameters
    flow = authorizing.callback(wallet, opened, parameters, now=wallet.clock())
    return issuance_answer(wallet, opened, flow)


# -- Presentations ---------------------------------------------------------------------------


@router.post(
    "/presentations",
    body=messages.TicketBody,
    answer=messages.FlowAnswer,
    status=201,
    max_bytes=256 * 1024,
)
def adopt_presentation(call: Call, wallet: Wallet) -> Answer:
    """The request that `/authorize` verified, for the wallet that is open here."""
    opened = open_wallet(call, wallet)
    ticket = call.message(messages.TicketBody).ticket
    flow = presenting.adopt(wallet, opened, ticket, now=wallet.clock())
    return presentation_answer(wallet, opened, flow)


@router.get("/presentations/{id}", answer=messages.FlowAnswer)
def read_presentation(call: Call, wallet: Wallet) -> Answer:
    """Where a presentation stands, with the consent model while it is open."""
    opened = open_wallet(call, wallet)
    return presentation_answer(wallet, opened, _presentation(call, wallet, opened))


@router.post(
    "/presentations/{id}/select", body=messages.SelectBody, answer=messages.Answer, status=201
)
def select(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *present* for the citizen's choice."""
    opened = open_wallet(call, wallet)
    picks = call.message(messages.SelectBody).picks
    flow = _presentation(call, wallet, opened)
    approval = presenting.select(wallet, opened, flow, picks, now=wallet.clock())
    codes = approving.read(wallet, opened, approval).payload["warnings"]
    return {"approval": approval, "warnings": warnings_shown(wallet, opened, codes)}


# -- One step on -----------------------------------------------------------------------------


def _issuance(call: Call, wallet: Wallet, opened: OpenWallet) -> Flow:
    return flows.load(wallet, opened, issuances, call.path["id"])


def _presentation(call: Call, wallet: Wallet, opened: OpenWallet) -> Flow:
    return flows.load(wallet, opened, presentations, call.path["id"])


Load: TypeAlias = Callable[[Call, Wallet, OpenWallet], Flow]
Show: TypeAlias = Callable[[Wallet, OpenWallet, Flow], dict[str, JsonValue]]


def _step(place: str, act: Callable[..., Flow], load: Load, show: Show, what: str) -> None:
    """A route that takes a flow one step on by *act*, and answers with what there is to show."""

    def step(call: Call, wallet: Wallet) -> Answer:
        opened = open_wallet(call, wallet)
        flow = act(wallet, opened, load(call, wallet, opened), now=wallet.clock())
        return show(wallet, opened, flow)

    kind, _, name = place.partition("/{id}/")
    step.__name__, step.__doc__ = f"{name}_{kind.strip('/').removesuffix('s')}", what
    router.post(place, answer=messages.FlowAnswer)(step)


for _name, _act, _what in (
    ("refuse", receiving.refuse, "Before anything was taken."),
    ("authorize", authorizing.authorize, "Begin signing in: the browser goes to `authorize_url`."),
    ("collect", obtaining.collect, "Pick up what was deferred; not before `retry_at`."),
    ("resume", obtaining.resume, "Send again what was recorded and not answered: the same bytes."),
    ("keep", holding.keep, "The content is right: store it."),
    ("discard", holding.discard, "The content is wrong, or not wanted: store nothing."),
):
    _step(f"/issuances/{{id}}/{_name}", _act, _issuance, issuance_answer, _what)
for _name, _act, _what in (
    ("refuse", answering.refuse, "Answer `access_denied`; the same when nothing matches."),
    ("retry", answering.retry, "Post the stored answer again: the same bytes to the same place."),
):
    _step(f"/presentations/{{id}}/{_name}", _act, _presentation, presentation_answer, _what)
