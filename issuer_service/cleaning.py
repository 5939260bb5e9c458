"""What is no longer needed goes: secrets of ended offers, used nonces (S-03, I-112)."""

from datetime import datetime, timedelta

from sqlalchemy import and_, delete, func, literal_column, or_, select, update

from shared.runtime.database import Database
from shared.runtime.idempotency import forget_requests

from .tables import (
    authorizations,
    deferrals,
    desk_codes,
    grants,
    metadata,
    offers,
    refresh_tokens,
    request_keys,
    used_values,
)

_RENEWABLE = timedelta(days=30)
_REPEATABLE = timedelta(days=1)


def clean(database: Database, *, now: datetime) -> None:
    """Erase what its purpose has left; each statement alone, so nobody waits for long.

    An offer keeps its content while a token of it may be used again, and an uncollected one for 30
    days, in which it can be renewed. An authorization request stays a day longer than its code, so
    that a code which comes again is known. Issuances stay: they are what can be revoked.
    """
    of_offer = and_(grants.c.tenant == offers.c.tenant, grants.c.offer_id == offers.c.id)
    collected = select(grants.c.id).where(of_offer, grants.c.issued > 0).exists()
    usable = or_(
        select(grants.c.id).where(of_offer, grants.c.expires_at > now).exists(),
        select(refresh_tokens.c.id)
        .where(
            refresh_tokens.c.tenant == offers.c.tenant,
            refresh_tokens.c.offer_id == offers.c.id,
            refresh_tokens.c.revoked_at.is_(None),
            refresh_tokens.c.expires_at > now,
        )
        .exists(),
    )
    old = offers.c.created_at < now - _RENEWABLE
    ended = and_(or_(and_(offers.c.state == "redeemed", collected), old), ~usable)
    for statement in (
        update(offers)
        .where(ended, func.length(offers.c.content) > literal_column("0"))
        .values(content=b""),
        delete(used_values).where(used_values.c.expires_at < now),
        delete(authorizations).where(authorizations.c.expires_at < now - _REPEATABLE),
        delete(refresh_tokens).where(refresh_tokens.c.expires_at < now),
        delete(deferrals).where(deferrals.c.expires_at < now),
        delete(request_keys).where(request_keys.c.ends_at < now),
        delete(desk_codes).where(desk_codes.c.expires_at < now - _RENEWABLE),
        update(desk_codes)
        .where(
            desk_codes.c.expires_at < now, func.length(desk_codes.c.content) > literal_column("0")
        )
        .values(content=b""),
    ):
        with database.single() as connection:
            connection.execute(statement)
    forget_requests(database, metadata, before=now - _REPEATABLE)
