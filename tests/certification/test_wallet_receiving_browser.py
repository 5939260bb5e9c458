"""A document from an agency where one signs in, through a browser: wallet and issuer are ours.

Chromium with a virtual authenticator goes from the offer to the agency's pages and back; the code
is what a clerk handed out. A way back in another browser is a page and no call.

Specification: CERTIFICATION 1.5, 2.3.5 and 2.3.6; WALLET_SECURITY 6 and 10.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

import pytest

from issuer_service.app import create_app as create_issuer
from shared.oid4vci.offer import CredentialOffer, offer_link
from shared.trust import Role
from tests.support.asgi import AsgiClient
from tests.support.browsing import TlsServer, add_authenticator, chromium, listen
from tests.support.databases import sqlite_url
from tests.support.issuer import PUBLIC_URL, IssuerWorld, sample_register
from tests.support.strict_issuer import MDOC, StrictIssuer
from tests.support.tls import TlsFiles
from tests.support.trust import SD_JWT, trust_list
from tests.support.visiting import desk_code
from tests.support.wallet import WALLET, Source, WalletWorld, agencies
from wallet_service.app import create_app as create_wallet

PERSON, SUITE = "AV-000001", "https://suite.example"
SHOTS: Path | None = None  # a directory, to look at the pages


class Issuers:
    """Whichever strict issuer a test made last."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for answer in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{answer}.complete"})
            return
        await self.app(scope, receive, send)


@dataclass
class Town:
    """An agency and a wallet, each at its own name, and browsers that find both."""

    issuer: IssuerWorld
    wallet: WalletWorld
    browser: Any
    issuers: "Issuers"
    page: Any

    @classmethod
    def run(cls, folder: Path) -> Iterator[Self]:
        real = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  # the browser's clock
        tls = TlsFiles.make(folder, now=real)
        agency, home = folder / "agency", folder / "home"
        agency.mkdir()
        home.mkdir()
        issuer = IssuerWorld.make(
            agency, sqlite_url(agency), register=sample_register(agency), requests_per_second=0
        )
        wallet = WalletWorld.make(home, sqlite_url(home), sqlite_url(home))
        held = trust_list(issuer.trust.registry.entry(), agencies().provider.entry())
        wallet.trust.held = held
        app = create_issuer(replace(issuer.issuer, trust=Source(held)))
        home_app = create_wallet(wallet.wallet)
        (here, one), (there, other) = listen(), listen()
        (strict, third), issuers = listen(), Issuers()
        places = {"issuer.example": one, "wallet.example": other, "suite.example": third}
        rules = ",".join(
            f"MAP {name}:443 127.0.0.1:{url.rpartition(':')[2]}" for name, url in places.items()
        )
        with (
            AsgiClient(app, base_url=PUBLIC_URL) as client,
            AsgiClient(home_app, base_url=WALLET) as status,
            TlsServer(app, tls, here),
            AsgiClient(issuers, base_url=SUITE) as suite,
            TlsServer(home_app, tls, there),
            TlsServer(issuers, tls, strict),
            chromium(tls, f"--host-resolver-rules={rules}") as browser,
        ):
            transport: Any = wallet.wallet.fetcher._pool
            transport.services |= {PUBLIC_URL: client, SUITE: suite}
            issuer.neighbours[WALLET] = status  # of the wallet's attestation
            made = cls(issuer, wallet, browser, issuers, None)
            made.page = made.visitor()
            add_authenticator(made.page)
            made.make_wallet()
            yield made
        issuer.close()
        wallet.close()

    def visitor(self) -> Any:
        """A browser that was never here."""
        page = self.browser.new_context(viewport={"width": 320, "height": 640}).new_page()
        page.set_default_timeout(60_000)
        return page

    def part(self, *names: str) -> str:
        """Wait until one of these parts of the page is shown; which one."""
        shown = ", ".join(f"#{each}:not([hidden])" for each in names)
        found: str = self.page.wait_for_selector(shown).get_attribute("id")
        if SHOTS is not None:
            self.page.screenshot(path=SHOTS / f"{found}.png", full_page=True)
        return found

    def make_wallet(self) -> None:
        self.page.goto(WALLET)
        self.page.click("#begin")
        assert self.part("codes", "failure") == "codes"
        code = self.page.inner_text("#recovery-code")
        self.page.fill("#typed-code", code)
        self.page.click("#prove-code")
        assert self.part("wallet", "failure") == "wallet"

    def strict(self, **variant: Any) -> StrictIssuer:
        """An issuer as strict as the official suite."""
        provider, held = agencies().provider, self.wallet.trust.held
        anchors = provider.authorities[Role.WALLET_PROVIDER].anchors
        made = StrictIssuer(
            f"{SUITE}/test/a/1/", clock=self.wallet.clock, wallet=WALLET, anchors=anchors, **variant
        )
        self.issuers.app = made.app()
        entries = self.issuer.trust.registry.entry(), provider.entry(), made.entry()
        self.wallet.trust.held = trust_list(*entries, version=held.version)
        return made

    def offered(self) -> None:
        """Open the agency's offer, up to the sign-in there."""
        offer = self.issuer.offer("pid_sd_jwt", subject=PERSON, grant="authorization_code")
        self.go(offer_link(offer=CredentialOffer.from_object(offer["credential_offer"])))
        self.page.wait_for_selector("#code")

    def go(self, link: str) -> None:
        """Open an offer in the wallet, accept it, and go on to the agency."""
        self.page.goto(f"{WALLET}/offer?{link.partition('?')[2]}")
        self.page.click("#open")
        assert self.part("preview", "failure") == "preview"
        self.page.click("#accept")

    def sign_in(self) -> None:
        """At the agency: the code from the desk."""
        self.page.fill("#code", desk_code(self.issuer, PERSON))
        self.page.click("#login-submit")
        self.page.wait_for_selector("#consent-accept")

    def caught_on_its_way(self) -> str:
        """Agree at the agency; the link of the way back, to which the browser never comes."""
        held: list[dict[str, Any]] = []
        devtools = self.page.context.new_cdp_session(self.page)
        devtools.on("Fetch.requestPaused", lambda paused: held.append(paused))  # noqa: PLW0108  # Playwright wants to mark it
        pattern = {"urlPattern": f"{PUBLIC_URL}/*", "requestStage": "Response"}
        devtools.send("Fetch.enable", {"patterns": [pattern]})
        self.page.click("#consent-accept", no_wait_after=True)
        while not held:
            self.page.wait_for_timeout(20)
        shown = {
            "requestId": held[0]["requestId"],
            "responseCode": 200,
            "responseHeaders": [{"name": "Content-Type", "value": "text/html"}],
            "body": b64encode(b"<p id='caught'>Caught</p>").decode(),
        }
        devtools.send("Fetch.fulfillRequest", shown)
        self.page.wait_for_selector("#caught")
        devtools.send("Fetch.disable")  # detaching would take the authenticator along
        headers = {each["name"].lower(): each["value"] for each in held[0]["responseHeaders"]}
        return str(headers["location"])

    def tokens(self) -> int:
        return len(self.wallet.at("/token"))


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    yield from Town.run(tmp_path_factory.mktemp("town"))


def test_a_document_is_received_by_signing_in_at_the_agency(town: Town) -> None:
    """W-02, W-10 to W-14, W-16, W-40: offer, sign-in, agreement, one gesture, content, kept."""
    town.offered()
    town.sign_in()
    town.page.click("#consent-accept")
    assert town.part("review", "failure") == "review"
    assert town.page.url == f"{WALLET}/callback"  # the code stays in no history
    assert town.page.locator("#content-of-cards .claim").count() > 3
    town.page.click("#keep")
    assert town.part("ended", "failure") == "ended"


def test_who_cancels_at_the_agency_may_sign_in_again(town: Town) -> None:
    """W-12: access_denied leads back to the step before, and to no token."""
    before = town.tokens()
    town.offered()
    town.sign_in()
    town.page.click("#consent-cancel")
    assert town.part("preview", "ended", "failure") == "preview"
    assert town.page.locator("#came-back").is_visible()
    assert town.tokens() == before


def test_a_way_back_in_another_browser_is_a_page_and_no_call(town: Town) -> None:
    """W-12, WALLET_SECURITY 10: whoever has the link of the way back gets nothing with it."""
    town.offered()
    town.sign_in()
    link = town.caught_on_its_way()
    before = town.tokens()
    assert link.startswith(f"{WALLET}/callback?")
    assert "code=" in link
    stranger = town.visitor()
    stranger.goto(link)
    stranger.wait_for_selector("#failure:not([hidden]), #error-code")
    assert stranger.url == f"{WALLET}/#cards"  # the code is in no address
    assert town.tokens() == before
    stranger.context.close()
    # The browser that began it is not harmed by that.
    town.page.goto(link)
    assert town.part("review", "failure") == "review"
    assert town.tokens() > before


both_formats = pytest.mark.parametrize("kind", [SD_JWT, MDOC], ids=["sd_jwt", "mdoc"])
GROUPS: dict[str, dict[str, Any]] = {
    "plain": {},
    "deferred": {"deferred": True},
    "encrypted": {"encrypted": True},
}


@both_formats
@pytest.mark.parametrize(
    "more", [{}, {"challenge": True, "batch_size": 10}], ids=["issuance", "challenge-batch"]
)
@pytest.mark.parametrize("group", GROUPS)
def test_the_groups_of_haip_through_a_browser(
    town: Town, kind: str, group: str, more: dict[str, Any]
) -> None:
    """W-10 to W-14, W-23, W-30 to W-35, W-40 to W-43: test-credential-issuance, …-notification,
    test-client-attestation-challenge and test-batch-credential-issuance, in all three groups."""
    issuer = town.strict(format=kind, **GROUPS[group], **more)
    town.go(issuer.offer())
    if group == "deferred":
        assert town.part("deferred", "review", "failure") == "deferred"
        town.wallet.clock.advance(seconds=5)
        town.page.click("#collect")
    assert town.part("review", "failure") == "review"
    town.page.click("#keep")
    assert town.part("ended", "failure") == "ended"
    assert issuer.faults == []
    assert issuer.notifications == ["credential_accepted"]
    assert issuer.challenges == (1 if more else 0)


MODULES: dict[str, dict[str, Any]] = {
    "happy-path": {"identifiers": True},
    "happy-path-with-scopes-without-authorization-details": {"identifiers": False},
    "happy-path-no-dpop-nonce": {"dpop_nonces": False},
    "token-endpoint-response-without-expires_in": {"token": {"expires_in": None}},
    "token-type-case-insensitivity": {"token": {"token_type": "dpOp"}},
    "rs-dpop-auth-scheme-case-insensitivity": {"scheme": "dPOp"},
}


@both_formats
@pytest.mark.parametrize("name", MODULES)
def test_the_other_modules_through_a_browser(town: Town, name: str, kind: str) -> None:
    """W-10, W-13, W-14, W-20, W-34: what must go through to a credential."""
    issuer = town.strict(format=kind, **MODULES[name])
    town.go(issuer.offer())
    assert town.part("review", "failure") == "review"
    assert issuer.faults == []


@both_formats
def test_discovery_issuer_mismatch_through_a_browser(town: Town, kind: str) -> None:
    """W-04, 2.3.5: the metadata of another server; the page says so, and no call follows."""

    def of_another(found: dict[str, Any]) -> dict[str, Any]:
        return {**found, "issuer": "https://other.example"}

    issuer = town.strict(format=kind, server=of_another)
    town.page.goto(f"{WALLET}/offer?{issuer.offer().partition('?')[2]}")
    town.page.click("#open")
    assert town.part("preview", "failure") == "failure"
    town.wallet.clock.advance(seconds=6)
    town.page.goto(WALLET)
    town.page.click("#open")
    assert town.part("wallet", "failure") == "wallet"
    assert issuer.redeemed() == []


STOPS: dict[str, dict[str, str]] = {
    "invalid-authorization-response-iss": {"iss": "https://other.example/"},
    "remove-authorization-response-iss": {"iss": ""},
    "ensure-authorization-response-with-invalid-state-fails": {"state": "made-up"},
    "invalid-missing-state-fails": {"state": ""},
}


@both_formats
@pytest.mark.parametrize("name", STOPS)
def test_a_wrong_way_back_is_an_error_in_the_browser(town: Town, name: str, kind: str) -> None:
    """W-12, 2.3.5: the page says so, and the agency hears nothing."""

    def back(found: dict[str, str]) -> dict[str, str]:
        return {key: value for key, value in (found | STOPS[name]).items() if value}

    issuer = town.strict(format=kind, back=back)
    town.go(issuer.offer())
    assert town.part("review", "failure") == "failure"
    assert set(issuer.redeemed()) == {"nonce", "par"}  # both before the way there
