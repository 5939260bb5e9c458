"""Writes the OpenAPI documents of the three services into docs/openapi.

`python -m tests.architecture.openapi`; a test compares.
"""

import json
import tempfile
from pathlib import Path
from typing import Any

from tests.support.databases import sqlite_url
from tests.support.issuer import IssuerWorld
from tests.support.verifier import VerifierWorld
from tests.support.wallet import WalletWorld

DOCUMENTS = Path(__file__).parents[2] / "docs" / "openapi"
SERVICES = ("issuer_service", "verifier_service", "wallet_service")


def describe(service: str) -> str:
    """What *service* says of itself at /api/v1/openapi.json, in a form that is easily compared."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        database_url = sqlite_url(folder)
        client: Any
        if service == "issuer_service":
            issuer = IssuerWorld.make(folder, database_url)
            client, close = issuer.client, issuer.close
        elif service == "verifier_service":
            client = VerifierWorld.make(folder, database_url).client.__enter__()
            close = client.__exit__
        else:
            wallet = WalletWorld.make(folder, database_url, sqlite_url(folder))
            client, close = wallet.client, wallet.close
        try:
            document = client.get("/api/v1/openapi.json").json()
        finally:
            close()
    return json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def place(service: str) -> Path:
    """Where the document of *service* is kept."""
    return DOCUMENTS / f"{service}.json"


if __name__ == "__main__":
    DOCUMENTS.mkdir(exist_ok=True)
    for each in SERVICES:
        place(each).write_text(describe(each), encoding="utf-8")
