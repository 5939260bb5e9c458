"""Each accepted answer has its refused twin: what is wrong, and who is told what."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.errors import Unavailable
from shared.formats import kb_jwt, sd_jwt_vc
from shared.formats.values import Session
from shared.jose import jwe, jws
from shared.oauth.encryption import EncryptionKey
from shared.oauth.messages import make_form
from shared.oid4vp import request, response
from shared.trust import Role
from tests.support.certificates import Authority
from tests.support.clock import NOW
from tests.support.trust import PID, issue, trust_list
from tests.support.verifier import Asked, HolderWallet, VerifierWorld, shared_trust, signer

Answer = Callable[[HolderWallet, Asked], Any]
YEAR = timedelta(days=365)


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(tmp_path_factory.mktemp("verifier"), database_url) as made:
        yield made


def session(asked: Asked, **changes: str) -> Session:
    return Session(
        **{"audience": asked.request.client_id.full, "nonce": asked.request.nonce} | changes
    )


def bent(credential: str, *, part: int) -> str:
    """The credential with one bit changed in a part of its JWT."""
    jwt, rest = credential.split("~", 1)
    parts = jwt.split(".")
    middle = len(parts[part]) // 2
    other = "A" if parts[part][middle] != "A" else "B"
    parts[part] = parts[part][:middle] + other + parts[part][middle + 1 :]
    return ".".join(parts) + "~" + rest


def smuggled(presentation: str) -> str:
    """With a Disclosure that the issuer never committed to."""
    shown, _, proof = presentation.rpartition("~")
    return f"{shown}~WyJhYWFhYWFhYWFhYWFhYWFhYWFhYSIsICJ4IiwgMV0~{proof}"


def stranger(**options: Any) -> SoftwareKey:
    authority = Authority.make("Nobody's Root")
    return authority.signer(Profile.CREDENTIAL, dns=["issuer.example"], **options)


REFUSED: dict[str, tuple[str, str, Callable[[HolderWallet, Asked], dict[str, list[str]]]]] = {
    "issuer signature": (
        "signature",
        "signature",
        lambda w, a: w.present(a, credential=bent(w.credential(), part=2)),
    ),
    "issuer unknown": (
        "chain",
        "untrusted_issuer",
        lambda w, a: w.present(a, credential=w.credential(signer=stranger())),
    ),
    "status certificate signs credentials": (
        "chain",
        "untrusted_issuer",
        lambda w, a: w.present(a, credential=w.credential(signer=signer(Role.STATUS))),
    ),
    "expired": (
        "validity",
        "expired",
        lambda w, a: w.present(
            a,
            credential=w.credential(
                issued_at=NOW - timedelta(days=3), expires_at=NOW - timedelta(days=1)
            ),
        ),
    ),
    "not yet valid": (
        "validity",
        "not_yet_valid",
        lambda w, a: w.present(a, credential=w.credential(issued_at=NOW + timedelta(days=2))),
    ),
    "holder key": (
        "holder_binding",
        "holder_binding",
        lambda w, a: w.present(a, holder=SoftwareKey.generate()),
    ),
    "no key binding": (
        "holder_binding",
        "holder_binding",
        lambda w, a: {"pid": [w.present(a)["pid"][0].rpartition("~")[0] + "~"]},
    ),
    "bound to no key": (
        "holder_binding",
        "holder_binding",
        lambda w, a: w.present(a, credential=w.credential(holder=None)),
    ),
    "made a year ago": (
        "holder_binding",
        "holder_binding",
        lambda w, a: w.present(a, now=NOW - YEAR),
    ),
    "made in a year": (
        "holder_binding",
        "holder_binding",
        lambda w, a: w.present(a, now=NOW + YEAR),
    ),
    "nonce": (
        "nonce",
        "nonce",
        lambda w, a: w.present(a, session=session(a, nonce="another")),
    ),
    "audience": (
        "audience",
        "audience",
        lambda w, a: w.present(a, session=session(a, audience="x509_hash:another")),
    ),
    "audience without prefix": (
        "audience",
        "audience",
        lambda w, a: w.present(a, session=session(a, audience=a.request.client_id.value)),
    ),
    "sd_hash": ("sd_hash", "sd_hash", lambda w, a: w.present(a, shown_other="another~")),
    "a disclosure nobody signed": (
        "digests",
        "digest",
        lambda w, a: {"pid": [smuggled(w.present(a)["pid"][0])]},
    ),
    "another type": (
        "type",
        "type_mismatch",
        lambda w, a: w.present(a, credential=w.credential("urn:example:library-card:1")),
    ),
    "claim withheld": ("claims", "claims_missing", lambda w, a: w.present(a, paths=[])),
    "not a credential": ("shape", "malformed", lambda _w, _a: {"pid": ["nonsense"]}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_presentation_that_fails_a_check_is_rejected(world: VerifierWorld, name: str) -> None:
    """V-42, V-60, V-63, HB-05, T-30, CERTIFICATION 1.7: 400 to the wallet, reasons to the asker."""
    check, reason, make = REFUSED[name]
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    if name == "another type":
        world.trust.held = trust_list(
            shared_trust().registry.entry(issues=[issue(PID), issue("urn:example:library-card:1")]),
            shared_trust().counter.entry(),
        )
    try:
        answer = wallet.post(asked, wallet.encrypt(asked, make(wallet, asked)))
    finally:
        world.trust.held = shared_trust().held
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert reason not in answer.json()["error_description"]
    result = world.result(started)
    assert result["state"] == "rejected"
    assert "claims" not in result
    assert result["verdict"]["reason"] == reason
    (credential,) = result["verdict"]["credentials"]
    assert credential["reason"] == reason
    failed = [each for each in credential["checks"] if each["result"] == "failed"]
    assert [(each["check"], each["reason"]) for each in failed] == [(check, reason)]
    after = credential["checks"][credential["checks"].index(failed[0]) + 1 :]
    assert {each["result"] for each in after} <= {"not_reached"}


def test_values_are_compared_with_their_type(world: VerifierWorld) -> None:
    """Q-14, V-60: 65 is no 18; `false` and the text "true" are not true."""
    for value in (False, "true", 1):
        started = world.start("over_18")
        wallet = HolderWallet(world)
        wallet.claims["age_equal_or_over"] = {"18": value, "65": True}
        answer = wallet.answer(wallet.open(started["link"]))
        assert answer.status == 400
        assert world.result(started)["verdict"]["reason"] == "claims_missing"


def test_an_issuer_of_other_types_is_not_believed(world: VerifierWorld) -> None:
    """C-23, V-62: a valid chain does not mean that this issuer may issue this type."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = wallet.encrypt(asked, wallet.present(asked))
    world.trust.held = trust_list(
        shared_trust().registry.entry(issues=[issue("urn:example:library-card:1")]),
        shared_trust().counter.entry(),
    )
    try:
        assert wallet.post(asked, body).status == 400
    finally:
        world.trust.held = shared_trust().held
    assert world.result(started)["verdict"]["reason"] == "untrusted_issuer"


def test_a_withdrawn_issuer_is_believed_for_what_it_issued_before(world: VerifierWorld) -> None:
    """DESIGN 4: "issued before withdrawal"; issued afterwards it is refused."""
    until = (NOW - timedelta(days=10)).strftime("%Y-%m-%dT%H:%M:%SZ")
    world.trust.held = trust_list(
        shared_trust().registry.entry(valid_until=until), shared_trust().counter.entry()
    )
    try:
        for days, status, reason in ((20, 200, None), (5, 400, "untrusted_issuer")):
            started = world.start("over_18")
            wallet = HolderWallet(world)
            credential = wallet.credential(issued_at=NOW - timedelta(days=days))
            answer = wallet.answer(wallet.open(started["link"]), credential=credential)
            assert answer.status == status
            verdict = world.result(started)["verdict"]
            assert verdict.get("reason") == reason
        checks = {each["check"]: each["result"] for each in verdict["credentials"][0]["checks"]}
        assert (checks["sd_hash"], checks["issuer"]) == ("passed", "failed")
    finally:
        world.trust.held = shared_trust().held


def test_more_than_asked_is_dropped(world: VerifierWorld) -> None:
    """V-61: the answer counts, the rest is not kept."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    paths = [("age_equal_or_over", "18"), ("family_name",), ("birthdate",)]
    assert wallet.answer(asked, paths=paths).status == 200
    assert world.result(started)["claims"] == {"pid": {"age_equal_or_over": {"18": True}}}


def test_digests_of_hidden_elements_are_no_claims(world: VerifierWorld) -> None:
    """V-61, V-63: an array shown in part is answered in part, without what stands for the rest."""
    started = world.start("identity")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    paths = [(name,) for name in ("family_name", "given_name", "birthdate", "place_of_birth")]
    assert wallet.answer(asked, paths=[*paths, ("nationalities", 1)]).status == 200
    assert world.result(started)["claims"]["pid"]["nationalities"] == ["FR"]


def test_a_minimal_cnf_key_is_enough(world: VerifierWorld) -> None:
    """C-08, T-30, CERTIFICATION 1.7 minimal-cnf-jwk: kty, crv, x, y."""
    wallet = HolderWallet(world)
    parsed = jws.parse_jws(wallet.credential().split("~")[0], max_bytes=100_000)
    cnf: Any = parsed.unverified_claims()["cnf"]
    assert set(cnf["jwk"]) == {"kty", "crv", "x", "y"}
    started = world.start()
    assert wallet.answer(wallet.open(started["link"])).status == 200


@pytest.mark.parametrize("seconds", [-290, -10, 10, 50])
def test_a_proof_a_little_early_or_late_passes(world: VerifierWorld, seconds: int) -> None:
    """C-41."""
    started = world.start()
    wallet = HolderWallet(world)
    answer = wallet.answer(wallet.open(started["link"]), now=NOW + timedelta(seconds=seconds))
    assert answer.status == 200


# What does not even open, or is of another request, consumes nothing.


def plain_token(wallet: HolderWallet, asked: Asked) -> bytes:
    token = wallet.present(asked)["pid"][0]
    return make_form({"vp_token": f'{{"pid":["{token}"]}}', "state": str(asked.request.state)})


def sealed(asked: Asked, plaintext: bytes, **changes: Any) -> bytes:
    options: dict[str, Any] = {
        "to": asked.request.encryption_key.public,
        "kid": asked.request.encryption_key.kid,
        "enc": "A256GCM",
        "cty": "json",
    } | changes
    return make_form({"response": jwe.encrypt(plaintext, **options)})


def for_another_key(wallet: HolderWallet, asked: Asked) -> bytes:
    other = EncryptionKey(SoftwareKey.generate().public, asked.request.encryption_key.kid)
    answer = response.presentations(wallet.present(asked), state=asked.request.state)
    return response.encrypt(answer, to=other, enc="A256GCM")


def good_plaintext(wallet: HolderWallet, asked: Asked) -> bytes:
    return response.presentations(wallet.present(asked), state=asked.request.state).to_json()


NOT_CONSUMED: dict[str, Callable[[HolderWallet, Asked], bytes]] = {
    "plain vp_token": plain_token,
    "nothing": lambda _w, _a: b"",
    "empty response": lambda _w, _a: b"response=",
    "not a JWE": lambda _w, _a: make_form({"response": "a.b.c"}),
    "twice": lambda w, a: w.encrypt(a, w.present(a)) + b"&response=x",
    "response and error": lambda w, a: w.encrypt(a, w.present(a)) + b"&error=access_denied",
    "another key": for_another_key,
    "no kid": lambda w, a: sealed(a, good_plaintext(w, a), kid=None),
    "another kid": lambda w, a: sealed(a, good_plaintext(w, a), kid="other"),
    "another state": lambda w, a: w.encrypt(a, w.present(a), state="another"),
    "no state": lambda w, a: w.encrypt(a, w.present(a), state=None),
    "plain error of another request": lambda _w, _a: make_form(
        {"error": "access_denied", "state": "another"}
    ),
}


@pytest.mark.parametrize("name", NOT_CONSUMED)
def test_what_is_not_our_answer_consumes_nothing(world: VerifierWorld, name: str) -> None:
    """V-40, V-41, V-42: 400, and the right answer is still taken."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    answer = wallet.post(asked, NOT_CONSUMED[name](wallet, asked))
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert world.result(started)["state"] == "requested"
    assert wallet.answer(asked).status == 200


def test_the_body_must_be_a_form(world: VerifierWorld) -> None:
    """V-40: another content type is refused, and too much is 413 (S-20)."""
    started = world.start()
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    answer = world.client.post(asked.response_path, json={"response": "x"})
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    large = b"response=" + b"A" * (1024 * 1024)
    assert wallet.post(asked, large).status == 413
    assert wallet.answer(asked).status == 200


MALFORMED: dict[str, Callable[[HolderWallet, Asked], Any]] = {
    "an id we did not ask for": lambda w, a: {"other": w.present(a)["pid"]},
    "two presentations for one": lambda w, a: {"pid": [*w.present(a)["pid"], *w.present(a)["pid"]]},
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_vp_token_of_another_shape_ends_the_transaction(world: VerifierWorld, name: str) -> None:
    """V-60 (1): opened with our key and of our state, so the counter learns it at once."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    answer = wallet.post(asked, wallet.encrypt(asked, MALFORMED[name](wallet, asked)))
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    result = world.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "malformed")


@pytest.mark.parametrize(
    "plaintext",
    [
        b"nonsense",
        b"[]",
        b'{"vp_token": {}}',
        b'{"vp_token": {"pid": "not in an array"}}',
        b'{"vp_token": {"pid": []}}',
        b'{"vp_token": {"pid": [1]}}',
        b'{"state": "x"}',
    ],
)
def test_what_opens_and_is_no_response_ends_the_transaction(
    world: VerifierWorld, plaintext: bytes
) -> None:
    """V-41, V-60 (1), PAIN_POINTS 2.6: a wallet's fault is told at once, not after five minutes."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    assert wallet.post(asked, sealed(asked, plaintext)).status == 400
    result = world.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "malformed")


@pytest.mark.parametrize("encrypted", [True, False])
def test_the_citizen_may_refuse(world: VerifierWorld, encrypted: bool) -> None:
    """V-42, W-63: `access_denied`, in the JWE or plain, is accepted: 200, and the asker is told."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    refusal = response.AuthorizationResponse(error="access_denied", state=asked.request.state)
    if encrypted:
        body = sealed(asked, refusal.to_json())
    else:
        body = make_form({"error": "access_denied", "state": str(asked.request.state)})
    answer = wallet.post(asked, body)
    assert answer.status == 200
    assert "redirect_uri" in answer.json()
    result = world.result(started)
    assert (result["state"], result["verdict"]["wallet_error"]) == ("refused", "access_denied")


@pytest.mark.parametrize(
    ("said", "kept"),
    [("vp_formats_not_supported", "vp_formats_not_supported"), ("Erika Möbius", "other")],
)
def test_other_errors_of_a_wallet_end_the_transaction(
    world: VerifierWorld, said: str, kept: str
) -> None:
    """V-42: with the registered code; free text of the sender is not kept."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = make_form(
        {"error": said, "error_description": "secret", "state": str(asked.request.state)}
    )
    assert wallet.post(asked, body).status == 200
    result = world.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "wallet_error")
    assert result["verdict"]["wallet_error"] == kept
    assert "secret" not in str(world.row(started))


def test_a_second_answer_is_refused(world: VerifierWorld) -> None:
    """V-03, V-42, S-02: also a bad one after a good one; the first verdict stays."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = wallet.encrypt(asked, wallet.present(asked))
    assert wallet.post(asked, body).status == 200
    for again in (body, b"response=x", wallet.encrypt(asked, wallet.present(asked, paths=[]))):
        answer = wallet.post(asked, again)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert world.result(started)["state"] == "verified"


def test_an_expired_request_takes_no_answer(world: VerifierWorld) -> None:
    """V-03, V-13, V-42: 410 for the request, 400 for the answer, `expired` for the asker."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = wallet.encrypt(asked, wallet.present(asked))
    world.clock.advance(minutes=5)
    try:
        assert wallet.fetch(started["link"])[1].status == 410
        assert wallet.post(asked, body).status == 400
        assert world.result(started)["state"] == "expired"
    finally:
        world.clock.now = NOW


def test_a_stale_trust_list_is_said_as_such(
    world: VerifierWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Issue item 7, "What bad input gets": never merged with "invalid"; ends the transaction."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    body = wallet.encrypt(asked, wallet.present(asked))

    class Stale(Unavailable):
        code = "trust_list_stale"

    def stale() -> None:
        raise Stale("trust list: expired")

    monkeypatch.setattr(world.trust, "current", stale)
    assert wallet.post(asked, body).status == 503
    assert world.start("over_18", expect=503)["code"] == "trust_list_stale"
    monkeypatch.undo()
    result = world.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "trust_list_stale")


def test_a_credential_never_passes_as_its_own_key_binding(world: VerifierWorld) -> None:
    """S-04: the typ of a KB-JWT is demanded."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    shown = wallet.present(asked)["pid"][0].rpartition("~")[0] + "~"
    claims: dict[str, Any] = {
        "iat": int(NOW.timestamp()),
        "aud": asked.request.client_id.full,
        "nonce": asked.request.nonce,
        "sd_hash": kb_jwt.sd_hash(shown),
    }
    forged = shown + jws.sign_jwt(claims, typ=sd_jwt_vc.TYP, signer=wallet.holder)
    assert wallet.post(asked, wallet.encrypt(asked, {"pid": [forged]})).status == 400
    assert world.result(started)["state"] == "rejected"


def test_the_audience_is_the_full_client_id_of_the_request(world: VerifierWorld) -> None:
    """HB-03: prefix included, as the signed object says it."""
    started = world.start()
    asked = HolderWallet(world).open(started["link"])
    parsed = jws.parse_jws(asked.object, max_bytes=request.MAX_BYTES).unverified_claims()
    assert asked.request.client_id.full == parsed["client_id"]
    assert asked.request.client_id.full.startswith("x509_hash:")
