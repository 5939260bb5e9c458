"""An issuer for tests, whole and in process: real keys, real register, and a wallet's side.

world = IssuerWorld.make(tmp_path, database_url)
offer = world.offer("pid_sd_jwt", subject="AV-000001")
wallet = Wallet(world)
token = wallet.redeem(offer)
credentials = wallet.credentials(token, "pid_sd_jwt", copies=3)
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr

from issuer_service import tables
from issuer_service.app import SECRETS, create_app, make_issuer, make_jobs
from issuer_service.context import Issuer
from issuer_service.sample_register import generate, load_csv, write_csv
from issuer_service.settings import IssuerSettings
from shared.crypto.software import SoftwareKey
from shared.oauth import dpop
from shared.oid4vci import proofs
from shared.runtime.database import Database
from shared.runtime.documents import DocumentCache
from shared.runtime.fetch import Fetcher, FetchPolicy
from shared.runtime.jobs import Jobs
from shared.runtime.keys import KeyDirectory
from shared.runtime.migrations import migrate
from shared.trust import Role

from .asgi import Answer, AsgiClient, neighbours
from .clock import NOW, CountingBytes, FixedClock
from .trust import DemoTrust, demo_trust

PUBLIC_URL = "https://issuer.example"
GRANT = "urn:ietf:params:oauth:grant-type:pre-authorized_code"
TENANT: dict[str, Any] = {
    "tenant": "registry",
    "names": {"en": "Civil Registry of Avelonia", "fr": "État civil d'Avelonie"},
    "country": "AV",
    "wallets_without_attestation": True,
}


@lru_cache(maxsize=1)
def _keys() -> tuple[DemoTrust, dict[str, SoftwareKey]]:
    trust = demo_trust()
    signers = {
        role.value: trust.registry.signer(role, dns=["issuer.example"], country="AV")
        for role in (Role.CREDENTIAL, Role.STATUS, Role.METADATA)
    }
    return trust, signers


class _Keys(KeyDirectory):
    """A directory whose signers are made once for all tests: encrypting a key takes its time."""

    def signer(self, tenant: str, purpose: str) -> SoftwareKey:
        return _keys()[1][purpose]

    def purposes(self, tenant: str) -> tuple[str, ...]:
        return tuple(_keys()[1])

    def secret(self, name: str) -> bytes:
        assert name in SECRETS
        return name.encode().ljust(32, b".")


@lru_cache(maxsize=1)
def sample_register(folder: Path) -> Path:
    database = folder / "register.sqlite"
    write_csv(folder / "register.csv", generate(seed=7, count=1_000))
    load_csv(folder / "register.csv", database)
    return database


@dataclass
class IssuerWorld:
    """One issuer_service in this process, and its agency's token."""

    issuer: Issuer
    client: AsgiClient
    clock: FixedClock
    trust: DemoTrust
    jobs: Jobs
    neighbours: dict[str, AsgiClient]
    tokens: dict[tuple[str, ...], tuple[datetime, str]] = field(default_factory=dict)
    secrets: dict[tuple[str, ...], str] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        folder: Path,
        database_url: str,
        *,
        tenants: Sequence[Mapping[str, Any]] = (TENANT,),
        register: Path | None = None,
        credentials: Path | None = None,
        **settings: Any,
    ) -> Self:
        migrate(database_url, package="issuer_service")
        directory = folder / "tenants"
        directory.mkdir(exist_ok=True)
        for tenant in tenants:
            content = dict(tenant)
            if register is not None:
                content.setdefault("register", {"database_url": f"sqlite:///{register}"})
            (directory / f"{tenant['tenant']}.json").write_text(json.dumps(content))
        clock = FixedClock()
        trust = _keys()[0]
        transport = neighbours({})
        issuer = make_issuer(
            IssuerSettings(
                public_url=PUBLIC_URL,
                database_url=SecretStr("sqlite://"),
                trust_url="https://trust.example",
                trust_root=folder / "root.json",
                key_directory=folder,
                key_password=SecretStr("unused"),
                tenants_directory=directory,
                credentials_directory=credentials,
                **settings,
            ),
            database=Database(database_url),
            keys=_Keys(folder, b"unused"),
            trust=trust,
            documents=DocumentCache(
                Fetcher(FetchPolicy(), transport=transport),
                clock=clock,
                random_bytes=CountingBytes("documents"),
            ),
            clock=clock,
            random_bytes=CountingBytes(str(folder)),
        )
        jobs = make_jobs(issuer)
        jobs.prepare()
        client = AsgiClient(create_app(issuer), base_url=PUBLIC_URL)
        world = cls(issuer, client, clock, trust, jobs, transport.services)
        world.client.__enter__()
        return world

    def api_token(self, tenant: str, *roles: str) -> str:
        """A token of an agency's software with *roles* (all, if none is said), good for a while."""
        roles = roles or ("offers", "status", "read")
        key = (tenant, *roles)
        made, token = self.tokens.get(key, (None, ""))
        if made is None or self.clock() - made > timedelta(minutes=9):
            if key not in self.secrets:
                self.secrets[key] = self.issuer.api_clients.register(tenant, "-".join(key), roles)
            form = {
                "grant_type": "client_credentials",
                "client_id": "-".join(key),
                "client_secret": self.secrets[key],
            }
            answer = self.client.post(f"/api/v1/{tenant}/token", form=form)
            assert answer.status == 200, answer.text
            token = str(answer.json()["access_token"])
            self.tokens[key] = self.clock(), token
        return token

    def api(
        self, method: str, path: str, body: Any = None, *, token: str | None = None, **headers: str
    ) -> Answer:
        """A call to the agency's API; keywords become headers ("idempotency_key")."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.request(
            method,
            f"/api/v1/registry{path}",
            json=body,
            headers={"Authorization": f"Bearer {token or self.api_token('registry')}", **named},
        )

    def offer(self, *credentials: str, **members: Any) -> dict[str, Any]:
        """An offer that the agency made."""
        answer = self.api("POST", "/offers", {"credentials": list(credentials), **members})
        assert answer.status == 201, answer.text
        offer: dict[str, Any] = answer.json()
        return offer

    def publish(self) -> None:
        """A tick later: every job that is due has run."""
        self.clock.advance(seconds=3)
        self.jobs.run_due()

    def close(self) -> None:
        self.client.__exit__()
        self.issuer.database.close()

    def dump(self) -> str:
        """Everything the database holds, as text."""
        with self.issuer.database.reading() as connection:
            rows = [
                repr(tuple(row))
                for table in tables.metadata.sorted_tables
                for row in connection.execute(table.select())
            ]
        return "\n".join(rows)

    def count(self, table: str) -> int:
        with self.issuer.database.reading() as connection:
            return len(connection.execute(tables.metadata.tables[table].select()).all())


def code_of(offer: Mapping[str, Any]) -> str:
    return str(offer["credential_offer"]["grants"][GRANT]["pre-authorized_code"])


class Wallet:
    """The wallet's side: well-behaved, until a test says otherwise."""

    def __init__(self, world: IssuerWorld, *, tenant: str = "registry") -> None:
        self.world = world
        self.tenant = tenant
        self.identifier = f"{PUBLIC_URL}/{tenant}"
        self.key = SoftwareKey.generate()
        self.random_bytes = CountingBytes(self.key.kid)

    def dpop(self, endpoint: str, **members: Any) -> str:
        return dpop.make_proof(
            **{
                "signer": self.key,
                "method": "POST",
                "url": f"{self.identifier}/{endpoint}",
                "now": self.world.clock(),
                "random_bytes": self.random_bytes,
                **members,
            }
        )

    def token(self, offer: Mapping[str, Any], **changes: Any) -> Answer:
        """The answer of the token endpoint; a value None leaves a parameter out."""
        headers = changes.pop("headers", {"DPoP": self.dpop("token")})
        form = {
            "grant_type": GRANT,
            "pre-authorized_code": code_of(offer),
            "tx_code": offer["tx_code"],
            **changes,
        }
        return self.world.client.post(
            f"/{self.tenant}/token",
            form={name: value for name, value in form.items() if value is not None},
            headers=headers,
        )

    def redeem(self, offer: Mapping[str, Any]) -> str:
        answer = self.token(offer)
        assert answer.status == 200, answer.text
        return str(answer.json()["access_token"])

    def nonce(self) -> str:
        answer = self.world.client.post(f"/{self.tenant}/nonce")
        return str(answer.json()["c_nonce"])

    def proof(self, key: SoftwareKey | None = None, **members: Any) -> str:
        return proofs.make_jwt_proof(
            **{
                "signer": key or SoftwareKey.generate(),
                "audience": self.identifier,
                "nonce": members.get("nonce") or self.nonce(),
                "now": self.world.clock(),
                **members,
            }
        )

    def request(
        self, token: str, body: Any, *, endpoint: str = "credential", **headers: Any
    ) -> Any:
        """A call to a protected endpoint, with good headers unless *headers* replace them."""
        proof = headers.pop("dpop", None) or self.dpop(endpoint, access_token=token)
        return self.world.client.post(
            f"/{self.tenant}/{endpoint}",
            body=body if isinstance(body, bytes) else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"DPoP {token}",
                "DPoP": proof,
                **headers,
            },
        )

    def credential_request(
        self,
        configuration: str,
        *,
        copies: int = 1,
        keys: Sequence[SoftwareKey] | None = None,
        **proof: Any,
    ) -> dict[str, Any]:
        nonce = self.nonce()
        keys = keys or [SoftwareKey.generate() for _ in range(copies)]
        return {
            "credential_configuration_id": configuration,
            "proofs": {"jwt": [self.proof(key, nonce=nonce, **proof) for key in keys]},
        }

    def credentials(self, token: str, configuration: str, **how: Any) -> dict[str, Any]:
        answer = self.request(token, self.credential_request(configuration, **how))
        assert answer.status == 200, answer.text
        response: dict[str, Any] = answer.json()
        return response

    def collect(self, *credentials: str, **members: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Offer and collect the first of *credentials*: the offer and the credential response."""
        offer = self.world.offer(*credentials, **members)
        return offer, self.credentials(self.redeem(offer), credentials[0])


__all__ = ["NOW", "PUBLIC_URL", "TENANT", "IssuerWorld", "Wallet", "code_of", "sample_register"]
