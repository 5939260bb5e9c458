"""One credential request and its answer: composed once, sent as recorded, encrypted both ways.

The bytes are made with their nonce, proofs and a key for the answer that is used for nothing else;
an answer that should be encrypted and is not is refused, errors never are encrypted. A token that
has run out is renewed once, where the agency gave a refresh token.

Specification: OpenID4VCI 1.0, sections 7 to 10; PROFILE W-14, W-31, W-34, W-35, W-40.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NoReturn, Protocol

from shared.crypto.software import SoftwareKey
from shared.encoding import JsonValue, b64url_decode, b64url_encode
from shared.errors import ExpectedError, InvalidInput, Unavailable, VerificationError
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci.messages import (
    MAX_RESPONSE_BYTES,
    CredentialRequest,
    CredentialResponse,
    DeferredRequest,
    NonceResponse,
    decrypt_response,
    encrypt,
)
from shared.runtime.fetch import Fetched

from . import flows, tokens
from .context import Wallet
from .flows import Flow
from .posting import MAX_ANSWER, AgencyUnclear, Line, answer_of_agency, error_of
from .tables import issuances
from .vault import OpenWallet

_JSON, _JWT = "application/json", "application/jwt"


class NonceRefused(ExpectedError):
    """To be cured with a new nonce and new proofs.

    `invalid_nonce`, proofs that grew old, or a deferred answer that was given and got lost.
    """


class Prover(Protocol):
    """Who can prove the keys of one configuration."""

    def prove(
        self, part: Mapping[str, Any], *, client_id: str | None, nonce: str, now: datetime
    ) -> dict[str, JsonValue]:
        """The `proofs` object for *nonce*, with exactly one proof type."""
        ...


def prove(
    line: Line, state: Mapping[str, Any], part: Mapping[str, Any], prover: Prover, *, now: datetime
) -> dict[str, JsonValue]:
    """The `proofs` of one configuration, for a new c_nonce."""
    answer = line.fetch_nonce(state["endpoints"]["nonce"])
    if answer.status != 200:
        raise Unavailable("nonce endpoint: no nonce")
    with answer_of_agency():
        c_nonce = NonceResponse.parse(answer.body, max_bytes=MAX_ANSWER).c_nonce
    return prover.prove(part, client_id=line.client_id, nonce=c_nonce, now=now)


def compose(
    state: Mapping[str, Any], part: Mapping[str, Any], proofs: dict[str, JsonValue]
) -> dict[str, Any]:
    """The bytes of one credential request, to be recorded before they are sent."""
    identifier = state["identifiers"].get(part["configuration"])
    named = (
        {"credential_configuration_id": part["configuration"]}
        if identifier is None
        else {"credential_identifier": identifier}
    )  # W-14
    request = {**named, "proofs": proofs}
    return {"part": dict(part), "answer": None, **_sealed(state, CredentialRequest, request)}


def deferred(state: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """The bytes that pick up a deferred credential; encrypted as the first request was (W-40)."""
    body = {"transaction_id": request["deferred"]["transaction_id"]}
    return {**request, **_sealed(state, DeferredRequest, body)}


def send(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    request: Mapping[str, Any],
    *,
    now: datetime,
) -> tuple[Flow, Fetched]:
    """Send *request* as it was recorded; with a new token, once, if the old one has run out."""
    answer = _post(wallet, flow.state, request, now=now)
    if error_of(answer) == "invalid_token" and flow.state["refresh_token"] is not None:
        flow = tokens.again(wallet, opened, flow, to=flow.step, now=now)
        answer = _post(wallet, flow.state, request, now=now)
    return flow, answer


def opened_answer(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    request: Mapping[str, Any],
    answer: Fetched,
) -> CredentialResponse:
    """What the issuer answered, decrypted if it had to be encrypted; the flow ends if it was not.

    Raises:
        AgencyUnclear: not a credential response, or not to our key.
    """
    try:
        return read_answer(request, answer)
    except AgencyUnclear:
        tokens.fail(wallet, opened, flow, "invalid_input")
        raise


def read_answer(request: Mapping[str, Any], answer: Fetched) -> CredentialResponse:
    """The credential response in *answer*; raises AgencyUnclear."""
    key = request["answer_key"]
    with answer_of_agency():
        if answer.content_type != (_JSON if key is None else _JWT):
            raise InvalidInput("credential response: not encrypted as it was asked for")
        if key is None:
            return CredentialResponse.parse(answer.body, max_bytes=MAX_RESPONSE_BYTES)
        try:
            return decrypt_response(
                answer.body.decode("ascii", "replace"),
                key=SoftwareKey.from_scalar(b64url_decode(key)),
                enc_values=(request["answer_enc"],),
            )
        except VerificationError as error:
            raise InvalidInput("credential response: does not open with our key") from error


def refused(
    wallet: Wallet,
    opened: OpenWallet,
    flow: Flow,
    request: Mapping[str, Any],
    answer: Fetched,
) -> NoReturn:
    """What the refusal of a credential request means; see `tokens.refused` for the rest."""
    code = error_of(answer)
    if (
        code == "invalid_nonce"
        or (code == "invalid_proof" and request.get("early"))
        or (code == "invalid_transaction_id" and request.get("asked"))
    ):
        raise NonceRefused("credential request: other proofs are needed")
    if code == "invalid_token" and flow.state["grant"] == "authorization_code":
        state = {**flow.state, "access_token": None, "requests": [], "reason": "token_expired"}
        flows.record(wallet, opened, issuances, flow, to="sign_in", state=state)
        raise tokens.CodeRefused("credential request: the token has run out")
    tokens.refused(wallet, opened, flow, answer)


def _post(
    wallet: Wallet, state: Mapping[str, Any], request: Mapping[str, Any], *, now: datetime
) -> Fetched:
    waits = request.get("deferred") is not None
    return Line(wallet, state["line"]).send(
        state["endpoints"]["deferred" if waits else "credential"],
        request["body"].encode(),
        token=state["access_token"],
        content_type=request["type"],
        accept=(_JSON,) if request["answer_key"] is None else (_JWT, _JSON),
        now=now,
    )


def _sealed(
    state: Mapping[str, Any],
    message: type[CredentialRequest | DeferredRequest],
    request: Mapping[str, JsonValue],
) -> dict[str, Any]:
    """The body, its media type, and the key for the answer: new for every request (W-34)."""
    how = state["encryption"]
    if how is None:
        body = message.from_object(request).to_json().decode()
        return {"body": body, "type": _JSON, "answer_key": None, "answer_enc": None}
    key, enc = None, how["response_enc"]
    if enc is not None:
        key = SoftwareKey.generate()
        jwk = EncryptionKey(key.public, key.kid).to_jwk()
        request = {**request, "credential_response_encryption": {"jwk": jwk, "enc": enc}}
    return {
        "body": encrypt(
            message.from_object(request), to=EncryptionKey.from_jwk(how["jwk"]), enc=how["enc"]
        ),
        "type": _JWT,
        "answer_key": None if key is None else b64url_encode(key.scalar()),
        "answer_enc": enc,
    }
