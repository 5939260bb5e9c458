"""The wallet: what opening, receiving, asking and presenting cost, also beside many other wallets.

    python -m bench.wallet

CPU time of the acts of one process, medians, against the targets of PERFORMANCE section 6, on
SQLite. The wallet has a hundred credentials. What the citizen's device computes is not counted, nor
is the verifier. `wallet.*_of_many` is the same beside a hundred thousand other wallets.
`wallet.receive` is a card of twenty copies from the gesture to the kept card, without its issuer;
its floor is what that needs anyway: a key, a signature and a verification for each copy.
"""

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import insert, select

from shared.demo.phone import Consent, Phone
from shared.encoding import b64url_decode
from tests.support.databases import sqlite_url
from tests.support.trust import PID
from tests.support.wallet import OVER_18, WalletWorld
from wallet_service import (
    answering,
    approving,
    flows,
    holding,
    obtaining,
    opening,
    overview,
    sessions,
)
from wallet_service.approving import Approved
from wallet_service.routes.showing import presentation_answer
from wallet_service.tables import copies, credentials, issuances, presentations, unlockers, wallets
from wallet_service.vault import OpenWallet

from .in_process import Figure

CARDS, ROUNDS, OTHERS = 100, 15, 100_000
COPIES = 20
_ES256 = ec.ECDSA(hashes.SHA256())
TARGETS = {"wallet.open": 15.0, "wallet.consent": 5.0, "wallet.present": 5.0}


def figures() -> dict[str, Figure]:
    """Milliseconds of CPU, beside their targets."""
    with tempfile.TemporaryDirectory() as folder:
        world = WalletWorld.make(
            Path(folder), sqlite_url(Path(folder)), sqlite_url(Path(folder)), copies=COPIES
        )
        world.issuer.batch_size = COPIES
        try:
            phone, opened = _wallet(world)
            found = {name: _figure(name, value) for name, value in _measure(world, phone, opened)}
            _fill(world, OTHERS)
            for name, value in _measure(world, phone, opened):
                found[f"{name}_of_many"] = _figure(name, value)
        finally:
            world.close()
    return found


def _figure(name: str, value: float) -> Figure:
    target = TARGETS[name] if name in TARGETS else _median(_bare(), clock=time.thread_time_ns)
    return {"value": value, "unit": "ms", "floor": target, "ratio": value / target}


def _wallet(world: WalletWorld) -> tuple[Phone, OpenWallet]:
    """A wallet with a hundred cards: one is received, the others are its likes."""
    phone = world.phone_with(*[PID] * 4)
    token = phone._token or ""  # noqa: SLF001  # what a browser would keep in a cookie
    opened = sessions.resume_session(world.wallet, token, now=world.clock())
    mine = credentials.c.wallet == opened.id
    with world.wallet.database.transaction() as connection:
        first = connection.execute(select(credentials).where(mine)).mappings().first()
        assert first is not None
        card = opened.open(credentials, first["id"], first["sealed"])
        labels = opened.open(credentials, f"{first['id']}/labels", first["labels"])
        for number in range(CARDS - 4):
            name = f"crd_bench{number}"
            row = {
                "id": name,
                "wallet": opened.id,
                "sealed": opened.seal(credentials, name, {**card, "type": f"urn:other:{number}"}),
                "labels": opened.seal(credentials, f"{name}/labels", labels),
            }
            connection.execute(insert(credentials).values(**row))
    return phone, opened


def _measure(world: WalletWorld, phone: Phone, opened: OpenWallet) -> Iterator[tuple[str, float]]:
    yield "wallet.open", _median(_opening(world, phone))
    consents: list[Consent] = []
    yield "wallet.consent", _median(_consent(world, phone, opened, consents))
    yield "wallet.present", _median(_present(world, phone, opened, consents))
    yield "wallet.receive", _median(_receiving(world), clock=time.thread_time_ns)


def _median(
    calls: Iterator[Callable[[], object]], *, clock: Callable[[], int] = time.process_time_ns
) -> float:
    """Milliseconds of CPU of the middle call; what prepares each is not counted."""
    taken = []
    for call in calls:
        start = clock()
        call()
        taken.append((clock() - start) / 1e6)
    return statistics.median(taken)


def _opening(world: WalletWorld, phone: Phone) -> Iterator[Callable[[], object]]:
    """The gesture believed, the session begun, the first screen."""
    for _ in range(ROUNDS):
        assertion = phone.passkey.get(opening.options(world.wallet, now=world.clock())).response
        yield partial(_open, world, phone, assertion)


def _open(world: WalletWorld, phone: Phone, assertion: Mapping[str, Any]) -> None:
    wallet, now = world.wallet, world.clock()
    ticket = opening.answer(wallet, assertion, now=now)
    k_read = phone._k_read  # noqa: SLF001  # of the citizen's device: it comes with the call
    session = opening.finish(wallet, str(ticket["opening"]), k_read, now=now)
    overview.overview(wallet, session.opened, now=now)


def _consent(
    world: WalletWorld, phone: Phone, opened: OpenWallet, consents: list[Consent]
) -> Iterator[Callable[[], object]]:
    """The consent model of a request that was fetched and verified."""
    for _ in range(ROUNDS):
        consents.append(consent := phone.resolve(world.verifier.ask(OVER_18)))
        flow = flows.load(world.wallet, opened, presentations, consent.id)
        yield partial(presentation_answer, world.wallet, opened, flow)


def _present(
    world: WalletWorld, phone: Phone, opened: OpenWallet, consents: list[Consent]
) -> Iterator[Callable[[], object]]:
    """One gesture believed, a copy signed, spent, encrypted, logged, posted."""
    for consent in consents:
        place = f"/presentations/{consent.id}/select"
        approval = phone._post(place, {})["approval"]  # noqa: SLF001  # stops before the gesture
        gesture = phone.gesture(phone.approval(approval))
        yield partial(_answer, world, opened, approval, gesture)


def _answer(
    world: WalletWorld, opened: OpenWallet, approval: str, gesture: Mapping[str, Any]
) -> None:
    wallet, now = world.wallet, world.clock()
    approved, keys = _consumed(world, opened, approval, gesture)
    flow = flows.load(wallet, opened, presentations, approved.payload["flow"])
    with _no_verifier(world):
        answering.answer(wallet, opened, flow, approved, keys, now=now)


def _consumed(
    world: WalletWorld, opened: OpenWallet, approval: str, gesture: Mapping[str, Any]
) -> tuple[Approved, dict[str, bytes]]:
    keys = {copy: b64url_decode(key) for copy, key in gesture["copy_keys"].items()}
    approved = approving.consume(
        world.wallet,
        opened,
        approval,
        assertion=gesture["assertion"],
        copies=frozenset(keys),
        now=world.clock(),
    )
    return approved, keys


@contextmanager
def _no_verifier(world: WalletWorld) -> Iterator[None]:
    """The verifier's own work would be counted: here it only takes the answer."""
    world.verifier.status = 400
    try:
        yield
    except answering.VerifierRefused:
        pass
    finally:
        world.verifier.status = 200


def _receiving(world: WalletWorld) -> Iterator[Callable[[], object]]:
    """One gesture believed, token, keys, proofs, copies checked, kept; the issuer has a thread."""
    phone = world.new_phone()
    token = phone._token or ""  # noqa: SLF001  # what a browser would keep in a cookie
    opened = sessions.resume_session(world.wallet, token, now=world.clock())
    for _ in range(ROUNDS):
        place = f"/issuances/{phone.scan(world.issuer.offer(PID))['id']}"
        phone._post(f"{place}/tx-code", {"tx_code": world.issuer.tx_code})  # noqa: SLF001
        approval = phone._post(f"{place}/accept")["approval"]  # noqa: SLF001
        gesture = phone.gesture(phone.approval(approval))
        yield partial(_receive, world, opened, approval, gesture)


def _receive(
    world: WalletWorld, opened: OpenWallet, approval: str, gesture: Mapping[str, Any]
) -> None:
    wallet, now = world.wallet, world.clock()
    approved, keys = _consumed(world, opened, approval, gesture)
    flow = flows.load(wallet, opened, issuances, approved.payload["flow"])
    flow = obtaining.obtain(wallet, opened, flow, approved, keys, now=now)
    holding.keep(wallet, opened, flow, now=now)


def _bare() -> Iterator[Callable[[], object]]:
    def work() -> None:
        for _ in range(COPIES):
            key = ec.generate_private_key(ec.SECP256R1())
            signature = key.sign(b"proof", _ES256)
            key.public_key().verify(signature, b"proof", _ES256)

    for _ in range(ROUNDS):
        yield work


def _fill(world: WalletWorld, number: int) -> None:
    """Other people's wallets, as rows."""
    now, blob = world.clock(), bytes(300)
    for start in range(0, number, 10_000):
        names = [f"other{each}" for each in range(start, start + 10_000)]
        with world.wallet.database.transaction() as connection:
            connection.execute(
                insert(wallets),
                [
                    {
                        "id": each,
                        "state": "active",
                        "locale": "en",
                        "created_on": now,
                        "version": 1,
                        "log_head": blob[:32],
                        "spent": blob,
                        "unlockers_mac": blob[:32],
                        "backed_up": True,
                    }
                    for each in names
                ],
            )
            connection.execute(
                insert(unlockers),
                [
                    {
                        "id": each,
                        "wallet": each,
                        "kind": "passkey",
                        "credential_id": each.encode(),
                        "credential_key": blob[:77],
                        "sign_count": 0,
                        "read_key": blob[:32],
                        "act_key": blob[:32],
                    }
                    for each in names
                ],
            )
            connection.execute(
                insert(credentials),
                [{"id": each, "wallet": each, "sealed": blob, "labels": blob} for each in names],
            )
            connection.execute(
                insert(copies),
                [
                    {
                        "id": each,
                        "wallet": each,
                        "credential": each,
                        "state": "fresh",
                        "uses": 0,
                        "sealed": blob,
                        "key_blob": blob[:61],
                    }
                    for each in names
                ],
            )


if __name__ == "__main__":
    for name, each in figures().items():
        print(f"{name:28} {each['value']:8.2f} {each['unit']}  of {each['floor']}")
