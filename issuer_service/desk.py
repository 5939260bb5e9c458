"""The desk login: a clerk who knows the person hands out a code, good once, for a short time.

A code is twelve symbols without look-alikes: the first six find its row, the last six are the
secret. One UPDATE judges a try: it uses the code, or counts a wrong one, and of two at once one
wins. For pilots, and for people without an account at the agency; the register's reference of the
person lies sealed in the row until the code was used. PROFILE S-01, S-02, S-21; ADR 0012.
"""

import hmac
import json
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, bindparam, case, select, update

from shared.crypto.sealing import open_row, seal_row
from shared.encoding import dump_json
from shared.errors import Conflict, ExpectedError, NotFound
from shared.runtime.client_credentials import ApiCaller
from shared.runtime.database import once
from shared.runtime.idempotency import Stored, idempotent
from shared.runtime.languages import mark
from shared.runtime.prepared import Prepared, PreparedInsert

from . import auditing
from .context import Issuer, Tenant
from .offering import Reference
from .tables import desk_codes, metadata

MAX_TRIES = 5
ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_HALF = 6
_SAME = str.maketrans("OIL", "011")
_SCHEMA = 1
_PREFIX = "dsk_"

_INSERT = PreparedInsert(desk_codes, [each.name for each in desk_codes.c])
_RIGHT = desk_codes.c.code_hash == bindparam("right_code")
_USE = Prepared(
    update(desk_codes)
    .where(
        desk_codes.c.tenant == bindparam("of_tenant"),
        desk_codes.c.id == bindparam("of_code"),
        desk_codes.c.state == "open",
        desk_codes.c.expires_at > bindparam("now"),
        desk_codes.c.tries < MAX_TRIES,
    )
    .values(
        state=case((_RIGHT, "used"), else_=desk_codes.c.state),
        tries=case((_RIGHT, desk_codes.c.tries), else_=desk_codes.c.tries + 1),
    )
    .returning(desk_codes.c.state, desk_codes.c.content)
)
State = Literal["open", "used", "expired", "locked", "cancelled"]


class WrongDeskCode(ExpectedError):
    """Unknown, wrong, expired, cancelled or locked: nobody learns which (S-42)."""

    status = 422
    code = "wrong_desk_code"
    public = mark("This code is not right, or it is not good any more.")
    next_step = mark("Compare it with what you were given. After five wrong tries a code is dead.")


class DeskCodeUsed(WrongDeskCode):
    """Right, and used already: it is good once, even if its answer was lost."""

    code = "desk_code_used"
    public = mark("This code was used already.")
    next_step = mark("Ask the agency for a new one.")


class NewDeskCode(BaseModel):
    """Whom a clerk lets in, and for how long.

    Attributes:
        subject: the register's reference of the person.
        expires_in: seconds.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    subject: Reference
    expires_in: Annotated[int, Field(ge=60, le=2_592_000)] = 86_400


class DeskCodeView(BaseModel):
    """A desk code as its agency sees it; *code* only in the answer that made it."""

    desk_code_id: str
    state: State
    expires_at: datetime
    created_by: str
    code: str | None = None


def create(
    issuer: Issuer, tenant: Tenant, caller: ApiCaller, wanted: NewDeskCode, *, key: str | None
) -> DeskCodeView:
    """A new code for one person; the same *key* with the same request gives the same code.

    Raises:
        SubjectUnknown: the register has no such person.
        RegisterUnavailable: it does not answer; the same request may be sent again.
        KeyReused: the idempotency key belongs to another request.
    """
    now = issuer.clock()
    if tenant.file.register_ is not None:
        tenant.register.entry(wanted.subject)

    def act(connection: Connection) -> Stored:
        made = _insert(issuer, connection, tenant, caller=caller, wanted=wanted, now=now)
        auditing.record(
            issuer, connection, tenant, actor=caller.client_id, act="desk_code_created", on=made
        )
        return Stored(201, made.encode())

    stored = idempotent(
        issuer.database,
        metadata,
        tenant=tenant.name,
        client=caller.client_id,
        key=key,
        request=dump_json(("desk code", wanted.model_dump_json())),
        now=now,
        act=act,
    )
    return get(issuer, tenant, stored.body.decode(), with_code=True)


def _insert(
    issuer: Issuer,
    connection: Connection,
    tenant: Tenant,
    *,
    caller: ApiCaller,
    wanted: NewDeskCode,
    now: datetime,
) -> str:
    """A row under a first half that is free; among a billion another draw is hardly ever needed."""
    while True:
        symbols = "".join(ALPHABET[byte % 32] for byte in issuer.random_bytes(2 * _HALF))
        made, secret = _PREFIX + symbols[:_HALF], symbols[_HALF:]
        content = seal_row(
            issuer.secrets.desk,
            dump_json({"subject": wanted.subject, "secret": secret}),
            table="desk_codes",
            row=made,
            owner=tenant.name,
            schema=_SCHEMA,
            random_bytes=issuer.random_bytes,
        )
        row = {
            "tenant": tenant.name,
            "id": made,
            "state": "open",
            "created_by": caller.client_id,
            "expires_at": now + timedelta(seconds=wanted.expires_in),
            "code_hash": issuer.secrets.desk_code(tenant.name, made, secret),
            "tries": 0,
            "content": content,
        }
        if _INSERT.once(connection, row):
            return made


def get(
    issuer: Issuer, tenant: Tenant, desk_code_id: str, *, with_code: bool = False
) -> DeskCodeView:
    """One code as the agency sees it.

    Raises:
        NotFound: this tenant has no such one.
    """
    with issuer.database.reading() as connection:
        row = _row(connection, tenant, desk_code_id)
    if row is None:
        raise NotFound("desk code: unknown")
    state = _state(row, issuer.clock())
    code = None
    if with_code and state == "open":
        symbols = desk_code_id.removeprefix(_PREFIX) + _content(issuer, tenant, row)["secret"]
        code = "-".join(symbols[at : at + 4] for at in range(0, 2 * _HALF, 4))
    return DeskCodeView(
        desk_code_id=desk_code_id,
        state=state,
        expires_at=row.expires_at,
        created_by=row.created_by,
        code=code,
    )


def cancel(
    issuer: Issuer, tenant: Tenant, caller: ApiCaller, desk_code_id: str, *, key: str | None
) -> DeskCodeView:
    """Withdraw a code that was not used.

    Raises:
        NotFound: this tenant has no such one.
        Conflict: it was used or cancelled already.
    """

    def act(connection: Connection) -> Stored:
        if _row(connection, tenant, desk_code_id) is None:
            raise NotFound("desk code: unknown")
        withdrawn = (
            update(desk_codes)
            .where(desk_codes.c.tenant == tenant.name, desk_codes.c.id == desk_code_id)
            .where(desk_codes.c.state == "open")
            .values(state="cancelled", content=b"")
        )
        if not once(connection, withdrawn):
            raise Conflict("desk code: used or cancelled")
        auditing.record(
            issuer,
            connection,
            tenant,
            actor=caller.client_id,
            act="desk_code_cancelled",
            on=desk_code_id,
        )
        return Stored(200, b"")

    idempotent(
        issuer.database,
        metadata,
        tenant=tenant.name,
        client=caller.client_id,
        key=key,
        request=dump_json(("cancel desk code", desk_code_id)),
        now=issuer.clock(),
        act=act,
    )
    return get(issuer, tenant, desk_code_id)


def redeem(issuer: Issuer, tenant: Tenant, typed: str) -> str:
    """Use the code that a person *typed*: who they are, as the register's reference.

    Raises:
        DeskCodeUsed: it is right, but was used already.
        WrongDeskCode: anything else; the try was counted.
    """
    symbols = "".join(each for each in typed.upper() if each.isalnum()).translate(_SAME)
    if len(symbols) != 2 * _HALF or not set(symbols) <= set(ALPHABET):
        raise WrongDeskCode("desk code: not the shape of one")
    desk_code_id = _PREFIX + symbols[:_HALF]
    right = issuer.secrets.desk_code(tenant.name, desk_code_id, symbols[_HALF:])
    values = {
        "of_tenant": tenant.name,
        "of_code": desk_code_id,
        "now": issuer.clock(),
        "right_code": right,
    }
    refusal: WrongDeskCode | None = None
    content: dict[str, str] = {}
    with issuer.database.transaction() as connection:  # a wrong try commits before it is refused
        row = _USE.returned(connection, values)
        if row is None:
            refusal = _refused(connection, tenant, desk_code_id, right)
        elif row.state == "open":
            refusal = WrongDeskCode("desk code: wrong")
        else:
            content = _content(issuer, tenant, row, desk_code_id)
            connection.execute(
                update(desk_codes)
                .where(desk_codes.c.tenant == tenant.name, desk_codes.c.id == desk_code_id)
                .values(content=b"")
            )
            auditing.record(
                issuer, connection, tenant, actor="citizen", act="desk_code_used", on=desk_code_id
            )
    if refusal is not None:
        raise refusal
    return content["subject"]


def _refused(
    connection: Connection, tenant: Tenant, desk_code_id: str, right: bytes
) -> WrongDeskCode:
    row = _row(connection, tenant, desk_code_id)
    if row is not None and row.state == "used" and hmac.compare_digest(row.code_hash, right):
        return DeskCodeUsed("desk code: used already")
    return WrongDeskCode("desk code: unknown, expired, cancelled or locked")


def _row(connection: Connection, tenant: Tenant, desk_code_id: str) -> Any:
    return connection.execute(
        select(desk_codes).where(
            desk_codes.c.tenant == tenant.name, desk_codes.c.id == desk_code_id
        )
    ).one_or_none()


def _content(
    issuer: Issuer, tenant: Tenant, row: Any, desk_code_id: str | None = None
) -> dict[str, str]:
    plain = open_row(
        issuer.secrets.desk,
        row.content,
        table="desk_codes",
        row=desk_code_id or row.id,
        owner=tenant.name,
        schema=_SCHEMA,
    )
    found: dict[str, str] = json.loads(plain)
    return found


def _state(row: Any, now: datetime) -> State:
    if row.state == "open" and row.expires_at <= now:
        return "expired"
    if row.state == "open" and row.tries >= MAX_TRIES:
        return "locked"
    found: State = row.state
    return found
