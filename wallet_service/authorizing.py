"""Signing in at the agency: pushed request, the browser's way there and back, the token.

`state` is good once, in the browser session that began: a callback anywhere else ends on a page,
and so does one whose `iss` is not the server that was asked; neither causes a call (RFC 9207;
CERTIFICATION 2.3.5). A code is sent once: if its answer is lost, the citizen signs in again.

Specification: RFC 9126; RFC 7636; RFC 9207; OpenID4VCI 1.0, section 5; HAIP 4.2, 4.3; PROFILE W-10
to W-13; WALLET_SECURITY 6.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import delete, insert, select

from shared.encoding import JsonValue, b64url_encode, dump_json
from shared.errors import ExpectedError, Forbidden, InvalidInput
from shared.oauth import pkce
from shared.oauth.messages import PushedResponse, make_form
from shared.runtime.database import once

from . import coarse, flows, obtaining, tokens
from .context import Wallet
from .flows import Flow
from .posting import MAX_ANSWER, Line, answer_of_agency
from .tables import callbacks, issuances
from .vault import OpenWallet

_LIFETIME = timedelta(hours=1)  # of a sign-in at the agency
_BEGINS = ("sign_in", "authorizing", "redeeming")


class ForeignCallback(Forbidden):
    """No sign-in was begun here: another browser, another wallet, or one that is over."""

    code = "foreign_callback"
    public = "This page does not belong to something you began here. Nothing was done."
    next_step = "Open your wallet and begin again with the agency's offer."


class WrongServer(InvalidInput):
    """The answer says it is from another server than the one that was asked, or does not say."""

    code = "wrong_server"
    whose_fault = "issuer"
    public = "The answer does not come from the agency you went to. Nothing was taken."
    next_step = "Begin again with the agency's offer; if it happens again, tell the agency."


def callback_url(wallet: Wallet) -> str:
    """`redirect_uri`: where agencies send the browser back, the same for everybody."""
    return f"{wallet.settings.public_url}/callback"


def authorize(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """Push an authorization request; `authorize_url` of the flow is where the browser goes.

    Whoever lost the way asks again: only the newest request is good.

    Raises:
        StepChanged: there is nothing to sign in for.
        IssuerRefused, AgencyUnclear, Unavailable: as the server answers.

    Specification: RFC 9126, section 2; OpenID4VCI 1.0, section 5.1; PROFILE W-10, W-11.
    """
    flows.expect(flow, *_BEGINS, now=now)
    server = flow.state["server"]
    verifier = pkce.make_verifier(random_bytes=wallet.random_bytes)
    secret = b64url_encode(wallet.random_bytes(32))
    state = {**flow.state, "verifier": verifier, "authorize_url": None, "reason": None}
    # 1. Keys and state are stored before anybody hears of them.
    line = Line.of(wallet, opened, state, now=now)
    hashed = hashlib.sha256(secret.encode()).digest()
    with wallet.database.transaction() as connection:
        flow = flows.advance(connection, opened, issuances, flow, to="authorizing", state=state)
        connection.execute(delete(callbacks).where(callbacks.c.issuance == flow.id))
        connection.execute(
            insert(callbacks).values(
                hash=hashed,
                wallet=opened.id,
                session=opened.session,
                issuance=flow.id,
                expires_at=coarse.by_hour(now + _LIFETIME),
            )
        )
    # 2. The request, pushed (W-10, W-11).
    answer = line.ask(server["par"], _request(wallet, state, secret), now=now)
    if answer.status not in {200, 201}:
        tokens.refused(wallet, opened, flow, answer)
    with answer_of_agency():
        pushed = PushedResponse.parse(answer.body, max_bytes=MAX_ANSWER)
    # 3. Where the browser goes: with these two parameters and no other.
    query = make_form(
        {"client_id": wallet.provider.client_id, "request_uri": pushed.request_uri}
    ).decode()
    joint = "&" if "?" in server["authorize"] else "?"
    state = {**state, "authorize_url": f"{server['authorize']}{joint}{query}"}
    return flows.record(wallet, opened, issuances, flow, to="authorizing", state=state)


def callback(
    wallet: Wallet, opened: OpenWallet, parameters: Mapping[str, str], *, now: datetime
) -> Flow:
    """The browser is back: believe the answer if it is ours, and redeem its code.

    Returns:
        the flow at `preview`, or as `obtaining.fetch` leaves it if it was accepted before; at
        `sign_in` with `reason`, if the agency or the citizen there said no.

    Raises:
        ForeignCallback: not begun in this session of this wallet, or not waited for any more.
        WrongServer: `iss` is missing or another one; the flow has failed.
        CodeRefused, IssuerRefused, Unavailable: as the agency answers.

    Specification: RFC 6749, section 4.1.2; RFC 9207, section 2.4; PROFILE W-12, W-13.
    """
    # 1. `state` was made here, in this session, and is used now (W-12, CERTIFICATION 2.3.5).
    hashed = hashlib.sha256(parameters.get("state", "").encode()).digest()
    mine = (
        callbacks.c.hash == hashed,
        callbacks.c.wallet == opened.id,
        callbacks.c.session == opened.session,
        callbacks.c.expires_at > now,
    )
    with wallet.database.reading() as connection:
        found = connection.execute(select(callbacks.c.issuance).where(*mine)).scalar_one_or_none()
    if found is None:
        raise ForeignCallback("callback: no such state in this session")
    flow = flows.load(wallet, opened, issuances, found)
    flows.expect(flow, "authorizing", now=now)
    # 2. Who answers, and what: decided once, together with the use of `state`.
    to, state, error = _answered(flow, parameters)
    with wallet.database.transaction() as connection:
        if not once(connection, delete(callbacks).where(*mine)):
            raise ForeignCallback("callback: another one was first")
        flow = flows.advance(connection, opened, issuances, flow, to=to, state=state)
    if error is not None:
        raise error
    if to != "redeeming":
        return flow
    # 3. The code, once; whoever gets no answer signs in again.
    state = {**flow.state, "verifier": None}
    form = {
        "grant_type": "authorization_code",
        "code": parameters["code"],
        "redirect_uri": callback_url(wallet),
        "code_verifier": flow.state["verifier"],
    }
    if not state.get("early_proofs"):
        return tokens.fetch(wallet, opened, flow, state, form, to="preview", now=now)
    flow = tokens.fetch(wallet, opened, flow, state, form, to="accepted", now=now)
    return obtaining.fetch(wallet, opened, flow, now=now)


def _request(wallet: Wallet, state: Mapping[str, Any], secret: str) -> dict[str, str]:
    """The parameters of PAR; nothing in them tells one citizen from another."""
    form = {
        "response_type": "code",
        "redirect_uri": callback_url(wallet),
        "code_challenge": pkce.challenge(state["verifier"]),
        "code_challenge_method": "S256",
        "state": secret,
    }
    scopes = [part["scope"] for part in state["parts"]]
    if all(scopes):
        form["scope"] = " ".join(dict.fromkeys(scopes))
    else:
        form["authorization_details"] = _details(state)
    if state["issuer_state"] is not None:
        form["issuer_state"] = state["issuer_state"]
    if state["resource"] is not None:
        form["resource"] = state["resource"]
    return form


def _details(state: Mapping[str, Any]) -> str:
    """RFC 9396, for configurations without a scope (OpenID4VCI 1.0, section 5.1.1)."""
    where = {} if state["resource"] is None else {"locations": [state["resource"]]}
    wanted: list[JsonValue] = [
        {
            "type": "openid_credential",
            "credential_configuration_id": part["configuration"],
            **where,
        }
        for part in state["parts"]
    ]
    return dump_json(wanted).decode()


def _answered(
    flow: Flow, parameters: Mapping[str, str]
) -> tuple[str, dict[str, Any], ExpectedError | None]:
    """What follows from the answer: the step, its state, and what to say."""
    if parameters.get("iss") != flow.state["server"]["issuer"]:
        return "failed", {"reason": "wrong_server"}, WrongServer("callback: iss is another server")
    if "error" in parameters:
        reason = parameters["error"] if parameters["error"] in _SAID else "issuer_refused"
        return "sign_in", {**flow.state, "verifier": None, "reason": reason}, None
    if "code" not in parameters:
        unclear = InvalidInput("callback: neither code nor error")
        return "failed", {"reason": "invalid_input"}, unclear
    return "redeeming", flow.state, None


_SAID = frozenset(
    {
        "access_denied",
        "invalid_request",
        "invalid_scope",
        "server_error",
        "temporarily_unavailable",
        "unauthorized_client",
        "unsupported_response_type",
    }
)
