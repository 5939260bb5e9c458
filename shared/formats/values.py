"""The values every credential format speaks in, so that a service never asks which one it holds."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Protocol

import orjson

from ..crypto.keys import PublicKey
from ..crypto.x509 import VerifiedChain
from ..encoding import (
    JsonValue,
    b64url_decode,
    b64url_encode,
    from_numeric_date,
    to_numeric_date,
)
from ..errors import Expired, InvalidInput, NotYetValid
from .claims_path import ClaimPath, ConcretePath, cut, select, visible
from .kb_jwt import VerifiedKeyBinding
from .sd_jwt import needed
from .status_list import StatusReference

_LEEWAY = timedelta(seconds=30)  # C-40
_SKEW = timedelta(seconds=60)  # C-40


@dataclass(frozen=True, slots=True)
class Candidate:
    """A credential as a DCQL query sees it (OpenID4VP 1.0, section 6; Q-10 to Q-14)."""

    id: str
    format: str
    type: str
    claims: JsonValue
    authority_key_ids: frozenset[bytes]
    holder_bound: bool


@dataclass(frozen=True, slots=True)
class Trusted:
    """Whom to believe about credentials: what the trust list says for the role."""

    anchors: frozenset[bytes]
    revoked: frozenset[str] = frozenset()
    pinned: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Session:
    """One request, as holder binding covers it (HB-03, HB-22 to HB-24)."""

    audience: str
    """The full Client Identifier, or "origin:" and the Origin."""
    nonce: str
    response_uri: str | None = None
    """Where the answer goes; None over the Digital Credentials API."""
    key_thumbprint: bytes | None = None
    """RFC 7638, of the key the answer is encrypted to; None if it is not encrypted."""


@dataclass(frozen=True, slots=True)
class IdentifierReference:
    """An mdoc's status in an identifier list: understood, but not evaluated here (F-MD-06)."""

    identifier: bytes
    uri: str

    @property
    def index(self) -> str:
        """Its place, as kept beside those in status lists."""
        return b64url_encode(self.identifier)


def _reference(index: int | str, uri: str) -> StatusReference | IdentifierReference:
    if isinstance(index, str):
        return IdentifierReference(b64url_decode(index), uri)
    return StatusReference(index, uri)


class Validity(NamedTuple):
    """From when to when a credential counts, already rounded (I-110, I-115)."""

    issued_at: datetime | None
    not_before: datetime | None
    expires_at: datetime | None

    def check(self, now: datetime) -> None:
        """Let pass what counts at *now*, with the leeway of C-40.

        Raises:
            Expired: *now* is 30 s past the end.
            NotYetValid: *now* is 30 s before the beginning, or 60 s before the issuance.

        Specification: RFC 7519, sections 4.1.4 to 4.1.6; PROFILE C-40.
        """
        issued_at, begins, ends = self
        if issued_at and begins and ends and issued_at <= now and begins <= now < ends:
            return
        if self.expires_at is not None and now >= self.expires_at + _LEEWAY:
            raise Expired("credential: has expired")
        if self.not_before is not None and now < self.not_before - _LEEWAY:
            raise NotYetValid("credential: does not count yet")
        if self.issued_at is not None and now < self.issued_at - _SKEW:
            raise NotYetValid("credential: issued in the future")


class HolderProof(Protocol):
    """What the Holder's key does in a presentation: typed, so that it never signs unknown bytes."""

    def kb_jwt(self, presented: str, *, hash_algorithm: str) -> str:
        """A KB-JWT over *presented*, `<JWT>~<D>~…~` (see `kb_jwt.make`)."""
        ...

    def device_signature(self, doctype: str) -> bytes:
        """The `deviceSignature` of an mdoc shown in this session (see `device_response.sign`)."""
        ...


@dataclass(frozen=True, slots=True)
class Held:
    """A credential in a wallet, verified when it came; kept sealed, so believed when read again."""

    format: str
    type: str
    claims: dict[str, JsonValue]
    """Everything, as if all were disclosed."""
    signed: str
    """The Issuer's signed part, as received."""
    pieces: tuple[tuple[ConcretePath, str], ...]
    """What can be shown or withheld: where it stands in *claims*, and what came, as text."""
    hash_algorithm: str
    authority_key_ids: frozenset[bytes]
    holder: PublicKey | None
    status: StatusReference | IdentifierReference | None
    validity: Validity

    def candidate(self, identifier: str) -> Candidate:
        """What a query may select."""
        return Candidate(
            identifier,
            self.format,
            self.type,
            self.claims,
            self.authority_key_ids,
            self.holder is not None,
        )

    def always_shown(self) -> tuple[str, ...]:
        """The names of claims at the top that no presentation can withhold."""
        withheld = {path[0] for path, _ in self.pieces if len(path) == 1}
        return tuple(name for name in self.claims if name not in withheld)

    def dump(self) -> bytes:
        """For a sealed row."""
        validity = (self.validity.issued_at, self.validity.not_before, self.validity.expires_at)
        return orjson.dumps(
            {
                "format": self.format,
                "type": self.type,
                "claims": self.claims,
                "signed": self.signed,
                "pieces": self.pieces,
                "hash": self.hash_algorithm,
                "aki": sorted(b64url_encode(each) for each in self.authority_key_ids),
                "holder": self.holder and self.holder.to_jwk(),
                "status": self.status and [self.status.index, self.status.uri],
                "validity": [each and to_numeric_date(each) for each in validity],
            }
        )

    @classmethod
    def load(cls, data: bytes) -> "Held":
        """From `dump`; *data* comes out of a sealed row and is our own.

        Raises:
            InvalidInput: it is not.
        """
        try:
            row: dict[str, Any] = orjson.loads(data)
            return cls(
                format=row["format"],
                type=row["type"],
                claims=row["claims"],
                signed=row["signed"],
                pieces=tuple((tuple(path), text) for path, text in row["pieces"]),
                hash_algorithm=row["hash"],
                authority_key_ids=frozenset(b64url_decode(each) for each in row["aki"]),
                holder=row["holder"] and PublicKey.from_jwk(row["holder"]),
                status=row["status"] and _reference(*row["status"]),
                validity=Validity(
                    *(None if each is None else from_numeric_date(each) for each in row["validity"])
                ),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InvalidInput("held credential: not what was stored") from error


@dataclass(frozen=True, slots=True)
class Received:
    """What an Issuer handed over, verified, and whose chain it was."""

    held: Held
    chain: VerifiedChain


class Presented(NamedTuple):
    """A presentation a verifier believes; its status, its query and its entitlement come next."""

    format: str
    type: str
    claims: dict[str, JsonValue]
    """What was disclosed, registered claims included."""
    in_place: dict[str, JsonValue]
    """The same, hidden array elements holding their places."""
    disclosed: tuple[tuple[ConcretePath, str], ...]
    chain: VerifiedChain
    holder_bound: bool
    status: StatusReference | IdentifierReference | None
    validity: Validity
    key_binding: VerifiedKeyBinding | None

    def candidate(self, identifier: str) -> Candidate:
        """What the query is judged by; indexes count hidden elements too."""
        return Candidate(
            identifier,
            self.format,
            self.type,
            self.in_place,
            self.chain.authority_key_ids,
            self.holder_bound,
        )

    def answer(self, paths: Collection[ClaimPath]) -> tuple[JsonValue, int]:
        """Of the claims only those at *paths*: what the verifier keeps (V-61, V-63, ST-55).

        And how many Disclosures came that *paths* do not need (V-61): to be logged as a number.
        """
        places = [visible(self.in_place, each) for each in self._places(paths)]
        unasked = len(self.disclosed) - len(needed(self.disclosed, places))
        return cut(self.claims, places), unasked

    def confirms(self, entry: str, *, algorithms: Collection[str] | None) -> bool:
        """Whether the Holder signed the transaction *entry* (HB-34); see `VerifiedKeyBinding`."""
        return self.key_binding is not None and self.key_binding.confirms(
            entry, algorithms=algorithms
        )

    def _places(self, paths: Collection[ClaimPath]) -> list[ConcretePath]:
        places: list[ConcretePath] = []
        for path in paths:
            try:
                places += [place for place, _ in select(self.in_place, path)]
            except InvalidInput:
                continue  # another option of the query was answered
        return places
