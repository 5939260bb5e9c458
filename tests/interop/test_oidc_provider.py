"""A person signs in at npm's oidc-provider: a real one, over HTTP, as agencies have theirs."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx2
import pytest
from joserfc.jwk import ECKey, KeySet

from shared.demo.visitor import Page, Received, Visitor
from tests.support.attested import AttestedWallet
from tests.support.databases import start_postgresql_or_skip
from tests.support.issuer import PUBLIC_URL, TENANT, IssuerWorld, sample_register
from tests.support.openid import CLIENT_ID, CLIENT_SECRET, real_provider
from tests.support.visiting import answer_of, opened

PEOPLE = {
    "anna": {"personal_number": "AV-000001", "level": "high"},
    "stranger": {"personal_number": "AV-999999", "level": "high"},
    "weak": {"personal_number": "AV-000001", "level": "low"},
    "nameless": {"level": "high"},
}
RETURN = f"{PUBLIC_URL}/registry/login-return"


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with real_provider(RETURN, PEOPLE) as issuer:
        yield issuer


def _issuer(folder: Path, database_url: str, provider: str) -> IssuerWorld:
    """An issuer whose citizens sign in at *provider*."""
    (folder / "client_secret").write_text(f"{CLIENT_SECRET}\n")
    login = {
        "desk": False,
        "openid": {
            "issuer": provider,
            "names": {"en": "Avelonia Login", "de": "Avelonia-Konto"},
            "client_id": CLIENT_ID,
            "client_secret_file": str(folder / "client_secret"),
            "scope": "openid person",
            "match": {"reference": "personal_number"},
            "require": {"level": "high"},
        },
    }
    return IssuerWorld.make(
        folder,
        database_url,
        tenants=[{**TENANT, "login": login}],
        register=sample_register(folder),
        insecure_http_loopback=True,
    )


def _close(made: IssuerWorld) -> None:
    made.close()
    openid = made.issuer.tenant("registry").provider
    assert openid is not None
    openid._fetcher.close()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, provider: str) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = _issuer(folder, f"sqlite:///{folder / 'issuer.db'}", provider)
    yield made
    _close(made)


@pytest.fixture
def replicas(tmp_path: Path, provider: str) -> Iterator[list[IssuerWorld]]:
    """Two on one PostgreSQL."""
    server = start_postgresql_or_skip()
    url, made = server.new_database(), []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        made.append(_issuer(tmp_path / name, url, provider))
    yield made
    for each in made:
        _close(each)
    server.stop()


@pytest.fixture(scope="module")
def http() -> Iterator[httpx2.Client]:
    with httpx2.Client(timeout=120) as client:
        yield client


@pytest.fixture
def browser(world: IssuerWorld, provider: str, http: httpx2.Client) -> Visitor:
    return _browser([world], provider, http)


def _browser(worlds: list[IssuerWorld], provider: str, http: httpx2.Client) -> Visitor:
    """One browser before both: ours in process, each call at the next one; theirs over HTTP."""
    turns = itertools.cycle(worlds)

    def send(
        method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None
    ) -> Received:
        if url.startswith(PUBLIC_URL):
            path = url.removeprefix(PUBLIC_URL)
            ours = next(turns).client.request(method, path, headers=headers, form=form)
            return Received(ours.status, ours.raw_headers, ours.text)
        http.cookies.clear()
        theirs = http.request(method, url, headers=headers, data=form)
        pairs = tuple(theirs.headers.multi_items())
        return Received(theirs.status_code, pairs, theirs.text)

    return Visitor(send, (PUBLIC_URL, provider))


def back(world: IssuerWorld, person: Visitor, name: str, button: str = "provider-sign-in") -> Page:
    """The page that *name* sees after the provider."""
    wallet = AttestedWallet(world)
    theirs = opened(person, wallet, wallet.push())  # there is no other way to sign in
    assert "/interaction/" in theirs.url
    return person.press(theirs, button, name=name)


def test_a_person_signs_in_at_a_real_provider(world: IssuerWorld, browser: Visitor) -> None:
    """Issue 5, item 2: PKCE, state, nonce, iss, an ID token, UserInfo, a register entry."""
    wallet, person = AttestedWallet(world), browser
    theirs = opened(person, wallet, wallet.push())
    page = person.press(theirs, "provider-sign-in", name="anna")
    assert page.texts["consent-wallet"] == "A Wallet"
    answer = answer_of(person.press(page, "consent-accept"))
    token = wallet.exchange(answer["code"]).json()["access_token"]
    assert wallet.credentials(token, "pid_sd_jwt")["credentials"]


def test_any_replica_takes_the_next_step_of_a_sign_in(
    replicas: list[IssuerWorld], provider: str, http: httpx2.Client
) -> None:
    """Issue 5, "Done when": a real provider, two replicas, PostgreSQL; the last step is theirs."""
    one, two = (AttestedWallet(each) for each in replicas)
    person = _browser(replicas, provider, http)
    theirs = opened(person, one, one.push())
    page = person.press(theirs, "provider-sign-in", name="anna")
    answer = answer_of(person.press(page, "consent-accept"))
    two.instance, two.verifier, two.key = one.instance, one.verifier, one.key
    token = two.exchange(answer["code"]).json()["access_token"]
    assert one.credentials(token, "pid_sd_jwt")["credentials"]
    assert two.exchange(answer["code"]).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("stranger", "The register does not know you by this account."),
        ("weak", "You were not signed in."),
        ("nameless", "You were not signed in."),
        ("nobody", "You were not signed in."),
    ],
)
def test_who_is_not_known_or_not_well_enough_may_try_again(
    world: IssuerWorld, browser: Visitor, name: str, text: str
) -> None:
    page = back(world, browser, name)
    assert (page.status, page.texts["alert-title"]) == (403, text)
    assert page.texts["login-provider"] == "Continue to Avelonia Login"
    assert "login-submit" not in page.texts
    assert "AV-" not in page.html


def test_a_person_may_give_up_at_the_provider(world: IssuerWorld, browser: Visitor) -> None:
    page = back(world, browser, "anna", "provider-cancel")
    assert (page.status, page.texts["alert-title"]) == (403, "You were not signed in.")


def test_the_provider_may_change_its_keys(world: IssuerWorld, browser: Visitor) -> None:
    """OpenID Connect Core, section 10.1.1: an unknown kid is looked for once more."""
    openid = world.issuer.tenant("registry").provider
    assert openid is not None
    openid.check(world.clock())
    known = openid._known
    assert known is not None
    stale = KeySet([ECKey.generate_key("P-256", {"kid": "old", "alg": "ES256"})])
    openid._known = type(known)(known.metadata, stale, known.fetched_at)
    world.clock.advance(seconds=31)
    assert "consent-accept" in back(world, browser, "anna").texts
