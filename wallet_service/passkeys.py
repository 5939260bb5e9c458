"""Passkeys on the server's side: options with PRF inputs, and what a gesture is believed for.

py_webauthn knows no PRF: the inputs are added to its options, and outputs must never arrive here.
Two constant inputs exist, one to open a wallet and one to approve; which of them an assertion
evaluated is the browser's business, what it opens is cryptography's (`vault.py`, `signer.py`).

Specification: Web Authentication Level 3, sections 7.1, 7.2 and 10.1.4; WALLET_SECURITY 2, 4 and 6.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Any

from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers.cose import COSEAlgorithmIdentifier
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)
from webauthn.registration.verify_registration_response import VerifiedRegistration

from shared.encoding import JsonValue, b64url_decode, b64url_encode, parse_json_object
from shared.errors import InvalidInput, VerificationError

from .settings import WalletSettings
from .vault import Purpose

PRF_INPUTS: Mapping[Purpose, bytes] = {
    "read": hashlib.sha256(b"citizen-wallet/prf/read/v1").digest(),
    "act": hashlib.sha256(b"citizen-wallet/prf/act/v1").digest(),
}
CHALLENGE_LIFETIME = timedelta(minutes=5)
_ALGORITHMS = [COSEAlgorithmIdentifier.ECDSA_SHA_256, COSEAlgorithmIdentifier.EDDSA]
_MAX_CLIENT_DATA = 4096


class PrfMissing(VerificationError):
    """This browser or passkey gives no secret, so it can open no wallet."""

    reason = "prf_missing"
    public = (
        "This passkey cannot protect a wallet: it lacks the PRF extension. Nothing was stored. "
        "Use another device, browser or security key."
    )


class NotApproved(VerificationError):
    """The gesture is missing, for something else, or not this citizen's."""

    reason = "passkey_refused"
    public = "The passkey did not confirm this."


def creation_options(
    settings: WalletSettings,
    *,
    challenge: bytes,
    user_handle: bytes,
    exclude: Collection[bytes] = (),
) -> dict[str, Any]:
    """Options for `navigator.credentials.create`: resident key, user verification, PRF."""
    options = generate_registration_options(
        rp_id=settings.rp_id,
        rp_name=settings.wallet_name,
        user_name=settings.wallet_name,
        user_id=user_handle,
        challenge=challenge,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=each) for each in exclude],
        supported_pub_key_algs=_ALGORITHMS,
    )
    found: dict[str, Any] = json.loads(options_to_json(options))
    found["extensions"] = {"prf": {}}
    return found


def request_options(
    settings: WalletSettings,
    *,
    challenge: bytes,
    purposes: tuple[Purpose, ...],
    allowed: Collection[bytes] = (),
) -> dict[str, Any]:
    """Options for `navigator.credentials.get` with the PRF inputs for *purposes*, in this order."""
    options = generate_authentication_options(
        rp_id=settings.rp_id,
        challenge=challenge,
        allow_credentials=[PublicKeyCredentialDescriptor(id=each) for each in allowed],
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    found: dict[str, Any] = json.loads(options_to_json(options))
    inputs = {
        name: b64url_encode(PRF_INPUTS[each])
        for name, each in zip(("first", "second"), purposes, strict=False)
    }
    found["extensions"] = {"prf": {"eval": inputs}}
    return found


def verify_creation(
    settings: WalletSettings, response: Mapping[str, JsonValue], *, challenge: bytes
) -> VerifiedRegistration:
    """The new passkey, if it verifies its user and has PRF.

    Raises:
        PrfMissing: it gives no secret.
        NotApproved: anything else that does not verify.
    """
    _check_client_data(response)
    extensions = response.get("clientExtensionResults")
    prf = extensions.get("prf") if isinstance(extensions, Mapping) else None
    if not isinstance(prf, Mapping) or prf.get("enabled") is not True:
        raise PrfMissing("passkey: PRF is not enabled")
    try:
        return verify_registration_response(
            credential=dict(response),
            expected_challenge=challenge,
            expected_rp_id=settings.rp_id,
            expected_origin=list(settings.allowed_origins),
            require_user_verification=True,
            supported_pub_key_algs=_ALGORITHMS,
        )
    except (WebAuthnException, ValueError) as error:
        raise NotApproved("passkey: the creation does not verify") from error


def verify_assertion(
    settings: WalletSettings,
    response: Mapping[str, JsonValue],
    *,
    challenge: bytes,
    credential_key: bytes,
    sign_count: int,
) -> int:
    """Believe one gesture; returns the new sign count (0 for synced passkeys).

    Raises:
        NotApproved: another challenge, origin, rpId or key, no user verification, or cross-origin.
    """
    _check_client_data(response)
    try:
        verified = verify_authentication_response(
            credential=dict(response),
            expected_challenge=challenge,
            expected_rp_id=settings.rp_id,
            expected_origin=list(settings.allowed_origins),
            credential_public_key=credential_key,
            credential_current_sign_count=sign_count,
            require_user_verification=True,
        )
    except (WebAuthnException, ValueError) as error:
        raise NotApproved("passkey: the assertion does not verify") from error
    return verified.new_sign_count


def credential_id(response: Mapping[str, JsonValue]) -> bytes:
    """Which passkey says it answers."""
    found = response.get("rawId")
    if not isinstance(found, str):
        raise InvalidInput("passkey: no rawId")
    return b64url_decode(found)


def client_challenge(response: Mapping[str, JsonValue]) -> bytes:
    """The challenge an assertion says it signed, still to be verified."""
    challenge = _client_data(response).get("challenge")
    if not isinstance(challenge, str):
        raise InvalidInput("passkey: no challenge in the client data")
    return b64url_decode(challenge)


def _client_data(response: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    inner = response.get("response")
    encoded = inner.get("clientDataJSON") if isinstance(inner, Mapping) else None
    if not isinstance(encoded, str):
        raise InvalidInput("passkey: no clientDataJSON")
    return parse_json_object(b64url_decode(encoded), max_bytes=_MAX_CLIENT_DATA)


def _check_client_data(response: Mapping[str, JsonValue]) -> None:
    """What py_webauthn leaves to us: not inside a foreign page, and no secret sent along."""
    if _client_data(response).get("crossOrigin", False) is not False:
        raise NotApproved("passkey: used inside a page of another origin")
    extensions = response.get("clientExtensionResults")
    prf = extensions.get("prf") if isinstance(extensions, Mapping) else None
    if isinstance(prf, Mapping) and prf.get("results"):
        raise InvalidInput("passkey: PRF outputs must stay in the browser")
