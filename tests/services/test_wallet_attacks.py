"""What an attacker tries, and what the citizen's two locks leave them (WALLET_SECURITY 10)."""

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Table, select, update
from starlette.testclient import TestClient

from shared.demo import browser
from shared.demo.phone import Deceived, Phone, Refused
from shared.encoding import b64url_encode
from tests.support.trust import PID, RESIDENCE
from tests.support.wallet import IDENTITY, OVER_18, TX_CODE, WALLET, WalletWorld, refused
from wallet_service.tables import (
    approvals,
    copies,
    credentials,
    log_entries,
    metadata,
    presentations,
    unlockers,
    wallets,
)

PUBLIC_TABLES = {"trust_state"}  # the trust list: public, and the same for everybody


def row(world: WalletWorld, table: Table, key: str) -> dict[str, Any]:
    with world.wallet.database.reading() as connection:
        statement = select(table).where(table.c.id == key)
        return dict(connection.execute(statement).mappings().one())


def change(world: WalletWorld, table: Table, key: str, **values: Any) -> None:
    """What an operator with the database does."""
    with world.wallet.database.transaction() as connection:
        connection.execute(update(table).where(table.c.id == key).values(**values))


def asked(phone: Phone, world: WalletWorld, query: dict[str, Any] = OVER_18) -> str:
    """The id of a pending approval of a presentation."""
    consent = phone.resolve(world.verifier.ask(query))
    return str(phone._post(f"/presentations/{consent.id}/select", {})["approval"])


def approve(phone: Phone, approval: str, body: dict[str, Any]) -> Any:
    return phone._post(f"/approvals/{approval}/approve", body)


# -- The approval ----------------------------------------------------------------------------


def test_the_gesture_for_one_approval_does_not_serve_another(world: WalletWorld) -> None:
    """WALLET_SECURITY 10: approval of A used for B, in one wallet and between wallets."""
    phone, other = world.phone_with(PID), world.phone_with(PID)
    first, second = asked(phone, world), asked(phone, world)
    gesture = phone.gesture(phone.approval(first))
    wrong = {**phone.gesture(phone.approval(second)), "assertion": gesture["assertion"]}
    assert refused(lambda: approve(phone, second, wrong)) == "passkey_refused"
    assert refused(lambda: approve(other, first, gesture)) == "not_found"
    theirs = asked(other, world)
    foreign = {**other.gesture(other.approval(theirs)), "assertion": gesture["assertion"]}
    assert refused(lambda: approve(other, theirs, foreign)) == "passkey_refused"
    assert world.verifier.posted == []


def test_an_approval_is_used_once(world: WalletWorld) -> None:
    """WALLET_SECURITY 10: replay of an approval."""
    phone = world.phone_with(PID)
    approval = asked(phone, world)
    gesture = phone.gesture(phone.approval(approval))
    assert approve(phone, approval, gesture)["outcome"] == "shared"
    assert refused(lambda: approve(phone, approval, gesture)) == "approval_used"
    assert len(world.verifier.posted) == 1


def test_a_refused_or_expired_approval_is_none(world: WalletWorld) -> None:
    """WALLET_SECURITY 4: pending and unexpired."""
    phone = world.phone_with(PID)
    approval = asked(phone, world)
    gesture = phone.gesture(phone.approval(approval))
    phone._post(f"/approvals/{approval}/refuse")
    assert refused(lambda: approve(phone, approval, gesture)) == "approval_used"
    late = asked(phone, world)
    gesture = phone.gesture(phone.approval(late))
    world.clock.advance(minutes=9, seconds=59)
    phone.cards()
    world.clock.advance(seconds=1)
    assert refused(lambda: approve(phone, late, gesture)) == "approval_used"


def test_a_session_alone_signs_nothing(world: WalletWorld) -> None:
    """WALLET_SECURITY 1 and 6: a stolen session can look and cannot sign."""
    phone = world.phone_with(PID)
    approval = asked(phone, world)
    found = phone.approval(approval)
    gesture = phone.gesture(found)
    options = world.client.post("/api/v1/sessions/options").json()["options"]
    opening = phone.passkey.get(options).response
    no_keys = {name: b64url_encode(bytes(32)) for name in gesture["copy_keys"]}
    for body, code in (
        ({"assertion": {}, "copy_keys": gesture["copy_keys"]}, "invalid_input"),
        ({"assertion": opening, "copy_keys": gesture["copy_keys"]}, "passkey_refused"),
        ({"assertion": gesture["assertion"]}, "invalid_input"),
        ({**gesture, "copy_keys": {**gesture["copy_keys"], "cpy_x": "AAAA"}}, "invalid_input"),
        ({**gesture, "copy_keys": no_keys}, "invalid"),
    ):
        assert refused(lambda body=body: approve(phone, approval, body)) == code
    assert world.verifier.posted == []
    assert phone.cards()[0]["copies_left"] == 10


def test_what_a_session_sees_of_the_wraps_opens_nothing(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: the inner layer needs the unlocker's secret."""
    phone = world.phone_with(PID)
    found = phone.approval(asked(phone, world))
    stolen = phone._k_read
    wrap = found["act_wraps"][0]
    for secret in (stolen, bytes(32)):
        with pytest.raises(Exception, match="HPKE"):
            browser.open_root(
                browser.private_key(secret),
                browser.code_bytes(phone.recovery_code) + wrap["wrap"].encode(),
                wallet=phone.wallet,
                unlocker=wrap["unlocker"],
                purpose="act",
            )


def test_the_recovery_code_does_not_present(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: it opens recover and add a passkey, never present."""
    phone = world.phone_with(PID)
    found = phone.approval(asked(phone, world))
    kinds = {each["id"]: each["kind"] for each in phone.overview()["unlockers"]}
    assert {kinds[each["unlocker"]] for each in found["act_wraps"]} == {"passkey"}
    foreign = world.new_phone()
    foreign_response = foreign.passkey.get({**found["options"], "allowCredentials": []}).response
    gesture = {**phone.gesture(found), "assertion": foreign_response}
    assert refused(lambda: approve(phone, found["id"], gesture)) == "passkey_refused"


def test_without_user_verification_nothing_is_approved(world: WalletWorld) -> None:
    """WALLET_SECURITY 1, A6: a thief with a phone but no user verification."""
    phone = world.phone_with(PID)
    approval = asked(phone, world)
    phone.passkey.verifies_user = False
    gesture = phone.gesture(phone.approval(approval))
    assert refused(lambda: approve(phone, approval, gesture)) == "passkey_refused"
    phone.passkey.verifies_user, phone.passkey.cross_origin = True, True
    gesture = phone.gesture(phone.approval(approval))
    assert refused(lambda: approve(phone, approval, gesture)) == "passkey_refused"


def test_a_page_that_shows_something_else_is_noticed_by_the_device(world: WalletWorld) -> None:
    """WALLET_SECURITY 4: the device recomputes the challenge from what it showed."""
    phone = world.phone_with(PID)
    found = phone.approval(asked(phone, world))
    found["payload"]["verifier"]["names"]["en"] = "A friendly shop"
    with pytest.raises(Deceived):
        phone.gesture(found)


# -- The database ------------------------------------------------------------------------------


def test_an_exchanged_payload_is_noticed(world: WalletWorld) -> None:
    """WALLET_SECURITY 10: swapped payload."""
    phone = world.phone_with(PID)
    first, second = asked(phone, world), asked(phone, world, IDENTITY)
    gesture = phone.gesture(phone.approval(first))
    theirs = row(world, approvals, second)
    change(world, approvals, first, payload=theirs["payload"])
    assert refused(lambda: approve(phone, first, gesture)) == "invalid"
    change(world, approvals, first, payload_hash=theirs["payload_hash"])
    assert refused(lambda: approve(phone, first, gesture)) == "invalid"
    assert world.verifier.posted == []


def test_an_exchanged_payload_hash_is_noticed(world: WalletWorld) -> None:
    phone = world.phone_with(PID)
    first, second = asked(phone, world), asked(phone, world)
    gesture = phone.gesture(phone.approval(first))
    change(world, approvals, first, payload_hash=row(world, approvals, second)["payload_hash"])
    assert refused(lambda: approve(phone, first, gesture)) == "wallet_altered"


def test_rows_of_one_wallet_do_not_open_in_another(world: WalletWorld) -> None:
    """WALLET_SECURITY 10: row swap between wallets, and inside one."""
    phone, other = world.phone_with(PID), world.phone_with(PID)
    [mine], [theirs] = phone.cards(), other.cards()
    sealed = row(world, credentials, mine["id"])["sealed"]
    change(world, credentials, mine["id"], sealed=row(world, credentials, theirs["id"])["sealed"])
    assert refused(phone.cards) == "invalid"
    change(world, credentials, mine["id"], sealed=sealed)
    change(world, credentials, theirs["id"], wallet=phone.wallet)
    assert refused(phone.cards) == "invalid"
    change(world, credentials, theirs["id"], wallet=other.wallet)
    [second] = phone.receive(world.issuer.offer(PID), TX_CODE)
    change(world, credentials, second, sealed=sealed)
    assert refused(phone.cards) == "invalid"


def test_a_holder_key_moved_to_another_copy_does_not_open(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: `K_copy` is of that copy only."""
    phone = world.phone_with(PID)
    approval = asked(phone, world)
    found = phone.approval(approval)
    [item] = found["payload"]["items"]
    with world.wallet.database.reading() as connection:
        other = (
            connection.execute(
                select(copies.c.key_blob).where(
                    copies.c.wallet == phone.wallet, copies.c.id != item["copy"]
                )
            )
            .scalars()
            .first()
        )
    change(world, copies, item["copy"], key_blob=other)
    assert refused(lambda: approve(phone, approval, phone.gesture(found))) == "invalid"
    assert world.verifier.posted == []


@pytest.mark.parametrize("column", ["credential_key", "read_key", "act_key"])
def test_a_swapped_unlocker_key_shows_at_the_next_opening_and_approval(
    world: WalletWorld, column: str
) -> None:
    """WALLET_SECURITY 3 and 10: the set of public keys is covered by a MAC under K_read."""
    phone, evil = world.phone_with(PID), world.new_phone()
    approval = asked(phone, world)
    gesture = phone.gesture(phone.approval(approval))
    with world.wallet.database.reading() as connection:
        mine, theirs = (
            connection.execute(
                select(unlockers).where(
                    unlockers.c.wallet == each.wallet, unlockers.c.kind == "passkey"
                )
            )
            .mappings()
            .one()
            for each in (phone, evil)
        )
    change(world, unlockers, mine["id"], **{column: theirs[column]})
    assert refused(lambda: approve(phone, approval, gesture)) == "wallet_altered"
    code = refused(phone.open)
    assert code == ("passkey_refused" if column == "credential_key" else "wallet_altered")


def test_an_added_unlocker_shows(world: WalletWorld) -> None:
    """WALLET_SECURITY 3: nor can one be added behind the citizen's back."""
    phone, evil = world.new_phone(), world.new_phone()
    with world.wallet.database.reading() as connection:
        statement = select(unlockers.c.id).where(
            unlockers.c.wallet == evil.wallet, unlockers.c.kind == "passkey"
        )
        [theirs] = connection.execute(statement).scalars()
    change(world, unlockers, theirs, wallet=phone.wallet)
    assert refused(phone.open) == "wallet_altered"


def test_a_rolled_back_wallet_and_a_forked_log_are_noticed(world: WalletWorld) -> None:
    """WALLET_SECURITY 8 and 10: the app keeps the last (version, head)."""
    phone = world.phone_with(PID)
    phone.overview()
    before = row(world, wallets, phone.wallet)
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    phone.overview()
    put_back = {name: before[name] for name in ("version", "log_head", "spent")}
    change(world, wallets, phone.wallet, **put_back)
    with pytest.raises(Deceived):
        phone.open()
    fresh = Phone(phone.client, WALLET)  # a device that remembers nothing
    fresh.passkey = phone.passkey
    fresh.open()
    with world.wallet.database.transaction() as connection:
        connection.execute(
            log_entries.delete().where(
                log_entries.c.wallet == phone.wallet, log_entries.c.seq > before["version"]
            )
        )
    fresh.approve(fresh.resolve(world.verifier.ask(OVER_18)))  # history goes another way
    with pytest.raises(Deceived):
        phone.overview()


def test_a_changed_log_entry_is_noticed(world: WalletWorld) -> None:
    """WALLET_SECURITY 1, A9: history cannot be rewritten."""
    phone, other = world.phone_with(PID), world.phone_with(PID)
    with world.wallet.database.transaction() as connection:
        theirs = connection.execute(
            select(log_entries.c.body).where(
                log_entries.c.wallet == other.wallet, log_entries.c.seq == 3
            )
        ).scalar_one()
        connection.execute(
            update(log_entries)
            .where(log_entries.c.wallet == phone.wallet, log_entries.c.seq == 3)
            .values(body=theirs)
        )
    assert refused(phone.log) == "wallet_altered"


# -- Two at once -------------------------------------------------------------------------------


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    """Run *calls* in threads; what each returned, or the code of its refusal."""
    barrier = threading.Barrier(len(calls))
    results: list[Any] = [None] * len(calls)

    def run(index: int) -> None:
        barrier.wait()
        try:
            results[index] = calls[index]()
        except Refused as error:
            results[index] = error.code

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(calls))]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    return results


def beside(phone: Phone, world: WalletWorld) -> Phone:
    """The same session through a connection of its own."""
    twin = Phone(TestClient(world.client.app, base_url=WALLET), WALLET)  # type: ignore[arg-type]  # starlette's client fits
    twin.passkey, twin.wallet, twin._token = phone.passkey, phone.wallet, phone._token
    return twin


def test_of_two_uses_of_an_approval_one_wins(world: WalletWorld) -> None:
    """S-02, WALLET_SECURITY 4: one guarded UPDATE to consumed."""
    phone = world.phone_with(PID)
    approval = asked(phone, world)
    gesture = phone.gesture(phone.approval(approval))
    twins = [beside(phone, world) for _ in range(4)]
    results = at_once([lambda each=each: approve(each, approval, gesture) for each in twins])
    assert results.count("approval_used") == 3
    assert len(world.verifier.posted) == 1


def test_of_two_presentations_with_one_copy_one_wins(world: WalletWorld) -> None:
    """WALLET_SECURITY 10: second use of a copy under concurrency; W-45."""
    world.issuer.batch_size = 2
    world.wallet.settings.__dict__["copies"] = 1
    try:
        phone = world.phone_with(PID)
    finally:
        world.wallet.settings.__dict__["copies"] = 10
    pending = [asked(phone, world) for _ in range(4)]
    gestures = [phone.gesture(phone.approval(each)) for each in pending]
    assert len({next(iter(each["copy_keys"])) for each in gestures}) == 1
    twins = [beside(phone, world) for _ in range(4)]
    results = at_once(
        [
            lambda each=each, one=one, body=body: approve(each, one, body)
            for each, one, body in zip(twins, pending, gestures, strict=True)
        ]
    )
    assert results.count("copy_taken") == 3
    assert len(world.verifier.posted) == 1
    with world.wallet.database.reading() as connection:
        statement = select(copies.c.uses).where(copies.c.wallet == phone.wallet)
        assert connection.execute(statement).scalars().all() == [1]


def test_the_log_stays_one_chain_when_much_happens_at_once(world: WalletWorld) -> None:
    """WALLET_SECURITY 8."""
    phone = world.phone_with(PID)
    pending = [asked(phone, world) for _ in range(4)]
    gestures = [phone.gesture(phone.approval(each)) for each in pending]
    twins = [beside(phone, world) for _ in range(4)]
    at_once(
        [
            lambda each=each, one=one, body=body: approve(each, one, body)
            for each, one, body in zip(twins, pending, gestures, strict=True)
        ]
    )
    assert [each["seq"] for each in phone.log()] == list(range(1, len(phone.log()) + 1))


# -- The heist, as far as databases go -----------------------------------------------------------


SECRETS = (
    "Möbius", "Erika", "1964-08-12", "Avelon", "Rue du Pont", "issuer.example",
    "verifier.example", "urn:eudi:pid", "citizen-wallet:residence", "ent_registry", "ent_counter",
    "Registry", "Counters", "proof_of_age", "family_name", "dc+sd-jwt", "x509_hash", TX_CODE,
)  # fmt: skip


def test_both_databases_tell_nothing(world: WalletWorld) -> None:
    """WALLET_SECURITY 1, A1: no credential, claim, issuer, verifier, type or public key; W-44."""
    phone = world.phone_with(PID, RESIDENCE)
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    phone.refuse(phone.resolve(world.verifier.ask(IDENTITY)))
    phone.scan(world.issuer.offer(PID))
    phone.resolve(world.verifier.ask(IDENTITY))
    phone.refresh()
    holder = world.verifier.results[0]["holder"]
    content = b""
    for database in (world.wallet.database, world.wallet.shares):
        with database.reading() as connection:
            for table in metadata.sorted_tables if database is world.wallet.database else []:
                if table.name not in PUBLIC_TABLES:
                    for each in connection.execute(select(table)).all():
                        content += b"|".join(
                            value if isinstance(value, bytes) else str(value).encode()
                            for value in each
                        )
    for folder in {
        Path(url.removeprefix("sqlite:///").partition("?")[0])
        for url in world.urls
        if "sqlite" in url
    }:
        for file in folder.parent.glob(f"{folder.name}*"):
            content += file.read_bytes()
    assert phone.wallet.encode() in content  # the search does find what is there
    for secret in (*SECRETS, holder, phone.recovery_code, phone._token or ""):
        assert secret.encode() not in content, secret


def test_sealed_rows_have_few_lengths(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: padded to size classes."""
    phone = world.phone_with(PID, RESIDENCE)
    with world.wallet.database.reading() as connection:
        lengths = {
            len(each)
            for table in (credentials, copies, presentations)
            for each in connection.execute(
                select(table.c.sealed).where(table.c.wallet == phone.wallet)
            ).scalars()
        }
    assert all((length - 29) & (length - 30) == 0 for length in lengths)  # powers of two and 29


def test_the_log_file_tells_nothing(
    world: WalletWorld, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """S-44, DESIGN 6.4: no claim, name, token or key, and no issuer or verifier host."""
    caplog.set_level(logging.DEBUG)
    phone = world.phone_with(PID)
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    world.verifier.status = 503
    with pytest.raises(Refused):
        phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    with pytest.raises(Refused):
        phone.scan("openid4vp://?client_id=x509_hash:a&request_uri=https%3A%2F%2Fevil.example%2Fr")
    world.issuer.tamper = lambda issued: [issued[0], issued[0]]
    with pytest.raises(Refused):
        phone.receive(world.issuer.offer(PID), TX_CODE)
    streams = capsys.readouterr()
    written = caplog.text + streams.out + streams.err
    assert "refused" in written
    for secret in (*SECRETS, "evil.example", phone.wallet, phone._token or ""):
        assert secret not in written, secret


def test_metrics_name_routes_only(world: WalletWorld) -> None:
    """WALLET_SECURITY 7: no issuer or verifier host in metrics."""
    phone = world.phone_with(PID)
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    text = world.client.get("/metrics").text
    assert "/api/v1/approvals/{id}/approve" in text
    for secret in (*SECRETS, phone.wallet):
        assert secret not in text


def test_a_body_of_any_kind_gets_a_problem_and_never_a_trace(world: WalletWorld) -> None:
    """WALLET_SECURITY 9: problem+json with code, whose_fault, next_step, support_id."""
    phone = world.new_phone()
    for path in ("/wallets", "/sessions", "/sessions/assertion", "/scan", "/revoke", "/recovery"):
        for body in ("[]", "{", '{"a":1,"a":2}', "null", json.dumps({"text": 5})):
            answer = world.client.post(
                f"/api/v1{path}",
                content=body,
                headers={
                    "Content-Type": "application/json",
                    "Authorization": f"Bearer {phone._token}",
                },
            )
            assert answer.status_code == 400, (path, body)
            assert answer.headers["content-type"] == "application/problem+json"
            assert {"code", "whose_fault", "next_step", "support_id"} <= set(answer.json())
