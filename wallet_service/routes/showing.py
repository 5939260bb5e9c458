"""Flows as an app sees them: step, what may be done next, and what there is to look at."""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.encoding import JsonValue, to_numeric_date

from .. import (
    consenting,
    contacting,
    holding,
    labelling,
    lacking,
    obtaining,
    presenting,
    receiving,
    replacing,
    wording,
)
from ..context import Wallet
from ..flows import Flow
from ..holding import Card
from ..vault import OpenWallet

_ISSUANCE_ACTIONS: Mapping[str, tuple[str, ...]] = {
    "tx_code": ("tx-code", "refuse"),
    "sign_in": ("accept", "authorize", "refuse"),
    "authorizing": ("accept", "authorize", "refuse"),
    "redeeming": ("accept", "authorize", "refuse"),
    "preview": ("accept", "refuse"),
    "accepted": ("accept", "refuse"),
    "requesting": ("resume", "refuse"),
    "deferred": ("collect", "refuse"),
    "review": ("keep", "discard"),
}
"""What may be done next. "accepted" and "requesting" are where a crash resumes."""
_BEFORE = ("tx_code", *obtaining.UNDECIDED)  # the citizen's yes


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
        held = receiving.already_held(wallet, opened, state) if flow.step in _BEFORE else {}
        answer["documents"] = [
            {
                "name": wording.choose(each["names"], locale),
                "format": each["format"],
                "copies": each["copies"],
                "already": [
                    card
                    for card, data in held.items()
                    if replacing.same_kind(data, state["entity"], each)
                ],
            }
            for each in state["parts"]
        ]
        answer["renews"] = state.get("replaces")
        answer["accepted"] = bool(state.get("early_proofs"))
        answer["tx_code"] = state["tx_code"] if flow.step == "tx_code" else None
        if flow.step == "tx_code":
            answer["tries_left"] = state.get("tries_left")
    if flow.step == "review":
        answer["content"] = [
            _content(each, old, locale=locale)
            for each, old in zip(state["checked"], _old(wallet, opened, state), strict=True)
        ]
    if flow.step == "stored":
        answer["credentials"] = state["credentials"]
    for name, step in (("authorize_url", "authorizing"), ("retry_at", "deferred")):
        if flow.step == step:
            answer[name] = state.get(name)
    if state.get("reason"):
        answer["reason"] = state["reason"]
    return answer


def _old(wallet: Wallet, opened: OpenWallet, state: Mapping[str, Any]) -> list[Card | None]:
    """The cards whose places the received ones take."""
    if state.get("replaces") is not None:
        return [holding.card(wallet, opened, state["replaces"])]
    return holding.exchanges(wallet, opened, state)


def _content(new: Mapping[str, Any], old: Card | None, *, locale: str) -> dict[str, JsonValue]:
    claims, labels = new["claims"], new["labels"]
    return {
        "name": wording.choose(new["names"], locale),
        "format": new["format"],
        "claims": labelling.claims_shown(claims, labels, locale=locale),
        "expires_at": new["expires_at"],
        "copies": len(new["copies"]),
        "replaces": None if old is None else old.id,
        "changed": []
        if old is None
        else replacing.changed(old.data["claims"], claims, labels, locale=locale),
    }


def presentation_answer(wallet: Wallet, opened: OpenWallet, flow: Flow) -> dict[str, JsonValue]:
    """What an app shows of a presentation."""
    if flow.step == "consent":
        asked = presenting.question(wallet, opened, flow)
        actions = ("select", "refuse") if asked.answerable else ("refuse",)
        locale = holding.locale_of(wallet, opened)
        labels = labelling.labels_by_type(wallet, opened, asked.newest_by_type())
        left = holding.copies_left(wallet, opened)
        now = wallet.clock()
        trust = contacting.trust_list(wallet)
        lacks = lacking.lacking(asked, trust, locale=locale, now=now)
        model = consenting.model(asked, labels, left=left, lacks=lacks, locale=locale, now=now)
        return {**_flow_answer(flow, actions), "consent": model}
    answer = _flow_answer(flow, ("retry",) if flow.step == "answered" else ())
    for name in ("outcome", "redirect_uri", "reason"):
        if name in flow.state:
            answer[name] = flow.state[name]
    if "verifier" in flow.state:
        locale = holding.locale_of(wallet, opened)
        answer["verifier"] = {"name": wording.choose(flow.state["verifier"]["names"], locale)}
        answer["go_on"] = _go_on(flow.state)
    return answer


def _go_on(state: Mapping[str, Any]) -> str:
    """Where the citizen looks next: a redirect leads on in the browser that was sent here (W-62).

    Who scanned a code looks at the other screen again, whatever page the agency names for the phone
    (PAIN_POINTS 6).
    """
    if state["cross_device"]:
        return "other_device"
    return "website" if state.get("redirect_uri") else "here"


def warnings_shown(wallet: Wallet, opened: OpenWallet, codes: Sequence[str]) -> list[JsonValue]:
    """What an approval warns of; some of it is known only once cards were chosen."""
    return consenting.warnings(codes, holding.locale_of(wallet, opened))


def _flow_answer(flow: Flow, actions: tuple[str, ...]) -> dict[str, Any]:
    return {
        "id": flow.id,
        "step": flow.step,
        "allowed_actions": list(actions),
        "expires_at": to_numeric_date(flow.expires_at),
    }
