"""Every way a credential request can be answered: encrypted, later, again, in several formats; what
the wallet reports afterwards; and which key attestations it has to bring."""

import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from issuer_service.catalogue import BUILT_IN
from issuer_service.cleaning import clean, forget
from issuer_service.registers import Entry, EntryNotReady, SubjectUnknown
from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.formats import sd_jwt
from shared.formats.status_list import StatusList, sign_token
from shared.formats.status_states import Status
from shared.jose import jwe, jws
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci import key_attestation
from shared.oid4vci.messages import CredentialResponse, decrypt_response
from shared.trust import Role
from tests.support.asgi import AsgiClient
from tests.support.attested import AttestedWallet
from tests.support.clock import NOW
from tests.support.issuer import TENANT, IssuerWorld, Wallet, sample_register

THREADS = 6
WELL_KNOWN = "/.well-known/openid-credential-issuer"
SEALED: dict[str, Any] = {**TENANT, "tenant": "sealed", "encryption_required": True}
PERSON = "AV-000001"


def _own(folder: Path) -> Path:
    """Configurations of a test: attested keys, no deferral, renewals that revoke."""
    made = folder / "credentials"
    made.mkdir()
    base = json.loads((BUILT_IN / "residence_sd_jwt.json").read_text())
    for name, members in {
        "attested": {"proofs": {"jwt": {"key_storage": ["iso_18045_high"]}}},
        "attested_only": {"proofs": {"attestation": {}}},
        "no_deferral": {"deferral_days": 0},
        "replacing": {"on_change": "revoke"},
    }.items():
        kind = {**base["type_metadata"], "vct": f"urn:test:{name.replace('_', '-')}:1"}
        content = {**base, "id": name, "scope": name, "type_metadata": kind, **members}
        (made / f"{name}.json").write_text(json.dumps(content))
    return made


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(
        folder,
        database_url,
        register=sample_register(folder),
        tenants=(TENANT, SEALED),
        credentials=_own(folder),
    )
    yield made
    made.close()


@pytest.fixture
def wallet(world: IssuerWorld) -> Wallet:
    world.clock.now = max(world.clock.now, NOW)
    return Wallet(world)


@pytest.fixture
def register(world: IssuerWorld) -> Iterator[dict[str, Any]]:
    """What the register says of a reference instead: an entry, or an error to raise."""
    source = world.issuer.tenant("registry").register
    known = source.entry
    said: dict[str, Any] = {}

    def entry(reference: str) -> Entry:
        found = said.get(reference)
        if isinstance(found, Exception):
            raise found
        return found if isinstance(found, Entry) else known(reference)

    source.entry = entry  # type: ignore[method-assign]  # the register changes under us
    said["known"] = known
    yield said
    source.entry = known  # type: ignore[method-assign]  # and back


def token(wallet: Wallet, *credentials: str, person: str = PERSON) -> str:
    return wallet.redeem(wallet.world.offer(*credentials, subject=person))


def holders(answer: Any) -> list[PublicKey]:
    found = []
    for each in answer["credentials"]:
        claims = jws.parse_jws(
            sd_jwt.parse(each["credential"]).issuer_jwt, max_bytes=10**6
        ).unverified_claims()
        found.append(PublicKey.from_jwk(claims["cnf"]["jwk"]))
    return found


def places(answer: Any) -> set[tuple[str, int]]:
    found = set()
    for each in answer["credentials"]:
        claims = jws.parse_jws(
            sd_jwt.parse(each["credential"]).issuer_jwt, max_bytes=10**6
        ).unverified_claims()
        entry = claims["status"]["status_list"]
        found.add((entry["uri"], entry["idx"]))
    return found


def records(world: IssuerWorld, person: str = PERSON) -> list[dict[str, Any]]:
    found = world.api("POST", "/issuances/find", {"subject": person}).json()
    return list(found.get("issuances", []))


def acts(world: IssuerWorld) -> Counter[str]:
    with world.issuer.database.reading() as connection:
        return Counter(row.act for row in connection.exec_driver_sql("SELECT act FROM audit"))


def at_once(act: Callable[[int], Any], times: int = THREADS) -> list[Any]:
    gate = Barrier(times)

    def run(number: int) -> Any:
        gate.wait()
        return act(number)

    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(run, range(times)))


# --- Encryption (I-80 to I-82) ---


def published(world: IssuerWorld, tenant: str = "registry") -> EncryptionKey:
    body = world.client.get(f"{WELL_KNOWN}/{tenant}").json()
    return EncryptionKey.from_jwk(body["credential_request_encryption"]["jwks"]["keys"][0])


def sealed(to: EncryptionKey, body: Any, *, enc: str = "A128GCM", kid: Any = ...) -> bytes:
    named = to.kid if kid is ... else kid
    return jwe.encrypt(json.dumps(body).encode(), to=to.public, kid=named, enc=enc).encode()


def asking(key: SoftwareKey, *, enc: str = "A256GCM", **members: Any) -> dict[str, Any]:
    jwk = {**key.public.to_jwk(), "alg": "ECDH-ES", **members}
    return {"credential_response_encryption": {"jwk": jwk, "enc": enc}}


def send(wallet: Wallet, access: str, body: bytes, *, endpoint: str = "credential") -> Any:
    return wallet.request(access, body, endpoint=endpoint, **{"Content-Type": "application/jwt"})


@pytest.mark.parametrize("kid", ["response-key", None])
@pytest.mark.parametrize("enc", ["A128GCM", "A256GCM"])
def test_request_and_answer_are_encrypted(wallet: Wallet, kid: str | None, enc: str) -> None:
    """I-80, I-82, C-04: application/jwt, the wallet's kid if it has one, its enc."""
    key = SoftwareKey.generate(kid=kid or "unused")
    body = wallet.credential_request("pid_sd_jwt", copies=2)
    body |= asking(key, enc=enc, **({"kid": kid} if kid else {}))
    answer = send(wallet, token(wallet, "pid_sd_jwt"), sealed(published(wallet.world), body))
    assert (answer.status, answer.headers["content-type"]) == (200, "application/jwt")
    assert answer.headers["cache-control"] == "no-store"
    header = jwe.parse_jwe(answer.text, max_bytes=10**6).header
    assert (header["alg"], header["enc"], header.get("kid")) == ("ECDH-ES", enc, kid)
    opened = decrypt_response(answer.text, key=key, enc_values=[enc])
    assert len(opened.credentials or ()) == 2
    assert opened.notification_id


def test_an_encrypted_request_may_be_answered_in_the_clear(wallet: Wallet) -> None:
    """I-80, 8.2: response encryption is the wallet's choice."""
    body = sealed(published(wallet.world), wallet.credential_request("pid_sd_jwt"))
    answer = send(wallet, token(wallet, "pid_sd_jwt"), body)
    assert (answer.status, answer.headers["content-type"]) == (200, "application/json")


def test_what_is_encrypted_otherwise_is_refused_in_the_clear(wallet: Wallet) -> None:
    """I-80 to I-82, S-21, CERTIFICATION 1.3: unknown kid or none, zip, alg, enc, noise: 400."""
    access, key, to = token(wallet, "pid_sd_jwt"), SoftwareKey.generate(), published(wallet.world)
    body = wallet.credential_request("pid_sd_jwt")
    stranger = EncryptionKey(SoftwareKey.generate().public, to.kid)
    jwk = key.public.to_jwk()
    refused = [
        sealed(to, body, kid="another"),
        sealed(to, body, kid=None),
        sealed(stranger, body),
        sealed(to, body)[:-4] + b"AAAA",
        b"a.b.c.d.e",
        b"\xff",
        *(
            sealed(to, body | {"credential_response_encryption": each})
            for each in (
                {"jwk": {**jwk, "alg": "UNSUPPORTED_ALG"}, "enc": "A128GCM"},
                {"jwk": jwk, "enc": "A128GCM"},
                {"jwk": {**jwk, "alg": "ECDH-ES"}, "enc": "A128CBC-HS256"},
                {"jwk": {**jwk, "alg": "ECDH-ES"}, "enc": "A128GCM", "zip": "DEF"},
                {"jwk": {**jwk, "alg": "ECDH-ES", "d": "AA"}, "enc": "A128GCM"},
            )
        ),
    ]
    for each in refused:
        answer = send(wallet, access, each)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_encryption_parameters")
        assert answer.headers["content-type"] == "application/json"
    assert send(wallet, access, sealed(to, body)).status == 200


def test_an_error_is_never_encrypted(wallet: Wallet) -> None:
    """I-82, 8.3.1: also when an encrypted answer was asked for."""
    body = wallet.credential_request("nothing") | asking(SoftwareKey.generate())
    answer = send(wallet, token(wallet, "pid_sd_jwt"), sealed(published(wallet.world), body))
    assert (answer.status, answer.json()["error"]) == (400, "unknown_credential_configuration")
    to = published(wallet.world)
    wrong = send(wallet, token(wallet, "pid_sd_jwt"), sealed(to, ["no", "request"]))
    assert (wrong.status, wrong.json()["error"]) == (400, "invalid_credential_request")


def test_a_tenant_may_demand_encryption(world: IssuerWorld) -> None:
    """I-80, I-81: plain requests, and encrypted ones that want a plain answer, are refused."""
    wallet = Wallet(world, tenant="sealed")
    answer = world.client.post(
        "/api/v1/sealed/offers",
        json={"credentials": ["pid_sd_jwt"], "subject": PERSON},
        headers={"Authorization": f"Bearer {world.api_token('sealed')}"},
    )
    access = wallet.redeem(answer.json())
    body = wallet.credential_request("pid_sd_jwt")
    to = published(world, "sealed")
    plain = wallet.request(access, body)
    half = send(wallet, access, sealed(to, body))
    for each in (plain, half):
        assert (each.status, each.json()["error"]) == (400, "invalid_encryption_parameters")
    key = SoftwareKey.generate()
    assert send(wallet, access, sealed(to, body | asking(key))).status == 200


def test_keys_change_and_old_ones_last_until_their_requests_are_over(
    world: IssuerWorld, wallet: Wallet
) -> None:
    """I-80, C-10, S-30: published for a day, good for an hour more, then erased; at rest sealed."""
    old = published(world)
    start = world.clock.now
    day = timedelta(days=1)
    end_of_day = start.replace(hour=0, minute=0, second=0, microsecond=0) + day
    try:
        world.clock.now = end_of_day + timedelta(minutes=59)
        assert published(world).kid != old.kid
        body = sealed(old, wallet.credential_request("pid_sd_jwt"))
        assert send(wallet, token(wallet, "pid_sd_jwt"), body).status == 200
        world.clock.now = end_of_day + timedelta(minutes=61)
        access = token(wallet, "pid_sd_jwt")
        late = send(wallet, access, sealed(old, wallet.credential_request("pid_sd_jwt")))
        assert late.json()["error"] == "invalid_encryption_parameters"
        assert world.count("request_keys") == 3
        clean(world.issuer.database, now=world.clock.now)
        assert world.count("request_keys") == 1  # today's; yesterday's of both tenants are gone
    finally:
        world.clock.now = start


# --- Later (I-73, I-85, I-86) ---


def deferred(wallet: Wallet, access: str, transaction: str, **members: Any) -> Any:
    body = {"transaction_id": transaction, **members}
    return wallet.request(access, body, endpoint="deferred_credential")


def test_what_is_not_ready_is_collected_once_it_is(
    world: IssuerWorld, wallet: Wallet, register: dict[str, Any]
) -> None:
    """I-73, I-85, I-86, S-01, I-112: 202 with the register's own interval; polled too early, 202
    again; then the credentials, for the keys of the first proofs, once. No secret is stored."""
    register[PERSON] = EntryNotReady("register: not finished", retry_after=7)
    access = token(wallet, "pid_sd_jwt")
    keys = [SoftwareKey.generate() for _ in range(3)]
    body = wallet.credential_request("pid_sd_jwt", keys=keys)
    before = world.count("copies"), world.count("deliveries")
    first = wallet.request(access, body)
    assert (first.status, first.headers["cache-control"]) == (202, "no-store")
    assert set(first.json()) == {"transaction_id", "interval"}
    assert first.json()["interval"] == 7
    transaction = first.json()["transaction_id"]
    assert transaction[22:] not in world.dump()
    assert keys[0].public.to_jwk()["x"] not in world.dump()
    early = deferred(wallet, access, transaction)
    assert (early.status, early.json()) == (202, first.json())
    assert (world.count("copies"), world.count("deliveries")) == before
    del register[PERSON]
    ready = deferred(wallet, access, transaction)
    assert ready.status == 200, ready.text
    assert CredentialResponse.from_object(ready.json()).notification_id
    assert set(holders(ready.json())) == {key.public for key in keys}
    assert world.count("deferrals") == 0
    again = deferred(wallet, access, transaction)
    assert (again.status, again.json()["error"]) == (400, "invalid_transaction_id")
    assert world.count("copies") == before[0] + 3


def test_a_deferred_request_sent_again_is_the_same_transaction(
    wallet: Wallet, register: dict[str, Any]
) -> None:
    """DESIGN 7, I-86: the same bytes give the same transaction; once ready, the credentials; then
    there is nothing left to collect."""
    register[PERSON] = EntryNotReady("register: not finished")
    access = token(wallet, "pid_sd_jwt")
    body = wallet.credential_request("pid_sd_jwt")
    first, again = wallet.request(access, body), wallet.request(access, body)
    assert (first.status, first.json()) == (again.status, again.json())
    reused = wallet.credential_request("pid_sd_jwt")
    nonce = jws.parse_jws(body["proofs"]["jwt"][0], max_bytes=10**5).unverified_claims()["nonce"]
    reused["proofs"]["jwt"] = [wallet.proof(nonce=nonce)]
    assert wallet.request(access, reused).json()["error"] == "invalid_nonce"
    del register[PERSON]
    collected = deferred(wallet, access, first.json()["transaction_id"])
    repeated = wallet.request(access, body)
    assert (collected.status, repeated.status) == (200, 200)
    assert places(collected.json()) == places(repeated.json())


def test_a_transaction_belongs_to_its_wallet_and_person(
    world: IssuerWorld, wallet: Wallet, register: dict[str, Any]
) -> None:
    """I-85, I-86: another token, an altered id, noise: invalid_transaction_id."""
    register[PERSON] = EntryNotReady("register: not finished")
    access = token(wallet, "pid_sd_jwt")
    transaction = wallet.request(access, wallet.credential_request("pid_sd_jwt")).json()[
        "transaction_id"
    ]
    del register[PERSON]
    other = Wallet(world)
    stranger = token(other, "pid_sd_jwt", person="AV-000002")
    altered = transaction[:-1] + ("A" if transaction[-1] != "A" else "B")
    for who, with_token, name in (
        (other, stranger, transaction),
        (wallet, access, altered),
        (wallet, access, "x"),
        (wallet, access, "ü"),
    ):
        answer = deferred(who, with_token, name)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_transaction_id")
    for wrong in ({}, {"transaction_id": 7}):
        refused = wallet.request(access, wrong, endpoint="deferred_credential")
        assert (refused.status, refused.json()["error"]) == (400, "invalid_credential_request")
    assert deferred(wallet, access, transaction).status == 200


def test_what_can_never_be_issued_ends_the_transaction(
    world: IssuerWorld, wallet: Wallet, register: dict[str, Any]
) -> None:
    """I-86: credential_request_denied, then there is no transaction any more."""
    register[PERSON] = EntryNotReady("register: not finished")
    access = token(wallet, "pid_sd_jwt")
    transaction = wallet.request(access, wallet.credential_request("pid_sd_jwt")).json()[
        "transaction_id"
    ]
    register[PERSON] = SubjectUnknown("register: struck off")
    denied, gone = deferred(wallet, access, transaction), deferred(wallet, access, transaction)
    assert (denied.status, denied.json()["error"]) == (400, "credential_request_denied")
    assert gone.json()["error"] == "invalid_transaction_id"
    assert world.count("deferrals") == 0


def test_a_type_may_refuse_to_wait(wallet: Wallet, register: dict[str, Any]) -> None:
    """I-86: deferral_days 0; then the offer is refused, and a request is final."""
    access = token(wallet, "no_deferral")
    register[PERSON] = EntryNotReady("register: not finished")
    answer = wallet.request(access, wallet.credential_request("no_deferral"))
    assert (answer.status, answer.json()["error"]) == (400, "credential_request_denied")
    body = {"credentials": ["no_deferral"], "subject": PERSON}
    assert wallet.world.api("POST", "/offers", body).json()["code"] == "subject_not_ready"


def test_a_transaction_is_forgotten(
    world: IssuerWorld, wallet: Wallet, register: dict[str, Any]
) -> None:
    """S-03: the sealed keys go after deferral_days."""
    register[PERSON] = EntryNotReady("register: not finished")
    wallet.request(token(wallet, "pid_sd_jwt"), wallet.credential_request("pid_sd_jwt"))
    assert world.count("deferrals") == 1
    clean(world.issuer.database, now=world.clock() + timedelta(days=29))
    assert world.count("deferrals") == 1
    clean(world.issuer.database, now=world.clock() + timedelta(days=31))
    assert world.count("deferrals") == 0


def test_a_deferred_request_may_be_encrypted(wallet: Wallet, register: dict[str, Any]) -> None:
    """I-82, I-85: by the parameters of the deferred request alone; the 202 form too."""
    register[PERSON] = EntryNotReady("register: not finished")
    access, key, to = token(wallet, "pid_sd_jwt"), SoftwareKey.generate(), published(wallet.world)
    body = wallet.credential_request("pid_sd_jwt") | asking(key)
    later = send(wallet, access, sealed(to, body))
    assert (later.status, later.headers["content-type"]) == (202, "application/jwt")
    transaction = decrypt_response(later.text, key=key, enc_values=["A256GCM"]).transaction_id
    del register[PERSON]
    plain = wallet.request(
        access, {"transaction_id": transaction} | asking(key), endpoint="deferred_credential"
    )
    assert plain.json()["error"] == "invalid_encryption_parameters"
    another = SoftwareKey.generate()
    asked = sealed(to, {"transaction_id": transaction} | asking(another, enc="A128GCM"))
    ready = send(wallet, access, asked, endpoint="deferred_credential")
    assert ready.status == 200
    assert decrypt_response(ready.text, key=another, enc_values=["A128GCM"]).credentials


def test_a_transaction_is_collected_by_one(
    world: IssuerWorld, wallet: Wallet, register: dict[str, Any]
) -> None:
    """I-86, S-02: of many at once one gets the credentials; exact counts."""
    register[PERSON] = EntryNotReady("register: not finished")
    access = token(wallet, "pid_sd_jwt")
    body = wallet.credential_request("pid_sd_jwt", copies=2)
    transaction = wallet.request(access, body).json()["transaction_id"]
    del register[PERSON]
    before = world.count("copies"), acts(world)["credential_issued"]
    answers = at_once(lambda _: deferred(wallet, access, transaction))
    assert Counter(each.status for each in answers) == {200: 1, 400: THREADS - 1}
    assert {each.json().get("error") for each in answers} == {None, "invalid_transaction_id"}
    assert (world.count("copies"), acts(world)["credential_issued"]) == (
        before[0] + 2,
        before[1] + 1,
    )


# --- Again (I-74, DESIGN 7) ---


def test_the_same_request_is_answered_again(world: IssuerWorld, wallet: Wallet) -> None:
    """I-74, DESIGN 7: same keys, same places, one record, counted once; the salts are fresh."""
    access = token(wallet, "pid_sd_jwt", person="AV-000003")
    keys = [SoftwareKey.generate() for _ in range(2)]
    body = wallet.credential_request("pid_sd_jwt", keys=keys)
    before = world.count("copies"), acts(world)["credential_issued"]
    first, again = wallet.request(access, body), wallet.request(access, body)
    assert (first.status, again.status) == (200, 200)
    assert places(first.json()) == places(again.json())
    assert set(holders(first.json())) == set(holders(again.json())) == {k.public for k in keys}
    assert first.json()["notification_id"] == again.json()["notification_id"]
    mine = sd_jwt.parse(first.json()["credentials"][0]["credential"]).disclosures
    theirs = sd_jwt.parse(again.json()["credentials"][0]["credential"]).disclosures
    assert not set(mine) & set(theirs)
    assert world.count("copies") == before[0] + 2
    assert acts(world)["credential_issued"] == before[1] + 1
    assert len(records(world, "AV-000003")) == 1


def test_the_same_request_at_once_is_one_delivery(world: IssuerWorld, wallet: Wallet) -> None:
    """I-74, S-02, ST-31: many at once, each answered, all with the same places."""
    access = token(wallet, "pid_sd_jwt")
    body = wallet.credential_request("pid_sd_jwt", copies=3)
    before = world.count("copies"), world.count("deliveries")
    answers = at_once(lambda _: wallet.request(access, body))
    assert {each.status for each in answers} == {200}
    assert len({frozenset(places(each.json())) for each in answers}) == 1
    assert (world.count("copies"), world.count("deliveries")) == (before[0] + 3, before[1] + 1)


def test_a_repeated_request_gets_nothing_once_it_was_revoked_or_changed(
    world: IssuerWorld, wallet: Wallet, register: dict[str, Any]
) -> None:
    """I-74, I-113: denied after a revocation; after a change of the data a new nonce is needed."""
    person = "AV-000004"
    access = token(wallet, "pid_sd_jwt", person=person)
    body = wallet.credential_request("pid_sd_jwt")
    assert wallet.request(access, body).status == 200
    found = register["known"](person)
    changed = {**found.fields, "family_name": "Changed"}
    register[person] = Entry(person, changed, found.marks, "changed")
    assert wallet.request(access, body).json()["error"] == "invalid_nonce"
    del register[person]
    order = {"subject": person, "reason": "lost_or_stolen"}
    assert world.api("POST", "/issuances/revoke", order, idempotency_key=person).status == 200
    assert wallet.request(access, body).json()["error"] == "credential_request_denied"


# --- One record (DESIGN 7, I-04a) ---


def test_formats_and_copies_of_the_same_data_are_one_record(
    world: IssuerWorld, wallet: Wallet
) -> None:
    """I-04a, I-111, I-113: two formats, five copies, one record, one revocation for all."""
    person = "AV-000005"
    access = token(wallet, "pid_sd_jwt", "pid_mdoc", "residence_sd_jwt", person=person)
    for name, copies in (("pid_sd_jwt", 2), ("pid_mdoc", 2), ("pid_sd_jwt", 1)):
        body = wallet.credential_request(name, copies=copies)
        answer = wallet.request(access, body)
        assert answer.status == 200, answer.text
    assert wallet.request(access, wallet.credential_request("residence_sd_jwt")).status == 200
    found = {each["credential"]: each for each in records(world, person)}
    assert set(found) == {"pid_sd_jwt", "residence_sd_jwt"}
    assert found["pid_sd_jwt"]["credentials"] == ["pid_sd_jwt", "pid_mdoc"]
    narrow = {"subject": person, "reason": "deceased", "credential": "pid_mdoc"}
    moved = world.api("POST", "/issuances/revoke", narrow, idempotency_key=person)
    assert [each["issuance_id"] for each in moved.json()["issuances"]] == [
        found["pid_sd_jwt"]["issuance_id"]
    ]
    with world.issuer.database.reading() as connection:
        states = Counter(
            row.state
            for row in connection.exec_driver_sql(
                "SELECT i.state FROM copies c JOIN issuances i ON i.id = c.issuance_id "  # noqa: S608
                f"WHERE i.offer_id = '{found['pid_sd_jwt']['offer_id']}'"
            )
        )
    assert states == {"revoked": 5, "valid": 1}
    denied = wallet.request(access, wallet.credential_request("pid_sd_jwt"))
    assert denied.json()["error"] == "credential_request_denied"


def test_formats_at_once_are_one_record(world: IssuerWorld) -> None:
    """S-02, ST-31: two formats, many batches at once: one record, every place its own."""
    wallet, person = Wallet(world), "AV-000006"
    access = token(wallet, "pid_sd_jwt", "pid_mdoc", person=person)
    names = ["pid_sd_jwt", "pid_mdoc"]
    bodies = [wallet.credential_request(names[n % 2], copies=4) for n in range(THREADS)]
    before = world.count("copies")
    answers = at_once(lambda number: wallet.request(access, bodies[number]))
    assert {each.status for each in answers} == {200}
    assert world.count("copies") == before + 4 * THREADS  # the unique key holds their places apart
    (found,) = records(world, person)
    assert set(found["credentials"]) == set(names)


def test_a_renewal_reads_the_register_again(world: IssuerWorld, register: dict[str, Any]) -> None:
    """I-114, I-54, DESIGN 7: by refresh token; the same data extends the record, other data makes
    a new one; where the type says so, the old one is revoked; a revoked one is not renewed."""
    person = "AV-000011"
    wallet = AttestedWallet(world)
    scope = f"{wallet.scope('replacing')} {wallet.scope('pid_sd_jwt')}"
    granted = wallet.tokens(person, scope=scope)

    def renewed() -> str:
        answer = wallet.refresh(str(granted["refresh_token"]))
        assert answer.status == 200, answer.text
        return str(answer.json()["access_token"])

    def get(access: str, name: str) -> Any:
        return wallet.request(access, wallet.credential_request(name, client_id=wallet.client_id))

    first = str(granted["access_token"])
    for name in ("replacing", "pid_sd_jwt"):
        answer = get(first, name)
        assert answer.status == 200, answer.text
    assert get(renewed(), "replacing").status == 200
    assert len(records(world, person)) == 2
    found = register["known"](person)
    register[person] = Entry(
        person, {**found.fields, "family_name": "Married"}, found.marks, "another version"
    )
    assert [get(renewed(), name).status for name in ("replacing", "pid_sd_jwt")] == [200, 200]
    states = Counter((each["credential"], each["state"]) for each in records(world, person))
    assert states == {
        ("replacing", "revoked"): 1,
        ("replacing", "valid"): 1,
        ("pid_sd_jwt", "valid"): 2,
    }
    order = {"subject": person, "reason": "withdrawn", "credential": "pid_sd_jwt"}
    assert world.api("POST", "/issuances/revoke", order, idempotency_key=person).status == 200
    register[person] = Entry(person, found.fields, found.marks, "a third version")
    assert get(renewed(), "pid_sd_jwt").json()["error"] == "credential_request_denied"
    assert get(renewed(), "replacing").status == 200


def test_a_refreshed_token_collects_what_was_deferred(
    world: IssuerWorld, register: dict[str, Any]
) -> None:
    """I-85: bound to the wallet and the person, not to the first access token."""
    person = "AV-000008"
    register[person] = EntryNotReady("register: not finished")
    wallet = AttestedWallet(world)
    granted = wallet.tokens(person)
    body = wallet.credential_request("pid_sd_jwt", client_id=wallet.client_id)
    transaction = wallet.request(str(granted["access_token"]), body).json()["transaction_id"]
    world.clock.advance(seconds=400)
    del register[person]
    access = wallet.refresh(str(granted["refresh_token"])).json()["access_token"]
    assert deferred(wallet, access, transaction).status == 200


# --- Notifications (I-90) ---


def test_each_event_is_noted_once(world: IssuerWorld, wallet: Wallet) -> None:
    """I-90, S-02: 204 for everybody, one row of the audit trail for each event."""
    access = token(wallet, "pid_sd_jwt", person="AV-000009")
    name = wallet.credentials(access, "pid_sd_jwt")["notification_id"]
    assert name[22:] not in world.dump()
    before = acts(world)
    for event in ("credential_accepted", "credential_deleted"):
        body = {"notification_id": name, "event": event}
        answers = at_once(
            lambda _, body=body: wallet.request(access, body, endpoint="notification")
        )
        assert {(each.status, each.body) for each in answers} == {(204, b"")}
        assert acts(world)[event] == before[event] + 1
    assert records(world, "AV-000009")[0]["notified"] == "credential_deleted"
    altered = {"notification_id": f"{name[:-1]}{'A' if name[-1] != 'A' else 'B'}", "event": event}
    refused = wallet.request(access, altered, endpoint="notification")
    assert (refused.status, refused.json()["error"]) == (400, "invalid_notification_id")


# --- Key attestations (I-69, I-70) ---


def attest(world: IssuerWorld, keys: list[SoftwareKey], nonce: str | None, **members: Any) -> str:
    made: dict[str, Any] = {
        "signer": world.trust.provider.signer(Role.WALLET_PROVIDER),
        "keys": [key.public for key in keys],
        "nonce": nonce,
        "now": world.clock(),
        "lifetime": timedelta(minutes=10),
        "key_storage": ["iso_18045_high"],
        **members,
    }
    return key_attestation.make(**made)


def test_an_attestation_proves_all_its_keys(world: IssuerWorld, wallet: Wallet) -> None:
    """I-67, I-69, I-70: proofs.attestation, one credential for each attested key."""
    keys = [SoftwareKey.generate() for _ in range(3)]
    body = {
        "credential_configuration_id": "attested_only",
        "proofs": {"attestation": [attest(world, keys, wallet.nonce())]},
    }
    answer = wallet.request(token(wallet, "attested_only"), body)
    assert answer.status == 200, answer.text
    assert set(holders(answer.json())) == {key.public for key in keys}
    assert len(places(answer.json())) == 3


def test_a_type_may_demand_attested_keys(world: IssuerWorld, wallet: Wallet) -> None:
    """I-69, CERTIFICATION 1.3: with it the proof passes; without, badly signed, by a stranger, too
    weak, with another nonce, for another key, expired: invalid_proof; nothing is consumed."""
    access, key, nonce = token(wallet, "attested"), SoftwareKey.generate(), wallet.nonce()

    def answer(attested: str | None) -> Any:
        proof = wallet.proof(key, nonce=nonce, key_attestation=attested)
        body = {"credential_configuration_id": "attested", "proofs": {"jwt": [proof]}}
        return wallet.request(access, body)

    good = attest(world, [key], nonce)
    stranger = world.trust.registry.signer(Role.CREDENTIAL, dns=["issuer.example"])
    broken = good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB")
    for wrong in (
        None,
        broken,
        attest(world, [key], nonce, signer=stranger),
        attest(world, [key], nonce, key_storage=["iso_18045_basic"]),
        attest(world, [key], nonce, key_storage=[]),
        attest(world, [key], None),
        attest(world, [SoftwareKey.generate()], nonce),
        attest(world, [key], nonce, now=world.clock() - timedelta(hours=1)),
    ):
        refused = answer(wrong)
        assert (refused.status, refused.json()["error"]) == (400, "invalid_proof")
    other = answer(attest(world, [key], "made-up"))
    assert other.json()["error"] == "invalid_nonce"
    passed = answer(good)
    assert passed.status == 200, passed.text
    assert holders(passed.json()) == [key.public]


def test_an_attestation_counts_as_long_as_its_provider_stands_by_it(
    world: IssuerWorld, wallet: Wallet
) -> None:
    """I-69, ST-51, E-02: its place in the provider's own list; revoked, or by a stranger's list,
    it is no proof; and the list is fetched whole, once."""
    provider = "https://provider.example"
    uri = f"{provider}/statuslists/1"
    listed = StatusList.empty(2, 2**17)
    listed.set(7, Status.INVALID)
    signer = world.trust.provider.signer(Role.STATUS)
    seen: list[str] = []

    async def serve(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            for _ in range(2):
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
            return
        seen.append(scope["path"])
        by = (
            signer
            if scope["path"] == "/statuslists/1"
            else world.issuer.tenant("registry").status_key
        )
        body = sign_token(
            listed,
            uri=provider + scope["path"],
            signer=by,
            now=world.clock(),
            ttl=timedelta(hours=1),
        ).encode()
        headers = [(b"content-type", b"application/statuslist+jwt")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def answer(index: int, at: str = uri) -> Any:
        key, nonce = SoftwareKey.generate(), wallet.nonce()
        status = {"status_list": {"idx": index, "uri": at}}
        attested = attest(world, [key], nonce, status=status)
        proof = wallet.proof(key, nonce=nonce, key_attestation=attested)
        body = {"credential_configuration_id": "attested", "proofs": {"jwt": [proof]}}
        return wallet.request(token(wallet, "attested"), body)

    with AsgiClient(serve, base_url=provider) as client:
        world.neighbours[provider] = client
        assert answer(3).status == 200
        for index in (7, 2**17):
            refused = answer(index)
            assert (refused.status, refused.json()["error"]) == (400, "invalid_proof")
        assert seen == ["/statuslists/1"]
        assert answer(3, f"{provider}/statuslists/2").status == 503
        del world.neighbours[provider]


def test_an_attestation_whose_status_cannot_be_had_waits(
    world: IssuerWorld, wallet: Wallet
) -> None:
    """I-69, ST-54: 503 and no refusal; the same request may be sent again."""
    key, nonce = SoftwareKey.generate(), wallet.nonce()
    status = {"status_list": {"idx": 1, "uri": "https://wallet.example/statuslists/1"}}
    attested = attest(world, [key], nonce, status=status)
    proof = wallet.proof(key, nonce=nonce, key_attestation=attested)
    body = {"credential_configuration_id": "attested", "proofs": {"jwt": [proof]}}
    answer = wallet.request(token(wallet, "attested"), body)
    assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable")
    pointless = attest(world, [key], nonce, status={"status_list": {"idx": "1"}})
    proof = wallet.proof(key, nonce=nonce, key_attestation=pointless)
    body = {"credential_configuration_id": "attested", "proofs": {"jwt": [proof]}}
    refused = wallet.request(token(wallet, "attested"), body)
    assert (refused.status, refused.json()["error"]) == (400, "invalid_proof")


# --- What time takes (S-03, PAIN_POINTS 2.42) ---


def _renewed_late(world: IssuerWorld) -> dict[str, Any]:
    """An offer that nobody collected for a month, renewed for a week on its last day."""
    offer = world.offer("pid_sd_jwt", subject=PERSON)
    world.clock.advance(days=29)
    renewed = world.api("POST", f"/offers/{offer['offer_id']}/renew", {"expires_in": 604_800})
    assert renewed.status == 200, renewed.text
    world.clock.advance(days=2)
    return dict(renewed.json())


def test_an_offer_that_was_renewed_late_keeps_what_it_needs(
    world: IssuerWorld, wallet: Wallet
) -> None:
    """I-22: as long as it may be collected its content stays."""
    offer = _renewed_late(world)
    clean(world.issuer.database, now=world.clock())
    assert wallet.redeem(offer)


def test_what_one_run_leaves_is_taken_by_the_next_at_once(
    world: IssuerWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S-03: a bound on one run is no bound on how much is erased in time."""
    for _ in range(5):
        world.offer("pid_sd_jwt", subject=PERSON)
    monkeypatch.setattr("issuer_service.cleaning._PORTION", 2)
    monkeypatch.setattr("issuer_service.cleaning._PORTIONS", 1)
    later = world.clock() + timedelta(days=4_000)
    for act in (
        lambda: clean(world.issuer.database, now=later),
        lambda: forget(world.issuer, now=later),
    ):
        runs = 1
        while act():
            runs += 1
        assert runs >= 3
    assert world.count("offers") == 0


def test_ended_offers_and_expired_records_are_forgotten(world: IssuerWorld, wallet: Wallet) -> None:
    """S-03: offers with their grants and tokens after `offer_days`, records after `record_days`.

    Who may still renew keeps his; the audit trail keeps that they were.
    """
    names = ("offers", "grants", "refresh_tokens", "issuances", "deliveries", "copies")

    def counts() -> list[int]:
        return [world.count(each) for each in names]

    def waited(days: int, **settings: int) -> list[int]:
        now, changed = (
            begun + timedelta(days=days),
            world.issuer.settings.model_copy(update=settings),
        )
        clean(world.issuer.database, now=now)
        forget(replace(world.issuer, settings=changed), now=now)
        return counts()

    begun = world.clock()
    waited(4_000, record_days=31)
    assert counts() == [0] * len(names)
    wallet.collect("residence_sd_jwt", subject=PERSON)
    world.offer("pid_sd_jwt", subject=PERSON)
    assert AttestedWallet(world).tokens()["refresh_token"]
    trail = world.count("audit")
    assert counts() == waited(100) == [3, 2, 1, 1, 1, 1]
    assert waited(100, offer_days=31) == [1, 1, 1, 1, 1, 1]
    assert waited(401) == [0, 0, 0, 1, 1, 1]  # records stay, unless the agency says otherwise
    assert waited(30, record_days=31) == [0, 0, 0, 1, 1, 1]
    assert waited(4_000, record_days=31) == [0] * len(names)
    assert world.count("audit") == trail
