"""What the asker gets: state, verdict with reasons, and the claims as long as they may be kept.

The API token says which system asks, the transaction's secret that it is the one that started it
(V-52); the secret also opens the claims, so nobody who has only the database can read them. In the
same-device flow an answer is held back until the browser comes back with its response code, once
(V-50).
"""

import hmac
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from orjson import Fragment

from shared.encoding import to_numeric_date
from shared.errors import Conflict, Forbidden, NotFound
from shared.jose import jws

from . import webhooks
from .context import Verifier
from .secrets import open_claims, response_code_hash, secret_hash
from .transactions import (
    DELETE,
    ENDED,
    FOR_CALLER,
    OVERRIDE,
    REJECT_RETURN,
    RELEASE,
    State,
    TransactionRow,
    move,
    record,
    state_now,
    timestamp,
)
from .verdicts import Override, Verdict

RECEIPT_TYP = "deletion-receipt+jwt"
Content: TypeAlias = dict[str, object]
"""An `answers.TransactionAnswer`; verdict and claims as the JSON that was stored."""


class WrongSecret(Forbidden):
    """The client is known, the transaction was started by somebody else."""

    code = "wrong_transaction_secret"
    public = "The Transaction-Secret is not the one this transaction was started with."


class WrongReturn(Forbidden):
    """V-50: the browser that came back is not the one that was sent away, or it came back twice."""

    code = "wrong_response_code"
    public = "This return does not belong to the transaction. The presentation was rejected."
    next_step = "Start a new transaction in the same browser session."


class Held(Conflict):
    """Somebody with the right to do so said that this must not be erased yet."""

    code = "under_legal_hold"
    public = "This transaction is under a legal hold and cannot be erased."
    next_step = "Ask whoever placed the hold."


class NotOverridable(Conflict):
    """There is nothing a clerk may accept."""

    code = "nothing_to_override"
    public = "This answer cannot be accepted by hand."
    next_step = "Ask again; verdict.overridable says where a clerk may decide."


class NotReturnable(Conflict):
    """There is no answer that waits for a browser."""

    code = "nothing_to_release"
    public = "No verified answer of this transaction waits for its browser."
    next_step = "Read the transaction's state."


@dataclass(frozen=True, slots=True)
class Asker:
    """Who calls: the client of the API token, and the secret it shows."""

    tenant: str
    client: str
    secret: str


def read(verifier: Verifier, asker: Asker, transaction_id: str) -> Content:
    """State and, once released, verdict and claims.

    Raises:
        NotFound: no such transaction of this client and tenant.
        WrongSecret: it was started with another secret.

    Specification: PROFILE V-02, V-52, V-63.
    """
    now = verifier.clock()
    row = _find(verifier, asker, transaction_id)
    return _answer(row, state_now(row, now), asker, transaction_id, now)


def release(verifier: Verifier, asker: Asker, transaction_id: str, response_code: str) -> Content:
    """Release a same-device answer to the browser that came back with *response_code*.

    A wrong code rejects the presentation, and so does a right one that comes twice: somebody else
        has it.

    Raises:
        NotFound, WrongSecret: as `read`.
        WrongReturn: wrong or used code; the presentation is rejected and its claims are gone.
        NotReturnable: not answered yet, or ended otherwise.

    Specification: HAIP 1.0, section 5.1; OpenID4VP 1.0, section 14.2; PROFILE V-43, V-50.
    """
    now = verifier.clock()
    row = _find(verifier, asker, transaction_id)
    if row.flow == "cross_device":
        raise NotReturnable("transaction: not of a flow in which a browser comes back")
    here = {"tenant_": asker.tenant, "id_": transaction_id, "now_": now}
    with verifier.database.transaction() as connection:
        released = move(
            connection, RELEASE, here | {"response_code_hash_": response_code_hash(response_code)}
        )
        rejected = not released and move(
            connection,
            REJECT_RETURN,
            here | {"reason_": "wrong_return", "outcome_": rejection("wrong_return")},
        )
        if released or rejected:
            record(
                connection,
                row,
                tenant=asker.tenant,
                actor=asker.client,
                act="release" if released else "reject",
                reason=None if released else "wrong_return",
                now=now,
            )
            state = State.VERIFIED if released else State.REJECTED
            webhooks.tell(connection, verifier.tenant(asker.tenant), row.id, state, now=now)
    if released:
        return read(verifier, asker, transaction_id)
    if rejected:
        raise WrongReturn("transaction: another response code, or used before")
    raise NotReturnable(f"transaction: nothing to release in state {state_now(row, now)}")


def override(verifier: Verifier, asker: Asker, transaction_id: str, *, reason: str) -> Content:
    """Accept an answer that failed only because nothing is known about a status.

    It is a clerk's decision: who made it, when and why stays in the verdict and the audit trail.

    Raises:
        NotFound, WrongSecret: as `read`.
        NotOverridable: the query does not allow it, something else was wrong, or it was done.
    """
    now = verifier.clock()
    row = _find(verifier, asker, transaction_id)
    verdict = None if row.outcome is None else Verdict.model_validate_json(row.outcome)
    if verdict is None or not verdict.overridable:
        raise NotOverridable("transaction: nothing to override")
    accepted = verdict.model_copy(
        update={
            "accepted": True,
            "reason": None,
            "overridable": False,
            "override": Override(actor=asker.client, at=timestamp(now), reason=reason),
        }
    )
    values = {
        "tenant_": asker.tenant,
        "id_": transaction_id,
        "now_": now,
        "outcome_": accepted.model_dump_json(exclude_none=True),
    }
    with verifier.database.transaction() as connection:
        if not move(connection, OVERRIDE, values):
            raise NotOverridable("transaction: overridden before, or its claims are gone")
        record(
            connection,
            row,
            tenant=asker.tenant,
            actor=asker.client,
            act="override",
            reason=reason,
            now=now,
        )
        tenant = verifier.tenant(asker.tenant)
        webhooks.tell(connection, tenant, row.id, State.VERIFIED, now=now)
    return read(verifier, asker, transaction_id)


def delete(verifier: Verifier, asker: Asker, transaction_id: str) -> str:
    """Erase keys, verdict and claims now; what stays is that there was something, and who did it.

    Returns:
        A receipt: a JWT of this tenant that says what was erased and when, and no more.

    Raises:
        NotFound, WrongSecret: as `read`; a deleted transaction is not found.
        Held: it is under a legal hold.
    """
    now = verifier.clock()
    row = _find(verifier, asker, transaction_id)
    values = {
        "tenant_": asker.tenant,
        "id_": transaction_id,
        "now_": now,
        "reason_": row.reason,
        "outcome_": None,
    }
    with verifier.database.transaction() as connection:
        if not move(connection, DELETE, values):
            if row.held_until is not None and now < row.held_until:
                raise Held("transaction: under a legal hold")
            raise NotFound("transaction: deleted meanwhile")
        record(
            connection,
            row,
            tenant=asker.tenant,
            actor=asker.client,
            act="delete",
            reason=None,
            now=now,
        )
    return jws.sign_jwt(
        {
            "iss": f"{verifier.settings.public_url}/{asker.tenant}",
            "iat": to_numeric_date(now),
            "sub": transaction_id,
            "query": row.query,
            "erased": ["keys", "verdict", "claims"],
        },
        typ=RECEIPT_TYP,
        signer=verifier.records_key(asker.tenant),
    )


def rejection(reason: str) -> str:
    """A stored outcome that speaks of the response as a whole."""
    return Verdict(accepted=False, reason=reason).model_dump_json(exclude_none=True)


def authorize(verifier: Verifier, asker: Asker, transaction_id: str) -> State:
    """The state now, for somebody who may know it; raises as `read`."""
    return state_now(_find(verifier, asker, transaction_id), verifier.clock())


def _find(verifier: Verifier, asker: Asker, transaction_id: str) -> TransactionRow:
    values = {"tenant_": asker.tenant, "id_": transaction_id}
    row = FOR_CALLER.row(verifier.database, values)
    if row is None or row.client != asker.client or row.state == State.DELETED:
        raise NotFound("transaction: unknown to this client")
    if not hmac.compare_digest(secret_hash(asker.secret), row.secret_hash):
        raise WrongSecret("transaction: another secret")
    return row


def _answer(
    row: TransactionRow, state: State, asker: Asker, transaction_id: str, now: datetime
) -> Content:
    content: Content = {
        "transaction_id": transaction_id,
        "query": row.query,
        "flow": row.flow,
        "state": state.value,
        "created_at": timestamp(row.created_at),
        "expires_at": timestamp(row.expires_at),
    }
    if state not in ENDED:
        return content
    content["ended_at"] = timestamp(row.ended_at or row.expires_at)
    content["session_bound"] = row.flow != "cross_device"
    if row.state == State.RESPONDED.value:  # nobody came back, and the job was not here yet
        content["verdict"] = Fragment(rejection("not_returned"))
    elif row.outcome is not None:
        content["verdict"] = Fragment(row.outcome)
    if state is State.VERIFIED and row.sealed_claims is not None and now < row.claims_until:
        claims = open_claims(
            asker.secret, row.sealed_claims, tenant=asker.tenant, transaction_id=transaction_id
        )
        content["claims"] = Fragment(claims)
        content["claims_until"] = timestamp(row.claims_until)
    return content
