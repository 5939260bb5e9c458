"""Tenants: the agencies that this service issues for, one data file each.

The file's name is the tenant's name and stands in its Credential Issuer Identifier, so it can never
change. API clients are not in the file: `python -m issuer_service client` registers them.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic import JsonValue as JsonMember

from shared.encoding import parse_json_object
from shared.errors import InvalidInput
from shared.runtime.openid import NotSignedIn, ProviderFile
from shared.runtime.staff_files import StaffFile

from .catalogue import Configuration
from .register_file import RegisterFile

_MAX_FILE = 64 * 1024
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class OpenIdFile(ProviderFile):
    """The OpenID Provider at which the agency's citizens sign in, and what a sign-in means here.

    Attributes:
        match: register field -> claim: these lead to exactly one entry of the register.
    """

    match: Annotated[Mapping[str, str], Field(min_length=1)]

    @property
    def read(self) -> set[str]:
        """See `ProviderFile.read`."""
        return {*super().read, *self.match.values()}

    def fields(self, claims: Mapping[str, Any]) -> Mapping[str, str]:
        """The register's fields by which the person is looked up.

        Raises:
            NotSignedIn: a claim that is needed is not there, or is not a text.
        """
        found = {field: claims.get(claim) for field, claim in self.match.items()}
        texts = {field: value for field, value in found.items() if isinstance(value, str) and value}
        if len(texts) != len(found):
            raise NotSignedIn("OpenID: a claim that leads to the register is missing")
        return texts


class LoginFile(_Part):
    """How the agency's citizens say who they are.

    Attributes:
        desk: by a one-time code that a clerk hands out.
        openid: at an OpenID Provider.
    """

    desk: bool = True
    openid: OpenIdFile | None = None

    @model_validator(mode="after")
    def _one_at_least(self) -> Self:
        if not self.desk and self.openid is None:
            raise ValueError("neither desk nor openid")
        return self


class TenantFile(_Part):
    """One agency.

    Attributes:
        names: by language tag; the first one is also the claim `issuing_authority`.
        country: ISO 3166-1 alpha-2; the claim `issuing_country`.
        contacts: for the trust list: `support`, `data_protection`, `supervisory_authority`.
        credentials: ids of the configurations it offers; none means all in the catalogue.
        register: where claims come from; without one every caller gives them.
        login: how citizens sign in when their wallet sends them here.
        staff: how the agency's own people sign in to its desk.
        find_by: register field -> what it is called, by language: all of them together lead a clerk
            to one entry of the register, where its reference is not at hand.
        wallets_without_attestation: accept wallets that prove nothing about themselves. Outside
            HAIP
            (4.4.1), so it is off by default and warned of at start.
        encryption_required: refuse credential requests in the clear, or for an answer in the clear.
        dpop_nonce: demand a nonce of ours in DPoP proofs (I-34).
        redirect_uris: by `client_id`: the only ones that this wallet may use. An attested wallet
            that is not named here may use any; one without attestation none (ADR 0011).
        refresh_token_days: for how long a wallet may renew what it holds by itself; 0 for not at
            all (I-54).
    """

    tenant: Name
    names: Annotated[Mapping[str, str], Field(min_length=1)]
    country: Annotated[str, Field(pattern=r"^[A-Z]{2}$")]
    credentials: tuple[str, ...] = ()
    contacts: Mapping[str, JsonMember] = Field(default_factory=dict)
    register_: RegisterFile | None = Field(default=None, alias="register")
    login: LoginFile = LoginFile()
    staff: StaffFile = StaffFile()
    find_by: Mapping[str, Mapping[str, str]] = Field(default_factory=dict)
    wallets_without_attestation: bool = False
    encryption_required: bool = False
    dpop_nonce: bool = False
    redirect_uris: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)
    refresh_token_days: Annotated[int, Field(ge=0, le=365)] = 180

    @model_validator(mode="after")
    def _not_a_route(self) -> Self:
        if self.tenant in _TAKEN:
            raise ValueError("tenant: this name is taken by a path of the service")
        return self

    @property
    def constants(self) -> Mapping[str, str]:
        """Fields that rules may use beside the register's."""
        return {"tenant.name": next(iter(self.names.values())), "tenant.country": self.country}

    def offered(self, catalogue: Mapping[str, Configuration]) -> dict[str, Configuration]:
        """What of *catalogue* this tenant offers.

        Raises:
            InvalidInput: it names what is not there, or nothing is left.
        """
        if unknown := set(self.credentials) - set(catalogue):
            raise InvalidInput(f"tenant {self.tenant}: unknown credentials {sorted(unknown)}")
        offered = {
            name: each
            for name, each in catalogue.items()
            if (not self.credentials or name in self.credentials)
            and (not each.file.tenants or self.tenant in each.file.tenants)
        }
        if not offered:
            raise InvalidInput(f"tenant {self.tenant}: offers no credential")
        return offered


_TAKEN = frozenset({"api", "health", "metrics", "docs", "static", "language", "staff"})


def read_tenants(directory: Path) -> dict[str, TenantFile]:
    """All tenants in *directory*, by name.

    Raises:
        InvalidInput: there is none, or a file is faulty; the text names the file and the first
            fault.
    """
    found: dict[str, TenantFile] = {}
    for path in sorted(directory.glob("*.json")):
        try:
            tenant = TenantFile.model_validate(
                parse_json_object(path.read_bytes(), max_bytes=_MAX_FILE)
            )
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = ".".join(str(part) for part in first["loc"])
            raise InvalidInput(f"{path.name}: {place}: {first['msg']}") from error
        except (InvalidInput, OSError) as error:
            raise InvalidInput(f"{path.name}: {error}") from error
        if path.stem != tenant.tenant:
            raise InvalidInput(f"{path.name}: the file is not named as its tenant")
        found[tenant.tenant] = tenant
    if not found:
        raise InvalidInput("tenants: the directory holds no tenant file")
    return found
