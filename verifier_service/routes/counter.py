"""The counter: a clerk's pages, and what their script asks for (DESIGN, journey 2)."""

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from shared.encoding import JsonValue
from shared.errors import ExpectedError, InvalidInput
from shared.runtime import logs
from shared.runtime.calls import Call, json_answer
from shared.runtime.errors import refusal
from shared.runtime.languages import mark
from shared.runtime.pages import Pages, redirect
from shared.runtime.routes import PageRouter, api_router, page_router, service
from shared.runtime.sign_in import Staff, home
from shared.runtime.staff_pages import Place, staff_page

from .. import desks
from ..context import Verifier
from ..counter import question, trouble, view
from ..desks import Clerk, DeskTaken, Visit
from ..transactions import State
from ..wording import OVERRIDE_REASONS
from .asking import ROLE, SUPERVISOR
from .events import last_event

log = logs.get_log(__name__)
router: PageRouter[Verifier] = page_router()
streams = api_router("")

_HOME = "/staff/{tenant}"
_DESK = _HOME + "/desks/{desk}"


@router.get(_HOME)
def get_desks(call: Call, verifier: Verifier) -> Response:
    """Where to sit down."""
    staff = verifier.staff.sessions.signed_in(call, role=ROLE)
    return _page(call, verifier, staff, "desks.html", desks=desks.listed(verifier, _clerk(staff)))


@router.post(_HOME + "/desks")
def post_desk(call: Call, verifier: Verifier) -> Response:
    """Sit down; whatever was open there is put away."""
    staff = verifier.staff.sessions.signed_in(call, role=ROLE)
    desk = verifier.staff.sessions.form(call, staff).get("desk", "")
    desks.sit(verifier, _clerk(staff), desk)
    return redirect(f"{home(staff.tenant)}/desks/{desk}")


@router.get(_DESK)
def get_desk(call: Call, verifier: Verifier) -> Response:
    """The counter itself: everything that changes there is its script's."""
    staff = verifier.staff.sessions.signed_in(call, role=ROLE)
    try:
        desks.look(verifier, _clerk(staff), call.path["desk"])
    except DeskTaken:
        return redirect(home(staff.tenant))
    pages: Pages = call.scope["pages"]
    language = pages.language(call.scope)
    tenant = verifier.tenant(staff.tenant)
    asked = [each for each in tenant.queries.values() if "cross_device" in each.flows]
    return _page(
        call,
        verifier,
        staff,
        "counter.html",
        desk=call.path["desk"],
        questions=[question(each, language) for each in asked],
        code_place=verifier.origin.partition("://")[2] + "/c",
        blank_after=verifier.settings.counter_blank_seconds,
    )


@router.get(_DESK + "/now")
def get_now(call: Call, verifier: Verifier) -> Response:
    """What the desk shows."""
    staff = verifier.staff.sessions.signed_in(call, role=ROLE)
    clerk, desk = _clerk(staff), call.path["desk"]
    return _told(call, verifier, staff, lambda: desks.look(verifier, clerk, desk))


@router.post(_DESK + "/ask")
def post_ask(call: Call, verifier: Verifier) -> Response:
    """Ask the next customer."""
    staff, clerk, sent = _sent(call, verifier)
    query = sent.get("query")
    if not isinstance(query, str):
        raise InvalidInput("ask: no query")
    return _told(
        call, verifier, staff, lambda: desks.ask(verifier, clerk, call.path["desk"], query)
    )


@router.post(_DESK + "/clear")
def post_clear(call: Call, verifier: Verifier) -> Response:
    """The customer has gone, or is to go on being nobody."""
    staff, clerk, sent = _sent(call, verifier)
    number = _visit(sent)
    return _told(
        call, verifier, staff, lambda: desks.clear(verifier, clerk, call.path["desk"], number)
    )


@router.post(_DESK + "/accept")
def post_accept(call: Call, verifier: Verifier) -> Response:
    """Accept a card of unknown status: for those who may, with a reason, on record."""
    staff, clerk, sent = _sent(call, verifier, role=SUPERVISOR)
    number, reason = _visit(sent), sent.get("reason")
    if not isinstance(reason, str) or reason not in OVERRIDE_REASONS:
        raise InvalidInput("accept: no reason that the page offers")
    return _told(
        call,
        verifier,
        staff,
        lambda: desks.accept(verifier, clerk, call.path["desk"], number, reason=reason),
    )


@streams.get(_DESK + "/events", include_in_schema=False)
async def read_events(
    request: Request, verifier: Annotated[Verifier, Depends(service)]
) -> Response:
    """The state of one visit as it changes, as agencies get it; it holds no thread."""
    call = Call(request.scope, b"", 0)
    after = last_event(call)

    def authorized() -> tuple[tuple[str, str], State] | None:
        tenant = call.path["tenant"]
        staff = verifier.staff.sessions.check(call.scope, tenant, role=ROLE)
        try:
            return desks.listen(
                verifier, _clerk(staff), call.path["desk"], _number(call.query.get("visit"))
            )
        except ExpectedError:
            return None

    found = await run_in_threadpool(authorized)
    if found is None:  # nothing to listen to: the browser is not to ask again (WHATWG HTML, 9.2)
        return Response(None, 204, {"Cache-Control": "no-store"})
    key, state = found
    stream = verifier.events.stream(key, begin=state, after=after, in_thread=run_in_threadpool)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream, media_type="text/event-stream", headers=headers)


def _clerk(staff: Staff) -> Clerk:
    return Clerk(staff.tenant, staff.id, staff.secret)


def _sent(
    call: Call, verifier: Verifier, *, role: str = ROLE
) -> tuple[Staff, Clerk, dict[str, JsonValue]]:
    """Who posts with a script of ours, and what."""
    staff = verifier.staff.sessions.signed_in(call, role=role)
    verifier.staff.sessions.check_header(call, staff)
    return staff, _clerk(staff), call.json()


def _visit(sent: dict[str, JsonValue]) -> int:
    number = sent.get("visit")
    if not isinstance(number, int) or isinstance(number, bool):
        raise InvalidInput("visit: no number")
    return number


def _number(text: str | None) -> int:
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInput("visit: no number")
    return int(text)


def _told(call: Call, verifier: Verifier, staff: Staff, act: Callable[[], Visit]) -> Response:
    """What the page's script puts where it belongs: the visit, or why there is none, in words."""
    pages: Pages = call.scope["pages"]
    language = pages.language(call.scope)

    def say(text: str) -> str:
        return pages.languages.text(language, text)

    try:
        visit = act()
    except ExpectedError as error:
        found = refusal(error)
        log.info("refused", route=_DESK, status=found.status, code=found.code, reason=str(error))
        return json_answer({"trouble": trouble(error, say)}, status=found.status)
    shown = view(
        visit,
        may_accept=SUPERVISOR in staff.roles,
        language=language,
        say=say,
        now=verifier.clock(),
    )
    return json_answer(shown)


def _page(call: Call, verifier: Verifier, staff: Staff, template: str, **values: Any) -> Response:
    pages: Pages = call.scope["pages"]
    place = Place("counter", home(staff.tenant), pages.text(call.scope, mark("Counter")))
    return staff_page(
        call,
        staff,
        template,
        agency=verifier.staff.agency_name(call, staff.tenant),
        places=[place],
        here="counter",
        **values,
    )
