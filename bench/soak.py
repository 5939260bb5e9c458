"""`make soak`: many whole flows, and whether the services' memory stays where it was.

    python -m bench.soak [--flows N]

Each flow issues a credential and verifies one. After a warm-up of a tenth, at least 500 flows, the
resident memory of issuer and verifier may grow by 5 % at most; the exit code says whether it did.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from shared.demo.system import System

from .flows import PORTS, Flows, resident_megabytes
from .http_flows import ANONYMOUS, adults

ALLOWED = 1.05
_SERVICES = ("issuer_service", "verifier_service")
_SIGN_IN_EVERY = 1_000


def run(flows: int, console: Console) -> bool:
    """Whether memory stayed flat over *flows* flows."""
    warm_up = max(500, flows // 10)
    before: dict[str, float] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        System(Path(folder) / "soak", registry=ANONYMOUS, ports=PORTS) as system,
    ):
        client, people = Flows(system), adults(system)
        pids = {name: system.processes.pid(name) for name in _SERVICES}
        for number in range(warm_up + flows):
            if number == warm_up:
                before = {name: resident_megabytes(pid) for name, pid in pids.items()}
            if number % _SIGN_IN_EVERY == 0:
                client.sign_in()
                shown = ", ".join(f"{n} {resident_megabytes(p):.0f} MB" for n, p in pids.items())
                console.print(f"{number:>8} flows: {shown}")
            text, key = client.issue(people[number % len(people)])
            client.verify(client.held(text, key), key)
        after = {name: resident_megabytes(pid) for name, pid in pids.items()}
    flat = True
    for name in _SERVICES:
        growth = after[name] / before[name]
        flat = flat and growth <= ALLOWED
        console.print(f"{name}: {before[name]:.1f} MB -> {after[name]:.1f} MB, x {growth:.3f}")
    return flat


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description="Watch memory.")
    parser.add_argument("--flows", type=int, default=100_000)
    sys.exit(0 if run(parser.parse_args().flows, Console()) else 1)


if __name__ == "__main__":
    main()
