"""`python -m verifier_service serve | migrate | doctor | client | staff | webhook | entry`."""

import os
from collections.abc import Iterator
from typing import Annotated

import typer

from shared.encoding import dump_json
from shared.runtime.cli import Service, console, make_cli
from shared.runtime.client_credentials import ApiClients
from shared.runtime.clock import utc_now
from shared.runtime.database import Database
from shared.runtime.doctor import Finding
from shared.runtime.fetch import Fetcher
from shared.runtime.staff_cli import staff_commands
from shared.runtime.staff_pages import StaffEntrance
from shared.runtime.trust_list import TrustListClient

from . import tables
from .app import SECRETS, make_entrance, queries_of, read_tenants
from .doctoring import examine
from .queries import ask
from .routes.asking import ROLE, ROLES
from .settings import VerifierSettings
from .tenants import tenant_queries
from .webhooks import secret


def _as_a_wallet(settings: VerifierSettings) -> Iterator[Finding]:
    """Whether wallets would read and answer what every tenant may ask."""
    tenants = read_tenants(settings, service.keys(settings))
    database = Database(settings.database_url.get_secret_value())
    fetcher = Fetcher.from_settings(settings)
    try:
        trust = TrustListClient.from_settings(
            settings,
            database=database,
            table=tables.runtime.trust_state,
            fetcher=fetcher,
            clock=utc_now,
            random_bytes=os.urandom,
        )
        yield from examine(
            settings,
            keys=service.keys(settings),
            tenants=tenants,
            trust=trust,
            now=utc_now(),
            random_bytes=os.urandom,
        )
    finally:
        fetcher.close()
        database.close()


service = Service(
    package="verifier_service",
    title="Verifier: asks wallets for what a purpose needs, and checks the answers.",
    settings=VerifierSettings,
    app="verifier_service.app:serve",
    secrets=SECRETS,
    checks=(_as_a_wallet,),
)
cli = make_cli(service)


def _staff() -> StaffEntrance:
    settings: VerifierSettings = service.load()
    keys = service.keys(settings)
    return make_entrance(
        settings,
        read_tenants(settings, keys),
        database=Database(settings.database_url.get_secret_value()),
        keys=keys,
        clock=utc_now,
        random_bytes=os.urandom,
    )


cli.add_typer(staff_commands(_staff, ROLES), name="staff")


@cli.command()
def client(
    tenant: Annotated[str, typer.Argument(help="The tenant it asks for.")],
    client_id: Annotated[str, typer.Argument(help="Its name, as it will stand in audit rows.")],
    role: Annotated[list[str], typer.Option(help=f"Any of: {', '.join(ROLES)}.")] = [ROLE],  # noqa: B006  # typer copies it
) -> None:
    """Register a system of an agency; prints its secret, this once."""
    if unknown := set(role) - set(ROLES):
        raise typer.BadParameter(f"not a role: {', '.join(sorted(unknown))}")
    settings = service.load()
    database = Database(settings.database_url.get_secret_value())
    clients = ApiClients(
        database,
        tables.metadata,
        key=service.keys(settings).secret("api_tokens"),
        clock=utc_now,
        random_bytes=os.urandom,
    )
    console().print(clients.register(tenant, client_id, role))
    database.close()


@cli.command()
def webhook(tenant: Annotated[str, typer.Argument(help="The tenant that is told.")]) -> None:
    """Print the secret that the tenant's system verifies webhook messages with."""
    typer.echo(secret(service.keys(service.load()).keyring("webhooks"), tenant))


@cli.command()
def entry(tenant: Annotated[str, typer.Argument(help="The tenant to be registered.")]) -> None:
    """Print what the trust list has to let this tenant ask, as JSON.

    With `names` and `contacts` beside it, it is what `wallet-trust request` asks for.
    """
    settings = service.load()
    asks = [
        ask(query)
        for query in tenant_queries(
            settings.tenants_directory, tenant, queries_of(settings)
        ).values()
    ]
    typer.echo(dump_json({"asks": asks}).decode())


if __name__ == "__main__":
    cli()
