"""Status Lists: how they are filled, changed, published and served; who may change what."""

import gzip
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from issuer_service.status_tokens import ListBuilder
from shared.encoding import from_numeric_date
from shared.errors import Unavailable, VerificationError
from shared.formats import status_cwt
from shared.formats.status_list import StatusList
from shared.formats.status_states import Status
from shared.jose import jws
from shared.trust import Role
from tests.support.clock import CountingBytes
from tests.support.issuer import IssuerWorld, Wallet, sample_register

LIST = "/registry/statuslists/1"
FORMS = ("jwt", "cwt")


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(folder, database_url, register=sample_register(folder))
    Wallet(made).collect("pid_sd_jwt", subject="AV-000001")  # so that list 1 is there
    yield made
    made.close()


def claims(text: str) -> dict[str, Any]:
    return jws.parse_jws(text, max_bytes=10**7).unverified_claims()


def fetched(world: IssuerWorld, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    world.clock.advance(seconds=2)  # memory is looked up again
    return world.client.get(LIST, headers=named)


def issuance(world: IssuerWorld, subject: str) -> str:
    offer, _ = Wallet(world).collect("pid_sd_jwt", subject=subject)
    found = world.api("POST", "/issuances/find", {"subject": subject}).json()["issuances"]
    return next(str(each["issuance_id"]) for each in found if each["offer_id"] == offer["offer_id"])


def test_a_list_is_published_before_anything_points_to_it(world: IssuerWorld) -> None:
    """ST-10, ST-32, ST-42: 2^20 entries, two bits, ttl 300 s, exp 24 h, its own URI as sub."""
    answer = fetched(world)
    assert answer.status == 200
    said = claims(answer.text)
    assert said["sub"] == "https://issuer.example/registry/statuslists/1"
    assert said["ttl"] == 300
    assert from_numeric_date(said["exp"]) - from_numeric_date(said["iat"]) == timedelta(hours=24)
    found = StatusList.from_json(said["status_list"])
    assert (found.bits, len(found)) == (2, 2**20)


@pytest.mark.parametrize(
    "accept", [None, "*/*", "application/*", "application/statuslist+jwt", "text/html, */*;q=0.1"]
)
def test_the_jwt_form_is_served(world: IssuerWorld, accept: str | None) -> None:
    """I-15, ST-40, C-52: exactly that Content-Type, raw compact JWS, CORS; ST-11."""
    answer = fetched(world, **({"accept": accept} if accept else {}))
    assert answer.status == 200
    assert answer.headers["content-type"] == "application/statuslist+jwt"
    assert answer.headers["access-control-allow-origin"] == "*"
    assert answer.body.count(b".") == 2


@pytest.mark.parametrize(
    "accept",
    [
        "application/statuslist+cwt",
        "application/statuslist+jwt;q=0.5, application/statuslist+cwt",
        "application/statuslist+jwt;q=0, application/*",
    ],
)
def test_the_cwt_form_stands_at_the_same_place(world: IssuerWorld, accept: str) -> None:
    """ST-11, ST-20, ST-40: raw COSE, the same list, by the status key; its own entity tag."""
    answer = fetched(world, accept=accept)
    assert answer.headers["content-type"] == "application/statuslist+cwt"
    found = status_cwt.verify_token(
        answer.body,
        uri=f"https://issuer.example{LIST}",
        anchors=world.trust.current().anchors(Role.STATUS, now=world.clock()),
        now=world.clock(),
        algorithms=("ES256",),
        newest=None,
    )
    jwt = claims(fetched(world).text)
    assert StatusList.from_json(jwt["status_list"]).data == found.list.data
    assert answer.headers["etag"] != fetched(world).headers["etag"]
    known = {"accept": accept, "if_none_match": f'"other", W/{answer.headers["etag"]}'}
    assert fetched(world, **known).status == 304
    altered = answer.body[:-1] + bytes([answer.body[-1] ^ 1])
    with pytest.raises(VerificationError):
        status_cwt.verify_token(
            altered,
            uri=f"https://issuer.example{LIST}",
            anchors=world.trust.current().anchors(Role.STATUS, now=world.clock()),
            now=world.clock(),
            algorithms=("ES256",),
            newest=None,
        )


@pytest.mark.parametrize(
    "accept",
    [
        "application/cwt",
        "text/html",
        "application/statuslist+jwt;q=0, application/statuslist+cwt;q=0",
    ],
)
def test_another_form_is_not_acceptable(world: IssuerWorld, accept: str) -> None:
    """ST-40, PROFILE 8.9: 406."""
    assert fetched(world, accept=accept).status == 406


def test_the_past_is_not_served(world: IssuerWorld) -> None:
    """ST-44: 501 when time is given; 404 for what there is not."""
    assert world.client.get(f"{LIST}?time=1700000000").status == 501
    for path in ("/registry/statuslists/99", "/registry/statuslists/x", "/nobody/statuslists/1"):
        assert world.client.get(path).status == 404


def test_a_list_is_cached_and_compressed(world: IssuerWorld) -> None:
    """ST-41: ETag, 304, gzip, max-age not beyond ttl, no cookies."""
    plain, packed = fetched(world), fetched(world, accept_encoding="gzip, br")
    assert packed.headers["content-encoding"] == "gzip"
    assert gzip.decompress(packed.body) == plain.body
    assert plain.headers["cache-control"] == "public, max-age=300"
    assert "set-cookie" not in plain.headers
    unchanged = fetched(world, if_none_match=plain.headers["etag"])
    assert (unchanged.status, unchanged.body) == (304, b"")


@pytest.mark.parametrize("accept", ["*/*", *(f"application/statuslist+{each}" for each in FORMS)])
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_memory_answers_as_the_route_does(world: IssuerWorld, accept: str, encoding: str) -> None:
    """ST-40, ST-41: the server's short way for plain requests, and what it leaves to the route."""
    usual = fetched(world, accept=accept, accept_encoding=encoding)
    named = [(b"accept", accept.encode()), (b"accept-encoding", encoding.encode())]
    app: Any = world.client.app
    head, body = app.at_once(LIST.encode(), named, client="192.0.2.1")
    lines = dict(each.split(": ", 1) for each in head.decode().split("\r\n")[1:-1])
    assert body == usual.body
    assert lines | {"x-request-id": ""} == {**usual.headers, "x-request-id": ""}
    tagged = [*named, (b"if-none-match", usual.headers["etag"].encode())]
    head, body = app.at_once(LIST.encode(), tagged, client="192.0.2.1")
    assert (head.split(b"\r\n")[0], body) == (b"HTTP/1.1 304 Not Modified", b"")
    for target in (
        f"{LIST}?time=1",
        f"{LIST}/",
        "/registry/statuslists/x",
        "/nobody/statuslists/1",
    ):
        assert app.at_once(target.encode(), named, client="192.0.2.1") is None
    assert app.at_once(LIST.encode(), [(b"accept", b"text/html")], client="192.0.2.1") is None


def test_all_lists_are_named(world: IssuerWorld) -> None:
    """ST-43: aggregation, by the endpoint in the AS metadata."""
    metadata = world.client.get("/.well-known/oauth-authorization-server/registry").json()
    endpoint = metadata["status_list_aggregation_endpoint"].removeprefix("https://issuer.example")
    answer = world.client.get(endpoint)
    assert answer.json() == {"status_lists": ["https://issuer.example/registry/statuslists/1"]}
    assert answer.headers["content-type"] == "application/json"


def test_changes_are_published_in_one_tick_with_cover(world: IssuerWorld) -> None:
    """ST-33: more places change than copies were revoked, and the new list has a later iat."""
    before = claims(fetched(world).text)
    one, two = issuance(world, "AV-000030"), issuance(world, "AV-000031")
    for each in (one, two):
        world.api("POST", f"/issuances/{each}/revoke", {"reason": "withdrawn"})
    assert claims(fetched(world).text) == before
    world.publish()
    after = claims(fetched(world).text)
    old, new = (StatusList.from_json(each["status_list"]) for each in (before, after))
    changed = [at for at in range(2**20) if old.get(at) != new.get(at)]
    assert len(changed) > 2
    assert {new.get(at) for at in changed} == {Status.INVALID}
    assert after["iat"] > before["iat"]


def test_a_list_signed_while_the_clock_was_ahead_is_signed_anew_at_once(
    world: IssuerWorld,
) -> None:
    """ST-54: else its iat would lie in the future, and be refused, until that day comes."""
    world.publish()
    world.clock.advance(days=1)
    world.publish()  # dated tomorrow
    world.clock.advance(days=-1)
    world.publish()
    assert from_numeric_date(claims(fetched(world).text)["iat"]) <= world.clock()
    before = claims(fetched(world).text)["iat"]
    world.publish()
    assert claims(fetched(world).text)["iat"] == before  # once is enough


def test_an_unchanged_list_is_signed_anew_in_time(world: IssuerWorld) -> None:
    """ST-42: well before exp."""
    world.publish()
    before = claims(fetched(world).text)["iat"]
    world.publish()
    assert claims(fetched(world).text)["iat"] == before
    world.clock.advance(hours=13)
    world.publish()
    assert claims(fetched(world).text)["iat"] > before


def test_another_replica_publishes_the_same_list(world: IssuerWorld) -> None:
    """DESIGN 9: any replica may publish; what one set, cover included, the other keeps."""
    first = issuance(world, "AV-000032")
    world.api("POST", f"/issuances/{first}/suspend", {"reason": "under_review"})
    world.publish()
    before = StatusList.from_json(claims(fetched(world).text)["status_list"])
    builder = ListBuilder(world.issuer.database, world.issuer.indexes, CountingBytes("other"))
    builder.publish(world.issuer.tenants, now=world.clock())
    second = issuance(world, "AV-000033")
    world.api("POST", f"/issuances/{second}/revoke", {"reason": "withdrawn"})
    builder.publish(world.issuer.tenants, now=world.clock())
    after = StatusList.from_json(claims(fetched(world).text)["status_list"])
    lost = [at for at in range(2**20) if before.get(at) and before.get(at) != after.get(at)]
    assert lost == []
    world.publish()  # the first one, whose memory is older now
    again = StatusList.from_json(claims(fetched(world).text)["status_list"])
    assert [at for at in range(2**20) if after.get(at) and again.get(at) != after.get(at)] == []


def test_what_was_reinstated_before_a_crash_is_published_by_who_comes_after(
    world: IssuerWorld,
) -> None:
    """ST-33: a list that says "suspended" of what is valid again changed, too."""
    held = issuance(world, "AV-000034")
    world.api("POST", f"/issuances/{held}/suspend", {"reason": "under_review"})
    world.publish()
    world.clock.advance(hours=1)
    before = StatusList.from_json(claims(fetched(world).text)["status_list"])
    world.api("POST", f"/issuances/{held}/reinstate", {"reason": "review_ended"})
    world.clock.advance(minutes=5)
    other = ListBuilder(world.issuer.database, world.issuer.indexes, CountingBytes("after"))
    assert other.publish(world.issuer.tenants, now=world.clock()) == 1
    after = StatusList.from_json(claims(fetched(world).text)["status_list"])
    back = [at for at in range(2**20) if before.get(at) == 2 and after.get(at) == 0]
    assert len(back) == 1
    world.clock.advance(hours=1)
    idle = ListBuilder(world.issuer.database, world.issuer.indexes, CountingBytes("idle"))
    assert idle.publish(world.issuer.tenants, now=world.clock()) == 0  # nothing moved since


class _Broken:
    """A tenant whose key cannot sign now."""

    def __init__(self, tenant: Any) -> None:
        self.status_uri = tenant.status_uri

    @property
    def status_key(self) -> Any:
        raise Unavailable("token: away")


def test_a_key_that_fails_loses_no_revocation_and_holds_up_no_other_tenant(
    world: IssuerWorld,
) -> None:
    """ST-33, DESIGN "nothing lost": what could not be signed is signed by the next run."""
    held = issuance(world, "AV-000035")
    world.publish()
    before = StatusList.from_json(claims(fetched(world).text)["status_list"])
    world.api("POST", f"/issuances/{held}/revoke", {"reason": "withdrawn"})
    builder = ListBuilder(world.issuer.database, world.issuer.indexes, CountingBytes("broken"))
    tenants = {**world.issuer.tenants, "registry": _Broken(world.issuer.tenant("registry"))}
    for _ in range(2):
        with pytest.raises(Unavailable):
            builder.publish(tenants, now=world.clock())
    world.clock.advance(minutes=10)
    builder.publish(world.issuer.tenants, now=world.clock())
    after = StatusList.from_json(claims(fetched(world).text)["status_list"])
    assert [at for at in range(2**20) if before.get(at) != after.get(at)]


@pytest.mark.parametrize(
    ("done", "move", "allowed"),
    [
        (["revoke"], "revoke", []),
        (["revoke"], "suspend", []),
        (["revoke"], "reinstate", []),
        (["suspend"], "suspend", ["reinstate", "revoke"]),
        ([], "reinstate", ["revoke", "suspend"]),
        (["suspend", "reinstate"], "reinstate", ["revoke", "suspend"]),
    ],
)
def test_a_move_that_is_not_allowed_names_those_that_are(
    world: IssuerWorld, done: list[str], move: str, allowed: list[str]
) -> None:
    """I-113, ST-04: 409 with the allowed moves; INVALID is never reset."""
    name = issuance(world, "AV-000040")
    reasons = {"revoke": "withdrawn", "suspend": "under_review", "reinstate": "review_ended"}
    for each in done:
        path = f"/issuances/{name}/{each}"
        assert world.api("POST", path, {"reason": reasons[each]}).status == 200
    refused = world.api("POST", f"/issuances/{name}/{move}", {"reason": reasons[move]})
    assert (refused.status, refused.json()["code"]) == (409, "move_not_allowed")
    assert refused.json()["allowed"] == allowed


def test_a_reason_code_is_demanded(world: IssuerWorld) -> None:
    """I-113: reason codes for each move."""
    name = issuance(world, "AV-000050")
    unknown = world.api("POST", f"/issuances/{name}/revoke", {"reason": "because"})
    assert (unknown.status, unknown.json()["code"]) == (400, "unknown_reason")
    assert "withdrawn" in unknown.json()["detail"]
    assert world.api("POST", f"/issuances/{name}/revoke", {}).status == 400
    assert world.api("POST", "/issuances/iss_none/revoke", {"reason": "withdrawn"}).status == 404


def test_a_revocation_is_done_once_for_a_key(world: IssuerWorld) -> None:
    """DESIGN: Idempotency-Key; the second call gets the first one's answer, not a 409."""
    name = issuance(world, "AV-000051")
    order = {"reason": "withdrawn"}
    path = f"/issuances/{name}/revoke"
    first = world.api("POST", path, order, idempotency_key="r-1")
    again = world.api("POST", path, order, idempotency_key="r-1")
    assert (first.status, again.status) == (200, 200)
    assert first.json() == again.json()
    assert world.api("POST", path, order, idempotency_key="r-2").status == 409


def test_everything_about_a_person_is_revoked_with_one_call(world: IssuerWorld) -> None:
    """I-113, PAIN_POINTS, agencies 46: by subject, or by subject and type."""
    wallet = Wallet(world)
    wallet.collect("pid_sd_jwt", subject="AV-000052")
    wallet.collect("residence_sd_jwt", subject="AV-000052")
    order = {"subject": "AV-000052", "reason": "deceased"}
    narrow = world.api("POST", "/issuances/suspend", {
        "subject": "AV-000052", "reason": "under_review", "credential": "pid_sd_jwt"
    })  # fmt: skip
    assert [each["credential"] for each in narrow.json()["issuances"]] == ["pid_sd_jwt"]
    done = world.api("POST", "/issuances/revoke", order).json()["issuances"]
    assert {each["state"] for each in done} == {"revoked"}
    assert len(done) == 2
    assert world.api("POST", "/issuances/revoke", order).status == 409
    unknown = {"subject": "AV-000053", "reason": "deceased"}
    assert world.api("POST", "/issuances/revoke", unknown).status == 404


def test_an_issuance_shows_no_place_and_no_person(world: IssuerWorld) -> None:
    """I-112, S-40: an agency's clerk sees states and dates, not what would let a list be read."""
    issuance(world, "AV-000054")
    found = world.api("POST", "/issuances/find", {"subject": "AV-000054"}).json()["issuances"][0]
    assert {"idx", "list", "subject", "holder"}.isdisjoint(found)
    assert "AV-000054" not in str(found)


def test_a_full_list_is_followed_by_the_next(
    empty_database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """ST-31, ST-32: no place twice at any fill, and a new list when one is full."""
    folder = tmp_path_factory.mktemp("full")
    world = IssuerWorld.make(folder, empty_database_url, register=sample_register(folder))
    from issuer_service.indexes import Indexes

    small = Indexes(world.issuer.database, key=b"k" * 32, size=256, block=40)
    taken = [
        small.take(
            "registry", ttl=300, count=7, now=world.clock(),
            needed_until=world.clock(), first_token=lambda number: {"token": f"token {number}"},
        )
        for _ in range(100)
    ]  # fmt: skip
    places = [(each.number, index) for each in taken for index in each.indexes]
    assert len(set(places)) == 700
    assert {each.number for each in taken} == {1, 2, 3, 4}
    reserved = {
        (number, index) for number in range(1, 5) for index in small.cover("registry", number, 0, 4)
    }
    assert not reserved & set(places)
    world.close()


def test_refused_requests_do_not_fill_a_list(world: IssuerWorld) -> None:
    """ST-31: places that a refusal or a repeated request did not use go to the next credential."""
    wallet = Wallet(world)
    token = wallet.redeem(world.offer("pid_sd_jwt", subject="AV-000001"))
    body = wallet.credential_request("pid_sd_jwt", copies=20)
    assert wallet.request(token, body).status == 200

    def leased() -> int:
        with world.issuer.database.reading() as connection:
            taken = connection.exec_driver_sql("SELECT sum(taken) FROM status_lists").scalar_one()
        return int(taken)

    before = leased()
    for _ in range(10):
        assert wallet.request(token, body).status == 200  # the same places again
        spent = {**body, "proofs": {"jwt": body["proofs"]["jwt"][:1]}}
        assert wallet.request(token, spent).json()["error"] == "invalid_nonce"
    assert leased() <= before + world.issuer.settings.status_block
