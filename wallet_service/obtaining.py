"""From the citizen's yes to checked credentials: token, nonce, proofs, request, answer.

Keys and step are recorded, sealed, before each call, and the credential request is resent byte for
byte, so a crash resumes. The holder keys live in memory for one request only: whatever needs them
again needs a new gesture. DPoP nonces are remembered per server (W-20).

Specification: OpenID4VCI 1.0, sections 6, 7, 8; RFC 9449; PROFILE W-13, W-14, W-20, W-21, W-30 to
W-35, W-40.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from shared.crypto.software import SoftwareKey
from shared.encoding import JsonValue, b64url_encode, dump_json
from shared.errors import Conflict, ExpectedError, Unavailable
from shared.oauth.messages import (
    PRE_AUTHORIZED_CODE,
    TokenResponse,
    make_form,
)
from shared.oid4vci.messages import MAX_RESPONSE_BYTES, CredentialResponse, NonceResponse
from shared.runtime.fetch import Fetched

from . import flows, signer
from .approving import Approved
from .checking import check_received
from .context import Wallet
from .flows import Flow
from .posting import MAX_ANSWER, AgencyUnclear, answer_of_agency, error_of, post_with_dpop
from .signer import NewKey
from .tables import issuances
from .vault import OpenWallet


class IssuerRefused(Conflict):
    """The agency said no; `reason` is for the flow, its own words are not repeated."""

    code = "issuer_refused"
    whose_fault = "issuer"
    public = "The agency did not issue the document."
    next_step = "Ask the agency for a new offer."


class CodeRefused(Conflict):
    """`invalid_grant`: the code is spent or too old, or the Transaction Code was wrong."""

    code = "code_refused"
    public = "The agency did not accept the code: it is wrong, used or too old."
    next_step = "Check the code and try again, or ask the agency to renew the offer."


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

    Raises:
        CodeRefused, IssuerRefused: the agency said no; the flow says how to go on.
        Unavailable: no answer; `resume` goes on where it stopped.
    """
    flows.expect(flow, "preview", "accepted", now=now)
    # 1. New keys, sealed; nothing of an earlier attempt stays in use.
    keys = signer.create_keys(approved, copy_keys)
    state = {
        **flow.state,
        "copies": {
            item["copy"]: {
                "configuration": item["configuration"],
                "jwk": keys[item["copy"]].key.public.to_jwk(),
                "key_blob": b64url_encode(keys[item["copy"]].blob),
            }
            for item in approved.payload["items"]
        },
        "dpop_key": flow.state.get("dpop_key") or b64url_encode(SoftwareKey.generate().scalar()),
        "receipt": approved.receipt(),
        "requests": [],
    }
    flow = flows.record(wallet, opened, issuances, flow, to="accepted", state=state)
    # 2. The token, once.
    if flow.state.get("access_token") is None:
        flow = _token(wallet, opened, flow, now=now)
    # 3. A c_nonce and proofs for each configuration; the request bytes are recorded.
    requests = [_request(wallet, flow, approved, keys, part, now=now) for part in state["parts"]]
    state = {**flow.state, "requests": requests}
    flow = flows.record(wallet, opened, issuances, flow, to="requesting", state=state)
    # 4. Send them; a wrong nonce is the one refusal that a new proof cures (W-31).
    try:
        return _collect(wallet, opened, flow, now=now)
    except _NonceRefused:
        flow = flows.load(wallet, opened, issuances, flow.id)
        open_requests = [
            request
            if request.get("answer")
            else _request(wallet, flow, approved, keys, request["part"], now=now)
            for request in flow.state["requests"]
        ]
        state = {**flow.state, "requests": open_requests}
        flow = flows.record(wallet, opened, issuances, flow, to="requesting", state=state)
        return resume(wallet, opened, flow, now=now)


def resume(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """Send what was recorded and not answered yet, the same bytes, and check what comes.

    If the issuer has used up their c_nonce, because only its answer was lost, new proofs are needed
    and so a new gesture: the flow stands at `accepted` again, with its token.
    """
    flows.expect(flow, "requesting", now=now)
    try:
        return _collect(wallet, opened, flow, now=now)
    except _NonceRefused:
        flow = flows.load(wallet, opened, issuances, flow.id)
        state = {**flow.state, "requests": []}
        return flows.record(wallet, opened, issuances, flow, to="accepted", state=state)


def _collect(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    for index, request in enumerate(flow.state["requests"]):
        if request.get("answer") is None:
            answer = _post(wallet, flow.state, request, now=now)
            if answer.status not in {200, 202}:
                _refused(wallet, opened, flow, answer)
            message = _credentials(wallet, opened, flow, answer)
            requests = list(flow.state["requests"])
            requests[index] = {**request, "answer": message.to_object()}
            state = {**flow.state, "requests": requests}
            flow = flows.record(wallet, opened, issuances, flow, to="requesting", state=state)
    # 5. Every copy is checked before the citizen sees it (W-41).
    try:
        checked = check_received(wallet, flow.state, now=now)
    except ExpectedError as error:
        _fail(wallet, opened, flow, getattr(error, "reason", "invalid"))
        notify(wallet, flow.state, "credential_failure", now=now)
        raise
    state = {**flow.state, "checked": checked}
    return flows.record(wallet, opened, issuances, flow, to="review", state=state)


def notify(wallet: Wallet, state: Mapping[str, Any], event: str, *, now: datetime) -> None:
    """Tell the issuer what became of its credentials, if it asked; failing is no failure (W-42)."""
    for request in state["requests"]:
        notification_id = (request.get("answer") or {}).get("notification_id")
        if notification_id is None or state["notification_endpoint"] is None:
            continue
        body = dump_json({"notification_id": notification_id, "event": event})
        try:
            _send(wallet, state, state["notification_endpoint"], body, now=now)
        except ExpectedError:
            continue


def _token(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    state = flow.state
    form = {"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": state["pre_authorized_code"]}
    if state["tx_code_value"] is not None:
        form["tx_code"] = state["tx_code_value"]
    body = make_form(form)
    answer = post_with_dpop(
        wallet,
        state,
        state["token_endpoint"],
        body,
        content_type="application/x-www-form-urlencoded",
        token=None,
        now=now,
    )
    if answer.status != 200:
        if error_of(answer) == "invalid_grant":
            step = "failed" if state["tx_code"] is None else "tx_code"
            reset = {**state, "tx_code_value": None, "reason": "code_refused"}
            flows.record(wallet, opened, issuances, flow, to=step, state=reset)
            raise CodeRefused("token: invalid_grant")
        _refused(wallet, opened, flow, answer)
    with answer_of_agency():
        message = TokenResponse.parse(answer.body, max_bytes=MAX_ANSWER)
        message.check_bound()
    identifiers = {
        each.credential_configuration_id: each.credential_identifiers[0]
        for each in message.authorization_details or ()
        if each.credential_identifiers
    }
    # The codes are spent: only what is still needed is kept.
    state = {
        **state,
        "access_token": message.access_token,
        "identifiers": identifiers,
        "pre_authorized_code": None,
        "tx_code_value": None,
    }
    return flows.record(wallet, opened, issuances, flow, to="accepted", state=state)


def _request(
    wallet: Wallet,
    flow: Flow,
    approved: Approved,
    keys: Mapping[str, NewKey],
    part: Mapping[str, Any],
    *,
    now: datetime,
) -> dict[str, Any]:
    state, configuration = flow.state, part["configuration"]
    with answer_of_agency():
        answer = wallet.fetcher.post_bytes(
            state["nonce_endpoint"], b"", content_type="application/json",
            accept="application/json", max_bytes=MAX_ANSWER,
        )  # fmt: skip
        if answer.status != 200:
            raise Unavailable("nonce endpoint: no nonce")
        c_nonce = NonceResponse.parse(answer.body, max_bytes=MAX_ANSWER).c_nonce
    proofs = signer.prove(approved, keys, configuration=configuration, nonce=c_nonce, now=now)
    identifier = state["identifiers"].get(configuration)
    named: dict[str, JsonValue] = (
        {"credential_configuration_id": configuration}
        if identifier is None
        else {"credential_identifier": identifier}
    )  # W-14
    body = dump_json({**named, "proofs": {"jwt": proofs}})
    return {"part": dict(part), "body": body.decode(), "answer": None}


def _credentials(
    wallet: Wallet, opened: OpenWallet, flow: Flow, answer: Fetched
) -> CredentialResponse:
    try:
        with answer_of_agency():
            message = CredentialResponse.parse(answer.body, max_bytes=MAX_RESPONSE_BYTES)
    except AgencyUnclear:
        _fail(wallet, opened, flow, "invalid_input")
        raise
    if message.credentials is None:
        _fail(wallet, opened, flow, "deferred")
        raise IssuerRefused("credential response: deferred, which is not supported yet")
    return message


def _post(
    wallet: Wallet, state: dict[str, Any], request: Mapping[str, Any], *, now: datetime
) -> Fetched:
    return _send(wallet, state, state["credential_endpoint"], request["body"].encode(), now=now)


def _send(
    wallet: Wallet, state: Mapping[str, Any], url: str, body: bytes, *, now: datetime
) -> Fetched:
    return post_with_dpop(
        wallet,
        state,
        url,
        body,
        content_type="application/json",
        token=state["access_token"],
        now=now,
    )


class _NonceRefused(ExpectedError):
    """`invalid_nonce`: to be cured with a new nonce and new proofs."""


def _refused(wallet: Wallet, opened: OpenWallet, flow: Flow, answer: Fetched) -> None:
    """Raise what the issuer's refusal means; the flow ends unless trying again can help."""
    code = error_of(answer)
    if answer.status >= 500 or answer.status == 429:
        raise Unavailable("issuer: does not answer properly now")
    if code == "invalid_nonce":
        raise _NonceRefused("credential request: invalid_nonce")
    if code is None:
        raise AgencyUnclear(f"issuer: status {answer.status} without a code")
    _fail(wallet, opened, flow, "issuer_refused")
    raise IssuerRefused(f"issuer: refused with status {answer.status}")


def _fail(wallet: Wallet, opened: OpenWallet, flow: Flow, reason: str) -> None:
    flows.record(wallet, opened, issuances, flow, to="failed", state={"reason": reason})
