"""An open wallet between two requests: `K_read` under a random value that only the browser holds.

The row alone opens nothing; deleting it signs out. A stolen session can look and cannot sign, since
`K_act` never comes here. Specification: WALLET_SECURITY, sections 2 (session) and 6 (opening).
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Self

from sqlalchemy import Connection, RowMapping, bindparam, delete, insert, select, update

from shared.crypto.sealing import hkdf, open_sealed, seal
from shared.encoding import b64url_decode, b64url_encode, from_numeric_date, to_numeric_date
from shared.errors import InvalidInput, NotFound, Unauthenticated
from shared.runtime.database import Database, once, portions

from . import coarse
from .context import Wallet
from .tables import sessions
from .vault import OpenWallet

_PORTION = 256
_TOUCH = timedelta(seconds=60)  # a session is written at most once a minute
_LEAST = 30
_FIND = select(sessions).where(sessions.c.token_hash == bindparam("token_hash"))


@dataclass(frozen=True, slots=True)
class NewSession:
    """*token* goes to the browser and is stored nowhere."""

    id: str
    token: str
    ends_at: datetime
    idle_seconds: int
    seconds: int
    opened: OpenWallet


def start_session(
    wallet: Wallet,
    connection: Connection,
    *,
    wallet_id: str,
    unlocker: str,
    k_read: bytes,
    now: datetime,
) -> NewSession:
    """Seal `K_read` under a fresh random value."""
    token = wallet.random_bytes(32)
    session_id = f"ses_{b64url_encode(wallet.random_bytes(16))}"
    ends_at = now + timedelta(minutes=wallet.settings.session_minutes)
    inside = _Inside(k_read, _idle_until(wallet, now), ends_at)
    connection.execute(
        insert(sessions).values(
            id=session_id,
            token_hash=hashlib.sha256(token).digest(),
            wallet=wallet_id,
            unlocker=unlocker,
            sealed_key=inside.seal(token, session_id),
            started_at=coarse.by_hour(now) - timedelta(hours=1),
            ends_at=coarse.by_hour(ends_at),
        )
    )
    opened = OpenWallet(wallet_id, session_id, unlocker, k_read)
    # A session is written at most once a minute: so much earlier it may end.
    idle = timedelta(minutes=wallet.settings.session_idle_minutes) - _TOUCH
    return NewSession(
        session_id,
        b64url_encode(token),
        ends_at,
        max(int(idle.total_seconds()), _LEAST),
        int((ends_at - now).total_seconds()),
        opened,
    )


def resume_session(wallet: Wallet, token: str, *, now: datetime) -> OpenWallet:
    """The open wallet behind *token*.

    Raises:
        Unauthenticated: no such session, or it ended (idle 10, absolute 60 minutes unless set).
    """
    try:
        secret = b64url_decode(token)
    except InvalidInput as error:
        raise Unauthenticated("session: not a token") from error
    with wallet.database.reading() as connection:
        row = (
            connection.execute(_FIND, {"token_hash": hashlib.sha256(secret).digest()})
            .mappings()
            .one_or_none()
        )
    if row is None:
        raise Unauthenticated("session: unknown or ended")
    inside = _Inside.open(secret, row["id"], row["sealed_key"])
    if now >= inside.ends_at or now >= inside.idle_until:
        raise Unauthenticated("session: unknown or ended")
    idle_until = _idle_until(wallet, now)
    if idle_until - inside.idle_until > _TOUCH:
        sealed = replace(inside, idle_until=idle_until).seal(secret, row["id"])
        with wallet.database.single() as connection:
            connection.execute(
                update(sessions).where(sessions.c.id == row["id"]).values(sealed_key=sealed)
            )
    return OpenWallet(row["wallet"], row["id"], row["unlocker"], inside.k_read)


def still_open(database: Database, tokens: Collection[bytes], *, now: datetime) -> set[bytes]:
    """Those of these sessions that have not ended; being looked at prolongs none of them."""
    hashed = {hashlib.sha256(each).digest(): each for each in tokens}
    statement = select(sessions.c.id, sessions.c.token_hash, sessions.c.sealed_key)
    rows: list[Any] = []
    with database.reading() as connection:
        for these in portions(list(hashed), _PORTION):
            rows += connection.execute(statement.where(sessions.c.token_hash.in_(these))).all()
    found = set()
    for row in rows:
        token = hashed[row.token_hash]
        inside = _Inside.open(token, row.id, row.sealed_key)
        if now < inside.ends_at and now < inside.idle_until:
            found.add(token)
    return found


def list_sessions(wallet: Wallet, opened: OpenWallet, *, now: datetime) -> list[RowMapping]:
    """Where this wallet is open now, or was within its last hour: the clear tells no more."""
    with wallet.database.reading() as connection:
        statement = select(sessions).where(sessions.c.wallet == opened.id, sessions.c.ends_at > now)
        return list(connection.execute(statement).mappings())


def end_session(wallet: Wallet, opened: OpenWallet, session_id: str) -> None:
    """Sign out here, or somewhere else."""
    with wallet.database.single() as connection:
        ended = once(
            connection,
            delete(sessions).where(sessions.c.id == session_id, sessions.c.wallet == opened.id),
        )
    if not ended:
        raise NotFound("session: not one of this wallet")


def end_former(wallet: Wallet, opened: OpenWallet, token: str) -> None:
    """Opened anew in the browser that holds *token*: its former session is over, if it is one."""
    try:
        secret = b64url_decode(token)
    except InvalidInput:
        return
    former = delete(sessions).where(
        sessions.c.token_hash == hashlib.sha256(secret).digest(),
        sessions.c.wallet == opened.id,
        sessions.c.id != opened.session,
    )
    with wallet.database.single() as connection:
        connection.execute(former)


@dataclass(frozen=True, slots=True)
class _Inside:
    """What the row seals under the token: the root, and the exact ends of the session."""

    k_read: bytes = field(repr=False)
    idle_until: datetime
    ends_at: datetime

    def seal(self, token: bytes, session_id: str) -> bytes:
        idle, end = (to_numeric_date(each) for each in (self.idle_until, self.ends_at))
        plain = self.k_read + idle.to_bytes(8, "big") + end.to_bytes(8, "big")
        return seal(_key(token), plain, aad=session_id.encode())

    @classmethod
    def open(cls, token: bytes, session_id: str, blob: bytes) -> Self:
        plain = open_sealed(_key(token), blob, aad=session_id.encode())
        idle, end = (int.from_bytes(plain[at : at + 8], "big") for at in (32, 40))
        return cls(plain[:32], from_numeric_date(idle), from_numeric_date(end))


def _idle_until(wallet: Wallet, now: datetime) -> datetime:
    return now + timedelta(minutes=wallet.settings.session_idle_minutes)


def _key(token: bytes) -> bytes:
    return hkdf(token, "citizen-wallet/session/v1")
