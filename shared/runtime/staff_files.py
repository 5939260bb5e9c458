"""How the staff of a tenant sign in, as its file says.

"staff": {"passkeys": false, "openid": {"issuer": "https://…", "names": {"en": "…"},
"client_id": "…", "roles": {"claim": "groups", "values": {"clerks": ["offers", "read"]}}}}
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from ..errors import ExpectedError, InvalidInput
from .fetch import Fetcher
from .languages import mark
from .openid import OpenIdProvider, ProviderFile
from .sign_in import home


class NoRoles(ExpectedError):
    """The provider knows the person, but no claim of theirs leads to a role here."""

    status = 403
    code = "no_roles"
    public = mark("Your account is known, but may do nothing here.")
    next_step = mark("Ask whoever manages the accounts of your agency.")


class RolesFile(BaseModel):
    """Which claim says what somebody may do, and which of its values give which roles."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    claim: str
    values: Annotated[Mapping[str, tuple[str, ...]], Field(min_length=1)]


class StaffProviderFile(ProviderFile):
    """The OpenID Provider at which staff sign in.

    Attributes:
        roles: from a claim, a text or a list of texts.
        name: the claim with the name that pages and auditors are shown.
    """

    roles: RolesFile
    name: str = "name"

    @property
    def read(self) -> set[str]:
        """See `ProviderFile.read`."""
        return {*super().read, self.roles.claim, self.name}

    def roles_of(self, claims: Mapping[str, Any]) -> set[str]:
        """What the person with these *claims* may do."""
        found = claims.get(self.roles.claim)
        values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return {
            role
            for each in values
            if isinstance(each, str)
            for role in self.roles.values.get(each, ())
        }


class StaffFile(BaseModel):
    """How the staff of one tenant sign in.

    Attributes:
        passkeys: with accounts that are invited on the command line.
        openid: at the agency's OpenID Provider.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    passkeys: bool = True
    openid: StaffProviderFile | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """How the staff of one tenant come in: its file, and its provider if there is one."""

    file: StaffFile
    provider: OpenIdProvider | None


def open_door(
    file: StaffFile,
    *,
    tenant: str,
    public_url: str,
    roles: Collection[str],
    fetcher: Callable[[], Fetcher],
) -> Door:
    """The door of *tenant*; its provider is asked through what *fetcher* gives.

    Raises:
        InvalidInput: the file gives a role that this service has not, or leaves no way in.
    """
    if file.openid is None:
        if not file.passkeys:
            raise InvalidInput("staff: neither passkeys nor openid")
        return Door(file, None)
    given = {role for each in file.openid.roles.values.values() for role in each}
    if unknown := given - set(roles):
        raise InvalidInput(f"staff: not a role: {', '.join(sorted(unknown))}")
    back = f"{public_url}{home(tenant)}/sign-in/return"
    return Door(file, OpenIdProvider(file.openid, fetcher(), redirect_uri=back))
