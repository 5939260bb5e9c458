"""What all pages of the issuer's desk have in common: who works there, where they may go."""

from typing import Any

from starlette.responses import Response

from shared.errors import ExpectedError
from shared.runtime.errors import refusal
from shared.runtime.languages import choose, mark
from shared.runtime.pages import Pages
from shared.runtime.routes import Call
from shared.runtime.sign_in import Staff, home
from shared.runtime.staff_pages import Place, staff_page

from ..context import Issuer, Tenant

READ, OFFERS, STATUS, AUDITOR = "read", "offers", "status", "auditor"
ROLES = (OFFERS, STATUS, READ, AUDITOR)
"""What staff may do: as the agency's software (routes/agency.py), and read the audit trail."""


def at_desk(call: Call, issuer: Issuer, role: str) -> tuple[Tenant, Staff]:
    """The tenant of the path and who is signed in there; raises SignInFirst, NotYourTask."""
    staff = issuer.staff.sessions.signed_in(call, role=role)
    return issuer.tenant(staff.tenant), staff


def language(call: Call) -> str:
    """Of the reader."""
    pages: Pages = call.scope["pages"]
    return pages.language(call.scope)


def say(call: Call, text: str) -> str:
    """*text*, one of ours, in the reader's language."""
    pages: Pages = call.scope["pages"]
    return pages.text(call.scope, text)


def shown(
    call: Call,
    tenant: Tenant,
    staff: Staff,
    template: str,
    *,
    here: str,
    refused: ExpectedError | None = None,
    **values: Any,
) -> Response:
    """A page of the desk; of *refused* it says what and what to do, unless *values* say it."""
    start = home(staff.tenant)
    places = []
    if READ in staff.roles:
        places += [
            Place("people", start, say(call, mark("Find a person"))),
            Place("offers", f"{start}/offers", say(call, mark("Offers"))),
        ]
    if AUDITOR in staff.roles:
        places.append(Place("audit", f"{start}/audit", say(call, mark("Audit trail"))))
    said = {
        "problem": say(call, refused.public) if refused else "",
        "problem_step": say(call, refusal(refused).next_step) if refused else "",
        "status": refusal(refused).status if refused else 200,
    }
    return staff_page(
        call,
        staff,
        template,
        agency=choose(tenant.file.names, language(call)),
        places=places,
        here=here,
        **{**said, **values},
    )
