"""The cost of each operation while the tables grow: it must stay where it is.

    python -m bench.curve [--rows 1000000] [--database sqlite|postgresql]

For each size every growing table has so many rows (`filling.py`); then real flows run over HTTP
against the running services. What is measured is the CPU time, user and system, of the service, and
on PostgreSQL of the server beside it.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from rich.console import Console
from rich.table import Table

from shared.demo.phone import Phone
from shared.demo.system import System
from shared.demo.wallet_client import Refused
from tests.support.databases import PostgreSQL

from .filling import GROWING, bytes_per_row, fill
from .flows import PORTS, Flows, children, cpu_seconds
from .http_flows import ANONYMOUS, adults

SIZES = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
FLAT = 1.5
"""How many times the first cost the last one may be, before it counts as growing."""
_ROUNDS, _SHARES = 150, 5
"""Of the shares the cheapest counts: jobs and other programs only ever add."""
_WALLETS = 20
Curve = dict[str, list[float]]


def measure(kind: str, rows: int, note: Callable[[str], None]) -> Curve:
    """Milliseconds of each operation on database *kind*, for each size up to *rows*."""
    curve: Curve = {}
    with _running(kind) as (system, urls, server):
        bench = _Bench(system, server)
        bench.run({})  # the rows that are copied, and warm processes
        before = 0
        for size in (each for each in SIZES if each <= rows):
            note(f"{kind}: {size:,} rows …")
            for name in GROWING:
                fill(urls[name], name, before, size)
            before = size
            os.sync()  # else commits wait for what filling left to be written
            bench.run({})
            bench.run(curve)
            note(", ".join(f"{name} {line[-1]:.2f}" for name, line in curve.items()))
        for name in GROWING if kind == "postgresql" else ():
            for table, size in bytes_per_row(urls[name], name).items():
                note(f"{table}: {size:,.0f} bytes a row")
    return curve


@contextmanager
def _running(kind: str) -> Iterator[tuple[System, dict[str, str], int | None]]:
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "system"
        if kind == "sqlite":
            urls = {name: f"sqlite:///{place / name / 'database.db'}" for name in GROWING}
            urls["shares"] = f"sqlite:///{place / 'wallet_service' / 'shares.db'}"
            with System(place, registry=ANONYMOUS, ports=PORTS) as system:
                yield system, urls, None
            return
        server = PostgreSQL.start()
        try:
            urls = {name: server.new_database() for name in GROWING}
            with System(place, databases=urls, registry=ANONYMOUS, ports=PORTS) as system:
                yield system, urls, server.pid
        finally:
            server.stop()


class _Bench:
    """Every operation of the curve, as often as it takes to measure it."""

    def __init__(self, system: System, server: int | None) -> None:
        self._system = system
        self._server = server
        self._people = adults(system)
        self._flows = Flows(system)
        url = system.urls["wallet_service"]
        self._phones = [
            Phone(httpx2.Client(base_url=url, timeout=60), origin=url) for _ in range(_WALLETS)
        ]
        for each in self._phones:
            each.create_wallet()
            each.prove_recovery()
            offer = self._flows.offer(self._people[0])
            each.receive(offer["link"], offer["tx_code"])

    def run(self, curve: Curve) -> None:
        """Add one point to each line of *curve*."""
        flows, people = self._flows, self._people
        flows.sign_in()
        rounds = range(_ROUNDS)
        offers = self._each(
            curve, "offer", "issuer_service", rounds, lambda n: flows.offer(people[n % 50])
        )
        tokens = self._each(
            curve, "token", "issuer_service", rounds, lambda n: flows.token_of(offers[n])
        )
        issued = self._each(
            curve,
            "nonce and credential",
            "issuer_service",
            rounds,
            lambda n: flows.credential(*tokens[n]),
        )
        held = [(flows.held(text, key), key) for text, key in issued]
        self._each(curve, "verify", "verifier_service", rounds, lambda n: flows.verify(*held[n]))
        self._each(
            curve,
            "open a wallet",
            "wallet_service",
            range(_WALLETS),
            lambda n: _open(self._phones[n]),
        )

    def _each(
        self,
        curve: Curve,
        name: str,
        module: str,
        rounds: range,
        act: Callable[[int], Any],
    ) -> list[Any]:
        pids = [self._system.processes.pid(module)]
        database = [] if self._server is None else children(self._server)
        found: list[Any] = []
        spent: list[float] = []
        spent_there: list[float] = []
        share = len(rounds) // _SHARES
        for first in range(0, len(rounds), share):
            begun, begun_there = cpu_seconds(pids), cpu_seconds(database)
            found += [act(number) for number in rounds[first : first + share]]
            spent.append((cpu_seconds(pids) - begun) * 1000 / share)
            spent_there.append((cpu_seconds(database) - begun_there) * 1000 / share)
        curve.setdefault(name, []).append(min(spent))
        if database:
            curve.setdefault(f"{name}: PostgreSQL", []).append(min(spent_there))
        return found


def _open(phone: Phone) -> None:
    with suppress(Refused):  # filling may take longer than a session lasts
        phone.close()
    phone.open()
    phone.cards()


def figure(line: Sequence[float]) -> Mapping[str, float | str]:
    """A line of the curve among the other figures: its last point against its first."""
    return {
        "value": line[-1],
        "unit": "ms",
        "floor": line[0],
        "ratio": line[-1] / line[0],
        "line": ", ".join(f"{each:.3f}" for each in line),
    }


def show(kind: str, curve: Curve, console: Console) -> bool:
    """Print *curve*; whether it is flat."""
    points = len(next(iter(curve.values())))
    headings = [f"{size:,}" for size in SIZES[:points]]
    table = Table(f"{kind}, CPU ms at rows:", *headings, "last / first")
    flat = True
    for name, line in curve.items():
        growth = line[-1] / line[0]
        flat = flat and growth <= FLAT
        table.add_row(name, *(f"{each:.2f}" for each in line), f"{growth:.2f}")
    console.print(table)
    return flat


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.curve", description="Cost by size.")
    parser.add_argument("--rows", type=int, default=100_000, help="the largest size")
    parser.add_argument("--database", choices=("sqlite", "postgresql"), action="append")
    arguments = parser.parse_args()
    console = Console()
    for kind in arguments.database or ("sqlite", "postgresql"):
        curve = measure(kind, arguments.rows, console.print)
        if not show(kind, curve, console):
            console.print(f"[red]It grows: more than {FLAT} times the first cost.[/red]")


if __name__ == "__main__":
    main()
