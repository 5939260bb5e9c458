"""What a wallet says became of its credentials (OpenID4VCI 1.0, section 11; PROFILE I-90)."""

import hmac

from sqlalchemy import bindparam, func, select, update

from shared.oid4vci.errors import InvalidNotificationId
from shared.oid4vci.messages import NotificationRequest
from shared.runtime.prepared import Prepared

from . import auditing
from .access import AccessGrant, use_proof
from .context import Issuer, Tenant, row_id
from .tables import deliveries, issuances

_OURS = (
    (deliveries.c.tenant == bindparam("of_tenant"))
    & (deliveries.c.id == bindparam("of"))
    & (deliveries.c.offer_id == bindparam("of_offer"))
    & (func.coalesce(deliveries.c.client_id, "") == bindparam("of_client"))
)
_NOTE = Prepared(
    update(deliveries)
    .where(_OURS, func.coalesce(deliveries.c.notified, "") != bindparam("event"))
    .values(notified=bindparam("event"))
    .returning(deliveries.c.issuance_id)
)
_KNOWN = Prepared(select(deliveries.c.id).where(_OURS))
_SHOW = Prepared(
    update(issuances)
    .where(issuances.c.tenant == bindparam("of_tenant"), issuances.c.id == bindparam("of"))
    .values(notified=bindparam("event"))
)


def notify(
    issuer: Issuer, tenant: Tenant, grant: AccessGrant, request: NotificationRequest
) -> None:
    """Note *request* and audit it, once for each event; nothing depends on it (I-90).

    Raises:
        InvalidNotificationId: not an id that was given to this wallet for this person.

    Specification: OpenID4VCI 1.0, section 11; PROFILE I-90.
    """
    now = issuer.clock()
    delivery_id = row_id("dlv", request.notification_id)
    expected = issuer.secrets.answer_code("notification", tenant.name, delivery_id)
    if not hmac.compare_digest(expected.encode(), request.notification_id.encode()):
        raise InvalidNotificationId("notification: not an id of ours")
    ours = {
        "of_tenant": tenant.name,
        "of": delivery_id,
        "of_offer": grant.offer_id,
        "of_client": grant.client_id or "",
    }
    with issuer.database.transaction() as connection:
        use_proof(connection, tenant, grant, now)
        row = _NOTE.returned(connection, {**ours, "event": request.event})
        if row is None:
            if _KNOWN.row(connection, ours) is None:
                raise InvalidNotificationId("notification: not an id of this wallet")
            return  # said already
        of_record = {"of_tenant": tenant.name, "of": row.issuance_id, "event": request.event}
        _SHOW.changed(connection, of_record)
        auditing.record(
            issuer, connection, tenant, actor="wallet", act=request.event, on=row.issuance_id
        )
