"""Approvals: what is to be approved, and the one gesture that does it."""

from shared.encoding import JsonValue, b64url_encode, to_numeric_date
from shared.runtime.routes import Answer, ApiRouter, Call, hot_api_router

from .. import (
    answering,
    approving,
    code_replacing,
    exporting,
    flows,
    forgetting,
    holding,
    leaving,
    obtaining,
    passkey_adding,
    striking_off,
)
from ..approving import Approved
from ..context import Wallet
from ..tables import issuances, presentations
from ..vault import OpenWallet
from . import messages
from .showing import issuance_answer, presentation_answer
from .signed_in import open_wallet

router: ApiRouter[Wallet] = hot_api_router()


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
        case "remove_unlocker":
            striking_off.strike_off(wallet, opened, approved, now=now)
        case "replace_code":
            code_replacing.replace(wallet, opened, approved, body.wraps, now=now)
        case "delete_credential":
            holding.delete_card(wallet, opened, approved, now=now)
        case "delete_log_entry":
            forgetting.forget(wallet, opened, approved, now=now)
        case "export":
            migration = exporting.export(wallet, opened, approved, now=now)
            return {"type": approved.type, "migration": migration}
        case "delete_wallet":
            head = leaving.delete_wallet(wallet, opened, approved, now=now)
            return {
                "type": approved.type,
                "log_head": b64url_encode(head.hash),
                "wallet_version": head.version,
            }
    return {"type": approved.type}
