"""From an Authorization Request to one answer, and every request that must get none."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.demo.phone import Consent, Phone, Refused
from shared.encoding import b64url_decode, b64url_encode
from shared.jose import jws
from shared.oid4vp import client_id, response
from shared.oid4vp.errors import InvalidRequest
from shared.trust import Role
from tests.support.trust import PID, RESIDENCE, SD_JWT, Agency, ask, trust_list
from tests.support.wallet import (
    IDENTITY,
    ISSUER,
    OVER_18,
    TX_CODE,
    VERIFIER,
    WALLET,
    WalletWorld,
    _signer,
    agencies,
    refused,
)


def pid_query(*paths: list[Any], purpose: str | None = "identification") -> dict[str, Any]:
    return {
        "purpose": purpose,
        "credentials": [
            {
                "id": "pid",
                "format": SD_JWT,
                "meta": {"vct_values": [PID]},
                "claims": [{"path": path} for path in paths],
            }
        ],
    }


def codes(consent: Consent) -> set[str]:
    return {each["code"] for each in consent.model["warnings"]}


# -- What works ----------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["openid4vp://", "haip-vp://", f"{WALLET}/authorize"])
@pytest.mark.parametrize("method", [None, "post"])
def test_a_request_comes_by_any_link_and_by_get_or_post(
    world: WalletWorld, scheme: str, method: Any
) -> None:
    """W-50, W-51, W-52: wallet_nonce goes out and comes back."""
    phone = world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(OVER_18, scheme=scheme, method=method))
    assert phone.approve(consent).outcome == "shared"


def test_consent_names_the_agency_and_the_registered_purpose(world: WalletWorld) -> None:
    """W-57, PAIN_POINTS 8 and 9: texts of the trust list, never of the request."""
    phone = world.phone_with(PID, locale="fr")
    model = phone.resolve(world.verifier.ask(IDENTITY)).model
    assert model["verifier"] == {
        "name": "Impôts et guichets d'Avelonia",
        "entity": "ent_counter",
        "trust": "registered",
    }
    assert (model["purpose"], model["retention_seconds"]) == ("Finalité identification", 3600)
    [asked] = model["credentials"]
    [option] = asked["options"]
    assert asked["chosen"] == [option["credential"]]
    assert [(each["label"], each["value"]) for each in option["claims"]] == [
        ("Nom", "Möbius"),
        ("Prénom", "Erika"),
    ]
    assert [each["label"] for each in option["always_disclosed"]] == ["Pays de délivrance"]
    assert model["possible"]
    assert model["if_refused"]


def test_only_what_was_approved_is_disclosed(world: WalletWorld) -> None:
    """Q-24, F-SD-09: nothing beyond the selection; HB-01 to HB-04."""
    phone = world.phone_with(PID)
    phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    claims = world.verifier.results[-1]["claims"]
    shown = {name: value for name, value in claims.items() if value != {}}
    assert set(shown) - {"vct", "iat", "nbf", "exp", "cnf", "status"} == {
        "age_equal_or_over",
        "issuing_country",
    }
    assert claims["age_equal_or_over"] == {"18": True}


def test_the_redirect_of_the_verifier_reaches_the_browser_unchanged(world: WalletWorld) -> None:
    """W-62; CERTIFICATION 2.4.2."""
    world.verifier.redirect_uri = f"{VERIFIER}/done?x=1#response_code=abc"
    phone = world.phone_with(PID)
    outcome = phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    assert outcome.redirect_uri == f"{VERIFIER}/done?x=1#response_code=abc"


def test_the_citizen_chooses_between_cards(world: WalletWorld) -> None:
    """Q-22: several candidates: the user chooses."""
    phone = world.phone_with(PID)
    world.issuer.claims = {
        **world.issuer.claims,
        PID: {**world.issuer.claims[PID], "given_name": "Erik"},
    }
    [second] = phone.receive(world.issuer.offer(PID), TX_CODE)
    consent = phone.resolve(world.verifier.ask(IDENTITY))
    assert len(consent.model["credentials"][0]["options"]) == 2
    phone.approve(consent, {"pid": [second]})
    assert world.verifier.results[-1]["claims"]["given_name"] == "Erik"


def test_optional_sets_are_off_until_chosen(world: WalletWorld) -> None:
    """Q-20 to Q-22; PAIN_POINTS 9."""
    held = agencies()
    asks = [
        ask(
            "both",
            PID,
            ["family_name"],
            credentials=[
                {"format": SD_JWT, "type": PID, "claims": [["family_name"]]},
                {"format": SD_JWT, "type": RESIDENCE, "claims": [["address"]]},
            ],
        )
    ]
    world.trust.held = trust_list(held.registry.entry(), held.counter.entry(asks=asks))
    query = {
        "purpose": "both",
        "credentials": [
            {
                "id": "a",
                "format": SD_JWT,
                "meta": {"vct_values": [PID]},
                "claims": [{"path": ["family_name"]}],
            },
            {
                "id": "b",
                "format": SD_JWT,
                "meta": {"vct_values": [RESIDENCE]},
                "claims": [{"path": ["address"]}],
            },
        ],
        "credential_sets": [{"options": [["a"]]}, {"options": [["b"]], "required": False}],
    }
    phone = world.phone_with(PID, RESIDENCE)
    consent = phone.resolve(world.verifier.ask(query))
    chosen = {each["query"]: each["chosen"] for each in consent.model["credentials"]}
    assert chosen["a"]
    assert chosen["b"] == []
    phone.approve(consent)
    assert set(world.verifier.results[-1]["texts"]) == {"a"}
    consent = phone.resolve(world.verifier.ask(query))
    both = {
        each["query"]: [each["options"][0]["credential"]] for each in consent.model["credentials"]
    }
    phone.approve(consent, both)
    assert set(world.verifier.results[-1]["texts"]) == {"a", "b"}


def test_a_choice_that_does_not_answer_is_refused(world: WalletWorld) -> None:
    """Q-21, Q-22: no partial answer, nothing that was not asked for."""
    phone = world.phone_with(PID, RESIDENCE)
    residence = next(e["id"] for e in phone.cards() if e["name"] == "Proof of residence")
    consent = phone.resolve(world.verifier.ask(IDENTITY))
    place = f"/presentations/{consent.id}/select"
    for picks in ({"pid": [residence]}, {"pid": []}, {"other": [residence]}, {"pid": ["crd_x"]}):
        assert refused(lambda picks=picks: phone._post(place, {"picks": picks})) == "invalid_input"
    assert refused(lambda: phone._post(place, {"picks": {}})) == "query_unsatisfied"


# -- Refusing ------------------------------------------------------------------------------


def opened(world: WalletWorld, number: int) -> Any:
    token = response.parse_posted(world.verifier.posted[number])
    assert isinstance(token, str)
    keys = [each["key"] for each in world.verifier.asked.values()]
    for key in keys:
        try:
            return response.decrypt(token, key=key)
        except InvalidRequest:
            continue
    raise AssertionError("none of the keys opens it")


def test_refused_and_no_match_look_the_same(world: WalletWorld) -> None:
    """W-63, S-42, Q-21: `access_denied`, equal in form and size; WALLET_SECURITY 10."""
    phone, empty = world.phone_with(PID), world.new_phone()
    first = phone.resolve(world.verifier.ask(OVER_18))
    second = empty.resolve(world.verifier.ask(OVER_18))
    assert not second.model["possible"]
    assert empty._get(f"/presentations/{second.id}")["allowed_actions"] == ["refuse"]
    assert refused(lambda: empty.approve(second)) == "query_unsatisfied"
    assert world.verifier.posted == []  # nothing leaves before the citizen decides
    assert (phone.refuse(first).outcome, empty.refuse(second).outcome) == ("refused", "refused")
    one, other = opened(world, 0), opened(world, 1)
    assert one.error == other.error == "access_denied"
    assert one.vp_token is None
    assert one.error_description == other.error_description
    assert len(world.verifier.posted[0]) == len(world.verifier.posted[1])
    assert phone.log()[-1]["result"] == "refused"


def test_after_an_answer_there_is_no_other(world: WalletWorld) -> None:
    """CERTIFICATION 2.4.2: one POST only."""
    phone = world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    phone.approve(consent)
    assert refused(lambda: phone.refuse(consent)) == "step_changed"
    assert refused(lambda: phone.approve(consent)) == "step_changed"
    assert refused(lambda: phone.retry(consent)) == "step_changed"
    assert len(world.verifier.posted) == 1


def test_a_lost_answer_is_posted_again_byte_for_byte(world: WalletWorld) -> None:
    """WALLET_SECURITY 6: a retry sends the same bytes to the same place."""
    phone = world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    world.verifier.status = 503
    assert refused(lambda: phone.approve(consent)) == "unavailable"
    found = phone._get(f"/presentations/{consent.id}")
    assert (found["step"], found["allowed_actions"]) == ("answered", ["retry"])
    world.verifier.status = 200
    assert phone.retry(consent).step == "done"
    first, second = world.verifier.posted
    assert first == second
    assert phone.cards()[0]["copies_left"] == 9


def test_a_verifier_that_does_not_take_the_answer_is_named(world: WalletWorld) -> None:
    """PAIN_POINTS 5: whose fault, and what next."""
    phone = world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    world.verifier.status = 400
    with pytest.raises(Refused) as caught:
        phone.approve(consent)
    assert (caught.value.code, caught.value.problem["whose_fault"]) == (
        "verifier_refused",
        "verifier",
    )


# -- Copies --------------------------------------------------------------------------------


def test_each_presentation_uses_another_copy(world: WalletWorld) -> None:
    """W-45, S-40: one key for each copy, random order; DESIGN 6.3."""
    phone = world.phone_with(PID)
    holders = set()
    for _ in range(4):
        phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
        holders.add(world.verifier.results[-1]["holder"])
    assert len(holders) == 4
    assert phone.cards()[0]["copies_left"] == 6


def test_a_used_copy_is_shown_again_only_after_saying_so(world: WalletWorld) -> None:
    """W-45; PAIN_POINTS 14: at zero ask before re-using; first one that this agency knows."""
    world.issuer.batch_size = 2
    phone = world.phone_with(PID)
    for _ in range(2):
        phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    seen = {each["holder"] for each in world.verifier.results}
    consent = phone.resolve(world.verifier.ask(OVER_18))
    approval = phone._post(f"/presentations/{consent.id}/select", {})["approval"]
    found = phone.approval(approval)
    assert "copy_reused" in found["payload"]["warnings"]
    phone._post(f"/approvals/{approval}/approve", phone.gesture(found))
    assert world.verifier.results[-1]["holder"] in seen


def test_presenting_asks_nobody_but_the_verifier(world: WalletWorld) -> None:
    """DESIGN 6.1, S-41: no call home per use."""
    phone = world.phone_with(PID)
    phone.refresh()
    world.seen.clear()
    for _ in range(5):
        phone.approve(phone.resolve(world.verifier.ask(OVER_18)))
    assert world.at(ISSUER) == []
    assert {url.split("/")[2] for _, url in world.seen} == {"verifier.example"}


def test_a_card_that_is_not_valid_is_the_last_choice_and_said(world: WalletWorld) -> None:
    """PAIN_POINTS 10."""
    first_index = world.issuer.next_status
    phone = world.phone_with(PID)
    world.issuer.statuses.set_all(range(first_index, first_index + 10), 1)
    world.clock.advance(minutes=6)
    phone.refresh()
    consent = phone.resolve(world.verifier.ask(OVER_18))
    [option] = consent.model["credentials"][0]["options"]
    assert option["badge"] == "revoked"
    approval = phone._post(f"/presentations/{consent.id}/select", {})["approval"]
    assert "card_not_valid" in phone.approval(approval)["payload"]["warnings"]
    [fresh] = phone.receive(world.issuer.offer(PID), TX_CODE)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    assert consent.model["credentials"][0]["chosen"] == [fresh]


# -- Entitlement ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "entity", "cross_device", "warning"),
    [
        (pid_query(["family_name"], ["issuing_country"]), "ent_counter", False, "over_asked"),
        (pid_query(["family_name"], purpose="unheard_of"), "ent_counter", False, "purpose_unknown"),
        (pid_query(["family_name"], purpose=None), "ent_counter", False, "purpose_unknown"),
        (pid_query(["family_name"]), "ent_registry", False, "purpose_unknown"),
    ],
)
def test_asking_beyond_the_entitlement_is_blocked(
    world: WalletWorld, query: dict[str, Any], entity: str, cross_device: bool, warning: str
) -> None:
    """DESIGN 4, V-31, W-56: shown claim by claim, and by policy blocked."""
    phone = world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(query, entity=entity), cross_device=cross_device)
    assert warning in codes(consent)
    assert consent.model["blocked"]
    assert refused(lambda: phone.approve(consent)) == "over_asking_blocked"
    claims = consent.model["credentials"][0]["options"][0]["claims"]
    assert not all(each["entitled"] for each in claims)
    assert phone.refuse(consent).outcome == "refused"


def test_a_purpose_for_one_device_is_blocked_across_devices(world: WalletWorld) -> None:
    """WALLET_SECURITY 1, A7: relayed QR codes."""
    held = agencies()
    entry = held.counter.entry(
        asks=[ask("identification", PID, ["family_name"], cross_device=False)]
    )
    world.trust.held = trust_list(held.registry.entry(), entry)
    phone = world.phone_with(PID)
    query = pid_query(["family_name"])
    consent = phone.resolve(world.verifier.ask(query), cross_device=True)
    assert "cross_device_not_allowed" in codes(consent)
    assert refused(lambda: phone.approve(consent)) == "over_asking_blocked"
    consent = phone.resolve(world.verifier.ask(query))
    assert phone.approve(consent).outcome == "shared"


def test_by_policy_over_asking_may_be_a_warning(world: WalletWorld) -> None:
    """The setting OVER_ASKING=warn; the warning stands in what is approved and in the log."""
    phone = world.phone_with(PID)
    settings = world.wallet.settings
    warn = settings.model_copy(update={"over_asking": "warn"})
    object.__setattr__(world.wallet, "settings", warn)
    try:
        query = pid_query(["family_name"], ["issuing_country"])
        consent = phone.resolve(world.verifier.ask(query))
        assert phone.approve(consent).outcome == "shared"
        assert "over_asked" in phone.log()[-1]["body"]["warnings"]
    finally:
        object.__setattr__(world.wallet, "settings", settings)


# -- Requests that get no answer -------------------------------------------------------------


def resigned(members: dict[str, Any], **how: Any) -> Callable[[str], str]:
    """The Request Object with changed claims, signed again by the same key."""

    def change(token: str) -> str:
        claims = json.loads(b64url_decode(token.split(".")[1]))
        claims |= {name: value for name, value in members.items() if value is not None}
        for name in [name for name, value in members.items() if value is None]:
            claims.pop(name, None)
        typ = how.get("typ", "oauth-authz-req+jwt")
        return jws.sign_jwt(claims, typ=typ, signer=how.get("signer", _signer(Role.ACCESS)))

    return change


def stranger() -> SoftwareKey:
    return Agency.make("ent_x", {"en": "X"}, [Role.ACCESS]).signer(Role.ACCESS)


def unsigned(token: str) -> str:
    header = b64url_encode(json.dumps({"alg": "none", "typ": "oauth-authz-req+jwt"}).encode())
    return f"{header}.{token.split('.')[1]}."


INVALID: dict[str, Callable[[str], str]] = {
    "a changed signature": lambda token: token[:-8] + "AAAAAAAA",
    "unsigned": unsigned,
    "another typ": resigned({}, typ="JWT"),
    "another client_id": resigned({"client_id": "x509_hash:" + "A" * 43}),
    "another prefix": resigned({"client_id": "redirect_uri:https://evil.example"}),
    "another audience": resigned({"aud": "https://wallet.example"}),
    "no nonce": resigned({"nonce": None}),
    "redirect_uri": resigned({"redirect_uri": "https://evil.example"}),
    "plain direct_post": resigned({"response_mode": "direct_post"}),
    "expired": resigned({"exp": 1_000_000_000}),
    "an unknown transaction": resigned({"transaction_data": ["e30"]}),
    "no query": resigned({"dcql_query": None}),
    "an empty query": resigned({"dcql_query": {"credentials": []}}),
    "a scope beside the query": resigned({"scope": "pid"}),
    "no key": resigned({"client_metadata": {"vp_formats_supported": {SD_JWT: {}}}}),
    "nobody's certificate": resigned({}, signer=stranger()),
    "not a JWT": lambda _token: "hello",
}


@pytest.mark.parametrize("how", INVALID)
def test_an_invalid_request_is_told_to_the_citizen_alone(world: WalletWorld, how: str) -> None:
    """W-52 to W-55, W-63, Q-06; CERTIFICATION 2.4.3: response_uri is never called."""
    phone = world.new_phone()
    world.verifier.answer = INVALID[how]
    world.seen.clear()
    with pytest.raises(Refused) as caught:
        phone.resolve(world.verifier.ask(OVER_18))
    assert 400 <= caught.value.status < 500
    assert world.at("/response/") == []
    assert phone.overview()["under_way"] == []


def test_a_wrong_wallet_nonce_is_refused(world: WalletWorld) -> None:
    """W-52: echoed, exactly."""
    phone = world.new_phone()
    for other in (None, "another"):
        world.verifier.answer = resigned({"wallet_nonce": other})
        with pytest.raises(Refused):
            phone.resolve(world.verifier.ask(OVER_18, method="post"))
    assert world.at("/response/") == []


@pytest.mark.parametrize(
    "link",
    [
        "openid4vp://?client_id=x509_hash:abc&request=eyJ",
        "openid4vp://?client_id=redirect_uri:https%3A%2F%2Fv.example&request_uri=https%3A%2F%2Fv.example%2Fr",
        "openid4vp://?client_id=x509_hash:abc&request_uri=http%3A%2F%2Fverifier.example%2Fr",
        "openid4vp://?client_id=x509_hash:abc&request_uri=https%3A%2F%2Fverifier.example%2Fr&request_uri_method=put",
        "openid4vp://?client_id=a&client_id=b&request_uri=https%3A%2F%2Fverifier.example%2Fr",
        "openid4vp://",
    ],
)
def test_an_invalid_link_fetches_nothing(world: WalletWorld, link: str) -> None:
    """W-50, W-54: only signed requests by request_uri."""
    phone = world.new_phone()
    world.seen.clear()
    with pytest.raises(Refused):
        phone.resolve(link)
    assert world.seen == []


def test_a_request_of_another_media_type_is_refused(world: WalletWorld) -> None:
    """W-52: response type."""
    phone = world.new_phone()
    world.verifier.media_type = "application/json"
    with pytest.raises(Refused):
        phone.resolve(world.verifier.ask(OVER_18))


def test_a_verifier_struck_from_the_list_gets_no_answer(world: WalletWorld) -> None:
    """DESIGN 4: revoked certificate, withdrawn entity."""
    from shared.crypto.x509 import thumbprint

    phone = world.phone_with(PID)
    held = agencies()
    leaf = _signer(Role.ACCESS).certificates[0]
    gone = held.counter.entry(revoked=[thumbprint(leaf)])
    world.trust.held = trust_list(held.registry.entry(), gone)
    with pytest.raises(Refused):
        phone.resolve(world.verifier.ask(OVER_18))
    world.trust.held = trust_list(held.registry.entry())
    with pytest.raises(Refused):
        phone.resolve(world.verifier.ask(OVER_18))
    assert world.verifier.posted == []


def test_a_flow_expires(world: WalletWorld) -> None:
    """WALLET_SECURITY 9: `expires_at`."""
    phone = world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    world.clock.advance(minutes=5)
    assert refused(lambda: phone.approve(consent)) == "request_expired"


def test_a_presentation_of_another_wallet_is_not_found(world: WalletWorld) -> None:
    """W-44: per-user isolation."""
    phone, other = world.phone_with(PID), world.phone_with(PID)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    assert refused(lambda: other.approve(consent)) == "not_found"
    assert refused(lambda: other.refuse(consent)) == "not_found"


def test_a_request_belongs_to_the_leaf_its_client_id_names(world: WalletWorld) -> None:
    """W-54: x509_hash binds the request to the leaf; another leaf of the same agency is another."""
    phone: Phone = world.phone_with(PID)
    second = agencies().counter.signer(Role.ACCESS, dns=["verifier.example"])
    link = world.verifier.ask(OVER_18)
    world.verifier.answer = resigned({}, signer=second)
    assert refused(lambda: phone.resolve(link)) == "invalid_request"
    world.verifier.answer = None
    world.verifier.signer = second
    assert client_id.x509_hash(second.certificates[0]) in world.verifier.ask(OVER_18).replace(
        "%3A", ":"
    )
    assert phone.approve(phone.resolve(world.verifier.ask(OVER_18))).outcome == "shared"


def test_several_cards_answer_one_query_that_takes_several(world: WalletWorld) -> None:
    """Q-22: both, if the citizen picks both; one presentation each, with a copy of its own."""
    phone = world.phone_with(PID, PID)
    query = {**IDENTITY["credentials"][0], "multiple": True}
    consent = phone.resolve(world.verifier.ask({**IDENTITY, "credentials": [query]}))
    [asked] = consent.model["credentials"]
    assert asked["multiple"] is True
    cards = [each["credential"] for each in asked["options"]]
    assert len(cards) == 2
    phone.approve(consent, {"pid": cards})
    assert len(world.verifier.results[-1]["all"]["pid"]) == 2


def test_several_cards_do_not_answer_a_query_that_takes_one(world: WalletWorld) -> None:
    """Q-22: refused before anything is signed."""
    phone = world.phone_with(PID, PID)
    consent = phone.resolve(world.verifier.ask(IDENTITY))
    cards = [each["credential"] for each in consent.model["credentials"][0]["options"]]
    with pytest.raises(Refused):
        phone.approve(consent, {"pid": cards})
    assert world.verifier.posted == []


def test_of_several_claim_sets_the_first_that_fits_is_shown_and_shared(world: WalletWorld) -> None:
    """Q-05, Q-22: which claim set is taken is no choice of the citizen's."""
    phone = world.phone_with(PID)
    query = {
        **IDENTITY["credentials"][0],
        "claims": [
            {"id": "never", "path": ["nationalities", 7]},
            {"id": "name", "path": ["family_name"]},
            {"id": "given", "path": ["given_name"]},
        ],
        "claim_sets": [["never"], ["name"], ["given"]],
    }
    consent = phone.resolve(world.verifier.ask({**IDENTITY, "credentials": [query]}))
    [option] = consent.model["credentials"][0]["options"]
    assert [each["path"] for each in option["claims"]] == [["family_name"]]
    phone.approve(consent)
    claims = world.verifier.results[-1]["claims"]
    assert claims["family_name"] == "Möbius"
    assert "given_name" not in claims
