"""Every page in every language: axe finds nothing, light or dark, in both directions."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.browser.tour import STOPS
from tests.support.app_phone import SHOTS
from tests.support.app_world import AppWorld

WAYS = [("en", False), ("de", True), ("ar", False)]
OTHER_WAYS = [("en", True), ("de", False), ("ar", True)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppWorld]:
    with AppWorld.start(tmp_path_factory.mktemp("pages")) as made:
        yield made


@pytest.fixture(scope="module")
def browser(world: AppWorld) -> Iterator[Any]:
    with world.chromium() as started:
        yield started


@pytest.mark.parametrize(("language", "dark"), WAYS if SHOTS is None else WAYS + OTHER_WAYS)
def test_the_tour(world: AppWorld, browser: Any, language: str, dark: bool) -> None:
    """WCAG 2.2 AA, DESIGN 8; with SHOTS in the environment each page leaves a picture."""
    phone = world.phone(browser, language=language, dark=dark)
    for each in STOPS:
        each(world, phone)
    phone.end()
