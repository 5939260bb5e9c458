"""A clerk looks one person up: by the register's reference, or by fields that lead to one entry.

There is no list of people, and no search that could be one: what is typed is exact, counted for
each account, and audited under a keyed hash of the person. The reference itself stands in no URL:
pages about a person have a handle, sealed to the session that looked. DESIGN 6; PROFILE S-30.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from shared.crypto.sealing import open_sealed, seal
from shared.encoding import b64url_decode, b64url_encode, dump_json
from shared.errors import ExpectedError, InvalidInput, NotFound, VerificationError
from shared.runtime.errors import refusal
from shared.runtime.languages import choose
from shared.runtime.sign_in import Staff

from . import auditing, wording
from .catalogue import Configuration
from .consents import described
from .context import Issuer, Tenant
from .preview import preview
from .registers import Entry, EntryNotReady, SubjectUnknown

_NAMES = ("given_name", "family_name")
BIRTH = "birth_date"
_ADDRESS = ("street_address", ("postal_code", "locality"), "country")
PROTECTED = "address_protected"


@dataclass(frozen=True, slots=True)
class Document:
    """What may be offered: one set of data in every format that the tenant issues it in.

    Attributes:
        refusal: why this person gets none, to be said in their language; empty if they may.
    """

    dataset: str
    name: str
    language: str
    configurations: tuple[str, ...]
    refusal: str


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a clerk has before them.

    Attributes:
        name: as the register writes it; empty where it has no such fields, or is not finished.
        born: as the register writes it.
        address: for a letter; empty where it is protected.
        finished: False while the register works on the entry.
    """

    reference: str
    handle: str
    name: str
    born: str
    address: tuple[str, ...]
    finished: bool


def find(issuer: Issuer, tenant: Tenant, staff: Staff, typed: Mapping[str, str]) -> str:
    """Look up the one person that *typed* means; returns a handle for pages about them.

    Args:
        issuer: this service.
        tenant: whose register is asked.
        staff: who asks; counted and audited.
        typed: `reference`, or every field of the tenant's `find_by`.

    Raises:
        SubjectUnknown: nobody, or several people.
        TooManyLookups: the account looked up too many people in this hour.
        RegisterUnavailable: the register does not answer.
        InvalidInput: nothing was typed, or too much.
    """
    reference = typed.get("reference", "").strip()
    fields = {name: typed.get(name, "").strip() for name in tenant.file.find_by}
    if not reference and not (fields and all(fields.values())):
        raise InvalidInput("desk: nothing to look for")
    if any(len(each) > 200 for each in (reference, *fields.values())):
        raise InvalidInput("desk: longer than any entry")
    issuer.staff.sessions.count_lookup(staff)
    try:
        if not reference:
            reference = tenant.register.find(fields)
        tenant.register.entry(reference)
    except EntryNotReady:
        pass  # known, but the register has not finished
    except SubjectUnknown:
        sought = reference or "\x00".join(fields.values())
        _record(issuer, tenant, staff, sought, act="person_not_found")
        raise
    _record(issuer, tenant, staff, reference, act="person_looked_up")
    return handle(issuer, tenant, staff, reference)


def _record(issuer: Issuer, tenant: Tenant, staff: Staff, sought: str, *, act: str) -> None:
    person = f"prs_{issuer.secrets.record(tenant.name, 'looked up', sought)}"
    with issuer.database.transaction() as connection:
        auditing.record(issuer, connection, tenant, actor=staff.id, act=act, on=person)


def handle(issuer: Issuer, tenant: Tenant, staff: Staff, reference: str) -> str:
    """A name for the person in URLs of this session; nobody else can read it."""
    sealed = seal(
        issuer.secrets.handles,
        reference.encode(),
        aad=_belongs(tenant, staff),
        random_bytes=issuer.random_bytes,
    )
    return b64url_encode(sealed)


def reference_of(issuer: Issuer, tenant: Tenant, staff: Staff, handle: str) -> str:
    """Whom *handle* means; raises NotFound if it is not one of this session."""
    try:
        sealed = b64url_decode(handle)
        return open_sealed(issuer.secrets.handles, sealed, aad=_belongs(tenant, staff)).decode()
    except (InvalidInput, VerificationError) as error:
        raise NotFound("desk: not a person of this session") from error


def _belongs(tenant: Tenant, staff: Staff) -> bytes:
    return dump_json(["desk", tenant.name, staff.session_id])


def person(tenant: Tenant, reference: str, handle: str) -> Person:
    """Who stands under *reference*; raises SubjectUnknown, RegisterUnavailable."""
    try:
        return _person(tenant.register.entry(reference), handle)
    except EntryNotReady:
        return Person(reference, handle, "", "", (), finished=False)


def _person(entry: Entry, handle: str) -> Person:
    fields = entry.fields
    name = " ".join(fields[each] for each in _NAMES if fields.get(each))
    lines = []
    for each in _ADDRESS if PROTECTED not in entry.marks else ():
        names = (each,) if isinstance(each, str) else each
        lines.append(" ".join(fields[one] for one in names if fields.get(one)))
    address = tuple(each for each in lines if each)
    born = fields.get(BIRTH, "")
    return Person(entry.reference, handle, name, born, address, finished=True)


def documents(
    tenant: Tenant, reference: str, language: str, *, now: datetime
) -> Sequence[Document]:
    """What could be offered to the person under *reference*, each in all its formats.

    Raises:
        SubjectUnknown, RegisterUnavailable: the register gives no entry at all.
    """
    by_dataset: dict[str, list[Configuration]] = {}
    for each in tenant.configurations.values():
        by_dataset.setdefault(each.dataset, []).append(each)
    refusals: dict[str, str] = {}
    try:
        for found in preview(
            tenant.register, tenant.file, tenant.configurations, reference, now=now
        ):
            refusals[found.configuration.id] = _why(found.error) if found.error else ""
    except EntryNotReady as error:  # whoever comes back for it gets it later (I-85)
        for each in tenant.configurations.values():
            refusals[each.id] = "" if each.file.deferral_days else _why(error)
    return [
        Document(
            dataset=name,
            name=shown.name,
            language=shown.language,
            configurations=tuple(each.id for each in kinds),
            refusal=next((refusals[each.id] for each in kinds if refusals[each.id]), ""),
        )
        for name, kinds in by_dataset.items()
        for shown in described(tenant, [kinds[0].id], language)
    ]


def _why(error: ExpectedError) -> str:
    return wording.REFUSED.get(refusal(error).code, wording.OTHERWISE_REFUSED)


def names(tenant: Tenant, configurations: Sequence[str], language: str) -> str:
    """What *configurations* are called, each set of data once."""
    known = [each for each in configurations if each in tenant.configurations]
    found = [each.name for each in described(tenant, known, language)]
    return ", ".join(dict.fromkeys(found)) or ", ".join(configurations)


def labels(tenant: Tenant, language: str) -> list[tuple[str, str]]:
    """The fields by which people are found without their reference, as they are called."""
    return [(name, choose(texts, language)) for name, texts in tenant.file.find_by.items()]
