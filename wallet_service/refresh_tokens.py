"""The refresh token of one authorization: its cards share it, and one request at a time uses it.

It lies sealed beside each card that it renews, so it goes with the last of them. Where the agency
rotates it, the next one is written beside all of them before anything else happens; who finds it
in use by another request calls nothing and tries later.

Specification: RFC 6749, section 6; PROFILE W-43; WALLET_SECURITY, section 2.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, delete, select, update

from shared.encoding import b64url_encode, to_numeric_date
from shared.errors import Unavailable
from shared.runtime.database import once

from .context import Wallet
from .tables import renewals
from .vault import OpenWallet

_LEASE = timedelta(minutes=2)  # longer than its calls can take: ten seconds each, six at most


class TokenBusy(Unavailable):
    """Another request uses the same refresh token right now."""


@dataclass(slots=True)
class Held:
    """The refresh token while this request alone may use it; None if there is none any more."""

    wallet: Wallet
    opened: OpenWallet
    authorization: str
    token: str | None
    mark: str
    _open: bool = True

    def rotate(self, granted: Mapping[str, Any], line: Mapping[str, Any]) -> None:
        """What a token response brought, beside every card of the authorization (W-43)."""
        kept = {name: granted[name] for name in ("refresh_token", "identifiers")}
        self._write({**kept, "line": line})

    def refused(self) -> None:
        """The agency does not take it any more: it renews nothing."""
        self._write(None)

    def release(self) -> None:
        """Others may use it, as it was."""
        if self._open:
            self._write({})

    def _write(self, changed: Mapping[str, Any] | None) -> None:
        self._open = False
        with self.wallet.database.transaction() as connection:
            for card, sealed, stored in _rows(connection, self.opened, self.authorization):
                if (stored["busy"] or {}).get("mark") != self.mark:
                    continue
                if changed is None:
                    connection.execute(delete(renewals).where(*_as_read(self.opened, card, sealed)))
                else:
                    content = {**stored, **changed, "busy": None}
                    _replace(connection, self.opened, card, sealed, content)


@contextmanager
def claimed(
    wallet: Wallet, opened: OpenWallet, authorization: str, *, now: datetime
) -> Iterator[Held]:
    """The refresh token of *authorization*, for this request alone.

    Raises:
        TokenBusy: another request uses it.
    """
    mark = b64url_encode(wallet.random_bytes(16))
    busy = {"mark": mark, "until": to_numeric_date(now + _LEASE)}
    token = None
    with wallet.database.transaction() as connection:
        for card, sealed, stored in _rows(connection, opened, authorization):
            taken = stored["busy"] is not None and to_numeric_date(now) < stored["busy"]["until"]
            content = {**stored, "busy": busy}
            if taken or not _replace(connection, opened, card, sealed, content):
                raise TokenBusy("refresh token: in use by another request")
            token = stored["refresh_token"]
    held = Held(wallet, opened, authorization, token, mark)
    try:
        yield held
    finally:
        held.release()


def _rows(
    connection: Connection, opened: OpenWallet, authorization: str
) -> list[tuple[str, bytes, dict[str, Any]]]:
    """The cards of *authorization*, always in one order, so that two writers never cross."""
    rows = connection.execute(
        select(renewals.c.credential, renewals.c.sealed)
        .where(renewals.c.wallet == opened.id)
        .order_by(renewals.c.credential)
    ).all()
    found = [(card, sealed, opened.open(renewals, card, sealed)) for card, sealed in rows]
    return [each for each in found if each[2]["authorization"] == authorization]


def _replace(
    connection: Connection, opened: OpenWallet, card: str, sealed: bytes, content: dict[str, Any]
) -> bool:
    changed = update(renewals).where(*_as_read(opened, card, sealed))
    return once(connection, changed.values(sealed=opened.seal(renewals, card, content)))


def _as_read(opened: OpenWallet, card: str, sealed: bytes) -> tuple[Any, ...]:
    return (
        renewals.c.credential == card,
        renewals.c.wallet == opened.id,
        renewals.c.sealed == sealed,
    )
