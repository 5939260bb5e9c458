"""Proof Key for Code Exchange, method S256 alone (RFC 7636; PROFILE I-40, I-50, W-11)."""

import hashlib
import hmac
import re
import secrets

from ..encoding import RandomBytes, b64url_encode
from .errors import InvalidGrant, InvalidRequest

_VERIFIER = re.compile(r"[A-Za-z0-9\-._~]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9\-_]{43}")


def make_verifier(*, random_bytes: RandomBytes = secrets.token_bytes) -> str:
    """A fresh verifier of 43 characters, 256 bits (RFC 7636, section 4.1)."""
    return b64url_encode(random_bytes(32))


def challenge(verifier: str) -> str:
    """The S256 challenge of *verifier* (RFC 7636, section 4.2)."""
    return b64url_encode(hashlib.sha256(verifier.encode("ascii")).digest())


def check_challenge(code_challenge: str | None, method: str | None) -> str:
    """The challenge of an authorization request, which must use S256.

    Raises:
        InvalidRequest: absent, malformed, or another method, `plain` and its default included.

    Specification: RFC 7636, section 4.3; PROFILE I-40.
    """
    if code_challenge is None or method != "S256":
        raise InvalidRequest("PKCE: no challenge with method S256")
    if not _CHALLENGE.fullmatch(code_challenge):
        raise InvalidRequest("PKCE: the challenge is malformed")
    return code_challenge


def verify(verifier: str | None, *, code_challenge: str) -> None:
    """*verifier* is the one behind *code_challenge*.

    Raises:
        InvalidGrant: absent, malformed or another one.

    Specification: RFC 7636, section 4.6; PROFILE I-50.
    """
    if verifier is None or not _VERIFIER.fullmatch(verifier):
        raise InvalidGrant("PKCE: the verifier is missing or malformed")
    if not hmac.compare_digest(challenge(verifier), code_challenge):
        raise InvalidGrant("PKCE: the verifier is another one")
