"""Writes the tables of settings into docs/operations.md.

`python -m tests.architecture.settings_tables`; a test compares.
"""

import re
from pathlib import Path

from issuer_service.settings import IssuerSettings
from shared.runtime.settings import ServiceSettings, settings_table
from verifier_service.settings import VerifierSettings
from wallet_service.settings import WalletSettings

DOCUMENT = Path(__file__).parents[2] / "docs" / "operations.md"
SETTINGS: dict[str, type[ServiceSettings]] = {
    "issuer_service": IssuerSettings,
    "wallet_service": WalletSettings,
    "verifier_service": VerifierSettings,
}


def write(text: str) -> str:
    """The document with every table made anew, behind its marker."""
    for service, kind in SETTINGS.items():
        marker = f"<!-- settings: {service} -->"
        table = settings_table(kind)
        before, after = text.split(marker)
        rest = re.sub(r"\A(?:\s*\|.*\n)*\s*", "", after)
        text = f"{before}{marker}\n\n{table}\n{rest}"
    return text.rstrip("\n") + "\n"


if __name__ == "__main__":
    DOCUMENT.write_text(write(DOCUMENT.read_text()))
