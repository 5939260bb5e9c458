"""Keys and signed files of a trust list repository: a folder that TUF clients can follow.

    <path>/root/      root keys: made at the ceremony, then kept off line (or *root_keys*)
    <path>/list/      the key that signs the list, and the authorities of the entities
    <path>/online/    the keys of snapshot and timestamp, which a daily job needs
    <path>/public/    what any web server serves: metadata/ and targets/

Every private key is an encrypted file. A group of keys is opened only by the act that needs it, so
the machine that renews the timestamp holds nothing that could change the list.

Specification: TUF 1.0, sections 4 and 6; DESIGN section 4.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal, TypeAlias

from securesystemslib.signer import CryptoSigner, SSlibKey
from tuf.api.metadata import Metadata, Root, T
from tuf.api.serialization import DeserializationError

from ..crypto.software import SoftwareKey
from ..errors import Conflict, InvalidInput, NotFound

KeyGroup: TypeAlias = Literal["root", "list", "online"]
Passwords: TypeAlias = Callable[[KeyGroup], bytes]
OnlineRole: TypeAlias = Literal["targets", "snapshot", "timestamp"]

KEY_GROUPS: dict[OnlineRole, KeyGroup] = {
    "targets": "list",
    "snapshot": "online",
    "timestamp": "online",
}


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long each signed file counts. Services outlive their publisher by the timestamp's."""

    root: timedelta = timedelta(days=730)
    targets: timedelta = timedelta(days=365)
    snapshot: timedelta = timedelta(days=30)
    timestamp: timedelta = timedelta(days=3)


class SignedFiles:
    """The folder, the keys in it, and the newest signed file of each role."""

    def __init__(
        self,
        path: Path,
        *,
        passwords: Passwords,
        root_keys: Path | None = None,
        lifetimes: Lifetimes | None = None,
    ) -> None:
        self.path = path
        self.public = path / "public"
        self.metadata = self.public / "metadata"
        self.passwords = passwords
        self.root_keys = root_keys or path / "root"
        self.lifetimes = lifetimes or Lifetimes()
        if not self.metadata.is_dir():
            raise NotFound(f"{path} is no trust list folder: make one with `wallet-trust init`")

    def newest(self, role: str) -> bytes:
        """The newest signed file of *role*, byte for byte."""
        found = [self.metadata / "timestamp.json"]
        if role != "timestamp":
            found = sorted(self.metadata.glob(f"*.{role}.json"), key=_number)
        if not found or not found[-1].is_file():
            raise NotFound(f"{role}: nothing is published yet")
        return found[-1].read_bytes()

    def version(self, role: str) -> int:
        """Its version, 0 before the first."""
        try:
            return int(Metadata.from_bytes(self.newest(role)).signed.version)
        except NotFound:
            return 0

    def root(self) -> Root:
        """The root in force."""
        return Metadata[Root].from_bytes(self.newest("root")).signed

    def expiries(self) -> Iterator[tuple[str, int, datetime]]:
        """Role, version and end of each signed file in force."""
        for role in ("root", *KEY_GROUPS):
            signed = Metadata.from_bytes(self.newest(role)).signed
            yield role, signed.version, signed.expires

    def new_key(self, group: KeyGroup, name: str) -> SSlibKey:
        """Make a key file in the folder of *group*; its public half is for a root."""
        key = SoftwareKey.generate()
        write_key(self._folder(group) / f"{name}.pem", key, self.passwords(group))
        return SSlibKey.from_crypto(key.public.to_crypto())

    def sign(self, signed: T, role: OnlineRole) -> None:
        """Sign with the key that the root names for *role*, and publish the file."""
        root = self.root()
        metadata = Metadata(signed)
        for signer in self._signers(KEY_GROUPS[role]):
            if signer.public_key.keyid in root.roles[role].keyids:
                metadata.sign(signer, append=True)
        if not root.get_verification_result(role, metadata.signed_bytes, metadata.signatures):
            raise NotFound(f"the key of {role} is not in {self._folder(KEY_GROUPS[role])}")
        name = "timestamp.json" if role == "timestamp" else f"{signed.version}.{role}.json"
        write(self.metadata / name, metadata.to_bytes())

    def draft_root(self, root: Root, now: datetime) -> bytes:
        """*root* with the signatures of the root keys that are at hand here."""
        root.expires = whole(now + self.lifetimes.root)
        return self.sign_root(Metadata(root).to_bytes())

    def sign_root(self, draft: bytes) -> bytes:
        """Add the signatures of the root keys that are at hand here, old and new ones."""
        metadata = _parse_root(draft)
        wanted = set(metadata.signed.roles["root"].keyids)
        if self.version("root"):
            wanted |= set(self.root().roles["root"].keyids)
        for signer in self._signers("root"):
            if signer.public_key.keyid in wanted:
                metadata.sign(signer, append=True)
        return metadata.to_bytes()

    def install_root(self, draft: bytes) -> None:
        """Publish a root that enough holders, old and new, have signed.

        Raises:
            Conflict: signatures are missing, or it does not follow the root in force.
        """
        metadata = _parse_root(draft)
        root, newest = metadata.signed, self.version("root")
        if root.version != newest + 1:
            raise Conflict(f"root {root.version} does not follow root {newest}: make a new draft")
        result = root.get_root_verification_result(
            self.root() if newest else None, metadata.signed_bytes, metadata.signatures
        )
        if not result.verified:
            missing = ", ".join(sorted(keyid[:8] for keyid in result.unsigned))
            raise Conflict(
                f"root {root.version} needs more signatures; not signed yet: {missing}. Each "
                "holder runs `wallet-trust sign-root`, then one runs `wallet-trust install-root`"
            )
        write(self.metadata / f"{root.version}.root.json", draft)

    def _folder(self, group: KeyGroup) -> Path:
        return self.root_keys if group == "root" else self.path / group

    def _signers(self, group: KeyGroup) -> Iterator[CryptoSigner]:
        for path in sorted(self._folder(group).glob("*.pem")):
            key = SoftwareKey.from_pem(path.read_bytes(), password=self.passwords(group))
            yield CryptoSigner(key.to_crypto())


def write_key(path: Path, key: SoftwareKey, password: bytes) -> None:
    """An encrypted key file that only its owner may read; an existing one is never overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{path} exists already") from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(key.to_pem(password=password))


def write(path: Path, data: bytes) -> None:
    """Replace a file in one step: a web server never serves half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.new")
    temporary.write_bytes(data)
    temporary.replace(path)


def whole(moment: datetime) -> datetime:
    """Without a fraction of a second, as TUF writes times."""
    return moment.replace(microsecond=0)


def _number(path: Path) -> int:
    return int(path.name.partition(".")[0])


def _parse_root(draft: bytes) -> Metadata[Root]:
    try:
        metadata = Metadata[Root].from_bytes(draft)
    except DeserializationError as error:
        raise InvalidInput("not a root.json") from error
    if not isinstance(metadata.signed, Root):
        raise InvalidInput("not a root.json")
    return metadata
