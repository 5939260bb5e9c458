"""QR codes as a camera or a photograph has them: films for Chromium, and PNG files."""

from io import BytesIO
from pathlib import Path

import segno

WIDTH, HEIGHT = 640, 480
_DARK, _LIGHT, _COLOURLESS = b"\x10", b"\xeb", b"\x80"


def png(text: str, *, scale: int = 4) -> bytes:
    """A picture file with the code of *text*."""
    file = BytesIO()
    segno.make(text, error="l", micro=False).save(file, kind="png", scale=scale, border=4)
    return file.getvalue()


def film(path: Path, text: str | None) -> None:
    """A film (YUV4MPEG2) in which the code of *text* stands still; nothing with None."""
    rows = [bytearray(_LIGHT * WIDTH) for _ in range(HEIGHT)]
    if text is not None:
        code = [list(row) for row in segno.make(text, error="l", micro=False).matrix]
        size = len(code)
        scale = (HEIGHT - 20) // (size + 8)
        left, top = (WIDTH - size * scale) // 2, (HEIGHT - size * scale) // 2
        for y, row in enumerate(code):
            for x, dark in enumerate(row):
                if dark:
                    at = left + x * scale
                    for line in range(top + y * scale, top + (y + 1) * scale):
                        rows[line][at : at + scale] = _DARK * scale
    frame = b"FRAME\n" + b"".join(rows) + _COLOURLESS * (WIDTH * HEIGHT // 2)
    header = f"YUV4MPEG2 W{WIDTH} H{HEIGHT} F10:1 Ip A1:1 C420jpeg\n".encode()
    path.write_bytes(header + frame * 2)
