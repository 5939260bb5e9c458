"""The wallet as it is run: migrations, settings, readiness, clean-up, words."""

from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from shared.demo.phone import Refused
from shared.runtime.migrations import is_current, migrate, pending_changes
from shared.runtime.settings import SettingsInvalid, load_settings
from shared.trust import Role
from tests.support.trust import PID
from tests.support.wallet import IDENTIFIER, OVER_18, TX_CODE, WalletWorld, _signer
from wallet_service import leaving, letters, registering, wording
from wallet_service.cleaning import clean
from wallet_service.settings import WalletSettings
from wallet_service.shares.tables import shares
from wallet_service.tables import (
    approvals,
    issuances,
    presentations,
    sessions,
    used_challenges,
    wallets,
)
from wallet_service.vault import destroy_share


@pytest.mark.parametrize("package", ["wallet_service", "wallet_service.shares"])
def test_migrations_make_the_tables_of_the_code(
    new_database_url: Callable[[], str], package: str
) -> None:
    """WALLET_SECURITY 2: two stores, each with its own migrations; DESIGN "Decided"."""
    url = new_database_url()
    assert not is_current(url, package=package)
    migrate(url, package=package)
    migrate(url, package=package)
    assert is_current(url, package=package)
    assert pending_changes(url, package=package) == []


@pytest.fixture
def world(new_database_url: Callable[[], str], tmp_path: Path) -> Any:
    made = WalletWorld.make(tmp_path, new_database_url(), new_database_url())
    yield made
    made.close()


def test_what_is_over_is_erased(world: WalletWorld) -> None:
    """S-03: everything short-lived has an expiry and a clean-up."""
    phone = world.phone_with(PID)
    phone.close()
    phone.open()
    consent = phone.resolve(world.verifier.ask(OVER_18))
    phone._post(f"/presentations/{consent.id}/select", {})
    tables = (sessions, used_challenges, approvals, issuances, presentations)

    def counts() -> list[int]:
        with world.wallet.database.reading() as connection:
            return [
                connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in tables
            ]

    clean(world.wallet, now=world.clock())
    assert all(counts())
    clean(world.wallet, now=world.clock() + timedelta(days=3))
    assert counts() == [0, 0, 0, 0, 0]
    phone.open()
    assert len(phone.cards()) == 1


def test_a_deletion_that_was_cut_off_is_finished(
    world: WalletWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WALLET_SECURITY 6: S destroyed first; the rows do not stay behind."""
    phone = world.phone_with(PID)
    with monkeypatch.context() as patch:
        patch.setattr(leaving, "erase", destroy_share)
        phone.delete_wallet()

    def left() -> int:
        count = select(func.count()).select_from(wallets).where(wallets.c.id == phone.wallet)
        with world.wallet.database.reading() as connection:
            return int(connection.execute(count).scalar_one())

    assert left() == 1
    clean(world.wallet, now=world.clock())
    assert left() == 0


def test_a_registration_that_was_cut_off_leaves_nothing(
    world: WalletWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-03: its share goes as well, though it lies in the other store; no other share does."""
    phone = world.new_phone()

    def died(*_: object, **__: object) -> None:
        raise SystemError

    def left() -> tuple[int, int]:
        found = []
        for database, table in ((world.wallet.database, wallets), (world.wallet.shares, shares)):
            with database.reading() as connection:
                count = connection.execute(select(func.count()).select_from(table)).scalar_one()
                found.append(int(count))
        return found[0], found[1]

    with monkeypatch.context() as patch:
        patch.setattr(registering, "add_unlocker", died)
        patch.setattr(registering, "erase", lambda *_: None)
        with pytest.raises(Refused):
            world.new_phone()
    assert left() == (2, 2)
    clean(world.wallet, now=world.clock())
    assert left() == (2, 2)  # it might still go on
    clean(world.wallet, now=world.clock() + timedelta(days=2))
    assert left() == (1, 1)
    phone.open()


def test_readiness_names_both_stores(world: WalletWorld) -> None:
    answer = world.client.get("/health/ready")
    assert answer.json() == {"status": "ok", "parts": {"database": True, "shares": True}}


def test_signed_metadata_is_demanded_where_the_policy_says_so(world: WalletWorld) -> None:
    """W-03: no fallback to unsigned when policy asks for signed."""
    from shared.oid4vci.metadata import CredentialIssuerMetadata

    settings = world.wallet.settings.model_copy(update={"signed_issuer_metadata": True})
    object.__setattr__(world.wallet, "settings", settings)
    phone = world.new_phone()
    with pytest.raises(Refused):
        phone.scan(world.issuer.offer(PID))
    metadata = CredentialIssuerMetadata.from_object(world.issuer.metadata())
    for role, works in ((Role.CREDENTIAL, False), (Role.METADATA, True)):
        signed = metadata.sign(signer=_signer(role), now=world.clock())
        world.issuer.signed_metadata = signed
        if works:
            assert phone.receive(world.issuer.offer(PID), TX_CODE)
        else:
            with pytest.raises(Refused):
                phone.scan(world.issuer.offer(PID))
    assert metadata.credential_issuer == IDENTIFIER


def test_settings_say_everything_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsInvalid) as caught:
        load_settings(WalletSettings)
    missing = "; ".join(caught.value.problems)
    assert "WALLET_SHARES_DATABASE_URL" in missing
    assert "WALLET_RP_ID" in missing


def test_origins_are_the_wallets_own_and_those_of_its_apps(world: WalletWorld) -> None:
    """WALLET_SECURITY 4: expected origin; apps by setting."""
    settings = world.wallet.settings.model_copy(
        update={
            "public_url": "https://wallet.example/base",
            "app_origins": ("android:apk-key-hash:abc",),
        }
    )
    assert settings.allowed_origins == ("https://wallet.example", "android:apk-key-hash:abc")


@pytest.mark.parametrize(
    ("locale", "text"),
    [("fr", "oui"), ("fr-CH", "oui"), ("pt", "sim"), ("de", "yes"), ("EN-gb", "yes")],
)
def test_a_text_is_chosen_by_language(locale: str, text: str) -> None:
    """RFC 4647, section 3.4, with English as the last resort."""
    texts = {"en": "yes", "fr": "oui", "pt-BR": "sim"}
    assert wording.choose(texts, locale) == text
    assert wording.choose({}, locale) == ""
    assert wording.choose({"es": "sí"}, locale) == "sí"


def test_every_word_is_there_in_every_language() -> None:
    """PAIN_POINTS 11: nothing is said by colour alone, in any language we speak."""
    catalogues: tuple[Mapping[Any, Mapping[str, str]], ...] = (
        wording.BADGES, wording.NEXT_STEPS, wording.WARNINGS, wording.ANSWERS, wording.SEX,
        letters._SUBJECTS, letters._BODIES,
    )  # fmt: skip
    for catalogue in catalogues:
        assert all(set(texts) == {"en", "fr", "de", "ar"} for texts in catalogue.values())
