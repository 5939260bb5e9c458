"""Desks: a clerk asks one question at a time and reads its answer (DESIGN, journey 2).

A desk is a row that names who works at it, by a hash of their session, and the transaction it
shows. Names and secret of a transaction follow from the secret of that session and the number of
the visit: nothing has to be kept, any replica finds them again, and after signing out nobody opens
the claims, not even the same clerk (V-52, DESIGN section 6). Every move of a desk is one guarded
UPDATE, so that of two browsers at one desk only one goes on (S-02).
"""

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

import orjson
from sqlalchemy import bindparam, exists, null, or_, select, update

from shared.crypto.sealing import hkdf
from shared.encoding import b64url_encode
from shared.errors import Conflict, NotFound
from shared.runtime.client_credentials import ApiCaller
from shared.runtime.database import insert_once
from shared.runtime.languages import mark
from shared.runtime.prepared import Prepared

from .answers import StartRequest, TransactionAnswer
from .codes import code_hash, code_of, length, shown_under
from .context import Verifier
from .events import Key
from .queries import Query
from .requesting import start, wallet_link
from .results import Asker, authorize, override, read
from .secrets import Names, derive
from .tables import desks, transactions
from .transactions import CANCEL, ENDED, FOR_CALLER, FORGET_CLAIMS, OPEN, State, record, values


class DeskTaken(Conflict):
    """Another session has sat down here."""

    code = "desk_taken"
    public = mark("Somebody else works at this desk now.")
    next_step = mark("Choose a desk again.")


class DeskMovedOn(Conflict):
    """What was asked for belongs to an earlier visit."""

    code = "desk_moved_on"
    public = mark("This desk has gone on meanwhile.")
    next_step = mark("Look at the page as it is now.")


@dataclass(frozen=True, slots=True)
class Clerk:
    """Who works at a desk, in one session; `secret` follows from its cookie and is kept nowhere."""

    tenant: str
    id: str
    secret: bytes

    @property
    def hash(self) -> bytes:
        """As a desk's row knows the session."""
        return hashlib.sha256(b"desk holder:" + self.secret).digest()


@dataclass(frozen=True, slots=True)
class Visit:
    """What a desk shows; without a query it is free."""

    desk: str
    number: int
    query: Query | None = None
    answer: TransactionAnswer | None = None
    link: str = ""
    """For the QR code, while it may be answered."""
    code: str = ""
    """The same for people who cannot scan."""


_d = desks.c
_HERE = _d.tenant == bindparam("tenant_"), _d.id == bindparam("id_")
_MINE = *_HERE, _d.holder == bindparam("holder_"), _d.visit == bindparam("visit_")
_EMPTY = {"transaction_id": null(), "code_hash": null(), "code_browser": null()}

_READ = Prepared(select(_d.holder, _d.visit, _d.transaction_id, _d.code_hash).where(*_HERE))
_SIT = Prepared(
    update(desks)
    .where(*_MINE)
    .values(holder=bindparam("next_holder_"), visit=_d.visit + 1, **_EMPTY)
)
_other = desks.alias()
_TAKEN = select(_other.c.id).where(_other.c.code_hash == bindparam("code_hash_"))
_ASK = Prepared(
    update(desks)
    .where(*_MINE, ~exists(_TAKEN))
    .values(
        visit=_d.visit + 1,
        transaction_id=bindparam("transaction_id_"),
        code_hash=bindparam("code_hash_"),
        code_browser=null(),
    )
)
_CLEAR = Prepared(update(desks).where(*_MINE, _d.transaction_id.is_not(None)).values(**_EMPTY))


def listed(verifier: Verifier, clerk: Clerk) -> dict[str, Literal["free", "busy", "mine"]]:
    """The desks of the clerk's tenant; at a busy one another session asks or shows something."""
    now, t = verifier.clock(), transactions.c
    shows = or_(
        t.state.in_(values(OPEN)) & (t.expires_at > now),
        t.state.in_(values(ENDED)) & (t.claims_until > now),
    )
    statement = (
        select(_d.id, _d.holder, shows.label("shows"))
        .join(transactions, (t.tenant == _d.tenant) & (t.id == _d.transaction_id), isouter=True)
        .where(_d.tenant == clerk.tenant)
    )
    with verifier.database.reading() as connection:
        found = {each.id: each for each in connection.execute(statement)}

    def state(desk: str) -> Literal["free", "busy", "mine"]:
        row = found.get(desk)
        if row is not None and row.holder == clerk.hash:
            return "mine"
        return "busy" if row is not None and row.shows else "free"

    return {each: state(each) for each in verifier.tenant(clerk.tenant).desks}


def sit(verifier: Verifier, clerk: Clerk, desk: str) -> None:
    """Work at *desk* from now on; what another session has asked there is withdrawn.

    Raises:
        NotFound: this tenant has no such desk.
        DeskTaken: somebody else sat down at this moment.
    """
    if desk not in verifier.tenant(clerk.tenant).desks:
        raise NotFound("desk: unknown")
    row = {"tenant": clerk.tenant, "id": desk, "holder": clerk.hash, "visit": 0}
    with verifier.database.transaction() as connection:
        if insert_once(connection, desks, row):
            return
        found = _READ.row(connection, {"tenant_": clerk.tenant, "id_": desk})
        if found.holder == clerk.hash:
            return
        here = _here(clerk, desk, found.visit) | {"holder_": found.holder}
        if not _SIT.changed(connection, here | {"next_holder_": clerk.hash}):
            raise DeskTaken("desk: another session was faster")
        _put_away(verifier, connection, clerk, found.transaction_id)


def look(verifier: Verifier, clerk: Clerk, desk: str) -> Visit:
    """What the desk shows now. Raises DeskTaken, NotFound."""
    row = _row(verifier, clerk, desk)
    if row.transaction_id is None:
        return Visit(desk, row.visit)
    names = _names(verifier, clerk, desk, row.visit)
    try:
        content = read(verifier, _asker(clerk, names), names.transaction_id)
    except NotFound:  # its retention has ended
        return Visit(desk, row.visit)
    answer = TransactionAnswer.model_validate_json(orjson.dumps(content))
    query = verifier.tenant(clerk.tenant).queries.get(answer.query)
    link = code = ""
    if answer.state in OPEN:
        tenant = verifier.tenant(clerk.tenant)
        link = wallet_link(verifier, tenant, names.request_id)
        code = shown_under(verifier, names.secret, row.code_hash)
    return Visit(desk, row.visit, query, answer, link, code)


def listen(verifier: Verifier, clerk: Clerk, desk: str, number: int) -> tuple[Key, State]:
    """What to listen to for news of visit *number*, and how it stands.

    Raises:
        DeskTaken, DeskMovedOn, NotFound: there is nothing to listen to any more.
    """
    row = _row(verifier, clerk, desk)
    if row.visit != number or row.transaction_id is None:
        raise DeskMovedOn("desk: another visit")
    names = _names(verifier, clerk, desk, number)
    state = authorize(verifier, _asker(clerk, names), names.transaction_id)
    return (clerk.tenant, names.transaction_id), state


def ask(verifier: Verifier, clerk: Clerk, desk: str, query: str) -> Visit:
    """Ask the next customer *query*; what was there before is put away. Twice at once asks once.

    Raises:
        DeskTaken, DeskMovedOn: another session sits here, or another question was asked meanwhile.
        UnknownQuery, NotEntitled, Unavailable: as `requesting.start`.
    """
    row = _row(verifier, clerk, desk)
    number = row.visit + 1
    names = _names(verifier, clerk, desk, number)
    caller = ApiCaller(client_id=clerk.id, tenant=clerk.tenant, roles=frozenset())
    started = start(
        verifier,
        caller,
        StartRequest(query=query),
        idempotency_key=_seed(clerk, desk, number),
    )
    asked = {
        "transaction_id_": started.transaction_id,
        "code_hash_": code_hash(verifier, code_of(names.secret, length(verifier))),
    }
    with verifier.database.transaction() as connection:
        moved = _ASK.changed(connection, _here(clerk, desk, row.visit) | asked)
        if moved:
            _put_away(verifier, connection, clerk, row.transaction_id)
    if not moved:
        _settle_race(verifier, clerk, desk, number, started.transaction_id)
    return look(verifier, clerk, desk)


def clear(verifier: Verifier, clerk: Clerk, desk: str, number: int) -> Visit:
    """The visit is over: an open question is withdrawn, claims are forgotten, the result stays.

    Of a visit that is over already nothing more is done: a late farewell of a page harms nobody.

    Raises:
        DeskTaken: another session sits here.
    """
    row = _row(verifier, clerk, desk)
    with verifier.database.transaction() as connection:
        if _CLEAR.changed(connection, _here(clerk, desk, number)):
            _put_away(verifier, connection, clerk, row.transaction_id)
    return look(verifier, clerk, desk)


def accept(verifier: Verifier, clerk: Clerk, desk: str, number: int, *, reason: str) -> Visit:
    """Accept an answer of unknown status, on record with *reason* (`results.override`).

    Raises:
        DeskTaken, DeskMovedOn: see `ask`.
        NotOverridable: the query's policy does not allow it, or something else was wrong.
    """
    row = _row(verifier, clerk, desk)
    if row.visit != number or row.transaction_id is None:
        raise DeskMovedOn("desk: another visit")
    names = _names(verifier, clerk, desk, number)
    override(verifier, _asker(clerk, names), names.transaction_id, reason=reason)
    return look(verifier, clerk, desk)


def _row(verifier: Verifier, clerk: Clerk, desk: str) -> Any:
    if desk not in verifier.tenant(clerk.tenant).desks:
        raise NotFound("desk: unknown")
    row = _READ.row(verifier.database, {"tenant_": clerk.tenant, "id_": desk})
    if row is None or row.holder != clerk.hash:
        raise DeskTaken("desk: another session sits here")
    return row


def _here(clerk: Clerk, desk: str, number: int) -> dict[str, object]:
    return {"tenant_": clerk.tenant, "id_": desk, "holder_": clerk.hash, "visit_": number}


def _seed(clerk: Clerk, desk: str, number: int) -> str:
    return b64url_encode(hkdf(clerk.secret, "visit", desk, str(number)))


def _names(verifier: Verifier, clerk: Clerk, desk: str, number: int) -> Names:
    return derive(
        verifier.idempotency_key,
        tenant=clerk.tenant,
        client=clerk.id,
        idempotency_key=_seed(clerk, desk, number),
    )


def _asker(clerk: Clerk, names: Names) -> Asker:
    return Asker(clerk.tenant, clerk.id, names.secret)


def _put_away(
    verifier: Verifier, connection: Any, clerk: Clerk, transaction_id: str | None
) -> None:
    """Withdraw what is still open, forget the claims of what was answered; a hold keeps them."""
    if transaction_id is None:
        return
    now = verifier.clock()
    here = {"tenant_": clerk.tenant, "id_": transaction_id, "now_": now}
    row = FOR_CALLER.row(connection, here)
    if row is None:
        return
    if CANCEL.changed(connection, here):
        record(
            connection,
            row,
            tenant=clerk.tenant,
            actor=clerk.id,
            act="cancel",
            reason=None,
            now=now,
        )
        return
    FORGET_CLAIMS.changed(connection, here | {"later_": now + verifier.settings.result_retention})


def _settle_race(verifier: Verifier, clerk: Clerk, desk: str, number: int, made: str) -> None:
    """The desk did not take the transaction *made* for visit *number*: find out why.

    Another request of this browser was first: fine, if it asked the same. Or the code is that of
    another desk: the next visit has another one.
    """
    row = _row(verifier, clerk, desk)
    if row.transaction_id == made:
        return
    with verifier.database.transaction() as connection:
        _put_away(verifier, connection, clerk, made)
        if row.visit < number:
            here = _here(clerk, desk, row.visit) | {"next_holder_": clerk.hash}
            if _SIT.changed(connection, here):
                _put_away(verifier, connection, clerk, row.transaction_id)
    raise DeskMovedOn("desk: asked something else meanwhile, or its code was taken")
