"""The citizen's side of the cryptography: what a wallet page or app computes and never sends.

Roots are made here; X25519 keys come from a passkey's PRF outputs or from a code; each root is
sealed to an unlocker's public key by HPKE; the approval's challenge is recomputed from the payload
that was shown; the key of one copy is derived for exactly the named copies. docs/wallet-api.md
says the same for other languages, step by step.

Specification: WALLET_SECURITY, sections 2, 4 and 6; RFC 5869, 8785, 9180.
"""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ..crypto.sealing import hkdf, hpke_open, hpke_seal
from ..encoding import JsonValue, RandomBytes, b64url_encode, canonical_json
from ..errors import InvalidInput

PURPOSES = ("read", "act")
CODE_BYTES = 20
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1", "-": None, " ": None})


@dataclass(frozen=True, slots=True)
class Roots:
    """`K_read` and `K_act` of a wallet, 32 bytes each."""

    read: bytes
    act: bytes

    @classmethod
    def make(cls, random_bytes: RandomBytes = secrets.token_bytes) -> "Roots":
        """New ones."""
        return cls(random_bytes(32), random_bytes(32))


@dataclass(frozen=True, slots=True)
class UnlockerKeys:
    """The X25519 private keys of an unlocker, one for each purpose."""

    read: bytes
    act: bytes

    @classmethod
    def of_passkey(cls, prf: tuple[bytes, ...]) -> "UnlockerKeys":
        """From the two PRF outputs, *read* first."""
        read, act = prf
        return cls(private_key(read), private_key(act))

    @classmethod
    def of_code(cls, code: str) -> "UnlockerKeys":
        """From a recovery code as the citizen typed it."""
        secret = code_bytes(code)
        return cls(*(private_key(hkdf(secret, f"citizen-wallet/code/v1/{p}")) for p in PURPOSES))

    def public(self) -> dict[str, str]:
        """The public keys, as they are sent."""
        return {
            "read_key": b64url_encode(_public(self.read)),
            "act_key": b64url_encode(_public(self.act)),
        }

    def body(self, roots: Roots, *, wallet: str, unlocker: str) -> dict[str, str]:
        """What is sent of it: public keys, and the roots sealed to them."""
        read = seal_root(_public(self.read), roots.read, wallet, unlocker, "read")
        act = seal_root(_public(self.act), roots.act, wallet, unlocker, "act", k_read=roots.read)
        return {
            **self.public(),
            "read_wrap": b64url_encode(read),
            "act_wrap": b64url_encode(act),
        }


def private_key(secret: bytes) -> bytes:
    """An X25519 private key from an unlocker's secret."""
    return hkdf(secret, "citizen-wallet/x25519/v1")


def seal_root(
    public: bytes, root: bytes, wallet: str, unlocker: str, purpose: str, *, k_read: bytes = b""
) -> bytes:
    """The inner layer of a wrap: only the holder of the unlocker's secret opens it.

    The wrap of `K_act` is bound to *k_read*: anybody may seal to a public key that is stored, so
    without this the operator could put a `K_act` of their own in the citizen's place.
    """
    return hpke_seal(public, root, info=_info(wallet, unlocker, purpose, k_read))


def open_root(
    private: bytes, wrap: bytes, *, wallet: str, unlocker: str, purpose: str, k_read: bytes = b""
) -> bytes:
    """The root in an inner wrap; raises VerificationError if it is another unlocker's.

    For `act`, *k_read* is needed too, and who sealed the wrap must have known it.
    """
    return hpke_open(private, wrap, info=_info(wallet, unlocker, purpose, k_read))


def mark_of(root: bytes, wallet: str) -> bytes:
    """What a device keeps to know a root again: it tells nothing about it."""
    return hkdf(root, "citizen-wallet/mark/v1", wallet)


def challenge(payload: Mapping[str, JsonValue]) -> bytes:
    """What the authenticator signs for *payload*: computed from what was shown, not taken over."""
    return hashlib.sha256(b"citizen-wallet/approve/v1\x00" + canonical_json(payload)).digest()


def copy_key(k_act: bytes, copy: str) -> bytes:
    """`K_copy`: opens the holder key of this one copy and nothing else."""
    return hkdf(k_act, "citizen-wallet/copy/v1", copy)


def make_code(random_bytes: RandomBytes = secrets.token_bytes) -> str:
    """160 random bits as 32 Crockford symbols, in groups of four; shown once."""
    number = int.from_bytes(random_bytes(CODE_BYTES), "big")
    symbols = "".join(_CROCKFORD[number >> shift & 31] for shift in range(155, -5, -5))
    return "-".join(symbols[at : at + 4] for at in range(0, 32, 4))


def code_bytes(code: str) -> bytes:
    """The 20 bytes of a code, forgiving about case, hyphens and the letters O, I and L.

    Raises:
        InvalidInput: not 32 symbols of the alphabet.
    """
    symbols = code.upper().translate(_MISREAD)
    if len(symbols) != 32 or any(each not in _CROCKFORD for each in symbols):
        raise InvalidInput("code: not 32 symbols")
    number = 0
    for each in symbols:
        number = number << 5 | _CROCKFORD.index(each)
    return number.to_bytes(CODE_BYTES, "big")


def lookup(code: str) -> str:
    """What the service may see of a code: enough to find the wallet, useless to open it."""
    return b64url_encode(hkdf(code_bytes(code), "citizen-wallet/lookup/v1"))


def _public(private: bytes) -> bytes:
    return X25519PrivateKey.from_private_bytes(private).public_key().public_bytes_raw()


def _info(wallet: str, unlocker: str, purpose: str, k_read: bytes) -> bytes:
    info = f"citizen-wallet/wrap/v1\x00{wallet}\x00{unlocker}\x00{purpose}".encode()
    if purpose == "read":
        return info
    return info + b"\x00" + hkdf(k_read, "citizen-wallet/act-wrap/v1", wallet)
