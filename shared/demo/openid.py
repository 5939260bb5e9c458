"""An OpenID Provider for the demo: npm's oidc-provider, at which the invented citizens sign in.

It comes from the checkout (`tests/interop`), not from the installed packages: a demo, like a test,
may need what a service never does.
"""

import json
import secrets
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .processes import Processes
from .visitor import Page, Visitor

_INTEROP = Path(__file__).parents[2] / "tests" / "interop"
NAME = "login"
_CLIENT_ID = "registry"


class NoProvider(RuntimeError):
    """It is not installed here."""


@dataclass
class DemoProvider:
    """One provider and the registry as its client.

    Attributes:
        url: where it runs; also its issuer.
        person: the register's reference of who signs in, by the name "citizen".
    """

    url: str
    person: str
    secret: str = field(default_factory=lambda: secrets.token_urlsafe(24))

    def login(self, secret_file: Path) -> dict[str, Any]:
        """The member `login` of the registry's tenant file; the secret goes to *secret_file*."""
        secret_file.write_text(self.secret)
        return {
            "openid": {
                "issuer": self.url,
                "names": {"en": "Avelonia Login", "fr": "Avelonia Connexion"},
                "client_id": _CLIENT_ID,
                "client_secret_file": str(secret_file),
                "scope": "openid person",
                "match": {"reference": "personal_number"},
            }
        }

    def start(self, processes: Processes, *, redirect_uri: str) -> None:
        """Start it and return once it answers; raises NoProvider if it is not installed."""
        program = shutil.which("node")
        if program is None or not (_INTEROP / "node_modules" / "oidc-provider").is_dir():
            raise NoProvider("node or oidc-provider is missing: run npm ci in tests/interop")
        options = {
            "port": int(self.url.rpartition(":")[2]),
            "client_id": _CLIENT_ID,
            "client_secret": self.secret,
            "redirect_uris": [redirect_uri],
            "people": {"citizen": {"personal_number": self.person}},
            "stay": True,
        }
        script = str(_INTEROP / "oidc_provider.mjs")
        processes.start(NAME, [script, json.dumps(options)], {}, program=program)
        processes.wait_until_ready(NAME, f"{self.url}/.well-known/openid-configuration")

    @staticmethod
    def sign_in(browser: Visitor, page: Page) -> Page:
        """From the agency's login page to the provider and back."""
        theirs = browser.click(page, "login-provider")
        return browser.press(theirs, "provider-sign-in", name="citizen")
