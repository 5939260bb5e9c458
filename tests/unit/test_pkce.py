"""PKCE with S256 alone: RFC 7636; PROFILE I-40, I-50, W-11."""

import pytest

from shared.oauth import pkce
from shared.oauth.errors import InvalidGrant, InvalidRequest
from tests.support.clock import CountingBytes

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_challenge_is_the_one_of_the_specification() -> None:
    """RFC 7636, appendix B."""
    assert pkce.challenge(VERIFIER) == CHALLENGE
    pkce.verify(VERIFIER, code_challenge=CHALLENGE)


def test_a_fresh_verifier_has_43_characters_and_verifies() -> None:
    """W-11; RFC 7636, section 4.1."""
    random_bytes = CountingBytes()
    first, second = (pkce.make_verifier(random_bytes=random_bytes) for _ in range(2))
    assert len(first) == 43
    assert first != second
    pkce.verify(first, code_challenge=pkce.challenge(first))


@pytest.mark.parametrize(
    "verifier", [None, "", VERIFIER[:-1], VERIFIER[:-1] + "l", VERIFIER + "!", "a" * 129]
)
def test_any_other_verifier_is_an_invalid_grant(verifier: str | None) -> None:
    """I-50, T-03: missing, too short, wrong, of another alphabet, too long."""
    with pytest.raises(InvalidGrant):
        pkce.verify(verifier, code_challenge=CHALLENGE)


def test_verifiers_of_43_to_128_characters_are_taken() -> None:
    """I-50; RFC 7636, section 4.1."""
    for verifier in ("~" * 43, "a.-_~Z9" * 18 + "aa"):
        pkce.verify(verifier, code_challenge=pkce.challenge(verifier))


def test_a_request_must_bring_a_challenge_with_s256() -> None:
    """I-40, T-01: absent, plain and its default are refused."""
    assert pkce.check_challenge(CHALLENGE, "S256") == CHALLENGE
    for code_challenge, method in [
        (None, "S256"),
        (CHALLENGE, None),
        (CHALLENGE, "plain"),
        (CHALLENGE[:-1], "S256"),
        (CHALLENGE + "=", "S256"),
    ]:
        with pytest.raises(InvalidRequest):
            pkce.check_challenge(code_challenge, method)
