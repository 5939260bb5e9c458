"""Client Identifier Prefixes (OpenID4VP 1.0, section 5.9; PROFILE W-54, V-11).

Two of them authenticate a Verifier here: `x509_hash` (HAIP) and `x509_san_dns`. `redirect_uri`
authenticates nobody; outside HAIP it is taken from who asks for it (`by_value.py`). The others are
recognised and refused, as is a pre-registered client: this wallet has none.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from ..crypto.x509 import VerifiedChain
from ..encoding import b64url_encode
from ..oauth.messages import check_url
from .errors import InvalidRequest

PREFIXES = frozenset(
    {
        "redirect_uri",
        "openid_federation",
        "decentralized_identifier",
        "verifier_attestation",
        "x509_san_dns",
        "x509_hash",
        "origin",
    }
)
SUPPORTED = ("x509_hash", "x509_san_dns")
UNSIGNED = "redirect_uri"
"""The prefix of requests that nobody signed; HAIP has none."""


@dataclass(frozen=True, slots=True)
class ClientId:
    """`full` is the audience everywhere; `value` is what stands behind the prefix."""

    full: str
    prefix: str
    value: str


def x509_hash(leaf: bytes) -> str:
    """The Client Identifier of a Verifier whose access certificate is the DER *leaf* (V-11)."""
    return f"x509_hash:{b64url_encode(hashlib.sha256(leaf).digest())}"


def x509_san_dns(dns_name: str) -> str:
    """The Client Identifier of a Verifier whose access certificate is for *dns_name*."""
    return f"x509_san_dns:{dns_name}"


def redirect_uri(response_uri: str) -> str:
    """The Client Identifier of a Verifier that nobody authenticates: requests stay unsigned."""
    return f"redirect_uri:{response_uri}"


def parse(text: str, *, supported: Collection[str] = SUPPORTED) -> ClientId:
    """The prefix before the first colon, and what follows.

    Args:
        text: the Client Identifier.
        supported: the prefixes to take; all others are refused.

    Raises:
        InvalidRequest: no prefix, or one that we do not support; `origin` is never accepted.

    Specification: OpenID4VP 1.0, sections 5.9.1 to 5.9.3; PROFILE W-54.
    """
    prefix, colon, value = text.partition(":")
    if not colon or prefix not in PREFIXES:
        raise InvalidRequest("client_id: no known prefix, and no client is registered")
    if prefix not in supported or not value:
        raise InvalidRequest("client_id: this prefix is not supported")
    return ClientId(text, prefix, value)


def check(client_id: ClientId, *, chain: VerifiedChain, response_uri: str) -> None:
    """The verified *chain* that signed the request belongs to *client_id*.

    Raises:
        InvalidRequest: another certificate; or, for `x509_san_dns`, another host in *response_uri*.

    Specification: OpenID4VP 1.0, section 5.9.3; PROFILE W-54.
    """
    if client_id.prefix == "x509_hash":
        if x509_hash(chain.leaf) != client_id.full:
            raise InvalidRequest("client_id: not the hash of the leaf certificate")
        return
    if client_id.value not in chain.dns_names:
        raise InvalidRequest("client_id: not a dNSName of the leaf certificate")
    if check_url(response_uri).hostname != client_id.value:
        raise InvalidRequest("client_id: response_uri is at another host")
