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

from shared.errors import Conflict, Forbidden, NotFound

from .context import Verifier
from .secrets import open_claims, response_code_hash, secret_hash
from .transactions import (
    DELETE,
    ENDED,
    FOR_CALLER,
    REJECT_RETURN,
    RELEASE,
    State,
    TransactionRow,
    move,
    record,
    state_now,
    timestamp,
)
from .verdicts import Verdict

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
    if row.flow != "same_device":
        raise NotReturnable("transaction: not of the same-device flow")
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
    if released:
        return read(verifier, asker, transaction_id)
    if rejected:
        raise WrongReturn("transaction: another response code, or used before")
    raise NotReturnable(f"transaction: nothing to release in state {state_now(row, now)}")


def delete(verifier: Verifier, asker: Asker, transaction_id: str) -> None:
    """Erase keys, verdict and claims now; what stays is that there was something, and who did it.

    Raises:
        NotFound, WrongSecret: as `read`; a deleted transaction is not found.
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
        if move(connection, DELETE, values):
            record(
                connection,
                row,
                tenant=asker.tenant,
                actor=asker.client,
                act="delete",
                reason=None,
                now=now,
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
    content["session_bound"] = row.flow == "same_device"
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
