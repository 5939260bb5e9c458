"""`wallet-demo`: everything on this machine, the story, and then links to try it by hand."""

import json
import shutil
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer
from rich.console import Console

from ..errors import ExpectedError
from .agencies import Refused
from .door import Door, qr
from .openid import DemoProvider
from .processes import free_port
from .story import CITIZEN, Story, StoryFailed
from .system import COUNTER, QUERIES, REGISTRY, System


class Login(StrEnum):
    """How citizens say who they are at the registry."""

    DESK = "desk"
    OIDC = "oidc"


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
# Revocations are to be seen at once here; in production lists live for minutes.
_NOTICED = ("ISSUER_STATUS_TTL_MAX", "VERIFIER_STATUS_TTL_MIN", "WALLET_STATUS_TTL_MIN")
_SETTINGS = dict.fromkeys(_NOTICED, "1")


@app.command()
def demo(
    *,
    check: Annotated[
        bool, typer.Option("--check", help="End by itself after the story; exit code 0 if it held.")
    ] = False,
    folder: Annotated[
        Path, typer.Option(help="Where databases, keys and logs go; made anew each time.")
    ] = Path(".demo"),
    login: Annotated[
        Login,
        typer.Option(
            help="How the citizen signs in at the registry: by a clerk's code (desk), or at an "
            "OpenID Provider (oidc; needs node and `npm ci` in tests/interop)."
        ),
    ] = Login.DESK,
) -> None:
    """Start the three services with invented citizens, tell the story, stay up until Ctrl-C.

    The folder's state.json says how other programs can drive the running demo.
    """
    console = Console(highlight=False, soft_wrap=True)
    if folder.exists() and not (folder / "state.json").exists() and any(folder.iterdir()):
        console.print(f"{folder} is not empty and not a demo's: choose another --folder.")
        raise typer.Exit(2)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "state.json").write_text("{}")
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        _run(console, folder.resolve(), login=login, check=check)
    except (StoryFailed, Refused, ExpectedError, RuntimeError, httpx2.HTTPError) as error:
        console.print(f"[red]The demo stopped:[/red] {error}")
        console.print(f"What the services said: {folder / 'logs'}")
        raise typer.Exit(1) from error
    except KeyboardInterrupt:
        console.print("Stopped.")


def _run(console: Console, folder: Path, *, login: Login, check: bool) -> None:
    provider, registry = None, {}
    if login is Login.OIDC:
        provider = DemoProvider(f"http://localhost:{free_port(8500)}", CITIZEN)
        registry["login"] = provider.login(folder / "login.secret")
    system = System(folder, settings=_SETTINGS, registry=registry)
    with console.status("Making keys, the trust list and 1,200 invented citizens; starting …"):
        system.__enter__()
    try:
        if provider is not None:
            provider.start(system.processes, redirect_uri=f"{system.issuer}/login-return")
        with httpx2.Client(timeout=30) as http:
            _write_state(system, http)
            story = Story(system, console, http, provider)
            story.tell()
            with _door(console, story) as door:
                _invite(console, system, door)
                if check:
                    story.try_by_hand(door)
                    console.print("[green]The story held.[/green]")
                    return
                while (ended := system.processes.ended()) is None:
                    time.sleep(0.5)
        console.print(f"[red]{ended} ended[/red]; so everything ends. See {folder / 'logs'}.")
        raise typer.Exit(1)
    finally:
        system.__exit__(None, None, None)


def _door(console: Console, story: Story) -> Door:
    return Door(
        url=f"http://localhost:{free_port(8600)}",
        wallet=story.system.urls["wallet_service"],
        registry=story.registry,
        counter=story.counter,
        command=story.system.command,
        subject=CITIZEN,
        say=lambda line: console.print(f"  {line}", markup=False),
    )


def _invite(console: Console, system: System, door: Door) -> None:
    desk, counter = door.clerk_links
    console.print("\n[bold]Now you.[/bold] Open these in a browser of this machine.")
    for link, what in (
        (f"{system.urls['wallet_service']}/", "Citizen: begin your wallet with a passkey."),
        (door.offer_link, "Citizen: take documents; the code of the letter is said here."),
        (door.counter_link, "Citizen: a counter asks whether you are over 18; say yes or no."),
        (desk, f"Registry's clerk: find {CITIZEN}, hand out an offer, or revoke."),
        (counter, "Counter's clerk: choose a desk and a question, show its code."),
    ):
        console.print(f"  [bold]{link}[/bold]\n      {what}")
    console.print(
        "The offer, for a phone's camera (the phone has to reach the ports of this\n"
        "machine as its own localhost, as `adb reverse` does):"
    )
    console.out(qr(door.offer_link), highlight=False)
    console.print(
        "Everything is up until Ctrl-C. For programs: each service describes its API at\n"
        f"/api/v1/openapi.json; URLs and API clients stand in\n{system.folder / 'state.json'}"
    )


def _write_state(system: System, http: httpx2.Client) -> None:
    metadata = f"{system.urls['issuer_service']}/.well-known/openid-credential-issuer/{REGISTRY}"
    trust_list = json.loads((system.folder / "trust" / "trust-list.json").read_text())
    state: dict[str, Any] = {
        "urls": {
            "issuer": system.urls["issuer_service"],
            "wallet": system.urls["wallet_service"],
            "verifier": system.urls["verifier_service"],
            "trust_list": system.urls["trust"],
        },
        "credential_issuer": system.issuer,
        "credential_issuer_metadata": metadata,
        "credential_configuration_ids": list(
            http.get(metadata).json()["credential_configurations_supported"]
        ),
        "apis": {
            role: {
                "base": f"{system.urls[module]}/api/v1/{tenant}",
                "token_endpoint": f"{system.urls[module]}/api/v1/{tenant}/token",
                "client_id": system.clients[module].client_id,
                "client_secret": system.clients[module].client_secret,
            }
            for role, module, tenant in (
                ("issuer", "issuer_service", REGISTRY),
                ("verifier", "verifier_service", COUNTER),
            )
        },
        "subjects": [f"AV-{number:06d}" for number in range(14, 34)],
        "queries": QUERIES,
        "trust": {
            "url": system.urls["trust"],
            "root": str(system.folder / "root.json"),
            "anchors": {entity["id"]: entity["anchors"] for entity in trust_list["entities"]},
        },
        "logs": str(system.folder / "logs"),
        "processes": {
            name: system.processes.pid(name)
            for name in ("issuer_service", "wallet_service", "verifier_service", "trust")
        },
    }
    path = system.folder / "state.json"
    path.chmod(0o600)  # the API clients' secrets stand in it
    path.write_text(json.dumps(state, indent=2, ensure_ascii=False) + "\n")


def _as_interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> None:
    """The console command."""
    app()


if __name__ == "__main__":
    main()
