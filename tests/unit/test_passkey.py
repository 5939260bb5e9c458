"""The software passkey is a real authenticator: an independent server library believes it."""

import hashlib
import json
from typing import Any

import pytest
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers.exceptions import (
    InvalidAuthenticationResponse,
    InvalidRegistrationResponse,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from shared.demo.passkey import SoftwarePasskey
from shared.encoding import b64url_encode
from shared.errors import NotFound

ORIGIN, RP_ID = "https://wallet.example", "wallet.example"
READ = b64url_encode(hashlib.sha256(b"citizen-wallet/prf/read/v1").digest())
ACT = b64url_encode(hashlib.sha256(b"citizen-wallet/prf/act/v1").digest())


def registered(passkey: SoftwarePasskey) -> VerifiedRegistration:
    options = generate_registration_options(
        rp_id=RP_ID, rp_name="Wallet", user_name="Wallet", challenge=b"c" * 32
    )
    return verify_registration_response(
        credential=passkey.create(json.loads(options_to_json(options))),  # type: ignore[arg-type]  # its JSON is a dict
        expected_challenge=b"c" * 32,
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        require_user_verification=True,
    )


def asked(*inputs: str, challenge: bytes = b"d" * 32) -> dict[str, Any]:
    options: dict[str, Any] = json.loads(
        options_to_json(generate_authentication_options(rp_id=RP_ID, challenge=challenge))
    )
    options["extensions"] = {"prf": {"eval": dict(zip(("first", "second"), inputs, strict=False))}}
    return options


def test_its_attestation_and_its_assertion_verify() -> None:
    """WALLET_SECURITY 6, registration: creation, then one assertion."""
    passkey = SoftwarePasskey(ORIGIN)
    credential = registered(passkey)
    assertion = passkey.get(asked(READ, ACT))
    verified = verify_authentication_response(
        credential=assertion.response,  # type: ignore[arg-type]  # its JSON is a dict
        expected_challenge=b"d" * 32,
        expected_rp_id=RP_ID,
        expected_origin=ORIGIN,
        credential_public_key=credential.credential_public_key,
        credential_current_sign_count=0,
        require_user_verification=True,
    )
    assert verified.user_verified
    assert verified.new_sign_count == 0


@pytest.mark.parametrize(
    ("challenge", "origin"), [(b"e" * 32, ORIGIN), (b"d" * 32, "https://evil.example")]
)
def test_an_assertion_serves_one_challenge_and_one_origin(challenge: bytes, origin: str) -> None:
    """WALLET_SECURITY 1, A7: origin-bound passkeys."""
    passkey = SoftwarePasskey(ORIGIN)
    credential = registered(passkey)
    with pytest.raises(InvalidAuthenticationResponse):
        verify_authentication_response(
            credential=passkey.get(asked(ACT)).response,  # type: ignore[arg-type]  # its JSON is a dict
            expected_challenge=challenge,
            expected_rp_id=RP_ID,
            expected_origin=origin,
            credential_public_key=credential.credential_public_key,
            credential_current_sign_count=0,
            require_user_verification=True,
        )


def test_without_user_verification_it_is_refused() -> None:
    """WALLET_SECURITY 11: PRF needs user verification always on."""
    with pytest.raises(InvalidRegistrationResponse):
        registered(SoftwarePasskey(ORIGIN, verifies_user=False))


def test_one_input_gives_one_output_two_give_two_and_they_are_stable() -> None:
    """WALLET_SECURITY 11: one input gives one output, two give two, stable."""
    passkey = SoftwarePasskey(ORIGIN)
    registered(passkey)
    read, act = passkey.get(asked(READ, ACT)).prf
    assert passkey.get(asked(ACT)).prf == (act,)
    assert passkey.get(asked(READ)).prf == (read,)
    assert read != act
    assert len(read) == len(act) == 32


def test_another_passkey_gives_another_output() -> None:
    """WALLET_SECURITY 2: the unlocker secret belongs to one passkey."""
    outputs = set()
    for _ in range(2):
        passkey = SoftwarePasskey(ORIGIN)
        registered(passkey)
        outputs.add(passkey.get(asked(ACT)).prf)
    assert len(outputs) == 2


def test_a_passkey_without_prf_says_so() -> None:
    """WALLET_SECURITY 2: a passkey without PRF is told so before anything is stored."""
    passkey = SoftwarePasskey(ORIGIN, prf=False)
    options = generate_registration_options(rp_id=RP_ID, rp_name="Wallet", user_name="Wallet")
    created = passkey.create(json.loads(options_to_json(options)))
    assert created["clientExtensionResults"] == {}
    assert passkey.get(asked(READ, ACT)).prf == ()


def test_a_credential_of_another_authenticator_is_not_found() -> None:
    """Web Authentication Level 3, section 5.1.4: allowCredentials names which may answer."""
    passkey = SoftwarePasskey(ORIGIN)
    registered(passkey)
    options = asked(ACT)
    options["allowCredentials"] = [{"type": "public-key", "id": b64url_encode(b"other")}]
    with pytest.raises(NotFound):
        passkey.get(options)
