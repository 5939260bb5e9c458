"""Concealing: claims leave the payload of an SD-JWT, salted digests take their places.

`sd_jwt.issue` signs what comes out of here.
Specification: RFC 9901, sections 4.2.1 to 4.2.6; PROFILE F-SD-02 to F-SD-06.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ..encoding import JsonValue, RandomBytes, b64url_ascii, b64url_encode, dump_json
from ..errors import InvalidInput
from .claims_path import HIDDEN, ClaimPath, select

RESERVED = frozenset({"_sd", "_sd_alg", HIDDEN})
CONTAINERS = frozenset({dict, list, tuple})
_SALTS = [slice(at, at + 24) for at in range(0, 12 * 24, 24)]


def uses_reserved(value: Any) -> bool:
    """Whether a digest stands anywhere in *value*; most values are plain and stay as they are."""
    if type(value) is dict:
        if not RESERVED.isdisjoint(value):
            return True
        value = value.values()
    if CONTAINERS.isdisjoint(map(type, value)):
        return False
    return any(uses_reserved(each) for each in value if type(each) in CONTAINERS)


def concealed(
    claims: Mapping[str, JsonValue],
    paths: tuple[ClaimPath, ...],
    decoys: int,
    random_bytes: RandomBytes,
) -> tuple[dict[str, JsonValue], list[bytes]]:
    """*claims* with digests where *paths* lead, and the Disclosures in ASCII.

    Raises:
        InvalidInput: a path leads nowhere, or a claim has a reserved name.

    Specification: RFC 9901, sections 4.2.4 to 4.2.6.
    """
    plan, deep = _plan(paths)
    if not plan.concealed <= claims.keys():
        raise InvalidInput("SD-JWT: a claim to conceal is not there")
    for path in deep:
        if not _leads(claims, path):
            select(dict(claims), path)  # through an array, or nowhere
    writer = _Writer(decoys, random_bytes)
    return writer.object(claims, plan), writer.disclosures


def _leads(value: Any, path: ClaimPath) -> bool:
    """Whether *path* goes by names alone, as most do, and all of them are there."""
    for name in path:
        if type(value) is not dict or name not in value:
            return False
        value = value[name]
    return True


@dataclass(slots=True)
class _Node:
    """Names or indexes that are concealed at one place, and below it; None: every element."""

    concealed: set[str | int | None] = field(default_factory=set)
    below: dict[str | int | None, "_Node"] = field(default_factory=dict)


_NOTHING = _Node()


@lru_cache(maxsize=1024)
def _plan(paths: tuple[ClaimPath, ...]) -> tuple[_Node, tuple[ClaimPath, ...]]:
    """*paths* as a tree; and those that lead below the top."""
    root = _Node()
    for path in paths:
        node = root
        for component in path[:-1]:
            node = node.below.setdefault(component, _Node())
        node.concealed.add(path[-1])
    return root, tuple(each for each in paths if len(each) != 1)


def _both(one: _Node | None, other: _Node | None) -> _Node:
    if one is None or other is None:
        return one or other or _NOTHING
    names = one.below.keys() | other.below.keys()
    return _Node(
        one.concealed | other.concealed,
        {name: _both(one.below.get(name), other.below.get(name)) for name in names},
    )


def _salts(random_bytes: RandomBytes) -> Iterator[str]:
    """24 characters of 144 fresh random bits each (F-SD-04), drawn for several claims at a time."""
    while True:
        yield from map(b64url_encode(random_bytes(18 * len(_SALTS))).__getitem__, _SALTS)


class _Writer:
    """Takes claims out of a payload and leaves their digests."""

    __slots__ = ("decoys", "disclosures", "random_bytes", "salts")

    def __init__(self, decoys: int, random_bytes: RandomBytes) -> None:
        self.decoys = decoys
        self.random_bytes = random_bytes
        self.disclosures: list[bytes] = []
        self.salts = _salts(random_bytes)

    def object(self, source: Mapping[str, JsonValue], node: _Node) -> dict[str, JsonValue]:
        if not RESERVED.isdisjoint(source):
            raise InvalidInput("SD-JWT: a claim has a reserved name")
        result = dict(source)
        for name, value in source.items():
            if type(value) in CONTAINERS:
                result[name] = self.value(value, node.below.get(name, _NOTHING))
        parts: list[list[JsonValue]] = [
            [next(self.salts), name, result.pop(name)] for name in source if name in node.concealed
        ]
        if parts:
            digests = self.disclose(parts)
            digests += [b64url_encode(self.random_bytes(32)) for _ in range(self.decoys)]
            digests.sort()  # F-SD-05: the order tells nothing
            result["_sd"] = digests
        return result

    def array(self, source: Sequence[JsonValue], node: _Node) -> list[JsonValue]:
        result: list[JsonValue] = []
        for at, plain in enumerate(source):
            value = self.value(plain, _both(node.below.get(at), node.below.get(None)))
            if not node.concealed.isdisjoint((at, None)):
                value = {HIDDEN: self.disclose([[next(self.salts), value]])[0]}
            result.append(value)
        return result

    def value(self, value: Any, node: _Node) -> JsonValue:
        if type(value) not in CONTAINERS or (node is _NOTHING and not uses_reserved(value)):
            return value  # type: ignore[no-any-return]  # a JSON value is what the caller gave
        return self.object(value, node) if type(value) is dict else self.array(value, node)

    def disclose(self, concealed: list[list[JsonValue]]) -> list[str]:
        texts = b64url_ascii([dump_json(each) for each in concealed])
        self.disclosures += texts
        digests = b64url_ascii([hashlib.sha256(each).digest() for each in texts])
        return [each.decode() for each in digests]
