"""Staff come in by an invitation and a passkey, once, and their forms are theirs alone."""

import json
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from shared.demo.passkey import SoftwarePasskey
from shared.runtime.migrations import is_current, migrate, pending_changes
from shared.runtime.sign_in import IDLE, LONGEST, LOOKUPS, TooManyLookups
from tests.support.asgi import Answer
from tests.support.issuer import PUBLIC_URL, TENANT, IssuerWorld
from tests.support.staff import (
    SAME_ORIGIN,
    StaffMember,
    join,
    options_of,
    staff_member,
)

HOME = "/staff/registry"
SESSIONS = f"{HOME}/sessions"


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    made = IssuerWorld.make(
        tmp_path_factory.mktemp("issuer"),
        database_url,
        tenants=[TENANT, {**TENANT, "tenant": "harbour"}],
        requests_per_second=0,
    )
    yield made
    made.close()


@pytest.fixture
def clerk(world: IssuerWorld) -> StaffMember:
    return staff_member(world.client, world.issuer.staff, "registry", roles=("offers", "read"))


def rows(world: IssuerWorld, account: str) -> list[tuple[str, str, str | None]]:
    """What the audit trail says of an account."""
    from issuer_service.tables import audit

    statement = audit.select().where(audit.c.actor == account).order_by(audit.c.at, audit.c.id)
    with world.issuer.database.reading() as connection:
        return [(row.act, row.object, row.reason) for row in connection.execute(statement)]


def refused(answer: Answer, code: str) -> None:
    assert f'id="error-code">{code}<' in answer.text, answer.text


@pytest.mark.parametrize("package", ["issuer_service", "verifier_service"])
def test_migrations_make_the_tables_of_the_code(
    new_database_url: Callable[[], str], package: str
) -> None:
    url = new_database_url()
    migrate(url, package=package)
    assert is_current(url, package=package)
    assert pending_changes(url, package=package) == []


def test_an_invitation_makes_an_account_with_a_passkey(world: IssuerWorld) -> None:
    """The code is good once; the cookie is this host's alone and never sent from other sites."""
    accounts = world.issuer.staff.accounts
    code = accounts.invite("registry", "Zoë Müller", ("offers",))
    account = f"stf_{code[:22]}"
    assert code not in world.dump()
    passkey = SoftwarePasskey(PUBLIC_URL)
    asked, answer = join(world.client, "registry", code, passkey)
    options = options_of(asked, "create")
    assert options["authenticatorSelection"]["userVerification"] == "required"
    assert options["authenticatorSelection"]["residentKey"] == "required"
    assert options["rp"] == {"id": "issuer.example", "name": "Civil Registry of Avelonia"}
    assert "Zoë Müller" in asked.text
    assert answer.status == 303
    assert answer.headers["location"] == HOME
    set_cookie = answer.headers["set-cookie"]
    assert set_cookie.startswith("__Host-staff-registry=")
    for part in ("Path=/", "Secure", "HttpOnly", "SameSite=Strict"):
        assert part in set_cookie
    assert "Domain" not in set_cookie
    assert set_cookie.partition("=")[2].partition(";")[0] not in world.dump()
    again, _ = join(world.client, "registry", code, SoftwarePasskey(PUBLIC_URL))
    assert again.status == 403
    assert 'id="alert"' in again.text
    acts = [(act, on) for act, on, _ in rows(world, account)]
    assert ("staff_enrolled", account) in acts
    assert "staff_signed_in" in {act for act, _ in acts}
    assert {each.state for each in accounts.all("registry") if each.id == account} == {"enrolled"}


def test_of_many_who_use_one_invitation_one_gets_the_account(world: IssuerWorld) -> None:
    """S-02: one guarded UPDATE decides."""
    code = world.issuer.staff.accounts.invite("registry", "Race", ("read",))
    passkeys = [SoftwarePasskey(PUBLIC_URL) for _ in range(6)]
    made = []
    for each in passkeys:
        asked = world.client.post(f"{HOME}/join", form={"code": code}, headers=SAME_ORIGIN)
        made.append(json.dumps(each.create(options_of(asked, "create"))))

    def use(response: str) -> int:
        form = {"code": code, "passkey": response}
        return world.client.post(f"{HOME}/join", form=form, headers=SAME_ORIGIN).status

    with ThreadPoolExecutor(6) as pool:
        statuses = sorted(pool.map(use, made))
    assert statuses == [303, 403, 403, 403, 403, 403]
    acts = [act for act, _, _ in rows(world, f"stf_{code[:22]}")]
    assert acts.count("staff_enrolled") == 1
    assert acts.count("staff_signed_in") == 1


def test_an_invitation_ends_after_three_days(world: IssuerWorld) -> None:
    code = world.issuer.staff.accounts.invite("registry", "Late", ("read",))
    world.clock.advance(days=3, seconds=-1)
    asked = world.client.post(f"{HOME}/join", form={"code": code}, headers=SAME_ORIGIN)
    assert asked.status == 200
    world.clock.advance(seconds=1)
    asked = world.client.post(f"{HOME}/join", form={"code": code}, headers=SAME_ORIGIN)
    assert asked.status == 403


def test_a_new_invitation_replaces_passkey_and_sessions(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    """Whoever lost a device strikes it off with the new one."""
    accounts = world.issuer.staff.accounts
    code = accounts.invite_again("registry", clerk.account)
    assert clerk.get(SESSIONS).status == 200  # not before it is used
    fresh = SoftwarePasskey(PUBLIC_URL)
    _, answer = join(world.client, "registry", code, fresh)
    assert answer.status == 303
    assert clerk.get(SESSIONS).status == 303
    assert clerk.sign_in().status == 403
    clerk.passkey = fresh
    assert clerk.sign_in().status == 303


def test_a_passkey_signs_in_and_its_challenge_is_good_once(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    """WebAuthn Level 3, 7.2; S-02."""
    form = {"passkey": clerk.assertion(), "to": f"{HOME}/sessions"}
    first = world.client.post(f"{HOME}/sign-in", form=form, headers=SAME_ORIGIN)
    assert first.status == 303
    assert first.headers["location"] == SESSIONS
    second = world.client.post(f"{HOME}/sign-in", form=form, headers=SAME_ORIGIN)
    assert second.status == 400
    assert "That took too long." in second.text
    old = {"passkey": clerk.assertion(), "to": ""}
    world.clock.advance(minutes=5)
    late = world.client.post(f"{HOME}/sign-in", form=old, headers=SAME_ORIGIN)
    assert late.status == 400


def test_what_is_not_this_passkey_here_and_verified_is_refused(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    """WebAuthn Level 3, 7.2: another origin, no user verification, inside a foreign page."""
    credentials = clerk.passkey._credentials
    for changed in (
        SoftwarePasskey("https://evil.example", _credentials=credentials),
        SoftwarePasskey(PUBLIC_URL, verifies_user=False, _credentials=credentials),
        SoftwarePasskey(PUBLIC_URL, cross_origin=True, _credentials=credentials),
    ):
        liar = StaffMember(world.client, "registry", changed, clerk.account)
        assert liar.sign_in().status == 403
    assert rows(world, clerk.account).count(("staff_denied", clerk.account, "passkey")) == 2
    for text in ("", "{}", "[]", '{"response": {}}', '{"response": {"clientDataJSON": "e30"}}'):
        form = {"passkey": text, "to": ""}
        answer = world.client.post(f"{HOME}/sign-in", form=form, headers=SAME_ORIGIN)
        assert answer.status == 400, text


def test_forms_before_a_session_come_from_our_own_pages(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    """No other site signs somebody in as somebody else."""
    form = {"passkey": clerk.assertion(), "to": ""}
    for headers in ({}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):
        answer = world.client.post(f"{HOME}/sign-in", form=form, headers=headers)
        assert answer.status == 403
        refused(answer, "form_expired")


def test_a_session_ends_when_it_is_not_used_and_at_last_in_any_case(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    begun = world.clock()
    world.clock.advance(IDLE - timedelta(seconds=1))
    assert clerk.get(SESSIONS).status == 200
    while world.clock() + timedelta(minutes=20) < begun + LONGEST:
        world.clock.advance(minutes=20)
        assert clerk.get(SESSIONS).status == 200
    world.clock.now = begun + LONGEST
    gone = clerk.get(SESSIONS)
    assert gone.status == 303
    assert gone.headers["location"] == f"{HOME}/sign-in?to=%2Fstaff%2Fregistry%2Fsessions"
    assert clerk.sign_in().status == 303
    world.clock.advance(IDLE)
    assert clerk.get(SESSIONS).status == 303
    before = world.count("staff_session")
    world.issuer.staff.sessions.clean(world.clock())
    assert world.count("staff_session") < before
    assert world.count("staff_challenge") == 0


def test_sign_out_ends_the_session_and_not_only_the_cookie(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    kept = clerk.cookie
    answer = clerk.post(f"{HOME}/sign-out")
    assert answer.status == 303
    assert answer.headers["location"] == f"{HOME}/sign-in"
    assert "Max-Age=0" in answer.headers["set-cookie"]
    clerk.cookie = kept
    assert clerk.get(SESSIONS).status == 303
    assert "staff_signed_out" in [act for act, _, _ in rows(world, clerk.account)]


def test_a_form_of_another_session_is_refused(world: IssuerWorld, clerk: StaffMember) -> None:
    """CSRF: the token belongs to the session, not to the account."""
    other = clerk.csrf
    clerk.sign_in()
    assert clerk.csrf != other
    for csrf in (other, "", "ä"):
        answer = clerk.post(f"{HOME}/sign-out", {"csrf": csrf})
        assert answer.status == 403
        refused(answer, "form_expired")
    assert clerk.get(SESSIONS).status == 200


def test_staff_see_and_end_their_own_sessions(world: IssuerWorld, clerk: StaffMember) -> None:
    stranger = staff_member(world.client, world.issuer.staff, "registry", roles=("read",))
    theirs = re.findall(r"sts_[\w-]{22}", world.dump())
    old = clerk.cookie
    clerk.sign_in()
    page = clerk.get(SESSIONS).text
    listed = re.findall(r'name="session" value="(sts_[^"]+)"', page)
    assert len(listed) == 1
    for each in set(theirs) - set(listed):
        clerk.post(SESSIONS, {"session": each})  # not their own: nothing happens
    assert stranger.get(SESSIONS).status == 200
    assert clerk.post(SESSIONS, {"session": "others"}).status == 303
    assert clerk.get(SESSIONS).status == 200
    clerk.cookie = old
    assert clerk.get(SESSIONS).status == 303


def test_a_disabled_account_is_out_at_once(world: IssuerWorld, clerk: StaffMember) -> None:
    accounts = world.issuer.staff.accounts
    assert accounts.disable("registry", clerk.account)
    assert not accounts.disable("registry", clerk.account)
    assert not accounts.disable("harbour", clerk.account)
    assert clerk.get(SESSIONS).status == 303
    assert clerk.sign_in().status == 403
    assert ("staff_denied", clerk.account, "disabled") in rows(world, clerk.account)


def test_one_tenant_knows_no_staff_of_another(world: IssuerWorld, clerk: StaffMember) -> None:
    """The walk over every page is in test_issuer_pages_for_staff.py."""
    value = clerk.cookie.partition("=")[2]
    moved = StaffMember(world.client, "harbour", clerk.passkey, clerk.account)
    moved.cookie = f"__Host-staff-harbour={value}"
    assert moved.get("/staff/harbour/sessions").status == 303
    assert moved.sign_in().status == 403
    code = world.issuer.staff.accounts.invite("registry", "Here", ("read",))
    asked, _ = join(world.client, "harbour", code, SoftwarePasskey(PUBLIC_URL))
    assert asked.status == 403
    for path in ("sign-in", "join"):
        assert world.client.get(f"/staff/nowhere/{path}").status == 404


def test_where_the_browser_goes_on_is_ours(world: IssuerWorld, clerk: StaffMember) -> None:
    """No redirect leaves the pages for staff of this tenant."""
    for to in (
        "//evil.example",
        "https://evil.example",
        "/staff/harbour/sessions",
        "/staff/registry/\\evil",
        "/staff/registry/\r\nX: y",
    ):
        form = {"passkey": clerk.assertion(), "to": to}
        answer = world.client.post(f"{HOME}/sign-in", form=form, headers=SAME_ORIGIN)
        assert answer.headers["location"] == HOME


def test_looking_people_up_has_a_limit_for_each_account_and_hour(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    sessions = world.issuer.staff.sessions
    from starlette.types import Scope

    scope: Scope = {"path": "/", "headers": [(b"cookie", clerk.cookie.encode())]}
    staff = sessions.check(scope, "registry")
    assert "secret" not in repr(staff)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: sessions.count_lookup(staff), range(LOOKUPS)))
    with pytest.raises(TooManyLookups):
        sessions.count_lookup(staff)
    world.clock.advance(hours=1)
    sessions.count_lookup(staff)


def test_nobody_unknown_fills_the_audit_trail(world: IssuerWorld) -> None:
    """Denials are recorded of accounts that there are; anybody else meets the rate limit."""
    before = world.count("audit")
    stranger = StaffMember(world.client, "registry", SoftwarePasskey(PUBLIC_URL), "stf_none")
    page = world.client.get(f"{HOME}/sign-in")
    made = SoftwarePasskey(PUBLIC_URL)
    options = options_of(page, "get")
    made.create({"rp": {"id": "issuer.example"}, "user": {"id": "c3RmX25vbmU"}, **options})
    stranger.passkey = made
    assert stranger.sign_in().status == 403
    assert world.count("audit") == before
