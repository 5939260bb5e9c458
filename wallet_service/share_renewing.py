"""A new `S` when an unlocker goes: what backups hold of its wraps opens with nothing that is left.

Striking off deletes the wraps that live, and a backup keeps them. They lie in the outer layer of
the old `S`, so that one is destroyed, too. Its row holds the old and the new one while the outer
layers of all that stay are made anew, in the transaction that removes the unlocker; then the new
one alone. Either opens meanwhile, so what was cut off halfway is gone on with by the next removal
or by the job that cleans up. It takes no secret of the citizen.

Specification: WALLET_SECURITY, section 2 (`S`, stored wrap); ADR 0018.
"""

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, select, update

from shared.crypto.sealing import seal
from shared.errors import NotFound, Unavailable, VerificationError
from shared.runtime.database import once

from .context import Wallet
from .shares.tables import has_two, shares
from .tables import wraps
from .vault import hold_unlockers, open_outer, outer_layer, shares_of

_TRIES = 5


class _Overtaken(Exception):  # nobody's error: it is done again
    """Another removal has made the layers anew since ours began."""


def removing(
    wallet: Wallet,
    wallet_id: str,
    act: Callable[[Connection], None],
    *,
    unlocker: Callable[[Connection], str],
) -> None:
    """Do *act*, which removes an unlocker; all that stay have another `S` then.

    Args:
        wallet: the service.
        wallet_id: whose unlocker.
        act: deletes it with its wraps; whatever it raises undoes everything.
        unlocker: finds the one that goes.
    """
    for _ in range(_TRIES):
        _begin(wallet, wallet_id)
        try:
            with wallet.database.transaction() as connection:
                hold_unlockers(connection, wallet_id)
                pair = shares_of(wallet, wallet_id)
                _check_first(connection, wallet_id, unlocker(connection), pair)
                act(connection)
                _seal_anew(connection, wallet_id, pair)
        except _Overtaken:
            finish(wallet, wallet_id)
            continue
        _drop_old(wallet, wallet_id, pair)
        return
    raise Unavailable("shares: too many removals at once")


def finish(wallet: Wallet, wallet_id: str) -> None:
    """Go on with what was begun, if anything was."""
    with wallet.database.transaction() as connection:
        hold_unlockers(connection, wallet_id)
        pair = shares_of(wallet, wallet_id)
        _seal_anew(connection, wallet_id, pair)
    _drop_old(wallet, wallet_id, pair)


def finish_all(wallet: Wallet) -> None:
    """For the job that cleans up: whatever was cut off halfway."""
    begun = select(shares.c.wallet).where(has_two)
    with wallet.shares.reading() as connection:
        found = connection.execute(begun).scalars().all()
    for wallet_id in found:
        try:
            finish(wallet, wallet_id)
        except NotFound:  # deleted meanwhile
            continue


def _begin(wallet: Wallet, wallet_id: str) -> None:
    """The row holds a second secret, by us or by another removal."""
    _exchange(
        wallet, wallet_id, lambda held: (*held, wallet.random_bytes(32)) if len(held) == 1 else held
    )


def _drop_old(wallet: Wallet, wallet_id: str, pair: tuple[bytes, ...]) -> None:
    """The new secret alone, if the row still holds the *pair* whose layers were made anew."""
    _exchange(wallet, wallet_id, lambda held: held[-1:] if held == pair else held)


def _exchange(
    wallet: Wallet, wallet_id: str, change: Callable[[tuple[bytes, ...]], tuple[bytes, ...]]
) -> None:
    """Put what *change* makes of the secrets in their place: one guarded UPDATE decides."""
    keys, aad = wallet.share_keys(), wallet_id.encode()
    for _ in range(_TRIES):
        with wallet.shares.reading() as connection:
            mine = select(shares.c.blob).where(shares.c.wallet == wallet_id)
            blob = connection.execute(mine).scalar_one_or_none()
        if blob is None:
            raise NotFound("shares: the wallet goes meanwhile")
        held = shares_of(wallet, wallet_id, blob)
        wanted = change(held)
        if wanted == held:
            return
        statement = update(shares).where(shares.c.wallet == wallet_id, shares.c.blob == blob)
        with wallet.shares.single() as connection:
            if once(connection, statement.values(blob=keys.seal(b"".join(wanted), aad=aad))):
                return
    raise Unavailable("shares: changed too often")


def _check_first(
    connection: Connection, wallet_id: str, unlocker: str, pair: tuple[bytes, ...]
) -> None:
    """No layer of the one that goes was ever made with the new secret."""
    if len(pair) == 1:
        raise _Overtaken
    rows = connection.execute(select(wraps).where(wraps.c.unlocker == unlocker)).all()
    for row in rows:
        if _opens(pair[-1:], wallet_id, row) is not None:
            raise _Overtaken


def _seal_anew(connection: Connection, wallet_id: str, pair: tuple[bytes, ...]) -> None:
    """The outer layer of each wrap by the newest secret; what opens by neither stays closed."""
    rows = connection.execute(select(wraps).where(wraps.c.wallet == wallet_id)).all()
    for row in rows:
        inner = _opens(pair[:-1], wallet_id, row)
        if inner is not None:
            key, aad = outer_layer(pair[-1], wallet_id, row.unlocker, row.purpose)
            connection.execute(
                update(wraps)
                .where(wraps.c.unlocker == row.unlocker, wraps.c.purpose == row.purpose)
                .values(blob=seal(key, inner, aad=aad))
            )


def _opens(secrets: tuple[bytes, ...], wallet_id: str, row: Any) -> bytes | None:
    if not secrets:
        return None
    try:
        return open_outer(secrets, wallet_id, row.unlocker, row.purpose, row.blob)
    except VerificationError:
        return None
