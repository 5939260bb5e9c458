"""VP Token to verdict, in numbered steps (OpenID4VP 1.0, section 8.6; V-60).

Nothing here writes, and nothing decides on less than all checks: a presentation that fails one is
    discarded with its reason, a wrong nonce rejects the whole response, and what is left must
    answer the query. What is returned as claims is cut to what the query selected; everything else
    is dropped (V-61). The status of a credential is asked last, of a cache that was filled without
    it (ST-50, S-41).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.encoding import JsonValue
from shared.errors import (
    BadSignature,
    ClaimsMissing,
    Expired,
    InvalidInput,
    NotYetValid,
    QueryUnsatisfied,
    StatusUnavailable,
    Untrusted,
    VerificationError,
    WrongAudience,
    WrongDigest,
    WrongHolder,
    WrongNonce,
    WrongSdHash,
    WrongTransactionData,
    WrongType,
)
from shared.formats import credential
from shared.formats.credential import Presented, Session, Trusted
from shared.oid4vp import dcql_matching, transaction_data
from shared.oid4vp.dcql import CredentialQuery
from shared.oid4vp.transaction_types import TYPES
from shared.runtime.logs import get_log
from shared.trust import Entity, Role, TrustList, may_issue

from .queries import Query
from .statuses import StatusLists
from .transactions import timestamp
from .verdicts import UNKNOWN, Check, CredentialVerdict, Issuer, Status, Verdict, results

log = get_log(__name__)

ALGORITHMS = frozenset({"ES256"})  # C-03

# Which check an error of the library belongs to; the reason is the error's own code (V-63).
_CHECKS: Mapping[type[VerificationError], Check] = {
    BadSignature: Check.SIGNATURE,
    Untrusted: Check.CHAIN,
    WrongDigest: Check.DIGESTS,
    Expired: Check.VALIDITY,
    NotYetValid: Check.VALIDITY,
    WrongHolder: Check.HOLDER_BINDING,
    WrongNonce: Check.NONCE,
    WrongAudience: Check.AUDIENCE,
    WrongSdHash: Check.SD_HASH,
    WrongType: Check.TYPE,
    ClaimsMissing: Check.CLAIMS,
}
_STATUS_REASONS = {Status.REVOKED: "revoked", Status.SUSPENDED: "suspended"}


@dataclass(frozen=True, slots=True)
class Expected:
    """What an answer is held against: our question, our request, the trust of this moment."""

    query: Query
    session: Session
    transaction_data: tuple[str, ...]
    trust_list: TrustList
    now: datetime


@dataclass(frozen=True, slots=True)
class Verified:
    """The outcome: a verdict, and claims by Credential Query id.

    There are none unless the answer was accepted, or a clerk may still accept it.
    """

    verdict: Verdict
    claims: Mapping[str, JsonValue]


@dataclass(slots=True)
class _Progress:
    """What is known so far of one presentation."""

    query: CredentialQuery
    presented: Presented | None = None
    issuer: Issuer | None = None
    status: Status = Status.NOT_CHECKED
    dropped: int = 0

    def verdict(self, failed: Check | None, reason: str | None) -> CredentialVerdict:
        shown = self.presented
        bound = self.query.require_cryptographic_holder_binding or (
            shown is not None and shown.holder_bound
        )
        end = None if shown is None else shown.validity.expires_at
        return CredentialVerdict(
            query_id=self.query.id,
            format=self.query.format,
            type=None if shown is None else shown.type,
            issuer=self.issuer,
            reason=reason,
            status=self.status,
            holder_bound=bound,
            valid_until=None if end is None else timestamp(end),
            dropped=self.dropped,
            checks=results(
                failed=failed,
                reason=reason,
                status=self.status,
                holder_bound=bound,
                sd_hash=credential.words(self.query.format).sd_hash,
            ),
        )


@dataclass(frozen=True, slots=True)
class _Checked:
    """One presentation: what became of it, and unless something is wrong, what it says.

    With a reason and a match, nothing is known about its status, and nothing else is wrong.
    """

    verdict: CredentialVerdict
    match: dcql_matching.Match | None = None
    claims: JsonValue = None
    presented: Presented | None = None


def verify(
    presentations: Mapping[str, Sequence[str]], expected: Expected, statuses: StatusLists
) -> Verified:
    """Verify a VP Token whose shape was accepted (step 1: `oid4vp.response.accept`).

    Args:
        presentations: by Credential Query id.
        expected: without defaults, so that nothing is forgotten.
        statuses: asked only for what passed everything else.

    Specification: OpenID4VP 1.0, section 8.6; PROFILE V-60 to V-64, ST-50.
    """
    # 2. Each presentation by itself.
    checked = [
        _check(query, text, expected, statuses)
        for query in expected.query.dcql.credentials
        for text in presentations.get(query.id, ())
    ]
    verdicts = tuple(each.verdict for each in checked)
    # 3. A wrong nonce: this answer was not made for us, so nothing of it counts.
    if any(each.reason == WrongNonce.reason for each in verdicts):
        return _rejected(WrongNonce.reason, verdicts, expected)
    # 4. What passed answers the query, and confirms what was to be confirmed.
    good = [each for each in checked if each.verdict.reason is None]
    verdict, claims = _answered(good, verdicts, expected)
    if verdict.accepted or expected.query.status_unknown != "override":
        return Verified(verdict, claims)
    # 5. A clerk may accept it, if that would be so with those of unknown status.
    possible = [each for each in checked if each.match is not None]
    if len(possible) > len(good):
        if_accepted, claims = _answered(possible, verdicts, expected)
        if if_accepted.accepted:
            reason = StatusUnavailable.reason
            return Verified(
                verdict.model_copy(update={"overridable": True, "reason": reason}), claims
            )
    return Verified(verdict, {})


def _answered(
    good: Sequence[_Checked], verdicts: tuple[CredentialVerdict, ...], expected: Expected
) -> tuple[Verdict, Mapping[str, JsonValue]]:
    """What *good* presentations are worth together, and the claims asked for, no others."""
    by_query: dict[str, list[_Checked]] = {}
    for each in good:
        by_query.setdefault(each.verdict.query_id, []).append(each)
    test = expected.trust_list.is_test
    try:
        dcql_matching.check_answered(
            expected.query.dcql,
            {name: [one.match for one in found if one.match] for name, found in by_query.items()},
        )
    except QueryUnsatisfied as error:
        first = next((each.reason for each in verdicts if each.reason), error.reason)
        rejected = Verdict(accepted=False, reason=first, test=test, credentials=verdicts)
        return rejected.model_copy(update={"query_satisfied": False}), {}
    confirmed = None
    if expected.transaction_data:
        try:
            _check_confirmed(by_query, expected)
        except WrongTransactionData as error:
            return Verdict(
                accepted=False,
                reason=error.reason,
                test=test,
                credentials=verdicts,
                query_satisfied=True,
                transaction_data_confirmed=False,
            ), {}
        confirmed = True
    claims = {
        name: _together(expected.query.dcql.credential(name), found)
        for name, found in by_query.items()
    }
    return Verdict(
        accepted=True,
        test=test,
        credentials=verdicts,
        query_satisfied=True,
        transaction_data_confirmed=confirmed,
    ), claims


def _check_confirmed(by_query: Mapping[str, Sequence[_Checked]], expected: Expected) -> None:
    """HB-34: each entry that we sent is in one of the presentations it names."""
    entries = transaction_data.parse(
        expected.transaction_data, query=expected.query.dcql, types=TYPES
    )
    transaction_data.check_confirmed(
        entries,
        {
            name: [one.presented for one in found if one.presented is not None]
            for name, found in by_query.items()
        },
    )


def _rejected(reason: str, verdicts: tuple[CredentialVerdict, ...], expected: Expected) -> Verified:
    test = expected.trust_list.is_test
    return Verified(Verdict(accepted=False, reason=reason, test=test, credentials=verdicts), {})


def _together(query: CredentialQuery, found: Sequence[_Checked]) -> JsonValue:
    return [each.claims for each in found] if query.multiple else found[0].claims


def _check(
    query: CredentialQuery, text: str, expected: Expected, statuses: StatusLists
) -> _Checked:
    """The checks of `Check`, in its order; the first failure ends them."""
    progress = _Progress(query)
    # 2.1 to 2.9 Shape, chain, signature, digests, validity; holder binding, nonce, audience,
    # sd_hash.
    try:
        progress.presented = presented = credential.verify(
            query.format,
            text,
            session=expected.session,
            holder_binding=query.require_cryptographic_holder_binding,
            trusted=_trusted(query, expected),
            now=expected.now,
            algorithms=ALGORITHMS,
        )
    except InvalidInput as error:
        return _failed(progress, Check.SHAPE, "malformed", error)
    except VerificationError as error:
        return _failed(progress, _CHECKS.get(type(error), Check.SHAPE), error.reason, error)
    # 2.10 Whose chain it is, and that they might issue this type when they did (C-23).
    try:
        entity = _issuer(presented, expected)
    except Untrusted as error:
        return _failed(progress, Check.ISSUER, error.reason, error)
    progress.issuer = Issuer(
        id=entity.id,
        names=dict(entity.names),
        trust_list_version=expected.trust_list.version,
    )
    # 2.11, 2.12 Type, authorities, claims and values (V-60, Q-24).
    try:
        match = dcql_matching.match(query, presented.candidate(query.id))
    except Untrusted as error:
        return _failed(progress, Check.ISSUER, error.reason, error)
    except VerificationError as error:
        return _failed(progress, _CHECKS.get(type(error), Check.CLAIMS), error.reason, error)
    # 2.13 Only what the query selected is kept (V-61).
    answer, progress.dropped = presented.answer(match.paths)
    if progress.dropped:
        log.info("more_disclosed_than_asked", query=expected.query.id, disclosures=progress.dropped)
    # 2.14 Its status, now that it is worth asking (ST-50). Unknown is not wrong: others decide.
    progress.status = statuses.check(presented.status, issuer=entity, now=expected.now)
    if progress.status in UNKNOWN and expected.query.status_unknown != "accept":
        failed = _failed(progress, Check.STATUS, StatusUnavailable.reason, progress.status)
        return _Checked(failed.verdict, match, answer, presented)
    if progress.status not in {*UNKNOWN, Status.VALID, Status.NONE}:
        reason = _STATUS_REASONS.get(progress.status, StatusUnavailable.reason)
        return _failed(progress, Check.STATUS, reason, progress.status)
    return _Checked(progress.verdict(None, None), match, answer, presented)


def _failed(progress: _Progress, check: Check, reason: str, cause: object) -> _Checked:
    log.info("check_failed", check=check.value, reason=reason, detail=str(cause))
    return _Checked(progress.verdict(check, reason))


def _trusted(query: CredentialQuery, expected: Expected) -> Trusted:
    """Anchors of those who may issue the type asked for; of everybody if it may be several."""
    trust, now = expected.trust_list, expected.now
    types = query.types or ()
    one = types[0] if len(types) == 1 else None
    return Trusted(
        anchors=trust.anchors(Role.CREDENTIAL, now=now, credential_type=one),
        revoked=trust.revoked,
        pinned=frozenset().union(
            *(trust.pinned(Role.CREDENTIAL, now=now, credential_type=each) for each in types)
        ),
    )


def _issuer(presented: Presented, expected: Expected) -> Entity:
    trust, now = expected.trust_list, expected.now
    entity = trust.entity_for_chain(Role.CREDENTIAL, presented.chain, now=now)
    may_issue(
        entity,
        credential_format=presented.format,
        credential_type=presented.type,
        issued_at=presented.validity.issued_at,
        now=now,
    )
    return entity
