"""From a Credential Offer to the citizen's yes: who offers what, and is that agency known for it?

An offer is untrusted: what it names counts once the metadata of its issuer confirms it, and the
issuer is one the trust list knows, for exactly this type. Only then the citizen sees a preview,
and only after the approval *accept* any code is used (`obtaining.py`).

Specification: OpenID4VCI 1.0, sections 4, 12.2 and 13.5; PROFILE W-01 to W-05, W-16;
WALLET_SECURITY 6.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from shared.encoding import JsonValue, b64url_encode, canonical_json
from shared.errors import ExpectedError, InvalidInput, Untrusted, VerificationError
from shared.formats.credential import FORMATS
from shared.oid4vci.metadata import (
    CredentialConfiguration,
    CredentialIssuerMetadata,
)
from shared.oid4vci.offer import (
    CredentialOffer,
    PreAuthorizedGrant,
    parse_offer_link,
)
from shared.trust import Entity, TrustList, may_issue

from . import approving, flows
from .context import Wallet
from .discovering import UnknownAgency, fetch_offer, issuer_metadata, token_endpoint
from .flows import Flow
from .registering import new_id
from .tables import issuances, wallets
from .vault import OpenWallet

LIFETIME = timedelta(days=1)


class NotSupported(VerificationError):
    """A way of issuing this wallet does not go yet."""

    reason = "not_supported"
    whose_fault = "us"
    public = "This wallet cannot take this kind of offer yet."
    next_step = "Ask the agency for an offer with a code."


class BackupMissing(approving.ApprovalUsed):
    """WALLET_SECURITY 6: first a second unlocker must have worked once."""

    code = "second_unlocker_needed"
    public = "Before the first document: prove your recovery code, or add a second passkey."
    next_step = "Type your recovery code back, or add a second passkey."


def open_offer(
    wallet: Wallet, opened: OpenWallet, link: str, *, idempotency_key: str | None, now: datetime
) -> Flow:
    """Resolve what was scanned, tapped or pasted into a preview.

    Raises:
        InvalidInput: not an offer, or its metadata does not fit.
        UnknownAgency: not trusted for what it offers.
        NotSupported: only ways of issuing we do not go.

    Specification: OpenID4VCI 1.0, section 4.1; PROFILE W-01 to W-05.
    """
    carried = parse_offer_link(link)
    flow, new = flows.begin(
        wallet,
        opened,
        issuances,
        prefix="iss",
        step="resolving",
        state={},
        idempotency_key=idempotency_key,
        expires_at=now + LIFETIME,
    )
    if not new and not flows.unresolved(flow):
        return flow
    try:
        trust = wallet.trust.current()
        offer = carried.offer
        if carried.offer_uri is not None:
            offer = fetch_offer(wallet, trust, carried.offer_uri)
        if offer is None:
            raise InvalidInput("offer: neither by value nor by reference")
        state = _preview(wallet, trust, offer, now=now)
    except ExpectedError as error:
        failed = flows.failure(error, otherwise="invalid")
        flows.resolve(wallet, opened, issuances, flow, to="failed", state=failed)
        raise
    step = "preview" if state["tx_code"] is None else "tx_code"
    return flows.resolve(wallet, opened, issuances, flow, to=step, state=state)


def give_tx_code(
    wallet: Wallet, opened: OpenWallet, flow: Flow, tx_code: str, *, now: datetime
) -> Flow:
    """The Transaction Code as the citizen typed it; only trusted issuers ever ask (W-16)."""
    flows.expect(flow, "tx_code", "preview", now=now)
    asked = flow.state["tx_code"]
    if asked is None:
        raise InvalidInput("tx_code: not asked for")
    if asked["input_mode"] == "numeric" and not (tx_code.isascii() and tx_code.isdigit()):
        raise InvalidInput("tx_code: digits only")
    if asked["length"] not in {None, len(tx_code)}:
        raise InvalidInput("tx_code: another length")
    state = {**flow.state, "tx_code_value": tx_code}
    return flows.record(wallet, opened, issuances, flow, to="preview", state=state)


def propose_accept(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> str:
    """What the citizen approves: this agency, these documents, a key for each new copy."""
    flows.expect(flow, "preview", "accepted", now=now)
    state = flow.state
    items: list[JsonValue] = [
        {
            "copy": new_id(wallet, "cpy"),
            "configuration": part["configuration"],
            "format": part["format"],
            "type": part["type"],
            "name": part["names"],
        }
        for part in state["parts"]
        for _ in range(part["copies"])
    ]
    body: dict[str, JsonValue] = {
        "issuer": {
            "entity": state["entity"],
            "identifier": state["issuer"],
            "names": state["entity_names"],
            "trust": "registered",
        },
        "offer_hash": state["offer_hash"],
        "items": items,
        "warnings": [],
    }
    with wallet.database.transaction() as connection:
        backed_up = select(wallets.c.backed_up).where(wallets.c.id == opened.id)
        if not connection.execute(backed_up).scalar_one():
            raise BackupMissing("accept: no second unlocker has worked yet")
        return approving.propose(
            wallet, connection, opened, kind="accept", body=body, now=now, flow=flow.id
        )


def refuse(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """The citizen does not want it, or not wait any longer; nothing was stored."""
    flows.expect(flow, "resolving", "tx_code", "preview", "accepted", "requesting", now=now)
    return flows.record(wallet, opened, issuances, flow, to="refused", state={})


def _preview(
    wallet: Wallet, trust: TrustList, offer: CredentialOffer, *, now: datetime
) -> dict[str, Any]:
    # 1. The issuer is one the trust list knows, before anything is fetched from it.
    try:
        entity = trust.entity_for_issuer(offer.credential_issuer)
    except Untrusted as error:
        raise UnknownAgency(str(error)) from error
    if not entity.covers(now):
        raise UnknownAgency("offer: the entity is not in force")
    # 2. A grant we can use.
    grant = offer.pre_authorized
    if grant is None:
        raise NotSupported("offer: no pre-authorized code")
    # 3. Its own metadata, confirmed by string comparison (W-03, W-04).
    metadata = issuer_metadata(wallet, trust, offer.credential_issuer, entity, now=now)
    offered = metadata.configurations(offer.credential_configuration_ids)
    server = metadata.authorization_server(grant.authorization_server)
    endpoint = token_endpoint(wallet, server)
    # 4. Each configuration is one we can hold, and one this entity may issue (C-23).
    parts = [_part(entity, name, each, metadata, now=now) for name, each in offered.items()]
    return {
        "issuer": offer.credential_issuer,
        "entity": entity.id,
        "entity_names": dict(entity.names),
        "offer_hash": b64url_encode(_hash(offer)),
        "pre_authorized_code": grant.pre_authorized_code,
        "tx_code": _tx_code(grant),
        "tx_code_value": None,
        "token_endpoint": endpoint,
        "credential_endpoint": metadata.credential_endpoint,
        "nonce_endpoint": metadata.nonce_endpoint,
        "notification_endpoint": metadata.notification_endpoint,
        "parts": [
            {**part, "copies": min(metadata.batch_size, wallet.settings.copies)} for part in parts
        ],
    }


def _part(
    entity: Entity,
    name: str,
    configuration: CredentialConfiguration,
    metadata: CredentialIssuerMetadata,
    *,
    now: datetime,
) -> dict[str, Any]:
    kind = configuration.vct if configuration.format == "dc+sd-jwt" else configuration.doctype
    if configuration.format not in FORMATS or kind is None:
        raise NotSupported("offer: a format this wallet does not hold")
    try:
        may_issue(
            entity,
            credential_format=configuration.format,
            credential_type=kind,
            issued_at=None,
            now=now,
        )
    except Untrusted as error:
        raise UnknownAgency(str(error)) from error
    proof = (configuration.proof_types_supported or {}).get("jwt")
    if proof is None or "ES256" not in proof.proof_signing_alg_values_supported:
        raise NotSupported("offer: no key proof this wallet can make")
    if proof.key_attestations_required is not None:
        raise NotSupported("offer: key attestations are required")
    response = metadata.credential_response_encryption
    request = metadata.credential_request_encryption
    if any(each is not None and each.encryption_required for each in (response, request)):
        raise NotSupported("offer: encryption of the credential response is required")
    shown = configuration.credential_metadata
    names = {
        each.locale or "en": each.name
        for each in (shown.display if shown else None) or ()
        if each.name
    }
    return {
        "configuration": name,
        "format": configuration.format,
        "type": kind,
        "names": names or {"en": kind},
    }


def _tx_code(grant: PreAuthorizedGrant) -> Mapping[str, JsonValue] | None:
    asked = grant.tx_code
    if asked is None:
        return None
    return {
        "input_mode": asked.input_mode,
        "length": asked.length,
        "description": asked.description,
    }


def _hash(offer: CredentialOffer) -> bytes:
    return hashlib.sha256(canonical_json(offer.to_object())).digest()
