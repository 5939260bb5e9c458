"""shared/formats/cose.py: signatures, keys and chains."""

from typing import Any

import pytest

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.errors import BadSignature, InvalidInput
from shared.formats import cbor, cose
from tests.support.certificates import Authority

ROOT = Authority.make()
SIGNER = ROOT.signer(Profile.MDOC_SIGNER)
ES256 = frozenset({"ES256"})
PAYLOAD = b"This is the content."


def signed(**changes: Any) -> list[Any]:
    value: list[Any] = cbor.loads(cose.sign(PAYLOAD, signer=SIGNER, **changes))
    return value


def check(value: object, **changes: Any) -> None:
    cose.parse(value).verify(SIGNER.public, **{"algorithms": ES256, **changes})


def test_what_is_signed_verifies() -> None:
    """F-MD-03: untagged, alg protected, x5chain unprotected; tag 18 is taken, too."""
    value = signed()
    assert cbor.loads(value[0]) == {1: -7}
    assert value[1] == {33: SIGNER.certificates[0]}
    assert value[2] == PAYLOAD
    check(value)
    check(cbor.Tag(18, value))
    assert cose.parse(value).unverified_chain() == SIGNER.certificates
    assert signed(typ="application/x")[1] == value[1]
    assert cose.parse(signed(typ="application/x")).typ == "application/x"
    assert cose.parse(value).typ is None


def test_the_signature_structure_is_the_specifications() -> None:
    """RFC 9052, section 4.4: ["Signature1", protected, h'', payload]."""
    protected, _, payload, signature = signed()
    structure = cbor.dumps(["Signature1", protected, b"", payload])
    SIGNER.public.verify(signature, structure)


def test_a_signature_of_another_project_verifies() -> None:
    """RFC 9052, appendix C.2.1 (cose-wg/Examples, sign1-tests/sign-pass-02 without its external
    data): ES256 over "This is the content."."""
    key = PublicKey.from_coordinates(
        bytes.fromhex("bac5b11cad8f99f9c72b05cf4b9e26d244dc189f745228255a219a86d6a09eff"),
        bytes.fromhex("20138bf82dc1b6d562be0fa54ab7804a3a64b6d72ccfed6b6fb6ed28bbfc117e"),
    )
    message = bytes.fromhex(
        "d28443a10126a10442313154546869732069732074686520636f6e74656e742e58408eb33e4ca31d1c465ab05a"
        "ac34cc6b23d58fef5c083106c4d25a91aef0b0117e2af9a291aa32e14ab834dc56ed2a223444547e01f11d3b09"
        "16e5a4c345cacb36"
    )
    cose.parse(cbor.loads(message)).verify(key, algorithms=ES256)


def test_a_chain_of_several_is_an_array() -> None:
    """RFC 9360, section 2."""
    two = SIGNER.with_certificates((*SIGNER.certificates, ROOT.certificate))
    value = cbor.loads(cose.sign(PAYLOAD, signer=two))
    assert value[1][33] == [*two.certificates]
    assert cose.parse(value).unverified_chain() == two.certificates
    bare = cbor.loads(cose.sign(PAYLOAD, signer=SoftwareKey.generate()))
    assert bare[1] == {}


def test_the_fully_specified_algorithm_is_taken() -> None:
    """F-MD-03: -9 is ES256 by its other name."""
    protected = cbor.dumps({1: -9})
    signature = SIGNER.sign(cbor.dumps(["Signature1", protected, b"", PAYLOAD]))
    check([protected, {}, PAYLOAD, signature])
    with pytest.raises(BadSignature):
        check([protected, {}, PAYLOAD, signature], algorithms=frozenset({"ES384"}))


@pytest.mark.parametrize(
    "protected", [b"", b"\xa0", *(cbor.dumps({1: alg}) for alg in (-8, 5, -7.0, "ES256", [-7], {}))]
)
def test_another_algorithm_is_refused(protected: bytes) -> None:
    """C-01: EdDSA, HMAC, none, and what is no number at all."""
    signature = SIGNER.sign(cbor.dumps(["Signature1", protected, b"", PAYLOAD]))
    with pytest.raises(BadSignature):
        check([protected, {}, PAYLOAD, signature])


def test_whatever_was_changed_is_noticed() -> None:
    protected, unprotected, payload, signature = signed()
    for changed in (
        [protected, unprotected, payload + b"!", signature],
        [cbor.dumps({1: -7, 4: b"k"}), unprotected, payload, signature],
        [protected, unprotected, payload, signature[:-1] + bytes([signature[-1] ^ 1])],
        [protected, unprotected, payload, signature[:-1]],
    ):
        with pytest.raises(BadSignature):
            check(changed)
    other = SoftwareKey.generate()
    with pytest.raises(BadSignature):
        cose.parse(signed()).verify(other.public, algorithms=ES256)


def test_a_detached_payload_comes_from_the_verifier_alone() -> None:
    """HB-20: null in its place; a payload in both places, or in none, is refused."""
    value = cbor.loads(cose.sign_detached(PAYLOAD, signer=SIGNER))
    assert value[1:3] == [{}, None]
    check(value, detached=PAYLOAD)
    with pytest.raises(BadSignature):
        check(value, detached=b"other")
    with pytest.raises(InvalidInput):
        check(value)
    with pytest.raises(InvalidInput):
        check(signed(), detached=PAYLOAD)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        [b"", {}, b""],
        [b"", {}, b"", b"", b""],
        ["", {}, b"", b""],
        [b"", [], b"", b""],
        [b"", {}, "", b""],
        [b"", {}, b"", None],
        [b"\x01", {}, b"", b""],
        [b"\xa1\x01\x26", {1: -7}, b"", b""],  # alg in both headers
        [b"", {1: -7}, b"", b""],  # alg outside of the protected one
        [cbor.dumps({1: -7, 2: [4]}), {}, b"", b""],  # crit
        [cbor.dumps({1: -7, 4: b"a"}), {4: b"b"}, b"", b""],  # one parameter twice
        cbor.Tag(17, [b"", {}, b"", b""]),
        cbor.Tag(18, None),
    ],
)
def test_what_is_no_signature_is_refused(value: object) -> None:
    """F-MD-03."""
    with pytest.raises(InvalidInput):
        cose.parse(value)


@pytest.mark.parametrize("chain", [None, [], b"", "x", [b"x"], [1], [b""] * 6, b"x" * 10_000])
def test_what_is_no_chain_is_refused(chain: object) -> None:
    """S-21: one to five certificates."""
    with pytest.raises(InvalidInput):
        cose.parse([b"", {33: chain}, b"", b""]).unverified_chain()


def test_a_chain_in_both_headers_or_none_is_refused() -> None:
    with pytest.raises(InvalidInput):
        cose.parse([b"", {}, b"", b""]).unverified_chain()
    protected = cbor.dumps({33: SIGNER.certificates[0]})
    assert cose.parse([protected, {}, b"", b""]).unverified_chain() == SIGNER.certificates


def test_a_key_goes_there_and_back() -> None:
    """F-MD-05: the four members and no others."""
    written = cbor.loads(cose.encode_key(SIGNER.public))
    assert written.keys() == {1, -1, -2, -3}
    assert cose.key_from_map({**written, 2: b"kid", 3: -7}) == SIGNER.public


@pytest.mark.parametrize(
    "changes",
    [{1: 1}, {-1: 2}, {-4: b"secret"}, {-2: b"short"}, {-3: True}, {-2: bytes(32), -3: bytes(32)}],
)
def test_what_is_no_public_key_is_refused(changes: dict[int, Any]) -> None:
    """C-07: a private member, another curve, a sign bit for y, a point that is none."""
    with pytest.raises(InvalidInput):
        cose.key_from_map({**cbor.loads(cose.encode_key(SIGNER.public)), **changes})
    with pytest.raises(InvalidInput):
        cose.key_from_map(None)
