"""The request behind a link: fetched without a trace, verified, held against the trust list.

No redirects, no cookies, the same headers and the same `wallet_metadata` for every wallet. Who
asks and why is said by the trust list: name, purpose, retention; nothing comes from the request
itself. Requests outside HAIP are taken by a setting alone; of one that nobody signed it is said
that nobody knows who asks, and nobody is entitled to anything.

Specification: OpenID4VP 1.0, sections 5.10 and 15.6; DESIGN section 4; PROFILE W-50 to W-57, V-31.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from shared.encoding import JsonValue, b64url_encode, dump_json, to_numeric_date
from shared.formats.credential import FORMATS
from shared.oauth.messages import make_form
from shared.oid4vp import by_value, client_id, invocation, request
from shared.oid4vp.by_value import Carried
from shared.oid4vp.dcql import CredentialQuery
from shared.oid4vp.errors import InvalidRequest
from shared.oid4vp.invocation import RequestLink
from shared.oid4vp.request import VerifiedRequest
from shared.oid4vp.transaction_types import TYPES
from shared.trust import Entitlement, Entity, Role, TrustList, Wanted, entitled

from .context import Wallet


def parse(wallet: Wallet, parameters: Mapping[str, str]) -> RequestLink | Carried:
    """What a link's *parameters* carry: in HAIP the place of a signed request, and nothing else.

    Raises:
        InvalidRequest, InvalidRequestUriMethod: not a link for this wallet (W-50).
    """
    if wallet.settings.plain_requests:
        return by_value.parse_parameters(parameters)
    return invocation.parse_request_parameters(parameters)


def resolve(
    wallet: Wallet, carried: RequestLink | Carried, *, cross_device: bool, now: datetime
) -> dict[str, Any]:
    """Everything about a request that consent, approval and answer need.

    Raises:
        InvalidRequest and the other codes of OpenID4VP 8.5: for the citizen's screen only.
        Untrusted: nobody in the trust list asks.

    Specification: OpenID4VP 1.0, sections 5 and 5.10; PROFILE W-50 to W-57.
    """
    trust = wallet.trust.current()
    # 1. The signature, the certificate of an agency that may ask, every parameter.
    verified, received = _verified(wallet, trust, carried, now=now)
    wanted = [_wanted(each) for each in verified.query.credentials]
    # 2. Who that is, what they registered, and whether this question stays within it.
    if verified.chain is None:
        found = _unentitled(wanted, cross_device=cross_device)
        verifier = _stranger(verified)
    else:
        entity = trust.entity_for_chain(Role.ACCESS, verified.chain, now=now)
        purpose = verified.purpose
        named = purpose.purpose if purpose is not None and purpose.entity == entity.id else None
        found = entitled(wanted, entity, purpose=named, cross_device=cross_device, now=now)
        verifier = _verifier(verified, verified.chain.leaf, entity, found)
    warnings = {
        "verifier_unknown": verified.chain is None,
        **dict.fromkeys(found.warnings, True),
        "other_device": cross_device,
        "not_encrypted": verified.encryption_key is None,
        "test_environment": trust.is_test,
    }
    key = verified.encryption_key
    return {
        "verifier": verifier,
        "query": verified.query.to_object(),
        "request_hash": b64url_encode(hashlib.sha256(received).digest()),
        "response_uri": verified.response_uri,
        "nonce": verified.nonce,
        "state": verified.state,
        "encryption_key": None if key is None else key.to_jwk(),
        "enc": verified.enc,
        "transactions": [
            {
                "text": each.text,
                "type": each.type,
                "credential_ids": list(each.credential_ids),
                "algorithms": None if each.algorithms is None else list(each.algorithms),
                "details": dict(each.details),
            }
            for each in verified.transaction_data
        ],
        "over_asked": [[query_id, list(path)] for query_id, path in found.over_asked],
        "warnings": [code for code, applies in warnings.items() if applies],
        "blocked": not found.allowed and wallet.settings.over_asking == "block",
        "cross_device": cross_device,
        "answer_until": None
        if verified.expires_at is None
        else to_numeric_date(verified.expires_at),
        "website": None,
    }


def _verified(
    wallet: Wallet, trust: TrustList, carried: RequestLink | Carried, *, now: datetime
) -> tuple[VerifiedRequest, bytes]:
    """The request, and the bytes of it that were received."""
    token, wallet_nonce, parameters = None, None, {}
    if isinstance(carried, RequestLink):
        token, wallet_nonce = _fetch(wallet, carried)
    else:
        token, parameters = carried.signed, dict(carried.parameters)
    if carried.client_id.startswith(f"{client_id.UNSIGNED}:"):
        verified = by_value.verify_unsigned(
            parameters if token is None else token,
            client_id=carried.client_id,
            wallet_nonce=wallet_nonce,
            formats=FORMATS,
            transaction_types=TYPES,
        )
        return verified, make_form(parameters) if token is None else token.encode()
    if token is None:
        raise InvalidRequest("request: this client_id signs its requests")
    verified = request.verify(
        token,
        client_id=carried.client_id,
        wallet_nonce=wallet_nonce,
        formats=FORMATS,
        transaction_types=TYPES,
        anchors=trust.anchors(Role.ACCESS, now=now),
        now=now,
        revoked=trust.revoked,
        pinned=trust.pinned(Role.ACCESS, now=now),
        response_modes=_response_modes(wallet),
    )
    return verified, token.encode()


def _response_modes(wallet: Wallet) -> tuple[str, ...]:
    return by_value.RESPONSE_MODES if wallet.settings.plain_requests else (request.RESPONSE_MODE,)


def _fetch(wallet: Wallet, carried: RequestLink) -> tuple[str, str | None]:
    """W-51: no redirects, no cookies; a wallet_nonce when the verifier wants a POST."""
    if carried.method == "get":
        answer = wallet.fetcher.get(
            carried.request_uri, accept=request.MEDIA_TYPE, max_bytes=request.MAX_BYTES
        )
        wallet_nonce = None
    else:
        wallet_nonce = b64url_encode(wallet.random_bytes(32))
        metadata = _wallet_metadata(wallet)
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


def _wallet_metadata(wallet: Wallet) -> str:
    """`wallet_metadata`: the same for every wallet of this service, so it tells nobody apart."""
    prefixes = by_value.PREFIXES if wallet.settings.plain_requests else client_id.SUPPORTED
    return dump_json(
        invocation.wallet_metadata(
            tuple(FORMATS), prefixes=prefixes, response_modes=_response_modes(wallet)
        )
    ).decode()


def _wanted(query: CredentialQuery) -> Wanted:
    """One Credential Query as entitlement minds it: every claim that any of its options asks."""
    claims = tuple(dict.fromkeys(claim.path for claim in query.claims or ()))
    return Wanted(query.id, query.format, query.types or (), claims)


def _unentitled(wanted: list[Wanted], *, cross_device: bool) -> Entitlement:
    """Who is not known is entitled to nothing."""
    return Entitlement(
        ask=None,
        over_asked=tuple((each.credential_id, path) for each in wanted for path in each.claims),
        types_not_registered=tuple(each.credential_id for each in wanted),
        cross_device_refused=cross_device,
    )


def _stranger(verified: VerifiedRequest) -> dict[str, JsonValue]:
    """All that is known of a verifier that did not sign: where the answer would go."""
    host = urlsplit(verified.response_uri).netloc
    return {
        "entity": verified.client_id.full,
        "client_id": verified.client_id.full,
        "names": {"en": host},
        "trust": "unknown",
        "certificate_hash": None,
        "purpose": None,
        "purpose_texts": {},
        "retention_seconds": None,
        "privacy_policy": None,
    }


def _verifier(
    verified: VerifiedRequest, leaf: bytes, entity: Entity, found: Entitlement
) -> dict[str, JsonValue]:
    """Who asks and why, in the words of the trust list; nothing from the request itself (W-57)."""
    ask = found.ask
    return {
        "entity": entity.id,
        "client_id": verified.client_id.full,
        "names": dict(entity.names),
        "trust": "registered",
        "certificate_hash": b64url_encode(hashlib.sha256(leaf).digest()),
        "purpose": None if ask is None else ask.purpose,
        "purpose_texts": {} if ask is None else dict(ask.texts),
        "retention_seconds": None if ask is None else ask.retention_seconds,
        "privacy_policy": None if ask is None else ask.privacy_policy,
    }
