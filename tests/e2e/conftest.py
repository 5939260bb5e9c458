"""Two whole systems, started once: on SQLite and on a real PostgreSQL; two workers each."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.databases import start_postgresql_or_skip

from .world import AT_ONCE, PortalSystem, World, ports, running

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(_HERE):
            item.add_marker(pytest.mark.e2e)


@pytest.fixture(scope="session")
def sqlite_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("sqlite") / "system"
    with running(PortalSystem(folder, workers=2, ports=ports(0), settings=AT_ONCE)) as world:
        yield world


@pytest.fixture(scope="session")
def postgresql_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with ExitStack() as stack:
        # Two servers: each process may hold 16 connections to each of its databases, and a server
        # as it is delivered takes 100.
        servers = []
        for _ in range(2):
            servers.append(start_postgresql_or_skip())
            stack.callback(servers[-1].stop)
        names = ("issuer_service", "wallet_service", "verifier_service", "shares")
        system = PortalSystem(
            tmp_path_factory.mktemp("postgresql") / "system",
            databases={name: servers[i % 2].new_database() for i, name in enumerate(names)},
            workers=2,
            ports=ports(10),
            settings=AT_ONCE,
        )
        yield stack.enter_context(running(system))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def world(request: pytest.FixtureRequest) -> World:
    """Every test that asks for it runs on both."""
    found: World = request.getfixturevalue(f"{request.param}_world")
    return found
