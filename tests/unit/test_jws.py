"""shared/jose/jws.py: a JWT is believed for its type, its algorithm and its key, or refused."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any, cast

import pytest
from cryptography import x509

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile, parse_x5c
from shared.encoding import JsonValue, b64url_decode, b64url_encode
from shared.errors import BadSignature, Expired, InvalidInput, NotYetValid, Untrusted
from shared.jose.jws import (
    MAX_BYTES,
    UnverifiedJws,
    check_freshness,
    check_times,
    parse_jws,
    sign_jwt,
    verify_jwt,
    verify_x5c_jwt,
)
from tests.support.certificates import Authority, certificate
from tests.support.clock import NOW
from tests.support.vectors import vector_json

KEY = SoftwareKey.generate()
ES256 = frozenset({"ES256"})
CLAIMS: dict[str, JsonValue] = {"iss": "https://issuer.example", "name": "Möbius", "iat": 1}
HEADER: dict[str, Any] = {"alg": "ES256", "typ": "test+jwt"}

# RFC 7515, appendix A.3
RFC_7515 = (
    "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNv"
    "bS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxf"
    "KTUJqPP3-Kg6NU1Q"
)
RFC_7515_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}


def signed(header: object, payload: bytes = b"{}", key: SoftwareKey = KEY) -> str:
    """A JWS over any header and payload, with a signature that fits."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    signing_input = f"{b64url_encode(text)}.{b64url_encode(payload)}"
    return f"{signing_input}.{b64url_encode(key.sign(signing_input.encode()))}"


def verify(token: str | UnverifiedJws, **changed: Any) -> Any:
    expectations: dict[str, Any] = {"key": KEY.public, "typ": "test+jwt", "algorithms": ES256}
    return verify_jwt(token, **{**expectations, **changed})


def test_what_was_signed_is_what_is_believed() -> None:
    """C-01, C-06, C-30; RFC 7515, section 7.1."""
    token = sign_jwt(CLAIMS, typ="test+jwt", signer=KEY, header={"kid": "k"})
    assert "=" not in token
    jwt = verify(token)
    assert (jwt.claims, dict(jwt.header)) == (CLAIMS, {**HEADER, "kid": "k"})
    assert len(b64url_decode(token.split(".")[2])) == 64
    assert verify(parse_jws(token, max_bytes=MAX_BYTES)) == jwt


def test_the_signature_of_rfc_7515_verifies() -> None:
    """C-01; RFC 7515, appendix A.3: no typ in it, so it is no token of ours."""
    jws = parse_jws(RFC_7515, max_bytes=MAX_BYTES)
    PublicKey.from_jwk(RFC_7515_KEY).verify(jws.signature, jws.signing_input)
    assert jws.unverified_claims()["iss"] == "joe"
    with pytest.raises(BadSignature, match="typ"):
        verify(RFC_7515, key=PublicKey.from_jwk(RFC_7515_KEY))


def test_a_proof_of_the_specification_verifies() -> None:
    """OpenID4VCI 1.0, appendix F.1, unwrapped."""
    token = vector_json("openid4vci-1_0/derived/jwt_proof.json")["jwt"]
    key = PublicKey.from_jwk(parse_jws(token, max_bytes=MAX_BYTES).header["jwk"])
    assert verify(token, key=key, typ="openid4vci-proof+jwt").claims["nonce"]


@pytest.mark.parametrize("typ", ["other+jwt", "TEST+JWT", "application/test+jwt", "", None, 1, []])
def test_a_token_of_another_type_is_refused(typ: object) -> None:
    """S-04; RFC 8725, section 3.11: compared exactly."""
    with pytest.raises((BadSignature, InvalidInput)):
        verify(signed({"alg": "ES256", "typ": typ}))
    with pytest.raises((BadSignature, InvalidInput)):
        verify(signed({"alg": "ES256", "typ": typ}), typ=("a", "b"))
    with pytest.raises(BadSignature):
        verify(signed({"alg": "ES256"}))


def test_one_of_several_types_is_accepted() -> None:
    """F-VC-01: a switch may allow a second one."""
    assert verify(signed(HEADER), typ={"test+jwt", "vc+test"})


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256", "ES384", "ES256K", "RS256", "es256"])
def test_any_other_algorithm_is_refused(alg: str) -> None:
    """C-03: whatever the message says, even if a caller allows it by mistake."""
    token = signed({"alg": alg, "typ": "test+jwt"})
    for algorithms in (ES256, {alg}):
        with pytest.raises(BadSignature, match="algorithm"):
            verify(token, algorithms=algorithms)


def test_an_algorithm_the_verifier_did_not_name_is_refused() -> None:
    """C-03: the allow-list belongs to the message type."""
    with pytest.raises(BadSignature, match="algorithm"):
        verify(signed(HEADER), algorithms=frozenset())


def test_an_unsigned_token_is_refused() -> None:
    """C-03; RFC 8725, section 3.2."""
    head = b64url_encode(json.dumps({**HEADER, "alg": "none"}).encode())
    for token in (f"{head}.e30.", signed(HEADER).rsplit(".", 1)[0] + "."):
        with pytest.raises(BadSignature):
            verify(token)


def test_the_public_key_is_no_secret_of_a_mac() -> None:
    """C-03; RFC 8725, section 2.1: HS256 over the public key."""
    head = b64url_encode(json.dumps({**HEADER, "alg": "HS256"}).encode())
    signing_input = f"{head}.e30"
    mac = hmac.digest(
        json.dumps(KEY.public.to_jwk()).encode(), signing_input.encode(), hashlib.sha256
    )
    with pytest.raises(BadSignature):
        verify(f"{signing_input}.{b64url_encode(mac)}", algorithms={"ES256", "HS256"})


def test_another_key_is_refused() -> None:
    """C-03: the key is the verifier's, not the header's."""
    other = SoftwareKey.generate()
    for header in (HEADER, {**HEADER, "jwk": other.public.to_jwk()}):
        with pytest.raises(BadSignature):
            verify(signed(header, key=other))


def test_a_key_by_reference_is_not_fetched() -> None:
    """C-11: jku and x5u are ignored, and the signature is checked with the key expected."""
    token = signed(
        {**HEADER, "jku": "http://127.0.0.1:1/", "x5u": "http://127.0.0.1:1/", "kid": "k"}
    )
    assert verify(token)


@pytest.mark.parametrize("member", [{"crit": ["exp"]}, {"crit": []}, {"b64": False}, {"b64": True}])
def test_a_header_that_changes_the_rules_is_refused(member: dict[str, object]) -> None:
    """RFC 7515, section 4.1.11; RFC 7797, section 6."""
    with pytest.raises(InvalidInput):
        verify(signed({**HEADER, **member}))


GOOD = signed(HEADER)
HEAD, PAYLOAD, SIGNATURE = GOOD.split(".")


@pytest.mark.parametrize(
    "token",
    [
        "",
        ".",
        "..",
        HEAD,
        f"{HEAD}.{PAYLOAD}",
        f"{GOOD}.",
        f".{GOOD}",
        f"{GOOD}.{SIGNATURE}",
        f".{PAYLOAD}.{SIGNATURE}",
        f"{HEAD}=.{PAYLOAD}.{SIGNATURE}",
        f"{HEAD}.{PAYLOAD}=.{SIGNATURE}",
        f"{GOOD}==",
        f" {GOOD}",
        f"{GOOD}\n",
        f"{HEAD}.{PAYLOAD}.{SIGNATURE[:-1]}é",
        GOOD.replace(".", ". "),
        json.dumps({"protected": HEAD, "payload": PAYLOAD, "signature": SIGNATURE}),
    ],
    ids=count(),  # the tokens differ between processes
)
def test_what_is_no_compact_jws_is_refused(token: str) -> None:
    """C-30; RFC 7515, section 5.2: three parts, base64url; only the compact form."""
    with pytest.raises(InvalidInput):
        verify(token)


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"{",
        b"[]",
        b'"ES256"',
        b"null",
        b'{"typ":"test+jwt"}',
        b'{"alg":null,"typ":"test+jwt"}',
        b'{"alg":["ES256"],"typ":"test+jwt"}',
        b'{"alg":"none","alg":"ES256","typ":"test+jwt"}',
        b'{"alg":"ES256","typ":"other","typ":"test+jwt"}',
        b'{"alg":"ES256","typ":1}',
        b'\xef\xbb\xbf{"alg":"ES256","typ":"test+jwt"}',
    ],
)
def test_a_header_that_is_no_strict_json_object_is_refused(header: bytes) -> None:
    """C-31; RFC 7515, sections 4 and 5.2."""
    with pytest.raises(InvalidInput):
        verify(signed(header))


@pytest.mark.parametrize(
    "payload", [b"", b"[]", b"1", b"{", b'{"a":1,"a":1}', b'{"exp":NaN}', b"\xff"]
)
def test_a_payload_that_is_no_strict_json_object_is_refused(payload: bytes) -> None:
    """C-31, S-21; RFC 7519, section 7.2: even with a signature that fits."""
    with pytest.raises(InvalidInput):
        verify(signed(HEADER, payload))


def test_a_token_has_a_largest_size() -> None:
    """S-20: measured before anything is decoded."""
    token = signed(HEADER, json.dumps(["x" * 60_000] * 3).encode())
    with pytest.raises(InvalidInput, match="large"):
        verify(token)
    with pytest.raises(InvalidInput, match="large"):
        parse_jws(GOOD, max_bytes=len(GOOD) - 1)
    assert verify(GOOD, max_bytes=len(GOOD))


def test_every_altered_character_is_refused() -> None:
    """C-30, C-34: header, payload and signature, trailing bits included."""
    token = sign_jwt({"a": 1}, typ="test+jwt", signer=KEY)
    for index, old in enumerate(token):
        for new in "AB":
            if new != old:
                with pytest.raises((InvalidInput, BadSignature)):
                    verify(token[:index] + new + token[index + 1 :])


ROOT = Authority.make()
ISSUER = ROOT.signer(Profile.CREDENTIAL, dns=["issuer.example"])


def verify_certified(token: str, **changed: Any) -> Any:
    expectations: dict[str, Any] = {
        "typ": "test+jwt",
        "algorithms": ES256,
        "anchors": ROOT.anchors,
        "profile": Profile.CREDENTIAL,
        "now": NOW,
    }
    return verify_x5c_jwt(token, **{**expectations, **changed})


def x5c(*chain: bytes) -> list[str]:
    return [base64.b64encode(each).decode() for each in chain]


def test_a_signer_with_certificates_puts_them_into_the_header() -> None:
    """C-20, C-21; F-VC-01: leaf first, without the anchor, also beside other members."""
    for header in (None, {"kid": "k"}):
        token = sign_jwt(CLAIMS, typ="test+jwt", signer=ISSUER, header=header)
        jwt = verify_certified(token)
        assert jwt.header["x5c"] == x5c(*ISSUER.certificates)
        assert jwt.claims == CLAIMS
        assert jwt.chain.dns_names == ("issuer.example",)


def test_a_chain_to_another_anchor_is_refused() -> None:
    """C-22: before the signature counts."""
    token = sign_jwt(CLAIMS, typ="test+jwt", signer=ISSUER)
    with pytest.raises(Untrusted):
        verify_certified(token, anchors=Authority.make().anchors)
    with pytest.raises(Untrusted):
        verify_certified(token, now=NOW + timedelta(days=400))


def test_the_anchor_in_the_header_is_refused() -> None:
    """C-21; HAIP 1.0, section 6.1.1."""
    signer = ISSUER.with_certificates([*ISSUER.certificates, ROOT.certificate])
    with pytest.raises(Untrusted, match="carries a trust anchor"):
        verify_certified(sign_jwt(CLAIMS, typ="test+jwt", signer=signer))


def test_a_self_signed_leaf_in_the_header_is_refused() -> None:
    """C-21; CERTIFICATION 2.1."""
    signer = KEY.with_certificates([certificate("Own", KEY, "Own", KEY)])
    token = sign_jwt(CLAIMS, typ="test+jwt", signer=signer)
    with pytest.raises(Untrusted, match="self-signed"):
        verify_certified(token)
    assert verify_certified(token, pinned=frozenset(signer.certificates)).chain.pinned


def test_a_signature_by_another_key_than_the_leafs_is_refused() -> None:
    """F-VC-04: the chain is somebody else's, taken from a public credential."""
    thief = SoftwareKey.generate().with_certificates(ISSUER.certificates)
    with pytest.raises(BadSignature):
        verify_certified(sign_jwt(CLAIMS, typ="test+jwt", signer=thief))


@pytest.mark.parametrize("value", [None, [], "text", [1], ["AA"], x5c(*ISSUER.certificates) * 6])
def test_a_header_without_a_usable_x5c_is_refused(value: object) -> None:
    """C-20, S-21."""
    with pytest.raises(InvalidInput):
        verify_certified(signed({**HEADER, "x5c": value}))
    with pytest.raises(InvalidInput):
        verify_certified(signed({**HEADER, "jwk": KEY.public.to_jwk()}))


def test_type_and_algorithm_count_with_x5c_too() -> None:
    """C-03, S-04."""
    token = sign_jwt(CLAIMS, typ="other", signer=ISSUER)
    with pytest.raises(BadSignature, match="typ"):
        verify_certified(token)
    with pytest.raises(BadSignature, match="algorithm"):
        verify_certified(token, typ="other", algorithms=())


def test_a_longer_string_is_read_where_the_caller_says_so() -> None:
    """S-20: a status list token."""
    token = sign_jwt({"lst": "x" * 70_000}, typ="test+jwt", signer=ISSUER)
    assert verify_certified(token, max_string=70_000)
    with pytest.raises(InvalidInput):
        verify_certified(token)


def test_a_header_read_before_cannot_be_changed() -> None:
    """Headers are remembered; nobody alters what the next reader sees."""
    header = parse_jws(GOOD, max_bytes=MAX_BYTES).header
    with pytest.raises(TypeError):
        cast("dict[str, JsonValue]", header)["alg"] = "none"
    assert verify(GOOD)


SECONDS = int(NOW.timestamp())
LEEWAY = timedelta(seconds=30)


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {"exp": SECONDS + 1},
        {"exp": SECONDS - 29},
        {"nbf": SECONDS},
        {"nbf": SECONDS + 30},
        {"iat": SECONDS + 10},
        {"iat": SECONDS + 60},
        {"iat": 0, "nbf": 0, "exp": SECONDS + 10**8},
    ],
)
def test_times_within_the_leeway_are_accepted(claims: dict[str, JsonValue]) -> None:
    """C-40: 10 s ahead must pass, 30 s for exp and nbf."""
    check_times(claims, now=NOW, leeway=LEEWAY)


@pytest.mark.parametrize(
    ("claims", "error"),
    [
        ({"exp": SECONDS - 30}, Expired),
        ({"exp": 0}, Expired),
        ({"nbf": SECONDS + 31}, NotYetValid),
        ({"iat": SECONDS + 61}, NotYetValid),
        ({"exp": SECONDS + 0.5}, InvalidInput),
        ({"exp": str(SECONDS + 100)}, InvalidInput),
        ({"nbf": True}, InvalidInput),
        ({"iat": None}, InvalidInput),
        ({"exp": 10**18}, InvalidInput),
    ],
)
def test_times_beyond_it_are_refused(claims: dict[str, JsonValue], error: type[Exception]) -> None:
    """C-40, C-42: a second too late, a second too early, no integer."""
    with pytest.raises(error):
        check_times(claims, now=NOW, leeway=LEEWAY)


def test_a_time_that_must_be_there_is_missed() -> None:
    """RFC 8725, section 3.8."""
    check_times({"exp": SECONDS + 1, "iat": 1}, now=NOW, leeway=LEEWAY, require=("exp", "iat"))
    with pytest.raises(InvalidInput, match="exp"):
        check_times({"iat": 1}, now=NOW, leeway=LEEWAY, require=("exp",))


WINDOW = {"past": timedelta(seconds=300), "future": timedelta(seconds=60)}


@pytest.mark.parametrize("shift", [0, -10, 10, -300, 60])
def test_a_fresh_proof_is_accepted(shift: int) -> None:
    """C-41: ten seconds early or late must pass."""
    issued = check_freshness({"iat": SECONDS + shift}, now=NOW, **WINDOW)
    assert issued == datetime.fromtimestamp(SECONDS + shift, UTC)


@pytest.mark.parametrize(
    ("iat", "error"),
    [
        (SECONDS - 301, Expired),
        (SECONDS - 3600, Expired),
        (SECONDS + 61, NotYetValid),
        (SECONDS + 3600, NotYetValid),
        (None, InvalidInput),
        ("1", InvalidInput),
        (1.5, InvalidInput),
    ],
)
def test_a_stale_or_early_proof_is_refused(iat: JsonValue, error: type[Exception]) -> None:
    """C-41: one hour off must fail, one second beyond the window too."""
    with pytest.raises(error):
        check_freshness({"iat": iat}, now=NOW, **WINDOW)


@pytest.mark.parametrize(
    ("vector", "typ"),
    [
        ("signed_issuer_metadata", "openidvci-issuer-metadata+jwt"),
        ("wallet_attestation", "oauth-client-attestation+jwt"),
    ],
)
def test_certified_tokens_of_the_specification_verify(vector: str, typ: str) -> None:
    """C-20, C-21; OpenID4VCI 1.0, appendices I.1 and I.2, with their leaf pinned."""
    token = vector_json(f"openid4vci-1_0/derived/{vector}.json")["jwt"]
    jws = parse_jws(token, max_bytes=MAX_BYTES)
    leaf = parse_x5c(jws.header["x5c"])[0]
    when = x509.load_der_x509_certificate(leaf).not_valid_before_utc
    assert verify_certified(token, typ=typ, pinned={leaf}, now=when).claims
    with pytest.raises(Untrusted):
        verify_certified(token, typ=typ, now=when)
