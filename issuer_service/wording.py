"""What codes of this service are called, for people: states, moves, reasons, acts."""

from collections.abc import Mapping
from datetime import date, datetime

from babel.dates import format_date

from shared.runtime.languages import mark

from .offers import State
from .revoking import IssuanceView, Move

OFFER_STATES: Mapping[State, str] = {
    "open": mark("Waiting to be collected"),
    "redeemed": mark("Being collected now"),
    "collected": mark("Collected"),
    "expired": mark("Expired before it was collected"),
    "locked": mark("Locked after five wrong codes"),
    "cancelled": mark("Withdrawn"),
}
OFFER_LOOKS: Mapping[State, str] = {
    "open": "note",
    "redeemed": "note",
    "collected": "good",
    "expired": "wrong",
    "locked": "wrong",
    "cancelled": "wrong",
}
CREDENTIAL_STATES: Mapping[str, str] = {
    "valid": mark("Valid"),
    "suspended": mark("Suspended"),
    "revoked": mark("Revoked"),
    "expired": mark("Expired"),
}
CREDENTIAL_LOOKS: Mapping[str, str] = {
    "valid": "good",
    "suspended": "note",
    "revoked": "wrong",
    "expired": "wrong",
}
MOVES: Mapping[Move, str] = {
    "revoke": mark("Revoke"),
    "suspend": mark("Suspend"),
    "reinstate": mark("Reinstate"),
}
MOVED: Mapping[Move, str] = {
    "revoke": mark("Revoke for good: it can never become valid again."),
    "suspend": mark("Suspend for a time: it can be reinstated."),
    "reinstate": mark("Reinstate: it becomes valid again."),
}
REASONS: Mapping[str, str] = {
    "issued_in_error": mark("Issued in error"),
    "data_changed": mark("The data has changed"),
    "superseded": mark("Replaced by a newer one"),
    "withdrawn": mark("The right to it was withdrawn"),
    "deceased": mark("The person has died"),
    "lost_or_stolen": mark("Phone or card lost or stolen"),
    "holder_request": mark("The person asks for it"),
    "court_order": mark("Order of a court"),
    "under_review": mark("Under review"),
    "review_ended": mark("The review has ended"),
    "found": mark("Found again"),
}
REFUSED: Mapping[str, str] = {
    "subject_deceased": mark("The register says that the person has died."),
    "subject_not_ready": mark("The register has not finished this entry yet."),
    "claims_not_fitting": mark("Something is missing in the register that this document needs."),
}
OTHERWISE_REFUSED = mark("A mark in the register forbids it.")
ACTS: Mapping[str, str] = {
    "offer_created": mark("made an offer"),
    "offer_renewed": mark("renewed an offer"),
    "offer_cancelled": mark("withdrew an offer"),
    "access_granted": mark("began to collect an offer"),
    "code_used_twice": mark("used a code a second time"),
    "credential_issued": mark("received a document"),
    "credential_deferred": mark("was asked to come back for a document"),
    "credential_accepted": mark("keeps a document"),
    "credential_failure": mark("could not keep a document"),
    "credential_deleted": mark("deleted a document"),
    "tokens_given_back": mark("gave back its right to collect"),
    "credential_revoked": mark("revoked a document"),
    "credential_suspended": mark("suspended a document"),
    "credential_reinstated": mark("reinstated a document"),
    "desk_code_created": mark("handed out a sign-in code"),
    "desk_code_cancelled": mark("withdrew a sign-in code"),
    "desk_code_used": mark("signed in with a code"),
    "person_looked_up": mark("looked up a person"),
    "person_not_found": mark("looked for a person and found nobody"),
    "tx_code_shown": mark("was shown the code of an offer"),
    "letter_printed": mark("printed a letter"),
    "audit_checked": mark("checked this trail"),
    "staff_invited": mark("invited an account"),
    "staff_enrolled": mark("made a passkey"),
    "staff_disabled": mark("ended an account"),
    "staff_signed_in": mark("signed in to work"),
    "staff_signed_out": mark("signed out"),
    "staff_session_ended": mark("ended another session"),
    "staff_denied": mark("was refused"),
}


def day(text: str, language: str) -> str:
    """A date of a register as people write it; one without day or month as it stands there."""
    try:
        return format_date(date.fromisoformat(text), "long", locale=language)
    except ValueError:
        return text


def standing(found: IssuanceView, now: datetime) -> str:
    """The state that a clerk is told: one that is over is neither valid nor suspended."""
    if found.state != "revoked" and found.expires_at <= now:
        return "expired"
    return found.state


def instant(text: str) -> datetime:
    """A time as audit rows say it."""
    return datetime.fromisoformat(text)
