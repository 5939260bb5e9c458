"""Keys in a PKCS #11 token (SoftHSM): service keys that stay there, holder keys wrapped by it."""

import os
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from shared.crypto.authority import make_certificate
from shared.crypto.pkcs11 import Token, TokenHolderKeys, open_token
from shared.crypto.software import SoftwareHolderKeys
from shared.crypto.x509 import Profile
from shared.errors import InvalidInput, NotFound, Unavailable
from shared.runtime.keys import KeyDirectory
from shared.runtime.trust_console import own_keys
from shared.trust import Role
from tests.support.clock import NOW
from tests.support.components import missing
from tests.support.databases import sqlite_url
from tests.support.trust import PID, demo_trust
from tests.support.wallet import OVER_18, WalletWorld
from wallet_service.app import make_wallet
from wallet_service.settings import WalletSettings

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
PIN = "5678"
SETTINGS: dict[str, Any] = {
    "public_url": "https://wallet.example",
    "database_url": SecretStr("sqlite://"),
    "shares_database_url": SecretStr("sqlite://"),
    "rp_id": "wallet.example",
    "trust_url": "https://trust.example",
    "trust_root": Path("root.json"),
    "key_password": SecretStr("password"),
}


@pytest.fixture(scope="module")
def token(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Token]:
    """One token for this process: the library reads its configuration once."""
    if not MODULE.is_file():
        missing("no SoftHSM")
    folder = tmp_path_factory.mktemp("softhsm")
    (folder / "tokens").mkdir()
    configuration = folder / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {folder}/tokens\nlog.level = ERROR\n")
    os.environ["SOFTHSM2_CONF"] = str(configuration)
    make = ["softhsm2-util", "--init-token", "--free", "--label", "tests", "--so-pin", "1234"]
    subprocess.run([*make, "--pin", PIN], check=True, capture_output=True)
    yield open_token(str(MODULE), "tests", PIN)
    del os.environ["SOFTHSM2_CONF"]


@pytest.fixture(scope="module")
def store(token: Token) -> TokenHolderKeys:
    made = TokenHolderKeys(token)
    made.prepare()
    made.prepare()  # there is one already
    return made


def test_a_holder_key_leaves_the_token_only_wrapped(store: TokenHolderKeys) -> None:
    """S-30, S-31, W-44: AES-KWP, 80 bytes; what opens it is the token."""
    key, material = store.generate()
    assert len(material) == 64 + 80
    again = store.open(material)
    assert again.public == key.public
    again.public.verify(again.sign(b"one"), b"one")
    key.public.verify(key.sign(b"two"), b"two")
    assert again.kid == key.kid
    assert "wrapped" not in repr(again)


def test_a_wrapped_key_that_was_changed_does_not_open(store: TokenHolderKeys) -> None:
    """RFC 5649: its check value."""
    _, material = store.generate()
    changed = store.open(material[:-1] + bytes([material[-1] ^ 1]))
    with pytest.raises(Unavailable):
        changed.sign(b"data")


def test_a_scalar_is_no_key_of_a_token(store: TokenHolderKeys) -> None:
    """WALLET_SECURITY 2: a key made in software is not taken for one of the token."""
    _, scalar = SoftwareHolderKeys.generate()
    with pytest.raises(InvalidInput):
        store.open(scalar)


def test_many_threads_sign_at_once(store: TokenHolderKeys) -> None:
    """The library is not made for threads; the token takes one at a time."""
    _, material = store.generate()
    key = store.open(material)
    with ThreadPoolExecutor(8) as pool:
        signatures = list(pool.map(lambda n: key.sign(b"%d" % n), range(40)))
    for number, signature in enumerate(signatures):
        key.public.verify(signature, b"%d" % number)


def test_software_in_the_shape_of_a_token_is_never_certified(store: TokenHolderKeys) -> None:
    """WALLET_SECURITY 5, W-33: SoftHSM claims no level."""
    assert not store.certifiable
    assert not SoftwareHolderKeys.certifiable


def test_service_keys_of_all_three_services_live_in_the_token(token: Token, tmp_path: Path) -> None:
    """C-10, S-30: by one setting; certificates lie in files as ever."""
    keys = KeyDirectory(tmp_path, b"password", token=token)
    for tenant, purpose in (
        ("registry", "credential"),
        ("counter", "access"),
        ("provider", "status"),
    ):
        made = keys.create(tenant, purpose)
        again = KeyDirectory(tmp_path, b"password", token=token).signer(tenant, purpose)
        again.public.verify(again.sign(b"data"), b"data")
        assert made.public == again.public
        assert b"PRIVATE" not in (tmp_path / tenant / f"{purpose}.pem").read_bytes()
        with pytest.raises(InvalidInput, match="exists"):
            keys.create(tenant, purpose)
    certified = demo_trust().provider.authorities[Role.STATUS]
    leaf = make_certificate(
        subject="Provider",
        public=keys.signer("provider", "status").public,
        issuer_certificate=certified.certificate,
        issuer_key=certified.key,
        profile=Profile.STATUS,
        now=NOW,
        days=30,
        dns=["wallet.example"],
    )
    assert keys.install("provider", "status", [leaf]).certificates == (leaf,)


def test_an_agency_makes_its_keys_in_the_token_when_it_asks_to_be_enrolled(
    token: Token, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DESIGN 4: `wallet-trust request` with the token named in the environment."""
    assert token
    for name, value in (
        ("PKCS11_MODULE", str(MODULE)),
        ("PKCS11_TOKEN", "tests"),
        ("PIN_PASSWORD", PIN),
        ("KEYS_PASSWORD", "password"),
    ):
        monkeypatch.setenv(f"WALLET_TRUST_{name}", value)
    key = own_keys(tmp_path).ensure("enrolled", "credential")
    key.public.verify(key.sign(b"request"), b"request")
    assert (tmp_path / "enrolled" / "credential.pem").read_bytes().startswith(b"-----BEGIN PUBLIC")


def test_a_key_in_a_token_is_not_opened_without_it(token: Token, tmp_path: Path) -> None:
    """S-30."""
    KeyDirectory(tmp_path, b"password", token=token).create("office", "credential")
    with pytest.raises(InvalidInput, match="lives in a token"):
        KeyDirectory(tmp_path, b"password").signer("office", "credential")


def test_a_wrong_token_or_a_missing_key_is_said_so(token: Token) -> None:
    """DESIGN 10: everything wrong is said at start."""
    with pytest.raises(InvalidInput, match="no such module or token"):
        Token(module=str(MODULE), label="another", pin=PIN)
    with pytest.raises(NotFound):
        token.find("nobody/credential", TokenHolderKeys(token).generate()[0].public)


def test_a_wallet_with_a_token_receives_and_presents(
    store: TokenHolderKeys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W-44: real keys, real wraps, both locks: K_copy opens the wrap, the token the key."""
    monkeypatch.setattr(KeyDirectory, "holder_keys", lambda _: store)
    world = WalletWorld.make(tmp_path, sqlite_url(tmp_path), sqlite_url(tmp_path), copies=2)
    try:
        phone = world.phone_with(PID)
        assert phone.approve(phone.resolve(world.verifier.ask(OVER_18))).outcome == "shared"
        assert world.wallet.provider.keystore == "pkcs11"
    finally:
        world.close()


@pytest.mark.parametrize(
    "said",
    [
        {"key_storage_level": "iso_18045_high"},
        {"key_storage_certification": "https://token.example/certificate"},
    ],
    ids=["level", "certificate"],
)
def test_a_level_is_never_said_of_software(tmp_path: Path, said: dict[str, Any]) -> None:
    """WALLET_SECURITY 5: refused at start, not at the first attestation."""
    settings = WalletSettings(**SETTINGS, key_directory=tmp_path, **said)
    nothing: dict[str, Any] = dict.fromkeys(
        ("database", "shares", "trust", "fetcher", "clock", "random_bytes")
    )
    with pytest.raises(InvalidInput, match="key_storage_level"):
        make_wallet(settings, keys=KeyDirectory(tmp_path, b"password"), **nothing)


def test_module_and_pin_belong_together(tmp_path: Path) -> None:
    """DESIGN 10."""
    with pytest.raises(ValueError, match="belong together"):
        WalletSettings(**SETTINGS, key_directory=tmp_path, pkcs11_pin=SecretStr(PIN))
    keys = KeyDirectory.from_settings(WalletSettings(**SETTINGS, key_directory=tmp_path))
    assert keys.holder_keys().kind == "software"
