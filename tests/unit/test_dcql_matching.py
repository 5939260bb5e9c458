"""What a DCQL query means: OpenID4VP 1.0, section 6.4; PROFILE Q-10 to Q-25, T-22, V-60."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from shared.encoding import b64url_encode
from shared.errors import (
    ClaimsMissing,
    InvalidInput,
    QueryUnsatisfied,
    Untrusted,
    VerificationError,
    WrongHolder,
    WrongType,
)
from shared.formats.values import Candidate
from shared.oid4vp import dcql
from shared.oid4vp.dcql import DcqlQuery
from shared.oid4vp.dcql_matching import Judgement, Selection, judge, match, select
from tests.support.vectors import vectors

VCT = "https://credentials.example.com/identity_credential"
AKI = bytes(range(20))
CLAIMS: dict[str, Any] = {
    "vct": VCT,
    "family_name": "Møller",
    "given_name": "Ada",
    "age": 18,
    "adult": True,
    "nothing": None,
    "address": {"street_address": "1 Way", "locality": "Town"},
    "nationalities": ["NO", "FR"],
    "degrees": [{"type": "BSc", "year": 2001}, {"type": "MSc", "year": 2003}],
}


def held(identifier: str = "c1", **changes: Any) -> Candidate:
    parts: dict[str, Any] = {
        "format": "dc+sd-jwt",
        "type": VCT,
        "claims": CLAIMS,
        "authority_key_ids": frozenset({AKI}),
        "holder_bound": True,
        **changes,
    }
    return Candidate(id=identifier, **parts)


def credential(identifier: str = "pid", **changes: Any) -> dict[str, Any]:
    return {"id": identifier, "format": "dc+sd-jwt", "meta": {"vct_values": [VCT]}, **changes}


def query(*credentials: dict[str, Any], sets: Sequence[Any] = ()) -> DcqlQuery:
    value: dict[str, Any] = {"credentials": list(credentials)}
    if sets:
        value["credential_sets"] = list(sets)
    return dcql.parse(value)


def asked(*claims: Any, **changes: Any) -> DcqlQuery:
    """One Credential Query for these claims: paths, or whole Claims Queries."""
    return query(
        credential(
            claims=[each if isinstance(each, dict) else {"path": each} for each in claims],
            **changes,
        )
    )


def paths(selection: Selection, identifier: str = "pid") -> set[tuple[Any, ...]]:
    (found,) = selection.matches[identifier]
    return set(found.paths)


def matches(wanted: DcqlQuery, candidate: Candidate | None = None) -> bool:
    return select(wanted, [candidate or held()]).satisfiable


def test_listed_claims_are_disclosed_and_no_others() -> None:
    """Q-13, Q-24, T-22: fewer claims than available; nested, wildcard and index paths."""
    selection = select(
        asked(
            ["family_name"],
            ["address", "locality"],
            ["nationalities", None],
            ["degrees", 1, "type"],
            ["degrees", None, "year"],
        ),
        [held()],
    )
    assert paths(selection) == {
        ("family_name",),
        ("address", "locality"),
        ("nationalities", 0),
        ("nationalities", 1),
        ("degrees", 1, "type"),
        ("degrees", 0, "year"),
        ("degrees", 1, "year"),
    }


def test_without_claims_nothing_is_disclosed() -> None:
    """Q-13, T-22."""
    assert paths(select(query(credential()), [held()])) == set()


def test_a_claim_that_is_null_is_there() -> None:
    """Q-14, F-CP-01: null is a value; no element of `values` can equal it."""
    assert paths(select(asked(["nothing"]), [held()])) == {("nothing",)}
    assert not matches(asked({"path": ["nothing"], "values": ["null", 0, False]}))


@pytest.mark.parametrize(
    "path",
    [
        ["unknown"],
        ["address", "unknown"],
        ["nationalities", 2],
        ["nationalities", "NO"],
        ["family_name", 0],
        ["family_name", None],
        ["address", 0],
        ["family_name", "x"],
        ["degrees", None, "unknown"],
    ],
)
def test_a_claim_that_is_not_there_is_no_match(path: list[Any]) -> None:
    """Q-13, F-CP-01: absent, out of range, or of another kind."""
    assert not matches(asked(["given_name"], path))


@pytest.mark.parametrize(
    ("path", "values", "expected"),
    [
        (["age"], [18], True),
        (["age"], [17, 18], True),
        (["age"], ["18"], False),
        (["age"], [True], False),
        (["adult"], [True], True),
        (["adult"], [1], False),
        (["adult"], ["true"], False),
        (["adult"], [False], False),
        (["family_name"], ["Møller"], True),
        (["family_name"], ["møller"], False),
        (["family_name"], ["Moller"], False),
        (["address"], ["Town"], False),
        (["nationalities"], ["NO"], False),
        (["nationalities", None], ["FR"], True),
        (["nationalities", None], ["DE"], False),
        (["nationalities", 0], ["FR"], False),
        (["degrees", None, "year"], [2003, 1999], True),
    ],
)
def test_values_match_by_type_and_value(path: list[Any], values: list[Any], expected: bool) -> None:
    """Q-14: `"18"` is not 18, `true` is not 1; one of several selected elements is enough."""
    assert matches(asked({"path": path, "values": values})) is expected


def test_a_number_with_a_fraction_equals_no_integer() -> None:
    """Q-14: `values` are strings, integers and booleans."""
    assert not matches(asked({"path": ["n"], "values": [1]}), held(claims={"n": 1.0}))


def test_of_several_elements_only_those_with_the_value_are_disclosed() -> None:
    """Q-14, Q-24."""
    selection = select(asked({"path": ["nationalities", None], "values": ["FR", "DE"]}), [held()])
    assert paths(selection) == {("nationalities", 1)}


def test_a_claim_that_is_asked_for_twice_counts_once() -> None:
    """Q-04: the duplicate is ignored, whatever it adds."""
    selection = select(asked(["age"], {"path": ["age"], "values": [99]}), [held()])
    assert paths(selection) == {("age",)}


def test_the_first_claim_set_that_can_be_met_is_taken() -> None:
    """Q-13, V-30: in the Verifier's order; the others stay undisclosed."""
    claims = [
        {"id": "a", "path": ["unknown"]},
        {"id": "b", "path": ["age"], "values": [18]},
        {"id": "c", "path": ["family_name"]},
        {"id": "d", "path": ["age"], "values": [99]},
    ]
    for claim_sets, option, expected in [
        ([["a", "b"], ["b"], ["c"]], 1, {("age",)}),
        ([["c", "b"], ["b"]], 0, {("age",), ("family_name",)}),
        ([["d"], ["b", "c"]], 1, {("age",), ("family_name",)}),
    ]:
        selection = select(asked(*claims, claim_sets=claim_sets), [held()])
        assert selection.matches["pid"][0].option == option
        assert paths(selection) == expected
    assert not matches(asked(*claims, claim_sets=[["a"], ["d", "b"]]))


def test_format_and_type_must_be_the_ones_asked_for() -> None:
    """Q-10: exact, case-sensitive."""
    for wanted, candidate, error in [
        (credential(), held(format="mso_mdoc"), WrongType),
        (credential(), held(type=VCT.upper()), WrongType),
        (credential(meta={"vct_values": ["a", "b"]}), held(), WrongType),
        (
            credential(format="jwt_vc_json", meta={"type_values": [["A"]]}),
            held(format="jwt_vc_json"),
            WrongType,
        ),
    ]:
        with pytest.raises(error):
            match(query(wanted).credentials[0], candidate)
    assert match(query(credential(meta={"vct_values": ["a", VCT]})).credentials[0], held())
    assert match(query(credential(meta={})).credentials[0], held(type="any"))
    mdl = {"id": "m", "format": "mso_mdoc", "meta": {"doctype_value": "org.iso.18013.5.1.mDL"}}
    doctype = held(format="mso_mdoc", type="org.iso.18013.5.1.mDL", claims={"ns": {"x": 1}})
    found = match(query({**mdl, "claims": [{"path": ["ns", "x"]}]}).credentials[0], doctype)
    assert found.paths == (("ns", "x"),)


def test_claims_filter_credentials_that_cannot_withhold_any() -> None:
    """Q-15: whatever the format, what is asked for has to be there."""
    wanted = credential(format="jwt_vc_json", meta={}, claims=[{"path": ["age"], "values": [18]}])
    assert match(query(wanted).credentials[0], held(format="jwt_vc_json")).paths == (("age",),)
    with pytest.raises(ClaimsMissing):
        match(query(wanted).credentials[0], held(format="jwt_vc_json", claims={"age": 17}))


def test_holder_binding_is_demanded_unless_the_query_says_otherwise() -> None:
    """Q-11, V-64."""
    loose = credential(require_cryptographic_holder_binding=False)
    with pytest.raises(WrongHolder):
        match(query(credential()).credentials[0], held(holder_bound=False))
    assert match(query(loose).credentials[0], held(holder_bound=False))
    assert match(query(loose).credentials[0], held())


def test_a_trusted_authority_is_any_key_identifier_of_the_chain() -> None:
    """Q-12, S-12: any entry, any value; what is unknown or broken matches nothing, and nothing is
    fetched because a query names it."""
    good = {"type": "aki", "values": [b64url_encode(b"other"), b64url_encode(AKI)]}
    bad = [
        {"type": "aki", "values": [b64url_encode(b"other")]},
        {"type": "aki", "values": ["!", b64url_encode(AKI) + "="]},
        {"type": "etsi_tl", "values": ["https://lotl.example.com"]},
        {"type": "openid_federation", "values": ["https://trustanchor.example.com"]},
        {"type": "unknown", "values": [b64url_encode(AKI)]},
    ]
    assert matches(query(credential(trusted_authorities=[*bad, good])))
    for entries in ([each] for each in bad):
        with pytest.raises(Untrusted):
            match(query(credential(trusted_authorities=entries)).credentials[0], held())


def test_every_query_is_required_without_sets() -> None:
    """Q-20, Q-21, T-22: anything unsatisfied and there is nothing to return."""
    two = query(credential("a"), credential("b", meta={"vct_values": ["other"]}))
    selection = select(two, [held()])
    assert not selection.satisfiable
    with pytest.raises(QueryUnsatisfied):
        selection.proposal()
    with pytest.raises(QueryUnsatisfied):
        selection.confirm({"a": ["c1"]})
    both = select(two, [held(), held("c2", type="other")])
    assert both.proposal() == {"a": ("c1",), "b": ("c2",)}


ALTERNATIVES = query(
    credential("a", meta={"vct_values": ["A"]}),
    credential("b", meta={"vct_values": ["B"]}),
    credential("c", meta={"vct_values": ["C"]}),
    credential("nice", meta={"vct_values": ["N"]}),
    sets=[{"options": [["a"], ["b", "c"]]}, {"options": [["nice"]], "required": False}],
)
A, B, C, N = (held(name.lower(), type=name) for name in "ABCN")


def test_the_citizen_may_choose_among_complete_options() -> None:
    """Q-20, Q-22."""
    selection = select(ALTERNATIVES, [A, B, C, N])
    assert [each.options for each in selection.sets] == [(("a",), ("b", "c")), (("nice",),)]
    assert selection.proposal() == {"a": ("a",)}
    assert selection.proposal(["a"]) == {"b": ("b",), "c": ("c",)}
    assert selection.proposal(["a", "c"]) == {"a": ("a",)}  # nothing better: the Verifier's first
    for picks in (
        {"a": ["a"]},
        {"b": ["b"], "c": ["c"]},
        {"a": ["a"], "nice": ["n"]},
        {"a": ["a"], "b": ["b"], "c": ["c"]},
    ):
        assert {
            k: [m.candidate.id for m in v] for k, v in selection.confirm(picks).items()
        } == picks


@pytest.mark.parametrize(
    ("picks", "error"),
    [
        ({}, QueryUnsatisfied),
        ({"b": ["b"]}, QueryUnsatisfied),
        ({"nice": ["n"]}, QueryUnsatisfied),
        ({"a": ["a"], "b": ["b"]}, InvalidInput),
        ({"a": ["b"]}, InvalidInput),
        ({"a": []}, InvalidInput),
        ({"a": ["a", "a2"]}, InvalidInput),
        ({"a": ["a", "unknown"]}, InvalidInput),
        ({"unknown": ["a"]}, InvalidInput),
    ],
)
def test_a_choice_that_does_not_answer_is_refused(
    picks: dict[str, list[str]], error: type[Exception]
) -> None:
    """Q-20 to Q-22: no required set, half an option, several for one, what nothing uses."""
    selection = select(ALTERNATIVES, [A, held("a2", type="A"), B, C, N])
    with pytest.raises(error):
        selection.confirm(picks)


def test_an_optional_set_that_cannot_be_met_does_not_matter() -> None:
    """Q-20, T-22."""
    selection = select(ALTERNATIVES, [B, C])
    assert selection.satisfiable
    assert [each.options for each in selection.sets] == [(("b", "c"),), ()]
    assert selection.proposal() == {"b": ("b",), "c": ("c",)}


def test_a_required_set_that_cannot_be_met_leaves_nothing() -> None:
    """Q-21, T-22."""
    assert not select(ALTERNATIVES, [B, N]).satisfiable


def test_an_answer_is_never_empty() -> None:
    """Q-21: not even where every set is optional, nor when every presentation fails."""
    optional = query(
        credential("a", meta={"vct_values": ["A"]}),
        credential("b", meta={"vct_values": ["B"]}),
        sets=[{"options": [[each]], "required": False} for each in ("a", "b")],
    )
    assert select(optional, [B]).proposal() == {"b": ("b",)}
    assert select(optional, [A, B]).proposal() == {"a": ("a",)}
    nothing = select(optional, [C])
    assert not nothing.satisfiable
    for empty in (nothing.proposal, lambda: select(optional, [A]).confirm({})):
        with pytest.raises(QueryUnsatisfied):
            empty()
    assert judge(optional, {"b": [B]}).satisfied
    assert not judge(optional, {"b": [A]}).satisfied
    assert not judge(optional, {}).satisfied


def test_several_credentials_may_answer_where_multiple_is_said() -> None:
    """Q-22."""
    two = [held("c1"), held("c2")]
    one = select(query(credential()), two)
    many = select(query(credential(multiple=True)), two)
    assert [m.candidate.id for m in one.matches["pid"]] == ["c1", "c2"]
    assert one.proposal() == many.proposal() == {"pid": ("c1",)}
    assert len(many.confirm({"pid": ["c1", "c2"]})["pid"]) == 2
    with pytest.raises(InvalidInput):
        one.confirm({"pid": ["c1", "c2"]})


def test_two_queries_may_hit_the_same_credential() -> None:
    """Q-23: they stay separate entries, each with its own claims."""
    selection = select(
        query(
            credential("x", claims=[{"path": ["age"]}]),
            credential("y", claims=[{"path": ["family_name"]}]),
        ),
        [held()],
    )
    assert selection.proposal() == {"x": ("c1",), "y": ("c1",)}
    assert (paths(selection, "x"), paths(selection, "y")) == ({("age",)}, {("family_name",)})


def refusals(judgement: Judgement) -> dict[str, list[type[VerificationError] | None]]:
    return {
        query_id: [None if each.refusal is None else type(each.refusal) for each in judged]
        for query_id, judged in judgement.presentations.items()
    }


def test_the_verifier_judges_what_it_was_shown() -> None:
    """V-60, Q-24: claims and values are checked again, not trusted."""
    wanted = asked(["family_name"], {"path": ["age"], "values": [18]})
    shown = held(claims={"vct": VCT, "family_name": "Møller", "age": 18, "more": 1})
    judgement = judge(wanted, {"pid": [shown]})
    assert judgement.satisfied
    (judged,) = judgement.presentations["pid"]
    assert judged.match is not None
    assert dict(judged.match.found) == {("family_name",): "Møller", ("age",): 18}
    for claims, error in [
        ({"family_name": "Møller"}, ClaimsMissing),
        ({"family_name": "Møller", "age": 17}, ClaimsMissing),
        ({"family_name": "Møller", "age": "18"}, ClaimsMissing),
    ]:
        refused = judge(wanted, {"pid": [held(claims=claims)]})
        assert refusals(refused) == {"pid": [error]}
        assert not refused.satisfied
        assert isinstance(refused.refusal, QueryUnsatisfied)


def test_every_way_to_miss_has_its_own_reason() -> None:
    """V-63."""
    wanted = query(
        credential(trusted_authorities=[{"type": "aki", "values": [b64url_encode(AKI)]}])
    )
    for candidate, reason in [
        (held(type="other"), "type_mismatch"),
        (held(holder_bound=False), "holder_binding"),
        (held(authority_key_ids=frozenset()), "untrusted_issuer"),
    ]:
        (judged,) = judge(wanted, {"pid": [candidate]}).presentations["pid"]
        assert judged.refusal is not None
        assert judged.refusal.reason == reason
        assert judged.match is None


def test_an_index_counts_places_that_stay_hidden() -> None:
    """F-CP-03: a withheld element keeps its place, and is never found."""
    wanted = asked(["nationalities", 1])
    hidden = {"...": "digest"}
    assert judge(wanted, {"pid": [held(claims={"nationalities": [hidden, "FR"]})]}).satisfied
    assert not judge(wanted, {"pid": [held(claims={"nationalities": ["FR", hidden]})]}).satisfied


def test_a_token_that_breaks_its_shape_is_refused_whole() -> None:
    """V-60, step 1: unknown ids, none or several for one."""
    shapes: list[dict[str, list[Candidate]]] = [
        {"other": [held()]},
        {"pid": []},
        {"pid": [held(), held("c2")]},
    ]
    for presented in shapes:
        with pytest.raises(InvalidInput):
            judge(query(credential()), presented)
    assert judge(query(credential(multiple=True)), {"pid": [held(), held("c2")]}).satisfied


def test_a_failing_presentation_is_discarded_not_fatal_by_itself() -> None:
    """V-60: the rest must satisfy the sets."""
    many = query(credential(multiple=True, claims=[{"path": ["age"]}]))
    judgement = judge(many, {"pid": [held(claims={}), held("c2")]})
    assert judgement.satisfied
    assert refusals(judgement) == {"pid": [ClaimsMissing, None]}


@pytest.mark.parametrize(
    ("presented", "satisfied"),
    [
        ({"a": [A]}, True),
        ({"b": [B], "c": [C]}, True),
        ({"a": [A], "nice": [N]}, True),
        ({"a": [A], "nice": [A]}, True),
        ({"b": [B]}, False),
        ({"b": [B], "c": [B]}, False),
        ({"nice": [N]}, False),
        ({}, False),
    ],
)
def test_the_set_of_presentations_satisfies_the_required_sets(
    presented: dict[str, list[Candidate]], satisfied: bool
) -> None:
    """Q-20, V-60, step 3: an optional set never refuses."""
    assert judge(ALTERNATIVES, presented).satisfied is satisfied


def example(name: str) -> DcqlQuery:
    path = vectors("openid4vp-1_0/query_lang") / f"{name}.json"
    return dcql.parse(json.loads(path.read_text(encoding="utf-8")))


PRINTED = held(
    claims={
        "given_name": "Max",
        "first_name": "Max",
        "last_name": "Doe",
        "family_name": "Doe",
        "address": {"street_address": "1 Way"},
        "postal_code": "90210",
        "date_of_birth": "1990-01-01",
    }
)


@pytest.mark.vectors
def test_the_printed_queries_evaluate() -> None:
    """Q-25."""
    assert select(example("simple"), [PRINTED]).satisfiable
    assert select(example("value_matching_simple"), [PRINTED]).satisfiable
    # second claim set: no locality and region, but a postal code
    (found,) = select(example("claims_alternatives"), [PRINTED]).matches["pid"]
    assert found.option == 1
    assert set(found.paths) == {("last_name",), ("postal_code",), ("date_of_birth",)}
    assert not select(example("multi_credentials"), [PRINTED]).satisfiable
    mvrc = held(
        "car",
        format="mso_mdoc",
        type="org.iso.7367.1.mVRC",
        claims={
            "org.iso.7367.1": {"vehicle_holder": "x"},
            "org.iso.18013.5.1": {"first_name": "y"},
        },
    )
    assert select(example("simple_mdoc"), [mvrc]).satisfiable
    assert select(example("multi_credentials"), [PRINTED, mvrc]).satisfiable


@pytest.mark.vectors
def test_the_printed_alternatives_leave_the_choices_they_describe() -> None:
    """Q-25, Q-22: three ways to identify, a reward that is optional."""
    wanted = example("credentials_alternatives")
    reduced = held(
        "r1",
        type="https://credentials.example.com/reduced_identity_credential",
        claims={"family_name": "Doe", "given_name": "Max"},
    )
    residence = held(
        "r2",
        type="https://cred.example/residence_credential",
        claims={"postal_code": "1", "locality": "x", "region": "y"},
    )
    selection = select(wanted, [PRINTED, reduced, residence])
    assert selection.sets[0].options == (("pid",), ("pid_reduced_cred_1", "pid_reduced_cred_2"))
    assert selection.sets[1].options == ()
    assert select(wanted, [reduced]).satisfiable is False
    photo = held(
        "p",
        format="mso_mdoc",
        type="org.iso.23220.photoid.1",
        claims={"org.iso.18013.5.1": {"given_name": "M", "family_name": "D", "portrait": "x"}},
    )
    assert select(example("complex_mdoc"), [photo]).proposal() == {"photo_card-id": ("p",)}
