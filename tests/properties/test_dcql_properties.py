"""DCQL for any query and any credential: what is selected answers, what is withheld does not."""

import contextlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidInput, QueryUnsatisfied
from shared.formats.claims_path import cut
from shared.formats.claims_path import select as select_claims
from shared.formats.values import Candidate
from shared.oid4vp import dcql
from shared.oid4vp.dcql_matching import judge, select

NAMES = st.sampled_from(["a", "b", "c"])
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 2), st.sampled_from(["x", "1", "true"])
)
CLAIMS = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)),
    max_leaves=12,
).flatmap(lambda value: st.fixed_dictionaries({"a": st.just(value), "b": SCALARS}))
PATHS = st.lists(st.one_of(NAMES, st.none(), st.integers(0, 2)), min_size=1, max_size=4)
VALUES = st.lists(
    st.one_of(st.booleans(), st.integers(-2, 2), st.sampled_from(["x", "1", "true"])),
    min_size=1,
    max_size=3,
)


@st.composite
def credential_queries(draw: st.DrawFn, identifier: str) -> dict[str, Any]:
    claims = [
        {
            "id": f"c{index}",
            "path": path,
            **({"values": draw(VALUES)} if draw(st.booleans()) else {}),
        }
        for index, path in enumerate(draw(st.lists(PATHS, max_size=3)))
    ]
    value: dict[str, Any] = {
        "id": identifier,
        "format": "dc+sd-jwt",
        "meta": {"vct_values": draw(st.lists(st.sampled_from("TUV"), min_size=1, max_size=2))},
        "multiple": draw(st.booleans()),
    }
    if claims:
        value["claims"] = claims
        if draw(st.booleans()):
            ids = st.sampled_from([each["id"] for each in claims])
            option = st.lists(ids, min_size=1, max_size=3)
            value["claim_sets"] = draw(st.lists(option, min_size=1, max_size=3))
    return value


@st.composite
def queries(draw: st.DrawFn) -> dict[str, Any]:
    ids = [f"q{index}" for index in range(draw(st.integers(1, 3)))]
    value: dict[str, Any] = {"credentials": [draw(credential_queries(each)) for each in ids]}
    if draw(st.booleans()):
        option = st.lists(st.sampled_from(ids), min_size=1, max_size=2)
        one = st.fixed_dictionaries(
            {"options": st.lists(option, min_size=1, max_size=3), "required": st.booleans()}
        )
        value["credential_sets"] = draw(st.lists(one, min_size=1, max_size=2))
    return value


@st.composite
def wallets(draw: st.DrawFn) -> list[Candidate]:
    return [
        Candidate(
            id=f"h{index}",
            format="dc+sd-jwt",
            type=draw(st.sampled_from("TUV")),
            claims=claims,
            authority_key_ids=frozenset(),
            holder_bound=True,
        )
        for index, claims in enumerate(draw(st.lists(CLAIMS, max_size=4)))
    ]


def hidden(value: Any, places: list[tuple[Any, ...]]) -> Any:
    """*value* with only *places* disclosed, array elements keeping their places."""
    if () in places:
        return value
    below = {each[0]: [p[1:] for p in places if p[0] == each[0]] for each in places}
    if isinstance(value, dict):
        return {name: hidden(each, below[name]) for name, each in value.items() if name in below}
    if isinstance(value, list):
        return [
            hidden(each, below[at]) if at in below else {"...": "digest"}
            for at, each in enumerate(value)
        ]
    return value


@given(queries(), wallets())
def test_what_the_wallet_selects_satisfies_the_verifier(
    value: dict[str, Any], wallet: list[Candidate]
) -> None:
    """Q-10 to Q-24, V-60: one evaluator; disclosing exactly the selected places is enough."""
    query = dcql.parse(value)
    selection = select(query, wallet)
    if not selection.satisfiable:
        try:
            selection.proposal()
        except QueryUnsatisfied:
            return
        raise AssertionError("a proposal for what cannot be satisfied")
    chosen = selection.confirm(selection.proposal())
    presented = {
        query_id: [
            Candidate(
                id="p",
                format=each.candidate.format,
                type=each.candidate.type,
                claims=hidden(each.candidate.claims, list(each.paths)) if each.paths else {},
                authority_key_ids=frozenset(),
                holder_bound=True,
            )
            for each in matches
        ]
        for query_id, matches in chosen.items()
    }
    judgement = judge(query, presented)
    assert judgement.satisfied
    for query_id, judged in judgement.presentations.items():
        for shown, match in zip(judged, chosen[query_id], strict=True):
            assert shown.match is not None
            assert shown.match.option == match.option


@given(queries(), wallets())
def test_selected_values_stand_where_they_are_said_to_stand(
    value: dict[str, Any], wallet: list[Candidate]
) -> None:
    """F-CP-01, Q-24: every place found is concrete and holds the value; no place occurs twice."""
    for matches in select(dcql.parse(value), wallet).matches.values():
        for match in matches:
            assert len(set(match.paths)) == len(match.paths)
            for place, found in match.found:
                assert select_claims(match.candidate.claims, place) == [(place, found)]
            if match.found:
                cut(match.candidate.claims, match.paths)


@given(queries(), wallets(), st.data())
def test_taking_one_credential_away_never_adds_an_answer(
    value: dict[str, Any], wallet: list[Candidate], data: st.DataObject
) -> None:
    """Q-21: monotone in what is held."""
    query = dcql.parse(value)
    fewer = data.draw(st.lists(st.sampled_from(wallet), unique_by=id)) if wallet else []
    if select(query, fewer).satisfiable:
        assert select(query, wallet).satisfiable


@given(queries())
def test_a_query_survives_being_written(value: dict[str, Any]) -> None:
    """Q-01: what was said, and nothing else."""
    assert dcql.parse(value).to_object() == value


MEMBERS = [
    *("credentials", "credential_sets", "id", "format", "meta", "claims", "path", "values"),
    *("claim_sets", "options", "required", "trusted_authorities", "type", "multiple"),
]
JSON = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-3, 3),
        st.floats(allow_nan=False),
        st.text(max_size=4),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(MEMBERS),
            inner,
            max_size=5,
        ),
    ),
    max_leaves=20,
)


@given(JSON)
def test_noise_raises_our_error_alone(value: Any) -> None:
    """C-31, Q-06: parsers raise InvalidInput and nothing else."""
    with contextlib.suppress(InvalidInput):
        dcql.parse(value)
