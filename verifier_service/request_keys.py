"""What the answer to one request is opened and checked with; sealed until it is in (V-21)."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypedDict

import orjson

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.encoding import RandomBytes, b64url_decode, b64url_encode
from shared.oauth.encryption import EncryptionKey

from .context import Verifier

Mode: TypeAlias = Literal["direct_post.jwt", "direct_post", "dc_api.jwt"]
_VALUE = 32  # bytes of nonce and state: 43 characters (V-12)
_KEY = 32


class _Said(TypedDict):
    mode: Mode
    nonce: str
    state: str
    audience: str
    response_uri: str | None
    transaction_data: list[str]
    wallet: str | None
    public: str  # of the key; else opening it would cost as much again as a signature


@dataclass(frozen=True, slots=True)
class RequestKeys:
    """Of one request; a page that asks over the Digital Credentials API makes its own."""

    mode: Mode
    decrypter: SoftwareKey = field(repr=False)
    result_key: bytes = field(repr=False)
    """Claims are sealed under it; afterwards it follows from the asker's secret alone."""
    nonce: str
    state: str
    audience: str
    """The full Client Identifier, or "origin:" and our Origin (HB-03)."""
    response_uri: str | None
    transaction_data: tuple[str, ...] = ()
    wallet: str | None = None
    """The wallet that the asker named, for the links on our page."""

    @classmethod
    def make(
        cls,
        random_bytes: RandomBytes,
        *,
        mode: Mode,
        kid: str,
        result_key: bytes,
        audience: str,
        response_uri: str | None,
        transaction_data: tuple[str, ...] = (),
        wallet: str | None = None,
    ) -> "RequestKeys":
        """A fresh key, nonce and state."""
        return cls(
            mode=mode,
            decrypter=SoftwareKey.generate(kid=kid),
            result_key=result_key,
            nonce=b64url_encode(random_bytes(_VALUE)),
            state=b64url_encode(random_bytes(_VALUE)),
            audience=audience,
            response_uri=response_uri,
            transaction_data=transaction_data,
            wallet=wallet,
        )

    @property
    def encrypted(self) -> bool:
        """Whether the answer is."""
        return self.mode != "direct_post"

    @property
    def encryption_key(self) -> EncryptionKey | None:
        """What goes into the request."""
        if not self.encrypted:
            return None
        return EncryptionKey(self.decrypter.public, self.decrypter.kid)

    def seal(self, verifier: Verifier, *, tenant: str, request_id: str) -> bytes:
        """For the row of its transaction, and no other."""
        said: _Said = {
            "mode": self.mode,
            "nonce": self.nonce,
            "state": self.state,
            "audience": self.audience,
            "response_uri": self.response_uri,
            "transaction_data": list(self.transaction_data),
            "wallet": self.wallet,
            "public": b64url_encode(self.decrypter.public.x + self.decrypter.public.y),
        }
        return verifier.keys.seal(
            self.decrypter.scalar() + self.result_key + orjson.dumps(said),
            aad=_aad(tenant, request_id),
            random_bytes=verifier.random_bytes,
        )

    @classmethod
    def open(
        cls, verifier: Verifier, sealed: bytes, *, tenant: str, request_id: str
    ) -> "RequestKeys":
        """What `seal` sealed."""
        opened = verifier.keys.open(sealed, aad=_aad(tenant, request_id))
        said: _Said = orjson.loads(opened[2 * _KEY :])
        return cls(
            mode=said["mode"],
            decrypter=_key(opened[:_KEY], said.get("public"), kid=request_id[:16]),
            result_key=opened[_KEY : 2 * _KEY],
            nonce=said["nonce"],
            state=said["state"],
            audience=said["audience"],
            response_uri=said["response_uri"],
            transaction_data=tuple(said["transaction_data"]),
            wallet=said.get("wallet"),
        )


def _key(scalar: bytes, public: str | None, *, kid: str) -> SoftwareKey:
    if public is None:  # sealed before the point lay beside it
        return SoftwareKey.from_scalar(scalar, kid=kid)
    point = b64url_decode(public)
    return SoftwareKey.from_pair(scalar, PublicKey(point[:_KEY], point[_KEY:]), kid=kid)


def _aad(tenant_id: str, request_id: str) -> bytes:
    return f"transaction keys 2:{tenant_id}:{request_id}".encode()
