"""What every test may use, and how they are shared out among several processes."""

import os

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

settings.register_profile("default", max_examples=100, deadline=None)
settings.register_profile("thorough", max_examples=2_000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


class _ByWorld(LoadScopeScheduling):
    """A file stays together, and so does what runs on one of the two end-to-end systems.

    So each of the two is started once, whatever the number of processes.
    """

    def _split_scope(self, nodeid: str) -> str:
        file, _, test = nodeid.partition("::")
        if not file.startswith("tests/e2e/") or file == "tests/e2e/test_demo.py":
            return file
        return "postgresql_world" if "[postgresql" in test else "sqlite_world"


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> _ByWorld:
    """For `-n`: see `_ByWorld`."""
    return _ByWorld(config, log)
