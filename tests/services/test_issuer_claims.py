"""From the sample register to claims: people that systems forget (no database of the service)."""

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from issuer_service.catalogue import BUILT_IN, read_catalogue
from issuer_service.claims import Reading, SubjectRefused, latest_birth
from issuer_service.registers import Entry, NoRegister, SubjectUnknown
from issuer_service.sample_register import COLUMNS, generate, load_csv, write_csv
from issuer_service.sql_register import SqlRegister
from shared.errors import InvalidInput, Unavailable
from tests.support.clock import NOW
from tests.support.issuer import sample_register

CONSTANTS = {"tenant.name": "Civil Registry of Avelonia", "tenant.country": "AV"}
PID = read_catalogue([BUILT_IN])["pid_sd_jwt"]
RESIDENCE = read_catalogue([BUILT_IN])["residence_sd_jwt"]


@pytest.fixture(scope="module")
def register(tmp_path_factory: pytest.TempPathFactory) -> SqlRegister:
    database = sample_register(tmp_path_factory.mktemp("register"))
    return SqlRegister(f"sqlite:///{database}", table_name="people")


def pid(entry: Entry, now: datetime = NOW) -> Reading:
    return PID.reader.read(entry, constants=CONSTANTS, now=now)


def born(text: str, now: datetime = NOW) -> Reading:
    fields = {"family_name": "A", "given_name": "B", "birth_date": text}
    return pid(Entry("x", fields, frozenset(), "1"), now)


def test_the_same_seed_gives_the_same_people() -> None:
    """Issue 1, item 5: a seeded generator of at least 1,000 invented citizens."""
    people = list(generate(seed=7, count=10))
    assert people == list(generate(seed=7, count=10))
    assert people != list(generate(seed=8, count=10))
    assert len(people) == 1_000
    assert len({each["reference"] for each in people}) == 1_000
    assert all(tuple(each) == COLUMNS for each in people)


def test_the_people_are_as_various_as_real_ones() -> None:
    """Issue 1, item 5: several scripts, one-name people, partial dates, 29 February, dead,
    protected."""
    people = list(generate(seed=7, count=1_200))
    names = "".join(each["family_name"] + each["given_name"] for each in people)
    for script in ("ë", "π", "ук", "ل", "長", "김"):
        assert script in names
    assert sum(not each["given_name"] for each in people) > 5
    assert {len(each["birth_date"]) for each in people} == {4, 7, 10}
    assert sum(each["birth_date"].endswith("-02-29") for each in people) > 3
    marks = [each["marks"] for each in people]
    assert marks.count("deceased") > 3
    assert marks.count("address_protected") > 3


def test_a_csv_file_becomes_the_register_at_once(tmp_path: Path) -> None:
    """Loading replaces everything: who is no longer in the file is unknown."""
    csv, database = tmp_path / "people.csv", tmp_path / "people.sqlite"
    people = list(generate(seed=7, count=1_000))
    write_csv(csv, people)
    assert load_csv(csv, database) == 1_000
    write_csv(csv, people[1:])
    assert load_csv(csv, database) == 999
    register = SqlRegister(f"sqlite:///{database}", table_name="people")
    with pytest.raises(SubjectUnknown):
        register.entry("AV-000001")
    assert register.entry("AV-000002").fields["given_name"] == "Tomás"


def test_a_silent_register_is_not_an_unknown_person(tmp_path: Path) -> None:
    """Issue 1, "What bad input gets": said as such, never merged."""
    register = SqlRegister(f"sqlite:///{tmp_path / 'nothing.sqlite'}", table_name="people")
    with pytest.raises(Unavailable):
        register.entry("AV-000001")
    with pytest.raises(Unavailable):
        register.check()
    with pytest.raises(SubjectUnknown):
        NoRegister().entry("AV-000001")


@pytest.mark.parametrize(
    ("reference", "family", "given"),
    [
        ("AV-000001", "Müller-Ångström", "Zoë"),
        ("AV-000003", "Anandi", ""),
        ("AV-000009", "Παπαδοπούλου", "Ελένη"),
        ("AV-000010", "Їжакевич", "Юрій"),
        ("AV-000011", "الأندلسي", "ليلى"),
        ("AV-000012", "長谷川", "翔太"),
    ],
)
def test_names_are_carried_as_they_are_written(
    register: SqlRegister, reference: str, family: str, given: str
) -> None:
    """PID rulebook 4.1: the full Unicode range; who has one name has an empty given name."""
    claims = pid(register.entry(reference)).claims
    assert (claims["family_name"], claims["given_name"]) == (family, given)


def test_the_claims_are_those_of_the_rulebook(register: SqlRegister) -> None:
    """PID rulebook, chapter 4: names and types of claims; E-06."""
    claims = pid(register.entry("AV-000001")).claims
    assert claims["birthdate"] == "1990-05-23"
    assert claims["place_of_birth"] == {"country": "AV", "locality": "Port Avelon"}
    assert isinstance(claims["nationalities"], list)
    assert claims["sex"] in {0, 1, 2, 3, 5}
    address = claims["address"]
    assert isinstance(address, dict)
    assert set(address) == {
        "formatted", "street_address", "house_number", "postal_code", "locality", "region",
        "country",
    }  # fmt: skip
    assert claims["personal_administrative_number"] == "AV-000001"
    assert str(claims["picture"]).startswith("data:image/jpeg;base64,/9j/")
    mandatory = {
        str(rule.path[0]) for rule in PID.type.claims if rule.mandatory and len(rule.path) == 1
    }
    assert mandatory <= set(claims)


def test_who_has_no_card_is_told_so_by_no_claims(register: SqlRegister) -> None:
    """Disability and student cards: what the register has, and not one claim for who has none."""
    catalogue = read_catalogue([BUILT_IN])
    for name, own in (
        ("disability_sd_jwt", {"document_number", "date_of_expiry", "accompanied", "degree"}),
        ("student_sd_jwt", {"institution", "student_number", "date_of_expiry"}),
    ):
        read = catalogue[name].reader.read
        has, lacks = (
            set(read(register.entry(each), constants={}, now=NOW).claims)
            for each in ("AV-000001", "AV-000002")
        )
        assert has >= own
        assert not lacks & own
        assert own - {"degree", "student_number"} <= {
            rule.path[0] for rule in catalogue[name].type.claims if rule.mandatory
        }


def test_a_nationality_may_be_unknown(register: SqlRegister) -> None:
    """PID rulebook 2.2: value QU."""
    assert pid(register.entry("AV-000013")).claims["nationalities"] == ["QU"]


@pytest.mark.parametrize(
    ("text", "claim"), [("1961", "1961"), ("1958-07", "1958"), ("1990-05-23", "1990-05-23")]
)
def test_what_is_unknown_of_a_birth_date_is_left_out(text: str, claim: str) -> None:
    """OpenID Connect Core 5.1: a full date, or the year alone."""
    assert born(text).claims["birthdate"] == claim


@pytest.mark.parametrize(
    ("text", "today", "reached"),
    [
        ("2008-06-15", "2026-06-14", False),
        ("2008-06-15", "2026-06-15", True),
        ("2008-02-29", "2026-02-28", False),
        ("2008-02-29", "2026-03-01", True),
        ("2008-06", "2026-06-29", False),
        ("2008-06", "2026-06-30", True),
        ("2008", "2026-12-30", False),
        ("2008", "2026-12-31", True),
    ],
)
def test_an_age_is_reached_when_it_is_certain(text: str, today: str, reached: bool) -> None:
    """DESIGN 6.6: on the birthday; on 1 March for 29 February; on the last day a partial date can
    mean."""
    now = datetime.combine(date.fromisoformat(today), datetime.min.time(), UTC)
    ages = born(text, now).claims["age_equal_or_over"]
    assert isinstance(ages, dict)
    assert ages["18"] is reached


def test_the_next_birthday_that_matters_makes_a_credential_stale() -> None:
    """DESIGN, "Decided": refresh_after; none when no limit is left."""
    assert born("2010-05-23").refresh_after == datetime(2028, 5, 23, tzinfo=UTC)
    assert born("1931-05-23").refresh_after is None


@pytest.mark.parametrize("text", ["1990-13-01", "1990-02-30", "90", "1990-5-1", "", "soon"])
def test_an_unreadable_date_is_an_error_not_a_guess(text: str) -> None:
    with pytest.raises(InvalidInput):
        latest_birth(text)


def test_nothing_is_issued_for_the_dead(register: SqlRegister) -> None:
    """Issue 1, item 5: refused, with the reason."""
    for configuration in (PID, RESIDENCE):
        with pytest.raises(SubjectRefused, match="deceased"):
            configuration.reader.read(register.entry("AV-000007"), constants=CONSTANTS, now=NOW)


def test_a_protected_address_never_leaves_the_register(register: SqlRegister) -> None:
    """Issue 1, item 5: withheld from the PID, refused as proof of residence."""
    entry = register.entry("AV-000008")
    assert "address" not in pid(entry).claims
    with pytest.raises(SubjectRefused, match="address_protected"):
        RESIDENCE.reader.read(entry, constants=CONSTANTS, now=NOW)


def test_every_person_gets_a_pid_or_a_reason(register: SqlRegister) -> None:
    """F-TM-08: over the whole register, the rules of the type are kept."""
    for person in generate(seed=7, count=1_000):
        entry = register.entry(person["reference"])
        if "deceased" in entry.marks:
            continue
        claims = pid(entry).claims
        concealed = PID.type.conceal(claims)
        assert concealed == PID.type.conceal(claims)
