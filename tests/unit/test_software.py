"""shared/crypto/software.py: private keys in memory and in files."""

import base64

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_encode
from shared.errors import BadSignature, InvalidInput

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def plain_pem(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def test_what_it_signs_verifies_with_its_public_key() -> None:
    """C-01, C-06: 64 raw bytes."""
    key = SoftwareKey.generate()
    signature = key.sign(b"data")
    assert len(signature) == 64
    key.public.verify(signature, b"data")
    with pytest.raises(BadSignature):
        key.public.verify(signature, b"other data")


def test_two_keys_agree_on_the_same_secret() -> None:
    """C-05: ECDH, 32 bytes."""
    one, two = SoftwareKey.generate(), SoftwareKey.generate()
    assert one.agree(two.public) == two.agree(one.public)
    assert len(one.agree(two.public)) == 32
    assert one.agree(two.public) != one.agree(SoftwareKey.generate().public)


def test_its_name_is_its_thumbprint_unless_given() -> None:
    """C-09, C-11."""
    key = SoftwareKey.generate()
    assert key.kid == b64url_encode(key.public.thumbprint())
    assert SoftwareKey.generate(kid="own").kid == "own"


def test_a_scalar_makes_the_same_key() -> None:
    key = SoftwareKey.generate()
    again = SoftwareKey.from_scalar(key.scalar(), kid="again")
    assert len(key.scalar()) == 32
    assert (again.public, again.kid) == (key.public, "again")


@pytest.mark.parametrize(
    "scalar",
    [b"", bytes(32), b"\x01" * 31, b"\x01" * 33, ORDER.to_bytes(32, "big"), b"\xff" * 32],
)
def test_what_is_no_scalar_is_refused(scalar: bytes) -> None:
    with pytest.raises(InvalidInput):
        SoftwareKey.from_scalar(scalar)


def test_a_scalar_beside_its_public_key_makes_the_same_key() -> None:
    key, other = SoftwareKey.generate(), SoftwareKey.generate()
    again = SoftwareKey.from_pair(key.scalar(), key.public, kid="again")
    assert (again.public, again.kid) == (key.public, "again")
    assert again.agree(other.public) == other.agree(key.public)
    off_curve = PublicKey(key.public.y, key.public.x)
    for scalar, public in (
        (key.scalar(), other.public),
        (key.scalar(), off_curve),
        (bytes(32), key.public),
        (b"\xff" * 32, key.public),
        (b"", key.public),
    ):
        with pytest.raises(InvalidInput):
            SoftwareKey.from_pair(scalar, public)


def test_a_file_opens_with_its_password_alone() -> None:
    """S-30: encrypted at rest."""
    key = SoftwareKey.generate()
    pem = key.to_pem(password=b"a good one")
    assert pem.startswith(b"-----BEGIN ENCRYPTED PRIVATE KEY-----")
    opened = SoftwareKey.from_pem(pem, password=b"a good one", certificates=[b"leaf"], kid="k")
    assert (opened.public, opened.kid, opened.certificates) == (key.public, "k", (b"leaf",))
    for password in (b"another", None):
        with pytest.raises(InvalidInput):
            SoftwareKey.from_pem(pem, password=password)


def test_an_open_file_is_read_without_a_password() -> None:
    pem = plain_pem(ec.generate_private_key(ec.SECP256R1()))
    assert SoftwareKey.from_pem(pem, password=None).certificates == ()
    with pytest.raises(InvalidInput):
        SoftwareKey.from_pem(pem, password=b"one too many")


def test_another_kind_of_key_is_refused() -> None:
    """C-01: P-256 alone."""
    for other in (ec.generate_private_key(ec.SECP384R1()), ed25519.Ed25519PrivateKey.generate()):
        with pytest.raises(InvalidInput):
            SoftwareKey.from_pem(plain_pem(other), password=None)
    der = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        Encoding.DER, PrivateFormat.PKCS8, NoEncryption()
    )
    made_up = der.replace(bytes.fromhex("2a8648ce3d0201"), bytes.fromhex("2a4648ce3d0201"))
    body = base64.b64encode(made_up)
    for pem in (
        b"no PEM",
        b"-----BEGIN PRIVATE KEY-----\n" + body + b"\n-----END PRIVATE KEY-----\n",
    ):
        with pytest.raises(InvalidInput):
            SoftwareKey.from_pem(pem, password=None)


def test_certificates_are_carried_by_a_copy() -> None:
    """S-30: one interface for key and chain."""
    key = SoftwareKey.generate(kid="k")
    certified = key.with_certificates([b"leaf", b"intermediate"])
    assert certified.certificates == (b"leaf", b"intermediate")
    assert (certified.kid, certified.public) == ("k", key.public)
    assert key.certificates == ()


def test_printing_a_key_shows_its_name_alone() -> None:
    """S-30: no key in logs."""
    key = SoftwareKey.generate(kid="the name")
    assert repr(key) == str(key) == "SoftwareKey(kid='the name')"
