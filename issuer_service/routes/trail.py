"""The audit trail, for the role that reads it: who did what, when, why; and whether it is whole."""

from typing import Any

from starlette.responses import Response

from shared.encoding import JsonValue
from shared.errors import InvalidInput
from shared.runtime.audit import BrokenChain
from shared.runtime.moments import in_utc
from shared.runtime.routes import Call, PageRouter, page_router
from shared.runtime.sign_in import Staff

from .. import auditing, wording
from ..context import Issuer, Tenant
from .staff import AUDITOR, at_desk, language, say, shown

router: PageRouter[Issuer] = page_router()
_HERE = "/staff/{tenant}/audit"
_PAGE = 50


@router.get(_HERE)
def trail(call: Call, issuer: Issuer) -> Response:
    """The newest rows, page by page."""
    tenant, staff = at_desk(call, issuer, AUDITOR)
    before = call.query.get("before")
    if before is not None and not (before.isascii() and before.isdigit() and len(before) < 10):
        raise InvalidInput("audit: not a sequence")
    return _trail(call, issuer, tenant, staff, before=None if before is None else int(before))


@router.post(_HERE)
def check(call: Call, issuer: Issuer) -> Response:
    """Walk the whole chain: every hash, every signed head."""
    tenant, staff = at_desk(call, issuer, AUDITOR)
    issuer.staff.sessions.form(call, staff)
    key = issuer.secrets.audit_key(tenant.name).public
    result: dict[str, Any]
    try:
        whole = auditing.check_chain(issuer.database, tenant=tenant.name, key=key)
        result = {"whole": whole, "broken": None}
    except BrokenChain as error:
        result = {"whole": None, "broken": error.sequence}
    with issuer.database.transaction() as connection:
        auditing.record(
            issuer,
            connection,
            tenant,
            actor=staff.id,
            act="audit_checked",
            on=staff.session_id,
            reason="broken" if result["broken"] else "whole",
        )
    return _trail(call, issuer, tenant, staff, before=None, result=result)


def _trail(
    call: Call,
    issuer: Issuer,
    tenant: Tenant,
    staff: Staff,
    *,
    before: int | None,
    result: dict[str, Any] | None = None,
) -> Response:
    with issuer.database.reading() as connection:
        rows = list(auditing.latest(connection, tenant=tenant.name, before=before, limit=_PAGE))
        waiting = auditing.waiting(connection, tenant=tenant.name)
    actors = {str(each["actor"]) for each in rows}
    names = issuer.staff.accounts.names(tenant.name, actors)
    last = rows[-1]["sequence"] if len(rows) == _PAGE else None
    return shown(
        call,
        tenant,
        staff,
        "desk-audit.html",
        here="audit",
        rows=[_row(call, each, names.get(str(each["actor"]), "")) for each in rows],
        waiting=waiting,
        before=before,
        next=last,
        result=result,
    )


def _row(call: Call, row: dict[str, JsonValue], name: str) -> dict[str, Any]:
    reason, act = str(row["reason"] or ""), str(row["act"])
    words = wording.REASONS.get(reason)
    return {
        "sequence": row["sequence"],
        "at": in_utc(wording.instant(str(row["at"])), language(call)),
        "actor": row["actor"],
        "name": name,
        "act": say(call, wording.ACTS[act]) if act in wording.ACTS else act,
        "object": row["object"],
        "reason": say(call, words) if words else reason,
        "legal_basis": row["legal_basis"] or "",
        "second_approver": row["second_approver"] or "",
    }
