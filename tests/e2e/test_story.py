"""The journeys of DESIGN 2 between three processes over HTTP, with a citizen's phone."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.demo import agencies
from shared.demo.phone import Phone, Refused

from .world import PORTAL, World, eventually, send


@pytest.fixture(scope="module")
def subject(world: World) -> str:
    return world.person()


@pytest.fixture(scope="module")
def phone(world: World, subject: str) -> Phone:
    """A citizen with both documents, each from an offer of its own."""
    phone = world.phone()
    world.receive(phone, subject, "pid_sd_jwt")
    world.receive(phone, subject, "residence_sd_jwt")
    return phone


def test_the_cards_say_what_the_register_says(world: World, phone: Phone, subject: str) -> None:
    """DESIGN 2.1: from offer to card, in the citizen's language."""
    person = world.people[subject]
    pid, residence = phone.cards()
    assert [pid["issuer"], residence["issuer"]] == ["Civil Registry of Avelonia"] * 2
    shown = {tuple(each["path"]): each["value"] for each in phone.card(pid["id"])["claims"]}
    assert shown["family_name",] == person["family_name"]
    assert shown["given_name",] == person["given_name"]
    assert shown["birthdate",] == person["birth_date"]
    assert shown["age_equal_or_over", "18"] is True
    shown = {tuple(each["path"]): each["value"] for each in phone.card(residence["id"])["claims"]}
    assert shown["address", "locality"] == person["locality"]
    assert pid["copies_left"] == residence["copies_left"] == 10


def test_the_counter_learns_exactly_what_it_asked(world: World, phone: Phone, subject: str) -> None:
    """DESIGN 2.2, 6.2 and 6.6: a yes for the age, facts only for those who ask for facts."""
    person = world.people[subject]
    over_18 = world.check(phone, "over_18")
    assert over_18["state"] == "verified"
    assert over_18["verdict"]["accepted"] is True
    assert over_18["verdict"]["test"] is True
    assert _shown(over_18) == {"age_equal_or_over": {"18": True}}
    identity = _shown(world.check(phone, "identity"))
    assert identity["family_name"] == person["family_name"]
    assert identity["birthdate"] == person["birth_date"]
    assert not {"email", "phone_number", "age_equal_or_over", "address"} & identity.keys()
    address = _shown(world.check(phone, "address"))
    assert address["address"]["locality"] == person["locality"]
    assert "birthdate" not in address


@pytest.mark.parametrize(
    ("cards", "queries"),
    [
        (
            ("pid_sd_jwt", "residence_sd_jwt", "disability_sd_jwt", "student_sd_jwt"),
            ("over_18", "over_65", "identity", "identity_portrait", "address"),
        ),
        (
            ("pid_mdoc", "mdl", "disability_mdoc", "student_mdoc"),
            ("over_18", "over_65", "identity", "identity_portrait", "driving"),
        ),
    ],
    ids=["sd_jwt", "mdoc"],
)
def test_every_shipped_question_is_answered_by_shipped_cards(
    world: World, cards: tuple[str, ...], queries: tuple[str, ...]
) -> None:
    """Issue 8, item 5; DESIGN 7: from the register to the counter, no file written by hand."""
    [person, *_] = [
        each
        for each in world.people.values()
        if each["disability_number"] and each["student_number"] and each["licence_number"]
        if not each["marks"] and each["given_name"] and each["birth_date"] < "1950"
    ]
    phone = world.phone()
    assert len(world.receive(phone, person["reference"], *cards)) == len(cards)
    for query in queries:
        assert world.check(phone, query)["state"] == "verified", query
    disability, student = (_shown(world.check(phone, query)) for query in ("disability", "student"))
    if "mdl" in cards:
        [disability], [student] = disability.values(), student.values()  # each of one namespace
    name = {"family_name": person["family_name"], "given_name": person["given_name"]}
    until = "expiry_date" if "mdl" in cards else "date_of_expiry"
    assert disability == name | {
        until: person["disability_expires"],
        "accompanied": person["disability_accompanied"] == "true",
    }
    assert student == name | {
        until: person["student_expires"],
        "institution": person["student_institution"],
    }


def test_the_phone_says_who_asks_and_why(world: World, phone: Phone) -> None:
    """W-57: from the trust list, never from the request."""
    started = world.counter.ask("over_18")
    consent = phone.resolve(started["link"], cross_device=True)
    assert consent.model["verifier"]["name"] == "Service Counters of Avelonia"
    assert consent.model["verifier"]["trust"] == "registered"
    assert consent.model["purpose"]
    assert consent.model["possible"] is True
    codes = {each["code"] for each in consent.model["warnings"]}
    assert codes - {"test_environment"} == {"other_device"}
    phone.refuse(consent)


def test_a_refusal_is_a_result_without_claims(world: World, phone: Phone) -> None:
    """S-42, V-02: the citizen says no, the counter learns no more than that."""
    before = sum(each["copies_left"] for each in phone.cards())
    started = world.counter.ask("identity")
    outcome = phone.refuse(phone.resolve(started["link"], cross_device=True))
    assert outcome.outcome == "refused"
    result = world.counter.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("refused", "refused")
    assert "claims" not in result
    assert sum(each["copies_left"] for each in phone.cards()) == before
    assert phone.log()[-1]["result"] == "refused"


def test_the_log_shows_everything_in_order(world: World) -> None:
    """DESIGN 2.7."""
    phone = world.phone()
    world.receive(phone, world.person())
    world.check(phone)
    started = world.counter.ask("identity")
    phone.refuse(phone.resolve(started["link"], cross_device=True))
    entries = phone.log()
    assert [(each["type"], each["result"]) for each in entries][2:] == [
        ("issuance", "stored"),
        ("presentation", "shared"),
        ("presentation", "refused"),
    ]
    shared = entries[3]["body"]
    assert shared["verifier"]["names"]["en"] == "Service Counters of Avelonia"
    assert [each["claims"] for each in shared["items"]] == [[["age_equal_or_over", "18"]]]


def test_one_offer_may_carry_two_documents(world: World) -> None:
    """I-20: each becomes a card of its own."""
    phone = world.phone()
    cards = world.receive(phone, world.person(), "pid_sd_jwt", "residence_sd_jwt")
    assert len(cards) == 2
    assert world.check(phone, "address")["verdict"]["accepted"] is True


def test_a_second_offer_gives_a_second_card(world: World) -> None:
    phone, subject = world.phone(), world.person()
    world.receive(phone, subject)
    world.receive(phone, subject)
    assert len({each["id"] for each in phone.cards()}) == 2
    assert world.reason(phone) is None


def test_a_closed_wallet_opens_again_with_one_gesture(world: World, phone: Phone) -> None:
    """DESIGN 2.1; nothing is readable in between."""
    cards = [each["id"] for each in phone.cards()]
    ended = phone._token
    phone.close()
    with pytest.raises(Refused) as refused:
        phone.cards()
    assert refused.value.status == 401
    phone._token = ended
    with pytest.raises(Refused) as refused:
        phone.cards()
    assert refused.value.status == 401
    phone._token = None
    phone.open()
    assert [each["id"] for each in phone.cards()] == cards
    assert world.reason(phone) is None


def test_a_new_phone_opens_the_wallet_with_the_recovery_code(world: World) -> None:
    """DESIGN 2.6: the waiting period is told, and it cannot be skipped."""
    lost = world.phone()
    world.receive(lost, world.person())
    new = world.phone()
    begun = new.begin_recovery(lost.recovery_code)
    assert begun > 0
    with pytest.raises(Refused) as refused:
        new.recover(lost)
    assert refused.value.status in {403, 409}


def test_what_is_revoked_is_refused_and_the_card_says_so(world: World) -> None:
    """DESIGN 2.4; ST-33: within seconds."""
    phone, subject = world.phone(), world.person()
    world.receive(phone, subject)
    assert world.reason(phone) is None
    world.registry.revoke(subject, reason="superseded")
    eventually(lambda: world.reason(phone) == "revoked")
    [card] = eventually(lambda: [c for c in phone.refresh() if c["badge"] == "revoked"])
    assert card["badge_text"] == "Revoked by the agency"
    assert card["next_step"]
    with pytest.raises(agencies.Refused) as refused:
        world.registry.call("POST", "issuances/reinstate", {"subject": subject, "reason": "found"})
    assert (refused.value.status, refused.value.problem["code"]) == (409, "move_not_allowed")


def test_what_is_suspended_comes_back(world: World) -> None:
    """ST-04: suspended, seen as that, reinstated, good again."""
    phone, subject = world.phone(), world.person()
    world.receive(phone, subject)
    order = {"subject": subject, "reason": "under_review"}
    world.registry.call("POST", "issuances/suspend", order)
    eventually(lambda: world.reason(phone) == "suspended")
    eventually(lambda: phone.refresh()[0]["badge"] == "suspended")
    world.registry.call(
        "POST", "issuances/reinstate", {"subject": subject, "reason": "review_ended"}
    )
    eventually(lambda: phone.refresh()[0]["badge"] == "valid")
    eventually(lambda: world.reason(phone) is None)


def test_the_same_phone_comes_back_with_a_response_code(world: World, phone: Phone) -> None:
    """DESIGN 2.3; V-43, V-50, V-51: the result waits for the browser, and is released once."""
    started, code = _same_device(world, phone)
    waiting = world.counter.result(started)
    assert (waiting["state"], waiting.get("claims")) == ("responded", None)
    released = _return(world, started, code)
    assert (released["state"], released["session_bound"]) == ("verified", True)
    assert _shown(released) == {"age_equal_or_over": {"18": True}}
    with pytest.raises(agencies.Refused) as refused:
        _return(world, started, code)
    assert refused.value.problem["code"] == "wrong_response_code"
    result = world.counter.result(started)
    assert (result["state"], result.get("claims")) == ("rejected", None)


def test_a_browser_sent_to_the_page_is_the_one_that_gets_the_result(
    world: World, phone: Phone
) -> None:
    """DESIGN 2.3; V-50: start cookie, response code and the agency's session, with two workers."""
    started = world.counter.ask("over_18", flow="same_device", return_url=f"{PORTAL}/back?visit=1")
    page = world.http.get(started["page"], headers={"Accept": "text/html"})
    cookie = page.headers["set-cookie"].partition(";")[0]
    outcome = phone.approve(phone.resolve(started["link"]))
    assert str(outcome.redirect_uri).startswith(f"{started['page']}/return?response_code=")
    back = world.http.get(str(outcome.redirect_uri), headers={"Cookie": cookie})
    assert back.status_code == 303
    onward = urlsplit(back.headers["location"])
    brought = parse_qs(onward.query)
    assert (onward.netloc, brought["visit"]) == (urlsplit(PORTAL).netloc, ["1"])
    released = _return(world, started, brought["response_code"][0])
    assert (released["state"], _shown(released)) == (
        "verified",
        {"age_equal_or_over": {"18": True}},
    )


def test_a_wrong_response_code_rejects_the_presentation(world: World, phone: Phone) -> None:
    """V-50: the browser that comes back is not the one that was sent away."""
    started, code = _same_device(world, phone)
    with pytest.raises(agencies.Refused) as refused:
        _return(world, started, code[:-1] + ("A" if code[-1] != "A" else "B"))
    assert refused.value.status == 403
    with pytest.raises(agencies.Refused):
        _return(world, started, code)
    result = world.counter.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("rejected", "wrong_return")


def test_nobody_is_sent_to_an_address_of_the_callers_choice(world: World) -> None:
    """C-55."""
    with pytest.raises(agencies.Refused) as refused:
        world.counter.ask("over_18", flow="same_device", return_url="https://evil.example/")
    assert refused.value.problem["code"] == "return_url_not_allowed"


def test_a_wrong_transaction_code_is_said_and_the_right_one_still_works(world: World) -> None:
    """I-51, W-16."""
    phone = world.phone()
    offer = world.registry.offer(world.person(), "pid_sd_jwt")
    flow = phone.scan(offer["link"])
    with pytest.raises(Refused) as refused:
        phone.accept(flow, _other(offer["tx_code"]))
    assert refused.value.code == "code_refused"
    phone.keep(phone.accept(flow, offer["tx_code"])["id"])
    assert len(phone.cards()) == 1


def test_five_wrong_transaction_codes_lock_the_offer_until_it_is_renewed(world: World) -> None:
    """I-51; DESIGN, "Decided": one call renews it, the letter stays good."""
    wallet = world.wallet()
    offer = world.registry.offer(world.person(), "pid_sd_jwt")
    for _ in range(5):
        assert wallet.redeem(offer, tx_code=_other(offer["tx_code"])).error == "400 invalid_grant"
    assert wallet.redeem(offer).error == "400 invalid_grant"
    place = f"offers/{offer['offer_id']}"
    assert world.registry.call("GET", place)["state"] == "locked"
    renewed = world.registry.call("POST", f"{place}/renew")
    assert renewed["tx_code"] == offer["tx_code"]
    assert len(wallet.receive(renewed, copies=2)) == 2
    assert world.registry.call("GET", place)["state"] == "collected"


def test_a_used_offer_is_gone(world: World) -> None:
    """I-23, I-51, S-42."""
    first, second = world.phone(), world.phone()
    offer = world.registry.offer(world.person(), "pid_sd_jwt")
    first.receive(offer["link"], offer["tx_code"])
    with pytest.raises(Refused):
        second.receive(offer["link"], offer["tx_code"])
    assert second.cards() == []
    assert world.wallet().redeem(offer).error == "400 invalid_grant"


def test_a_cancelled_offer_is_gone(world: World) -> None:
    """I-24."""
    offer = world.registry.offer(world.person(), "pid_sd_jwt")
    world.registry.call("POST", f"offers/{offer['offer_id']}/cancel")
    assert send("GET", offer["credential_offer_uri"]).status == 404
    assert world.wallet().redeem(offer).error == "400 invalid_grant"


def test_an_expired_offer_is_gone_and_can_be_renewed(world: World) -> None:
    """I-22."""
    offer = world.registry.offer(world.person(), "pid_sd_jwt")
    world.age("issuer_service", "offers", "expires_at", id=offer["offer_id"])
    assert send("GET", offer["credential_offer_uri"]).status == 404
    assert world.wallet().redeem(offer).error == "400 invalid_grant"
    place = f"offers/{offer['offer_id']}"
    assert world.registry.call("GET", place)["state"] == "expired"
    renewed = world.registry.call("POST", f"{place}/renew")
    phone = world.phone()
    assert phone.receive(renewed["link"], renewed["tx_code"])


def test_an_expired_question_takes_no_answer(world: World, phone: Phone) -> None:
    """V-13, V-42: neither to be fetched nor to be answered; the asker sees that it expired."""
    fetched, unseen = world.counter.ask("over_18"), world.counter.ask("over_18")
    consent = phone.resolve(fetched["link"], cross_device=True)
    for each in (fetched, unseen):
        world.age("verifier_service", "transactions", "expires_at", id=each["transaction_id"])
    with pytest.raises(Refused) as refused:
        phone.approve(consent)
    assert refused.value.code == "verifier_refused"
    with pytest.raises(Refused):
        phone.resolve(unseen["link"], cross_device=True)
    for each in (fetched, unseen):
        assert world.counter.result(each)["state"] == "expired"


def test_who_has_nothing_that_fits_cannot_answer(world: World) -> None:
    """S-42: "no match" and "refused" look the same to the counter."""
    phone = world.phone()
    started = world.counter.ask("over_18")
    consent = phone.resolve(started["link"], cross_device=True)
    assert consent.model["possible"] is False
    phone.refuse(consent)
    result = world.counter.result(started)
    assert (result["state"], result["verdict"]["reason"]) == ("refused", "refused")


def test_a_deleted_wallet_is_gone(world: World) -> None:
    """DESIGN 2.8."""
    phone = world.phone()
    world.receive(phone, world.person())
    receipt = phone.delete_wallet()
    assert receipt["type"] == "delete_wallet"
    with pytest.raises(Refused):
        phone.open()


def test_a_frozen_wallet_reads_and_does_not_act(world: World) -> None:
    """WALLET_SECURITY 1, A6: the revocation code works from any device."""
    phone = world.phone()
    world.receive(phone, world.person())
    started = world.counter.ask("over_18")
    consent = phone.resolve(started["link"], cross_device=True)
    phone.revoke()
    with pytest.raises(Refused) as refused:
        phone.approve(consent)
    assert refused.value.code in {"wallet_frozen", "unauthenticated"}
    assert world.counter.result(started)["state"] == "requested"


def _shown(result: dict[str, Any]) -> dict[str, Any]:
    """The claims of the only credential."""
    [claims] = result["claims"].values()
    return dict(claims[0] if isinstance(claims, list) else claims)


def _same_device(world: World, phone: Phone) -> tuple[dict[str, Any], str]:
    started = world.counter.ask("over_18", flow="same_device", return_url=f"{PORTAL}/back?visit=1")
    outcome = phone.approve(phone.resolve(started["link"]))
    assert outcome.redirect_uri is not None
    parts = urlsplit(outcome.redirect_uri)
    assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"{PORTAL}/back"
    brought = parse_qs(parts.query)
    assert brought["visit"] == ["1"]
    return started, brought["response_code"][0]


def _return(world: World, started: dict[str, Any], code: str) -> Any:
    return world.counter.call(
        "POST",
        f"transactions/{started['transaction_id']}/return",
        {"response_code": code},
        **{"Transaction-Secret": started["secret"]},
    )


def _other(tx_code: str) -> str:
    """Another code of the same shape."""
    return f"{(int(tx_code) + 1) % 10 ** len(tx_code):0{len(tx_code)}d}"
