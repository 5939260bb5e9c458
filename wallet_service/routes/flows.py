"""Long flows: scan, issuances, presentations, approvals. Pollable, resumable, idempotent."""

from collections.abc import Mapping
from typing import Any

from shared.encoding import JsonValue, b64url_encode, to_numeric_date
from shared.errors import InvalidInput
from shared.oid4vci import offer
from shared.oid4vp import invocation
from shared.runtime.routes import Answer, ApiRouter, Call, hot_api_router

from .. import (
    answering,
    approving,
    consenting,
    flows,
    holding,
    labelling,
    leaving,
    obtaining,
    passkey_adding,
    presenting,
    receiving,
    wording,
)
from ..approving import Approved
from ..context import Wallet
from ..flows import Flow
from ..tables import issuances, presentations
from ..vault import OpenWallet
from . import messages
from .signed_in import open_wallet

router: ApiRouter[Wallet] = hot_api_router()

_ISSUANCE_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "tx_code": ("tx-code", "refuse"),
    "preview": ("accept", "refuse"),
    "accepted": ("accept", "refuse"),
    "requesting": ("resume",),
    "review": ("keep", "discard"),
}
"""What may be done next. "accepted" and "requesting" are where a crash resumes."""


@router.post("/scan", body=messages.ScanBody, answer=messages.Answer, status=201)
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


@router.post("/issuances/{id}/accept", answer=messages.Answer, status=201)
def accept_issuance(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *accept*."""
    opened = open_wallet(call, wallet)
    flow = _issuance(call, wallet, opened)
    return {"approval": receiving.propose_accept(wallet, opened, flow, now=wallet.clock())}


@router.post("/issuances/{id}/refuse", answer=messages.FlowAnswer)
def refuse_issuance(call: Call, wallet: Wallet) -> Answer:
    """Before anything was taken."""
    opened = open_wallet(call, wallet)
    flow = receiving.refuse(wallet, opened, _issuance(call, wallet, opened), now=wallet.clock())
    return issuance_answer(wallet, opened, flow)


@router.post("/issuances/{id}/resume", answer=messages.FlowAnswer)
def resume_issuance(call: Call, wallet: Wallet) -> Answer:
    """Send again what was recorded and not answered: the same bytes."""
    opened = open_wallet(call, wallet)
    flow = obtaining.resume(wallet, opened, _issuance(call, wallet, opened), now=wallet.clock())
    return issuance_answer(wallet, opened, flow)


@router.post("/issuances/{id}/keep", answer=messages.FlowAnswer)
def keep_issuance(call: Call, wallet: Wallet) -> Answer:
    """The content is right: store it."""
    opened = open_wallet(call, wallet)
    flow = holding.keep(wallet, opened, _issuance(call, wallet, opened), now=wallet.clock())
    return issuance_answer(wallet, opened, flow)


@router.post("/issuances/{id}/discard", answer=messages.FlowAnswer)
def discard_issuance(call: Call, wallet: Wallet) -> Answer:
    """The content is wrong, or not wanted: store nothing."""
    opened = open_wallet(call, wallet)
    flow = holding.discard(wallet, opened, _issuance(call, wallet, opened), now=wallet.clock())
    return issuance_answer(wallet, opened, flow)


def issuance_answer(wallet: Wallet, opened: OpenWallet, flow: Flow) -> dict[str, JsonValue]:
    """What an app shows of an issuance."""
    answer = _flow_answer(flow, _ISSUANCE_ACTIONS.get(flow.step, ()))
    locale, state = holding.locale_of(wallet, opened), flow.state
    if "parts" in state:
        answer["issuer"] = {
            "name": wording.choose(state["entity_names"], locale),
            "identifier": state["issuer"],
            "trust": "registered",
        }
        answer["documents"] = [
            {
                "name": wording.choose(each["names"], locale),
                "format": each["format"],
                "copies": each["copies"],
            }
            for each in state["parts"]
        ]
        answer["tx_code"] = state["tx_code"] if flow.step == "tx_code" else None
    if flow.step == "review":
        answer["content"] = [
            {
                "name": wording.choose(each["names"], locale),
                "claims": labelling.claims_shown(each["claims"], each["labels"], locale=locale),
                "expires_at": each["expires_at"],
                "copies": len(each["copies"]),
            }
            for each in state["checked"]
        ]
    if flow.step == "stored":
        answer["credentials"] = state["credentials"]
    if "reason" in state:
        answer["reason"] = state["reason"]
    return answer


# -- Presentations ---------------------------------------------------------------------------


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
    return {"approval": presenting.select(wallet, opened, flow, picks, now=wallet.clock())}


@router.post("/presentations/{id}/refuse", answer=messages.FlowAnswer)
def refuse_presentation(call: Call, wallet: Wallet) -> Answer:
    """Answer `access_denied`; the same when nothing matches."""
    opened = open_wallet(call, wallet)
    flow = answering.refuse(wallet, opened, _presentation(call, wallet, opened), now=wallet.clock())
    return presentation_answer(wallet, opened, flow)


@router.post("/presentations/{id}/retry", answer=messages.FlowAnswer)
def retry_presentation(call: Call, wallet: Wallet) -> Answer:
    """Post the stored answer again: the same bytes to the same place."""
    opened = open_wallet(call, wallet)
    flow = answering.deliver(
        wallet, opened, _presentation(call, wallet, opened), now=wallet.clock()
    )
    return presentation_answer(wallet, opened, flow)


def presentation_answer(wallet: Wallet, opened: OpenWallet, flow: Flow) -> dict[str, JsonValue]:
    """What an app shows of a presentation."""
    if flow.step == "consent":
        asked = presenting.question(wallet, opened, flow)
        actions = ("select", "refuse") if asked.answerable else ("refuse",)
        locale = holding.locale_of(wallet, opened)
        labels = labelling.labels_by_type(wallet, opened, asked.newest_by_type())
        model = consenting.model(asked, labels, locale=locale, now=wallet.clock())
        return {**_flow_answer(flow, actions), "consent": model}
    answer = _flow_answer(flow, ("retry",) if flow.step == "answered" else ())
    for name in ("outcome", "redirect_uri", "reason"):
        if name in flow.state:
            answer[name] = flow.state[name]
    return answer


# -- Approvals -------------------------------------------------------------------------------


@router.get("/approvals/{id}", answer=messages.ApprovalAnswer)
def read_approval(call: Call, wallet: Wallet) -> Answer:
    """The payload to show, and what the one gesture needs."""
    opened = open_wallet(call, wallet)
    pending = approving.read(wallet, opened, call.path["id"])
    answer: dict[str, JsonValue] = {
        "id": pending.id,
        "type": pending.type,
        "state": pending.state,
        "payload": pending.payload,
        "expires_at": to_numeric_date(pending.expires_at),
    }
    if pending.state == "pending":
        answer |= approving.gesture(wallet, opened, pending)
    return answer


@router.post("/approvals/{id}/approve", body=messages.ApproveBody, answer=messages.Answer)
def approve(call: Call, wallet: Wallet) -> Answer:
    """Use the approval up and do what it approves."""
    opened = open_wallet(call, wallet)
    body = call.message(messages.ApproveBody)
    approved = approving.consume(
        wallet,
        opened,
        call.path["id"],
        assertion=body.assertion,
        copies=frozenset(body.copy_keys),
        now=wallet.clock(),
    )
    return _carry_out(wallet, opened, approved, body)


@router.post("/approvals/{id}/refuse", status=204)
def refuse_approval(call: Call, wallet: Wallet) -> Answer:
    """The citizen decided otherwise; the flow it belongs to stays where it was."""
    opened = open_wallet(call, wallet)
    approving.refuse(wallet, opened, call.path["id"])
    return None


def _carry_out(
    wallet: Wallet, opened: OpenWallet, approved: Approved, body: messages.ApproveBody
) -> dict[str, JsonValue]:
    now = wallet.clock()
    match approved.type:
        case "accept":
            flow = flows.load(wallet, opened, issuances, approved.payload["flow"])
            flow = obtaining.obtain(wallet, opened, flow, approved, body.copy_keys, now=now)
            return {"type": approved.type, **issuance_answer(wallet, opened, flow)}
        case "present":
            flow = flows.load(wallet, opened, presentations, approved.payload["flow"])
            flow = answering.answer(wallet, opened, flow, approved, body.copy_keys, now=now)
            return {"type": approved.type, **presentation_answer(wallet, opened, flow)}
        case "add_unlocker":
            passkey_adding.add(wallet, opened, approved, body.wraps, now=now)
        case "delete_credential":
            holding.delete_card(wallet, opened, approved, now=now)
        case "delete_wallet":
            head = leaving.delete_wallet(wallet, opened, approved, now=now)
            return {
                "type": approved.type,
                "log_head": b64url_encode(head.hash),
                "wallet_version": head.version,
            }
    return {"type": approved.type}


def _issuance(call: Call, wallet: Wallet, opened: OpenWallet) -> Flow:
    return flows.load(wallet, opened, issuances, call.path["id"])


def _presentation(call: Call, wallet: Wallet, opened: OpenWallet) -> Flow:
    return flows.load(wallet, opened, presentations, call.path["id"])


def _flow_answer(flow: Flow, actions: tuple[str, ...]) -> dict[str, Any]:
    return {
        "id": flow.id,
        "step": flow.step,
        "allowed_actions": list(actions),
        "expires_at": to_numeric_date(flow.expires_at),
    }
