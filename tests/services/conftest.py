"""Fixtures for service tests: what asks for `database_url` or the wallet's `world` runs on both."""

import logging
from collections.abc import Callable, Iterator

import pytest

from tests.support.databases import PostgreSQL, sqlite_url, start_postgresql_or_skip
from tests.support.wallet import WalletWorld


@pytest.fixture(autouse=True)
def _logging_stays_as_it_was() -> Iterator[None]:
    """Commands under test send the log to streams that end with them."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """One server for the whole session, started when first asked for."""
    server = start_postgresql_or_skip()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def new_database_url(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[], str]]:
    """Makes URLs of new, empty databases, of one kind and then of the other."""
    if request.param == "sqlite":
        directory = tmp_path_factory.mktemp("sqlite")
        yield lambda: sqlite_url(directory)
        return
    server: PostgreSQL = request.getfixturevalue("postgresql")
    made: list[str] = []

    def new() -> str:
        made.append(server.new_database())
        return made[-1]

    yield new
    for each in made:
        server.drop(each)


@pytest.fixture(scope="module")
def database_url(new_database_url: Callable[[], str]) -> str:
    """An empty database for all tests of the module; once SQLite, once PostgreSQL."""
    return new_database_url()


@pytest.fixture
def empty_database_url(new_database_url: Callable[[], str]) -> str:
    """An empty database for this test alone."""
    return new_database_url()


@pytest.fixture(scope="module")
def shared_world(
    new_database_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WalletWorld]:
    """One wallet with its neighbours for all tests of the module."""
    made = WalletWorld.make(tmp_path_factory.mktemp("w"), new_database_url(), new_database_url())
    yield made
    made.close()


@pytest.fixture
def world(shared_world: WalletWorld) -> WalletWorld:
    """The wallet's; its neighbours behave again."""
    shared_world.reset()
    return shared_world
