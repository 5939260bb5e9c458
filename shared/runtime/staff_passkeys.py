"""Passkeys of staff: options for the browser, and what a gesture is believed for.

Resident keys with user verification, so that a sign-in asks for no name and is two factors at once.
py_webauthn is imported when it is first needed. Web Authentication Level 3, sections 7.1 and 7.2.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from ..encoding import JsonValue, b64url_decode, parse_json_object
from ..errors import ExpectedError, InvalidInput
from .languages import mark

_MAX_BYTES = 32 * 1024
_MAX_CLIENT_DATA = 4096


class WrongPasskey(ExpectedError):
    """Unknown, of a disabled account, for something else, or its user was not verified."""

    status = 403
    code = "passkey_refused"
    public = mark("You were not signed in: this passkey is not known here, or was not confirmed.")
    next_step = mark("Try again, or ask whoever manages your account for a new invitation.")


class TookTooLong(ExpectedError):
    """The challenge is too old, or was used."""

    status = 400
    code = "took_too_long"
    public = mark("That took too long.")
    next_step = mark("Try again.")


@dataclass(frozen=True, slots=True)
class Passkey:
    """A credential as it is kept: its id, its public key (COSE), its sign count."""

    id: bytes
    key: bytes
    sign_count: int


@dataclass(frozen=True, slots=True)
class Gesture:
    """What a browser sent of a passkey; nothing of it is verified.

    Attributes:
        unverified_challenge: that it says it signed.
        unverified_account: the user handle of an assertion; empty in a creation.
    """

    response: Mapping[str, JsonValue]
    unverified_id: bytes
    unverified_challenge: bytes
    unverified_account: str

    @classmethod
    def parse(cls, text: str) -> "Gesture":
        """Read the JSON of the hidden field; raises InvalidInput."""
        response = parse_json_object(text.encode(), max_bytes=_MAX_BYTES)
        inner = response.get("response")
        if not isinstance(inner, Mapping):
            raise InvalidInput("passkey: no response")
        client_data = parse_json_object(_bytes(inner, "clientDataJSON"), max_bytes=_MAX_CLIENT_DATA)
        if client_data.get("crossOrigin", False) is not False:
            raise WrongPasskey("passkey: used inside a page of another origin")
        handle = _bytes(inner, "userHandle") if inner.get("userHandle") else b""
        return cls(
            response,
            _bytes(response, "rawId"),
            _bytes(client_data, "challenge"),
            handle.decode("ascii", "replace"),
        )


def _bytes(value: Mapping[str, JsonValue], name: str) -> bytes:
    found = value.get(name)
    if not isinstance(found, str):
        raise InvalidInput(f"passkey: no {name}")
    return b64url_decode(found)


class PasskeyParty:
    """This service as WebAuthn's Relying Party: one exact host, one origin (DESIGN 4)."""

    def __init__(self, public_url: str) -> None:
        parts = urlsplit(public_url)
        self.rp_id = parts.hostname or ""
        self.origin = f"{parts.scheme}://{parts.netloc}"

    def creation_options(self, *, challenge: bytes, account: str, name: str, agency: str) -> str:
        """Options for `navigator.credentials.create`, as JSON."""
        import webauthn  # noqa: PLC0415  # several megabytes that only pages of staff need
        from webauthn.helpers import structs  # noqa: PLC0415

        options = webauthn.generate_registration_options(
            rp_id=self.rp_id,
            rp_name=agency,
            user_name=f"{name} ({agency})",
            user_display_name=name,
            user_id=account.encode(),
            challenge=challenge,
            authenticator_selection=structs.AuthenticatorSelectionCriteria(
                resident_key=structs.ResidentKeyRequirement.REQUIRED,
                user_verification=structs.UserVerificationRequirement.REQUIRED,
            ),
        )
        return webauthn.options_to_json(options)

    def request_options(self, *, challenge: bytes) -> str:
        """Options for `navigator.credentials.get`, as JSON; the browser offers what it has."""
        import webauthn  # noqa: PLC0415
        from webauthn.helpers import structs  # noqa: PLC0415

        options = webauthn.generate_authentication_options(
            rp_id=self.rp_id,
            challenge=challenge,
            user_verification=structs.UserVerificationRequirement.REQUIRED,
        )
        return webauthn.options_to_json(options)

    def verify_creation(self, gesture: Gesture, *, challenge: bytes) -> Passkey:
        """The new passkey; raises WrongPasskey."""
        import webauthn  # noqa: PLC0415
        from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

        try:
            found = webauthn.verify_registration_response(
                credential=dict(gesture.response),
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=self.origin,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError) as error:
            raise WrongPasskey("passkey: the creation does not verify") from error
        return Passkey(found.credential_id, found.credential_public_key, found.sign_count)

    def verify_assertion(self, gesture: Gesture, passkey: Passkey, *, challenge: bytes) -> int:
        """Believe a gesture with *passkey*: its new sign count; raises WrongPasskey."""
        import webauthn  # noqa: PLC0415
        from webauthn.helpers.exceptions import WebAuthnException  # noqa: PLC0415

        if gesture.unverified_id != passkey.id:
            raise WrongPasskey("passkey: another one than this account's")
        try:
            found = webauthn.verify_authentication_response(
                credential=dict(gesture.response),
                expected_challenge=challenge,
                expected_rp_id=self.rp_id,
                expected_origin=self.origin,
                credential_public_key=passkey.key,
                credential_current_sign_count=passkey.sign_count,
                require_user_verification=True,
            )
        except (WebAuthnException, ValueError) as error:
            raise WrongPasskey("passkey: the assertion does not verify") from error
        return found.new_sign_count
