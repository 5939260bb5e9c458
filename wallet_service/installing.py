"""The wallet as an app on a home screen: what it is called, what it looks like, where it starts.

Specification: W3C Web Application Manifest; DESIGN 8.
"""

from shared.encoding import JsonValue
from shared.runtime.languages import mark
from shared.runtime.pages import Pages

_NAME = mark("Citizen Wallet")
_SHORT = mark("Wallet")
_ABOUT = mark("Your documents, opened by you alone.")
_SCAN = mark("Scan a code")
_GROUND, _THEME = "#f3f5f9", "#17509a"


def manifest(pages: Pages, language: str) -> dict[str, JsonValue]:
    """The manifest in *language*, one of the catalogue's."""

    def say(message: str) -> str:
        return pages.languages.text(language, message)

    def icon(name: str, size: str, purpose: str = "any") -> JsonValue:
        kind = "image/svg+xml" if name.endswith(".svg") else "image/png"
        return {"src": pages.asset_url(name), "sizes": size, "type": kind, "purpose": purpose}

    return {
        "id": "/",
        "name": say(_NAME),
        "short_name": say(_SHORT),
        "description": say(_ABOUT),
        "lang": language,
        "dir": pages.languages.direction(language),
        "start_url": "/",
        "scope": "/",
        "display": "standalone",
        "background_color": _GROUND,
        "theme_color": _THEME,
        "icons": [
            icon("icon-192.png", "192x192"),
            icon("icon-512.png", "512x512"),
            icon("icon-maskable.png", "512x512", "maskable"),
            icon("icon.svg", "any"),
        ],
        "shortcuts": [{"name": say(_SCAN), "url": "/#scan"}],
    }
