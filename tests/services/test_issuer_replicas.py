"""Two replicas of one issuer that share nothing but the database and the secrets: each call of a
whole flow goes to the other one than the call before."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from threading import Barrier
from typing import Any

import pytest

from issuer_service.registers import EntryNotReady
from shared.crypto.software import SoftwareKey
from shared.formats.status_list import StatusList
from shared.jose import jwe, jws
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci.messages import decrypt_response
from tests.support.asgi import Answer, AsgiClient
from tests.support.issuer import TENANT, IssuerWorld, Wallet, sample_register

PERSON = "AV-000001"
METADATA = "/.well-known/openid-credential-issuer/registry"
TENANTS: list[dict[str, Any]] = [TENANT]


@dataclass
class Alternating:
    """Stands where a client of one replica stands."""

    clients: list[AsgiClient]
    calls: int = field(default=0)

    def request(self, *arguments: Any, **options: Any) -> Answer:
        self.calls += 1
        return self.clients[self.calls % len(self.clients)].request(*arguments, **options)

    def get(self, path: str, **options: Any) -> Answer:
        return self.request("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        return self.request("POST", path, **options)


@pytest.fixture(scope="module")
def replicas(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[IssuerWorld]]:
    folders = [tmp_path_factory.mktemp(f"replica{number}") for number in range(2)]
    register = sample_register(folders[0])
    made = [
        IssuerWorld.make(each, database_url, register=register, tenants=TENANTS) for each in folders
    ]
    yield made
    for each in made:
        each.close()


@pytest.fixture
def world(replicas: list[IssuerWorld]) -> IssuerWorld:
    """Both, as a load balancer shows them."""
    both: Any = Alternating([each.client for each in replicas])
    return replace(replicas[0], client=both)


def pass_time(replicas: list[IssuerWorld], **delta: float) -> None:
    for each in replicas:
        each.clock.advance(**delta)


def published(client: Any) -> EncryptionKey:
    keys = client.get(METADATA).json()["credential_request_encryption"]["jwks"]["keys"]
    return EncryptionKey.from_jwk(keys[0])


def test_a_whole_flow_goes_to_either(replicas: list[IssuerWorld], world: IssuerWorld) -> None:
    """Issue 5, "Done when": offer, token, nonce, an encrypted request that is deferred, collected,
    sent again, notified, revoked; and the list that says so; the request key changes meanwhile."""
    midnight = replicas[0].clock().replace(hour=0, minute=0, second=0) + timedelta(days=1)
    for each in replicas:
        each.clock.now = midnight - timedelta(minutes=2)
    wallet, key = Wallet(world), SoftwareKey.generate()
    registers = [each.issuer.tenant("registry").register for each in replicas]
    known = [each.entry for each in registers]

    def later(reference: str) -> Any:
        raise EntryNotReady("register: not finished", retry_after=5)

    for each in registers:
        each.entry = later  # type: ignore[method-assign]  # the register is not ready
    access = wallet.redeem(world.offer("pid_sd_jwt", subject=PERSON))
    to = published(world.client)
    jwk = {**key.public.to_jwk(), "alg": "ECDH-ES"}
    asked = {"credential_response_encryption": {"jwk": jwk, "enc": "A256GCM"}}

    def send(endpoint: str, body: dict[str, Any]) -> Answer:
        plain = json.dumps(body | asked).encode()
        token = jwe.encrypt(plain, to=to.public, kid=to.kid, enc="A128GCM")
        headers = {"Content-Type": "application/jwt"}
        found: Answer = wallet.request(access, token.encode(), endpoint=endpoint, **headers)
        return found

    body = wallet.credential_request("pid_sd_jwt", copies=2)
    first = send("credential", body)
    assert first.status == 202
    transaction = decrypt_response(first.text, key=key, enc_values=["A256GCM"]).transaction_id
    pass_time(replicas, minutes=3)
    assert published(world.client).kid != to.kid
    assert send("deferred_credential", {"transaction_id": transaction}).status == 202
    for each, entry in zip(registers, known, strict=True):
        each.entry = entry  # type: ignore[method-assign]  # and now it is
    ready = send("deferred_credential", {"transaction_id": transaction})
    assert ready.status == 200, ready.text
    for _ in range(2):  # at one replica, then at the other
        again = send("credential", body)
        assert again.status == 200, again.text
    opened = decrypt_response(ready.text, key=key, enc_values=["A256GCM"])
    repeated = decrypt_response(again.text, key=key, enc_values=["A256GCM"])
    assert repeated.notification_id == opened.notification_id
    note = {"notification_id": opened.notification_id, "event": "credential_accepted"}
    for _ in range(2):
        assert wallet.request(access, note, endpoint="notification").status == 204
    assert world.count("copies") == 2
    (found,) = world.api("POST", "/issuances/find", {"subject": PERSON}).json()["issuances"]
    assert found["notified"] == "credential_accepted"
    path = f"/issuances/{found['issuance_id']}/revoke"
    assert world.api("POST", path, {"reason": "deceased"}, idempotency_key="x").status == 200
    pass_time(replicas, seconds=4)
    replicas[1].jobs.run_due()
    for each in replicas:
        answer = each.client.get("/registry/statuslists/1")
        said = jws.parse_jws(answer.text, max_bytes=10**7).unverified_claims()
        statuses = StatusList.from_json(said["status_list"])
        for credential in opened.credentials or ():
            claims = jws.parse_jws(
                credential.credential.partition("~")[0], max_bytes=10**6
            ).unverified_claims()
            assert statuses.get(claims["status"]["status_list"]["idx"]) == 1


def test_replicas_agree_on_every_key(replicas: list[IssuerWorld], world: IssuerWorld) -> None:
    """I-80, S-02: whoever makes the key of a period, all publish it; a request made to a key that
    one replica published is opened by the other, also after the key has changed."""
    before = world.count("request_keys")
    old = published(world.client)
    assert published(world.client).kid == old.kid
    pass_time(replicas, hours=24)
    gate = Barrier(8)

    def ask(number: int) -> str | None:
        gate.wait()
        key = replicas[number % 2].issuer.request_keys.current("registry", replicas[0].clock())
        return key.kid

    with ThreadPoolExecutor(8) as pool:
        kids = set(pool.map(ask, range(8)))
    assert len(kids) == 1
    assert kids != {old.kid}
    assert world.count("request_keys") == before + 1
    midnight = replicas[0].clock().replace(hour=0, minute=0, second=0, microsecond=0)
    for each in replicas:
        each.clock.now = midnight + timedelta(minutes=30)
    for each in replicas:
        found = each.issuer.request_keys.by_kid("registry", old.kid, each.clock())
        assert found.kid == old.kid
