"""From the citizen's yes to checked credentials: token, nonce, proofs, request, answer.

Keys and step are recorded, sealed, before each call, and the credential request is resent byte for
byte, so a crash resumes. The holder keys live in memory for one request only: whatever needs them
again needs a new gesture. Before a sign-in at the agency the proofs are made with the yes, and wait
with the flow (ADR 0029). What an issuer defers is picked up while the wallet is open, never before
its time and by one request at a time (`collect`).

Specification: OpenID4VCI 1.0, sections 7, 8, 9 and 10; PROFILE W-14, W-30 to W-35, W-40, W-42.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.encoding import dump_json, from_numeric_date, to_numeric_date
from shared.errors import ExpectedError

from . import asking, flows, proving, tokens
from .approving import Approved
from .asking import NonceRefused, Prover
from .checking import check_received
from .context import Wallet
from .flows import Flow
from .posting import Line
from .tables import issuances
from .vault import OpenWallet

UNDECIDED = ("sign_in", "authorizing", "redeeming", "preview", "accepted")  # yes can be said
_DEFERRED = timedelta(days=90)  # a flow that waits for its issuer lives this long


def obtain(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    approved: Approved,
    copy_keys: Mapping[str, bytes],
    *,
    now: datetime,
) -> Flow:
    """Go from an approved *accept* to checked credentials that wait to be kept.

    Before a sign-in at the agency only the proofs are made; `fetch` goes on when it is over.

    Raises:
        CodeRefused, IssuerRefused: the agency said no; the flow says how to go on.
        Unavailable: no answer; `resume` goes on where it stopped.
    """
    flows.expect(flow, *UNDECIDED, now=now)
    signs_in = flow.step not in {"preview", "accepted"}
    # 1. New keys, sealed; nothing of an earlier attempt stays in use.
    keys = proving.create_keys(wallet.holder_keys, approved, copy_keys)
    state = {
        **flow.state,
        **proving.sealed_keys(approved, keys),
        "receipt": approved.receipt(),
        "exchange": approved.payload.get("replaces", []),
        "requests": [],
        "early_proofs": None,
        "reason": None,
    }
    step = "accepted"
    if signs_in:
        step, _ = "sign_in", Line.of(wallet, opened, state, now=now)
    flow = flows.record(wallet, opened, issuances, flow, to=step, state=state)
    prover = proving.Proofs(wallet.provider, approved, keys)
    if signs_in:
        return _prove_early(wallet, opened, flow, prover, now=now)
    # 2. The token, once.
    if flow.state["access_token"] is None:
        flow = tokens.again(wallet, opened, flow, to="accepted", now=now)
    return proceed(wallet, opened, flow, prover, now=now)


def _prove_early(
    wallet: Wallet, opened: OpenWallet, flow: Flow, prover: Prover, *, now: datetime
) -> Flow:
    """Proofs for the request that follows the sign-in: a c_nonce needs no token (VCI 7)."""
    state = dict(flow.state)
    line = Line.of(wallet, opened, state, now=now)
    state["early_proofs"] = {
        part["configuration"]: asking.prove(line, state, part, prover, now=now)
        for part in state["parts"]
    }
    return flows.record(wallet, opened, issuances, flow, to="sign_in", state=state)


def fetch(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """Signed in, and accepted before: go on to checked credentials with the proofs made then.

    Where the sign-in took longer than their c_nonce lives, the flow stands at `accepted`, with its
    token, for another gesture.

    Raises: as `obtain`.
    """
    flows.expect(flow, "accepted", now=now)
    proofs = flow.state["early_proofs"]
    requests = [
        {**asking.compose(flow.state, part, proofs[part["configuration"]]), "early": True}
        for part in flow.state["parts"]
    ]
    state = {**flow.state, "early_proofs": None, "requests": requests}
    flow = flows.record(wallet, opened, issuances, flow, to="requesting", state=state)
    return resume(wallet, opened, flow, now=now)


def proceed(
    wallet: Wallet, opened: OpenWallet, flow: Flow, proofs: Prover, *, now: datetime
) -> Flow:
    """With its token and its keys there, go from `accepted` to checked credentials.

    Raises: as `obtain`.
    """
    flows.expect(flow, "accepted", now=now)
    # 3. A c_nonce and proofs for each configuration; the request bytes are recorded.
    flow = _record_requests(wallet, opened, flow, proofs, now=now)
    # 4. Send them; a wrong nonce is the one refusal that a new proof cures (W-31).
    try:
        return _collect(wallet, opened, flow, now=now)
    except NonceRefused:
        flow = flows.load(wallet, opened, issuances, flow.id)
        flow = _record_requests(wallet, opened, flow, proofs, now=now)
        return resume(wallet, opened, flow, now=now)


def resume(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """Send what was recorded and not answered yet, the same bytes, and check what comes.

    If the issuer has used up their c_nonce, because only its answer was lost, new proofs are needed
    and so a new gesture: the flow stands at `accepted` again, with its token.
    """
    flows.expect(flow, "requesting", now=now)
    try:
        return _collect(wallet, opened, flow, now=now)
    except NonceRefused:
        return _approve_again(wallet, opened, flow)


def collect(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """Pick up what the issuer deferred, if its time has come; else nothing is called (W-40).

    If the issuer has handed it out, because only its answer was lost, it does not do so again: the
    flow stands at `accepted`, with its token, for new keys and so for a new gesture.

    Raises:
        StepChanged: nothing is deferred, or another request is picking it up.
        IssuerRefused: it will never come; the flow has failed.
        Unavailable: no answer; it can be asked again after the interval.
    """
    flows.expect(flow, "deferred", now=now)
    if now < from_numeric_date(flow.state["retry_at"]):
        return flow
    # 1. The next time is recorded first: of two requests one asks, and a crash only waits. Nothing
    #    waits any more if it came between the last answer and its check.
    before = flow.state["requests"]
    waits = [each["deferred"]["interval"] for each in before if _waits(each)]
    retry_at = to_numeric_date(now + timedelta(seconds=max(waits, default=0)))
    requests = [{**each, "asked": True} if _waits(each) else each for each in before]
    state = {**flow.state, "retry_at": retry_at, "requests": requests}
    flow = flows.record(wallet, opened, issuances, flow, to="deferred", state=state)
    # 2. Each that waits is asked for, with the key and the encryption of today.
    try:
        for index, request in enumerate(before):
            if _waits(request):
                fresh = asking.deferred(flow.state, request)
                flow = _answered(wallet, opened, flow, index, fresh, now=now)
    except NonceRefused:
        return _approve_again(wallet, opened, flow)
    return _finish(wallet, opened, flow, now=now)


def notify(wallet: Wallet, state: Mapping[str, Any], event: str, *, now: datetime) -> None:
    """Tell the issuer what became of its credentials, if it asked; failing is no failure (W-42)."""
    url = state["endpoints"]["notification"]
    for request in state["requests"]:
        notification_id = (request.get("answer") or {}).get("notification_id")
        if notification_id is None or url is None:
            continue
        body = dump_json({"notification_id": notification_id, "event": event})
        try:
            Line(wallet, state["line"]).send(url, body, token=state["access_token"], now=now)
        except ExpectedError:
            continue


def _record_requests(
    wallet: Wallet, opened: OpenWallet, flow: Flow, proofs: Prover, *, now: datetime
) -> Flow:
    """The bytes of every request that is not answered yet, with new nonces; recorded."""
    state = dict(flow.state)
    line = Line(wallet, state["line"])
    requests = state["requests"] or [{"part": part} for part in state["parts"]]
    state["requests"] = [
        each
        if each.get("answer")
        else asking.compose(
            state, each["part"], asking.prove(line, state, each["part"], proofs, now=now)
        )
        for each in requests
    ]
    return flows.record(wallet, opened, issuances, flow, to="requesting", state=state)


def _approve_again(wallet: Wallet, opened: OpenWallet, flow: Flow) -> Flow:
    flow = flows.load(wallet, opened, issuances, flow.id)
    state = {**flow.state, "requests": [], "reason": "approve_again"}
    return flows.record(wallet, opened, issuances, flow, to="accepted", state=state)


def _collect(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    for index, request in enumerate(flow.state["requests"]):
        if request.get("answer") is None and not _waits(request):
            flow = _answered(wallet, opened, flow, index, request, now=now)
    return _finish(wallet, opened, flow, now=now)


def _answered(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    index: int,
    request: Mapping[str, Any],
    *,
    now: datetime,
) -> Flow:
    """Send one request; its answer, or when to ask again, is recorded at once."""
    flow, answer = asking.send(wallet, opened, flow, request, now=now)
    if answer.status not in {200, 202}:
        asking.refused(wallet, opened, flow, request, answer)
    message = asking.opened_answer(wallet, opened, flow, request, answer)
    requests = list(flow.state["requests"])
    if message.credentials is None:
        interval = message.wait.total_seconds()
        waiting = {"transaction_id": message.transaction_id, "interval": interval}
        asked = {"body": None, "deferred": waiting, "asked": False}
        requests[index] = {**requests[index], **asked}
    else:
        answered = {"answer": message.to_object(), "deferred": None}
        requests[index] = {**requests[index], **answered}
    state = {**flow.state, "requests": requests}
    return flows.record(wallet, opened, issuances, flow, to=flow.step, state=state)


def _finish(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    waits = [each["deferred"]["interval"] for each in flow.state["requests"] if _waits(each)]
    if waits:
        retry_at = to_numeric_date(now + timedelta(seconds=max(waits)))
        state = {**flow.state, "retry_at": retry_at}
        return flows.record(
            wallet, opened, issuances, flow, to="deferred", state=state, expires_at=now + _DEFERRED
        )
    # 5. Every copy is checked before the citizen sees it (W-41).
    try:
        checked = check_received(wallet, flow.state, now=now)
    except ExpectedError as error:
        tokens.fail(wallet, opened, flow, getattr(error, "reason", "invalid"))
        notify(wallet, flow.state, "credential_failure", now=now)
        raise
    state = {**flow.state, "checked": checked}
    return flows.record(wallet, opened, issuances, flow, to="review", state=state)


def _waits(request: Mapping[str, Any]) -> bool:
    return request.get("deferred") is not None and request.get("answer") is None
