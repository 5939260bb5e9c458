"""isomdoc of PyPI: it reads what we issue and present, we believe what it issues.

It checks no chain and builds no transcript, so ours are compared elsewhere.
"""

from datetime import date
from typing import Any

import pytest
from cryptography import x509

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode, b64url_encode
from shared.formats import cbor, credential, device_response
from shared.formats.credential import Session
from tests.support.clock import NOW
from tests.support.components import missing
from tests.support.credentials import IN_A_YEAR, SESSION, SessionProof
from tests.support.mdocs import (
    DOCTYPE,
    HOLDER,
    NAMESPACE,
    PERSON,
    SIGNER,
    element,
    presented,
    received,
    verified,
)


def library() -> Any:
    try:
        import isomdoc
    except ImportError:  # pragma: no cover
        missing("pip install isomdoc")
    return isomdoc


def transcript(text: str) -> Any:
    return library().verify_device_response(
        b64url_decode(text), cbor.loads(device_response.session_transcript(SESSION))
    )


def test_they_read_what_we_present() -> None:
    """F-MD-01 to F-MD-09, HB-20 to HB-25: signatures, digests, values, validity, device."""
    names = ("family_name", "birth_date", "portrait", "driving_privileges")
    (document,) = transcript(presented(*names)).documents
    signed = document.issuer_signed
    assert document.doctype == DOCTYPE
    assert signed.get_element_value(NAMESPACE, "family_name") == PERSON["family_name"]
    assert signed.get_element_value(NAMESPACE, "birth_date") == date(1964, 8, 12)
    assert signed.get_element_value(NAMESPACE, "portrait") == b"\xff\xd8 a picture"
    assert signed.get_element_value(NAMESPACE, "given_name") is None
    assert signed.validity_info.valid_until <= IN_A_YEAR
    assert signed.device_key.public_numbers() == HOLDER.public.to_crypto().public_numbers()


def test_they_refuse_what_we_would_refuse() -> None:
    """HB-26: another session; a changed element."""
    other = SessionProof(HOLDER, Session("x", "y", "https://z.example", None))
    with pytest.raises(Exception):  # noqa: B017 - theirs are of many kinds
        transcript(presented("family_name", proof=other))
    raw = b64url_decode(presented("family_name"))
    with pytest.raises(Exception):  # noqa: B017
        transcript(b64url_encode(raw.replace("Möbius".encode(), b"Mobius2")))


def test_we_believe_what_they_issue() -> None:
    """F-MD-07, W-41: received, kept, presented by our wallet, verified by our verifier."""
    theirs = library().create_mdoc(
        DOCTYPE, [x509.load_der_x509_certificate(SIGNER.certificates[0])], SIGNER.to_crypto()
    )
    theirs.add_data_item(NAMESPACE, "family_name", "Möbius")
    theirs.add_data_item(NAMESPACE, "birth_date", date(1964, 8, 12))
    theirs.add_data_item(NAMESPACE, "portrait", b"\xff\xd8")
    theirs.add_data_item(NAMESPACE, "age_over_18", value=True)
    issued = theirs.generate_credential(
        HOLDER.public.to_crypto(),
        signed_datetime=NOW,
        valid_from_datetime=NOW,
        valid_until_datetime=IN_A_YEAR,
    )
    held = received(b64url_encode(issued)).held
    assert held.claims == {
        NAMESPACE: {
            "family_name": "Möbius",
            "birth_date": "1964-08-12",
            "portrait": "_9g",
            "age_over_18": True,
        }
    }
    shown = credential.present(held, paths=[element("age_over_18")], proof=SessionProof(HOLDER))
    assert verified(shown).claims == {NAMESPACE: {"age_over_18": True}}
    assert transcript(shown).documents[0].doctype == DOCTYPE
    stranger = SoftwareKey.generate()
    with pytest.raises(Exception):  # noqa: B017
        transcript(credential.present(held, paths=[], proof=SessionProof(stranger)))
