"""Claims under the labels of their type, in the citizen's language.

Labels come from the Type Metadata that the trust list names; they are kept sealed beside the card,
in a row part of their own, since most screens need the card and not its labels. A claim without a
label shows its own name. Specification: SD-JWT VC, section 9; PROFILE F-TM-02, F-TM-06, F-TM-09.
"""

from base64 import b64decode, b64encode
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from sqlalchemy import select

from shared.encoding import JsonValue, b64url_decode
from shared.errors import InvalidInput
from shared.formats.claims_path import ClaimPath
from shared.formats.claims_path import select as select_claims

from . import saying, wording
from .checking import TECHNICAL
from .context import Wallet
from .tables import credentials
from .vault import OpenWallet

Labels: TypeAlias = Sequence[Mapping[str, Any]]
"""Each `{"path": […], "texts": {language: label}}`, in the order of the type; with "bytes" where
the value is the base64url of some."""

_MAX_ITEMS = 50
_DATA = ("data:image/jpeg;base64,", "data:image/png;base64,")
_IMAGES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


def seal_labels(opened: OpenWallet, card_id: str, labels: Labels) -> bytes:
    """For the column beside the card."""
    return opened.seal(credentials, f"{card_id}/labels", {"labels": list(labels)})


def labels_of(wallet: Wallet, opened: OpenWallet, card_ids: Collection[str]) -> dict[str, Labels]:
    """The labels of these cards."""
    statement = select(credentials.c.id, credentials.c.labels).where(
        credentials.c.id.in_(card_ids), credentials.c.wallet == opened.id
    )
    with wallet.database.reading() as connection:
        rows = connection.execute(statement).all()
    return {
        row.id: opened.open(credentials, f"{row.id}/labels", row.labels)["labels"] for row in rows
    }


def labels_by_type(
    wallet: Wallet, opened: OpenWallet, newest: Mapping[str, str]
) -> dict[str, Labels]:
    """The labels of several types; *newest* names the card that speaks for each."""
    found = labels_of(wallet, opened, newest.values())
    return {kind: found[card] for kind, card in newest.items()}


def claims_shown(
    claims: Mapping[str, JsonValue], labels: Labels, *, locale: str
) -> list[JsonValue]:
    """Every claim with label, path and value, in the order of the type's labels.

    What has no label comes after them: nothing of a document stays unseen. What belongs to one
    element of a list stays together.
    """
    labelled = [tuple(each["path"]) for each in labels]
    leaves = [path for path in labelled if not _has_below(path, labelled)]
    found: list[tuple[ClaimPath, JsonValue]] = []
    for path in leaves:
        try:
            found.extend(select_claims(dict(claims), path)[:_MAX_ITEMS])
        except InvalidInput:
            continue
    said = {place[:length] for place, _ in found for length in range(1, len(place) + 1)}
    whole = {place for place, _ in found}
    for name, value in claims.items():
        if name not in TECHNICAL:
            found.extend(_unsaid((name,), value, said, whole))
    begins: dict[ClaimPath, int] = {}
    for at, (place, _) in enumerate(found):
        begins.setdefault(_list_of(place)[0], at)

    def order(claim: tuple[ClaimPath, JsonValue]) -> tuple[int, int]:
        of, element = _list_of(claim[0])
        return begins[of], element

    return [
        {"path": list(place), **labelled_value(labels, place, value, locale=locale)}
        for place, value in sorted(found, key=order)
    ]


def _unsaid(
    path: ClaimPath, value: JsonValue, said: Collection[ClaimPath], whole: Collection[ClaimPath]
) -> Iterator[tuple[ClaimPath, JsonValue]]:
    """What of *value* at *path* is in none of *whole*; *said* has their prefixes, too."""
    if path in whole:
        return
    if path not in said:
        yield path, value
        return
    below: Iterable[tuple[Any, JsonValue]] = value.items() if isinstance(value, Mapping) else ()
    if isinstance(value, list):
        below = enumerate(value[:_MAX_ITEMS])
    for part, each in below:
        yield from _unsaid((*path, part), each, said, whole)


def labelled_value(
    labels: Labels, path: ClaimPath, value: JsonValue, *, locale: str
) -> dict[str, JsonValue]:
    """Label and value of the claim at *path*, and `text`: the value as the citizen reads it.

    Without a label of the type it has its own name. A JPEG or PNG, as bytes or as the `data:` URL
    that the PID Rulebook wants, gets the `kind` "image" and is a `data:` URL: whoever shows it need
    not know of formats; its `text` is the label, since nobody knows what is to be seen.
    """
    entry = _entry(labels, path)
    label = label_of(labels, path, locale=locale)
    image = _image(value) if entry.get("bytes") else _data_url(value)
    if image is not None:
        return {"label": label, "value": image, "kind": "image", "text": label}
    return {"label": label, "value": value, "text": saying.said(value, path, locale=locale)}


def label_of(labels: Labels, path: ClaimPath, *, locale: str) -> str:
    """What the claim at *path* is called; without a label of the type by its own name."""
    if texts := _entry(labels, path).get("texts"):
        return wording.choose(texts, locale)
    return " ".join(part for part in path if isinstance(part, str))


def _entry(labels: Labels, path: ClaimPath) -> Mapping[str, Any]:
    return next((each for each in labels if _fits(tuple(each["path"]), path)), {})


def _image(value: JsonValue) -> str | None:
    try:
        data = b64url_decode(value) if isinstance(value, str) else b""
    except InvalidInput:  # not the bytes the type says
        return None
    return _known_image(data)


def _data_url(value: JsonValue) -> str | None:
    """EUDI PID Rulebook, chapter 4: a portrait in an SD-JWT VC; made anew from what it holds."""
    if not isinstance(value, str) or not value.startswith(_DATA):
        return None
    try:
        return _known_image(b64decode(value.partition(",")[2], validate=True))
    except ValueError:
        return None


def _known_image(data: bytes) -> str | None:
    for start, media_type in _IMAGES.items():
        if data.startswith(start):
            return f"data:{media_type};base64,{b64encode(data).decode()}"
    return None


def _fits(pattern: ClaimPath, path: ClaimPath) -> bool:
    return len(pattern) == len(path) and all(
        ours == theirs or (ours is None and isinstance(theirs, int))
        for ours, theirs in zip(pattern, path, strict=True)
    )


def _list_of(place: ClaimPath) -> tuple[ClaimPath, int]:
    """The list that *place* lies in, and at which element; else itself."""
    for at, part in enumerate(place):
        if isinstance(part, int):
            return place[:at], part
    return place, 0


def _has_below(path: ClaimPath, paths: list[ClaimPath]) -> bool:
    return any(len(each) > len(path) and each[: len(path)] == path for each in paths)
