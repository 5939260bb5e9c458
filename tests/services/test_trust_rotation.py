"""Rotation: keys change, services that slept through it catch up, holders sign on their own."""

from datetime import timedelta
from pathlib import Path

import pytest

from shared.crypto.software import SoftwareKey
from shared.errors import Conflict, InvalidInput, Untrusted
from shared.runtime.trust_files import KeyGroup, Lifetimes, write_key
from shared.runtime.trust_list import TrustListMissing
from shared.runtime.trust_publish import Repository
from tests.support.clock import NOW
from tests.support.tuf import Publisher, passwords, published


@pytest.fixture
def publisher(tmp_path: Path) -> Publisher:
    return published(tmp_path)


def root_ids(publisher: Publisher) -> list[str]:
    return list(publisher.repository.root().roles["root"].keyids)


def test_an_old_client_catches_up_through_several_roots(publisher: Publisher) -> None:
    """TUF 5.3: root 1 to root 5, each signed by the one before, though root 1 expired long ago."""
    old = publisher.initial_root
    for _ in range(2):
        publisher.clock.advance(days=300)
        publisher.repository.rotate(["targets", "snapshot", "timestamp"], publisher.clock())
        publisher.repository.rotate_root(publisher.clock(), make=1, retire=root_ids(publisher))
    publisher.clock.advance(days=200)
    publisher.repository.publish(publisher.clock())
    client = publisher.client(initial_root=old)
    assert publisher.repository.root().version == 5
    assert client.current().version == publisher.repository.version("targets")
    assert [n for n in publisher.requested if n.endswith("root.json")] == [
        f"metadata/{version}.root.json" for version in (2, 3, 4, 5, 6)
    ]


def test_a_running_client_follows_a_rotation_of_online_keys(publisher: Publisher) -> None:
    client = publisher.client()
    client.current()
    publisher.repository.rotate(["targets", "snapshot", "timestamp"], publisher.clock())
    client.refresh()
    assert client.current().version == 3


def test_what_a_retired_online_key_signs_is_refused(publisher: Publisher, tmp_path: Path) -> None:
    """A stolen timestamp key is worth nothing after its rotation."""
    client = publisher.client()
    client.current()
    stolen = publisher.snapshot_of_today(tmp_path / "stolen")
    publisher.repository.rotate(["timestamp"], publisher.clock())
    client.refresh()
    forged = (stolen / "metadata" / "timestamp.json").read_bytes()
    publisher.changed["metadata/timestamp.json"] = forged
    with pytest.raises(Untrusted, match="Unsigned"):
        client.refresh()
    with pytest.raises(TrustListMissing):
        publisher.client().current()


def test_recovery_from_a_stolen_timestamp_key_that_ran_ahead(publisher: Publisher) -> None:
    """TUF 5.3.11: versions far ahead under the stolen key do not lock services out for ever."""
    client = publisher.client()
    client.current()
    repository = publisher.repository
    for _ in range(5):
        repository.renew(publisher.clock())
    client.refresh()
    ahead = repository.version("timestamp")
    stamp = repository.metadata / "timestamp.json"
    stamp.unlink()  # the publisher restores its backup of before the theft
    repository.rotate(["timestamp"], publisher.clock())
    assert repository.version("timestamp") < ahead
    client.refresh()
    assert client.current().version == repository.version("targets")


def test_a_root_signed_by_too_few_is_refused_by_services(tmp_path: Path) -> None:
    """Threshold: 2 of 3 holders."""
    publisher = published(tmp_path, holders=3, threshold=2)
    keys = sorted((publisher.repository.path / "root").iterdir())
    for path in keys[1:]:
        path.rename(tmp_path / path.name)
    draft = publisher.repository.rotate(["timestamp"], publisher.clock())
    assert publisher.repository.root().version == 1
    with pytest.raises(Conflict, match="more signatures"):
        publisher.repository.install_root(draft)
    publisher.changed["metadata/2.root.json"] = draft
    with pytest.raises(Untrusted, match="Unsigned"):
        publisher.client().refresh()


def test_holders_sign_one_after_the_other_on_their_own_machines(tmp_path: Path) -> None:
    """wallet-trust rotate, sign-root, install-root, publish: only files travel."""
    publisher = published(tmp_path, holders=3, threshold=2)
    repository = publisher.repository
    holders = []
    for path in sorted((repository.path / "root").iterdir()):
        folder = tmp_path / path.stem
        folder.mkdir()
        path.rename(folder / path.name)
        holders.append(Repository(repository.path, passwords=passwords, root_keys=folder))
    draft = repository.rotate(["timestamp"], publisher.clock())
    draft = holders[0].sign_root(draft)
    with pytest.raises(Conflict):
        repository.install_root(draft)
    draft = holders[2].sign_root(draft)
    repository.install_root(draft)
    repository.publish(publisher.clock())
    assert publisher.client().current().version == 3


def test_a_holder_joins_with_a_key_of_their_own_and_another_leaves(publisher: Publisher) -> None:
    newcomer = SoftwareKey.generate()
    leaving = root_ids(publisher)
    repository = publisher.repository
    draft = repository.rotate_root(publisher.clock(), add=[newcomer.public], retire=leaving)
    assert repository.root().version == 1
    own = repository.path / "newcomer"
    write_key(own / "mine.pem", newcomer, b"password of root")
    draft = Repository(repository.path, passwords=passwords, root_keys=own).sign_root(draft)
    repository.install_root(draft)
    assert root_ids(publisher) != leaving
    repository.publish(publisher.clock())
    assert publisher.client().current().version == 3


def test_a_root_cannot_lose_so_many_holders_that_its_threshold_fails(publisher: Publisher) -> None:
    with pytest.raises(InvalidInput, match="threshold"):
        publisher.repository.rotate_root(publisher.clock(), retire=root_ids(publisher))
    with pytest.raises(InvalidInput, match="threshold"):
        publisher.repository.rotate_root(publisher.clock(), threshold=2)


def test_a_root_that_skips_a_version_is_not_installed(publisher: Publisher) -> None:
    draft = publisher.repository.rotate(["timestamp"], publisher.clock())
    with pytest.raises(Conflict, match="does not follow"):
        publisher.repository.install_root(draft)
    with pytest.raises(InvalidInput):
        publisher.repository.install_root(b"{}")
    timestamp = publisher.repository.newest("timestamp")
    with pytest.raises(InvalidInput):
        publisher.repository.install_root(timestamp)


def test_the_daily_renewal_needs_the_online_keys_alone(publisher: Publisher) -> None:
    """The machine that renews holds nothing that could change the list."""
    opened: list[KeyGroup] = []

    def online_only(group: KeyGroup) -> bytes:
        opened.append(group)
        return passwords(group)

    renewing = Repository(publisher.repository.path, passwords=online_only)
    for _ in range(40):
        publisher.clock.advance(days=1)
        renewing.renew(publisher.clock())
    assert set(opened) == {"online"}
    assert publisher.client().current().version == 2


def test_expired_roots_and_lists_are_stale(tmp_path: Path) -> None:
    lifetimes = Lifetimes(root=timedelta(days=1))
    publisher = published(tmp_path, lifetimes=lifetimes)
    client = publisher.client()
    client.current()
    publisher.clock.advance(days=1)
    with pytest.raises(Exception, match=r"root\.json is expired"):
        client.refresh()
    assert client.state().reason == "stale"


def test_key_files_are_encrypted_and_readable_by_their_owner_only(publisher: Publisher) -> None:
    """S-30."""
    files = list(publisher.repository.path.rglob("*.pem"))
    assert len(files) == 4
    for path in files:
        assert path.stat().st_mode & 0o077 == 0
        assert b"ENCRYPTED" in path.read_bytes()
        with pytest.raises(InvalidInput):
            SoftwareKey.from_pem(path.read_bytes(), password=b"wrong")
    with pytest.raises(Conflict, match="exists already"):
        write_key(files[0], SoftwareKey.generate(), b"x")


def test_a_ceremony_wants_an_empty_folder_and_a_possible_threshold(tmp_path: Path) -> None:
    def create(name: str, *, holders: int = 1, threshold: int = 1) -> None:
        Repository.create(
            tmp_path / name,
            passwords=passwords,
            now=NOW,
            environment="test",
            holders=holders,
            threshold=threshold,
        )

    create("here")
    with pytest.raises(Conflict, match="not empty"):
        create("here")
    with pytest.raises(InvalidInput, match="threshold"):
        create("there", holders=2, threshold=3)
