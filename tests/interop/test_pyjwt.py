"""PyJWT reads what we sign, we read what it signs, and it draws the line no stricter than we do."""

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.errors import BadSignature, InvalidInput
from shared.jose.jws import parse_jws, sign_jwt, verify_jwt

pytestmark = pytest.mark.interop
CLAIMS = {"sub": "somebody", "iat": 1_700_000_000, "text": "Ünïcode"}


def test_pyjwt_verifies_what_we_sign() -> None:
    """C-01, C-06, RFC 7515."""
    key = SoftwareKey.generate()
    token = sign_jwt(CLAIMS, typ="example+jwt", signer=key)
    pem = key.public.to_crypto().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    options = {"verify_iat": False}
    assert jwt.decode(token, pem, algorithms=["ES256"], options=options) == CLAIMS
    assert jwt.get_unverified_header(token)["typ"] == "example+jwt"


def test_we_verify_what_pyjwt_signs() -> None:
    """C-01, C-06."""
    key = SoftwareKey.generate()
    token = jwt.encode(CLAIMS, key.to_crypto(), algorithm="ES256", headers={"typ": "example+jwt"})
    verified = verify_jwt(token, key=key.public, typ="example+jwt", algorithms=("ES256",))
    assert verified.claims == CLAIMS


@pytest.mark.parametrize("algorithm", ["HS256", "none"])
def test_a_mac_or_no_signature_is_refused_by_both(algorithm: str) -> None:
    """C-03."""
    secret = "a secret of thirty-two characters!" if algorithm == "HS256" else None
    token = jwt.encode(CLAIMS, secret, algorithm=algorithm, headers={"typ": "example+jwt"})
    key = SoftwareKey.generate().public
    with pytest.raises((BadSignature, InvalidInput)):
        verify_jwt(token, key=key, typ="example+jwt", algorithms=("ES256",))
    with pytest.raises(jwt.InvalidTokenError):
        jwt.decode(token, key.to_crypto(), algorithms=["ES256"])


def test_a_jwk_means_the_same_key_to_both() -> None:
    """C-08: kty, crv, x, y suffice."""
    key = SoftwareKey.generate().public
    theirs = jwt.PyJWK(key.to_jwk(), algorithm="ES256").key
    assert PublicKey.from_crypto(theirs) == key


def test_what_pyjwt_lets_pass_we_refuse() -> None:
    """C-31: PyJWT takes the last of two members of one name."""
    key = SoftwareKey.generate()
    token = jwt.api_jws.encode(
        b'{"sub":"one","sub":"two"}', key.to_crypto(), "ES256", headers={"typ": "example+jwt"}
    )
    assert jwt.decode(token, key.public.to_crypto(), algorithms=["ES256"]) == {"sub": "two"}
    with pytest.raises(InvalidInput):
        parse_jws(token, max_bytes=10_000).unverified_claims()
