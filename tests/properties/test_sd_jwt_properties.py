"""Properties of SD-JWT: round trips, subsets, tampering, parsers under noise."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.crypto.software import SoftwareKey
from shared.errors import ExpectedError, InvalidInput, VerificationError
from shared.formats import sd_jwt
from shared.formats.claims_path import ClaimPath, parse_path, select
from shared.formats.sd_jwt import Disclosure
from tests.support.credentials import ES256, compact

KEY = SoftwareKey.generate()
TYP = "example+sd-jwt"

names = st.text(max_size=8).filter(lambda each: each not in {"_sd", "_sd_alg", "..."})
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=20)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
payloads = st.dictionaries(names, values, max_size=6)


def places(value: Any, path: ClaimPath = ()) -> list[ClaimPath]:
    """Every path into *value*, as deep as recursion is allowed."""
    found: list[ClaimPath] = [path] if path else []
    if len(path) < sd_jwt.MAX_RECURSION:
        if isinstance(value, dict):
            found += [each for name in value for each in places(value[name], (*path, name))]
        elif isinstance(value, list):
            found += [each for at, below in enumerate(value) for each in places(below, (*path, at))]
    return found


@st.composite
def concealed(draw: st.DrawFn) -> tuple[dict[str, Any], list[ClaimPath]]:
    claims = draw(payloads)
    every = places(claims)
    chosen = draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    return claims, chosen


def issue(claims: Any, conceal: Any) -> str:
    return sd_jwt.issue(claims, conceal=conceal, typ=TYP, signer=KEY)


def verify(text: str) -> sd_jwt.VerifiedSdJwt:
    return sd_jwt.verify(text, key=KEY.public, typ=TYP, algorithms=ES256)


@given(concealed())
def test_what_is_issued_verifies_to_the_same(made: tuple[dict[str, Any], list[ClaimPath]]) -> None:
    """F-SD-06, F-SD-07: verify(issue(x)) == x, whatever is withheld."""
    claims, conceal = made
    found = verify(issue(claims, conceal))
    assert found.claims == claims
    assert {path for path, _ in found.disclosed} == set(conceal)


@given(concealed(), st.data())
def test_any_selection_shows_what_was_selected(
    made: tuple[dict[str, Any], list[ClaimPath]], data: st.DataObject
) -> None:
    """F-CP-03, F-SD-09: any subset verifies, and holds exactly the chosen Disclosures."""
    claims, conceal = made
    issued = verify(issue(claims, conceal))
    every = places(claims)
    paths = data.draw(st.lists(st.sampled_from(every), unique=True)) if every else []
    shown = verify(sd_jwt.present(issued, paths=paths))
    count = sum(
        any(path == each[: len(path)] or each == path[: len(each)] for each in paths)
        for path in conceal
    )
    assert len(shown.disclosed) == count
    for path in paths:
        if all(isinstance(each, str) for each in path):
            assert select(shown.claims, path) == select(claims, path)


@given(concealed(), st.data())
def test_any_set_of_disclosures_verifies_or_lacks_a_parent(
    made: tuple[dict[str, Any], list[ClaimPath]], data: st.DataObject
) -> None:
    """F-SD-07, F-SD-09: without its parent a Disclosure is refused, else everything verifies."""
    issued = verify(issue(*made))
    kept = data.draw(st.lists(st.sampled_from(issued.disclosed), unique=True)) if made[1] else []
    paths = {path for path, _ in kept}
    withheld = {path for path, _ in issued.disclosed}
    whole = all(
        path[:length] in paths
        for path in paths
        for length in range(1, len(path))
        if path[:length] in withheld
    )
    text = compact(issued.sd_jwt.issuer_jwt, *(each for _, each in kept))
    if whole:
        assert len(verify(text).disclosed) == len(kept)
    else:
        with pytest.raises(VerificationError):
            verify(text)


@settings(max_examples=300)
@given(st.data())
def test_any_altered_byte_is_refused(data: st.DataObject) -> None:
    """F-SD-07, C-30: one character changed anywhere.

    The last tilde stands apart: without it the last part is a KB-JWT, which is not looked at here.
    """
    at = data.draw(st.integers(0, len(SAMPLE) - 2))
    other = data.draw(st.sampled_from("AZaz09-_~.=").filter(lambda each: each != SAMPLE[at]))
    with pytest.raises(ExpectedError):
        verify(SAMPLE[:at] + other + SAMPLE[at + 1 :])


SAMPLE = issue({"a": 1, "b": {"c": ["x", "y"]}}, [("a",), ("b", "c"), ("b", "c", None)])


@given(st.text(max_size=200) | st.text("abcWyJ~.{}[]\"'_-=0", max_size=200))
def test_noise_raises_nothing_but_our_errors(text: str) -> None:
    """C-31: a parser raises only ours."""
    for call in (sd_jwt.parse, verify, Disclosure.parse):
        try:
            call(text)
        except ExpectedError:
            continue


@given(st.recursive(leaves | st.binary(max_size=5), st.lists, max_leaves=6))
def test_paths_of_any_kind_raise_nothing_but_our_errors(raw: Any) -> None:
    """F-CP-01: parse_path takes what it is given."""
    try:
        path = parse_path(raw)
    except InvalidInput:
        return
    assert path == tuple(raw)


@given(payloads, st.lists(st.none() | st.integers(0, 3) | names, min_size=1, max_size=4))
def test_a_path_selects_places_that_are_there(claims: dict[str, Any], path: list[Any]) -> None:
    """F-CP-01: every selected place holds the selected value, or the path is refused."""
    try:
        found = select(claims, tuple(path))
    except InvalidInput:
        return
    assert found
    for place, value in found:
        assert select(claims, place) == [(place, value)]
