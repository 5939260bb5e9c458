"""A question, a request, an answer, a verdict: the verifier as its agency and a wallet see it."""

import base64
import hashlib
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from typing import Any

import pytest

from shared.encoding import b64url_encode, dump_json
from shared.errors import VerificationError
from shared.jose import jws
from shared.oid4vp import request
from shared.trust import Role
from tests.support.verifier import (
    PUBLIC_URL,
    RETURN_URL,
    HolderWallet,
    VerifierWorld,
    response_code,
    signer,
)
from verifier_service.request_keys import RequestKeys


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(tmp_path_factory.mktemp("verifier"), database_url) as made:
        yield made


def payload(signed: str) -> dict[str, Any]:
    return dict(jws.parse_jws(signed, max_bytes=request.MAX_BYTES).unverified_claims())


def test_an_agency_verifies_with_two_calls(world: VerifierWorld) -> None:
    """V-01, V-02, V-10, V-42, V-60, V-63: start, read; between them only the wallet."""
    started = world.start("over_18")
    wallet = HolderWallet(world)
    answer = wallet.answer(wallet.open(started["link"]))
    assert answer.status == 200
    assert set(answer.json()) == {"redirect_uri"}
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    result = world.result(started)
    assert result["state"] == "verified"
    assert result["claims"] == {"pid": {"age_equal_or_over": {"18": True}}}
    assert result["verdict"]["accepted"] is True
    assert result["verdict"]["test"] is True
    (credential,) = result["verdict"]["credentials"]
    assert credential["issuer"]["id"] == "ent_registry"
    assert credential["status"] == "valid"
    assert {each["result"] for each in credential["checks"]} == {"passed"}


@pytest.mark.parametrize(
    ("query", "claims"),
    [
        (
            "identity",
            {
                "pid": {
                    "family_name": "Möbius",
                    "given_name": "Erika",
                    "birthdate": "1964-08-12",
                    "place_of_birth": {"locality": "Köln", "country": "DE"},
                    "nationalities": ["DE", "FR"],
                }
            },
        ),
        (
            "address",
            {
                "residence": {
                    "family_name": "Möbius",
                    "given_name": "Erika",
                    "address": {"locality": "Köln", "street_address": "Heidestraße 17"},
                }
            },
        ),
    ],
)
def test_each_built_in_query_gets_its_claims(
    world: VerifierWorld, query: str, claims: dict[str, Any]
) -> None:
    """V-30, V-61: what was asked for, and nothing else."""
    started = world.start(query)
    wallet = HolderWallet(world)
    assert wallet.answer(wallet.open(started["link"])).status == 200
    assert world.result(started)["claims"] == claims


def test_the_request_object_is_what_certification_demands(world: VerifierWorld) -> None:
    """V-11, V-12, V-14, V-20, V-21, V-22, CERTIFICATION 2.5.1 to 2.5.3."""
    started = world.start("over_18")
    asked = HolderWallet(world).open(started["link"])
    parsed = jws.parse_jws(asked.object, max_bytes=request.MAX_BYTES)
    leaf = signer(Role.ACCESS, "counter").certificates[0]
    assert dict(parsed.header) == {
        "alg": "ES256",
        "typ": "oauth-authz-req+jwt",
        "x5c": [base64.b64encode(leaf).decode()],
    }
    claims = payload(asked.object)
    assert set(claims) == {
        "client_id",
        "aud",
        "iat",
        "exp",
        "response_type",
        "response_mode",
        "response_uri",
        "nonce",
        "state",
        "dcql_query",
        "client_metadata",
        "verifier_info",
    }
    assert claims["client_id"] == f"x509_hash:{b64url_encode(hashlib.sha256(leaf).digest())}"
    assert claims["aud"] == "https://self-issued.me/v2"
    assert claims["response_type"] == "vp_token"
    assert claims["response_mode"] == "direct_post.jwt"
    assert claims["response_uri"].startswith(f"{PUBLIC_URL}/counter/response/")
    assert re.fullmatch(r"[A-Za-z0-9\-._~]{43}", claims["nonce"])
    assert re.fullmatch(r"[A-Za-z0-9\-._~]{43}", claims["state"])
    assert claims["verifier_info"] == [
        {
            "format": "citizen-wallet-registration",
            "data": {"entity": "ent_counter", "purpose": "proof_of_age"},
        }
    ]
    metadata = claims["client_metadata"]
    assert set(metadata) == {
        "jwks",
        "encrypted_response_enc_values_supported",
        "vp_formats_supported",
    }
    assert metadata["encrypted_response_enc_values_supported"] == ["A128GCM", "A256GCM"]
    assert metadata["vp_formats_supported"] == {
        "dc+sd-jwt": {"sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"]},
        "mso_mdoc": {"issuerauth_alg_values": [-7, -9], "deviceauth_alg_values": [-7, -9]},
    }
    (key,) = metadata["jwks"]["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert (key["alg"], key["use"], key["crv"]) == ("ECDH-ES", "enc", "P-256")


def test_key_nonce_and_state_are_new_for_each_request(world: VerifierWorld) -> None:
    """V-12, V-21, T-30: never repeated."""
    wallet = HolderWallet(world)
    objects = [payload(wallet.open(world.start()["link"]).object) for _ in range(8)]
    for name in ("nonce", "state", "response_uri"):
        assert len({each[name] for each in objects}) == 8
    assert len({each["client_metadata"]["jwks"]["keys"][0]["x"] for each in objects}) == 8


def test_keys_open_for_their_own_request_also_as_they_were_sealed_before(
    world: VerifierWorld,
) -> None:
    """V-21: a transaction that a replica of the last version began ends here."""
    keys = RequestKeys.make(
        world.verifier.random_bytes,
        mode="direct_post.jwt",
        kid="r",
        result_key=bytes(32),
        audience="x509_hash:a",
        response_uri="https://verifier.example/counter/response/r",
    )
    place = {"tenant": "counter", "request_id": "r"}
    assert_same(RequestKeys.open(world.verifier, keys.seal(world.verifier, **place), **place), keys)
    said: dict[str, Any] = {"mode": keys.mode, "nonce": keys.nonce, "state": keys.state} | {
        "audience": keys.audience,
        "response_uri": keys.response_uri,
        "transaction_data": [],
    }
    before = world.verifier.keys.seal(
        keys.decrypter.scalar() + keys.result_key + dump_json(said),
        aad=b"transaction keys 2:counter:r",
    )
    assert_same(RequestKeys.open(world.verifier, before, **place), keys)
    with pytest.raises(VerificationError):
        RequestKeys.open(world.verifier, before, tenant="counter", request_id="s")


def assert_same(found: RequestKeys, keys: RequestKeys) -> None:
    assert replace(found, decrypter=keys.decrypter) == keys
    assert found.decrypter.scalar() == keys.decrypter.scalar()
    assert (found.decrypter.public, found.decrypter.kid) == (keys.decrypter.public, "r")


def test_the_request_can_be_fetched_again_and_is_the_same(world: VerifierWorld) -> None:
    """V-13, T-30: until answered; then it is gone."""
    started = world.start()
    wallet = HolderWallet(world)
    first, second = wallet.open(started["link"]), wallet.open(started["link"])
    assert first.object == second.object
    assert world.result(started)["state"] == "requested"
    assert wallet.answer(second).status == 200
    assert wallet.fetch(started["link"])[1].status == 410


def test_an_unknown_request_is_not_found(world: VerifierWorld) -> None:
    """V-13: 404; HEAD and other methods are refused."""
    assert world.client.get("/counter/request/unknown").status == 404
    assert world.client.get("/nobody/request/unknown").status == 404
    assert world.client.post("/counter/response/unknown", form={"error": "x"}).status == 404


def test_posting_to_the_request_uri_binds_the_wallets_nonce(world: VerifierWorld) -> None:
    """V-13, T-30: with a nonce signed anew, without one the same object as by GET."""
    started = world.start(request_uri_method="post")
    assert "request_uri_method=post" in started["link"]
    wallet = HolderWallet(world)
    plain = wallet.open(started["link"])
    assert "wallet_nonce" not in payload(plain.object)
    assert wallet.open(started["link"], post={}).object == plain.object
    bound = wallet.open(started["link"], post={"wallet_nonce": "w-123", "other": "ignored"})
    assert payload(bound.object) == payload(plain.object) | {"wallet_nonce": "w-123"}
    metadata = '{"vp_formats_supported": {"dc+sd-jwt": {}}, "unknown": 1}'
    assert wallet.open(started["link"], post={"wallet_metadata": metadata}).object == plain.object
    assert wallet.answer(bound).status == 200


@pytest.mark.parametrize(
    "form", [{"wallet_metadata": "{"}, {"wallet_metadata": '{"vp_formats_supported": {"x": {}}}'}]
)
def test_wallet_metadata_without_a_common_format_is_refused(
    world: VerifierWorld, form: dict[str, str]
) -> None:
    """V-13: 400 `invalid_request`, and the request stays open."""
    started = world.start()
    answer = HolderWallet(world).fetch(started["link"], post=form)[1]
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")
    assert HolderWallet(world).fetch(started["link"])[1].status == 200


def test_links_carry_client_id_and_request_uri_and_nothing_else(world: VerifierWorld) -> None:
    """V-10, CERTIFICATION 2.5.1: also to an endpoint the caller gives, with a query of its own."""
    started = world.start(wallet_endpoint="https://wallet.example/authorize")
    assert re.fullmatch(
        r"https://wallet\.example/authorize\?client_id=[^&]+&request_uri=[^&]+", started["link"]
    )
    assert re.fullmatch(
        r"openid4vp://\?client_id=[^&]+&request_uri=[^&]+", started["links"]["openid4vp"]
    )
    assert started["links"]["haip-vp"].startswith("haip-vp://?client_id=x509_hash%3A")
    other = world.start(wallet_endpoint="https://wallet.example/?a=b")
    assert other["link"].startswith("https://wallet.example/?a=b&client_id=")
    world.start(wallet_endpoint="javascript:alert(1)", expect=400)


def test_an_idempotency_key_finds_its_own_transaction(world: VerifierWorld) -> None:
    """DESIGN 7, issue item 7: the same answer, secret included, and one row; another body: 409."""
    first = world.start("over_18", key="visit-1")
    assert world.start("over_18", key="visit-1") == first
    assert world.start("over_18", key="visit-2") != first
    refused = world.start("identity", key="visit-1", expect=409)
    assert refused["code"] == "idempotency_key_reused"
    assert world.start("over_18") != world.start("over_18")
    world.start("over_18", key="x" * 201, expect=400)


@pytest.mark.parametrize(
    "asked",
    [
        {"query": "unknown"},
        {"query": "over_18", "flow": "same_device"},
        {"query": "over_18", "flow": "same_device", "return_url": "https://elsewhere.example/"},
        {"query": "over_18", "flow": "same_device", "return_url": f"{RETURN_URL}#x"},
        {"query": "over_18", "flow": "dc_api"},
        {"query": "over_18", "surprise": 1},
        {"query": 7},
    ],
)
def test_a_malformed_start_is_refused(world: VerifierWorld, asked: dict[str, Any]) -> None:
    """C-31, C-55: problem+json, 4xx; return addresses only at origins of the tenant."""
    answer = world.client.post("/api/v1/counter/transactions", json=asked, headers=world.headers())
    assert 400 <= answer.status < 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert set(answer.json()) >= {"code", "whose_fault", "next_step", "support_id"}


def test_the_wallet_is_sent_to_the_callers_address(world: VerifierWorld) -> None:
    """V-43: with a fresh response code in the query, whatever else is there."""
    wallet = HolderWallet(world)
    codes = set()
    for _ in range(3):
        started = world.start(return_url=f"{RETURN_URL}?visit=7")
        redirect = wallet.answer(wallet.open(started["link"])).json()["redirect_uri"]
        assert redirect.startswith(f"{RETURN_URL}?visit=7&response_code=")
        codes.add(response_code(redirect))
    assert len(codes) == 3
    assert all(len(each) == 43 for each in codes)


@pytest.mark.parametrize(("language", "text"), [("en", "Thank you"), ("de-CH, en", "Danke")])
def test_a_page_tells_the_citizen_to_go_on(world: VerifierWorld, language: str, text: str) -> None:
    """V-42: without an address of the caller the browser lands here; the page knows nothing."""
    wallet = HolderWallet(world)
    redirect = wallet.answer(wallet.open(world.start()["link"])).json()["redirect_uri"]
    page = world.client.get(
        redirect.removeprefix(PUBLIC_URL), headers={"Accept-Language": language}
    )
    assert (page.status, text in page.text) == (200, True)
    assert "default-src 'none'" in page.headers["content-security-policy"]


def test_events_tell_the_state_as_it_changes(world: VerifierWorld) -> None:
    """Issue item 7: server-sent events, resumable, without verdict or claims, ending at the end."""
    started = world.start()
    heard: list[Any] = []
    listening = Thread(target=lambda: heard.append(world.call("GET", started, "/events")))
    listening.start()
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    assert wallet.answer(asked).status == 200
    listening.join(timeout=120)
    (answer,) = heard
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert 'data: {"state":"verified"}' in answer.text
    assert "Erika" not in answer.text
    ids = [int(each) for each in re.findall(r"^id: (\d+)$", answer.text, re.MULTILINE)]
    assert ids == sorted(set(ids))
    assert ids[-1] == 4


def test_events_resume_after_the_last_one_heard(world: VerifierWorld) -> None:
    """`Last-Event-ID`: nothing is told twice, nothing is missed, on any replica."""
    started = world.start()
    wallet = HolderWallet(world)
    assert wallet.answer(wallet.open(started["link"])).status == 200
    path = f"/api/v1/counter/transactions/{started['transaction_id']}/events"
    headers = world.headers(started["secret"])
    everything = world.client.get(path, headers=headers | {"Last-Event-ID": "2"})
    assert re.findall(r"^id: (\d+)$", everything.text, re.MULTILINE) == ["4"]
    nothing = world.client.get(path, headers=headers | {"Last-Event-ID": "4"})
    assert "id:" not in nothing.text
    assert world.client.get(path, headers=headers | {"Last-Event-ID": "x"}).status == 400


def test_events_go_on_at_another_replica(
    world: VerifierWorld, database_url: str, tmp_path: Path
) -> None:
    """Issue item 4: what happens at one replica is heard, and resumed by event id, at another."""
    with VerifierWorld.make(tmp_path, database_url) as other:
        started = world.start()
        path = f"/api/v1/counter/transactions/{started['transaction_id']}/events"
        headers = world.headers(started["secret"])
        heard: list[Any] = []
        listening = Thread(target=lambda: heard.append(other.client.get(path, headers=headers)))
        listening.start()
        waited = monotonic() + 120
        while not other.verifier.events._listeners and monotonic() < waited:
            sleep(0.01)
        wallet = HolderWallet(world)
        assert wallet.answer(wallet.open(started["link"])).status == 200
        listening.join(timeout=120)
        (answer,) = heard
        ids = re.findall(r"^id: (\d+)$", answer.text, re.MULTILINE)
        assert (ids[0], ids[-1]) == ("1", "4")
        assert answer.text.count('data: {"state":"verified"}') == 1
        for replica in (world, other):
            resumed = replica.client.get(path, headers=headers | {"Last-Event-ID": ids[0]})
            assert re.findall(r"^id: (\d+)$", resumed.text, re.MULTILINE) == ["4"]
            done = replica.client.get(path, headers=headers | {"Last-Event-ID": ids[-1]})
            assert "id:" not in done.text


def test_the_agency_reads_which_questions_it_may_ask(world: VerifierWorld) -> None:
    """V-31: with purpose and texts in several languages."""
    answer = world.client.get("/api/v1/counter/queries", headers=world.headers()).json()
    assert [each["id"] for each in answer["queries"]] == ["over_18", "identity", "address"]
    assert set(answer["queries"][0]["texts"]) == {"en", "de", "fr", "ar"}
    assert answer["queries"][0]["purpose"] == "proof_of_age"


def test_no_endpoint_grants_cross_origin_access(world: VerifierWorld) -> None:
    """C-52: CORS none."""
    started = world.start()
    path = world.row(started).request_id
    for answer in (
        world.client.get(f"/counter/request/{path}", headers={"Origin": "https://evil.example"}),
        world.call("GET", started),
    ):
        assert not any(name.startswith("access-control") for name, _ in answer.raw_headers)


def test_openapi_describes_the_whole_api(world: VerifierWorld) -> None:
    """Issue item 7: closed models."""
    described = world.client.get("/api/v1/openapi.json").json()
    assert "/api/v1/{tenant}/transactions" in described["paths"]
    token = described["paths"]["/api/v1/{tenant}/token"]["post"]
    assert "application/x-www-form-urlencoded" in token["requestBody"]["content"]
    assert "/api/v1/{tenant}/transactions/{transaction_id}/return" in described["paths"]
    assert "TransactionAnswer" in described["components"]["schemas"]


def test_a_token_needs_the_clients_secret(world: VerifierWorld) -> None:
    """RFC 6749, 4.4; V-01: nobody starts a transaction without."""
    refused = world.client.post(
        "/api/v1/counter/token",
        form={
            "grant_type": "client_credentials",
            "client_id": world.client_id,
            "client_secret": "wrong",
        },
    )
    assert (refused.status, refused.json()["error"]) == (401, "invalid_client")
    answer = world.client.post("/api/v1/counter/transactions", json={"query": "over_18"})
    assert answer.status == 401
