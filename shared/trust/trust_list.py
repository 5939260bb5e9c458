"""The trust list with its lookups: anchors by role, entities by id, issuer or verified chain.

Invariants: an anchor belongs to one entity per role, so a verified chain names exactly one entity,
by an id that outlives every certificate; anchors of one role or of one credential type never serve
another.

Specification: DESIGN section 4; PROFILE C-22, C-23.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, Self

from ..crypto.x509 import VerifiedChain
from ..encoding import start_of_day
from ..errors import InvalidInput, NotFound, Untrusted
from .entries import Entity, Issue, PinnedLeaf, Role, parse_document


@dataclass(frozen=True, eq=False)
class TrustList:
    """The parsed list with the indexes that lookups need. Made by `parse`; compare by identity."""

    environment: Literal["test", "production"]
    entities: tuple[Entity, ...]
    version: int
    revoked: frozenset[str] = field(init=False, repr=False)
    """Thumbprints (hex SHA-256) of all revoked certificates, for `verify_chain`."""
    _by_id: dict[str, Entity] = field(init=False, repr=False, default_factory=dict)
    _by_issuer: dict[str, Entity] = field(init=False, repr=False, default_factory=dict)
    _by_anchor: dict[tuple[Role, bytes], Entity] = field(
        init=False, repr=False, default_factory=dict
    )
    _pinned: list[PinnedLeaf] = field(init=False, repr=False, default_factory=list)
    _moments: list[datetime] = field(init=False, repr=False, default_factory=list)
    _anchors: dict[tuple[Role, str | None, int], frozenset[bytes]] = field(
        init=False, repr=False, default_factory=dict
    )

    def __post_init__(self) -> None:
        for entity in self.entities:
            if self._by_id.setdefault(entity.id, entity) is not entity:
                raise InvalidInput("trust list: an entity id occurs twice")
            if entity.pinned and self.environment != "test":
                raise InvalidInput("trust list: pinned leaf certificates in a production list")
            for issuer in entity.credential_issuers:
                if self._by_issuer.setdefault(issuer, entity) is not entity:
                    raise InvalidInput("trust list: a credential issuer belongs to two entities")
            for key in _trusted(entity):
                if self._by_anchor.setdefault(key, entity) is not entity:
                    raise InvalidInput("trust list: an anchor belongs to two entities")
        revoked = frozenset(each for entity in self.entities for each in entity.revoked)
        object.__setattr__(self, "revoked", revoked)
        self._pinned.extend(leaf for entity in self.entities for leaf in entity.pinned)
        self._moments.extend(sorted({each for entity in self.entities for each in _edges(entity)}))

    @classmethod
    def parse(cls, data: bytes, *, version: int) -> Self:
        """Read the JSON document; *version* is the one its distribution gives (TUF targets).

        Raises:
            InvalidInput: not the documented shape, ambiguous, or pinned leaves in production.

        Specification: DESIGN section 4; PROFILE C-23, C-31, C-32.
        """
        document = parse_document(data)
        return cls(document.environment, document.entities, version)

    def with_local(self, additions: "TrustList") -> "TrustList":
        """This list and local entries beside it, which only a test list tolerates.

        Raises:
            InvalidInput: one of the two is for production, or an id or anchor occurs in both.
        """
        if not (self.is_test and additions.is_test):
            raise InvalidInput("trust list: local entries beside a production list")
        return TrustList("test", self.entities + additions.entities, self.version)

    @property
    def is_test(self) -> bool:
        """Every verdict reached with this list is stamped TEST."""
        return self.environment == "test"

    def entity_by_id(self, entity_id: str) -> Entity:
        """Raises NotFound if no such entity is listed."""
        if entity_id not in self._by_id:
            raise NotFound("trust list: no entity has this id")
        return self._by_id[entity_id]

    def entity_for_issuer(self, credential_issuer: str) -> Entity:
        """Who speaks under this Credential Issuer Identifier, compared as a string (C-35).

        Raises:
            Untrusted: nobody listed does.
        """
        if credential_issuer not in self._by_issuer:
            raise Untrusted("trust list: no entity has this credential issuer identifier")
        return self._by_issuer[credential_issuer]

    def anchors(
        self, role: Role, *, now: datetime, credential_type: str | None = None
    ) -> frozenset[bytes]:
        """Anchors (DER) usable for *role* now; with a type, only of entities that may issue it.

        Equal arguments give the identical object until a window opens or closes: cheap to call, and
        to cache by.

        Specification: PROFILE C-22, C-23.
        """
        key = role, credential_type, bisect_right(self._moments, now)
        found = self._anchors.get(key)
        if found is None:
            found = frozenset(
                anchor
                for entity in self.entities
                if entity.usable(role, now) and _issues(entity, credential_type)
                for anchor in entity.anchors.get(role, ())
            )
            self._anchors[key] = found
        return found

    def pinned(
        self, role: Role, *, now: datetime, credential_type: str | None = None
    ) -> frozenset[bytes]:
        """Pinned leaf certificates (DER) of a test list that have not expired."""
        return frozenset(
            leaf.certificate
            for leaf in self._pinned
            if leaf.role is role and leaf.type == credential_type and now < leaf.expires
        )

    def entity_for_chain(self, role: Role, chain: VerifiedChain, *, now: datetime) -> Entity:
        """Whose chain this is: decided by its anchor, never by a name inside a certificate.

        Raises:
            Untrusted: the anchor is nobody's for this role, its entity is not (or no longer) in
                force, or a certificate of the chain was revoked.
        """
        entity = self._by_anchor.get((role, chain.anchor))
        if entity is None:
            raise Untrusted(f"trust list: the anchor is nobody's for the role {role}")
        if not entity.usable(role, now):
            raise Untrusted("trust list: the entity is not in force")
        if not chain.thumbprints.isdisjoint(entity.revoked):
            raise Untrusted("trust list: a certificate of the chain was revoked")
        if chain.pinned and not any(_holds(leaf, role, chain, now) for leaf in entity.pinned):
            raise Untrusted("trust list: the pinned leaf is for another role, or no longer pinned")
        return entity


def _trusted(entity: Entity) -> Iterator[tuple[Role, bytes]]:
    yield from ((role, anchor) for role in Role for anchor in entity.anchors_for(role))
    yield from ((leaf.role, leaf.certificate) for leaf in entity.pinned)


def _edges(entity: Entity) -> Iterator[datetime]:
    if entity.valid_from is not None:
        yield start_of_day(entity.valid_from)
    if entity.valid_until is not None:
        yield entity.valid_until


def _holds(leaf: PinnedLeaf, role: Role, chain: VerifiedChain, now: datetime) -> bool:
    return leaf.role is role and leaf.certificate == chain.leaf and now < leaf.expires


def _issues(entity: Entity, credential_type: str | None) -> bool:
    return credential_type is None or any(each.type == credential_type for each in entity.issues)


def may_issue(
    entity: Entity,
    *,
    credential_format: str,
    credential_type: str,
    issued_at: datetime | None,
    now: datetime,
) -> Issue:
    """The entry that lets *entity* have issued this type at that time.

    What was issued before a withdrawal stays believable; without a time of issue it counts as
    issued now. Dates in credentials are rounded down to the UTC day, so a withdrawal takes hold by
    the day.

    Raises:
        Untrusted: not its type, or not at that time.

    Specification: DESIGN section 4; PROFILE C-23 [SDVC 10.6].
    """
    moment = now if issued_at is None else issued_at
    entries = [
        e for e in entity.issues if (e.format, e.type) == (credential_format, credential_type)
    ]
    if not entries:
        raise Untrusted("trust list: the entity may not issue this type")
    for entry in entries:
        if entity.covers(moment) and entry.covers(moment):
            return entry
    raise Untrusted("trust list: the entity might not issue this type at that time")
