"""Which copy of a credential is shown: at random, one per verifier, unused ones first (W-45, Q-23).

When none is unused, one that this verifier has seen already tells it nothing new; only then any
other, the least used. That is said to the citizen before (`copy_reused`), never done silently.

Specification: WALLET_SECURITY, section 7; PROFILE W-45, Q-23, S-40.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, select, update

from shared.errors import Conflict
from shared.formats.credential import Held
from shared.oid4vp.dcql_matching import Match
from shared.runtime.prepared import Prepared

from . import logbook
from .context import Wallet
from .tables import copies
from .vault import OpenWallet, WalletAltered

_APPROVED = (
    copies.c.id == bindparam("of_copy"),
    copies.c.wallet == bindparam("of_wallet"),
    copies.c.uses == bindparam("uses_then"),
)
_FOUND = Prepared(select(copies.c.uses, copies.c.sealed, copies.c.key_blob).where(*_APPROVED))
_SPENT = Prepared(
    update(copies)
    .where(*_APPROVED)
    .values(state="spent", uses=bindparam("uses_now"), sealed=bindparam("new_sealed"))
)


class CopyTaken(Conflict):
    """Another presentation was first with this copy."""

    code = "copy_taken"
    public = "This copy of the document was just used for something else. Nothing was shared."
    next_step = "Choose again; another copy is taken."


class NoCopyLeft(Conflict):
    """All copies are needed by the same request, or the document has none."""

    code = "no_copy_left"
    public = "This document has no copy left to show."
    next_step = "Ask the agency for a new one."


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy, as far as choosing needs it."""

    id: str
    uses: int


def choose_copies(
    wallet: Wallet, opened: OpenWallet, wanted: Sequence[tuple[str, Match]], *, entity: str
) -> list[tuple[str, Match, Copy]]:
    """A copy for each (Credential Query id, match); never the same one twice."""
    taken: set[str] = set()
    chosen = []
    with wallet.database.reading() as connection:
        shown = logbook.spent_copies(connection, opened)
        for query_id, match in wanted:
            copy = _choose(
                wallet,
                connection,
                opened,
                match.candidate.id,
                taken=taken,
                entity=entity,
                shown=shown,
            )
            taken.add(copy.id)
            chosen.append((query_id, match, copy))
    return chosen


def _choose(
    wallet: Wallet,
    connection: Connection,
    opened: OpenWallet,
    credential: str,
    *,
    taken: set[str],
    entity: str,
    shown: Callable[[str], bool],
) -> Copy:
    mine = (copies.c.credential == credential, copies.c.wallet == opened.id)
    rows = connection.execute(select(copies.c.id, copies.c.uses).where(*mine)).all()
    if any(row.uses == 0 and shown(row.id) for row in rows):
        raise WalletAltered("choosing: the row of a shown copy was put back")
    free = [row for row in rows if row.id not in taken]
    fresh = [row for row in free if row.uses == 0]
    if fresh:
        row = fresh[int.from_bytes(wallet.random_bytes(8), "big") % len(fresh)]
        return Copy(row.id, 0)
    sealed = connection.execute(select(copies.c.id, copies.c.sealed).where(*mine)).all()
    met = {
        row.id for row in sealed if entity in opened.open(copies, row.id, row.sealed)["shown_to"]
    }
    known = [row for row in free if row.id in met]
    used = sorted(known or free, key=lambda row: row.uses)
    if not used:
        raise NoCopyLeft("choosing: no copy left")
    return Copy(used[0].id, used[0].uses)


@dataclass(frozen=True, slots=True)
class OpenCopy:
    """One copy with its credential and its sealed holder key."""

    id: str
    uses: int
    held: Held
    shown_to: list[str]
    key_blob: bytes


def open_copy(wallet: Wallet, opened: OpenWallet, copy_id: str, *, uses: int) -> OpenCopy:
    """The copy that was approved, if nothing was done with it since; raises CopyTaken otherwise."""
    values = {"of_copy": copy_id, "of_wallet": opened.id, "uses_then": uses}
    row = _FOUND.row(wallet.database, values)
    if row is None:
        raise CopyTaken("choosing: the approved copy was used meanwhile")
    data = opened.open(copies, copy_id, row.sealed)
    held = Held.load(data["held"].encode())
    return OpenCopy(copy_id, row.uses, held, data["shown_to"], row.key_blob)


def spend(connection: Connection, opened: OpenWallet, copy: OpenCopy, *, entity: str) -> None:
    """Mark *copy* as shown to *entity*, once; of two presentations one gets CopyTaken."""
    shown_to = copy.shown_to if entity in copy.shown_to else [*copy.shown_to, entity]
    row = {"held": copy.held.dump().decode(), "shown_to": shown_to}
    values = {
        "of_copy": copy.id,
        "of_wallet": opened.id,
        "uses_then": copy.uses,
        "uses_now": copy.uses + 1,
        "new_sealed": opened.seal(copies, copy.id, row),
    }
    if not _SPENT.changed(connection, values):
        raise CopyTaken("choosing: another presentation was first")
