"""Sealing: bytes that only a key opens, and only where they belong.

Everything at rest is AES-256-GCM with associated data that says what and whose it is, so a row
moved to another place does not open; rows are padded to size classes, so a length tells little
(WALLET_SECURITY 2). Wraps for a browser are HPKE. Short-lived nonces are sealed time and
randomness, with no row when made (DESIGN, "Decided"). Every blob starts with a byte that names
suite and version.

Specification: NIST SP 800-38D; RFC 5869 (HKDF); RFC 8452 (AES-GCM-SIV); RFC 9180 (HPKE).
"""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESGCMSIV
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from ..encoding import RandomBytes, b64url_decode, b64url_encode
from ..errors import InvalidInput, VerificationError, WrongNonce

_AES_256_GCM_V1 = b"\x01"
_HPKE_V1 = b"\x01"  # DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM
_KEYRING_V1 = b"\x02"
_NONCE_BYTES = 12
_TAG_BYTES = 16
_SMALLEST_CLASS = 256
_HPKE = Suite(KEM.X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)


def hkdf(secret: bytes, *info: bytes | str, length: int = 32, salt: bytes = b"") -> bytes:
    """HKDF-SHA256 of *secret*; each part of *info* is prefixed by its length.

    So ("ab", "c") and ("a", "bc") give different keys.

    Specification: RFC 5869.
    """
    return HKDF(hashes.SHA256(), length, salt or None, _joined(*info)).derive(secret)


def seal(
    key: bytes, plaintext: bytes, *, aad: bytes, random_bytes: RandomBytes = os.urandom
) -> bytes:
    """Encrypt *plaintext* under the 32 bytes of *key*, bound to *aad*.

    Returns:
        version byte, 12 bytes of nonce, ciphertext with its tag: 29 bytes more than *plaintext*.

    Specification: NIST SP 800-38D.
    """
    nonce = random_bytes(_NONCE_BYTES)
    return _AES_256_GCM_V1 + nonce + AESGCM(key).encrypt(nonce, plaintext, _AES_256_GCM_V1 + aad)


def open_sealed(key: bytes, blob: bytes, *, aad: bytes) -> bytes:
    """The plaintext of `seal`.

    Raises:
        InvalidInput: not the shape of a blob, or of another version.
        VerificationError: another key, other associated data, or changed.
    """
    if len(blob) < 1 + _NONCE_BYTES + _TAG_BYTES or blob[:1] != _AES_256_GCM_V1:
        raise InvalidInput("sealed: not a blob of this version")
    nonce, ciphertext = blob[1 : 1 + _NONCE_BYTES], blob[1 + _NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, ciphertext, _AES_256_GCM_V1 + aad)
    except InvalidTag as error:
        raise VerificationError("sealed: does not open") from error


def seal_row(
    key: bytes,
    plaintext: bytes,
    *,
    table: str,
    row: str,
    owner: str,
    schema: int,
    random_bytes: RandomBytes = os.urandom,
) -> bytes:
    """Seal one row where it stands, padded to 256, 512, 1024, … bytes.

    Args:
        key: the table's key, for example `hkdf(k_read, "row", table)`.
        plaintext: shorter than 4 GiB.
        table: where it stands; with *row*, *owner* and *schema* it is the associated data.
        row: its id.
        owner: the wallet or transaction it belongs to.
        schema: version of what *plaintext* holds.
        random_bytes: for the nonce.
    """
    return seal(
        key,
        _padded(plaintext),
        aad=_joined("row", table, row, owner, str(schema)),
        random_bytes=random_bytes,
    )


def open_row(key: bytes, blob: bytes, *, table: str, row: str, owner: str, schema: int) -> bytes:
    """The plaintext of `seal_row`; raises as `open_sealed`, also for a row that was moved."""
    padded = open_sealed(key, blob, aad=_joined("row", table, row, owner, str(schema)))
    length = int.from_bytes(padded[:4], "big")
    if len(padded) < 4 + length:
        raise InvalidInput("sealed: not a padded row")
    return padded[4 : 4 + length]


def _padded(plaintext: bytes) -> bytes:
    size = _SMALLEST_CLASS
    while size < len(plaintext) + 4:
        size *= 2
    return (len(plaintext).to_bytes(4, "big") + plaintext).ljust(size, b"\x00")


def _joined(*parts: bytes | str) -> bytes:
    raw = [each.encode() if isinstance(each, str) else each for each in parts]
    return b"".join(len(each).to_bytes(4, "big") + each for each in raw)


def hpke_seal(public: bytes, plaintext: bytes, *, info: bytes) -> bytes:
    """Encrypt to an X25519 public key, so that a browser with its private key opens it.

    Args:
        public: 32 bytes.
        plaintext: any bytes.
        info: what this is for; the opener must say the same.

    Returns:
        suite byte 0x01, encapsulated key (32 bytes), ciphertext with its tag.

    Raises:
        InvalidInput: not a public key.

    Specification: RFC 9180, section 6.1, mode_base: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256,
    AES-256-GCM.
    """
    try:
        return _HPKE_V1 + _HPKE.encrypt(plaintext, X25519PublicKey.from_public_bytes(public), info)
    except ValueError as error:
        raise InvalidInput("HPKE: not a public key") from error


def hpke_open(private: bytes, blob: bytes, *, info: bytes) -> bytes:
    """The plaintext of `hpke_seal`.

    Raises:
        InvalidInput: not a blob of this suite, or *private* is no key.
        VerificationError: another key, another *info*, or changed.
    """
    if len(blob) < 1 + 32 + _TAG_BYTES or blob[:1] != _HPKE_V1:
        raise InvalidInput("HPKE: not a blob of this suite")
    try:
        key = X25519PrivateKey.from_private_bytes(private)
    except ValueError as error:
        raise InvalidInput("HPKE: not a private key") from error
    try:
        return _HPKE.decrypt(blob[1:], key, info)
    except (InvalidTag, ValueError) as error:
        raise VerificationError("HPKE: does not open") from error


@dataclass(frozen=True, repr=False)
class Keyring:
    """Symmetric keys of one purpose: the current one seals, every one opens.

    A blob says the id of its key, so keys rotate without touching what older ones sealed;
    `is_current` finds what to seal again before an old key is destroyed (the share key:
    WALLET_SECURITY 2).
    """

    current: str
    keys: Mapping[str, bytes]
    """id -> 32 bytes."""

    def __post_init__(self) -> None:
        if self.current not in self.keys:
            raise InvalidInput("keyring: the current key is not in it")
        if any(len(each) != 32 for each in self.keys.values()):
            raise InvalidInput("keyring: a key is not 32 bytes")
        if any(not 0 < len(each.encode()) < 256 for each in self.keys):
            raise InvalidInput("keyring: an id is not 1 to 255 bytes")

    def key(self) -> bytes:
        """The current key, to derive from."""
        return self.keys[self.current]

    def rotated(self, new: str, key: bytes) -> "Keyring":
        """With *key* as the current one and all others kept.

        Raises:
            InvalidInput: the id *new* is taken.
        """
        if new in self.keys:
            raise InvalidInput("keyring: this id is taken")
        return Keyring(new, {**self.keys, new: key})

    def without(self, old: str) -> "Keyring":
        """With the key *old* destroyed: what it sealed stays closed."""
        return Keyring(self.current, {each: key for each, key in self.keys.items() if each != old})

    def seal(
        self, plaintext: bytes, *, aad: bytes, random_bytes: RandomBytes = os.urandom
    ) -> bytes:
        """As the function `seal`, under the current key, whose id the blob carries."""
        name = self.current.encode()
        head = _KEYRING_V1 + len(name).to_bytes(1, "big") + name
        return head + seal(self.key(), plaintext, aad=head + aad, random_bytes=random_bytes)

    def open(self, blob: bytes, *, aad: bytes) -> bytes:
        """The plaintext of `seal`; raises as `open_sealed`, also if its key was destroyed."""
        name, head = self._head(blob)
        key = self.keys.get(name)
        if key is None:
            raise VerificationError("keyring: the key is not here")
        return open_sealed(key, blob[len(head) :], aad=head + aad)

    def is_current(self, blob: bytes) -> bool:
        """Whether *blob* was sealed under the current key; says nothing about who sealed it."""
        return self.key_id(blob) == self.current

    def key_id(self, blob: bytes) -> str:
        """The id of the key that *blob* says sealed it."""
        return self._head(blob)[0]

    @staticmethod
    def _head(blob: bytes) -> tuple[str, bytes]:
        if len(blob) < 2 or blob[:1] != _KEYRING_V1:
            raise InvalidInput("keyring: not a blob of this version")
        head = blob[: 2 + blob[1]]
        try:
            return head[2:].decode(), head
        except UnicodeDecodeError as error:
            raise InvalidInput("keyring: not a key id") from error


class TimedNonces:
    """Nonces that prove themselves: sealed time and randomness, with no row when made.

    AES-GCM-SIV, because it forgives a repeated random nonce among billions. *Use* is recorded by
    the caller, once, under the hash that `check` returns (DESIGN, "Decided"; S-01, S-02).
    """

    def __init__(
        self, key: bytes, purpose: str, lifetime: timedelta, *, older: tuple[bytes, ...] = ()
    ) -> None:
        """Nonces of *purpose*; those made under *older* keys of a rotation are still good."""
        self._purpose = purpose.encode()
        self._lifetime = lifetime
        self._keys = [AESGCMSIV(hkdf(each, "timed nonce", purpose)) for each in (key, *older)]

    def make(self, now: datetime, random_bytes: RandomBytes) -> str:
        """A new one: 71 characters of base64url."""
        nonce = random_bytes(_NONCE_BYTES)
        moment = int(now.timestamp() * 1000).to_bytes(8, "big")
        sealed = self._keys[0].encrypt(nonce, moment + random_bytes(16), self._purpose)
        return b64url_encode(_AES_256_GCM_V1 + nonce + sealed)

    def check(self, value: str, now: datetime) -> bytes:
        """The 32 bytes under which the use of *value* is recorded.

        Raises:
            WrongNonce: not one of ours, of another purpose, too old, or from the future.
        """
        try:
            blob = b64url_decode(value)
        except InvalidInput as error:
            raise WrongNonce("nonce: not one of ours") from error
        if len(blob) != 1 + _NONCE_BYTES + 24 + _TAG_BYTES or blob[:1] != _AES_256_GCM_V1:
            raise WrongNonce("nonce: not one of ours")
        made = datetime.fromtimestamp(int.from_bytes(self._open(blob[1:]), "big") / 1000, UTC)
        if not made - _SKEW <= now < made + self._lifetime:
            raise WrongNonce("nonce: expired")
        return hashlib.sha256(_joined("timed nonce", self._purpose, blob)).digest()

    def _open(self, sealed: bytes) -> bytes:
        nonce, ciphertext = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
        for key in self._keys:
            try:
                return key.decrypt(nonce, ciphertext, self._purpose)[:8]
            except InvalidTag:
                continue
        raise WrongNonce("nonce: not one of ours")


_SKEW = timedelta(seconds=60)  # C-40: replicas' clocks differ
