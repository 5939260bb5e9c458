"""The desk's first pages: find one person, see what they hold, make them an offer."""

from typing import Any

from starlette.responses import Response

from shared.encoding import b64url_encode
from shared.errors import ExpectedError, InvalidInput
from shared.runtime.languages import mark
from shared.runtime.moments import moment
from shared.runtime.pages import redirect
from shared.runtime.routes import Call, PageRouter, page_router
from shared.runtime.sign_in import TooManyLookups, home

from .. import looking_up, offering, offers, revoking, wording
from ..claims import SubjectRefused
from ..context import Issuer, Tenant
from ..datasets import ClaimsNotFitting
from ..offering import NewOffer
from ..registers import EntryNotReady, RegisterUnavailable, SubjectUnknown
from .staff import AUDITOR, OFFERS, READ, at_desk, language, say, shown

router: PageRouter[Issuer] = page_router()
_HERE = "/staff/{tenant}"
_SHOWN = 20
LIFETIMES = (
    ("300", mark("5 minutes")),
    ("3600", mark("1 hour")),
    ("604800", mark("7 days")),
    ("2592000", mark("30 days")),
)


class NobodyFound(ExpectedError):
    """Nobody, or several people: a clerk is told no more than that."""

    status = 404
    code = "nobody_found"
    public = mark("Nobody was found, or more than one person.")
    next_step = mark("Compare what you typed with the person's papers.")


class NothingTyped(InvalidInput):
    """An empty form, or one that no entry can fit."""

    public = mark("Type the number, or fill in all fields below it.")
    next_step = mark("Then search again.")


class NothingChosen(InvalidInput):
    """No document, or one that this person cannot have."""

    public = mark("Choose at least one document that this person can have.")
    next_step = mark("Then make the offer again.")


class NotOffered(ExpectedError):
    """The register's entry allows it no more since the page was shown."""

    status = 409
    code = "not_issuable"
    public = mark("The register does not allow this document to be issued to this person.")
    next_step = mark("Look at the list again: it says what is missing.")


def lifetimes(call: Call, issuer: Issuer) -> list[tuple[str, str]]:
    """How long an offer may live, in words; never longer than the installation allows."""
    longest = issuer.settings.offer_seconds_max
    return [(value, say(call, text)) for value, text in LIFETIMES if int(value) <= longest]


def lifetime(issuer: Issuer, form: dict[str, str]) -> int | None:
    """What was chosen of `lifetimes`."""
    chosen = form.get("expires", "")
    known = {value for value, _ in LIFETIMES}
    return int(chosen) if chosen in known else issuer.settings.offer_seconds


@router.get(_HERE)
def begin(call: Call, issuer: Issuer) -> Response:
    """Where staff begin: a person's number; auditors at the trail."""
    staff = issuer.staff.sessions.signed_in(call)
    if READ not in staff.roles and AUDITOR in staff.roles:
        return redirect(f"{home(staff.tenant)}/audit")
    at_desk(call, issuer, READ)
    return _begin(call, issuer)


def _begin(call: Call, issuer: Issuer, refused: ExpectedError | None = None) -> Response:
    tenant, staff = at_desk(call, issuer, READ)
    return shown(
        call,
        tenant,
        staff,
        "desk-find.html",
        here="people",
        refused=refused,
        register=tenant.file.register_ is not None,
        fields=looking_up.labels(tenant, language(call)),
        dates={looking_up.BIRTH},
    )


@router.post(_HERE + "/people")
def find(call: Call, issuer: Issuer) -> Response:
    """Look one person up; what was typed stands in no URL."""
    tenant, staff = at_desk(call, issuer, READ)
    form = issuer.staff.sessions.form(call, staff)
    try:
        handle = looking_up.find(issuer, tenant, staff, form)
    except SubjectUnknown as error:
        return _begin(call, issuer, NobodyFound(str(error)))
    except InvalidInput as error:
        return _begin(call, issuer, NothingTyped(str(error)))
    except (RegisterUnavailable, TooManyLookups) as error:
        return _begin(call, issuer, error)
    return redirect(f"{home(tenant.name)}/people/{handle}")


@router.get(_HERE + "/people")
def search_again(call: Call, issuer: Issuer) -> Response:
    """Where a browser comes by a link of the page after a form, such as another language."""
    at_desk(call, issuer, READ)
    return redirect(home(call.path["tenant"]))


@router.get(_HERE + "/people/{handle}")
def person(call: Call, issuer: Issuer) -> Response:
    """One person: who it is, what they hold, what is offered to them, what could be."""
    return _person(call, issuer)


def _person(call: Call, issuer: Issuer, refused: ExpectedError | None = None) -> Response:
    tenant, staff = at_desk(call, issuer, READ)
    handle, tag, now = call.path["handle"], language(call), issuer.clock()
    reference = looking_up.reference_of(issuer, tenant, staff, handle)
    held = revoking.page(issuer, tenant, subject=reference, limit=_SHOWN, after=None)
    offered = offers.page(issuer, tenant, limit=_SHOWN, after=None, subject=reference)
    may_offer = OFFERS in staff.roles
    found = looking_up.person(tenant, reference, handle)
    return shown(
        call,
        tenant,
        staff,
        "desk-person.html",
        here="people",
        refused=refused,
        person=found,
        born=wording.day(found.born, tag),
        documents=looking_up.documents(tenant, reference, tag, now=now) if may_offer else [],
        may_offer=may_offer,
        lifetimes=lifetimes(call, issuer),
        once=b64url_encode(issuer.random_bytes(16)),
        credentials=[_credential(call, tenant, issuer, each) for each in held.issuances],
        offers=[offer_row(call, tenant, each) for each in offered.offers],
    )


def _credential(
    call: Call, tenant: Tenant, issuer: Issuer, found: revoking.IssuanceView
) -> dict[str, str]:
    state = wording.standing(found, issuer.clock())
    return {
        "id": found.issuance_id,
        "name": looking_up.names(tenant, found.credentials, language(call)),
        "state": say(call, wording.CREDENTIAL_STATES[state]),
        "look": wording.CREDENTIAL_LOOKS[state],
        "at": moment(found.issued_at, language(call)),
    }


def offer_row(call: Call, tenant: Tenant, found: offers.OfferView) -> dict[str, str]:
    """One offer in a list; nothing of it says whom it is for."""
    return {
        "id": found.offer_id,
        "name": looking_up.names(tenant, found.credentials, language(call)),
        "state": say(call, wording.OFFER_STATES[found.state]),
        "look": wording.OFFER_LOOKS[found.state],
        "at": moment(found.created_at, language(call)),
    }


@router.get(_HERE + "/people/{handle}/offers")
def person_again(call: Call, issuer: Issuer) -> Response:
    """As `search_again`."""
    at_desk(call, issuer, READ)
    return redirect(f"{home(call.path['tenant'])}/people/{call.path['handle']}")


@router.post(_HERE + "/people/{handle}/offers")
def offer(call: Call, issuer: Issuer) -> Response:
    """Make an offer; the same form sent twice makes one."""
    tenant, staff = at_desk(call, issuer, OFFERS)
    form = issuer.staff.sessions.form(call, staff)
    reference = looking_up.reference_of(issuer, tenant, staff, call.path["handle"])
    wanted = {name.removeprefix("give-") for name in form if name.startswith("give-")}
    chosen = tuple(each.id for each in tenant.configurations.values() if each.dataset in wanted)
    if not chosen:
        return _person(call, issuer, NothingChosen("desk: nothing chosen"))
    asked: dict[str, Any] = {"expires_in": lifetime(issuer, form)}
    new = NewOffer(credentials=chosen, subject=reference, **asked)
    try:
        made = offering.create(issuer, tenant, staff.caller, new, key=form.get("once"))
    except (SubjectRefused, ClaimsNotFitting, EntryNotReady) as error:
        return _person(call, issuer, NotOffered(str(error)))
    except RegisterUnavailable as error:
        return _person(call, issuer, error)
    return redirect(f"{home(tenant.name)}/offers/{made.offer_id}")
