"""What the trust list client remembers: newest verified metadata and the list itself.

Kept in the table `trust_state` of the service's own database, one row a file, so that every replica
refuses what any of them knows to be older. A write is one compare-and-swap on the timestamp's
version: of two replicas that refresh at once, one stores, the other's next refresh finds it.

Specification: TUF 1.0, sections 5.3 to 5.7 (persisted metadata); DESIGN section 4.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Self

from sqlalchemy import Connection, Table, bindparam, delete, insert, select, update

from ..encoding import parse_json_object
from ..errors import InvalidInput
from .database import Database, insert_once, once

_MAX_BYTES = 10_000_000
_ROLES = ("timestamp", "snapshot", "targets")
_TARGET = "target"


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One verified file, byte for byte, and its TUF version."""

    version: int
    data: bytes


class Stored(Mapping[str, StoredFile]):
    """Files by name: `root/N`, `timestamp`, `snapshot`, `targets`, `target` (the list itself)."""

    def __init__(self, files: Mapping[str, StoredFile]) -> None:
        self._files = dict(files)

    def __getitem__(self, name: str) -> StoredFile:
        return self._files[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._files)

    def __len__(self) -> int:
        return len(self._files)

    def write(self, folder: Path) -> None:
        """Lay the files out as python-tuf caches them."""
        (folder / "root_history").mkdir(parents=True, exist_ok=True)
        (folder / "targets").mkdir(exist_ok=True)
        for name, file in self.items():
            _path(folder, name).write_bytes(file.data)

    @classmethod
    def of(cls, folder: Path, *, roots_only: bool = False) -> Self:
        """Collect the files that python-tuf left in *folder*: all of them were verified."""
        files = {
            f"root/{path.name.removesuffix('.root.json')}": path
            for path in (folder / "root_history").glob("*.root.json")
        }
        if not roots_only:
            files |= {role: _path(folder, role) for role in _ROLES}
        read = {name: path.read_bytes() for name, path in files.items() if path.is_file()}
        found = {name: StoredFile(_version(data), data) for name, data in read.items()}
        target = _path(folder, _TARGET)
        if not roots_only and "targets" in found and target.is_file():
            found[_TARGET] = StoredFile(found["targets"].version, target.read_bytes())
        return cls(found)


def _path(folder: Path, name: str) -> Path:
    if name.startswith("root/"):
        return folder / "root_history" / f"{name.removeprefix('root/')}.root.json"
    if name == _TARGET:
        return folder / "targets" / "trust-list.json"
    return folder / f"{name}.json"


def _version(data: bytes) -> int:
    signed = parse_json_object(data, max_bytes=_MAX_BYTES).get("signed")
    version = signed.get("version") if isinstance(signed, dict) else None
    if not isinstance(version, int):
        raise InvalidInput("trust list metadata: no version")
    return version


class TrustStore(Protocol):
    """Where the verified files stay between refreshes."""

    def read(self) -> Stored:
        """What was kept last."""
        ...

    def keep(self, files: Stored, *, over: Stored) -> None:
        """Keep *files* if nobody else kept any since *over* was read; roots in any case."""
        ...


class MemoryStore:
    """For tools that look once: nothing remains."""

    def __init__(self) -> None:
        self._stored = Stored({})

    def read(self) -> Stored:
        """What was kept last."""
        return self._stored

    def keep(self, files: Stored, *, over: Stored) -> None:
        """Keep *files* beside the roots already known."""
        self._stored = Stored({**over, **files})


class DatabaseStore:
    """The table `trust_state` of a service's database."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table
        self._select = select(table.c.name, table.c.version, table.c.data)
        self._swap = (
            update(table)
            .where(table.c.name == "timestamp", table.c.version == bindparam("read"))
            .values(version=bindparam("new"), data=bindparam("bytes"))
        )

    def read(self) -> Stored:
        """What any replica kept last."""
        with self._database.reading() as connection:
            rows = connection.execute(self._select).all()
        return Stored({row.name: StoredFile(row.version, row.data) for row in rows})

    def keep(self, files: Stored, *, over: Stored) -> None:
        """Keep *files* if the timestamp is still the one of *over*; new roots in any case."""
        changed = {name: file for name, file in files.items() if over.get(name) != file}
        if not changed:
            return
        with self._database.transaction() as connection:
            for name, file in changed.items():
                if name.startswith("root/"):
                    insert_once(connection, self._table, _row(name, file))
            if "timestamp" not in changed or not self._settle(connection, changed, over):
                return
            rest = [n for n in changed if n != "timestamp" and not n.startswith("root/")]
            connection.execute(delete(self._table).where(self._table.c.name.in_(rest)))
            for name in rest:
                connection.execute(insert(self._table), _row(name, changed[name]))

    def _settle(
        self, connection: Connection, changed: Mapping[str, StoredFile], over: Stored
    ) -> bool:
        file = changed["timestamp"]
        if "timestamp" not in over:
            return insert_once(connection, self._table, _row("timestamp", file))
        values = {"read": over["timestamp"].version, "new": file.version, "bytes": file.data}
        return once(connection, self._swap, values)


def _row(name: str, file: StoredFile) -> dict[str, object]:
    return {"name": name, "version": file.version, "data": file.data}
