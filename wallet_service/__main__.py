"""python -m wallet_service: serve, migrate, doctor."""

from collections.abc import Sequence

from shared.runtime.cli import Service, make_cli

from . import rotating
from .app import SECRETS
from .settings import WalletSettings


def databases(settings: WalletSettings) -> Sequence[tuple[str, str]]:
    """Wallets and, apart from them, the shares store."""
    return [
        (settings.database_url.get_secret_value(), ""),
        (settings.shares_database_url.get_secret_value(), "shares"),
    ]


cli = make_cli(
    Service(
        package="wallet_service",
        title="The Citizen Wallet: wallets of citizens, sealed.",
        settings=WalletSettings,
        app="wallet_service.app:serve",
        secrets=SECRETS,
        databases=databases,
        checks=(rotating.look,),
    )
)

if __name__ == "__main__":
    cli()
