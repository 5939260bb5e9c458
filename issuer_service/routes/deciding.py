"""A credential at the desk: its state, and what may be done with it, each with a reason."""

from collections.abc import Mapping

from pydantic import ValidationError
from starlette.responses import Response

from shared.encoding import b64url_encode
from shared.errors import Conflict, ExpectedError, InvalidInput, NotFound
from shared.runtime.languages import mark
from shared.runtime.moments import moment
from shared.runtime.pages import redirect
from shared.runtime.routes import Call, PageRouter, page_router
from shared.runtime.sign_in import home

from .. import looking_up, revoking, wording
from ..context import Issuer
from ..revoking import REASONS, Move, MoveNotAllowed, Order, UnknownReason
from .staff import READ, STATUS, at_desk, language, say, shown

router: PageRouter[Issuer] = page_router()
_ONE = "/staff/{tenant}/credentials/{issuance_id}"
_MOVES: Mapping[str, Move] = {
    "revoke": "revoke",
    "suspend": "suspend",
    "reinstate": "reinstate",
}


class ReasonMissing(InvalidInput):
    """No reason, or words that are too long."""

    public = mark("Choose a reason. Further words may have 200 characters at most.")
    next_step = mark("Then confirm again.")


class NotNow(Conflict):
    """Somebody else was faster, or the page was old."""

    code = "move_not_allowed"
    next_step = mark("Look at the state below, then decide again.")

    def __init__(self, public: str) -> None:
        super().__init__("desk: the state does not allow it")
        self.public = public


@router.get(_ONE)
def one(call: Call, issuer: Issuer) -> Response:
    """One credential in all its formats and copies."""
    return _one(call, issuer)


def _one(call: Call, issuer: Issuer, refused: ExpectedError | None = None) -> Response:
    tenant, staff = at_desk(call, issuer, READ)
    found = revoking.get(issuer, tenant, call.path["issuance_id"])
    tag, state = language(call), wording.standing(found, issuer.clock())
    moves = found.allowed if STATUS in staff.roles else []
    return shown(
        call,
        tenant,
        staff,
        "desk-credential.html",
        here="people",
        refused=refused,
        credential=found,
        name=looking_up.names(tenant, found.credentials, tag),
        state=say(call, wording.CREDENTIAL_STATES[state]),
        look=wording.CREDENTIAL_LOOKS[state],
        reason=say(call, wording.REASONS.get(found.reason or "", found.reason or "")),
        issued=moment(found.issued_at, tag),
        expires=moment(found.expires_at, tag),
        changed=moment(found.changed_at, tag) if found.changed_at else "",
        everywhere=moment(found.published_by, tag) if found.published_by else "",
        moves=[(each, say(call, wording.MOVES[each])) for each in moves],
    )


def _move(call: Call) -> Move:
    move = _MOVES.get(call.path["move"])
    if move is None:
        raise NotFound("desk: no such move")
    return move


@router.get(_ONE + "/{move}")
def ask(call: Call, issuer: Issuer) -> Response:
    """What the move means, and why it is made: the last page before it."""
    return _ask(call, issuer)


def _ask(call: Call, issuer: Issuer, refused: ExpectedError | None = None) -> Response:
    tenant, staff = at_desk(call, issuer, STATUS)
    found, move = revoking.get(issuer, tenant, call.path["issuance_id"]), _move(call)
    if move not in found.allowed:
        return _not_now(call, issuer, found.state, found.allowed)
    return shown(
        call,
        tenant,
        staff,
        "desk-move.html",
        here="people",
        refused=refused,
        credential=found,
        name=looking_up.names(tenant, found.credentials, language(call)),
        move=move,
        title=say(call, wording.MOVES[move]),
        meaning=say(call, wording.MOVED[move]),
        reasons=[(each, say(call, wording.REASONS[each])) for each in sorted(REASONS[move])],
        once=b64url_encode(issuer.random_bytes(16)),
    )


@router.post(_ONE + "/{move}")
def decide(call: Call, issuer: Issuer) -> Response:
    """Make the move; the same form sent twice makes it once."""
    tenant, staff = at_desk(call, issuer, STATUS)
    form = issuer.staff.sessions.form(call, staff)
    move, issuance_id = _move(call), call.path["issuance_id"]
    try:
        order = Order(
            reason=form.get("reason", ""),
            legal_basis=form.get("legal_basis", "").strip() or None,
            second_approver=form.get("second_approver", "").strip() or None,
        )
        revoking.change(
            issuer,
            tenant,
            staff.caller,
            move,
            order,
            issuance_id=issuance_id,
            key=form.get("once"),
        )
    except (ValidationError, UnknownReason) as error:
        return _ask(call, issuer, ReasonMissing(f"desk: {type(error).__name__}"))
    except MoveNotAllowed as error:
        members = error.members
        allowed = members["allowed"]
        return _not_now(
            call, issuer, str(members["state"]), allowed if isinstance(allowed, list) else []
        )
    return redirect(f"{home(tenant.name)}/credentials/{issuance_id}")


def _not_now(call: Call, issuer: Issuer, state: str, allowed: object) -> Response:
    """409, with what the state does allow, in words."""
    known = [each for each in _MOVES.values() if isinstance(allowed, list) and each in allowed]
    words = ", ".join(say(call, wording.MOVES[each]) for each in known)
    public = say(call, mark("The state is now: %(state)s. Possible: %(moves)s."))
    nothing = say(call, mark("nothing"))
    refused = NotNow(
        public % {"state": say(call, wording.CREDENTIAL_STATES[state]), "moves": words or nothing}
    )
    return _one(call, issuer, refused)
