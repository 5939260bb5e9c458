"""An open wallet renews by itself: low copies are filled up, old cards issued again.

With spare keys no gesture is needed: the refresh token asks, the wallet provider attests the keys,
and what comes is kept silently if it says the same as before. If it says something else, it is
shown before the old card goes; without spare keys the citizen's gesture makes new ones. Every
renewal is an issuance like any other, so a crash resumes; of two at once one goes on.

Specification: OpenID4VCI 1.0, section 14.5; DESIGN, journey 5; PROFILE W-40, W-43, W-45;
WALLET_SECURITY 6.
"""

from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, RowMapping, delete, select, update

from shared.crypto.keys import PublicKey
from shared.encoding import JsonValue, b64url_encode, to_numeric_date
from shared.errors import ExpectedError
from shared.runtime.database import once

from . import coarse, flows, holding, obtaining, receiving, refresh_tokens, tokens
from .checking import TECHNICAL
from .context import Wallet
from .discovering import issuer_metadata, server_metadata
from .flows import Flow
from .holding import Card
from .previewing import agency, asked, terms
from .proving import Spares
from .receiving import LIFETIME
from .tables import issuances, renewals, spare_keys
from .vault import OpenWallet

_PAUSE = timedelta(minutes=10)  # between two attempts
_PATIENCE = timedelta(days=7)  # until a citizen who did nothing is asked again
_WAITING = ("preview", "accepted", "requesting", "deferred", "review")
_LAST_PART = 4  # a card is renewed in the last quarter of its life


def renew(wallet: Wallet, opened: OpenWallet, *, now: datetime) -> None:
    """Pick up what was deferred and renew what needs it; what cannot be had stays as it was."""
    with wallet.database.reading() as connection:
        waiting = connection.execute(
            select(issuances.c.id).where(
                issuances.c.wallet == opened.id, issuances.c.step == "deferred"
            )
        ).scalars()
        deferred = list(waiting)
        due = list(
            connection.execute(
                select(renewals).where(renewals.c.wallet == opened.id, renewals.c.not_before <= now)
            ).mappings()
        )
    for flow_id in deferred:
        with suppress(ExpectedError):
            flow = flows.load(wallet, opened, issuances, flow_id)
            _settle(wallet, opened, obtaining.collect(wallet, opened, flow, now=now), now=now)
    left = holding.copies_left(wallet, opened) if due else {}
    for row in due:
        with suppress(ExpectedError):
            card = holding.card(wallet, opened, row["credential"])
            if _needs(wallet, card, left.get(card.id, 0), now=now):
                _renew(wallet, opened, card, row, now=now)


def renew_now(wallet: Wallet, opened: OpenWallet, card_id: str, *, now: datetime) -> Flow:
    """The citizen wants this card anew: by what renews it, else by signing in at its agency.

    Returns:
        the flow that brings it: stored already if it says the same as before, else at the step
        where the citizen decides.

    Raises:
        NotFound: not a card of this wallet.
        NothingRenews: the agency hands it out on its own offer alone.
    """
    card = holding.card(wallet, opened, card_id)
    # 1. One that waits for the citizen is gone on with.
    for flow in flows.under_way(wallet, opened, issuances, _WAITING, now=now):
        if flow.state.get("replaces") == card.id:
            return flow
    # 2. By its refresh token, if the agency still takes that.
    mine = select(renewals).where(renewals.c.credential == card.id, renewals.c.wallet == opened.id)
    with wallet.database.reading() as connection:
        row = connection.execute(mine).mappings().one_or_none()
    if row is not None:
        with suppress(tokens.CodeRefused, tokens.IssuerRefused):
            found = _renew(wallet, opened, card, row, now=now)
            if found is not None:
                return found
    # 3. As somebody who has none yet.
    return receiving.open_again(wallet, opened, card.data, now=now)


def _needs(wallet: Wallet, card: Card, left: int, *, now: datetime) -> bool:
    end, moment = card.data["expires_at"], to_numeric_date(now)
    begun = card.data["received"]
    old = end is not None and moment >= end - (end - begun) // _LAST_PART
    return left < wallet.settings.refill_below or old


def _renew(
    wallet: Wallet, opened: OpenWallet, card: Card, row: RowMapping, *, now: datetime
) -> Flow | None:
    stored = opened.open(renewals, card.id, row["sealed"])
    # 1. What the issuer says today, before a key is taken.
    entity = agency(wallet.trust.current(), stored["issuer"], now=now)
    metadata = issuer_metadata(wallet, wallet.trust.current(), stored["issuer"], entity, now=now)
    server = server_metadata(wallet, stored["server"]["issuer"])
    state: dict[str, Any] = {
        **stored,
        **terms(
            wallet,
            entity,
            metadata,
            (stored["configuration"],),
            refreshes=True,
            locale=holding.locale_of(wallet, opened),
            now=now,
        ),
        "entity_names": dict(entity.names),
        "server": {**asked(server, by_code=False), "attested": stored["server"]["attested"]},
        "grant": "refresh",
        "offer_hash": b64url_encode(bytes(32)),
        "code": None,
        "issuer_state": None,
        "tx_code": None,
        "tx_code_value": None,
        "access_token": None,
        "replaces": card.id,
        "place": card.data["place"],
        "receipt": {},
        "requests": [],
        "copies": {},
        "spares": {},
    }
    # 2. One request at a time for each authorization; one that is refused renews nothing any more.
    with refresh_tokens.claimed(wallet, opened, stored["authorization"], now=now) as held:
        if held.token is None:
            return None
        state["refresh_token"] = held.token
        # 3. Of two attempts one goes on, with all spare keys or with none.
        flow = _begin(wallet, opened, card, row, state, now=now)
        if flow is None or flow.step == "preview":
            return flow
        state = dict(flow.state)
        form = tokens.grant_of(state)
        flow = tokens.fetch(wallet, opened, flow, state, form, to="accepted", held=held, now=now)
    # 4. Proofs and credentials.
    keys = [PublicKey.from_jwk(each["jwk"]) for each in flow.state["copies"].values()]
    flow = obtaining.proceed(wallet, opened, flow, Spares(wallet.provider, keys), now=now)
    return _settle(wallet, opened, flow, now=now)


def _begin(
    wallet: Wallet,
    opened: OpenWallet,
    card: Card,
    row: RowMapping,
    state: dict[str, Any],
    *,
    now: datetime,
) -> Flow | None:
    """The flow of this renewal: at `accepted` with spare keys, at `preview` without any."""
    part = state["parts"][0]
    with wallet.database.transaction() as connection:
        spares = _spares(connection, opened, card, part) if part["refills"] else {}
        pause = _PAUSE if spares else _PATIENCE
        mine = _mine(update(renewals), opened, card).where(
            renewals.c.not_before == row["not_before"]
        )
        if not once(connection, mine.values(not_before=coarse.by_hour(now + pause))):
            return None
        if spares:
            state = {**state, "copies": spares}
            connection.execute(delete(spare_keys).where(spare_keys.c.id.in_(spares)))
    flow, _ = flows.begin(
        wallet,
        opened,
        issuances,
        prefix="iss",
        step="accepted" if spares else "preview",
        state=state,
        idempotency_key=None,
        expires_at=now + (LIFETIME if spares else _PATIENCE),
    )
    return flow


def _spares(
    connection: Connection, opened: OpenWallet, card: Card, part: Mapping[str, Any]
) -> dict[str, JsonValue]:
    """Spare keys of the card, as many as one request takes, as a flow holds its copies' keys."""
    rows = connection.execute(
        select(spare_keys)
        .where(spare_keys.c.credential == card.id, spare_keys.c.wallet == opened.id)
        .order_by(spare_keys.c.id)
        .limit(part["copies"])
    ).mappings()
    return {
        row["id"]: {
            "configuration": part["configuration"],
            "jwk": opened.open(spare_keys, row["id"], row["sealed"])["jwk"],
            "key_blob": b64url_encode(row["key_blob"]),
        }
        for row in rows
    }


def _settle(wallet: Wallet, opened: OpenWallet, flow: Flow, *, now: datetime) -> Flow:
    """Keep what says the same as the card it replaces; anything else waits for the citizen."""
    if flow.step != "review" or flow.state.get("replaces") is None:
        return flow
    card = holding.card(wallet, opened, flow.state["replaces"])
    (new,) = flow.state["checked"]
    if _said(new["claims"]) == _said(card.data["claims"]):
        return holding.keep(wallet, opened, flow, now=now)
    return flow


def _said(claims: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in claims.items() if name not in TECHNICAL}


def _mine(statement: Any, opened: OpenWallet, card: Card) -> Any:
    return statement.where(renewals.c.credential == card.id, renewals.c.wallet == opened.id)
