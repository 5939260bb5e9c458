"""SVG templates of Type Metadata: made harmless, then filled with the values of a credential.

A template is rebuilt from a list of allowed elements and attributes; whatever else it holds
(scripts, event handlers, styles, links, foreign objects, anything loaded from elsewhere) is not in
the result. Still it belongs into an `<img>` or a sandboxed frame.
Specification: SD-JWT VC, section 8.1.2.2; PROFILE F-TM-07, F-TM-09.
"""

import re
from collections.abc import Mapping
from xml.parsers import expat

from ..encoding import JsonValue
from ..errors import InvalidInput
from .claims_path import select
from .type_metadata import TypeMetadata

MAX_BYTES = 512 * 1024  # S-20
_MAX_RESULT = 2 * MAX_BYTES
_MAX_VALUE = 500
_MAX_DEPTH = 64
_MAX_USES = 32  # parts drawn again inside of parts drawn again grow like powers

_ELEMENTS = frozenset(
    """
    svg g defs title desc symbol use path rect circle ellipse line polyline polygon text tspan
    linearGradient radialGradient stop clipPath mask pattern image
    """.split()  # noqa: SIM905  one name a line says no more
)
_ATTRIBUTES = frozenset(
    """
    id class viewBox preserveAspectRatio version width height x y x1 y1 x2 y2 cx cy r rx ry fx fy
    dx dy d points transform gradientTransform gradientUnits patternUnits patternTransform
    patternContentUnits clipPathUnits maskUnits maskContentUnits spreadMethod offset stop-color
    stop-opacity fill fill-opacity fill-rule clip-rule clip-path mask stroke stroke-width
    stroke-opacity stroke-linecap stroke-linejoin stroke-miterlimit stroke-dasharray
    stroke-dashoffset opacity color display visibility font-family font-size font-weight font-style
    font-variant letter-spacing word-spacing text-anchor text-decoration dominant-baseline
    alignment-baseline baseline-shift rotate textLength lengthAdjust vector-effect xml:space role
    aria-label aria-hidden
    """.split()  # noqa: SIM905  one name a line says no more
)
_HREF = frozenset({"href", "xlink:href"})
_LOCAL = re.compile(r"#[A-Za-z_][\w.-]*\Z")
_LOCAL_URLS = re.compile(r"url\(\s*(['\"]?)#[A-Za-z_][\w.-]*\1\s*\)")
_DATA_IMAGE = re.compile(r"data:image/(png|jpeg|webp);base64,[A-Za-z0-9+/=\s]+\Z")
_PLACEHOLDER = re.compile(r"\{\{\s*([^{}]*?)\s*\}\}")
_ESCAPES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;"})


def escape(text: str) -> str:
    """The five characters of section 8.1.2.2, escaped."""
    return text.translate(_ESCAPES)


def values(metadata: TypeMetadata, claims: Mapping[str, JsonValue]) -> dict[str, str]:
    """The text for each `svg_id` of the type; an absent claim gives an empty one.

    Args:
        metadata: effective, from `type_metadata.resolve`.
        claims: what is disclosed.
    """
    return {
        rule.svg_id: _text(claims, rule.path) for rule in metadata.claims if rule.svg_id is not None
    }


def _text(claims: Mapping[str, JsonValue], path: tuple[str | int | None, ...]) -> str:
    try:
        found = [value for _, value in select(dict(claims), path)]
    except InvalidInput:
        return ""
    shown = []
    for each in found:
        items = each if isinstance(each, list) else [each]
        shown += [str(item) for item in items if isinstance(item, str | int | float)]
    return ", ".join(shown)[:_MAX_VALUE]


def render(template: bytes, texts: Mapping[str, str]) -> str:
    """Make *template* harmless and put *texts* where it names them.

    Args:
        template: as received, its integrity checked.
        texts: for each `svg_id`, from `values`.

    Raises:
        InvalidInput: no SVG, a document type, a placeholder the type does not know, or one outside
            of text content.

    Specification: SD-JWT VC, section 8.1.2.2; PROFILE F-TM-07.
    """
    if len(template) > MAX_BYTES:
        raise InvalidInput("SVG template: too large")
    writer = _Writer(texts)
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.ordered_attributes = True
    parser.StartElementHandler = writer.start
    parser.EndElementHandler = writer.end
    parser.CharacterDataHandler = writer.characters
    parser.CommentHandler = writer.comment
    parser.StartDoctypeDeclHandler = writer.doctype
    try:
        parser.Parse(template, True)  # noqa: FBT003  expat's own signature
    except expat.ExpatError as error:
        raise InvalidInput("SVG template: not XML") from error
    result = "".join(writer.parts)
    if not result.startswith("<svg") or len(result) > _MAX_RESULT:
        raise InvalidInput("SVG template: no SVG, or too large when filled")
    return result


class _Writer:
    """Writes the allowed part of what expat reads."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self.texts = texts
        self.parts: list[str] = []
        self.depth = 0
        self.uses = 0
        self.dropped_at: int | None = None

    def doctype(self, *_: object) -> None:
        raise InvalidInput("SVG template: has a document type")

    def comment(self, text: str) -> None:
        if _PLACEHOLDER.search(text):
            raise InvalidInput("SVG template: a placeholder in a comment")

    def start(self, name: str, pairs: list[str]) -> None:
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise InvalidInput("SVG template: nested too deeply")
        if self.dropped_at is not None:
            return
        if name not in _ELEMENTS or (self.depth == 1 and name != "svg"):
            self.dropped_at = self.depth
            return
        self.uses += name == "use"
        if self.uses > _MAX_USES:
            raise InvalidInput("SVG template: draws its parts too often")
        attributes = dict(zip(pairs[::2], pairs[1::2], strict=True))
        if any(_PLACEHOLDER.search(each) for each in attributes.values()):
            raise InvalidInput("SVG template: a placeholder in an attribute")
        kept = "".join(
            f' {attribute}="{escape(value)}"'
            for attribute, value in attributes.items()
            if _allowed(name, attribute, value)
        )
        if self.depth == 1:
            kept += ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
        self.parts.append(f"<{name}{kept}>")

    def end(self, name: str) -> None:
        if self.dropped_at is None:
            self.parts.append(f"</{name}>")
        elif self.dropped_at == self.depth:
            self.dropped_at = None
        self.depth -= 1

    def characters(self, text: str) -> None:
        if self.dropped_at is None:
            self.parts.append(escape(_PLACEHOLDER.sub(self.fill, text)))

    def fill(self, found: re.Match[str]) -> str:
        if found[1] not in self.texts:
            raise InvalidInput("SVG template: a placeholder the type does not know")
        return self.texts[found[1]]


def _allowed(element: str, attribute: str, value: str) -> bool:
    if attribute in _HREF:
        return bool(_DATA_IMAGE.match(value) if element == "image" else _LOCAL.match(value))
    if attribute not in _ATTRIBUTES:
        return False
    # a paint, mask or clip path may name a part of this document, nothing else
    return "url" not in _LOCAL_URLS.sub("", value).lower() and "\\" not in value
