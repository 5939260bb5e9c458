"""`doctor`, the issuer's part: play wallet and verifier against one's own configuration.

For each tenant the metadata is read as a wallet reads it, and what the tenant's keys sign is
verified with the trust list a wallet or verifier would have. The first field that would make them
refuse is named.
"""

import os
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from shared.crypto.keys import Signer
from shared.crypto.x509 import Profile, VerifiedChain, verify_chain
from shared.errors import InvalidInput, Untrusted
from shared.formats import credential as formats
from shared.formats import status_list
from shared.formats.status_list import StatusList
from shared.oid4vci.metadata import CredentialIssuerMetadata
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.doctor import Finding, Wrong, blaming, first_wrong
from shared.runtime.fetch import Fetcher
from shared.runtime.keys import KeyDirectory
from shared.runtime.trust_list import TrustListClient, TrustSource
from shared.trust import Entity, Role, TrustList, may_issue

from . import tables
from .app import make_tenant
from .catalogue import BUILT_IN, Configuration, read_catalogue
from .context import Secrets, Tenant
from .settings import IssuerSettings
from .tenants import read_tenants

_ENROL = "Have it certified under the trust list: wallet-trust request, enrol, install."
_ENTRY = "Have the entry of this agency in the trust list changed and published."


def as_counterpart(settings: IssuerSettings, keys: KeyDirectory) -> Iterator[Finding]:
    """`examine` for all tenants of an installation, with the trust list it is set to."""
    own = settings.credentials_directory
    catalogue = read_catalogue([BUILT_IN, *([own] if own else [])])
    secrets = Secrets(keys.secret("issuer"))
    database = Database(settings.database_url.get_secret_value())
    fetcher = Fetcher.from_settings(settings)
    try:
        trust = TrustListClient.from_settings(
            settings,
            database=database,
            table=tables.runtime.trust_state,
            fetcher=fetcher,
            clock=utc_now,
            random_bytes=os.urandom,
        )
        tenants = {
            name: make_tenant(file, catalogue, settings=settings, keys=keys, secrets=secrets)
            for name, file in read_tenants(settings.tenants_directory).items()
        }
        yield from examine(settings, tenants=tenants, trust=trust, now=utc_now())
    finally:
        fetcher.close()
        database.close()


def examine(
    settings: IssuerSettings,
    *,
    tenants: Mapping[str, Tenant],
    trust: TrustSource,
    now: datetime,
) -> Iterator[Finding]:
    """One finding for each tenant: its first wrong field, or that all is well."""
    for tenant in tenants.values():

        def play(tenant: Tenant = tenant) -> str:
            return _play(settings, tenant, trust, now)

        yield first_wrong(f"tenant {tenant.name}", play)


def _play(settings: IssuerSettings, tenant: Tenant, trust: TrustSource, now: datetime) -> str:
    # 1. Addresses, and who the trust list says we are.
    if not settings.public_url.startswith("https://") and not settings.insecure_http_loopback:
        raise Wrong("ISSUER_PUBLIC_URL", "not https", "Wallets refuse it; put TLS before it.")
    with blaming("ISSUER_TRUST_URL", "Have the trust list published, or correct the address."):
        trust_list = trust.current()
    with blaming("ISSUER_PUBLIC_URL, or credential_issuers in the trust list", _ENTRY):
        entity = trust_list.entity_for_issuer(tenant.identifier)
    # 2. Metadata, as a wallet reads it.
    with blaming(f"tenants/{tenant.name}.json", "Correct the file."):
        _read_metadata(tenant)
    # 3. What is issued, as a verifier believes it.
    for configuration in tenant.configurations.values():
        _check_configuration(tenant, configuration, entity, trust_list, now)
    # 4. Status lists and signed metadata.
    _check_status(tenant, entity, trust_list, now)
    if tenant.metadata_key is not None:
        _chain(tenant, "metadata", tenant.metadata_key, Profile.METADATA, entity, trust_list, now)
    # 5. Wallets that may come.
    providers = trust_list.anchors(Role.WALLET_PROVIDER, now=now)
    if not providers and not tenant.file.wallets_without_attestation:
        raise Wrong(
            "wallet_provider in the trust list",
            "no wallet provider is trusted, and wallets without attestation are refused",
            "Have a wallet provider enrolled.",
        )
    return f"wallets and verifiers believe {', '.join(tenant.configurations)}"


def _read_metadata(tenant: Tenant) -> None:
    read = CredentialIssuerMetadata.parse(tenant.documents.issuer.to_json(), max_bytes=2**20)
    if read.credential_issuer != tenant.identifier:
        raise InvalidInput("metadata: credential_issuer is another one")


def _check_configuration(
    tenant: Tenant,
    configuration: Configuration,
    entity: Entity,
    trust_list: TrustList,
    now: datetime,
) -> None:
    name = f"credentials/{configuration.id}.json"
    with blaming(f"issues in the trust list ({name})", _ENTRY):
        issue = may_issue(
            entity,
            credential_format=configuration.file.format,
            credential_type=configuration.vct,
            issued_at=now,
            now=now,
        )
    registered = issue.type_metadata
    if registered is not None and configuration.integrity not in registered.integrity.split():
        raise Wrong(
            f"type_metadata.integrity in the trust list ({name})",
            "is not of the document that is served",
            _ENTRY,
        )
    profile = formats.words(configuration.file.format).signer
    _chain(tenant, "credential", tenant.credential_key, profile, entity, trust_list, now)


def _check_status(tenant: Tenant, entity: Entity, trust_list: TrustList, now: datetime) -> None:
    uri = tenant.status_uri(0)
    with blaming(f"keys/{tenant.name}/status.crt", _ENROL):
        token = status_list.sign_token(
            StatusList.empty(1, 8),
            uri=uri,
            signer=tenant.status_key,
            now=now,
            ttl=timedelta(minutes=5),
        )
        status_list.verify_token(
            token,
            uri=uri,
            anchors=entity.anchors_for(Role.STATUS),
            now=now,
            algorithms=("ES256",),
            newest=None,
            revoked=trust_list.revoked,
            pinned=trust_list.pinned(Role.STATUS, now=now),
        )


def _chain(  # noqa: PLR0917  # private
    tenant: Tenant,
    purpose: str,
    signer: Signer,
    profile: Profile,
    entity: Entity,
    trust_list: TrustList,
    now: datetime,
) -> VerifiedChain:
    """The chain of one of our keys, which leads to our own entry and to no other."""
    role = Role(purpose)
    with blaming(f"keys/{tenant.name}/{purpose}.crt", _ENROL):
        found = verify_chain(
            signer.certificates,
            anchors=trust_list.anchors(role, now=now),
            profile=profile,
            now=now,
            revoked=trust_list.revoked,
            pinned=trust_list.pinned(role, now=now),
        )
        if found.public != signer.public:
            raise InvalidInput("certificate: for another key")
        if trust_list.entity_for_chain(role, found, now=now) is not entity:
            raise Untrusted("certificate: leads to the entry of another agency")
    return found
