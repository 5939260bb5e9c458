"""Properties of the trust list: parsers raise only ours, entitlement only shrinks."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.errors import ExpectedError, InvalidInput
from shared.runtime.trust_enrol import read_request, read_response
from shared.trust import ClaimPath, Entitlement, Entity, TrustList, Wanted, entitled
from tests.support.clock import NOW
from tests.support.trust import PID, SD_JWT, ask, demo_trust, document, trust_list

TRUST = demo_trust()
DOCUMENT = document(TRUST.registry.entry(), TRUST.counter.entry())

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
steps = st.sampled_from(["address", "locality", "a"]) | st.integers(0, 2) | st.none()
paths = st.lists(steps, min_size=1, max_size=3).map(tuple)


def places(value: Any) -> list[list[str | int]]:
    """Every place of a JSON document."""
    found: list[list[str | int]] = []
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        found.append([key])
        if isinstance(inner, dict | list):
            found.extend([key, *rest] for rest in places(inner))
    return found


PLACES = places(json.loads(DOCUMENT))


@given(st.sampled_from(PLACES), anything)
@settings(max_examples=150, deadline=None)
def test_a_list_with_anything_anywhere_is_read_or_refused_in_our_words(
    place: list[str | int], value: Any
) -> None:
    """C-31: a parser raises nothing but InvalidInput."""
    changed = json.loads(DOCUMENT)
    inner = changed
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    with suppress(InvalidInput):
        TrustList.parse(json.dumps(changed).encode(), version=1)


@given(st.binary(max_size=200) | anything.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=150, deadline=None)
def test_noise_is_refused_by_every_parser_of_trust_files(data: bytes) -> None:
    for parse in (
        lambda: TrustList.parse(data, version=1),
        lambda: read_request(data),
        lambda: read_response(data, keys={}),
    ):
        with pytest.raises(ExpectedError):
            parse()


def entitlement(registered: list[ClaimPath], asked: list[ClaimPath]) -> Entitlement:
    entry = TRUST.counter.entry(asks=[ask("p", PID, *registered)])
    entity: Entity = trust_list(entry).entity_by_id("ent_counter")
    query = [Wanted("c", SD_JWT, (PID,), tuple(asked))]
    return entitled(query, entity, purpose="p", cross_device=True, now=NOW)


@given(st.lists(paths, max_size=4), st.lists(paths, max_size=4))
@settings(max_examples=100, deadline=None)
def test_asking_what_is_registered_is_allowed_and_the_rest_is_named(
    registered: list[ClaimPath], extra: list[ClaimPath]
) -> None:
    assert entitlement(registered, registered).allowed
    found = entitlement(registered, registered + extra)
    too_much = {path for _, path in found.over_asked}
    assert too_much <= set(extra)
    assert too_much.isdisjoint(registered)
    assert entitlement(registered, [p for p in extra if p not in too_much]).allowed


@given(st.lists(paths, min_size=1, max_size=4), paths)
@settings(max_examples=100, deadline=None)
def test_registering_more_never_entitles_to_less(
    registered: list[ClaimPath], more: ClaimPath
) -> None:
    asked = [*registered, more]
    fewer = {path for _, path in entitlement(registered[:-1], asked).over_asked}
    assert {path for _, path in entitlement(registered, asked).over_asked} <= fewer
