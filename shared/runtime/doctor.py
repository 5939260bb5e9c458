"""What `doctor` looks at: databases, secret keys, signing keys and their certificates."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ..crypto.x509 import thumbprint, validity
from ..errors import ExpectedError
from .database import Database
from .keys import KeyDirectory

_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Finding:
    """What there is to say of one thing; `next_step` is empty if it is well."""

    what: str
    next_step: str = ""


class Wrong(Exception):
    """The counterpart would refuse because of *field*, a setting, a file or a place in one."""

    def __init__(self, field: str, problem: object, step: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.step = step


@contextmanager
def blaming(field: str, step: str) -> Iterator[None]:
    """What the library refuses inside is the fault of *field*.

    Raises:
        Wrong: with the library's reason.
    """
    try:
        yield
    except ExpectedError as error:
        raise Wrong(field, error, step) from error


def first_wrong(name: str, play: Callable[[], str]) -> Finding:
    """What *play*, which acts as the counterpart does, finds first; or what it says if all is well.

    Args:
        name: of what is examined.
        play: raises Wrong at the first wrong field.
    """
    try:
        return Finding(f"{name}: {play()}")
    except Wrong as wrong:
        return Finding(f"{name}: {wrong}", wrong.step)


def database(url: str, package: str) -> Iterator[Finding]:
    """Whether the database answers and has the tables of this version."""
    from .migrations import is_current  # noqa: PLC0415  # 10 MB that no request needs

    found = Database(url)
    try:
        if not found.ping():
            step = "Start the database, or correct the URL and the password."
            yield Finding(f"database of {package}: does not answer", step)
        elif not is_current(url, package=package):
            yield Finding(f"database of {package}: has not the tables it needs", "Run migrate.")
        else:
            yield Finding(f"database of {package}: answers and is up to date")
    finally:
        found.close()


def keys(directory: KeyDirectory, secrets: Sequence[str]) -> Iterator[Finding]:
    """Whether every key opens, has a certificate, and how long that lives."""
    for name in secrets:
        try:
            directory.secret(name)
        except ExpectedError as error:
            yield Finding(str(error), "Run migrate, with the right KEY_PASSWORD.")
            return
    for tenant in directory.tenants():
        for purpose in directory.purposes(tenant):
            yield _key(directory, tenant, purpose)


def _key(directory: KeyDirectory, tenant: str, purpose: str) -> Finding:
    name = f"key {tenant}/{purpose}"
    try:
        certificates = directory.signer(tenant, purpose).certificates
    except ExpectedError as error:
        return Finding(f"{name}: {error}", "Check KEY_PASSWORD.")
    if not certificates:
        return Finding(f"{name}: has no certificate", "Use wallet-trust request, enrol, install.")
    now = datetime.now(UTC)  # noqa: TID251  # a command of its own: there is no context here
    _, end = validity(certificates[0])
    what = f"{name}: certificate {thumbprint(certificates[0])[:16]} valid until {end:%F}"
    soon = end - now < _SOON
    return Finding(what, "Renew it: wallet-trust request, enrol, install." if soon else "")
