"""Staff sign in at the agency's OpenID Provider: a claim gives their roles, or none."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.errors import InvalidInput
from shared.runtime.connections import FetchPolicy
from shared.runtime.fetch import Fetcher
from shared.runtime.openid import OpenIdProvider
from shared.runtime.staff_files import Door, StaffFile, open_door
from tests.support.asgi import Answer
from tests.support.issuer import PUBLIC_URL, TENANT, IssuerWorld
from tests.support.openid import CLIENT_ID, LyingProvider
from tests.support.staff import SAME_ORIGIN, StaffMember, cookie_of

HOME = "/staff/registry"
STAFF: dict[str, Any] = {
    "passkeys": False,
    "openid": {
        "issuer": LyingProvider.issuer,
        "names": {"en": "Staff Login", "de": "Dienst-Anmeldung"},
        "client_id": CLIENT_ID,
        "scope": "openid profile",
        "roles": {
            "claim": "groups",
            "values": {"clerks": ["offers", "read"], "audit": ["auditor"]},
        },
    },
}


@pytest.fixture
def liar() -> LyingProvider:
    return LyingProvider()


@pytest.fixture
def world(new_database_url: Any, tmp_path: Path, liar: LyingProvider) -> Iterator[IssuerWorld]:
    made = IssuerWorld.make(
        tmp_path,
        new_database_url(),
        tenants=[{**TENANT, "staff": STAFF}, {**TENANT, "tenant": "harbour"}],
        requests_per_second=0,
    )
    file = StaffFile.model_validate(STAFF)
    assert file.openid is not None
    provider = OpenIdProvider(
        file.openid,
        Fetcher(FetchPolicy(), transport=liar),
        redirect_uri=f"{PUBLIC_URL}{HOME}/sign-in/return",
    )
    made.issuer.staff.doors["registry"] = Door(file, provider)  # type: ignore[index]
    yield made
    made.close()


def cookies(answer: Answer) -> str:
    """All that an answer sets, as a browser sends them back."""
    set_ = [value for name, value in answer.raw_headers if name.lower() == "set-cookie"]
    return "; ".join(each.partition(";")[0] for each in set_)


def leave(world: IssuerWorld, to: str = "") -> tuple[dict[str, str], str]:
    """To the provider: what it is asked, and the cookie of the visit."""
    answer = world.client.get(f"{HOME}/sign-in/provider?to={to}")
    assert answer.status == 303
    set_cookie = answer.headers["set-cookie"]
    assert set_cookie.startswith("__Host-staff-visit-registry=")
    for part in ("Secure", "HttpOnly", "SameSite=Lax", "Max-Age=600"):
        assert part in set_cookie
    asked = parse_qs(urlsplit(answer.headers["location"]).query)
    return {name: values[0] for name, values in asked.items()}, cookies(answer)


def come_back(world: IssuerWorld, liar: LyingProvider, *, to: str = "", **claims: Any) -> Answer:
    asked, kept = leave(world, to)
    now = int(world.clock().timestamp())
    liar.claims = {
        "iss": liar.issuer,
        "sub": "zoe",
        "aud": CLIENT_ID,
        "iat": now,
        "exp": now + 300,
        "nonce": asked["nonce"],
        "name": "Zoë Müller",
        **claims,
    }
    liar.userinfo = {"sub": liar.claims["sub"]}
    return world.client.get(
        f"{HOME}/sign-in/return?code=c&state={asked['state']}", headers={"Cookie": kept}
    )


def test_a_claim_gives_the_roles_at_each_sign_in(world: IssuerWorld, liar: LyingProvider) -> None:
    """OpenID Connect Core 1.0, 3.1; the session's cookie is Strict, so the page leads on itself."""
    answer = come_back(world, liar, to=f"{HOME}/offers", groups=["clerks", "others"])
    assert answer.status == 200
    assert f'content="0; url={HOME}/offers"' in answer.text
    accounts = world.issuer.staff.accounts
    (account,) = accounts.all("registry")
    assert (account.name, account.roles) == ("Zoë Müller", ("offers", "read"))
    assert account.by_provider
    clerk = StaffMember(world.client, "registry", None, account.id)  # type: ignore[arg-type]
    clerk.use(cookie_of(answer, "registry"))
    assert clerk.get(f"{HOME}/offers").status == 200
    assert clerk.get(f"{HOME}/audit").status == 403
    come_back(world, liar, groups="audit")  # a text is as good as a list
    assert [each.roles for each in accounts.all("registry")] == [("auditor",)]
    assert clerk.get(f"{HOME}/offers").status == 403  # the older session, too
    assert clerk.get(f"{HOME}/audit").status == 200
    assert "zoe" not in world.dump()


def test_whoever_has_no_role_here_stays_outside(world: IssuerWorld, liar: LyingProvider) -> None:
    for denied, groups in enumerate(([], ["others"], None, 7, [7]), start=1):
        answer = come_back(world, liar, groups=groups)
        assert answer.status == 403
        assert "may do nothing here" in answer.text
        assert not world.issuer.staff.accounts.all("registry")
        assert world.count("staff_session") == 0
        assert world.count("audit") == denied


def test_who_was_disabled_here_stays_outside(world: IssuerWorld, liar: LyingProvider) -> None:
    come_back(world, liar, groups=["clerks"])
    accounts = world.issuer.staff.accounts
    (account,) = accounts.all("registry")
    accounts.disable("registry", account.id)
    answer = come_back(world, liar, groups=["clerks"])
    assert answer.status == 403
    assert world.count("staff_session") == 0


def test_only_the_browser_that_left_comes_back_in_time(
    world: IssuerWorld, liar: LyingProvider
) -> None:
    """Login CSRF: state, nonce and verifier lie sealed in this browser's cookie."""
    asked, kept = leave(world)
    place = f"{HOME}/sign-in/return?code=c&state={asked['state']}"
    assert "visit_lost" in world.client.get(place).text
    _, other = leave(world)
    assert world.client.get(place, headers={"Cookie": other}).status == 403
    world.clock.advance(minutes=10)
    assert "visit_lost" in world.client.get(place, headers={"Cookie": kept}).text
    wrong = come_back(world, liar, groups=["clerks"], nonce="another")
    assert wrong.status == 403
    assert world.count("staff_session") == 0


def test_a_tenant_has_the_ways_that_its_file_says(world: IssuerWorld) -> None:
    page = world.client.get(f"{HOME}/sign-in", headers={"Accept-Language": "de"})
    assert "Mit Dienst-Anmeldung anmelden" in page.text
    assert "sign-in-passkey" not in page.text
    form = {"passkey": "{}", "to": ""}
    for path, sent in (("sign-in", form), ("join", {"code": "x"})):
        answer = world.client.post(f"{HOME}/{path}", form=sent, headers=SAME_ORIGIN)
        assert answer.status in {400, 403}, path
    assert world.client.get(f"{HOME}/join").status == 400
    other = world.client.get("/staff/harbour/sign-in")
    assert "sign-in-passkey" in other.text
    assert world.client.get("/staff/harbour/sign-in/provider").status == 400
    assert world.client.get("/staff/harbour/sign-in/return?code=c").status == 400


def test_a_file_that_makes_no_sense_is_refused_at_start() -> None:
    unknown = {**STAFF["openid"], "roles": {"claim": "groups", "values": {"x": ["boss"]}}}
    for content in ({"passkeys": False}, {"openid": unknown}):
        with pytest.raises(InvalidInput, match="staff"):
            open_door(
                StaffFile.model_validate(content),
                tenant="registry",
                public_url=PUBLIC_URL,
                roles=("offers",),
                fetcher=lambda: Fetcher(FetchPolicy()),
            )
