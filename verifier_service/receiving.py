"""The answer of a Wallet: open, verify, then let one guarded UPDATE decide (OpenID4VP 1.0, 8.2).

Everything before the UPDATE is bounded and changes nothing, so input that does not open, or that
belongs to another state, consumes nothing (V-41). From there on the transaction ends, whatever
happens: verified, rejected with its reason, or refused by the citizen. Of two answers the first
wins; the loser is refused like any answer to a request that has ended (V-03, V-42).
"""

import hmac
from contextlib import suppress
from dataclasses import dataclass

from shared.encoding import JsonValue, b64url_encode, dump_json
from shared.errors import NotFound, Unavailable, VerificationError
from shared.formats.values import Session
from shared.oauth.errors import InvalidRequest
from shared.oid4vp import response
from shared.oid4vp.response import AuthorizationResponse, MalformedResponse, WalletError

from . import webhooks
from .context import Verifier
from .queries import Query
from .request_keys import RequestKeys
from .requesting import page_url
from .secrets import response_code_hash, seal_claims
from .tenants import Tenant
from .transactions import ANSWER, FOR_WALLET, OPEN, State, TransactionRow
from .verdicts import Verdict
from .verifying import Expected, Verified, verify

_CODE_BYTES = 32  # V-43
# OpenID4VP 1.0, section 8.5: what a Wallet may say; other text of its is not kept.
_WALLET_ERRORS = frozenset(
    {
        "access_denied",
        "invalid_client",
        "invalid_request",
        "invalid_request_uri_method",
        "invalid_scope",
        "invalid_transaction_data",
        "vp_formats_not_supported",
        "wallet_unavailable",
    }
)


class AlreadyEnded(InvalidRequest):
    """V-42: answered before, by somebody who was faster, or expired."""

    public = "This request has expired or was already answered."


class NotVerified(InvalidRequest):
    """V-42: the reasons are for the asker alone."""

    public = "The presentation was not accepted."


class _NotOurs(InvalidRequest):
    """V-41: does not open with the key of this request, or is of another state."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """How the transaction is to end."""

    state: State
    verdict: Verdict
    claims: JsonValue = None


def receive(
    verifier: Verifier, tenant_id: str, request_id: str, body: bytes
) -> dict[str, JsonValue]:
    """Take the answer to one request.

    Returns:
        `{"redirect_uri": …}` with a fresh response code, for an accepted presentation and for a
        refusal.

    Raises:
        NotFound: no such request.
        InvalidRequest: not an answer to this open request, or one that does not verify.
        Unavailable: it cannot be verified now; the transaction has ended with that reason.

    Specification: OpenID4VP 1.0, sections 8.2, 8.3.1 and 8.6; HAIP 1.0, section 5.1; PROFILE V-40
        to V-43.
    """
    tenant = verifier.tenant(tenant_id)
    # 1. The transaction, by path; it must be open.
    row = _find(verifier, tenant_id, request_id)
    # 2. Either an error sent plain, or a JWE that this transaction's key opens.
    keys = RequestKeys.open(verifier, row.sealed_request, tenant=tenant_id, request_id=request_id)
    posted = response.parse_posted(body, encrypted=keys.encrypted)
    code = settle(verifier, tenant, row, keys, posted, browser=row.browser_hash)
    return {"redirect_uri": _redirect(verifier, tenant, row, code)}


def settle(
    verifier: Verifier,
    tenant: Tenant,
    row: TransactionRow,
    keys: RequestKeys,
    posted: str | AuthorizationResponse,
    *,
    browser: bytes | None,
) -> str:
    """Open and verify what was posted, then end the transaction; its response code.

    Args:
        verifier: this service.
        tenant: whose transaction.
        row: the transaction, open.
        keys: of the request that is answered.
        posted: a JWE, or what came plain.
        browser: the start cookie's hash that has to come back before the asker's code counts.

    Raises:
        InvalidRequest, Unavailable: as `receive`.
    """
    try:
        opened = _open(posted, keys)
        # 3. From here on the transaction ends, also by what nobody foresaw.
        ending = _judge(verifier, tenant.queries[row.query], keys, opened)
    except _NotOurs:
        raise
    except Exception as error:
        with suppress(AlreadyEnded):
            _end(verifier, tenant, row, _rejected(_reason(error)), keys.result_key, browser)
        if isinstance(error, VerificationError):
            raise NotVerified(f"response: not accepted: {error}") from error
        raise
    # 4. One guarded UPDATE decides.
    code = _end(verifier, tenant, row, ending, keys.result_key, browser)
    if ending.state is State.REJECTED and ending.verdict.wallet_error is None:
        raise NotVerified(f"response: not accepted: {ending.verdict.reason}")
    return code


def _open(posted: str | AuthorizationResponse, keys: RequestKeys) -> AuthorizationResponse:
    """What is in the post, if it is an answer to this request; what is not consumes nothing."""
    if isinstance(posted, str):
        try:
            posted = response.decrypt(posted, key=keys.decrypter)
        except MalformedResponse:
            raise
        except InvalidRequest as error:
            raise _NotOurs(str(error)) from error
    if not _is_state(posted.state, keys):
        raise _NotOurs("response: state is missing or another one")
    return posted


def _is_state(state: str | None, keys: RequestKeys) -> bool:
    """V-41; over the Digital Credentials API there is none, its page has a session (V-71)."""
    if keys.response_uri is None:
        return state is None
    return hmac.compare_digest((state or "").encode(), keys.state.encode())


def _find(verifier: Verifier, tenant_id: str, request_id: str) -> TransactionRow:
    values = {"tenant_": tenant_id, "request_id_": request_id}
    row = FOR_WALLET.row(verifier.database, values)
    if row is None:
        raise NotFound("response: unknown request")
    if row.state not in OPEN or verifier.clock() >= row.expires_at:
        raise AlreadyEnded("response: the request has ended")
    return row


def _judge(
    verifier: Verifier,
    query: Query,
    keys: RequestKeys,
    posted: AuthorizationResponse,
) -> _Ending:
    state = None if keys.response_uri is None else keys.state
    accepted = response.accept(posted, state=state, query=query.dcql)
    if isinstance(accepted, WalletError):
        return _refused(accepted)
    expected = Expected(
        query=query,
        session=Session(
            keys.audience,
            keys.nonce,
            keys.response_uri,
            keys.decrypter.public.thumbprint() if keys.encrypted else None,
        ),
        transaction_data=keys.transaction_data,
        trust_list=verifier.trust.current(),
        now=verifier.clock(),
    )
    verified: Verified = verify(accepted, expected, verifier.statuses)
    ended = State.VERIFIED if verified.verdict.accepted else State.REJECTED
    return _Ending(ended, verified.verdict, dict(verified.claims))


def _refused(error: WalletError) -> _Ending:
    code = error.code if error.code in _WALLET_ERRORS else "other"
    if code == "access_denied":
        return _Ending(State.REFUSED, Verdict(accepted=False, reason="refused", wallet_error=code))
    return _Ending(
        State.REJECTED, Verdict(accepted=False, reason="wallet_error", wallet_error=code)
    )


def _rejected(reason: str) -> _Ending:
    return _Ending(State.REJECTED, Verdict(accepted=False, reason=reason))


def _reason(error: Exception) -> str:
    if isinstance(error, InvalidRequest):
        return "malformed"
    if isinstance(error, Unavailable):
        return str(getattr(error, "code", "unavailable"))
    return "internal_error"


def _end(  # noqa: PLR0917  # private
    verifier: Verifier,
    tenant: Tenant,
    row: TransactionRow,
    ending: _Ending,
    key: bytes,
    browser: bytes | None,
) -> str:
    """End the transaction, if nobody was faster; returns the response code."""
    now = verifier.clock()
    code = b64url_encode(verifier.random_bytes(_CODE_BYTES))
    waits = ending.state is State.VERIFIED and row.flow != "cross_device"
    values: dict[str, object] = {
        "tenant_": tenant.id,
        "id_": row.id,
        "now_": now,
        "state_": (State.RESPONDED if waits else ending.state).value,
        "ended_at_": None if waits else now,
        "due_at_": row.expires_at if waits else now,
        "reason_": ending.verdict.reason,
        "outcome_": ending.verdict.model_dump_json(exclude_none=True),
        "sealed_claims_": None,
        "claims_until_": None,
        "response_code_hash_": response_code_hash(code) if waits else None,
        "browser_hash_": browser if waits else None,
    }
    if ending.state is State.VERIFIED or ending.verdict.overridable:
        values["sealed_claims_"] = seal_claims(
            key,
            dump_json(ending.claims),
            tenant=tenant.id,
            transaction_id=row.id,
            random_bytes=verifier.random_bytes,
        )
        values["claims_until_"] = now + tenant.queries[row.query].retention
    if not _moved(verifier, tenant, row, values, told=None if waits else ending.state):
        raise AlreadyEnded("response: another answer was first, or the request expired meanwhile")
    return code


def _moved(
    verifier: Verifier,
    tenant: Tenant,
    row: TransactionRow,
    values: dict[str, object],
    *,
    told: State | None,
) -> bool:
    """Whether this answer was the first; if so, the tenant's webhook will be told."""
    if told is None or tenant.webhook_url is None:
        return ANSWER.changed(verifier.database, values)
    with verifier.database.transaction() as connection:
        if not ANSWER.changed(connection, values):
            return False
        webhooks.tell(connection, tenant, row.id, told, now=verifier.clock())
    return True


def _redirect(verifier: Verifier, tenant: Tenant, row: TransactionRow, code: str) -> str:
    """Where the wallet sends its user: to the asker, or to a page of ours that goes on from there.

    The page knows the start cookie; what the asker gets as its code is the page's to give.
    """
    base = row.return_url or f"{verifier.settings.public_url}/{tenant.id}/done"
    if row.flow == "dc_api" or row.browser_hash is not None:
        base = f"{page_url(verifier, tenant.id, row.id)}/return"
    return with_code(base, code)


def with_code(url: str, code: str) -> str:
    """*url* with a response code (V-43)."""
    return f"{url}{'&' if '?' in url else '?'}response_code={code}"
