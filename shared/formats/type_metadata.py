"""Type Metadata: what a credential type is called, looks like, must hold and may withhold.

Documents come as bytes from wherever the trust list says; nothing is fetched here (F-TM-02). All
texts are untrusted: bounded here, escaped where they are shown (F-TM-09). Extending a type gives no
authority.
Specification: SD-JWT VC draft 13, sections 6 to 9; PROFILE F-TM-01 to F-TM-09.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ..encoding import JsonValue, parse_json_object
from ..errors import InvalidInput, VerificationError
from .claims_path import ClaimPath, parse_path, select
from .elements import Elements, Kind, Rule
from .sd_jwt_vc import NEVER_CONCEALED

MAX_BYTES = 256 * 1024  # S-20
MAX_DEPTH = 5  # F-TM-04
_MAX_SHAPES = 256
_INTEGRITY_HASHES = {"sha256": hashlib.sha256, "sha384": hashlib.sha384, "sha512": hashlib.sha512}

Load: TypeAlias = Callable[[str], bytes]
"""Gives the document of a type, as received; raises what it must when there is none."""


class WrongIntegrity(VerificationError):
    """The document is not the one its reference names."""


def integrity(document: bytes) -> str:
    """The `#integrity` string of *document* (section 7)."""
    return "sha256-" + base64.b64encode(hashlib.sha256(document).digest()).decode("ascii")


def check_integrity(document: bytes, expected: str) -> None:
    """Raise WrongIntegrity unless *document* is what *expected* names.

    Of several hashes the strongest known counts; a string without a known one is refused.

    Specification: SD-JWT VC, section 7; Subresource Integrity, section 3.3.5; PROFILE F-TM-03.
    """
    named: dict[str, list[bytes]] = {}
    for each in expected.split():
        algorithm, _, value = each.partition("-")
        if algorithm in _INTEGRITY_HASHES:
            try:
                named.setdefault(algorithm, []).append(
                    base64.b64decode(value.partition("?")[0], validate=True)
                )
            except (binascii.Error, ValueError) as error:
                raise WrongIntegrity("integrity: a hash is not base64") from error
    if not named:
        raise WrongIntegrity("integrity: no known hash")
    strongest = max(named)
    found = _INTEGRITY_HASHES[strongest](document).digest()
    if not any(hmac.compare_digest(found, each) for each in named[strongest]):
        raise WrongIntegrity("integrity: the document is another one")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore", populate_by_name=True)


Tag: TypeAlias = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9]+(-[A-Za-z0-9]+)*$", max_length=64)
]
Text: TypeAlias = Annotated[str, StringConstraints(max_length=500)]
LongText: TypeAlias = Annotated[str, StringConstraints(max_length=4000)]
Uri: TypeAlias = Annotated[str, StringConstraints(min_length=1, max_length=64 * 1024)]
Colour: TypeAlias = Annotated[
    str,
    StringConstraints(
        pattern=r"^(#[0-9A-Fa-f]{3,4}|#[0-9A-Fa-f]{6}|#[0-9A-Fa-f]{8}|rgba?\([0-9., %/]{1,40}\))$"
    ),
]
Path: TypeAlias = Annotated[ClaimPath, BeforeValidator(parse_path)]


class Image(_Model):
    """A logo or a background image (sections 8.1.1.1 and 8.1.1.2)."""

    uri: Uri
    integrity: Text | None = Field(None, alias="uri#integrity")
    alt_text: Text | None = None


class SimpleRendering(_Model):
    """Section 8.1.1."""

    logo: Image | None = None
    background_image: Image | None = None
    background_color: Colour | None = None
    text_color: Colour | None = None


class SvgProperties(_Model):
    """What a template is best for (section 8.1.2.1); at least one of them."""

    orientation: Literal["portrait", "landscape"] | None = None
    color_scheme: Literal["light", "dark"] | None = None
    contrast: Literal["normal", "high"] | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.orientation, self.color_scheme, self.contrast) == (None, None, None):
            raise ValueError("SVG template properties are empty")
        return self


class SvgTemplate(_Model):
    """Section 8.1.2."""

    uri: Uri
    integrity: Text | None = Field(None, alias="uri#integrity")
    properties: SvgProperties | None = None


class Rendering(_Model):
    """Section 8.1."""

    simple: SimpleRendering | None = None
    svg_templates: tuple[SvgTemplate, ...] = ()

    @model_validator(mode="after")
    def _told_apart(self) -> Self:
        if len(self.svg_templates) > 1 and any(not each.properties for each in self.svg_templates):
            raise ValueError("several SVG templates, and one without properties")
        return self


class Display(_Model):
    """The type in one language (section 8; F-TM-05)."""

    locale: Tag
    name: Text
    description: LongText | None = None
    rendering: Rendering | None = None


class ClaimDisplay(_Model):
    """A claim in one language (section 9.2)."""

    locale: Tag
    label: Text
    description: LongText | None = None


class ClaimMetadata(_Model):
    """What is said about the claims at *path* (section 9; F-TM-06)."""

    path: Path
    display: tuple[ClaimDisplay, ...] = ()
    mandatory: bool = False
    sd: Literal["always", "allowed", "never"] = "allowed"
    svg_id: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    cbor: Kind | None = None
    """Ours, for an mdoc: what CBOR says of the value and JSON cannot."""


class TypeMetadata(_Model):
    """One document; after `resolve` with all it inherits."""

    vct: Annotated[str, StringConstraints(min_length=1, max_length=1024)]
    name: Text | None = None
    description: LongText | None = None
    extends: Annotated[str, StringConstraints(min_length=1, max_length=1024)] | None = None
    extends_integrity: Text | None = Field(None, alias="extends#integrity")
    display: tuple[Display, ...] | None = None
    claims: tuple[ClaimMetadata, ...] = ()

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        for each, what in (
            ([claim.path for claim in self.claims], "path"),
            ([claim.svg_id for claim in self.claims if claim.svg_id], "svg_id"),
        ):
            if len(set(each)) != len(each):
                raise ValueError(f"claims: a {what} occurs twice")
        return self

    def conceal(self, claims: Mapping[str, JsonValue]) -> tuple[ClaimPath, ...]:
        """Check *claims* against the rules of the type, and say what the Holder may withhold.

        Withheld is what is `always` or, to reveal as little as possible, `allowed`, and any claim
        at the top that the type does not mention. A claim counts as concealed only if it is so
        itself, not because one above it is.

        Claims of a shape that was seen before are answered from memory.

        Raises:
            InvalidInput: a mandatory claim is missing, or a claim has another shape than its path.

        Specification: SD-JWT VC, sections 9.3 and 9.4; PROFILE F-TM-08, I-116.
        """
        shapes = self._shapes
        if shapes is None:
            return self._conceal(claims)
        shape = tuple(
            (name, tuple(value) if isinstance(value, dict) else None)
            for name, value in claims.items()
        )
        found = shapes.get(shape)
        if found is None:
            found = self._conceal(claims)
            if len(shapes) < _MAX_SHAPES:
                shapes[shape] = found
        return found

    def _conceal(self, claims: Mapping[str, JsonValue]) -> tuple[ClaimPath, ...]:
        mandatory, withheld, deep, mentioned = self._rules
        names = claims.keys()
        if not mandatory <= names:
            raise InvalidInput("type metadata: a mandatory claim is missing")
        concealed: list[ClaimPath] = [each for each in withheld if each[0] in names]
        for rule in deep:
            if _present(claims, rule.path):
                if rule.sd != "never":
                    concealed.append(rule.path)
            elif rule.mandatory:
                raise InvalidInput("type metadata: a mandatory claim is missing")
        if not names <= mentioned:
            concealed += [(name,) for name in names if name not in mentioned]
        return tuple(concealed)

    @cached_property
    def elements(self) -> Elements:
        """The type as one of mdocs: `vct` is the doctype, paths begin `[namespace, element]`.

        Raises:
            InvalidInput: a path begins otherwise.
        """
        return Elements(Rule(each.path, each.mandatory, each.cbor) for each in self.claims)

    @cached_property
    def _shapes(self) -> dict[object, tuple[ClaimPath, ...]] | None:
        """What was answered for each shape; None if the rules look deeper than a shape does."""
        flat = all(
            len(rule.path) <= 2 and all(isinstance(part, str) for part in rule.path)
            for rule in self.claims
        )
        return {} if flat else None

    @cached_property
    def _rules(
        self,
    ) -> tuple[frozenset[Any], list[ClaimPath], list[ClaimMetadata], frozenset[Any]]:
        """Names that must be there, paths of those withheld, rules below the top, all names."""
        rules = [each for each in self.claims if each.path[0] not in NEVER_CONCEALED]
        top = [each for each in rules if len(each.path) == 1]
        return (
            frozenset(each.path[0] for each in top if each.mandatory),
            [each.path for each in top if each.sd != "never"],
            [each for each in rules if len(each.path) > 1],
            NEVER_CONCEALED | {each.path[0] for each in rules},
        )


def _present(claims: Mapping[str, JsonValue], path: ClaimPath) -> bool:
    try:
        select(dict(claims), path)
    except InvalidInput:
        return False
    return True


def parse(document: bytes, *, vct: str, expected_integrity: str | None = None) -> TypeMetadata:
    """Read one Type Metadata document.

    Args:
        document: as received.
        vct: the type it was looked up for; the document must name the same.
        expected_integrity: of the reference that led here.

    Raises:
        WrongIntegrity: another document.
        InvalidInput: not Type Metadata, or of another type.

    Specification: SD-JWT VC, sections 6.2 and 6.3; PROFILE F-TM-01, F-TM-03, F-TM-05, F-TM-06.
    """
    if expected_integrity is not None:
        check_integrity(document, expected_integrity)
    parse_json_object(document, max_bytes=MAX_BYTES)  # strict where the next reader is not
    try:
        found = TypeMetadata.model_validate_json(document)
    except ValidationError as error:
        where = ".".join(str(each) for each in error.errors()[0]["loc"])
        raise InvalidInput(f"type metadata: {where or 'document'} is not as it must be") from error
    if found.vct != vct:
        raise InvalidInput("type metadata: of another type")
    return found


def resolve(vct: str, *, load: Load, expected_integrity: str | None = None) -> TypeMetadata:
    """The effective metadata of *vct*: with everything it inherits.

    Args:
        vct: the type.
        load: called for *vct* and for each type above it.
        expected_integrity: of the document of *vct*.

    Raises:
        WrongIntegrity: one of the documents is another one.
        InvalidInput: a cycle, more than five levels, or a child that loosens a rule.

    Specification: SD-JWT VC, sections 6.4, 8.2, 9.5 and 10.3; PROFILE F-TM-04.
    """
    chain: list[TypeMetadata] = []
    wanted: str | None = vct
    while wanted is not None:
        if wanted in {each.vct for each in chain}:
            raise InvalidInput("type metadata: extends goes in a circle")
        if len(chain) == MAX_DEPTH:
            raise InvalidInput("type metadata: extends goes too deep")
        chain.append(parse(load(wanted), vct=wanted, expected_integrity=expected_integrity))
        wanted, expected_integrity = chain[-1].extends, chain[-1].extends_integrity
    effective = chain[-1]
    for child in reversed(chain[:-1]):
        effective = _extended(effective, child)
    return effective


def _extended(parent: TypeMetadata, child: TypeMetadata) -> TypeMetadata:
    claims = {each.path: each for each in parent.claims}
    for each in child.claims:
        above = claims.get(each.path)
        claims[each.path] = each if above is None else _overridden(above, each)
    merged = {
        "claims": tuple(claims.values()),
        "display": parent.display if child.display is None else child.display,
    }
    ids = [each.svg_id for each in claims.values() if each.svg_id]
    if len(set(ids)) != len(ids):
        raise InvalidInput("type metadata: an svg_id occurs twice")
    return child.model_copy(update=merged)


def _overridden(parent: ClaimMetadata, child: ClaimMetadata) -> ClaimMetadata:
    """The child's object counts as a whole, but never loosens what the parent said."""
    fixed = parent.sd != "allowed"
    if fixed and "sd" in child.model_fields_set and child.sd != parent.sd:
        raise InvalidInput("type metadata: sd is changed by a type that extends it")
    if parent.mandatory and "mandatory" in child.model_fields_set and not child.mandatory:
        raise InvalidInput("type metadata: a mandatory claim is made optional")
    return child.model_copy(
        update={
            "sd": parent.sd if fixed else child.sd,
            "mandatory": parent.mandatory or child.mandatory,
        }
    )


_Localised = TypeVar("_Localised", Display, ClaimDisplay)


def in_language(texts: Sequence[_Localised], languages: Sequence[str]) -> _Localised | None:
    """The entry that fits *languages* best, else the first; None if there is none.

    Args:
        texts: `display` of a type or of a claim.
        languages: language tags, the preferred one first.

    Specification: RFC 4647, section 3.4; SD-JWT VC, sections 8 and 9.2.
    """
    for language in languages:
        parts = language.lower().split("-")
        for length in range(len(parts), 0, -1):
            tag = "-".join(parts[:length])
            for each in texts:
                if each.locale.lower() == tag or each.locale.lower().startswith(f"{tag}-"):
                    return each
    return texts[0] if texts else None
