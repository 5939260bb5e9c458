"""Whether everybody can read and use a page, however they have set their devices up.

    look(page, "consent", widths=(320, 820))

has axe judge the state that is open, then looks at it under each of SETTINGS and puts everything
back: nothing may be wider than the screen, no text cut off or under another, every focus has to be
seen and lie open, and what is pressed has to be large enough. With SHOTS in the environment (a
folder) there are pictures, too.

Specification: WCAG 2.2, 1.4.4, 1.4.10, 1.4.12, 2.3.3, 2.4.7, 2.4.11, 2.5.8.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from .components import missing

AXE = Path(__file__).parents[1] / "interop/node_modules/axe-core/axe.min.js"
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
SHOTS = Path(os.environ["SHOTS"]) if os.environ.get("SHOTS") else None
WORDS = ("as it is", "large text", "wide spacing")
COLOURS = ("as it is", "forced colours", "more contrast", "print")
SETTINGS = (*WORDS, *COLOURS[1:])

_TWICE = """[...document.querySelectorAll("[id]")].map((each) => each.id)
  .filter((id, at, ids) => ids.indexOf(id) !== at)"""
_AXE = """rules => axe.run({exclude: [[".part[hidden]"]]},
  {runOnly: rules, rules: {"target-size": {enabled: true}}, resultTypes: ["violations"]})
  .then((it) => it.violations.map((each) => [each.id, each.nodes.map((node) => node.html)]))"""
_SPACING = """() => {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(`* { line-height: 1.5 !important; letter-spacing: 0.12em !important;
    word-spacing: 0.16em !important } p { margin-bottom: 2em !important }`);
  document.adoptedStyleSheets = [sheet];
}"""

_FAULTS = Path(__file__).with_suffix(".js").read_text(encoding="utf-8")


def look(
    page: Any, name: str, *, widths: Sequence[int] = (), settings: Sequence[str] = SETTINGS
) -> None:
    """No fault that axe finds, ids for one thing each, and all that `readable` asks."""
    if not AXE.is_file():
        missing("npm ci in tests/interop installs axe-core")
    assert page.evaluate(_TWICE) == [], name
    if not page.evaluate("'axe' in window"):
        # By the debugger: the page's own policy lets no foreign script in.
        _devtools(page).send("Runtime.evaluate", {"expression": AXE.read_text(encoding="utf-8")})
    found = page.evaluate(_AXE, RULES)
    assert found == [], (name, found)
    readable(page, name, widths=widths, settings=settings)


def readable(
    page: Any, name: str, *, widths: Sequence[int] = (), settings: Sequence[str] = SETTINGS
) -> None:
    """Nothing is lost under any of *settings*, at its own width or each of *widths*.

    Of pages in German, whose words are the longest, there is a picture of each setting.
    """
    size = page.viewport_size
    all_pictures = page.evaluate("document.documentElement.lang") == "de"
    found = {}
    for width in widths or (size["width"],):
        if width != page.viewport_size["width"]:
            page.set_viewport_size({"width": width, "height": size["height"]})
        for setting in settings:
            with _set(page, setting):
                faults = page.evaluate(_FAULTS, setting)
                if SHOTS is not None and (all_pictures or setting == SETTINGS[0]):
                    parts = (name, str(width) if widths else "", setting.replace(" ", "-"))
                    file = "-".join(filter(None, parts[: 2 + (setting != SETTINGS[0])]))
                    _picture(page, SHOTS / f"{file}.png", setting)
            if faults:
                found[setting, width] = faults
    if page.viewport_size != size:
        page.set_viewport_size(size)
    assert found == {}, (name, found)


@contextmanager
def _set(page: Any, setting: str) -> Iterator[None]:
    """The page as it is with one *setting* of its user's device."""
    match setting:
        case "large text":
            _text(page, 2)
            yield
            _text(page, 1)
        case "wide spacing":
            page.evaluate(_SPACING)
            yield
            page.evaluate("() => { document.adoptedStyleSheets = []; }")
        case "forced colours":
            page.emulate_media(forced_colors="active")
            yield
            page.emulate_media(forced_colors="none")
        case "more contrast":
            page.emulate_media(contrast="more")
            yield
            page.emulate_media(contrast="no-preference")
        case "print":
            page.emulate_media(media="print")
            yield
            page.emulate_media(media="screen")
        case _:
            page.emulate_media(reduced_motion="reduce")
            yield


def _text(page: Any, times: int) -> None:
    """The size of text that the browser itself is set to."""
    sizes = {"standard": 16 * times, "fixed": 13 * times}
    _devtools(page).send("Page.setFontSizes", {"fontSizes": sizes})


def _picture(page: Any, path: Path, setting: str) -> None:
    """The whole page; a new size of the screen forgets that of the text."""
    size = page.viewport_size
    if setting == "large text":
        height = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({**size, "height": height})
        _text(page, 2)
    page.screenshot(path=path, full_page=True)
    if page.viewport_size != size:
        page.set_viewport_size(size)


@cache
def _devtools(page: Any) -> Any:
    """Left open: a session that ends takes the page's virtual authenticator with it."""
    return page.context.new_cdp_session(page)
