"""The official OpenID4VCI wallet modules, both formats, against an issuer as strict as the suite.

A wallet over TLS, an issuer over TLS that checks what CERTIFICATION 2.3 says its testers check, and
a citizen's phone that drives the wallet's JSON API with a software passkey: nothing approves
without the citizen. The same wallet opened by a browser is in test_wallet_presenting_browser.py.

Specification: CERTIFICATION 1.2, 1.5, 2.1 and 2.3; OpenID4VCI 1.0; HAIP 4.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest

from shared.demo.phone import Phone, Refused
from shared.trust import Role
from tests.support.browsing import MixedTransport, TlsServer, listen
from tests.support.databases import sqlite_url
from tests.support.strict_issuer import MDOC, StrictIssuer
from tests.support.tls import TlsFiles
from tests.support.trust import SD_JWT, trust_list
from tests.support.wallet import WalletWorld, agencies
from wallet_service.app import create_app

TX_CODE = "123456"  # as the suite uses it
FORMATS = (SD_JWT, MDOC)


@dataclass
class Suite:
    """One wallet, one citizen, and an issuer that is another one for each test."""

    world: WalletWorld
    phone: Phone
    client: httpx2.Client
    issuers: dict[str, Any]
    url: str
    number: int = 0

    @classmethod
    def run(cls, folder: Path) -> Iterator[Self]:
        """Two servers over TLS, for all tests of this module."""
        real = datetime.now(UTC).replace(microsecond=0)  # noqa: TID251  # certificates of today
        tls = TlsFiles.make(folder, now=real)
        issuers: dict[str, Any] = {}
        sockets, urls = zip(*(listen() for _ in range(2)), strict=True)
        world = WalletWorld.make(
            folder,
            sqlite_url(folder),
            sqlite_url(folder),
            outside=lambda services: MixedTransport(services, tls, urls),
            public_url=urls[0],
            rp_id="localhost",
            requests_per_second=0,
        )
        with (
            TlsServer(create_app(world.wallet), tls, sockets[0]),
            TlsServer(_by_alias(issuers), tls, sockets[1]),
            httpx2.Client(base_url=urls[0], verify=tls.client(), timeout=120) as client,
        ):
            phone = Phone(client, origin=urls[0])
            phone.create_wallet()
            phone.prove_recovery()
            yield cls(world, phone, client, issuers, urls[1])
        world.close()

    def issuer(self, **variant: Any) -> StrictIssuer:
        """A fresh issuer at an address of its own, in the trust list as any other."""
        self.number += 1
        provider = agencies().provider
        made = StrictIssuer(
            f"{self.url}/test/a/{self.number}/",
            clock=self.world.clock,
            wallet=self.world.wallet.settings.public_url,
            anchors=provider.authorities[Role.WALLET_PROVIDER].anchors,
            **variant,
        )
        self.issuers[str(self.number)] = made.app()
        held = agencies().registry.entry(), provider.entry(), made.entry()
        self.world.trust.held = trust_list(*held)
        return made

    def browse(self, url: str) -> dict[str, str]:
        """The citizen's browser: it follows one redirect, to the wallet's callback."""
        answer = self.client.get(url, follow_redirects=False)
        assert answer.status_code == 302, answer.text
        back = answer.headers["location"]
        assert back.startswith(f"{self.world.wallet.settings.public_url}/callback?")
        return dict(parse_qsl(urlsplit(back).query))

    def receive(self, issuer: StrictIssuer, **offer: Any) -> dict[str, Any]:
        """The whole way of an offer; the card as the wallet shows it."""
        before = {each["id"] for each in self.phone.cards()}
        flow = self.phone.scan(issuer.offer(**offer))
        if offer.get("code") is None:
            flow = self.phone.sign_in(flow, self.browse)
        self.finish(flow, offer.get("code"))
        (card,) = [each for each in self.phone.cards() if each["id"] not in before]
        return card

    def finish(self, flow: dict[str, Any], code: str | None = None) -> None:
        """The gesture, the look at what came, and what is kept."""
        flow = self.phone.accept(flow, code)
        if flow["step"] == "deferred":
            place = f"/issuances/{flow['id']}"
            early = self.phone._post(f"{place}/collect")
            assert early["step"] == "deferred"
            self.world.clock.advance(seconds=5)
            flow = self.phone._post(f"{place}/collect")
        assert flow["step"] == "review", flow
        self.phone.keep(flow["id"])


def _by_alias(issuers: dict[str, Any]) -> Any:
    """Whichever issuer has the alias in the path: /test/a/<alias>/ or behind a well-known name."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for answer in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{answer}.complete"})
            return
        alias = scope["path"].partition("/test/a/")[2].partition("/")[0]
        await issuers[alias](scope, receive, send)

    return app


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    yield from Suite.run(tmp_path_factory.mktemp("suite"))


# -- Modules of OpenID4VCI --------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize(
    "variant", [{}, {"deferred": True}, {"encrypted": True}], ids=["plain", "deferred", "encrypted"]
)
def test_credential_issuance_in_the_groups_of_haip(
    suite: Suite, kind: str, variant: dict[str, Any]
) -> None:
    """W-10 to W-14, W-20 to W-23, W-31 to W-35, W-40 to W-42: test-credential-issuance and
    …-notification; immediate and plain, deferred and plain, immediate and encrypted."""
    issuer = suite.issuer(format=kind, **variant)
    card = suite.receive(issuer)
    assert card["format"] == kind
    assert issuer.faults == []
    assert issuer.notifications == ["credential_accepted"]
    assert len({each["cnf"]["jwk"]["x"] for each in issuer.attested}) == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_deferred_and_encrypted(suite: Suite, kind: str) -> None:
    """W-34, W-40: the deferred request follows the same rule."""
    issuer = suite.issuer(format=kind, deferred=True, encrypted=True)
    suite.receive(issuer)
    assert issuer.faults == []
    assert issuer.calls.count("deferred") == 1


def test_client_attestation_challenge(suite: Suite) -> None:
    """W-23: fetched once with an empty body, used in every PoP."""
    issuer = suite.issuer(challenge=True)
    suite.receive(issuer)
    assert issuer.faults == []
    assert issuer.challenges == 1


@pytest.mark.parametrize("kind", FORMATS)
def test_batch_credential_issuance(suite: Suite, kind: str) -> None:
    """W-30, W-40: ten proofs with one nonce; credentials in reverse order find their keys."""
    issuer = suite.issuer(format=kind, batch_size=10)
    assert suite.receive(issuer)["copies_left"] == 10
    assert issuer.faults == []


def test_happy_path_with_scopes_without_authorization_details(suite: Suite) -> None:
    """W-14: `credential_identifier` where the token answer has identifiers, else not."""
    for identifiers in (False, True):
        issuer = suite.issuer(identifiers=identifiers)
        suite.receive(issuer)
        assert issuer.faults == []


@pytest.mark.parametrize("proof", ["jwt", "attestation"])
def test_key_attestation_where_it_is_required(suite: Suite, proof: str) -> None:
    """W-33: of every key, with the c_nonce; one jwt proof by the first key stands for all."""
    issuer = suite.issuer(proof=proof, key_attestation=True, batch_size=4)
    assert suite.receive(issuer)["copies_left"] == 4
    assert issuer.faults == []


# -- Offers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("offer", [{}, {"by_reference": True}], ids=["by_value", "by_reference"])
@pytest.mark.parametrize("code", [None, TX_CODE], ids=["authorization_code", "pre_authorized"])
def test_issuer_initiated(suite: Suite, offer: dict[str, Any], code: str | None) -> None:
    """W-01, W-02, W-16: offers of both grants, by value and by reference (2.3.6)."""
    issuer = suite.issuer()
    suite.receive(issuer, code=code, **offer)
    assert issuer.faults == []


def test_wallet_initiated(suite: Suite) -> None:
    """W-02, W-05: a configuration of a known issuer, no offer; CERTIFICATION 3."""
    issuer = suite.issuer()
    wished = {"issuer": issuer.base, "configuration": issuer.configuration}
    flow = suite.phone._post("/issuances", wished)
    assert (flow["step"], flow["allowed_actions"]) == ("sign_in", ["accept", "authorize", "refuse"])
    suite.finish(suite.phone.sign_in(flow, suite.browse))
    assert issuer.faults == []


def test_discovery_is_exact(suite: Suite) -> None:
    """W-03, W-04: both well-known documents once, with and without the slash, nothing probed."""
    issuer = suite.issuer()
    suite.phone.scan(issuer.offer())
    place = urlsplit(issuer.base).path
    assert issuer.calls == [
        f"/.well-known/openid-credential-issuer{place}",
        f"/.well-known/oauth-authorization-server{place.removesuffix('/')}",
    ]
    assert issuer.faults == []


# -- FAPI client modules ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variant",
    [
        {"dpop_nonces": True},
        {"dpop_nonces": False},
        {"token": {"expires_in": None}},
        {"token": {"token_type": "dpOp"}},
        {"scheme": "dPOp"},
    ],
    ids=["happy-path", "no-dpop-nonce", "no-expires_in", "token-type-case", "auth-scheme-case"],
)
def test_fapi_happy_paths(suite: Suite, variant: dict[str, Any]) -> None:
    """W-13, W-20: fapi2-security-profile-final-client-test-… that must go through."""
    issuer = suite.issuer(**variant)
    suite.receive(issuer)
    assert issuer.faults == []


def test_fapi_discovery_issuer_mismatch(suite: Suite) -> None:
    """W-04: AS metadata of another issuer; nothing follows, no second try (2.3.5)."""
    issuer = suite.issuer(server=lambda found: {**found, "issuer": "https://other.example"})
    with pytest.raises(Refused) as caught:
        suite.phone.scan(issuer.offer())
    assert caught.value.code == "invalid_input"
    assert issuer.redeemed() == []


def without(name: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda found: {key: value for key, value in found.items() if key != name}


@pytest.mark.parametrize(
    ("back", "code"),
    [
        (lambda found: {**found, "iss": "https://other.example/"}, "wrong_server"),
        (lambda found: {**found, "iss": found["iss"].removesuffix("/")}, "wrong_server"),
        (without("iss"), "wrong_server"),
        (lambda found: {**found, "state": found["state"][::-1]}, "foreign_callback"),
        (without("state"), "foreign_callback"),
    ],
    ids=["invalid-iss", "iss-without-slash", "remove-iss", "invalid-state", "missing-state"],
)
def test_fapi_authorization_response_negatives(
    suite: Suite, back: Callable[[dict[str, str]], dict[str, str]], code: str
) -> None:
    """W-12: the wallet stops; neither token nor anything else is called (2.3.5)."""
    issuer = suite.issuer(back=back)
    flow = suite.phone.scan(issuer.offer())
    with pytest.raises(Refused) as caught:
        suite.phone.sign_in(flow, suite.browse)
    assert caught.value.code == code
    assert issuer.faults == []
    before = list(issuer.calls)
    assert set(issuer.redeemed()) == {"par"}
    suite.world.clock.advance(seconds=6)
    suite.phone.refresh()
    found = suite.phone._get(f"/issuances/{flow['id']}")
    assert found["step"] == ("failed" if code == "wrong_server" else "authorizing")
    assert issuer.calls == before


def test_the_person_may_say_no_at_the_agency(suite: Suite) -> None:
    """W-12: `error` with the right `iss` and `state` ends the sign-in, not the offer."""
    issuer = suite.issuer(
        back=lambda found: {"error": "access_denied", "state": found["state"], "iss": found["iss"]}
    )
    flow = suite.phone.sign_in(suite.phone.scan(issuer.offer()), suite.browse)
    assert (flow["step"], flow["reason"]) == ("sign_in", "access_denied")
    assert set(issuer.redeemed()) == {"par"}
    issuer.back = lambda found: found
    suite.finish(suite.phone.sign_in(flow, suite.browse))


def test_two_issuances_have_nothing_in_common(suite: Suite) -> None:
    """W-21, W-22, S-40: other instance, other status, other DPoP key; the same kind of wallet."""
    issuers = [suite.issuer(), suite.issuer()]
    for issuer in issuers:
        held = agencies().registry.entry(), agencies().provider.entry(), issuer.entry()
        suite.world.trust.held = trust_list(*held)
        suite.receive(issuer)
        suite.world.clock.advance(seconds=1)
    one, two = (issuer.attested[0] for issuer in issuers)
    assert one["sub"] == two["sub"] == suite.world.wallet.settings.public_url
    assert one["cnf"] != two["cnf"]
    assert one["client_status"]["status"] != two["client_status"]["status"]
    assert one["client_status"]["exp"] - one["iat"] >= timedelta(days=31).total_seconds()
    keys = [set(issuer.tokens.values()) for issuer in issuers]
    assert keys[0].isdisjoint(keys[1])
