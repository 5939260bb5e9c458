"""SD-JWT VC and status lists against npm `@sd-jwt/sd-jwt-vc` and `@sd-jwt/jwt-status-list`.

Both ways: what one issues, presents or publishes the other verifies to the same claims.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_encode, to_numeric_date
from shared.errors import ExpectedError
from shared.formats import kb_jwt, sd_jwt
from shared.formats.claims_path import ClaimPath
from shared.formats.status_list import StatusList, sign_token
from shared.formats.status_states import Status
from tests.support.certificates import Authority, Profile
from tests.support.clock import NOW
from tests.support.credentials import CLAIMS, ES256, SESSION, VCT, disclosure
from tests.support.node import Ask, node

pytestmark = pytest.mark.interop
SETTINGS = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ISSUER, HOLDER = SoftwareKey.generate(), SoftwareKey.generate()
NONCE = "n-0S6_WzA2Mj"
CNF = {"jwk": HOLDER.public.to_jwk()}
PAYLOAD: dict[str, Any] = {
    "iss": "https://club.example",
    "iat": to_numeric_date(NOW) - 60,
    "vct": VCT,
    "cnf": CNF,
    **CLAIMS,
}
CONCEAL: tuple[ClaimPath, ...] = (
    ("given_name",),
    ("address",),
    ("address", "locality"),
    ("nationalities", None),
)
FRAME = {
    "_sd": ["given_name", "address"],
    "address": {"_sd": ["locality"]},
    "nationalities": {"_sd": [0, 1, 2]},
}


def private(key: SoftwareKey) -> dict[str, Any]:
    return {**key.public.to_jwk(), "d": b64url_encode(key.scalar())}


@pytest.fixture(scope="module")
def library() -> Iterator[Ask]:
    with node("sd_jwt.mjs", package="@sd-jwt/sd-jwt-vc") as ask:
        yield ask


def issued() -> str:
    return sd_jwt.issue(PAYLOAD, conceal=CONCEAL, typ="dc+sd-jwt", signer=ISSUER)


def verified(text: str) -> sd_jwt.VerifiedSdJwt:
    return sd_jwt.verify(text, key=ISSUER.public, typ="dc+sd-jwt", algorithms=ES256)


def theirs(library: Ask, text: str, **more: Any) -> Any:
    return library(
        {
            "act": "verify",
            "text": text,
            "key": ISSUER.public.to_jwk(),
            "now": to_numeric_date(NOW),
            **more,
        }
    )


def test_they_verify_what_we_issue(library: Ask) -> None:
    """F-SD-07, F-VC-01: recursive and array Disclosures."""
    assert theirs(library, issued())["claims"] == PAYLOAD


def test_we_verify_what_they_issue(library: Ask) -> None:
    """F-SD-07, F-VC-01: their typ, their order, their salts."""
    made = library({"act": "issue", "claims": PAYLOAD, "frame": FRAME, "key": private(ISSUER)})
    assert verified(made["text"]).claims == PAYLOAD
    assert len(verified(made["text"]).disclosed) == 6


def test_they_verify_what_we_present(library: Ask) -> None:
    """HB-01, HB-02, F-CP-03: selection and KB-JWT."""
    presented = sd_jwt.present(verified(issued()), paths=[("address", "locality")])
    proof = kb_jwt.make(presented, signer=HOLDER, audience=SESSION.audience, nonce=NONCE, now=NOW)
    claims = theirs(library, presented + proof, nonce=NONCE)["claims"]
    assert claims["address"] == CLAIMS["address"]
    assert "given_name" not in claims
    assert claims["nationalities"] == []
    assert "refused" in theirs(library, presented + proof, nonce="another")


def test_we_verify_what_they_present(library: Ask) -> None:
    """HB-05, F-SD-09: their selection and their KB-JWT."""
    kb = {"iat": to_numeric_date(NOW), "aud": SESSION.audience, "nonce": NONCE}
    frame = {"given_name": True, "nationalities": {"1": True}}
    made = library(
        {"act": "present", "text": issued(), "frame": frame, "key": private(HOLDER), "kb": kb}
    )
    found = verified(made["text"])
    assert found.claims["given_name"] == "Erika"
    assert found.claims["nationalities"] == ["FR"]
    assert "address" not in found.claims
    assert kb_jwt.verify(
        found.sd_jwt,
        key=HOLDER.public,
        audience=SESSION.audience,
        nonce=NONCE,
        now=NOW,
        algorithms=ES256,
    )


def test_both_refuse_what_was_altered(library: Ask) -> None:
    """F-SD-07: RFC 9901, section 7.1, step 2: header, payload, signature."""
    header, payload, signature = issued().split("~")[0].split(".")
    for bad in (
        f"{header}.{payload[:-2]}AA.{signature}~",
        f"{header}.{payload}.{'A' * 86}~",
        f"{header[:-4]}AAAA.{payload}.{signature}~",
    ):
        with pytest.raises(ExpectedError):
            verified(bad)
        assert "refused" in theirs(library, bad)


def test_only_we_refuse_a_disclosure_that_belongs_nowhere(library: Ask) -> None:
    """F-SD-07: RFC 9901, section 7.1, step 5: the library drops it instead; both without harm."""
    text = issued()
    for bad in (text + disclosure("salt", "admin", True) + "~", text + text.split("~")[1] + "~"):
        with pytest.raises(ExpectedError):
            verified(bad)
        assert theirs(library, bad)["claims"] == PAYLOAD


# ---------------------------------------------------------------- status lists


@SETTINGS
@given(st.sampled_from([1, 2, 4, 8]), st.data())
def test_packed_lists_agree_both_ways(library: Ask, bits: int, data: st.DataObject) -> None:
    """ST-01, ST-02, ST-05: for every width and any statuses."""
    statuses = data.draw(
        st.lists(st.integers(0, 2**bits - 1), min_size=8, max_size=64).map(
            lambda each: each[: len(each) // 8 * 8]  # they refuse lists of broken bytes
        )
    )
    indexes = list(range(len(statuses)))
    ours = StatusList.empty(bits, len(statuses))
    for index, value in enumerate(statuses):
        ours.set(index, value)
    theirs = StatusList.from_json(
        {"bits": bits, **library({"act": "pack", "statuses": statuses, "bits": bits})}
    )
    assert [theirs.get(each) for each in indexes] == statuses
    packed = ours.to_json()["lst"]
    question = {"act": "unpack", "lst": packed, "bits": bits, "indexes": indexes}
    assert library(question)["values"] == statuses


def test_they_read_our_status_list_token(library: Ask) -> None:
    """ST-10, ST-32: a list of 2^20 entries."""
    status_list = StatusList.empty(2)
    status_list.set(7, Status.SUSPENDED)
    status_list.set(2**20 - 1, Status.INVALID)
    token = sign_token(
        status_list,
        uri="https://club.example/statuslists/1",
        signer=Authority.make().signer(Profile.STATUS),
        now=NOW,
        ttl=timedelta(seconds=300),
    )
    for index, value in ((7, 2), (8, 0), (2**20 - 1, 1)):
        assert library({"act": "status", "token": token, "index": index}) == {"value": value}
