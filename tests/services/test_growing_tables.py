"""No statement of a flow reads more of a table the more rows it has: PERFORMANCE 7, on SQLite.

Every statement that the services run is asked for its plan: a growing table is found by an index
with more than the tenant in it. The cost at 10³ to 10⁷ rows is measured by `bench/curve.py`.
"""

import re
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import make_url

from bench.filling import GROWING
from shared.runtime import engines
from tests.support.databases import sqlite_url
from tests.support.issuer import IssuerWorld, Wallet, sample_register
from tests.support.verifier import HolderWallet, VerifierWorld
from verifier_service.records import chain_all
from verifier_service.retention import erase_due, forget

_WHOLE = re.compile(r"^SCAN (?!CONSTANT)(\w+)|^SEARCH (\w+) USING .*\((?:tenant=\?)?\)$")


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Every statement that any connection runs, with its values."""
    found: set[str] = set()
    prepare = engines._writer

    def listening(synchronous: str) -> Callable[[Any, object], None]:
        usual = prepare(synchronous)

        def connected(connection: Any, record: object) -> None:
            usual(connection, record)
            connection.set_trace_callback(found.add)

        return connected

    monkeypatch.setattr(engines, "_writer", listening)
    return found


def _read_whole(url: str, statements: set[str], growing: tuple[str, ...]) -> list[str]:
    found = []
    with sqlite3.connect(str(make_url(url).database)) as connection:
        for each in sorted(statements):
            if not each.startswith(("SELECT", "UPDATE", "DELETE", "INSERT")):
                continue
            for row in connection.execute(f"EXPLAIN QUERY PLAN {each}"):
                match = _WHOLE.match(row[3])
                table = match and (match[1] or match[2])
                named = [name for name in growing if re.search(rf"\b{name}\b", each)]
                if table and (table in growing or (named and table not in _tables(connection))):
                    found.append(f"{row[3]}: {each[:200]}")
    connection.close()
    return found


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}


def test_the_search_finds_a_statement_that_reads_all(tmp_path: Path, seen: set[str]) -> None:
    """The positive control."""
    url = sqlite_url(tmp_path)
    world = IssuerWorld.make(tmp_path, url, register=sample_register(tmp_path))
    world.close()
    bad = {
        "SELECT * FROM issuances WHERE tenant = 'a' AND state = 'valid'",
        "SELECT * FROM copies AS c WHERE c.delivery_id = 'a'",
    }
    assert len(_read_whole(url, bad, GROWING["issuer_service"])) == 2


def test_an_issuance_costs_the_same_however_many_there_were(tmp_path: Path, seen: set[str]) -> None:
    """Offer, token, credential, revocation."""
    url = sqlite_url(tmp_path)
    world = IssuerWorld.make(tmp_path, url, register=sample_register(tmp_path))
    seen.clear()
    wallet = Wallet(world)
    offer = world.offer("pid_sd_jwt", subject="AV-000014")
    token = wallet.redeem(offer)
    wallet.credentials(token, "pid_sd_jwt", copies=2)
    body = {"subject": "AV-000014", "reason": "withdrawn"}
    assert world.api("POST", "/issuances/revoke", body).status == 200
    statements = set(seen)
    world.close()
    assert len(statements) > 10
    assert _read_whole(url, statements, GROWING["issuer_service"]) == []


def test_what_waits_for_a_job_is_found_without_the_rest(tmp_path: Path, seen: set[str]) -> None:
    """Every minute or so, however long the audit trail and the list of wallets are."""
    (tmp_path / "verifier").mkdir()
    url = sqlite_url(tmp_path / "verifier")
    with VerifierWorld.make(tmp_path / "verifier", url) as verifier:
        seen.clear()
        forget(verifier.verifier, verifier.clock())
        erase_due(verifier.verifier, verifier.clock())
        chain_all(verifier.verifier, verifier.clock())
        growing = ("transactions", "audit", "webhooks")
        assert _read_whole(url, set(seen), growing) == []
    url = sqlite_url(tmp_path)
    world = IssuerWorld.make(tmp_path, url, register=sample_register(tmp_path))
    world.offer("pid_sd_jwt", subject="AV-000014")
    seen.clear()
    world.clock.advance(minutes=2)
    world.jobs.run_due()
    trail = {each for each in seen if "audit" in each}
    world.close()
    assert len(trail) > 2
    assert _read_whole(url, trail, ("audit",)) == []


def test_a_verification_costs_the_same_however_many_there_were(
    tmp_path: Path, seen: set[str]
) -> None:
    """Start, request, answer, result."""
    url = sqlite_url(tmp_path)
    with VerifierWorld.make(tmp_path, url) as world:
        seen.clear()
        started = world.start("over_18")
        holder = HolderWallet(world)
        assert holder.answer(holder.open(started["link"])).status == 200
        assert world.result(started)["verdict"]["accepted"]
        statements = set(seen)
    assert len(statements) > 3
    assert _read_whole(url, statements, GROWING["verifier_service"]) == []
