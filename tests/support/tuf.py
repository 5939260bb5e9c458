"""A published trust list in a folder, and a web server for it that a test can unplug.

publisher = published(tmp_path)              # demo_trust()'s three agencies, in force
client = publisher.client()                  # a TrustListClient that remembers in memory
publisher.repository.revoke("ent_registry", …); publisher.repository.publish(NOW); client.refresh()
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from shared.errors import NotFound, Unavailable
from shared.runtime.trust_files import KeyGroup, Lifetimes
from shared.runtime.trust_list import TrustListClient
from shared.runtime.trust_publish import Repository
from shared.runtime.trust_store import TrustStore

from .clock import CountingBytes, FixedClock
from .trust import DemoTrust, demo_trust

URL = "https://trust.example"


def passwords(group: KeyGroup) -> bytes:
    return f"password of {group}".encode()


@dataclass
class Publisher:
    """The repository, the initial root that services were given, and the web server before it."""

    repository: Repository
    trust: DemoTrust
    clock: FixedClock
    initial_root: bytes = field(init=False)
    down: bool = False
    requested: list[str] = field(default_factory=list)
    changed: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.initial_root = self.repository.initial_root()
        self.served = self.repository.public

    def fetch(self, url: str) -> bytes:
        name = url.removeprefix(URL + "/")
        self.requested.append(name)
        if self.down:
            raise Unavailable("the publisher is down")
        if name in self.changed:
            return self.changed[name]
        if not (self.served / name).is_file():
            raise NotFound("no such file")
        return (self.served / name).read_bytes()

    def snapshot_of_today(self, folder: Path) -> Path:
        """A copy of everything served now, to serve again later (an attack)."""
        shutil.copytree(self.served, folder)
        return folder

    def client(self, *, store: TrustStore | None = None, **options: Any) -> TrustListClient:
        return TrustListClient(
            url=URL,
            initial_root=options.pop("initial_root", self.initial_root),
            fetch=self.fetch,
            clock=self.clock,
            random_bytes=CountingBytes("trust"),
            store=store,
            **options,
        )


def published(
    folder: Path,
    *,
    trust: DemoTrust | None = None,
    clock: FixedClock | None = None,
    holders: int = 1,
    threshold: int = 1,
    lifetimes: Lifetimes | None = None,
    entries: tuple[Mapping[str, Any], ...] | None = None,
) -> Publisher:
    trust = trust or demo_trust()
    clock = clock or FixedClock()
    repository = Repository.create(
        folder / "trust",
        passwords=passwords,
        now=clock(),
        environment="test",
        holders=holders,
        threshold=threshold,
        lifetimes=lifetimes,
    )
    agencies = trust.registry, trust.counter, trust.provider
    for entry in entries or tuple(agency.entry() for agency in agencies):
        repository.put_entity(entry)
    repository.publish(clock())
    return Publisher(repository, trust, clock)
