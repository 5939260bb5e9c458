"""Draws the wallet's icons, so that no picture of anybody else stands here; run it to write them.

A card with a tick on a blue ground, once as SVG and from the same figures as PNG, for where home
screens take nothing else. `maskable` leaves the outer fifth to whatever shape a phone cuts.
"""

import math
import struct
import zlib
from itertools import pairwise
from pathlib import Path

STATIC = Path(__file__).parents[2] / "wallet_service/static"
BLUE, DEEP, WHITE = (0x17, 0x50, 0x9A), (0x0F, 0x3A, 0x73), (0xFF, 0xFF, 0xFF)
# In a square of 100: the card, its stripe, the tick as two strokes.
CARD = (22.0, 29.0, 78.0, 71.0, 7.0)
STRIPE = (22.0, 38.0, 78.0, 44.5)
TICK = ((41.0, 57.5), (47.5, 63.5), (60.0, 51.5))
STROKE = 2.6

SVG = f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">
<rect width="100" height="100" rx="20" fill="#17509a"/>
<rect x="22" y="29" width="56" height="42" rx="7" fill="#fff"/>
<rect x="22" y="38" width="56" height="6.5" fill="#0f3a73"/>
<g fill="none" stroke="#17509a" stroke-width="{2 * STROKE}" stroke-linecap="round">
<path d="M41 57.5 47.5 63.5 60 51.5" stroke-linejoin="round"/>
</g>
</svg>
"""


def _box(x: float, y: float, box: tuple[float, ...], radius: float = 0.0) -> float:
    """How far outside a (rounded) rectangle a point lies; negative inside."""
    left, top, right, bottom = box[:4]
    dx = abs(x - (left + right) / 2) - (right - left) / 2 + radius
    dy = abs(y - (top + bottom) / 2) - (bottom - top) / 2 + radius
    return math.hypot(max(dx, 0.0), max(dy, 0.0)) + min(max(dx, dy), 0.0) - radius


def _stroke(x: float, y: float, a: tuple[float, float], b: tuple[float, float]) -> float:
    """How far outside a round stroke from *a* to *b* a point lies."""
    across, down = b[0] - a[0], b[1] - a[1]
    along = ((x - a[0]) * across + (y - a[1]) * down) / (across**2 + down**2)
    t = min(max(along, 0.0), 1.0)
    return math.hypot(x - a[0] - t * across, y - a[1] - t * down) - STROKE


def pixels(size: int, *, rounded: bool) -> bytes:
    """RGBA, row by row."""
    scale, made = size / 100, bytearray()
    for row in range(size):
        y = (row + 0.5) / scale
        for column in range(size):
            x = (column + 0.5) / scale
            layers = (
                (_box(x, y, CARD, CARD[4]), WHITE),
                (max(_box(x, y, STRIPE), _box(x, y, CARD, CARD[4])), DEEP),
                (min(_stroke(x, y, *TICK[:2]), _stroke(x, y, *TICK[1:])), BLUE),
            )
            colour: tuple[float, ...] = BLUE
            for outside, paint in layers:
                cover = min(max(0.5 - outside * scale, 0.0), 1.0)
                colour = tuple(
                    old + (new - old) * cover for old, new in zip(colour, paint, strict=True)
                )
            shape = _box(x, y, (0.0, 0.0, 100.0, 100.0), 20.0) if rounded else -1.0
            alpha = min(max(0.5 - shape * scale, 0.0), 1.0)
            made += bytes(round(each) for each in (*colour, 255 * alpha))
    return bytes(made)


def png(size: int, *, rounded: bool) -> bytes:
    """The icon as PNG (ISO/IEC 15948), each row told as its difference from the one above."""
    raw, width = pixels(size, rounded=rounded), size * 4
    rows = [bytes(width), *(raw[at : at + width] for at in range(0, len(raw), width))]
    filtered = b"".join(
        b"\2" + bytes((new - old) % 256 for new, old in zip(row, above, strict=True))
        for above, row in pairwise(rows)
    )

    def chunk(name: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        )

    header = struct.pack(">IIBBBBB", size, size, 8, 6, 0, 0, 0)
    parts = (
        chunk(b"IHDR", header),
        chunk(b"IDAT", zlib.compress(filtered, 9)),
        chunk(b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


FILES = {
    "icon-192.png": (192, True),
    "icon-512.png": (512, True),
    "icon-maskable.png": (512, False),
    "icon-touch.png": (180, False),
}


def main() -> None:
    """Write all of them."""
    (STATIC / "icon.svg").write_text(SVG, encoding="utf-8")
    for name, (size, rounded) in FILES.items():
        (STATIC / name).write_bytes(png(size, rounded=rounded))


if __name__ == "__main__":
    main()
