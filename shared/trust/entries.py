"""The entries of the trust list: what its JSON document says, as strict frozen values.

docs/trust-list.md shows a whole document and how it maps to TS5 and TS6. Unknown members and
unknown roles are ignored (C-32), since neither can make anything trusted.

Specification: DESIGN section 4; TS5 section 2 and TS6 (`specs/eudi`); PROFILE C-31, C-32.
"""

import re
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, Literal, Self, TypeAlias

from cryptography import x509
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ..encoding import b64_decode, parse_json_object, start_of_day
from ..errors import InvalidInput

MAX_BYTES = 5_000_000

ClaimPath: TypeAlias = tuple[str | int | None, ...]
_Path = Annotated[tuple[str | Annotated[int, Field(ge=0)] | None, ...], Field(min_length=1)]

_INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")


class Role(StrEnum):
    """What a chain is used for. Each has anchors of its own."""

    CREDENTIAL = "credential"
    STATUS = "status"
    ACCESS = "access"
    WALLET_PROVIDER = "wallet_provider"
    METADATA = "metadata"


_OUTLIVE_WITHDRAWAL = frozenset({Role.CREDENTIAL, Role.STATUS})


def _instant(value: object) -> datetime:
    if not isinstance(value, str) or _INSTANT.fullmatch(value) is None:
        raise ValueError("not a UTC time such as 2026-01-31T00:00:00Z")
    return datetime.fromisoformat(value).astimezone(UTC)


def _certificate(value: object) -> bytes:
    try:
        der = b64_decode(value if isinstance(value, str) else "")
        x509.load_der_x509_certificate(der)
    except (InvalidInput, ValueError) as error:
        raise ValueError("not a certificate: standard base64 of its DER form") from error
    return der


Instant = Annotated[datetime, BeforeValidator(_instant)]
Certificate = Annotated[bytes, BeforeValidator(_certificate)]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s#]+$", max_length=2000)]
EntityId = Annotated[str, StringConstraints(pattern=r"^ent_[A-Za-z0-9_-]{1,64}$")]
PurposeId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,64}$")]
Language = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z]{2,3}(-[a-zA-Z0-9]{2,8})*$")]
Thumbprint = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Integrity = Annotated[
    str,
    StringConstraints(
        pattern=r"^sha(256|384|512)-[A-Za-z0-9+/]+=*( sha(256|384|512)-[A-Za-z0-9+/]+=*)*$"
    ),
]
Names: TypeAlias = dict[Language, Text]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Window(_Entry):
    """From the UTC day of `valid_from`, as dates in credentials are, until `valid_until`."""

    valid_from: Instant | None = None
    valid_until: Instant | None = None

    def began(self, moment: datetime) -> bool:
        """Whether *moment* is not before the beginning."""
        return self.valid_from is None or start_of_day(self.valid_from) <= moment

    def covers(self, moment: datetime) -> bool:
        """Whether *moment* lies inside: the end itself is outside."""
        return self.began(moment) and (self.valid_until is None or moment < self.valid_until)


class Contact(_Entry):
    """How people reach somebody: at least one way."""

    name: Names | None = None
    uri: Url | None = None
    email: Text | None = None
    phone: Text | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if not (self.uri or self.email or self.phone):
            raise ValueError("one of uri, email, phone is needed")
        return self


class Contacts(_Entry):
    """TS6: support; TS7: where erasure is asked for; TS8: whom a citizen complains to."""

    support: Contact
    data_protection: Contact
    supervisory_authority: Contact | None = None


class TypeMetadata(_Entry):
    """The one place a type's metadata comes from, and its digest (F-TM-02, F-TM-03)."""

    uri: Url
    integrity: Integrity


class Issue(_Window):
    """A type the entity may issue: `type` is the `vct` or the doctype."""

    format: Text
    type: Text
    type_metadata: TypeMetadata | None = None


class AskedCredential(_Entry):
    """What one purpose may ask of one credential type. A path also covers everything below it."""

    format: Text
    type: Text
    claims: tuple[_Path, ...] = ()


class Ask(_Window):
    """A registered purpose ("intended use" in TS5)."""

    purpose: PurposeId
    texts: Names
    retention_seconds: int
    cross_device: bool = False
    privacy_policy: Url | None = None
    credentials: tuple[AskedCredential, ...]


class PinnedLeaf(_Entry):
    """A certificate believed as it is, without a path: for tests and pilots."""

    certificate: Certificate
    role: Role
    type: Text | None = None
    expires: Instant


class Entity(_Window):
    """An agency, wallet provider or verifier, under an id that never changes."""

    id: EntityId
    names: Names
    contacts: Contacts
    credential_issuers: tuple[Url, ...] = ()
    anchors: dict[str, tuple[Certificate, ...]] = {}
    """By role; one this version does not know is never looked up (C-32)."""
    issues: tuple[Issue, ...] = ()
    asks: tuple[Ask, ...] = ()
    revoked: tuple[Thumbprint, ...] = ()
    pinned: tuple[PinnedLeaf, ...] = ()

    @model_validator(mode="after")
    def _named_and_unambiguous(self) -> Self:
        if not self.names:
            raise ValueError("names: at least one language")
        if any(not ask.texts or ask.retention_seconds < 0 for ask in self.asks):
            raise ValueError("asks: a purpose needs a text and a retention of 0 or more seconds")
        if len({ask.purpose for ask in self.asks}) != len(self.asks):
            raise ValueError("asks: a purpose id occurs twice")
        return self

    def anchors_for(self, role: Role) -> frozenset[bytes]:
        """Anchors (DER) of this one entity, for example to hold its status lists against (C-22)."""
        return frozenset(self.anchors.get(role, ()))

    def usable(self, role: Role, now: datetime) -> bool:
        """Credentials and status outlive a withdrawal: `may_issue` looks at the time of issue."""
        return self.began(now) if role in _OUTLIVE_WITHDRAWAL else self.covers(now)


class Document(_Entry):
    """The whole file. The member `format` tells its version apart from later ones."""

    format: Literal["citizen-wallet-trust-list/1"]
    environment: Literal["test", "production"]
    entities: tuple[Entity, ...]


def parse_document(data: bytes) -> Document:
    """Read the JSON text.

    Raises:
        InvalidInput: not the documented shape; the message names the place, not the content.
    """
    parse_json_object(data, max_bytes=MAX_BYTES)  # duplicate names, depth, odd numbers
    try:
        return Document.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"trust list: {place}: {first['msg']}") from error
