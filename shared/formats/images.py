"""Images that issuers name, PNG and SVG: taken out of a `data:` URI, and made harmless.

An SVG is rebuilt from what is allowed (`svg_templates.py`); a PNG must say a size that a screen can
hold, so that a small file is not a large picture.
Specification: HAIP, section 4.1; RFC 2397; PROFILE W-06, F-TM-07, F-TM-09, S-20.
"""

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from ..errors import InvalidInput
from . import svg_templates

PNG, SVG = "image/png", "image/svg+xml"
MEDIA_TYPES = (PNG, SVG)
MAX_BYTES = svg_templates.MAX_BYTES
_MAX_SIDE = 4096
_DATA = re.compile(
    r"data:(image/(?:png|svg\+xml))(?:;(?!base64,)[\w.+=-]+)*(;base64)?,", re.IGNORECASE
)
_HEAD = re.compile(rb"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR(....)(....)", re.DOTALL)
_NO_TEXTS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Image:
    """Bytes and what they say they are."""

    media_type: str
    content: bytes


def from_data_uri(uri: str) -> Image:
    """The image in *uri*, as it stands there.

    Raises:
        InvalidInput: no PNG or SVG by its own word, or not well-formed.

    Specification: RFC 2397; PROFILE W-06.
    """
    head = _DATA.match(uri)
    if head is None:
        raise InvalidInput("image: no data: URI of a PNG or SVG")
    try:
        content = unquote_to_bytes(uri[head.end() :])
        if head[2]:
            content = base64.b64decode(content, validate=True)
    except (UnicodeEncodeError, binascii.Error) as error:
        raise InvalidInput("image: neither text nor base64") from error
    return Image(head[1].lower(), content)


def harmless(found: Image, *, texts: Mapping[str, str] = _NO_TEXTS) -> Image:
    """*found* as it may be kept and shown.

    Args:
        found: as received, its integrity checked.
        texts: for the placeholders of an SVG template; a plain image has none.

    Raises:
        InvalidInput: too large, of another kind than it says, or not to be made harmless.

    Specification: PROFILE W-06, F-TM-07.
    """
    if len(found.content) > MAX_BYTES:
        raise InvalidInput("image: too large")
    if found.media_type == SVG:
        return Image(SVG, svg_templates.render(found.content, texts).encode())
    head = _HEAD.match(found.content)
    if found.media_type != PNG or head is None:
        raise InvalidInput("image: no PNG")
    if not all(0 < int.from_bytes(side, "big") <= _MAX_SIDE for side in head.groups()):
        raise InvalidInput("image: larger than a screen")
    return found
