"""Authorization Responses: OpenID4VP 1.0, section 8; PROFILE W-60 to W-63, V-40 to V-43, V-60."""

import json
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode, b64url_encode
from shared.errors import InvalidInput
from shared.jose import jwe
from shared.oauth.encryption import EncryptionKey
from shared.oauth.messages import make_form, parse_form
from shared.oid4vp import dcql, response
from shared.oid4vp.errors import AccessDenied, InvalidRequest
from shared.oid4vp.response import AuthorizationResponse, PostAnswer, WalletError
from tests.support.vectors import vector_json

KEY = SoftwareKey.generate(kid="k1")
TO_VERIFIER = EncryptionKey(KEY.public, "k1")
QUERY = dcql.parse(
    {
        "credentials": [
            {"id": "pid", "format": "dc+sd-jwt", "meta": {}},
            {"id": "cards", "format": "dc+sd-jwt", "meta": {}, "multiple": True},
        ],
        "credential_sets": [{"options": [["pid"], ["cards"]]}],
    }
)
SENT = response.presentations({"pid": ["a~b"], "cards": ["c~", "d~"]}, state="s1")


def posted(token: str) -> bytes:
    return make_form({"response": token})


def sealed(payload: Any, *, to: EncryptionKey = TO_VERIFIER, enc: str = "A256GCM") -> str:
    text = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return jwe.encrypt(text, to=to.public, kid=to.kid, enc=enc)


def opened(body: bytes, key: SoftwareKey = KEY) -> AuthorizationResponse:
    token = response.parse_posted(body)
    assert isinstance(token, str)
    return response.decrypt(token, key=key)


@pytest.mark.parametrize("enc", ["A128GCM", "A256GCM"])
def test_what_the_wallet_sends_the_verifier_gets(enc: str) -> None:
    """W-60 to W-62, V-40, V-41."""
    body = response.encrypt(SENT, to=TO_VERIFIER, enc=enc)
    accepted = response.accept(opened(body), state="s1", query=QUERY)
    assert accepted == {"pid": ("a~b",), "cards": ("c~", "d~")}


def test_one_field_is_posted_and_the_header_says_the_key() -> None:
    """W-61, W-62, T-23; CERTIFICATION 2.4.2: no iss, aud, exp inside."""
    form = parse_form(response.encrypt(SENT, to=TO_VERIFIER, enc="A256GCM"))
    assert set(form) == {"response"}
    header = jwe.parse_jwe(form["response"], max_bytes=9999).header
    assert (header["alg"], header["enc"], header["kid"]) == ("ECDH-ES", "A256GCM", "k1")
    _, payload = jwe.decrypt(form["response"], key=KEY, enc_values=("A256GCM",), max_bytes=9999)
    assert json.loads(payload) == {
        "vp_token": {"pid": ["a~b"], "cards": ["c~", "d~"]},
        "state": "s1",
    }


def test_state_is_absent_if_the_request_had_none() -> None:
    """W-60; CERTIFICATION 2.4.2: exact echo, absent if absent."""
    sent = response.presentations({"pid": ["a~"]}, state=None)
    assert sent.to_object() == {"vp_token": {"pid": ["a~"]}}
    assert response.accept(sent, state=None, query=QUERY) == {"pid": ("a~",)}


def test_a_refusal_goes_the_same_way() -> None:
    """W-63, V-42: encrypted if possible; the verifier also takes it plain."""
    refusal = response.refusal(AccessDenied("nothing matches"), state="s1")
    encrypted = opened(response.encrypt(refusal, to=TO_VERIFIER, enc="A128GCM"))
    plain = response.parse_posted(make_form({"error": "access_denied", "state": "s1"}))
    assert isinstance(plain, AuthorizationResponse)
    for each in (encrypted, plain):
        assert response.accept(each, state="s1", query=QUERY) == WalletError("access_denied")
    assert "nothing matches" not in refusal.to_json().decode()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"state=s1",
        b"response=a&response=b",
        b"response=a&error=access_denied",
        b"vp_token=%7B%7D&state=s1",
        b"vp_token=%7B%7D&response=a",
        b"response=%zz",
        b'{"response":"a"}',
        b"response=" + b"a" * response.MAX_FORM_BYTES,
    ],
)
def test_anything_but_one_response_or_error_is_refused(body: bytes) -> None:
    """V-40: not form-encoded, plain vp_token, both, neither, repeated, too large."""
    with pytest.raises(InvalidRequest):
        response.parse_posted(body)


@pytest.mark.parametrize(
    "token",
    [
        "nonsense",
        "eyJ.e30.x",
        sealed({"vp_token": {"pid": ["a~"]}})[:-4] + "AAAA",
        sealed({"vp_token": {"pid": ["a~"]}}, to=EncryptionKey(KEY.public, "k2")),
        sealed({"vp_token": {"pid": ["a~"]}}, to=EncryptionKey(KEY.public, None)),
        sealed(
            {"vp_token": {"pid": ["a~"]}}, to=EncryptionKey(SoftwareKey.generate().public, "k1")
        ),
        sealed([]),
        sealed({}),
        sealed({"state": "s1"}),
        sealed({"vp_token": {}}),
        sealed({"vp_token": []}),
        sealed({"vp_token": "a~"}),
        sealed({"vp_token": {"pid": "a~"}}),
        sealed({"vp_token": {"pid": []}}),
        sealed({"vp_token": {"pid": [""]}}),
        sealed({"vp_token": {"pid": [{"x": 1}]}}),
        sealed({"vp_token": {"pid": ["a~"]}, "error": "access_denied"}),
        sealed({"vp_token": {"pid": ["a~"]}, "state": 5}),
        sealed(b'{"vp_token":{"pid":["a~"]},"vp_token":{"pid":["b~"]}}'),
        sealed(b"not json"),
    ],
)
def test_a_response_that_does_not_open_or_is_malformed_is_refused(token: str) -> None:
    """V-41, V-60: another key or kid, changed, not an object, wrong shapes, repeated names."""
    with pytest.raises(InvalidRequest) as caught:
        opened(posted(token))
    assert caught.value.status == 400


def test_an_enc_value_that_was_not_offered_is_refused() -> None:
    """V-41."""
    token = sealed({"vp_token": {"pid": ["a~"]}}, enc="A128GCM")
    assert response.decrypt(token, key=KEY, enc_values=("A128GCM",)).vp_token
    with pytest.raises(InvalidRequest):
        response.decrypt(token, key=KEY, enc_values=("A256GCM",))


def test_compression_is_refused() -> None:
    """V-41, S-21."""
    head, *rest = sealed({"vp_token": {"pid": ["a~"]}}).split(".")
    header = {**json.loads(b64url_decode(head)), "zip": "DEF"}
    token = ".".join([b64url_encode(json.dumps(header).encode()), *rest])
    with pytest.raises(InvalidRequest):
        response.decrypt(token, key=KEY)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [("s2", "s1"), (None, "s1"), ("s1", None), ("", "s1"), ("s1 ", "s1"), ("é", "s1")],
)
def test_another_state_is_refused(sent: str | None, expected: str | None) -> None:
    """V-41."""
    answer = AuthorizationResponse.from_object({"vp_token": {"pid": ["a~"]}, "state": sent})
    with pytest.raises(InvalidRequest):
        response.accept(answer, state=expected, query=QUERY)
    refusal = AuthorizationResponse.from_object({"error": "access_denied", "state": sent})
    with pytest.raises(InvalidRequest):
        response.accept(refusal, state=expected, query=QUERY)


@pytest.mark.parametrize(
    "vp_token", [{"other": ["a~"]}, {"pid": ["a~", "b~"]}, {"pid": ["a~"], "other": ["b~"]}]
)
def test_ids_and_numbers_are_those_of_the_query(vp_token: dict[str, list[str]]) -> None:
    """V-60, step 1."""
    answer = AuthorizationResponse.from_object({"vp_token": vp_token})
    with pytest.raises(InvalidRequest):
        response.accept(answer, state=None, query=QUERY)


def test_unknown_members_are_ignored() -> None:
    """C-32: also those of older drafts."""
    payload = {"vp_token": {"pid": ["a~"]}, "presentation_submission": {}, "iss": "x", "exp": 1}
    assert opened(posted(sealed(payload))).to_object() == {"vp_token": {"pid": ["a~"]}}


def test_a_presentation_may_be_longer_than_other_strings() -> None:
    """S-20, S-21: with a portrait in it."""
    body = response.encrypt(
        response.presentations({"pid": ["a" * 200_000]}, state=None), to=TO_VERIFIER, enc="A256GCM"
    )
    assert opened(body).vp_token


def test_the_answer_to_the_post_may_hold_a_redirect() -> None:
    """V-42, W-62: other members are ignored."""
    assert PostAnswer.parse(b"{}").redirect_uri is None
    uri = "https://verifier.example/cb#response_code=091535f699ea575c"
    assert PostAnswer.parse(json.dumps({"redirect_uri": uri, "x": 1})).redirect_uri == uri
    assert PostAnswer(redirect_uri=uri).to_object() == {"redirect_uri": uri}
    for bad in (b"[]", b'{"redirect_uri":5}', b'{"redirect_uri":""}'):
        with pytest.raises(InvalidInput):
            PostAnswer.parse(bad)


@pytest.mark.vectors
def test_the_printed_encrypted_response_opens() -> None:
    """OpenID4VP 1.0, section 8.3: a foreign JWE to a known key."""
    vector = vector_json("openid4vp-1_0/encrypted_response/ecdh-es_a128gcm.json")
    scalar = b64url_decode(vector["recipient_private_jwk"]["d"])
    key = SoftwareKey.from_scalar(scalar, kid=vector["recipient_private_jwk"]["kid"])
    assert response.decrypt(vector["jwe"], key=key).vp_token == {
        "example_credential_id": ("eyJhb...YMetA",)
    }
