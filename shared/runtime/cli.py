"""`python -m <service> serve | migrate | doctor`, the same for all three services."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import typer

from ..errors import ExpectedError
from . import doctor as looking
from . import logs, serving
from .clock import utc_now
from .doctor import Finding
from .keys import KeyDirectory
from .settings import ServiceSettings, SettingsInvalid, load_settings

if TYPE_CHECKING:
    from rich.console import Console


@cache
def console(*, stderr: bool = False) -> "Console":
    """Where commands say what they did; loaded when they say it, since a worker never does."""
    from rich.console import Console  # noqa: PLC0415

    return Console(soft_wrap=True, highlight=False, stderr=stderr)


def one_database(settings: Any) -> Sequence[tuple[str, str]]:
    """The usual `Service.databases`: one URL; the migrations lie in the package itself."""
    return [(settings.database_url.get_secret_value(), "")]


@dataclass(frozen=True, slots=True)
class Service:
    """What the commands need to know of a service.

    Attributes:
        package: import name, e.g. "issuer_service".
        title: one line for `--help`.
        settings: the class of its settings.
        app: "package.module:function" of the app factory.
        secrets: names of its symmetric keys, made by `migrate`.
        databases: pairs of URL and sub-package ("" is the service itself) with migrations.
        checks: what else `doctor` looks at; they may raise ExpectedErrors.
    """

    package: str
    title: str
    settings: type[ServiceSettings]
    app: str
    secrets: tuple[str, ...] = ()
    databases: Callable[[Any], Sequence[tuple[str, str]]] = one_database
    checks: Sequence[Callable[[Any], Iterator[Finding]]] = ()

    def load(self) -> Any:
        """The settings, with logging set up; ends the command with a list of what is wrong."""
        try:
            loaded = load_settings(self.settings)
        except SettingsInvalid as error:
            console().print(f"[red]{len(error.problems)} setting(s) missing or wrong:[/red]")
            for problem in error.problems:
                console().print(f"  {problem}", markup=False)
            console().print("docs/operations.md lists every setting.")
            raise typer.Exit(2) from error
        logs.configure(service=self.package.removesuffix("_service"), level=loaded.log_level)
        return loaded

    def keys(self, settings: Any) -> KeyDirectory:
        """The key directory, opened with its password."""
        return KeyDirectory.from_settings(settings)

    def migrations(self, settings: Any) -> Iterator[tuple[str, str]]:
        """URL and package of every database."""
        for url, part in self.databases(settings):
            yield url, f"{self.package}.{part}" if part else self.package

    def findings(self, settings: Any) -> Iterator[Finding]:
        """Everything `doctor` looks at."""
        for sentence in settings.insecure():
            yield Finding(f"setting: {sentence}")
        for url, package in self.migrations(settings):
            yield from looking.database(url, package)
        yield from looking.keys(self.keys(settings), self.secrets)
        for check in self.checks:
            try:
                yield from check(settings)
            except ExpectedError as error:
                yield Finding(str(error), getattr(error, "next_step", "See the log."))


def make_cli(service: Service) -> typer.Typer:
    """The commands of *service*; it may add its own to what is returned."""
    name = f"python -m {service.package}"
    cli = typer.Typer(name=name, help=service.title, no_args_is_help=True, add_completion=False)

    @cli.command()
    def serve() -> None:
        """Answer requests until stopped. Run `migrate` first."""
        settings = service.load()
        settings.warn()
        serving.run(service.app, settings)

    @cli.command("migrate")
    def migrate_() -> None:
        """Make or update the database and the secret keys; safe at any time and in any replica."""
        from .migrations import migrate  # noqa: PLC0415  # 10 MB that `serve` does not need

        settings = service.load()
        for url, package in service.migrations(settings):
            migrate(url, package=package)
        # Named by the day, so that it can be told how old a key is.
        service.keys(settings).ensure_secrets(service.secrets, first=f"{utc_now():%F}")
        console().print("The database and the secret keys are up to date.")

    @cli.command()
    def doctor() -> None:
        """Look at settings, databases, keys and neighbours; say what to do next."""
        bad = 0
        for finding in service.findings(service.load()):
            bad += bool(finding.next_step)
            mark = "[red]bad[/red]" if finding.next_step else "[green]ok[/green] "
            console().print(mark, end=" ")
            console().print(finding.what, markup=False)
            if finding.next_step:
                console().print(f"    next: {finding.next_step}", markup=False)
        raise typer.Exit(1 if bad else 0)

    @cli.command(hidden=True)
    def revision(message: str) -> None:
        """For developers: write the migration from the tables as they are in the code."""
        from .migrations import make_revision  # noqa: PLC0415  # 10 MB that `serve` does not need

        settings = service.load()
        for url, package in service.migrations(settings):
            make_revision(url, package=package, message=message)

    return cli
