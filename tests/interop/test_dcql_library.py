"""Our DCQL evaluator against the npm library `dcql`, over generated queries and credentials.

Where the text of OpenID4VP 1.0 leaves no doubt both must agree: which credentials match, which
claim set is taken, which places are disclosed, whether the whole can be satisfied; and what we
present their verifier must accept. The generated claims follow one schema, so that no array mixes
kinds and nothing is null: there the library differs; each difference is a test of its own below.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.encoding import b64url_encode
from shared.errors import InvalidInput
from shared.formats.claims_path import cut
from shared.formats.values import Candidate
from shared.oid4vp import dcql
from shared.oid4vp.dcql_matching import Match, select
from tests.support.node import Ask, node

pytestmark = pytest.mark.interop
THOROUGH = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def library() -> Iterator[Ask]:
    with node("dcql.mjs", package="dcql") as ask:
        yield ask


TEXTS = st.sampled_from(["x", "1", "true", "Zoë"])
NUMBERS = st.integers(-1, 2)
SCALARS = st.one_of(TEXTS, NUMBERS, st.booleans())


def optional(**members: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object of which any member may be missing, but not all."""
    return st.fixed_dictionaries({}, optional=members).filter(bool)


def several(item: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(item, min_size=1, max_size=3)


DEGREES = optional(title=TEXTS, year=NUMBERS, tags=several(TEXTS), place=optional(city=TEXTS))
CLAIMS = optional(
    name=TEXTS,
    age=NUMBERS,
    adult=st.booleans(),
    address=optional(city=TEXTS, code=SCALARS),
    languages=several(TEXTS),
    degrees=several(DEGREES),
    grid=several(several(NUMBERS)),
)
NAMES = ["name", "age", "adult", "address", "city", "code", "languages", "degrees", "grid"]
GOOD_PATHS = [
    *(["name"], ["age"], ["adult"], ["address"], ["address", "city"], ["address", "code"]),
    *(["languages"], ["languages", None], ["languages", 1], ["degrees"], ["degrees", 0]),
    *(["degrees", None], ["degrees", None, "title"], ["degrees", None, "year"]),
    *(["degrees", 1, "title"], ["degrees", None, "tags"], ["degrees", None, "tags", None]),
    *(["degrees", None, "tags", 1], ["degrees", 0, "place", "city"], ["grid", None, 0]),
    *(["grid", 0, None], ["grid", None, None], ["degrees", None, "place", "city"]),
]
PATHS = st.one_of(
    st.sampled_from(GOOD_PATHS),
    st.lists(
        st.one_of(st.sampled_from(NAMES), st.none(), st.integers(0, 2)), min_size=1, max_size=4
    ).filter(lambda path: isinstance(path[0], str)),
)
AUTHORITIES = [b64url_encode(name) for name in (b"first", b"second", b"third")]


@st.composite
def sd_jwt_queries(draw: st.DrawFn, identifier: str) -> dict[str, Any]:
    query: dict[str, Any] = {"id": identifier, "format": "dc+sd-jwt"}
    types = draw(st.lists(st.sampled_from(["urn:a", "urn:b", "urn:c"]), max_size=2, unique=True))
    query["meta"] = {"vct_values": types} if types else {}
    paths = draw(st.lists(PATHS, max_size=4, unique_by=str))
    if paths:
        query["claims"] = [{"id": f"c{at}", "path": path} for at, path in enumerate(paths)]
        for claim in query["claims"]:
            if draw(st.integers(0, 3)) == 0:
                claim["values"] = draw(st.lists(SCALARS, min_size=1, max_size=3))
        if draw(st.booleans()):
            ids = st.sampled_from([claim["id"] for claim in query["claims"]])
            option = st.lists(ids, min_size=1, max_size=3, unique=True)
            query["claim_sets"] = draw(st.lists(option, min_size=1, max_size=3))
    return {**query, **draw(common_members())}


@st.composite
def mdoc_queries(draw: st.DrawFn, identifier: str) -> dict[str, Any]:
    query: dict[str, Any] = {"id": identifier, "format": "mso_mdoc"}
    doctype = draw(st.sampled_from(["a", "b", None]))
    query["meta"] = {} if doctype is None else {"doctype_value": doctype}
    paths = draw(
        st.lists(
            st.tuples(st.sampled_from(["ns1", "ns2"]), st.sampled_from(["name", "age"])),
            max_size=3,
            unique=True,
        )
    )
    if paths:
        query["claims"] = [{"path": list(path)} for path in paths]
    return {**query, **draw(common_members())}


@st.composite
def common_members(draw: st.DrawFn) -> dict[str, Any]:
    members: dict[str, Any] = {}
    if draw(st.booleans()):
        members["multiple"] = draw(st.booleans())
    if draw(st.booleans()):
        members["require_cryptographic_holder_binding"] = draw(st.booleans())
    if draw(st.integers(0, 3)) == 0:
        values = st.lists(st.sampled_from(AUTHORITIES), min_size=1, max_size=2)
        entry = st.builds(lambda each: {"type": "aki", "values": each}, values)
        members["trusted_authorities"] = draw(st.lists(entry, min_size=1, max_size=2))
    return members


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    ids = [f"q{index}" for index in range(draw(st.integers(1, 3)))]
    value: dict[str, Any] = {
        "credentials": [
            draw(st.one_of(sd_jwt_queries(each), sd_jwt_queries(each), mdoc_queries(each)))
            for each in ids
        ]
    }
    if draw(st.booleans()):
        option = st.lists(st.sampled_from(ids), min_size=1, max_size=2, unique=True)
        one = st.fixed_dictionaries(
            {"options": st.lists(option, min_size=1, max_size=3)},
            optional={"required": st.booleans()},
        )
        value["credential_sets"] = draw(st.lists(one, min_size=1, max_size=2))
    return value


@st.composite
def candidates(draw: st.DrawFn, identifier: str) -> Candidate:
    element = optional(name=TEXTS, age=NUMBERS)
    sd_jwt = draw(st.integers(0, 2)) > 0
    return Candidate(
        id=identifier,
        format="dc+sd-jwt" if sd_jwt else "mso_mdoc",
        type=draw(st.sampled_from(["urn:a", "urn:b"] if sd_jwt else ["a", "b"])),
        claims=draw(CLAIMS if sd_jwt else optional(ns1=element, ns2=element)),
        authority_key_ids=frozenset({draw(st.sampled_from([b"first", b"second"]))}),
        holder_bound=draw(st.sampled_from([True, True, False])),
    )


@st.composite
def wallets(draw: st.DrawFn) -> list[Candidate]:
    return [draw(candidates(f"h{index}")) for index in range(draw(st.integers(0, 4)))]


def theirs(candidate: Candidate, claims: Any = None) -> dict[str, Any]:
    """*candidate* as the library writes it, with other *claims* if a part is presented."""
    claims = candidate.claims if claims is None else claims
    (authority,) = candidate.authority_key_ids
    value = {
        "credential_format": candidate.format,
        "cryptographic_holder_binding": candidate.holder_bound,
        "authority": {"type": "aki", "values": [b64url_encode(authority)]},
    }
    if candidate.format == "mso_mdoc":
        return {**value, "doctype": candidate.type, "namespaces": claims}
    return {**value, "vct": candidate.type, "claims": claims}


def leaves(value: Any, place: tuple[Any, ...] = ()) -> set[tuple[Any, ...]]:
    """The places of all scalars in *value*; null stands for what is not there."""
    if isinstance(value, dict):
        return {leaf for name, each in value.items() for leaf in leaves(each, (*place, name))}
    if isinstance(value, list):
        return {leaf for at, each in enumerate(value) for leaf in leaves(each, (*place, at))}
    return set() if value is None else {place}


def ours(match: Match) -> dict[str, Any]:
    found = {leaf for place, value in match.found for leaf in leaves(value, place)}
    return {"option": match.option, "leaves": found}


@THOROUGH
@given(queries(), wallets())
def test_both_select_the_same(library: Ask, query: dict[str, Any], wallet: list[Candidate]) -> None:
    """Q-10 to Q-22: matches, claim sets, disclosed places and the verdict on the whole."""
    selection = select(dcql.parse(query), wallet)
    answer = library({"query": query, "credentials": [theirs(each) for each in wallet]})
    if any(each.required for each in selection.sets):
        assert answer["satisfied"] == selection.satisfiable
    else:  # an answer of ours is never empty; the library calls nothing satisfied
        assert answer["satisfied"]
        options = [option for each in query["credential_sets"] for option in each["options"]]
        complete = [all(answer["matches"][each] for each in option) for option in options]
        assert selection.satisfiable == any(complete)
    for query_id, matches in selection.matches.items():
        found = {each.candidate.id: ours(each) for each in matches}
        expected = {
            f"h{index}": {"option": each["option"], "leaves": leaves(each["output"])}
            for index, each in answer["matches"][query_id].items()
        }
        assert found == expected


@THOROUGH
@given(queries(), wallets())
def test_what_we_present_their_verifier_accepts(
    library: Ask, query: dict[str, Any], wallet: list[Candidate]
) -> None:
    """Q-20, Q-24, V-60: the proposal, with nothing disclosed beyond the selection."""
    selection = select(dcql.parse(query), wallet)
    if not selection.satisfiable:
        return
    chosen = selection.confirm(selection.proposal())
    presentations = {
        query_id: [
            theirs(each.candidate, cut(each.candidate.claims, each.paths) if each.paths else {})
            for each in matches
        ]
        for query_id, matches in chosen.items()
    }
    assert library({"query": query, "presentations": presentations}) == {"satisfied": True}


QUERY: dict[str, Any] = {
    "id": "pid",
    "format": "dc+sd-jwt",
    "meta": {"vct_values": ["urn:a"]},
    "claims": [{"id": "a", "path": ["name"]}],
}


DROPPED = object()


def changed(changes: dict[str, Any]) -> dict[str, Any]:
    members = {**QUERY, **changes}
    return {name: value for name, value in members.items() if value is not DROPPED}


def verdicts(library: Ask, claims: Any, *wanted: dict[str, Any]) -> tuple[bool, bool]:
    """Ours and theirs for one credential with *claims*, asked for *wanted*."""
    query = {"credentials": [{**QUERY, "claims": list(wanted)}]}
    candidate = Candidate("h0", "dc+sd-jwt", "urn:a", claims, frozenset({b"first"}), True)
    answer = library({"query": query, "credentials": [theirs(candidate)]})
    return select(dcql.parse(query), [candidate]).satisfiable, answer["satisfied"]


def test_a_claim_whose_value_is_null_is_there(library: Ask) -> None:
    """F-CP-01: section 7.1.1 selects it; the library takes null for absent."""
    assert verdicts(library, {"name": None}, {"path": ["name"]}) == (True, False)


def test_an_array_of_several_kinds_is_an_error(library: Ask) -> None:
    """F-CP-01: section 7.1.1 aborts if any selected element is of the wrong kind; the library goes
    on with those that fit."""
    claims = {"degrees": [{"title": "x"}, "y"]}
    assert verdicts(library, claims, {"path": ["degrees", None, "title"]}) == (False, True)


def test_nothing_selected_is_no_claim(library: Ask) -> None:
    """F-CP-01: section 7.1.1 makes an empty selection an error; the library does not."""
    assert verdicts(library, {"languages": []}, {"path": ["languages", None]}) == (False, True)


def test_a_name_needs_an_object(library: Ask) -> None:
    """F-CP-01: to JavaScript an array has members "0" and "length", any object a "toString"."""
    for path in (["languages", "0"], ["languages", "length"], ["toString"]):
        assert verdicts(library, {"languages": ["x"]}, {"path": path}) == (False, True)


def test_a_claim_asked_for_twice_counts_once(library: Ask) -> None:
    """Q-04: section 6.1 says that wallets should ignore the duplicate; the library asks both."""
    twice = ({"path": ["name"]}, {"path": ["name"], "values": ["y"]})
    assert verdicts(library, {"name": "x"}, *twice) == (True, False)


def test_a_number_is_an_integer_or_not(library: Ask) -> None:
    """Q-14: type and value match exactly; in JavaScript 1.0 and 1 are the same number."""
    assert verdicts(library, {"age": 1.0}, {"path": ["age"], "values": [1]}) == (False, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"id": ""},
        {"id": "a b"},
        {"format": 5},
        {"meta": None},
        {"meta": {"vct_values": "urn:a"}},
        {"claims": []},
        {"claims": [{"path": []}]},
        {"claims": [{"path": ["a", -1]}]},
        {"claims": [{"path": ["a", 1.5]}]},
        {"claims": [{"path": ["a", True]}]},
        {"claims": [{"path": ["a"], "values": [1.5]}]},
        {"claim_sets": []},
        {"claim_sets": [[]]},
        {"claim_sets": [["unknown"]]},
        {"trusted_authorities": []},
        {"trusted_authorities": [{"type": "aki", "values": []}]},
        {"multiple": "yes"},
        {"claims": DROPPED, "claim_sets": [["a"]]},
    ],
)
def test_both_refuse_what_the_syntax_forbids(library: Ask, changes: dict[str, Any]) -> None:
    """Q-01 to Q-05."""
    query = {"credentials": [changed(changes)]}
    assert library({"query": query, "credentials": []}) == {"refused": True}
    with pytest.raises(InvalidInput):
        dcql.parse(query)


@pytest.mark.parametrize(
    "changes",
    [
        {"meta": {"vct_values": []}},
        {"claims": [{"path": ["a"], "id": "x"}, {"path": ["b"], "id": "x"}]},
        {"claims": [{"path": ["a"], "values": []}]},
    ],
)
def test_the_library_lets_pass_what_we_refuse(library: Ask, changes: dict[str, Any]) -> None:
    """Q-03, Q-04: empty lists and an id used twice are against section 6."""
    query = {"credentials": [changed(changes)]}
    assert "refused" not in library({"query": query, "credentials": []})
    with pytest.raises(InvalidInput):
        dcql.parse(query)
