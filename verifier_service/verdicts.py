"""The verdict: a closed model of what was checked, with the reason of the check that failed.

A presentation's checks stand in the order in which they are made (V-60). The first that fails has
the reason, those before it passed, those after it were not reached: nothing is called valid that
was not looked at. What a status list says, and why it says nothing, are different results, never
merged (ST-54). The same model is stored and answered. Claims are no part of it: they are sealed
apart.
"""

from enum import StrEnum
from functools import lru_cache
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict


class Check(StrEnum):
    """What is checked of one presentation, in this order."""

    SHAPE = "shape"
    CHAIN = "chain"
    SIGNATURE = "signature"
    DIGESTS = "digests"
    VALIDITY = "validity"
    HOLDER_BINDING = "holder_binding"
    NONCE = "nonce"
    AUDIENCE = "audience"
    SD_HASH = "sd_hash"
    ISSUER = "issuer"
    TYPE = "type"
    CLAIMS = "claims"
    STATUS = "status"


class Status(StrEnum):
    """What is known about the status of a credential."""

    NOT_CHECKED = "not_checked"
    NONE = "none"  # it carries no status: its dates alone limit it
    VALID = "valid"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    LIST_EXPIRED = "list_expired"
    LIST_UNREACHABLE = "list_unreachable"
    LIST_UNREADABLE = "list_unreadable"
    OUTSIDE_LIST = "outside_list"


UNKNOWN = frozenset({Status.LIST_EXPIRED, Status.LIST_UNREACHABLE, Status.LIST_UNREADABLE})
"""Where a query's policy decides (ST-54)."""

Result: TypeAlias = Literal["passed", "failed", "not_reached", "not_asked", "unknown"]
_OF_HOLDER = frozenset({Check.HOLDER_BINDING, Check.NONCE, Check.AUDIENCE, Check.SD_HASH})


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CheckResult(_Answer):
    """One check."""

    check: Check
    result: Result
    reason: str | None = None


class Issuer(_Answer):
    """The entity of the trust list whose chain signed, and by which version of the list."""

    id: str
    names: dict[str, str]
    trust_list_version: int


class CredentialVerdict(_Answer):
    """One presentation. `reason` is a code of V-63, None if every check passed."""

    query_id: str
    format: str
    type: str | None = None
    issuer: Issuer | None = None
    reason: str | None = None
    status: Status
    holder_bound: bool
    """False where the query asks for no binding: it may be a replay (V-64)."""
    valid_until: str | None = None
    dropped: int = 0
    """How many claims were shown that nobody had asked for; none of them is kept (V-61)."""
    checks: tuple[CheckResult, ...]


class Override(_Answer):
    """Who accepted an answer of unknown status, when and why; the reason is a code."""

    actor: str
    at: str
    reason: str


class Verdict(_Answer):
    """Everything but the claims. `reason` speaks of the response as a whole."""

    accepted: bool
    reason: str | None = None
    test: bool = False
    """Reached with a test trust list."""
    credentials: tuple[CredentialVerdict, ...] = ()
    query_satisfied: bool | None = None
    """None: it was not reached."""
    transaction_data_confirmed: bool | None = None
    """None: nothing was to be confirmed, or it was not reached."""
    overridable: bool = False
    """Everything passed but a status of which nothing is known: a clerk may accept it."""
    override: Override | None = None
    wallet_error: str | None = None
    """The registered code a wallet refused with."""


@lru_cache(maxsize=256)
def results(
    *, failed: Check | None, reason: str | None, status: Status, holder_bound: bool, sd_hash: bool
) -> tuple[CheckResult, ...]:
    """Every check with its result, given the first that failed.

    Args:
        failed: None if all passed.
        reason: of *failed*.
        status: decides whether the last check says "unknown".
        holder_bound: False if the query asked for no holder binding and none came.
        sd_hash: whether the format has one; in an mdoc the signature of the device covers all.
    """
    found: list[CheckResult] = []
    for check in Check:
        if found and found[-1].result in {"failed", "not_reached"}:
            found.append(_NOT_REACHED[check])
        elif check is failed:
            found.append(CheckResult(check=check, result="failed", reason=reason))
        elif (check in _OF_HOLDER and not holder_bound) or (check is Check.SD_HASH and not sd_hash):
            found.append(CheckResult(check=check, result="not_asked"))
        elif check is Check.STATUS and status in UNKNOWN:
            found.append(CheckResult(check=check, result="unknown"))
        else:
            found.append(_PASSED[check])
    return tuple(found)


_PASSED = {each: CheckResult(check=each, result="passed") for each in Check}
_NOT_REACHED = {each: CheckResult(check=each, result="not_reached") for each in Check}
