"""The verifier and mdocs: what is accepted, and each refused twin with its reason."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import b64url_decode, b64url_encode
from shared.formats import cbor, credential, status_cwt, type_metadata
from shared.formats.credential import Session, Trusted
from shared.formats.status_list import StatusReference
from shared.formats.status_states import Status
from shared.trust import Role
from tests.support.certificates import Authority
from tests.support.clock import NOW
from tests.support.credentials import ES256, SessionProof
from tests.support.mdocs import closed, opened, security_object, signed_again
from tests.support.trust import MDL, MDOC, PID, RESIDENCE, issue, trust_list
from tests.support.verifier import (
    LIST_URI,
    TENANT,
    Asked,
    HolderWallet,
    VerifierWorld,
    shared_trust,
    signer,
)
from verifier_service.queries import BUILT_IN

NAMESPACE = "org.iso.18013.5.1"
CLAIMS: dict[str, Any] = {
    NAMESPACE: {"family_name": "Möbius", "age_over_18": True, "issuing_country": "AV"}
}
TYPE = type_metadata.TypeMetadata.model_validate(
    {"vct": MDL, "claims": [{"path": [NAMESPACE, "age_over_18"]}]}, strict=False
)
AGE = ((NAMESPACE, "age_over_18"),)
TOLERANT = json.loads((BUILT_IN / "over_18.json").read_text()) | {
    "id": "over_18_tolerant",
    "status_unknown": "accept",
}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    trust = replace(shared_trust())
    issues = [issue(PID), issue(RESIDENCE), issue(MDL, format=MDOC)]
    trust.held = trust_list(trust.registry.entry(issues=issues), trust.counter.entry())
    folder = tmp_path_factory.mktemp("v")
    with VerifierWorld.make(
        folder,
        database_url,
        trust=trust,
        tenants={"counter": {**TENANT, "queries": [*TENANT["queries"], TOLERANT["id"]]}},
        queries=[TOLERANT],
    ) as made:
        made.statuses.set(9, Status.INVALID)
        yield made


@dataclass
class Driver:
    """Somebody with a licence; every part of what is shown can be exchanged."""

    world: VerifierWorld
    key: SoftwareKey = field(default_factory=SoftwareKey.generate)

    def ask(self, query: str = "over_18") -> tuple[dict[str, Any], Asked]:
        started = self.world.start(query)
        return started, HolderWallet(self.world).open(started["link"])

    def session(self, asked: Asked, **changes: Any) -> Session:
        request = asked.request
        key = request.encryption_key
        assert key is not None
        session = Session(
            request.client_id.full, request.nonce, request.response_uri, key.public.thumbprint()
        )
        return replace(session, **changes)

    def show(
        self,
        asked: Asked,
        *,
        claims: Any = None,
        paths: Any = AGE,
        session: Session | None = None,
        device: SoftwareKey | None = None,
        says: Any = None,
        **issuing: Any,
    ) -> str:
        signing = issuing.pop("signer", signer(Role.CREDENTIAL))
        options: dict[str, Any] = {
            "metadata": TYPE,
            "holder": self.key.public,
            "status": StatusReference(5, LIST_URI),
            "issued_at": NOW,
            "expires_at": NOW + timedelta(days=90),
            "signer": signing,
        } | issuing
        text = credential.issue(MDOC, claims or CLAIMS, **options)
        if says:
            value = opened(text)
            text = closed(signed_again(value, security_object(value) | says, signing))
        held = credential.receive(
            MDOC,
            text,
            expected_type=options["metadata"].vct,
            keys=[self.key.public],
            trusted=Trusted(frozenset(), pinned=frozenset(signing.certificates)),
            now=NOW,
            algorithms=ES256,
        ).held
        proof = SessionProof(device or self.key, session or self.session(asked))
        return credential.present(held, paths=paths, proof=proof)

    def answer(self, asked: Asked, text: str) -> int:
        wallet = HolderWallet(self.world)
        return wallet.post(asked, wallet.encrypt(asked, {"mdl": [text]})).status


@pytest.fixture
def driver(world: VerifierWorld) -> Driver:
    return Driver(world)


def failed(result: Any) -> tuple[str, str]:
    [shown] = result["verdict"]["credentials"]
    [check] = [each for each in shown["checks"] if each["result"] == "failed"]
    return check["check"], check["reason"]


def test_a_licence_answers_a_question_of_age(driver: Driver) -> None:
    """V-60, V-61, V-63, F-MD-07, HB-26: by an mdoc; nothing of it is kept but the answer."""
    started, asked = driver.ask()
    text = driver.show(asked, paths=[*AGE, (NAMESPACE, "issuing_country")])
    assert driver.answer(asked, text) == 200
    result = driver.world.result(started)
    assert result["verdict"]["accepted"]
    assert result["claims"] == {"mdl": {NAMESPACE: {"age_over_18": True}}}
    [shown] = result["verdict"]["credentials"]
    assert (shown["format"], shown["type"], shown["dropped"]) == (MDOC, MDL, 1)
    checks = {each["check"]: each["result"] for each in shown["checks"]}
    assert checks.pop("sd_hash") == "not_asked"
    assert set(checks.values()) == {"passed"}


@pytest.mark.parametrize("query", ["over_18", TOLERANT["id"]])
def test_a_status_in_an_identifier_list_is_left_to_the_query(driver: Driver, query: str) -> None:
    """F-MD-06, ST-54: known by its syntax alone, so refused unless the query bears it."""
    started, asked = driver.ask(query)
    other = {"identifier_list": {"id": b"7", "uri": "https://lists.example/1"}}
    text = driver.show(asked, says={"status": other})
    tolerated = query == TOLERANT["id"]
    assert driver.answer(asked, text) == (200 if tolerated else 400)
    verdict = driver.world.result(started)["verdict"]
    assert verdict["accepted"] is tolerated
    assert verdict["credentials"][0]["status"] == "list_unreadable"


def bent(text: str, old: bytes, new: bytes) -> str:
    return b64url_encode(b64url_decode(text).replace(old, new))


def twice(text: str) -> str:
    response = opened(text)
    return closed({**response, "documents": response["documents"] * 2})


OTHER_TYPE = type_metadata.TypeMetadata.model_validate(
    {"vct": "org.example.other", "claims": [{"path": [NAMESPACE, "age_over_18"]}]}, strict=False
)
UNDER_18 = {NAMESPACE: {"age_over_18": False, "issuing_country": "AV"}}
STRANGER = Authority.make("Nobody").signer(Profile.MDOC_SIGNER, country="AV")

REFUSED: dict[str, tuple[str, str, Callable[[Driver, Asked], str]]] = {
    "another nonce": (
        "holder_binding",
        "holder_binding",
        lambda d, a: d.show(a, session=d.session(a, nonce="another")),
    ),
    "another verifier": (
        "holder_binding",
        "holder_binding",
        lambda d, a: d.show(a, session=d.session(a, audience="x509_hash:another")),
    ),
    "another response_uri": (
        "holder_binding",
        "holder_binding",
        lambda d, a: d.show(a, session=d.session(a, response_uri="https://thief.example")),
    ),
    "another encryption key": (
        "holder_binding",
        "holder_binding",
        lambda d, a: d.show(a, session=d.session(a, key_thumbprint=bytes(32))),
    ),
    "another device": (
        "holder_binding",
        "holder_binding",
        lambda d, a: d.show(a, device=SoftwareKey.generate()),
    ),
    "issuer unknown": ("chain", "untrusted_issuer", lambda d, a: d.show(a, signer=STRANGER)),
    "no document signer": (
        "chain",
        "untrusted_issuer",
        lambda d, a: d.show(a, signer=signer(Role.STATUS)),
    ),
    "an element was changed": (
        "digests",
        "digest",
        lambda d, a: bent(
            d.show(a, claims=UNDER_18), b"\x6celementValue\xf4", b"\x6celementValue\xf5"
        ),
    ),
    "expired": (
        "validity",
        "expired",
        lambda d, a: d.show(a, expires_at=NOW + timedelta(days=1)),
    ),
    "under 18": ("claims", "claims_missing", lambda d, a: d.show(a, claims=UNDER_18)),
    "not shown": ("claims", "claims_missing", lambda d, a: d.show(a, paths=())),
    "another type": ("issuer", "untrusted_issuer", lambda d, a: d.show(a, metadata=OTHER_TYPE)),
    "revoked": (
        "status",
        "revoked",
        lambda d, a: d.show(a, status=StatusReference(9, LIST_URI)),
    ),
    "two documents": ("shape", "malformed", lambda d, a: twice(d.show(a))),
    "indefinite length": (
        "shape",
        "malformed",
        lambda d, a: b64url_encode(b"\xbf" + b64url_decode(d.show(a))[1:] + b"\xff"),
    ),
    "a key twice": (
        "shape",
        "malformed",
        lambda d, a: bent(d.show(a), b"\xa3\x66status\0", b"\xa4\x66status\0\x66status\0"),
    ),
    "something trails": ("shape", "malformed", lambda d, a: d.show(a) + "AAAA"),
    "deep": ("shape", "malformed", lambda *_: b64url_encode(b"\x81" * 100_000 + b"\0")),
    "large": ("shape", "malformed", lambda *_: b64url_encode(bytes(300_000))),
    "an SD-JWT": ("shape", "malformed", lambda d, _: HolderWallet(d.world).credential()),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_must_not_be_believed_is_refused_with_its_reason(driver: Driver, how: str) -> None:
    """V-60, V-63, F-MD-01 to F-MD-08, HB-20 to HB-26, S-21."""
    check, reason, make = REFUSED[how]
    world = driver.world
    if how == "expired":
        world.clock.advance(days=2)
    started, asked = driver.ask()
    assert driver.answer(asked, make(driver, asked)) == 400
    result = world.result(started)
    assert failed(result) == (check, reason)
    assert "claims" not in result or not result["claims"]
    if how == "expired":
        world.clock.advance(days=-2)


def test_a_list_may_come_as_cwt(driver: Driver) -> None:
    """ST-11, ST-20, ST-51: for mdocs a publisher may have nothing else."""
    publisher = driver.world.statuses.publisher
    before = dict(publisher.documents), publisher.media_type
    uri = LIST_URI.replace("/1", "/cwt")
    bits = driver.world.statuses.bits
    token = status_cwt.sign_token(
        bits, uri=uri, signer=signer(Role.STATUS), now=driver.world.clock(),
        ttl=timedelta(seconds=60),
    )  # fmt: skip
    assert cbor.loads(token).tag == 18
    publisher.documents[uri] = token
    publisher.media_type = status_cwt.MEDIA_TYPE
    started, asked = driver.ask()
    text = driver.show(asked, status=StatusReference(5, uri))
    assert driver.answer(asked, text) == 200
    assert driver.world.result(started)["verdict"]["credentials"][0]["status"] == "valid"
    publisher.documents, publisher.media_type = before


def test_of_32_answers_at_once_exactly_one_is_accepted(driver: Driver) -> None:
    """V-03, S-02: whatever the format."""
    started, asked = driver.ask()
    wallet = HolderWallet(driver.world)
    body = wallet.encrypt(asked, {"mdl": [driver.show(asked)]})
    barrier = threading.Barrier(32)

    def post(_: int) -> int:
        barrier.wait()
        return wallet.post(asked, body).status

    with ThreadPoolExecutor(32) as pool:
        assert Counter(pool.map(post, range(32))) == {200: 1, 400: 31}
    assert driver.world.result(started)["state"] == "verified"
