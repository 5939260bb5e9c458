"""Everything a citizen or a clerk meets, in one process, over real TLS on localhost.

    with AppWorld.start(folder) as world, world.chromium() as browser:
        phone = world.phone(browser, language="de", dark=True)      # a page with a passkey
        phone.begin()                                               # a wallet, by keyboard alone
        phone.receive(world.offer("pid_sd_jwt"))
        asked = world.ask("over_18")                                # at a counter
        phone.follow(asked["link"])
        phone.consent(); phone.press("share"); phone.until("done")
        world.result(asked)["verdict"]["accepted"]
        phone.look("done")                                          # axe, width, screenshot
        phone.end()                                                 # no console error, nobody else

The three services are whole: their own databases, keys under one trust list, a register of invented
citizens. Only time is ours: `world.clock.advance(minutes=9)` moves it for all of them at once.
`world.portal` is an agency's website that sends browsers to the wallet and gets them back.
"""

import json
import os
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import httpx2
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from issuer_service.app import create_app as issuer_app
from issuer_service.app import make_issuer
from issuer_service.app import make_jobs as issuer_jobs
from issuer_service.context import Issuer
from issuer_service.routes.agency import ROLES as ISSUER_ROLES
from issuer_service.sample_register import generate
from issuer_service.settings import IssuerSettings
from shared.crypto.sealing import Keyring
from shared.crypto.software import SoftwareKey
from shared.demo.agencies import Agency, Refused
from shared.demo.system import ApiClient
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.documents import CacheBounds, DatabaseDocuments, DocumentCache
from shared.runtime.fetch import Fetcher
from shared.runtime.jobs import Jobs
from shared.runtime.keys import KeyDirectory
from shared.runtime.migrations import migrate
from shared.runtime.trust_enrol import ROLES as PURPOSES
from shared.trust import TrustList
from verifier_service import tables as verifier_tables
from verifier_service.app import create_app as verifier_app
from verifier_service.app import make_verifier
from verifier_service.context import Verifier
from verifier_service.queries import ask
from verifier_service.routes.asking import ROLES as VERIFIER_ROLES
from verifier_service.settings import VerifierSettings
from wallet_service.app import create_app as wallet_app
from wallet_service.app import make_wallet
from wallet_service.attesting import PROVIDER
from wallet_service.context import Wallet
from wallet_service.settings import WalletSettings

from .app_phone import Phone
from .asgi import App
from .browsing import TlsServer, chromium, listen
from .databases import sqlite_url
from .issuer import sample_register
from .tls import TlsFiles
from .trust import DemoTrust, demo_trust, trust_list

REGISTRY, COUNTER = "registry", "counter"
_CAR = {
    "en": {"title": "Hire a car", "description": "Your name, and your licence if you like."},
    "de": {"title": "Auto mieten", "description": "Ihr Name und, wenn Sie mögen, Führerschein."},
}
_MDL = "org.iso.18013.5.1"
CAR_HIRE = {
    "id": "car",
    "purpose": "car_hire",
    "texts": _CAR,
    "dcql": {
        "credentials": [
            {
                "id": "pid",
                "format": "dc+sd-jwt",
                "meta": {"vct_values": ["urn:eudi:pid:1"]},
                "claims": [{"path": ["family_name"]}],
            },
            {
                "id": "mdl",
                "format": "mso_mdoc",
                "meta": {"doctype_value": f"{_MDL}.mDL"},
                "claims": [{"path": [_MDL, "document_number"]}],
            },
        ],
        "credential_sets": [{"options": [["pid"]]}, {"options": [["mdl"]], "required": False}],
    },
    "flows": ["cross_device"],
    "lifetime_seconds": 300,
    "retention_seconds": 600,
    "status_unknown": "refuse",
    "transaction_data": [],
    "show": [],
}
"""A question with a part that may be left out."""


class MovingClock:
    """The real time, which tests may push on."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def advance(self, **parts: float) -> None:
        self.ahead += timedelta(**parts)


@dataclass
class Source:
    """The trust list as one service knows it."""

    held: TrustList

    def current(self) -> TrustList:
        return self.held


class MemoryKeys(KeyDirectory):
    """Keys under the trust list without the cost of a password."""

    def __init__(self, folder: Path, trust: DemoTrust) -> None:
        super().__init__(folder, b"unused")
        self._trust = trust

    def signer(self, tenant: str, purpose: str) -> SoftwareKey:
        return _signer(self._trust, tenant, purpose)

    def purposes(self, tenant: str) -> tuple[str, ...]:
        return ("credential", "status", "metadata") if tenant == REGISTRY else ("access",)

    def secret(self, name: str) -> bytes:
        return name.encode().ljust(32, b".")

    def keyring(self, name: str) -> Any:
        return Keyring("1", {"1": self.secret(name)})

    def latest_keyring(self, name: str) -> Any:
        return self.keyring(name)


_SIGNERS: dict[tuple[int, str, str], SoftwareKey] = {}


def _signer(trust: DemoTrust, tenant: str, purpose: str) -> SoftwareKey:
    named = (id(trust), tenant, purpose)
    if named not in _SIGNERS:
        agency = {REGISTRY: trust.registry, PROVIDER: trust.provider}.get(tenant, trust.counter)
        _SIGNERS[named] = agency.signer(
            PURPOSES[purpose], now=utc_now(), dns=["localhost"], country="AV"
        )
    return _SIGNERS[named]


@lru_cache(maxsize=1)
def _trust() -> DemoTrust:
    return demo_trust(now=utc_now())


@lru_cache(maxsize=1)
def _adults() -> tuple[str, ...]:
    """References of people of whom the register knows everything; they may drive, too."""
    return tuple(
        each["reference"]
        for each in generate(seed=7, count=1_000)
        if not each["marks"]
        and each["given_name"]
        and each["street_address"]
        and each["licence_number"]
        and each["licence_expires"] > f"{utc_now():%Y-%m-%d}"
        and each["birth_date"] < "2000"
    )


@dataclass
class AppWorld:
    """Wallet, issuer, verifier and an agency's portal, with the agencies' own programs."""

    folder: Path
    tls: TlsFiles
    urls: Mapping[str, str]
    clock: MovingClock
    trust: DemoTrust
    wallet: Wallet
    issuer: Issuer
    verifier: Verifier
    seen_by_wallet: Source
    registry: Agency
    counter: Agency
    portal: "Portal"
    issuer_jobs: Jobs
    _stack: ExitStack
    _citizens: Iterator[str] = field(default_factory=lambda: iter(_adults()))

    @classmethod
    def start(
        cls,
        folder: Path,
        *,
        queries: Sequence[Mapping[str, Any]] = (),
        asked: Sequence[str] = ("over_18", "identity", "address", "driving"),
        environment: str = "production",
        login: Callable[[str], Mapping[str, Any]] = lambda _: {},
        **wallet_settings: Any,
    ) -> Self:
        """Everything up.

        Args:
            folder: an empty one.
            queries: files of further questions that the counter may ask.
            asked: ids of the built-in questions it may ask.
            environment: of the trust list; with "test" every consent says so.
            login: how people sign in at the registry, by the issuer's address.
            wallet_settings: of the wallet service, beside what it needs here.
        """
        clock, trust, tls = MovingClock(), _trust(), TlsFiles.make(folder, now=utc_now())
        names = ("wallet", "issuer", "verifier", "portal")
        sockets, urls = zip(*(listen() for _ in names), strict=True)
        at = dict(zip(names, urls, strict=True))
        base = {
            "ca_bundle": Path(tls.authority),
            "permitted_private_hosts": ("localhost",),
            "permitted_ports": tuple(int(each.rpartition(":")[2]) for each in urls),
            "requests_per_second": 0,
            "trust_url": "https://trust.example",
            "trust_root": folder / "root.json",
            "key_directory": folder,
            "key_password": SecretStr("unused"),
        }
        keys = MemoryKeys(folder, trust)
        made = {each: sqlite_url(folder) for each in (*names[:3], "shares")}
        listed = Source(trust.held)
        issuer, jobs = _issuer(
            folder, base, at["issuer"], made["issuer"], keys, listed, clock, login(at["issuer"])
        )
        verifier = _verifier(
            folder, base, at, made["verifier"], keys, listed, clock, list(asked), queries
        )
        listed.held = _published(issuer, verifier, trust, environment)
        seen = Source(listed.held)
        for name, package in (("wallet", "wallet_service"), ("shares", "wallet_service.shares")):
            migrate(made[name], package=package)
        settings = WalletSettings(
            **{
                **base,
                "public_url": at["wallet"],
                "database_url": SecretStr(made["wallet"]),
                "shares_database_url": SecretStr(made["shares"]),
                "rp_id": "localhost",
                "status_ttl_min": 1,
                **wallet_settings,
            }
        )
        wallet = make_wallet(
            settings,
            database=Database(made["wallet"]),
            shares=Database(made["shares"]),
            keys=keys,
            trust=seen,
            fetcher=Fetcher.from_settings(settings),
            clock=clock,
            random_bytes=secrets.token_bytes,
        )
        http = httpx2.Client(verify=tls.client(), timeout=120)
        clients = (
            (at["issuer"], REGISTRY, issuer.api_clients, ISSUER_ROLES),
            (at["verifier"], COUNTER, verifier.clients, VERIFIER_ROLES),
        )
        registry, counter = (
            Agency(http, url, tenant, ApiClient("app", api.register(tenant, "app", list(roles))))
            for url, tenant, api, roles in clients
        )
        stack = ExitStack()
        for database in (wallet.database, wallet.shares, issuer.database, verifier.database):
            stack.callback(database.close)
        stack.callback(http.close)
        portal = Portal(at["portal"], counter)
        apps: tuple[App, ...] = (
            wallet_app(wallet),
            issuer_app(issuer),
            verifier_app(verifier),
            portal.app(),
        )
        for app, listener in zip(apps, sockets, strict=True):
            stack.enter_context(TlsServer(app, tls, listener))
        return cls(
            folder, tls, at, clock, trust, wallet, issuer, verifier, seen, registry, counter,
            portal, jobs, stack,
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # -- Browsers --------------------------------------------------------------------------

    @contextmanager
    def chromium(self) -> Iterator[Any]:
        """A browser that believes our certificate; skips where there is none."""
        with chromium(self.tls) as browser:
            yield browser

    def phone(self, browser: Any, **how: Any) -> Phone:
        """A new phone-size page with a passkey; see `Phone.make`."""
        return Phone.make(browser, self.urls["wallet"], **how)

    # -- The agencies' programs ------------------------------------------------------------

    def citizen(self) -> str:
        """Somebody of the register of whom no other test has heard."""
        return next(self._citizens)

    def offer(self, *credentials: str, subject: str | None = None, **members: Any) -> Any:
        """An offer as the registry's API gives it: `link`, `tx_code`, and whose it is."""
        subject = subject or self.citizen()
        made = self.registry.offer(subject, *credentials, **members)
        return {**made, "subject": subject, "wallet_link": self.offer_link(made["link"])}

    def offer_link(self, link: str) -> str:
        """The https link to our wallet that carries the same offer."""
        return f"{self.urls['wallet']}/offer?{link.partition('?')[2]}"

    def ask(self, query: str, **members: Any) -> Any:
        """A question of the counter, by https links to our wallet: cross-device unless it says."""
        endpoint = f"{self.urls['wallet']}/authorize"
        return self.counter.ask(query, **{"wallet_endpoint": endpoint, **members})

    def result(self, started: Mapping[str, Any]) -> Any:
        """What the counter sees."""
        return self.counter.result(started)

    def revoke(self, subject: str, reason: str = "superseded") -> None:
        """Revoke everything of *subject*, published at once; lists that are known have aged."""
        self.registry.revoke(subject, reason=reason)
        self.publish()

    def publish(self) -> None:
        """The issuer's status lists, as a tick later; what is cached of them is too old then."""
        self.clock.advance(seconds=4)
        self.issuer_jobs.run_due()
        self.clock.advance(seconds=60)

    def narrow(self, *purposes: str) -> None:
        """From now on the wallet's trust list entitles the counter to these purposes alone."""
        self.seen_by_wallet.held = _published(
            self.issuer, self.verifier, self.trust, "production", purposes=purposes
        )


class Portal:
    """An agency's website: `?query=…` leads to the wallet, `/back` takes the browser back."""

    def __init__(self, url: str, counter: Agency) -> None:
        self.url = url
        self.counter = counter
        self.started: dict[str, Any] = {}
        self.released: dict[str, Any] = {}

    def start(self, query: str, *, wallet: str) -> str:
        """Begin a same-device question; the address of the page that has its link (`#go`)."""
        self.started = self.counter.ask(
            query,
            flow="same_device",
            return_url=f"{self.url}/back",
            wallet_endpoint=f"{wallet}/authorize",
        )
        return self.url

    def app(self) -> Starlette:
        return Starlette(routes=[Route("/", self._go), Route("/back", self._back)])

    async def _go(self, _request: Request) -> Response:
        link = escape(self.started["link"])
        return _html(f'<h1>The agency</h1><a id="go" href="{link}">Go on with your wallet</a>')

    def _back(self, request: Request) -> Response:
        [code] = parse_qs(urlsplit(str(request.url)).query).get("response_code", [""])
        place = f"transactions/{self.started['transaction_id']}/return"
        secret = {"Transaction-Secret": self.started["secret"]}
        try:
            self.released = self.counter.call("POST", place, {"response_code": code}, **secret)
        except Refused:
            self.released = {}  # the citizen did
        return _html("<h1>Back at the agency</h1>")


def _html(content: str) -> Response:
    head = '<meta charset="utf-8"><title>Agency</title><link rel="icon" href="data:,">'
    return HTMLResponse(f'<!doctype html><html lang="en"><head>{head}</head>{content}</html>')


def _issuer(
    folder: Path,
    base: Mapping[str, Any],
    url: str,
    database_url: str,
    keys: KeyDirectory,
    trust: Source,
    clock: MovingClock,
    login: Mapping[str, Any],
) -> tuple[Issuer, Jobs]:
    migrate(database_url, package="issuer_service")
    tenants = folder / "issuer-tenants"
    tenants.mkdir()
    content = {
        "tenant": REGISTRY,
        "names": {"en": "Civil Registry of Avelonia", "de": "Standesamt von Avelonien"},
        "country": "AV",
        "register": {"database_url": f"sqlite:///{sample_register(folder)}"},
        "login": login,
    }
    (tenants / f"{REGISTRY}.json").write_text(json.dumps(content))
    settings = IssuerSettings(
        **{
            **base,
            "public_url": url,
            "database_url": SecretStr(database_url),
            "tenants_directory": tenants,
            "status_ttl_max": 1,
            "insecure_http_loopback": bool(login),
        }
    )
    fetcher = Fetcher.from_settings(settings)
    issuer = make_issuer(
        settings,
        database=Database(database_url),
        keys=keys,
        trust=trust,
        documents=DocumentCache(fetcher, clock=clock, random_bytes=os.urandom),
        fetcher=fetcher,
        clock=clock,
        random_bytes=os.urandom,
    )
    jobs = issuer_jobs(issuer)
    jobs.prepare()
    return issuer, jobs


def _verifier(
    folder: Path,
    base: Mapping[str, Any],
    at: Mapping[str, str],
    database_url: str,
    keys: KeyDirectory,
    trust: Source,
    clock: MovingClock,
    asked: list[str],
    queries: Sequence[Mapping[str, Any]],
) -> Verifier:
    migrate(database_url, package="verifier_service")
    tenants, own = folder / "verifier-tenants", folder / "queries"
    tenants.mkdir()
    own.mkdir()
    for each in queries:
        (own / f"{each['id']}.json").write_text(json.dumps(each))
    content = {
        "queries": [*asked, *(each["id"] for each in queries)],
        "return_origins": [at["portal"]],
    }
    (tenants / f"{COUNTER}.json").write_text(json.dumps(content))
    settings = VerifierSettings(
        **{
            **base,
            "public_url": at["verifier"],
            "database_url": SecretStr(database_url),
            "tenants_directory": tenants,
            "queries_directory": own,
            "event_interval": 0.05,
        }
    )
    database = Database(database_url)
    return make_verifier(
        settings,
        database=database,
        keys=keys,
        trust=trust,
        documents=DocumentCache(
            Fetcher.from_settings(settings),
            clock=clock,
            random_bytes=os.urandom,
            store=DatabaseDocuments(database, verifier_tables.metadata),
            bounds=CacheBounds(min_ttl=timedelta(seconds=1)),
        ),
        clock=clock,
        random_bytes=os.urandom,
    )


def _published(
    issuer: Issuer,
    verifier: Verifier,
    trust: DemoTrust,
    environment: str,
    *,
    purposes: Sequence[str] | None = None,
) -> TrustList:
    """What `python -m … entry` of both services says, as one list."""
    registry = issuer.tenant(REGISTRY)
    issues = [
        {
            "format": each.file.format,
            "type": each.vct,
            "type_metadata": {
                "uri": f"{registry.identifier}/types/{each.vct}",
                "integrity": each.integrity,
            },
        }
        for each in registry.configurations.values()
    ]
    asks = [
        each
        for each in map(ask, verifier.tenant(COUNTER).queries.values())
        if purposes is None or each["purpose"] in purposes
    ]
    names = {"en": "Service Counters of Avelonia", "de": "Bürgerämter von Avelonien"}
    return trust_list(
        trust.registry.entry(
            credential_issuers=[registry.identifier],
            issues=issues,
            names=dict(registry.file.names),
        ),
        trust.counter.entry(asks=asks, names=names),
        trust.provider.entry(),
        environment=environment,
    )
