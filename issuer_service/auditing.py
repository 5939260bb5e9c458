"""Who did what, why: rows written in the transaction of the act (`shared.runtime.audit`)."""

from sqlalchemy import Connection, insert

from shared.encoding import Clock, RandomBytes, b64url_encode
from shared.runtime.audit import AuditTrail
from shared.runtime.prepared import Prepared
from shared.runtime.sign_in import Recorder, StaffAct

from .context import Issuer, Tenant
from .tables import audit, audit_heads

_INSERT = Prepared(insert(audit))
_TRAIL = AuditTrail(audit, audit_heads)


def record(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    *,
    actor: str,
    act: str,
    on: str,
    reason: str | None = None,
    legal_basis: str | None = None,
    second_approver: str | None = None,
) -> None:
    """Write one row; it counts exactly if the transaction of *connection* does.

    Args:
        issuer: gives the row its id and its time.
        connection: in the transaction of the act.
        tenant: whose trail.
        actor: an API client, the account of staff, or "wallet".
        act: what was done, such as "credential_revoked".
        on: the id of what it was done to.
        reason: a reason code.
        legal_basis: as the actor states it.
        second_approver: as the actor states it.
    """
    _INSERT.changed(
        connection,
        {
            "tenant": tenant.name,
            "id": issuer.new_id("aud"),
            "at": issuer.clock(),
            "actor": actor,
            "act": act,
            "object": on,
            "reason": reason,
            "legal_basis": legal_basis,
            "second_approver": second_approver,
            "sequence": None,
            "hash": None,
        },
    )


def of_staff(clock: Clock, random_bytes: RandomBytes) -> Recorder:
    """Writes what staff do with their accounts and sessions."""

    def write(connection: Connection, said: StaffAct) -> None:
        _INSERT.changed(
            connection,
            {
                "tenant": said.tenant,
                "id": f"aud_{b64url_encode(random_bytes(16))}",
                "at": clock(),
                "actor": said.actor,
                "act": said.act,
                "object": said.on,
                "reason": said.reason,
                "legal_basis": None,
                "second_approver": None,
                "sequence": None,
                "hash": None,
            },
        )

    return write


chain = _TRAIL.chain
check_chain = _TRAIL.check
unchained = _TRAIL.unchained
count = _TRAIL.count
latest = _TRAIL.latest
waiting = _TRAIL.waiting
