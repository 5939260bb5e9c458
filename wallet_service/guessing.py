"""Guesses of codes from outside a session, counted in the database, so that all replicas count.

A code has 160 random bits, so nobody guesses one; the count keeps anybody from trying on our
machines. It is kept by address and hour under a key: the row tells no address, and goes with its
hour. Addresses of IPv6 count by their network of 64 bits. Specification: DESIGN, "Decided";
WALLET_SECURITY 6 and 10.
"""

import hmac
from datetime import datetime
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import update

from shared.errors import TooManyRequests
from shared.runtime.database import insert_once, once

from . import coarse
from .context import Wallet
from .tables import guesses

LIMIT = 60


def count(wallet: Wallet, address: str, *, now: datetime) -> None:
    """One more try of a code from *address* in this hour, decided by one guarded statement.

    Raises:
        TooManyRequests: there were too many.
    """
    ends = coarse.by_hour(now)
    name = f"guess\x00{_network(address)}\x00{ends:%FT%H}".encode()
    bucket = hmac.digest(wallet.mac_key, name, "sha256")
    another = (
        update(guesses)
        .where(guesses.c.bucket == bucket, guesses.c.tries < LIMIT)
        .values(tries=guesses.c.tries + 1)
    )
    with wallet.database.transaction() as connection:
        if insert_once(connection, guesses, {"bucket": bucket, "tries": 1, "expires_at": ends}):
            return
        if not once(connection, another):
            raise TooManyRequests("codes: too many tries")


def _network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return address
