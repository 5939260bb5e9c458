"""Several credentials, optional ones, several of a kind, unbound ones: what counts, and why."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from shared.crypto.x509 import key_identifier
from shared.encoding import b64url_encode
from shared.formats.values import Session
from shared.trust import Role
from tests.support.trust import PID, RESIDENCE, ask, trust_list
from tests.support.verifier import Asked, HolderWallet, VerifierWorld, shared_trust
from verifier_service.queries import BUILT_IN

OVER_18: dict[str, Any] = json.loads((BUILT_IN / "over_18.json").read_text())


def credential(name: str, vct: str, *paths: list[str], **members: Any) -> dict[str, Any]:
    return {
        "id": name,
        "format": "dc+sd-jwt",
        "meta": {"vct_values": [vct]},
        "claims": [{"path": path} for path in paths],
    } | members


def question(name: str, *credentials: dict[str, Any], **members: Any) -> dict[str, Any]:
    dcql = {"credentials": list(credentials)} | members
    return OVER_18 | {"id": name, "purpose": "test", "dcql": dcql, "show": []}


NAME = credential("pid", PID, ["given_name"])
HOME = credential("home", RESIDENCE, ["address"])
ANCHOR = b64url_encode(
    key_identifier(shared_trust().registry.authorities[Role.CREDENTIAL].certificate)
)
QUERIES = [
    question("both", NAME, HOME),
    question(
        "optional",
        NAME,
        HOME,
        credential_sets=[
            {"options": [["pid"]]},
            {"options": [["home"]], "required": False},
        ],
    ),
    question("either", NAME, HOME, credential_sets=[{"options": [["pid"], ["home"]]}]),
    question("several", NAME | {"multiple": True}),
    question("unbound", NAME | {"require_cryptographic_holder_binding": False}),
    question("no_claims", {name: value for name, value in NAME.items() if name != "claims"}),
    question("authority", NAME | {"trusted_authorities": [{"type": "aki", "values": [ANCHOR]}]}),
    question(
        "other_authority",
        NAME | {"trusted_authorities": [{"type": "aki", "values": [b64url_encode(b"x" * 20)]}]},
    ),
]
ASK = ask("test", PID, ["given_name"])
ASK["credentials"].append({"format": "dc+sd-jwt", "type": RESIDENCE, "claims": [["address"]]})


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(
        tmp_path_factory.mktemp("verifier"),
        database_url,
        tenants={"counter": {"queries": [each["id"] for each in QUERIES]}},
        queries=QUERIES,
    ) as made:
        made.trust.held = trust_list(
            shared_trust().registry.entry(), shared_trust().counter.entry(asks=[ASK])
        )
        yield made


def begin(world: VerifierWorld, query: str) -> tuple[dict[str, Any], HolderWallet, Asked]:
    started = world.start(query)
    wallet = HolderWallet(world)
    return started, wallet, wallet.open(started["link"])


def send(
    world: VerifierWorld, started: Any, wallet: HolderWallet, asked: Asked, token: Any
) -> tuple[int, dict[str, Any]]:
    answer = wallet.post(asked, wallet.encrypt(asked, token))
    return answer.status, world.result(started)


def test_every_credential_asked_for_must_be_there(world: VerifierWorld) -> None:
    """Q-20, V-60 (3): both, or nothing; one alone does not satisfy the query."""
    started, wallet, asked = begin(world, "both")
    token = wallet.present_to(asked, "pid") | wallet.present_to(asked, "home")
    status, result = send(world, started, wallet, asked, token)
    assert (status, set(result["claims"])) == (200, {"pid", "home"})
    started, wallet, asked = begin(world, "both")
    status, result = send(world, started, wallet, asked, wallet.present_to(asked, "pid"))
    assert (status, result["verdict"]["reason"]) == (400, "query_unsatisfied")
    assert "claims" not in result


def test_one_bad_credential_of_two_required_rejects_both(world: VerifierWorld) -> None:
    """V-60: the reason is the bad one's, and the good one's claims are not released."""
    started, wallet, asked = begin(world, "both")
    token = wallet.present_to(asked, "pid") | wallet.present_to(asked, "home", paths=[])
    status, result = send(world, started, wallet, asked, token)
    assert (status, result["verdict"]["reason"]) == (400, "claims_missing")
    assert "claims" not in result
    reasons = {each["query_id"]: each.get("reason") for each in result["verdict"]["credentials"]}
    assert reasons == {"pid": None, "home": "claims_missing"}


@pytest.mark.parametrize("also", [True, False])
def test_an_optional_credential_may_be_absent(world: VerifierWorld, also: bool) -> None:
    """Q-20: what was not answered is not there, never empty."""
    started, wallet, asked = begin(world, "optional")
    token = wallet.present_to(asked, "pid")
    if also:
        token |= wallet.present_to(asked, "home")
    status, result = send(world, started, wallet, asked, token)
    assert status == 200
    assert set(result["claims"]) == ({"pid", "home"} if also else {"pid"})


def test_a_bad_optional_credential_is_discarded_with_its_reason(world: VerifierWorld) -> None:
    """V-60: a failing presentation is discarded; the query is satisfied without it."""
    started, wallet, asked = begin(world, "optional")
    token = wallet.present_to(asked, "pid") | wallet.present_to(asked, "home", paths=[])
    status, result = send(world, started, wallet, asked, token)
    assert (status, set(result["claims"])) == (200, {"pid"})
    reasons = {each["query_id"]: each.get("reason") for each in result["verdict"]["credentials"]}
    assert reasons == {"pid": None, "home": "claims_missing"}


def test_a_wrong_nonce_anywhere_rejects_everything(world: VerifierWorld) -> None:
    """V-60, VP 14.1.2: also in a credential that was optional."""
    started, wallet, asked = begin(world, "optional")
    other = Session(asked.request.client_id.full, "another")
    token = wallet.present_to(asked, "pid") | wallet.present_to(asked, "home", session=other)
    status, result = send(world, started, wallet, asked, token)
    assert (status, result["verdict"]["reason"]) == (400, "nonce")
    assert "claims" not in result


@pytest.mark.parametrize("name", ["pid", "home"])
def test_one_of_several_options_is_enough(world: VerifierWorld, name: str) -> None:
    """Q-20."""
    started, wallet, asked = begin(world, "either")
    status, result = send(world, started, wallet, asked, wallet.present_to(asked, name))
    assert (status, set(result["claims"])) == (200, {name})


def test_several_of_a_kind_are_a_list(world: VerifierWorld) -> None:
    """Q-22: `multiple`; each is checked by itself."""
    started, wallet, asked = begin(world, "several")
    first = wallet.present_to(asked, "pid")["pid"]
    wallet.claims["given_name"] = "Érica"
    second = wallet.present_to(asked, "pid")["pid"]
    status, result = send(world, started, wallet, asked, {"pid": first + second})
    assert status == 200
    assert result["claims"] == {"pid": [{"given_name": "Erika"}, {"given_name": "Érica"}]}
    assert len(result["verdict"]["credentials"]) == 2


def test_without_holder_binding_an_answer_is_marked(world: VerifierWorld) -> None:
    """V-64, V-12: only because the query said so; the request carries `state`."""
    started, wallet, asked = begin(world, "unbound")
    assert asked.request.state is not None
    shown = wallet.present_to(asked, "pid")["pid"][0]
    bare = shown.rpartition("~")[0] + "~"
    status, result = send(world, started, wallet, asked, {"pid": [bare]})
    assert status == 200
    (verdict,) = result["verdict"]["credentials"]
    assert verdict["holder_bound"] is False
    found = {each["check"]: each["result"] for each in verdict["checks"]}
    assert found["holder_binding"] == found["nonce"] == found["sd_hash"] == "not_asked"
    assert found["signature"] == "passed"


def test_a_proof_that_was_not_asked_for_must_be_right_too(world: VerifierWorld) -> None:
    """HB-05: wrong is wrong."""
    started, wallet, asked = begin(world, "unbound")
    other = Session("x509_hash:another", asked.request.nonce)
    token = wallet.present_to(asked, "pid", session=other)
    status, result = send(world, started, wallet, asked, token)
    assert (status, result["verdict"]["reason"]) == (400, "audience")


def test_a_query_without_claims_learns_none(world: VerifierWorld) -> None:
    """Q-13, V-61: that somebody holds it is all."""
    started, wallet, asked = begin(world, "no_claims")
    token = wallet.present_to(asked, "pid", paths=[("family_name",)])
    status, result = send(world, started, wallet, asked, token)
    assert (status, result["claims"]) == (200, {"pid": {}})


@pytest.mark.parametrize(
    ("query", "status", "reason"),
    [("authority", 200, None), ("other_authority", 400, "untrusted_issuer")],
)
def test_trusted_authorities_are_checked_again(
    world: VerifierWorld, query: str, status: int, reason: str | None
) -> None:
    """Q-12, V-60, HAIP 5: `aki` of the chain that the credential carries."""
    started, wallet, asked = begin(world, query)
    token = wallet.present_to(asked, "pid")
    got, result = send(world, started, wallet, asked, token)
    assert (got, result["verdict"].get("reason")) == (status, reason)
