"""The syntax of DCQL: OpenID4VP 1.0, section 6; PROFILE Q-01 to Q-06, S-21, V-30."""

import json
from typing import Any

import pytest

from shared.errors import InvalidInput
from shared.oid4vp import dcql
from tests.support.vectors import vectors

PID: dict[str, Any] = {
    "id": "pid",
    "format": "dc+sd-jwt",
    "meta": {"vct_values": ["urn:eudi:pid:1"]},
    "claims": [
        {"id": "a", "path": ["family_name"]},
        {"id": "b", "path": ["nationalities", None]},
        {"id": "c", "path": ["age_equal_or_over", "18"], "values": [True]},
        {"id": "d", "path": ["degrees", 0, "type"], "values": ["x", 1]},
    ],
}
MDL: dict[str, Any] = {
    "id": "mdl",
    "format": "mso_mdoc",
    "meta": {"doctype_value": "org.iso.18013.5.1.mDL"},
    "claims": [{"path": ["org.iso.18013.5.1", "family_name"], "intent_to_retain": True}],
}


def pid(**changes: Any) -> dict[str, Any]:
    changed = {**PID, **changes}
    return {"credentials": [{k: v for k, v in changed.items() if v is not None}]}


def mdl(**changes: Any) -> dict[str, Any]:
    return {"credentials": [{**MDL, **changes}]}


def test_a_query_parses_and_is_written_as_it_was() -> None:
    """Q-01, Q-02: null in a path survives; defaults are not written."""
    value = {
        "credentials": [PID, MDL],
        "credential_sets": [
            {"options": [["pid"], ["mdl"]]},
            {"options": [["mdl"]], "required": False},
        ],
    }
    query = dcql.parse(value)
    assert query.to_object() == value
    first = query.credential("pid")
    assert (first.multiple, first.require_cryptographic_holder_binding) == (False, True)
    assert first.types == ("urn:eudi:pid:1",)
    assert query.credential("mdl").types == ("org.iso.18013.5.1.mDL",)
    assert [each.required for each in query.sets] == [True, False]
    assert first.claims is not None
    assert first.claims[1].path == ("nationalities", None)
    assert first.claims[2].values == (True,)


def test_unknown_members_are_ignored_everywhere() -> None:
    """Q-01, C-32."""
    value = pid(unknown=1, claims=[{"path": ["a"], "unknown": 1}])
    assert dcql.parse({**value, "unknown": 1}).credential("pid").claims is not None


def test_without_sets_every_query_is_required() -> None:
    """Q-20."""
    query = dcql.parse({"credentials": [PID, MDL]})
    assert [(each.required, each.options) for each in query.sets] == [(True, (("pid", "mdl"),))]


def test_meta_may_be_empty_or_of_a_format_we_do_not_have() -> None:
    """Q-02, Q-03: `{}` is no constraint; W3C types are well-formed or refused."""
    assert dcql.parse(pid(meta={})).credential("pid").types is None
    assert dcql.parse(pid(format="ldp_vc", meta={"x": 1})).credential("pid").types is None
    w3c = pid(format="jwt_vc_json", meta={"type_values": [["A", "B"], ["C"]]})
    assert dcql.parse(w3c).credential("pid").types == ()


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        "x",
        {"credentials": []},
        {"credentials": {}},
        {"credentials": [PID, PID]},
        {"credentials": [PID], "credential_sets": []},
        {"credentials": [PID], "credential_sets": [{}]},
        {"credentials": [PID], "credential_sets": [{"options": []}]},
        {"credentials": [PID], "credential_sets": [{"options": [[]]}]},
        {"credentials": [PID], "credential_sets": [{"options": ["pid"]}]},
        {"credentials": [PID], "credential_sets": [{"options": [["other"]]}]},
        {"credentials": [PID], "credential_sets": [{"options": [["pid"]], "required": "yes"}]},
        pid(id=None),
        pid(id=""),
        pid(id="with space"),
        pid(id="é"),
        pid(id="a\n"),
        pid(id=5),
        pid(format=None),
        pid(format=""),
        pid(meta=None),
        pid(meta=[]),
        pid(meta={"vct_values": []}),
        pid(meta={"vct_values": "urn:eudi:pid:1"}),
        pid(meta={"vct_values": [5]}),
        pid(meta={"vct_values": [""]}),
        pid(format="jwt_vc_json", meta={"type_values": []}),
        pid(format="jwt_vc_json", meta={"type_values": ["A"]}),
        pid(format="vc+jwt", meta={"type_values": "A"}),
        pid(multiple="false"),
        pid(multiple=0),
        pid(require_cryptographic_holder_binding=1),
        pid(trusted_authorities=[]),
        pid(trusted_authorities=[{"type": "aki"}]),
        pid(trusted_authorities=[{"type": "aki", "values": []}]),
        pid(trusted_authorities=[{"values": ["x"]}]),
        pid(claims=[]),
        pid(claims={}),
        pid(claims=[{}]),
        pid(claims=[{"path": []}]),
        pid(claims=[{"path": "family_name"}]),
        pid(claims=[{"path": ["a", -1]}]),
        pid(claims=[{"path": ["a", True]}]),
        pid(claims=[{"path": ["a", 1.5]}]),
        pid(claims=[{"path": ["a", ["b"]]}]),
        pid(claims=[{"path": ["a"], "values": []}]),
        pid(claims=[{"path": ["a"], "values": [1.5]}]),
        pid(claims=[{"path": ["a"], "values": [None]}]),
        pid(claims=[{"path": ["a"], "values": "x"}]),
        pid(claims=[{"path": ["a"], "id": ""}]),
        pid(claims=[{"path": ["a"], "id": "x"}, {"path": ["b"], "id": "x"}]),
        pid(claims=None, claim_sets=[["a"]]),
        pid(claim_sets=[]),
        pid(claim_sets=[[]]),
        pid(claim_sets=[["a", "z"]]),
        pid(claims=[{"path": ["a"], "id": "a"}, {"path": ["b"]}], claim_sets=[["a"]]),
        mdl(meta={"doctype_value": 5}),
        mdl(meta={"doctype_value": ""}),
        mdl(claims=[{"path": ["org.iso.18013.5.1"]}]),
        mdl(claims=[{"path": ["a", "b", "c"]}]),
        mdl(claims=[{"path": ["a", None]}]),
        mdl(claims=[{"path": ["a", 0]}]),
        mdl(claims=[{"path": ["a", "b"], "intent_to_retain": "no"}]),
    ],
)
def test_a_malformed_query_is_refused(value: Any) -> None:
    """Q-01 to Q-06, F-CP-01, F-CP-02."""
    with pytest.raises(InvalidInput):
        dcql.parse(value)


@pytest.mark.parametrize(
    "value",
    [
        {"credentials": [{**PID, "id": f"q{n}"} for n in range(21)]},
        pid(claims=[{"path": [f"c{n}"]} for n in range(101)]),
        pid(claim_sets=[["a"]] * 21),
        {"credentials": [PID], "credential_sets": [{"options": [["pid"]] * 21}]},
        {"credentials": [PID], "credential_sets": [{"options": [["pid"]]}] * 21},
        pid(claims=[{"path": ["a"] * 17}]),
    ],
)
def test_a_query_that_is_too_large_is_refused(value: Any) -> None:
    """S-21: 20 credentials, 100 claims each, 20 options."""
    with pytest.raises(InvalidInput):
        dcql.parse(value)


def test_a_query_as_large_as_allowed_parses() -> None:
    """S-21."""
    claims = [{"path": [f"c{n}"], "id": f"c{n}"} for n in range(100)]
    credentials = [
        {**PID, "id": f"q{n}", "claims": claims, "claim_sets": [["c1"]] * 20} for n in range(20)
    ]
    sets = [{"options": [[f"q{n}"] for n in range(20)]}] * 20
    assert dcql.parse({"credentials": credentials, "credential_sets": sets})


def test_an_unknown_id_is_refused() -> None:
    """V-60."""
    with pytest.raises(InvalidInput):
        dcql.parse(pid()).credential("other")


def test_whether_anything_is_asked_for_without_binding_is_known() -> None:
    """V-12."""
    assert not dcql.parse(pid()).unbound
    assert dcql.parse(pid(require_cryptographic_holder_binding=False)).unbound


def test_what_a_verifier_should_ask_passes_the_stricter_check() -> None:
    """V-30; CERTIFICATION 2.5.3."""
    dcql.check_authored(dcql.parse({"credentials": [PID, MDL]}))
    dcql.check_authored(dcql.parse(pid(claims=None)))


@pytest.mark.parametrize(
    "value",
    [
        pid(claims=[{"path": ["a"]}, {"path": ["a"]}]),
        pid(claims=[{"path": ["exp"]}]),
        pid(claims=[{"path": ["status", "status_list"]}]),
        pid(meta={}),
        pid(format="jwt_vc_json", meta={}),
    ],
)
def test_what_a_verifier_must_not_ask_is_refused_to_it(value: Any) -> None:
    """Q-04, V-30: the same claim twice, registered claims, no type; a Wallet tolerates it all."""
    with pytest.raises(InvalidInput):
        dcql.check_authored(dcql.parse(value))


@pytest.mark.vectors
def test_the_printed_queries_parse() -> None:
    """Q-25."""
    found = sorted(vectors("openid4vp-1_0/query_lang").glob("*.json"))
    assert len(found) == 7
    for path in found:
        value = json.loads(path.read_text(encoding="utf-8"))
        assert dcql.parse(value).to_object() == value
