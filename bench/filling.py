"""Fills a running system's databases with rows like those it has, for `python -m bench.curve`.

A row that a real flow wrote is copied by the database itself under new keys. The keys are as
scattered as real ones: the number of the row times an odd number, modulo 2^32.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext

from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    DateTime,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    create_engine,
    text,
)
from sqlalchemy.engine import make_url
from sqlalchemy.pool import NullPool

# In this order: a grant refers to its offer. What a citizen's wallet keeps, an agency's records,
# and a day's transactions: what grows, or is many.
GROWING: Mapping[str, tuple[str, ...]] = {
    "issuer_service": (
        "offers",
        "grants",
        "issuances",
        "deliveries",
        "copies",
        "used_values",
        "audit",
    ),
    "verifier_service": ("transactions", "audit"),
    "wallet_service": ("wallets", "unlockers", "wraps", "credentials", "copies", "log_entries"),
    "shares": ("shares",),
}
# These are erased in time: a million is more than a busy day's.
_PASSING = ("offers", "grants", "used_values", "audit")
_PASSING_ROWS = 1_000_000
_CUT = 100
"""Bytes that are left of a sealed or signed column: nobody reads these rows, and disks end."""
_CACHE_KIB = 4 * 1024 * 1024  # keys are scattered: with less, filling reads and writes the disk
_LATER = ("expires_at", "due_at", "claims_until", "idle_until", "ends_at")
_FAR = "2099-01-01 00:00:00.000000"  # no job is to clear away what is measured
# Rows in the order of their keys; without the limit SQLite may forget the order.
_SCATTER = 2654435761
_N = f"n(i) AS (SELECT i FROM m ORDER BY (i + 1) * {_SCATTER} & 4294967295 LIMIT :b)"  # noqa: S608
_REFERS = ("wallet", "credential", "unlocker", "subject")


def fill(url: str, name: str, before: int, rows: int) -> None:
    """Give every growing table of database *name* the rows *before* to *rows*."""
    target = make_url(url)
    if target.get_backend_name() == "postgresql":
        target = target.set(drivername="postgresql+psycopg")
    sqlite = target.get_backend_name() == "sqlite"
    patience = {"timeout": 60} if sqlite else {}  # the services' jobs write, too
    engine = create_engine(target, poolclass=NullPool, connect_args=patience)
    metadata = MetaData()
    metadata.reflect(engine, only=GROWING[name])
    for each in GROWING[name]:
        table = metadata.tables[each]
        end = min(rows, _PASSING_ROWS) if each in _PASSING else rows
        if before >= end:
            continue
        with engine.begin() as connection:
            if sqlite:
                connection.execute(text("PRAGMA synchronous=OFF"))
                connection.execute(text(f"PRAGMA cache_size=-{_CACHE_KIB}"))
            with _without_indexes(connection, each) if sqlite else nullcontext():
                connection.execute(text(_statement(table, sqlite=sqlite)), {"a": before, "b": end})
        if sqlite:
            with engine.connect() as connection:  # else a service does it, in the midst of a flow
                connection.execute(text("PRAGMA synchronous=OFF"))
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
    if not sqlite:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for each in GROWING[name]:
                connection.execute(text(f'VACUUM ANALYZE "{each}"'))
    engine.dispose()


@contextmanager
def _without_indexes(connection: Connection, table: str) -> Iterator[None]:
    """An index made afterwards is sorted once instead of written at ten million places."""
    named = "SELECT name, sql FROM sqlite_master WHERE type='index' AND tbl_name=:t AND sql <> ''"
    indexes = connection.execute(text(named), {"t": table}).all()
    for name, _ in indexes:
        connection.execute(text(f'DROP INDEX "{name}"'))
    yield
    for _, definition in indexes:
        connection.execute(text(definition))


def bytes_per_row(url: str, name: str) -> dict[str, float]:
    """What a row of each growing table takes on PostgreSQL, with its indexes and what was cut."""
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    metadata = MetaData()
    metadata.reflect(engine, only=GROWING[name])
    found = {}
    with engine.connect() as connection:
        for each in GROWING[name]:
            cut = " + ".join(
                f'greatest(0, coalesce(length("{column.name}"), 0) - {_CUT})'
                for column in metadata.tables[each].columns
                if _is_long(column)
            )
            rest = f'SELECT {cut or 0} FROM "{each}" LIMIT 1'  # noqa: S608  # names of our own
            size = text(
                f"SELECT pg_total_relation_size('{each}')::float / count(*) FROM \"{each}\""  # noqa: S608
            )
            whole = float(connection.execute(size).scalar_one())
            found[f"{name}.{each}"] = whole + float(connection.execute(text(rest)).scalar_one())
    engine.dispose()
    return found


def _is_long(column: Column[object]) -> bool:
    return isinstance(column.type, LargeBinary | Text) and column.type.length is None


def _statement(table: Table, *, sqlite: bool) -> str:
    unique = {
        column.name
        for each in (*table.indexes, *table.constraints)
        if getattr(each, "unique", False) or each.__class__.__name__ == "UniqueConstraint"
        for column in each.columns
    }
    keys = ({column.name for column in table.primary_key} | unique) - {"tenant", "purpose"}
    columns = [each for each in table.columns if each.name != "rowid"]
    values = ", ".join(_value(each, keys, sqlite=sqlite) for each in columns)
    names = ", ".join(f'"{each.name}"' for each in columns)
    series = (
        f"WITH RECURSIVE m(i) AS (SELECT :a UNION ALL SELECT i + 1 FROM m WHERE i + 1 < :b), {_N}"  # noqa: S608
        if sqlite
        else "WITH n(i) AS (SELECT generate_series(:a, :b - 1)::bigint)"
    )
    template = f'SELECT * FROM "{table.name}" LIMIT 1'  # noqa: S608  # a name of our own
    insert, rest = f'INSERT INTO "{table.name}" ({names})', f"SELECT {values} FROM n, t"  # noqa: S608
    source = f"{series}, t AS ({template})"
    return f"{insert} {source} {rest}" if sqlite else f"{source} {insert} {rest}"


def _value(column: Column[object], keys: set[str], *, sqlite: bool) -> str:
    name = f't."{column.name}"'
    if column.name in _LATER:
        return f"'{_FAR}'" if sqlite else f"CAST('{_FAR}+00' AS timestamptz)"
    refers = column.name.endswith("_id") or column.name in _REFERS
    kind = column.type
    if column.name not in keys and (not refers or column.name in {"client_id", "configuration_id"}):
        cut = f"substr({name}, 1, {_CUT})" if sqlite else f"substring({name} FROM 1 FOR {_CUT})"
        cut = f"CASE WHEN length({name}) > {_CUT} THEN {cut} ELSE {name} END"
        return cut if _is_long(column) else name
    scattered = f"((n.i + 1) * {_SCATTER} & 4294967295)"
    hexed = f"printf('%08x', {scattered})" if sqlite else f"lpad(to_hex({scattered}), 8, '0')"
    if isinstance(kind, Integer) and not isinstance(kind, Boolean):
        return f"1000000 + n.i{'' if sqlite else '::int'}"
    if isinstance(kind, LargeBinary):
        twice = f"{hexed} || '{'0' * 24}'"
        return f"CAST({twice} AS BLOB)" if sqlite else f"convert_to({twice}, 'UTF8')"
    if isinstance(kind, DateTime):
        return name
    if isinstance(kind, String):  # the prefix stays: off_, iss_ …
        return f"CASE WHEN {name} <> '' THEN substr({name}, 1, 4) || {hexed} || '{'z' * 10}' END"
    return name
