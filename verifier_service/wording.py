"""What a clerk reads about an answer: in plain words, with a tone and what to do next.

The list is closed: every way in which a transaction can end has its words, a test holds them
against the verdicts. Causes that are different stay different (ST-54, PAIN_POINTS 2.4). A tone is
shown as word, icon and colour, never as colour alone (WCAG 2.2, 1.4.1). The texts are ids of the
catalogues. Specification: DESIGN section 8; PROFILE V-63, ST-54.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple

from shared.runtime.languages import mark

from .answers import TransactionAnswer
from .transactions import State
from .verdicts import Check, Result, Status, Verdict


class Tone(StrEnum):
    """What an answer amounts to."""

    YES = "yes"
    NO = "no"
    UNSURE = "unsure"
    NONE = "none"  # there was no answer


class Words(NamedTuple):
    """Of one outcome."""

    tone: Tone
    headline: str
    text: str
    next_step: str


_REFUSE = mark("Do not accept it. The person can ask the agency that issued the card.")
_AGAIN = mark("Ask once more. If it happens again, use another way to check.")
_OPERATOR = mark("Try again in a minute. If it stays like this, tell whoever runs this system.")
_FORGED = mark(
    "Do not accept it. Follow the rules of your office for documents that may be forged."
)
_LIST = mark("Try again in a minute, or check in another way.")

OUTCOMES: Mapping[str, Words] = {
    "verified": Words(
        Tone.YES,
        mark("Yes, confirmed"),
        mark("The card is genuine, in force, and it answers your question."),
        mark("Make sure that it was the person in front of you who scanned your code."),
    ),
    "accepted_by_hand": Words(
        Tone.YES,
        mark("Accepted by hand"),
        mark(
            "Somebody at this desk accepted the card without knowing whether it was revoked. "
            "This is on record."
        ),
        mark("Make sure that it was the person in front of you who scanned your code."),
    ),
    "refused": Words(
        Tone.NONE,
        mark("No answer: declined"),
        mark("The person declined, or has no card that fits. Nothing was sent."),
        mark("Nobody has to use a wallet: ask whether to try again, or check in another way."),
    ),
    "timed_out": Words(
        Tone.NONE,
        mark("No answer: time ran out"),
        mark("Nobody answered in time. Nothing was sent."),
        mark("Ask again. Anybody who cannot scan the code can type the short one beside it."),
    ),
    "cancelled": Words(
        Tone.NONE,
        mark("Cancelled"),
        mark("This question was withdrawn, or somebody else works at this desk now."),
        mark("Ask again when you are ready."),
    ),
    "revoked": Words(
        Tone.NO,
        mark("No: the card was revoked"),
        mark("The agency that issued this card has revoked it. It will not become valid again."),
        _REFUSE,
    ),
    "suspended": Words(
        Tone.NO,
        mark("No: the card is suspended"),
        mark("The agency that issued this card has suspended it. It may become valid again."),
        mark("Do not accept it today. The person can ask the agency that issued the card."),
    ),
    "expired": Words(
        Tone.NO,
        mark("No: the card has expired"),
        mark("The last day on which this card was valid has passed."),
        mark("Ask for a card that is valid. A wallet can fetch a new one when it is opened."),
    ),
    "not_yet_valid": Words(
        Tone.NO,
        mark("No: the card is not valid yet"),
        mark("The first day on which this card is valid is still to come."),
        _REFUSE,
    ),
    "list_unreachable": Words(
        Tone.UNSURE,
        mark("Undecided: it is not known whether the card was revoked"),
        mark(
            "Everything else about the card is right. "
            "The issuing agency's list of revoked cards cannot be reached."
        ),
        _LIST,
    ),
    "list_expired": Words(
        Tone.UNSURE,
        mark("Undecided: it is not known whether the card was revoked"),
        mark(
            "Everything else about the card is right. "
            "The issuing agency's list of revoked cards is too old to be relied on."
        ),
        _LIST,
    ),
    "list_unreadable": Words(
        Tone.UNSURE,
        mark("Undecided: it is not known whether the card was revoked"),
        mark(
            "Everything else about the card is right. "
            "The issuing agency's list of revoked cards cannot be read, or is not signed by it."
        ),
        _LIST,
    ),
    "outside_list": Words(
        Tone.NO,
        mark("No: the card is missing in its agency's list"),
        mark("The card refers to a place in the list of revoked cards that does not exist."),
        _REFUSE,
    ),
    "untrusted_issuer": Words(
        Tone.NO,
        mark("No: the issuer is unknown"),
        mark("Whoever issued this card is not on the list of trusted agencies."),
        mark("Do not accept it. Ask for a card of an agency that is on the list."),
    ),
    "issuer_not_entitled": Words(
        Tone.NO,
        mark("No: the issuer may not issue this card"),
        mark("The agency is known, but it is not allowed to issue this kind of card."),
        mark("Do not accept it. Ask for a card of an agency that is on the list."),
    ),
    "signature": Words(
        Tone.NO,
        mark("No: the card is not genuine"),
        mark("The signature is not that of the agency: somebody else made or changed this card."),
        _FORGED,
    ),
    "digest": Words(
        Tone.NO,
        mark("No: the card is not genuine"),
        mark("What was shown is not what the agency has signed."),
        _FORGED,
    ),
    "type_mismatch": Words(
        Tone.NO,
        mark("No: another card was shown"),
        mark("The wallet answered with another kind of card than you asked for."),
        _AGAIN,
    ),
    "claims_missing": Words(
        Tone.NO,
        mark("No, not confirmed"),
        mark("The card does not say what you asked for."),
        mark("With this card the answer is no. Another card of the person may say it."),
    ),
    "query_unsatisfied": Words(
        Tone.NO,
        mark("No: the answer is not complete"),
        mark("The wallet did not send everything that you asked for."),
        _AGAIN,
    ),
    "holder_binding": Words(
        Tone.NO,
        mark("No: the card belongs to another wallet"),
        mark("The phone could not prove that this card was issued to it."),
        _FORGED,
    ),
    "nonce": Words(
        Tone.NO,
        mark("No: this answer was made for another request"),
        mark("It may be a copy of an earlier answer."),
        _AGAIN,
    ),
    "audience": Words(
        Tone.NO,
        mark("No: this answer was made for somebody else"),
        mark("It is not meant for your agency."),
        _AGAIN,
    ),
    "sd_hash": Words(
        Tone.NO,
        mark("No: this answer was changed on its way"),
        mark("The wallet approved another answer than the one that arrived."),
        _AGAIN,
    ),
    "transaction_data": Words(
        Tone.NO,
        mark("No: it was not approved"),
        mark("The answer does not confirm what the person was to approve."),
        _AGAIN,
    ),
    "malformed": Words(
        Tone.NO,
        mark("No: the answer cannot be read"),
        mark("The wallet sent something that does not follow the rules."),
        mark("Ask once more. If it happens again, the wallet may need an update."),
    ),
    "wallet_error": Words(
        Tone.NONE,
        mark("No answer: the wallet reported a problem"),
        mark("The wallet could not answer this question. Nothing was sent."),
        mark("Ask once more. If it happens again, the wallet may need an update."),
    ),
    "status_unavailable": Words(
        Tone.UNSURE,
        mark("Undecided: it is not known whether the card was revoked"),
        mark("Everything else about the card is right. Nothing is known about its status."),
        _LIST,
    ),
    "invalid": Words(
        Tone.NO,
        mark("No: the answer could not be verified"),
        mark("A check has failed."),
        _AGAIN,
    ),
    "trust_list_missing": Words(
        Tone.UNSURE,
        mark("Undecided: the list of trusted agencies is missing"),
        mark("Without it nobody can say whether a card is genuine. It is not the person's fault."),
        _OPERATOR,
    ),
    "trust_list_stale": Words(
        Tone.UNSURE,
        mark("Undecided: the list of trusted agencies is too old"),
        mark("Without it nobody can say whether a card is genuine. It is not the person's fault."),
        _OPERATOR,
    ),
    "access_certificate_untrusted": Words(
        Tone.UNSURE,
        mark("Undecided: the certificate of this agency is not valid"),
        mark("Wallets would refuse to answer. It is not the person's fault."),
        _OPERATOR,
    ),
    "query_not_entitled": Words(
        Tone.UNSURE,
        mark("This question may not be asked"),
        mark("The list of trusted agencies does not allow your agency to ask it."),
        mark("Choose another question, or tell whoever runs this system."),
    ),
    "unavailable": Words(
        Tone.UNSURE,
        mark("Undecided: something here does not work"),
        mark("A part of this system did not answer. It is not the person's fault."),
        _OPERATOR,
    ),
    "internal_error": Words(
        Tone.UNSURE,
        mark("Undecided: something here does not work"),
        mark("This system made a mistake. It is not the person's fault."),
        _OPERATOR,
    ),
}
"""By code: reasons of a verdict, and those below that say more precisely what it was."""

CHECKS: Mapping[Check, str] = {
    Check.SHAPE: mark("The answer follows the rules"),
    Check.CHAIN: mark("The issuer is on the list of trusted agencies"),
    Check.SIGNATURE: mark("The card is signed by its issuer"),
    Check.DIGESTS: mark("What is shown is what was signed"),
    Check.VALIDITY: mark("Today is within the dates of the card"),
    Check.HOLDER_BINDING: mark("The card belongs to this wallet"),
    Check.NONCE: mark("The answer was made for this request"),
    Check.AUDIENCE: mark("The answer was made for your agency"),
    Check.SD_HASH: mark("The answer arrived unchanged"),
    Check.ISSUER: mark("The issuer may issue this kind of card"),
    Check.TYPE: mark("It is the kind of card you asked for"),
    Check.CLAIMS: mark("It says what you asked for"),
    Check.STATUS: mark("Its issuer says that it is still in force"),
}

RESULTS: Mapping[Result, str] = {
    "passed": mark("yes"),
    "failed": mark("no"),
    "unknown": mark("not known"),
    "not_asked": mark("not needed"),
    "not_reached": mark("not checked after that"),
}

OVERRIDE_REASONS: Mapping[str, str] = {
    "paper_document_seen": mark("I have seen a valid paper document"),
    "issuer_was_asked": mark("I asked the issuing agency"),
    "person_is_known": mark("The person is known here"),
    "urgent_need": mark("It cannot wait"),
}
"""Why a clerk may accept a card of unknown status: codes for the record, words for the page."""

_STATUSES = {
    Status.LIST_UNREACHABLE: "list_unreachable",
    Status.LIST_EXPIRED: "list_expired",
    Status.LIST_UNREADABLE: "list_unreadable",
    Status.OUTSIDE_LIST: "outside_list",
}


def code_of(answer: TransactionAnswer) -> str:
    """Which of `OUTCOMES` an ended transaction is."""
    verdict = answer.verdict
    if answer.state is State.VERIFIED:
        by_hand = verdict is not None and verdict.override is not None
        return "accepted_by_hand" if by_hand else "verified"
    if answer.state is State.REFUSED:
        return "refused"
    if answer.state is State.EXPIRED:
        return "timed_out"
    if answer.state is State.DELETED or verdict is None:
        return "cancelled"
    code = _precisely(verdict)
    return code if code in OUTCOMES else "invalid"


def _precisely(verdict: Verdict) -> str:
    """The reason, told apart where one code stands for several causes."""
    for each in verdict.credentials:
        if each.reason != verdict.reason:
            continue
        if each.reason == "status_unavailable":
            return _STATUSES.get(each.status, each.reason)
        failed = next((one.check for one in each.checks if one.result == "failed"), None)
        if each.reason == "untrusted_issuer" and failed is Check.ISSUER:
            return "issuer_not_entitled"
    return verdict.reason or "invalid"
