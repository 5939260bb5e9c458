"""Starting a transaction and handing out its Request Object (OpenID4VP 1.0, section 5).

Each transaction has its own encryption key, nonce and state; they lie sealed until the answer is in
and are gone with it (V-21). The object is signed once and kept, so that fetching again gives the
same (V-13); with a `wallet_nonce` it is signed anew. Links carry client_id and request_uri, nothing
else (V-10).
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from urllib.parse import urlsplit

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_encode
from shared.errors import Conflict, Forbidden, InvalidInput, NotFound, ProtocolError
from shared.jose import jws
from shared.oauth.encryption import EncryptionKey
from shared.oid4vp import invocation, request
from shared.runtime.client_credentials import ApiCaller

from .answers import Started, StartRequest
from .context import Verifier
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

_VALUE = 32  # bytes of nonce and state: 43 characters (V-12)
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


@dataclass(frozen=True, slots=True)
class RequestKeys:
    """What the answer will be opened and checked with."""

    decrypter: SoftwareKey
    result_key: bytes
    """Claims are sealed under it; afterwards it follows from the asker's secret alone."""
    nonce: str
    state: str
    client_id: str

    def pack(self) -> bytes:
        """The bytes to seal."""
        values = self.nonce, self.state, self.client_id
        return self.decrypter.scalar() + self.result_key + "\n".join(values).encode()

    @classmethod
    def unpack(cls, opened: bytes, *, kid: str) -> "RequestKeys":
        """What `pack` made."""
        nonce, state, client_id = opened[64:].decode().split("\n")
        key = SoftwareKey.from_scalar(opened[:32], kid=kid)
        return cls(key, opened[32:64], nonce, state, client_id)


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
    # 2. Addresses.
    _check_return(tenant, asked)
    _check_endpoint(asked.wallet_endpoint)
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
    keys = RequestKeys(
        SoftwareKey.generate(kid=names.request_id[:16]),
        result_key=result_key(names.secret),
        nonce=b64url_encode(verifier.random_bytes(_VALUE)),
        state=b64url_encode(verifier.random_bytes(_VALUE)),
        client_id=tenant.client_id,
    )
    signed = request.make(
        signer=tenant.signer,
        client_id=tenant.client_id,
        response_uri=f"{verifier.settings.public_url}/{tenant.id}/response/{names.request_id}",
        nonce=keys.nonce,
        state=keys.state,
        query=query.dcql,
        encryption_key=EncryptionKey(keys.decrypter.public, keys.decrypter.kid),
        now=now,
        lifetime=query.lifetime,
        purpose=request.Purpose(entity.id, query.purpose),
    )
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
        "request_object": signed,
        "sealed_request": verifier.keys.seal(
            keys.pack(), aad=_aad(tenant.id, names.request_id), random_bytes=verifier.random_bytes
        ),
        "audited": False,
    }
    if not BEGIN.once(verifier.database, row):
        expires_at = _repeated(verifier, tenant, names, fingerprint)
    return _started(verifier, tenant, asked, names, expires_at=expires_at)


def fetch(verifier: Verifier, tenant_id: str, request_id: str) -> str:
    """The Request Object, the same at every fetch until answered or expired.

    Raises:
        NotFound: unknown.
        Gone: expired or answered.

    Specification: OpenID4VP 1.0, section 5.10; PROFILE V-13.
    """
    values = {"tenant_": tenant_id, "request_id_": request_id, "now_": verifier.clock()}
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


def open_keys(verifier: Verifier, tenant_id: str, request_id: str, sealed: bytes) -> RequestKeys:
    """The keys of a transaction that is still open."""
    opened = verifier.keys.open(sealed, aad=_aad(tenant_id, request_id))
    return RequestKeys.unpack(opened, kid=request_id[:16])


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


def _aad(tenant_id: str, request_id: str) -> bytes:
    return f"transaction keys 1:{tenant_id}:{request_id}".encode()


def _check_return(tenant: Tenant, asked: StartRequest) -> None:
    if asked.return_url is None:
        if asked.flow == "same_device":
            raise InvalidInput("return_url: required in the same-device flow")
        return
    parts = urlsplit(asked.return_url)
    if f"{parts.scheme}://{parts.netloc}" not in tenant.return_origins or parts.fragment:
        raise ReturnNotAllowed("return_url: at another origin, or with a fragment")


def _check_endpoint(endpoint: str | None) -> None:
    if endpoint is None:
        return
    parts = urlsplit(endpoint)
    if parts.scheme not in {"https", "http"} or not parts.hostname or parts.fragment:
        raise InvalidInput("wallet_endpoint: not a web address")


def _repeated(
    verifier: Verifier, tenant: Tenant, names: Names, fingerprint: bytes | None
) -> datetime:
    values = {"tenant_": tenant.id, "id_": names.transaction_id}
    row = FOR_CALLER.row(verifier.database, values)
    if row.fingerprint != fingerprint:
        raise ReusedIdempotencyKey("Idempotency-Key: used for another request")
    expires_at: datetime = row.expires_at
    return expires_at


def _started(
    verifier: Verifier, tenant: Tenant, asked: StartRequest, names: Names, *, expires_at: datetime
) -> Started:
    carried = invocation.request_link(
        endpoint="",
        client_id=tenant.client_id,
        request_uri=f"{verifier.settings.public_url}/{tenant.id}/request/{names.request_id}",
        method="post" if asked.request_uri_method == "post" else None,
    )
    links: dict[Literal["openid4vp", "haip-vp"], str] = {
        "openid4vp": f"openid4vp://{carried}",
        "haip-vp": f"haip-vp://{carried}",
    }
    link = links["openid4vp"]
    if asked.wallet_endpoint is not None:
        joint = "&" if "?" in asked.wallet_endpoint else "?"
        link = f"{asked.wallet_endpoint}{joint}{carried[1:]}"
    return Started(
        transaction_id=names.transaction_id,
        secret=names.secret,
        query=asked.query,
        flow=asked.flow,
        link=link,
        links=links,
        expires_at=timestamp(expires_at),
    )
