"""A whole system in one folder: trust list, two agencies, a wallet provider, three services.

Everything is made with the commands and functions an operator uses; the three services know of each
other only what the trust list says. The folder can be thrown away.

    <folder>/trust/      the trust list's repository; its `public` is served
    <folder>/issuer_service/   its keys, tenants, register and database; likewise the other two
    <folder>/logs/       what the processes say
"""

import json
import secrets
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ..runtime.keys import KeyDirectory
from ..runtime.trust_enrol import enrol, make_request, read_request, read_response
from ..runtime.trust_publish import Repository
from .processes import Processes, free_port

REGISTRY, COUNTER, PROVIDER = "registry", "counter", "provider"
_COUNTRY = "AV"

_CONTACTS = {
    "support": {"email": "help@avelonia.example", "uri": "https://avelonia.example/help"},
    "data_protection": {"email": "privacy@avelonia.example"},
    "supervisory_authority": {
        "name": {"en": "Data Protection Office", "fr": "Office de la protection des données"},
        "uri": "https://dpo.avelonia.example",
    },
}
_NAMES = {
    REGISTRY: {"en": "Civil Registry of Avelonia", "fr": "Registre civil d'Avelonia"},
    COUNTER: {"en": "Service Counters of Avelonia", "fr": "Guichets d'Avelonia"},
    PROVIDER: {"en": "Avelonia Wallet", "fr": "Portefeuille d'Avelonia"},
}
QUERIES = [
    "over_18", "over_65", "identity", "identity_portrait", "address", "driving", "disability",
    "student",
]  # fmt: skip
_PURPOSES = {
    "issuer_service": (REGISTRY, ("credential", "status", "metadata")),
    "verifier_service": (COUNTER, ("access",)),
    "wallet_service": (PROVIDER, ("wallet_provider", "key_attestation", "status")),
}
_PREFIX = {"issuer_service": "ISSUER", "verifier_service": "VERIFIER", "wallet_service": "WALLET"}


@dataclass(frozen=True, slots=True)
class ApiClient:
    """What an agency's own system signs in with at `/api/v1/{tenant}/token`."""

    client_id: str
    client_secret: str


@dataclass
class System:
    """Three services and the trust list's files; a context manager that ends what it started.

    Attributes:
        folder: made if needed; must not hold a system already.
        databases: URL by service (`issuer_service`, …, and `shares`); SQLite files unless given.
        workers: processes of each service.
        ports: preferred ports by name; others are taken if these are not free.
        settings: more environment variables, for every service.
        registry: more members of the registry's tenant file.
    """

    folder: Path
    databases: Mapping[str, str] = field(default_factory=dict)
    workers: int = 1
    ports: Mapping[str, int] = field(
        default_factory=lambda: {
            "issuer_service": 8100,
            "wallet_service": 8200,
            "verifier_service": 8300,
            "trust": 8400,
        }
    )
    settings: Mapping[str, str] = field(default_factory=dict)
    registry: Mapping[str, Any] = field(default_factory=dict)

    urls: dict[str, str] = field(default_factory=dict)
    clients: dict[str, ApiClient] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.processes = Processes(self.folder / "logs")
        self._password = secrets.token_urlsafe(24)
        self._exit = ExitStack()

    @property
    def issuer(self) -> str:
        """The Credential Issuer Identifier of the registry."""
        return f"{self.urls['issuer_service']}/{REGISTRY}"

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self.processes)
            self._set_up()
            for module in _PURPOSES:
                self._begin(module)
            for module in _PURPOSES:
                self._await(module)
            self._exit = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._exit.__exit__(kind, error, trace)

    def start(self, module: str) -> None:
        """Start a service and return once it is ready."""
        self._begin(module)
        self._await(module)

    def _begin(self, module: str) -> None:
        self.processes.start(module, ["-m", module, "serve"], self.environment(module))

    def _await(self, module: str) -> None:
        self.processes.wait_until_ready(module, f"{self.urls[module]}/health/ready")

    def start_trust_files(self) -> None:
        """Start the web server of the trust list's files: any would do."""
        port, public = self.urls["trust"].rpartition(":")[2], self.folder / "trust" / "public"
        arguments = ["-m", "http.server", port, "--bind", "127.0.0.1", "--directory", str(public)]
        self.processes.start("trust", arguments, {})
        self.processes.wait_until_ready("trust", f"{self.urls['trust']}/metadata/timestamp.json")

    def environment(self, module: str) -> dict[str, str]:
        """The environment variables of *module*, as an operator would set them."""
        home = self.folder / module
        prefix = _PREFIX[module]
        values = {
            "PUBLIC_URL": self.urls[module],
            "PORT": self.urls[module].rpartition(":")[2],
            "WORKERS": str(self.workers),
            "DATABASE_URL": self.databases.get(module, f"sqlite:///{home}/database.db"),
            "INSECURE_HTTP_LOOPBACK": "true",
            "REQUESTS_PER_SECOND": "0",
            "PERMITTED_PRIVATE_HOSTS": "localhost",
            "PERMITTED_PORTS": ",".join(each.rpartition(":")[2] for each in self.urls.values()),
            "TRUST_URL": self.urls["trust"],
            "TRUST_ROOT": str(self.folder / "root.json"),
            "KEY_DIRECTORY": str(home / "keys"),
            "KEY_PASSWORD": self._password,
            "TENANTS_DIRECTORY": str(home / "tenants"),
        }
        if module == "wallet_service":
            shares = self.databases.get("shares", f"sqlite:///{home}/shares.db")
            values |= {"SHARES_DATABASE_URL": shares, "RP_ID": "localhost"}
        return {f"{prefix}_{name}": value for name, value in values.items()} | dict(self.settings)

    def command(self, module: str, *arguments: str) -> str:
        """Run `python -m module arguments` to its end; returns what it printed."""
        return self.processes.run([*("-m", module), *arguments], self.environment(module))

    def _set_up(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.urls.update(
            {name: f"http://localhost:{free_port(port)}" for name, port in self.ports.items()}
        )
        now = datetime.now(UTC)  # noqa: TID251  # a whole system starts at the real time
        repository = Repository.create(
            self.folder / "trust",
            passwords=lambda _: self._password.encode(),
            now=now,
            environment="test",
        )
        (self.folder / "root.json").write_bytes(repository.initial_root())
        register = self.folder / "issuer_service" / "register.db"
        self._tenant(
            "issuer_service",
            REGISTRY,
            tenant=REGISTRY,
            names=_NAMES[REGISTRY],
            country=_COUNTRY,
            register={"database_url": f"sqlite:///{register}"},
            **self.registry,
        )
        self._tenant("verifier_service", COUNTER, queries=QUERIES)
        with ThreadPoolExecutor() as pool:  # each command is a process that starts for a second
            people = pool.submit(self._people, register)
            list(pool.map(lambda module: self.command(module, "migrate"), _PURPOSES))
            entries = list(pool.map(self._entry, _PURPOSES))
            people.result()
        for module, entry in zip(_PURPOSES, entries, strict=True):
            self._enrol(module, entry, repository, now)
        repository.publish(now)
        self.start_trust_files()
        clients = {
            "issuer_service": ("client", "add", REGISTRY, "demo"),
            "verifier_service": ("client", COUNTER, "demo"),
        }
        with ThreadPoolExecutor() as pool:
            made = pool.map(lambda module: self.command(module, *clients[module]), clients)
            for module, secret in zip(clients, made, strict=True):
                self.clients[module] = ApiClient("demo", secret.strip())

    def _people(self, register: Path) -> None:
        people = str(self.folder / "people.csv")
        self.command("issuer_service", "register", "generate", people)
        self.command("issuer_service", "register", "load", people, str(register))

    def _entry(self, module: str) -> dict[str, Any]:
        """What the service itself says that the trust list has to say about it."""
        tenant, _ = _PURPOSES[module]
        if tenant == PROVIDER:
            return {}
        wanted: dict[str, Any] = json.loads(self.command(module, "entry", tenant))
        return wanted

    def _enrol(
        self, module: str, entry: Mapping[str, Any], repository: Repository, now: datetime
    ) -> None:
        tenant, purposes = _PURPOSES[module]
        directory = KeyDirectory(self.folder / module / "keys", self._password.encode())
        keys = {purpose: directory.ensure(tenant, purpose) for purpose in purposes}
        entity = {**entry, "names": _NAMES[tenant], "contacts": _CONTACTS}
        request = make_request(
            entity=entity, keys=keys, dns=["localhost"], country=_COUNTRY, now=now
        )
        response = enrol(repository, read_request(request), now=now)
        publics = {purpose: key.public for purpose, key in keys.items()}
        _, chains = read_response(response, keys=publics)
        for purpose, chain in chains.items():
            directory.install(tenant, purpose, chain)

    def _tenant(self, module: str, name: str, **content: Any) -> None:
        directory = self.folder / module / "tenants"
        directory.mkdir(parents=True)
        (directory / f"{name}.json").write_text(json.dumps(content, ensure_ascii=False))
