"""shared/formats/claims_path.py: Claims Path Pointer."""

from typing import Any

import pytest

from shared.errors import InvalidInput
from shared.formats.claims_path import ClaimPath, cut, parse_path, select, visible
from tests.support.vectors import vector_json

CREDENTIAL: dict[str, Any] = {  # OpenID4VP 1.0, section 7.3
    "name": "Arthur Dent",
    "address": {"street_address": "42 Market Street", "locality": "Milliways"},
    "degrees": [
        {"type": "Bachelor of Science", "university": "University of Betelgeuse"},
        {"type": "Master of Science", "university": "University of Betelgeuse"},
    ],
    "nationalities": ["British", "Betelgeusian"],
}


@pytest.mark.parametrize(
    ("path", "places", "values"),
    [
        (("name",), [("name",)], ["Arthur Dent"]),
        (("address",), [("address",)], [CREDENTIAL["address"]]),
        (
            ("address", "street_address"),
            [("address", "street_address")],
            ["42 Market Street"],
        ),
        (
            ("degrees", None, "type"),
            [("degrees", 0, "type"), ("degrees", 1, "type")],
            ["Bachelor of Science", "Master of Science"],
        ),
        (("nationalities", 1), [("nationalities", 1)], ["Betelgeusian"]),
    ],
)
def test_the_examples_select_what_the_specification_says(
    path: ClaimPath, places: list[Any], values: list[Any]
) -> None:
    """F-CP-01: OpenID4VP 1.0, section 7.3; SD-JWT VC, section 9.1.1."""
    found = select(CREDENTIAL, path)
    assert [place for place, _ in found] == places
    assert [value for _, value in found] == values


@pytest.mark.vectors
def test_the_printed_example_credential_is_addressed_as_its_text_says() -> None:
    """F-CP-01: SD-JWT VC, section 9.1.1 (official vector)."""
    credential = vector_json("sd-jwt-vc/type-metadata/claim_path_example_credential.json")
    assert [value for _, value in select(credential, ("degrees", None, "type"))] == [
        "Bachelor of Science",
        "Master of Science",
    ]


@pytest.mark.parametrize(
    "path",
    [
        ("nothing",),
        ("nationalities", 2),
        ("name", "first"),
        ("nationalities", "first"),
        ("address", 0),
        ("address", None),
        ("degrees", None, "type", 0),
        ("degrees", None, "honours"),
    ],
)
def test_a_path_that_leads_nowhere_or_through_another_kind_is_refused(path: ClaimPath) -> None:
    """F-CP-01: OpenID4VP 1.0, section 7.1.1, steps 2.1 to 2.4 and 3."""
    with pytest.raises(InvalidInput):
        select(CREDENTIAL, path)


def test_elements_without_the_key_are_dropped_while_others_have_it() -> None:
    """F-CP-01: OpenID4VP 1.0, section 7.1.1: remove that element from the selection."""
    value = {"list": [{"a": 1}, {"b": 2}, {"a": 3}]}
    assert select(value, ("list", None, "a")) == [(("list", 0, "a"), 1), (("list", 2, "a"), 3)]
    nested = {"list": [[1], [2, 3]]}
    assert select(nested, ("list", None, 1)) == [(("list", 1, 1), 3)]


def test_one_element_of_another_kind_stops_the_whole_path() -> None:
    """F-CP-01: OpenID4VP 1.0, section 7.1.1, step 2.1: any element that is not an object."""
    with pytest.raises(InvalidInput):
        select({"list": [{"a": 1}, "text"]}, ("list", None, "a"))


def test_null_of_an_empty_array_selects_nothing_and_is_refused() -> None:
    """F-CP-01: OpenID4VP 1.0, section 7.1.1, step 3."""
    with pytest.raises(InvalidInput):
        select({"list": []}, ("list", None))


def test_a_hidden_element_keeps_its_place_and_is_never_selected() -> None:
    """F-CP-03: a path is evaluated as if everything were disclosed."""
    value: dict[str, Any] = {"list": [{"...": "digest"}, "shown"]}
    assert select(value, ("list", 1)) == [(("list", 1), "shown")]
    assert select(value, ("list", None)) == [(("list", 1), "shown")]
    with pytest.raises(InvalidInput):
        select(value, ("list", 0))


def test_places_move_up_once_hidden_elements_are_gone() -> None:
    """F-CP-03: from the payload with placeholders to the processed one."""
    value: dict[str, Any] = {"list": [{"...": "digest"}, {"deep": ["a", {"...": "x"}, "b"]}]}
    assert visible(value, ("list", 1, "deep", 2)) == ("list", 0, "deep", 1)
    assert visible(value, ("list",)) == ("list",)
    assert visible("text", ("beyond",)) == ("beyond",)


@pytest.mark.parametrize(
    "raw", [["a"], ["a", 0, None, "b"], ["a", "", "ü"], [None], [0], ("a", None)]
)
def test_well_formed_paths_are_read(raw: Any) -> None:
    """F-CP-01: OpenID4VP 1.0, section 7."""
    assert parse_path(raw) == tuple(raw)


@pytest.mark.parametrize(
    "raw",
    [[], (), "a", None, 1, {"a": 1}, ["a", -1], ["a", True], ["a", 1.0], ["a", ["b"]], ["a"] * 17],
)
def test_malformed_paths_are_refused(raw: Any) -> None:
    """F-CP-01: negative numbers, booleans, other types and empty arrays."""
    with pytest.raises(InvalidInput):
        parse_path(raw)


def test_cutting_keeps_the_chosen_places_whole_and_nothing_else() -> None:
    """V-61: what was not asked for does not stay."""
    places: list[Any] = [("address", "locality"), ("degrees", 1), ("name",)]
    assert cut(CREDENTIAL, places) == {
        "name": "Arthur Dent",
        "address": {"locality": "Milliways"},
        "degrees": [CREDENTIAL["degrees"][1]],
    }
    assert cut(CREDENTIAL, [("degrees", 0), ("degrees",)]) == {"degrees": CREDENTIAL["degrees"]}
    assert cut(CREDENTIAL, []) == {}
    assert cut("text", [("beyond",)]) == "text"
