"""SD-JWT: Disclosures and the Issuer-signed JWT that commits to them.

`parse` splits, `verify` believes: only Disclosures whose digest is reached from the signed payload
become claims (F-SD-08). Every string is kept as received; nothing is encoded again (C-34). The
KB-JWT is in `kb_jwt.py`.
Specification: RFC 9901, sections 4 and 7; PROFILE F-SD-01 to F-SD-09, C-02, S-21.
"""

import hashlib
import secrets
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from ..crypto.keys import PublicKey, Signer
from ..encoding import (
    JsonValue,
    RandomBytes,
    b64url_decode,
    b64url_encode,
    parse_json,
    parse_json_all,
)
from ..errors import InvalidInput, WrongDigest
from ..jose import jws
from ..jose.jws import CertifiedJwt, Jwt
from .claims_path import HIDDEN, ClaimPath, ConcretePath, select
from .concealing import CONTAINERS, RESERVED, concealed, uses_reserved

MAX_BYTES = 512 * 1024
MAX_DISCLOSURES = 500  # S-21
MAX_RECURSION = 8  # S-21
DEFAULT_HASH = "sha-256"
HASHES = {"sha-256": hashlib.sha256, "sha-384": hashlib.sha384, "sha-512": hashlib.sha512}  # C-02


def digest(text: str, algorithm: str = DEFAULT_HASH) -> str:
    """base64url of the hash over the ASCII bytes of *text* (RFC 9901, section 4.2.3; F-SD-03)."""
    return b64url_encode(HASHES[algorithm](text.encode("ascii")).digest())


@dataclass(frozen=True, slots=True)
class Disclosure:
    """One withheld claim: `[salt, name, value]`, or `[salt, value]` for an element of an array."""

    text: str
    salt: str
    name: str | None
    """None for an element of an array."""
    value: JsonValue
    """May itself hold `_sd` or `{"...": …}` (recursive Disclosures)."""

    @classmethod
    def parse(cls, text: str) -> "Disclosure":
        """Read a Disclosure as it stands between two tildes.

        Raises:
            InvalidInput: not base64url of a JSON array of two or three elements in their types.

        Specification: RFC 9901, sections 4.2.1 and 4.2.2; PROFILE F-SD-02.
        """
        parts = parse_json(b64url_decode(text), max_bytes=MAX_BYTES)
        if not isinstance(parts, list) or len(parts) not in {2, 3}:
            raise InvalidInput("Disclosure: not an array of two or three elements")
        salt, name = parts[0], parts[1] if len(parts) == 3 else None
        if not isinstance(salt, str) or (len(parts) == 3 and not isinstance(name, str)):
            raise InvalidInput("Disclosure: salt or claim name is not a string")
        return cls(text, salt, name, parts[-1])

    def digest(self, algorithm: str = DEFAULT_HASH) -> str:
        """What the Issuer-signed JWT holds in its place."""
        return digest(self.text, algorithm)


class SdJwt(NamedTuple):
    """An SD-JWT, split and not yet believed."""

    issuer_jwt: str
    disclosures: tuple[str, ...]
    kb_jwt: str | None

    @property
    def presented(self) -> str:
        """`<JWT>~<D1>~…~<Dn>~`: what `sd_hash` covers, without the KB-JWT."""
        return "~".join((self.issuer_jwt, *self.disclosures, ""))


def parse(text: str, *, max_bytes: int = MAX_BYTES) -> SdJwt:
    """Split an SD-JWT or SD-JWT+KB in its compact form.

    Raises:
        InvalidInput: no tilde, an empty part, too long, or more than 500 Disclosures.

    Specification: RFC 9901, section 4; PROFILE F-SD-01.
    """
    if len(text) > max_bytes or not text.isascii():
        raise InvalidInput("SD-JWT: too large, or not ASCII")
    *parts, last = text.split("~")
    if not parts or "" in parts:
        raise InvalidInput("SD-JWT: no tilde, or an empty part")
    if len(parts) > MAX_DISCLOSURES + 1:
        raise InvalidInput("SD-JWT: too many Disclosures")
    return SdJwt(parts[0], tuple(parts[1:]), last or None)


class VerifiedSdJwt(NamedTuple):
    """An SD-JWT whose signature verified and whose Disclosures all belong to it."""

    sd_jwt: SdJwt
    header: Mapping[str, JsonValue]
    claims: dict[str, JsonValue]
    """The Processed SD-JWT Payload: hidden claims and hidden array elements are gone."""
    in_place: dict[str, JsonValue]
    """The same, but a hidden array element still holds its place as `{"...": digest}`."""
    disclosed: tuple[tuple[ConcretePath, str], ...]
    """Where each Disclosure stands in *claims*, and its text."""
    hash_algorithm: str


def verify(
    sd_jwt: SdJwt | str, *, key: PublicKey, typ: str | Collection[str], algorithms: Collection[str]
) -> VerifiedSdJwt:
    """Believe an SD-JWT signed with *key*; the times in it and the KB-JWT are the caller's.

    Args:
        sd_jwt: the text, or what `parse` made of it.
        key: of the Issuer, found and trusted by the caller (step 2.3).
        typ: the one or several media types that are accepted, without "application/".
        algorithms: what is accepted as `alg`.

    Raises:
        BadSignature: signature, `alg` or `typ`.
        WrongDigest: the Disclosures and the signed digests do not fit.
        InvalidInput: not an SD-JWT.

    Specification: RFC 9901, section 7.1; PROFILE F-SD-07, F-SD-08.
    """
    # 1. Separate the Issuer-signed JWT and the Disclosures.
    parsed = parse(sd_jwt) if isinstance(sd_jwt, str) else sd_jwt
    # 2. The signature, with an allowed algorithm and the key the caller trusts.
    jwt = jws.verify_jwt(parsed.issuer_jwt, key=key, typ=typ, algorithms=algorithms)
    return process(parsed, jwt)


def process(sd_jwt: SdJwt, jwt: Jwt | CertifiedJwt) -> VerifiedSdJwt:
    """Steps 2.4 to 5 of RFC 9901, section 7.1, once the Issuer-signed *jwt* is verified.

    Raises:
        WrongDigest: the Disclosures and the signed digests do not fit.
        InvalidInput: a Disclosure or the payload does not have its shape.

    Specification: RFC 9901, section 7.1; PROFILE F-SD-07, F-SD-08.
    """
    # 2.4 The hash algorithm is known and strong.
    algorithm = jwt.claims.get("_sd_alg", DEFAULT_HASH)
    if not isinstance(algorithm, str) or algorithm not in HASHES:
        raise WrongDigest("SD-JWT: the hash algorithm is not accepted")
    # 3.1 The digest of each Disclosure, over its text.
    texts, hashed = sd_jwt.disclosures, HASHES[algorithm]
    contents = parse_json_all(texts, max_bytes=MAX_BYTES)
    reader = _Reader(
        {
            b64url_encode(hashed(text.encode()).digest()): (text, content)
            for text, content in zip(texts, contents, strict=True)
        }
    )
    # 3.2, 3.3 Find the embedded digests and put the disclosed values where they stand, recursively;
    # 4. a digest that occurs twice is refused on the way; 3.5, 3.6 leave out `_sd` and `_sd_alg`.
    in_place = reader.payload(jwt)
    # 5. Every Disclosure was referenced, once.
    if len(reader.found) != len(texts):
        raise WrongDigest("SD-JWT: a Disclosure has no digest in the payload, or is there twice")
    # 3.4 Hidden array elements are removed.
    claims = _without_hidden(in_place) if reader.hidden else in_place
    return VerifiedSdJwt(sd_jwt, jwt.header, claims, in_place, tuple(reader.found), algorithm)


class _Reader:
    """Puts Disclosures where their digests stand (RFC 9901, section 7.1, step 3)."""

    __slots__ = ("by_digest", "found", "hidden", "seen")

    def __init__(self, by_digest: dict[str, tuple[str, Any]]) -> None:
        self.by_digest = by_digest  # text and contents of each Disclosure
        self.found: list[tuple[ConcretePath, str]] = []
        self.seen: set[str] = set()
        self.hidden = False

    def payload(self, jwt: Jwt | CertifiedJwt) -> dict[str, JsonValue]:
        claims, signed = dict(jwt.claims), jwt.payload
        own = claims.pop("_sd_alg", None) is not None
        # The usual case, told by the text: no digest below the top, so nothing to look for there.
        if signed.count(b'"_sd') == own + ("_sd" in claims) and not (
            b'"..."' in signed or b"\\" in signed
        ):
            return self.claims(claims, (), 0)
        return self.object(claims, (), 0)

    def object(
        self, source: Mapping[str, JsonValue], path: ConcretePath, depth: int
    ) -> dict[str, JsonValue]:
        result = dict(source)
        for name, value in source.items():
            if type(value) in CONTAINERS and name != "_sd" and uses_reserved(value):
                result[name] = self.value(value, (*path, name), depth)
        if HIDDEN in result or "_sd_alg" in result:
            raise WrongDigest("SD-JWT: a reserved name is used as a claim")
        return self.claims(result, path, depth)

    def claims(
        self, result: dict[str, JsonValue], path: ConcretePath, depth: int
    ) -> dict[str, JsonValue]:
        if "_sd" in result:
            for each in self.disclosed(result.pop("_sd"), depth):
                text, parts = self.by_digest[each]
                if type(parts) is not list or len(parts) != 3:
                    raise WrongDigest("SD-JWT: a Disclosure in _sd has not three elements")
                salt, name, value = parts
                if type(salt) is not str or type(name) is not str:
                    raise WrongDigest("SD-JWT: salt or claim name is not a string")
                if name in result or name in RESERVED:
                    raise WrongDigest("SD-JWT: a disclosed claim is reserved or already there")
                self.found.append(((*path, name), text))
                if type(value) in CONTAINERS and uses_reserved(value):
                    value = self.value(value, (*path, name), depth + 1)
                result[name] = value
        return result

    def array(self, source: list[Any], path: ConcretePath, depth: int) -> list[JsonValue]:
        result: list[JsonValue] = []
        shown = 0
        for each in source:
            if type(each) is dict and HIDDEN in each:
                value = self.element(each, (*path, shown), depth)
                if value is each:
                    self.hidden = True
                    shown -= 1
                result.append(value)
            else:
                result.append(self.value(each, (*path, shown), depth))
            shown += 1
        return result

    def element(self, placeholder: dict[str, Any], path: ConcretePath, depth: int) -> JsonValue:
        if len(placeholder) != 1:
            raise WrongDigest("SD-JWT: a hidden element has other members")
        for each in self.disclosed([placeholder[HIDDEN]], depth):
            text, parts = self.by_digest[each]
            if type(parts) is not list or len(parts) != 2 or type(parts[0]) is not str:
                raise WrongDigest("SD-JWT: the Disclosure of an element is not [salt, value]")
            self.found.append((path, text))
            return self.value(parts[1], path, depth + 1)
        return placeholder

    def value(self, value: JsonValue, path: ConcretePath, depth: int) -> JsonValue:
        if type(value) is dict:
            return self.object(value, path, depth)
        return self.array(value, path, depth) if type(value) is list else value

    def disclosed(self, digests: Any, depth: int) -> list[str]:
        """Those of *digests* that a Disclosure has; all of them are met for the first time."""
        try:
            "".join(digests)  # the shortest way to learn that all are strings
        except TypeError as error:
            raise WrongDigest("SD-JWT: an embedded digest is not a string") from error
        if type(digests) is not list:
            raise WrongDigest("SD-JWT: _sd is not an array")
        met = set(digests)
        if len(met) != len(digests) or not met.isdisjoint(self.seen):
            raise WrongDigest("SD-JWT: a digest occurs twice")
        self.seen |= met
        found = sorted(met.intersection(self.by_digest))
        if found and depth == MAX_RECURSION:
            raise InvalidInput("SD-JWT: Disclosures nested too deeply")
        return found


def _without_hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_hidden(each) for name, each in value.items()}
    if isinstance(value, list):
        return [
            _without_hidden(each)
            for each in value
            if not (isinstance(each, dict) and HIDDEN in each)
        ]
    return value


def needed(
    disclosed: Collection[tuple[ConcretePath, str]], places: Collection[ConcretePath]
) -> list[str]:
    """The Disclosures that show *places*: each on the way there, and each below (F-CP-03, F-SD-09).

    Args:
        disclosed: as in `VerifiedSdJwt`.
        places: concrete paths in the same claims.
    """
    chosen = set(places)
    above = {each[:length] for each in chosen for length in range(1, len(each) + 1)}
    return [
        text
        for path, text in disclosed
        if path in above or any(path[:length] in chosen for length in range(1, len(path)))
    ]


def present(verified: VerifiedSdJwt, *, paths: Collection[ClaimPath]) -> str:
    """`<JWT>~<D>~…~` with what *paths* show and nothing else that can be withheld; no KB-JWT yet.

    Raises:
        InvalidInput: a path leads nowhere.

    Specification: RFC 9901, section 7.2; PROFILE F-SD-09, F-CP-03, Q-24.
    """
    places = [place for path in paths for place, _ in select(verified.claims, path)]
    return "~".join((verified.sd_jwt.issuer_jwt, *needed(verified.disclosed, places), ""))


def issue(
    claims: Mapping[str, JsonValue],
    *,
    conceal: Collection[ClaimPath],
    typ: str,
    signer: Signer,
    decoys: int = 0,
    header: Mapping[str, JsonValue] | None = None,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> str:
    """Sign *claims* as an SD-JWT whose claims at *conceal* the Holder may withhold.

    Args:
        claims: the JWT payload, `cnf` included; times in seconds since 1970 UTC.
        conceal: paths such as ("address", "locality") or ("nationalities", None); one below another
            is recursive.
        typ: the media type without "application/", for example "dc+sd-jwt".
        signer: of the Issuer; its certificates become `x5c`.
        decoys: false digests added to each `_sd`, where the number of claims is itself sensitive.
        header: further header parameters.
        random_bytes: for salts and decoys.

    Returns:
        `<Issuer-signed JWT>~<Disclosure>~…~`, ending in "~" because it carries no KB-JWT.

    Raises:
        InvalidInput: a path leads nowhere, or *claims* already uses `_sd` or `...`.

    Specification: RFC 9901, sections 4.1, 4.2 and 4.2.6; PROFILE F-SD-02 to F-SD-06.
    """
    payload, disclosures = concealed(claims, tuple(conceal), decoys, random_bytes)
    if disclosures:
        payload["_sd_alg"] = DEFAULT_HASH
    jwt = jws.sign_jwt(payload, typ=typ, signer=signer, header=header)
    return b"~".join((jwt.encode(), *disclosures, b"")).decode()
