"""shared/crypto/keys.py: public keys."""

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode, b64url_encode
from shared.errors import BadSignature, InvalidInput

# OpenID4VP 1.0, appendix B.2.6.1 (vectors/openid4vp-1_0/mdoc_handover/redirect.json)
HANDOVER_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "DxiH5Q4Yx3UrukE2lWCErq8N8bqC9CHLLrAwLz5BmE0",
    "y": "XtLM4-3h5o3HUH0MHVJV0kyq0iBlrBwlh8qEDMZ4-Pc",
    "use": "enc",
    "alg": "ECDH-ES",
    "kid": "1",
}
HANDOVER_THUMBPRINT = "4283ec927ae0f208daaa2d026a814f2b22dca52cf85ffa8f3f8626c6bd669047"
# RFC 7515, appendix A.3
RFC7515_JWK = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RFC7515_INPUT = (
    b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQog"
    b"Imh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
)
RFC7515_SIGNATURE = b64url_decode(
    "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
)


def test_the_thumbprint_is_that_of_the_specification() -> None:
    """C-09; RFC 7638, section 3; members in their order, no others (C-08)."""
    assert PublicKey.from_jwk(HANDOVER_JWK).thumbprint().hex() == HANDOVER_THUMBPRINT


def test_a_signature_of_rfc_7515_verifies() -> None:
    """C-01, C-06; RFC 7515, appendix A.3."""
    PublicKey.from_jwk(RFC7515_JWK).verify(RFC7515_SIGNATURE, RFC7515_INPUT)


def test_other_bytes_do_not_verify() -> None:
    """C-01: one bit of the data, one of the signature, another key."""
    key = PublicKey.from_jwk(RFC7515_JWK)
    flipped = bytes([RFC7515_SIGNATURE[0] ^ 1]) + RFC7515_SIGNATURE[1:]
    for signer, signature, data in [
        (key, RFC7515_SIGNATURE, RFC7515_INPUT + b"x"),
        (key, flipped, RFC7515_INPUT),
        (SoftwareKey.generate().public, RFC7515_SIGNATURE, RFC7515_INPUT),
    ]:
        with pytest.raises(BadSignature):
            signer.verify(signature, data)


def test_a_signature_is_64_raw_bytes() -> None:
    """C-06: never DER, and zero is no signature."""
    key = ec.generate_private_key(ec.SECP256R1())
    der = key.sign(b"data", ec.ECDSA(hashes.SHA256()))
    for signature in (der, b"", RFC7515_SIGNATURE + b"\x00", b"\x00" * 64, b"\xff" * 64):
        with pytest.raises(BadSignature):
            PublicKey.from_crypto(key.public_key()).verify(signature, b"data")


def test_a_jwk_needs_four_members_and_minds_no_others() -> None:
    """C-08."""
    bare = PublicKey.from_jwk(RFC7515_JWK)
    assert PublicKey.from_jwk({**RFC7515_JWK, "kid": 7, "use": "sig", "made-up": []}) == bare
    assert bare.to_jwk() == RFC7515_JWK
    assert hash(bare) == hash(PublicKey.from_jwk(RFC7515_JWK))


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_private_members_are_refused(member: str) -> None:
    """C-07."""
    with pytest.raises(InvalidInput):
        PublicKey.from_jwk({**RFC7515_JWK, member: "AA"})


@pytest.mark.parametrize(
    "jwk",
    [
        None,
        [],
        "key",
        {},
        {**RFC7515_JWK, "kty": "OKP"},
        {**RFC7515_JWK, "crv": "P-384"},
        {**RFC7515_JWK, "x": None},
        {**RFC7515_JWK, "x": 5},
        {name: RFC7515_JWK[name] for name in ("kty", "crv", "x")},
        {**RFC7515_JWK, "x": RFC7515_JWK["x"] + "="},
        {**RFC7515_JWK, "x": RFC7515_JWK["x"][:-2]},
        {**RFC7515_JWK, "x": "AA" + RFC7515_JWK["x"]},
        {**RFC7515_JWK, "x": RFC7515_JWK["y"], "y": RFC7515_JWK["x"]},
        {**RFC7515_JWK, "x": b64url_encode(bytes(32)), "y": b64url_encode(bytes(32))},
        {**RFC7515_JWK, "x": b64url_encode(b"\xff" * 32)},
    ],
)
def test_any_other_jwk_is_refused(jwk: object) -> None:
    """C-05, C-30; RFC 7518, section 6.2.1: another type, a missing or short member, no point."""
    with pytest.raises(InvalidInput):
        PublicKey.from_jwk(jwk)


def test_another_curve_is_refused() -> None:
    """C-01."""
    with pytest.raises(InvalidInput):
        PublicKey.from_crypto(ec.generate_private_key(ec.SECP384R1()).public_key())


def test_a_key_is_the_same_by_every_way() -> None:
    key = SoftwareKey.generate().public
    assert PublicKey.from_coordinates(key.x, key.y) == key
    assert PublicKey.from_crypto(key.to_crypto()) == key
    assert PublicKey.from_jwk(key.to_jwk()) == key
    with pytest.raises(InvalidInput):
        PublicKey.from_coordinates(key.x, key.y[:31])
