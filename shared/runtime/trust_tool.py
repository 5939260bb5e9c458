"""`wallet-trust`: make, fill, publish and check a trust list, from the command line.

Who does what: the *supervisor* runs init, enrol, revoke, withdraw, publish and the rotations; a
daily job runs renew; an *agency* runs request and accept. Only files travel between them, so the
supervisor's machine may stay off line. Specification: DESIGN section 4; docs/trust-list.md shows
the whole path.
"""

import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.console import Console
from rich.markup import escape

from ..crypto.software import SoftwareKey
from ..crypto.x509 import parse_pem, thumbprint
from ..encoding import parse_json_object
from ..errors import ExpectedError
from ..trust import TrustList
from . import logs
from .clock import utc_now
from .trust_console import (
    new_password,
    open_repository,
    own_keys,
    parse_environment,
    parse_role,
    public_key,
    read,
    say,
    settle,
    show_expiries,
    show_list,
    show_request,
)
from .trust_enrol import ROLES, enrol, fingerprint, make_request, read_request, read_response
from .trust_files import write, write_key
from .trust_list import TrustListClient
from .trust_publish import Repository

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode="rich")
MAX_BYTES = 5_000_000

Folder = Annotated[Path, typer.Argument(help="The trust list folder that `init` made.")]
RootKeys = Annotated[
    Path | None, typer.Option(help="Where the root keys are, if not in FOLDER/root.")
]
KeyFolder = Annotated[Path, typer.Option("--keys", help="The service's KEY_DIRECTORY.")]
Tenant = Annotated[str, typer.Option(help="The tenant, a folder in the key directory.")]
Out = Annotated[Path, typer.Option(help="The file to write.")]


@app.callback()
def _about() -> None:
    """Say who may issue and who may ask for what: the trust list.

    Passwords of key files come from WALLET_TRUST_ROOT_PASSWORD, …_LIST_PASSWORD, …_ONLINE_PASSWORD
    and (an agency's own keys) …_KEYS_PASSWORD, each also with _FILE and a path, or are asked for.
    """


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="A new folder.")],
    environment: Annotated[str, typer.Option(help="test or production.")] = "test",
    holders: Annotated[int, typer.Option(help="How many root keys to make.")] = 3,
    threshold: Annotated[int, typer.Option(help="How many must sign a new root.")] = 2,
    root_keys: RootKeys = None,
) -> None:
    """Ceremony: make all keys and publish an empty list."""
    repository = Repository.create(
        folder,
        passwords=new_password,
        now=utc_now(),
        environment=parse_environment(environment),
        holders=holders,
        threshold=threshold,
        root_keys=root_keys,
    )
    say(
        f"The trust list stands in {folder}. Serve {repository.public} by any web server, give "
        f"{repository.metadata / '1.root.json'} to every service (TRUST_ROOT), and move the root "
        f"keys in {root_keys or folder / 'root'} to media that are kept off line."
    )
    show_expiries(repository)


@app.command()
def request(
    *,
    keys: KeyFolder,
    tenant: Tenant,
    entity: Annotated[Path, typer.Option(help="JSON: names, contacts, issues, asks …")],
    purpose: Annotated[list[str], typer.Option(help=f"Of each key: {', '.join(ROLES)}.")],
    dns: Annotated[list[str], typer.Option(help="Host name of the service.")],
    out: Out = Path("enrolment-request.json"),
    country: Annotated[str | None, typer.Option(help="Two letters; mdocs need it.")] = None,
    entity_id: Annotated[str | None, typer.Option(help="If you are listed already.")] = None,
) -> None:
    """Agency: make the missing keys and write the request for the supervisor."""
    folder = own_keys(keys)
    own = {each: folder.ensure(tenant, each) for each in purpose}
    data = make_request(
        entity=parse_json_object(read(entity), max_bytes=MAX_BYTES),
        keys=own,
        dns=dns,
        now=utc_now(),
        country=country,
        entity_id=entity_id,
    )
    write(out, data)
    say(f"Send {out} to the supervisor and read them this fingerprint: {fingerprint(data)}")


@app.command()
def inspect(file: Annotated[Path, typer.Argument(help="An enrolment request.")]) -> None:
    """Supervisor: what a request asks for, and the fingerprint to compare by telephone."""
    show_request(read_request(read(file)))


@app.command("enrol")
def enrol_(
    folder: Folder,
    file: Annotated[Path, typer.Argument(help="An enrolment request.")],
    out: Out = Path("enrolment-response.json"),
    days: Annotated[int, typer.Option(help="How long the certificates count.")] = 730,
) -> None:
    """Supervisor: certify an agency's keys and put its entry into the working copy."""
    repository = open_repository(folder)
    wanted = read_request(read(file))
    show_request(wanted)
    response = enrol(repository, wanted, now=utc_now(), days=days)
    write(out, response)
    entity_id = parse_json_object(response, max_bytes=MAX_BYTES)["entity_id"]
    say(
        f"Entered as {entity_id}. Send {out} back; look over {folder / 'trust-list.json'}; then "
        f"`wallet-trust publish {folder}` puts it in force."
    )


@app.command()
def accept(
    file: Annotated[Path, typer.Argument(help="The supervisor's response.")],
    keys: KeyFolder,
    tenant: Tenant,
) -> None:
    """Agency: check the certificates against the own keys and put them beside these."""
    folder = own_keys(keys)
    own = {each: folder.signer(tenant, each).public for each in folder.purposes(tenant)}
    entity_id, chains = read_response(read(file), keys=own)
    for purpose, chain in chains.items():
        folder.install(tenant, purpose, chain)
    say(f"You are {entity_id}. Certificates written: {', '.join(sorted(chains))}.")


@app.command()
def put(folder: Folder, file: Annotated[Path, typer.Argument(help="One entity as JSON.")]) -> None:
    """Supervisor: add or replace an entry as written, with foreign anchors or pinned leaves."""
    open_repository(folder).put_entity(parse_json_object(read(file), max_bytes=MAX_BYTES))
    say(f"In the working copy. `wallet-trust publish {folder}` puts it in force.")


@app.command()
def revoke(
    folder: Folder,
    entity_id: Annotated[str, typer.Argument(help="ent_…")],
    certificate: Annotated[str, typer.Argument(help="Its file, or its SHA-256 in hexadecimal.")],
) -> None:
    """Supervisor: this certificate counts no more."""
    path = Path(certificate)
    found = thumbprint(parse_pem(path.read_bytes())[0]) if path.is_file() else certificate
    open_repository(folder).revoke(entity_id, found)
    say(f"{found} in the working copy. `wallet-trust publish {folder}` puts it in force.")


@app.command()
def withdraw(
    folder: Folder,
    entity_id: Annotated[str, typer.Argument(help="ent_…")],
    until: Annotated[datetime | None, typer.Option(help="UTC; now if not given.")] = None,
) -> None:
    """Supervisor: the entity issues and asks no more; what it issued before stays believable."""
    end = until.replace(tzinfo=UTC) if until else utc_now()
    open_repository(folder).withdraw(entity_id, until=end)
    say(f"In the working copy. `wallet-trust publish {folder}` puts it in force.")


@app.command()
def publish(folder: Folder) -> None:
    """Supervisor: sign the working copy and put it in force."""
    repository = open_repository(folder)
    version = repository.publish(utc_now())
    say(f"Version {version} is in force. Copy {repository.public} to the web server.")
    show_expiries(repository)


@app.command()
def renew(folder: Folder) -> None:
    """Daily job: say that the list is still the newest. Needs the online keys alone."""
    until = open_repository(folder).renew(utc_now())
    say(f"Services hold on to the list until {until:%Y-%m-%d %H:%M} UTC. Run this daily.")


@app.command()
def rotate(
    folder: Folder,
    role: Annotated[list[str], typer.Argument(help="targets, snapshot, timestamp.")],
    root_keys: RootKeys = None,
    out: Out = Path("root-draft.json"),
) -> None:
    """Ceremony: replace online keys, after a theft or every year."""
    repository = open_repository(folder, root_keys)
    settle(repository, repository.rotate([parse_role(each) for each in role], utc_now()), out)


@app.command()
def rotate_root(
    *,
    folder: Folder,
    root_keys: RootKeys = None,
    retire: Annotated[list[str] | None, typer.Option(help="A key id, or its beginning.")] = None,
    add: Annotated[list[Path] | None, typer.Option(help="A holder's public key file.")] = None,
    make: Annotated[int, typer.Option(help="How many keys to make here.")] = 0,
    threshold: Annotated[int | None, typer.Option(help="How many must sign from then on.")] = None,
    out: Out = Path("root-draft.json"),
) -> None:
    """Ceremony: replace, add or retire root keys."""
    repository = open_repository(folder, root_keys)
    draft = repository.rotate_root(
        utc_now(),
        retire=retire or (),
        add=[public_key(path) for path in add or ()],
        make=make,
        threshold=threshold,
    )
    settle(repository, draft, out)


@app.command()
def root_key(
    file: Annotated[Path, typer.Argument(help="The new key file, ending in .pem.")],
) -> None:
    """Holder: make a root key of your own; its public half is for `rotate-root --add`."""
    key = SoftwareKey.generate()
    write_key(file, key, new_password("root"))
    public = key.public.to_crypto().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write(file.with_suffix(".pub"), public)
    say(f"Keep {file} to yourself and send {file.with_suffix('.pub')} to the supervisor.")


@app.command()
def sign_root(
    folder: Folder,
    draft: Annotated[Path, typer.Argument(help="root-draft.json")],
    root_keys: RootKeys = None,
) -> None:
    """Holder: add your signature to a new root."""
    write(draft, open_repository(folder, root_keys).sign_root(read(draft)))
    say(f"Signed. Pass {draft} on; the last one runs `wallet-trust install-root`.")


@app.command()
def install_root(
    folder: Folder, draft: Annotated[Path, typer.Argument(help="root-draft.json")]
) -> None:
    """Supervisor: put a new root in force once enough holders have signed it."""
    open_repository(folder).install_root(read(draft))
    say(f"In force. Now `wallet-trust publish {folder}`: new keys must sign what old ones did.")


@app.command()
def show(folder: Folder) -> None:
    """What stands in the working copy, and how long the signed files count."""
    repository = open_repository(folder)
    show_list(TrustList.parse(json.dumps(repository.document()).encode(), version=0))
    show_expiries(repository)


@app.command()
def verify(
    folder: Annotated[Path, typer.Argument(help="What is served: the folder `public`, or a copy.")],
    root: Annotated[Path, typer.Option(help="The root.json that services were given.")],
) -> None:
    """Check published files as a service would, from its initial root."""
    place = folder.resolve().as_uri()

    def fetch(url: str) -> bytes:
        return read(folder / url.removeprefix(place + "/"))

    client = TrustListClient(
        url=place,
        initial_root=read(root),
        fetch=fetch,
        clock=utc_now,
        random_bytes=os.urandom,
    )
    client.refresh()
    show_list(client.current())
    state = client.state()
    say(f"Version {state.version} verifies and counts until {state.until:%Y-%m-%d %H:%M} UTC.")


def main() -> None:
    """The console command: expected failures in a sentence, anything else as the bug it is."""
    logs.configure(service="wallet-trust", level="CRITICAL")  # people read sentences here
    try:
        app()
    except ExpectedError as error:
        Console(stderr=True).print(f"[red]{escape(str(error))}[/red]")
        sys.exit(1)


if __name__ == "__main__":
    main()
