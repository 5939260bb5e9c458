"""A software passkey: a WebAuthn authenticator with user verification and PRF, as a phone has one.

It makes real attestations (format "none") and real assertions. PRF follows the browsers: the input
is hashed with the prefix "WebAuthn PRF", and the authenticator answers HMAC-SHA-256 under a secret
of the credential. It knows no private API: what it gets are the options a server sent.

Specification: Web Authentication Level 3, sections 5.1.3, 5.1.4, 6.1, 6.5, 10.1.4; CTAP 2.1, 12.5.
"""

import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ..encoding import JsonValue, RandomBytes, b64url_decode, b64url_encode
from ..errors import InvalidInput, NotFound

_USER_PRESENT, _USER_VERIFIED = 0x01, 0x04
_BACKUP_ELIGIBLE, _BACKED_UP = 0x08, 0x10
_ATTESTED = 0x40
_ES256 = -7


@dataclass(frozen=True, slots=True)
class _Credential:
    """One resident credential; *prf_secret* never leaves the authenticator."""

    id: bytes
    rp_id: str
    user_handle: bytes
    key: ec.EllipticCurvePrivateKey
    prf_secret: bytes | None


@dataclass(frozen=True, slots=True)
class Assertion:
    """What `navigator.credentials.get` gives: the JSON to send, and the PRF outputs to keep."""

    response: dict[str, JsonValue]
    prf: tuple[bytes, ...]


@dataclass(slots=True)
class SoftwarePasskey:
    """An authenticator in the browser of *origin*; without *prf* the wallet must refuse it."""

    origin: str
    random_bytes: RandomBytes = secrets.token_bytes
    prf: bool = True
    verifies_user: bool = True
    cross_origin: bool = False
    _credentials: dict[bytes, _Credential] = field(default_factory=dict)

    def create(self, options: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
        """Answer `navigator.credentials.create`: a RegistrationResponseJSON."""
        rp, user = _object(options, "rp"), _object(options, "user")
        credential = _Credential(
            id=self.random_bytes(32),
            rp_id=_text(rp, "id"),
            user_handle=b64url_decode(_text(user, "id")),
            key=ec.generate_private_key(ec.SECP256R1()),
            prf_secret=self.random_bytes(32) if self.prf else None,
        )
        self._credentials[credential.id] = credential
        client_data = self._client_data("webauthn.create", _text(options, "challenge"))
        point = credential.key.public_key().public_numbers()
        cose_key = cbor2.dumps(
            {
                1: 2,
                3: _ES256,
                -1: 1,
                -2: point.x.to_bytes(32, "big"),
                -3: point.y.to_bytes(32, "big"),
            }
        )
        attested = bytes(16) + len(credential.id).to_bytes(2, "big") + credential.id + cose_key
        authenticator_data = self._authenticator_data(credential.rp_id, _ATTESTED) + attested
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": authenticator_data})
        return {
            "id": b64url_encode(credential.id),
            "rawId": b64url_encode(credential.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": b64url_encode(client_data),
                "attestationObject": b64url_encode(attestation),
                "transports": ["internal"],
            },
            "clientExtensionResults": {"prf": {"enabled": True}} if self.prf else {},
        }

    def get(self, options: Mapping[str, JsonValue]) -> Assertion:
        """Answer `navigator.credentials.get` after the citizen's gesture.

        Raises:
            NotFound: no credential of this authenticator fits.
        """
        credential = self._choose(options)
        client_data = self._client_data("webauthn.get", _text(options, "challenge"))
        authenticator_data = self._authenticator_data(credential.rp_id, 0)
        signed = authenticator_data + hashlib.sha256(client_data).digest()
        response: dict[str, JsonValue] = {
            "id": b64url_encode(credential.id),
            "rawId": b64url_encode(credential.id),
            "type": "public-key",
            "response": {
                "clientDataJSON": b64url_encode(client_data),
                "authenticatorData": b64url_encode(authenticator_data),
                "signature": b64url_encode(credential.key.sign(signed, ec.ECDSA(hashes.SHA256()))),
                "userHandle": b64url_encode(credential.user_handle),
            },
            "clientExtensionResults": {},
        }
        return Assertion(response, _evaluate(credential, options))

    def _choose(self, options: Mapping[str, JsonValue]) -> _Credential:
        rp_id = _text(options, "rpId")
        allowed = options.get("allowCredentials") or []
        if not isinstance(allowed, list):
            raise InvalidInput("passkey: allowCredentials is not a list")
        wanted = {b64url_decode(_text(each, "id")) for each in allowed if isinstance(each, dict)}
        for credential in reversed(self._credentials.values()):
            if credential.rp_id == rp_id and (not wanted or credential.id in wanted):
                return credential
        raise NotFound("passkey: no credential of this authenticator fits")

    def _client_data(self, kind: str, challenge: str) -> bytes:
        return json.dumps(
            {
                "type": kind,
                "challenge": challenge,
                "origin": self.origin,
                "crossOrigin": self.cross_origin,
            },
            separators=(",", ":"),
        ).encode()

    def _authenticator_data(self, rp_id: str, more: int) -> bytes:
        """A synced passkey: eligible for backup, backed up, and so its counter stays 0."""
        flags = _USER_PRESENT | _BACKUP_ELIGIBLE | _BACKED_UP | more
        if self.verifies_user:
            flags |= _USER_VERIFIED
        return hashlib.sha256(rp_id.encode()).digest() + bytes([flags]) + bytes(4)


def _evaluate(credential: _Credential, options: Mapping[str, JsonValue]) -> tuple[bytes, ...]:
    extensions = options.get("extensions")
    prf = extensions.get("prf") if isinstance(extensions, Mapping) else None
    inputs = prf.get("eval") if isinstance(prf, Mapping) else None
    if credential.prf_secret is None or not isinstance(inputs, Mapping):
        return ()
    outputs = []
    for name in ("first", "second"):
        value = inputs.get(name)
        if isinstance(value, str):
            salt = hashlib.sha256(b"WebAuthn PRF\x00" + b64url_decode(value)).digest()
            outputs.append(hmac.digest(credential.prf_secret, salt, "sha256"))
    return tuple(outputs)


def _object(value: Mapping[str, JsonValue], name: str) -> Mapping[str, JsonValue]:
    member = value.get(name)
    if not isinstance(member, Mapping):
        raise InvalidInput(f"passkey: options without {name}")
    return member


def _text(value: Mapping[str, JsonValue], name: str) -> str:
    member = value.get(name)
    if not isinstance(member, str):
        raise InvalidInput(f"passkey: options without {name}")
    return member
