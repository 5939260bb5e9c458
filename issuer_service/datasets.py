"""The claims of one credential: from the caller or the register, held against the Type Metadata.

What is offered is checked when it is offered and again when it is issued, since the register may
have changed meanwhile (F-TM-08). An entry that is missing, a mark that forbids, a claim that is
missing and a register that does not answer are four different answers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import orjson

from shared.encoding import JsonValue
from shared.errors import InvalidInput
from shared.formats import credential
from shared.formats.claims_path import select

from .catalogue import Configuration
from .claims import Reading
from .context import Tenant
from .registers import Entry, RegisterLater, RegisterUnavailable


class ClaimsNotFitting(InvalidInput):
    """The claims are not what the type's metadata demands."""

    code = "claims_not_fitting"
    status = 422
    next_step = "Compare the claims with the type's metadata."

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.public = message


class SubjectMissing(InvalidInput):
    """Neither a reference nor claims for an offered configuration."""

    code = "subject_missing"
    public = "Give a subject, or the claims of every offered configuration."


@dataclass(frozen=True, slots=True)
class Dataset:
    """Claims that fit their type.

    Attributes:
        source: the data they were made of, whatever the format; only ever stored as a keyed hash.
    """

    claims: Mapping[str, JsonValue]
    version: str | None
    refresh_after: datetime | None
    source: bytes


def dataset(
    tenant: Tenant,
    configuration: Configuration,
    *,
    subject: str | None,
    given: Mapping[str, Mapping[str, JsonValue]],
    now: datetime,
) -> Dataset:
    """The claims for *configuration*; those *given* by the caller come before the register's.

    Args:
        tenant: whose register is asked.
        configuration: the type and its rules.
        subject: the register's reference of a person.
        given: by configuration id.
        now: decides which ages are reached.

    Raises:
        SubjectMissing, SubjectUnknown, SubjectRefused, ClaimsNotFitting: there are no such claims.
        EntryNotReady: the register has not finished the entry; ask again later.
        RegisterLater: the register does not answer, and the type may be fetched later.
        RegisterUnavailable: the register does not answer; ask again later.

    Specification: SD-JWT VC, sections 9.3 and 9.4; PROFILE F-TM-08.
    """
    claims = given.get(configuration.id)
    if claims is not None:
        found = Reading(claims, None, None)
        source = orjson.dumps(given, option=orjson.OPT_SORT_KEYS)
    elif subject is None:
        raise SubjectMissing("dataset: neither subject nor claims")
    else:
        entry = _entry(tenant, configuration, subject)
        return from_entry(entry, configuration, constants=tenant.constants, now=now)
    return _fitting(configuration, found, source)


def from_entry(
    entry: Entry, configuration: Configuration, *, constants: Mapping[str, str], now: datetime
) -> Dataset:
    """The claims that *configuration* makes of a register's *entry*.

    Raises:
        SubjectRefused, ClaimsNotFitting: it makes none.
    """
    found = configuration.reader.read(entry, constants=constants, now=now)
    source = orjson.dumps(
        [entry.reference, entry.version, sorted(entry.marks), entry.fields],
        option=orjson.OPT_SORT_KEYS,
    )
    return _fitting(configuration, found, source)


def _entry(tenant: Tenant, configuration: Configuration, subject: str) -> Entry:
    try:
        return tenant.register.entry(subject)
    except RegisterUnavailable as error:
        if configuration.file.register_down == "defer":
            raise RegisterLater("register: down, and the type may come later") from error
        raise


def _fitting(configuration: Configuration, found: Reading, source: bytes) -> Dataset:
    try:
        credential.check_claims(
            configuration.file.format, found.claims, metadata=configuration.type
        )
    except InvalidInput as error:
        raise ClaimsNotFitting(_why(configuration, found.claims)) from error
    return Dataset(found.claims, found.version, found.refresh_after, source)


def _why(configuration: Configuration, claims: Mapping[str, JsonValue]) -> str:
    """Which claim is missing: names of claims are the type's, not a person's."""
    for rule in configuration.type.claims:
        if rule.mandatory:
            try:
                select(dict(claims), rule.path)
            except InvalidInput:
                return f"A mandatory claim is missing: {'.'.join(map(str, rule.path))}."
    return "The claims have not the shape of the type."
