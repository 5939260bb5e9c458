"""Opening a wallet: one gesture with the `read` input, then `K_read` for the length of a session.

The service peels its outer layer only after the gesture; the browser opens the inner one. A
challenge is sealed time and randomness, and only its use is stored. A root that does not vouch for
the stored unlockers opens nothing. Specification: WALLET_SECURITY, sections 3 and 6 (opening).
"""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import RowMapping, select, update

from shared.crypto.sealing import TimedNonces
from shared.encoding import JsonValue, b64url_encode, to_numeric_date
from shared.runtime.database import insert_once

from . import coarse, passkeys, sessions
from .context import Wallet
from .registering import open_ticket, seal_ticket
from .tables import unlockers, used_challenges
from .vault import check_unlockers, inner_wraps

_LIFETIME = timedelta(minutes=2)


def options(wallet: Wallet, *, now: datetime) -> dict[str, JsonValue]:
    """Options for the gesture; any passkey of any wallet may answer."""
    challenge = _nonces(wallet).make(now, wallet.random_bytes)
    return passkeys.request_options(
        wallet.settings, challenge=challenge.encode(), purposes=("read",)
    )


def answer(
    wallet: Wallet, assertion: Mapping[str, JsonValue], *, now: datetime
) -> dict[str, JsonValue]:
    """Believe the gesture and hand out the inner layer of `K_read` for this passkey.

    Raises:
        NotApproved: unknown passkey, wrong or used challenge, no user verification.

    Specification: WALLET_SECURITY, section 6.
    """
    challenge = passkeys.client_challenge(assertion)
    row = _passkey(wallet, assertion)
    count = passkeys.verify_assertion(
        wallet.settings,
        assertion,
        challenge=challenge,
        credential_key=row["credential_key"],
        sign_count=row["sign_count"],
    )
    _use(wallet, challenge, now=now)
    with wallet.database.reading() as connection:
        wraps = inner_wraps(wallet, connection, row["wallet"], "read")
    if count != row["sign_count"]:
        with wallet.database.single() as connection:
            connection.execute(
                update(unlockers).where(unlockers.c.id == row["id"]).values(sign_count=count)
            )
    ticket: dict[str, JsonValue] = {
        "wallet": row["wallet"],
        "unlocker": row["id"],
        "until": to_numeric_date(now + _LIFETIME),
    }
    return {
        "wallet": row["wallet"],
        "unlocker": row["id"],
        "read_wrap": b64url_encode(wraps[row["id"]]),
        "opening": seal_ticket(wallet, "opening", ticket),
    }


def finish(wallet: Wallet, opening: str, k_read: bytes, *, now: datetime) -> sessions.NewSession:
    """Start the session, if *k_read* vouches for every stored unlocker.

    Raises:
        WalletAltered: another root, or an unlocker was exchanged.
    """
    ticket: dict[str, Any] = open_ticket(wallet, "opening", opening, now=now)
    with wallet.database.transaction() as connection:
        check_unlockers(connection, ticket["wallet"], k_read)
        return sessions.start_session(
            wallet,
            connection,
            wallet_id=ticket["wallet"],
            unlocker=ticket["unlocker"],
            k_read=k_read,
            now=now,
        )


def _nonces(wallet: Wallet) -> TimedNonces:
    return TimedNonces(wallet.challenge_key, "sign-in", passkeys.CHALLENGE_LIFETIME)


def _passkey(wallet: Wallet, assertion: Mapping[str, JsonValue]) -> RowMapping:
    statement = select(unlockers).where(
        unlockers.c.credential_id == passkeys.credential_id(assertion)
    )
    with wallet.database.reading() as connection:
        row = connection.execute(statement).mappings().one_or_none()
    if row is None:
        raise passkeys.NotApproved("opening: no wallet has this passkey")
    return row


def _use(wallet: Wallet, challenge: bytes, *, now: datetime) -> None:
    try:
        text = challenge.decode("ascii")
    except UnicodeDecodeError as error:
        raise passkeys.NotApproved("opening: not a challenge of ours") from error
    used = _nonces(wallet).check(text, now)
    row = {"hash": used, "expires_at": coarse.by_hour(now + passkeys.CHALLENGE_LIFETIME)}
    with wallet.database.single() as connection:
        if not insert_once(connection, used_challenges, row):
            raise passkeys.NotApproved("opening: this challenge was used")
