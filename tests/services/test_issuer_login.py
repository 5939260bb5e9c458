"""The pages of the authorization endpoint, as a browser without scripts sees them."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from issuer_service.sample_register import generate
from shared.runtime.errors import PAGE_MARKER
from tests.support.attested import AttestedWallet
from tests.support.issuer import PUBLIC_URL, TENANT, IssuerWorld, sample_register
from tests.support.visiting import answer_of, desk_code, opened, query, visitor

PERSON, DEAD = (
    "AV-000001",
    next(
        each["reference"] for each in generate(seed=7, count=1_000) if "deceased" in each["marks"]
    ),
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(
        folder,
        f"sqlite:///{folder / 'issuer.db'}",
        tenants=[TENANT, {**TENANT, "tenant": "other"}],
        register=sample_register(folder),
    )
    yield made
    made.close()


def test_a_person_signs_in_agrees_and_the_wallet_gets_its_credential(world: IssuerWorld) -> None:
    """I-46, I-47: sign in by the clerk's code, see wallet and credential, agree, go back."""
    wallet, browser = AttestedWallet(world), visitor(world)
    page = opened(browser, wallet, wallet.push())
    assert page.status == 200
    assert "A Wallet" in page.texts["login-purpose"]
    page = browser.press(page, "login-submit", code=desk_code(world, PERSON).lower())
    assert page.texts["consent-wallet"] == "A Wallet"
    assert "consent-attested" in page.texts
    assert "wallet.example" in page.texts["consent-return"]
    assert "just now" in page.texts["consent-question"]
    assert "Identity card" in page.texts["consent-credential-1"]
    assert "Family name" in page.texts["consent-credential-1"]
    answer = answer_of(browser.press(page, "consent-accept"))
    assert set(answer) == {"code", "state", "iss"}
    assert answer["iss"] == wallet.identifier
    token = wallet.exchange(answer["code"])
    assert token.status == 200, token.text
    assert wallet.credentials(token.json()["access_token"], "pid_sd_jwt")["credentials"]
    assert browser.cookies == {}


def test_no_page_and_no_cookie_shows_who_it_is(world: IssuerWorld) -> None:
    """S-44: the consent names types of claims, no value; the cookie is sealed."""
    wallet, browser = AttestedWallet(world), visitor(world)
    page = browser.press(
        opened(browser, wallet, wallet.push()), "login-submit", code=desk_code(world, PERSON)
    )
    held = "".join(browser.cookies.values())
    assert PERSON not in page.html + held
    person = next(each for each in generate(seed=7, count=1_000) if each["reference"] == PERSON)
    assert person["family_name"] not in page.html
    assert person["given_name"] not in page.html


@pytest.mark.parametrize("signed_in", [False, True])
def test_a_person_cancels_and_the_wallet_is_told(world: IssuerWorld, signed_in: bool) -> None:
    """I-49, T-02: access_denied with state and iss; afterwards nothing is open any more."""
    wallet, browser = AttestedWallet(world), visitor(world)
    pushed = wallet.push()
    page = opened(browser, wallet, pushed)
    button = "login-cancel"
    if signed_in:
        page = browser.press(page, "login-submit", code=desk_code(world, PERSON))
        button = "consent-cancel"
    answer = answer_of(browser.press(page, button))
    assert answer == {"error": "access_denied", "state": "a state", "iss": wallet.identifier}
    assert PAGE_MARKER in opened(browser, wallet, pushed).html


def test_two_pages_may_be_open_and_the_first_answer_counts(world: IssuerWorld) -> None:
    """I-46, T-02: reusable until completed; the second completed use is an error page."""
    wallet, browser = AttestedWallet(world), visitor(world)
    pushed = wallet.push()
    first, second = (opened(browser, wallet, pushed) for _ in range(2))
    first = browser.press(first, "login-submit", code=desk_code(world, PERSON))
    second = browser.press(second, "login-submit", code=desk_code(world, PERSON))
    assert "code" in answer_of(browser.press(first, "consent-accept"))
    late = browser.press(second, "consent-accept")
    assert (late.status, late.texts["error-marker"]) == (400, PAGE_MARKER)


def test_what_is_no_open_request_gets_an_error_page(world: IssuerWorld) -> None:
    """T-02: no PAR, unknown, of another client or tenant, expired: a page, no redirect."""
    wallet, browser = AttestedWallet(world), visitor(world)
    place = f"{wallet.identifier}/authorize?"
    uri = wallet.push().json()["request_uri"]
    for url in (
        f"{place}response_type=code&client_id=x&redirect_uri=https%3A%2F%2Fwallet.example",
        place + query(wallet.client_id, uri[:-1] + "x"),
        place + query("https://another.example", uri),
        f"{PUBLIC_URL}/other/authorize?" + query(wallet.client_id, uri),
        f"{PUBLIC_URL}/nobody/authorize?" + query(wallet.client_id, uri),
        place + "client_id=a&client_id=b",
    ):
        page = browser.open(url)
        assert (page.leaves, PAGE_MARKER in page.html) == (None, True), url
        assert 400 <= page.status < 500
    world.clock.advance(seconds=91)
    assert browser.open(place + query(wallet.client_id, uri)).status == 400


def test_other_parameters_in_the_url_are_ignored(world: IssuerWorld) -> None:
    """I-46: above all `state`."""
    wallet, browser = AttestedWallet(world), visitor(world)
    uri = wallet.push(state=None).json()["request_uri"]
    url = f"{wallet.identifier}/authorize?{query(wallet.client_id, uri)}&state=forged&scope=x"
    page = browser.press(browser.open(url), "login-cancel")
    assert answer_of(page) == {"error": "access_denied", "iss": wallet.identifier}


def test_a_slow_sign_in_has_ten_minutes_and_no_more(world: IssuerWorld) -> None:
    """I-41: the request_uri's own expiry counts for the first page only."""
    for seconds, status in ((590, 200), (601, 400)):
        wallet, browser = AttestedWallet(world), visitor(world)
        page = opened(browser, wallet, wallet.push())
        code = desk_code(world, PERSON)
        world.clock.advance(seconds=seconds)
        assert browser.press(page, "login-submit", code=code).status == status


def test_a_wrong_code_is_said_at_its_field(world: IssuerWorld) -> None:
    """WCAG 3.3.1, 3.3.3: 422, an alert, and the field names its error."""
    wallet, browser = AttestedWallet(world), visitor(world)
    page = opened(browser, wallet, wallet.push())
    for typed in ("", "7K4P", "7K4P-92QX-5TDM", "🙂" * 12):
        page = browser.press(page, "login-submit", code=typed)
        assert page.status == 422
        assert 'aria-invalid="true"' in page.html
        assert 'aria-describedby="code-error code-hint"' in page.html
        assert page.texts["code-error"].startswith("This code is not right")
        assert page.texts["alert-title"]
        assert typed not in page.html or typed in ("", "7K4P", "7K4P-92QX-5TDM")
    assert browser.press(page, "login-submit", code=desk_code(world, PERSON)).status == 200


def test_a_form_counts_only_from_the_page_and_the_browser_it_was_shown_in(
    world: IssuerWorld,
) -> None:
    """I-47: a token of the session in each form; another browser, no cookie, an old form: no."""
    wallet, browser, other = AttestedWallet(world), visitor(world), visitor(world)
    page = opened(browser, wallet, wallet.push())
    code = desk_code(world, PERSON)
    assert other.press(page, "login-submit", code=code).status == 400
    assert browser.press(page, "login-submit", code=code, csrf="x").status == 400
    assert browser.press(page, "login-submit", code=code, csrf="").status == 400
    consent = browser.press(page, "login-submit", code=code)
    assert other.press(consent, "consent-accept").status == 400
    old = page.forms[0].fields["csrf"]
    assert browser.press(consent, "consent-accept", csrf=old).status == 400
    assert "code" in answer_of(browser.press(consent, "consent-accept"))


def test_nobody_agrees_who_did_not_sign_in(world: IssuerWorld) -> None:
    """I-47: the consent page leads to the login page, and its form is refused."""
    wallet, browser = AttestedWallet(world), visitor(world)
    page = opened(browser, wallet, wallet.push())
    consent = page.url.replace("/login/", "/consent/")
    assert browser.open(consent).url == page.url
    page.forms[0].action = consent
    page.forms[0].buttons["login-submit"] = "action", "accept"
    assert browser.press(page, "login-submit").status == 400


def test_the_cookie_belongs_to_its_tenant_and_flow(world: IssuerWorld) -> None:
    """I-47: sealed with its place, so neither moves; nor does anything that we did not seal."""
    wallet, browser = AttestedWallet(world), visitor(world)
    page = opened(browser, wallet, wallet.push())
    ((origin, name), value), *_ = browser.cookies.items()
    flow = page.url.rpartition("/")[2]
    assert name == f"__Host-login-{flow}"
    assert browser.open(page.url.replace("/registry/", "/other/")).status == 400
    for place, content in ((f"{name}x", value), (name, value[:-4] + "AAAA"), (name, "junk!")):
        browser.cookies = {(origin, place): content}
        suffix = place.removeprefix(name)
        assert browser.open(page.url + suffix).status == 400


def test_the_cookie_and_the_pages_are_locked_down(world: IssuerWorld) -> None:
    """I-47, C-51: __Host-, Secure, HttpOnly, SameSite; no frame, no script, nothing kept."""
    wallet = AttestedWallet(world)
    uri = wallet.push().json()["request_uri"]
    begun = world.client.get(f"/registry/authorize?{query(wallet.client_id, uri)}")
    assert begun.status == 303
    kept = begun.headers["set-cookie"]
    assert re.fullmatch(
        r"__Host-login-[\w-]+=[\w-]+; Path=/; Max-Age=600; Secure; HttpOnly; SameSite=Lax", kept
    )
    path = urlsplit(begun.headers["location"]).path
    shown = world.client.get(path, headers={"Cookie": kept.partition(";")[0]})
    policy = shown.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' https://wallet.example;" in policy
    assert shown.headers["cache-control"] == "no-store"
    assert not re.search(r"<script|style=|\son\w+=", shown.text)


def test_the_pages_speak_german(world: IssuerWorld) -> None:
    """By Accept-Language, or as chosen; the marker of error pages stays what it is."""
    wallet, browser = AttestedWallet(world), visitor(world, language="de-CH,de;q=0.9,en;q=0.5")
    page = opened(browser, wallet, wallet.push())
    assert '<html lang="de"' in page.html
    assert page.texts["login-title"].startswith("Melden Sie sich an")
    page = browser.click(page, "language-en")
    assert '<html lang="en"' in page.html
    page = browser.click(page, "language-de")
    assert '<html lang="de"' in page.html
    page = browser.press(page, "login-submit", code="wrong")
    assert page.texts["code-error"].startswith("Dieser Code stimmt nicht")
    lost = browser.open(f"{PUBLIC_URL}/registry/login/nothing")
    assert lost.texts["error-detail"].startswith("Dieser Browser hat diesen Schritt nicht")
    assert lost.texts["error-marker"] == PAGE_MARKER
    for to in ("//evil.example", "https://evil.example", "/\\evil.example"):
        answer = world.client.get("/language/de?" + query("x", "y").replace("x", to) + f"&to={to}")
        assert answer.headers["location"] == "/"
    assert world.client.get("/language/xx?to=/").status == 404


def test_who_gets_nothing_is_told_before_agreeing(world: IssuerWorld) -> None:
    """PAIN_POINTS 3: the register forbids it; the person may go back or sign in as another."""
    wallet, browser = AttestedWallet(world), visitor(world)
    page = opened(browser, wallet, wallet.push())
    page = browser.press(page, "login-submit", code=desk_code(world, DEAD))
    assert (page.status, page.texts["error-marker"]) == (409, PAGE_MARKER)
    assert "deceased" not in page.html
    again = browser.click(page, "stopped-login")
    assert "login-submit" in again.forms[0].buttons
    assert answer_of(browser.press(page, "stopped-cancel"))["error"] == "access_denied"


def test_an_offer_for_somebody_else_is_not_given_away(world: IssuerWorld) -> None:
    """I-44: who signs in must be the person whom the offer behind issuer_state is for."""
    offer = world.offer("pid_sd_jwt", subject=PERSON, grant="authorization_code")
    state = offer["credential_offer"]["grants"]["authorization_code"]["issuer_state"]
    wallet, browser = AttestedWallet(world), visitor(world)
    page = opened(browser, wallet, wallet.push(issuer_state=state))
    stopped = browser.press(page, "login-submit", code=desk_code(world, "AV-000014"))
    assert (stopped.status, stopped.texts["error-marker"]) == (403, PAGE_MARKER)
    page = browser.click(stopped, "stopped-login")
    page = browser.press(page, "login-submit", code=desk_code(world, PERSON))
    assert "code" in answer_of(browser.press(page, "consent-accept"))


def test_a_wallet_that_nobody_vouches_for_is_called_so(tmp_path: Path) -> None:
    """I-47: outside HAIP; its client_id is all that is known of it."""
    tenant = {**TENANT, "redirect_uris": {"a-wallet": ["app.example:/back?x=1"]}}
    world = IssuerWorld.make(
        tmp_path, f"sqlite:///{tmp_path / 'i.db'}", tenants=[tenant],
        register=sample_register(tmp_path),
    )  # fmt: skip
    wallet, browser = AttestedWallet(world, client_id="a-wallet"), visitor(world)
    headers = {"DPoP": wallet.dpop_with_nonce("par")}
    page = opened(
        browser, wallet, wallet.push(headers=headers, redirect_uri="app.example:/back?x=1")
    )
    page = browser.press(page, "login-submit", code=desk_code(world, PERSON))
    assert page.texts["consent-wallet"] == "a-wallet"
    assert "consent-unattested" in page.texts
    assert "app.example" in page.texts["consent-return"]
    left = browser.press(page, "consent-accept")
    assert (left.leaves or "").startswith("app.example:/back?x=1&code=")
    world.close()


def test_the_log_says_nothing_of_anybody(
    world: IssuerWorld, capsys: pytest.CaptureFixture[str]
) -> None:
    """S-44: reason codes only."""
    wallet, browser = AttestedWallet(world), visitor(world)
    page = opened(browser, wallet, wallet.push())
    code = desk_code(world, PERSON)
    browser.press(page, "login-submit", code="7K4P-92QX-5TDM")
    browser.press(page, "login-submit", code=code)
    text = "".join(capsys.readouterr())
    assert not {code, code.replace("-", ""), PERSON, "7K4P-92QX-5TDM"} & set(text.split())
    assert PERSON not in world.dump()
    assert code.replace("-", "")[6:] not in json.dumps(world.dump())
