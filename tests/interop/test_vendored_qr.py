"""The QR library that pages load is the one that npm pins, unchanged (ADR 0021)."""

from pathlib import Path

import pytest

from shared.runtime.pages import HERE, Pages
from tests.support.components import missing

PINNED = Path(__file__).parent / "node_modules/qr"
VENDORED = HERE / "static/vendor/qr"


@pytest.mark.parametrize("name", ["index.js", "decode.js", "LICENSE-MIT"])
def test_the_copy_is_unchanged(name: str) -> None:
    if not PINNED.is_dir():
        missing("npm ci in tests/interop installs qr")
    assert (VENDORED / name).read_bytes() == (PINNED / name).read_bytes()


def test_pages_serve_what_the_modules_import_of_one_another() -> None:
    pages = Pages(HERE)
    for name in ("vendor/qr/index.js", "vendor/qr/decode.js", "qr-image.js"):
        assert pages.asset(name).headers["content-type"].startswith("text/javascript")
    assert "from './index.js'" in (VENDORED / "decode.js").read_text()
