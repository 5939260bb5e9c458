"""Makes the app: routers and jobs around one context. `serve` makes both from the environment."""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path

from shared.encoding import Clock, RandomBytes
from shared.errors import InvalidInput
from shared.runtime import logs
from shared.runtime.app import ServiceApp, make_app
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.documents import CacheBounds, DocumentCache
from shared.runtime.fetch import Fetcher
from shared.runtime.jobs import Jobs
from shared.runtime.keys import KeyDirectory
from shared.runtime.pages import Pages
from shared.runtime.settings import load_settings
from shared.runtime.trust_list import TrustListClient, TrustSource

from . import rotating, sessions, tables
from .attesting import PROVIDER, Provider
from .cleaning import clean
from .context import Wallet
from .events import Events
from .provider_status import ProviderLists
from .routes import approvals, citizen, events, flows, history, holdings, pages, statuses
from .settings import WalletSettings

SECRETS = ("shares", "ceremonies", "codes", "challenges", "places")
"""Symmetric keys that `migrate` makes."""


def make_wallet(
    settings: WalletSettings,
    *,
    database: Database,
    shares: Database,
    keys: KeyDirectory,
    trust: TrustSource,
    fetcher: Fetcher,
    clock: Clock,
    random_bytes: RandomBytes,
) -> Wallet:
    """The context of one process.

    Raises:
        InvalidInput: a certified level is said of keys in software.
    """
    holder_keys = keys.holder_keys()
    said = settings.key_storage_level or settings.key_storage_certification
    if said is not None and not holder_keys.certifiable:
        raise InvalidInput("key_storage_level: nobody certifies keys in software")
    return Wallet(
        settings=settings,
        database=database,
        shares=shares,
        share_keys=lambda: keys.latest_keyring(rotating.SHARES),
        ceremony_keys=keys.keyring("ceremonies"),
        mac_key=keys.secret("codes"),
        challenge_key=keys.secret("challenges"),
        holder_keys=holder_keys,
        provider=Provider(
            client_id=settings.client_id or settings.public_url,
            name=settings.wallet_name,
            link=settings.public_url,
            clients=keys.signer(PROVIDER, "wallet_provider"),
            keys=keys.signer(PROVIDER, "key_attestation"),
            lists=ProviderLists(
                database=database,
                signer=keys.signer(PROVIDER, "status"),
                places_key=keys.secret("places"),
                url=f"{settings.public_url}/statuslists",
                random_bytes=random_bytes,
            ),
            keystore=holder_keys.kind,
            level=settings.key_storage_level,
            version=version("citizen-wallet"),
            certification=settings.certification,
            storage_certification=settings.key_storage_certification,
        ),
        fetcher=fetcher,
        documents=DocumentCache(
            fetcher,
            clock=clock,
            random_bytes=random_bytes,
            bounds=CacheBounds(min_ttl=timedelta(seconds=settings.status_ttl_min)),
        ),
        trust=trust,
        events=Events(
            database,
            lambda tokens: sessions.still_open(database, tokens, now=clock()),
            interval=settings.event_interval,
        ),
        clock=clock,
        random_bytes=random_bytes,
    )


def make_jobs(wallet: Wallet, keys: KeyDirectory) -> Jobs:
    """The work that one replica at a time does."""

    def rotate(now: datetime) -> None:
        rotating.rotate(wallet.shares, keys, now=now, random_bytes=wallet.random_bytes)

    jobs = Jobs(
        wallet.database, tables.metadata, clock=wallet.clock, random_bytes=wallet.random_bytes
    )
    jobs.every("clean", 300, lambda now: clean(wallet, now=now))
    jobs.every("rotate", 86_400, rotate, lease=3600)
    jobs.every("publish", 2, wallet.provider.lists.publish, lease=3)
    return jobs


def create_app(
    wallet: Wallet, *, jobs: Jobs | None = None, trust: TrustListClient | None = None
) -> ServiceApp:
    """The ASGI application around *wallet*; *trust* is refreshed while it runs."""

    def ready() -> dict[str, bool]:
        found = {"database": wallet.database.ping(), "shares": wallet.shares.ping()}
        if trust is not None:
            found["trust_list"] = trust.state().usable
        return found

    starts: list[Callable[[], None]] = [wallet.documents.start]
    stops: list[Callable[[], None]] = [wallet.documents.stop, wallet.fetcher.close]
    if trust is not None:
        starts.append(trust.start)
        stops.append(trust.stop)
    if jobs is not None:
        starts.append(jobs.start)
        stops.append(jobs.stop)
    return make_app(
        title="Citizen Wallet: wallet",
        service="wallet",
        public_url=wallet.settings.public_url,
        context=wallet,
        requests_per_second=wallet.settings.requests_per_second,
        routers=[
            citizen.router,
            flows.router,
            approvals.router,
            holdings.router,
            events.router,
            history.router,
            pages.router,
            statuses.router,
        ],
        pages=Pages(Path(__file__).parent),
        ready=ready,
        on_start=starts,
        on_stop=stops,
    )


def serve() -> ServiceApp:
    """The app from the environment, for a worker process."""
    settings = load_settings(WalletSettings)
    logs.configure(service="wallet", level=settings.log_level)
    database = Database(settings.database_url.get_secret_value())
    fetcher = Fetcher.from_settings(settings)
    trust = TrustListClient.from_settings(
        settings,
        fetcher=fetcher,
        database=database,
        table=tables.metadata.tables["trust_state"],
        clock=utc_now,
        random_bytes=os.urandom,
    )
    keys = KeyDirectory.from_settings(settings)
    wallet = make_wallet(
        settings,
        database=database,
        shares=Database(settings.shares_database_url.get_secret_value()),
        keys=keys,
        trust=trust,
        fetcher=fetcher,
        clock=utc_now,
        random_bytes=os.urandom,
    )
    return create_app(wallet, jobs=make_jobs(wallet, keys), trust=trust)
