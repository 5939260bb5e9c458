"""What an answer leaves behind: one record for the same data, a delivery, a place for each copy.

The same data given to one person under one offer is one record, whatever formats and copies it goes
out in, so one revocation covers them all. A delivery's id is a keyed hash of the request: who sends
the same bytes again, because only the answer was lost, gets the places of the first time. All of it
is one transaction, before anything is signed: whatever exists can be revoked. PROFILE I-04a, I-74,
I-110 to I-114, S-02.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    LargeBinary,
    String,
    bindparam,
    case,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from shared.encoding import start_of_day
from shared.errors import ProtocolError
from shared.formats.status_list import StatusList
from shared.oauth.errors import InvalidToken
from shared.oid4vci.errors import CredentialRequestDenied, InvalidNonce
from shared.runtime.database import UtcDateTime
from shared.runtime.prepared import Prepared, PreparedInsert

from . import auditing
from .access import AccessGrant, use_proof
from .catalogue import Configuration
from .context import Issuer, Tenant
from .datasets import Dataset
from .indexes import Taken
from .status_tokens import BITS, sign_list
from .tables import copies, deliveries, grants, issuances

MAX_COPIES = 100
"""How many copies one access token may fetch, whatever it asks for."""
SUPERSEDED = ("superseded", "data_changed")
"""Reasons to revoke after which the same person may have new ones under the same offer."""

_COUNT = Prepared(
    update(grants)
    .where(
        grants.c.tenant == bindparam("of_tenant"),
        grants.c.offer_id == bindparam("of_offer"),
        grants.c.id == bindparam("of_grant"),
        grants.c.revoked_at.is_(None),
        grants.c.expires_at > bindparam("now"),
        grants.c.issued + bindparam("count") <= MAX_COPIES,
    )
    .values(issued=grants.c.issued + bindparam("count"))
)
_DELIVER = PreparedInsert(deliveries, [column.name for column in deliveries.c])
_EARLIER = issuances.alias("earlier")


def _new_record(insert: Callable[..., Any]) -> Prepared:
    """Makes a record, unless it is there, or the agency took back what it would replace.

    What was revoked for good is not made good again by data that changed meanwhile.
    """
    revoked = select(_EARLIER.c.id).where(
        _EARLIER.c.tenant == bindparam("tenant_"),
        _EARLIER.c.subject == bindparam("subject_"),
        _EARLIER.c.offer_id == bindparam("offer_id_"),
        _EARLIER.c.dataset == bindparam("dataset_"),
        _EARLIER.c.state == "revoked",
        *(_EARLIER.c.reason != each for each in SUPERSEDED),
    )
    values = [bindparam(f"{column.name}_", type_=column.type) for column in issuances.c]
    source = select(*values).where(~revoked.exists())
    names = [column.name for column in issuances.c]
    return Prepared(insert(issuances).from_select(names, source).on_conflict_do_nothing())


_RECORD = {"sqlite": _new_record(sqlite_insert), "postgresql": _new_record(postgresql_insert)}
_HELD = func.coalesce(issuances.c.configuration_ids, issuances.c.configuration_id)
_UNTIL = bindparam("until", type_=UtcDateTime())
_ANOTHER = bindparam("another", type_=String())
_EXTEND = Prepared(
    update(issuances)
    .where(
        issuances.c.tenant == bindparam("of_tenant"),
        issuances.c.id == bindparam("of_issuance"),
        issuances.c.state == "valid",
    )
    .values(
        configuration_ids=case(
            ((" " + _HELD + " ").contains(bindparam("spaced", type_=String()), escape="/"), _HELD),
            else_=_HELD + " " + _ANOTHER,
        ),
        expires_at=case((issuances.c.expires_at < _UNTIL, _UNTIL), else_=issuances.c.expires_at),
        claims_fingerprint=case(
            (
                issuances.c.configuration_id == _ANOTHER,
                bindparam("fingerprint", type_=LargeBinary()),
            ),
            else_=issuances.c.claims_fingerprint,
        ),
        refresh_after=func.coalesce(
            bindparam("stale", type_=UtcDateTime()), issuances.c.refresh_after
        ),
    )
)
_COPY = Prepared(insert(copies))
_DELIVERED = Prepared(
    select(deliveries.c.claims_fingerprint, issuances.c.id, issuances.c.state)
    .join_from(
        deliveries,
        issuances,
        (deliveries.c.tenant == issuances.c.tenant) & (deliveries.c.issuance_id == issuances.c.id),
    )
    .where(deliveries.c.tenant == bindparam("of_tenant"), deliveries.c.id == bindparam("of"))
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the copies of one delivery stand, and until when they are good."""

    number: int
    indexes: tuple[int, ...]
    issued_at: datetime
    expires_at: datetime


def record(
    issuer: Issuer,
    tenant: Tenant,
    grant: AccessGrant,
    configuration: Configuration,
    data: Dataset,
    *,
    delivery_id: str,
    count: int,
    claim: Callable[[Connection], None],
    spent: type[ProtocolError] | None,
    now: datetime,
) -> Recorded:
    """Record one delivery of *count* copies of *data*.

    Args:
        issuer: has the places.
        tenant: who issues.
        grant: what the wallet may have; its proof is used, and the copies count against it.
        configuration: the format and type.
        data: what is issued.
        delivery_id: of the request.
        count: how many keys were proven.
        claim: uses up what may be used once; raises if it was.
        spent: raised if the delivery was made already; None: then its places are given again.
        now: aware.

    Raises:
        InvalidToken: the grant was revoked, ended or used up meanwhile.
        CredentialRequestDenied: what was issued of this data was revoked or suspended.
        InvalidNonce: a repeated request, and the data changed since: ask anew.
        ProtocolError: what *claim* raises, or *spent*.

    Specification: OpenID4VCI 1.0, sections 8.3 and 14.3; PROFILE I-74, I-111 to I-114, ST-31.
    """
    issued_at = start_of_day(now)  # I-115
    expires_at = issued_at + configuration.validity
    fingerprint = issuer.secrets.claims(
        tenant.name, orjson.dumps(data.claims, option=orjson.OPT_SORT_KEYS)
    )
    taken = _take(issuer, tenant, configuration, count, now)
    kind = configuration.dataset
    issuance_id = f"iss_{issuer.secrets.record(tenant.name, grant.offer_id, kind, data.source)}"
    delivery = {
        "tenant": tenant.name,
        "id": delivery_id,
        "issuance_id": issuance_id,
        "offer_id": grant.offer_id,
        "client_id": grant.client_id,
        "configuration_id": configuration.id,
        "claims_fingerprint": fingerprint,
        "delivered_at": now,
        "notified": None,
    }
    try:
        with issuer.database.transaction() as connection:
            use_proof(connection, tenant, grant, now)
            if not _DELIVER.once(connection, delivery):
                if spent is not None:
                    raise spent("delivery: made already")
                indexes, number = _again(connection, tenant, delivery_id, fingerprint)
            else:
                indexes, number = taken.indexes, taken.number
                claim(connection)
                _count(connection, tenant, grant, count, now)
                _keep(
                    connection,
                    tenant,
                    grant,
                    configuration,
                    data,
                    issuance_id=issuance_id,
                    fingerprint=fingerprint,
                    expires_at=expires_at,
                    now=now,
                )
                for index in indexes:
                    _COPY.changed(
                        connection,
                        {
                            "tenant": tenant.name,
                            "list": number,
                            "idx": index,
                            "issuance_id": issuance_id,
                            "delivery_id": delivery_id,
                        },
                    )
                auditing.record(
                    issuer,
                    connection,
                    tenant,
                    actor="wallet",
                    act="credential_issued",
                    on=issuance_id,
                )
                if configuration.file.on_change == "revoke":
                    _supersede(
                        issuer,
                        connection,
                        tenant,
                        grant,
                        kind=kind,
                        issuance_id=issuance_id,
                        now=now,
                    )
    except ProtocolError:  # refused, so rolled back; after anything else nobody knows
        issuer.indexes.give_back(taken)
        raise
    if indexes is not taken.indexes:
        issuer.indexes.give_back(taken)
    return Recorded(number, indexes, issued_at, expires_at)


def _take(
    issuer: Issuer, tenant: Tenant, configuration: Configuration, count: int, now: datetime
) -> Taken:
    """Places in a Status List, one for each copy (ST-31)."""
    ttl = min(configuration.file.status.ttl, issuer.settings.status_ttl_max)
    return issuer.indexes.take(
        tenant.name,
        ttl=ttl,
        count=count,
        now=now,
        needed_until=now + tenant.longest_validity,
        first_token=lambda number: asdict(
            sign_list(tenant, number, StatusList.empty(BITS, issuer.indexes.size), ttl=ttl, now=now)
        ),
    )


def _again(
    connection: Connection, tenant: Tenant, delivery_id: str, fingerprint: bytes
) -> tuple[tuple[int, ...], int]:
    """The places of a delivery that was made before."""
    row = _DELIVERED.row(connection, {"of_tenant": tenant.name, "of": delivery_id})
    if row is None or row.state != "valid":
        raise CredentialRequestDenied("repeated request: what it was answered with is not valid")
    if row.claims_fingerprint != fingerprint:
        raise InvalidNonce("repeated request: the data changed since")
    places = connection.execute(
        select(copies.c.list, copies.c.idx).where(
            copies.c.tenant == tenant.name,
            copies.c.issuance_id == row.id,
            copies.c.delivery_id == delivery_id,
        )
    ).all()
    return tuple(each.idx for each in places), places[0].list


def _count(
    connection: Connection, tenant: Tenant, grant: AccessGrant, count: int, now: datetime
) -> None:
    """Count *count* copies; who cancels the offer at this moment comes before or after."""
    values = {
        "of_tenant": tenant.name,
        "of_offer": grant.offer_id,
        "of_grant": grant.id,
        "count": count,
        "now": now,
    }
    if not _COUNT.changed(connection, values):
        raise InvalidToken("access token: revoked, expired or used up meanwhile")


def _keep(
    connection: Connection,
    tenant: Tenant,
    grant: AccessGrant,
    configuration: Configuration,
    data: Dataset,
    *,
    issuance_id: str,
    fingerprint: bytes,
    expires_at: datetime,
    now: datetime,
) -> None:
    """The record of *data*: made, or extended by another configuration or another validity."""
    row = {
        "tenant": tenant.name,
        "id": issuance_id,
        "grant_id": grant.id,
        "offer_id": grant.offer_id,
        "configuration_id": configuration.id,
        "configuration_ids": None,
        "dataset": configuration.dataset,
        "subject": grant.subject,
        "holder": grant.holder,
        "recipient": grant.client_id if grant.attested else None,
        "issued_at": now,
        "expires_at": expires_at,
        "claims_fingerprint": fingerprint,
        "register_version": data.version,
        "refresh_after": data.refresh_after,
        "state": "valid",
        "reason": None,
        "changed_at": None,
        "notified": None,
    }
    values = {f"{name}_": value for name, value in row.items()}
    if _RECORD[connection.engine.dialect.name].changed(connection, values):
        return
    values = {
        "of_tenant": tenant.name,
        "of_issuance": issuance_id,
        "spaced": f" {configuration.id} ".replace("_", "/_"),
        "another": configuration.id,
        "until": expires_at,
        "fingerprint": fingerprint,
        "stale": data.refresh_after,
    }
    if not _EXTEND.changed(connection, values):
        raise CredentialRequestDenied("record: what it would renew was revoked or suspended")


def _supersede(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    grant: AccessGrant,
    *,
    kind: str,
    issuance_id: str,
    now: datetime,
) -> None:
    """I-114: what was issued of older data is revoked, where the type's policy says so."""
    statement = (
        update(issuances)
        .where(
            issuances.c.tenant == tenant.name,
            issuances.c.subject == grant.subject,
            issuances.c.offer_id == grant.offer_id,
            issuances.c.dataset == kind,
            issuances.c.id != issuance_id,
            issuances.c.state != "revoked",
        )
        .values(state="revoked", reason="superseded", changed_at=now)
        .returning(issuances.c.id)
    )
    for row in connection.execute(statement).all():
        auditing.record(
            issuer,
            connection,
            tenant,
            actor="service",
            act="credential_revoked",
            on=row.id,
            reason="superseded",
        )
