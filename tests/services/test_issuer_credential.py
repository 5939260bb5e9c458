"""The credential and notification endpoints: every refusal, and that it consumes nothing."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_encode, to_numeric_date
from shared.jose import jws
from shared.oauth.dpop import token_hash
from tests.support.clock import NOW
from tests.support.issuer import IssuerWorld, Wallet, sample_register

URL = "https://issuer.example/registry/credential"


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(folder, database_url, register=sample_register(folder))
    yield made
    made.close()


@pytest.fixture
def wallet(world: IssuerWorld) -> Wallet:
    return Wallet(world)


@pytest.fixture
def token(world: IssuerWorld, wallet: Wallet) -> str:
    return wallet.redeem(world.offer("pid_sd_jwt", subject="AV-000001"))


def with_claims(wallet: Wallet, token: str, *, header: Any = None, **claims: Any) -> str:
    """A DPoP proof with claims and header parameters of choice; None leaves one out."""
    members: dict[str, Any] = {
        "jti": b64url_encode(wallet.random_bytes(16)),
        "htm": "POST",
        "htu": URL,
        "iat": to_numeric_date(wallet.world.clock()),
        "ath": token_hash(token),
        **claims,
    }
    parameters = {"jwk": wallet.key.public.to_jwk(), **(header or {})}
    return jws.sign_jwt(
        {name: value for name, value in members.items() if value is not None},
        typ=parameters.pop("typ", "dpop+jwt"),
        signer=wallet.key,
        header={name: value for name, value in parameters.items() if value is not None},
    )


def raw(header: dict[str, Any], claims: dict[str, Any], signature: bytes = b"\0" * 64) -> str:
    parts = (json.dumps(header).encode(), json.dumps(claims).encode(), signature)
    return ".".join(b64url_encode(each) for each in parts)


@pytest.mark.parametrize(
    ("claims", "header"),
    [
        ({"htm": "GET"}, {}),
        ({"htm": None}, {}),
        ({"htu": "https://issuer.example/registry/notification"}, {}),
        ({"htu": "https://issuer.example/other/credential"}, {}),
        ({"htu": None}, {}),
        ({"iat": to_numeric_date(NOW) - 3600}, {}),
        ({"iat": to_numeric_date(NOW) + 3600}, {}),
        ({"iat": None}, {}),
        ({"iat": "now"}, {}),
        ({"jti": None}, {}),
        ({"ath": None}, {}),
        ({"ath": token_hash("another")}, {}),
        ({}, {"typ": "jwt"}),
        ({}, {"jwk": None}),
        ({}, {"jwk": SoftwareKey.generate().public.to_jwk()}),
        ({}, {"jwk": {**SoftwareKey.generate().public.to_jwk(), "d": "AA"}}),
    ],
)
def test_a_bad_proof_is_refused_at_the_resource(
    world: IssuerWorld, wallet: Wallet, token: str, claims: dict[str, Any], header: dict[str, Any]
) -> None:
    """T-04, I-33, I-95: 401 with WWW-Authenticate: DPoP, and the token is still good."""
    proof = with_claims(wallet, token, header=header, **claims)
    answer = wallet.request(token, wallet.credential_request("pid_sd_jwt"), dpop=proof)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_dpop_proof")
    assert answer.headers["www-authenticate"].startswith("DPoP ")
    assert 'algs="ES256"' in answer.headers["www-authenticate"]
    assert wallet.credentials(token, "pid_sd_jwt")


@pytest.mark.parametrize("alg", ["none", "RS256", "HS256", None])
def test_a_proof_with_another_algorithm_is_refused(
    wallet: Wallet, token: str, alg: str | None
) -> None:
    """T-04, C-03: also without alg, and with a signature that would not be looked at."""
    header = {"typ": "dpop+jwt", "jwk": wallet.key.public.to_jwk()}
    claims = {"jti": "x", "htm": "POST", "htu": URL, "iat": to_numeric_date(NOW)}
    proof = raw(header | ({"alg": alg} if alg else {}), claims)
    answer = wallet.request(token, wallet.credential_request("pid_sd_jwt"), dpop=proof)
    assert (answer.status, answer.json()["error"]) == (401, "invalid_dpop_proof")


@pytest.mark.parametrize(
    "claims",
    [
        {"htu": URL + "?a=b#c"},
        {"htu": "HTTPS://ISSUER.example:443/registry/credential"},
        {"iat": to_numeric_date(NOW) - 10},
        {"iat": to_numeric_date(NOW) + 10},
        {"colour": "blue"},
    ],
)
def test_a_proof_that_differs_harmlessly_is_accepted(
    world: IssuerWorld, wallet: Wallet, token: str, claims: dict[str, Any]
) -> None:
    """T-04, I-33, C-41: query and fragment, case and default port, ten seconds, extra claims."""
    world.clock.now = NOW
    proof = with_claims(wallet, token, **claims)
    answer = wallet.request(token, wallet.credential_request("pid_sd_jwt"), dpop=proof)
    assert answer.status == 200, answer.text


def test_a_proof_is_good_once_at_the_resource(wallet: Wallet, token: str) -> None:
    """T-04, S-02: jti twice."""
    proof = wallet.dpop("credential", access_token=token)
    first = wallet.request(token, wallet.credential_request("pid_sd_jwt"), dpop=proof)
    again = wallet.request(token, wallet.credential_request("pid_sd_jwt"), dpop=proof)
    assert (first.status, again.status) == (200, 401)
    assert again.json()["error"] == "invalid_dpop_proof"


def _post(world: IssuerWorld, headers: list[tuple[str, str]], path: str = "") -> Any:
    return world.client.post(f"/registry/credential{path}", json={}, headers=headers)


def test_the_token_comes_once_in_its_header_with_its_key(
    world: IssuerWorld, wallet: Wallet, token: str
) -> None:
    """T-04, T-05, I-36: Bearer, none, two, in the query, two proofs, another key, unknown."""
    proof = wallet.dpop("credential", access_token=token)
    other = Wallet(world).dpop("credential", access_token=token)
    good = ("Authorization", f"DPoP {token}")
    for headers in (
        [("Authorization", f"Bearer {token}"), ("DPoP", proof)],
        [("DPoP", proof)],
        [good, good, ("DPoP", proof)],
        [good, ("DPoP", other)],
        [("Authorization", "DPoP unknown"), ("DPoP", proof)],
        [("Authorization", f"DPoP {token}x"), ("DPoP", proof)],
    ):
        answer = _post(world, headers)
        assert (answer.status, answer.json()["error"]) == (401, "invalid_token"), headers
        assert answer.headers["www-authenticate"].startswith("DPoP ")
    for headers in ([good], [good, ("DPoP", proof), ("DPoP", proof)], [good, ("DPoP", "a.b")]):
        answer = _post(world, headers)
        assert (answer.status, answer.json()["error"]) == (401, "invalid_dpop_proof")
    in_query = _post(world, [good, ("DPoP", proof)], f"?access_token={token}")
    assert (in_query.status, in_query.json()["error"]) == (400, "invalid_request")


def test_header_names_are_read_in_any_case(world: IssuerWorld, wallet: Wallet, token: str) -> None:
    """T-04."""
    proof = wallet.dpop("credential", access_token=token)
    body = wallet.credential_request("pid_sd_jwt")
    headers = {"aUTHORIZATION": f"dpop {token}", "dPoP": proof}
    assert world.client.post("/registry/credential", json=body, headers=headers).status == 200


def test_a_token_ends(world: IssuerWorld, wallet: Wallet, token: str) -> None:
    """I-53: after 300 s it is invalid_token."""
    world.clock.advance(seconds=300)
    answer = wallet.request(token, wallet.credential_request("pid_sd_jwt"))
    assert (answer.status, answer.json()["error"]) == (401, "invalid_token")


REQUESTS: list[tuple[dict[str, Any], int, str]] = [
    ({"proofs": None}, 400, "invalid_proof"),
    ({"proofs": {}}, 400, "invalid_credential_request"),
    ({"proofs": {"jwt": []}}, 400, "invalid_credential_request"),
    ({"proofs": {"jwt": "text"}}, 400, "invalid_credential_request"),
    ({"proofs": {"jwt": ["a.b.c"]}}, 400, "invalid_proof"),
    ({"proofs": {"jwt": ["a.b.c"], "attestation": ["a.b.c"]}}, 400, "invalid_credential_request"),
    ({"proofs": {"attestation": ["a.b.c"]}}, 400, "invalid_proof"),
    ({"proofs": None, "proof": {"proof_type": "jwt", "jwt": "a.b.c"}}, 400, "invalid_proof"),
    ({"credential_configuration_id": "nothing"}, 400, "unknown_credential_configuration"),
    ({"credential_configuration_id": "residence_sd_jwt"}, 403, "insufficient_scope"),
    ({"credential_configuration_id": None}, 400, "invalid_credential_request"),
    ({"credential_identifier": "x"}, 400, "invalid_credential_request"),
    (
        {"credential_configuration_id": None, "credential_identifier": "x"},
        400,
        "unknown_credential_identifier",
    ),
    (
        {"credential_response_encryption": {"jwk": {"kty": "EC"}, "enc": "A128GCM"}},
        400,
        "invalid_encryption_parameters",
    ),
    (
        {"credential_response_encryption": {"jwk": {"kty": "EC"}, "enc": "A1KW"}},
        400,
        "invalid_encryption_parameters",
    ),
]


@pytest.mark.parametrize(("changes", "status", "error"), REQUESTS)
def test_a_refused_request_consumes_nothing(
    world: IssuerWorld,
    wallet: Wallet,
    token: str,
    changes: dict[str, Any],
    status: int,
    error: str,
) -> None:
    """T-05, I-66, I-67, I-81, I-95: the registered code; nonce and token are still good."""
    body = wallet.credential_request("pid_sd_jwt")
    wrong = {name: value for name, value in {**body, **changes}.items() if value is not None}
    before = world.count("copies")
    answer = wallet.request(token, wrong)
    assert (answer.status, answer.json()["error"]) == (status, error)
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.headers["cache-control"] == "no-store"
    assert world.count("copies") == before
    assert wallet.request(token, body).status == 200


@pytest.mark.parametrize(
    ("proof", "error"),
    [
        ({"audience": URL}, "invalid_proof"),
        ({"audience": "https://issuer.example/other"}, "invalid_proof"),
        ({"client_id": "https://wallet.example"}, "invalid_proof"),
        ({"now": NOW - timedelta(hours=1)}, "invalid_proof"),
        ({"nonce": "made-up"}, "invalid_nonce"),
    ],
)
def test_a_bad_key_proof_is_refused(
    world: IssuerWorld, wallet: Wallet, token: str, proof: dict[str, Any], error: str
) -> None:
    """T-05, I-68: audience, iss of an anonymous wallet, time, nonce."""
    world.clock.now = NOW
    body = {
        "credential_configuration_id": "pid_sd_jwt",
        "proofs": {"jwt": [wallet.proof(**proof)]},
    }
    answer = wallet.request(token, body)
    assert (answer.status, answer.json()["error"]) == (400, error)


def test_a_key_proof_without_nonce_or_with_a_broken_signature_is_invalid(
    wallet: Wallet, token: str
) -> None:
    """T-05: a missing nonce is invalid_proof, a wrong one invalid_nonce."""
    key = SoftwareKey.generate()
    claims: dict[str, Any] = {
        "aud": "https://issuer.example/registry", "iat": to_numeric_date(wallet.world.clock())
    }  # fmt: skip
    header = {"jwk": key.public.to_jwk()}
    without = jws.sign_jwt(claims, typ="openid4vci-proof+jwt", signer=key, header=header)
    good = wallet.proof(key)
    broken = good[:-6] + ("AAAAAA" if good[-6:] != "AAAAAA" else "BBBBBB")
    for proof in (without, broken):
        body = {"credential_configuration_id": "pid_sd_jwt", "proofs": {"jwt": [proof]}}
        assert wallet.request(token, body).json()["error"] == "invalid_proof"


def test_one_bad_proof_fails_the_batch(wallet: Wallet, token: str) -> None:
    """I-68: all proofs are checked."""
    body = wallet.credential_request("pid_sd_jwt", copies=3)
    body["proofs"]["jwt"][2] = wallet.proof(audience="https://other.example")
    assert wallet.request(token, body).json()["error"] == "invalid_proof"


def test_a_key_gets_one_credential(wallet: Wallet, token: str) -> None:
    """I-70: the same key twice in a request is invalid_proof."""
    key = SoftwareKey.generate()
    body = wallet.credential_request("pid_sd_jwt", keys=[key, key])
    assert wallet.request(token, body).json()["error"] == "invalid_proof"


def test_a_batch_has_its_limit(wallet: Wallet, token: str) -> None:
    """I-67, S-21: 21 proofs are too many; a type may give fewer copies than were proven."""
    body = wallet.credential_request("pid_sd_jwt", copies=21)
    assert wallet.request(token, body).json()["error"] == "invalid_credential_request"
    other = wallet.redeem(wallet.world.offer("residence_sd_jwt", subject="AV-000001"))
    response = wallet.credentials(other, "residence_sd_jwt", copies=12)
    assert len(response["credentials"]) == 10


def test_a_nonce_is_good_once_and_for_five_minutes(
    world: IssuerWorld, wallet: Wallet, token: str
) -> None:
    """I-61, T-05, S-02: the second use and the late one are invalid_nonce."""
    nonce = wallet.nonce()

    def request() -> dict[str, Any]:
        proofs = {"jwt": [wallet.proof(nonce=nonce)]}
        return {"credential_configuration_id": "pid_sd_jwt", "proofs": proofs}

    assert wallet.request(token, request()).status == 200
    again = wallet.request(token, request())
    assert (again.status, again.json()["error"]) == (400, "invalid_nonce")
    nonce = wallet.nonce()
    world.clock.advance(seconds=299)
    fresh = wallet.redeem(world.offer("pid_sd_jwt", subject="AV-000001"))
    world.clock.advance(seconds=1)
    assert wallet.request(fresh, request()).json()["error"] == "invalid_nonce"


def test_a_repeated_request_gets_fresh_copies_and_revokes_nothing(
    world: IssuerWorld, wallet: Wallet, token: str
) -> None:
    """I-74: the same token again; but not without end."""
    first = wallet.credentials(token, "pid_sd_jwt", copies=20)["credentials"]
    second = wallet.credentials(token, "pid_sd_jwt", copies=20)["credentials"]
    assert not {each["credential"] for each in first} & {each["credential"] for each in second}
    for _ in range(3):
        wallet.credentials(token, "pid_sd_jwt", copies=20)
    spent = wallet.request(token, wallet.credential_request("pid_sd_jwt"))
    assert (spent.status, spent.json()["error"]) == (401, "invalid_token")


def test_unknown_members_are_ignored_and_repeated_ones_refused(wallet: Wallet, token: str) -> None:
    """T-05, C-31, C-32, 8.3.1.2."""
    body = {**wallet.credential_request("pid_sd_jwt"), "colour": "blue"}
    assert wallet.request(token, body).status == 200
    text = json.dumps(wallet.credential_request("pid_sd_jwt"))
    twice = text[:-1] + ', "credential_configuration_id": "pid_sd_jwt"}'
    assert wallet.request(token, twice.encode()).json()["error"] == "invalid_credential_request"
    for wrong in (b"", b"[]", b"{", b'"x"', b"\xff"):
        answer = wallet.request(token, wrong)
        assert (answer.status, answer.json()["error"]) == (400, "invalid_credential_request")


def test_too_large_a_request_is_cut_off(wallet: Wallet, token: str) -> None:
    """S-20: 256 KiB."""
    assert wallet.request(token, b"[" * (256 * 1024 + 1)).status == 413


def test_who_died_meanwhile_gets_no_credential(world: IssuerWorld, wallet: Wallet) -> None:
    """Issue 1: the register is asked again; credential_request_denied, the log says why."""
    register = world.issuer.tenant("registry").register
    token = wallet.redeem(world.offer("pid_sd_jwt", subject="AV-000020"))
    known = register.entry

    def changed(reference: str) -> Any:
        found = known(reference)
        return type(found)(found.reference, found.fields, frozenset({"deceased"}), "2")

    register.entry = changed  # type: ignore[method-assign]  # the register changes under us
    try:
        answer = wallet.request(token, wallet.credential_request("pid_sd_jwt"))
    finally:
        register.entry = known  # type: ignore[method-assign]  # and back
    assert (answer.status, answer.json()["error"]) == (400, "credential_request_denied")
    assert "deceased" not in answer.text


def test_a_silent_register_is_not_a_refusal(world: IssuerWorld, wallet: Wallet) -> None:
    """Issue 1, "What bad input gets": 503, and the same request succeeds when it is back."""
    from shared.errors import Unavailable

    register = world.issuer.tenant("registry").register
    token = wallet.redeem(world.offer("pid_sd_jwt", subject="AV-000001"))
    body = wallet.credential_request("pid_sd_jwt")
    known = register.entry

    def silent(reference: str) -> Any:
        raise Unavailable("register: away")

    register.entry = silent  # type: ignore[method-assign]  # the register goes away
    try:
        answer = wallet.request(token, body)
    finally:
        register.entry = known  # type: ignore[method-assign]  # and comes back
    assert (answer.status, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert "retry-after" in answer.headers
    assert wallet.request(token, body).status == 200


def test_the_nonce_endpoint_makes_no_row(world: IssuerWorld) -> None:
    """I-60, DESIGN "Decided": POST, no token, no-store, unpredictable; GET is 405."""
    before = world.count("used_values")
    answers = [world.client.post("/registry/nonce") for _ in range(5)]
    assert {each.status for each in answers} == {200}
    assert {each.headers["cache-control"] for each in answers} == {"no-store"}
    assert len({each.json()["c_nonce"] for each in answers}) == 5
    assert world.count("used_values") == before
    assert world.client.get("/registry/nonce").status == 405
    assert world.client.post("/nobody/nonce").status == 404


def test_a_notification_is_noted_however_often(world: IssuerWorld, wallet: Wallet) -> None:
    """I-90: 204, idempotent; another token's id and an unknown event are refused."""
    token = wallet.redeem(world.offer("pid_sd_jwt", subject="AV-000002"))
    name = wallet.credentials(token, "pid_sd_jwt")["notification_id"]
    body = {"notification_id": name, "event": "credential_accepted", "event_description": "Kept."}
    for _ in range(2):
        answer = wallet.request(token, body, endpoint="notification")
        assert (answer.status, answer.body) == (204, b"")
    assert (
        world.api("POST", "/issuances/find", {"subject": "AV-000002"}).json()["issuances"][0][
            "notified"
        ]
        == "credential_accepted"
    )
    other = wallet.redeem(world.offer("pid_sd_jwt", subject="AV-000001"))
    foreign = wallet.request(other, body, endpoint="notification")
    assert (foreign.status, foreign.json()["error"]) == (400, "invalid_notification_id")
    for wrong in ({**body, "event": "credential_lost"}, {"event": "credential_accepted"}):
        refused = wallet.request(token, wrong, endpoint="notification")
        assert (refused.status, refused.json()["error"]) == (400, "invalid_notification_request")
