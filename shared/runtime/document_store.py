"""Where the newest documents outlive the process: an older one stays refused after a restart."""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from sqlalchemy import MetaData, Table, bindparam, delete, select, update

from ..errors import VerificationError
from .database import Database, insert_once, once


class OlderDocument(VerificationError):
    """Issued before one that was seen already."""


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """The newest bytes that any process of this service has verified."""

    body: bytes
    content_type: str
    issued_at: datetime
    fetched_at: datetime


class DocumentStore(Protocol):
    """Where the newest documents outlive the process."""

    def load(self, url: str) -> StoredDocument | None:
        """The newest one of *url*."""
        ...

    def save(self, url: str, document: StoredDocument) -> None:
        """Store it; raises OlderDocument if a newer one is there."""
        ...


class DatabaseDocuments:
    """The store in a service's own database; URLs only as hashes."""

    def __init__(self, database: Database, metadata: MetaData) -> None:
        table: Table = metadata.tables["fetched_document"]
        self._database = database
        self._table = table
        self._select = select(
            table.c.content, table.c.content_type, table.c.issued_at, table.c.fetched_at
        ).where(table.c.url_hash == bindparam("hash"))
        self._update = (
            update(table)
            .where(table.c.url_hash == bindparam("hash"))
            .where(table.c.issued_at <= bindparam("not_newer"))
        )

    def load(self, url: str) -> StoredDocument | None:
        """The newest one of *url*."""
        with self._database.reading() as connection:
            row = connection.execute(self._select, {"hash": _hash(url)}).one_or_none()
        return None if row is None else StoredDocument(*row)

    def save(self, url: str, document: StoredDocument) -> None:
        """Store it; raises OlderDocument if a newer one is there."""
        values = {
            "issued_at": document.issued_at,
            "fetched_at": document.fetched_at,
            "content_type": document.content_type[:100],
            "content": document.body,
        }
        with self._database.transaction() as connection:
            row = {"url_hash": _hash(url), **values}
            if insert_once(connection, self._table, row):
                return
            statement = self._update.values(values)
            newer = {"hash": _hash(url), "not_newer": document.issued_at}
            if not once(connection, statement, newer):
                raise OlderDocument("document: a newer one was seen before")


def forget_documents(database: Database, metadata: MetaData, *, before: datetime) -> None:
    """Delete what was fetched for the last time *before* then (S-03)."""
    table = metadata.tables["fetched_document"]
    with database.single() as connection:
        connection.execute(delete(table).where(table.c.fetched_at < before))


def _hash(url: str) -> bytes:
    return hashlib.sha256(url.encode()).digest()
