"""COSE: one signature (COSE_Sign1), the key it verifies with, and the chain that vouches for it.

`alg` stands in the protected header alone; the certificates may stand in either header, but are
believed for their path only. Signatures are `r||s`, as in JOSE.
Specification: RFC 9052, sections 3, 4 and 7; RFC 9053, section 2.1; RFC 9360; PROFILE F-MD-03,
F-MD-05, ST-20.
"""

from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from ..crypto.document_signer import parse_x5chain
from ..crypto.keys import PublicKey, Signer
from ..errors import BadSignature, InvalidInput
from . import cbor

ALGORITHMS: Mapping[str, frozenset[int]] = {"ES256": frozenset({-7, -9})}
"""COSE numbers of what JOSE calls so: ES256 and the fully specified ESP256."""
ES256 = -7
_ALG, _CRIT, _TYPE, _X5CHAIN = 1, 2, 16, 33
_SIGN1 = 18
_ES256_ALONE: Mapping[Any, Any] = {_ALG: ES256}
_PROTECTED = cbor.dumps(_ES256_ALONE)
_SIGNATURE1 = b"\x84\x6aSignature1"
_EMPTY = b"\x40"
_USUAL = _SIGNATURE1 + b"\x43" + _PROTECTED + _EMPTY


Belief: TypeAlias = Callable[[], None]
"""Verifies one signature; raises BadSignature if it does not verify."""


class Sign1(NamedTuple):
    """A COSE_Sign1 as received; nothing of it is verified."""

    protected: bytes
    unverified_header: Mapping[Any, Any]
    """What the protected header says."""
    unprotected: Mapping[Any, Any]
    payload: bytes | None
    """None if detached."""
    signature: bytes

    @property
    def typ(self) -> object:
        """The media type of the whole (RFC 9596), unverified; None if it does not say."""
        return self.unverified_header.get(_TYPE)

    def unverified_chain(self) -> tuple[bytes, ...]:
        """The certificates of `x5chain`, leaf first.

        Raises:
            InvalidInput: there are none, or they stand in both headers.

        Specification: RFC 9360, section 2; PROFILE F-MD-03, S-21.
        """
        protected, unprotected = self.unverified_header, self.unprotected
        if (_X5CHAIN in protected) == (_X5CHAIN in unprotected):
            raise InvalidInput("COSE: not one x5chain")
        return parse_x5chain((unprotected if _X5CHAIN in unprotected else protected)[_X5CHAIN])

    def belief(
        self, key: PublicKey, *, algorithms: Collection[str], detached: bytes | None = None
    ) -> Belief:
        """The signature over all this, still to be verified with *key*.

        Args:
            key: of the signer.
            algorithms: what is accepted, by the names of JOSE.
            detached: the payload, if it is not carried.

        Raises:
            BadSignature: it is by another algorithm.
            InvalidInput: the payload is carried though it must not be, or is missing.

        Specification: RFC 9052, section 4.4.
        """
        payload = self.payload
        if (payload is None) == (detached is None):
            raise InvalidInput("COSE: the payload is not where it must be")
        header = self.unverified_header
        # The usual one is known without a look at the numbers.
        if header is not _ES256_ALONE or "ES256" not in algorithms:
            _check_algorithm(header.get(_ALG), algorithms)
        data = _to_be_signed(self.protected, payload or detached or b"")
        return partial(key.verify, self.signature, data)

    def verify(
        self, key: PublicKey, *, algorithms: Collection[str], detached: bytes | None = None
    ) -> None:
        """Believe the signature now; arguments and errors as of `belief`, and of what it gives."""
        self.belief(key, algorithms=algorithms, detached=detached)()


def _check_algorithm(number: object, algorithms: Collection[str]) -> None:
    for each in algorithms:
        if type(number) is int and number in ALGORITHMS.get(each, ()):
            return
    raise BadSignature("COSE: alg is not accepted")


def parse(value: object) -> Sign1:
    """Read the COSE_Sign1 in the decoded item *value*, tagged 18 or not.

    Raises:
        InvalidInput: not its shape, `alg` outside the protected header, or `crit`.

    Specification: RFC 9052, sections 3 and 4.2; PROFILE F-MD-03.
    """
    if isinstance(value, cbor.Tag) and value.tag == _SIGN1:
        value = value.value
    if not isinstance(value, (list, tuple)) or len(value) != 4:  # a tuple below a tag
        raise InvalidInput("COSE: not a COSE_Sign1")
    protected, unprotected, payload, signature = value
    if (
        type(protected) is not bytes
        or not isinstance(unprotected, (dict, Mapping))  # the first is the quick answer
        or not (payload is None or type(payload) is bytes)
        or type(signature) is not bytes
    ):
        raise InvalidInput("COSE: not a COSE_Sign1")
    header = _ES256_ALONE if protected == _PROTECTED else _header(protected, unprotected)
    if _ALG in unprotected:
        raise InvalidInput("COSE: a header parameter where it must not be")
    return Sign1(protected, header, unprotected, payload, signature)


def _header(protected: bytes, unprotected: Mapping[Any, Any]) -> Mapping[Any, Any]:
    header = cbor.loads(protected) if protected else {}
    if not isinstance(header, dict):
        raise InvalidInput("COSE: the protected header is not a map")
    if _CRIT in header or not header.keys().isdisjoint(unprotected):
        raise InvalidInput("COSE: a header parameter where it must not be")
    return header


def sign(payload: bytes, *, signer: Signer, typ: str | None = None, tagged: bool = False) -> bytes:
    """A COSE_Sign1 over *payload* with the signer's chain in the unprotected header.

    Args:
        payload: carried.
        signer: its certificates become `x5chain`.
        typ: the media type of the whole, for the protected header.
        tagged: with CBOR tag 18.

    Specification: RFC 9052, section 4.4; RFC 9360, section 2; RFC 9596; PROFILE F-MD-03, ST-20.
    """
    protected = _PROTECTED if typ is None else cbor.dumps({_ALG: ES256, _TYPE: typ})
    signature = signer.sign(_to_be_signed(protected, payload))
    return b"".join(
        (
            b"\xd2\x84" if tagged else b"\x84",
            cbor.head(2, len(protected)),
            protected,
            _unprotected(signer.certificates),
            cbor.head(2, len(payload)),
            payload,
            b"\x58\x40",
            signature,
        )
    )


def sign_detached(payload: bytes, *, signer: Signer) -> bytes:
    """A COSE_Sign1 over *payload*, which is not carried, by a key that is known otherwise."""
    signature = signer.sign(_to_be_signed(_PROTECTED, payload))
    return b"\x84\x43" + _PROTECTED + b"\xa0\xf6\x58\x40" + signature


def _unprotected(certificates: tuple[bytes, ...]) -> bytes:
    if not certificates:
        return b"\xa0"
    one = certificates[0] if len(certificates) == 1 else list(certificates)
    return cbor.dumps({_X5CHAIN: one})


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """`Sig_structure` (RFC 9052, section 4.4)."""
    first = _USUAL
    if protected != _PROTECTED:
        first = b"".join((_SIGNATURE1, cbor.head(2, len(protected)), protected, _EMPTY))
    return first + cbor.head(2, len(payload)) + payload


def encode_key(key: PublicKey) -> bytes:
    """The COSE_Key with its required members only (RFC 9053, section 7.1; F-MD-05)."""
    return b"\xa4\x01\x02\x20\x01\x21\x58\x20%b\x22\x58\x20%b" % (key.x, key.y)


def key_from_map(value: object) -> PublicKey:
    """Read a public COSE_Key; other members are neither needed nor minded, but `d` is refused.

    Raises:
        InvalidInput: not a P-256 key in uncompressed form, not on the curve, or a private one.

    Specification: RFC 9053, section 7.1; PROFILE C-07, F-MD-05.
    """
    if type(value) is not dict or value.get(1) != 2 or value.get(-1) != 1 or -4 in value:
        raise InvalidInput("COSE_Key: not a public P-256 key")
    x, y = value.get(-2), value.get(-3)
    if type(x) is not bytes or type(y) is not bytes:
        raise InvalidInput("COSE_Key: coordinates missing")
    return PublicKey.from_coordinates(x, y)
