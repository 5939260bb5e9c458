"""JWE in compact form: ECDH-ES on P-256 with A128GCM or A256GCM, and nothing else.

joserfc encrypts; what comes is read strictly here and opened by `cryptography` (ADR 0025). Refused
are `zip`, `crit`, an `epk` off the curve, an encrypted key where none belongs. Header members that
are not known here are ignored (C-32). Specification: RFC 7516; RFC 7518, sections 4.6 and 5.3;
PROFILE C-04, C-05, S-20, S-21.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash
from joserfc import jwe as joserfc_jwe
from joserfc.jwk import ECKey
from joserfc.registry import Header

from ..crypto.keys import Decrypter, PublicKey
from ..encoding import JsonValue, b64url_decode, b64url_encode, parse_json_object
from ..errors import InvalidInput, VerificationError

ALG = "ECDH-ES"
_KEY_BYTES = {"A128GCM": 16, "A256GCM": 32}
ENC_VALUES = frozenset(_KEY_BYTES)  # C-04
_MAX_HEADER = 8 * 1024
_REFUSED_HEADERS = ("zip", "crit")


@dataclass(frozen=True, slots=True)
class UnverifiedJwe:
    """A compact JWE with a well-formed header that asks for nothing we refuse."""

    header: Mapping[str, JsonValue]
    protected: str
    """The header as received."""
    epk: PublicKey
    parties: tuple[bytes, bytes]
    """PartyUInfo and PartyVInfo, empty if not there."""
    iv: bytes
    sealed: bytes
    """Ciphertext and tag."""


_REGISTRY = joserfc_jwe.JWERegistry(algorithms=[ALG, *ENC_VALUES], strict_check_header=False)


def encrypt(
    plaintext: bytes,
    *,
    to: PublicKey,
    kid: str | None,
    enc: str,
    cty: str | None = None,
    apu: bytes | None = None,
    apv: bytes | None = None,
) -> str:
    """Encrypt to a public key with ECDH-ES and a fresh ephemeral key.

    Args:
        plaintext: any bytes.
        to: the recipient's key.
        kid: of the recipient's JWK, if it has one.
        enc: "A128GCM" or "A256GCM".
        cty: content type, if it must be said.
        apu: PartyUInfo, before base64url.
        apv: PartyVInfo, before base64url.

    Raises:
        InvalidInput: another *enc*.

    Specification: RFC 7516, section 7.1; RFC 7518, section 4.6; PROFILE C-04, C-05.
    """
    if enc not in ENC_VALUES:
        raise InvalidInput("JWE: enc is not supported")
    header: Header = {"alg": ALG, "enc": enc}
    given = {
        "kid": kid,
        "cty": cty,
        "apu": None if apu is None else b64url_encode(apu),
        "apv": None if apv is None else b64url_encode(apv),
    }
    header.update({name: value for name, value in given.items() if value is not None})
    key = ECKey.import_key(to.to_crypto())
    return joserfc_jwe.encrypt_compact(header, plaintext, key, registry=_REGISTRY)


def parse_jwe(token: str, *, max_bytes: int) -> UnverifiedJwe:
    """Read the header of a compact JWE and refuse what we would not open.

    Raises:
        InvalidInput: not five base64url parts of the right sizes; a header that is no strict JSON
            object; an `alg` or `enc` that is no string, `zip` (S-21), `crit`; an `epk` with private
            members (C-07) or off the curve (C-05).

    Specification: RFC 7516, section 5.2; RFC 7518, section 4.6; PROFILE C-05, C-07, C-30, S-20,
    S-21.
    """
    if len(token) > max_bytes:
        raise InvalidInput("JWE: too large")
    parts = token.split(".")
    if len(parts) != 5:
        raise InvalidInput("JWE: not five parts")
    header = parse_json_object(b64url_decode(parts[0]), max_bytes=_MAX_HEADER)
    if any(each in header for each in _REFUSED_HEADERS):
        raise InvalidInput("JWE: header member zip or crit")
    if not isinstance(header.get("alg"), str) or not isinstance(header.get("enc"), str):
        raise InvalidInput("JWE: header without alg or enc")
    if not isinstance(header.get("kid", ""), str):
        raise InvalidInput("JWE: kid is no string")
    if parts[1]:
        raise InvalidInput("JWE: an encrypted key beside direct key agreement")
    iv, ciphertext, tag = map(b64url_decode, parts[2:])
    if len(iv) != 12 or len(tag) != 16:
        raise InvalidInput("JWE: initialization vector or tag of another size")
    epk = PublicKey.from_jwk(header.get("epk"))
    parties = (_party(header.get("apu", "")), _party(header.get("apv", "")))
    return UnverifiedJwe(header, parts[0], epk, parties, iv, ciphertext + tag)


def _party(value: JsonValue) -> bytes:
    if not isinstance(value, str):
        raise InvalidInput("JWE: apu or apv is no string")
    return b64url_decode(value)


def decrypt(
    token: str | UnverifiedJwe, *, key: Decrypter, enc_values: Collection[str], max_bytes: int
) -> tuple[Mapping[str, JsonValue], bytes]:
    """Open a compact JWE.

    Args:
        token: compact form, or what `parse_jwe` made of it.
        key: the recipient's.
        enc_values: the accepted `enc` values, as they were offered to the sender.
        max_bytes: limit for a *token* that is not parsed yet.

    Returns:
        The protected header and the plaintext.

    Raises:
        InvalidInput: as `parse_jwe`, or another `alg` or `enc`.
        VerificationError: made for another key, or changed.

    Specification: RFC 7516, section 5.2; OpenID4VP 1.0, section 8.3; PROFILE C-04, C-05, V-41.
    """
    jwe = token if isinstance(token, UnverifiedJwe) else parse_jwe(token, max_bytes=max_bytes)
    if jwe.header["alg"] != ALG or jwe.header["enc"] not in ENC_VALUES.intersection(enc_values):
        raise InvalidInput("JWE: alg or enc is not the one offered")
    enc = str(jwe.header["enc"])
    content_key = _derive(key.agree(jwe.epk), enc, jwe.parties)
    try:
        plaintext = AESGCM(content_key).decrypt(jwe.iv, jwe.sealed, jwe.protected.encode())
    except InvalidTag as error:
        raise VerificationError("JWE: does not open") from error
    return jwe.header, plaintext


def _derive(secret: bytes, enc: str, parties: tuple[bytes, bytes]) -> bytes:
    """The key of the content: Concat KDF with one round (RFC 7518, section 4.6.2)."""
    length = _KEY_BYTES[enc]
    info = [len(each).to_bytes(4, "big") + each for each in (enc.encode(), *parties)]
    other_info = b"".join((*info, (length * 8).to_bytes(4, "big")))
    return ConcatKDFHash(SHA256(), length, other_info).derive(secret)
