"""Protocol messages under noise and tampering: only our errors, no changed byte believed."""

from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.errors import ExpectedError, InvalidInput, ProtocolError, VerificationError
from shared.oauth import attestation, dpop
from shared.oauth.encryption import EncryptionKey
from shared.oauth.messages import (
    ProtocolModel,
    TokenResponse,
    check_url,
    make_form,
    parse_form,
    parse_token_request,
)
from shared.oauth.metadata import AuthorizationServerMetadata, well_known_url
from shared.oid4vci import key_attestation, messages, proofs
from shared.oid4vci.metadata import CredentialIssuerMetadata, ProofType
from shared.oid4vci.offer import CredentialOffer, parse_offer_link
from shared.oid4vp import dcql, invocation, request, response
from shared.oid4vp.client_id import x509_hash
from tests.support.certificates import Authority
from tests.support.clock import NOW

ROOT = Authority.make()
KEY = SoftwareKey.generate(kid="k")
ACCESS = ROOT.signer(Profile.ACCESS)
PROVIDER = ROOT.signer(Profile.WALLET_PROVIDER)
URL = "https://issuer.example/t1/token"
ISSUER = "https://issuer.example/t1"
CLIENT = "https://wallet.example"
QUERY = dcql.parse({"credentials": [{"id": "a", "format": "dc+sd-jwt", "meta": {}}]})
HOUR = timedelta(hours=1)
QUICK = settings(max_examples=60, deadline=None)


def verify_dpop(token: str) -> object:
    return dpop.verify(
        [token],
        method="POST",
        url=URL,
        now=NOW,
        access_token=None,
        expected_jkt=None,
        nonces=None,
    )


def verify_attestation(token: str) -> object:
    pop = attestation.make_pop(signer=KEY, client_id=CLIENT, audience=ISSUER, now=NOW)
    return _authenticate(token, pop)


def verify_pop(token: str) -> object:
    return _authenticate(TOKENS["attestation"][0], token)


def _authenticate(attested: str, pop: str) -> object:
    return attestation.verify(
        [attested],
        [pop],
        audience=ISSUER,
        client_id=CLIENT,
        anchors=ROOT.anchors,
        now=NOW,
        challenges=None,
    )


def verify_proof(token: str) -> object:
    return proofs.verify(
        messages.Proofs.from_object({"jwt": [token]}),
        audience=ISSUER,
        client_id=None,
        check_nonce=str.encode,
        accept={"jwt": ProofType(proof_signing_alg_values_supported=("ES256",))},
        max_keys=3,
        anchors=ROOT.anchors,
        now=NOW,
    )


def verify_key_attestation(token: str) -> object:
    return key_attestation.verify(token, anchors=ROOT.anchors, algorithms=("ES256",), now=NOW)


def verify_request(token: str) -> object:
    return request.verify(
        token,
        client_id=x509_hash(ACCESS.certificates[0]),
        wallet_nonce=None,
        formats={"dc+sd-jwt"},
        transaction_types={},
        anchors=ROOT.anchors,
        now=NOW,
    )


def open_response(token: str) -> object:
    return response.decrypt(token, key=KEY)


def signed_metadata() -> str:
    metadata = CredentialIssuerMetadata.from_object(
        {
            "credential_issuer": ISSUER,
            "credential_endpoint": f"{ISSUER}/credential",
            "credential_configurations_supported": {},
        }
    )
    return metadata.sign(signer=ROOT.signer(Profile.METADATA), now=NOW)


def verify_metadata(token: str) -> object:
    return CredentialIssuerMetadata.verify(token, issuer=ISSUER, anchors=ROOT.anchors, now=NOW)


TOKENS: dict[str, tuple[str, Any]] = {
    "dpop": (dpop.make_proof(signer=KEY, method="POST", url=URL, now=NOW), verify_dpop),
    "attestation": (
        attestation.make_attestation(
            signer=PROVIDER, client_id=CLIENT, key=KEY.public, now=NOW, lifetime=HOUR
        ),
        verify_attestation,
    ),
    "pop": (
        attestation.make_pop(signer=KEY, client_id=CLIENT, audience=ISSUER, now=NOW),
        verify_pop,
    ),
    "proof": (
        proofs.make_jwt_proof(signer=KEY, audience=ISSUER, nonce="n", now=NOW),
        verify_proof,
    ),
    "key_attestation": (
        key_attestation.make(signer=PROVIDER, keys=[KEY.public], nonce="n", now=NOW, lifetime=HOUR),
        verify_key_attestation,
    ),
    "request": (
        request.make(
            signer=ACCESS,
            client_id=x509_hash(ACCESS.certificates[0]),
            response_uri="https://verifier.example/1",
            nonce="n",
            state="s",
            query=QUERY,
            encryption_key=EncryptionKey(KEY.public, "k"),
            now=NOW,
        ),
        verify_request,
    ),
    "response": (
        parse_form(
            response.encrypt(
                response.presentations({"a": ["x~"]}, state="s"),
                to=EncryptionKey(KEY.public, "k"),
                enc="A256GCM",
            )
        )["response"],
        open_response,
    ),
    "metadata": (signed_metadata(), verify_metadata),
}


@pytest.mark.parametrize("kind", TOKENS)
@QUICK
@given(data=st.data())
def test_no_changed_token_is_believed(kind: str, data: st.DataObject) -> None:
    """S-04, C-30: each verifies as made, and with any one character changed is refused."""
    token, verify = TOKENS[kind]
    assert verify(token)
    at = data.draw(st.integers(0, len(token) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda each: each != token[at]))
    with pytest.raises((ProtocolError, InvalidInput, VerificationError)):
        verify(token[:at] + other + token[at + 1 :])


@pytest.mark.parametrize("kind", TOKENS)
def test_no_kind_of_token_passes_for_another(kind: str) -> None:
    """S-04; RFC 8725, section 3.12."""
    token, _ = TOKENS[kind]
    for other, (_, verify) in TOKENS.items():
        if other != kind:
            with pytest.raises((ProtocolError, InvalidInput, VerificationError)):
                verify(token)


@given(st.dictionaries(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=20)))
def test_a_form_gives_back_what_was_put_in(parameters: dict[str, str]) -> None:
    """RFC 6749, appendix B."""
    assert parse_form(make_form(parameters)) == parameters


@given(st.one_of(st.binary(max_size=60), st.text("a=&%+ 2f", max_size=20).map(str.encode)))
def test_noise_in_a_form_raises_our_error_alone(body: bytes) -> None:
    """C-31, I-55."""
    with suppress(InvalidInput):
        assert all(parse_form(body).values())


@given(st.dictionaries(st.sampled_from(["grant_type", "code", "x"]), st.text(max_size=9)))
def test_noise_in_a_token_request_raises_our_error_alone(form: dict[str, str]) -> None:
    """I-95."""
    with suppress(ProtocolError):
        parse_token_request(form)


@given(
    st.one_of(
        st.text(max_size=60),
        st.builds(
            lambda scheme, query: f"{scheme}?{urlencode(query)}",
            st.sampled_from(["openid-credential-offer://", "openid4vp://", "https://w.example/"]),
            st.dictionaries(
                st.sampled_from(
                    ["credential_offer", "credential_offer_uri", "client_id", "request_uri"]
                ),
                st.one_of(st.text(max_size=30), st.just("https://v.example/1"), st.just("{}")),
            ),
        ),
    )
)
def test_noise_in_a_link_raises_our_error_alone(link: str) -> None:
    """W-01, W-50."""
    with suppress(InvalidInput):
        parse_offer_link(link)
    with suppress(ProtocolError):
        invocation.parse_request_link(link)
    with suppress(InvalidInput):
        check_url(link)
    with suppress(InvalidInput):
        well_known_url(link, "openid-credential-issuer")


MODELS: list[type[ProtocolModel]] = [
    TokenResponse,
    AuthorizationServerMetadata,
    CredentialIssuerMetadata,
    CredentialOffer,
    messages.CredentialRequest,
    messages.CredentialResponse,
    messages.DeferredRequest,
    messages.NonceResponse,
    messages.NotificationRequest,
    response.AuthorizationResponse,
    request.RequestObject,
]
MEMBERS = sorted({name for model in MODELS for name in model.model_fields})
JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(MEMBERS), inner, max_size=6)
    ),
    max_leaves=15,
)


@pytest.mark.parametrize("model", MODELS)
@QUICK
@given(value=JSON, raw=st.binary(max_size=40))
def test_noise_in_a_message_raises_our_error_alone(
    model: type[ProtocolModel], value: Any, raw: bytes
) -> None:
    """C-31: no error of the validation library escapes."""
    with suppress(InvalidInput):
        model.from_object(value)
    with suppress(InvalidInput):
        model.parse(raw)


@given(st.text(max_size=200))
def test_noise_as_a_token_raises_our_error_alone(token: str) -> None:
    """C-30, C-31."""
    for _, verify in TOKENS.values():
        with suppress(ExpectedError):
            verify(token)
    with suppress(ProtocolError):
        response.parse_posted(token.encode())
