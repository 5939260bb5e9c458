"""Every state of every page for citizens, in every language, however devices are set up."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.browser.tour import STOPS
from tests.support.app_world import CAR_HIRE, AppWorld
from tests.support.browsing import chromium
from tests.support.readable import COLOURS, SETTINGS, SHOTS, WORDS

# What needs room depends on the language, what needs colours does not.
WAYS = [("en", False, COLOURS), ("de", True, WORDS), ("ar", False, WORDS)]
ALL_WAYS = [
    (language, shade, SETTINGS if shade == dark else SETTINGS[:1])
    for language, dark, _ in WAYS
    for shade in (False, True)
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AppWorld]:
    # With a short wait the clock does not outrun what the agencies publish.
    folder = tmp_path_factory.mktemp("pages")
    with AppWorld.start(folder, queries=[CAR_HIRE], recovery_hours=1) as made:
        yield made


@pytest.fixture(scope="module")
def browser(world: AppWorld) -> Iterator[Any]:
    with chromium(world.tls, "--use-fake-device-for-media-stream") as started:
        yield started


@pytest.mark.parametrize(("language", "dark", "settings"), WAYS if SHOTS is None else ALL_WAYS)
def test_the_tour(
    world: AppWorld, browser: Any, language: str, *, dark: bool, settings: Sequence[str]
) -> None:
    """WCAG 2.2 AA, DESIGN 8; with SHOTS in the environment each page leaves a picture."""
    phone = world.phone(browser, language=language, dark=dark)
    phone.settings = settings
    for each in STOPS:
        each(world, phone)
    phone.end()
