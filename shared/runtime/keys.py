"""The keys of a service: a directory with one file for each tenant and purpose.

    <directory>/<tenant>/<purpose>.pem   private key, encrypted PKCS #8 (DESIGN 4, S-30); or the
                                         public half of a key that lives in a PKCS #11 token
    <directory>/<tenant>/<purpose>.crt   its certificates, PEM, leaf first, without the anchor
    <directory>/secrets.json             symmetric keys by name, each sealed under the password

Every key has one purpose (C-10). A key that rotates keeps its place; what it signed before stays
verifiable by the certificate that went out with it.
"""

import json
import os
import re
import secrets as system
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)

from ..crypto.keys import HolderKeys, PublicKey, ServiceKey
from ..crypto.sealing import Keyring, open_sealed, seal
from ..crypto.software import SoftwareHolderKeys, SoftwareKey
from ..crypto.x509 import parse_pem, to_pem
from ..encoding import RandomBytes, b64url_decode, b64url_encode, parse_json_object
from ..errors import InvalidInput, NotFound, VerificationError
from .settings import ServiceSettings

if TYPE_CHECKING:  # else imported where there is a token: 4 MB
    from ..crypto.pkcs11 import Token

_PUBLIC = b"-----BEGIN PUBLIC KEY-----"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_SECRETS_LIMIT = 1024 * 1024
_SCRYPT_COST = 2**15


class KeyDirectory:
    """Opens and makes keys.

    Args:
        path: the directory.
        password: protects all of them at rest.
        token: where new private keys are made; without one, in files.
    """

    def __init__(self, path: Path, password: bytes, *, token: "Token | None" = None) -> None:
        if not password:
            raise InvalidInput("key directory: the password is empty")
        self.path = path
        self._password = password
        self._token = token
        self._opened: dict[tuple[str, str], ServiceKey] = {}
        self._rings: dict[str, Keyring] | None = None
        self._read_at = 0

    @classmethod
    def from_settings(cls, settings: ServiceSettings) -> Self:
        """The keys of a service, as its settings name them."""
        token = None
        if settings.pkcs11_module is not None and settings.pkcs11_pin is not None:
            from ..crypto.pkcs11 import open_token  # noqa: PLC0415

            token = open_token(
                str(settings.pkcs11_module),
                settings.pkcs11_token,
                settings.pkcs11_pin.get_secret_value(),
            )
        password = settings.key_password.get_secret_value().encode()
        return cls(settings.key_directory, password, token=token)

    def holder_keys(self) -> HolderKeys:
        """Where a wallet's holder keys are made: in the token, if there is one."""
        return SoftwareHolderKeys() if self._token is None else self._token.holder_keys()

    def tenants(self) -> tuple[str, ...]:
        """The tenants that have a directory."""
        if not self.path.is_dir():
            return ()
        return tuple(sorted(each.name for each in self.path.iterdir() if each.is_dir()))

    def purposes(self, tenant: str) -> tuple[str, ...]:
        """The purposes for which *tenant* has a key."""
        return tuple(sorted(each.stem for each in (self.path / tenant).glob("*.pem")))

    def signer(self, tenant: str, purpose: str) -> ServiceKey:
        """The private key with its certificates (none before enrolment); opened once.

        Raises:
            NotFound: there is no such key.
            InvalidInput: the password is wrong, or a file is damaged.
        """
        found = self._opened.get((tenant, purpose))
        if found is None:
            file = self._file(tenant, purpose, ".pem")
            if not file.is_file():
                raise NotFound(f"key {tenant}/{purpose}: there is none")
            certificates = self._file(tenant, purpose, ".crt")
            chain = parse_pem(certificates.read_bytes()) if certificates.is_file() else ()
            found = self._open(tenant, purpose, file.read_bytes()).with_certificates(chain)
            self._opened[tenant, purpose] = found
        return found

    def _open(self, tenant: str, purpose: str, pem: bytes) -> ServiceKey:
        if not pem.startswith(_PUBLIC):
            return SoftwareKey.from_pem(pem, password=self._password)
        if self._token is None:
            raise InvalidInput(f"key {tenant}/{purpose}: lives in a token, and none is set")
        public = load_pem_public_key(pem)
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise InvalidInput(f"key {tenant}/{purpose}: not an elliptic curve key")
        return self._token.find(f"{tenant}/{purpose}", PublicKey.from_crypto(public))

    def create(self, tenant: str, purpose: str) -> ServiceKey:
        """A new key, in its file or in the token. Raises InvalidInput if there is one already."""
        file = self._file(tenant, purpose, ".pem")
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if file.exists():
            raise InvalidInput(f"key {tenant}/{purpose}: exists")
        if self._token is None:
            made = SoftwareKey.generate()
            key: ServiceKey = made
            content = made.to_pem(password=self._password)
        else:
            key = self._token.create(f"{tenant}/{purpose}")
            content = key.public.to_crypto().public_bytes(
                Encoding.PEM, PublicFormat.SubjectPublicKeyInfo
            )
        try:
            _write_new(file, content)
        except FileExistsError as error:
            raise InvalidInput(f"key {tenant}/{purpose}: exists") from error
        return key

    def ensure(self, tenant: str, purpose: str) -> ServiceKey:
        """The key, made if there is none yet."""
        try:
            return self.signer(tenant, purpose)
        except NotFound:
            return self.create(tenant, purpose)

    def install(self, tenant: str, purpose: str, chain: Sequence[bytes]) -> ServiceKey:
        """Store the certificates (DER, leaf first) that belong to a key.

        Raises:
            InvalidInput: the leaf is not for this key.
        """
        key = self.signer(tenant, purpose).with_certificates(chain)
        leaf = x509.load_der_x509_certificate(chain[0]).public_key() if chain else None
        if leaf != key.public.to_crypto():
            raise InvalidInput(f"key {tenant}/{purpose}: the certificate is for another key")
        file = self._file(tenant, purpose, ".crt")
        draft = file.with_suffix(".crt.new")
        draft.write_bytes(to_pem(chain))
        draft.replace(file)
        self._opened[tenant, purpose] = key
        return key

    def ensure_secrets(
        self,
        names: Collection[str],
        *,
        first: str = "1",
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        """Make the symmetric keys among *names* that do not exist yet, each with the id *first*.

        In a token, also the key that wraps holder keys there.
        """
        if self._token is not None:
            self._token.holder_keys().prepare()
        rings = dict(self._open_rings()) if self._secrets_file.is_file() else {}
        missing = [each for each in names if each not in rings]
        for name in missing:
            rings[name] = Keyring(first, {first: random_bytes(32)})
        if missing:
            self._write_rings(rings, random_bytes)

    def secret(self, name: str) -> bytes:
        """The current symmetric key *name*, 32 bytes. Raises NotFound."""
        return self.keyring(name).key()

    def keyring(self, name: str) -> Keyring:
        """The symmetric key *name* with its older ones. Raises NotFound, InvalidInput."""
        found = self._open_rings().get(name)
        if found is None:
            raise NotFound(f"secret {name}: there is none, run migrate")
        return found

    def latest_keyring(self, name: str) -> Keyring:
        """As `keyring`, read anew if another process has changed the file since."""
        if self._rings is not None and self._changed() != self._read_at:
            self._rings = None
        return self.keyring(name)

    def store_keyring(
        self, name: str, ring: Keyring, *, random_bytes: RandomBytes = os.urandom
    ) -> None:
        """Store a rotated keyring; running processes see it by `latest_keyring`."""
        self._write_rings({**self._open_rings(), name: ring}, random_bytes)

    @property
    def _secrets_file(self) -> Path:
        return self.path / "secrets.json"

    def _sealing_key(self, salt: bytes) -> bytes:
        return Scrypt(salt=salt, length=32, n=_SCRYPT_COST, r=8, p=1).derive(self._password)

    def _open_rings(self) -> dict[str, Keyring]:
        if self._rings is not None:
            return self._rings
        if not self._secrets_file.is_file():
            raise NotFound("secrets.json: there is none, run migrate")
        read_at = self._changed()
        try:
            content = parse_json_object(self._secrets_file.read_bytes(), max_bytes=_SECRETS_LIMIT)
            salt, sealed = content["salt"], content["sealed"]
            if not isinstance(salt, str) or not isinstance(sealed, str):
                raise InvalidInput("secrets.json: not as written")
            key = self._sealing_key(b64url_decode(salt))
            plain = json.loads(open_sealed(key, b64url_decode(sealed), aad=b"secrets.json 1"))
        except (VerificationError, KeyError) as error:
            raise InvalidInput("secrets.json: wrong password or damaged") from error
        self._rings = {
            name: Keyring(
                each["current"],
                {kid: b64url_decode(value) for kid, value in each["keys"].items()},
            )
            for name, each in plain.items()
        }
        self._read_at = read_at
        return self._rings

    def _changed(self) -> int:
        """When the file of the symmetric keys was written; replaced as a whole, never in part."""
        return self._secrets_file.stat().st_mtime_ns

    def _write_rings(self, rings: dict[str, Keyring], random_bytes: RandomBytes) -> None:
        plain = {
            name: {
                "current": ring.current,
                "keys": {kid: b64url_encode(value) for kid, value in ring.keys.items()},
            }
            for name, ring in rings.items()
        }
        salt = random_bytes(16)
        sealed = seal(
            self._sealing_key(salt),
            json.dumps(plain).encode(),
            aad=b"secrets.json 1",
            random_bytes=random_bytes,
        )
        content = {"salt": b64url_encode(salt), "sealed": b64url_encode(sealed)}
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        draft = self.path / f"secrets.{system.token_hex(4)}.new"
        _write_new(draft, json.dumps(content).encode())
        draft.replace(self._secrets_file)
        self._rings, self._read_at = rings, self._changed()

    def _file(self, tenant: str, purpose: str, suffix: str) -> Path:
        for each in (tenant, purpose):
            if not _NAME.fullmatch(each):
                raise InvalidInput("key: a tenant or purpose is not a-z, 0-9, - and _")
        return self.path / tenant / f"{purpose}{suffix}"


def _write_new(file: Path, content: bytes) -> None:
    """A file that did not exist, readable by its owner only."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
