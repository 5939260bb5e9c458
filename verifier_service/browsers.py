"""The page of one transaction: the browser that starts is the one that gets the result (V-50).

In the flows of one device the first browser to open the page gets the start cookie; no other may go
on. It is asked over the Digital Credentials API where it has one (V-70), and led to a wallet where
it has none. Either way the result is released by two things together: the start cookie here, and
then the response code at the asker, in the session in which it was started. Our Origin is
configured, never read (V-71). Across devices the page shows the code to scan, to whoever has its
address: no session is bound then (V-51).

Specification: OpenID4VP 1.0, sections 13.3 and 14.2, appendix A; HAIP 1.0, sections 5.1 and 5.2.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.encoding import JsonValue, b64url_encode
from shared.errors import Forbidden, NotFound
from shared.oid4vp import request

from .context import Verifier
from .queries import Query
from .receiving import AlreadyEnded, settle, with_code
from .request_keys import RequestKeys
from .requesting import link_to, parameters, request_link
from .results import rejection
from .secrets import response_code_hash
from .tenants import Tenant
from .transactions import (
    ASK_BROWSER,
    BIND_BROWSER,
    COME_BACK,
    FOR_BROWSER,
    OPEN,
    REJECT_RETURN,
    State,
    TransactionRow,
    move,
    record,
    state_now,
)

SIGNED, UNSIGNED = "openid4vp-v1-signed", "openid4vp-v1-unsigned"
_COOKIE_BYTES = 32
_CODE_BYTES = 32


class OtherBrowser(Forbidden):
    """V-50."""

    code = "other_browser"
    public = "This request was opened in another browser."
    next_step = "Go back to the service that asked, and start again there."


class ForeignOrigin(Forbidden):
    """C-52, V-71."""

    code = "origin_not_allowed"
    public = "Pages of this origin may not ask here."
    next_step = "Name the origin under return_origins in the tenant's file."


class ReturnRejected(Forbidden):
    """V-50: rejected, not merely hidden."""

    code = "return_rejected"
    public = "This return does not belong to the request that this browser started."
    next_step = "Go back to the service that asked, and start again there."


@dataclass(frozen=True, slots=True)
class Opened:
    """What the page shows.

    Attributes:
        query: what is asked.
        asker: its names in the trust list, by language; empty when nothing is asked any more.
        state: of the transaction.
        link: to a wallet.
        crossing: whether the wallet is on another device.
        cookie: the start cookie, to be set if it is new.
    """

    query: Query
    asker: Mapping[str, str]
    state: State
    link: str
    crossing: bool
    cookie: str | None


@dataclass(frozen=True, slots=True)
class Seen:
    """What a browser may know of a transaction: nothing of who answered, or what.

    Attributes:
        state: of the transaction.
        expires_at: until when it can be answered.
        link: for a QR code, as long as one is wanted.
    """

    state: State
    expires_at: datetime
    link: str | None


def open_page(
    verifier: Verifier, tenant_id: str, transaction_id: str, cookie: str | None
) -> Opened:
    """Open the page; the first browser that does is bound to the transaction.

    Raises:
        NotFound: no such page.
        OtherBrowser: another one was first.
        NotTrusted, NotEntitled: the trust list does not know who asks, or that it may.

    Specification: PROFILE V-31, V-50.
    """
    tenant = verifier.tenant(tenant_id)
    row = _find(verifier, tenant_id, transaction_id)
    now = verifier.clock()
    state = state_now(row, now)
    query = tenant.queries[row.query]
    asker: Mapping[str, str] = {}
    if state in OPEN:
        trust_list = verifier.trust.current()
        asker = tenant.entitled(query, trust_list, flow=row.flow, now=now).names
    fresh, crossing = None, row.flow == "cross_device"
    if row.browser_hash is None and state is State.CREATED and not crossing:
        fresh = cookie or b64url_encode(verifier.random_bytes(_COOKIE_BYTES))
        _bind(verifier, tenant_id, transaction_id, fresh)
    elif state in OPEN and not crossing and not _is_bound(row, cookie):
        raise OtherBrowser("page: another browser")
    link = _link(verifier, tenant, row) if state in OPEN else ""
    return Opened(query, asker, state, link, crossing, fresh)


def look(verifier: Verifier, tenant_id: str, transaction_id: str) -> Seen:
    """What a web page that was given the address of the transaction's page may know.

    The link is there only across devices: on one device the way leads through the page, where the
    browser is bound.

    Raises:
        NotFound: no such page.

    Specification: PROFILE V-50, V-51.
    """
    tenant = verifier.tenant(tenant_id)
    row = _find(verifier, tenant_id, transaction_id)
    state = state_now(row, verifier.clock())
    link = None
    if state in OPEN and row.flow == "cross_device":
        link = _link(verifier, tenant, row)
    return Seen(state, row.expires_at, link)


def ask_embedded(
    verifier: Verifier, tenant_id: str, transaction_id: str, ticket: str, *, origin: str
) -> dict[str, JsonValue]:
    """As `ask_browser`, for the web component in a page of the agency.

    No cookie of ours comes from there. The *ticket*, a random value that the component keeps in its
    memory, stands for it, and binds the transaction as the first browser does; *origin* is checked.

    Raises:
        NotFound, AlreadyEnded: as `ask_browser`.
        OtherBrowser: another browser was first, or it is no flow of one device.

    Specification: OpenID4VP 1.0, appendix A.2; PROFILE V-50, V-70, V-71.
    """
    row = _find(verifier, tenant_id, transaction_id)
    if row.flow == "cross_device":
        raise OtherBrowser("page: of a flow that binds no browser")
    if row.browser_hash is None and state_now(row, verifier.clock()) is State.CREATED:
        _bind(verifier, tenant_id, transaction_id, ticket)
    return ask_browser(verifier, tenant_id, transaction_id, ticket, origin=origin)


def check_origin(verifier: Verifier, tenant_id: str, origin: str) -> None:
    """Whether pages of *origin* may embed requests of this tenant; raises ForeignOrigin."""
    if origin not in verifier.tenant(tenant_id).return_origins:
        raise ForeignOrigin("page: of an origin that the tenant does not name")


def ask_browser(
    verifier: Verifier,
    tenant_id: str,
    transaction_id: str,
    cookie: str | None,
    *,
    origin: str | None = None,
) -> dict[str, JsonValue]:
    """A request over the Digital Credentials API, with a key and a nonce of its own.

    Args:
        verifier: this service.
        tenant_id: of the page.
        transaction_id: of the page.
        cookie: the start cookie.
        origin: of the page that asks, one of those configured; None for our own.

    Returns:
        The value of `digital` for `navigator.credentials.get`: signed first, unsigned beside it.

    Raises:
        NotFound: no such page.
        OtherBrowser: not the start cookie.
        AlreadyEnded: answered or expired.

    Specification: OpenID4VP 1.0, appendices A.1 to A.3; HAIP 1.0, section 5.2; PROFILE V-70.
    """
    now, origin = verifier.clock(), origin or verifier.origin
    tenant = verifier.tenant(tenant_id)
    row = _open_row(verifier, tenant_id, transaction_id, cookie)
    first = RequestKeys.open(
        verifier, row.sealed_request, tenant=tenant_id, request_id=row.request_id
    )
    keys = RequestKeys.make(
        verifier.random_bytes,
        mode="dc_api.jwt",
        kid=row.request_id[:16],
        result_key=first.result_key,
        audience=f"origin:{origin}",
        response_uri=None,
        transaction_data=first.transaction_data,
    )
    query = tenant.queries[row.query]
    entity = tenant.entitled(query, verifier.trust.current(), flow=row.flow, now=now)
    requests: list[JsonValue] = []
    if tenant.signs:
        claims = parameters(keys, query, entity, origins=[origin])
        signed = request.sign(
            {"client_id": tenant.client_id, **claims},
            signer=tenant.signer,
            now=now,
            lifetime=query.lifetime,
        )
        requests.append({"protocol": SIGNED, "data": {"request": signed}})
    requests.append({"protocol": UNSIGNED, "data": parameters(keys, query, entity, signed=False)})
    values = {
        "tenant_": tenant_id,
        "id_": transaction_id,
        "now_": now,
        "browser_hash_": row.browser_hash,
        "sealed_dc_": keys.seal(verifier, tenant=tenant_id, request_id=row.request_id),
    }
    if not ASK_BROWSER.changed(verifier.database, values):
        raise AlreadyEnded("page: answered or expired meanwhile")
    return {"requests": requests}


def answer_browser(
    verifier: Verifier, tenant_id: str, transaction_id: str, cookie: str | None, token: str
) -> dict[str, JsonValue]:
    """Take what the browser's wallet answered.

    Args:
        verifier: this service.
        tenant_id: of the page.
        transaction_id: of the page.
        cookie: the start cookie, or the ticket of the web component.
        token: the JWE in `data.response`.

    Returns:
        `{"redirect_uri": …}`: back to the asker, with a response code.

    Raises:
        NotFound, OtherBrowser, AlreadyEnded: as `ask_browser`.
        InvalidRequest: it does not open, or does not verify.
        Unavailable: it cannot be verified now.

    Specification: OpenID4VP 1.0, appendix A.4 and section 8.3; PROFILE V-41, V-71.
    """
    tenant = verifier.tenant(tenant_id)
    row = _open_row(verifier, tenant_id, transaction_id, cookie)
    if row.sealed_dc is None:
        raise AlreadyEnded("page: nothing was asked over the Digital Credentials API")
    keys = RequestKeys.open(verifier, row.sealed_dc, tenant=tenant_id, request_id=row.request_id)
    code = settle(verifier, tenant, row, keys, token, browser=None)
    return {"redirect_uri": with_code(row.return_url, code)}


def come_back(
    verifier: Verifier, tenant_id: str, transaction_id: str, cookie: str | None, code: str
) -> str:
    """The browser is back from its wallet: where it goes on, with a code for the asker.

    Raises:
        NotFound: no such page, or of a flow in which nobody comes back.
        ReturnRejected: not the start cookie, not the code, or not the first time; the presentation
            is rejected.

    Specification: HAIP 1.0, section 5.1; OpenID4VP 1.0, section 14.2; PROFILE V-43, V-50.
    """
    now = verifier.clock()
    row = _find(verifier, tenant_id, transaction_id)
    if row.flow == "cross_device":
        raise NotFound("page: nobody comes back across devices")
    onward = b64url_encode(verifier.random_bytes(_CODE_BYTES))
    here = {"tenant_": tenant_id, "id_": transaction_id, "now_": now}
    values = here | {
        "browser_hash_": _hash(cookie or ""),
        "response_code_hash_": response_code_hash(code),
        "next_hash_": response_code_hash(onward),
    }
    if COME_BACK.changed(verifier.database, values):
        return with_code(row.return_url, onward)
    if row.state in {State.REFUSED.value, State.REJECTED.value, State.EXPIRED.value}:
        return str(row.return_url)  # nothing to release: the asker reads how it ended
    with verifier.database.transaction() as connection:
        reason = "wrong_return"
        if move(
            connection, REJECT_RETURN, here | {"reason_": reason, "outcome_": rejection(reason)}
        ):
            record(
                connection,
                row,
                tenant=tenant_id,
                actor="browser",
                act="reject",
                reason=reason,
                now=now,
            )
    raise ReturnRejected("page: another browser, another code, or used before")


def _find(verifier: Verifier, tenant_id: str, transaction_id: str) -> TransactionRow:
    values = {"tenant_": tenant_id, "id_": transaction_id}
    row = FOR_BROWSER.row(verifier.database, values)
    if row is None or row.state == State.DELETED.value:
        raise NotFound("page: unknown")
    return row


def _link(verifier: Verifier, tenant: Tenant, row: TransactionRow) -> str:
    """To the wallet that the asker named, or to any app; none where requests are not fetched."""
    if not tenant.signs:
        return ""
    keys = RequestKeys.open(
        verifier, row.sealed_request, tenant=tenant.id, request_id=row.request_id
    )
    return link_to(keys.wallet, request_link(verifier, tenant, row.request_id, post=False))


def _open_row(
    verifier: Verifier, tenant_id: str, transaction_id: str, cookie: str | None
) -> TransactionRow:
    row = _find(verifier, tenant_id, transaction_id)
    if not _is_bound(row, cookie):
        raise OtherBrowser("page: not the start cookie")
    if state_now(row, verifier.clock()) not in OPEN:
        raise AlreadyEnded("page: answered or expired")
    return row


def _bind(verifier: Verifier, tenant_id: str, transaction_id: str, cookie: str) -> None:
    values = {
        "tenant_": tenant_id,
        "id_": transaction_id,
        "now_": verifier.clock(),
        "browser_hash_": _hash(cookie),
    }
    if not BIND_BROWSER.changed(verifier.database, values):
        raise OtherBrowser("page: another browser was first")


def _is_bound(row: Any, cookie: str | None) -> bool:
    return row.browser_hash is not None and row.browser_hash == _hash(cookie or "")


def _hash(cookie: str) -> bytes:
    return hashlib.sha256(b"start cookie:" + cookie.encode()).digest()
