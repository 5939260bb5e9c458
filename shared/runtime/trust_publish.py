"""The publisher's side of the trust list: edit a working copy, publish it, renew it, rotate keys.

`<path>/trust-list.json` is the working copy; nothing is in force before `publish`. `wallet-trust`
(in trust_tool.py) is this for people; the demo and the tests call it in process.

Specification: DESIGN section 4; TUF 1.0, section 6.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self

from securesystemslib.signer import SSlibKey
from tuf.api.metadata import Metadata, MetaFile, Root, Snapshot, TargetFile, Targets, Timestamp

from ..crypto.keys import PublicKey
from ..errors import Conflict, InvalidInput, NotFound
from ..trust import TrustList
from .trust_files import KEY_GROUPS, Lifetimes, OnlineRole, Passwords, SignedFiles, whole, write
from .trust_list import TARGET


class Repository(SignedFiles):
    """The publisher's folder. Everything that signs takes `now`; nothing is kept in memory."""

    @classmethod
    def create(
        cls,
        path: Path,
        *,
        passwords: Passwords,
        now: datetime,
        environment: Literal["test", "production"],
        holders: int = 1,
        threshold: int = 1,
        root_keys: Path | None = None,
        lifetimes: Lifetimes | None = None,
    ) -> Self:
        """The ceremony: make all keys, sign root version 1 and publish an empty list.

        Args:
            path: a folder that does not exist yet, or is empty.
            passwords: gives the password of a group of key files.
            now: aware.
            environment: a production list refuses pinned leaf certificates.
            holders: how many root keys to make.
            threshold: how many of them must sign each later root.
            root_keys: where the root keys go, instead of `<path>/root`.
            lifetimes: of the signed files.
        """
        if path.exists() and any(path.iterdir()):
            raise Conflict(f"{path} is not empty: choose another folder")
        if not 1 <= threshold <= holders:
            raise InvalidInput("threshold: between 1 and the number of root keys")
        (path / "public" / "metadata").mkdir(parents=True)
        made = cls(path, passwords=passwords, root_keys=root_keys, lifetimes=lifetimes)
        root = Root(version=1, consistent_snapshot=True)
        for number in range(1, holders + 1):
            root.add_key(made.new_key("root", f"root-{number}"), "root")
        root.roles["root"].threshold = threshold
        for role, group in KEY_GROUPS.items():
            root.add_key(made.new_key(group, role), role)
        made.install_root(made.draft_root(root, now))
        made.save(
            {"format": "citizen-wallet-trust-list/1", "environment": environment, "entities": []}
        )
        made.publish(now)
        return made

    def initial_root(self) -> bytes:
        """The newest root.json: what a new service is given by hand."""
        return self.newest("root")

    # The list

    def document(self) -> dict[str, Any]:
        """The working copy, with what is not published yet."""
        loaded: dict[str, Any] = json.loads((self.path / "trust-list.json").read_bytes())
        return loaded

    def save(self, document: dict[str, Any]) -> None:
        """Replace the working copy, if services would take it.

        Raises:
            InvalidInput: they would refuse it; the message names the place.
        """
        data = json.dumps(document, ensure_ascii=False, indent=2).encode()
        TrustList.parse(data, version=0)
        write(self.path / "trust-list.json", data)

    def put_entity(self, entry: Mapping[str, Any]) -> None:
        """Add *entry* to the working copy, or replace the one with its id."""
        document = self.document()
        others = [each for each in document["entities"] if each["id"] != entry.get("id")]
        self.save(document | {"entities": [*others, dict(entry)]})

    def change_entity(self, entity_id: str, change: Callable[[dict[str, Any]], None]) -> None:
        """Apply *change* to an entry of the working copy. Raises NotFound for an unknown id."""
        document = self.document()
        for entry in document["entities"]:
            if entry["id"] == entity_id:
                change(entry)
                self.save(document)
                return
        raise NotFound(f"no entity {entity_id}: `wallet-trust show` lists them")

    def revoke(self, entity_id: str, thumbprint: str) -> None:
        """Add a certificate (hex SHA-256 of its DER) to those of the entity that count no more."""

        def change(entry: dict[str, Any]) -> None:
            entry["revoked"] = sorted({*entry.get("revoked", []), thumbprint.lower()})

        self.change_entity(entity_id, change)

    def withdraw(self, entity_id: str, *, until: datetime) -> None:
        """From *until* on it issues and asks no more; what it issued before stays believable."""

        def change(entry: dict[str, Any]) -> None:
            entry["valid_until"] = instant(until)

        self.change_entity(entity_id, change)

    def publish(self, now: datetime) -> int:
        """Sign the working copy and put it in force. Returns the version of the list."""
        data = (self.path / "trust-list.json").read_bytes()
        TrustList.parse(data, version=0)
        target = TargetFile.from_data(TARGET, data, ["sha256"])
        targets = Targets(
            version=self.version("targets") + 1,
            expires=whole(now + self.lifetimes.targets),
            targets={TARGET: target},
        )
        write(self.public / "targets" / f"{target.hashes['sha256']}.{TARGET}", data)
        self.sign(targets, "targets")
        self._sign_snapshot(now)
        self.renew(now)
        return targets.version

    def renew(self, now: datetime) -> datetime:
        """Say that the list published last is still the newest. Returns until when that counts."""
        snapshot = Metadata[Snapshot].from_bytes(self.newest("snapshot")).signed
        if snapshot.expires - now < self.lifetimes.snapshot / 2:
            self._sign_snapshot(now)
        meta = MetaFile.from_data(self.version("snapshot"), self.newest("snapshot"), ["sha256"])
        timestamp = Timestamp(
            version=self.version("timestamp") + 1,
            expires=whole(now + self.lifetimes.timestamp),
            snapshot_meta=meta,
        )
        self.sign(timestamp, "timestamp")
        return timestamp.expires

    # Keys

    def rotate(self, roles: Collection[OnlineRole], now: datetime) -> bytes:
        """Replace the keys of *roles* by a new root. Returns it; short of signatures, as a draft.

        When it is installed at once, everything those keys had signed is signed again.
        """
        root = self._next_root()
        for role in roles:
            new = self.new_key(KEY_GROUPS[role], f"{role}-{root.version}")
            for keyid in list(root.roles[role].keyids):
                root.revoke_key(keyid, role)
            root.add_key(new, role)
        draft = self.draft_root(root, now)
        with suppress(Conflict):
            self.install_root(draft)
            self.publish(now)
        return draft

    def rotate_root(
        self,
        now: datetime,
        *,
        retire: Collection[str] = (),
        add: Sequence[PublicKey] = (),
        make: int = 0,
        threshold: int | None = None,
    ) -> bytes:
        """A new root with other root keys. Returns it; short of signatures, as a draft.

        Args:
            now: aware.
            retire: key ids (or their beginnings) that sign no more after this root.
            add: public keys of holders who keep theirs to themselves.
            make: how many keys to make here.
            threshold: the new one; unchanged if None.
        """
        root = self._next_root()
        role = root.roles["root"]
        retiring = [
            keyid for keyid in role.keyids if any(keyid.startswith(each) for each in retire)
        ]
        for number in range(1, make + 1):
            root.add_key(self.new_key("root", f"root-{root.version}-{number}"), "root")
        for each in add:
            root.add_key(SSlibKey.from_crypto(each.to_crypto()), "root")
        for keyid in retiring:
            root.revoke_key(keyid, "root")
        role.threshold = threshold or role.threshold
        if not 1 <= role.threshold <= len(role.keyids):
            raise InvalidInput("threshold: not enough root keys would remain")
        draft = self.draft_root(root, now)
        with suppress(Conflict):
            self.install_root(draft)
        return draft

    def _next_root(self) -> Root:
        root = self.root()
        root.version += 1
        return root

    def _sign_snapshot(self, now: datetime) -> None:
        targets = MetaFile.from_data(self.version("targets"), self.newest("targets"), ["sha256"])
        snapshot = Snapshot(
            version=self.version("snapshot") + 1,
            expires=whole(now + self.lifetimes.snapshot),
            meta={"targets.json": targets},
        )
        self.sign(snapshot, "snapshot")


def instant(moment: datetime) -> str:
    """As the list writes times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
