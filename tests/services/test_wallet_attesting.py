"""What the wallet provider's attestations say of wallet and key store, and for how long (TS3)."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import version
from typing import Any

import pytest

from shared.demo.phone import Phone
from shared.encoding import b64url_decode
from shared.trust import Role
from tests.support.asgi import AsgiClient
from tests.support.databases import sqlite_url
from tests.support.strict_issuer import StrictIssuer
from tests.support.trust import trust_list
from tests.support.wallet import WALLET, WalletWorld, agencies
from wallet_service.provider_status import KEPT

SUITE = "https://suite.example"
DAY = timedelta(days=1)


class Preferring(StrictIssuer):
    """Says how long it would like to look at the status of a wallet and of its key store."""

    client: int | None = None
    storage: int | None = None

    def metadata(self) -> dict[str, Any]:
        found = super().metadata()
        if self.client is not None:
            found["preferred_client_status_period"] = self.client
        for each in found["credential_configurations_supported"].values():
            for proof in each.get("proof_types_supported", {}).values():
                if self.storage is not None and self.key_attestation:
                    required = {"preferred_key_storage_status_period": self.storage}
                    proof["key_attestations_required"] = required
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalletWorld]:
    folder = tmp_path_factory.mktemp("w")
    made = WalletWorld.make(folder, sqlite_url(folder), sqlite_url(folder))
    yield made
    made.close()


@pytest.fixture
def issuer(world: WalletWorld) -> Iterator[Preferring]:
    provider = agencies().provider
    made = Preferring(
        f"{SUITE}/test/a/1/",
        clock=world.clock,
        wallet=WALLET,
        anchors=provider.authorities[Role.WALLET_PROVIDER].anchors,
        key_attestation=True,
    )
    transport: Any = world.wallet.fetcher._pool
    with AsgiClient(made.app(), base_url=SUITE) as served:
        transport.services[SUITE] = served
        entries = agencies().registry.entry(), provider.entry(), made.entry()
        world.trust.held = trust_list(*entries)
        yield made
    transport.services.pop(SUITE)


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b64url_decode(token.split(".")[1]))
    return found


def attested(phone: Phone, issuer: StrictIssuer) -> tuple[dict[str, Any], dict[str, Any]]:
    """What an issuance says of the wallet, and of its keys."""
    flow = phone.sign_in(phone.scan(issuer.offer()), issuer.browse)
    phone.keep(phone.accept(flow)["id"])
    assert issuer.faults == []
    proof = json.loads(issuer.bodies[-1])["proofs"]["jwt"][0]
    head = json.loads(b64url_decode(proof.split(".")[0]))
    return issuer.attested[-1], claims_of(head["key_attestation"])


@pytest.mark.parametrize("days", [0, 40, 900])
def test_the_status_is_kept_as_long_as_the_issuer_prefers(
    world: WalletWorld, issuer: Preferring, days: int
) -> None:
    """E-03, TS3 2.4.2: never less than preferred or 31 days, and no more than a day above that."""
    issuer.client = issuer.storage = int(timedelta(days=days).total_seconds())
    now = world.clock().timestamp()
    wallet, keys = attested(world.new_phone(), issuer)
    least = max(days, 31) * DAY.total_seconds()
    for said in (wallet["client_status"], keys["key_storage_status"]):
        assert least <= said["exp"] - now <= least + DAY.total_seconds()
        assert said["exp"] % 86_400 == 0


def test_without_a_wish_it_is_kept_for_long(world: WalletWorld, issuer: Preferring) -> None:
    """E-03, TS3 2.4.2: at least 31 days whenever it is presented."""
    wallet, keys = attested(world.new_phone(), issuer)
    until = (world.clock() + KEPT - DAY).timestamp()
    assert wallet["client_status"]["exp"] >= until
    assert keys["key_storage_status"]["exp"] >= until


def test_nobody_makes_a_wallet_promise_for_ever(world: WalletWorld, issuer: Preferring) -> None:
    """TS3 2.4.2, bounded: ten years."""
    issuer.client = issuer.storage = 10**15
    wallet, keys = attested(world.new_phone(), issuer)
    least = (world.clock() + 3649 * DAY).timestamp()
    most = (world.clock() + 3652 * DAY).timestamp()
    assert least < wallet["client_status"]["exp"] < most
    assert least < keys["key_storage_status"]["exp"] < most


def test_what_is_certified_is_said_and_nothing_else(world: WalletWorld, issuer: Preferring) -> None:
    """TS3 2.3, WALLET_SECURITY 5: name and version always; a certification only if there is one."""
    wallet, keys = attested(world.new_phone(), issuer)
    assert (wallet["wallet_name"], wallet["wallet_link"]) == ("Citizen Wallet", WALLET)
    assert wallet["wallet_version"] == version("citizen-wallet")
    assert "wallet_solution_certification_information" not in wallet
    assert "certification" not in keys
    assert "key_storage" not in keys
    certified = replace(
        world.wallet.provider,
        certification="https://wallet.example/certificate",
        storage_certification="https://token.example/certificate",
    )
    now = world.clock()
    place = certified.lists.take("wal_x", now=now)
    key = world.issuer.signer or agencies().registry.signer(Role.STATUS)
    said = claims_of(certified.attest_client(key.public, place, seconds=None, now=now))
    assert said["wallet_solution_certification_information"].endswith("/certificate")
    said = claims_of(certified.attest_keys([key.public], nonce="n", seconds=None, now=now))
    assert said["certification"] == "https://token.example/certificate"
