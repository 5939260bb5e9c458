"""The agency's API: offers and issuances, under OAuth client credentials.

Roles: `offers` creates, renews and cancels, `status` revokes, suspends and reinstates, `read`
lists. Every write takes an Idempotency-Key. References to people travel in bodies, never in paths
or queries.
"""

from collections.abc import Mapping
from functools import lru_cache
from io import BytesIO

import segno
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from shared.encoding import JsonValue
from shared.errors import InvalidInput, NotFound
from shared.oauth.errors import InvalidRequest
from shared.runtime.client_credentials import ApiCaller, describe_token
from shared.runtime.routes import (
    ApiRouter,
    Call,
    ProtocolRouter,
    hot_api_router,
    protocol_router,
)

from .. import desk, offering, offers, revoking
from ..context import Issuer, Tenant
from ..desk import DeskCodeView, NewDeskCode
from ..offering import NewOffer, Renewal
from ..offers import OfferPage, OfferView
from ..revoking import IssuancePage, IssuanceView, Move, Order

api: ApiRouter[Issuer] = hot_api_router("/api/v1")
oauth: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)
describe_token(api.described)
ROLES = ("offers", "status", "read")
_LIMIT = 100
_PAGES = {"limit": int, "after": str}


class Sought(BaseModel):
    """Which issuances: of one person, or all."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    subject: offering.Reference | None = None


def _caller(call: Call, issuer: Issuer, role: str) -> tuple[Tenant, ApiCaller]:
    name = call.path["tenant"]
    caller = issuer.api_clients.verify(call.header("authorization"), tenant=name, role=role)
    return issuer.tenant(name), caller


def _page(call: Call) -> tuple[int, str | None]:
    limit = call.query.get("limit", "50")
    if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:4]) <= _LIMIT):
        raise InvalidInput(f"page: limit is not 1 to {_LIMIT}")
    return int(limit), call.query.get("after")


@oauth.post("/api/v1/{tenant}/token")
def token(call: Call, issuer: Issuer) -> Mapping[str, JsonValue]:
    """An access token for the agency's software (RFC 6749, section 4.4)."""
    tenant = issuer.tenant(call.path["tenant"])
    authorization = call.header("authorization")
    return issuer.api_clients.token(tenant.name, form=call.form(), authorization=authorization)


@api.post("/{tenant}/offers", body=NewOffer, answer=OfferView, status=201, keyed=True)
def create_offer(call: Call, issuer: Issuer) -> OfferView:
    """Offer credentials to one person."""
    tenant, caller = _caller(call, issuer, "offers")
    wanted = call.message(NewOffer)
    return offering.create(issuer, tenant, caller, wanted, key=call.header("idempotency-key"))


@api.get("/{tenant}/offers", answer=OfferPage, query=_PAGES)
def list_offers(call: Call, issuer: Issuer) -> OfferPage:
    """All offers, newest first; `limit` and `after` page through them."""
    tenant, _ = _caller(call, issuer, "read")
    limit, after = _page(call)
    return offers.page(issuer, tenant, limit=limit, after=after)


@api.get("/{tenant}/offers/{offer_id}", answer=OfferView)
def get_offer(call: Call, issuer: Issuer) -> OfferView:
    """One offer, with its link as long as it can be collected."""
    tenant, _ = _caller(call, issuer, "read")
    return offers.get(issuer, tenant, call.path["offer_id"])


@lru_cache(maxsize=64)
def _svg(link: str) -> bytes:
    """9 ms of CPU, so once for each link (PERFORMANCE 3)."""
    picture = BytesIO()
    segno.make(link, error="m", micro=False).save(picture, kind="svg", scale=6, border=4)
    return picture.getvalue()


@api.get("/{tenant}/offers/{offer_id}/qr.svg", answer=BaseModel)
def offer_qr(call: Call, issuer: Issuer) -> Response:
    """The offer's link as a QR code."""
    tenant, _ = _caller(call, issuer, "read")
    return offer_svg(issuer, tenant, call.path["offer_id"])


def offer_svg(issuer: Issuer, tenant: Tenant, offer_id: str) -> Response:
    """The picture of an open offer; raises NotFound."""
    offer = offers.get(issuer, tenant, offer_id)
    if offer.link is None:
        raise NotFound("offer: no longer open")
    headers = {"Cache-Control": "no-store"}
    return Response(_svg(offer.link), 200, headers, "image/svg+xml")


@api.post("/{tenant}/offers/{offer_id}/cancel", answer=OfferView, keyed=True)
def cancel_offer(call: Call, issuer: Issuer) -> OfferView:
    """Withdraw an offer that was not collected."""
    tenant, caller = _caller(call, issuer, "offers")
    key = call.header("idempotency-key")
    return offering.cancel(issuer, tenant, caller, call.path["offer_id"], key=key)


@api.post("/{tenant}/offers/{offer_id}/renew", body=Renewal, answer=OfferView, keyed=True)
def renew_offer(call: Call, issuer: Issuer) -> OfferView:
    """Give an uncollected offer a new link; its Transaction Code stays unless asked otherwise."""
    tenant, caller = _caller(call, issuer, "offers")
    wanted = call.message(Renewal) if call.body else Renewal()
    key = call.header("idempotency-key")
    return offering.renew(issuer, tenant, caller, call.path["offer_id"], wanted, key=key)


@api.post("/{tenant}/desk-codes", body=NewDeskCode, answer=DeskCodeView, status=201, keyed=True)
def create_desk_code(call: Call, issuer: Issuer) -> DeskCodeView:
    """A one-time code with which one person logs in, for a clerk to hand out."""
    tenant, caller = _caller(call, issuer, "offers")
    key = call.header("idempotency-key")
    return desk.create(issuer, tenant, caller, call.message(NewDeskCode), key=key)


@api.get("/{tenant}/desk-codes/{desk_code_id}", answer=DeskCodeView)
def get_desk_code(call: Call, issuer: Issuer) -> DeskCodeView:
    """What became of a one-time code."""
    tenant, _ = _caller(call, issuer, "read")
    return desk.get(issuer, tenant, call.path["desk_code_id"])


@api.post("/{tenant}/desk-codes/{desk_code_id}/cancel", answer=DeskCodeView, keyed=True)
def cancel_desk_code(call: Call, issuer: Issuer) -> DeskCodeView:
    """Withdraw a one-time code that was not used."""
    tenant, caller = _caller(call, issuer, "offers")
    key = call.header("idempotency-key")
    return desk.cancel(issuer, tenant, caller, call.path["desk_code_id"], key=key)


@api.get("/{tenant}/issuances", answer=IssuancePage, query=_PAGES)
def list_issuances(call: Call, issuer: Issuer) -> IssuancePage:
    """All issuances, newest first; `limit` and `after` page through them."""
    tenant, _ = _caller(call, issuer, "read")
    limit, after = _page(call)
    return revoking.page(issuer, tenant, subject=None, limit=limit, after=after)


@api.post("/{tenant}/issuances/find", body=Sought, answer=IssuancePage, query=_PAGES)
def find_issuances(call: Call, issuer: Issuer) -> IssuancePage:
    """The issuances about one person; the reference stands in the body, so that no log has it."""
    tenant, _ = _caller(call, issuer, "read")
    limit, after = _page(call)
    sought = call.message(Sought)
    return revoking.page(issuer, tenant, subject=sought.subject, limit=limit, after=after)


@api.get("/{tenant}/issuances/{issuance_id}", answer=IssuanceView)
def get_issuance(call: Call, issuer: Issuer) -> IssuanceView:
    """One issuance: the same data in every format and copy."""
    tenant, _ = _caller(call, issuer, "read")
    return revoking.get(issuer, tenant, call.path["issuance_id"])


def _change(call: Call, issuer: Issuer, move: Move, issuance_id: str | None) -> IssuancePage:
    tenant, caller = _caller(call, issuer, "status")
    order = call.message(Order)
    if (order.subject is None) == (issuance_id is None):
        raise InvalidInput("order: not exactly one of an issuance and a subject")
    key = call.header("idempotency-key")
    return revoking.change(issuer, tenant, caller, move, order, issuance_id=issuance_id, key=key)


@api.post("/{tenant}/issuances/revoke", body=Order, answer=IssuancePage, keyed=True)
def revoke_of_subject(call: Call, issuer: Issuer) -> IssuancePage:
    """Revoke everything about one person, or everything of one type about them. It is final."""
    return _change(call, issuer, "revoke", None)


@api.post("/{tenant}/issuances/suspend", body=Order, answer=IssuancePage, keyed=True)
def suspend_of_subject(call: Call, issuer: Issuer) -> IssuancePage:
    """Suspend everything about one person that may be suspended."""
    return _change(call, issuer, "suspend", None)


@api.post("/{tenant}/issuances/reinstate", body=Order, answer=IssuancePage, keyed=True)
def reinstate_of_subject(call: Call, issuer: Issuer) -> IssuancePage:
    """Reinstate everything about one person that is suspended."""
    return _change(call, issuer, "reinstate", None)


@api.post("/{tenant}/issuances/{issuance_id}/revoke", body=Order, answer=IssuanceView, keyed=True)
def revoke(call: Call, issuer: Issuer) -> IssuanceView:
    """Revoke one issuance with all its copies. It is final."""
    return _change(call, issuer, "revoke", call.path["issuance_id"]).issuances[0]


@api.post("/{tenant}/issuances/{issuance_id}/suspend", body=Order, answer=IssuanceView, keyed=True)
def suspend(call: Call, issuer: Issuer) -> IssuanceView:
    """Suspend one issuance with all its copies."""
    return _change(call, issuer, "suspend", call.path["issuance_id"]).issuances[0]


@api.post(
    "/{tenant}/issuances/{issuance_id}/reinstate", body=Order, answer=IssuanceView, keyed=True
)
def reinstate(call: Call, issuer: Issuer) -> IssuanceView:
    """Reinstate one suspended issuance with all its copies."""
    return _change(call, issuer, "reinstate", call.path["issuance_id"]).issuances[0]
