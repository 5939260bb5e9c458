"""Makes the app: routers and jobs around one context. `serve` makes both from the environment."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from shared.crypto.keys import Signer
from shared.encoding import Clock, RandomBytes
from shared.errors import InvalidInput
from shared.formats import credential as formats
from shared.runtime import logs, staff_pages
from shared.runtime.app import ServiceApp, make_app
from shared.runtime.client_credentials import ApiClients
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.documents import DatabaseDocuments, DocumentCache
from shared.runtime.fetch import Fetcher
from shared.runtime.jobs import Jobs
from shared.runtime.keys import KeyDirectory
from shared.runtime.openid import OpenIdProvider
from shared.runtime.pages import Pages
from shared.runtime.settings import load_settings
from shared.runtime.staff_pages import StaffEntrance
from shared.runtime.trust_list import TrustListClient, TrustSource

from . import auditing, tables
from .catalogue import BUILT_IN, Configuration, read_catalogue
from .cleaning import clean, forget
from .context import CHALLENGE_LIFE, Issuer, Secrets, Tenant
from .indexes import Indexes
from .metadata import documents
from .register_file import open_register
from .request_keys import RequestKeys
from .routes import (
    agency,
    authorization,
    credential,
    deciding,
    handing_out,
    login,
    metadata,
    people,
    protocol,
    status,
    trail,
)
from .routes.staff import ROLES as STAFF_ROLES
from .settings import IssuerSettings
from .status_tokens import ListBuilder, PublishedLists
from .tenants import TenantFile, read_tenants

SECRETS = ("api_tokens", "issuer")
"""Symmetric keys that `migrate` makes."""
PURPOSES = ("credential", "status", "metadata")
"""Keys that each tenant has, with certificates; without the last one metadata is not signed."""

HERE = Path(__file__).parent
_PORTIONS = 30  # of the audit trail in one run: lists are published by the same thread

log = logs.get_log(__name__)


def make_tenant(
    file: TenantFile,
    catalogue: Mapping[str, Configuration],
    *,
    settings: IssuerSettings,
    keys: KeyDirectory,
    secrets: Secrets,
    fetcher: Fetcher | None = None,
) -> Tenant:
    """One tenant, complete; its OpenID Provider is asked through *fetcher*.

    Raises:
        InvalidInput: it offers what is not in the catalogue, or a key has no certificate.
        Untrusted: the credential key's certificate is not for a format that is offered.
        NotFound: a key is missing.
    """
    configurations = file.offered(catalogue)
    identifier = f"{settings.public_url}/{file.tenant}"
    openid = file.login.openid
    credential_key = _certified(keys, file.tenant, "credential")
    for each in {each.file.format for each in configurations.values()}:
        formats.check_signer(each, credential_key.certificates[0])
    return Tenant(
        identifier=identifier,
        file=file,
        configurations=configurations,
        documents=documents(identifier, file, configurations),
        register=open_register(
            file.register_,
            directory=settings.tenants_directory,
            fetcher=lambda seconds: Fetcher.from_settings(settings, seconds=seconds),
        ),
        provider=OpenIdProvider(
            openid,
            fetcher or Fetcher.from_settings(settings),
            redirect_uri=f"{identifier}/login-return",
        )
        if openid
        else None,
        credential_key=credential_key,
        status_key=_certified(keys, file.tenant, "status"),
        metadata_key=_certified(keys, file.tenant, "metadata")
        if "metadata" in keys.purposes(file.tenant)
        else None,
        c_nonces=secrets.nonces("c_nonce", file.tenant),
        as_nonces=secrets.nonces("DPoP nonce of the token endpoint", file.tenant),
        rs_nonces=secrets.nonces("DPoP nonce of resources", file.tenant),
        challenges=secrets.nonces("attestation challenge", file.tenant, CHALLENGE_LIFE),
    )


def _certified(keys: KeyDirectory, tenant: str, purpose: str) -> Signer:
    signer = keys.signer(tenant, purpose)
    if not signer.certificates:
        raise InvalidInput(f"key {tenant}/{purpose}: no certificate yet, enrol it")
    return signer


def make_issuer(
    settings: IssuerSettings,
    *,
    database: Database,
    keys: KeyDirectory,
    trust: TrustSource,
    documents: DocumentCache,
    fetcher: Fetcher | None = None,
    clock: Clock,
    random_bytes: RandomBytes,
) -> Issuer:
    """The context of one process."""
    secrets = Secrets(keys.secret("issuer"))
    own = settings.credentials_directory
    catalogue = read_catalogue([BUILT_IN, *([own] if own else [])])
    files = read_tenants(settings.tenants_directory)
    return Issuer(
        settings=settings,
        database=database,
        tenants={
            name: make_tenant(
                file, catalogue, settings=settings, keys=keys, secrets=secrets, fetcher=fetcher
            )
            for name, file in files.items()
        },
        secrets=secrets,
        staff=make_entrance(
            settings,
            files,
            database=database,
            secrets=secrets,
            fetcher=fetcher,
            clock=clock,
            random_bytes=random_bytes,
        ),
        api_clients=ApiClients(
            database,
            tables.metadata,
            key=keys.secret("api_tokens"),
            clock=clock,
            random_bytes=random_bytes,
        ),
        trust=trust,
        documents=documents,
        indexes=Indexes(
            database,
            key=secrets.indexes,
            size=settings.status_list_size,
            block=settings.status_block,
        ),
        lists=PublishedLists(database),
        request_keys=RequestKeys(
            database,
            key=secrets.request_keys,
            period=timedelta(hours=settings.request_key_hours),
            random_bytes=random_bytes,
        ),
        clock=clock,
        random_bytes=random_bytes,
    )


def make_entrance(
    settings: IssuerSettings,
    files: Mapping[str, TenantFile],
    *,
    database: Database,
    secrets: Secrets,
    fetcher: Fetcher | None = None,
    clock: Clock,
    random_bytes: RandomBytes,
) -> StaffEntrance:
    """How the staff of every tenant sign in.

    Raises:
        InvalidInput: a tenant's file gives a role that there is not.
    """
    return StaffEntrance.make(
        database,
        tables.staff,
        key=secrets.staff,
        public_url=settings.public_url,
        roles=STAFF_ROLES,
        files={name: file.staff for name, file in files.items()},
        fetcher=lambda: fetcher or Fetcher.from_settings(settings),
        agency=lambda tenant: files[tenant].names,
        record=auditing.of_staff(clock, random_bytes),
        clock=clock,
        random_bytes=random_bytes,
    )


def make_jobs(issuer: Issuer) -> Jobs:
    """The work that one replica at a time does."""
    jobs = Jobs(
        issuer.database, tables.metadata, clock=issuer.clock, random_bytes=issuer.random_bytes
    )
    builder = ListBuilder(issuer.database, issuer.indexes, issuer.random_bytes)

    def publish(now: datetime) -> None:
        published = builder.publish(issuer.tenants, now=now)
        if published:
            log.info("status_lists_published", lists=published)

    def chain(now: datetime) -> None:
        for name in auditing.unchained(issuer.database) & set(issuer.tenants):
            key = issuer.secrets.audit_key(name)
            for _ in range(_PORTIONS):
                if not auditing.chain(issuer.database, tenant=name, signer=key, now=now):
                    break

    # A short lease: who dies while publishing delays revocations by this much at most (ST-33).
    jobs.every("publish_status_lists", issuer.settings.status_tick_seconds, publish, lease=3)
    jobs.every("chain_audit", 60, chain)
    jobs.every("clean", 300, lambda now: clean(issuer.database, now=now))
    jobs.every("clean_staff", 300, issuer.staff.sessions.clean)
    jobs.every("forget", 3_600, lambda now: forget(issuer, now=now))
    return jobs


def create_app(
    issuer: Issuer,
    *,
    on_start: Sequence[Callable[[], None]] = (),
    on_stop: Sequence[Callable[[], None]] = (),
) -> ServiceApp:
    """The ASGI application around *issuer*; *on_start* and *on_stop* run in each worker process."""

    def ready() -> dict[str, bool]:
        return {"database": issuer.database.ping()}

    return make_app(
        title="Citizen Wallet: issuer",
        service="issuer",
        public_url=issuer.settings.public_url,
        context=issuer,
        requests_per_second=issuer.settings.requests_per_second,
        routers=[
            staff_pages.router,
            people.router,
            handing_out.router,
            deciding.router,
            trail.router,
            metadata.router,
            authorization.router,
            login.router,
            protocol.oauth,
            credential.credentials,
            credential.notifications,
            status.router,
            agency.oauth,
            agency.api,
        ],
        ready=ready,
        pages=Pages(HERE),
        from_memory=status.from_memory(issuer),
        on_start=on_start,
        on_stop=on_stop,
    )


def serve() -> ServiceApp:
    """The app from the environment, for a worker process."""
    settings = load_settings(IssuerSettings)
    logs.configure(service="issuer", level=settings.log_level)
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
    )
    issuer = make_issuer(
        settings,
        database=database,
        keys=KeyDirectory.from_settings(settings),
        trust=trust,
        documents=documents,
        fetcher=fetcher,
        clock=utc_now,
        random_bytes=os.urandom,
    )
    for tenant in issuer.tenants.values():
        if tenant.file.wallets_without_attestation:
            log.warning("wallets_without_attestation", tenant=tenant.name)
    jobs = make_jobs(issuer)
    return create_app(
        issuer,
        on_start=[trust.start, documents.start, jobs.start],
        on_stop=[jobs.stop, documents.stop, trust.stop, fetcher.close, database.close],
    )
