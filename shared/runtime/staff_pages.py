"""The pages with which staff sign in: invitation, passkey, OpenID Provider, sessions, sign-out.

Forms all the way: a script puts a passkey's answer into a field, everything else works without one.
Forms that come before a session are believed only from our own pages (`Sec-Fetch-Site`), later ones
by their token. The session's cookie is not sent when the browser comes from an OpenID Provider
(SameSite=Strict), so the page of that moment leads on by itself. The code of an invitation stands
in the link behind "#", which no server sees. WCAG 2.2 AA; OpenID Connect Core 1.0, section 3.1;
ADR 0020.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

from starlette.responses import Response

from ..encoding import Clock, RandomBytes
from ..errors import ExpectedError, NotFound
from . import staff_visits
from .calls import Call
from .database import Database
from .errors import refusal
from .fetch import Fetcher
from .languages import choose, mark
from .moments import moment
from .openid import NotSignedIn
from .pages import Pages, redirect
from .routes import PageRouter, page_router
from .sign_in import (
    FormExpired,
    Recorder,
    Staff,
    StaffSessions,
    forget_cookie,
    home,
    own_place,
    set_cookie,
    sign_in_place,
)
from .staff_accounts import InvitationGone, StaffAccounts
from .staff_files import Door, NoRoles, StaffFile, open_door
from .staff_passkeys import Gesture, TookTooLong, WrongPasskey
from .staff_visits import NoSuchWay
from .tables import StaffTables

_FORM = 64 * 1024
_REFUSED = (WrongPasskey, TookTooLong, NoRoles, NotSignedIn)


@dataclass(frozen=True, slots=True)
class StaffEntrance:
    """Everything that the pages need: sessions, accounts, and each tenant's door.

    Attributes:
        doors: by tenant.
        agency: a tenant's names, by language tag.
        key: 32 bytes of the installation, for staff alone.
    """

    sessions: StaffSessions
    accounts: StaffAccounts
    doors: Mapping[str, Door]
    agency: Callable[[str], Mapping[str, str]]
    key: bytes
    clock: Clock
    random_bytes: RandomBytes

    @classmethod
    def make(
        cls,
        database: Database,
        tables: StaffTables,
        *,
        key: bytes,
        public_url: str,
        roles: Collection[str],
        files: Mapping[str, StaffFile],
        fetcher: Callable[[], Fetcher],
        agency: Callable[[str], Mapping[str, str]],
        record: Recorder,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> Self:
        """The entrance of one service, whole; *files* by tenant, providers asked by a *fetcher*.

        Raises:
            InvalidInput: a tenant's file gives a role that there is not, or leaves no way in.
        """
        doors = {
            name: open_door(file, tenant=name, public_url=public_url, roles=roles, fetcher=fetcher)
            for name, file in files.items()
        }
        sessions = StaffSessions(
            database, tables, key=key, record=record, clock=clock, random_bytes=random_bytes
        )
        accounts = StaffAccounts(
            database,
            tables,
            sessions=sessions,
            key=key,
            public_url=public_url,
            roles=roles,
            record=record,
            clock=clock,
            random_bytes=random_bytes,
        )
        return cls(sessions, accounts, doors, agency, key, clock, random_bytes)

    def door(self, tenant: str) -> Door:
        """The door of *tenant*; raises NotFound."""
        if tenant not in self.doors:
            raise NotFound("tenant: unknown")
        return self.doors[tenant]

    def agency_name(self, call: Call, tenant: str) -> str:
        """The tenant's name in the reader's language."""
        return choose(self.agency(tenant), _language(call)) or tenant


class HasStaff(Protocol):
    """A service's context."""

    @property
    def staff(self) -> StaffEntrance:
        """Its entrance for staff."""
        ...


router: PageRouter[HasStaff] = page_router()
_HERE = "/staff/{tenant}"


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation on pages of staff."""

    id: str
    url: str
    text: str


def staff_page(
    call: Call,
    staff: Staff,
    template: str,
    *,
    agency: str,
    places: Sequence[Place],
    here: str = "",
    status: int = 200,
    **values: Any,
) -> Response:
    """A page for somebody who is signed in; *template* extends `staff.html`.

    Args:
        call: the request.
        staff: who is signed in.
        template: its file name.
        agency: the tenant's name.
        places: of the navigation.
        here: the id of the one that this page is.
        status: of the answer.
        values: for the template.
    """
    return call.page(
        template,
        status=status,
        scripts=True,
        staff=staff,
        home=home(staff.tenant),
        agency=agency,
        places=places,
        here=here,
        **values,
    )


@router.get(_HERE + "/sign-in")
def sign_in(call: Call, service: HasStaff) -> Response:
    """Every way in which the staff of this agency sign in."""
    return _sign_in(call, service.staff, to=call.query.get("to", ""))


@router.post(_HERE + "/sign-in", max_bytes=_FORM)
def by_passkey(call: Call, service: HasStaff) -> Response:
    """A passkey's answer to the challenge of the page."""
    entrance, tenant = service.staff, call.path["tenant"]
    form = _own_form(call)
    if not entrance.door(tenant).file.passkeys:
        raise NoSuchWay("staff: no passkeys here")
    try:
        gesture = Gesture.parse(form.get("passkey", ""))
        token = entrance.accounts.by_passkey(tenant, gesture)
    except _REFUSED as error:
        return _sign_in(call, entrance, to=form.get("to", ""), refused=error)
    to = own_place(tenant, form.get("to", ""))
    return redirect(to, headers={"Set-Cookie": set_cookie(tenant, token)})


@router.get(_HERE + "/sign-in/provider")
def to_provider(call: Call, service: HasStaff) -> Response:
    """To the agency's OpenID Provider."""
    return _leave(call, service.staff)


@router.get(_HERE + "/sign-in/return")
def from_provider(call: Call, service: HasStaff) -> Response:
    """Back from the OpenID Provider, with an answer to this browser's visit."""
    return _come_back(call, service.staff)


@router.get(_HERE + "/join")
def join(call: Call, service: HasStaff) -> Response:
    """Where the link of an invitation leads; a script reads its code."""
    return _join(call, service.staff)


@router.post(_HERE + "/join", max_bytes=_FORM)
def joined(call: Call, service: HasStaff) -> Response:
    """The code of an invitation; then with it the passkey that was made."""
    return _use_invitation(call, service.staff)


@router.get(_HERE + "/sessions")
def sessions(call: Call, service: HasStaff) -> Response:
    """Where the account is signed in."""
    entrance = service.staff
    staff = entrance.sessions.signed_in(call)
    return staff_page(
        call,
        staff,
        "staff-sessions.html",
        agency=entrance.agency_name(call, staff.tenant),
        places=[Place("home", home(staff.tenant), _say(call, mark("Back to work")))],
        sessions=entrance.sessions.of(staff),
        moment=lambda at: moment(at, _language(call)),
    )


@router.post(_HERE + "/sessions")
def end(call: Call, service: HasStaff) -> Response:
    """End one session, or all but this one."""
    known = service.staff.sessions
    staff = known.signed_in(call)
    wanted = known.form(call, staff).get("session", "")
    mine = [each.id for each in known.of(staff) if not each.is_this]
    known.end(staff, mine if wanted == "others" else [wanted])
    return redirect(f"{home(staff.tenant)}/sessions")


@router.post(_HERE + "/sign-out")
def sign_out(call: Call, service: HasStaff) -> Response:
    """End this session, here and in the browser."""
    known = service.staff.sessions
    staff = known.signed_in(call)
    known.form(call, staff)
    known.sign_out(staff)
    gone = {"Set-Cookie": forget_cookie(staff.tenant)}
    return redirect(sign_in_place(staff.tenant), headers=gone)


def _language(call: Call) -> str:
    pages: Pages = call.scope["pages"]
    return pages.language(call.scope)


def _say(call: Call, text: str) -> str:
    pages: Pages = call.scope["pages"]
    return pages.text(call.scope, text)


def _own_form(call: Call) -> dict[str, str]:
    """A form that one of our own pages sent, before there is a session to bind it to."""
    if call.header("sec-fetch-site") != "same-origin":
        raise FormExpired("staff: a form that is not from a page of ours")
    return call.form()


def _problem(call: Call, error: ExpectedError | None) -> dict[str, Any]:
    if error is None:
        return {"problem": "", "problem_step": ""}
    return {
        "problem": _say(call, error.public),
        "problem_step": _say(call, refusal(error).next_step),
    }


def _sign_in(
    call: Call, entrance: StaffEntrance, *, to: str, refused: ExpectedError | None = None
) -> Response:
    tenant = call.path["tenant"]
    door = entrance.door(tenant)
    openid = door.file.openid
    return call.page(
        "staff-sign-in.html",
        status=refusal(refused).status if refused else 200,
        scripts=door.file.passkeys,
        home=home(tenant),
        agency=entrance.agency_name(call, tenant),
        to=own_place(tenant, to),
        options=entrance.accounts.options(tenant) if door.file.passkeys else "",
        provider=choose(openid.names, _language(call)) if openid else "",
        **_problem(call, refused),
    )


def _leave(call: Call, entrance: StaffEntrance) -> Response:
    tenant = call.path["tenant"]
    url, kept = staff_visits.leave(
        entrance.door(tenant),
        tenant=tenant,
        to=own_place(tenant, call.query.get("to", "")),
        locale=_language(call),
        key=entrance.key,
        now=entrance.clock(),
        random_bytes=entrance.random_bytes,
    )
    return redirect(url, headers={"Set-Cookie": kept})


def _come_back(call: Call, entrance: StaffEntrance) -> Response:
    tenant = call.path["tenant"]
    door, now = entrance.door(tenant), entrance.clock()
    provider, openid = staff_visits.provider_of(door)
    visit = staff_visits.Visit.of(call.scope, tenant, key=entrance.key, now=now)
    try:
        claims = provider.claims(visit.at_provider, call.query, now=now)
        token = entrance.accounts.by_provider(tenant, openid, claims)
    except _REFUSED as error:
        return _sign_in(call, entrance, to=visit.to, refused=error)
    response = call.page("staff-on.html", agency=entrance.agency_name(call, tenant), to=visit.to)
    response.headers.append("Set-Cookie", set_cookie(tenant, token))
    response.headers.append("Set-Cookie", staff_visits.forget(tenant))
    return response


def _join(
    call: Call, entrance: StaffEntrance, *, refused: ExpectedError | None = None, **values: Any
) -> Response:
    tenant = call.path["tenant"]
    if not entrance.door(tenant).file.passkeys:
        raise NoSuchWay("staff: no passkeys here")
    shown: dict[str, Any] = {"name": "", "roles": (), "options": "", "code": "", **values}
    return call.page(
        "staff-join.html",
        status=refusal(refused).status if refused else 200,
        scripts=True,
        home=home(tenant),
        agency=entrance.agency_name(call, tenant),
        **shown,
        **_problem(call, refused),
    )


def _use_invitation(call: Call, entrance: StaffEntrance) -> Response:
    tenant = call.path["tenant"]
    form = _own_form(call)
    if not entrance.door(tenant).file.passkeys:
        raise NoSuchWay("staff: no passkeys here")
    code = form.get("code", "").strip()
    agency = entrance.agency_name(call, tenant)
    refused: ExpectedError | None = None
    try:
        if form.get("passkey"):
            token = entrance.accounts.enrol(tenant, code, Gesture.parse(form["passkey"]))
            return redirect(home(tenant), headers={"Set-Cookie": set_cookie(tenant, token)})
    except _REFUSED as error:
        refused = error  # the invitation is still good
    except InvitationGone as error:
        return _join(call, entrance, refused=error)
    try:
        invited = entrance.accounts.invited(tenant, code, agency=agency)
    except InvitationGone as error:
        return _join(call, entrance, refused=error)
    return _join(
        call,
        entrance,
        refused=refused,
        name=invited.name,
        roles=invited.roles,
        options=invited.options,
        code=code,
    )
