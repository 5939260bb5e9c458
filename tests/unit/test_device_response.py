"""shared/formats/device_response.py and mdoc_format.py: showing an mdoc, and believing it."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode, b64url_encode
from shared.errors import (
    BadSignature,
    ClaimsMissing,
    Expired,
    InvalidInput,
    VerificationError,
    WrongDigest,
    WrongHolder,
    WrongType,
)
from shared.formats import cbor, cose, credential, device_response
from shared.formats.credential import Held, Session
from shared.oid4vp import dcql, dcql_matching
from tests.support.clock import NOW
from tests.support.credentials import SESSION, SessionProof
from tests.support.mdocs import (
    DOCTYPE,
    FORMAT,
    HOLDER,
    NAMESPACE,
    PERSON,
    closed,
    element,
    issued,
    opened,
    presented,
    received,
    security_object,
    signed_again,
    verified,
)
from tests.support.vectors import vector_json


def document(text: str) -> Any:
    return opened(text)["documents"][0]


def altered(text: str, change: Callable[[Any], Any]) -> str:
    """The response with its one document changed in place, or by what *change* gives."""
    response = opened(text)
    response["documents"] = [change(response["documents"][0]) or response["documents"][0]]
    return closed(response)


# ------------------------------------------------------------------ transcript


@pytest.mark.parametrize("kind", ["redirect", "dc_api"])
def test_the_transcript_is_the_one_of_the_specification(kind: str) -> None:
    """HB-22 to HB-25, C-09: OpenID4VP 1.0, B.2.6.1 and B.2.6.2, byte for byte."""
    vector = vector_json(f"openid4vp-1_0/mdoc_handover/{kind}.json")
    session = Session(
        vector.get("client_id") or f"origin:{vector['origin']}",
        vector["nonce"],
        vector.get("response_uri"),
        PublicKey.from_jwk(vector["jwk"]).thumbprint(),
    )
    transcript = device_response.session_transcript(session)
    assert transcript.hex() == vector["session_transcript_cbor_hex"]


def test_the_example_of_the_redirect_is_typed_in() -> None:
    """HB-22: OpenID4VP 1.0, B.2.6.1, so that it is checked everywhere."""
    thumbprint = bytes.fromhex("4283ec927ae0f208daaa2d026a814f2b22dca52cf85ffa8f3f8626c6bd669047")
    session = Session(
        "x509_san_dns:example.com",
        "exc7gBkxjx1rdc9udRrveKvSsJIq80avlXeLHhGwqtA",
        "https://example.com/response",
        thumbprint,
    )
    assert device_response.session_transcript(session).hex() == (
        "83f6f682714f70656e494434565048616e646f7665725820"
        "048bc053c00442af9b8eed494cefdd9d95240d254b046b11b68013722aad38ac"
    )


def test_an_unencrypted_answer_has_null_for_a_thumbprint() -> None:
    """HB-24."""
    session = replace(SESSION, key_thumbprint=None)
    info = cbor.dumps([session.audience, session.nonce, None, session.response_uri])
    assert hashlib.sha256(info).digest() in device_response.session_transcript(session)


@pytest.mark.parametrize("changes", [{"response_uri": None}, {"key_thumbprint": b"short"}])
def test_a_session_without_an_end_has_no_transcript(changes: dict[str, Any]) -> None:
    """HB-22."""
    with pytest.raises(InvalidInput):
        device_response.session_transcript(replace(SESSION, **changes))


# --------------------------------------------------------------------- showing


def test_a_presentation_shows_what_was_chosen_and_no_more() -> None:
    """F-MD-08, F-MD-09, HB-20, HB-21: one document, chosen items byte for byte, nothing added."""
    credential_text = issued()
    text = presented("family_name", "portrait", text=credential_text)
    response = opened(text)
    assert (response["version"], response["status"]) == ("1.0", 0)
    assert len(response["documents"]) == 1
    shown = response["documents"][0]
    assert shown["docType"] == DOCTYPE
    assert shown["deviceSigned"]["nameSpaces"] == cbor.Tag(24, b"\xa0")
    assert set(shown["deviceSigned"]["deviceAuth"]) == {"deviceSignature"}
    protected, unprotected, payload, _ = shown["deviceSigned"]["deviceAuth"]["deviceSignature"]
    assert (cbor.loads(protected), unprotected, payload) == ({1: -7}, {}, None)
    whole = opened(credential_text)
    assert shown["issuerSigned"]["issuerAuth"] == whole["issuerAuth"]
    items = shown["issuerSigned"]["nameSpaces"][NAMESPACE]
    assert len(items) == 2
    raw = b64url_decode(credential_text)
    assert all(cbor.dumps(each) in raw for each in items)
    found = verified(text)
    assert found.claims == {NAMESPACE: {n: PERSON[n] for n in ("family_name", "portrait")}}
    assert found.holder_bound
    assert not found.confirms("entry", algorithms=None)


def test_a_presentation_may_show_no_element_at_all() -> None:
    """Q-24: without `claims` nothing that can be withheld is shown."""
    text = presented()
    assert "nameSpaces" not in document(text)["issuerSigned"]
    assert verified(text).claims == {}


def test_what_a_wallet_keeps_is_shown_the_same() -> None:
    """C-34, W-41: through the sealed row."""
    held = received().held
    again = Held.load(held.dump())
    assert again == held
    text = credential.present(again, paths=[element("given_name")], proof=SessionProof(HOLDER))
    assert verified(text).claims == {NAMESPACE: {"given_name": "Erika"}}


def test_an_element_brings_all_that_is_in_it() -> None:
    """F-CP-02: what lies inside an element is no element."""
    paths = [(*element("driving_privileges"), 0, "vehicle_category_code")]
    text = credential.present(received().held, paths=paths, proof=SessionProof(HOLDER))
    shown = verified(text).claims[NAMESPACE]
    assert shown == {"driving_privileges": PERSON["driving_privileges"]}


@pytest.mark.parametrize("path", [("x", "y"), (NAMESPACE, "unknown"), ("family_name",)])
def test_what_is_not_there_cannot_be_shown(path: tuple[str, ...]) -> None:
    """F-CP-02, Q-24."""
    with pytest.raises(InvalidInput):
        credential.present(received().held, paths=[path], proof=SessionProof(HOLDER))


def test_an_mdoc_is_never_shown_without_its_device() -> None:
    """HB-20."""
    with pytest.raises(InvalidInput):
        credential.present(received().held, paths=[], proof=None)


# ------------------------------------------------------------------- believing


@pytest.mark.parametrize(
    "changes",
    [
        {"audience": "x509_hash:another"},
        {"nonce": "another"},
        {"response_uri": "https://verifier.example/other"},
        {"key_thumbprint": bytes([1]) * 32},
        {"key_thumbprint": None},
        {"audience": "origin:https://verifier.example", "response_uri": None},
    ],
)
def test_a_presentation_counts_in_its_own_session_alone(changes: dict[str, Any]) -> None:
    """HB-22 to HB-26: each part of the transcript, and the other handover."""
    with pytest.raises(WrongHolder):
        verified(presented("family_name"), session=replace(SESSION, **changes))
    text = presented("family_name", proof=SessionProof(HOLDER, replace(SESSION, **changes)))
    with pytest.raises(WrongHolder):
        verified(text)
    assert verified(text, session=replace(SESSION, **changes))


def test_another_key_cannot_show_it() -> None:
    """HB-26: the key is the one in the MSO."""
    thief = SoftwareKey.generate()
    with pytest.raises(WrongHolder):
        verified(presented("family_name", proof=SessionProof(thief)))
    auth = {"deviceSignature": cbor.loads(cose.sign_detached(b"", signer=thief))}

    def steal(shown: Any) -> None:
        shown["deviceSigned"]["deviceAuth"] = auth

    with pytest.raises(WrongHolder):
        verified(altered(presented("family_name"), steal))


def test_the_device_signs_the_type_that_the_issuer_signed() -> None:
    """F-MD-07: docType in Document = MSO."""

    def rename(shown: Any) -> None:
        shown["docType"] = "org.example.other"

    with pytest.raises(WrongType):
        verified(altered(presented("family_name"), rename))


def test_the_query_judges_an_mdoc() -> None:
    """Q-10, Q-13, Q-14, F-CP-02: doctype, elements, values."""
    found = verified(presented("age_over_18", "family_name"))

    def ask(claims: Any, doctype: str = DOCTYPE) -> dcql_matching.Match:
        credentials = [
            {"id": "q", "format": FORMAT, "meta": {"doctype_value": doctype}, "claims": claims}
        ]
        query = dcql.parse({"credentials": credentials}).credential("q")
        return dcql_matching.match(query, found.candidate("q"))

    over_18 = {"path": [NAMESPACE, "age_over_18"], "values": [True], "intent_to_retain": False}
    match = ask([over_18])
    assert found.answer(match.paths) == ({NAMESPACE: {"age_over_18": True}}, 1)
    with pytest.raises(ClaimsMissing):
        ask([{**over_18, "values": [1]}])
    with pytest.raises(ClaimsMissing):
        ask([{"path": [NAMESPACE, "birth_date"]}])
    with pytest.raises(WrongType):
        ask([over_18], "org.example.other")


def test_a_presentation_is_believed_in_its_time() -> None:
    """V-60."""
    with pytest.raises(Expired):
        verified(presented("family_name"), now=NOW + timedelta(days=301))


def test_an_element_of_another_copy_is_no_element_of_this() -> None:
    """F-MD-01, F-MD-07: digests belong to one copy."""
    other = document(presented("given_name"))["issuerSigned"]["nameSpaces"]

    def mix(shown: Any) -> None:
        shown["issuerSigned"]["nameSpaces"] = other

    with pytest.raises(WrongDigest):
        verified(altered(presented("given_name"), mix))


def test_what_the_issuer_did_not_sign_is_refused_for_that_alone() -> None:
    """F-MD-03, V-63: neither its content nor its holder counts under a signature of nobody."""

    def forge(shown: Any) -> None:
        *rest, signature = shown["issuerSigned"]["issuerAuth"]
        forged = signature[:-1] + bytes([signature[-1] ^ 1])
        shown["issuerSigned"]["issuerAuth"] = [*rest, forged]

    def forge_with_other_elements(shown: Any) -> None:
        forge(shown)
        shown["issuerSigned"]["nameSpaces"] = {NAMESPACE: [cbor.Tag(24, b"\xa0")]}

    def forge_garbage(shown: Any) -> None:
        forge(shown)
        shown["issuerSigned"]["issuerAuth"][2] = b"\xff"

    stolen = presented("family_name", proof=SessionProof(SoftwareKey.generate()))
    text = presented("family_name")
    for forged in (
        altered(text, forge),
        altered(stolen, forge),
        altered(text, forge_with_other_elements),
        altered(text, forge_garbage),
    ):
        with pytest.raises(BadSignature):
            verified(forged)
    with pytest.raises(BadSignature):
        verified(altered(text, forge), now=NOW + timedelta(days=301))
    with pytest.raises(WrongHolder):
        verified(stolen)


def test_a_new_security_object_needs_a_new_signature_of_the_device() -> None:
    """HB-26: another deviceKey, signed by the Issuer for somebody else."""
    thief = SoftwareKey.generate()

    def rebind(shown: Any) -> None:
        security = security_object(shown["issuerSigned"])
        security["deviceKeyInfo"]["deviceKey"] = cbor.loads(cose.encode_key(thief.public))
        shown["issuerSigned"] = signed_again(shown["issuerSigned"], security)

    with pytest.raises(WrongHolder):
        verified(altered(presented("family_name"), rebind))


@pytest.mark.parametrize(
    "members",
    [
        {"version": "1.1"},
        {"status": 10},
        {"status": None},
        {"documents": []},
        {"documents": {}},
        {"documents": [1]},
        {"documents": None},
        {"documentErrors": [{DOCTYPE: 0}]},
    ],
)
def test_a_response_holds_exactly_one_document(members: dict[str, Any]) -> None:
    """F-MD-08, V-61: version 1.0, status 0."""
    with pytest.raises(InvalidInput):
        verified(closed({**opened(presented("family_name")), **members}))


def test_a_response_with_two_documents_is_refused() -> None:
    """F-MD-08: each mdoc has its own DeviceResponse."""
    response = opened(presented("family_name"))
    with pytest.raises(InvalidInput):
        verified(closed({**response, "documents": response["documents"] * 2}))


@pytest.mark.parametrize(
    "signed",
    [
        None,
        {},
        {"nameSpaces": b"\xa0"},
        {"nameSpaces": cbor.Tag(24, cbor.dumps({NAMESPACE: {"family_name": "X"}}))},
        {"nameSpaces": cbor.Tag(24, b"\xa0")},
        {"nameSpaces": cbor.Tag(24, b"\xa0"), "deviceAuth": {}},
        {"nameSpaces": cbor.Tag(24, b"\xa0"), "deviceAuth": {"deviceMac": [b"", {}, None, b""]}},
        {"nameSpaces": cbor.Tag(24, b"\xa0"), "deviceAuth": {"deviceSignature": []}},
    ],
)
def test_the_device_signs_and_says_nothing_of_its_own(signed: Any) -> None:
    """HB-21, HB-26, HB-33, V-61: no deviceMac, no device-signed elements."""
    text = altered(presented("family_name"), lambda shown: {**shown, "deviceSigned": signed})
    with pytest.raises(InvalidInput):
        verified(text)


@pytest.mark.parametrize(
    "change",
    [
        lambda shown: {**shown, "docType": None},
        lambda shown: {**shown, "errors": {NAMESPACE: {"portrait": 0}}},
        lambda shown: {**shown, "issuerSigned": None},
        lambda shown: {**shown, "issuerSigned": {"nameSpaces": {}}},
    ],
)
def test_a_document_is_whole(change: Callable[[Any], Any]) -> None:
    with pytest.raises(InvalidInput):
        verified(altered(presented("family_name"), change))


def test_every_changed_byte_is_noticed() -> None:
    """HB-26, F-MD-07: whatever is changed, nothing is believed that was not shown; an element may
    be lost, if the name of its map is."""
    raw = bytearray(b64url_decode(presented("family_name")))
    whole = verified(presented("family_name")).claims
    believed = 0
    for at in range(0, len(raw), 3):
        for bit in (1, 128):
            raw[at] ^= bit
            try:
                found = verified(b64url_encode(bytes(raw)))
            except (InvalidInput, VerificationError):
                pass
            else:
                believed += 1
                assert found.claims in ({}, whole)
            raw[at] ^= bit
    assert believed < 10
