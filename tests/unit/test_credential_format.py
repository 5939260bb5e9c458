"""shared/formats/credential.py and values.py: one face for every format."""

from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.errors import (
    InvalidInput,
    QueryUnsatisfied,
    Untrusted,
    WrongHolder,
    WrongNonce,
    WrongType,
)
from shared.formats import credential, kb_jwt
from shared.formats.credential import Held, Presented, Received, Session, Trusted
from shared.formats.status_list import StatusReference
from tests.support.clock import NOW
from tests.support.credentials import (
    AUTHORITY,
    CLAIMS,
    ES256,
    IN_A_YEAR,
    ISSUER,
    MEMBERSHIP,
    SESSION,
    TRUSTED,
    VCT,
    SessionProof,
)

HOLDER = SoftwareKey.generate()
STATUS = StatusReference(3, "https://club.example/statuslists/1")
FORMAT = "dc+sd-jwt"


def issued(claims: Any = None, **changes: Any) -> str:
    options: dict[str, Any] = {
        "metadata": MEMBERSHIP,
        "holder": HOLDER.public,
        "status": STATUS,
        "issued_at": NOW,
        "expires_at": IN_A_YEAR,
        "signer": ISSUER,
    }
    return credential.issue(FORMAT, claims or CLAIMS, **{**options, **changes})


def received(text: str | None = None, **changes: Any) -> Received:
    options: dict[str, Any] = {
        "expected_type": VCT,
        "keys": [HOLDER.public],
        "trusted": TRUSTED,
        "now": NOW,
        "algorithms": ES256,
    }
    return credential.receive(FORMAT, text or issued(), **{**options, **changes})


def verified(text: str, **changes: Any) -> Presented:
    options: dict[str, Any] = {
        "session": SESSION,
        "holder_binding": True,
        "trusted": TRUSTED,
        "now": NOW,
        "algorithms": ES256,
    }
    return credential.verify(FORMAT, text, **{**options, **changes})


def test_from_issuer_to_verifier_by_the_face_alone() -> None:
    """F-CP-03, HB-04, V-60: issue, receive, keep, present, verify."""
    held = Held.load(received().held.dump())
    paths = [("family_name",), ("address", "locality")]
    text = credential.present(held, paths=paths, proof=SessionProof(HOLDER))
    found = verified(text)
    assert (found.format, found.type, found.holder_bound) == (FORMAT, VCT, True)
    assert found.status == STATUS
    assert found.claims["address"] == {"locality": "Köln"}
    assert "given_name" not in found.claims
    assert found.answer(paths)[0] == {"family_name": "Möbius", "address": {"locality": "Köln"}}


def test_issuing_obeys_the_type() -> None:
    """F-TM-08: a mandatory claim is missing."""
    with pytest.raises(InvalidInput):
        issued({"given_name": "Erika"})


def test_a_batch_shares_nothing_that_tells_its_copies() -> None:
    """I-111, T-06, CERTIFICATION 2.2.7: salts, digests, keys differ; rounded dates are equal."""
    copies = [received(issued(holder=key.public), keys=[key.public]).held for key in (KEY_1, KEY_2)]
    one, two = copies
    assert one.validity == two.validity
    assert {text for _, text in one.pieces}.isdisjoint({text for _, text in two.pieces})
    assert one.holder != two.holder


KEY_1, KEY_2 = SoftwareKey.generate(), SoftwareKey.generate()


# ------------------------------------------------------------------- receiving


def test_what_a_wallet_keeps_comes_back_the_same() -> None:
    """W-41, C-34: texts as received, for the sealed row."""
    held = received().held
    assert Held.load(held.dump()) == held
    unbound = received(issued(holder=None, status=None), keys=()).held
    assert Held.load(unbound.dump()) == unbound
    assert "~".join((held.signed, *(text for _, text in held.pieces), "")) != ""


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"format": 1}', b"null", b"\xff"])
def test_what_was_not_stored_by_us_is_not_loaded(data: bytes) -> None:
    """C-31: only our errors."""
    with pytest.raises(InvalidInput):
        Held.load(data)


def test_a_kb_jwt_from_an_issuer_is_refused() -> None:
    """F-SD-09: RFC 9901, section 7.2."""
    text = issued()
    with pytest.raises(InvalidInput):
        received(text + SessionProof(HOLDER).kb_jwt(text, hash_algorithm="sha-256"))


def test_the_type_must_be_the_one_asked_for() -> None:
    """W-41: `vct` of the configuration."""
    with pytest.raises(WrongType):
        received(expected_type="urn:example:other:1")


def test_the_bound_key_must_be_ours() -> None:
    """W-40, W-41: matched by the key itself."""
    with pytest.raises(WrongHolder):
        received(keys=[KEY_1.public])
    with pytest.raises(WrongHolder):
        received(keys=())
    with pytest.raises(WrongHolder):
        received(issued(holder=None))
    assert received(keys=[KEY_1.public, HOLDER.public]).held.holder == HOLDER.public


def test_an_untrusted_issuer_is_refused_on_receipt() -> None:
    """W-41, C-22."""
    with pytest.raises(Untrusted):
        received(trusted=Trusted(frozenset()))


def test_a_wallet_knows_what_it_cannot_withhold() -> None:
    """W-57, I-116: shown whatever is asked."""
    always = received().held.always_shown()
    assert {"nationalities", "level", "vct", "cnf", "status"} <= set(always)
    assert set(always).isdisjoint({"given_name", "family_name", "birthdate", "address"})


def test_the_chain_comes_along_for_the_trust_list() -> None:
    """C-23: who may issue this type is decided by the chain."""
    assert received().chain.anchor in AUTHORITY.anchors


# ------------------------------------------------------------------ presenting


def held() -> Held:
    return received().held


def test_nothing_asked_for_nothing_withheld_is_shown() -> None:
    """T-22, Q-13."""
    found = verified(credential.present(held(), paths=[], proof=SessionProof(HOLDER)))
    assert set(found.claims) & set(CLAIMS) == {"nationalities", "level"}
    assert found.disclosed == ()


def test_a_bound_credential_is_never_shown_without_its_proof() -> None:
    """HB-04: HAIP 1.0, section 6.1.1.1."""
    with pytest.raises(InvalidInput):
        credential.present(held(), paths=[], proof=None)


def test_an_unbound_credential_is_shown_as_it_is() -> None:
    """V-64: without holder binding, only when the query said so."""
    unbound = received(issued(holder=None), keys=()).held
    text = credential.present(unbound, paths=[("given_name",)], proof=None)
    assert text.endswith("~")
    found = verified(text, holder_binding=False)
    assert found.holder_bound is False
    assert not found.confirms("entry", algorithms=None)
    with pytest.raises(WrongHolder):
        verified(text)


def test_paths_that_lead_nowhere_are_not_presented() -> None:
    """F-CP-01."""
    with pytest.raises(InvalidInput):
        credential.present(held(), paths=[("planet",)], proof=SessionProof(HOLDER))


# ------------------------------------------------------------------- verifying


def test_a_presentation_for_another_session_is_refused() -> None:
    """HB-05, V-60: any wrong nonce."""
    text = credential.present(held(), paths=[], proof=SessionProof(HOLDER))
    with pytest.raises(WrongNonce):
        verified(text, session=Session(SESSION.audience, "another"))


def test_transaction_data_is_confirmed_through_the_face() -> None:
    """HB-34."""
    hashes = kb_jwt.hash_transaction_data(["entry"], algorithms=None)
    proof = SessionProof(HOLDER, transaction_data=hashes)
    found = verified(credential.present(held(), paths=[], proof=proof))
    assert found.confirms("entry", algorithms=None)
    assert not found.confirms("another", algorithms=None)


def test_what_was_not_asked_for_is_dropped_and_counted() -> None:
    """V-61, V-63, ST-55: no value of it stays."""
    paths: list[Any] = [("family_name",), ("nationalities", 1), ("never_there",)]
    asked = [path for path in paths if path != ("never_there",)]
    shown = [*asked, ("birthdate",)]
    found = verified(credential.present(held(), paths=shown, proof=SessionProof(HOLDER)))
    assert found.answer(paths) == ({"family_name": "Möbius", "nationalities": ["FR"]}, 1)
    exact = verified(credential.present(held(), paths=asked, proof=SessionProof(HOLDER)))
    assert exact.answer(paths)[1] == 0


def test_candidates_of_both_sides_look_alike() -> None:
    """Q-10 to Q-12: one evaluator for wallet and verifier; hidden elements keep their places."""
    mine = held().candidate("cred_1")
    text = credential.present(held(), paths=[("nationalities", 2)], proof=SessionProof(HOLDER))
    theirs = verified(text).candidate("pid")
    assert (mine.format, mine.type, mine.holder_bound) == (FORMAT, VCT, True)
    assert mine.authority_key_ids == theirs.authority_key_ids != frozenset()
    assert isinstance(theirs.claims, dict)
    places = theirs.claims["nationalities"]
    assert isinstance(places, list)
    assert places[2] == "IS"
    assert len(places) == 3


@pytest.mark.parametrize("unknown", ["mso_mdoc_2", "", "vc+sd-jwt"])
def test_an_unknown_format_is_refused(unknown: str) -> None:
    """Q-10: format identifiers are compared exactly."""
    with pytest.raises(InvalidInput):
        credential.verify(
            unknown,
            "text",
            session=SESSION,
            holder_binding=True,
            trusted=TRUSTED,
            now=NOW,
            algorithms=ES256,
        )


def test_reasons_are_stable_codes() -> None:
    """V-63: the verdict names the check that failed."""
    assert WrongNonce.reason == "nonce"
    assert QueryUnsatisfied.reason == "query_unsatisfied"
