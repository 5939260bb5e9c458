"""`python -m <service> staff invite | list | disable`: who may work at a service's pages."""

from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from ..errors import ExpectedError
from .sign_in import home
from .staff_pages import StaffEntrance

_Tenant = Annotated[str, typer.Argument(help="The tenant whose staff it is.")]


def staff_commands(entrance: Callable[[], StaffEntrance], roles: Sequence[str]) -> typer.Typer:
    """The commands of one service; *entrance* is asked when one of them runs."""
    cli = typer.Typer(help="People who work at the pages of a tenant.", no_args_is_help=True)

    def opened(tenant: str) -> StaffEntrance:
        found = entrance()
        if tenant not in found.doors:
            raise typer.BadParameter("no such tenant")
        return found

    @cli.command()
    def invite(
        tenant: _Tenant,
        name: Annotated[str, typer.Argument(help="As pages and auditors show it.")] = "",
        *,
        role: Annotated[
            list[str], typer.Option(help=f"Any of: {', '.join(roles)}; may be repeated.")
        ] = [],  # noqa: B006  # typer copies it
        account: Annotated[
            str,
            typer.Option(
                help="An account that is there (stf_…): the new link replaces its passkey, and "
                "its roles if any are said.",
            ),
        ] = "",
    ) -> None:
        """Print a link, this once, with which one person makes a passkey; good for three days."""
        typer.echo(_link(opened(tenant), tenant, name=name, account=account, roles=role))

    @cli.command("list")
    def list_(tenant: _Tenant) -> None:
        """Show every account: id, state, name, roles, way to sign in."""
        for each in opened(tenant).accounts.all(tenant):
            way = "OpenID Provider" if each.by_provider else "passkey"
            may = ", ".join(each.roles)
            typer.echo(f"{each.id}  {each.state:<18}  {each.name} ({may}; {way})")

    @cli.command()
    def disable(
        tenant: _Tenant,
        account: Annotated[str, typer.Argument(help="Its id (stf_…), see `staff list`.")],
    ) -> None:
        """End an account and its sessions at once, for good."""
        if not opened(tenant).accounts.disable(tenant, account):
            raise typer.BadParameter("no such account, or it is disabled already")

    return cli


def _link(
    entrance: StaffEntrance, tenant: str, *, name: str, account: str, roles: Sequence[str]
) -> str:
    if not entrance.doors[tenant].file.passkeys:
        raise typer.BadParameter("the staff of this tenant sign in at its OpenID Provider")
    if bool(name) == bool(account):
        raise typer.BadParameter("say either a name or --account")
    accounts = entrance.accounts
    try:
        if account:
            code = accounts.invite_again(tenant, account, roles)
        else:
            code = accounts.invite(tenant, name, roles)
    except ExpectedError as error:
        raise typer.BadParameter(str(error)) from error
    return f"{accounts.public_url}{home(tenant)}/join#{code}"
