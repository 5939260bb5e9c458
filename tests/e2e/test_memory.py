"""Memory of issuer and verifier over many flows: PERFORMANCE 4, the slice of `make soak` for CI.

A process that has warmed up holds what it holds: 2,000 further flows may add 5 % at most. The same
measure finds a service that keeps 16 KiB of every request.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.flows import Flows
from bench.http_flows import ANONYMOUS, adults
from bench.soak import ALLOWED, SERVICES, growth
from shared.demo.system import System

from .world import ports

_HERE = Path(__file__).parents[2]
_WARM_UP, _FLOWS, _CONTROL = 1_000, 2_000, 500


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    folder = tmp_path_factory.mktemp("memory") / "system"
    with System(folder, registry=ANONYMOUS, ports=ports(20)) as system:
        yield system


def test_memory_stays_where_it_is(system: System) -> None:
    """PERFORMANCE 4: at most 5 % more after many flows."""
    found = growth(system, warm_up=_WARM_UP, flows=_FLOWS)
    assert max(found.values()) <= ALLOWED, found


def test_a_service_that_keeps_what_it_saw_is_found_out(system: System) -> None:
    """The positive control, with a quarter of the flows."""
    for module in SERVICES:
        system.processes.stop(module)
        environment = system.environment(module) | {"PYTHONPATH": str(_HERE)}
        arguments = ["-m", "tests.e2e.leaking", module, "serve"]
        system.processes.start(module, arguments, environment)
    for module in SERVICES:
        system.processes.wait_until_ready(module, f"{system.urls[module]}/health/ready")
    found = growth(system, warm_up=_CONTROL, flows=_CONTROL)
    assert min(found.values()) > ALLOWED, found


def test_the_flows_are_whole(system: System) -> None:
    """What is measured is an issuance and a verification, with a verdict."""
    client = Flows(system)
    text, key = client.issue(adults(system)[0])
    assert client.verify(client.held(text, key), key)["verdict"]["accepted"]
    client.close()
