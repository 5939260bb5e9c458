"""What a person is told before they agree, and whether it could be issued to them at all.

Names and descriptions are the types' own, in the reader's language; no value of a claim is shown or
kept. OpenID4VCI 1.0, sections 12.2.4 and 15.1; PROFILE I-47.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from shared.errors import ExpectedError
from shared.formats.claims_path import ClaimPath
from shared.runtime.languages import choose, mark, spoken

from .authorizations import AnotherPerson, AuthorizationRequest
from .catalogue import Configuration
from .claims import SubjectRefused
from .context import Issuer, Tenant
from .datasets import ClaimsNotFitting, dataset
from .registers import EntryNotReady, SubjectUnknown


class NotInRegister(ExpectedError):
    """The account is good, but leads to no entry of the register, or to several."""

    status = 403
    code = "not_in_register"
    public = mark("The register does not know you by this account.")
    next_step = mark("Ask the agency to connect your account with its register.")


class NotIssuable(ExpectedError):
    """The register says that this person cannot have what the wallet asks for."""

    status = 409
    code = "not_issuable"
    public = mark("The register does not allow this document to be issued to you.")
    next_step = mark("Ask the agency what is missing, or go back to the wallet.")


STOPS = (AnotherPerson, NotIssuable)
"""Why a person who signed in is not asked for consent."""


@dataclass(frozen=True, slots=True)
class Described:
    """One credential for people, in *language*: the reader's if the type knows it."""

    language: str
    name: str
    description: str
    claims: Sequence[str]
    later: bool


def described(
    tenant: Tenant,
    configurations: Iterable[str],
    language: str,
    *,
    later: Collection[str] = (),
) -> list[Described]:
    """The *configurations* in *language*; those in *later* are not ready yet."""
    return [
        _described(tenant.configurations[each], language, each in later) for each in configurations
    ]


def _described(configuration: Configuration, language: str, later: bool) -> Described:  # noqa: FBT001
    kind = configuration.type
    names = {each.locale.partition("-")[0]: each.name for each in kind.display or ()}
    texts = {each.locale.partition("-")[0]: each.description or "" for each in kind.display or ()}
    labels: dict[ClaimPath, str] = {}
    for claim in kind.claims:
        shown = {each.locale.partition("-")[0]: each.label for each in claim.display}
        if len(claim.path) == 1 and shown:
            labels[tuple(claim.path)] = choose(shown, language)
    return Described(
        language=spoken(names, language),
        name=choose(names, language) or kind.name or configuration.id,
        description=choose(texts, language) or kind.description or "",
        claims=list(labels.values()),
        later=later,
    )


def person(tenant: Tenant, fields: Mapping[str, str]) -> str:
    """The register's reference of the only person with these *fields*.

    Raises:
        NotInRegister: there is none, or there are several.
        RegisterUnavailable: the register does not answer.
    """
    try:
        return tenant.register.find(fields)
    except SubjectUnknown as error:
        raise NotInRegister("login: no one entry for this account") from error


def not_ready(issuer: Issuer, request: AuthorizationRequest, subject: str) -> set[str]:
    """Which configurations of *request* the register has not finished for *subject*.

    Raises:
        AnotherPerson: the offer behind the request is for somebody else.
        NotIssuable: one of them will never be issued to this person as the register stands.
        RegisterUnavailable: the register does not answer.
    """
    tenant = request.tenant
    if request.offer_id is not None:  # the agency checked its own offer, which may bring claims
        if request.bound_subject != issuer.secrets.person(tenant.name, subject):
            raise AnotherPerson("consent: the offer is for another person")
        return set()
    found = set()
    for each in request.configurations:
        configuration = tenant.configurations[each]
        try:
            dataset(tenant, configuration, subject=subject, given={}, now=issuer.clock())
        except EntryNotReady:
            found.add(each)
        except (SubjectUnknown, SubjectRefused, ClaimsNotFitting) as error:
            raise NotIssuable(f"consent: {error}") from error
    return found
