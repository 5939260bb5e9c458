"""Claims Path Pointer: which claims of a JSON credential are meant.

A path is evaluated "as if everything were disclosed": a place of an array that a presentation keeps
hidden still counts for indexes, and is never selected. `VerifiedSdJwt.in_place` marks such places
as RFC 9901 does, with `{"...": digest}`, a name no claim may have.
Specification: OpenID4VP 1.0, section 7.1; SD-JWT VC, section 9.1; PROFILE F-CP-01, F-CP-03.
"""

from collections.abc import Collection, Iterable
from typing import TypeAlias

from ..encoding import JsonValue
from ..errors import InvalidInput

ClaimPath: TypeAlias = tuple[str | int | None, ...]
ConcretePath: TypeAlias = tuple[str | int, ...]

HIDDEN = "..."
_MAX_COMPONENTS = 16  # no claim lies deeper (S-21)


def parse_path(raw: object) -> ClaimPath:
    """A path as it stands in a query or in metadata.

    Raises:
        InvalidInput: not a non-empty array of strings, non-negative integers and nulls; true is no
            integer.

    Specification: OpenID4VP 1.0, section 7.1; PROFILE F-CP-01.
    """
    if not isinstance(raw, list | tuple) or not 1 <= len(raw) <= _MAX_COMPONENTS:
        raise InvalidInput("claims path: not an array of one to sixteen components")
    for each in raw:
        if each is None or isinstance(each, str):
            continue
        if isinstance(each, bool) or not isinstance(each, int) or each < 0:
            raise InvalidInput("claims path: a component is no string, index or null")
    return tuple(raw)


def select(value: JsonValue, path: ClaimPath) -> list[tuple[ConcretePath, JsonValue]]:
    """Every place in *value* that *path* means, with what stands there; never empty.

    Raises:
        InvalidInput: the path leads nowhere, or through something of another kind than it says.

    Specification: OpenID4VP 1.0, section 7.1.1; SD-JWT VC, section 9.1.2; PROFILE F-CP-01.
    """
    selected: list[tuple[ConcretePath, JsonValue]] = [((), value)]
    for component in path:
        if isinstance(component, str):
            selected = list(_members(selected, component))
        else:
            selected = list(_elements(selected, component))
        if not selected:
            raise InvalidInput("claims path: leads nowhere")
    return selected


def _members(
    selected: list[tuple[ConcretePath, JsonValue]], name: str
) -> Iterable[tuple[ConcretePath, JsonValue]]:
    for place, value in selected:
        if not isinstance(value, dict):
            raise InvalidInput("claims path: a name meets something that is no object")
        if name in value:
            yield (*place, name), value[name]


def _elements(
    selected: list[tuple[ConcretePath, JsonValue]], index: int | None
) -> Iterable[tuple[ConcretePath, JsonValue]]:
    for place, value in selected:
        if not isinstance(value, list | tuple):
            raise InvalidInput("claims path: an index meets something that is no array")
        places = range(len(value)) if index is None else range(index, min(index + 1, len(value)))
        for at in places:
            if not _is_hidden(value[at]):
                yield (*place, at), value[at]


def _is_hidden(value: JsonValue) -> bool:
    return isinstance(value, dict) and HIDDEN in value


def visible(value: JsonValue, place: ConcretePath) -> ConcretePath:
    """*place* as it is once the hidden elements of *value* are gone."""
    result: list[str | int] = []
    for component in place:
        if isinstance(value, list | tuple) and isinstance(component, int):
            result.append(sum(not _is_hidden(each) for each in value[:component]))
            value = value[component]
        else:
            result.append(component)
            value = value[component] if isinstance(value, dict) else None
    return tuple(result)


def cut(value: JsonValue, places: Collection[ConcretePath]) -> JsonValue:
    """*value* reduced to *places*, whole below each; other members and elements are left out.

    The verifier keeps this of what was disclosed (V-61): only what its query selected.
    """
    if () in places:
        return value
    if isinstance(value, dict):
        return {
            name: cut(each, below)
            for name, each in value.items()
            if (below := [place[1:] for place in places if place[0] == name])
        }
    if isinstance(value, list | tuple):
        return [
            cut(each, below)
            for at, each in enumerate(value)
            if (below := [place[1:] for place in places if place[0] == at])
        ]
    return value
