"""Private keys in a PKCS #11 token: made there, used there, never let out but wrapped.

Service keys are objects of the token, named `<tenant>/<purpose>`, and cannot be extracted. Holder
keys are too many for a token: each is made as a session object, wrapped by an AES key that stays in
the token (AES-KWP, RFC 5649), and unwrapped for one signature. One operation at a time in each
process: the library is initialised without locks of its own, and more workers are more sessions.

Specification: PKCS #11 v2.40; WALLET_SECURITY, sections 2, 5 and 11; PROFILE S-30, W-44.
"""

import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, ClassVar, Self

from ..encoding import b64url_encode
from ..errors import InvalidInput, NotFound, Unavailable
from .keys import PublicKey

try:
    import pkcs11
    from pkcs11 import Attribute, KeyType, Mechanism, MechanismFlag, ObjectClass
    from pkcs11.constants import DEFAULT
    from pkcs11.util.ec import encode_named_curve_parameters
except ImportError as missing:  # the extra `hsm` is not installed
    _MISSING: ImportError | None = missing
else:
    _MISSING = None

WRAPPING_KEY = "citizen-wallet/holder-keys"
SOFTWARE_TOKENS = ("SoftHSM",)
_POINT = b"\x04\x41\x04"  # DER: an octet string with an uncompressed point of P-256
_PUBLIC_BYTES = 64


class Token:
    """One token with its session; one for each process, used by any thread."""

    def __init__(self, *, module: str, label: str, pin: str) -> None:
        if _MISSING is not None:
            raise InvalidInput("PKCS #11: the extra `hsm` is not installed")
        self._lock = threading.Lock()
        try:
            self._token = pkcs11.lib(module).get_token(token_label=label)
            self._session = self._token.open(rw=True, user_pin=pin)
        except pkcs11.PinIncorrect as error:
            raise InvalidInput("PKCS #11: the PIN is wrong") from error
        except (pkcs11.PKCS11Error, RuntimeError) as error:
            raise InvalidInput("PKCS #11: no such module or token") from error

    @property
    def certifiable(self) -> bool:
        """False for tokens in software, whatever anybody says of them (WALLET_SECURITY 5)."""
        named = f"{self._token.manufacturer_id} {self._token.model}"
        return not any(each in named for each in SOFTWARE_TOKENS)

    @contextmanager
    def session(self) -> Iterator[Any]:
        """The session, for one operation at a time."""
        with self._lock:
            try:
                yield self._session
            except pkcs11.PKCS11Error as error:
                raise Unavailable(f"PKCS #11: {type(error).__name__}") from error

    def create(self, label: str) -> "TokenKey":
        """A new service key that stays in the token; raises InvalidInput if the name is taken."""
        with self.session() as session:
            if list(session.get_objects({Attribute.LABEL: label})):
                raise InvalidInput("PKCS #11: there is a key of this name")
            public, _ = _parameters(session).generate_keypair(
                store=True,
                label=label,
                id=hashlib.sha256(label.encode()).digest()[:16],
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                private_template={Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True},
            )
            return TokenKey(self, label, _public(public))

    def find(self, label: str, public: PublicKey) -> "TokenKey":
        """The service key of this name; raises NotFound."""
        with self.session() as session:
            if not list(session.get_objects(_private(label))):
                raise NotFound("PKCS #11: there is no key of this name")
        return TokenKey(self, label, public)

    def holder_keys(self) -> "TokenHolderKeys":
        """Holder keys made and wrapped here."""
        return TokenHolderKeys(self)


@dataclass(frozen=True, slots=True)
class TokenKey:
    """A service key in the token; a `Signer`."""

    token: Token
    label: str
    public: PublicKey
    certificates: tuple[bytes, ...] = ()

    @property
    def kid(self) -> str:
        """Its RFC 7638 thumbprint."""
        return b64url_encode(self.public.thumbprint())

    def with_certificates(self, chain: Sequence[bytes]) -> Self:
        """The same key with *chain*: DER, leaf first, without the anchor (C-21)."""
        return replace(self, certificates=tuple(chain))

    def sign(self, data: bytes) -> bytes:
        """ES256 over *data*, in the token."""
        with self.token.session() as session:
            (key,) = session.get_objects(_private(self.label))
            return _signed(key, data)


class TokenHolderKeys:
    """Holder keys that only *token* can open; what is sealed outside is their wrapped form."""

    kind: ClassVar[str] = "pkcs11"

    def __init__(self, token: Token) -> None:
        self._token = token

    @property
    def certifiable(self) -> bool:
        """As the token is."""
        return self._token.certifiable

    def prepare(self) -> None:
        """Make the wrapping key, once for a token; it can be neither read nor wrapped itself."""
        with self._token.session() as session:
            if list(session.get_objects({Attribute.LABEL: WRAPPING_KEY})):
                return
            session.generate_key(
                KeyType.AES,
                256,
                label=WRAPPING_KEY,
                store=True,
                capabilities=MechanismFlag.WRAP | MechanismFlag.UNWRAP,
                template={Attribute.EXTRACTABLE: False, Attribute.SENSITIVE: True},
            )

    def generate(self) -> tuple["WrappedKey", bytes]:
        """A new key, and its public coordinates with its wrapped form."""
        with self._token.session() as session:
            public, private = _parameters(session).generate_keypair(
                store=False,
                capabilities=MechanismFlag.SIGN | MechanismFlag.VERIFY,
                private_template={Attribute.EXTRACTABLE: True, Attribute.SENSITIVE: True},
            )
            wrapped = _wrapping(session).wrap_key(private, mechanism=Mechanism.AES_KEY_WRAP_PAD)
            found = _public(public)
            public.destroy()
            private.destroy()
        return WrappedKey(self._token, found, wrapped), found.x + found.y + wrapped

    def open(self, material: bytes) -> "WrappedKey":
        """The key in what `generate` gave; raises InvalidInput if it was made elsewhere."""
        if len(material) <= _PUBLIC_BYTES:
            raise InvalidInput("holder key: not made in a token")
        public = PublicKey.from_coordinates(material[:32], material[32:_PUBLIC_BYTES])
        return WrappedKey(self._token, public, material[_PUBLIC_BYTES:])


@dataclass(frozen=True, slots=True, repr=False)
class WrappedKey:
    """A holder key that is unwrapped in the token for each signature; a `Signer`."""

    token: Token
    public: PublicKey
    wrapped: bytes
    certificates: tuple[bytes, ...] = ()

    @property
    def kid(self) -> str:
        """Its RFC 7638 thumbprint."""
        return b64url_encode(self.public.thumbprint())

    def sign(self, data: bytes) -> bytes:
        """ES256 over *data*, in the token."""
        with self.token.session() as session:
            key = _wrapping(session).unwrap_key(
                ObjectClass.PRIVATE_KEY,
                KeyType.EC,
                self.wrapped,
                mechanism=Mechanism.AES_KEY_WRAP_PAD,
                store=False,
                template=_unwrapped(),
            )
            try:
                return _signed(key, data)
            finally:
                key.destroy()


@lru_cache(maxsize=4)
def open_token(module: str, label: str, pin: str) -> Token:
    """The token of this process: a library is opened once."""
    return Token(module=module, label=label, pin=pin)


def _signed(key: Any, data: bytes) -> bytes:
    return bytes(key.sign(hashlib.sha256(data).digest(), mechanism=Mechanism.ECDSA))


def _private(label: str) -> dict[Any, Any]:
    return {Attribute.LABEL: label, Attribute.CLASS: ObjectClass.PRIVATE_KEY}


def _wrapping(session: Any) -> Any:
    found = list(session.get_objects({Attribute.LABEL: WRAPPING_KEY}))
    if len(found) != 1:
        raise NotFound("PKCS #11: there is no wrapping key, run migrate")
    return found[0]


def _parameters(session: Any) -> Any:
    curve = {Attribute.EC_PARAMS: encode_named_curve_parameters("secp256r1")}
    return session.create_domain_parameters(KeyType.EC, curve, local=True)


def _public(key: Any) -> PublicKey:
    point = bytes(key[Attribute.EC_POINT])
    if len(point) != len(_POINT) + _PUBLIC_BYTES or not point.startswith(_POINT):
        raise InvalidInput("PKCS #11: not a key on P-256")
    return PublicKey.from_coordinates(point[3:35], point[35:])


def _unwrapped() -> dict[Any, Any]:
    """For EC private keys some tokens refuse the library's own template (WALLET_SECURITY 11)."""
    unsaid = ("ENCRYPT", "DECRYPT", "WRAP", "UNWRAP", "VERIFY", "DERIVE")
    template: dict[Any, Any] = {getattr(Attribute, name): DEFAULT for name in unsaid}
    return template | {Attribute.SIGN: True, Attribute.SENSITIVE: True}
