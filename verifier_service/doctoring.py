"""`doctor`, the verifier's part: play the wallet against one's own configuration.

For each tenant and query a request is made as `serve` makes it, and read as a wallet reads it: by
the link, with the certificates and the trust list it would have. The first field that would make a
wallet refuse, or leave a question without anybody who could answer it, is named.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime
from urllib.parse import urlsplit

from shared.encoding import RandomBytes
from shared.oid4vp import request
from shared.oid4vp.transaction_types import TYPES
from shared.runtime.doctor import Finding, Wrong, blaming, first_wrong
from shared.runtime.keys import KeyDirectory
from shared.runtime.trust_list import TrustSource
from shared.trust import Entity, Role, TrustList

from .queries import Query, check_entitled
from .request_keys import RequestKeys
from .requesting import parameters
from .settings import VerifierSettings
from .tenants import Tenant

_RENEW = "Have the access certificate issued under the trust list: wallet-trust request, enrol."
_REGISTER = "Register the purpose with its claims in the trust list, or ask for less."


def examine(
    settings: VerifierSettings,
    *,
    keys: KeyDirectory,
    tenants: Mapping[str, Tenant],
    trust: TrustSource,
    now: datetime,
    random_bytes: RandomBytes,
) -> Iterator[Finding]:
    """One finding for each tenant: its first wrong field, or that all is well."""
    keys.keyring("webhooks")  # made by `migrate`; raises what says so
    for tenant in tenants.values():

        def play(tenant: Tenant = tenant) -> str:
            return _play_wallet(settings, tenant, trust, now, random_bytes)

        yield first_wrong(f"tenant {tenant.id}", play)


def _play_wallet(
    settings: VerifierSettings,
    tenant: Tenant,
    trust: TrustSource,
    now: datetime,
    random_bytes: RandomBytes,
) -> str:
    _check_addresses(settings, tenant)
    with blaming("VERIFIER_TRUST_URL", "Have the trust list published, or correct the address."):
        trust_list = trust.current()
    certificate = f"keys/{tenant.id}/access.crt"
    with blaming(certificate, _RENEW):
        entity = tenant.entity(trust_list, now=now)
    for query in tenant.queries.values():
        place = f"query {query.id}"
        for flow in query.flows:
            with blaming(f"{place}: purpose", _REGISTER):
                check_entitled(query, entity, flow=flow, now=now)
        _check_somebody_issues(query, trust_list, now)
        if tenant.signs:
            with blaming(certificate, _RENEW):
                _read_as_wallet(settings, tenant, query, entity, trust_list, now, random_bytes)
    return "may ask all of its queries; a wallet reads every request"


def _check_addresses(settings: VerifierSettings, tenant: Tenant) -> None:
    parts = urlsplit(settings.public_url)
    loopback = settings.insecure_http_loopback and parts.hostname in {"localhost", "127.0.0.1"}
    if parts.scheme != "https" and not loopback:
        raise Wrong("VERIFIER_PUBLIC_URL", "not https", "Wallets refuse it; put TLS before it.")
    if parts.query or parts.fragment or settings.public_url.endswith("/"):
        raise Wrong("VERIFIER_PUBLIC_URL", "ends in what no address may end in", "Correct it.")
    for origin in tenant.return_origins:
        if not origin.startswith("https://") and not loopback:
            place = f"tenants/{tenant.id}.json: return_origins"
            raise Wrong(place, "not https", "Browsers are sent back by https only.")
    hook = tenant.webhook_url or "https://"
    if not hook.startswith("https://") and not loopback:
        place = f"tenants/{tenant.id}.json: webhook_url"
        raise Wrong(place, "not https", "Messages are sent by https only.")


def _check_somebody_issues(query: Query, trust_list: TrustList, now: datetime) -> None:
    """Each required set has an option whose every credential somebody may issue."""
    answerable = {
        each.credential_id
        for each in query.wanted
        if any(
            (issue.format, issue.type) == (each.format, one)
            and entity.usable(Role.CREDENTIAL, now)
            and entity.anchors_for(Role.CREDENTIAL)
            | trust_list.pinned(Role.CREDENTIAL, now=now, credential_type=one)
            for entity in trust_list.entities
            for issue in entity.issues
            for one in each.types
        )
    }
    for each in query.dcql.sets:
        if each.required and not any(set(option) <= answerable for option in each.options):
            raise Wrong(
                f"query {query.id}: dcql.credentials.meta",
                "nobody in the trust list issues what is asked for",
                "Correct the type, or wait until its issuer is in the trust list.",
            )


def _read_as_wallet(  # noqa: PLR0917  # private
    settings: VerifierSettings,
    tenant: Tenant,
    query: Query,
    entity: Entity,
    trust_list: TrustList,
    now: datetime,
    random_bytes: RandomBytes,
) -> None:
    keys = RequestKeys.make(
        random_bytes,
        mode=tenant.response_mode,
        kid="doctor",
        result_key=bytes(32),
        audience=tenant.client_id,
        response_uri=f"{settings.public_url}/{tenant.id}/response/doctor",
    )
    signed = request.sign(parameters(keys, query, entity), signer=tenant.signer, now=now)
    if tenant.response_mode != request.RESPONSE_MODE:
        return  # outside HAIP: wallets read it by a setting of theirs only
    request.verify(
        signed,
        client_id=tenant.client_id,
        wallet_nonce=None,
        formats=tuple(request.VP_FORMATS),
        transaction_types=TYPES,
        anchors=trust_list.anchors(Role.ACCESS, now=now),
        now=now,
        revoked=trust_list.revoked,
        pinned=trust_list.pinned(Role.ACCESS, now=now),
    )
