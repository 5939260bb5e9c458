"""Access tokens of an issuance: by code or refresh token, and what a refusal means.

Codes are spent with the call; what is still needed afterwards is sealed with the flow before
anything else happens, a rotated refresh token above all.

Specification: RFC 6749, sections 5 and 6; OpenID4VCI 1.0, section 6; PROFILE W-13, W-14, W-43.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn

from shared.errors import Conflict, Unavailable
from shared.oauth.messages import PRE_AUTHORIZED_CODE, TokenResponse
from shared.runtime.fetch import Fetched

from . import flows, refresh_tokens
from .context import Wallet
from .flows import Flow
from .posting import MAX_ANSWER, AgencyUnclear, Line, answer_of_agency, error_of, tries_left
from .refresh_tokens import Held
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


class CodeLocked(CodeRefused):
    """The agency says that no further Transaction Code will be taken."""

    code = "code_locked"
    public = "The code was wrong too often. The agency takes no other code for this offer."
    next_step = "Ask the agency for a new offer and a new code."


def grant_of(state: Mapping[str, Any]) -> dict[str, str]:
    """The token request for what this flow holds now: a refresh token, or the offer's own code."""
    if state["refresh_token"] is not None:
        return {"grant_type": "refresh_token", "refresh_token": state["refresh_token"]}
    form = {"grant_type": PRE_AUTHORIZED_CODE, "pre-authorized_code": state["code"]}
    if state["tx_code_value"] is not None:
        form["tx_code"] = state["tx_code_value"]
    return form


def again(wallet: Wallet, opened: OpenWallet, flow: Flow, *, to: str, now: datetime) -> Flow:
    """A token for a flow that has none or whose token ran out; a renewal shares what asks for it.

    Raises: as `fetch`; TokenBusy if another renewal of the same authorization is asking.
    """
    state = dict(flow.state)
    authorization = state.get("authorization")
    if authorization is None:
        return fetch(wallet, opened, flow, state, grant_of(state), to=to, now=now)
    with refresh_tokens.claimed(wallet, opened, authorization, now=now) as held:
        form = grant_of({**state, "refresh_token": held.token or state["refresh_token"]})
        return fetch(wallet, opened, flow, state, form, to=to, held=held, now=now)


def fetch(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    state: dict[str, Any],
    form: Mapping[str, str],
    *,
    to: str,
    now: datetime,
    held: Held | None = None,
) -> Flow:
    """Send one token request and record what came; *state* is what is kept besides.

    What a renewal's token response says of its refresh token goes into *held* first.

    Raises:
        CodeRefused: `invalid_grant`; the flow stands where another code can be given, or has failed
            if no other code would be taken (CodeLocked).
        IssuerRefused: any other refusal; the flow has failed.
        Unavailable: no answer; the flow stands where it stood.
    """
    line = Line.of(wallet, opened, state, now=now)
    answer = line.ask(state["server"]["token"], form, now=now)
    if answer.status != 200:
        if error_of(answer) == "invalid_grant":
            if held is not None:
                held.refused()
            reset = {**state, "tx_code_value": None, "refresh_token": None}
            left = tries_left(answer)
            reset |= {"reason": "code_refused", "tries_left": left}
            if left == 0:
                fail(wallet, opened, flow, "code_locked")
                raise CodeLocked("token: invalid_grant, no tries left")
            flows.record(wallet, opened, issuances, flow, to=_again(state), state=reset)
            raise CodeRefused("token: invalid_grant")
        refused(wallet, opened, flow, answer)
    with answer_of_agency():
        message = TokenResponse.parse(answer.body, max_bytes=MAX_ANSWER)
        message.check_bound()
    found = {**state, **granted(state, message)}
    if held is not None:
        held.rotate(found, found["line"])
    return flows.record(wallet, opened, issuances, flow, to=to, state=found)


def _again(state: Mapping[str, Any]) -> str:
    """Where another code can be given: at the agency's sign-in, or by typing it again."""
    if state["grant"] == "authorization_code":
        return "sign_in"
    return "failed" if state["tx_code"] is None or state["code"] is None else "tx_code"


def granted(state: Mapping[str, Any], message: TokenResponse) -> dict[str, Any]:
    """What is kept of a token response; the codes are spent (W-14, W-43)."""
    identifiers = {
        each.credential_configuration_id: each.credential_identifiers[0]
        for each in message.authorization_details or ()
        if each.credential_identifiers
    }
    return {
        "access_token": message.access_token,
        "refresh_token": message.refresh_token or state["refresh_token"],
        "identifiers": identifiers or state["identifiers"],
        "code": None,
        "tx_code_value": None,
        "reason": None,
    }


def refused(wallet: Wallet, opened: OpenWallet, flow: Flow, answer: Fetched) -> NoReturn:
    """Raise what a refusal means; the flow ends unless trying again can help."""
    if answer.status >= 500 or answer.status == 429:
        raise Unavailable("issuer: does not answer properly now")
    if error_of(answer) is None:
        raise AgencyUnclear(f"issuer: status {answer.status} without a code")
    fail(wallet, opened, flow, "issuer_refused")
    raise IssuerRefused(f"issuer: refused with status {answer.status}")


def fail(wallet: Wallet, opened: OpenWallet, flow: Flow, reason: str) -> None:
    """The flow has ended, and says why."""
    flows.record(wallet, opened, issuances, flow, to="failed", state={"reason": reason})
