"""@owf/mdoc and @auth0/mdl of npm: they read what we issue and present, we believe what they do.

@auth0/mdl looks at the clock, so everything here happens today. It knows the handover of an older
draft, so it is given our transcript; @owf/mdoc builds the transcript of OpenID4VP 1.0 by itself.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import b64url_encode, start_of_day, to_numeric_date
from shared.errors import WrongHolder
from shared.formats import cbor, credential, device_response
from shared.formats.credential import Session, Trusted
from shared.runtime.clock import utc_now
from tests.support.certificates import Authority
from tests.support.credentials import SessionProof
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
    received,
    verified,
)
from tests.support.node import Ask, node

TODAY = utc_now()
ROOT = Authority.make("Utopia IACA", now=TODAY - timedelta(days=3), country="UT")
DS = ROOT.signer(Profile.MDOC_SIGNER, subject="Utopia DS", now=TODAY, country="UT")
SESSION = Session(
    "x509_hash:Uvo3HtuIxuhC92rShpgqcT3YXwrqRxWEviRiA0OZszk",
    "exc7gBkxjx1rdc9udRrveKvSsJIq80avlXeLHhGwqtA",
    "https://verifier.example/response",
    bytes(range(32)),
)
PROOF = SessionProof(HOLDER, SESSION)
OUR: dict[str, Any] = {"trusted": Trusted(ROOT.anchors), "now": TODAY}
LIBRARIES = pytest.mark.parametrize("by", ["owf", "auth0"])


@pytest.fixture(scope="module")
def library() -> Iterator[Ask]:
    with node("mdoc.mjs", package="@owf/mdoc") as ask:
        yield ask


def ours() -> str:
    return issued(signer=DS, issued_at=TODAY, expires_at=TODAY + timedelta(days=30))


def shown(*names: str, text: str | None = None) -> str:
    held = received(text or ours(), **OUR).held
    return credential.present(held, paths=[element(each) for each in names], proof=PROOF)


def session(value: Session = SESSION) -> dict[str, Any]:
    transcript = device_response.session_transcript(value)
    return {
        "clientId": value.audience,
        "nonce": value.nonce,
        "responseUri": value.response_uri,
        "thumbprint": b64url_encode(value.key_thumbprint or b""),
        "embedded": b64url_encode(cbor.embed(transcript)),
    }


def now(moment: datetime = TODAY) -> int:
    return to_numeric_date(moment)


def checked(library: Ask, by: str, text: str, **changes: Any) -> Any:
    question = {
        "act": "verify",
        "by": by,
        "text": text,
        "session": session(),
        "anchor": b64url_encode(ROOT.certificate),
        "now": now(),
    }
    return library({**question, **changes})


def private(key: SoftwareKey) -> dict[str, Any]:
    return {**key.public.to_jwk(), "d": b64url_encode(key.scalar()), "alg": "ES256"}


def theirs(library: Ask, by: str) -> Any:
    """A licence of *by*: `text` for wallets, and for auth0 as it hands it over."""
    day = start_of_day(TODAY)
    answer = library(
        {
            "act": "issue",
            "by": by,
            "doctype": DOCTYPE,
            "namespace": NAMESPACE,
            "claims": {"family_name": "Möbius", "age_over_18": True, "issuing_country": "UT"},
            "key": private(DS),
            "certificate": b64url_encode(DS.certificates[0]),
            "holder": HOLDER.public.to_jwk(),
            "times": [now(day), now(day), now(day + timedelta(days=30))],
        }
    )
    assert "refused" not in answer, answer
    if "response" in answer:
        signed = opened(answer["response"])["documents"][0]["issuerSigned"]
        answer["text"] = closed(signed)
    return answer


def test_they_read_what_we_issue(library: Ask) -> None:
    """F-MD-01 to F-MD-08: the credential as it stands in a Credential Response."""
    question = {"act": "read", "anchor": b64url_encode(ROOT.certificate), "now": now()}
    answer = library({**question, "text": ours()})
    assert answer == {"claims": {NAMESPACE: PERSON}}
    stranger = b64url_encode(Authority.make().certificate)
    assert "refused" in library({**question, "text": ours(), "anchor": stranger})


@LIBRARIES
def test_they_believe_what_we_present(library: Ask, by: str) -> None:
    """F-MD-07 to F-MD-09, HB-20 to HB-25."""
    names = ("family_name", "portrait", "birth_date", "age_over_18")
    answer = checked(library, by, shown(*names))
    assert answer == {"claims": {NAMESPACE: {each: PERSON[each] for each in names}}}


@LIBRARIES
def test_they_refuse_another_session_as_we_do(library: Ask, by: str) -> None:
    """HB-26."""
    other = Session(SESSION.audience, "another", SESSION.response_uri, SESSION.key_thumbprint)
    assert "refused" in checked(library, by, shown("family_name"), session=session(other))
    with pytest.raises(WrongHolder):
        verified(shown("family_name"), session=other, **OUR)


def test_both_build_one_transcript(library: Ask) -> None:
    """HB-22, HB-24, HB-25: byte for byte."""
    found = library({"act": "transcript", "session": session()})["text"]
    transcript = device_response.session_transcript(SESSION)
    assert found in {b64url_encode(transcript), b64url_encode(cbor.embed(transcript))}


@LIBRARIES
def test_we_believe_what_they_issue(library: Ask, by: str) -> None:
    """F-MD-07, W-41: received, kept, presented by us, and believed by both sides."""
    text = theirs(library, by)["text"]
    held = received(text, **OUR).held
    assert held.claims == {
        NAMESPACE: {"family_name": "Möbius", "age_over_18": True, "issuing_country": "UT"}
    }
    again = shown("age_over_18", text=text)
    assert verified(again, session=SESSION, **OUR).claims == {NAMESPACE: {"age_over_18": True}}
    assert checked(library, by, again) == {"claims": {NAMESPACE: {"age_over_18": True}}}


@LIBRARIES
def test_we_believe_what_they_present(library: Ask, by: str) -> None:
    """HB-20 to HB-26, V-60: their wallet, our verifier; what they issued, and for owf ours, too."""
    licence = theirs(library, by)
    for each in [licence, {"text": ours()}] if by == "owf" else [licence]:
        answer = library(
            {
                "act": "present",
                "by": by,
                "doctype": DOCTYPE,
                "namespace": NAMESPACE,
                "names": ["family_name", "age_over_18"],
                "session": session(),
                "key": private(HOLDER),
                **each,
            }
        )
        found = verified(answer["text"], session=SESSION, **OUR)
        assert (found.format, found.type, found.holder_bound) == (FORMAT, DOCTYPE, True)
        assert found.claims == {NAMESPACE: {"family_name": "Möbius", "age_over_18": True}}
