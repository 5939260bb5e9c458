"""A TLS certificate for localhost in files, as an operator configures it."""

import ssl
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from shared.crypto.x509 import Profile

from .certificates import Authority


@dataclass(frozen=True)
class TlsFiles:
    """Paths of PEM files: whom clients trust, and what a server shows."""

    authority: str
    certificate: str
    key: str

    @classmethod
    def make(cls, folder: Path, *, now: datetime) -> "TlsFiles":
        authority = Authority.make(now=now)
        key = authority.signer(Profile.TLS, dns=["localhost"], now=now)
        private = ec.derive_private_key(int.from_bytes(key.scalar(), "big"), ec.SECP256R1())
        contents = {
            "ca.pem": ssl.DER_cert_to_PEM_cert(authority.certificate).encode(),
            "tls.crt": ssl.DER_cert_to_PEM_cert(key.certificates[0]).encode(),
            "tls.key": private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()),
        }
        for name, content in contents.items():
            (folder / name).write_bytes(content)
        return cls(*(str(folder / name) for name in contents))

    def server(self) -> ssl.SSLContext:
        """For a server of a test."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def client(self) -> ssl.SSLContext:
        """For whoever calls it."""
        return ssl.create_default_context(cafile=self.authority)
