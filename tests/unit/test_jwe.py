"""shared/jose/jwe.py: only what was encrypted to us, as we offered, is opened."""

import json
from itertools import count
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode, b64url_encode
from shared.errors import InvalidInput, VerificationError
from shared.jose.jwe import decrypt, encrypt, parse_jwe

KEY = SoftwareKey.generate(kid="ac")
BOTH = frozenset({"A128GCM", "A256GCM"})
LIMIT = 100_000

# OpenID4VP 1.0, section 8.3 (vectors/openid4vp-1_0/encrypted_response/ecdh-es_a128gcm.json)
VECTOR_KEY = SoftwareKey.from_scalar(b64url_decode("Et-3ce0omz8_TuZ96Df9lp0GAaaDoUnDe6X-CRO7Aww"))
VECTOR = (
    "eyJhbGciOiJFQ0RILUVTIiwiZW5jIjoiQTEyOEdDTSIsImtpZCI6ImFjIiwiZXBrIjp7Imt0eSI6IkVDIiwieCI6Im5u"
    "bVZwbTNWM2piaGNhZlFhUkJrU1ZOSGx3Wkh3dC05ck9wSnVmeVlJdWsiLCJ5IjoicjRmakRxd0p5czlxVU9QLV9iM21S"
    "NVNaRy0tQ3dPMm1pYzVWU05UWU45ZyIsImNydiI6IlAtMjU2In19..uAYcHRUSSn2X0WPX.yVzlGSYG4qbg0bq18JcUi"
    "DRw56yVnbKR8E7S7YlEtzT00RqE3Pw5oTpUG3hdLN4taHZ9gC1kwak8JOnJgQ.1wR024_3-qtAlx1oFIUpQQ"
)
VECTOR_PLAINTEXT = b'{\n "vp_token": {"example_credential_id": ["eyJhb...YMetA"]}\n}'
# RFC 7518, appendix C
ALICE = SoftwareKey.from_scalar(b64url_decode("0_NxaRPUMQoAJt50Gz8YiTr8gRTwyEaCumd-MToTmIo"))
BOB = SoftwareKey.from_scalar(b64url_decode("VEmDZpDXXK8p8N0Cndsxs924q6nS1RXFASRl6BfUqdw"))


def made(
    header: dict[str, Any],
    plaintext: bytes = b"{}",
    *,
    ephemeral: SoftwareKey | None = None,
    to: PublicKey = KEY.public,
    encrypted_key: str = "",
) -> str:
    """A JWE over any header, encrypted by the steps of RFC 7518, section 4.6."""
    ephemeral = ephemeral or SoftwareKey.generate()
    header = {"alg": "ECDH-ES", "enc": "A128GCM", "epk": ephemeral.public.to_jwk(), **header}
    parties = [b64url_decode(header.get(each, "")) for each in ("apu", "apv")]
    parts = [header["enc"].encode(), *parties]
    length = 32 if header["enc"] == "A256GCM" else 16
    info = b"".join(len(each).to_bytes(4, "big") + each for each in parts)
    other_info = info + (length * 8).to_bytes(4, "big")
    key = ConcatKDFHash(SHA256(), length, other_info).derive(ephemeral.agree(to))
    head = b64url_encode(json.dumps(header).encode())
    sealed = AESGCM(key).encrypt(bytes(12), plaintext, head.encode())
    parts_out = (head, encrypted_key, *map(b64url_encode, (bytes(12), sealed[:-16], sealed[-16:])))
    return ".".join(parts_out)


def opened(token: str, **changed: Any) -> bytes:
    expectations: dict[str, Any] = {"key": KEY, "enc_values": BOTH, "max_bytes": LIMIT}
    return decrypt(token, **{**expectations, **changed})[1]


def test_the_response_of_the_specification_opens() -> None:
    """C-04, V-41; OpenID4VP 1.0, section 8.3."""
    header, plaintext = decrypt(VECTOR, key=VECTOR_KEY, enc_values={"A128GCM"}, max_bytes=LIMIT)
    assert plaintext == VECTOR_PLAINTEXT
    assert (header["kid"], header["enc"]) == ("ac", "A128GCM")


def test_the_key_agreement_is_that_of_rfc_7518() -> None:
    """C-05; RFC 7518, appendix C: apu "Alice", apv "Bob", with its own derived key."""
    info = b"\x00\x00\x00\x07A128GCM\x00\x00\x00\x05Alice\x00\x00\x00\x03Bob\x00\x00\x00\x80"
    derived = ConcatKDFHash(SHA256(), 16, info).derive(ALICE.agree(BOB.public))
    assert b64url_encode(derived) == "VqqN6vgjbSBcIijNcacQGg"
    token = made({"apu": "QWxpY2U", "apv": "Qm9i"}, b"text", ephemeral=ALICE, to=BOB.public)
    assert opened(token, key=BOB) == b"text"


@pytest.mark.parametrize("enc", sorted(BOTH))
@pytest.mark.parametrize("plaintext", [b"", b"{}", b"\x00" * 300_000])
def test_what_is_encrypted_opens(enc: str, plaintext: bytes) -> None:
    """C-04; W-61: kid, cty, apu and apv as given."""
    token = encrypt(
        plaintext, to=KEY.public, kid="ac", enc=enc, cty="json", apu=b"wallet", apv=b"nonce"
    )
    header, found = decrypt(token, key=KEY, enc_values={enc}, max_bytes=2**20)
    assert found == plaintext
    expected = {"alg": "ECDH-ES", "enc": enc, "kid": "ac", "cty": "json", "apu": "d2FsbGV0"}
    assert {name: header[name] for name in expected} == expected
    assert header["apv"] == "bm9uY2U"


def test_a_recipient_without_a_kid_is_not_given_one() -> None:
    """C-08."""
    token = encrypt(b"", to=KEY.public, kid=None, enc="A256GCM")
    assert set(parse_jwe(token, max_bytes=LIMIT).header) == {"alg", "enc", "epk"}


def test_every_encryption_has_its_own_ephemeral_key() -> None:
    """RFC 7518, section 4.6.1.1."""
    tokens = [encrypt(b"", to=KEY.public, kid=None, enc="A256GCM") for _ in range(5)]
    keys = {json.dumps(parse_jwe(each, max_bytes=LIMIT).header["epk"]) for each in tokens}
    assert len(keys) == 5


@pytest.mark.parametrize("enc", ["A192GCM", "A128CBC-HS256", "", "a256gcm"])
def test_another_content_encryption_is_not_made(enc: str) -> None:
    """C-04."""
    with pytest.raises(InvalidInput):
        encrypt(b"", to=KEY.public, kid=None, enc=enc)


def test_an_enc_that_was_not_offered_is_refused() -> None:
    """V-41: also one that we could open."""
    token = made({"enc": "A128GCM"})
    assert opened(token) == b"{}"
    with pytest.raises(InvalidInput, match="offered"):
        opened(token, enc_values={"A256GCM"})
    for enc in ("A192GCM", "A128CBC-HS256", "none"):
        with pytest.raises(InvalidInput, match="offered"):
            opened(made({"enc": enc}), enc_values={enc, *BOTH})


@pytest.mark.parametrize(
    "alg", ["dir", "ECDH-ES+A128KW", "RSA1_5", "RSA-OAEP", "none", "PBES2-HS256+A128KW"]
)
def test_another_key_management_is_refused(alg: str) -> None:
    """C-04, V-41."""
    with pytest.raises(InvalidInput, match="offered"):
        opened(made({"alg": alg}))


@pytest.mark.parametrize(
    "member",
    [
        {"zip": "DEF"},
        {"zip": None},
        {"crit": ["exp"]},
        {"alg": None},
        {"kid": 1},
        {"epk": None},
        {"epk": {}},
        {"epk": []},
        {"epk": {**KEY.public.to_jwk(), "crv": "P-384"}},
        {"epk": {**KEY.public.to_jwk(), "d": "AA"}},
        {"epk": {**KEY.public.to_jwk(), "y": KEY.public.to_jwk()["x"]}},
        {
            "epk": {
                **KEY.public.to_jwk(),
                "x": b64url_encode(bytes(32)),
                "y": b64url_encode(bytes(32)),
            }
        },
    ],
    ids=lambda member: str(member)[:40],
)
def test_a_header_that_asks_for_more_is_refused(member: dict[str, Any]) -> None:
    """C-05: epk off the curve; C-07: private members; S-21: zip; RFC 7516, section 4.1.13: crit."""
    with pytest.raises(InvalidInput):
        opened(made(member))


@pytest.mark.parametrize("value", [1, None, "a", "AA=="])
@pytest.mark.parametrize("party", ["apu", "apv"])
def test_a_party_that_is_no_base64url_is_refused(party: str, value: object) -> None:
    """C-30; RFC 7518, section 4.6.1."""
    head, *rest = made({}).split(".")
    header = {**json.loads(b64url_decode(head)), party: value}
    with pytest.raises(InvalidInput):
        opened(".".join((b64url_encode(json.dumps(header).encode()), *rest)))


def test_members_nobody_knows_are_ignored() -> None:
    """C-32."""
    assert opened(made({"made-up": [1], "typ": "x", "cty": "json", "kid": "other"})) == b"{}"


def test_another_key_opens_nothing() -> None:
    """V-21: a key belongs to one request."""
    with pytest.raises(VerificationError):
        opened(made({}), key=SoftwareKey.generate())


def test_other_parties_derive_another_key() -> None:
    """C-05: apu and apv go into the key derivation."""
    head, *rest = made({"apu": "QUFB"}).split(".")
    header = {**json.loads(b64url_decode(head)), "apu": "QUFC"}
    with pytest.raises(VerificationError):
        opened(".".join((b64url_encode(json.dumps(header).encode()), *rest)))


GOOD = encrypt(b"{}", to=KEY.public, kid="ac", enc="A128GCM")
PARTS = GOOD.split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        "....",
        ".".join(PARTS[:4]),
        f"{GOOD}.",
        f"{GOOD}=",
        f"{GOOD} ",
        ".".join((PARTS[0], "AA", *PARTS[2:])),
        ".".join((*PARTS[:2], b64url_encode(bytes(16)), *PARTS[3:])),
        ".".join((*PARTS[:4], b64url_encode(bytes(4)))),
        ".".join((*PARTS[:4], "")),
        ".".join(("W10", *PARTS[1:])),
        ".".join(("eyJhbGciOiJFQ0RILUVTIiwiYWxnIjoiRUNESC1FUyJ9", *PARTS[1:])),
        json.dumps({"protected": PARTS[0]}),
    ],
    ids=count(),  # the tokens differ between processes
)
def test_what_is_no_compact_jwe_is_refused(token: str) -> None:
    """C-30, C-31; RFC 7516, section 5.2: five parts, no encrypted key, a whole tag."""
    with pytest.raises(InvalidInput):
        opened(token)


def test_a_token_has_a_largest_size() -> None:
    """S-20."""
    assert opened(GOOD, max_bytes=len(GOOD)) == b"{}"
    with pytest.raises(InvalidInput, match="large"):
        opened(GOOD, max_bytes=len(GOOD) - 1)


def test_every_altered_character_is_refused() -> None:
    """C-30, C-34."""
    for index, old in enumerate(GOOD):
        new = "A" if old != "A" else "B"
        with pytest.raises((InvalidInput, VerificationError)):
            opened(GOOD[:index] + new + GOOD[index + 1 :])


def test_a_parsed_token_is_decrypted_once_its_key_is_known() -> None:
    """V-40: the kid in the header says which transaction's key it is."""
    parsed = parse_jwe(GOOD, max_bytes=LIMIT)
    assert parsed.header["kid"] == "ac"
    assert decrypt(parsed, key=KEY, enc_values=BOTH, max_bytes=LIMIT)[1] == b"{}"
