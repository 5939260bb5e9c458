"""A live issuer process over TLS, with its trust list on a TLS server beside it.

with LiveIssuer.start(folder) as live:
    live.offer("pid_sd_jwt", subject="AV-000001", grant="authorization_code")
    live.desk_code("AV-000001")                    # what a clerk hands out, to log in with
    live.age("authorizations", seconds=90)         # as if so much time had passed
"""

import json
from contextlib import closing
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self

from sqlalchemy import select, update

from issuer_service import tables
from issuer_service.app import PURPOSES, SECRETS
from issuer_service.catalogue import BUILT_IN
from issuer_service.routes.agency import ROLES
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.trust import Role

from .issuer import sample_register
from .live import Live, free_port, install, trust_files
from .tls import TlsFiles
from .trust import DemoTrust, demo_trust

TENANTS: dict[str, dict[str, Any]] = {"haip": {}, "nonces": {"dpop_nonce": True}}


@dataclass(kw_only=True)
class LiveIssuer(Live):
    """The process and its neighbours."""

    @classmethod
    def start(cls, folder: Path) -> Self:
        now, url = utc_now(), f"https://localhost:{free_port()}"
        tls = TlsFiles.make(folder, now=now)
        trust = demo_trust(now=now, credential_issuer=f"{url}/haip")
        _write_files(folder, trust)
        return cls.launch(
            "issuer_service",
            url=url,
            folder=folder,
            tls=tls,
            trust=trust,
            files=trust_files(folder, tls, trust),
            metadata=tables.metadata,
            purposes=SECRETS,
            roles=ROLES,
            tenants=TENANTS,
            settings={"CREDENTIALS_DIRECTORY": str(folder / "credentials")},
        )

    def offer(self, *credentials: str, tenant: str = "haip", **members: Any) -> Any:
        return self.api("POST", tenant, "/offers", {"credentials": list(credentials), **members})

    def desk_code(self, subject: str, *, tenant: str = "haip") -> str:
        return str(self.api("POST", tenant, "/desk-codes", {"subject": subject})["code"])

    def age(self, table: str, *, seconds: int) -> None:
        """Let every row of *table* end so much earlier."""
        found = tables.metadata.tables[table]
        with closing(Database(self.database_url)) as database, database.transaction() as connection:
            for row in connection.execute(select(found)).all():
                here = [each == getattr(row, each.name) for each in found.primary_key.columns]
                ends = row.expires_at - timedelta(seconds=seconds)
                connection.execute(update(found).where(*here).values(expires_at=ends))


def _write_attested(folder: Path) -> None:
    """Two more types, of which the issuer wants keys that their wallet provider vouches for."""
    (folder / "credentials").mkdir()
    for base, own in (("pid_sd_jwt", "attested_sd_jwt"), ("pid_mdoc", "attested_mdoc")):
        content = json.loads((BUILT_IN / f"{base}.json").read_text())
        content |= {"id": own, "scope": own, "proofs": {"jwt": {"key_storage": ["iso_18045_high"]}}}
        (folder / "credentials" / f"{own}.json").write_text(json.dumps(content))


def _write_files(folder: Path, trust: DemoTrust) -> None:
    register = sample_register(folder)
    _write_attested(folder)
    (folder / "tenants").mkdir()
    for name, members in TENANTS.items():
        content = {
            "tenant": name,
            "names": {"en": "Civil Registry of Avelonia", "de": "Standesamt von Avelonien"},
            "country": "AV",
            "register": {"database_url": f"sqlite:///{register}"},
            **members,
        }
        (folder / "tenants" / f"{name}.json").write_text(json.dumps(content))
        for purpose in PURPOSES:
            signer = trust.registry.signer(
                Role(purpose), now=utc_now(), dns=["localhost"], country="AV"
            )
            install(folder, name, purpose, signer)
