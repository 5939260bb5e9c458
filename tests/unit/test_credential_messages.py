"""Nonce, credential, deferred and notification messages: OpenID4VCI 1.0, sections 7 to 11."""

import json
import re
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.errors import InvalidInput, VerificationError
from shared.jose import jwe
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci import messages
from shared.oid4vci.errors import InvalidCredentialRequest, InvalidEncryptionParameters
from shared.oid4vci.messages import (
    CredentialRequest,
    CredentialResponse,
    DeferredRequest,
    IssuedCredential,
    NonceResponse,
    NotificationRequest,
    Proofs,
)
from shared.oid4vci.metadata import RequestEncryption, ResponseEncryption
from tests.support.vectors import vector_text

ISSUER_KEY = SoftwareKey.generate(kid="issuer-1")
WALLET_KEY = SoftwareKey.generate(kid="wallet-1")
TO_ISSUER = EncryptionKey(ISSUER_KEY.public, "issuer-1")
TO_WALLET = EncryptionKey(WALLET_KEY.public, "wallet-1")
REQUESTS = RequestEncryption.from_object(
    {
        "jwks": {"keys": [TO_ISSUER.to_jwk()]},
        "enc_values_supported": ["A128GCM", "A256GCM"],
        "encryption_required": False,
    }
)
RESPONSES = ResponseEncryption.from_object(
    {
        "alg_values_supported": ["ECDH-ES"],
        "enc_values_supported": ["A256GCM"],
        "encryption_required": False,
    }
)
REQUEST: dict[str, Any] = {
    "credential_configuration_id": "pid_sd_jwt",
    "proofs": {"jwt": ["eyJ.e30.x"]},
}


def asked(**changes: Any) -> dict[str, Any]:
    return {"jwk": TO_WALLET.to_jwk(), "enc": "A256GCM", **changes}


def test_a_nonce_response_is_one_member() -> None:
    """I-60; unknown members ignored."""
    assert NonceResponse(c_nonce="n").to_object() == {"c_nonce": "n"}
    assert NonceResponse.parse(b'{"c_nonce":"n","c_nonce_expires_in":5}').c_nonce == "n"
    for bad in (b"{}", b'{"c_nonce":""}', b'{"c_nonce":5}'):
        with pytest.raises(InvalidInput):
            NonceResponse.parse(bad)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"credential_configuration_id": None, "credential_identifier": "Degree-2023"},
        {"proofs": {"attestation": ["eyJ.e30.x"]}},
        {"proofs": {"di_vp": [{"type": ["VerifiablePresentation"]}]}},
        {"proofs": {"jwt": ["a", "b"], "unknown": [1]}},
        {"proofs": None},
        {"credential_response_encryption": asked(more=1)},
        {"format": "dc+sd-jwt", "proof": {"proof_type": "jwt"}, "unknown": [1, {}]},
    ],
)
def test_a_well_formed_credential_request_parses(changes: dict[str, Any]) -> None:
    """I-66, I-67, C-32, T-05: unknown members, the old `proof` among them, are ignored."""
    body = {name: value for name, value in {**REQUEST, **changes}.items() if value is not None}
    assert CredentialRequest.parse(json.dumps(body))


@pytest.mark.parametrize(
    "changes",
    [
        {"credential_configuration_id": None},
        {"credential_identifier": "x"},
        {"credential_configuration_id": ""},
        {"credential_configuration_id": 5},
        {"proofs": {}},
        {"proofs": []},
        {"proofs": {"jwt": []}},
        {"proofs": {"jwt": "eyJ.e30.x"}},
        {"proofs": {"jwt": [5]}},
        {"proofs": {"unknown": ["x"]}},
        {"proofs": {"jwt": ["x"], "attestation": ["y"]}},
        {"proofs": {"attestation": ["x", "y"]}},
        {"credential_response_encryption": {"enc": "A256GCM"}},
        {"credential_response_encryption": {"jwk": {}}},
        {"credential_response_encryption": "yes"},
    ],
)
def test_a_malformed_credential_request_is_refused(changes: dict[str, Any]) -> None:
    """I-66, I-67: both or neither identifier; not exactly one proof type; wrong types."""
    body = {name: value for name, value in {**REQUEST, **changes}.items() if value is not None}
    with pytest.raises(InvalidInput):
        CredentialRequest.parse(json.dumps(body))


def test_a_repeated_member_is_refused() -> None:
    """I-66, C-31: "repeats the same parameter"."""
    with pytest.raises(InvalidInput):
        CredentialRequest.parse('{"credential_configuration_id":"a","proofs":null,"proofs":null}')


def test_a_response_is_issued_or_deferred() -> None:
    """I-72, I-73, W-40."""
    issued = CredentialResponse(
        credentials=(IssuedCredential(credential="a~"),), notification_id="n"
    )
    assert issued.to_object() == {"credentials": [{"credential": "a~"}], "notification_id": "n"}
    assert (issued.status, issued.wait.total_seconds()) == (200, 0)
    for interval in (5, 0.5):
        deferred = CredentialResponse.from_object({"transaction_id": "t", "interval": interval})
        assert deferred.to_object() == {"transaction_id": "t", "interval": interval}
        assert (deferred.status, deferred.wait.total_seconds()) == (202, interval)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"credentials": []},
        {"credentials": ["a~"]},
        {"credentials": [{}]},
        {"credentials": [{"credential": {"x": 1}}]},
        {"credentials": [{"credential": "a~"}], "transaction_id": "t", "interval": 5},
        {"credentials": [{"credential": "a~"}], "interval": 5},
        {"transaction_id": "t"},
        {"transaction_id": "t", "interval": 0},
        {"transaction_id": "t", "interval": -1},
        {"transaction_id": "t", "interval": "5"},
        {"transaction_id": "t", "interval": True},
        {"transaction_id": "t", "interval": 5, "notification_id": "n"},
        {"notification_id": "n"},
    ],
)
def test_a_response_that_is_neither_or_both_is_refused(body: dict[str, Any]) -> None:
    """I-72, I-73; OpenID4VCI 1.0, section 8.3."""
    with pytest.raises(InvalidInput):
        CredentialResponse.from_object(body)


def test_a_credential_may_be_longer_than_other_strings() -> None:
    """S-20, S-21: a portrait in it is; the limit of the whole message holds."""
    body = b'{"credentials":[{"credential":"%s"}]}'
    limit = messages.MAX_RESPONSE_BYTES
    parsed = CredentialResponse.parse(body % (b"a" * 100_000), max_bytes=limit)
    assert len(parsed.to_json()) > 100_000
    for longer in (messages.MAX_CREDENTIAL + 1, limit):
        with pytest.raises(InvalidInput):
            CredentialResponse.parse(body % (b"a" * longer), max_bytes=limit)
    with pytest.raises(InvalidInput):
        NonceResponse.parse(b'{"c_nonce":"%s"}' % (b"a" * 70_000), max_bytes=limit)


def test_a_notification_has_one_of_three_events() -> None:
    """I-90, W-42: event_description is printable ASCII without quote and backslash."""
    for event in ("credential_accepted", "credential_failure", "credential_deleted"):
        body = {"notification_id": "n", "event": event, "event_description": "Stored, thanks."}
        assert NotificationRequest.from_object(body).to_object() == body
    for bad in (
        {"event": "credential_accepted"},
        {"notification_id": "n"},
        {"notification_id": "n", "event": "credential_seen"},
        {"notification_id": "n", "event": "credential_failure", "event_description": 'a "b"'},
        {"notification_id": "n", "event": "credential_failure", "event_description": "a\\b"},
        {"notification_id": "n", "event": "credential_failure", "event_description": "é"},
        {"notification_id": "n", "event": "credential_failure", "event_description": "a\n"},
        {"notification_id": 1, "event": "credential_failure"},
    ):
        with pytest.raises(InvalidInput):
            NotificationRequest.from_object(bad)


def test_a_deferred_request_names_its_transaction() -> None:
    """I-85."""
    request = DeferredRequest.from_object(
        {"transaction_id": "t", "credential_response_encryption": asked()}
    )
    assert request.transaction_id == "t"
    with pytest.raises(InvalidInput):
        DeferredRequest.from_object({})


def test_an_encrypted_request_opens_with_the_issuers_key() -> None:
    """I-80, W-34: kid and alg of the key, enc of the metadata."""
    request = CredentialRequest.from_object({**REQUEST, "credential_response_encryption": asked()})
    for enc in ("A128GCM", "A256GCM"):
        token = messages.encrypt(request, to=TO_ISSUER, enc=enc)
        header = jwe.parse_jwe(token, max_bytes=9999).header
        assert (header["kid"], header["alg"], header["enc"]) == ("issuer-1", "ECDH-ES", enc)
        opened = messages.decrypt_request(
            token, CredentialRequest, key=ISSUER_KEY, offered=REQUESTS
        )
        assert opened == request
    deferred = DeferredRequest(transaction_id="t")
    token = messages.encrypt(deferred, to=TO_ISSUER, enc="A128GCM")
    assert deferred == messages.decrypt_request(
        token, DeferredRequest, key=ISSUER_KEY, offered=REQUESTS
    )


def test_a_request_encrypted_otherwise_has_wrong_parameters() -> None:
    """I-80, I-81, I-95: enc that is not offered, another key, another kid, no JWE."""
    request = CredentialRequest.from_object(REQUEST)
    only_256 = REQUESTS.model_copy(update={"enc_values_supported": ("A256GCM",)})
    other = EncryptionKey(SoftwareKey.generate().public, "issuer-1")
    for token in (
        messages.encrypt(request, to=TO_ISSUER, enc="A128GCM"),
        messages.encrypt(request, to=other, enc="A256GCM"),
        messages.encrypt(request, to=EncryptionKey(ISSUER_KEY.public, "old"), enc="A256GCM"),
        request.to_json().decode(),
    ):
        with pytest.raises(InvalidEncryptionParameters):
            messages.decrypt_request(token, CredentialRequest, key=ISSUER_KEY, offered=only_256)


def test_what_is_inside_is_read_as_strictly_as_plain() -> None:
    """I-66, C-31: invalid_credential_request, not a matter of encryption."""
    for inside in (b"{}", b"[]", b'{"credential_identifier":"a","credential_identifier":"a"}'):
        token = jwe.encrypt(inside, to=ISSUER_KEY.public, kid="issuer-1", enc="A128GCM")
        with pytest.raises(InvalidCredentialRequest):
            messages.decrypt_request(token, CredentialRequest, key=ISSUER_KEY, offered=REQUESTS)


def test_an_encrypted_response_opens_with_the_wallets_key_alone() -> None:
    """I-82, W-40: kid copied if the key has one, none if not."""
    response = CredentialResponse(credentials=(IssuedCredential(credential="a~"),))
    for key, kid in ((TO_WALLET, "wallet-1"), (EncryptionKey(WALLET_KEY.public, None), None)):
        token = messages.encrypt(response, to=key, enc="A256GCM")
        assert jwe.parse_jwe(token, max_bytes=9999).header.get("kid") == kid
        assert response == messages.decrypt_response(token, key=WALLET_KEY, enc_values=("A256GCM",))
    with pytest.raises(InvalidInput):
        messages.decrypt_response(token, key=WALLET_KEY, enc_values=("A128GCM",))
    with pytest.raises(VerificationError):
        messages.decrypt_response(token, key=ISSUER_KEY, enc_values=("A256GCM",))
    with pytest.raises(InvalidInput):
        messages.decrypt_response("eyJ.e30.x", key=WALLET_KEY, enc_values=("A256GCM",))


@pytest.mark.parametrize(
    "changes",
    [
        {"enc": "A128GCM"},
        {"enc": "UNSUPPORTED"},
        {"zip": "DEF"},
        {"jwk": {**TO_WALLET.to_jwk(), "alg": "UNSUPPORTED_ALG"}},
        {"jwk": {**TO_WALLET.to_jwk(), "alg": None}},
        {"jwk": {**TO_WALLET.to_jwk(), "crv": "P-384"}},
        {"jwk": {**TO_WALLET.to_jwk(), "d": "AAAA"}},
        {"jwk": {}},
    ],
)
def test_response_encryption_that_is_not_offered_is_refused(changes: dict[str, Any]) -> None:
    """I-81, T-05, C-07; CERTIFICATION 1.3: alg UNSUPPORTED_ALG."""
    request = messages.ResponseEncryptionRequest.from_object(asked(**changes))
    with pytest.raises(InvalidEncryptionParameters):
        request.key(offered=RESPONSES)


def test_response_encryption_as_offered_gives_the_wallets_key() -> None:
    """I-81; the JWK may lack kid and use."""
    jwk = {**WALLET_KEY.public.to_jwk(), "alg": "ECDH-ES"}
    request = messages.ResponseEncryptionRequest.from_object(asked(jwk=jwk))
    assert request.key(offered=RESPONSES) == EncryptionKey(WALLET_KEY.public, None)
    with pytest.raises(InvalidEncryptionParameters):
        request.key(offered=None)


def test_encryption_is_where_it_has_to_be() -> None:
    """I-80, I-81, T-05: not asked for in a plain request, not left out where required."""
    plain = CredentialRequest.from_object(REQUEST)
    asking = CredentialRequest.from_object({**REQUEST, "credential_response_encryption": asked()})
    strict_requests = REQUESTS.model_copy(update={"encryption_required": True})
    strict_responses = RESPONSES.model_copy(update={"encryption_required": True})
    for request, offered, response, encrypted in [
        (plain, None, None, False),
        (plain, REQUESTS, RESPONSES, False),
        (plain, strict_requests, RESPONSES, True),
        (asking, REQUESTS, strict_responses, True),
    ]:
        messages.check_encryption(request, offered=offered, response=response, encrypted=encrypted)
    for request, offered, response, encrypted in [
        (asking, REQUESTS, RESPONSES, False),
        (plain, strict_requests, RESPONSES, False),
        (plain, REQUESTS, strict_responses, True),
        (plain, REQUESTS, strict_responses, False),
    ]:
        with pytest.raises(InvalidEncryptionParameters):
            messages.check_encryption(
                request, offered=offered, response=response, encrypted=encrypted
            )


def test_proofs_keep_to_one_member() -> None:
    """I-67."""
    assert Proofs(jwt=("a",)).to_object() == {"jwt": ["a"]}
    with pytest.raises(ValueError, match="exactly one"):
        Proofs()


@pytest.mark.vectors
def test_the_printed_responses_parse() -> None:
    """OpenID4VCI 1.0, appendix A; ldp_vc is an object, a format we do not have."""
    for name in ("sd_jwt_vc", "mso_mdoc", "jwt_vc_json"):
        answer = vector_text(f"openid4vci-1_0/credential_response_{name}.txt")
        body = re.sub(r"\n\s*", "", answer[answer.index("{") :])  # strings are printed in lines
        assert CredentialResponse.parse(body).status == 200
