"""Questions are data files; the trust list says who may ask them; doctor says what is wrong."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from shared.crypto.x509 import thumbprint
from shared.errors import InvalidInput
from shared.oid4vp import dcql
from shared.trust import Role
from tests.support.clock import NOW
from tests.support.trust import ASKS, PID, ask, trust_list
from tests.support.verifier import (
    RETURN_URL,
    HolderWallet,
    VerifierWorld,
    shared_trust,
    signer,
)
from verifier_service.app import refused_queries
from verifier_service.queries import BUILT_IN, load_queries, parse_query

OVER_18: dict[str, Any] = json.loads((BUILT_IN / "over_18.json").read_text())
LIBRARY = OVER_18 | {
    "id": "library",
    "purpose": "library_card",
    "dcql": {
        "credentials": [
            {
                "id": "pid",
                "format": "dc+sd-jwt",
                "meta": {"vct_values": [PID]},
                "claims": [{"path": ["given_name"]}],
            }
        ]
    },
    "show": [],
}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(
        tmp_path_factory.mktemp("verifier"),
        database_url,
        tenants={"counter": {"queries": ["over_18", "library"], "return_origins": []}},
        queries=[LIBRARY],
    ) as made:
        yield made


def asking(world: VerifierWorld, *asks: Mapping[str, Any], **members: Any) -> None:
    world.trust.held = trust_list(
        shared_trust().registry.entry(), shared_trust().counter.entry(asks=list(asks), **members)
    )


def parsed(**changes: Any) -> Any:
    return parse_query(json.dumps(OVER_18 | changes).encode())


def test_the_built_in_queries_ask_for_little() -> None:
    """V-30: minimal claims, named types, no registered claims, texts in four languages."""
    queries = load_queries([BUILT_IN])
    assert set(queries) == {
        "over_18",
        "over_65",
        "identity",
        "identity_portrait",
        "address",
        "driving",
        "disability",
        "student",
    }
    for query in queries.values():
        dcql.check_authored(query.dcql)
        assert set(query.texts) == {"en", "de", "fr", "ar"}
        assert all(set(line.label) == {"en", "de", "fr", "ar"} for line in query.show)
    for each in queries["over_18"].dcql.credentials:
        [claim] = each.claims or ()
        assert claim.path[-1] in {"18", "age_over_18"}
        assert claim.values == (True,)


def credentials(**changes: Any) -> dict[str, Any]:
    return {"dcql": {"credentials": [OVER_18["dcql"]["credentials"][0] | changes]}, "show": []}


@pytest.mark.parametrize(
    "changes",
    [
        {"surprise": 1},
        {"id": "Over 18"},
        {"texts": {}},
        {"texts": {"en": {"title": "One language", "description": "is not enough."}}},
        {"transaction_data": ["urn:example:unknown"]},
        {"flows": ["dc_api"]},
        {"lifetime_seconds": 3600},
        {"retention_seconds": 0},
        {"retention_seconds": "600"},
        {"status_unknown": "ignore"},
        {"dcql": {"credentials": []}},
        credentials(claims=[{"path": ["exp"]}]),
        credentials(claims=[{"path": ["a"]}, {"path": ["a"]}]),
        credentials(meta={}),
        credentials(id="not an id"),
        credentials(claim_sets=[["a"]]),
        {"show": [{"credential": "pid", "path": ["birthdate"], "label": {"en": "Born"}}]},
        {"show": [{"credential": "other", "path": ["x"], "label": {"en": "X"}}]},
    ],
)
def test_a_file_that_is_not_understood_is_refused_whole(changes: dict[str, Any]) -> None:
    """V-30, Q-01 to Q-05: unknown members, registered claims, duplicates, lines not asked for."""
    with pytest.raises(InvalidInput):
        parsed(**changes)


def test_everything_wrong_is_reported_at_once(tmp_path: Path) -> None:
    """STYLE, settings: one start shows all faults; an id counts once, whichever directory."""
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "b.json").write_text(json.dumps(OVER_18 | {"surprise": 1}))
    (tmp_path / "c.json").write_text(json.dumps(OVER_18))
    with pytest.raises(InvalidInput, match=r"a\.json.*b\.json.*over_18") as refused:
        load_queries([BUILT_IN, tmp_path])
    assert "surprise" in str(refused.value)


def test_a_question_of_an_agencys_own_is_one_file(world: VerifierWorld) -> None:
    """STYLE 6, issue item 7: the extra directory; asked like any other once it is registered."""
    asking(world, *ASKS, ask("library_card", PID, ["given_name"]))
    started = world.start("library")
    wallet = HolderWallet(world)
    assert wallet.answer(wallet.open(started["link"])).status == 200
    assert world.result(started)["claims"] == {"pid": {"given_name": "Erika"}}


@pytest.mark.parametrize(
    "asks",
    [
        [],
        [ask("library_card", PID, ["family_name"])],
        [ask("library_card", "urn:example:other:1", ["given_name"])],
        [ask("library_card", PID, ["given_name"], cross_device=False)],
        [ask("library_card", PID, ["given_name"], retention_seconds=10)],
        [ask("library_card", PID, ["given_name"], valid_until="2027-01-01T00:00:00Z")],
        [ask("other_purpose", PID, ["given_name"])],
    ],
)
def test_a_question_beyond_the_entitlement_is_refused(
    world: VerifierWorld, asks: list[dict[str, Any]]
) -> None:
    """V-30, V-31, V-51, DESIGN 4: purpose, type, claim, flow, retention, time; at start too."""
    asking(world, *ASKS[:1], *asks)
    assert world.start("library", expect=403)["code"] == "query_not_entitled"
    assert world.start("over_18")["query"] == "over_18"
    refused = refused_queries(world.verifier.tenants, world.trust, NOW)
    assert list(refused) == ["counter"]
    assert all("library" in each for each in refused["counter"])


def test_an_entitlement_ends_with_the_list_that_gave_it(world: VerifierWorld) -> None:
    """DESIGN 4: a new trust list counts at once, and time within a minute."""
    asking(world, *ASKS)
    world.start("over_18")
    asking(world, ask("other", PID, ["given_name"]))
    world.start("over_18", expect=403)


def test_a_revoked_access_certificate_starts_nothing(world: VerifierWorld) -> None:
    """DESIGN 4: said as such, not left to the wallets."""
    leaf = signer(Role.ACCESS, "counter").certificates[0]
    asking(world, *ASKS, revoked=[thumbprint(leaf)])
    refused = world.start("over_18", expect=503)
    assert refused["code"] == "access_certificate_untrusted"


def test_without_return_origins_nobody_is_sent_anywhere(world: VerifierWorld) -> None:
    """C-55."""
    asking(world, *ASKS)
    refused = world.start("over_18", return_url=RETURN_URL, expect=403)
    assert refused["code"] == "return_url_not_allowed"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"queries": ["unknown"]}, "unknown"),
        ({"queries": []}, "queries"),
        ({"queries": ["over_18"], "surprise": 1}, "surprise"),
        ({"queries": ["over_18"], "return_origins": ["https://portal.example/path"]}, "origins"),
    ],
)
def test_a_tenant_file_that_is_not_understood_is_refused(
    empty_database_url: str, tmp_path: Path, content: dict[str, Any], reason: str
) -> None:
    """Everything wrong is named with its file."""
    with pytest.raises(InvalidInput, match=rf"counter\.json.*{reason}"):
        VerifierWorld.make(tmp_path, empty_database_url, tenants={"counter": content})
