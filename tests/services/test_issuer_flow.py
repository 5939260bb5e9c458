"""From an offer to a checked, revoked credential: the issuer as its agency and a wallet see it."""

from collections.abc import Iterator
from itertools import pairwise

import pytest

from shared.crypto.software import SoftwareKey
from shared.encoding import start_of_day, to_numeric_date
from shared.errors import Revoked, Suspended
from shared.formats import sd_jwt, sd_jwt_vc
from shared.formats.status_list import verify_token
from shared.jose import jws
from shared.trust import Role
from tests.support.clock import NOW
from tests.support.issuer import IssuerWorld, Wallet, sample_register

ALGORITHMS = ("ES256",)


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(folder, database_url, register=sample_register(folder))
    yield made
    made.close()


def verified(world: IssuerWorld, credential: str) -> sd_jwt_vc.VerifiedSdJwtVc:
    trust = world.trust.current()
    return sd_jwt_vc.verify(
        credential,
        anchors=trust.anchors(Role.CREDENTIAL, now=world.clock(), credential_type="urn:eudi:pid:1"),
        now=world.clock(),
        algorithms=ALGORITHMS,
    )


def check_status(world: IssuerWorld, credential: sd_jwt_vc.VerifiedSdJwtVc) -> None:
    assert credential.status is not None
    answer = world.client.get(credential.status.uri.removeprefix("https://issuer.example"))
    found = verify_token(
        answer.text,
        uri=credential.status.uri,
        anchors=world.trust.current().anchors(Role.STATUS, now=world.clock()),
        now=world.clock(),
        algorithms=ALGORITHMS,
        newest=None,
    )
    found.check(credential.status, now=world.clock())


def test_an_offer_becomes_a_credential_that_verifies(world: IssuerWorld) -> None:
    """I-65, I-72, I-110, F-VC-01, F-VC-02, ST-30: PID as SD-JWT VC, bound to the proven key."""
    wallet = Wallet(world)
    offer = world.offer("pid_sd_jwt", subject="AV-000001")
    key = SoftwareKey.generate()
    response = wallet.credentials(wallet.redeem(offer), "pid_sd_jwt", keys=[key])
    found = verified(world, response["credentials"][0]["credential"])
    assert found.vct == "urn:eudi:pid:1"
    assert found.holder == key.public
    assert found.claims["family_name"] == "Müller-Ångström"
    assert found.claims["age_equal_or_over"] == {
        "14": True, "16": True, "18": True, "21": True, "65": False
    }  # fmt: skip
    assert found.claims["issuing_authority"] == "Civil Registry of Avelonia"
    assert found.claims["issuing_country"] == "AV"
    assert set(response) == {"credentials", "notification_id"}
    check_status(world, found)


def test_times_tell_only_the_day(world: IssuerWorld) -> None:
    """I-115, I-110: iat, nbf and exp are rounded down to the UTC day; exp and status are both
    there."""
    _, response = Wallet(world).collect("pid_sd_jwt", subject="AV-000001")
    claims = verified(world, response["credentials"][0]["credential"]).claims
    day = to_numeric_date(start_of_day(NOW))
    assert (claims["iat"], claims["nbf"]) == (day, day)
    assert claims["exp"] == day + 30 * 86_400
    assert "status" in claims


def test_a_batch_is_one_dataset_on_distinct_keys_salts_and_places(world: IssuerWorld) -> None:
    """T-06, I-111, ST-31, F-SD-04, S-40: nothing but the claims and the day is common to two
    copies."""
    wallet = Wallet(world)
    offer = world.offer("pid_sd_jwt", subject="AV-000009")
    keys = [SoftwareKey.generate() for _ in range(20)]
    response = wallet.credentials(wallet.redeem(offer), "pid_sd_jwt", keys=keys)
    found = [verified(world, each["credential"]) for each in response["credentials"]]
    assert {each.holder for each in found} == {key.public for key in keys}
    places = [each.status.index for each in found if each.status]
    assert len(set(places)) == 20
    steps = {later - earlier for earlier, later in pairwise(places)}
    assert len(steps) > 10  # no arithmetic progression
    assert len({each.status.uri for each in found if each.status}) == 1
    disclosures = [text for each in found for text in each.sd_jwt.sd_jwt.disclosures]
    assert len(set(disclosures)) == len(disclosures)
    own = {"cnf", "status"}
    assert all(
        {name: value for name, value in each.claims.items() if name not in own}
        == {name: value for name, value in found[0].claims.items() if name not in own}
        for each in found
    )


def test_every_personal_claim_can_be_withheld(world: IssuerWorld) -> None:
    """F-TM-08, I-116: what stands in the clear is the issuer and the type, nothing about the
    person."""
    _, response = Wallet(world).collect("pid_sd_jwt", subject="AV-000001")
    issuer_jwt = response["credentials"][0]["credential"].partition("~")[0]
    shown = sd_jwt.parse(f"{issuer_jwt}~")
    payload = jws.parse_jws(shown.issuer_jwt, max_bytes=10**6).unverified_claims()
    assert set(payload) == {
        "vct", "iat", "nbf", "exp", "cnf", "status", "_sd", "_sd_alg",
        "issuing_authority", "issuing_country", "age_equal_or_over",
    }  # fmt: skip
    ages = payload["age_equal_or_over"]
    assert isinstance(ages, dict)
    assert set(ages) == {"_sd"}


def test_revoked_is_seen_at_the_next_tick(world: IssuerWorld) -> None:
    """I-113, ST-04, ST-33: all copies of an issuance at once, and it is final."""
    wallet = Wallet(world)
    offer = world.offer("pid_sd_jwt", subject="AV-000010")
    response = wallet.credentials(wallet.redeem(offer), "pid_sd_jwt", copies=3)
    issuance = world.api("POST", "/issuances/find", {"subject": "AV-000010"}).json()["issuances"][0]
    order = {"reason": "lost_or_stolen", "legal_basis": "Registry Act 12"}
    done = world.api("POST", f"/issuances/{issuance['issuance_id']}/revoke", order)
    assert (done.status, done.json()["state"], done.json()["allowed"]) == (200, "revoked", [])
    world.publish()
    for each in response["credentials"]:
        with pytest.raises(Revoked):
            check_status(world, verified(world, each["credential"]))


def test_suspended_comes_back(world: IssuerWorld) -> None:
    """I-113, ST-04: SUSPENDED is reversible and another answer than INVALID."""
    _, response = Wallet(world).collect("pid_sd_jwt", subject="AV-000011")
    found = verified(world, response["credentials"][0]["credential"])
    path = "/issuances/{}/{}"
    issuance = world.api("POST", "/issuances/find", {"subject": "AV-000011"}).json()["issuances"][0]
    name = issuance["issuance_id"]
    assert world.api("POST", path.format(name, "suspend"), {"reason": "under_review"}).status == 200
    world.publish()
    with pytest.raises(Suspended):
        check_status(world, found)
    back = world.api("POST", path.format(name, "reinstate"), {"reason": "review_ended"})
    assert back.json()["state"] == "valid"
    world.publish()
    check_status(world, found)


def test_claims_given_by_the_caller_need_no_register(world: IssuerWorld) -> None:
    """Issue 1, item 5: claims given by the API caller, held against the Type Metadata (F-TM-08)."""
    claims = {
        "family_name": "Îlot",
        "given_name": "",
        "address": {"street_address": "Quai 1", "locality": "Port Avelon", "country": "AV"},
        "issuing_authority": "Town of Port Avelon",
        "issuing_country": "AV",
    }
    wallet = Wallet(world)
    offer = world.offer("residence_sd_jwt", claims={"residence_sd_jwt": claims})
    response = wallet.credentials(wallet.redeem(offer), "residence_sd_jwt")
    trust = world.trust.current()
    found = sd_jwt_vc.verify(
        response["credentials"][0]["credential"],
        anchors=trust.anchors(Role.CREDENTIAL, now=world.clock()),
        now=world.clock(),
        algorithms=ALGORITHMS,
    )
    assert {name: found.claims[name] for name in claims} == claims


def test_no_claim_and_no_reference_to_a_person_stays_readable(world: IssuerWorld) -> None:
    """I-112, S-01, S-43: then no table shows the name, the reference, a code or a token."""
    wallet = Wallet(world)
    offer = world.offer("pid_sd_jwt", subject="AV-000012")
    token = wallet.redeem(offer)
    credential = wallet.credentials(token, "pid_sd_jwt")["credentials"][0]["credential"]
    code = offer["credential_offer"]["grants"][
        "urn:ietf:params:oauth:grant-type:pre-authorized_code"
    ]["pre-authorized_code"]
    secrets = ["長谷川", "AV-000012", code, token, credential[-60:], f"'{offer['tx_code']}'"]
    dump = world.dump()
    assert not [each for each in secrets if each in dump]
    world.clock.advance(hours=1)
    world.jobs.run_due()
    with world.issuer.database.reading() as connection:
        left = connection.exec_driver_sql(
            f"SELECT length(content) FROM offers WHERE id = '{offer['offer_id']}'"  # noqa: S608
        ).scalar_one()
    assert left == 0
