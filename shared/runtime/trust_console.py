"""What `wallet-trust` says and asks at the terminal: tables, sentences, passwords, key files."""

import os
from pathlib import Path
from typing import Literal

import typer
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..crypto.keys import PublicKey
from ..crypto.pkcs11 import open_token
from ..errors import InvalidInput, NotFound
from ..trust import Entity, Role, TrustList
from .clock import utc_now
from .keys import KeyDirectory
from .trust_enrol import EnrolmentRequest
from .trust_files import OnlineRole, write
from .trust_publish import Repository

console = Console()


def say(text: str) -> None:
    """A sentence for the person at the terminal."""
    console.print(escape(text))


def open_repository(folder: Path, root_keys: Path | None = None) -> Repository:
    """The folder, its passwords asked for when an act needs them."""
    return Repository(folder, passwords=password, root_keys=root_keys)


def read(path: Path) -> bytes:
    """The bytes of a file. Raises NotFound with the path."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}") from error


_asked: dict[str, bytes] = {}


def password(group: str, *, confirm: bool = False) -> bytes:
    """Of a group of key files: from the environment, a file it names, or the keyboard."""
    variable = f"WALLET_TRUST_{group.upper()}_PASSWORD"
    if file := os.environ.get(f"{variable}_FILE"):
        if not (found := read(Path(file)).strip()):
            raise InvalidInput(f"{file}, the password file of {variable}, is empty")
        return found
    if value := os.environ.get(variable):
        return value.encode()
    if group not in _asked:
        prompt = f"Password of the {group} key files"
        typed: str = typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm, err=True)
        _asked[group] = typed.encode()
    return _asked[group]


def new_password(group: str) -> bytes:
    """As `password`, typed twice: a key is being made."""
    return password(group, confirm=True)


def own_keys(folder: Path) -> KeyDirectory:
    """An agency's own keys, in the layout of the services' KEY_DIRECTORY.

    With WALLET_TRUST_PKCS11_MODULE and …_TOKEN new ones are made in that token; its PIN is the
    password of the group `pin`.
    """
    token = None
    if module := os.environ.get("WALLET_TRUST_PKCS11_MODULE"):
        label = os.environ.get("WALLET_TRUST_PKCS11_TOKEN", "")
        token = open_token(module, label, password("pin").decode())
    return KeyDirectory(folder, password("keys", confirm=not folder.exists()), token=token)


def public_key(path: Path) -> PublicKey:
    """A holder's public root key from its PEM file."""
    try:
        key = load_pem_public_key(read(path))
    except ValueError as error:
        raise InvalidInput(f"{path} is no public key file") from error
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise InvalidInput(f"{path} is no P-256 key")
    return PublicKey.from_crypto(key)


def parse_environment(text: str) -> Literal["test", "production"]:
    """The option --environment."""
    if text in {"test", "production"}:
        return "test" if text == "test" else "production"
    raise InvalidInput("--environment: test or production")


def parse_role(text: str) -> OnlineRole:
    """A role with a key on line."""
    roles: tuple[OnlineRole, ...] = ("targets", "snapshot", "timestamp")
    for role in roles:
        if role == text:
            return role
    raise InvalidInput(f"{text}: one of targets, snapshot, timestamp")


def settle(repository: Repository, draft: bytes, out: Path) -> None:
    """Say whether the new root is in force; if not, leave it for other holders to sign."""
    if repository.newest("root") == draft:
        say(f"The new root is in force. Copy {repository.public} to the web server.")
        return
    write(out, draft)
    say(
        f"More holders must sign. Give {out} to each for `wallet-trust sign-root`, then run "
        "`wallet-trust install-root`."
    )


def show_request(wanted: EnrolmentRequest) -> None:
    """What an agency asks for."""
    table = Table("Key", "Hosts", "Country", "Public key (thumbprint)", title="Enrolment request")
    for key in wanted.keys:
        thumbprint = key.public.thumbprint().hex()[:32]
        table.add_row(key.purpose, ", ".join(key.dns), key.country or "", thumbprint)
    console.print(table)
    console.print_json(data=wanted.entity)
    say(f"Fingerprint, to be compared with what the agency reads: {wanted.fingerprint}")


def show_expiries(repository: Repository) -> None:
    """How long each signed file counts; red is urgent."""
    table = Table("Signed file", "Version", "Counts until", title="In force")
    for role, version, end in repository.expiries():
        left = (end - utc_now()).days
        style = "red" if left < (1 if role == "timestamp" else 30) else ""
        table.add_row(role, str(version), f"{end:%Y-%m-%d %H:%M} UTC ({left} days)", style=style)
    console.print(table)


def show_list(trust_list: TrustList) -> None:
    """The entities, one a line."""
    table = Table("Id", "Name", "Anchors", "Issues", "Asks", "Until", title="Entities")
    for entity in trust_list.entities:
        table.add_row(*(escape(cell) for cell in _cells(entity)))
    console.print(table)
    if trust_list.is_test:
        say("This is a TEST list: every verdict reached with it is stamped TEST.")


def _cells(entity: Entity) -> tuple[str, ...]:
    end = f"{entity.valid_until:%Y-%m-%d}" if entity.valid_until else ""
    return (
        entity.id,
        entity.names.get("en") or next(iter(entity.names.values())),
        ", ".join(role for role in Role if entity.anchors_for(role)),
        "\n".join(issue.type for issue in entity.issues),
        "\n".join(ask.purpose for ask in entity.asks),
        end,
    )
