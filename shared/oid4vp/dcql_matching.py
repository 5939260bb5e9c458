"""DCQL: what a query means (OpenID4VP 1.0, section 6.4; PROFILE Q-10 to Q-24).

One evaluator, `match`, decides whether a credential answers a Credential Query. `select` applies it
to what a Wallet holds and gives the citizen the choices there are; `judge` applies it to what a
Verifier was shown. All only look: signature, issuer, time and status are checked elsewhere, always.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from ..encoding import JsonValue, b64url_decode
from ..errors import (
    ClaimsMissing,
    InvalidInput,
    QueryUnsatisfied,
    Untrusted,
    VerificationError,
    WrongHolder,
    WrongType,
)
from ..formats.claims_path import ConcretePath
from ..formats.claims_path import select as select_claims
from ..formats.values import Candidate
from .dcql import ClaimsQuery, CredentialQuery, CredentialSet, DcqlQuery, TrustedAuthorities

Found: TypeAlias = tuple[ConcretePath, JsonValue]


@dataclass(frozen=True, slots=True)
class Match:
    """A credential that answers a Credential Query, and the nodes of it that the query asks for.

    Attributes:
        found: concrete path and value of every node asked for; nothing else may be disclosed.
        option: which claim set was taken, None without `claim_sets`.
    """

    candidate: Candidate
    found: tuple[Found, ...]
    option: int | None

    @property
    def paths(self) -> tuple[ConcretePath, ...]:
        """The concrete paths to disclose."""
        return tuple(path for path, _ in self.found)


@dataclass(frozen=True, slots=True)
class SetChoice:
    """One credential set and its options that can be met, in the Verifier's order of preference."""

    required: bool
    options: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Selection:
    """What would answer a query.

    Attributes:
        matches: for each Credential Query id, the credentials that answer it, in the order held.
        sets: the choices of the citizen (Q-22).
    """

    query: DcqlQuery
    matches: Mapping[str, tuple[Match, ...]]
    sets: tuple[SetChoice, ...]

    @property
    def satisfiable(self) -> bool:
        """Whether every required set can be met, and any at all; else nothing is returned."""
        return all(each.options or not each.required for each in self.sets) and any(
            each.options for each in self.sets
        )

    def proposal(self, avoid: Collection[str] = ()) -> dict[str, tuple[str, ...]]:
        """The least there is: of each required set the first option, one credential for a query.

        Where all sets are optional, the first that can be met: an answer is never empty.

        Args:
            avoid: ids of candidates that would not be accepted: another option goes before them.

        Returns:
            Candidate ids by Credential Query id, as `confirm` takes them.

        Raises:
            QueryUnsatisfied: not satisfiable.
        """
        if not self.satisfiable:
            raise QueryUnsatisfied("DCQL: a required set cannot be met")
        required = [each for each in self.sets if each.required]
        optional = [each for each in self.sets if each.options]
        first = {name: found[0].candidate.id for name, found in self.matches.items() if found}
        chosen = [
            min(each.options, key=lambda option: any(first[name] in avoid for name in option))
            for each in required or optional[:1]
        ]
        return {query_id: (first[query_id],) for option in chosen for query_id in option}

    def confirm(self, picks: Mapping[str, Collection[str]]) -> dict[str, tuple[Match, ...]]:
        """The matches behind the citizen's choice, if that choice answers the query.

        Args:
            picks: ids of candidates by Credential Query id.

        Raises:
            InvalidInput: an unknown id, several where one is asked for, or a query that no complete
                option uses.
            QueryUnsatisfied: a required set is not met, or none at all: nothing may be returned.

        Specification: OpenID4VP 1.0, section 6.4.2; PROFILE Q-20 to Q-22.
        """
        confirmed: dict[str, tuple[Match, ...]] = {}
        for query_id, ids in picks.items():
            wanted = self.query.credential(query_id)
            matches = tuple(m for m in self.matches[query_id] if m.candidate.id in ids)
            if not matches or len(matches) != len(ids):
                raise InvalidInput("choice: a credential does not answer this query")
            if len(matches) > 1 and not wanted.multiple:
                raise InvalidInput("choice: several credentials where one is asked for")
            confirmed[query_id] = matches
        used = _check_sets(self.query.sets, confirmed)
        if used != confirmed.keys():
            raise InvalidInput("choice: a credential that no option uses")
        return confirmed


@dataclass(frozen=True, slots=True)
class Judged:
    """One presentation: a match, or the reason why it is none."""

    candidate: Candidate
    match: Match | None
    refusal: VerificationError | None


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a VP Token is worth against its query. `refusal` is None if it answers it."""

    presentations: Mapping[str, tuple[Judged, ...]]
    refusal: VerificationError | None

    @property
    def satisfied(self) -> bool:
        """Whether the query is answered."""
        return self.refusal is None


def select(query: DcqlQuery, candidates: Iterable[Candidate]) -> Selection:
    """What of *candidates* would answer *query*.

    Specification: OpenID4VP 1.0, section 6.4; PROFILE Q-10 to Q-24.
    """
    held = tuple(candidates)
    matches: dict[str, tuple[Match, ...]] = {}
    for each in query.credentials:
        found = (_attempt(each, candidate) for candidate in held)
        matches[each.id] = tuple(match for match in found if isinstance(match, Match))
    sets = tuple(
        SetChoice(each.required, tuple(o for o in each.options if all(matches[i] for i in o)))
        for each in query.sets
    )
    return Selection(query, matches, sets)


def judge(query: DcqlQuery, presented: Mapping[str, Sequence[Candidate]]) -> Judgement:
    """Whether what was presented, by Credential Query id, answers *query*.

    A presentation that is no match is discarded; the rest must satisfy the sets.

    Raises:
        InvalidInput: an id that the query does not have, no presentation or too many for an id.

    Specification: OpenID4VP 1.0, sections 6.4 and 8.6; PROFILE V-60, Q-24.
    """
    presentations: dict[str, tuple[Judged, ...]] = {}
    for query_id, shown in presented.items():
        wanted = query.credential(query_id)
        if not shown or (len(shown) > 1 and not wanted.multiple):
            raise InvalidInput("VP Token: not the number of presentations asked for")
        presentations[query_id] = tuple(_judge_one(wanted, candidate) for candidate in shown)
    good = {
        query_id: tuple(each.match for each in judged if each.match is not None)
        for query_id, judged in presentations.items()
    }
    try:
        _check_sets(query.sets, good)
    except QueryUnsatisfied as error:
        return Judgement(presentations, error)
    return Judgement(presentations, None)


def check_answered(query: DcqlQuery, answered: Mapping[str, Collection[Match]]) -> None:
    """The last step of `judge`, for a Verifier that has matched each presentation by itself.

    Args:
        query: what was asked for.
        answered: the presentations that passed every check, by Credential Query id.

    Raises:
        QueryUnsatisfied: a required set is not met.

    Specification: OpenID4VP 1.0, sections 6.4.2 and 8.6; PROFILE Q-20, V-60.
    """
    _check_sets(query.sets, answered)


def match(query: CredentialQuery, candidate: Candidate) -> Match:
    """How *candidate* answers one Credential Query.

    Raises:
        WrongType: another format or type (Q-10).
        WrongHolder: not key-bound though that is required (Q-11).
        Untrusted: no trusted authority fits (Q-12).
        ClaimsMissing: a claim is absent or has another value (Q-13, Q-14).
    """
    if candidate.format != query.format:
        raise WrongType("DCQL: another format")
    if query.types is not None and candidate.type not in query.types:
        raise WrongType("DCQL: another credential type")
    if query.require_cryptographic_holder_binding and not candidate.holder_bound:
        raise WrongHolder("DCQL: not bound to a key")
    if query.trusted_authorities is not None and not any(
        _is_under(each, candidate) for each in query.trusted_authorities
    ):
        raise Untrusted("DCQL: under none of the trusted authorities")
    if query.claims is None:
        return Match(candidate, (), None)
    if query.claim_sets is None:
        distinct = {claim.path: claim for claim in reversed(query.claims)}
        return Match(candidate, _find_all(reversed(distinct.values()), candidate), None)
    by_id = {claim.id: claim for claim in query.claims}
    for index, option in enumerate(query.claim_sets):
        try:
            return Match(candidate, _find_all((by_id[i] for i in option), candidate), index)
        except ClaimsMissing:
            continue
    raise ClaimsMissing("DCQL: no claim set is complete")


def _attempt(query: CredentialQuery, candidate: Candidate) -> Match | None:
    try:
        return match(query, candidate)
    except VerificationError:
        return None


def _judge_one(query: CredentialQuery, candidate: Candidate) -> Judged:
    try:
        return Judged(candidate, match(query, candidate), None)
    except VerificationError as error:
        return Judged(candidate, None, error)


def _find_all(claims: Iterable[ClaimsQuery], candidate: Candidate) -> tuple[Found, ...]:
    found: dict[ConcretePath, JsonValue] = {}
    for claim in claims:
        found |= dict(_find(claim, candidate.claims))
    return tuple(found.items())


def _find(claim: ClaimsQuery, claims: JsonValue) -> list[Found]:
    """The nodes that one Claims Query selects; with `values`, those that have one of them."""
    try:
        nodes = select_claims(claims, claim.path)
    except InvalidInput as error:
        raise ClaimsMissing("DCQL: a claim is absent") from error
    if claim.values is not None:
        nodes = [(at, value) for at, value in nodes if _is_one_of(value, claim.values)]
        if not nodes:
            raise ClaimsMissing("DCQL: a claim has none of the values")
    return nodes


def _is_one_of(value: JsonValue, values: Collection[str | bool | int]) -> bool:
    """Type and value both equal: `"18"` is not 18, and `true` is not 1 (Q-14)."""
    return any(type(value) is type(each) and value == each for each in values)


def _is_under(authorities: TrustedAuthorities, candidate: Candidate) -> bool:
    """`aki` alone is evaluated: of any certificate carried in the credential (Q-12, S-12)."""
    if authorities.type != "aki":
        return False
    for value in authorities.values:
        try:
            if b64url_decode(value) in candidate.authority_key_ids:
                return True
        except InvalidInput:
            continue
    return False


def _check_sets(
    sets: Iterable[CredentialSet], matches: Mapping[str, Collection[Match]]
) -> set[str]:
    """The ids used by complete options.

    Raises:
        QueryUnsatisfied: a required set has none, or no set at all has one.
    """
    used: set[str] = set()
    for each in sets:
        complete = [o for o in each.options if all(matches.get(query_id) for query_id in o)]
        if each.required and not complete:
            raise QueryUnsatisfied("DCQL: a required set is not met")
        used.update(query_id for option in complete for query_id in option)
    if not used:
        raise QueryUnsatisfied("DCQL: no set is met")
    return used
