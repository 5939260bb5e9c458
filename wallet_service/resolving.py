"""The request behind a link: fetched without a trace, verified, held against the trust list.

No redirects, no cookies, the same headers and the same `wallet_metadata` for every wallet. Who
asks and why is said by the trust list: name, purpose, retention; nothing comes from the request
itself.

Specification: OpenID4VP 1.0, sections 5.10 and 15.6; DESIGN section 4; PROFILE W-51, W-52, W-56,
W-57, V-31.
"""

import hashlib
from datetime import datetime
from typing import Any

from shared.encoding import JsonValue, b64url_encode, dump_json
from shared.formats.credential import FORMATS
from shared.oauth.messages import make_form
from shared.oid4vp import invocation, request
from shared.oid4vp.dcql import CredentialQuery
from shared.oid4vp.errors import InvalidRequest
from shared.oid4vp.invocation import RequestLink
from shared.oid4vp.request import VerifiedRequest
from shared.trust import Entitlement, Entity, Role, Wanted, entitled

from .context import Wallet


def resolve(
    wallet: Wallet, carried: RequestLink, *, cross_device: bool, now: datetime
) -> dict[str, Any]:
    """Everything about a request that consent, approval and answer need.

    Raises:
        InvalidRequest and the other codes of OpenID4VP 8.5: for the citizen's screen only.
        Untrusted: nobody in the trust list asks.

    Specification: OpenID4VP 1.0, sections 5 and 5.10; PROFILE W-50 to W-57.
    """
    trust = wallet.trust.current()
    token, wallet_nonce = _fetch(wallet, carried)
    # 1. The signature, the certificate of an agency that may ask, every parameter.
    verified = request.verify(
        token,
        client_id=carried.client_id,
        wallet_nonce=wallet_nonce,
        formats=FORMATS,
        transaction_types={},
        anchors=trust.anchors(Role.ACCESS, now=now),
        now=now,
        revoked=trust.revoked,
        pinned=trust.pinned(Role.ACCESS, now=now),
    )
    # 2. Who that is, and what they registered.
    entity = trust.entity_for_chain(Role.ACCESS, verified.chain, now=now)
    purpose = verified.purpose
    named = purpose.purpose if purpose is not None and purpose.entity == entity.id else None
    # 3. Whether this question stays within it.
    wanted = [_wanted(each) for each in verified.query.credentials]
    found = entitled(wanted, entity, purpose=named, cross_device=cross_device, now=now)
    return {
        "verifier": _verifier(verified, entity, found),
        "query": verified.query.to_object(),
        "request_hash": b64url_encode(hashlib.sha256(token.encode()).digest()),
        "response_uri": verified.response_uri,
        "nonce": verified.nonce,
        "state": verified.state,
        "encryption_key": verified.encryption_key.to_jwk(),
        "enc": verified.enc,
        "over_asked": [[query_id, list(path)] for query_id, path in found.over_asked],
        "warnings": [*found.warnings, *(["test_environment"] if trust.is_test else [])],
        "blocked": not found.allowed and wallet.settings.over_asking == "block",
        "cross_device": cross_device,
    }


def _fetch(wallet: Wallet, carried: invocation.RequestLink) -> tuple[str, str | None]:
    """W-51: no redirects, no cookies; a wallet_nonce when the verifier wants a POST."""
    if carried.method == "get":
        answer = wallet.fetcher.get(
            carried.request_uri, accept=request.MEDIA_TYPE, max_bytes=request.MAX_BYTES
        )
        wallet_nonce = None
    else:
        wallet_nonce = b64url_encode(wallet.random_bytes(32))
        metadata = _wallet_metadata()
        form = make_form({"wallet_metadata": metadata, "wallet_nonce": wallet_nonce})
        answer = wallet.fetcher.post_bytes(
            carried.request_uri,
            form,
            content_type="application/x-www-form-urlencoded",
            accept=request.MEDIA_TYPE,
            max_bytes=request.MAX_BYTES,
        )
    if answer.status != 200:
        raise InvalidRequest("request_uri: does not answer with a request")
    if answer.content_type != request.MEDIA_TYPE:
        raise InvalidRequest("request_uri: another media type")
    try:
        return answer.body.decode("ascii"), wallet_nonce
    except UnicodeDecodeError as error:
        raise InvalidRequest("request_uri: not a JWT") from error


def _wallet_metadata() -> str:
    """`wallet_metadata`: the same for every wallet of this service, so it tells nobody apart."""
    return dump_json(invocation.wallet_metadata(tuple(FORMATS))).decode()


def _wanted(query: CredentialQuery) -> Wanted:
    """One Credential Query as entitlement minds it: every claim that any of its options asks."""
    claims = tuple(dict.fromkeys(claim.path for claim in query.claims or ()))
    return Wanted(query.id, query.format, query.types or (), claims)


def _verifier(
    verified: VerifiedRequest, entity: Entity, found: Entitlement
) -> dict[str, JsonValue]:
    """Who asks and why, in the words of the trust list; nothing from the request itself (W-57)."""
    ask = found.ask
    return {
        "entity": entity.id,
        "client_id": verified.client_id.full,
        "names": dict(entity.names),
        "trust": "registered",
        "certificate_hash": b64url_encode(hashlib.sha256(verified.chain.leaf).digest()),
        "purpose": None if ask is None else ask.purpose,
        "purpose_texts": {} if ask is None else dict(ask.texts),
        "retention_seconds": None if ask is None else ask.retention_seconds,
        "privacy_policy": None if ask is None else ask.privacy_policy,
    }
