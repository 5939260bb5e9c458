"""JWS in compact form and JWT: strict to read, explicit to verify.

A verifier names `typ`, algorithms and where the key comes from, so that no token of one kind passes
for another (S-04). `alg` is chosen by the verifier's list, never by the message (C-03); nothing in
a header is fetched (C-11). Specification: RFC 7515, RFC 7519, RFC 8725; PROFILE C-01, C-03, C-06,
C-30, C-31, C-40.
"""

import base64
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from types import MappingProxyType
from typing import NamedTuple

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile, VerifiedChain, parse_x5c, verify_chain
from ..encoding import (
    MAX_STRING,
    JsonValue,
    b64url_decode,
    b64url_encode,
    dump_json,
    from_numeric_date,
    parse_json_object,
)
from ..errors import BadSignature, Expired, InvalidInput, NotYetValid

ALGORITHMS = frozenset({"ES256"})  # C-01, C-03: what this system can verify at all
MAX_BYTES = 128 * 1024  # S-20: a Request Object, the largest JWT but a status list
_MAX_HEADER = 64 * 1024
_REMEMBERED_HEADER = 8 * 1024
_REFUSED_HEADERS = ("crit", "b64")
_SKEW = timedelta(seconds=60)  # C-40: how far an iat may be in the future


class UnverifiedJws(NamedTuple):
    """A compact JWS taken apart; nothing in it is to be believed."""

    header: Mapping[str, JsonValue]
    payload: bytes
    signing_input: bytes
    signature: bytes

    def unverified_claims(self, *, max_string: int = MAX_STRING) -> dict[str, JsonValue]:
        """The payload as a JSON object, only to find out which key to ask for.

        Raises:
            InvalidInput: it is no strict JSON object.

        Specification: RFC 7519, section 7.2, step 10.
        """
        return parse_json_object(self.payload, max_bytes=len(self.payload), max_string=max_string)


class Jwt(NamedTuple):
    """A JWT whose signature, `typ` and algorithm were verified. Its times and names were not."""

    header: Mapping[str, JsonValue]
    claims: dict[str, JsonValue]
    payload: bytes
    """*claims* as they were signed."""


class CertifiedJwt(NamedTuple):
    """A JWT whose key came from a verified `x5c`; else as `Jwt`."""

    header: Mapping[str, JsonValue]
    claims: dict[str, JsonValue]
    payload: bytes
    chain: VerifiedChain


def sign_jwt(
    claims: Mapping[str, JsonValue],
    *,
    typ: str,
    signer: Signer,
    header: Mapping[str, JsonValue] | None = None,
) -> str:
    """Sign *claims* as a compact JWT with ES256.

    Args:
        claims: the payload; times in whole seconds since 1970 UTC.
        typ: the media type without "application/", for example "dc+sd-jwt".
        signer: its certificates, if it has any, become `x5c`.
        header: further members, such as `jwk` or `kid`.

    Specification: RFC 7515, section 7.1; RFC 8725, section 3.11; PROFILE C-01, C-21.
    """
    if header:
        members: dict[str, JsonValue] = {"alg": "ES256", "typ": typ, **header}
        if signer.certificates:
            members["x5c"] = _x5c(signer.certificates)
        head = b64url_encode(dump_json(members))
    else:
        head = _plain_header(typ, signer.certificates)
    signing_input = f"{head}.{b64url_encode(dump_json(claims))}"
    return f"{signing_input}.{b64url_encode(signer.sign(signing_input.encode()))}"


@lru_cache(maxsize=512)
def _plain_header(typ: str, certificates: tuple[bytes, ...]) -> str:
    members: dict[str, JsonValue] = {"alg": "ES256", "typ": typ}
    if certificates:
        members["x5c"] = _x5c(certificates)
    return b64url_encode(dump_json(members))


def _x5c(certificates: Sequence[bytes]) -> list[JsonValue]:
    return [base64.b64encode(each).decode() for each in certificates]


def parse_jws(token: str, *, max_bytes: int) -> UnverifiedJws:
    """Take a compact JWS apart.

    Raises:
        InvalidInput: not three base64url parts, a header that is no strict JSON object or lacks a
            string `alg`, `crit` (we understand no critical member), `b64`, or a `typ` that is no
            string.

    Specification: RFC 7515, sections 4 and 5.2; RFC 7797, section 6; PROFILE C-30, C-31, S-20.
    """
    if len(token) > max_bytes:
        raise InvalidInput("JWS: too large")
    parts = token.split(".")
    if len(parts) != 3:
        raise InvalidInput("JWS: not three parts")
    head, payload, signature = parts
    return UnverifiedJws(
        (_read_header if len(head) <= _REMEMBERED_HEADER else _parse_header)(head),
        b64url_decode(payload),
        token[: -len(signature) - 1].encode(),
        b64url_decode(signature),
    )


def _parse_header(text: str) -> Mapping[str, JsonValue]:
    header = parse_json_object(b64url_decode(text), max_bytes=_MAX_HEADER)
    if not isinstance(header.get("alg"), str) or not isinstance(header.get("typ", ""), str):
        raise InvalidInput("JWS: header without alg, or typ is no string")
    if any(each in header for each in _REFUSED_HEADERS):
        raise InvalidInput("JWS: header member crit or b64")
    return MappingProxyType(header)


# Issuers repeat their headers, chain and all; what was refused is not remembered.
_read_header = lru_cache(maxsize=1024)(_parse_header)


def verify_jwt(
    token: str | UnverifiedJws,
    *,
    key: PublicKey,
    typ: str | Collection[str],
    algorithms: Collection[str],
    max_bytes: int = MAX_BYTES,
) -> Jwt:
    """Believe a JWT because *key* signed it as *typ*.

    Args:
        token: compact form, or what `parse_jws` made of it.
        key: whose it must be, known from elsewhere.
        typ: the accepted type or types, compared exactly.
        algorithms: the accepted `alg` values; only ES256 exists here.
        max_bytes: limit for a *token* that is not parsed yet.

    Raises:
        InvalidInput: not a JWS, or its payload is no strict JSON object.
        BadSignature: another `typ` or algorithm, or the signature does not verify.

    Specification: RFC 7515, section 5.2; RFC 7519, section 7.2; RFC 8725, sections 3.1 and 3.11.
    """
    jws = token if isinstance(token, UnverifiedJws) else parse_jws(token, max_bytes=max_bytes)
    _check_header(jws, typ, algorithms)
    key.verify(jws.signature, jws.signing_input)
    payload = jws.payload
    return Jwt(jws.header, parse_json_object(payload, max_bytes=len(payload)), payload)


def verify_x5c_jwt(
    token: str | UnverifiedJws,
    *,
    typ: str | Collection[str],
    algorithms: Collection[str],
    anchors: Collection[bytes],
    profile: Profile,
    now: datetime,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
    max_bytes: int = MAX_BYTES,
    max_string: int = MAX_STRING,
) -> CertifiedJwt:
    """Believe a JWT because the leaf of its `x5c` signed it, and a path leads to one of *anchors*.

    Args:
        token: compact form, or what `parse_jws` made of it.
        typ: the accepted type or types, compared exactly.
        algorithms: the accepted `alg` values; only ES256 exists here.
        anchors: as in `verify_chain`, like the next four.
        profile: what the leaf signs.
        now: aware.
        revoked: thumbprints that are refused.
        pinned: leaves that need no path.
        max_bytes: limit for a *token* that is not parsed yet.
        max_string: limit of one string in the payload; a status list is longer than 64 KiB.

    Raises:
        InvalidInput: not a JWS, no usable `x5c`, or the payload is no strict JSON object.
        Untrusted: no path to an anchor.
        BadSignature: another `typ` or algorithm, or the signature does not verify.

    Specification: RFC 7515, sections 4.1.6 and 5.2; HAIP 1.0, section 6.1.1; PROFILE C-20 to C-22.
    """
    jws = token if isinstance(token, UnverifiedJws) else parse_jws(token, max_bytes=max_bytes)
    # 1. The right kind of token, by an allowed algorithm.
    _check_header(jws, typ, algorithms)
    # 2. The key: from the protected header's chain, to an anchor of the role.
    chain = verify_chain(
        parse_x5c(jws.header.get("x5c")),
        anchors=anchors,
        profile=profile,
        now=now,
        revoked=revoked,
        pinned=pinned,
    )
    # 3. The signature, by the leaf's key.
    chain.public.verify(jws.signature, jws.signing_input)
    claims = jws.unverified_claims(max_string=max_string)
    return CertifiedJwt(jws.header, claims, jws.payload, chain)


def _check_header(
    jws: UnverifiedJws, typ: str | Collection[str], algorithms: Collection[str]
) -> None:
    found = jws.header.get("typ")
    if found != typ and (isinstance(typ, str) or found not in typ):
        raise BadSignature("JWS: another typ than expected")
    algorithm = jws.header["alg"]
    if algorithm not in algorithms or algorithm not in ALGORITHMS:
        raise BadSignature("JWS: the algorithm is not allowed")


def check_times(
    claims: Mapping[str, JsonValue],
    *,
    now: datetime,
    leeway: timedelta,
    require: Collection[str] = (),
) -> None:
    """Check `exp`, `nbf` and `iat` where present; those in *require* must be.

    Args:
        claims: of a verified JWT.
        now: aware.
        leeway: for `exp` and `nbf`; PROFILE C-40 gives 30 s for credentials and attestations.
        require: names of claims that must be there.

    Raises:
        InvalidInput: one is missing, or no integer (C-42).
        Expired: *now* is at `exp` plus leeway, or later.
        NotYetValid: *now* is before `nbf` less leeway, or more than 60 s before `iat`.

    Specification: RFC 7519, sections 4.1.4 to 4.1.6; PROFILE C-40, C-42.
    """
    for name in require:
        if name not in claims:
            raise InvalidInput(f"JWT: {name} is missing")
    if "exp" in claims and now >= from_numeric_date(claims["exp"]) + leeway:
        raise Expired("JWT: exp has passed")
    if "nbf" in claims and now < from_numeric_date(claims["nbf"]) - leeway:
        raise NotYetValid("JWT: nbf is to come")
    if "iat" in claims and from_numeric_date(claims["iat"]) > now + _SKEW:
        raise NotYetValid("JWT: iat is in the future")


def check_freshness(
    claims: Mapping[str, JsonValue], *, now: datetime, past: timedelta, future: timedelta
) -> datetime:
    """Check that `iat` is at most *past* ago and at most *future* ahead.

    Raises:
        InvalidInput: `iat` is missing or no integer.
        Expired: too long ago.
        NotYetValid: too far ahead.

    Specification: PROFILE C-41 gives the windows of each kind of proof.
    """
    issued = from_numeric_date(claims.get("iat"))
    if issued < now - past:
        raise Expired("JWT: iat is too long ago")
    if issued > now + future:
        raise NotYetValid("JWT: iat is too far ahead")
    return issued
