"""Every outcome has its words: what it is, what to do, in every language (DESIGN 8, ST-54)."""

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from shared import errors
from shared.errors import VerificationError
from shared.runtime.languages import Languages
from shared.runtime.trust_list import TrustListMissing, TrustListStale
from verifier_service.answers import TransactionAnswer
from verifier_service.facts import facts
from verifier_service.queries import BUILT_IN, NotEntitled, Query, load_queries
from verifier_service.tenants import NotTrusted
from verifier_service.transactions import State
from verifier_service.verdicts import (
    UNKNOWN,
    Check,
    CredentialVerdict,
    Override,
    Result,
    Status,
    Verdict,
    results,
)
from verifier_service.wording import CHECKS, OUTCOMES, OVERRIDE_REASONS, RESULTS, Tone, code_of

LOCALE = Path(__file__).parents[2] / "verifier_service/locale"
SAME_DEVICE_ONLY = {"wrong_return", "not_returned"}
PNG = b"\x89PNG\r\n\x1a\n and so on"


def kinds(base: type) -> Iterator[type]:
    for each in vars(errors).values():
        if isinstance(each, type) and issubclass(each, base):
            yield each


def ended(state: State, verdict: Verdict | None = None) -> TransactionAnswer:
    return TransactionAnswer(
        transaction_id="trx_1",
        query="over_18",
        flow="cross_device",
        state=state,
        created_at="2026-01-01T00:00:00Z",
        expires_at="2026-01-01T00:05:00Z",
        verdict=verdict,
    )


def rejected(reason: str, **more: Any) -> TransactionAnswer:
    return ended(State.REJECTED, Verdict(accepted=False, reason=reason, **more))


def card(reason: str, status: Status, failed: Check = Check.STATUS) -> CredentialVerdict:
    return CredentialVerdict(
        query_id="pid",
        format="dc+sd-jwt",
        reason=reason,
        status=status,
        holder_bound=True,
        checks=results(
            failed=failed, reason=reason, status=status, holder_bound=True, sd_hash=True
        ),
    )


def test_every_reason_has_words() -> None:
    """V-63: also those of errors that nobody has thought of yet: a new one fails here."""
    reasons = {each.reason for each in kinds(VerificationError)}  # type: ignore[attr-defined]
    ours = {each.code for each in (TrustListMissing, TrustListStale, NotTrusted, NotEntitled)}
    further = {"malformed", "wallet_error", "unavailable", "internal_error"}
    for reason in reasons | ours | further:
        code = code_of(rejected(reason))
        assert code == reason, reason
        assert OUTCOMES[code].tone is not Tone.YES, reason
    assert code_of(rejected("something new")) == "invalid"


def test_every_end_of_a_transaction_has_words() -> None:
    """V-03: and none of them is a yes but a verified one."""
    verdict = Verdict(accepted=True)
    by_hand = verdict.model_copy(
        update={"override": Override(actor="stf_1", at="", reason="urgent_need")}
    )
    found = {
        code_of(ended(State.VERIFIED, verdict)): Tone.YES,
        code_of(ended(State.VERIFIED, by_hand)): Tone.YES,
        code_of(ended(State.REFUSED, Verdict(accepted=False, reason="refused"))): Tone.NONE,
        code_of(ended(State.EXPIRED)): Tone.NONE,
        code_of(ended(State.DELETED)): Tone.NONE,
    }
    assert list(found) == ["verified", "accepted_by_hand", "refused", "timed_out", "cancelled"]
    assert {code: OUTCOMES[code].tone for code in found} == found
    yes = {code for code, words in OUTCOMES.items() if words.tone is Tone.YES}
    assert yes == {"verified", "accepted_by_hand"}


@pytest.mark.parametrize("status", [*sorted(UNKNOWN), Status.OUTSIDE_LIST])
def test_every_way_of_knowing_nothing_about_a_status_is_said_apart(status: Status) -> None:
    """ST-54, PAIN_POINTS 2.4: expired, unreachable, unreadable: never merged, never "revoked"."""
    answer = rejected("status_unavailable", credentials=(card("status_unavailable", status),))
    assert code_of(answer) == status.value
    texts = {OUTCOMES[each.value].text for each in (*UNKNOWN, Status.OUTSIDE_LIST)}
    assert len(texts) == len(UNKNOWN) + 1
    assert (OUTCOMES[status.value].tone is Tone.UNSURE) is (status in UNKNOWN)


def test_an_unknown_issuer_and_one_that_may_not_are_two_things() -> None:
    """V-60, DESIGN 4."""
    for failed, code in (
        (Check.CHAIN, "untrusted_issuer"),
        (Check.ISSUER, "issuer_not_entitled"),
    ):
        cards = (card("untrusted_issuer", Status.NOT_CHECKED, failed),)
        assert code_of(rejected("untrusted_issuer", credentials=cards)) == code


def test_every_check_and_result_has_words() -> None:
    """What was checked is told line by line."""
    assert set(CHECKS) == set(Check)
    assert set(RESULTS) == set(get_args(Result))
    assert len(set(CHECKS.values())) == len(CHECKS)


def test_every_text_is_said_in_every_language() -> None:
    """DESIGN 8: no outcome falls back to English."""
    languages = Languages([LOCALE])
    texts = [text for words in OUTCOMES.values() for text in words[1:]]
    texts += [*CHECKS.values(), *RESULTS.values(), *OVERRIDE_REASONS.values()]
    for text in texts:
        assert text.strip(), "an outcome without a word"
        assert languages.text("de", text) != text, text


def test_different_outcomes_differ_in_their_words() -> None:
    """Nobody has to guess which it was."""
    said = [(words.headline, words.text) for words in OUTCOMES.values()]
    assert len(set(said)) == len(said)
    for words in OUTCOMES.values():
        start = {Tone.NO: ("No",), Tone.UNSURE: ("Undecided", "This question")}
        assert words.headline.startswith(start.get(words.tone, words.headline)), words.headline


@pytest.fixture(scope="module")
def queries() -> dict[str, Query]:
    return load_queries([BUILT_IN])


def shown(query: Query, claims: dict[str, Any]) -> list[tuple[str, ...]]:
    return [tuple(each) for each in facts(query, claims, language="en", say=lambda text: text)]


@pytest.mark.parametrize(
    "value",
    [
        base64.urlsafe_b64encode(PNG).decode().rstrip("="),
        f"data:image/png;base64,{base64.b64encode(PNG).decode()}",
    ],
)
def test_a_portrait_is_shown_as_a_picture(queries: dict[str, Query], value: str) -> None:
    """The same from both formats: bytes in an mdoc, a data URL in an SD-JWT."""
    (fact,) = shown(queries["identity_portrait"], {"pid": {"picture": value}})
    expected = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert fact == ("Portrait", expected, "image")


@pytest.mark.parametrize(
    "value",
    [
        "data:image/svg+xml;base64,PHN2Zy8+",
        "data:image/png;base64,bm9uZQ==",
        "https://tracker.example/p.png",
        "not base64 !",
        17,
    ],
)
def test_what_is_no_picture_is_not_shown_as_one(queries: dict[str, Query], value: Any) -> None:
    """Nothing is fetched, nothing runs: only bytes that begin as a JPEG or PNG does."""
    (fact,) = shown(queries["identity_portrait"], {"pid": {"picture": value}})
    assert fact == ("Portrait", "The picture cannot be shown.", "text")


@pytest.mark.parametrize(
    ("arrived", "said"),
    [
        ({"country": "FR", "locality": "Ys"}, "Ys, France"),
        ({"country": "FR", "region": "Armorica", "locality": "Ys"}, "Ys, Armorica, France"),
        ({"parish": "Saint Corentin", "country": "FR"}, "France, Saint Corentin"),
    ],
)
def test_a_place_is_said_in_one_order(
    queries: dict[str, Query], arrived: dict[str, str], said: str
) -> None:
    """The same place reads the same, whichever format and wallet it came from."""
    (fact,) = shown(queries["identity"], {"pid": {"place_of_birth": arrived}})
    assert fact == ("Place of birth", said, "text")


def test_what_was_not_answered_is_left_out(queries: dict[str, Query]) -> None:
    """A question that one of several cards may answer shows that card alone."""
    mdoc = "eu.europa.ec.eudi.pid.1"
    claims = {"pid_mdoc": {mdoc: {"age_over_18": True}}}
    assert shown(queries["over_18"], claims) == [("18 or older", "Yes", "text")]
    assert shown(queries["over_18"], {}) == []
    odd = {"pid": {"family_name": "", "birthdate": "1964-13-40", "nationalities": ["XZQ"]}}
    assert [each[1] for each in shown(queries["identity"], odd)] == [
        "\N{EN DASH}",
        "1964-13-40",
        "XZQ",
    ]
