"""shared/crypto/sealing.py: what is sealed opens with its key, in its place, in its time."""

import hashlib
import hmac
from datetime import timedelta
from typing import Any

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from shared.crypto.sealing import (
    Keyring,
    TimedNonces,
    hkdf,
    hpke_open,
    hpke_seal,
    open_row,
    open_sealed,
    seal,
    seal_row,
)
from shared.errors import InvalidInput, VerificationError, WrongNonce
from tests.support.clock import NOW, CountingBytes

KEY, OTHER = b"k" * 32, b"o" * 32


def test_hkdf_is_that_of_rfc_5869() -> None:
    """RFC 5869, appendix A.3 (no salt, no info), and with parts of info."""
    okm = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8"
    assert hkdf(b"\x0b" * 22, length=42).hex() == okm
    assert len(hkdf(KEY, "a", b"b")) == 32


def test_parts_of_info_do_not_run_together() -> None:
    keys = [
        hkdf(KEY, "ab", "c"),
        hkdf(KEY, "a", "bc"),
        hkdf(KEY, "abc"),
        hkdf(KEY, "abc", ""),
        hkdf(KEY, "abc", salt=b"s"),
        hkdf(OTHER, "abc"),
    ]
    assert len(set(keys)) == len(keys)
    assert hkdf(KEY, "a", b"b") == hkdf(KEY, b"a", "b")


def test_what_is_sealed_opens_with_its_key_and_its_data_alone() -> None:
    blob = seal(KEY, b"secret", aad=b"place")
    assert open_sealed(KEY, blob, aad=b"place") == b"secret"
    assert b"secret" not in blob
    assert len(blob) == len(b"secret") + 29
    for key, aad in [(OTHER, b"place"), (KEY, b"elsewhere"), (KEY, b"")]:
        with pytest.raises(VerificationError):
            open_sealed(key, blob, aad=aad)


def test_every_bit_of_a_blob_counts() -> None:
    blob = seal(KEY, b"", aad=b"")
    for index in range(len(blob)):
        changed = blob[:index] + bytes([blob[index] ^ 1]) + blob[index + 1 :]
        with pytest.raises((InvalidInput, VerificationError)):
            open_sealed(KEY, changed, aad=b"")
    for short in (b"", blob[:1], blob[:28], b"\x02" + blob[1:]):
        with pytest.raises(InvalidInput):
            open_sealed(KEY, short, aad=b"")


def test_two_seals_of_the_same_differ() -> None:
    assert seal(KEY, b"same", aad=b"") != seal(KEY, b"same", aad=b"")
    random_bytes = CountingBytes()
    first = seal(KEY, b"same", aad=b"", random_bytes=random_bytes)
    assert first != seal(KEY, b"same", aad=b"", random_bytes=random_bytes)


PLACE: dict[str, Any] = {"table": "copies", "row": "cop_1", "owner": "wal_1", "schema": 1}


def test_a_row_opens_only_where_it_stands() -> None:
    """WALLET_SECURITY 2 and 10: a row swapped between tables, rows, wallets or schemas."""
    blob = seal_row(KEY, b"row", **PLACE)
    assert open_row(KEY, blob, **PLACE) == b"row"
    for other in (
        {"table": "log_entries"},
        {"row": "cop_2"},
        {"owner": "wal_2"},
        {"schema": 2},
        {"table": "copiesc", "row": "op_1"},
    ):
        with pytest.raises(VerificationError):
            open_row(KEY, blob, **{**PLACE, **other})


@pytest.mark.parametrize(
    ("length", "size"),
    [(0, 256), (1, 256), (252, 256), (253, 512), (508, 512), (509, 1024), (5000, 8192)],
)
def test_a_row_shows_its_size_class_alone(length: int, size: int) -> None:
    """WALLET_SECURITY 2: padded to 256·2^n."""
    blob = seal_row(KEY, b"x" * length, **PLACE)
    assert len(blob) == size + 29
    assert open_row(KEY, blob, **PLACE) == b"x" * length


def test_a_row_that_was_not_padded_is_refused() -> None:
    aad = b"".join(
        len(each).to_bytes(4, "big") + each
        for each in (b"row", b"copies", b"cop_1", b"wal_1", b"1")
    )
    with pytest.raises(InvalidInput):
        open_row(KEY, seal(KEY, b"\x00\x00\x00\x05four", aad=aad), **PLACE)


# RFC 9180, appendix A.1.1: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM, base mode
RFC_9180 = {
    "info": "4f6465206f6e2061204772656369616e2055726e",
    "enc": "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431",
    "skRm": "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8",
    "aad": "436f756e742d30",
    "pt": "4265617574792069732074727574682c20747275746820626561757479",
    "ct": "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a9"
    "6d8770ac83d07bea87e13c512a",
}


def open_as_a_browser(
    private: bytes, enc: bytes, ciphertext: bytes, *, info: bytes, aad: bytes, aead: tuple[int, int]
) -> bytes:
    """RFC 9180 by the steps that WebCrypto has: X25519, HMAC-SHA256 and AES-GCM."""
    aead_id, key_length = aead
    kem_suite = b"KEM" + b"\x00\x20"
    suite = b"HPKE" + b"\x00\x20" + b"\x00\x01" + aead_id.to_bytes(2, "big")

    def extract(suite_id: bytes, salt: bytes, label: bytes, ikm: bytes) -> bytes:
        labelled = b"HPKE-v1" + suite_id + label + ikm
        return hmac.digest(salt or bytes(32), labelled, hashlib.sha256)

    def expand(suite_id: bytes, prk: bytes, label: bytes, info: bytes, length: int) -> bytes:
        labelled = length.to_bytes(2, "big") + b"HPKE-v1" + suite_id + label + info
        return hmac.digest(prk, labelled + b"\x01", hashlib.sha256)[:length]

    own = X25519PrivateKey.from_private_bytes(private)
    shared = own.exchange(X25519PublicKey.from_public_bytes(enc))
    kem_context = enc + own.public_key().public_bytes_raw()
    eae_prk = extract(kem_suite, b"", b"eae_prk", shared)
    secret = expand(kem_suite, eae_prk, b"shared_secret", kem_context, 32)
    context = (
        b"\x00" + extract(suite, b"", b"psk_id_hash", b"") + extract(suite, b"", b"info_hash", info)
    )
    prk = extract(suite, secret, b"secret", b"")
    key = expand(suite, prk, b"key", context, key_length)
    nonce = expand(suite, prk, b"base_nonce", context, 12)
    return AESGCM(key).decrypt(nonce, ciphertext, aad)


def test_the_browser_steps_are_those_of_rfc_9180() -> None:
    """RFC 9180, appendix A.1.1.1, sequence number 0."""
    raw = {name: bytes.fromhex(value) for name, value in RFC_9180.items()}
    opened = open_as_a_browser(
        raw["skRm"], raw["enc"], raw["ct"], info=raw["info"], aad=raw["aad"], aead=(1, 16)
    )
    assert opened == raw["pt"]


def test_a_browser_opens_what_we_wrapped() -> None:
    """WALLET_SECURITY 2, stored wrap: suite byte, encapsulated key, ciphertext."""
    private = X25519PrivateKey.generate()
    blob = hpke_seal(private.public_key().public_bytes_raw(), b"K_read", info=b"wallet")
    assert blob[0] == 1
    opened = open_as_a_browser(
        private.private_bytes_raw(), blob[1:33], blob[33:], info=b"wallet", aad=b"", aead=(2, 32)
    )
    assert opened == b"K_read"
    with pytest.raises(InvalidTag):
        open_as_a_browser(
            private.private_bytes_raw(), blob[1:33], blob[33:], info=b"", aad=b"", aead=(2, 32)
        )


def test_a_wrap_opens_with_its_private_key_and_its_info_alone() -> None:
    """WALLET_SECURITY 10: a swapped unlocker key opens nothing."""
    private = X25519PrivateKey.generate()
    blob = hpke_seal(private.public_key().public_bytes_raw(), b"K_act", info=b"act")
    assert hpke_open(private.private_bytes_raw(), blob, info=b"act") == b"K_act"
    changed = blob[:-1] + bytes([blob[-1] ^ 1])
    for key, wrap, info in [
        (X25519PrivateKey.generate(), blob, b"act"),
        (private, blob, b"read"),
        (private, changed, b"act"),
        (private, b"\x01" + bytes(32) + blob[33:], b"act"),
    ]:
        with pytest.raises(VerificationError):
            hpke_open(key.private_bytes_raw(), wrap, info=info)


def test_what_is_no_wrap_or_no_key_is_refused() -> None:
    private = X25519PrivateKey.generate().private_bytes_raw()
    for blob in (b"", b"\x01" * 48, b"\x02" + bytes(100)):
        with pytest.raises(InvalidInput):
            hpke_open(private, blob, info=b"")
    with pytest.raises(InvalidInput):
        hpke_open(b"short", b"\x01" + bytes(100), info=b"")
    for public in (b"short", bytes(32)):
        with pytest.raises(InvalidInput):
            hpke_seal(public, b"", info=b"")


def test_a_keyring_opens_what_older_keys_sealed() -> None:
    """S-30, WALLET_SECURITY 2: rotation with overlap, then destruction."""
    first = Keyring("2027-02", {"2027-02": KEY})
    blob = first.seal(b"S", aad=b"wal_1")
    second = first.rotated("2027-03", OTHER)
    assert second.open(blob, aad=b"wal_1") == b"S"
    assert (first.is_current(blob), second.is_current(blob)) == (True, False)
    again = second.seal(b"S", aad=b"wal_1")
    assert second.is_current(again)
    assert second.key() == OTHER
    third = second.without("2027-02")
    assert third.open(again, aad=b"wal_1") == b"S"
    with pytest.raises(VerificationError):
        third.open(blob, aad=b"wal_1")


def test_a_keyring_believes_neither_another_place_nor_another_key_id() -> None:
    ring = Keyring("a", {"a": KEY, "b": KEY})
    blob = ring.seal(b"S", aad=b"wal_1")
    for wrong, aad in [(blob, b"wal_2"), (blob.replace(b"a", b"b", 1), b"wal_1")]:
        with pytest.raises(VerificationError):
            ring.open(wrong, aad=aad)
    for nothing in (b"", b"\x02", b"\x01" + blob[1:], b"\x02\x01\xff" + blob[3:], blob[:10]):
        with pytest.raises(InvalidInput):
            ring.open(nothing, aad=b"wal_1")


def test_a_keyring_that_cannot_work_is_refused() -> None:
    ring = Keyring("a", {"a": KEY})
    for current, keys in [("b", {"a": KEY}), ("a", {"a": b"short"}), ("", {"": KEY})]:
        with pytest.raises(InvalidInput):
            Keyring(current, keys)
    with pytest.raises(InvalidInput):
        ring.rotated("a", OTHER)
    with pytest.raises(InvalidInput):
        ring.without("a")
    assert repr(KEY) not in repr(ring)


LIFETIME = timedelta(minutes=5)


def test_a_nonce_proves_itself_while_it_lives() -> None:
    """S-01, S-03; CERTIFICATION 2.1: 43 characters and more."""
    nonces = TimedNonces(KEY, "c_nonce", LIFETIME)
    value = nonces.make(NOW, CountingBytes())
    assert len(value) == 71
    used = nonces.check(value, NOW)
    assert len(used) == 32
    assert nonces.check(value, NOW + LIFETIME - timedelta(seconds=1)) == used
    assert nonces.check(value, NOW - timedelta(seconds=60)) == used
    for late in (NOW + LIFETIME, NOW + timedelta(days=1), NOW - timedelta(seconds=61)):
        with pytest.raises(WrongNonce):
            nonces.check(value, late)


def test_a_nonce_of_another_purpose_or_key_is_refused() -> None:
    """S-04: a DPoP nonce is no c_nonce."""
    value = TimedNonces(KEY, "dpop", LIFETIME).make(NOW, CountingBytes())
    for nonces in (TimedNonces(KEY, "c_nonce", LIFETIME), TimedNonces(OTHER, "dpop", LIFETIME)):
        with pytest.raises(WrongNonce):
            nonces.check(value, NOW)


def test_nonces_of_the_key_before_are_good() -> None:
    """S-30: rotation with overlap, on replicas that do not rotate at once."""
    before, after = TimedNonces(KEY, "x", LIFETIME), TimedNonces(OTHER, "x", LIFETIME, older=(KEY,))
    value = before.make(NOW, CountingBytes())
    assert after.check(value, NOW) == before.check(value, NOW)
    with pytest.raises(WrongNonce):
        before.check(after.make(NOW, CountingBytes()), NOW)


def test_a_changed_or_made_up_nonce_is_refused() -> None:
    nonces = TimedNonces(KEY, "x", LIFETIME)
    value = nonces.make(NOW, CountingBytes())
    swapped = value[:20] + ("A" if value[20] != "A" else "B") + value[21:]
    for wrong in ("", "x", value[:-1], value + "A", value + "==", swapped, "B" + value[1:], "é"):
        with pytest.raises(WrongNonce):
            nonces.check(wrong, NOW)


def test_no_two_nonces_are_alike() -> None:
    """S-01: and each is recorded under its own hash."""
    nonces, random_bytes = TimedNonces(KEY, "x", LIFETIME), CountingBytes()
    values = [nonces.make(NOW, random_bytes) for _ in range(100)]
    assert len(set(values)) == len({nonces.check(each, NOW) for each in values}) == 100
