"""What an issuer sent is believed copy by copy, before the citizen sees it (W-41).

Type, signature, chain to the agency that offered it, our own key (each at most once), equal claims
and validity across the batch, a status of its own for every copy. The order of the answer means
nothing (W-40). Labels come from the Type Metadata that the trust list names, never from the
credential.

Specification: OpenID4VCI 1.0, sections 8.3 and 13.5; RFC 9901, section 7.2; PROFILE W-40, W-41,
S-40.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from shared.crypto.keys import PublicKey
from shared.encoding import JsonValue, b64url_encode, to_numeric_date
from shared.errors import ExpectedError, InvalidInput, Untrusted, VerificationError
from shared.formats import credential as formats
from shared.formats import type_metadata
from shared.formats.claims_path import ConcretePath
from shared.formats.credential import Held, Received, Trusted
from shared.formats.status_list import StatusReference
from shared.formats.type_metadata import TypeMetadata
from shared.trust import Issue, Role, TrustList, may_issue

from . import picturing, wording
from .context import Wallet

TECHNICAL = frozenset({"iss", "iat", "nbf", "exp", "cnf", "vct", "vct#integrity", "status", "sub"})
_PER_COPY = frozenset({"cnf", "status"})
_ALGORITHMS = ("ES256",)


class WrongCredential(VerificationError):
    """The issuer sent something else than was asked for."""

    reason = "wrong_credential"
    whose_fault = "issuer"
    public = "What the agency sent is not what was offered. Nothing was stored."
    next_step = "Tell the agency; it can renew the offer."


@dataclass(frozen=True, slots=True)
class _Labels:
    names: dict[str, str]
    labels: list[JsonValue]


def check_received(wallet: Wallet, state: Mapping[str, Any], *, now: datetime) -> list[JsonValue]:
    """Every credential of the flow, checked, as it is to be shown and stored; one entry a part.

    Raises:
        WrongCredential, VerificationError, InvalidInput: one copy is not good: none is kept.
    """
    trust = wallet.trust.current()
    fetching = picturing.Fetching(wallet, locale=state.get("locale", wording.FALLBACK))
    return [
        {
            **_part(wallet, trust, fetching, state, request, now=now),
            "configuration": request["part"]["configuration"],
        }
        for request in state["requests"]
    ]


def _part(
    wallet: Wallet,
    trust: TrustList,
    fetching: picturing.Fetching,
    state: Mapping[str, Any],
    request: Mapping[str, Any],
    *,
    now: datetime,
) -> dict[str, JsonValue]:
    part = request["part"]
    trusted = Trusted(
        trust.anchors(Role.CREDENTIAL, now=now, credential_type=part["type"]),
        trust.revoked,
        trust.pinned(Role.CREDENTIAL, now=now, credential_type=part["type"]),
    )
    ours = {
        PublicKey.from_jwk(each["jwk"]): copy
        for copy, each in state["copies"].items()
        if each["configuration"] == part["configuration"]
    }
    copies: dict[str, Held] = {}
    for each in request["answer"]["credentials"]:
        # 1. Signature, chain to an anchor for this type, digests, dates, type, and a key of ours.
        if not ours:
            raise WrongCredential("received: more credentials than keys")
        received = formats.receive(
            part["format"],
            each["credential"],
            expected_type=part["type"],
            keys=ours,
            trusted=trusted,
            now=now,
            algorithms=_ALGORITHMS,
        )
        # 2. By the agency that offered it, which may issue this type.
        issue = _entitled(trust, state, part, received, now=now)
        # 3. Each key at most once.
        if received.held.holder is None:
            raise WrongCredential("received: bound to no key")
        copies[ours.pop(received.held.holder)] = received.held
    # 4. One dataset, one validity; but no status shared between copies (S-40).
    _same_everywhere(list(copies.values()))
    found = _type_metadata(wallet, issue, part)
    # 5. What it is called and looks like, as far as that can be had.
    look, pictures = fetching.look(part.get("look", {}), found, next(iter(copies.values())).claims)
    card = _card(state, copies, _labels(found, part), now=now)
    return {**card, "look": look, "pictures": pictures}


def _entitled(
    trust: TrustList,
    state: Mapping[str, Any],
    part: Mapping[str, Any],
    received: Received,
    *,
    now: datetime,
) -> Issue:
    entity = trust.entity_for_chain(Role.CREDENTIAL, received.chain, now=now)
    if entity.id != state["entity"]:
        raise Untrusted("received: signed by another agency than the one that offered it")
    return may_issue(
        entity,
        credential_format=part["format"],
        credential_type=part["type"],
        issued_at=received.held.validity.issued_at,
        now=now,
    )


def _same_everywhere(copies: Sequence[Held]) -> None:
    for copy in copies[1:]:
        if _dataset(copy) != _dataset(copies[0]) or copy.validity != copies[0].validity:
            raise WrongCredential("received: the copies of the batch differ")
    statuses = [each.status for each in copies if each.status is not None]
    if len(set(statuses)) != len(statuses):
        raise WrongCredential("received: two copies share a status")


def _dataset(held: Held) -> dict[str, JsonValue]:
    return {name: value for name, value in held.claims.items() if name not in _PER_COPY}


def _type_metadata(wallet: Wallet, issue: Issue, part: Mapping[str, Any]) -> TypeMetadata | None:
    """F-TM-02: from the place and integrity in the trust list, if they can be had there."""
    where = issue.type_metadata
    if where is None:
        return None

    def load(vct: str) -> bytes:
        if vct != part["type"]:
            raise InvalidInput("type metadata: extends a type the trust list gives no place for")
        answer = wallet.fetcher.get(
            where.uri, accept="application/json", max_bytes=type_metadata.MAX_BYTES, redirects=3
        )
        return answer.body

    try:
        return type_metadata.resolve(part["type"], load=load, expected_integrity=where.integrity)
    except ExpectedError:
        return None


def _labels(found: TypeMetadata | None, part: Mapping[str, Any]) -> _Labels:
    """Without Type Metadata the claims have their own names."""
    if found is None:
        return _Labels(dict(part["names"]), [])
    names = {each.locale: each.name for each in found.display or ()}
    labels: list[JsonValue] = [
        {
            "path": list(each.path),
            "texts": {one.locale: one.label for one in each.display},
            **({"bytes": True} if each.cbor == "bstr" else {}),
        }
        for each in found.claims
        if each.display
    ]
    return _Labels(names or dict(part["names"]), labels)


def _card(
    state: Mapping[str, Any],
    copies: Mapping[str, Held],
    labels: _Labels,
    *,
    now: datetime,
) -> dict[str, JsonValue]:
    first = next(iter(copies.values()))
    return {
        "format": first.format,
        "type": first.type,
        "issuer": {
            "entity": state["entity"],
            "identifier": state["issuer"],
            "names": state["entity_names"],
        },
        "names": dict(labels.names),
        "labels": labels.labels,
        "claims": _dataset(first),
        "always": _always(first),
        "authority_key_ids": sorted(b64url_encode(each) for each in first.authority_key_ids),
        "received": to_numeric_date(now),
        "not_before": _date(first.validity.not_before),
        "expires_at": _date(first.validity.expires_at),
        "statuses": _statuses(copies.values()),
        "copies": {copy: held.dump().decode() for copy, held in copies.items()},
    }


def _statuses(copies: Iterable[Held]) -> dict[str, JsonValue]:
    """The places of all copies in status lists: indexes by list."""
    found: dict[str, list[JsonValue]] = {}
    for each in copies:
        if isinstance(each.status, StatusReference):
            found.setdefault(each.status.uri, []).append(each.status.index)
    return dict(found)


def _always(held: Held) -> dict[str, JsonValue]:
    """What every presentation shows, since it cannot be withheld; empty containers aside."""
    concealed = frozenset(path for path, _ in held.pieces)
    shown = {
        name: _without(held.claims[name], (name,), concealed)
        for name in held.always_shown()
        if name not in TECHNICAL
    }
    return {name: value for name, value in shown.items() if value not in ({}, [])}


def _without(value: JsonValue, at: ConcretePath, concealed: frozenset[ConcretePath]) -> JsonValue:
    if isinstance(value, Mapping):
        return {
            name: _without(each, (*at, name), concealed)
            for name, each in value.items()
            if (*at, name) not in concealed
        }
    if isinstance(value, list | tuple):
        return [
            _without(each, (*at, index), concealed)
            for index, each in enumerate(value)
            if (*at, index) not in concealed
        ]
    return value


def _date(moment: datetime | None) -> int | None:
    return None if moment is None else to_numeric_date(moment)
