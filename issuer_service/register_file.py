"""Which register a tenant has, as its file says, and the connection to it.

    "register": { "database_url_file": "…", "mapping": "registers/residents.json" }
    "register": { "url": "https://…", "client": { … }, "client_secret_file": "…" }

Files are looked for beside the tenant files, unless their paths are absolute.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    model_validator,
)

from shared.encoding import parse_json_object
from shared.errors import InvalidInput
from shared.runtime.fetch import Fetcher

from .http_register import Client, HttpRegister
from .registers import NoRegister, Register
from .sql_register import SqlMapping, SqlRegister

_MAX_MAPPING = 64 * 1024
Seconds = Annotated[float, Field(ge=0.1, le=10)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class SqlRegisterFile(_Part):
    """A register in a database.

    Attributes:
        database_url: SQLAlchemy's URL, or in *database_url_file* if it holds a password.
        mapping: a file that says which column is what; without one *table* is as the sample's.
        seconds: how long a statement may take.
    """

    database_url: str | None = None
    database_url_file: Path | None = None
    table: str = "people"
    mapping: Path | None = None
    seconds: Seconds = 3.0

    @model_validator(mode="after")
    def _one_url(self) -> Self:
        if (self.database_url is None) == (self.database_url_file is None):
            raise ValueError("not exactly one of database_url and database_url_file")
        return self

    def connect(self, directory: Path) -> Register:
        """The register; raises InvalidInput if a file is missing or faulty."""
        url = self.database_url
        if self.database_url_file is not None:
            url = _text(directory / self.database_url_file)
        mapping = None if self.mapping is None else _mapping(directory / self.mapping)
        return SqlRegister(url or "", table_name=self.table, mapping=mapping, seconds=self.seconds)


class HttpRegisterFile(_Part):
    """A register behind HTTP.

    Attributes:
        url: of its one endpoint.
        client: what we are to its authorization server.
        client_secret_file: read when a token is needed, so it may be replaced meanwhile.
        fields: our name of a field -> the register's; none if they are the same.
        seconds: how long a question may take in all.
    """

    url: Annotated[str, Field(pattern=r"^https?://")]
    client: Client
    client_secret_file: Path
    fields: Mapping[str, str] = Field(default_factory=dict)
    seconds: Seconds = 5.0

    def connect(self, directory: Path, fetcher: Callable[[float], Fetcher]) -> Register:
        """The register; raises InvalidInput if the secret's file is missing."""
        secret_file = directory / self.client_secret_file
        _text(secret_file)
        return HttpRegister(
            self.url,
            client=self.client,
            secret=lambda: _text(secret_file),
            fields=self.fields,
            fetcher=fetcher(self.seconds),
        )


def _kind(value: Any) -> str:
    return "http" if isinstance(value, Mapping) and "url" in value else "sql"


RegisterFile = Annotated[
    Annotated[SqlRegisterFile, Tag("sql")] | Annotated[HttpRegisterFile, Tag("http")],
    Discriminator(_kind),
]


def open_register(
    file: SqlRegisterFile | HttpRegisterFile | None,
    *,
    directory: Path,
    fetcher: Callable[[float], Fetcher],
) -> Register:
    """The register of a tenant whose *file* lies in *directory*.

    Args:
        file: what the tenant file says; None if its API callers give the claims themselves.
        directory: of the tenant files.
        fetcher: a guarded client whose calls take no longer than so many seconds.

    Raises:
        InvalidInput: a file is missing or faulty.
    """
    if file is None:
        return NoRegister()
    if isinstance(file, HttpRegisterFile):
        return file.connect(directory, fetcher)
    return file.connect(directory)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise InvalidInput(f"register: {path.name} cannot be read") from error


def _mapping(path: Path) -> SqlMapping:
    try:
        content = parse_json_object(path.read_bytes(), max_bytes=_MAX_MAPPING)
        return SqlMapping.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{path.name}: {place}: {first['msg']}") from error
    except (InvalidInput, OSError) as error:
        raise InvalidInput(f"{path.name}: {error}") from error
