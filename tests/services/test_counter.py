"""The counter: a clerk asks, a citizen's wallet answers, the clerk reads it in words (DESIGN 2)."""

import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ExpectedError
from shared.runtime.client_credentials import ApiCaller
from tests.support.clock import NOW
from tests.support.counter import Clerk
from tests.support.staff import staff_member
from tests.support.trust import trust_list
from tests.support.verifier import LIST_URI, TENANT, HolderWallet, VerifierWorld
from verifier_service import tables
from verifier_service.desks import Clerk as Seated
from verifier_service.records import chain_all, read_audit
from verifier_service.results import Asker, read
from verifier_service.retention import erase_due
from verifier_service.routes.asking import AUDITOR, SUPERVISOR

TENANTS = {"counter": TENANT | {"desks": ["1", "2"]}, "town-hall": TENANT}


@pytest.fixture(scope="module")
def world(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VerifierWorld]:
    folder = tmp_path_factory.mktemp("verifier")
    with VerifierWorld.make(folder, database_url, tenants=TENANTS) as made:
        made.statuses.set(11, 1)
        made.statuses.set(12, 2)
        yield made


@pytest.fixture(autouse=True)
def _as_at_the_start(world: VerifierWorld) -> Iterator[None]:
    yield
    world.clock.now = NOW


@pytest.fixture(scope="module")
def clerk(world: VerifierWorld) -> Clerk:
    return Clerk.at(world)


@pytest.fixture(autouse=True)
def _desk_is_free(clerk: Clerk) -> None:
    clerk.sit()
    clerk.clear(clerk.now()["visit"])


def row(world: VerifierWorld, desk: str = "1") -> Any:
    table = tables.desks
    with world.verifier.database.reading() as connection:
        return connection.execute(
            table.select().where(table.c.tenant == "counter", table.c.id == desk)
        ).one()


def transaction(world: VerifierWorld, transaction_id: str) -> Any:
    return world.row({"transaction_id": transaction_id})


def at_once(act: Callable[[int], Any], count: int) -> list[Any]:
    barrier = threading.Barrier(count)

    def run(index: int) -> Any:
        barrier.wait()
        return act(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))


def test_a_clerk_asks_and_reads_a_yes(clerk: Clerk) -> None:
    """DESIGN journey 2, V-61: exactly the facts asked for, in the clerk's words."""
    asked = clerk.ask()
    assert (asked["phase"], asked["question"]["title"]) == ("waiting", "Is 18 or older")
    assert asked["link"].startswith("openid4vp://?client_id=x509_hash")
    wallet = HolderWallet(clerk.world)
    opened = wallet.open(asked["link"])
    assert clerk.now()["phase"] == "opened"
    assert wallet.answer(opened).status == 200
    shown = clerk.now("de")
    assert shown["phase"] == "answered"
    assert "link" not in shown
    answer = shown["answer"]
    assert (answer["code"], answer["tone"], answer["headline"]) == (
        "verified",
        "yes",
        "Ja, bestätigt",
    )
    assert answer["facts"] == [{"label": "18 oder älter", "value": "Ja", "kind": "text"}]
    (card,) = answer["cards"]
    assert {each["said"] for each in card["checks"]} == {"ja"}
    assert "Möbius" not in str(shown)


def test_facts_are_said_in_the_language_of_the_clerk(clerk: Clerk) -> None:
    """DESIGN 8: dates, countries, and nothing that was not asked for."""
    said = {each["label"]: each["value"] for each in clerk.answered("identity")["answer"]["facts"]}
    assert said == {
        "Family name": "Möbius",
        "Given name": "Erika",
        "Born on": "August 12, 1964",
        "Place of birth": "Köln, Germany",
        "Nationality": "Germany, France",
    }
    said = {each["label"]: each["value"] for each in clerk.now("de")["answer"]["facts"]}
    assert said["Geboren am"] == "12. August 1964"
    assert said["Staatsangehörigkeit"] == "Deutschland, Frankreich"


@pytest.mark.parametrize(
    ("index", "code", "words"),
    [(11, "revoked", "was revoked"), (12, "suspended", "is suspended")],
)
def test_a_card_that_stopped_being_true_is_refused_in_words(
    clerk: Clerk, index: int, code: str, words: str
) -> None:
    """DESIGN journey 4, ST-54: revoked and suspended apart, with what to do."""
    answer = clerk.answered("identity", index=index)["answer"]
    assert (answer["code"], answer["tone"], answer["facts"]) == (code, "no", [])
    assert words in answer["headline"]
    assert "agency that issued" in answer["next_step"]
    assert answer["cards"][0]["checks"][-1]["result"] == "failed"
    assert "may_accept" not in answer


def test_a_citizen_who_declines_is_nobody_s_fault(clerk: Clerk) -> None:
    """PAIN_POINTS 2.6: refused and silent are different, and neither is a no."""
    asked = clerk.ask()
    wallet = HolderWallet(clerk.world)
    opened = wallet.open(asked["link"])
    refusal = f"error=access_denied&state={opened.request.state}".encode()
    assert wallet.post(opened, refusal).status == 200
    answer = clerk.now()["answer"]
    assert (answer["code"], answer["tone"]) == ("refused", "none")


def test_a_question_that_nobody_answers_runs_out(clerk: Clerk) -> None:
    """V-03: by time alone, before any job says so; then another may be asked."""
    asked = clerk.ask()
    assert asked["seconds_left"] == 300
    clerk.world.clock.advance(minutes=5)
    answer = clerk.now()["answer"]
    assert (answer["code"], answer["tone"]) == ("timed_out", "none")
    assert clerk.ask()["phase"] == "waiting"


def test_what_may_not_be_asked_says_why_and_asks_nothing(clerk: Clerk) -> None:
    """V-31: in the clerk's words, at the moment of asking."""
    trust = clerk.world.trust
    held, before = trust.held, clerk.now()["visit"]
    trust.held = trust_list(trust.registry.entry(), trust.counter.entry(asks=[]))
    clerk.world.clock.advance(minutes=2)
    try:
        refused = clerk.post("ask", {"query": "over_18"}, **{"Accept-Language": "de"})
    finally:
        trust.held = held
    assert refused.status == 403
    assert refused.json()["trouble"]["headline"] == "Diese Frage darf nicht gestellt werden"
    assert clerk.now() == {"visit": before, "phase": "free"}
    unknown = clerk.post("ask", {"query": "income"})
    assert (unknown.status, unknown.json()["trouble"]["code"]) == (404, "unknown_query")
    assert clerk.post("ask", {"query": 1}).status == 400


def unreachable(world: VerifierWorld) -> None:
    world.statuses.publisher.down = True


def expired(world: VerifierWorld) -> None:
    now = world.clock()
    world.statuses.publish(now=now - timedelta(days=2), expires_in=timedelta(days=1))


def unreadable(world: VerifierWorld) -> None:
    world.statuses.publisher.documents[LIST_URI] = b"nonsense"


@pytest.mark.parametrize("make", [unreachable, expired, unreadable])
def test_an_unknown_status_may_be_accepted_by_hand_where_the_query_says_so(
    world: VerifierWorld, tmp_path: Path, new_database_url: Callable[[], str], make: Any
) -> None:
    """ST-54, PAIN_POINTS 2.17: an explicit act of somebody who may, with its reason, on record."""
    with VerifierWorld.make(tmp_path, new_database_url(), tenants=TENANTS) as fresh:
        make(fresh)
        clerk, other = Clerk.at(fresh), Clerk.at(fresh, "2", SUPERVISOR)
        answer = clerk.answered("identity")["answer"]
        assert (answer["code"], answer["tone"]) == (f"list_{make.__name__}", "unsure")
        assert answer["facts"] == []
        assert "right to decide" in answer["held_back"]
        assert "may_accept" not in answer
        sent = {"visit": clerk.now()["visit"], "reason": "paper_document_seen"}
        assert clerk.post("accept", sent).status == 403

        strict = other.answered("over_18")["answer"]  # its file says "refuse"
        assert (strict["tone"], "may_accept" in strict, "held_back" in strict) == (
            "unsure",
            False,
            False,
        )
        visit = other.now()["visit"]
        refused = other.post("accept", {"visit": visit, "reason": "urgent_need"})
        assert (refused.status, refused.json()["trouble"]["code"]) == (409, "nothing_to_override")

        shown = other.answered("identity")
        reasons = [each["code"] for each in shown["answer"]["may_accept"]]
        assert "paper_document_seen" in reasons
        sent["visit"] = shown["visit"]
        assert other.post("accept", sent | {"reason": "because"}).status == 400
        assert other.post("accept", sent | {"visit": visit}).status == 409
        accepted = other.post("accept", sent).json()["answer"]
        assert (accepted["code"], accepted["tone"]) == ("accepted_by_hand", "yes")
        assert accepted["accepted_because"] == "I have seen a valid paper document"
        assert accepted["facts"][0]["value"] == "Möbius"
        assert other.post("accept", sent).status == 409
        chain_all(fresh.verifier, fresh.clock())
        caller = ApiCaller("x", "counter", frozenset({AUDITOR}))
        rows = read_audit(fresh.verifier, caller, after=0).rows
        (override,) = [each for each in rows if each["act"] == "override"]
        assert override["actor"] == other.staff.account
        assert override["reason"] == "paper_document_seen"


def test_nobody_else_sees_what_a_desk_shows(world: VerifierWorld, clerk: Clerk) -> None:
    """V-52: not a colleague, not another agency, not the same clerk in another session."""
    shown = clerk.answered("identity")
    colleague = Clerk.at(world, "2", SUPERVISOR)
    foreign = Clerk.at(world, tenant="town-hall")
    again = Clerk(world, replace(clerk.staff), desk="1")
    assert again.staff.sign_in().status == 303
    for other in (replace(colleague, desk="1"), again):
        for answer in (
            other.staff.get(f"{other.place}/now"),
            other.post("clear", {"visit": shown["visit"]}),
            other.post("ask", {"query": "over_18"}),
        ):
            assert (answer.status, answer.json()["trouble"]["code"]) == (409, "desk_taken")
        assert other.listen(shown["visit"]).status == 204
        page = other.staff.get(other.place)
        assert (page.status, page.headers["location"]) == (303, "/staff/counter")
    assert "Erika" not in foreign.staff.get(f"{foreign.place}/now").text
    crossing = foreign.staff.get(f"{clerk.place}/now")
    assert (crossing.status, crossing.headers["location"]) == (
        303,
        "/staff/counter/sign-in?to=%2Fstaff%2Fcounter%2Fdesks%2F1%2Fnow",
    )
    assert clerk.now()["answer"]["facts"][0]["value"] == "Möbius"


def test_who_takes_over_a_desk_ends_its_question(world: VerifierWorld, clerk: Clerk) -> None:
    """An answer that comes too late is nobody's; one that is there is forgotten."""
    asked = clerk.ask("identity")
    wallet = HolderWallet(world)
    opened = wallet.open(asked["link"])
    ended = row(world).transaction_id
    assert "In use" in Clerk.at(world, "2").staff.get("/staff/counter").text
    successor = Clerk.at(world)
    assert successor.now()["phase"] == "free"
    assert wallet.answer(opened).status == 400
    assert transaction(world, ended).state == "deleted"
    successor.answered("identity")
    shown = row(world).transaction_id
    assert clerk.sit().status == 303
    after = transaction(world, shown)
    assert (after.state, after.sealed_claims) == ("verified", None)


def test_the_next_customer_is_served_by_a_blank_desk(world: VerifierWorld, clerk: Clerk) -> None:
    """DESIGN 6: the result outlives the visit, the claims do not."""
    shown = clerk.answered("identity")
    answered = row(world).transaction_id
    assert clerk.clear(shown["visit"]) == {"visit": shown["visit"], "phase": "free"}
    assert clerk.now()["phase"] == "free"
    kept = transaction(world, answered)
    assert (kept.state, kept.sealed_claims, kept.claims_until) == ("verified", None, None)
    for days, left in ((1, True), (31, False)):
        world.clock.now = NOW + timedelta(days=days)
        erase_due(world.verifier, world.clock())
        assert (transaction(world, answered) is not None) is left


def test_a_withdrawn_question_cannot_be_answered(world: VerifierWorld, clerk: Clerk) -> None:
    """V-03: ended at once, recorded by whom, and told as the end of a transaction."""
    asked = clerk.ask()
    wallet = HolderWallet(world)
    opened = wallet.open(asked["link"])
    withdrawn = row(world).transaction_id
    clerk.clear(asked["visit"])
    assert wallet.answer(opened).status == 400
    assert wallet.fetch(asked["link"])[1].status == 410
    found = transaction(world, withdrawn)
    assert (found.state, found.reason, found.sealed_request) == ("deleted", "cancelled", None)
    erase_due(world.verifier, world.clock())
    chain_all(world.verifier, world.clock())
    caller = ApiCaller("x", "counter", frozenset({AUDITOR}))
    rows = read_audit(world.verifier, caller, after=0).rows
    acts = {each["act"]: each for each in rows if each["subject"] == withdrawn}
    assert set(acts) == {"start", "cancel", "end"}
    assert acts["cancel"]["actor"] == clerk.staff.account
    assert acts["end"]["reason"] == "cancelled"


def test_a_late_farewell_of_an_earlier_visit_ends_nothing(clerk: Clerk) -> None:
    """A page that is left says so when it may: the visit is named."""
    first = clerk.answered()["visit"]
    second = clerk.ask()
    assert second["visit"] == first + 1
    assert clerk.clear(first)["phase"] == "waiting"
    assert clerk.clear(second["visit"])["phase"] == "free"
    assert clerk.clear(second["visit"])["phase"] == "free"
    for wrong in (True, "1", None):
        assert clerk.post("clear", {"visit": wrong}).status == 400


def test_a_legal_hold_keeps_the_claims_sealed(world: VerifierWorld, clerk: Clerk) -> None:
    """DESIGN 6.2: what is held is not forgotten by the next customer."""
    shown = clerk.answered("identity")
    held, table = row(world).transaction_id, tables.transactions
    with world.verifier.database.transaction() as connection:
        connection.execute(
            table.update().where(table.c.id == held).values(held_until=NOW + timedelta(days=9))
        )
    assert clerk.clear(shown["visit"])["phase"] == "free"
    assert transaction(world, held).sealed_claims is not None


def test_the_database_alone_opens_nothing(world: VerifierWorld, clerk: Clerk) -> None:
    """DESIGN 6.2: the secret follows from the session's cookie, which is nowhere kept."""
    clerk.answered("identity")
    found = row(world)
    cookie = clerk.staff.cookie.partition("=")[2].encode()
    with world.verifier.database.reading() as connection:
        for table in tables.metadata.sorted_tables:
            for line in connection.execute(table.select()):
                assert cookie not in repr(tuple(line)).encode(), table.name
    other = Seated("counter", clerk.staff.account, found.holder)
    asker = Asker("counter", other.id, found.holder.hex())
    with pytest.raises(ExpectedError):
        read(world.verifier, asker, found.transaction_id)


def test_after_signing_out_nobody_opens_the_answer(world: VerifierWorld) -> None:
    """V-52: the same account in a new session starts with a blank desk."""
    clerk = Clerk.at(world, "2")
    clerk.answered("identity")
    shown = row(world, "2").transaction_id
    assert clerk.staff.post("/staff/counter/sign-out").status == 303
    assert clerk.staff.get(f"{clerk.place}/now").status == 303
    assert clerk.staff.sign_in().status == 303
    assert clerk.staff.get(f"{clerk.place}/now").status == 409
    assert clerk.sit().status == 303
    assert clerk.now()["phase"] == "free"
    assert transaction(world, shown).sealed_claims is None


def test_of_two_clicks_one_question_is_asked(world: VerifierWorld, clerk: Clerk) -> None:
    """S-02: the same question twice is asked once, two different ones never both."""
    before = clerk.now()["visit"]
    answers = at_once(lambda _: clerk.post("ask", {"query": "over_18"}), 8)
    assert {each.status for each in answers} <= {200, 409}
    shown = clerk.now()
    assert shown["visit"] >= before + 1
    table = tables.transactions
    with world.verifier.database.reading() as connection:
        open_ = connection.execute(
            table.select().where(table.c.state == "created", table.c.client == clerk.staff.account)
        ).all()
    assert [each.id for each in open_] == [row(world).transaction_id]


def test_of_many_who_sit_down_at_once_one_does(world: VerifierWorld) -> None:
    """S-02: the row of the desk knows one session."""
    crowd = [Clerk.at(world, "2") for _ in range(4)]
    statuses = at_once(lambda index: crowd[index].sit().status, len(crowd))
    assert set(statuses) <= {303, 409}
    seated = [each for each in crowd if each.staff.get(f"{each.place}/now").status == 200]
    assert len(seated) == 1


def test_only_our_own_page_may_ask(world: VerifierWorld, clerk: Clerk) -> None:
    """DESIGN 8: CSRF, role, session; and what is asked of the wrong place."""
    content = {"query": "over_18"}
    assert clerk.post("ask", content, **{"X-CSRF-Token": "x"}).status == 403
    assert clerk.post("ask", content, Cookie="").status == 303
    auditor = replace(clerk)
    auditor.staff = staff_member(
        world.client, world.verifier.staff, "counter", roles=(AUDITOR,), name="Bo"
    )
    assert auditor.sit().status == 403
    assert auditor.post("ask", content).status == 403
    assert auditor.listen(1).status in {204, 403}
    nowhere = replace(clerk, desk="9")
    assert nowhere.sit().status == 404
    assert nowhere.post("ask", content).status == 404
    assert clerk.now()["phase"] == "free"


def test_the_answer_is_announced_as_it_comes(clerk: Clerk) -> None:
    """Issue, item 1: server-sent events that resume after the last one heard."""
    asked = clerk.ask()
    heard: list[Any] = []
    listening = threading.Thread(target=lambda: heard.append(clerk.listen(asked["visit"])))
    listening.start()
    wallet = HolderWallet(clerk.world)
    wallet.answer(wallet.open(asked["link"]))
    listening.join(timeout=120)
    (answer,) = heard
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert 'data: {"state":"verified"}' in answer.text
    ids = re.findall(r"^id: (\d+)$", answer.text, re.MULTILINE)
    assert ids[-1] == "4"
    resumed = clerk.listen(asked["visit"], **{"Last-Event-ID": "2"})
    assert re.findall(r"^id: (\d+)$", resumed.text, re.MULTILINE) == ["4"]
    assert clerk.listen(asked["visit"] + 1).status == 204
    clerk.clear(asked["visit"])
    assert clerk.listen(asked["visit"]).status == 204


def test_a_desk_goes_on_at_another_replica(
    world: VerifierWorld, clerk: Clerk, database_url: str, tmp_path: Path
) -> None:
    """Issue, item 1: nothing of a desk is in a process: asked here, heard and read there."""
    with VerifierWorld.make(tmp_path, database_url, tenants=TENANTS) as other:
        asked = clerk.ask("identity")
        there = replace(clerk, world=other, staff=replace(clerk.staff, client=other.client))
        assert there.now() == asked
        heard: list[Any] = []
        listening = threading.Thread(target=lambda: heard.append(there.listen(asked["visit"])))
        listening.start()
        wallet = HolderWallet(world)
        wallet.answer(wallet.open(asked["link"]))
        listening.join(timeout=120)
        assert 'data: {"state":"verified"}' in heard[0].text
        assert there.now()["answer"]["facts"][0]["value"] == "Möbius"
        assert there.clear(asked["visit"])["phase"] == "free"
        assert clerk.now()["phase"] == "free"


def test_a_test_list_stamps_every_answer(world: VerifierWorld, clerk: Clerk) -> None:
    """DESIGN 4: TEST stands on the answer."""
    answer = clerk.answered()["answer"]
    assert answer["test"] is world.trust.current().is_test


def test_the_pages_name_each_desk_and_question(clerk: Clerk) -> None:
    """DESIGN 8: a strict policy, scripts of ours alone, in the clerk's language."""
    home = clerk.staff.get("/staff/counter", **{"Accept-Language": "de"})
    assert (home.status, "Schalter 2" in home.text, "Frei" in home.text) == (200, True, True)
    page = clerk.staff.get(clerk.place, **{"Accept-Language": "de"})
    assert page.status == 200
    assert "Ist 18 oder älter" in page.text
    assert "verifier.example/c" in page.text
    assert "unsafe" not in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"
    scripts = re.findall(
        r'<script type="module" src="/static/[^/"]+/([\w-]+\.js)"></script>', page.text
    )
    assert sorted(scripts) == ["counter.js", "times.js"]
    assert page.text.count("<script") == len(scripts)
