"""An offer at the desk: its QR code, its letters, its state, renewed or withdrawn.

The code that the citizen types never stands on the page with the QR code: it has a page and a
letter of its own, and each time that one is shown is recorded.
"""

from collections.abc import Mapping

from starlette.responses import Response

from shared.encoding import JsonValue, b64url_encode
from shared.errors import Conflict, NotFound
from shared.runtime.languages import choose, mark
from shared.runtime.moments import moment
from shared.runtime.pages import Pages, redirect
from shared.runtime.routes import Call, PageRouter, page_router
from shared.runtime.sign_in import Staff, home

from .. import auditing, letters, looking_up, offering, offers
from ..context import Issuer, Tenant
from ..offering import Renewal
from ..offers import OfferEnded, OfferView
from ..registers import RegisterUnavailable, SubjectUnknown
from .agency import offer_svg
from .people import lifetime, lifetimes, offer_row
from .staff import OFFERS, READ, at_desk, language, shown

router: PageRouter[Issuer] = page_router()
_HERE = "/staff/{tenant}/offers"
_ONE = _HERE + "/{offer_id}"
_PAGE = 25


class NotOpen(NotFound):
    """There is no code or letter of an offer that cannot be collected."""

    public = mark("This offer cannot be collected any more.")
    next_step = mark("Renew it, or make a new one.")


class Ended(Conflict):
    """Collected or withdrawn meanwhile."""

    code = "offer_ended"
    public = mark("This offer was collected or withdrawn: it cannot be changed any more.")
    next_step = mark("Revoke what was issued, or make a new offer.")


@router.get(_HERE)
def every(call: Call, issuer: Issuer) -> Response:
    """The newest offers, page by page: what became of each, not whom it is for."""
    tenant, staff = at_desk(call, issuer, READ)
    found = offers.page(issuer, tenant, limit=_PAGE, after=call.query.get("after"))
    return shown(
        call,
        tenant,
        staff,
        "desk-offers.html",
        here="offers",
        offers=[offer_row(call, tenant, each) for each in found.offers],
        next=found.next,
    )


@router.get(_ONE)
def one(call: Call, issuer: Issuer) -> Response:
    """One offer."""
    return _one(call, issuer)


def _one(call: Call, issuer: Issuer, refused: Conflict | None = None) -> Response:
    tenant, staff = at_desk(call, issuer, READ)
    found, reference = offers.with_subject(issuer, tenant, call.path["offer_id"])
    handle = looking_up.handle(issuer, tenant, staff, reference) if reference else ""
    pages: Pages = call.scope["pages"]
    return shown(
        call,
        tenant,
        staff,
        "desk-offer.html",
        here="offers",
        refused=refused,
        offer=found,
        row=offer_row(call, tenant, found),
        until=moment(found.expires_at, language(call)),
        handle=handle,
        may_offer=OFFERS in staff.roles,
        lifetimes=lifetimes(call, issuer),
        once=b64url_encode(issuer.random_bytes(16)),
        written_in=pages.languages.names(),
    )


@router.get(_ONE + "/state")
def state(call: Call, issuer: Issuer) -> Mapping[str, JsonValue]:
    """What became of an offer, for the page that shows it."""
    tenant, _ = at_desk(call, issuer, READ)
    found = offers.get(issuer, tenant, call.path["offer_id"])
    row = offer_row(call, tenant, found)
    return {"state": found.state, "text": row["state"], "look": row["look"]}


@router.get(_ONE + "/qr.svg")
def qr(call: Call, issuer: Issuer) -> Response:
    """The QR code as a picture, where the page may draw none."""
    tenant, _ = at_desk(call, issuer, READ)
    return offer_svg(issuer, tenant, call.path["offer_id"])


def one_again(call: Call, issuer: Issuer) -> Response:
    """Where a browser comes by a link of the page after a form, such as another language."""
    at_desk(call, issuer, READ)
    return redirect(f"{home(call.path['tenant'])}/offers/{call.path['offer_id']}")


router.get(_ONE + "/renew")(one_again)
router.get(_ONE + "/cancel")(one_again)


@router.post(_ONE + "/renew")
def renew(call: Call, issuer: Issuer) -> Response:
    """A new link and a new life for an offer that was not collected; its code stays."""
    tenant, staff = at_desk(call, issuer, OFFERS)
    form = issuer.staff.sessions.form(call, staff)
    offer_id = call.path["offer_id"]
    wanted = Renewal(expires_in=lifetime(issuer, form), new_tx_code=form.get("new-code") == "yes")
    try:
        offering.renew(issuer, tenant, staff.caller, offer_id, wanted, key=form.get("once"))
    except OfferEnded as error:
        return _one(call, issuer, Ended(str(error)))
    return redirect(f"{home(tenant.name)}/offers/{offer_id}")


@router.post(_ONE + "/cancel")
def cancel(call: Call, issuer: Issuer) -> Response:
    """Withdraw an offer that was not collected."""
    tenant, staff = at_desk(call, issuer, OFFERS)
    form = issuer.staff.sessions.form(call, staff)
    offer_id = call.path["offer_id"]
    try:
        offering.cancel(issuer, tenant, staff.caller, offer_id, key=form.get("once"))
    except OfferEnded as error:
        return _one(call, issuer, Ended(str(error)))
    return redirect(f"{home(tenant.name)}/offers/{offer_id}")


@router.get(_ONE + "/code")
def code(call: Call, issuer: Issuer) -> Response:
    """The code that the citizen types, on a page without the QR code."""
    tenant, staff = at_desk(call, issuer, OFFERS)
    found = offers.get(issuer, tenant, call.path["offer_id"], with_tx_code=True)
    if found.tx_code is None:
        raise NotOpen("desk: no code")
    _record(issuer, tenant, staff, found, act="tx_code_shown")
    return shown(
        call, tenant, staff, "desk-code.html", here="offers", offer=found, code=found.tx_code
    )


@router.get(_ONE + "/letters/{kind}/{tag}")
def letter(call: Call, issuer: Issuer) -> Response:
    """A letter as PDF: with the QR code, or with the code to type; never with both."""
    tenant, staff = at_desk(call, issuer, OFFERS)
    pages: Pages = call.scope["pages"]
    kind, tag = call.path["kind"], call.path["tag"]
    if kind not in {"offer", "code"} or tag not in pages.languages.tags:
        raise NotFound("desk: no such letter")
    offer_id = call.path["offer_id"]
    found = offers.get(issuer, tenant, offer_id, with_tx_code=True)
    if found.link is None or found.tx_code is None:
        raise NotOpen("desk: no letter")
    written = letters.Letter(
        agency=choose(tenant.file.names, tag),
        address=_address(issuer, tenant, staff, offer_id),
        documents=looking_up.names(tenant, found.credentials, tag),
        until=found.expires_at,
        date=issuer.clock(),
        reference=offer_id,
    )
    _record(issuer, tenant, staff, found, act="letter_printed", reason=kind)
    if kind == "offer":
        content = letters.offer_letter(written, found.link, pages.languages, tag)
    else:
        content = letters.code_letter(written, found.tx_code, pages.languages, tag)
    headers = {
        "Cache-Control": "no-store",
        "Content-Disposition": f'inline; filename="{kind}-{offer_id}.pdf"',
    }
    return Response(content, 200, headers, "application/pdf")


def _address(issuer: Issuer, tenant: Tenant, staff: Staff, offer_id: str) -> tuple[str, ...]:
    """Whom the letter is for, as far as the register says so and lets it be printed."""
    _, reference = offers.with_subject(issuer, tenant, offer_id)
    if reference is None:
        return ()
    try:
        handle = looking_up.handle(issuer, tenant, staff, reference)
        found = looking_up.person(tenant, reference, handle)
    except (SubjectUnknown, RegisterUnavailable):
        return ()
    return (found.name, *found.address)


def _record(
    issuer: Issuer,
    tenant: Tenant,
    staff: Staff,
    found: OfferView,
    *,
    act: str,
    reason: str | None = None,
) -> None:
    with issuer.database.transaction() as connection:
        auditing.record(
            issuer,
            connection,
            tenant,
            actor=staff.id,
            act=act,
            on=found.offer_id,
            reason=reason,
        )
