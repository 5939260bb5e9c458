"""What a caller or a tenant may choose: wallets, transaction data, prefixes; and what not."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.errors import InvalidInput
from shared.formats import kb_jwt
from shared.jose import jws
from shared.oauth.encryption import Jwks, choose_encryption_key
from shared.oid4vp import response, transaction_data
from shared.oid4vp.transaction_types import STATEMENT, TYPES
from shared.trust import Role
from tests.support.trust import demo_trust
from tests.support.verifier import (
    PUBLIC_URL,
    TENANT,
    HolderWallet,
    VerifierWorld,
    shared_trust,
    signer,
)
from verifier_service.app import queries_of
from verifier_service.tenants import load_tenants

ENTRY = {
    "type": STATEMENT,
    "credential_ids": ["pid"],
    "texts": {"en": "I apply for a resident parking permit."},
    "reference": "P-2027-114",
}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    with VerifierWorld.make(
        tmp_path_factory.mktemp("verifier"),
        database_url,
        tenants={"counter": TENANT | {"wallet_schemes": ["eudi-openid4vp"]}},
    ) as made:
        yield made


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://wallet.example/authorize",
        "https://wallet.example/authorize?tenant=1",
        "openid4vp://",
        "haip-vp://authorize",
        "eudi-openid4vp://",
    ],
)
def test_the_caller_names_the_wallet(world: VerifierWorld, endpoint: str) -> None:
    """CERTIFICATION 2.5.1 and 3: a web address, or a scheme that the tenant knows."""
    started = world.start(wallet_endpoint=endpoint)
    assert started["link"].startswith(endpoint)
    parameters = parse_qs(urlsplit(started["link"]).query)
    assert set(parameters) - {"tenant"} == {"client_id", "request_uri"}


@pytest.mark.parametrize(
    "endpoint",
    [
        "javascript:alert(1)//",
        "data:text/html,x",
        "other-wallet://",
        "https:///authorize",
        "https://wallet.example/#fragment",
        "openid4vp://#fragment",
        "wallet.example",
        "",
    ],
)
def test_other_endpoints_are_refused(world: VerifierWorld, endpoint: str) -> None:
    """C-55: nothing that runs, nothing unknown, no fragment."""
    world.start(wallet_endpoint=endpoint, expect=400)


def confirm(
    wallet: HolderWallet, started: dict[str, Any], entries: list[str] | None
) -> tuple[int, Any]:
    """Answer with a KB-JWT over *entries*, None for one that confirms nothing."""
    world = wallet.world
    token = wallet.fetch(started["link"])[1].text
    claims: dict[str, Any] = dict(jws.parse_jws(token, max_bytes=2**17).unverified_claims())
    jwt, *disclosures, _ = wallet.credential().split("~")
    paths = [tuple(each["path"]) for each in claims["dcql_query"]["credentials"][0]["claims"]]
    shown = "~".join((jwt, *(each for each in disclosures if wallet._shows(each, paths)), ""))
    proof = kb_jwt.make(
        shown,
        signer=wallet.holder,
        audience=claims["client_id"],
        nonce=claims["nonce"],
        now=world.clock(),
        transaction_data=None
        if entries is None
        else kb_jwt.hash_transaction_data(entries, algorithms=None),
    )
    key = choose_encryption_key(Jwks.from_object(claims["client_metadata"]["jwks"]))
    body = response.encrypt(
        response.presentations({"pid": [shown + proof]}, state=claims["state"]),
        to=key,
        enc="A128GCM",
    )
    answer = world.client.post(
        urlsplit(claims["response_uri"]).path,
        body=body,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert claims["transaction_data"] == [transaction_data.make(ENTRY)]
    transaction_data.parse(
        claims["transaction_data"],
        query=world.verifier.tenants["counter"].queries["identity"].dcql,
        types=TYPES,
    )
    return answer.status, world.result(started)["verdict"]


def test_transaction_data_is_confirmed_or_the_answer_rejected(world: VerifierWorld) -> None:
    """HB-30, HB-32, HB-34, V-60."""
    started = world.start("identity", transaction_data=[ENTRY])
    status, verdict = confirm(HolderWallet(world), started, [transaction_data.make(ENTRY)])
    assert (status, verdict["transaction_data_confirmed"]) == (200, True)
    other = transaction_data.make(ENTRY | {"reference": "P-2027-115"})
    for entries in (None, [other]):
        started = world.start("identity", transaction_data=[ENTRY])
        status, verdict = confirm(HolderWallet(world), started, entries)
        assert (status, verdict["reason"]) == (400, "transaction_data")
        assert (verdict["query_satisfied"], verdict["transaction_data_confirmed"]) == (True, False)


@pytest.mark.parametrize(
    ("query", "entry", "status"),
    [
        ("over_18", ENTRY, 403),
        ("identity", ENTRY | {"type": "urn:example:payment"}, 403),
        ("identity", ENTRY | {"credential_ids": ["other"]}, 400),
        ("identity", ENTRY | {"credential_ids": []}, 400),
        ("identity", ENTRY | {"credential_ids": ["pid_mdoc"]}, 400),
        ("identity", ENTRY | {"amount": 3}, 400),
        ("identity", {"type": STATEMENT}, 400),
    ],
)
def test_transaction_data_a_wallet_would_refuse_is_never_sent(
    world: VerifierWorld, query: str, entry: dict[str, Any], status: int
) -> None:
    """HB-31, HB-33: types by the query's file, members by the type, formats that carry it."""
    world.start(query, transaction_data=[entry], expect=status)


def load(tmp_path: Path, world: VerifierWorld, host: str = "counter.example", **file: Any) -> Any:
    (tmp_path / "counter.json").write_text(json.dumps({"queries": ["over_18"]} | file))

    class Keys:
        def signer(self, tenant: str, purpose: str) -> Any:
            return signer(Role(purpose), tenant)

    queries = queries_of(world.verifier.settings)
    return load_tenants(tmp_path, keys=Keys(), queries=queries, host=host)["counter"]  # type: ignore[arg-type]


def test_x509_san_dns_needs_a_certificate_for_our_host(
    tmp_path: Path, world: VerifierWorld
) -> None:
    """CERTIFICATION 2.1, [VP 5.9.3]: refused at load, before any wallet refuses it."""
    tenant = load(tmp_path, world, client_id_prefix="x509_san_dns")
    assert tenant.client_id == "x509_san_dns:counter.example"
    with pytest.raises(InvalidInput, match="client_id_prefix"):
        load(tmp_path, world, "verifier.example", client_id_prefix="x509_san_dns")
    assert PUBLIC_URL.startswith("https://")
    assert shared_trust().counter.id == demo_trust().counter.id


@pytest.mark.parametrize(
    "wrong",
    [
        {"client_id_prefix": "decentralized_identifier"},
        {"response_mode": "query"},
        {"wallet_schemes": ["javascript"]},
        {"wallet_schemes": ["Has Space"]},
        {"webhook_url": "ftp://portal.example"},
        {"webhook_url": "https://portal.example/#x"},
        {"unknown": 1},
    ],
)
def test_a_tenant_file_that_is_not_understood_is_refused(
    tmp_path: Path, world: VerifierWorld, wrong: dict[str, Any]
) -> None:
    """STYLE: data files are closed models."""
    with pytest.raises(InvalidInput, match=r"counter\.json"):
        load(tmp_path, world, **wrong)
