"""`make soak`: many whole flows, and whether the services' memory stays where it was.

    python -m bench.soak [--flows N]

Each flow issues a credential and verifies one. After a warm-up of a tenth, of 1,000 flows and of
seven minutes at least, so that every job has had something to erase by then, the resident memory of
issuer and verifier may grow by 5 % at most; the exit code says whether it did.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import count
from pathlib import Path

from rich.console import Console

from shared.demo.system import System

from .flows import PORTS, Flows, resident_megabytes
from .http_flows import ANONYMOUS, adults

ALLOWED = 1.05
SERVICES = ("issuer_service", "verifier_service")
_SIGN_IN_EVERY = 500
_SETTLED = 420.0  # seconds: what offers and nonces live, and the longest way to the next clean-up


def growth(
    system: System,
    *,
    warm_up: int,
    flows: int,
    settled: float = 0,
    note: Callable[[str], None] = lambda _: None,
) -> dict[str, float]:
    """How many times its memory each service holds after *flows* flows that follow the warm-up.

    The warm-up has *warm_up* flows and lasts *settled* seconds at least.
    """
    before: dict[str, float] = {}
    client, people = Flows(system), adults(system)
    pids = {name: system.processes.pid(name) for name in SERVICES}
    begun, first = time.monotonic(), warm_up
    for number in count():
        if number == first and time.monotonic() < begun + settled:
            first += 1
        elif number == first:
            before = {name: resident_megabytes(pid) for name, pid in pids.items()}
            note(f"{number:>8} flows: warm")
        if number == first + flows:
            break
        if number % _SIGN_IN_EVERY == 0:
            client.sign_in()
            shown = ", ".join(f"{n} {resident_megabytes(p):.0f} MB" for n, p in pids.items())
            note(f"{number:>8} flows: {shown}")
        text, key = client.issue(people[number % len(people)])
        client.verify(client.held(text, key), key)
    client.close()
    return {name: resident_megabytes(pid) / before[name] for name, pid in pids.items()}


def run(flows: int, console: Console) -> bool:
    """Whether memory stayed flat over *flows* flows."""
    with (
        tempfile.TemporaryDirectory() as folder,
        System(Path(folder) / "soak", registry=ANONYMOUS, ports=PORTS) as system,
    ):
        found = growth(
            system,
            warm_up=max(1_000, flows // 10),
            flows=flows,
            settled=_SETTLED,
            note=console.print,
        )
    for name, each in found.items():
        console.print(f"{name}: x {each:.3f}")
    return max(found.values()) <= ALLOWED


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Watch memory.")
    parser.add_argument("--flows", type=int, default=100_000)
    sys.exit(0 if run(parser.parse_args().flows, Console()) else 1)


if __name__ == "__main__":
    main()
