"""JWS, JWE and seals: what is made is believed, what is altered or noise is refused as ours."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto.keys import PublicKey
from shared.crypto.sealing import Keyring, open_row, open_sealed, seal, seal_row
from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_encode, dump_json
from shared.errors import BadSignature, InvalidInput, VerificationError
from shared.jose.jwe import decrypt, encrypt, parse_jwe
from shared.jose.jws import parse_jws, sign_jwt, verify_jwt

KEY = SoftwareKey.generate()
ENC = frozenset({"A128GCM", "A256GCM"})
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
CLAIMS = st.dictionaries(TEXT, TEXT | st.integers(-(2**63), 2**64 - 1) | st.lists(TEXT), max_size=6)
TOKEN = sign_jwt({"sub": "someone"}, typ="t", signer=KEY)
ENCRYPTED = encrypt(b"text", to=KEY.public, kid="k", enc="A256GCM")


def verify(token: str) -> dict[str, Any]:
    return verify_jwt(token, key=KEY.public, typ="t", algorithms={"ES256"}).claims


def opened(token: str) -> bytes:
    return decrypt(token, key=KEY, enc_values=ENC, max_bytes=100_000)[1]


@given(CLAIMS, st.dictionaries(st.sampled_from(["kid", "x", "nonce"]), TEXT))
def test_claims_come_back(claims: dict[str, Any], header: dict[str, Any]) -> None:
    """C-01, C-31."""
    assert verify(sign_jwt(claims, typ="t", signer=KEY, header=header)) == claims


def altered(token: str, index: int, character: str) -> str:
    index %= len(token)
    return token[:index] + character + token[index + 1 :]


ALTERATIONS = st.integers(0, 10_000), st.characters(exclude_categories=["Cs"])


@given(*ALTERATIONS)
def test_an_altered_jwt_is_refused(index: int, character: str) -> None:
    """C-30, C-34: any character, anywhere."""
    changed = altered(TOKEN, index, character)
    if changed != TOKEN:
        with pytest.raises((InvalidInput, BadSignature)):
            verify(changed)


@given(*ALTERATIONS)
def test_an_altered_jwe_is_refused(index: int, character: str) -> None:
    """C-30, C-34."""
    changed = altered(ENCRYPTED, index, character)
    if changed != ENCRYPTED:
        with pytest.raises((InvalidInput, VerificationError)):
            opened(changed)


@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_a_part_of_a_token_is_refused(start: int, end: int) -> None:
    """C-30."""
    part = TOKEN[start % len(TOKEN) : end % len(TOKEN)]
    with pytest.raises((InvalidInput, BadSignature)):
        verify(part)


HEADERS = st.dictionaries(
    st.sampled_from(["alg", "typ", "enc", "kid", "epk", "apu", "zip", "crit", "x5c", "jwk", "b64"]),
    st.sampled_from(["ES256", "ECDH-ES", "A256GCM", "t", "none", "", KEY.public.to_jwk(), {}])
    | st.none()
    | st.integers(-9, 9)
    | TEXT
    | st.lists(TEXT),
)
PARTS = st.lists(TEXT | st.binary(max_size=40).map(b64url_encode), max_size=5)


@given(HEADERS | st.binary(max_size=40), PARTS)
def test_noise_is_refused_as_ours(header: dict[str, Any] | bytes, parts: list[str]) -> None:
    """S-20, S-21: any header, any parts; only InvalidInput and VerificationError come out."""
    head = b64url_encode(header if isinstance(header, bytes) else dump_json(header))
    token = ".".join((head, *parts))
    readers: list[Callable[[str], object]] = [
        verify,
        opened,
        lambda text: parse_jws(text, max_bytes=9_999),
        lambda text: parse_jwe(text, max_bytes=9_999),
    ]
    for read in readers:
        try:
            read(token)
        except (InvalidInput, VerificationError):
            continue


@given(st.binary(max_size=3_000), st.sampled_from(sorted(ENC)))
def test_a_plaintext_comes_back(plaintext: bytes, enc: str) -> None:
    """C-04."""
    assert opened(encrypt(plaintext, to=KEY.public, kid=None, enc=enc)) == plaintext


@given(
    st.binary(max_size=2_000), st.binary(max_size=40), st.integers(0, 10_000), st.integers(1, 255)
)
def test_a_seal_opens_unless_altered(plaintext: bytes, aad: bytes, index: int, bits: int) -> None:
    """WALLET_SECURITY 2."""
    key, ring = b"k" * 32, Keyring("a", {"a": b"r" * 32})
    readers: list[tuple[bytes, Callable[[bytes], bytes]]] = [
        (seal(key, plaintext, aad=aad), lambda blob: open_sealed(key, blob, aad=aad)),
        (ring.seal(plaintext, aad=aad), lambda blob: ring.open(blob, aad=aad)),
    ]
    for blob, read in readers:
        assert read(blob) == plaintext
        changed = bytearray(blob)
        changed[index % len(blob)] ^= bits
        with pytest.raises((InvalidInput, VerificationError)):
            read(bytes(changed))


@given(st.binary(max_size=2_000), TEXT, TEXT, TEXT, st.integers(0, 9))
def test_a_row_comes_back_in_a_size_class(
    plaintext: bytes, table: str, row: str, owner: str, schema: int
) -> None:
    """WALLET_SECURITY 2: padded to 256·2^n."""
    place: dict[str, Any] = {"table": table, "row": row, "owner": owner, "schema": schema}
    blob = seal_row(b"k" * 32, plaintext, **place)
    assert open_row(b"k" * 32, blob, **place) == plaintext
    assert len(blob) - 29 in {256, 512, 1024, 2048}


@given(
    st.dictionaries(st.sampled_from(["kty", "crv", "x", "y", "d", "kid"]), TEXT | st.none()) | TEXT
)
def test_noise_is_a_key_or_refused(jwk: object) -> None:
    """C-07, C-08."""
    try:
        PublicKey.from_jwk(jwk)
    except InvalidInput:
        return
