"""What surrounds the wallet's views: manifest, service worker, icons, what we can see."""

import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.architecture import icons
from tests.support.databases import sqlite_url
from tests.support.wallet import WalletWorld
from wallet_service import seeing


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalletWorld]:
    folder = tmp_path_factory.mktemp("w")
    made = WalletWorld.make(folder, sqlite_url(folder), sqlite_url(folder))
    yield made
    made.close()


def get(world: WalletWorld, path: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    world.client.cookies.clear()  # of the language
    return world.client.request("GET", path, headers=named, follow_redirects=False)


@pytest.mark.parametrize(
    ("query", "language", "direction"),
    [("?language=ar", "ar", "rtl"), ("?language=xx", "de", "ltr")],
)
def test_the_manifest_speaks_the_language_of_the_page(
    world: WalletWorld, query: str, language: str, direction: str
) -> None:
    answer = get(world, f"/manifest.webmanifest{query}", accept_language="de")
    assert answer.headers["content-type"] == "application/manifest+json"
    content = answer.json()
    assert (content["lang"], content["dir"]) == (language, direction)
    assert content["start_url"] == content["scope"] == content["id"] == "/"


def test_the_service_worker_is_at_the_root_and_fetches_nothing_from_elsewhere(
    world: WalletWorld,
) -> None:
    answer = get(world, "/service-worker.js?version=x&language=de")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == "default-src 'none'; connect-src 'self'"


def test_only_the_app_may_have_a_worker_and_every_page_is_free_of_inline_code(
    world: WalletWorld,
) -> None:
    for path in ("/", "/lost", "/seen", "/offline"):
        answer = get(world, path)
        policy = answer.headers["content-security-policy"]
        assert ("worker-src 'self'" in policy) == (path == "/"), path
        assert "unsafe" not in policy
        assert " style=" not in answer.text
        assert "<script>" not in answer.text


def test_each_id_of_the_document_stands_for_one_thing(world: WalletWorld) -> None:
    """All views are in one document, so what one calls its own no other may."""
    for path in ("/", "/lost"):
        ids = re.findall(r'\bid="([^"]+)"', get(world, path).text)
        assert len(ids) > 10
        assert sorted(ids) == sorted(set(ids)), path


def test_choosing_a_language_leads_back_to_the_view(world: WalletWorld) -> None:
    answer = get(world, "/language/ar?to=/%23settings")
    assert (answer.status_code, answer.headers["location"]) == (303, "/#settings")
    assert "__Host-language=ar" in answer.headers["set-cookie"]


def test_what_we_can_see_is_said_of_every_column(world: WalletWorld) -> None:
    """PAIN_POINTS 1, number 15: from the schema; a column that nobody described is readable."""
    tables = {each.name: each for each in seeing.tables_of_wallets()}
    assert set(tables) == set(seeing.TITLES)
    known = {f"{name}.{column.name}" for name, each in tables.items() for column in each.columns}
    assert known >= seeing._SEALED | seeing._FINGERPRINTS
    assert not seeing._SEALED & seeing._FINGERPRINTS
    shown = seeing.seen()
    told = [len(each.readable) + len(each.sealed) + len(each.fingerprints) for each in shown]
    assert sum(told) == len(known)
    page = get(world, "/seen").text
    assert [each.title for each in shown if f"<h2>{each.title}</h2>" not in page] == []
    # Nothing but ids, states, counts and times is readable (WALLET_SECURITY 2).
    clear = {
        f"{name}.{column.name}"
        for name, each in tables.items()
        for column in each.columns
        if column.type.python_type is bytes
        and f"{name}.{column.name}" not in seeing._SEALED | seeing._FINGERPRINTS
    }
    assert clear == {
        "unlockers.credential_id",
        "unlockers.credential_key",
        "unlockers.read_key",
        "unlockers.act_key",
    }


def test_the_icons_are_those_that_the_program_draws() -> None:
    assert (icons.STATIC / "icon.svg").read_text(encoding="utf-8") == icons.SVG
    assert {each.name for each in icons.STATIC.glob("icon*.png")} == set(icons.FILES)
    for name in ("icon-192.png", "icon-touch.png"):
        size, rounded = icons.FILES[name]
        assert decoded(icons.STATIC / name, size) == icons.pixels(size, rounded=rounded)


def decoded(path: Path, size: int) -> bytes:
    """The pixels of a PNG whose rows are told as differences from the row above."""
    content, at, told = path.read_bytes(), 8, b""
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        told += content[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    raw, width = zlib.decompress(told), size * 4
    rows = [bytes(width)]
    for start in range(0, len(raw), width + 1):
        assert raw[start] == 2  # Up
        row = raw[start + 1 : start + 1 + width]
        rows.append(bytes((new + old) % 256 for new, old in zip(row, rows[-1], strict=True)))
    return b"".join(rows[1:])
