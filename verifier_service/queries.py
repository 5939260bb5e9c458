"""Queries: what a counter may ask and for which purpose, read from queries/*.json.

A new question is a data file, never a class. A file is read into one closed model and refused whole
when anything in it is not understood (V-30). Whether a verifier may ask it says the trust list
(`check_entitled`): a query beyond the registered purpose is not offered (V-31, DESIGN section 4).
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.encoding import JsonValue, parse_json_object
from shared.errors import Forbidden, InvalidInput
from shared.formats.claims_path import ClaimPath, parse_path
from shared.oid4vp import dcql
from shared.oid4vp.transaction_types import TYPES
from shared.trust import Entity, Wanted, entitled

Flow: TypeAlias = Literal["same_device", "cross_device"]
StatusPolicy: TypeAlias = Literal["refuse", "override", "accept"]
"""Where nothing is known about a status: refused; refused until a clerk overrides; accepted."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")]

BUILT_IN = Path(__file__).parent / "queries"
_MAX_FILE = 64 * 1024
_LANGUAGES = 2


class NotEntitled(Forbidden):
    """The trust list does not let this verifier ask that."""

    code = "query_not_entitled"
    public = "The trust list does not entitle this verifier to ask this."
    next_step = "Register the purpose and its claims, or ask for less."


class DataFile(BaseModel):
    """Data files are ours: nothing unknown, nothing converted."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)


class Text(DataFile):
    """What a clerk reads, in one language."""

    title: str
    description: str


class Shown(DataFile):
    """One line of the answer on the counter's screen."""

    credential: str
    path: list[str | int | None]
    label: dict[Language, str]


class _QueryFile(DataFile):
    id: Name
    purpose: Name
    texts: Annotated[dict[Language, Text], Field(min_length=1)]
    dcql: dict[str, object]
    flows: Annotated[list[Flow], Field(min_length=1)]
    lifetime_seconds: Annotated[int, Field(ge=30, le=600)]
    retention_seconds: Annotated[int, Field(ge=30, le=86_400)]
    status_unknown: StatusPolicy
    transaction_data: list[str] = Field(default_factory=list)
    show: list[Shown]


@dataclass(frozen=True, slots=True)
class Query:
    """A question, ready to be asked. `source` is the DCQL object as it goes into requests."""

    id: str
    purpose: str
    texts: Mapping[str, Text]
    source: Mapping[str, JsonValue]
    dcql: dcql.DcqlQuery
    wanted: tuple[Wanted, ...]
    flows: tuple[Flow, ...]
    lifetime: timedelta
    retention: timedelta
    status_unknown: StatusPolicy
    transaction_types: frozenset[str]
    show: tuple[Shown, ...]


def parse_query(data: bytes) -> Query:
    """Read one query file.

    Raises:
        InvalidInput: not JSON, an unknown or malformed member, a DCQL query that breaks a rule, or
            a line to show that the query does not ask for.

    Specification: OpenID4VP 1.0, section 6; PROFILE Q-01 to Q-06, V-30.
    """
    content = parse_json_object(data, max_bytes=_MAX_FILE)
    try:
        file = _QueryFile.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"query file: {place}: {first['msg']}") from error
    query = dcql.parse(file.dcql)
    dcql.check_authored(query)
    if unknown := sorted(set(file.transaction_data).difference(TYPES)):
        raise InvalidInput(f"query file: transaction_data: unknown: {', '.join(unknown)}")
    languages = [len(file.texts), *(len(line.label) for line in file.show)]
    if min(languages) < _LANGUAGES:
        raise InvalidInput("query file: texts and labels are needed in two languages")
    for line in file.show:
        asked = query.credential(line.credential).claims or ()
        if parse_path(line.path) not in {claim.path for claim in asked}:
            raise InvalidInput("query file: show: a claim that is not asked for")
    source = content["dcql"]
    if not isinstance(source, Mapping):  # pragma: no cover  (the model said so)
        raise InvalidInput("query file: dcql is not an object")
    return Query(
        id=file.id,
        purpose=file.purpose,
        texts=file.texts,
        source=source,
        dcql=query,
        wanted=tuple(_wanted(each) for each in query.credentials),
        flows=tuple(file.flows),
        lifetime=timedelta(seconds=file.lifetime_seconds),
        retention=timedelta(seconds=file.retention_seconds),
        status_unknown=file.status_unknown,
        transaction_types=frozenset(file.transaction_data),
        show=tuple(file.show),
    )


def _wanted(query: dcql.CredentialQuery) -> Wanted:
    claims: tuple[ClaimPath, ...] = tuple(claim.path for claim in query.claims or ())
    return Wanted(query.id, query.format, query.types or (), claims)


def ask(query: Query) -> dict[str, JsonValue]:
    """What the trust list has to register so that *query* may be asked (DESIGN 4)."""
    return {
        "purpose": query.purpose,
        "texts": {language: text.description for language, text in query.texts.items()},
        "retention_seconds": int(query.retention.total_seconds()),
        "cross_device": "cross_device" in query.flows,
        "credentials": [
            {"format": each.format, "type": each_type, "claims": [list(p) for p in each.claims]}
            for each in query.wanted
            for each_type in each.types
        ],
    }


def load_queries(directories: Iterable[Path]) -> dict[str, Query]:
    """All queries of these directories by id; everything wrong is reported at once.

    Raises:
        InvalidInput: with a line for each file that was refused, or an id that occurs twice.
    """
    found: dict[str, Query] = {}
    wrong: list[str] = []
    for path in sorted(each for folder in directories for each in folder.glob("*.json")):
        try:
            query = parse_query(path.read_bytes())
        except InvalidInput as error:
            wrong.append(f"{path.name}: {error}")
            continue
        if query.id in found:
            wrong.append(f"{path.name}: the id {query.id} occurs twice")
        found[query.id] = query
    if wrong:
        raise InvalidInput("; ".join(wrong))
    return found


def check_entitled(query: Query, entity: Entity, *, flow: str, now: datetime) -> None:
    """Hold *query* against what the trust list lets *entity* ask.

    The flow `dc_api` binds the answer to the browser, so it is allowed where `same_device` is.

    Raises:
        NotEntitled: another flow, an unregistered purpose, type or claim, or claims kept for
            longer.

    Specification: DESIGN section 4; PROFILE V-30, V-31, V-51.
    """
    if (flow if flow == "cross_device" else "same_device") not in query.flows:
        raise NotEntitled(f"query {query.id}: not in the {flow} flow")
    found = entitled(
        query.wanted,
        entity,
        purpose=query.purpose,
        cross_device=flow == "cross_device",
        now=now,
    )
    if found.ask is None or not found.allowed:
        raise NotEntitled(f"query {query.id}: {', '.join(found.warnings)}")
    if query.retention > timedelta(seconds=found.ask.retention_seconds):
        raise NotEntitled(f"query {query.id}: keeps claims for longer than registered")
