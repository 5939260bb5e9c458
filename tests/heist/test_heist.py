"""The heist as a test: what a thief with everything but the citizens gains, to the last item."""

import pytest

from .__main__ import heist
from .report import Report

pytestmark = pytest.mark.e2e

CONTROL = "Positive control"
GAINED = {
    # The service's own layer: whoever has its keys and both stores peels it off, and no further.
    "service share",
    "outer layer",
    # One captured approval: one key, of one copy (WALLET_SECURITY 1, A4).
    "the captured holder key of alice",
    "a verifier's yes with the captured copy",
    # Its session: a look into that one wallet.
    "content of alice",
    # Said in docs/threats.md, and open.
    "holder key accepted afterwards",
    "row written afterwards",
    "share under the share key",
    "Carol's content and keys",
    "Bob's content and keys",
    # Not a gain: who stayed is not locked out by the rotation.
    "Bob opens: yes",
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return heist(tmp_path_factory.mktemp("heist"))


def test_no_attack_gains_more_than_it_may(report: Report) -> None:
    """WALLET_SECURITY 10: that copy and nothing else; each attack ends exactly as it must."""
    assert report.holes == [], str(report)


def test_all_gains_together_are_these(report: Report) -> None:
    """WALLET_SECURITY 1: an attack added later cannot allow itself anything new."""
    gained = {
        each
        for attempt in report.attempts
        if not attempt.attack.startswith(CONTROL)
        for each in attempt.gained
    }
    assert {next((kind for kind in GAINED if each.startswith(kind)), each) for each in gained} == (
        GAINED
    )


def test_with_the_citizens_gestures_the_same_program_opens_everything(report: Report) -> None:
    """The positive control: four wallets, with roots, holder keys and rows."""
    [control] = [each for each in report.attempts if each.attack.startswith(CONTROL)]
    roots = [each for each in control.gained if each.startswith("root ")]
    keys = [each for each in control.gained if each.startswith("holder key ")]
    rows = [each for each in control.gained if each.startswith("row of ")]
    assert len(roots) == 8
    assert len(keys) == 30  # of copies and of spare keys
    assert len(rows) > 40
