"""What a card looks like: logos, colours, and the picture that its type draws with its claims.

What the Type Metadata of the trust list says goes before what its issuer says. Images are fetched
once, when the card is received, through the guarded fetcher and without redirects; each is made
harmless, and one that cannot be is left out while the card stays. They lie sealed beside the card,
so showing it calls nobody and nobody learns when.

Specification: OpenID4VCI 1.0, section 12.2.4; SD-JWT VC, section 8.1; HAIP, section 4.1; PROFILE
W-06, F-TM-05, F-TM-07, F-TM-09, S-10, S-11, S-20; WALLET_SECURITY 7.
"""

import re
import time
from base64 import b64decode, b64encode
from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import Connection, delete, insert, select

from shared.encoding import JsonValue
from shared.errors import ExpectedError, NotFound, Unavailable
from shared.formats import images, svg_templates
from shared.formats.images import Image
from shared.formats.type_metadata import (
    Rendering,
    SimpleRendering,
    SvgProperties,
    SvgTemplate,
    TypeMetadata,
    check_integrity,
)
from shared.oid4vci.metadata import CredentialConfiguration, CredentialIssuerMetadata, Logo

from . import wording
from .context import Wallet
from .tables import pictures
from .vault import OpenWallet

NAMES = ("picture", "logo", "issuer_logo", "background")
_SECONDS = 10.0
_MAX_TOTAL = 2 * 1024 * 1024  # of everything that one answer of an issuer brings
_MAX_ALT = 200
_READABLE = 4.5  # WCAG 2.2, 1.4.3
_HEX = re.compile(r"#([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")
_BLACK, _WHITE = "#000000", "#ffffff"
_USUAL = SvgProperties(orientation="landscape", color_scheme="light", contrast="normal")


def said_by_issuer(
    metadata: CredentialIssuerMetadata, configuration: CredentialConfiguration, *, locale: str
) -> dict[str, JsonValue]:
    """What the metadata say about the looks of one configuration, in the citizen's language."""
    whose = _suiting(metadata.display or (), locale)
    described = configuration.credential_metadata
    shown = _suiting((described.display if described else None) or (), locale)
    said: dict[str, JsonValue] = {"issuer_logo": _wish(whose.logo) if whose else None}
    if shown is not None:
        said |= {
            "logo": _wish(shown.logo),
            "background": _wish(shown.background_image),
            "colors": [shown.background_color, shown.text_color],
        }
    return said


class Fetching:
    """The images of everything that one answer brings, within bounds for all of it."""

    def __init__(self, wallet: Wallet, *, locale: str) -> None:
        self._wallet = wallet
        self._locale = locale
        self._until = time.monotonic() + _SECONDS
        self._left = _MAX_TOTAL

    def look(
        self,
        said: Mapping[str, Any],
        found: TypeMetadata | None,
        claims: Mapping[str, JsonValue],
    ) -> tuple[dict[str, JsonValue], dict[str, JsonValue]]:
        """What a card says of its looks, and its images.

        Args:
            said: from `said_by_issuer`.
            found: the metadata of its type, if there are any.
            claims: of the card, for its picture.
        """
        rendering = self._rendering(found)
        simple = rendering.simple or SimpleRendering()
        wishes: dict[str, Any] = {
            "logo": _wish(simple.logo) or said.get("logo"),
            "issuer_logo": said.get("issuer_logo"),
            "background": _wish(simple.background_image) or said.get("background"),
        }
        brought: dict[str, Image] = {}
        drawn = self._drawn(rendering.svg_templates, found, claims)
        if drawn is not None:
            brought["picture"] = drawn
            wishes["background"] = None  # the picture has its own
        for name, wish in wishes.items():
            image = None if wish is None else self._image(wish, {})
            if image is not None:
                brought[name] = image
        background, text = said.get("colors") or (None, None)
        if simple.background_color is not None:
            background, text = simple.background_color, simple.text_color
        look: dict[str, JsonValue] = {
            "colors": _colors(background, text),
            "alts": {name: (wishes.get(name) or {}).get("alt", "") for name in brought},
        }
        return look, {
            name: {"type": each.media_type, "content": b64encode(each.content).decode()}
            for name, each in brought.items()
        }

    def _rendering(self, found: TypeMetadata | None) -> Rendering:
        shown = _suiting((found.display if found else None) or (), self._locale)
        return (shown.rendering if shown else None) or Rendering()

    def _drawn(
        self,
        templates: Collection[SvgTemplate],
        found: TypeMetadata | None,
        claims: Mapping[str, JsonValue],
    ) -> Image | None:
        best = _wish(min(templates, key=_unusual, default=None))
        if best is None or found is None:
            return None
        drawn = self._image(best, svg_templates.values(found, claims))
        return drawn if drawn is not None and drawn.media_type == images.SVG else None

    def _image(self, wish: Mapping[str, Any], texts: Mapping[str, str]) -> Image | None:
        """The image of *wish*, or None: a card is not worse for what its logo is."""
        try:
            found = self._received(wish["uri"])
            if wish["integrity"] is not None:
                check_integrity(found.content, wish["integrity"])
            found = images.harmless(found, texts=texts)
        except ExpectedError:
            return None
        if len(found.content) > self._left:
            return None
        self._left -= len(found.content)
        return found

    def _received(self, uri: str) -> Image:
        if uri[:5].lower() == "data:":
            return images.from_data_uri(uri)
        if time.monotonic() > self._until:
            raise Unavailable("image: the others have taken too long")
        answer = self._wallet.fetcher.get(
            uri, accept=images.MEDIA_TYPES, max_bytes=images.MAX_BYTES
        )
        return Image(answer.content_type, answer.body)


def store(
    connection: Connection, opened: OpenWallet, card_id: str, brought: Mapping[str, JsonValue]
) -> None:
    """The images of a received card, within the transaction that keeps it; old ones go."""
    mine = (pictures.c.credential == card_id, pictures.c.wallet == opened.id)
    connection.execute(delete(pictures).where(*mine))
    if brought:
        sealed = opened.seal(pictures, card_id, brought)
        connection.execute(
            insert(pictures).values(credential=card_id, wallet=opened.id, sealed=sealed)
        )


def image(wallet: Wallet, opened: OpenWallet, card_id: str, name: str) -> Image:
    """One image of a card; raises NotFound."""
    statement = select(pictures.c.sealed).where(
        pictures.c.credential == card_id, pictures.c.wallet == opened.id
    )
    with wallet.database.reading() as connection:
        sealed = connection.execute(statement).scalar_one_or_none()
    held = {} if sealed is None else opened.open(pictures, card_id, sealed)
    if name not in held:
        raise NotFound("card: no such image")
    return Image(held[name]["type"], b64decode(held[name]["content"]))


def shown(card_id: str, look: Mapping[str, Any] | None) -> dict[str, JsonValue]:
    """What an app is told of a card's looks: where its images are, and colours one can read."""
    alts = (look or {}).get("alts", {})
    places = {name: f"/api/v1/credentials/{card_id}/images/{name}" for name in NAMES}
    answer: dict[str, JsonValue] = {"colors": (look or {}).get("colors")}
    for name in ("picture", "background"):
        answer[name] = places[name] if name in alts else None
    for name in ("logo", "issuer_logo"):
        answer[name] = {"url": places[name], "alt": alts[name]} if name in alts else None
    return answer


def _suiting(displays: Collection[Any], locale: str) -> Any:
    """The entry whose language suits best; None if there is none."""
    by_tag = {each.locale or wording.FALLBACK: each for each in displays}
    return by_tag.get(wording.choose({tag: tag for tag in by_tag}, locale))


def _wish(named: Any) -> dict[str, JsonValue] | None:
    """Where an image is to be had; *named* is a `Logo`, an `Image` or a template, or None."""
    if named is None:
        return None
    integrity = None if isinstance(named, Logo) else named.integrity
    alt = (getattr(named, "alt_text", None) or "")[:_MAX_ALT]
    return {"uri": named.uri, "alt": alt, "integrity": integrity}


def _unusual(template: SvgTemplate) -> int:
    """In how many ways a template is for something else than a card on a light page."""
    said = template.properties
    if said is None:
        return 0
    pairs = [
        (said.orientation, _USUAL.orientation),
        (said.color_scheme, _USUAL.color_scheme),
        (said.contrast, _USUAL.contrast),
    ]
    return sum(one not in (None, usual) for one, usual in pairs)


def _colors(background: str | None, text: str | None) -> JsonValue:
    """Both as #rrggbb, the text readable on its background; None where nothing usable is said."""
    below, above = _hex(background), _hex(text)
    if below is None:
        return None
    if above is None or _contrast(below, above) < _READABLE:
        above = max((_BLACK, _WHITE), key=lambda each: _contrast(below, each))
    return {"background": below, "text": above}


def _hex(color: str | None) -> str | None:
    found = _HEX.fullmatch(color or "")
    if found is None:
        return None
    digits = found[1].lower()
    return "#" + (digits if len(digits) == 6 else "".join(2 * each for each in digits))


def _contrast(one: str, other: str) -> float:
    """WCAG 2.2, contrast ratio."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(color: str) -> float:
    parts = [int(color[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        each / 12.92 if each <= 0.04045 else ((each + 0.055) / 1.055) ** 2.4 for each in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
