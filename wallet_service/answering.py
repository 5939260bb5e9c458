"""From the citizen's yes or no to one answer: signed, spent, stored, posted.

The copies are spent and the encrypted response is stored in one transaction; only then it is
posted, and a retry sends the same bytes to the same place. A refusal and "no match" are the same
message, made the same way (S-42). The redirect goes to the citizen's browser unchanged.

Specification: OpenID4VP 1.0, section 8; PROFILE W-60 to W-63, S-42; WALLET_SECURITY 6 (presenting).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from shared.encoding import JsonValue, b64url_decode, b64url_encode
from shared.errors import Conflict, ExpectedError, InvalidInput, Unavailable
from shared.oauth.encryption import EncryptionKey
from shared.oid4vp import response
from shared.oid4vp.errors import AccessDenied
from shared.oid4vp.response import AuthorizationResponse
from shared.runtime.fetch import Fetched

from . import choosing, flows, logbook, signer
from .approving import Approved
from .choosing import OpenCopy
from .context import Wallet
from .flows import Flow
from .tables import presentations
from .vault import OpenWallet

_MAX_ANSWER = 64 * 1024
_KEPT = timedelta(hours=24)  # an answer that did not arrive can be sent again for so long


class VerifierRefused(Conflict):
    """The verifier did not take the answer."""

    code = "verifier_refused"
    whose_fault = "verifier"
    public = "The agency did not accept the answer: it came too late, or a document is not valid."
    next_step = "Ask the agency: it sees the reason."


def answer(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    approved: Approved,
    copy_keys: Mapping[str, bytes],
    *,
    now: datetime,
) -> Flow:
    """Make, store and post exactly the presentation that was approved.

    Raises:
        CopyTaken: a copy was used by another presentation meanwhile; nothing was shared.
        StepChanged: this request was answered before.
    """
    flows.expect(flow, "consent", now=now)
    payload, state = approved.payload, flow.state
    entity = payload["verifier"]["entity"]
    # 1. Open each copy, sign its presentation: the holder key lives for this moment only.
    used: list[OpenCopy] = []
    by_query: dict[str, list[str]] = {}
    for item in payload["items"]:
        copy = choosing.open_copy(wallet, opened, item["copy"], uses=item["uses"])
        shown = signer.present(
            wallet.holder_keys,
            approved,
            copy=copy.id,
            k_copy=copy_keys[copy.id],
            key_blob=copy.key_blob,
            held=copy.held,
            now=now,
        )
        used.append(copy)
        by_query.setdefault(item["query"], []).append(shown)
    # 2. One response, encrypted to the key of this request (HAIP).
    body = _form(response.presentations(by_query, state=state["state"]), state)
    # 3. Spent, stored, logged: together or not at all.
    stored = {**_closed(state), "response": b64url_encode(body), "outcome": "shared"}
    with wallet.database.transaction() as connection:
        for copy in used:
            choosing.spend(connection, opened, copy, entity=entity)
        logbook.append(
            connection,
            opened,
            kind="presentation",
            result="shared",
            body=_log_body(payload, approved),
            now=now,
            spent=[copy.id for copy in used],
        )
        flow = flows.advance(
            connection,
            opened,
            presentations,
            flow,
            to="answered",
            state=stored,
            expires_at=now + _KEPT,
        )
    # 4. Posted.
    return deliver(wallet, opened, flow, now=now)


def refuse(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """Say `access_denied`: also when nothing matches, and then in no other way.

    Raises:
        Unavailable: the agency does not answer; it can be told again.
    """
    if flow.step != "consent":  # its end is no matter: to refuse is never too late
        raise flows.StepChanged(f"flow: at {flow.step}")
    state = flow.state
    body = _form(response.refusal(AccessDenied("refused"), state=state["state"]), state)
    stored = {**_closed(state), "response": b64url_encode(body), "outcome": "refused"}
    with wallet.database.transaction() as connection:
        logbook.append(
            connection,
            opened,
            kind="presentation",
            result="refused",
            body={"verifier": state["verifier"], "warnings": state["warnings"]},
            now=now,
        )
        flow = flows.advance(
            connection,
            opened,
            presentations,
            flow,
            to="answered",
            state=stored,
            expires_at=now + _KEPT,
        )
    try:
        return deliver(wallet, opened, flow, now=now, refused="refused")
    except VerifierRefused:  # nothing was shared, whatever the agency makes of it
        return flows.load(wallet, opened, presentations, flow.id)


def retry(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """Post the stored response again: the same bytes to the same place (W-62).

    Whether an earlier post arrived is not known here, so a refusal now may mean that it did: the
    flow then ends as `unconfirmed`, which is the truth, and the agency's page knows more.

    Raises:
        Unavailable: no answer; the stored bytes can be sent again.
    """
    try:
        return deliver(wallet, opened, flow, now=now, refused="unconfirmed")
    except VerifierRefused:
        return flows.load(wallet, opened, presentations, flow.id)


def deliver(
    wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime, refused: str = "not_accepted"
) -> Flow:
    """Post the stored response.

    Args:
        wallet: the service.
        opened: whose answer it is.
        flow: at the step `answered`.
        now: the flow must not have expired.
        refused: the outcome if the verifier does not take it.

    Raises:
        Unavailable: no answer; the stored bytes can be sent again.
        VerifierRefused: it answered, and not with success.
    """
    flows.expect(flow, "answered", now=now)
    state = flow.state
    posted = wallet.fetcher.post_bytes(
        state["response_uri"],
        b64url_decode(state["response"]),
        content_type="application/x-www-form-urlencoded",
        accept="application/json",
        max_bytes=_MAX_ANSWER,
    )
    if posted.status >= 500 or posted.status == 429:
        raise Unavailable("response_uri: does not answer properly now")
    if posted.status != 200:
        done = {**_without_response(state), "outcome": refused}
        flows.record(wallet, opened, presentations, flow, to="done", state=done)
        raise VerifierRefused(f"response_uri: status {posted.status}")
    done = {**_without_response(state), "redirect_uri": _redirect(posted)}
    return flows.record(wallet, opened, presentations, flow, to="done", state=done)


def _form(answer: AuthorizationResponse, state: Mapping[str, Any]) -> bytes:
    """The bytes to post: encrypted to the key of the request, if it has one."""
    if state["encryption_key"] is None:
        return response.plain(answer)
    key = EncryptionKey.from_jwk(state["encryption_key"])
    return response.encrypt(answer, to=key, enc=state["enc"])


def _redirect(posted: Fetched) -> str | None:
    try:
        return response.PostAnswer.parse(posted.body, max_bytes=_MAX_ANSWER).redirect_uri
    except (InvalidInput, ExpectedError):
        return None


def _closed(state: Mapping[str, Any]) -> dict[str, JsonValue]:
    """What an answered flow still needs: where the answer goes, who asked."""
    return {
        "verifier": state["verifier"],
        "response_uri": state["response_uri"],
        "cross_device": state["cross_device"],
        "redirect_uri": None,
    }


def _without_response(state: Mapping[str, Any]) -> dict[str, JsonValue]:
    return {name: value for name, value in state.items() if name != "response"}


def _log_body(payload: Mapping[str, Any], approved: Approved) -> dict[str, JsonValue]:
    """TS10 `Transaction`: who, why, which claims by path, never their values."""
    return {
        "verifier": payload["verifier"],
        "response_uri": payload["request"]["response_uri"],
        "items": [
            {name: item[name] for name in ("credential", "type", "names", "claims", "always")}
            for item in payload["items"]
        ],
        "transactions": [each["type"] for each in payload["transactions"]],
        "warnings": payload["warnings"],
        **approved.receipt(),
    }
