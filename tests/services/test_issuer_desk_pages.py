"""The issuer's desk: a clerk finds a person, offers, hands out, revokes; an auditor reads."""

import re
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from issuer_service import auditing, letters, wording
from issuer_service.revoking import REASONS
from tests.support.asgi import Answer
from tests.support.issuer import TENANT, IssuerWorld, Wallet, sample_register
from tests.support.staff import StaffMember, staff_member

PERSON = "AV-000001"
HOME = "/staff/registry"
FIND_BY = {"family_name": {"en": "Family name"}, "birth_date": {"en": "Born on"}}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(
        folder,
        database_url,
        tenants=[{**TENANT, "find_by": FIND_BY}, {**TENANT, "tenant": "harbour"}],
        register=sample_register(tmp_path_factory.mktemp("register")),
        requests_per_second=0,
    )
    yield made
    made.close()


def staff(world: IssuerWorld, *roles: str, tenant: str = "registry") -> StaffMember:
    return staff_member(world.client, world.issuer.staff, tenant, roles=roles)


@pytest.fixture
def clerk(world: IssuerWorld) -> StaffMember:
    return staff(world, "offers", "read", "status")


def found(clerk: StaffMember, reference: str = PERSON) -> str:
    """The path of the page about a person."""
    answer = clerk.post(f"/staff/{clerk.tenant}/people", {"reference": reference})
    assert answer.status == 303, answer.text
    return answer.headers["location"]


def once(page: Answer) -> str:
    match = re.search(r'name="once" value="([^"]+)"', page.text)
    assert match
    return match[1]


def offered(clerk: StaffMember, person: str, **fields: str) -> str:
    """The path of the page of a new offer."""
    form = {"once": once(clerk.get(person)), "give-pid": "yes", "expires": "3600", **fields}
    answer = clerk.post(f"{person}/offers", form)
    assert answer.status == 303, answer.text
    return answer.headers["location"]


def code_of(clerk: StaffMember, offer: str) -> str:
    match = re.search(r'id="tx-code">([^<]+)<', clerk.get(f"{offer}/code").text)
    assert match
    return match[1]


def collect(world: IssuerWorld, clerk: StaffMember, offer: str) -> str:
    """A wallet takes the offer by what the desk hands out; the issuance's id."""
    match = re.search(r'data-link="([^"]+)"', clerk.get(offer).text)
    assert match
    from urllib.parse import parse_qs, urlsplit

    uri = parse_qs(urlsplit(unescape(match[1])).query)["credential_offer_uri"][0]
    content = world.client.get(urlsplit(uri).path).json()
    taken = {"credential_offer": content, "tx_code": code_of(clerk, offer)}
    wallet = Wallet(world)
    wallet.credentials(wallet.redeem(taken), "pid_sd_jwt")
    issued = re.findall(r"/credentials/(iss_[\w-]+)", clerk.get(found(clerk)).text)
    return str(issued[0])


def acts(world: IssuerWorld, account: str) -> list[str]:
    from issuer_service.tables import audit

    with world.issuer.database.reading() as connection:
        rows = connection.execute(audit.select().where(audit.c.actor == account))
        return [row.act for row in rows]


def text_of(pdf: bytes) -> bytes:
    """Everything in a PDF, its streams inflated."""
    streams = re.findall(rb"stream\r?\n(.*?)\r?\nendstream", pdf, re.DOTALL)
    plain = []
    for each in streams:
        try:
            plain.append(zlib.decompress(each))
        except zlib.error:
            plain.append(each)
    return pdf + b"".join(plain)


def test_a_clerk_finds_one_person_and_leaves_no_trace_of_the_number(
    world: IssuerWorld, clerk: StaffMember, caplog: pytest.LogCaptureFixture
) -> None:
    """S-30: the reference stands in no URL, no log and no audit row; the search is recorded."""
    place = found(clerk)
    page = clerk.get(place)
    assert page.status == 200
    assert PERSON in page.text
    assert PERSON not in place
    assert "AV-000001" not in caplog.text
    assert "person_looked_up" in acts(world, clerk.account)
    assert PERSON not in world.dump()
    assert page.headers["cache-control"] == "no-store"
    other = staff(world, "read")
    assert other.get(place).status == 404  # a handle is good in its session alone
    clerk.sign_in()
    assert clerk.get(place).status == 404


def test_a_person_is_found_by_exact_fields_only(world: IssuerWorld, clerk: StaffMember) -> None:
    """No listing: all fields, exactly, one entry; else nobody."""
    entry = world.issuer.tenant("registry").register.entry(PERSON)
    fields = {name: entry.fields[name] for name in FIND_BY}
    answer = clerk.post(f"{HOME}/people", {"reference": "", **fields})
    assert answer.status == 303
    assert PERSON in clerk.get(answer.headers["location"]).text
    for wrong, status in (
        ({"reference": "AV-999999"}, 404),
        ({"reference": "%"}, 404),
        ({"reference": "", **fields, "birth_date": "1900-01-01"}, 404),
        ({"reference": "", **fields, "birth_date": ""}, 400),
        ({"reference": "", "family_name": "%", "birth_date": "%"}, 404),
        ({"reference": " "}, 400),
        ({"reference": "x" * 201}, 400),
    ):
        answer = clerk.post(f"{HOME}/people", wrong)
        assert (answer.status, 'id="alert"' in answer.text) == (status, True), wrong
    assert acts(world, clerk.account).count("person_not_found") == 3 + 1


def test_searching_is_bounded(world: IssuerWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.runtime.sign_in.LOOKUPS", 2)
    clerk = staff(world, "read")
    statuses = [clerk.post(f"{HOME}/people", {"reference": PERSON}).status for _ in range(3)]
    assert statuses == [303, 303, 429]


def test_an_offer_is_made_once_however_often_the_form_is_sent(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    """One form, one offer: the key of the API's own Idempotency-Key."""
    person = found(clerk)
    form = {"once": once(clerk.get(person)), "give-pid": "yes", "expires": "604800"}
    before = world.count("offers")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: clerk.post(f"{person}/offers", form), range(4)))
    assert {each.status for each in answers} == {303}
    assert len({each.headers["location"] for each in answers}) == 1
    assert world.count("offers") == before + 1
    page = clerk.get(answers[0].headers["location"]).text
    assert "Waiting to be collected" in page
    assert 'data-link="openid-credential-offer://' in page


def test_the_code_never_stands_beside_the_qr_code(world: IssuerWorld, clerk: StaffMember) -> None:
    offer = offered(clerk, found(clerk))
    code = code_of(clerk, offer)
    assert code not in clerk.get(offer).text
    assert "data-link" not in clerk.get(f"{offer}/code").text
    assert "tx_code_shown" in acts(world, clerk.account)
    assert clerk.get(f"{offer}/qr.svg").headers["content-type"] == "image/svg+xml"
    reader = staff(world, "read")
    assert reader.get(offer).status == 200
    assert reader.get(f"{offer}/code").status == 403
    assert "staff_denied" in acts(world, reader.account)


@pytest.mark.parametrize("tag", ["en", "de"])
def test_two_letters_each_with_one_half(
    world: IssuerWorld, clerk: StaffMember, tag: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PDF by fpdf2: the QR code in one, the Transaction Code in the other."""
    offer = offered(clerk, found(clerk))
    code = code_of(clerk, offer)
    said: list[str] = []
    paragraph = letters._paragraph

    def keep(pdf: Any, text: str) -> None:
        said.append(text)
        paragraph(pdf, text)

    monkeypatch.setattr(letters, "_paragraph", keep)
    first = clerk.get(f"{offer}/letters/offer/{tag}")
    assert first.headers["content-type"] == "application/pdf"
    assert first.headers["cache-control"] == "no-store"
    assert first.body.startswith(b"%PDF-")
    assert f"/Lang ({tag}".encode() in text_of(first.body)
    assert text_of(first.body).count(b" re\n") > 500 or b" re f" in text_of(first.body)
    assert not any(code in each for each in said)
    second = clerk.get(f"{offer}/letters/code/{tag}")
    assert second.body.startswith(b"%PDF-")
    assert text_of(second.body).count(b" re") < 10
    assert acts(world, clerk.account).count("letter_printed") == 2
    assert clerk.get(f"{offer}/letters/both/{tag}").status == 404
    assert clerk.get(f"{offer}/letters/code/xx").status == 404


def test_a_protected_address_is_not_printed(world: IssuerWorld, clerk: StaffMember) -> None:
    """The register's mark counts for letters, too; a name the font cannot write is left out."""
    from issuer_service import looking_up
    from issuer_service.registers import Entry

    fields = {
        "given_name": "Ana",
        "family_name": "Li",
        "street_address": "Mill Lane 3",
        "postal_code": "10115",
        "locality": "Harbour",
    }
    open_ = looking_up._person(Entry("r", fields, frozenset(), ""), "h")
    assert open_.address == ("Mill Lane 3", "10115 Harbour")
    hidden = looking_up._person(Entry("r", fields, frozenset({"address_protected"}), ""), "h")
    assert (hidden.name, hidden.address) == ("Ana Li", ())
    assert letters.can_write("Ελένη Šárka فاطمة שרה Ольга")
    assert not letters.can_write("李")


def test_a_desk_follows_an_offer_from_made_to_collected(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    offer = offered(clerk, found(clerk))
    assert clerk.get(f"{offer}/state").json()["state"] == "open"
    collect(world, clerk, offer)
    state = clerk.get(f"{offer}/state").json()
    assert state == {"state": "collected", "text": "Collected", "look": "good"}
    page = clerk.get(offer).text
    assert "data-link" not in page
    assert "renew-submit" not in page
    for place in ("code", "letters/offer/en", "letters/code/en"):
        answer = clerk.get(f"{offer}/{place}")
        assert answer.status == 404
        assert "cannot be collected any more" in answer.text
    late = clerk.post(f"{offer}/renew", {"once": "late-1", "expires": "300"})
    assert late.status == 409
    assert "it cannot be changed any more" in late.text
    late = clerk.post(f"{offer}/cancel", {"once": "late-2"})
    assert late.status == 409
    assert clerk.get(f"{HOME}/offers").text.count("/offers/off_") >= 1


def test_an_uncollected_offer_is_renewed_or_withdrawn(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    offer = offered(clerk, found(clerk), expires="300")
    code = code_of(clerk, offer)
    link = re.search(r'data-link="([^"]+)"', clerk.get(offer).text)
    world.clock.advance(minutes=6)
    page = clerk.get(offer)
    assert "Expired before it was collected" in page.text
    answer = clerk.post(f"{offer}/renew", {"once": once(page), "expires": "3600"})
    assert answer.status == 303
    again = re.search(r'data-link="([^"]+)"', clerk.get(offer).text)
    assert link
    assert again
    assert again[1] != link[1]
    assert code_of(clerk, offer) == code
    form = {"once": once(clerk.get(offer)), "expires": "3600", "new-code": "yes"}
    clerk.post(f"{offer}/renew", form)
    fresh = code_of(clerk, offer)
    clerk.post(f"{offer}/renew", form)  # the same form again changes nothing
    assert code_of(clerk, offer) == fresh
    assert clerk.post(f"{offer}/cancel", {"once": "w"}).status == 303
    assert "Withdrawn" in clerk.get(offer).text


def test_a_credential_is_suspended_reinstated_and_revoked_with_a_reason(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    """PAIN_POINTS 2.13: a move that the state does not allow is a 409 with those that it does."""
    issuance = collect(world, clerk, offered(clerk, found(clerk)))
    place = f"{HOME}/credentials/{issuance}"
    page = clerk.get(place).text
    assert "Valid" in page
    assert re.findall(r'id="move-(\w+)"', page) == ["revoke", "suspend"]
    asked = clerk.get(f"{place}/suspend")
    assert "can be reinstated" in asked.text
    form = {"once": once(asked), "reason": "under_review", "legal_basis": "§ 7 PAuswG"}
    with ThreadPoolExecutor(3) as pool:
        statuses = list(pool.map(lambda _: clerk.post(f"{place}/suspend", form).status, range(3)))
    assert statuses == [303, 303, 303]
    assert acts(world, clerk.account).count("credential_suspended") == 1
    assert "Under review" in clerk.get(place).text
    again = clerk.post(f"{place}/suspend", {"once": "other", "reason": "under_review"})
    assert again.status == 409
    assert "The state is now: Suspended. Possible: Revoke, Reinstate." in again.text
    assert clerk.get(f"{place}/suspend").status == 409
    wrong = clerk.post(f"{place}/reinstate", {"once": "r", "reason": "deceased"})
    assert wrong.status == 400
    assert 'id="alert"' in wrong.text
    long = clerk.post(
        f"{place}/reinstate", {"once": "l", "reason": "found", "legal_basis": "x" * 201}
    )
    assert long.status == 400
    assert clerk.post(f"{place}/reinstate", {"once": "r2", "reason": "found"}).status == 303
    assert (
        clerk.post(
            f"{place}/revoke",
            {"once": "v", "reason": "court_order", "second_approver": "staff-7"},
        ).status
        == 303
    )
    page = clerk.get(place).text
    assert "Revoked" in page
    assert "Order of a court" in page
    assert 'id="moves"' not in page
    gone = clerk.get(f"{place}/revoke")
    assert gone.status == 409
    assert "Possible: nothing." in gone.text
    assert clerk.get(f"{place}/melt").status == 404
    maker = staff(world, "offers", "read")
    assert 'id="moves"' not in maker.get(place).text
    assert maker.get(f"{place}/revoke").status == 403
    assert maker.post(f"{place}/revoke", {"reason": "withdrawn"}).status == 403


def test_what_cannot_be_issued_is_said_and_not_offered(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    """The same judgement as of the API: marks of the register, missing data."""
    dead = next(
        f"AV-{number:06d}"
        for number in range(1, 40)
        if "deceased" in world.issuer.tenant("registry").register.entry(f"AV-{number:06d}").marks
    )
    person = found(clerk, dead)
    page = clerk.get(person)
    assert 'id="give-pid"' not in page.text
    assert 'id="refused"' in page.text
    assert "The register says that the person has died." in page.text
    german = clerk.get(person, **{"Accept-Language": "de"}).text
    assert "Laut Register ist die Person gestorben." in german
    forced = clerk.post(f"{person}/offers", {"once": once(page), "give-pid": "yes"})
    assert forced.status == 409
    nothing = clerk.post(f"{person}/offers", {"once": once(page)})
    assert nothing.status == 400
    assert "Choose at least one document" in nothing.text


def test_a_register_that_is_down_is_no_missing_person(
    world: IssuerWorld, clerk: StaffMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    from issuer_service.registers import RegisterUnavailable

    person = found(clerk)

    def down(*_: object) -> None:
        raise RegisterUnavailable("register: down")

    register = world.issuer.tenant("registry").register
    monkeypatch.setattr(type(register), "entry", down)
    answer = clerk.post(f"{HOME}/people", {"reference": PERSON})
    assert answer.status == 503
    assert "The register does not answer" in answer.text
    assert clerk.get(person).status == 503


def test_an_auditor_reads_the_trail_and_checks_its_chain(
    world: IssuerWorld, clerk: StaffMember, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("issuer_service.routes.trail._PAGE", 5)
    offered(clerk, found(clerk))
    auditor = staff(world, "auditor")
    start = auditor.get(HOME)
    assert start.headers["location"] == f"{HOME}/audit"
    for name in auditing.unchained(world.issuer.database):
        key = world.issuer.secrets.audit_key(name)
        auditing.chain(world.issuer.database, tenant=name, signer=key, now=world.clock())
    page = auditor.get(f"{HOME}/audit")
    assert page.status == 200
    assert "Maria Jensen" in page.text
    everything = page.text
    older = re.search(r"before=(\d+)", page.text)
    while older:
        page = auditor.get(f"{HOME}/audit?before={older[1]}")
        everything += page.text
        older = re.search(r"audit\?before=(\d+)", page.text)
    assert 'id="newest"' in page.text
    assert clerk.account in everything
    assert "made an offer" in everything
    assert PERSON not in everything
    checked = auditor.post(f"{HOME}/audit")
    assert 'id="chain-whole"' in checked.text
    assert auditor.get(f"{HOME}/audit?before=x").status == 400
    assert clerk.get(f"{HOME}/audit").status == 403
    assert auditor.post(f"{HOME}/people", {"reference": PERSON}).status == 403
    _break(world)
    broken = auditor.post(f"{HOME}/audit")
    assert 'id="chain-broken"' in broken.text
    assert "At entry no. 1 the trail is not what was written" in broken.text


def _break(world: IssuerWorld) -> None:
    from issuer_service.tables import audit

    with world.issuer.database.single() as connection:
        connection.execute(
            audit.update()
            .where(audit.c.tenant == "registry", audit.c.sequence == 1)
            .values(reason="changed")
        )


def test_another_tenant_reaches_nothing(world: IssuerWorld, clerk: StaffMember) -> None:
    """PAIN_POINTS 2.21: every page for staff, with the ids of another tenant."""
    person = found(clerk)
    offer = offered(clerk, person)
    issuance = collect(world, clerk, offer)
    other = offered(clerk, person)
    stranger = staff(world, "offers", "read", "status", "auditor", tenant="harbour")
    ids = {
        "handle": person.rpartition("/")[2],
        "offer_id": other.rpartition("/")[2],
        "issuance_id": issuance,
        "move": "revoke",
        "kind": "code",
        "tag": "en",
    }
    own = {"/staff/{tenant}", "/staff/{tenant}/people", "/staff/{tenant}/offers"}
    own |= {"/staff/{tenant}/audit", "/staff/{tenant}/sessions", "/staff/{tenant}/sign-out"}
    open_ = {f"/staff/{{tenant}}/{each}" for each in ("sign-in", "join")}
    open_ |= {"/staff/{tenant}/sign-in/provider", "/staff/{tenant}/sign-in/return"}
    routes = [
        each
        for each in world.client.app._routes
        if each.path.startswith("/staff/")  # type: ignore[attr-defined]
    ]
    assert {each.path for each in routes} >= own | open_
    again = ("/people/{handle}/offers", "/renew", "/cancel")
    before = world.dump()
    for each in routes:
        if each.path in open_:
            continue
        path = each.path.format(tenant="harbour", **ids)
        theirs = each.path.format(tenant="registry", **ids)
        for method in each.methods - {"HEAD"}:
            ask = stranger.get if method == "GET" else stranger.post
            moved = ask(theirs)  # no session there: the sign-in page
            assert moved.status == 303, theirs
            assert moved.headers["location"].startswith("/staff/registry/sign-in")
            if each.path.endswith(again) and method == "GET":
                assert ask(path).status == 303, path  # to a page that says 404
            elif each.path not in own:
                form = {"once": "x", "reason": "withdrawn", "give-pid": "yes"}
                answer = ask(path) if method == "GET" else stranger.post(path, form)
                assert answer.status == 404, path
    after = world.dump()
    assert [line for line in before.splitlines() if "staff_" not in line] == [
        line for line in after.splitlines() if "staff_" not in line
    ]
    for reference in (PERSON,):
        page = stranger.get(found(stranger, reference)).text
        assert "/credentials/" not in page
        assert "/offers/off_" not in page


def test_another_language_can_be_chosen_after_a_form(
    world: IssuerWorld, clerk: StaffMember
) -> None:
    """The page after a form has the form's address; its links lead to a page, too."""
    person = found(clerk)
    offer = offered(clerk, person)
    for path in (f"{HOME}/people", f"{person}/offers", f"{offer}/renew", f"{offer}/cancel"):
        answer = clerk.get(path)
        assert answer.status == 303, path
        assert clerk.get(answer.headers["location"]).status == 200


def test_every_code_has_words() -> None:
    """Acts, states and reasons are never shown as codes."""
    package = Path(wording.__file__).parent
    said = {
        match
        for path in [*package.glob("*.py"), *package.glob("routes/*.py")]
        for match in re.findall(r'\bact="([a-z_]+)"', path.read_text())
    }
    assert said <= set(wording.ACTS)
    assert {reason for each in REASONS.values() for reason in each} <= set(wording.REASONS)
