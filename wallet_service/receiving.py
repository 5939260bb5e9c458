"""From a Credential Offer to the citizen's yes: who offers what, and is that agency known for it?

An offer is untrusted: what it names counts once the metadata of its issuer confirms it, and the
issuer is one the trust list knows, for exactly this type (`previewing.py`). Only then the citizen
sees a preview. With a pre-authorized code it is used after the approval *accept* (`obtaining.py`);
without one the citizen signs in at the agency as well (`authorizing.py`).

Specification: OpenID4VCI 1.0, sections 4, 12.2 and 13.5; PROFILE W-01 to W-05, W-16;
WALLET_SECURITY 6.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import select

from shared.encoding import JsonValue, b64url_encode, canonical_json
from shared.errors import ExpectedError, InvalidInput
from shared.oid4vci.offer import (
    CredentialOffer,
    PreAuthorizedGrant,
    parse_offer_link,
)
from shared.trust import TrustList

from . import approving, flows, holding, obtaining, replacing
from .context import Wallet
from .discovering import fetch_offer, issuer_metadata
from .flows import Flow
from .previewing import NotSupported, agency, preview
from .registering import new_id
from .tables import issuances, wallets
from .vault import OpenWallet

LIFETIME = timedelta(days=1)
_REFUSABLE = (
    "resolving",
    "tx_code",
    "sign_in",
    "authorizing",
    "redeeming",
    "preview",
    "accepted",
    "requesting",
    "deferred",
)


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

    def offered(trust: TrustList) -> CredentialOffer:
        offer = carried.offer
        if carried.offer_uri is not None:
            offer = fetch_offer(wallet, trust, carried.offer_uri)
        if offer is None:
            raise InvalidInput("offer: neither by value nor by reference")
        return offer

    return _open(wallet, opened, offered, idempotency_key=idempotency_key, now=now)


def open_issuer(
    wallet: Wallet,
    opened: OpenWallet,
    *,
    issuer: str,
    configuration: str,
    idempotency_key: str | None,
    now: datetime,
) -> Flow:
    """Ask an agency of the trust list for a document without an offer; the citizen signs in there.

    Raises: as `open_offer`.

    Specification: OpenID4VCI 1.0, section 3.5; HAIP 4.2; PROFILE W-02.
    """
    wished = {"credential_issuer": issuer, "credential_configuration_ids": [configuration]}
    offer = CredentialOffer.from_object(wished)
    return _open(wallet, opened, lambda _: offer, idempotency_key=idempotency_key, now=now)


class NothingRenews(NotSupported):
    """This agency gives the document to nobody who comes on their own."""

    reason = "nothing_renews"
    whose_fault = "issuer"
    public = "This agency cannot be asked for the document from here."
    next_step = "Ask the agency for a new offer: its contacts stand with the document."


def open_again(
    wallet: Wallet,
    opened: OpenWallet,
    held: Mapping[str, Any],
    *,
    idempotency_key: str | None = None,
    now: datetime,
) -> Flow:
    """Ask an agency for another issue of what is *held*, here or in another wallet.

    Raises: as `open_offer`; NothingRenews if the agency goes another way.
    """
    trust, issuer = wallet.trust.current(), held["issuer"]["identifier"]
    metadata = issuer_metadata(wallet, trust, issuer, agency(trust, issuer, now=now), now=now)
    of_type = (held["format"], held["type"])
    for name, each in metadata.credential_configurations_supported.items():
        if (each.format, each.type) == of_type:
            try:
                return open_issuer(
                    wallet,
                    opened,
                    issuer=issuer,
                    configuration=name,
                    idempotency_key=idempotency_key,
                    now=now,
                )
            except NotSupported as error:
                raise NothingRenews(str(error)) from error
    raise NothingRenews("again: the agency has no such configuration any more")


def _open(
    wallet: Wallet,
    opened: OpenWallet,
    offered: Callable[[TrustList], CredentialOffer],
    *,
    idempotency_key: str | None,
    now: datetime,
) -> Flow:
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
        locale = holding.locale_of(wallet, opened)
        state = _state(wallet, trust, offered(trust), locale=locale, now=now)
    except ExpectedError as error:
        failed = flows.failure(error, otherwise="invalid")
        flows.resolve(wallet, opened, issuances, flow, to="failed", state=failed)
        raise
    return flows.resolve(wallet, opened, issuances, flow, to=first_step(state), state=state)


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


def propose_accept(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    *,
    replace: Collection[str] = (),
    now: datetime,
) -> str:
    """What the citizen approves: this agency, these documents, a key for each new copy.

    Args:
        wallet: the service.
        opened: the citizen's.
        flow: at its preview, or before the sign-in at the agency.
        replace: the cards whose place the new ones may take, if they are about the same person.
        now: the flow must not have expired.

    Raises:
        InvalidInput: one of *replace* is not another issue of what is offered.
        BackupMissing: nothing but this device opens the wallet.
    """
    flows.expect(flow, *obtaining.UNDECIDED, now=now)
    state = flow.state
    if not set(replace) <= set(already_held(wallet, opened, state)):
        raise InvalidInput("accept: replaces what is not another issue of this document")
    items: list[JsonValue] = [
        {
            "copy": new_id(wallet, "cpy"),
            "configuration": part["configuration"],
            "format": part["format"],
            "type": part["type"],
            "name": part["names"],
            "spare": spare,
        }
        for part in state["parts"]
        for spare in [False] * part["copies"] + [True] * part["spares"]
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
        "replaces": sorted(replace),
        "warnings": [],
    }
    with wallet.database.transaction() as connection:
        backed_up = select(wallets.c.backed_up).where(wallets.c.id == opened.id)
        if not connection.execute(backed_up).scalar_one():
            raise BackupMissing("accept: no second unlocker has worked yet")
        return approving.propose(
            wallet, connection, opened, kind="accept", body=body, now=now, flow=flow.id
        )


def already_held(
    wallet: Wallet, opened: OpenWallet, state: Mapping[str, Any]
) -> dict[str, Mapping[str, Any]]:
    """The cards of which this flow brings another issue; a renewal has one that it replaces."""
    if state.get("replaces") is not None:
        return {}
    return {
        card.id: card.data
        for card in holding.cards(wallet, opened)
        if any(replacing.same_kind(card.data, state["entity"], part) for part in state["parts"])
    }


def refuse(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """The citizen does not want it, or not wait any longer; nothing was stored."""
    flows.expect(flow, *_REFUSABLE, now=now)
    return flows.record(wallet, opened, issuances, flow, to="refused", state={})


def _state(
    wallet: Wallet, trust: TrustList, offer: CredentialOffer, *, locale: str, now: datetime
) -> dict[str, Any]:
    """The state of a new flow: what the issuer says, and the code that the offer carries."""
    grant = offer.pre_authorized
    issuer_state = (
        None if offer.authorization_code is None else offer.authorization_code.issuer_state
    )
    return {
        **preview(wallet, trust, offer, locale=locale, now=now),
        "offer_hash": b64url_encode(_hash(offer)),
        "grant": "authorization_code" if grant is None else "pre_authorized",
        "code": None if grant is None else grant.pre_authorized_code,
        "issuer_state": issuer_state,
        "tx_code": None if grant is None else _tx_code(grant),
        "tx_code_value": None,
        "line": None,
        "early_proofs": None,
        "access_token": None,
        "refresh_token": None,
        "identifiers": {},
    }


def first_step(state: Mapping[str, Any]) -> str:
    """Where the citizen comes in: a letter's code, the agency's own sign-in, or nothing before."""
    if state["grant"] == "authorization_code":
        return "sign_in"
    return "preview" if state["tx_code"] is None else "tx_code"


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
