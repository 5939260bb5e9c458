"""python -m issuer_service: serve, migrate, doctor; register, client, staff, entry, preview."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from shared.encoding import JsonValue, dump_json
from shared.errors import ExpectedError
from shared.runtime.cli import Service, console, make_cli
from shared.runtime.client_credentials import ApiClients
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.doctor import Finding
from shared.runtime.fetch import Fetcher
from shared.runtime.staff_cli import staff_commands
from shared.runtime.staff_pages import StaffEntrance

from . import sample_register, tables
from .app import SECRETS, make_entrance, make_tenant
from .catalogue import BUILT_IN, Configuration, read_catalogue
from .context import Secrets
from .doctoring import as_counterpart
from .preview import Preview, preview
from .register_file import open_register
from .routes.agency import ROLES
from .routes.staff import ROLES as STAFF_ROLES
from .settings import IssuerSettings
from .tenants import read_tenants


def _catalogue(settings: IssuerSettings) -> dict[str, Configuration]:
    own = settings.credentials_directory
    return read_catalogue([BUILT_IN, *([own] if own else [])])


def _tenants(settings: IssuerSettings) -> Iterator[Finding]:
    """Every tenant as `serve` would make it, and whether its register answers."""
    catalogue = _catalogue(settings)
    keys = service.keys(settings)
    for name, file in read_tenants(settings.tenants_directory).items():
        try:
            tenant = make_tenant(
                file,
                catalogue,
                settings=settings,
                keys=keys,
                secrets=Secrets(keys.secret("issuer")),
            )
            tenant.register.check()
            if tenant.provider is not None:
                tenant.provider.check(utc_now())
        except ExpectedError as error:
            yield Finding(f"tenant {name}: {error}", "Correct it, then run doctor again.")
            continue
        offered = ", ".join(tenant.configurations)
        yield Finding(f"tenant {name}: issues {offered} as {tenant.identifier}")
        if file.wallets_without_attestation:
            yield Finding(f"tenant {name}: accepts wallets without attestation (outside HAIP)")


def _counterpart(settings: IssuerSettings) -> Iterator[Finding]:
    """Whether wallets and verifiers would believe every tenant."""
    yield from as_counterpart(settings, service.keys(settings))


service = Service(
    package="issuer_service",
    title="Issues credentials: Credential Issuer, its Authorization Server, its Status Lists.",
    settings=IssuerSettings,
    app="issuer_service.app:serve",
    secrets=SECRETS,
    checks=(_tenants, _counterpart),
)
cli = make_cli(service)

register = typer.Typer(help="The sample register of invented citizens.", no_args_is_help=True)
cli.add_typer(register, name="register")

client = typer.Typer(help="Software of agencies that may call the API.", no_args_is_help=True)
cli.add_typer(client, name="client")


def _staff() -> StaffEntrance:
    settings: IssuerSettings = service.load()
    return make_entrance(
        settings,
        read_tenants(settings.tenants_directory),
        database=Database(settings.database_url.get_secret_value()),
        secrets=Secrets(service.keys(settings).secret("issuer")),
        clock=utc_now,
        random_bytes=os.urandom,
    )


cli.add_typer(staff_commands(_staff, STAFF_ROLES), name="staff")


@register.command()
def generate(
    file: Path,
    count: Annotated[int, typer.Option(help="How many people, at least 1,000.")] = 1_200,
    seed: Annotated[int, typer.Option(help="The same seed gives the same people.")] = 7,
) -> None:
    """Write invented citizens to a CSV file."""
    people = sample_register.generate(seed=seed, count=count)
    console().print(f"{sample_register.write_csv(file, people)} people written to {file}.")


@register.command()
def load(file: Path, database: Path) -> None:
    """Replace the people in an SQLite database by those of a CSV file."""
    console().print(f"{sample_register.load_csv(file, database)} people loaded into {database}.")


def _clients(settings: IssuerSettings) -> ApiClients:
    return ApiClients(
        Database(settings.database_url.get_secret_value()),
        tables.metadata,
        key=service.keys(settings).secret("api_tokens"),
        clock=utc_now,
        random_bytes=os.urandom,
    )


@client.command()
def add(
    tenant: str,
    client_id: str,
    role: Annotated[list[str], typer.Option(help=f"Any of: {', '.join(ROLES)}.")] = list(ROLES),  # noqa: B006  # typer copies it
) -> None:
    """Register a client and print its secret, this once."""
    unknown = set(role) - set(ROLES)
    if unknown:
        raise typer.BadParameter(f"not a role: {', '.join(sorted(unknown))}")
    settings: IssuerSettings = service.load()
    if tenant not in read_tenants(settings.tenants_directory):
        raise typer.BadParameter("no such tenant")
    typer.echo(_clients(settings).register(tenant, client_id, role))


@client.command()
def disable(tenant: str, client_id: str) -> None:
    """Give a client no further tokens; those it has end within ten minutes."""
    settings: IssuerSettings = service.load()
    if not _clients(settings).disable(tenant, client_id):
        raise typer.BadParameter("no such client")


@cli.command("preview")
def preview_(
    tenant: Annotated[str, typer.Argument(help="The tenant whose register is asked.")],
    reference: Annotated[
        str,
        typer.Argument(
            help="The register's reference of the person; left out, it is asked for, so that it "
            "stands in no shell history.",
            show_default=False,
        ),
    ] = "",
    *,
    credential: Annotated[
        list[str],
        typer.Option(help="Only this configuration; may be repeated. Without it: all."),
    ] = [],  # noqa: B006  # typer copies it
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show what would be issued to one person: every claim, or why there is none.

    Asks the register once. Issues nothing, stores nothing, logs nothing; needs no keys. What is
    shown is personal: mind who looks over your shoulder.
    """
    settings: IssuerSettings = service.load()
    file = read_tenants(settings.tenants_directory).get(tenant)
    if file is None:
        raise typer.BadParameter("no such tenant")
    offered = file.offered(_catalogue(settings))
    if unknown := set(credential) - set(offered):
        raise typer.BadParameter(f"not offered: {', '.join(sorted(unknown))}")
    wanted = {name: each for name, each in offered.items() if not credential or name in credential}
    asked = reference or typer.prompt("Reference of the person")
    try:
        register = open_register(
            file.register_,
            directory=settings.tenants_directory,
            fetcher=lambda seconds: Fetcher.from_settings(settings, seconds=seconds),
        )
        with console(stderr=True).status("Asking the register …"):
            found = list(preview(register, file, wanted, asked, now=utc_now()))
    except ExpectedError as error:
        errors = console(stderr=True)
        errors.print(f"[red]Nothing would be issued:[/red] {error.public}")
        errors.print(f"    next: {getattr(error, 'next_step', 'See docs/agency-guide.md.')}")
        raise typer.Exit(1) from error
    if as_json:
        typer.echo(dump_json([each.to_object() for each in found]).decode())
        return
    for each in found:
        _show(each)


def _show(each: Preview) -> None:
    from rich.table import Table  # noqa: PLC0415  # as `console`
    from rich.text import Text  # noqa: PLC0415

    kind = each.configuration
    console().print(f"[bold]{kind.id}[/bold]  {kind.type.name or kind.type.vct}", highlight=False)
    if each.data is None:
        console().print("  [red]not issued:[/red]", end=" ")
        console().print(each.refusal, markup=False)
        return
    table = Table(box=None, show_header=False, padding=(0, 2))
    for path, value in each.rows():
        table.add_row(Text(path), Text(value))
    console().print(table)
    if each.data.refresh_after is not None:
        console().print(f"  stale after {each.data.refresh_after:%Y-%m-%d}", markup=False)


@cli.command()
def entry(tenant: str) -> None:
    """Print what the trust list has to say about this tenant as an issuer, as JSON.

    It is what `wallet-trust request` asks for.
    """
    settings: IssuerSettings = service.load()
    file = read_tenants(settings.tenants_directory).get(tenant)
    if file is None:
        raise typer.BadParameter("no such tenant")
    identifier = f"{settings.public_url}/{tenant}"
    issues: list[JsonValue] = [
        {
            "format": each.file.format,
            "type": each.vct,
            "type_metadata": {
                "uri": f"{identifier}/types/{each.vct}",
                "integrity": each.integrity,
            },
        }
        for each in file.offered(_catalogue(settings)).values()
    ]
    wanted: dict[str, JsonValue] = {
        "names": file.names,
        **({"contacts": file.contacts} if file.contacts else {}),
        "credential_issuers": [identifier],
        "issues": issues,
    }
    typer.echo(dump_json(wanted).decode())


if __name__ == "__main__":
    cli()
