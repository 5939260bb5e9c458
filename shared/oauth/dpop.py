"""Demonstrating Proof of Possession (RFC 9449; PROFILE I-33 to I-36, W-20, W-21).

A proof is good for one request: method, URL, time and, at resources, the access token. `jti` comes
back hashed with the key, for the insert that makes it good only once (S-02).
`htu` is the one place where URLs are compared after normalisation (C-35).
"""

import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache
from urllib.parse import unquote_to_bytes, urlsplit

from ..crypto.keys import PublicKey, Signer
from ..encoding import JsonValue, RandomBytes, b64url_encode, to_numeric_date
from ..errors import InvalidInput, VerificationError, WrongNonce
from ..jose import jws
from .errors import (
    InvalidDpopProof,
    InvalidDpopProofAtResource,
    InvalidGrant,
    InvalidToken,
    UseDpopNonce,
    UseDpopNonceAtResource,
)
from .messages import NonceSource

TYP = "dpop+jwt"
WINDOW = timedelta(seconds=60)  # C-41
_MAX_BYTES = 8 * 1024
_MAX_JTI = 256
_TOKEN68 = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_PORTS = {"https": 443, "http": 80}


@dataclass(frozen=True, slots=True)
class DpopProof:
    """A verified proof. `use` is the hash it is recorded under, until `issued_at` + window."""

    key: PublicKey
    jkt: str
    use: bytes
    issued_at: datetime


def thumbprint(key: PublicKey) -> str:
    """The `jkt` of *key*: base64url of its RFC 7638 thumbprint (RFC 9449, section 6.1)."""
    return b64url_encode(key.thumbprint())


def token_hash(access_token: str) -> str:
    """The `ath` of an access token (RFC 9449, section 4.2)."""
    return b64url_encode(hashlib.sha256(access_token.encode()).digest())


def make_proof(
    *,
    signer: Signer,
    method: str,
    url: str,
    now: datetime,
    access_token: str | None = None,
    nonce: str | None = None,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> str:
    """A proof for one request to *url*, whose query and fragment stay out of `htu`.

    Args:
        signer: the DPoP key of this server, without certificates (W-21).
        method: of the HTTP request.
        url: where it goes.
        now: becomes `iat`.
        random_bytes: for `jti`.
        access_token: at resources, the token that is sent along.
        nonce: the last `DPoP-Nonce` of this server, if any (W-20).

    Specification: RFC 9449, section 4.2.
    """
    claims: dict[str, JsonValue] = {
        "jti": b64url_encode(random_bytes(32)),
        "htm": method,
        "htu": url.split("#", 1)[0].split("?", 1)[0],
        "iat": to_numeric_date(now),
    }
    if access_token is not None:
        claims["ath"] = token_hash(access_token)
    if nonce is not None:
        claims["nonce"] = nonce
    return jws.sign_jwt(claims, typ=TYP, signer=signer, header={"jwk": signer.public.to_jwk()})


def access_token(authorization: Sequence[str]) -> str:
    """The token in the one `Authorization` header, whose scheme is DPoP in any case.

    Raises:
        InvalidToken: no header or several, another scheme such as Bearer, or no token syntax.

    Specification: RFC 9449, section 7.1; PROFILE I-36.
    """
    if len(authorization) != 1:
        raise InvalidToken("access token: not exactly one Authorization header")
    scheme, _, token = authorization[0].partition(" ")
    if scheme.lower() != "dpop" or not _TOKEN68.fullmatch(token := token.strip(" ")):
        raise InvalidToken("access token: not presented with the DPoP scheme")
    return token


def verify(
    proofs: Sequence[str],
    *,
    method: str,
    url: str,
    now: datetime,
    access_token: str | None,
    expected_jkt: str | None,
    nonces: NonceSource | None,
    window: timedelta = WINDOW,
) -> DpopProof:
    """Check the proof of one request; recording `use` once is the caller's.

    Args:
        proofs: every value of the `DPoP` header, as received.
        method: of the HTTP request.
        url: the public URL of the endpoint, from configuration (C-53).
        access_token: at resources, the token presented; refusals are then 401 with a challenge.
        expected_jkt: the key that the token, code or request is bound to; None binds to whichever.
        nonces: the nonces this server demands, None for none.
        now: aware.
        window: how far `iat` may be from it, to both sides.

    Raises:
        InvalidDpopProof, UseDpopNonce: at an authorization server endpoint.
        InvalidGrant: there, by another key than *expected_jkt*.
        InvalidDpopProofAtResource, UseDpopNonceAtResource, InvalidToken: at a resource.

    Specification: RFC 9449, sections 4.3, 7.1, 8 and 9; PROFILE I-33, I-34.
    """
    refuse = InvalidDpopProof if access_token is None else InvalidDpopProofAtResource
    try:
        proof, claims = _verified(proofs, method, url, now, window)
    except (InvalidInput, VerificationError) as error:
        raise refuse(f"DPoP: {error}") from error
    # 10. If the server provided a nonce, it is this one.
    if nonces is not None:
        ask = UseDpopNonce if access_token is None else UseDpopNonceAtResource
        nonce = claims.get("nonce")
        if not isinstance(nonce, str):
            raise ask("DPoP: no nonce", fresh=nonces.fresh())
        try:
            nonces.check(nonce)
        except (WrongNonce, InvalidInput) as error:
            raise ask("DPoP: the nonce is not good", fresh=nonces.fresh()) from error
    # 12. At resources: ath is the token's hash, and the token is bound to this key.
    if access_token is not None and claims.get("ath") != token_hash(access_token):
        raise refuse("DPoP: ath is missing or of another token")
    if expected_jkt is not None and proof.jkt != expected_jkt:
        if access_token is not None:
            raise InvalidToken("DPoP: the token is bound to another key")
        raise InvalidGrant("DPoP: the grant is bound to another key")
    return proof


def _verified(
    proofs: Sequence[str], method: str, url: str, now: datetime, window: timedelta
) -> tuple[DpopProof, dict[str, JsonValue]]:
    # 1. There is exactly one DPoP header field.
    if len(proofs) != 1:
        raise InvalidInput("not exactly one header")
    # 2. It is a single, well-formed JWT.
    unverified = jws.parse_jws(proofs[0], max_bytes=_MAX_BYTES)
    # 7. The jwk carries no private members (from_jwk refuses them).
    key = PublicKey.from_jwk(unverified.header.get("jwk"))
    # 4, 5, 6. typ, an asymmetric alg of ours, and the signature by that jwk.
    claims = dict(jws.verify_jwt(unverified, key=key, typ=TYP, algorithms=("ES256",)).claims)
    # 3. The required claims are there.
    jti, htm, htu = claims.get("jti"), claims.get("htm"), claims.get("htu")
    if not isinstance(jti, str) or not 0 < len(jti) <= _MAX_JTI:
        raise InvalidInput("jti is missing or malformed")
    # 8. htm is the method of this request.
    if htm != method:
        raise InvalidInput("htm is missing or another method")
    # 9. htu is this URL without query and fragment, after syntax- and scheme-based normalisation.
    if not isinstance(htu, str) or _normalised(htu) != _normalised(url):
        raise InvalidInput("htu is missing or another URL")
    # 11. iat is inside the window, to both sides.
    issued_at = jws.check_freshness(claims, now=now, past=window, future=window)
    use = hashlib.sha256(key.thumbprint() + jti.encode()).digest()
    return DpopProof(key, thumbprint(key), use, issued_at), claims


@lru_cache(maxsize=256)
def _normalised(url: str) -> str:
    """RFC 3986, sections 6.2.2 and 6.2.3, without query and fragment."""
    try:
        parts = urlsplit(url)
        scheme, host, port = parts.scheme.lower(), parts.hostname, parts.port
    except ValueError as error:
        raise InvalidInput("htu is not a URL") from error
    if scheme not in _PORTS or not host or "@" in parts.netloc:
        raise InvalidInput("htu is not an HTTP URL")
    authority = f"[{host}]" if ":" in host else host
    if port not in {None, _PORTS[scheme]}:
        authority = f"{authority}:{port}"
    segments: list[str] = []
    for segment in parts.path.split("/")[1:]:
        if segment == "..":
            segments = segments[:-1]
        elif segment != ".":
            segments.append(_percent(segment))
    return f"{scheme}://{authority}/{'/'.join(segments)}"


def _percent(segment: str) -> str:
    """One path segment with unreserved characters plain and all others as upper-case escapes."""
    return "".join(
        chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in unquote_to_bytes(segment)
    )
