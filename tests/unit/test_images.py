"""shared/formats/images.py: PNG and SVG, by data: URI or as they came, made harmless."""

import base64
import struct
import zlib
from urllib.parse import quote

import pytest

from shared.errors import InvalidInput
from shared.formats.images import MAX_BYTES, PNG, SVG, Image, from_data_uri, harmless

DRAWING = b'<svg xmlns="http://www.w3.org/2000/svg"><rect width="9" height="9"/></svg>'


def png(width: int = 1, height: int = 1) -> bytes:
    """A grey PNG of that size, or one that says so."""

    def chunk(name: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + check

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    lines = zlib.compress(b"\x00\x80" * min(height, 1))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", lines) + chunk(b"IEND", b"")


def uri(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (uri(PNG, png()), Image(PNG, png())),
        (uri(SVG, DRAWING), Image(SVG, DRAWING)),
        (uri("IMAGE/PNG", png()).replace("data:", "DATA:"), Image(PNG, png())),
        (f"data:{SVG},{quote(DRAWING)}", Image(SVG, DRAWING)),
        (f"data:{SVG};charset=utf-8,{quote(DRAWING)}", Image(SVG, DRAWING)),
        (f"data:{SVG};utf8,{quote(DRAWING)}", Image(SVG, DRAWING)),
        (uri(f"{SVG};charset=utf-8", DRAWING), Image(SVG, DRAWING)),
    ],
)
def test_both_kinds_come_in_a_data_uri(text: str, expected: Image) -> None:
    """W-06: HAIP 4.1; RFC 2397."""
    assert from_data_uri(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "data:,x",
        "https://issuer.example/logo.png",
        uri("image/gif", b"GIF89a"),
        uri("text/html", b"<script>"),
        uri(f"{PNG}.exe", png()),
        f"data:{PNG};base64,%%%",
        f"data:{SVG},<svg>\udc80",
        f"data:{PNG}",
    ],
)
def test_another_data_uri_is_refused(text: str) -> None:
    """W-06: other kinds, other schemes, what is not base64."""
    with pytest.raises(InvalidInput):
        from_data_uri(text)


def test_a_png_stays_and_an_svg_is_rebuilt() -> None:
    """W-06, F-TM-07: nothing that runs remains."""
    assert harmless(Image(PNG, png(4096, 4096))).content == png(4096, 4096)
    hostile = DRAWING.replace(b"<rect", b'<script>evil()</script><rect onload="evil()"')
    found = harmless(Image(SVG, hostile))
    assert b"evil" not in found.content
    assert b'<rect width="9"' in found.content


def test_an_svg_template_is_filled() -> None:
    """F-TM-07: placeholders of a template, and of nothing else."""
    template = Image(SVG, DRAWING.replace(b"<rect", b"<text>{{name}}</text><rect"))
    assert b"<text>Erika</text>" in harmless(template, texts={"name": "Erika"}).content
    with pytest.raises(InvalidInput):
        harmless(template)


@pytest.mark.parametrize(
    "found",
    [
        Image(PNG, b""),
        Image(PNG, DRAWING),
        Image(PNG, png(4097, 1)),
        Image(PNG, png(1, 65_535)),
        Image(PNG, png(0, 1)),
        Image(PNG, png().ljust(MAX_BYTES + 1, b"\0")),
        Image(SVG, png()),
        Image(SVG, b"<html/>"),
        Image("image/jpeg", png()),
        Image("text/html", DRAWING),
    ],
    ids=lambda found: f"{found.media_type} {len(found.content)}",
)
def test_a_hostile_image_is_refused(found: Image) -> None:
    """W-06, S-20: another kind than it says, too large in bytes or on the screen."""
    with pytest.raises(InvalidInput):
        harmless(found)
