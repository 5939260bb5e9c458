"""A register of invented citizens: the same seed gives the same people, on every machine.

The first thirteen (`AV-000001` and so on) are chosen, the documents and tests name them; the others
are drawn. What real registers hold and systems forget is in it on purpose: five scripts, people
with one name, birth dates of which only the year or the month is known, 29 February, a dead person,
protected addresses, unknown nationality.
"""

import csv
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TypedDict, TypeVar

COLUMNS = (
    "reference",
    "version",
    "marks",
    "family_name",
    "given_name",
    "birth_family_name",
    "birth_given_name",
    "birth_date",
    "birth_country",
    "birth_locality",
    "nationalities",
    "sex",
    "street_address",
    "house_number",
    "postal_code",
    "locality",
    "region",
    "country",
    "resident_since",
    "email",
    "phone_number",
    "document_number",
    "document_issued",
    "document_expires",
    "portrait",
    "licence_number",
    "licence_issued",
    "licence_expires",
    "driving_privileges",
    "disability_number",
    "disability_issued",
    "disability_expires",
    "disability_accompanied",
    "disability_degree",
    "student_institution",
    "student_number",
    "student_issued",
    "student_expires",
)
MINIMUM = 1_000


T = TypeVar("T")


class _Script(TypedDict):
    weight: int
    country: str
    street: str
    streets: list[str]
    kinds: list[str]
    given: list[str]
    family: list[str]


class _Names(TypedDict):
    chosen: list[dict[str, str]]
    scripts: list[_Script]
    one_name: list[str]
    towns: list[tuple[str, str, str]]
    countries: list[str]
    portraits: list[str]
    institutions: list[str]


class _Draw:
    """Numbers from SHA-256 over a seed and a counter: the same everywhere, secret from nobody."""

    def __init__(self, seed: int) -> None:
        self._seed, self._counter = seed, 0

    def below(self, limit: int) -> int:
        self._counter += 1
        digest = hashlib.sha256(f"{self._seed}/{self._counter}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def one(self, items: Sequence[T]) -> T:
        return items[self.below(len(items))]


def _names() -> _Names:
    names: _Names = json.loads(
        Path(__file__).with_name("sample_names.json").read_text(encoding="utf-8")
    )
    return names


def _person(draw: _Draw, names: _Names, number: int) -> dict[str, str]:
    by_weight = [script for script in names["scripts"] for _ in range(script["weight"])]
    script = draw.one(by_weight)
    town, region, postal_code = draw.one(names["towns"])
    house = str(draw.below(180) + 1)
    street = script["street"].format(
        name=draw.one(script["streets"]), kind=draw.one(script["kinds"])
    )
    year, month, day = 1930 + draw.below(85), draw.below(12) + 1, draw.below(28) + 1
    issued = 2020 + draw.below(6)
    person = dict.fromkeys(COLUMNS, "") | {
        "reference": f"AV-{number:06d}",
        "version": "1",
        "marks": "",
        "family_name": draw.one(script["family"]),
        "given_name": draw.one(script["given"]),
        "birth_family_name": draw.one(script["family"]) if draw.below(4) == 0 else "",
        "birth_given_name": "",
        "birth_date": f"{year:04d}-{month:02d}-{day:02d}",
        "birth_country": draw.one(names["countries"]),
        "birth_locality": draw.one(names["towns"])[0],
        "nationalities": "AV" if draw.below(5) else f"AV {draw.one(names['countries'][6:])}",
        "sex": str(draw.one((0, 1, 1, 1, 2, 2, 2, 3, 5))),
        "street_address": f"{street.strip()} {house}",
        "house_number": house,
        "postal_code": postal_code,
        "locality": town,
        "region": region,
        "country": "AV",
        "resident_since": f"{2000 + draw.below(25)}-{draw.below(12) + 1:02d}-01",
        "email": f"citizen{number}@example.org" if draw.below(3) else "",
        "phone_number": f"+99955{number:06d}" if draw.below(3) else "",
        "document_number": f"A{draw.below(10**8):08d}",
        "document_issued": f"{issued}-{month:02d}-{day:02d}",
        "document_expires": f"{issued + 10}-{month:02d}-{day:02d}",
        "portrait": names["portraits"][number % len(names["portraits"])],
        **_licence(number, issued, f"{month:02d}-{day:02d}"),
        **_disability(number, issued, f"{month:02d}-{day:02d}"),
        **_studies(number, issued, names["institutions"]),
    }
    oddity = draw.below(100)
    if oddity < 2:
        person |= {"family_name": draw.one(names["one_name"]), "given_name": ""}
    elif oddity == 2:
        person["birth_date"] = f"{year:04d}"
    elif oddity == 3:
        person["birth_date"] = f"{year:04d}-{month:02d}"
    elif oddity == 4:
        person["birth_date"] = f"{1932 + 4 * draw.below(20)}-02-29"
    elif oddity == 5:
        person["marks"] = "deceased"
    elif oddity == 6:
        person["marks"] = "address_protected"
    return person


def _licence(number: int, year: int, day: str) -> dict[str, str]:
    """Four of five drive; every third of them a lorry, too."""
    if number % 5 == 0:
        return {}
    issued, expires = f"{year}-{day}", f"{year + 15}-{day}"
    privileges = [
        {"vehicle_category_code": code, "issue_date": issued, "expiry_date": expires}
        for code in (("AM", "B", "C") if number % 3 == 0 else ("AM", "B"))
    ]
    return {
        "licence_number": f"L{number:08d}",
        "licence_issued": issued,
        "licence_expires": expires,
        "driving_privileges": json.dumps(privileges, separators=(",", ":")),
    }


def _disability(number: int, year: int, day: str) -> dict[str, str]:
    """One of seven holds a disability card; every other of them is accompanied."""
    if number % 7 != 1:
        return {}
    return {
        "disability_number": f"D{number:08d}",
        "disability_issued": f"{year}-{day}",
        "disability_expires": f"{year + 10}-{day}",
        "disability_accompanied": "true" if number % 2 else "false",
        "disability_degree": str(50 + number % 6 * 10),
    }


def _studies(number: int, year: int, institutions: Sequence[str]) -> dict[str, str]:
    """One of five is enrolled."""
    if number % 5 != 1:
        return {}
    return {
        "student_institution": institutions[number // 5 % len(institutions)],
        "student_number": f"S{number:07d}",
        "student_issued": f"{year}-10-01",
        "student_expires": f"{year + 7}-09-30",
    }


def generate(*, seed: int, count: int) -> Iterator[dict[str, str]]:
    """*count* invented people (at least 1,000), each a row with the `COLUMNS`."""
    draw, names = _Draw(seed), _names()
    for number in range(1, max(count, MINIMUM) + 1):
        person = _person(draw, names, number)
        if number <= len(names["chosen"]):
            person |= {"marks": "", "birth_family_name": "", **names["chosen"][number - 1]}
        yield person


def write_csv(path: Path, people: Iterable[Mapping[str, str]]) -> int:
    """Write *people* as CSV with a header line; returns how many."""
    count = 0
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for person in people:
            writer.writerow(person)
            count += 1
    return count


def load_csv(path: Path, database: Path) -> int:
    """Replace the table `people` of the SQLite file *database* by the rows of *path*.

    All or nothing: who reads meanwhile sees the old rows or the new ones. Returns how many.
    """
    with (
        path.open(encoding="utf-8", newline="") as file,
        closing(sqlite3.connect(database, isolation_level=None)) as connection,
    ):
        rows = [tuple(row[column] or "" for column in COLUMNS) for row in csv.DictReader(file)]
        columns = ", ".join(f"{column} TEXT NOT NULL" for column in COLUMNS)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DROP TABLE IF EXISTS people")
        connection.execute(f"CREATE TABLE people ({columns}, PRIMARY KEY (reference))")
        marks = ", ".join("?" for _ in COLUMNS)
        connection.executemany(f"INSERT INTO people VALUES ({marks})", rows)  # noqa: S608 - our own marks
        connection.execute("COMMIT")
    return len(rows)
