"""Who may open a wallet: registration, sessions, recovery, revocation, the end."""

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import func, insert, select

from shared.demo import browser
from shared.demo.passkey import SoftwarePasskey
from shared.demo.phone import Phone
from shared.encoding import b64url_decode, b64url_encode
from tests.support.trust import PID
from tests.support.wallet import OVER_18, TX_CODE, WALLET, WalletWorld, refused
from wallet_service.shares import tables as share_tables
from wallet_service.tables import metadata


def rows(world: WalletWorld) -> dict[str, int]:
    """How many rows each table of both databases has."""
    counts: dict[str, int] = {}
    for database, tables in (
        (world.wallet.database, metadata.sorted_tables),
        (world.wallet.shares, share_tables.metadata.sorted_tables),
    ):
        with database.reading() as connection:
            for table in tables:
                statement = select(func.count()).select_from(table)
                counts[table.name] = connection.execute(statement).scalar_one()
    return counts


# -- Registration --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("passkey", "code"),
    [
        (SoftwarePasskey(WALLET, prf=False), "prf_missing"),
        (SoftwarePasskey(WALLET, verifies_user=False), "passkey_refused"),
        (SoftwarePasskey("https://evil.example"), "passkey_refused"),
        (SoftwarePasskey(WALLET, cross_origin=True), "passkey_refused"),
    ],
)
def test_a_passkey_that_cannot_protect_is_refused_before_anything_is_stored(
    world: WalletWorld, passkey: SoftwarePasskey, code: str
) -> None:
    """WALLET_SECURITY 2 and 6: told so before anything is stored; PAIN_POINTS 12."""
    before = rows(world)
    phone = world.phone()
    phone.passkey = passkey
    if not passkey.prf:  # a page without PRF outputs has nothing to derive from; send rubbish
        get = passkey.get

        def with_rubbish(options: Any) -> Any:
            assertion = get(options)
            return type(assertion)(assertion.response, (b"r" * 32, b"a" * 32))

        phone.passkey = _Passkey(passkey, with_rubbish)  # type: ignore[assignment]  # same calls
    assert refused(phone.create_wallet) == code
    assert rows(world) == before


class _Passkey:
    def __init__(self, passkey: SoftwarePasskey, get: Callable[[Any], Any]) -> None:
        self.create, self.get = passkey.create, get


def test_prf_outputs_must_stay_in_the_browser(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: the unlocker secret never reaches the service."""
    phone = world.phone()
    get = phone.passkey.get

    def leaking(options: Any) -> Any:
        assertion = get(options)
        results = {"first": b64url_encode(assertion.prf[0])}
        leaked = {**assertion.response, "clientExtensionResults": {"prf": {"results": results}}}
        return type(assertion)(leaked, assertion.prf)

    phone.passkey = _Passkey(phone.passkey, leaking)  # type: ignore[assignment]  # same calls
    assert refused(phone.create_wallet) == "invalid_input"


def test_a_registration_is_finished_once(world: WalletWorld) -> None:
    """A second finish changes nothing, and the wallet made by the first still opens."""
    sent: list[dict[str, Any]] = []
    phone = world.phone()
    request = world.client.request

    class Recording:
        def request(self, method: str, url: str, **options: Any) -> Any:
            if url.endswith("/wallets"):
                sent.append(options["json"])
            return request(method, url, **options)

    phone.client = Recording()
    phone.create_wallet()
    again = world.client.post("/api/v1/wallets", json=sent[0])
    assert (again.status_code, again.json()["code"]) == (409, "conflict")
    phone.open()


def test_the_service_stores_public_keys_only(world: WalletWorld) -> None:
    """WALLET_SECURITY 2 and 3: what is stored opens nothing; both layers are needed."""
    phone = world.new_phone()
    with world.wallet.database.reading() as connection:
        wraps = connection.execute(
            select(metadata.tables["wraps"].c.blob).where(
                metadata.tables["wraps"].c.wallet == phone.wallet
            )
        ).scalars()
        blobs = list(wraps)
    assert len(blobs) == 4
    keys = browser.UnlockerKeys.of_code(phone.recovery_code)
    for blob in blobs:  # even with the recovery code: the outer layer is in the way
        for private in (keys.read, keys.act):
            for purpose in browser.PURPOSES:
                with pytest.raises(Exception, match=r"HPKE|sealed"):
                    browser.open_root(
                        private, blob, wallet=phone.wallet, unlocker="", purpose=purpose
                    )


# -- Sessions ------------------------------------------------------------------------------


def test_a_wallet_opens_with_its_passkey_and_with_no_other(world: WalletWorld) -> None:
    """WALLET_SECURITY 6, opening."""
    phone = world.new_phone()
    phone.close()
    phone.open()
    assert phone.cards() == []
    stranger = world.phone()
    stranger.create_wallet()
    stranger.passkey, other = SoftwarePasskey(WALLET), stranger.passkey
    stranger.passkey._credentials = {
        key: type(each)(
            each.id,
            each.rp_id,
            each.user_handle,
            ec.generate_private_key(ec.SECP256R1()),
            b"x" * 32,
        )
        for key, each in other._credentials.items()
    }
    assert refused(stranger.open) == "passkey_refused"


def test_a_sign_in_gesture_is_good_once(world: WalletWorld) -> None:
    """S-02: a challenge is used once, whoever sends it."""
    phone = world.new_phone()
    options = world.client.post("/api/v1/sessions/options").json()["options"]
    body = {"assertion": phone.passkey.get(options).response}
    assert world.client.post("/api/v1/sessions/assertion", json=body).status_code == 200
    again = world.client.post("/api/v1/sessions/assertion", json=body)
    assert (again.status_code, again.json()["code"]) == (422, "passkey_refused")


def test_a_challenge_of_nobody_or_too_old_opens_nothing(world: WalletWorld) -> None:
    phone = world.new_phone()
    options = world.client.post("/api/v1/sessions/options").json()["options"]
    foreign = {**options, "challenge": b64url_encode(b"x" * 32)}
    late = phone.passkey.get(options).response
    for response in (phone.passkey.get(foreign).response, late):
        answer = world.client.post("/api/v1/sessions/assertion", json={"assertion": response})
        if response is late:
            assert answer.status_code == 200
        else:
            assert answer.status_code == 422
    options = world.client.post("/api/v1/sessions/options").json()["options"]
    late = phone.passkey.get(options).response
    world.clock.advance(minutes=6)
    answer = world.client.post("/api/v1/sessions/assertion", json={"assertion": late})
    assert (answer.status_code, answer.json()["code"]) == (422, "nonce")


def test_another_root_opens_nothing(world: WalletWorld) -> None:
    """WALLET_SECURITY 3: the MAC over the unlockers is checked at each opening."""
    phone = world.new_phone()
    options = world.client.post("/api/v1/sessions/options").json()["options"]
    opening = world.client.post(
        "/api/v1/sessions/assertion", json={"assertion": phone.passkey.get(options).response}
    ).json()["opening"]
    body = {"opening": opening, "k_read": b64url_encode(bytes(32))}
    answer = world.client.post("/api/v1/sessions", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "wallet_altered")


def test_a_session_ends_idle_and_ends_in_any_case(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: idle 10 minutes, absolute 60 minutes."""
    phone = world.new_phone()
    world.clock.advance(minutes=10)
    assert refused(phone.cards) == "unauthenticated"
    phone.open()
    for _ in range(6):
        world.clock.advance(minutes=9)
        phone.cards()
    world.clock.advance(minutes=7)
    assert refused(phone.cards) == "unauthenticated"


def test_sessions_are_listed_and_ended_from_another_device(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: listable and revocable."""
    phone = world.new_phone()
    tablet = Phone(phone.client, WALLET)
    tablet.passkey = phone.passkey  # a synced passkey
    tablet.open()
    listed = phone._get("/sessions")["sessions"]
    other = next(each["id"] for each in listed if not each["this_one"])
    phone._call("DELETE", f"/sessions/{other}")
    assert refused(tablet.cards) == "unauthenticated"
    phone.close()
    assert refused(phone.cards) == "unauthenticated"


def opened_in_browser(world: WalletWorld, phone: Phone, cookie: str = "") -> Any:
    """The answer of an opening as a browser asks for it, with the *cookie* it has."""
    options = world.client.post("/api/v1/sessions/options").json()["options"]
    assertion = phone.passkey.get(options)
    opening = world.client.post(
        "/api/v1/sessions/assertion", json={"assertion": assertion.response}
    ).json()
    k_read = browser.open_root(
        browser.private_key(assertion.prf[0]),
        b64url_decode(opening["read_wrap"]),
        wallet=opening["wallet"],
        unlocker=opening["unlocker"],
        purpose="read",
    )
    body = {"opening": opening["opening"], "k_read": b64url_encode(k_read)}
    answer = world.client.post("/api/v1/sessions", json=body, headers={"Cookie": cookie})
    world.client.cookies.clear()
    return answer


def test_a_browser_that_opens_a_wallet_anew_leaves_no_session_behind(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: its own former one ends; nobody else's, whatever the cookie says."""
    phone, stranger = world.new_phone(), world.new_phone()
    cookie = opened_in_browser(world, phone).headers["set-cookie"].split(";")[0]
    assert len(phone._get("/sessions")["sessions"]) == 2  # the app's, and this browser's
    theirs = opened_in_browser(world, stranger, cookie).headers["set-cookie"].split(";")[0]
    for each in (theirs, "__Host-wallet=?", "__Host-wallet=AAAA", ""):
        assert opened_in_browser(world, phone, each).status_code == 201
    assert len(phone._get("/sessions")["sessions"]) == 6
    assert opened_in_browser(world, phone, cookie).status_code == 201
    assert len(phone._get("/sessions")["sessions"]) == 6
    former = world.client.get("/api/v1/wallet", headers={"Cookie": cookie})
    assert former.status_code == 401


def test_a_browser_gets_a_host_cookie_that_no_other_site_can_use(world: WalletWorld) -> None:
    """WALLET_SECURITY 2: `__Host-`; a change needs our origin beside it."""
    phone = world.new_phone()
    answer = opened_in_browser(world, phone)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-wallet=")
    assert {"Secure", "HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "token" not in answer.json()
    headers = {"Cookie": cookie.split(";")[0]}
    world.client.cookies.clear()
    assert world.client.get("/api/v1/wallet", headers=headers).status_code == 200
    place = "/api/v1/wallet/refresh"
    assert world.client.post(place, headers=headers).status_code == 403
    evil = {**headers, "Origin": "https://evil.example"}
    assert world.client.post(place, headers=evil).status_code == 403
    ours = {**headers, "Origin": WALLET}
    assert world.client.post(place, headers=ours).status_code == 200
    ended = world.client.delete("/api/v1/sessions/current", headers=ours)
    assert "Max-Age=0" in ended.headers["set-cookie"]
    assert world.client.get("/api/v1/wallet", headers=headers).status_code == 401
    world.client.cookies.clear()


@pytest.mark.parametrize("header", ["Bearer x", "Bearer", "Basic eDp5", "Bearer AAAA"])
def test_nothing_is_shown_without_a_session(world: WalletWorld, header: str) -> None:
    answer = world.client.get("/api/v1/wallet", headers={"Authorization": header})
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


# -- Second unlocker, recovery, revocation ---------------------------------------------------


def test_before_the_first_credential_a_second_unlocker_must_have_worked(
    world: WalletWorld,
) -> None:
    """WALLET_SECURITY 6, registration; PAIN_POINTS 1."""
    phone = world.phone()
    phone.create_wallet()
    assert phone.overview()["notices"] == [{"code": "second_unlocker_needed"}]
    link = world.issuer.offer(PID)
    assert refused(lambda: phone.receive(link, TX_CODE)) == "second_unlocker_needed"
    assert refused(lambda: phone.prove_recovery(browser.make_code())) == "not_found"
    phone.prove_recovery()
    assert phone.overview()["notices"] == []
    assert phone.receive(world.issuer.offer(PID), TX_CODE)


def test_a_recovery_code_typed_back_must_have_opened_the_root(world: WalletWorld) -> None:
    phone = world.phone()
    phone.create_wallet()
    body = {"k_read": b64url_encode(bytes(32))}
    assert refused(lambda: phone._post("/recovery/proof", body)) == "wallet_altered"
    stranger = world.new_phone()
    assert refused(lambda: phone.prove_recovery(stranger.recovery_code)) == "not_found"


def test_a_second_passkey_opens_the_same_wallet_and_approves(world: WalletWorld) -> None:
    """WALLET_SECURITY 6, second passkey; DESIGN 2.6."""
    phone = world.phone_with(PID)
    tablet = Phone(phone.client, WALLET)
    phone.add_passkey(tablet)
    tablet.open()
    assert [each["name"] for each in tablet.cards()] == ["Personal ID"]
    consent = tablet.resolve(world.verifier.ask(OVER_18))
    assert tablet.approve(consent).outcome == "shared"
    assert [each["kind"] for each in tablet.overview()["unlockers"]].count("passkey") == 2


def test_a_new_phone_recovers_the_wallet_after_the_waiting_period(world: WalletWorld) -> None:
    """WALLET_SECURITY 6, recovery code; DESIGN 2.6."""
    lost = world.phone_with(PID)
    new = world.phone()
    assert refused(lambda: new.recover(lost)) == "recovery_waiting"
    not_before = new.begin_recovery(lost.recovery_code)
    assert {"code": "recovery_begun", "not_before": not_before} in lost.overview()["notices"]
    assert refused(lambda: new.recover(lost)) == "recovery_waiting"
    world.clock.advance(hours=24)
    new.recover(lost)
    assert [each["name"] for each in new.cards()] == ["Personal ID"]
    consent = new.resolve(world.verifier.ask(OVER_18))
    assert new.approve(consent).outcome == "shared"
    assert new.overview()["notices"] == []


def test_the_citizen_stops_a_recovery_they_did_not_begin(world: WalletWorld) -> None:
    """WALLET_SECURITY 6: notices to all devices; PAIN_POINTS 20."""
    phone = world.new_phone()
    thief = world.phone()
    thief.begin_recovery(phone.recovery_code)
    phone._call("DELETE", "/recovery")
    world.clock.advance(hours=25)
    assert refused(lambda: thief.recover(phone)) == "recovery_waiting"


def test_an_unknown_code_finds_nothing(world: WalletWorld) -> None:
    """WALLET_SECURITY 10: guessing codes."""
    phone = world.phone()
    assert refused(lambda: phone.begin_recovery(browser.make_code())) == "not_found"
    short = {"lookup": b64url_encode(b"short")}
    assert refused(lambda: phone._post("/recovery", short)) == "invalid_input"
    phone.revocation_code = browser.make_code()
    assert refused(phone.revoke) == "not_found"


def test_the_revocation_code_freezes_a_wallet_until_it_is_recovered(world: WalletWorld) -> None:
    """WALLET_SECURITY 6, lost phone: sessions dropped, signing frozen."""
    phone = world.phone_with(PID)
    finder = world.phone()
    finder.revocation_code = phone.revocation_code
    finder.revoke()
    assert refused(phone.cards) == "unauthenticated"
    phone.open()
    assert {"code": "wallet_frozen"} in phone.overview()["notices"]
    consent = phone.resolve(world.verifier.ask(OVER_18))
    assert refused(lambda: phone.approve(consent)) == "wallet_frozen"
    assert world.verifier.posted == []
    new = world.phone()
    new.begin_recovery(phone.recovery_code)
    world.clock.advance(hours=24)
    new.recover(phone)
    consent = new.resolve(world.verifier.ask(OVER_18))
    assert new.approve(consent).outcome == "shared"


# -- Goodbye -------------------------------------------------------------------------------


def test_a_deleted_wallet_leaves_nothing_and_its_backup_opens_nothing(
    world: WalletWorld,
) -> None:
    """DESIGN 2.8; WALLET_SECURITY 6, deletion: S destroyed, then wraps and rows."""
    before = rows(world)
    phone = world.phone_with(PID)
    backup: dict[str, list[Any]] = {}
    with world.wallet.database.reading() as connection:
        for table in metadata.sorted_tables:
            if "wallet" in table.c or table.name == "wallets":
                key = table.c.id if table.name == "wallets" else table.c.wallet
                statement = select(table).where(key == phone.wallet)
                backup[table.name] = [dict(r) for r in connection.execute(statement).mappings()]
    receipt = phone.delete_wallet()
    assert receipt["wallet_version"] > 0
    after = rows(world)
    assert {name: count for name, count in after.items() if name != "used_challenges"} == {
        name: count for name, count in before.items() if name != "used_challenges"
    }
    assert refused(phone.open) == "passkey_refused"
    with world.wallet.database.transaction() as connection:  # an operator restores a backup
        for name, stored in backup.items():
            if stored:
                connection.execute(insert(metadata.tables[name]), stored)
    assert refused(phone.open) == "not_found"  # S is gone
