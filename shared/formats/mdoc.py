"""mdoc, `mso_mdoc`: data elements, each hashed, and the Mobile Security Object that signs them.

What was hashed or signed is kept as received and never encoded again (C-34). The Issuer's key comes
from `x5chain` alone. Dates are rounded down to the UTC day (I-115).
Specification: ISO/IEC 18013-5, sections 9.1.2 and 9.3.1; OpenID4VCI 1.0, A.2; PROFILE F-MD-01 to
F-MD-09.
"""

import hashlib
import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from ..crypto import x509
from ..crypto.document_signer import check_place
from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile, VerifiedChain
from ..encoding import JsonValue, RandomBytes, b64url_encode, start_of_day
from ..errors import InvalidInput, Untrusted, WrongDigest
from . import cbor, cose, elements
from .elements import Element
from .status_list import MAX_URI, StatusReference, status_reference
from .values import IdentifierReference, Trusted, Validity

FORMAT = "mso_mdoc"
_HASHES = {"SHA-256": hashlib.sha256, "SHA-384": hashlib.sha384, "SHA-512": hashlib.sha512}
_VERSION = "1.0"
_RANDOM = 16  # F-MD-02
_MAX_ELEMENTS = 1000  # S-21
_MAX_NAME = 1024
_PLACE = frozenset({"issuing_country", "issuing_jurisdiction"})

Item: TypeAlias = tuple[str, str, bytes]
"""Namespace, element, and `IssuerSignedItemBytes` as received."""


def issue(
    namespaces: Collection[tuple[str, Collection[Element]]],
    *,
    doctype: str,
    holder: PublicKey,
    status: StatusReference | None,
    issued_at: datetime,
    expires_at: datetime,
    signer: Signer,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> str:
    """Sign elements as an `IssuerSigned`.

    Args:
        namespaces: as `Elements.encode` gives them.
        doctype: the type.
        holder: becomes `deviceKey`.
        status: its place in a status list.
        issued_at: becomes `signed` and `validFrom`, rounded down to the UTC day.
        expires_at: becomes `validUntil`, rounded down, and never later than the signer's
            certificate ends.
        signer: with its certificates, which become `x5chain`.
        random_bytes: for the randoms, the order of digests and the decoys.

    Returns:
        base64url of CBOR.

    Raises:
        InvalidInput: the signer has no certificate, or the document ends before it begins.

    Specification: ISO/IEC 18013-5, section 9.1.2; PROFILE F-MD-01 to F-MD-06, F-MD-08, I-115.
    """
    if not signer.certificates:
        raise InvalidInput("mdoc: the signer has no certificate")
    times = _times(start_of_day(issued_at), start_of_day(expires_at), signer.certificates[0])
    shown, digests = [cbor.head(5, len(namespaces))], [cbor.head(5, len(namespaces))]
    for namespace, contents in namespaces:
        items, hashed = _items(contents, random_bytes)
        shown += (cbor.text(namespace), cbor.head(4, len(items)), *items)
        digests += (cbor.text(namespace), *hashed)
    security = b"".join(
        (
            b"\xa6" if status is None else b"\xa7\x66status" + cbor.dumps(status.to_claim()),
            b"\x67docType",
            cbor.text(doctype),
            b"\x67version\x631.0",
            times,
            b"\x6cvalueDigests",
            *digests,
            b"\x6ddeviceKeyInfo\xa1\x69deviceKey",
            cose.encode_key(holder),
            b"\x6fdigestAlgorithm\x67SHA-256",
        )
    )
    auth = cose.sign(cbor.embed(security), signer=signer)
    return b64url_encode(b"".join((b"\xa2\x6aissuerAuth", auth, b"\x6anameSpaces", *shown)))


@lru_cache(maxsize=1024)
def _times(begins: datetime, ends: datetime, certificate: bytes) -> bytes:
    """`validityInfo` of whole days, inside the certificate's."""
    not_before, not_after = x509.validity(certificate)
    ends = min(ends, start_of_day(not_after))
    if ends <= begins:
        raise InvalidInput("mdoc: ends before it begins")
    if begins < not_before:
        raise InvalidInput("mdoc: begins before its signer's certificate")
    first, last = (
        cbor.Tag(cbor.TDATE, each.strftime("%Y-%m-%dT%H:%M:%SZ")) for each in (begins, ends)
    )
    validity = {"signed": first, "validFrom": first, "validUntil": last}
    return b"\x6cvalidityInfo" + cbor.dumps(validity)


def _items(
    contents: Collection[Element], random_bytes: RandomBytes
) -> tuple[list[bytes], list[bytes]]:
    """The items of one namespace; and the map of its digests among decoys, by number."""
    places = -(-len(contents) // 4) * 4
    chance = random_bytes(places * (8 + 32) + len(contents) * _RANDOM)
    order = sorted(range(places), key=lambda at: chance[at * 8 : at * 8 + 8])
    digests = [chance[at : at + 32] for at in range(places * 8, places * 40, 32)]
    items, at = [], places * 40
    for number, (name, value) in zip(order, contents, strict=False):
        item = cbor.embed(
            b"".join(
                (
                    b"\xa4\x66random\x50",
                    chance[at : at + _RANDOM],
                    _numbered(number),
                    cbor.text(value) if type(value) is str else cbor.dumps(value, sort=True),
                    _named(name),
                )
            )
        )
        at += _RANDOM
        items.append(item)
        digests[number] = hashlib.sha256(item).digest()
    hashed = [cbor.head(5, places)]
    for number, digest in enumerate(digests):
        hashed += (cbor.head(0, number), b"\x58\x20", digest)
    return items, hashed


@lru_cache(maxsize=1024)
def _numbered(number: int) -> bytes:
    return b"\x68digestID" + cbor.head(0, number) + b"\x6celementValue"


@lru_cache(maxsize=1024)
def _named(element: str) -> bytes:
    return b"\x71elementIdentifier" + cbor.text(element)


class IssuerSigned(NamedTuple):
    """As received; nothing of it is verified."""

    namespaces: tuple[tuple[str, int], ...]
    """Each with the number of its items."""
    items: tuple[bytes, ...]
    """What stands inside each `IssuerSignedItemBytes`, in the order of *namespaces*."""
    auth: cose.Sign1


def parse(value: object) -> IssuerSigned:
    """Read the `IssuerSigned` in the decoded item *value*.

    Raises:
        InvalidInput: not its shape, or more than 1 000 elements.

    Specification: ISO/IEC 18013-5, sections 8.3.2.1.2.2 and 9.1.2; PROFILE F-MD-08, S-21.
    """
    if type(value) is not dict:
        raise InvalidInput("mdoc: IssuerSigned is not a map")
    namespaces = value.get("nameSpaces", {})
    if type(namespaces) is not dict:
        raise InvalidInput("mdoc: nameSpaces is not a map")
    counts: list[tuple[str, int]] = []
    items: list[bytes] = []
    for namespace, contents in namespaces.items():
        if type(namespace) is not str or type(contents) is not list or not contents:
            raise InvalidInput("mdoc: a namespace is not a name with items")
        counts.append((namespace, len(contents)))
        items += map(cbor.embedded, contents)
    if len(items) > _MAX_ELEMENTS:
        raise InvalidInput("mdoc: too many elements")
    return IssuerSigned(tuple(counts), tuple(items), cose.parse(value.get("issuerAuth")))


class VerifiedMdoc(NamedTuple):
    """An mdoc whose signature, chain, digests and times were verified; not yet its status."""

    doctype: str
    claims: dict[str, JsonValue]
    """By namespace and element, as JSON."""
    items: tuple[Item, ...]
    digest_algorithm: str
    chain: VerifiedChain
    holder: PublicKey
    status: StatusReference | IdentifierReference | None
    validity: Validity


def verify(
    signed: IssuerSigned, *, trusted: Trusted, now: datetime, algorithms: Collection[str]
) -> VerifiedMdoc:
    """Believe an mdoc for what its Issuer says; who shows it is `device_response`'s.

    Args:
        signed: from `parse`.
        trusted: of the role credential, best narrowed to the issuers of the expected type.
        now: aware.
        algorithms: what is accepted, by the names of JOSE.

    Raises:
        Untrusted, WrongDigest, Expired, NotYetValid, BadSignature: what the name says.
        InvalidInput: not an mdoc.

    Specification: ISO/IEC 18013-5, section 9.3.1; PROFILE F-MD-01, F-MD-03 to F-MD-07.
    """
    chain, believe = signer(signed, trusted=trusted, now=now, algorithms=algorithms)
    believe()
    return read(signed, chain=chain, now=now)


def signer(
    signed: IssuerSigned, *, trusted: Trusted, now: datetime, algorithms: Collection[str]
) -> tuple[VerifiedChain, cose.Belief]:
    """Steps 1 and 2 of `verify`: whose it is, and what believes the signature."""
    # 1. The certificate in x5chain, by a path to an anchor of the role.
    chain = x509.verify_chain(
        signed.auth.unverified_chain(),
        anchors=trusted.anchors,
        profile=Profile.MDOC_SIGNER,
        now=now,
        revoked=trusted.revoked,
        pinned=trusted.pinned,
    )
    # 2. The signature over the Mobile Security Object.
    return chain, signed.auth.belief(chain.public, algorithms=algorithms)


def read(signed: IssuerSigned, *, chain: VerifiedChain, now: datetime) -> VerifiedMdoc:
    """Steps 3 to 6 of `verify`: what counts if the signature verifies."""
    contents = cbor.loads_all((cbor.unembed(signed.auth.payload or b""), *signed.items))
    security = contents.pop(0)
    if type(security) is not dict or security.get("version") != _VERSION:
        raise InvalidInput("mdoc: not a Mobile Security Object of version 1.0")
    # 3. Each element against its digest.
    algorithm = security.get("digestAlgorithm")
    digests = security.get("valueDigests")
    claims, items = _elements(signed, contents, algorithm, digests)
    # 4. The type (whether it is the expected one is the caller's), the key, the status.
    doctype = security.get("docType")
    if type(doctype) is not str or not 1 <= len(doctype) <= _MAX_NAME:
        raise InvalidInput("mdoc: docType is missing or no text")
    holder = _device_key(security.get("deviceKeyInfo"))
    status = _status(security)
    # 5. Its times: signed inside the signer's validity, and it counts now.
    validity = _validity(security.get("validityInfo"))
    if not chain.not_before <= validity.issued_at <= chain.not_after:
        raise Untrusted("mdoc: signed outside of its signer's validity")
    validity.check(now)
    # 6. The place of issue, if it was shown, is the signer's.
    for each in claims.values():
        if isinstance(each, dict) and not _PLACE.isdisjoint(each):
            check_place(
                chain,
                country=each.get("issuing_country"),
                jurisdiction=each.get("issuing_jurisdiction"),
            )
    return VerifiedMdoc(doctype, claims, items, str(algorithm), chain, holder, status, validity)


def _elements(
    signed: IssuerSigned, contents: list[Any], algorithm: object, digests: object
) -> tuple[dict[str, JsonValue], tuple[Item, ...]]:
    if type(algorithm) is not str or algorithm not in _HASHES or type(digests) is not dict:
        raise InvalidInput("mdoc: no digests, or by an algorithm not known here")
    make = _HASHES[algorithm]
    claims: dict[str, JsonValue] = {}
    items: list[Item] = []
    pairs = zip(signed.items, contents, strict=True)
    for namespace, count in signed.namespaces:
        known = digests.get(namespace)
        if type(known) is not dict:
            raise WrongDigest("mdoc: a namespace is not one that was signed")
        found: dict[str, JsonValue] = {}
        claims[namespace] = found
        for content, item in islice(pairs, count):
            if type(item) is not dict:
                raise InvalidInput("mdoc: an element is not a map")
            try:
                number, name, value = (
                    item["digestID"],
                    item["elementIdentifier"],
                    item["elementValue"],
                )
                random = item["random"]
            except KeyError as error:
                raise InvalidInput("mdoc: an element is not complete") from error
            if (
                type(number) is not int
                or number < 0  # others number beyond 2^31, which the standard forbids them
                or type(name) is not str
                or type(random) is not bytes
            ):
                raise InvalidInput("mdoc: an element is not complete")
            whole = cbor.embed(content)
            if known.get(number) != make(whole).digest():
                raise WrongDigest("mdoc: an element is not the one that was signed")
            if name in found:
                raise WrongDigest("mdoc: an element occurs twice")
            found[name] = value if type(value) is str else elements.to_json(value)
            items.append((namespace, name, whole))
    return claims, tuple(items)


def _device_key(info: object) -> PublicKey:
    return cose.key_from_map(info.get("deviceKey") if isinstance(info, dict) else None)


def _status(security: Mapping[str, Any]) -> StatusReference | IdentifierReference | None:
    """F-MD-06: a status list is evaluated; an identifier list is understood, and tells nothing."""
    status = security.get("status")
    other = status.get("identifier_list") if isinstance(status, dict) else None
    if other is None or "status_list" in security["status"]:
        return status_reference(security)
    if (
        not isinstance(other, dict)
        or not isinstance(other.get("id"), bytes)
        or not isinstance(other.get("uri"), str)
        or not 1 <= len(other["id"]) <= _MAX_NAME
        or not 1 <= len(other["uri"]) <= MAX_URI
    ):
        raise InvalidInput("mdoc: identifier_list is not as it must be")
    return IdentifierReference(other["id"], other["uri"])


class _Times(Validity):
    """All three are there."""

    issued_at: datetime
    not_before: datetime
    expires_at: datetime


def _validity(info: object) -> _Times:
    if not isinstance(info, dict):
        raise InvalidInput("mdoc: no validityInfo")
    return _times_of(
        _tdate(info.get("signed")), _tdate(info.get("validFrom")), _tdate(info.get("validUntil"))
    )


def _tdate(value: object) -> str:
    if type(value) is cbor.Tag and value.tag == cbor.TDATE and type(text := value.value) is str:
        return text
    raise InvalidInput("mdoc: a time is not a tdate")


@lru_cache(maxsize=1024)
def _times_of(*texts: str) -> _Times:
    signed, begins, ends = map(_read_tdate, texts)
    if begins < signed or ends <= begins:
        raise InvalidInput("mdoc: its times are not in order")
    return _Times(signed, begins, ends)


def _read_tdate(text: str) -> datetime:
    try:
        if not elements.TDATE.fullmatch(text):
            raise ValueError(text)
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidInput("mdoc: a time is not UTC in whole seconds") from error
