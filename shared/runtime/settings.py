"""Settings every service has, read from the environment once at start (DESIGN 10).

Everything wrong is reported at once, in plain words. Secrets are `SecretStr`, or a file named by
the variable with `_FILE` behind its name. Comfort that is not secure has a setting of its own, is
off, and warns at start. The table in docs/operations.md is made by `settings_table`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, TypeVar
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic.fields import FieldInfo
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from ..errors import ExpectedError
from .logs import get_log

log = get_log(__name__)

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})


class SettingsInvalid(ExpectedError):
    """The environment is incomplete or wrong; `problems` says everything at once."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


def env_config(prefix: str) -> SettingsConfigDict:
    """The model_config of a service's settings, e.g. `env_config("ISSUER_")`."""
    return SettingsConfigDict(env_prefix=prefix, frozen=True, extra="ignore", env_ignore_empty=True)


class _SecretFiles(PydanticBaseSettingsSource):
    """Values of SecretStr fields from the files that `<PREFIX><NAME>_FILE` name."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[object, str, bool]:
        """The content of the file without its line end, or None."""
        import os  # noqa: PLC0415  # the only place that reads the environment itself

        if "SecretStr" not in str(field.annotation):
            return None, field_name, False
        prefix = str(self.settings_cls.model_config.get("env_prefix", ""))
        path = os.environ.get(f"{prefix}{field_name}_FILE".upper())
        if not path:
            return None, field_name, False
        try:
            return Path(path).read_text(encoding="utf-8").rstrip("\r\n"), field_name, False
        except OSError as error:
            name = f"{prefix}{field_name}_FILE".upper()
            raise SettingsInvalid([f"{name}: cannot be read ({error.strerror})"]) from error

    def __call__(self) -> dict[str, object]:
        """All of them."""
        found = {}
        for name, field in self.settings_cls.model_fields.items():
            value, key, _ = self.get_field_value(field, name)
            if value is not None:
                found[key] = value
        return found


CommaList = Annotated[tuple[str, ...], NoDecode]
"""Several values in one variable, with commas between them."""


class ServiceSettings(BaseSettings):
    """What an operator decides for any of the three services."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_ignore_empty=True)

    public_url: str = Field(
        description="Base URL under which others reach this service, without a slash at its end; "
        "identifiers are built from it, so it can never change (C-53)."
    )
    host: str = Field(default="127.0.0.1", description="Address to listen on.")
    port: int = Field(default=8000, ge=1, le=65535, description="Port to listen on.")
    workers: int = Field(default=1, ge=1, le=64, description="Number of worker processes.")
    database_url: SecretStr = Field(
        description="sqlite:////path/file.db or postgresql://user:password@host/name."
    )
    tls_certificate: Path | None = Field(
        default=None, description="PEM file with the TLS certificate chain, if no proxy ends TLS."
    )
    tls_key: Path | None = Field(default=None, description="PEM file with the TLS key.")
    trusted_proxies: CommaList = Field(
        default=(),
        description="Addresses of reverse proxies whose X-Forwarded-For is believed, for rate "
        "limits only.",
    )
    requests_per_second: int = Field(
        default=50,
        ge=0,
        description="Requests of one address to one process, with bursts of ten seconds' worth; "
        "0 is no limit (S-22).",
    )
    ca_bundle: Path | None = Field(
        default=None, description="PEM file with further CAs that outgoing TLS trusts."
    )
    permitted_private_hosts: CommaList = Field(
        default=(),
        description="Host names (or host:port) for which outgoing calls may reach private "
        "addresses (S-11).",
    )
    permitted_ports: Annotated[tuple[int, ...], NoDecode] = Field(
        default=(443,), description="Ports that outgoing calls may reach (S-11)."
    )
    insecure_http_loopback: bool = Field(
        default=False,
        description="INSECURE: plain http for this service and for calls, on loopback only (C-50).",
    )
    trust_url: str = Field(description="Base URL of the trust list's TUF repository.")
    trust_root: Path = Field(description="Initial root.json of the trust list, as handed over.")
    trust_local: Path | None = Field(
        default=None,
        description="INSECURE: JSON file with trust entries of this installation alone, such as "
        "a test suite's; refused beside a production trust list.",
    )
    key_directory: Path = Field(description="Directory with the keys of each tenant and purpose.")
    key_password: SecretStr = Field(
        description="Password of all keys in the key directory; better by KEY_PASSWORD_FILE."
    )
    pkcs11_module: Path | None = Field(
        default=None,
        description="Library of an HSM or other PKCS #11 token: new private keys are made there, "
        "and holder keys are wrapped by it. Needs the extra `hsm`.",
    )
    pkcs11_token: str = Field(default="", description="Label of the token.")
    pkcs11_pin: SecretStr | None = Field(default=None, description="User PIN of the token.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        default="INFO", description="The least serious events that are logged."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  # the base class's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments, then the environment, then files that the environment names."""
        return init_settings, env_settings, _SecretFiles(settings_cls)

    @field_validator("trusted_proxies", "permitted_private_hosts", "permitted_ports", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(each.strip() for each in value.split(",") if each.strip())
        return value

    @field_validator("public_url", "trust_url")
    @classmethod
    def _plain_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("is not a URL such as https://issuer.example")
        if value.endswith("/") or parts.query or parts.fragment or parts.username:
            raise ValueError("must not end in a slash or carry a user, query or fragment")
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "ServiceSettings":
        problems = []
        for name in ("public_url", "trust_url"):
            parts = urlsplit(str(getattr(self, name)))
            loopback = parts.hostname in LOOPBACK
            if parts.scheme == "http" and not (loopback and self.insecure_http_loopback):
                problems.append(
                    f"{name} must be https (for localhost, insecure_http_loopback allows http)"
                )
        if (self.tls_certificate is None) != (self.tls_key is None):
            problems.append("tls_certificate and tls_key belong together")
        if (self.pkcs11_module is None) != (self.pkcs11_pin is None):
            problems.append("pkcs11_module and pkcs11_pin belong together")
        for name in ("tls_certificate", "tls_key", "ca_bundle", "trust_local", "pkcs11_module"):
            path = getattr(self, name)
            if path is not None and not Path(path).is_file():
                problems.append(f"{name}: there is no such file")
        if problems:
            raise ValueError("; ".join(problems))
        return self

    def insecure(self) -> tuple[str, ...]:
        """A sentence for each setting that trades security for comfort; a service adds its own."""
        sentences = []
        if self.insecure_http_loopback:
            sentences.append(
                "insecure_http_loopback is on: plain http on loopback, never in production."
            )
        if self.trust_local is not None:
            sentences.append("trust_local is set: entries that nobody signed, never in production.")
        return tuple(sentences)

    def warn(self) -> None:
        """Log `insecure()`, at start."""
        for sentence in self.insecure():
            log.warning("insecure_setting", text=sentence)


Settings = TypeVar("Settings", bound=ServiceSettings)


def load_settings(kind: type[Settings]) -> Settings:
    """The settings from the environment.

    Raises:
        SettingsInvalid: with a line for everything that is missing or wrong.
    """
    try:
        return kind()
    except ValidationError as error:
        prefix = str(kind.model_config.get("env_prefix", ""))
        problems = []
        for each in error.errors(include_url=False, include_input=False):
            name = ".".join(str(part) for part in each["loc"])
            message = "is missing" if each["type"] == "missing" else each["msg"]
            message = message.removeprefix("Value error, ")
            problems.append(f"{prefix}{name}".upper() + f": {message}" if name else message)
        raise SettingsInvalid(problems) from error


def settings_table(kind: type[ServiceSettings]) -> str:
    """The Markdown table of docs/operations.md for one service."""
    prefix = str(kind.model_config.get("env_prefix", ""))
    lines = ["| Variable | Default | Meaning |", "|---|---|---|"]
    for name, field in kind.model_fields.items():
        default = "required" if field.is_required() else _shown(field.default)
        variable = f"`{prefix}{name}`".upper()
        if "SecretStr" in str(field.annotation):
            variable += " (or `…_FILE`)"
        lines.append(f"| {variable} | {default} | {field.description} |")
    return "\n".join(lines) + "\n"


def _shown(default: object) -> str:
    if default is None or default == ():
        return "none"
    if isinstance(default, tuple):
        return f"`{','.join(str(each) for each in default)}`"
    return f"`{default}`".lower() if isinstance(default, bool) else f"`{default}`"
