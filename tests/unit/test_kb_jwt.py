"""shared/formats/kb_jwt.py: the Holder's signature, for one verifier and one transaction."""

from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode, parse_json_object, to_numeric_date
from shared.errors import (
    InvalidInput,
    VerificationError,
    WrongAudience,
    WrongHolder,
    WrongNonce,
    WrongSdHash,
)
from shared.formats import kb_jwt, sd_jwt
from shared.formats.kb_jwt import TransactionDataHashes, hash_transaction_data
from shared.jose import jws
from tests.support.clock import NOW
from tests.support.credentials import ES256, SESSION, disclosure

HOLDER = SoftwareKey.generate()
PRESENTED = f"eyJ.e30.AA~{disclosure('salt', 'a', 1)}~"
EXPECTED: dict[str, Any] = {
    "key": HOLDER.public,
    "audience": SESSION.audience,
    "nonce": SESSION.nonce,
    "now": NOW,
    "algorithms": ES256,
}
# OpenID4VP 1.0, appendix B.3.6 and section 5.1: an entry as a request carries it
ENTRY = "eyJ0eXBlIjoicGF5bWVudCIsImNyZWRlbnRpYWxfaWRzIjpbInBpZCJdfQ"


def made(**changes: Any) -> str:
    return kb_jwt.make(
        PRESENTED,
        **{
            "signer": HOLDER,
            "audience": SESSION.audience,
            "nonce": SESSION.nonce,
            "now": NOW,
            **changes,
        },
    )


def handmade(typ: str = "kb+jwt", signer: SoftwareKey = HOLDER, **changes: Any) -> str:
    claims = {
        "iat": to_numeric_date(NOW),
        "aud": SESSION.audience,
        "nonce": SESSION.nonce,
        "sd_hash": kb_jwt.sd_hash(PRESENTED),
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not ...}
    return jws.sign_jwt(kept, typ=typ, signer=signer)


def check(token: str, **changes: Any) -> kb_jwt.VerifiedKeyBinding:
    return kb_jwt.verify(sd_jwt.parse(PRESENTED + token), **{**EXPECTED, **changes})


def test_a_kb_jwt_holds_four_claims_and_its_typ() -> None:
    """HB-01: RFC 9901, section 4.3; T-23: no extra claims."""
    header, payload, _ = made().split(".")
    assert parse_json_object(b64url_decode(header), max_bytes=999) == {
        "alg": "ES256",
        "typ": "kb+jwt",
    }
    assert parse_json_object(b64url_decode(payload), max_bytes=999) == {
        "iat": to_numeric_date(NOW),
        "aud": SESSION.audience,
        "nonce": SESSION.nonce,
        "sd_hash": kb_jwt.sd_hash(PRESENTED),
    }


def test_what_the_holder_signs_verifies() -> None:
    """HB-02, HB-03, HB-05: RFC 9901, section 7.3."""
    assert check(made()).issued_at == NOW
    assert check(handmade(unknown="ignored")).transaction_data_hashes == ()


def test_sd_hash_covers_the_last_tilde() -> None:
    """HB-02: RFC 9901, section 4.3.1."""
    assert kb_jwt.sd_hash(PRESENTED) != kb_jwt.sd_hash(PRESENTED[:-1])
    with pytest.raises(WrongSdHash):
        check(handmade(sd_hash=kb_jwt.sd_hash(PRESENTED[:-1])))


def test_sd_hash_uses_the_hash_of_the_credential() -> None:
    """HB-02: RFC 9901, section 4.3.1: `_sd_alg`."""
    assert check(made(hash_algorithm="sha-512"), hash_algorithm="sha-512")
    with pytest.raises(WrongSdHash):
        check(made(hash_algorithm="sha-512"))


REFUSED: dict[str, tuple[str, type[VerificationError]]] = {
    "another nonce": (handmade(nonce="another"), WrongNonce),
    "no nonce": (handmade(nonce=...), WrongNonce),
    "another audience": (handmade(aud="x509_hash:another"), WrongAudience),
    "an audience in an array": (handmade(aud=[SESSION.audience]), WrongAudience),
    "no audience": (handmade(aud=...), WrongAudience),
    "another sd_hash": (handmade(sd_hash=kb_jwt.sd_hash("a.b.c~")), WrongSdHash),
    "no sd_hash": (handmade(sd_hash=...), WrongSdHash),
    "another typ": (handmade(typ="JWT"), WrongHolder),
    "another key": (handmade(signer=SoftwareKey.generate()), WrongHolder),
    "made a year ago": (handmade(iat=to_numeric_date(NOW) - 31_536_000), WrongHolder),
    "made in a year": (handmade(iat=to_numeric_date(NOW) + 31_536_000), WrongHolder),
    "made 301 s ago": (handmade(iat=to_numeric_date(NOW) - 301), WrongHolder),
    "made in 61 s": (handmade(iat=to_numeric_date(NOW) + 61), WrongHolder),
}


@pytest.mark.parametrize(("token", "error"), REFUSED.values(), ids=REFUSED.keys())
def test_a_kb_jwt_for_something_else_is_refused_by_its_reason(
    token: str, error: type[VerificationError]
) -> None:
    """HB-05, C-41, T-30, V-63: RFC 9901, section 7.3, steps 5.2 to 5.7."""
    with pytest.raises(error):
        check(token)


@pytest.mark.parametrize("seconds", [-300, -10, 10, 60])
def test_a_kb_jwt_a_little_early_or_late_passes(seconds: int) -> None:
    """C-41: from 300 s ago to 60 s ahead."""
    assert check(handmade(iat=to_numeric_date(NOW) + seconds))


def test_the_window_can_be_set() -> None:
    """C-41: configurable."""
    token = handmade(iat=to_numeric_date(NOW) - 600)
    assert check(token, max_age=timedelta(seconds=600))


@pytest.mark.parametrize("iat", [..., "1683000000", 1.5, None, True])
def test_iat_is_an_integer_and_required(iat: Any) -> None:
    """HB-01, C-42: RFC 9901, section 4.3."""
    with pytest.raises(InvalidInput):
        check(handmade(iat=iat))


def test_a_missing_kb_jwt_is_refused() -> None:
    """HB-05: RFC 9901, section 7.3, step 2."""
    with pytest.raises(WrongHolder):
        kb_jwt.verify(sd_jwt.parse(PRESENTED), **EXPECTED)


def test_a_broken_signature_or_another_algorithm_is_refused() -> None:
    """HB-05, C-03, T-30: RFC 9901, section 7.3, steps 5.2 and 5.3."""
    token = made()
    head, body, _ = token.split(".")
    with pytest.raises(WrongHolder):
        check(f"{head}.{body}.{'A' * 86}")
    with pytest.raises(WrongHolder):
        check(token, algorithms=frozenset({"EdDSA"}))
    with pytest.raises(InvalidInput):
        check("not-a-jwt")


def test_a_kb_jwt_that_says_it_has_expired_is_refused() -> None:
    """HB-05: RFC 9901, section 7.3, step 5.8: valid in all other respects."""
    assert check(handmade(exp=to_numeric_date(NOW) + 300))
    with pytest.raises(WrongHolder):
        check(handmade(exp=to_numeric_date(NOW) - 300))


# -------------------------------------------------------------- transaction data


def test_hashes_cover_the_entry_as_received() -> None:
    """HB-32: OpenID4VP 1.0, appendix B.3.3.1: no base64url decoding before hashing."""
    found = hash_transaction_data([ENTRY], algorithms=None)
    assert found == TransactionDataHashes((sd_jwt.digest(ENTRY),), None)


def test_the_algorithm_is_named_only_if_the_request_named_any() -> None:
    """HB-30, HB-32: OpenID4VP 1.0, appendix B.3.3.1."""
    assert hash_transaction_data([ENTRY], algorithms=["sha-256"]).algorithm == "sha-256"
    stronger = hash_transaction_data([ENTRY], algorithms=["sha-512", "blake"])
    assert stronger == TransactionDataHashes((sd_jwt.digest(ENTRY, "sha-512"),), "sha-512")
    with pytest.raises(InvalidInput):
        hash_transaction_data([ENTRY], algorithms=["sha-1"])


def test_a_confirmed_transaction_is_confirmed_and_no_other() -> None:
    """HB-34: the verifier finds the hash of what it sent."""
    plain = check(made(transaction_data=hash_transaction_data([ENTRY], algorithms=None)))
    assert plain.confirms(ENTRY, algorithms=None)
    assert not plain.confirms(ENTRY + "A", algorithms=None)
    named = check(made(transaction_data=hash_transaction_data([ENTRY], algorithms=["sha-384"])))
    assert named.transaction_data_hashes_alg == "sha-384"
    assert named.confirms(ENTRY, algorithms=["sha-256", "sha-384"])
    assert not named.confirms(ENTRY, algorithms=["sha-256"])
    assert not named.confirms(ENTRY, algorithms=None)


def test_the_algorithm_must_be_named_back_if_the_request_named_any() -> None:
    """HB-32: REQUIRED when the request had the member."""
    unsaid = check(made(transaction_data=hash_transaction_data([ENTRY], algorithms=None)))
    assert not unsaid.confirms(ENTRY, algorithms=["sha-256"])


@pytest.mark.parametrize(
    ("hashes", "algorithm"),
    [("text", "sha-256"), ([1, None], "sha-256"), ([], None), ([sd_jwt.digest(ENTRY)], "md5")],
)
def test_malformed_hashes_confirm_nothing(hashes: Any, algorithm: Any) -> None:
    """HB-34: the refused twin."""
    token = handmade(transaction_data_hashes=hashes, transaction_data_hashes_alg=algorithm)
    found = check(token)
    assert not found.confirms(ENTRY, algorithms=None)
    assert not found.confirms(ENTRY, algorithms=["sha-256", "md5"])


def test_a_presentation_without_transaction_data_confirms_nothing() -> None:
    """HB-34: the refused twin."""
    assert not check(made()).confirms(ENTRY, algorithms=None)
