"""What is no longer needed goes: secrets, used nonces, old offers and records (S-03, I-112)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    and_,
    delete,
    func,
    literal_column,
    or_,
    select,
    tuple_,
    update,
)

from shared.runtime.database import Database, portions
from shared.runtime.document_store import forget_documents
from shared.runtime.idempotency import forget_requests

from .context import Issuer
from .tables import (
    authorizations,
    copies,
    deferrals,
    deliveries,
    desk_codes,
    grants,
    issuances,
    metadata,
    offers,
    refresh_tokens,
    request_keys,
    used_values,
)

_RENEWABLE = timedelta(days=30)
_REPEATABLE = timedelta(days=1)
_DOCUMENTS = timedelta(days=365)  # fetched ones, which end long before
_PORTION = 128
_PORTIONS = 160  # in one run: what else this process does in the background waits for a second
_OF_OFFER = and_(grants.c.tenant == offers.c.tenant, grants.c.offer_id == offers.c.id)


def _usable(now: datetime) -> ColumnElement[bool]:
    """Whether a token of the offer may be used again."""
    return or_(
        select(grants.c.id).where(_OF_OFFER, grants.c.expires_at > now).exists(),
        select(refresh_tokens.c.id)
        .where(
            refresh_tokens.c.tenant == offers.c.tenant,
            refresh_tokens.c.offer_id == offers.c.id,
            refresh_tokens.c.revoked_at.is_(None),
            refresh_tokens.c.expires_at > now,
        )
        .exists(),
    )


def clean(database: Database, *, now: datetime) -> bool:
    """Erase what its purpose has left; each statement alone, so nobody waits for long.

    Returns:
        whether there may be more to erase at once.

    An offer keeps its content while a token of it may be used again, and an uncollected one for 30
    days, in which it can be renewed. An authorization request stays a day longer than its code, so
    that a code which comes again is known. What offers and issuances leave goes in `forget`.
    """
    more = _erase_offers(database, now)
    for statement in (
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
    return more


def _erase_offers(database: Database, now: datetime) -> bool:
    collected = select(grants.c.id).where(_OF_OFFER, grants.c.issued > 0).exists()
    old = and_(offers.c.created_at < now - _RENEWABLE, offers.c.expires_at < now)
    ended = and_(
        or_(and_(offers.c.state == "redeemed", collected), old),
        ~_usable(now),
        func.length(offers.c.content) > literal_column("0"),
    )

    def erase(keys: Sequence[Any]) -> None:
        these = tuple_(offers.c.tenant, offers.c.id).in_(keys)
        with database.single() as connection:
            connection.execute(update(offers).where(these, ended).values(content=b""))

    return _each(database, select(offers.c.tenant, offers.c.id).where(ended), erase)


def _each(database: Database, which: Select[Any], act: Callable[[Sequence[Any]], None]) -> bool:
    """Do *act* with the rows that *which* finds, in portions; whether there may be more of them.

    Looking for them may take seconds in a large table: it holds up no writer, as it would inside
    the statement that changes them.
    """
    most, count = _PORTION * _PORTIONS, 0
    with database.reading() as connection:
        found = connection.execute(which.limit(most))
        for rows in found.partitions(_PORTION):  # never all at once: memory that was taken stays
            count += len(rows)
            for keys in portions(rows, _PORTION):
                act(keys)
    return count == most


def forget(issuer: Issuer, *, now: datetime) -> bool:
    """Delete offers that ended and records of credentials that expired, after the time they have.

    With an offer go its grants and tokens, with a record its copies and deliveries. The audit trail
    keeps that they were. An offer of which something may be used is none that ended.

    Returns:
        whether there may be more to delete at once.
    """
    settings, more = issuer.settings, False
    forget_documents(issuer.database, metadata, before=now - _DOCUMENTS)
    for tenant in issuer.tenants:
        before = now - timedelta(days=settings.offer_days)
        more |= _forget_offers(issuer.database, tenant, before=before, now=now)
        if settings.record_days is not None:
            before = now - timedelta(days=settings.record_days)
            more |= _forget_records(issuer.database, tenant, before=before)
    return more


def _forget_offers(database: Database, tenant: str, *, before: datetime, now: datetime) -> bool:
    ended = select(offers.c.id).where(
        offers.c.tenant == tenant,
        offers.c.created_at < before,
        offers.c.expires_at < now,
        ~_usable(now),
    )

    def hanging(found: Sequence[str]) -> Mapping[Table, ColumnElement[bool]]:
        return {
            refresh_tokens: refresh_tokens.c.offer_id.in_(found),
            grants: grants.c.offer_id.in_(found),
            offers: offers.c.id.in_(found),
        }

    return _delete(database, tenant, ended, hanging)


def _forget_records(database: Database, tenant: str, *, before: datetime) -> bool:
    expired = select(issuances.c.id).where(
        issuances.c.tenant == tenant,
        issuances.c.issued_at < before,
        issuances.c.expires_at < before,
    )

    def hanging(found: Sequence[str]) -> Mapping[Table, ColumnElement[bool]]:
        theirs = and_(copies.c.tenant == tenant, copies.c.issuance_id.in_(found))
        return {
            deliveries: deliveries.c.id.in_(select(copies.c.delivery_id).where(theirs)),
            copies: copies.c.issuance_id.in_(found),
            issuances: issuances.c.id.in_(found),
        }

    return _delete(database, tenant, expired, hanging)


def _delete(
    database: Database,
    tenant: str,
    which: Select[str],
    hanging: Callable[[Sequence[str]], Mapping[Table, ColumnElement[bool]]],
) -> bool:
    """Delete what *which* finds with all that hangs on it; what is in use waits."""
    (key,) = which.selected_columns

    def remove(keys: Sequence[Any]) -> None:
        still = which.where(key.in_([each for (each,) in keys]))
        with database.transaction() as connection:
            found = connection.execute(still.with_for_update(skip_locked=True)).scalars().all()
            for these in portions(found, _PORTION):
                for table, rows in hanging(these).items():
                    connection.execute(delete(table).where(table.c.tenant == tenant, rows))

    return _each(database, which, remove)
