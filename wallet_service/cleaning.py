"""What is over is erased: sessions, challenges, approvals, ended flows, left wallets (S-03)."""

from datetime import datetime, timedelta

from sqlalchemy import delete

from . import leaving, share_renewing
from .context import Wallet
from .tables import (
    approvals,
    attestation_lists,
    attestation_status,
    callbacks,
    guesses,
    issuances,
    presentations,
    sessions,
    used_challenges,
)

_KEPT = timedelta(days=1)


def clean(wallet: Wallet, *, now: datetime) -> None:
    """Delete what ended; what a citizen may still look at stays for a day."""
    with wallet.database.transaction() as connection:
        connection.execute(delete(sessions).where(sessions.c.ends_at <= now))
        for table in (used_challenges, callbacks, guesses):
            connection.execute(delete(table).where(table.c.expires_at <= now))
        for table in (attestation_status, attestation_lists):
            connection.execute(delete(table).where(table.c.needed_until <= now))
        connection.execute(delete(approvals).where(approvals.c.expires_at <= now - _KEPT))
        for table in (issuances, presentations):
            connection.execute(delete(table).where(table.c.expires_at <= now - _KEPT))
    leaving.finish(wallet, now=now)
    share_renewing.finish_all(wallet)
