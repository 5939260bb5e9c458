"""From an Authorization Request to the citizen's choice: who asks, for what, and what would answer?

A request is fetched without cookies or identifying headers, and counts only once its signature,
its certificate, its registered purpose and its query have been checked. Whatever is wrong with it
is told to the citizen alone: no invalid request ever causes a call to `response_uri`
(CERTIFICATION 2.4.3).

Specification: OpenID4VP 1.0, sections 5, 9 and 15; HAIP 5.1; PROFILE W-50 to W-57, V-31;
WALLET_SECURITY 6.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from shared.encoding import JsonValue, b64url_encode, from_numeric_date, to_numeric_date
from shared.errors import Conflict, ExpectedError, InvalidInput, Unavailable
from shared.formats.kb_jwt import hash_transaction_data
from shared.oauth.encryption import EncryptionKey
from shared.oid4vp import dcql, dcql_matching, invocation, transaction_data
from shared.oid4vp.dcql import DcqlQuery
from shared.oid4vp.dcql_matching import Match, Selection
from shared.oid4vp.transaction_data import TransactionData
from shared.runtime.languages import mark

from . import approving, choosing, flows, holding, resolving
from .checking import TECHNICAL
from .context import Wallet
from .flows import Flow
from .holding import Card
from .registering import new_id, open_ticket, seal_ticket
from .tables import presentations
from .vault import OpenWallet

LIFETIME = timedelta(hours=24)
"""Of a question whose agency sets no end: longer than the twenty hours beyond which nobody is
hurried (WCAG 2.2.1)."""
_TICKET = "request"


@dataclass(frozen=True, slots=True)
class Question:
    """An open presentation with everything that consent needs."""

    flow: Flow
    query: DcqlQuery
    cards: Mapping[str, Card]
    selection: Selection

    @property
    def blocked(self) -> bool:
        """Whether policy forbids an answer: the agency asks for what it is not entitled to."""
        return bool(self.flow.state["blocked"])

    def newest_by_type(self) -> dict[str, str]:
        """For each type that answers: the id of its newest card."""
        types = {m.candidate.type for each in self.selection.matches.values() for m in each}
        in_order = ((card.data["type"], card.id) for card in self.cards.values())
        return {kind: card for kind, card in in_order if kind in types}

    @property
    def answerable(self) -> bool:
        """Whether the citizen can say yes."""
        return self.selection.satisfiable and not self.blocked

    def proposal(self, now: datetime) -> dict[str, tuple[str, ...]]:
        """The least that answers, by cards that are valid if there are any."""
        return self.selection.proposal(
            [k for k, card in self.cards.items() if not card.usable(now)]
        )


def open_request(
    wallet: Wallet,
    opened: OpenWallet,
    link: str,
    *,
    cross_device: bool,
    idempotency_key: str | None,
    now: datetime,
) -> Flow:
    """Fetch and verify the request behind *link*; returns the flow at the step `consent`.

    Args:
        wallet: the service.
        opened: the wallet of this session.
        link: what was scanned, tapped or pasted.
        cross_device: whether it was scanned from another screen.
        idempotency_key: a repeated call with the same one gets the same flow.
        now: the request must be valid then.

    Raises:
        InvalidRequest and the other codes of OpenID4VP 8.5: for the citizen's screen only.
        Untrusted: nobody in the trust list asks.

    Specification: OpenID4VP 1.0, sections 5 and 5.10; PROFILE W-50 to W-57.
    """
    carried = resolving.parse(wallet, invocation.parameters_of(link))
    flow, new = flows.begin(
        wallet,
        opened,
        presentations,
        prefix="prs",
        step="resolving",
        state={"cross_device": cross_device},
        idempotency_key=idempotency_key,
        expires_at=now + LIFETIME,
    )
    if not new and not flows.unresolved(flow):
        return flow
    try:
        state = resolving.resolve(wallet, carried, cross_device=cross_device, now=now)
    except ExpectedError as error:
        failed = flows.failure(error, otherwise="invalid_request")
        flows.resolve(wallet, opened, presentations, flow, to="failed", state=failed)
        raise
    end = _end(state, flow.expires_at)
    return flows.resolve(
        wallet, opened, presentations, flow, to="consent", state=state, expires_at=end
    )


def prepare(
    wallet: Wallet,
    parameters: Mapping[str, str],
    *,
    cross_device: bool,
    website: str | None,
    now: datetime,
) -> str:
    """Fetch and verify a request that a browser brought, before anybody signed in.

    Args:
        wallet: the service.
        parameters: of the link.
        cross_device: whether no page of this browser led here.
        website: the host of the page that did, if the browser says so, for the citizen to compare.
        now: the request must be valid then.

    Returns:
        a ticket: the verified request, sealed, for the page to hand in once its wallet is open.

    Raises:
        BadRequest: with one of the codes of OpenID4VP 8.5, for a page; nothing else happens.
        Unavailable: the agency does not answer.

    Specification: CERTIFICATION 2.4.1 and 2.4.3; PROFILE W-50 to W-57, W-63.
    """
    try:
        carried = resolving.parse(wallet, parameters)
        state = resolving.resolve(wallet, carried, cross_device=cross_device, now=now)
    except Unavailable:
        raise
    except ExpectedError as error:
        code = flows.failure(error, otherwise="invalid_request")["reason"]
        raise BadRequest(str(error), code=str(code)) from error
    state["website"] = website
    ticket: dict[str, JsonValue] = {
        "id": new_id(wallet, "prs"),
        "state": state,
        "until": to_numeric_date(now + LIFETIME),
    }
    return seal_ticket(wallet, _TICKET, ticket)


def adopt(wallet: Wallet, opened: OpenWallet, ticket: str, *, now: datetime) -> Flow:
    """The presentation of a *ticket* in this wallet; the same one however often it is handed in.

    Raises:
        Conflict: the ticket is too old.
    """
    found = open_ticket(wallet, _TICKET, ticket, now=now)
    flow, _ = flows.begin(
        wallet,
        opened,
        presentations,
        prefix="prs",
        step="consent",
        state=found["state"],
        idempotency_key=f"ticket {found['id']}",
        expires_at=_end(found["state"], from_numeric_date(found["until"])),
    )
    return flow


def _end(state: Mapping[str, Any], latest: datetime) -> datetime:
    """When the question ends: as the agency says, if it says so."""
    until = state.get("answer_until")
    return latest if until is None else min(latest, from_numeric_date(until))


def question(wallet: Wallet, opened: OpenWallet, flow: Flow) -> Question:
    """What of the wallet would answer the request, seen now; looks only, fetches nothing."""
    query = dcql.parse(flow.state["query"])
    cards = {card.id: card for card in holding.cards(wallet, opened)}
    best_first = sorted(cards.values(), key=lambda each: not each.usable(wallet.clock()))
    selection = dcql_matching.select(query, [each.candidate() for each in best_first])
    return Question(flow, query, cards, selection)


def select(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    picks: Mapping[str, Sequence[str]] | None,
    *,
    now: datetime,
) -> str:
    """Turn the citizen's choice into what is to be approved; returns the approval's id.

    Args:
        wallet: the service.
        opened: the wallet of this session.
        flow: at the step `consent`.
        picks: card ids by Credential Query id; None for the least that answers the request.
        now: the flow must not have expired.

    Raises:
        InvalidInput, QueryUnsatisfied: the choice does not answer the request.
        Blocked: the agency is not entitled to ask this.
        RequestExpired: the agency has stopped waiting; nothing is sent to it in vain.

    Specification: WALLET_SECURITY, section 4; PROFILE Q-20 to Q-24, W-57.
    """
    if flow.step == "consent" and now >= flow.expires_at:
        raise RequestExpired("select: the request has expired")
    flows.expect(flow, "consent", now=now)
    asked = question(wallet, opened, flow)
    if asked.blocked:
        raise Blocked("select: over-asking is blocked by policy")
    confirmed = asked.selection.confirm(asked.proposal(now) if picks is None else picks)
    state = flow.state
    chosen = choosing.choose_copies(
        wallet,
        opened,
        [(query_id, match) for query_id, matches in confirmed.items() for match in matches],
        entity=state["verifier"]["entity"],
    )
    warnings = set(state["warnings"])
    confirming = _confirmations(state["transactions"], [query_id for query_id, _, _ in chosen])
    items: list[JsonValue] = []
    for query_id, match, copy in chosen:
        card = asked.cards[match.candidate.id]
        if copy.uses:
            warnings.add("copy_reused")
        if not card.usable(now):
            warnings.add("card_not_valid")
        # Of several presentations for one query the first confirms.
        items.append(_item(query_id, match, card, copy, confirming.pop(query_id, None)))
    key = state["encryption_key"]
    body: dict[str, JsonValue] = {
        "verifier": state["verifier"],
        "request": {
            "hash": state["request_hash"],
            "response_uri": state["response_uri"],
            "nonce": state["nonce"],
            "audience": state["verifier"]["client_id"],
            "encryption_key": None if key is None else _thumbprint(key),
        },
        "items": items,
        "transactions": [
            {"type": each["type"], "details": each["details"]} for each in state["transactions"]
        ],
        "warnings": sorted(warnings),
    }
    with wallet.database.transaction() as connection:
        return approving.propose(
            wallet, connection, opened, kind="present", body=body, now=now, flow=flow.id
        )


class Blocked(approving.WalletFrozen):
    """The verifier is not entitled to ask this, and policy says: then not."""

    code = "over_asking_blocked"
    whose_fault = "verifier"
    public = "This agency asks for something it is not registered for. Nothing can be shared."
    next_step = "Refuse, and report it if you like."


class BadRequest(InvalidInput):
    """What the agency's link leads to is no request that counts, said to people (W-63)."""

    whose_fault = "verifier"
    public = mark("The request of the agency is not valid. Nothing was sent to anybody.")
    next_step = mark("Go back and begin again. If it happens again, tell the agency this code.")

    def __init__(self, message: str, *, code: str) -> None:
        super().__init__(message)
        self.code = code


class RequestExpired(Conflict):
    """The agency said until when it waits, and that has passed."""

    code = "request_expired"
    whose_fault = "verifier"
    public = "The agency no longer waits for this answer. Nothing was shared."
    next_step = "Ask the agency to start again: nothing in your wallet is lost."


def _confirmations(
    transactions: Sequence[Mapping[str, Any]], query_ids: Sequence[str]
) -> dict[str, JsonValue]:
    """By Credential Query id, the hashes that its presentation carries (HB-31, HB-32)."""
    entries = [
        TransactionData(
            text=each["text"],
            type=each["type"],
            credential_ids=tuple(each["credential_ids"]),
            algorithms=None if each["algorithms"] is None else tuple(each["algorithms"]),
            details=each["details"],
        )
        for each in transactions
    ]
    hashed = {
        query_id: hash_transaction_data(
            [each.text for each in mine], algorithms=transaction_data.common_algorithms(mine)
        )
        for query_id, mine in transaction_data.assign(entries, query_ids).items()
    }
    return {
        query_id: {"hashes": list(each.hashes), "algorithm": each.algorithm}
        for query_id, each in hashed.items()
    }


def _thumbprint(key: object) -> str:
    return b64url_encode(EncryptionKey.from_jwk(key).public.thumbprint())


def _item(
    query_id: str,
    match: Match,
    card: Card,
    copy: choosing.Copy,
    confirms: JsonValue,
) -> dict[str, JsonValue]:
    paths = sorted((list(path) for path in match.paths), key=str)
    return {
        "query": query_id,
        "credential": card.id,
        "copy": copy.id,
        "uses": copy.uses,
        "format": card.data["format"],
        "type": card.data["type"],
        "names": card.data["names"],
        "claims": [path for path in paths if path[0] not in TECHNICAL],
        "always": sorted(card.data["always"]),
        "transaction_data": confirms,
    }
