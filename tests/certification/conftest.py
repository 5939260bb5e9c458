"""One live issuer for every module that needs one."""

from collections.abc import Iterator

import pytest

from tests.support.live_issuer import LiveIssuer


@pytest.fixture(scope="session")
def live_issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveIssuer]:
    with LiveIssuer.start(tmp_path_factory.mktemp("live-issuer")) as made:
        yield made
        assert "Traceback" not in made.log
