"""Who the citizen is to this wallet: registration, sessions, unlockers, recovery, revocation."""

from shared.encoding import JsonValue, to_numeric_date
from shared.runtime.routes import Answer, ApiRouter, Call, hot_api_router

from .. import (
    code_replacing,
    guessing,
    opening,
    passkey_adding,
    recovering,
    registering,
    sessions,
    striking_off,
)
from ..context import Wallet
from . import messages
from .signed_in import ended_answer, former_token, open_wallet, session_answer

router: ApiRouter[Wallet] = hot_api_router()


@router.post("/wallets/options", answer=messages.Answer)
def begin_wallet(_call: Call, wallet: Wallet) -> Answer:
    """Options for the two gestures of a new wallet; nothing is stored yet."""
    return registering.begin(wallet, now=wallet.clock())


@router.post("/wallets", body=messages.NewWallet, answer=messages.Answer, status=201)
def finish_wallet(call: Call, wallet: Wallet) -> Answer:
    """Make the wallet, once its passkey has shown PRF and user verification, and open it."""
    body = call.message(messages.NewWallet)
    registration = registering.Registration(
        token=body.registration,
        creation=body.creation,
        assertion=body.assertion,
        passkey=body.passkey.value(),
        recovery=body.recovery.value(),
        recovery_lookup=body.recovery_lookup,
        revocation_lookup=body.revocation_lookup,
        k_read=body.k_read,
        locale=body.locale,
    )
    session = registering.finish(wallet, registration, now=wallet.clock())
    return session_answer(session, bearer=body.session == "bearer")


@router.post("/sessions/options", answer=messages.Answer)
def begin_session(_call: Call, wallet: Wallet) -> Answer:
    """Options for the gesture that opens a wallet: the `read` input alone."""
    return {"options": opening.options(wallet, now=wallet.clock())}


@router.post("/sessions/assertion", body=messages.AssertionBody, answer=messages.Answer)
def answer_assertion(call: Call, wallet: Wallet) -> Answer:
    """The inner wrap of `K_read` for the passkey that answered."""
    body = call.message(messages.AssertionBody)
    return opening.answer(wallet, body.assertion, now=wallet.clock())


@router.post("/sessions", body=messages.NewSessionBody, answer=messages.Answer, status=201)
def finish_session(call: Call, wallet: Wallet) -> Answer:
    """Open the wallet for the length of a session."""
    body = call.message(messages.NewSessionBody)
    session = opening.finish(wallet, body.opening, body.k_read, now=wallet.clock())
    former = former_token(call)
    if former is not None:
        sessions.end_former(wallet, session.opened, former)
    return session_answer(session, bearer=body.session == "bearer")


@router.get("/sessions", answer=messages.Answer)
def list_sessions(call: Call, wallet: Wallet) -> Answer:
    """Where this wallet is open."""
    opened = open_wallet(call, wallet)
    listed: list[JsonValue] = [
        {
            "id": row["id"],
            "unlocker": row["unlocker"],
            "started_at": to_numeric_date(row["started_at"]),
            "ends_at": to_numeric_date(row["ends_at"]),
            "this_one": row["id"] == opened.session,
        }
        for row in sessions.list_sessions(wallet, opened, now=wallet.clock())
    ]
    return {"sessions": listed}


@router.delete("/sessions/{session}")
def end_session(call: Call, wallet: Wallet) -> Answer:
    """Sign out: `current` for this one, or any other of this wallet."""
    opened = open_wallet(call, wallet)
    named = call.path["session"]
    here = named in {"current", opened.session}
    sessions.end_session(wallet, opened, opened.session if here else named)
    return ended_answer() if here else None


@router.post("/unlockers/options", answer=messages.Answer)
def begin_passkey(call: Call, wallet: Wallet) -> Answer:
    """Options for a further passkey."""
    opened = open_wallet(call, wallet)
    return passkey_adding.begin(wallet, opened, now=wallet.clock())


@router.post("/unlockers", body=messages.NewPasskey, answer=messages.Answer, status=201)
def propose_passkey(call: Call, wallet: Wallet) -> Answer:
    """Ask for the approval of a further passkey, by one that is there."""
    opened = open_wallet(call, wallet)
    body = call.message(messages.NewPasskey)
    approval = passkey_adding.propose(
        wallet,
        opened,
        token=body.registration,
        creation=body.creation,
        assertion=body.assertion,
        read_key=body.read_key,
        act_key=body.act_key,
        now=wallet.clock(),
    )
    return {"approval": approval}


@router.post("/unlockers/{id}/removal", answer=messages.Answer, status=201)
def propose_removal(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *remove_unlocker*."""
    opened = open_wallet(call, wallet)
    return {"approval": striking_off.propose(wallet, opened, call.path["id"], now=wallet.clock())}


@router.post("/codes/recovery", body=messages.NewRecoveryCode, answer=messages.Answer, status=201)
def propose_recovery_code(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *replace_code*: another recovery code, typed back already."""
    opened = open_wallet(call, wallet)
    body = call.message(messages.NewRecoveryCode)
    keys = body.read_key, body.act_key
    approval = code_replacing.propose(
        wallet, opened, "recovery", lookup=body.lookup, keys=keys, now=wallet.clock()
    )
    return {"approval": approval}


@router.post("/codes/revocation", body=messages.LookupBody, answer=messages.Answer, status=201)
def propose_revocation_code(call: Call, wallet: Wallet) -> Answer:
    """Begin the approval *replace_code*: another revocation code."""
    opened = open_wallet(call, wallet)
    lookup = call.message(messages.LookupBody).lookup
    approval = code_replacing.propose(
        wallet, opened, "revocation", lookup=lookup, keys=None, now=wallet.clock()
    )
    return {"approval": approval}


@router.post("/recovery/proof/begin", body=messages.LookupBody, answer=messages.Answer)
def begin_proof(call: Call, wallet: Wallet) -> Answer:
    """The recovery code was typed back: the wrap it has to open."""
    opened = open_wallet(call, wallet)
    return recovering.begin_proof(wallet, opened, call.message(messages.LookupBody).lookup)


@router.post("/recovery/proof", body=messages.ProofBody, status=204)
def finish_proof(call: Call, wallet: Wallet) -> Answer:
    """The recovery code has worked once."""
    opened = open_wallet(call, wallet)
    body = call.message(messages.ProofBody)
    recovering.finish_proof(wallet, opened, body.k_read, now=wallet.clock())
    return None


@router.post("/recovery", body=messages.LookupBody, answer=messages.Answer, status=202)
def begin_recovery(call: Call, wallet: Wallet) -> Answer:
    """On a new device: begin the waiting period."""
    lookup = _public_lookup(call, wallet)
    not_before = recovering.begin_recovery(wallet, lookup, now=wallet.clock())
    return {"not_before": to_numeric_date(not_before)}


@router.delete("/recovery")
def cancel_recovery(call: Call, wallet: Wallet) -> Answer:
    """From an open wallet: it was not me."""
    recovering.cancel_recovery(wallet, open_wallet(call, wallet))
    return None


@router.post("/recovery/options", body=messages.LookupBody, answer=messages.Answer)
def open_recovery(call: Call, wallet: Wallet) -> Answer:
    """After the waiting period: the recovery code's wraps, and options for a new passkey."""
    lookup = _public_lookup(call, wallet)
    return recovering.open_recovery(wallet, lookup, now=wallet.clock())


@router.post(
    "/recovery/passkey", body=messages.RecoveredPasskey, answer=messages.Answer, status=201
)
def finish_recovery(call: Call, wallet: Wallet) -> Answer:
    """The new passkey opens the old wallet."""
    guessing.count(wallet, call.client, now=wallet.clock())
    body = call.message(messages.RecoveredPasskey)
    session = recovering.finish_recovery(
        wallet,
        body.lookup,
        token=body.registration,
        creation=body.creation,
        assertion=body.assertion,
        new=body.passkey.value(),
        k_read=body.k_read,
        now=wallet.clock(),
    )
    return session_answer(session, bearer=body.session == "bearer")


@router.post("/revoke", body=messages.LookupBody, status=204)
def revoke(call: Call, wallet: Wallet) -> Answer:
    """Public, from any device: freeze a wallet by its revocation code."""
    recovering.revoke(wallet, _public_lookup(call, wallet))
    return None


def _public_lookup(call: Call, wallet: Wallet) -> bytes:
    """What is derived from a code that somebody without a session typed: each try counts."""
    guessing.count(wallet, call.client, now=wallet.clock())
    return call.message(messages.LookupBody).lookup
