"""Starting a transaction and handing out its Request Object (OpenID4VP 1.0, section 5).

Each transaction has its own encryption key, nonce and state; they lie sealed until the answer is in
and are gone with it (V-21). The object is signed once and kept, so that fetching again gives the
same (V-13); with a `wallet_nonce` it is signed anew. Links carry client_id and request_uri, nothing
else (V-10); only a tenant set to the prefix `redirect_uri` sends unsigned requests in the link.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Literal
from urllib.parse import urlsplit

from shared.encoding import JsonValue
from shared.errors import Conflict, Forbidden, InvalidInput, NotFound, ProtocolError
from shared.jose import jws
from shared.oid4vp import invocation, request, transaction_data
from shared.oid4vp.transaction_types import TYPES
from shared.runtime.client_credentials import ApiCaller
from shared.trust import Entity

from .answers import Started, StartRequest
from .context import Verifier
from .queries import Query
from .request_keys import RequestKeys
from .secrets import Names, derive, draw, result_key, secret_hash
from .tenants import Tenant
from .transactions import (
    BEGIN,
    FETCH,
    FOR_CALLER,
    OPEN,
    REQUEST_OBJECT,
    State,
    TransactionRow,
    timestamp,
)

_MAX_OBJECT = request.MAX_BYTES


class UnknownQuery(NotFound):
    """No such question here."""

    code = "unknown_query"
    public = "This verifier has no such query."


class ReturnNotAllowed(Forbidden):
    """C-55: nobody is sent to an address that the tenant did not name."""

    code = "return_url_not_allowed"
    public = "The return_url is not at one of this verifier's return origins."


class ReusedIdempotencyKey(Conflict):
    """The same key with another request."""

    code = "idempotency_key_reused"
    public = "This Idempotency-Key was used for a different request."
    next_step = "Use a new Idempotency-Key for a new request."


class Gone(ProtocolError):
    """V-13: expired or answered; the wallet stops."""

    status = 410
    public = "This request has expired or was already answered."


class TransactionDataNotAllowed(Forbidden):
    """HB-30: the query's file does not name this type."""

    code = "transaction_data_not_allowed"
    public = "This query may not be asked with this type of transaction data."
    next_step = "Name the type under transaction_data in the query's file."


def start(
    verifier: Verifier, caller: ApiCaller, asked: StartRequest, *, idempotency_key: str | None
) -> Started:
    """Begin a transaction; with the same Idempotency-Key and request, find it again.

    Raises:
        UnknownQuery: not one of the tenant's.
        NotEntitled: beyond what the trust list registers for this verifier.
        ReturnNotAllowed: a return address elsewhere.
        InvalidInput: no return address in the same-device flow, or a malformed wallet endpoint.
        ReusedIdempotencyKey: the key belongs to another request.
        Unavailable: no usable trust list, or a certificate that no wallet would accept.

    Specification: OpenID4VP 1.0, section 5; PROFILE V-01, V-10 to V-14, V-31.
    """
    now = verifier.clock()
    tenant = verifier.tenant(caller.tenant)
    # 1. A question of this tenant, within its entitlement now.
    query = tenant.queries.get(asked.query)
    if query is None:
        raise UnknownQuery("query: not offered by this tenant")
    entity = tenant.entitled(query, verifier.trust.current(), flow=asked.flow, now=now)
    # 2. Addresses, and what is to be confirmed.
    _check_return(tenant, asked)
    _check_endpoint(tenant, asked.wallet_endpoint)
    entries = _transaction_data(query, asked.transaction_data)
    # 3. Names and keys of its own.
    if idempotency_key is None:
        names = draw(verifier.random_bytes)
    else:
        names = derive(
            verifier.idempotency_key,
            tenant=tenant.id,
            client=caller.client_id,
            idempotency_key=idempotency_key,
        )
    response_uri = f"{verifier.settings.public_url}/{tenant.id}/response/{names.request_id}"
    keys = RequestKeys.make(
        verifier.random_bytes,
        mode=tenant.response_mode,
        kid=names.request_id[:16],
        result_key=result_key(names.secret),
        audience=tenant.client_id_for(response_uri),
        response_uri=response_uri,
        transaction_data=entries,
        wallet=asked.wallet_endpoint,
    )
    claims = parameters(keys, query, entity)
    if tenant.signs:
        carried = request.sign(claims, signer=tenant.signer, now=now, lifetime=query.lifetime)
    else:
        carried = invocation.value_link(endpoint="", parameters=claims)
    # 4. One row; the same Idempotency-Key finds the one that is there.
    fingerprint = None if idempotency_key is None else _fingerprint(asked)
    expires_at = now + query.lifetime
    row = {
        "tenant": tenant.id,
        "id": names.transaction_id,
        "request_id": names.request_id,
        "client": caller.client_id,
        "query": query.id,
        "purpose": query.purpose,
        "flow": asked.flow,
        "state": State.CREATED.value,
        "fingerprint": fingerprint,
        "secret_hash": secret_hash(names.secret),
        "created_at": now,
        "expires_at": expires_at,
        "due_at": expires_at,
        "return_url": asked.return_url,
        "request_object": carried,
        "sealed_request": keys.seal(verifier, tenant=tenant.id, request_id=names.request_id),
        "audited": False,
    }
    if not BEGIN.once(verifier.database, row):
        expires_at, carried = _repeated(verifier, tenant, names, fingerprint)
    link = "" if tenant.signs else carried
    return _started(verifier, tenant, asked, names, expires_at=expires_at, by_value=link)


def parameters(
    keys: RequestKeys,
    query: Query,
    entity: Entity,
    *,
    signed: bool = True,
    origins: Sequence[str] = (),
) -> dict[str, JsonValue]:
    """What is asked, before anybody signs it; *origins* for the Digital Credentials API."""
    over_redirects = keys.response_uri is not None
    return request.parameters(
        client_id=keys.audience if over_redirects else None,
        response_mode=keys.mode,
        response_uri=keys.response_uri,
        nonce=keys.nonce,
        state=keys.state if over_redirects else None,
        query=query.dcql,
        encryption_key=keys.encryption_key,
        purpose=request.Purpose(entity.id, query.purpose),
        transaction_data=keys.transaction_data,
        expected_origins=origins if signed else (),
    )


def fetch(verifier: Verifier, tenant_id: str, request_id: str) -> str:
    """The Request Object, the same at every fetch until answered or expired.

    Raises:
        NotFound: unknown.
        Gone: expired or answered.

    Specification: OpenID4VP 1.0, section 5.10; PROFILE V-13.
    """
    values = {"tenant_": tenant_id, "request_id_": request_id, "now_": verifier.clock()}
    if not verifier.tenant(tenant_id).signs:
        raise NotFound("request: this verifier sends its requests in the link")
    first = FETCH.returned(verifier.database, values)
    if first is not None:
        return str(first.request_object)
    return str(_open_row(verifier, tenant_id, request_id).request_object)


def fetch_for(verifier: Verifier, tenant_id: str, request_id: str, form: dict[str, str]) -> str:
    """As `fetch`, for a Wallet that posts: with its `wallet_nonce` in a freshly signed object.

    Raises:
        NotFound, Gone: as `fetch`.
        InvalidRequest: malformed `wallet_metadata`, or no common format.

    Specification: OpenID4VP 1.0, section 5.10.1; PROFILE V-13.
    """
    tenant = verifier.tenant(tenant_id)
    row = _open_row(verifier, tenant_id, request_id)
    nonce = invocation.parse_request_post(form, query=tenant.queries[row.query].dcql)
    stored = fetch(verifier, tenant_id, request_id)
    if nonce is None:
        return stored
    claims = jws.parse_jws(stored, max_bytes=_MAX_OBJECT).unverified_claims()
    return jws.sign_jwt(claims | {"wallet_nonce": nonce}, typ=request.TYP, signer=tenant.signer)


def _open_row(verifier: Verifier, tenant_id: str, request_id: str) -> TransactionRow:
    values = {"tenant_": tenant_id, "request_id_": request_id}
    row = REQUEST_OBJECT.row(verifier.database, values)
    if row is None:
        raise NotFound("request: unknown")
    if row.state not in OPEN or verifier.clock() >= row.expires_at:
        raise Gone("request: expired or answered")
    return row


def _fingerprint(asked: StartRequest) -> bytes:
    return hashlib.sha256(asked.model_dump_json().encode()).digest()


def _check_return(tenant: Tenant, asked: StartRequest) -> None:
    if asked.return_url is None:
        if asked.flow != "cross_device":
            raise InvalidInput("return_url: required where the browser comes back")
        return
    parts = urlsplit(asked.return_url)
    if f"{parts.scheme}://{parts.netloc}" not in tenant.return_origins or parts.fragment:
        raise ReturnNotAllowed("return_url: at another origin, or with a fragment")


def _check_endpoint(tenant: Tenant, endpoint: str | None) -> None:
    """A web address, or a scheme that this tenant names: never `javascript:` and its kind."""
    if endpoint is None:
        return
    parts = urlsplit(endpoint)
    if parts.scheme in {*invocation.SCHEMES, *tenant.wallet_schemes}:
        if parts.fragment:
            raise InvalidInput("wallet_endpoint: with a fragment")
        return
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.fragment:
        raise InvalidInput("wallet_endpoint: not a web address, nor a scheme of this tenant")


def _transaction_data(query: Query, asked: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """The strings to send, each of a type that the query's file allows and this system knows."""
    if not asked:
        return ()
    entries = tuple(transaction_data.make(each) for each in asked)  # type: ignore[arg-type]  # JSON by its model
    allowed = {name: check for name, check in TYPES.items() if name in query.transaction_types}
    if any(each.get("type") not in allowed for each in asked):
        raise TransactionDataNotAllowed("transaction data: a type that the query does not name")
    transaction_data.parse(entries, query=query.dcql, types=allowed)
    return entries


def _repeated(
    verifier: Verifier, tenant: Tenant, names: Names, fingerprint: bytes | None
) -> tuple[datetime, str]:
    """End and request of the transaction that is there; the request is empty once answered."""
    values = {"tenant_": tenant.id, "id_": names.transaction_id}
    row = FOR_CALLER.row(verifier.database, values)
    if row.fingerprint != fingerprint:
        raise ReusedIdempotencyKey("Idempotency-Key: used for another request")
    values = {"tenant_": tenant.id, "request_id_": names.request_id}
    found = REQUEST_OBJECT.row(verifier.database, values)
    return row.expires_at, found.request_object or ""


def _started(
    verifier: Verifier,
    tenant: Tenant,
    asked: StartRequest,
    names: Names,
    *,
    expires_at: datetime,
    by_value: str,
) -> Started:
    carried = by_value or request_link(
        verifier, tenant, names.request_id, post=asked.request_uri_method == "post"
    )
    links: dict[Literal["openid4vp", "haip-vp"], str] = {
        "openid4vp": f"openid4vp://{carried}",
        "haip-vp": f"haip-vp://{carried}",
    }
    return Started(
        transaction_id=names.transaction_id,
        secret=names.secret,
        query=asked.query,
        flow=asked.flow,
        link=link_to(asked.wallet_endpoint, carried),
        links=links,
        page=page_url(verifier, tenant.id, names.transaction_id),
        expires_at=timestamp(expires_at),
    )


def request_link(verifier: Verifier, tenant: Tenant, request_id: str, *, post: bool) -> str:
    """The query of a link that leads to the Request Object."""
    base = f"{verifier.settings.public_url}/{tenant.id}/request/"
    method = "&request_uri_method=post" if post else ""
    return f"{_link_before(tenant.client_id, base)}{request_id}{method}"


@lru_cache(maxsize=1024)
def _link_before(client_id: str, base: str) -> str:
    """All but the request's own name, whose characters need no escapes: the same for a tenant."""
    return invocation.request_link(endpoint="", client_id=client_id, request_uri=base)


def wallet_link(verifier: Verifier, tenant: Tenant, request_id: str) -> str:
    """A link for wallet apps to the request of an open transaction."""
    if tenant.signs:
        return f"openid4vp://{request_link(verifier, tenant, request_id, post=False)}"
    return f"openid4vp://{_open_row(verifier, tenant.id, request_id).request_object}"


def link_to(wallet: str | None, carried: str) -> str:
    """A link with the query *carried*, to the wallet that was named or to any wallet app."""
    if wallet is None:
        return f"openid4vp://{carried}"
    return f"{wallet}{'&' if '?' in wallet else '?'}{carried[1:]}"


def page_url(verifier: Verifier, tenant_id: str, transaction_id: str) -> str:
    """The page of one transaction, for the browser that started it."""
    return f"{verifier.settings.public_url}/{tenant_id}/present/{transaction_id}"
