"""Credential Configurations, one data file each: what a type is, and how this issuer issues it.

A file holds the configuration's id, format and scope, the Type Metadata of its type, the rules that
fill its claims from a register, and the policies for validity, batches and status. A new credential
type is such a file and nothing else. Whatever is wrong with a file is said at start, with its name.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.encoding import canonical_json, parse_json_object
from shared.errors import ExpectedError, InvalidInput
from shared.formats import credential, type_metadata
from shared.formats.type_metadata import TypeMetadata
from shared.oid4vci.key_attestation import Level
from shared.oid4vci.metadata import KeyAttestationsRequired, ProofType

from .claims import Reader, Rule

BUILT_IN = Path(__file__).with_name("credentials")
_MAX_FILE = 512 * 1024
ProofName = Literal["jwt", "attestation"]


class _File(BaseModel):
    """The members of a data file. Unknown ones are refused: a misspelt policy is not obeyed."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class StatusPolicy(_File):
    """How soon a change is to be seen, and whether a credential may be suspended (E-01).

    Attributes:
        ttl: seconds for which a Status List Token may be kept (ST-42).
    """

    ttl: Annotated[int, Field(ge=1, le=86_400)] = 300
    suspension: bool = True


class KeyAttestations(_File):
    """That a wallet provider has to vouch for the keys, and how well they must be kept (I-69).

    Attributes:
        key_storage, user_authentication: the accepted values of OpenID4VCI 1.0, appendix D.2; none
            means any.
    """

    key_storage: tuple[Level, ...] = ()
    user_authentication: tuple[Level, ...] = ()


class ConfigurationFile(_File):
    """One data file.

    Attributes:
        proofs: proof types that are taken, each with the key attestation it has to come with.
        deferral_days: how long a wallet may ask again for what the register has not finished;
            0: such a request is refused (I-85).
        register_down: what a wallet is told while the register does not answer: to ask again at
            once ("refuse", 503), or to come back for it ("defer", as long as *deferral_days*).
        dataset: configurations with the same one are formats of the same data: what is issued of
            them under one offer is one record, with one revocation. Without it, the scope.
        on_change: what happens to what was issued before, when the same offer is renewed with other
            data (I-114).
    """

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,100}$")]
    format: Annotated[str, Field(max_length=40)]
    scope: Annotated[str, Field(pattern=r"^[\x21\x23-\x5B\x5D-\x7E]{1,100}$")]
    validity_days: Annotated[int, Field(ge=1, le=3_650)]
    batch_size: Annotated[int, Field(ge=1, le=20)] = 10  # S-21
    status: StatusPolicy = StatusPolicy()
    proofs: Annotated[Mapping[ProofName, KeyAttestations | None], Field(min_length=1)] = {
        "jwt": None,
        "attestation": KeyAttestations(),
    }
    dataset: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    deferral_days: Annotated[int, Field(ge=0, le=365)] = 30
    register_down: Literal["refuse", "defer"] = "refuse"
    on_change: Literal["keep", "revoke"] = "keep"
    tenants: tuple[str, ...] = ()
    refuse: frozenset[str] = frozenset()
    withhold: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    register_: Mapping[str, Rule] = Field(default_factory=dict, alias="register")
    type_metadata: dict[str, Any]

    @model_validator(mode="before")
    @classmethod
    def _short_rules(cls, value: Any) -> Any:
        """`"email": "email"` is short for `"email": {"field": "email"}`."""
        if isinstance(value, dict) and isinstance(rules := value.get("register"), dict):
            long = {
                name: {"field": rule} if isinstance(rule, str) else rule
                for name, rule in rules.items()
            }
            return {**value, "register": long}
        return value

    @property
    def vct(self) -> str:
        """The type."""
        return str(self.type_metadata.get("vct", ""))


@dataclass(eq=False)
class Configuration:
    """One Credential Configuration, ready to issue.

    Attributes:
        type: the effective Type Metadata, with all it inherits.
        document: the Type Metadata exactly as served; the integrity is over these bytes (I-14).
    """

    file: ConfigurationFile
    type: TypeMetadata
    document: bytes
    reader: Reader = field(init=False, repr=False)

    def __post_init__(self) -> None:
        file = self.file
        self.reader = Reader(file.register_, refuse=file.refuse, withhold=file.withhold)

    @property
    def id(self) -> str:
        """The key in `credential_configurations_supported`."""
        return self.file.id

    @property
    def vct(self) -> str:
        """The type: a URN, or an mdoc's doctype."""
        return self.type.vct

    @cached_property
    def proof_types(self) -> Mapping[str, ProofType]:
        """`proof_types_supported` (I-05)."""
        return {
            name: ProofType(
                proof_signing_alg_values_supported=("ES256",),
                key_attestations_required=None
                if required is None
                else KeyAttestationsRequired(
                    key_storage=required.key_storage or None,
                    user_authentication=required.user_authentication or None,
                ),
            )
            for name, required in self.file.proofs.items()
        }

    @property
    def dataset(self) -> str:
        """What it is a format of."""
        return self.file.dataset or self.file.scope

    @property
    def validity(self) -> timedelta:
        """How long a credential lives."""
        return timedelta(days=self.file.validity_days)

    @property
    def integrity(self) -> str:
        """The Subresource Integrity string over `document` (F-TM-03)."""
        return type_metadata.integrity(self.document)


def read_file(path: Path) -> ConfigurationFile:
    """The data file *path*.

    Raises:
        InvalidInput: not one; the text names the file and the first fault.
    """
    try:
        content = parse_json_object(path.read_bytes(), max_bytes=_MAX_FILE)
        return ConfigurationFile.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{path.name}: {place}: {first['msg']}") from error
    except (InvalidInput, OSError) as error:
        raise InvalidInput(f"{path.name}: {error}") from error


def read_catalogue(directories: Sequence[Path]) -> dict[str, Configuration]:
    """All configurations in *directories*, by id; a later directory replaces what has the same id.

    A type may extend another one of the catalogue (F-TM-04).

    Raises:
        InvalidInput: a file is faulty, or two files of one directory share an id.
    """
    files: dict[str, tuple[str, ConfigurationFile]] = {}
    for directory in directories:
        here: dict[str, tuple[str, ConfigurationFile]] = {}
        for path in sorted(directory.glob("*.json")):
            file = read_file(path)
            if here.setdefault(file.id, (path.name, file))[1] is not file:
                raise InvalidInput(f"{path.name}: its id is taken by another file")
        files |= here
    documents = {file.vct: canonical_json(file.type_metadata) for _, file in files.values()}

    def load(vct: str) -> bytes:
        if vct not in documents:
            raise InvalidInput("type metadata: extends a type that is not in the catalogue")
        return documents[vct]

    found: dict[str, Configuration] = {}
    for name, file in files.values():
        try:
            effective = type_metadata.resolve(file.vct, load=load)
            credential.check_type(file.format, effective)
            found[file.id] = Configuration(file, effective, documents[file.vct])
        except ExpectedError as error:
            raise InvalidInput(f"{name}: {error}") from error
    return found
