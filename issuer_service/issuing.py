"""Credential and deferred requests (OpenID4VCI 1.0, sections 8 and 9).

Everything is computed and checked first; then one transaction uses up the nonce, counts against the
grant and records the delivery with its places in a Status List (`recording.py`); only then are
credentials signed. Whatever exists can be revoked, even after a crash. Claims, proof keys and
credentials are not kept (I-112), but for the keys of a request whose data is not ready yet: those
lie sealed until it is. PROFILE I-65 to I-74, I-85, I-86, I-110 to I-115.
"""

import hmac
import json
from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, delete, select

from shared.crypto.keys import PublicKey
from shared.crypto.sealing import open_row, seal_row
from shared.encoding import JsonValue, dump_json
from shared.errors import InvalidInput, NotFound, VerificationError
from shared.oauth.errors import InsufficientScope, InvalidToken
from shared.oid4vci.errors import (
    CredentialRequestDenied,
    InvalidCredentialRequest,
    InvalidNonce,
    InvalidTransactionId,
    UnknownCredentialConfiguration,
    UnknownCredentialIdentifier,
)
from shared.oid4vci.messages import CredentialRequest, CredentialResponse, DeferredRequest
from shared.runtime.prepared import Prepared, PreparedInsert

from . import auditing, recording, signing
from .access import AccessGrant, use_once, use_proof
from .catalogue import Configuration
from .claims import SubjectRefused
from .context import NONCE_LIFE, Issuer, Tenant, row_id
from .datasets import Dataset, dataset
from .offers import Content
from .proving import prove
from .registers import EntryNotReady
from .tables import deferrals

_SCHEMA = 1
_DEFER = PreparedInsert(deferrals, [column.name for column in deferrals.c])
_DEFERRED = Prepared(
    select(deferrals).where(
        deferrals.c.tenant == bindparam("of_tenant"), deferrals.c.id == bindparam("of")
    )
)
_ANSWERED = Prepared(
    delete(deferrals).where(
        deferrals.c.tenant == bindparam("of_tenant"), deferrals.c.id == bindparam("of")
    )
)


class Later(Exception):
    """The data is not there yet, and the type's policy is to let the wallet wait.

    Attributes:
        seconds: until it may ask again.
    """

    def __init__(self, seconds: int) -> None:
        super().__init__("data: not ready")
        self.seconds = seconds


def issue_credentials(
    issuer: Issuer, tenant: Tenant, grant: AccessGrant, request: CredentialRequest
) -> CredentialResponse:
    """One credential for each key that the request proves, all of one configuration and dataset.

    The same request sent again with the same token is answered again, out of the same record; a
    request whose data is not ready gets a transaction_id instead.

    Raises:
        ProtocolError: a refusal of section 8.3.1; the nonce is consumed only by success.
        Unavailable: the register or the database does not answer; the same request may be sent
            again.

    Specification: OpenID4VCI 1.0, section 8; PROFILE I-65 to I-74.
    """
    now = issuer.clock()
    # 1. Which configuration, and whether the token covers it (I-66).
    configuration = _requested(tenant, grant, request)
    # 2. The keys, each proven for this issuer with a good c_nonce (I-67 to I-70).
    proven = prove(issuer, tenant, grant, configuration, request, now=now)
    keys = proven.keys[: configuration.file.batch_size]
    delivery_id = _delivery_id(issuer, tenant, grant, configuration, request)

    def use_nonces(connection: Connection) -> None:
        for use in proven.nonce_uses:
            use_once(connection, tenant, use, now + NONCE_LIFE, InvalidNonce)

    # 3. The claims; this may leave the process.
    try:
        data = _claims(issuer, tenant, grant, configuration, now)
    except Later as later:
        with issuer.database.transaction() as connection:
            use_proof(connection, tenant, grant, now)
            if _defer(
                issuer,
                connection,
                tenant,
                grant,
                configuration,
                delivery_id=delivery_id,
                keys=keys,
                now=now,
            ):
                use_nonces(connection)
        return _wait(issuer, tenant, delivery_id, later)
    # 4. One transaction: proof and nonce used, the grant still good, the delivery recorded.
    recorded = recording.record(
        issuer,
        tenant,
        grant,
        configuration,
        data,
        delivery_id=delivery_id,
        count=len(keys),
        claim=use_nonces,
        spent=None,
        now=now,
    )
    # 5. Sign. What is lost from here on exists as a record and can be revoked.
    return CredentialResponse(
        credentials=signing.sign(issuer, tenant, configuration, data, keys=keys, recorded=recorded),
        notification_id=issuer.secrets.answer_code("notification", tenant.name, delivery_id),
    )


def collect(
    issuer: Issuer, tenant: Tenant, grant: AccessGrant, request: DeferredRequest
) -> CredentialResponse:
    """The credentials of a deferred request, once its data is ready; until then, to wait on.

    They are for the keys of the first request. Collected once, the transaction is over.

    Raises:
        InvalidTransactionId: unknown, over, or of another wallet or person.
        CredentialRequestDenied: it can never be issued; the transaction is over.
        Unavailable: as `issue_credentials`.

    Specification: OpenID4VCI 1.0, section 9; PROFILE I-85, I-86.
    """
    now = issuer.clock()
    # 1. The transaction, of this wallet and this person (a refreshed token works).
    delivery_id = row_id("dlv", request.transaction_id)
    expected = issuer.secrets.answer_code("transaction", tenant.name, delivery_id)
    if not hmac.compare_digest(expected.encode(), request.transaction_id.encode()):
        raise InvalidTransactionId("deferred request: not a transaction of ours")
    by_id = {"of_tenant": tenant.name, "of": delivery_id}
    row = _DEFERRED.row(issuer.database, by_id)
    if row is None or row.expires_at <= now:
        raise InvalidTransactionId("deferred request: over")
    if (row.offer_id, row.client_id) != (grant.offer_id, grant.client_id):
        raise InvalidTransactionId("deferred request: of another wallet or person")
    configuration = tenant.configurations.get(row.configuration_id)
    if configuration is None or configuration.id not in grant.configuration_ids:
        raise InsufficientScope("deferred request: the token does not cover it")

    def claim(connection: Connection) -> None:
        if not _ANSWERED.changed(connection, by_id):
            raise InvalidTransactionId("deferred request: answered already")

    # 2. The claims, as the register has them now.
    try:
        data = _claims(issuer, tenant, grant, configuration, now)
    except Later as later:
        with issuer.database.transaction() as connection:
            use_proof(connection, tenant, grant, now)
        return _wait(issuer, tenant, delivery_id, later)
    except CredentialRequestDenied:
        with issuer.database.transaction() as connection:
            use_proof(connection, tenant, grant, now)
            claim(connection)
        raise
    # 3. One transaction, of two at once one; then the signatures, for the keys of the first proofs.
    keys = _keys(issuer, tenant, delivery_id, row.keys)
    recorded = recording.record(
        issuer,
        tenant,
        grant,
        configuration,
        data,
        delivery_id=delivery_id,
        count=len(keys),
        claim=claim,
        spent=InvalidTransactionId,
        now=now,
    )
    return CredentialResponse(
        credentials=signing.sign(issuer, tenant, configuration, data, keys=keys, recorded=recorded),
        notification_id=issuer.secrets.answer_code("notification", tenant.name, delivery_id),
    )


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


def _delivery_id(
    issuer: Issuer,
    tenant: Tenant,
    grant: AccessGrant,
    configuration: Configuration,
    request: CredentialRequest,
) -> str:
    """The same for the same request under the same grant (I-74)."""
    proofs = b"" if request.proofs is None else request.proofs.to_json()
    return f"dlv_{issuer.secrets.record(tenant.name, grant.id, configuration.id, proofs)}"


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
    except EntryNotReady as error:
        if configuration.file.deferral_days:
            raise Later(error.retry_after) from error
        raise CredentialRequestDenied(f"credential request: {error}") from error
    except (NotFound, SubjectRefused, InvalidInput, VerificationError) as error:
        raise CredentialRequestDenied(f"credential request: {error}") from error


def _wait(issuer: Issuer, tenant: Tenant, delivery_id: str, later: Later) -> CredentialResponse:
    return CredentialResponse(
        transaction_id=issuer.secrets.answer_code("transaction", tenant.name, delivery_id),
        interval=later.seconds,
    )


def _defer(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    grant: AccessGrant,
    configuration: Configuration,
    *,
    delivery_id: str,
    keys: Sequence[PublicKey],
    now: datetime,
) -> bool:
    """Keep the proven keys until the data is ready; False if they are kept already."""
    jwks: list[JsonValue] = [key.to_jwk() for key in keys]
    sealed = seal_row(
        issuer.secrets.deferrals,
        dump_json(jwks),
        table="deferrals",
        row=delivery_id,
        owner=tenant.name,
        schema=_SCHEMA,
        random_bytes=issuer.random_bytes,
    )
    row = {
        "tenant": tenant.name,
        "id": delivery_id,
        "offer_id": grant.offer_id,
        "client_id": grant.client_id,
        "configuration_id": configuration.id,
        "keys": sealed,
        "expires_at": now + timedelta(days=configuration.file.deferral_days),
    }
    if not _DEFER.once(connection, row):
        return False
    auditing.record(
        issuer, connection, tenant, actor="wallet", act="credential_deferred", on=delivery_id
    )
    return True


def _keys(issuer: Issuer, tenant: Tenant, delivery_id: str, sealed: bytes) -> tuple[PublicKey, ...]:
    plain = open_row(
        issuer.secrets.deferrals,
        sealed,
        table="deferrals",
        row=delivery_id,
        owner=tenant.name,
        schema=_SCHEMA,
    )
    return tuple(PublicKey.from_jwk(each) for each in json.loads(plain))
