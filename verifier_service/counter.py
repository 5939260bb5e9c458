"""What a counter's page shows: a desk's visit in the clerk's words, as JSON for its script.

The page asks for this after each event and puts the texts where they belong; all words are made
here. Specification: DESIGN section 2 (journeys 2 and 4) and section 8; PAIN_POINTS 2.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from shared.encoding import JsonValue
from shared.errors import ExpectedError
from shared.runtime.errors import refusal
from shared.runtime.languages import choose, mark

from .answers import TransactionAnswer
from .codes import shown
from .desks import Visit
from .facts import facts
from .queries import Query
from .transactions import ENDED, State
from .verdicts import CredentialVerdict, Verdict
from .wording import CHECKS, OUTCOMES, OVERRIDE_REASONS, RESULTS, Words, code_of

Say = Callable[[str], str]

_HELD_BACK = mark(
    "A colleague with the right to decide may accept the card without this, and says why."
)
_SHOWN_NO_MORE = mark("The facts are not kept any more.")


def question(query: Query, language: str) -> dict[str, str]:
    """A query as the clerk chooses it."""
    text = query.texts[choose({each: each for each in query.texts}, language)]
    return {"id": query.id, "title": text.title, "description": text.description}


def view(
    visit: Visit, *, may_accept: bool, language: str, say: Say, now: datetime
) -> dict[str, JsonValue]:
    """The desk as its page shows it.

    Args:
        visit: from `desks`.
        may_accept: whether this clerk may accept a card of unknown status.
        language: of the clerk.
        say: translates one of our texts.
        now: for the time that is left.
    """
    content: dict[str, JsonValue] = {"visit": visit.number, "phase": "free"}
    answer = visit.answer
    if answer is None or visit.query is None:
        return content
    content["question"] = dict(question(visit.query, language))
    if answer.state not in ENDED:
        left = datetime.fromisoformat(answer.expires_at) - now
        content |= {
            "phase": "opened" if answer.state is State.REQUESTED else "waiting",
            "link": visit.link,
            "code": shown(visit.code),
            "seconds_left": max(0, int(left.total_seconds())),
        }
        return content
    content["phase"] = "answered"
    content["answer"] = _answer(answer, visit.query, language, say, may_accept=may_accept)
    return content


def trouble(error: ExpectedError, say: Say) -> dict[str, JsonValue]:
    """Why nothing was asked, in the words of an answer: what it is, and what to do."""
    found = refusal(error)
    words = OUTCOMES.get(found.code)
    if words is None:
        said = {"headline": say(error.public), "text": "", "next_step": say(found.next_step)}
        return {"code": found.code, "tone": "unsure", **said}
    return {"code": found.code, **_words(words, say)}


def _words(words: Words, say: Say) -> dict[str, JsonValue]:
    return {
        "tone": words.tone.value,
        "headline": say(words.headline),
        "text": say(words.text),
        "next_step": say(words.next_step),
    }


def _answer(
    answer: TransactionAnswer, query: Query, language: str, say: Say, *, may_accept: bool
) -> dict[str, JsonValue]:
    code, verdict = code_of(answer), answer.verdict
    content: dict[str, JsonValue] = {"code": code, **_words(OUTCOMES[code], say)}
    content["test"] = verdict is not None and verdict.test
    lines = facts(query, answer.claims or {}, language=language, say=say)
    content["facts"] = [each._asdict() for each in lines]
    if answer.state is State.VERIFIED and answer.claims is None:
        content["note"] = say(_SHOWN_NO_MORE)
    if verdict is not None:
        content["cards"] = _cards(verdict.credentials, language, say)
        content |= _deciding(verdict, say, may_accept=may_accept)
    return content


def _cards(credentials: Sequence[CredentialVerdict], language: str, say: Say) -> list[JsonValue]:
    """Every card that was shown: its issuer, and each check with its result."""
    return [
        {
            "issuer": choose(each.issuer.names, language) if each.issuer is not None else "",
            "checks": [
                {
                    "check": say(CHECKS[one.check]),
                    "result": one.result,
                    "said": say(RESULTS[one.result]),
                }
                for one in each.checks
            ],
        }
        for each in credentials
    ]


def _deciding(verdict: Verdict, say: Say, *, may_accept: bool) -> Mapping[str, JsonValue]:
    """Whether somebody may accept the card all the same, or did."""
    if verdict.override is not None:
        reason = OVERRIDE_REASONS.get(verdict.override.reason)
        return {"accepted_because": say(reason) if reason else verdict.override.reason}
    if not verdict.overridable:
        return {}
    if not may_accept:
        return {"held_back": say(_HELD_BACK)}
    reasons = [{"code": code, "text": say(text)} for code, text in OVERRIDE_REASONS.items()]
    return {"may_accept": reasons}
