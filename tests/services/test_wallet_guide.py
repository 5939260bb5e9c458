"""docs/wallet-api.md as a program: what it shows app makers works as it stands there."""

import re
from pathlib import Path

from shared.demo.passkey import SoftwarePasskey
from tests.support.databases import sqlite_url
from tests.support.trust import PID
from tests.support.wallet import OVER_18, TX_CODE, WALLET, WalletWorld

GUIDE = Path(__file__).parents[2] / "docs" / "wallet-api.md"


def test_the_guide_for_app_makers_runs(tmp_path: Path) -> None:
    """WALLET_SECURITY 9: the JSON API alone is enough, with a passkey that has PRF."""
    blocks = re.findall(
        r"^```python\n(.*?)^```$", GUIDE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    world = WalletWorld.make(tmp_path, sqlite_url(tmp_path), sqlite_url(tmp_path))
    names = {
        "http": world.client,
        "passkey": SoftwarePasskey(WALLET),
        "offer_link": world.issuer.offer(PID),
        "tx_code": TX_CODE,
        "request_link": world.verifier.ask(OVER_18),
    }
    exec(compile("\n".join(blocks), str(GUIDE), "exec"), names)  # noqa: S102  # our own guide
    [result] = world.verifier.results
    assert result["claims"]["age_equal_or_over"] == {"18": True}
    world.close()


def test_every_route_of_the_guide_exists(tmp_path: Path) -> None:
    """OpenAPI and guide name the same routes."""
    world = WalletWorld.make(tmp_path, sqlite_url(tmp_path), sqlite_url(tmp_path))
    described = world.client.get("/api/v1/openapi.json").json()["paths"]
    known = {
        (method.upper(), path.removeprefix("/api/v1"))
        for path, methods in described.items()
        for method in methods
    }
    text = GUIDE.read_text(encoding="utf-8")
    named = re.findall(r"`(GET|POST|DELETE) (/[a-z/{}_-]+)`", text)
    assert len(named) > 15
    assert [each for each in named if each not in known] == []
    world.close()
