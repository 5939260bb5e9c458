"""The issuer and mdocs: what the data files promise, copies nobody can match, and many at once."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Barrier
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode
from shared.formats import cbor, credential
from shared.formats.credential import Held, Trusted
from shared.trust import Role
from tests.support.credentials import ES256
from tests.support.issuer import IssuerWorld, Wallet, sample_register
from tests.support.mdocs import opened, security_object
from tests.support.trust import MDL, MDOC, PID_MDOC

NAMESPACE = "org.iso.18013.5.1"
MANDATORY = {
    "family_name", "given_name", "birth_date", "issue_date", "expiry_date", "issuing_country",
    "issuing_authority", "document_number", "portrait", "driving_privileges",
    "un_distinguishing_sign",
}  # fmt: skip
THREADS = 6


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(folder, database_url, register=sample_register(folder))
    yield made
    made.close()


def believed(world: IssuerWorld, text: str, key: SoftwareKey, kind: str) -> Held:
    anchors = world.trust.registry.authorities[Role.CREDENTIAL].anchors
    return credential.receive(
        MDOC,
        text,
        expected_type=kind,
        keys=[key.public],
        trusted=Trusted(anchors),
        now=world.clock(),
        algorithms=ES256,
    ).held


def collected(
    world: IssuerWorld, configuration: str, *, copies: int = 1, subject: str = "AV-000001"
) -> tuple[list[SoftwareKey], list[str]]:
    wallet, keys = Wallet(world), [SoftwareKey.generate() for _ in range(copies)]
    token = wallet.redeem(world.offer(configuration, subject=subject))
    answer = wallet.credentials(token, configuration, keys=keys)
    return keys, [each["credential"] for each in answer["credentials"]]


def test_a_driving_licence_has_all_that_iso_demands(world: IssuerWorld) -> None:
    """CERTIFICATION 2.2.7, I-04, F-MD-08: eleven elements, dates as dates, a portrait as bytes."""
    [key], [text] = collected(world, "mdl")
    held = believed(world, text, key, MDL)
    claims: Any = held.claims[NAMESPACE]
    assert claims.keys() >= MANDATORY
    assert (claims["family_name"], claims["age_over_18"]) == ("Müller-Ångström", True)
    assert claims["issuing_country"] == "AV"
    items = [cbor.loads(each.value) for each in opened(text)["nameSpaces"][NAMESPACE]]
    values = {each["elementIdentifier"]: each["elementValue"] for each in items}
    assert values["portrait"].startswith(b"\xff\xd8\xff")
    assert values["birth_date"] == cbor.Tag(1004, "1990-05-23")
    first = values["driving_privileges"][0]
    assert first["vehicle_category_code"] == "AM"
    assert {first["issue_date"].tag, first["expiry_date"].tag} == {1004}


def test_a_pid_is_as_its_rulebook_says(world: IssuerWorld) -> None:
    """E-06: one namespace, encodings of chapter 3; of a birth year alone its last day."""
    [key], [text] = collected(world, "pid_mdoc", subject="AV-000004")
    claims: Any = believed(world, text, key, PID_MDOC).claims[PID_MDOC]
    assert (claims["birth_date"], claims["nationality"]) == ("1961-12-31", ["AV"])
    assert isinstance(claims["sex"], int)
    assert set(claims["place_of_birth"]) == {"country", "locality"}


def test_who_does_not_drive_gets_no_licence(world: IssuerWorld) -> None:
    """F-TM-08: said when it is offered, not when it is issued."""
    answer = world.api("POST", "/offers", {"credentials": ["mdl"], "subject": "AV-000005"})
    assert (answer.status, answer.json()["code"]) == (422, "claims_not_fitting")


def test_the_metadata_speak_of_mdocs_as_they_must(world: IssuerWorld) -> None:
    """I-04, F-CP-02: doctype, COSE numbers, cose_key; proofs by their JOSE names."""
    place = "/.well-known/openid-credential-issuer/registry"
    found = world.client.get(place).json()["credential_configurations_supported"]["mdl"]
    assert (found["format"], found["doctype"]) == (MDOC, MDL)
    assert found["credential_signing_alg_values_supported"] == [-7, -9]
    assert found["cryptographic_binding_methods_supported"] == ["cose_key"]
    assert found["proof_types_supported"]["jwt"]["proof_signing_alg_values_supported"] == ["ES256"]
    paths = [each["path"] for each in found["credential_metadata"]["claims"]]
    assert [NAMESPACE, "portrait"] in paths
    assert all(path[0] == NAMESPACE and len(path) >= 2 for path in paths)


def test_copies_of_a_batch_cannot_be_matched(world: IssuerWorld) -> None:
    """CERTIFICATION 2.2.7, I-111, I-115, ST-31: keys, randoms, digests and places differ; dates
    are the same day for everybody."""
    keys, texts = collected(world, "pid_mdoc", copies=20)
    held = [believed(world, text, key, PID_MDOC) for text, key in zip(texts, keys, strict=True)]
    places = [each.status for each in held]
    assert len({each.index for each in places if each}) == 20
    assert len({each.uri for each in places if each}) == 1
    indexes = [each.index for each in places if each]
    assert len({b - a for a, b in pairwise(indexes)}) > 2
    securities = [security_object(opened(text)) for text in texts]
    assert len({str(each["validityInfo"]) for each in securities}) == 1
    digests = [d for each in securities for d in each["valueDigests"][PID_MDOC].values()]
    assert len(set(digests)) == len(digests)
    parts = {
        text: [cbor.loads(each.value) for each in opened(text)["nameSpaces"][PID_MDOC]]
        for text in texts
    }
    randoms = [each["random"] for items in parts.values() for each in items]
    assert len(set(randoms)) == len(randoms)
    longest = max((b64url_decode(text) for text in texts), key=len)
    assert all(len(longest) - len(b64url_decode(text)) < 16 for text in texts)


def test_many_at_once_never_share_a_place(world: IssuerWorld) -> None:
    """ST-31, S-02: on both databases."""
    gate = Barrier(THREADS)

    def run(_: int) -> list[tuple[str, int]]:
        gate.wait()
        keys, texts = collected(world, "mdl", copies=3)
        held = [believed(world, text, key, MDL) for text, key in zip(texts, keys, strict=True)]
        return [(each.status.uri, each.status.index) for each in held if each.status]

    with ThreadPoolExecutor(THREADS) as pool:
        places = [place for found in pool.map(run, range(THREADS)) for place in found]
    assert len(set(places)) == THREADS * 3
