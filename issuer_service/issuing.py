"""Credential and notification requests (OpenID4VCI 1.0, sections 8 and 11).

Everything is computed and checked first; then one transaction consumes the nonce, counts against
the grant and records the issuance with its places in a Status List; only then are credentials
signed. Whatever exists can be revoked, even after a crash. Claims, proof keys and credentials are
not kept (I-112). PROFILE I-65 to I-74, I-90, I-110 to I-115.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy import Connection, bindparam, insert, update

from shared.encoding import start_of_day
from shared.errors import InvalidInput, NotFound, ProtocolError, VerificationError
from shared.formats import sd_jwt_vc
from shared.formats.status_list import StatusList, StatusReference
from shared.oauth.errors import InsufficientScope, InvalidToken
from shared.oid4vci import proofs
from shared.oid4vci.errors import (
    CredentialRequestDenied,
    InvalidCredentialRequest,
    InvalidNonce,
    InvalidNotificationId,
    UnknownCredentialConfiguration,
    UnknownCredentialIdentifier,
)
from shared.oid4vci.messages import (
    CredentialRequest,
    CredentialResponse,
    IssuedCredential,
    NotificationRequest,
    check_encryption,
)
from shared.oid4vci.proofs import Proven
from shared.runtime.prepared import Prepared
from shared.trust import Role

from . import auditing
from .access import AccessGrant, use_once, use_proof
from .catalogue import Configuration
from .claims import SubjectRefused
from .context import ID_LENGTH, NONCE_LIFE, Issuer, Tenant
from .datasets import Dataset, dataset
from .metadata import BATCH_SIZE, PROOF_TYPES
from .offers import Content, hashed
from .status_tokens import BITS, sign_list
from .tables import copies, grants, issuances

MAX_COPIES = 100
"""How many copies one access token may fetch, whatever it asks for."""

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
_RECORD = Prepared(insert(issuances))
_COPY = Prepared(insert(copies))
_NOTIFY = Prepared(
    update(issuances)
    .where(
        issuances.c.tenant == bindparam("of_tenant"),
        issuances.c.id == bindparam("of_issuance"),
        issuances.c.notification_hash == bindparam("by_id"),
        issuances.c.grant_id == bindparam("of_grant"),
    )
    .values(notified=bindparam("event"))
)


def issue_credentials(
    issuer: Issuer, tenant: Tenant, grant: AccessGrant, request: CredentialRequest
) -> CredentialResponse:
    """One credential for each key that the request proves, all of one configuration and dataset.

    Raises:
        ProtocolError: a refusal of section 8.3.1; the nonce is consumed only by success.
        Unavailable: the register or the database does not answer; the same request may be sent
            again.

    Specification: OpenID4VCI 1.0, section 8; PROFILE I-65 to I-74.
    """
    now = issuer.clock()
    # 1. Nothing asks for encryption, which is not offered (I-81).
    check_encryption(request, offered=None, response=None, encrypted=False)
    # 2. Which configuration, and whether the token covers it (I-66).
    configuration = _requested(tenant, grant, request)
    # 3. The keys, each proven for this issuer with a good c_nonce (I-67 to I-70).
    proven = _proven(issuer, tenant, grant, request, now)
    keys = proven.keys[: configuration.file.batch_size]
    # 4. The claims; this may leave the process.
    data = _claims(issuer, tenant, grant, configuration, now)
    # 5. Places in a Status List, one for each copy (ST-31).
    expires_at = start_of_day(now) + configuration.validity
    ttl = min(configuration.file.status.ttl, issuer.settings.status_ttl_max)
    taken = issuer.indexes.take(
        tenant.name,
        ttl=ttl,
        count=len(keys),
        now=now,
        needed_until=now + tenant.longest_validity,
        first_token=lambda number: sign_list(
            tenant, number, StatusList.empty(BITS, issuer.indexes.size), ttl=ttl, now=now
        ),
    )
    # 6. One transaction: proof and nonce used, the grant still good, the issuance recorded.
    issuance_id = issuer.new_id("iss")
    notification_id = issuer.new_code(issuance_id)
    row = {
        "tenant": tenant.name,
        "id": issuance_id,
        "grant_id": grant.id,
        "offer_id": grant.offer_id,
        "configuration_id": configuration.id,
        "subject": grant.subject,
        "holder": grant.holder,
        "recipient": grant.client_id if grant.attested else None,
        "issued_at": now,
        "expires_at": expires_at,
        "claims_fingerprint": issuer.secrets.claims(
            tenant.name, orjson.dumps(data.claims, option=orjson.OPT_SORT_KEYS)
        ),
        "register_version": data.version,
        "refresh_after": data.refresh_after,
        "state": "valid",
        "reason": None,
        "changed_at": None,
        "notification_hash": hashed(notification_id),
        "notified": None,
    }
    places = [
        {"tenant": tenant.name, "list": taken.number, "idx": index, "issuance_id": issuance_id}
        for index in taken.indexes
    ]
    try:
        with issuer.database.transaction() as connection:
            use_proof(connection, tenant, grant, now)
            for use in proven.nonce_uses:
                use_once(connection, tenant, use, now + NONCE_LIFE, InvalidNonce)
            _count(connection, tenant, grant, len(places), now)
            _RECORD.changed(connection, row)
            for place in places:
                _COPY.changed(connection, place)
            auditing.record(
                issuer, connection, tenant, actor="wallet", act="credential_issued", on=issuance_id
            )
    except ProtocolError:  # refused, so rolled back; after anything else nobody knows
        issuer.indexes.give_back(taken)
        raise
    # 7. Sign. What is lost from here on exists as a record and can be revoked.
    uri = tenant.status_uri(taken.number)
    credentials = tuple(
        IssuedCredential(
            credential=sd_jwt_vc.issue(
                data.claims,
                vct=configuration.vct,
                conceal=data.conceal,
                holder=key,
                status=StatusReference(index, uri),
                issued_at=now,
                expires_at=expires_at,
                signer=tenant.credential_key,
                random_bytes=issuer.random_bytes,
            )
        )
        for key, index in zip(keys, taken.indexes, strict=True)
    )
    return CredentialResponse(credentials=credentials, notification_id=notification_id)


def _requested(tenant: Tenant, grant: AccessGrant, request: CredentialRequest) -> Configuration:
    identifier = request.credential_identifier
    if identifier is not None:
        found = tenant.configurations.get(identifier)
        if found is None or not grant.identified or identifier not in grant.configuration_ids:
            raise UnknownCredentialIdentifier("credential request: identifier never given")
        return found
    configuration = tenant.configurations.get(request.credential_configuration_id or "")
    if grant.identified:
        raise InvalidCredentialRequest("credential request: a credential_identifier was given")
    if configuration is None:
        raise UnknownCredentialConfiguration("credential request: unknown configuration")
    if configuration.id not in grant.configuration_ids:
        raise InsufficientScope("credential request: the token does not cover it")
    return configuration


def _proven(
    issuer: Issuer,
    tenant: Tenant,
    grant: AccessGrant,
    request: CredentialRequest,
    now: datetime,
) -> Proven:
    trusted, revoked = frozenset[bytes](), frozenset[str]()
    if grant.attested:
        trust = issuer.trust.current()
        trusted, revoked = trust.anchors(Role.WALLET_PROVIDER, now=now), trust.revoked
    return proofs.verify(
        request.proofs,
        audience=tenant.identifier,
        client_id=grant.client_id,
        check_nonce=lambda value: tenant.c_nonces.check(value, now),
        accept=PROOF_TYPES,
        max_keys=BATCH_SIZE,
        anchors=trusted,
        now=now,
        revoked=revoked,
    )


def _claims(
    issuer: Issuer,
    tenant: Tenant,
    grant: AccessGrant,
    configuration: Configuration,
    now: datetime,
) -> Dataset:
    """The dataset; what forbids it now is final for the wallet, and the log says what it was."""
    if not grant.content:
        raise InvalidToken("access token: its offer has ended")
    content = Content.open(issuer, tenant.name, grant.offer_id, grant.content)
    try:
        return dataset(
            tenant, configuration, subject=content.subject, given=content.claims, now=now
        )
    except (NotFound, SubjectRefused, InvalidInput, VerificationError) as error:
        raise CredentialRequestDenied(f"credential request: {error}") from error


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


def notify(
    issuer: Issuer, tenant: Tenant, grant: AccessGrant, request: NotificationRequest
) -> None:
    """Note what the wallet says became of the credentials; nothing depends on it (I-90).

    Raises:
        InvalidNotificationId: not an id that was given with this token.

    Specification: OpenID4VCI 1.0, section 11; PROFILE I-90.
    """
    now = issuer.clock()
    values: Mapping[str, Any] = {
        "of_tenant": tenant.name,
        "of_issuance": f"iss_{request.notification_id[:ID_LENGTH]}",
        "by_id": hashed(request.notification_id),
        "of_grant": grant.id,
        "event": request.event,
    }
    with issuer.database.transaction() as connection:
        use_proof(connection, tenant, grant, now)
        if not _NOTIFY.changed(connection, values):
            raise InvalidNotificationId("notification: not an id of this token")
