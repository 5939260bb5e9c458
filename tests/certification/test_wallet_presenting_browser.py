"""The official OpenID4VP wallet modules, driven as their testers drive them: through a browser.

A wallet over TLS, a Verifier over TLS that is as strict as CERTIFICATION 2.4 says, Chromium with a
virtual authenticator. The wallet is made in the browser, its documents come through the browser,
and every approval is a gesture: nothing approves without the citizen.

Specification: CERTIFICATION 1.2, 1.6, 2.1, 2.4 and 3; OpenID4VP 1.0; HAIP 5.
"""

import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from shared.oid4vp import transaction_data
from shared.oid4vp.transaction_types import STATEMENT
from shared.trust import Role
from tests.support.browsing import MixedTransport, TlsServer, add_authenticator, chromium, listen
from tests.support.databases import sqlite_url
from tests.support.strict_verifier import Case, StrictVerifier, broken_signature
from tests.support.tls import TlsFiles
from tests.support.trust import PID, PID_MDOC, RESIDENCE, SD_JWT
from tests.support.wallet import FORMAT_OF, TX_CODE, WalletWorld, agencies
from wallet_service.app import create_app

AXE = Path(__file__).parents[1] / "interop/node_modules/axe-core/axe.min.js"
MARKER = "This step could not be completed"
SHOTS: Path | None = None


def query(*names: str, kind: str = PID, **members: Any) -> dict[str, Any]:
    """One Credential Query for top-level claims; no names, no `claims`."""
    sd_jwt = FORMAT_OF[kind] == SD_JWT
    meta = {"vct_values": [kind]} if sd_jwt else {"doctype_value": kind}
    asked: dict[str, Any] = {"id": "pid", "format": FORMAT_OF[kind], "meta": meta}
    if names:
        asked["claims"] = [{"path": [each] if sd_jwt else [kind, each]} for each in names]
    return {"credentials": [asked | members]}


IDENTITY = query("family_name", "given_name")
both_formats = pytest.mark.parametrize("kind", [PID, PID_MDOC], ids=["sd_jwt", "mdoc"])


def identity(kind: str) -> dict[str, Any]:
    """Two claims, in either format."""
    return query("family_name", "given_name", kind=kind)


@dataclass
class Suite:
    """The world of this module: one browser, one wallet at two addresses, one verifier."""

    world: WalletWorld
    verifier: StrictVerifier
    plain: StrictVerifier
    page: Any
    problems: list[str]

    @classmethod
    def run(cls, folder: Path) -> Iterator[Self]:
        """HAIP at one port; at another the same wallets with what HAIP does not have."""
        real = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  # the browser's clock
        tls = TlsFiles.make(folder, now=real)
        sockets, urls = zip(*(listen() for _ in range(3)), strict=True)
        databases = sqlite_url(folder), sqlite_url(folder)

        def world(url: str, **settings: Any) -> WalletWorld:
            return WalletWorld.make(
                folder,
                *databases,
                outside=lambda services: MixedTransport(services, tls, urls),
                public_url=url,
                rp_id="localhost",
                requests_per_second=0,
                **settings,
            )

        haip, plain = world(urls[0]), world(urls[1], plain_requests=True, over_asking="warn")
        plain.trust.held = haip.trust.held
        signer = agencies().counter.signer(Role.ACCESS, dns=["localhost"])
        verifier, other = (
            StrictVerifier(urls[2], each, haip.clock, haip.trust.current, signer)
            for each in urls[:2]
        )
        other.cases = verifier.cases
        problems: list[str] = []
        with (
            TlsServer(create_app(haip.wallet), tls, sockets[0]),
            TlsServer(create_app(plain.wallet), tls, sockets[1]),
            TlsServer(verifier.app(), tls, sockets[2]),
            chromium(tls) as browser,
        ):
            page = browser.new_context(viewport={"width": 320, "height": 640}).new_page()
            page.set_default_timeout(60_000)
            page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("request", lambda r: problems.append(r.url) if _foreign(r.url) else None)
            add_authenticator(page)
            yield cls(haip, verifier, other, page, problems)
        haip.close()
        plain.close()

    # -- What a citizen does ---------------------------------------------------------------

    def part(self, *names: str) -> str:
        """Wait until one of these parts of the page is shown; which one."""
        shown = ", ".join(f"#{each}:not([hidden])" for each in names)
        found: str = self.page.wait_for_selector(shown).get_attribute("id")
        return found

    def make_wallet(self) -> None:
        """Begin a wallet, write the codes down, type the recovery code back."""
        self.page.goto(self.world.wallet.settings.public_url)
        self.page.click("#begin")
        assert self.part("codes", "failure") == "codes"
        code = self.page.inner_text("#recovery-code")
        self.page.fill("#typed-code", code.lower())
        self.page.click("#prove-code")
        assert self.part("wallet", "failure") == "wallet"

    def receive(self, kind: str) -> None:
        """An offer by its https link, the code from the letter, one gesture, keep."""
        endpoint = f"{self.world.wallet.settings.public_url}/offer"
        link = self.world.issuer.offer(kind).partition("?")[2]
        self.page.goto(f"{endpoint}?{link}")
        self.page.click("#open")
        assert self.part("preview", "failure") == "preview"
        self.page.fill("#typed-tx-code", TX_CODE)
        self.page.click("#accept")
        assert self.part("review", "failure") == "review"
        self.page.click("#keep")
        assert self.part("ended", "failure") == "ended"

    def visit(self, case: Case, *, plain: bool = False) -> int:
        """Follow the agency's link to the wallet; the status of the page that comes."""
        verifier = self.plain if plain else self.verifier
        self.page.goto(verifier.start(case))
        with self.page.expect_navigation() as navigation:
            self.page.click("#go")
        status: int = navigation.value.status
        return status

    def consent(self, case: Case, *, plain: bool = False) -> None:
        """The same, with a wallet that is opened, up to the question."""
        assert self.visit(case, plain=plain) == 200
        self.page.click("#open")
        assert self.part("consent", "failure") == "consent"

    def share(self, case: Case) -> None:
        """One gesture; afterwards the browser is where the verifier wants it."""
        self.page.click("#share")
        if case.redirect_uri is None:
            assert self.part("done", "failure", "not-delivered") == "done"
        else:
            self.page.wait_for_url(case.redirect_uri)

    def present(self, case: Case, *, plain: bool = False) -> dict[str, list[Any]]:
        """Ask, consent, share; what the verifier makes of it."""
        self.consent(case, plain=plain)
        self.share(case)
        return (self.plain if plain else self.verifier).shown(case)

    def refused(self, case: Case, *, plain: bool = False) -> None:
        """An error page in the browser and nothing at all for the verifier (2.4.3)."""
        assert 400 <= self.visit(case, plain=plain) < 500
        assert MARKER in self.page.inner_text("main")
        assert self.page.inner_text("#error-code")
        assert case.posts == []
        self.problems.clear()  # the browser reports the 4xx itself


def _foreign(url: str) -> bool:
    return not url.startswith(("https://localhost:", "data:"))


def disclosed(presented: Any) -> set[str]:
    """The claims that were disclosed one by one."""
    name = 0 if presented.format == SD_JWT else 1  # an element stands below its namespace
    return {str(each[0][name]) for each in presented.disclosed}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """A wallet with three documents, made in the browser."""
    for suite in Suite.run(tmp_path_factory.mktemp("suite")):
        suite.make_wallet()
        for kind in (PID, PID_MDOC, RESIDENCE):
            suite.receive(kind)
        yield suite


@pytest.fixture
def suite(running: Suite) -> Iterator[Suite]:
    running.problems.clear()
    yield running
    assert running.problems == []


# -- The modules that end well ---------------------------------------------------------------


@both_formats
def test_happy_flow(suite: Suite, kind: str) -> None:
    """`happy-flow`: no state, a plain request; W-50 to W-62, HB-01 to HB-03."""
    case = Case(identity(kind))
    [presented] = suite.present(case)["pid"]
    assert disclosed(presented) == {"family_name", "given_name"}
    assert case.fetched == 1


@both_formats
def test_alternate_happy_flow(suite: Suite, kind: str) -> None:
    """`alternate-happy-flow`: long state, unknown parameters, foreign `iss`, odd order, redirect.

    The browser is sent to `redirect_uri` unchanged, fragment included, by GET (2.4.2, W-62).
    """

    def vary(parameters: dict[str, Any]) -> None:
        parameters |= {"iss": "https://somebody.example", "unknown_parameter": {"a": [1]}}

    case = Case(
        identity(kind),
        state=secrets.token_urlsafe(48),
        redirect_uri=f"{suite.verifier.url}/back?x=1#response_code=abc",
        change=vary,
        link=lambda known: {"unknown": "1", **dict(reversed(known.items()))},
    )
    suite.present(case)
    assert suite.page.inner_text("h1") == "Back"


@both_formats
def test_request_uri_method_post(suite: Suite, kind: str) -> None:
    """`request-uri-method-post`: a wallet_nonce goes out and comes back (W-51, W-52)."""
    case = Case(identity(kind), post=True)
    assert suite.present(case)
    assert len(case.wallet_nonce or "") >= 43


@both_formats
def test_ignores_unusable_encryption_key(suite: Suite, kind: str) -> None:
    """`ignores-unusable-encryption-key`: unknown and post-quantum keys first; C-08, W-61."""
    assert suite.present(Case(identity(kind), unusable_keys=True))


@both_formats
def test_fewer_claims_than_available(suite: Suite, kind: str) -> None:
    """`fewer-claims-than-available`: one claim, and one below an object."""
    [one] = suite.present(Case(query("given_name", kind=kind)))["pid"]
    assert disclosed(one) == {"given_name"}
    below = query()
    below["credentials"][0]["claims"] = [{"path": ["place_of_birth", "locality"]}]
    [nested] = suite.present(Case(below))["pid"]
    assert nested.claims["place_of_birth"] == {"locality": "Avelon"}
    assert disclosed(nested) == {"place_of_birth"}


@both_formats
def test_no_claims_in_dcql_query(suite: Suite, kind: str) -> None:
    """`no-claims-in-dcql-query`: nothing that can be withheld is disclosed (Q-13)."""
    [presented] = suite.present(Case(query(kind=kind)))["pid"]
    assert disclosed(presented) == set()


@both_formats
def test_optional_credential_set(suite: Suite, kind: str) -> None:
    """`optional-credential-set`: what is not there is not needed (Q-20)."""
    absent = {"id": "other", "format": SD_JWT, "meta": {"vct_values": ["urn:nobody:has:this"]}}
    asked = {
        "credentials": [*identity(kind)["credentials"], absent],
        "credential_sets": [{"options": [["pid"]]}, {"options": [["other"]], "required": False}],
    }
    case = Case(asked)
    suite.consent(case)
    # The type is not registered for anybody: by policy that blocks, and the citizen is told.
    assert suite.page.is_visible("#impossible")
    suite.page.click("#refuse")
    assert suite.part("done", "failure") == "done"
    assert suite.verifier.answer(case)["error"] == "access_denied"
    plain = Case(asked)
    assert set(suite.present(plain, plain=True)) == {"pid"}


# -- The negatives: a page, and no call ------------------------------------------------------


def _drop(name: str) -> Callable[[dict[str, Any]], None]:
    return lambda parameters: parameters.pop(name)


def _put(**members: Any) -> Callable[[dict[str, Any]], None]:
    return lambda parameters: parameters.update(members)


UNKNOWN_TRANSACTION = transaction_data.make({"type": "made-up", "credential_ids": ["pid"]})

NEGATIVES: dict[str, dict[str, Any]] = {
    "invalid-request-object-signature": {"tamper": broken_signature},
    "mismatched-client-id": {"change": _put(client_id="x509_hash:" + "A" * 43)},
    "redirect-uri-with-direct-post": {"change": _put(redirect_uri="https://verifier.example/")},
    "missing-nonce": {"change": _drop("nonce")},
    "invalid-client-id-prefix": {
        "link": lambda known: known | {"client_id": "made_up:verifier.example"},
        "change": _put(client_id="made_up:verifier.example"),
    },
    "unknown-transaction-data-type": {"transaction_data": (UNKNOWN_TRANSACTION,)},
}


@both_formats
@pytest.mark.parametrize("name", NEGATIVES)
def test_negative(suite: Suite, name: str, kind: str) -> None:
    """`negative-test-…`: response_uri is never called; W-53, W-54, W-63, HB-31, T-21."""
    suite.refused(Case(identity(kind), **NEGATIVES[name]))


@both_formats
def test_negative_required_non_matching_credential(suite: Suite, kind: str) -> None:
    """`negative-test-required-non-matching-credential`: `access_denied` and no vp_token (Q-21)."""
    asked = query("family_name", kind=kind)
    asked["credentials"][0]["claims"][0]["values"] = ["Nobody"]
    case = Case(asked, state=secrets.token_urlsafe(32))
    suite.consent(case)
    assert suite.page.is_visible("#impossible")
    assert not suite.page.is_visible("#share")
    suite.page.click("#refuse")
    assert suite.part("done", "failure") == "done"
    found = suite.verifier.answer(case)
    assert found["error"] == "access_denied"
    assert "vp_token" not in found


# -- What HAIP does not have: the base plan --------------------------------------------------

BASE: dict[str, dict[str, Any]] = {
    "url_query": {"prefix": "redirect_uri", "method": "url_query", "mode": "direct_post"},
    "request_uri_unsigned": {"prefix": "redirect_uri", "method": "request_uri_unsigned"},
    "x509_san_dns": {"prefix": "x509_san_dns", "mode": "direct_post"},
}


@both_formats
@pytest.mark.parametrize("name", BASE)
def test_base_plan(suite: Suite, name: str, kind: str) -> None:
    """CERTIFICATION 1.2: the other prefixes, methods and response modes, by a setting alone.

    In HAIP each of them is refused by a page; `response_uri` may be left out with `redirect_uri`.
    """
    options = BASE[name]
    [presented] = suite.present(Case(identity(kind), **options), plain=True)["pid"]
    assert disclosed(presented) == {"family_name", "given_name"}
    varied = Case(
        identity(kind),
        state=secrets.token_urlsafe(48),
        redirect_uri=f"{suite.plain.url}/back#response_code=abc",
        change=_drop("response_uri") if options["prefix"] == "redirect_uri" else _put(iss="x"),
        **options,
    )
    assert suite.present(varied, plain=True)
    refused = Case(identity(kind), **options)
    suite.refused(refused)


@both_formats
def test_negative_response_uri_not_client_id(suite: Suite, kind: str) -> None:
    """`negative-test-response-uri-not-client-id`, prefix redirect_uri only (W-54)."""
    elsewhere = _put(response_uri=f"{suite.plain.url}/response/c0")
    for name in ("url_query", "request_uri_unsigned"):
        suite.refused(Case(identity(kind), change=elsewhere, **BASE[name]), plain=True)


# -- What is ours beside the modules ---------------------------------------------------------


def test_transaction_data_is_shown_and_bound(suite: Suite) -> None:
    """HB-30 to HB-34: the citizen reads the statement, the KB-JWT carries its hash."""
    statement = {"en": "I apply for a parking permit.", "de": "Ich beantrage einen Parkausweis."}
    entry = transaction_data.make(
        {"type": STATEMENT, "credential_ids": ["pid"], "texts": statement, "reference": "P-17"}
    )
    case = Case(IDENTITY, transaction_data=(entry,))
    suite.consent(case)
    assert statement["en"] in suite.page.inner_text("#transactions")
    suite.share(case)
    assert suite.verifier.shown(case)


def test_a_link_from_elsewhere_is_another_device(suite: Suite) -> None:
    """WALLET_SECURITY A7: no page of this browser led here, so the citizen is warned."""
    suite.verifier.start(case := Case(IDENTITY))
    suite.page.goto(suite.verifier.authorize_link(case))
    suite.page.click("#open")
    assert suite.part("consent", "failure") == "consent"
    assert suite.page.locator("#warnings [data-value=other_device]").count() == 1
    suite.share(case)
    assert suite.verifier.shown(case)


def test_a_lost_answer_is_sent_again_and_the_truth_is_said(suite: Suite) -> None:
    """W-62: the same bytes; what a later refusal means nobody knows, and that is what is said."""
    case = Case(IDENTITY, status=503)
    suite.consent(case)
    suite.page.click("#share")
    assert suite.part("not-delivered", "failure", "done") == "not-delivered"
    suite.problems.clear()
    case.status = 400
    suite.page.click("#retry")
    assert suite.part("done", "failure") == "done"
    assert "probably" in suite.page.inner_text("#outcome")
    assert case.posts[0] == case.posts[1]


def test_a_passkey_without_prf_is_told_before_anything_is_stored(suite: Suite) -> None:
    """WALLET_SECURITY 2: no wallet without the citizen's secret."""
    page = suite.page.context.new_page()
    add_authenticator(page, prf=False)
    page.goto(suite.world.wallet.settings.public_url)
    page.click("#begin")
    page.wait_for_selector("#failure:not([hidden])")
    assert page.inner_text("#error-code") == "prf_missing"
    page.close()


def test_a_lost_wallet_is_blocked_from_any_device(suite: Suite) -> None:
    """WALLET_SECURITY 6: the revocation code alone, on a public page; signing stops."""
    page = suite.page.context.new_page()
    add_authenticator(page)
    page.goto(suite.world.wallet.settings.public_url)
    page.click("#begin")
    code = page.wait_for_selector("#revocation-code:not(:empty)").inner_text()
    page.goto(f"{suite.world.wallet.settings.public_url}/lost")
    page.fill("#typed-code", code)
    page.click("#block")
    page.wait_for_selector("#blocked:not([hidden])")
    page.goto(suite.world.wallet.settings.public_url)
    page.click("#open")
    page.wait_for_selector("#codes:not([hidden])")  # it can be looked into, by its passkey
    state = page.evaluate("fetch('/api/v1/wallet').then((r) => r.json()).then((w) => w.state)")
    assert state == "frozen"
    page.close()


@both_formats
def test_of_several_cards_the_citizen_picks(suite: Suite, kind: str) -> None:
    """Q-22: checkboxes where a query takes several, radio buttons where it takes one."""
    issuer = suite.world.issuer
    issuer.claims = {**issuer.claims, kind: _of_another_person(issuer.claims[kind])}
    suite.receive(kind)
    case = Case(query("given_name", kind=kind, multiple=True))
    suite.consent(case)
    boxes = suite.page.locator("#documents input.chosen[type=checkbox]")
    assert [boxes.nth(at).is_checked() for at in range(boxes.count())] == [True, False]
    boxes.nth(1).check()
    suite.share(case)
    shown = suite.verifier.shown(case)["pid"]
    assert len({str(each.claims) for each in shown}) == 2
    one = Case(query("given_name", kind=kind))
    suite.consent(one)
    buttons = suite.page.locator("#documents input.chosen[type=radio]")
    buttons.nth(1).check()
    assert not buttons.nth(0).is_checked()
    suite.share(one)
    [presented] = suite.verifier.shown(one)["pid"]
    assert "Max" in str(presented.claims)


def _of_another_person(claims: dict[str, Any]) -> dict[str, Any]:
    """The same document of somebody else."""
    return {
        name: _of_another_person(each) if isinstance(each, dict) else each
        for name, each in claims.items()
    } | ({"given_name": "Max"} if "given_name" in claims else {})


def test_pages_are_accessible(suite: Suite) -> None:
    """WCAG 2.2 AA by axe, no sideways scrolling at 320 px, and the keyboard alone is enough."""
    case = Case(IDENTITY)
    suite.visit(case)
    page = suite.page
    for part in ("sign-in", "consent", "done"):
        assert suite.part(part, "failure") == part
        check_page(page)
        if SHOTS is not None:
            page.screenshot(path=SHOTS / f"{part}.png", full_page=True)
        target = {"sign-in": "open", "consent": "share"}.get(part)
        if target is not None:
            for _ in range(20):
                page.keyboard.press("Tab")
                if page.evaluate("document.activeElement.id") == target:
                    break
            page.keyboard.press("Enter")
    assert suite.verifier.shown(case)


def check_page(page: Any) -> None:
    """axe finds nothing, and nothing is wider than the screen."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    if not AXE.is_file():
        return
    page.context.new_cdp_session(page).send(
        "Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")}
    )
    found = page.evaluate(
        "axe.run(document, {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa', 'wcag22aa']})"
        ".then((r) => r.violations.map((v) => [v.id, v.nodes.map((n) => n.html)]))"
    )
    assert found == []
