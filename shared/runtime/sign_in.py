"""Sessions of staff at web pages: who it is, what they may do, and forms that are ours.

A session is a cookie with 256 random bits, stored hashed (S-01). It ends half an hour after it was
last used, twelve hours after its begin, by sign-out, and with its account. The cookie is this
host's alone (`__Host-`), one for each tenant, out of reach of scripts, and never sent from other
sites (SameSite=Strict); every form repeats a token that is derived from it. Rights are the roles of
the service's API, looked up anew with each request. Denials are audited by account, never by name.
Accounts and ways to sign in: `staff_accounts.py`, `staff_pages.py`; DESIGN 7 and 8; ADR 0020.
"""

import hashlib
import hmac
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode

from sqlalchemy import Connection, Row, bindparam, case, delete, insert, or_, select, update
from starlette.types import Scope

from ..crypto.sealing import hkdf
from ..encoding import Clock, RandomBytes, b64url_encode
from ..errors import ExpectedError, Forbidden, NotFound, TooManyRequests, Unauthenticated
from .calls import Call
from .client_credentials import ApiCaller
from .database import Database, once
from .languages import mark
from .pages import cookie
from .prepared import Prepared
from .tables import StaffTables

IDLE = timedelta(minutes=30)
LONGEST = timedelta(hours=12)
LOOKUPS = 120
"""How many people one account may look up in an hour."""
COOKIE = "__Host-staff-"
_SEEN = timedelta(minutes=1)  # a session is marked as used this often at most
_HOUR = timedelta(hours=1)
_ID_LENGTH = 22


class SignInFirst(Unauthenticated):
    """Nobody is signed in, or the session is over: pages lead to the sign-in page."""

    public = mark("You are not signed in, or not any more.")
    next_step = mark("Sign in again.")
    code = "not_signed_in"
    headers: Mapping[str, str] = {}

    def __init__(self, location: str) -> None:
        super().__init__("staff: no session")
        self.location = location


class NotYourTask(Forbidden):
    """The account has not the role."""

    public = mark("Your account may not do this.")
    next_step = mark("Ask whoever manages the accounts of your agency.")
    code = "not_your_task"


class FormExpired(ExpectedError):
    """The form is not from a page of this session."""

    status = 403
    code = "form_expired"
    public = mark("This form is not from a page that you opened since you signed in.")
    next_step = mark("Go back, load the page again, and repeat what you did.")


class TooManyLookups(TooManyRequests):
    """More people in an hour than anybody serves."""

    public = mark("You have looked up very many people within an hour.")
    next_step = mark("Wait a while. If your work needs it, talk to whoever runs this service.")
    code = "too_many_lookups"


@dataclass(frozen=True, slots=True)
class Staff:
    """Who is signed in.

    Attributes:
        id: stands in audit rows; the *name* never does.
        csrf: every form's field of this name.
        secret: 32 bytes that follow from the cookie alone, not from what the database holds: what
            is sealed to them nobody opens after the session.
    """

    tenant: str
    id: str
    name: str
    roles: frozenset[str]
    session_id: str
    csrf: str
    secret: bytes = field(repr=False)

    @property
    def caller(self) -> ApiCaller:
        """As acts know who calls the API."""
        return ApiCaller(self.id, self.tenant, self.roles)


@dataclass(frozen=True, slots=True)
class StaffAct:
    """What an audit row says of staff: by whom, what, to which account or session."""

    tenant: str
    actor: str
    act: str
    on: str
    reason: str | None = None


Recorder = Callable[[Connection, StaffAct], None]
"""Writes an audit row of the service, in the transaction of the connection."""


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session as its owner sees it."""

    id: str
    created_at: datetime
    seen_at: datetime
    ends_at: datetime
    is_this: bool


class StaffSessions:
    """The sessions of one service's staff.

    Args:
        database: of the service.
        tables: see `add_staff_tables`.
        key: 32 bytes of the installation, for staff alone.
        record: writes audit rows.
        clock: aware UTC.
        random_bytes: for tokens.
    """

    def __init__(
        self,
        database: Database,
        tables: StaffTables,
        *,
        key: bytes,
        record: Recorder,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        self._database = database
        self._table = session = tables.session
        self._account = account = tables.account
        self._challenge = tables.challenge
        self._forms = hkdf(key, "staff", "forms")
        self._record = record
        self._clock = clock
        self._random_bytes = random_bytes
        self._find = Prepared(
            select(
                session.c.id,
                session.c.seen_at,
                session.c.ends_at,
                account.c.id.label("account_id"),
                account.c.name,
                account.c.roles,
            )
            .join_from(
                session,
                account,
                (session.c.tenant == account.c.tenant) & (session.c.account_id == account.c.id),
            )
            .where(
                session.c.tenant == bindparam("of_tenant"),
                session.c.id == bindparam("of_session"),
                session.c.token_hash == bindparam("of_token"),
                account.c.disabled_at.is_(None),
            )
        )

    def signed_in(self, call: Call, *, role: str | None = None) -> Staff:
        """Who sent *call* to a page of the tenant in its path.

        Raises:
            SignInFirst: nobody, or the session is over.
            NotYourTask: the account has not *role*; it is audited.
        """
        place = call.scope["path"] if call.method == "GET" else ""
        return self.check(call.scope, call.path["tenant"], role=role, place=place)

    def check(
        self, scope: Scope, tenant: str, *, role: str | None = None, place: str = ""
    ) -> Staff:
        """As `signed_in`, by the *scope* of any request; *place* is gone back to."""
        token = cookie(scope, COOKIE + tenant) or ""
        now = self._clock()
        row = None
        if token.isascii() and token.isprintable() and len(token) < 200:
            values = {
                "of_tenant": tenant,
                "of_session": f"sts_{token[:_ID_LENGTH]}",
                "of_token": hashlib.sha256(token.encode()).digest(),
            }
            row = self._find.row(self._database, values)
        if row is None or now >= min(row.ends_at, row.seen_at + IDLE):
            raise SignInFirst(sign_in_place(tenant, place))
        self._touch(tenant, row.id, row.seen_at, now)
        csrf = b64url_encode(hmac.digest(self._forms, token.encode(), "sha256")[:16])
        roles = frozenset(row.roles.split())
        secret = hkdf(token.encode(), "staff", "session", tenant)
        staff = Staff(tenant, row.account_id, row.name, roles, row.id, csrf, secret)
        if role is not None and role not in roles:
            with self._database.transaction() as connection:
                self._record(
                    connection, StaffAct(tenant, staff.id, "staff_denied", staff.id, "role")
                )
            raise NotYourTask("staff: the account has not this role")
        return staff

    def _touch(self, tenant: str, session_id: str, seen_at: datetime, now: datetime) -> None:
        if now - seen_at < _SEEN:
            return
        session = self._table
        used = (
            update(session)
            .where(session.c.tenant == tenant, session.c.id == session_id)
            .where(session.c.seen_at == seen_at)
            .values(seen_at=now)
        )
        with self._database.single() as connection:
            connection.execute(used)

    def form(self, call: Call, staff: Staff) -> dict[str, str]:
        """The fields of a form of ours; raises FormExpired if it is not from this session."""
        form = call.form()
        self._check(form.pop("csrf", ""), staff)
        return form

    def check_header(self, call: Call, staff: Staff) -> None:
        """The same for what a script of ours posts: its token stands in `X-CSRF-Token`."""
        self._check(call.header("x-csrf-token") or "", staff)

    def _check(self, token: str, staff: Staff) -> None:
        if not hmac.compare_digest(token.encode(), staff.csrf.encode()):
            raise FormExpired("staff: a form that is not of this session")

    def open(self, connection: Connection, tenant: str, account_id: str) -> str:
        """A new session, in the transaction of *connection*; its token, for `set_cookie`."""
        now = self._clock()
        mark_ = b64url_encode(self._random_bytes(16))
        token = mark_ + b64url_encode(self._random_bytes(32))
        session_id = f"sts_{mark_}"
        row = {
            "tenant": tenant,
            "id": session_id,
            "token_hash": hashlib.sha256(token.encode()).digest(),
            "account_id": account_id,
            "created_at": now,
            "seen_at": now,
            "ends_at": now + LONGEST,
        }
        connection.execute(insert(self._table).values(row))
        self._record(connection, StaffAct(tenant, account_id, "staff_signed_in", session_id))
        return token

    def sign_out(self, staff: Staff) -> None:
        """End this session."""
        self.end(staff, [staff.session_id], act="staff_signed_out")

    def end(self, staff: Staff, ids: Collection[str], *, act: str = "staff_session_ended") -> int:
        """End those of *ids* that are the account's own; how many there were."""
        session, ended = self._table, 0
        with self._database.transaction() as connection:
            for each in ids:
                gone = delete(session).where(
                    session.c.tenant == staff.tenant,
                    session.c.id == each,
                    session.c.account_id == staff.id,
                )
                if once(connection, gone):
                    self._record(connection, StaffAct(staff.tenant, staff.id, act, each))
                    ended += 1
        return ended

    def end_all(self, connection: Connection, tenant: str, account_id: str) -> None:
        """End every session of an account, in the transaction of *connection*."""
        session = self._table
        connection.execute(
            delete(session).where(session.c.tenant == tenant, session.c.account_id == account_id)
        )

    def of(self, staff: Staff) -> Sequence[SessionView]:
        """The account's sessions that are not over, the newest first."""
        session, now = self._table, self._clock()
        statement = (
            select(session)
            .where(session.c.tenant == staff.tenant, session.c.account_id == staff.id)
            .where(session.c.ends_at > now, session.c.seen_at > now - IDLE)
            .order_by(session.c.created_at.desc(), session.c.id)
        )
        with self._database.reading() as connection:
            rows: Sequence[Row[tuple[object, ...]]] = connection.execute(statement).all()
        return [
            SessionView(
                row.id, row.created_at, row.seen_at, row.ends_at, row.id == staff.session_id
            )
            for row in rows
        ]

    def count_lookup(self, staff: Staff) -> None:
        """Count one look-up of a person, decided by one guarded statement.

        Raises:
            TooManyLookups: there were too many in this hour.
        """
        account, now = self._account, self._clock()
        anew = account.c.lookups_until <= now
        counted = (
            update(account)
            .where(account.c.tenant == staff.tenant, account.c.id == staff.id)
            .where(or_(anew, account.c.lookups < LOOKUPS))
            .values(
                lookups=case((anew, 1), else_=account.c.lookups + 1),
                lookups_until=case((anew, now + _HOUR), else_=account.c.lookups_until),
            )
        )
        with self._database.single() as connection:
            if not once(connection, counted):
                raise TooManyLookups("staff: too many people looked up")

    def clean(self, now: datetime) -> None:
        """Delete what is over (S-03)."""
        session, challenge = self._table, self._challenge
        for statement in (
            delete(session).where(or_(session.c.ends_at <= now, session.c.seen_at <= now - IDLE)),
            delete(challenge).where(challenge.c.expires_at <= now),
        ):
            with self._database.single() as connection:
                connection.execute(statement)


def sign_in_place(tenant: str, place: str = "") -> str:
    """The sign-in page, from which the browser goes on to *place* of this tenant."""
    query = f"?{urlencode({'to': place})}" if place and place != home(tenant) else ""
    return f"{home(tenant)}/sign-in{query}"


def home(tenant: str) -> str:
    """Where staff of *tenant* begin."""
    if not all(each.isalnum() or each in "-_." for each in tenant):
        raise NotFound("tenant: unknown")
    return f"/staff/{tenant}"


def own_place(tenant: str, place: str) -> str:
    """*place* if it is a page for staff of this tenant, else where they begin."""
    start = home(tenant)
    ours = place.startswith(f"{start}/") and place.isascii() and place.isprintable()
    return place if ours and len(place) < 1_000 and "\\" not in place else start


def set_cookie(tenant: str, token: str) -> str:
    """The value of `Set-Cookie` that makes a browser keep a session until it is closed."""
    return f"{COOKIE}{tenant}={token}; Path=/; Secure; HttpOnly; SameSite=Strict"


def forget_cookie(tenant: str) -> str:
    """The value of `Set-Cookie` that makes a browser forget its session."""
    return f"{COOKIE}{tenant}=; Path=/; Max-Age=0; Secure; HttpOnly; SameSite=Strict"
