"""The one exception hierarchy.

Formats raise `InvalidInput` or a `VerificationError`; protocol modules translate those into their
own `ProtocolError` with `raise … from`; `runtime/errors.py` translates to HTTP. Anything else is a
bug. A message is for the log: it names the check, never a person, a claim, a token or a key.
"""

from typing import ClassVar


class ExpectedError(Exception):
    """A failure the code foresees. `str(error)` goes to the log, `public` to the other party.

    `public` belongs to the class; an instance may say it more precisely, but never names a person.
    """

    public: str = "The request could not be completed."


class InvalidInput(ExpectedError):
    """Not the shape its specification asks for."""

    public = "The request is malformed."


class VerificationError(ExpectedError):
    """Well-formed, not to be believed. `reason` is the stable code of PROFILE V-63."""

    public = "The data could not be verified."
    reason: ClassVar[str] = "invalid"


class BadSignature(VerificationError):
    """Not signed with the expected key, or by another algorithm or `typ` than allowed."""

    reason = "signature"


class Untrusted(VerificationError):
    """No path to an anchor of the right role, or the entity may not do this."""

    reason = "untrusted_issuer"


class Expired(VerificationError):
    """Past its end."""

    reason = "expired"


class NotYetValid(VerificationError):
    """Before its beginning."""

    reason = "not_yet_valid"


class Revoked(VerificationError):
    """The status list says INVALID (final), or an application-specific value."""

    reason = "revoked"


class Suspended(VerificationError):
    """The status list says SUSPENDED (reversible)."""

    reason = "suspended"


class StatusUnavailable(VerificationError):
    """No statement about the status could be had: never the same as "invalid"."""

    reason = "status_unavailable"


class WrongHolder(VerificationError):
    """Holder binding is missing or does not verify."""

    reason = "holder_binding"


class WrongNonce(VerificationError):
    """Made for another transaction."""

    reason = "nonce"


class WrongAudience(VerificationError):
    """Made for somebody else."""

    reason = "audience"


class WrongSdHash(VerificationError):
    """The KB-JWT covers another set of Disclosures."""

    reason = "sd_hash"


class WrongDigest(VerificationError):
    """A Disclosure or element does not fit the signed digests."""

    reason = "digest"


class WrongType(VerificationError):
    """Another credential type than asked for."""

    reason = "type_mismatch"


class ClaimsMissing(VerificationError):
    """A claim that was asked for is not there, or has not the value asked for."""

    reason = "claims_missing"


class QueryUnsatisfied(VerificationError):
    """The VP Token as a whole does not answer the query."""

    reason = "query_unsatisfied"


class WrongTransactionData(VerificationError):
    """The presentation does not confirm the transaction that was asked for."""

    reason = "transaction_data"


class ProtocolError(ExpectedError):
    """A refusal with a registered code; the specification's section is in each subclass."""

    error: ClassVar[str] = "invalid_request"
    status: ClassVar[int] = 400

    @property
    def headers(self) -> dict[str, str]:
        """Response headers that belong to the code, such as `WWW-Authenticate`."""
        return {}


class NotFound(ExpectedError):
    """Unknown, or not this caller's to know."""

    public = "There is nothing here."


class Conflict(ExpectedError):
    """The state does not allow it: already used, already ended, changed meanwhile."""

    public = "The state of this resource does not allow that."


class Forbidden(ExpectedError):
    """Known caller, not allowed."""

    public = "This is not allowed for you."


class Unauthenticated(ExpectedError):
    """Caller unknown, or its credentials or session are not valid (any more)."""

    public = "Sign in first."


class TooManyRequests(ExpectedError):
    """A limit was reached; trying later helps."""

    public = "Too many requests. Try again later."


class Unavailable(ExpectedError):
    """A neighbour (database, register, publisher, peer) does not answer; trying later helps."""

    public = "A service that is needed does not answer. Try again later."
