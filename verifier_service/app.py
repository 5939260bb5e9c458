"""Makes the app: routers and jobs around one context. `serve` makes both from the environment."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from shared.crypto.sealing import hkdf
from shared.encoding import Clock, RandomBytes
from shared.errors import ExpectedError, InvalidInput, Unavailable
from shared.runtime import logs, staff_pages
from shared.runtime.app import ServiceApp, make_app
from shared.runtime.client_credentials import ApiClients
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.documents import CacheBounds, DatabaseDocuments, DocumentCache
from shared.runtime.fetch import Fetcher
from shared.runtime.jobs import Jobs
from shared.runtime.keys import KeyDirectory
from shared.runtime.pages import Pages
from shared.runtime.settings import load_settings
from shared.runtime.staff_pages import StaffEntrance
from shared.runtime.trust_list import TrustListClient, TrustSource

from . import tables
from .context import Verifier
from .events import Poller
from .queries import BUILT_IN, Query, check_entitled, load_queries
from .records import chain_all, of_staff
from .retention import erase_due, forget
from .routes import (
    codes,
    counter,
    done,
    events,
    present,
    records,
    requests,
    responses,
    token,
    transactions,
    webhooks,
)
from .routes.asking import ROLES
from .settings import VerifierSettings
from .statuses import StatusLists
from .tenants import Tenant, load_tenants
from .webhooks import Sender

log = logs.get_log(__name__)

SECRETS = ("api_tokens", "transactions", "idempotency", "records", "webhooks")
"""Symmetric keys that `migrate` makes."""
COMPONENT = ("citizen-wallet-request.js", "qr-image.js", "vendor/qr/index.js")
"""What a page of an agency loads from here: the web component, and what it imports."""
_ERASE_SECONDS = 10
_CHAIN_SECONDS = 30
_SEND_SECONDS = 2
_CLEAN_SECONDS = 300
_FORGET_SECONDS = 3_600


def queries_of(settings: VerifierSettings) -> dict[str, Query]:
    """The built-in queries and the agency's own; raises InvalidInput with all that is wrong."""
    directories = [BUILT_IN]
    if settings.queries_directory is not None:
        directories.append(settings.queries_directory)
    return load_queries(directories)


def read_tenants(settings: VerifierSettings, keys: KeyDirectory) -> dict[str, Tenant]:
    """Queries and tenants from their files; raises InvalidInput with all that is wrong."""
    queries = queries_of(settings)
    host = urlsplit(settings.public_url).hostname or ""
    tenants = load_tenants(settings.tenants_directory, keys=keys, queries=queries, host=host)
    if not tenants:
        raise InvalidInput("tenants: there is none in the directory")
    return tenants


def refused_queries(
    tenants: Mapping[str, Tenant], trust: TrustSource, now: datetime
) -> dict[str, tuple[str, ...]]:
    """By tenant, the queries that the trust list does not let it ask, in any of their flows.

    Raises:
        Unavailable: no usable trust list, or a tenant's certificate is not under it.
    """
    trust_list = trust.current()
    refused: dict[str, tuple[str, ...]] = {}
    for tenant in tenants.values():
        entity = tenant.entity(trust_list, now=now)
        wrong = []
        for query in tenant.queries.values():
            try:
                for flow in query.flows:
                    check_entitled(query, entity, flow=flow, now=now)
            except ExpectedError as error:
                wrong.append(str(error))
        if wrong:
            refused[tenant.id] = tuple(wrong)
    return refused


def make_verifier(
    settings: VerifierSettings,
    *,
    database: Database,
    keys: KeyDirectory,
    trust: TrustSource,
    documents: DocumentCache,
    fetcher: Fetcher | None = None,
    clock: Clock,
    random_bytes: RandomBytes,
) -> Verifier:
    """The context of one process."""
    tenants = read_tenants(settings, keys)
    return Verifier(
        settings=settings,
        database=database,
        clients=ApiClients(
            database,
            tables.metadata,
            key=keys.secret("api_tokens"),
            clock=clock,
            random_bytes=random_bytes,
        ),
        staff=make_entrance(
            settings,
            tenants,
            database=database,
            keys=keys,
            trust=trust,
            fetcher=fetcher,
            clock=clock,
            random_bytes=random_bytes,
        ),
        keys=keys.keyring("transactions"),
        idempotency_key=keys.secret("idempotency"),
        records=keys.secret("records"),
        webhooks=keys.keyring("webhooks"),
        tenants=tenants,
        trust=trust,
        statuses=StatusLists(documents, trust),
        events=Poller(database, clock, interval=settings.event_interval),
        clock=clock,
        random_bytes=random_bytes,
    )


def make_entrance(
    settings: VerifierSettings,
    tenants: Mapping[str, Tenant],
    *,
    database: Database,
    keys: KeyDirectory,
    trust: TrustSource | None = None,
    fetcher: Fetcher | None = None,
    clock: Clock,
    random_bytes: RandomBytes,
) -> StaffEntrance:
    """How the staff of every tenant sign in; their agency's names come from the trust list.

    Raises:
        InvalidInput: a tenant's file gives a role that there is not.
    """

    def agency(tenant: str) -> Mapping[str, str]:
        try:
            if trust is not None:
                return tenants[tenant].entity(trust.current(), now=clock()).names
        except Unavailable:  # who signs in is not kept waiting for a trust list
            pass
        return {"en": tenant}

    return StaffEntrance.make(
        database,
        tables.staff,
        key=hkdf(keys.secret("records"), "verifier", "staff"),
        public_url=settings.public_url,
        roles=ROLES,
        files={name: each.staff for name, each in tenants.items()},
        fetcher=lambda: fetcher or Fetcher.from_settings(settings),
        agency=agency,
        record=of_staff(clock, random_bytes),
        clock=clock,
        random_bytes=random_bytes,
    )


def make_jobs(verifier: Verifier, fetcher: Fetcher) -> Jobs:
    """The work that one replica at a time does; *fetcher* carries messages to webhooks."""
    jobs = Jobs(
        verifier.database,
        tables.metadata,
        clock=verifier.clock,
        random_bytes=verifier.random_bytes,
    )

    def erase(now: datetime) -> None:
        if touched := erase_due(verifier, now):
            log.info("transactions_ended_or_erased", count=touched)

    def chain(now: datetime) -> None:
        chain_all(verifier, now)

    jobs.every("erase", _ERASE_SECONDS, erase)
    jobs.every("chain_audit", _CHAIN_SECONDS, chain)
    jobs.every("clean_staff", _CLEAN_SECONDS, verifier.staff.sessions.clean)
    jobs.every("forget", _FORGET_SECONDS, lambda now: forget(verifier, now))
    if any(map(verifier.has_webhook, verifier.tenants)):
        sender = Sender(verifier.database, fetcher, verifier.tenants, verifier.webhooks)

        def send(now: datetime) -> None:
            if delivered := sender.send_due(now):
                log.info("webhooks_delivered", count=delivered)

        jobs.every("webhooks", _SEND_SECONDS, send)
    return jobs


def create_app(
    verifier: Verifier,
    *,
    on_start: Sequence[Callable[[], None]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
) -> ServiceApp:
    """The ASGI application around *verifier*."""

    def ready() -> dict[str, bool]:
        try:
            verifier.trust.current()
        except Unavailable:
            return {"database": verifier.database.ping(), "trust_list": False}
        return {"database": verifier.database.ping(), "trust_list": True}

    return make_app(
        title="Citizen Wallet: verifier",
        service="verifier",
        public_url=verifier.settings.public_url,
        context=verifier,
        requests_per_second=verifier.settings.requests_per_second,
        routers=[
            staff_pages.router,
            requests.router,
            responses.router,
            token.router,
            transactions.router,
            events.router,
            records.router,
            records.keys,
            webhooks.router,
            present.answers,
            present.pages,
            done.router,
            counter.router,
            counter.streams,
            codes.router,
        ],
        pages=Pages(Path(__file__).parent, lent=COMPONENT),
        ready=ready,
        on_start=on_start,
        on_stop=on_stop,
    )


def warn_of_refused_queries(verifier: Verifier) -> None:
    """Say at start what will be refused; the list may change, so it is asked again each time."""
    try:
        refused = refused_queries(verifier.tenants, verifier.trust, verifier.clock())
    except Unavailable as error:
        log.warning("queries_not_checked", reason=str(error))
        return
    for tenant, reasons in refused.items():
        for reason in reasons:
            log.error("query_refused", tenant=tenant, reason=reason)


def serve() -> ServiceApp:
    """The app from the environment, for a worker process."""
    settings = load_settings(VerifierSettings)
    logs.configure(service="verifier", level=settings.log_level)
    database = Database(settings.database_url.get_secret_value())
    fetcher = Fetcher.from_settings(settings)
    trust = TrustListClient.from_settings(
        settings,
        database=database,
        table=tables.runtime.trust_state,
        fetcher=fetcher,
        clock=utc_now,
        random_bytes=os.urandom,
    )
    documents = DocumentCache(
        fetcher,
        clock=utc_now,
        random_bytes=os.urandom,
        store=DatabaseDocuments(database, tables.metadata),
        bounds=CacheBounds(
            min_ttl=timedelta(seconds=settings.status_ttl_min),
            max_ttl=timedelta(seconds=settings.status_ttl_max),
        ),
    )
    verifier = make_verifier(
        settings,
        database=database,
        keys=KeyDirectory.from_settings(settings),
        trust=trust,
        documents=documents,
        fetcher=fetcher,
        clock=utc_now,
        random_bytes=os.urandom,
    )
    jobs = make_jobs(verifier, fetcher)
    return create_app(
        verifier,
        on_start=[
            trust.start,
            documents.start,
            jobs.start,
            lambda: warn_of_refused_queries(verifier),
        ],
        on_stop=[jobs.stop, documents.stop, trust.stop, fetcher.close, database.close],
    )
