"""shared/formats/status_list.py: bits, tokens, caching and the states."""

import zlib
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import b64url_decode, b64url_encode, parse_json_object, to_numeric_date
from shared.errors import (
    Conflict,
    InvalidInput,
    Revoked,
    StatusUnavailable,
    Suspended,
    VerificationError,
)
from shared.formats.status_dates import usable_for
from shared.formats.status_list import (
    DEFAULT_SIZE,
    IndexOutOfRange,
    StatusList,
    StatusReference,
    VerifiedStatusList,
    aggregation,
    expand,
    parse_aggregation,
    sign_token,
    status_reference,
    verify_token,
)
from shared.formats.status_states import (
    Status,
    StatusMoveRefused,
    allowed_moves,
    check_move,
)
from shared.jose import jws
from tests.support.certificates import Authority
from tests.support.clock import NOW, CountingBytes
from tests.support.credentials import ES256
from tests.support.vectors import vector_json

ROOT = Authority.make("Status Root")
SIGNER = ROOT.signer(Profile.STATUS)
URI = "https://club.example/statuslists/1"
HERE = StatusReference(7, URI)


def token(status_list: StatusList | None = None, **changes: Any) -> str:
    options: dict[str, Any] = {
        "uri": URI,
        "signer": SIGNER,
        "now": NOW,
        "ttl": timedelta(seconds=300),
    }
    return sign_token(status_list or StatusList.empty(2, 64), **{**options, **changes})


def handmade(typ: str = "statuslist+jwt", signer: Any = SIGNER, **changes: Any) -> str:
    claims: dict[str, Any] = {
        "sub": URI,
        "iat": to_numeric_date(NOW),
        "exp": to_numeric_date(NOW) + 86_400,
        "ttl": 300,
        "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"},
        **changes,
    }
    kept = {name: value for name, value in claims.items() if value is not ...}
    return jws.sign_jwt(kept, typ=typ, signer=signer)


def verified(text: str, **changes: Any) -> VerifiedStatusList:
    options: dict[str, Any] = {
        "uri": URI,
        "anchors": ROOT.anchors,
        "now": NOW,
        "algorithms": ES256,
        "newest": None,
    }
    return verify_token(text, **{**options, **changes})


# ------------------------------------------------------------------------ bits


def test_one_bit_statuses_are_packed_from_the_least_significant_bit() -> None:
    """ST-01, ST-03, ST-05: Token Status List, sections 4.1 and 4.2."""
    found = StatusList.from_json({"bits": 1, "lst": "eNrbuRgAAhcBXQ"})
    assert found.data == bytes.fromhex("b9a3")
    expected = [1, 0, 0, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0, 1, 0, 1]
    assert [found.get(each) for each in range(len(found))] == expected


def test_two_bit_statuses_are_packed_from_the_least_significant_bits() -> None:
    """ST-01, ST-03, ST-05: Token Status List, section 4.1."""
    found = StatusList.from_json({"bits": 2, "lst": "eNo76fITAAPfAgc"})
    assert found.data == bytes.fromhex("c944f9")
    assert [found.get(each) for each in range(len(found))] == [1, 2, 0, 3, 0, 1, 0, 1, 1, 2, 3, 3]


@pytest.mark.vectors
@pytest.mark.parametrize("number", range(6))
def test_official_encodings_pass_in_both_directions(number: int) -> None:
    """ST-05: Token Status List, appendix C: 1, 2, 4 and 8 bits, 2^20 entries."""
    vector = vector_json("token-status-list/status_list_encodings.json")[number]
    read = StatusList.from_json({"bits": vector["bits"], "lst": vector["lst"]})
    assert len(read) == vector["entries"]
    written = StatusList.empty(vector["bits"], vector["entries"])
    for index, value in vector["statuses_non_zero"].items():
        assert read.get(int(index)) == value
        written.set(int(index), value)
    assert written.data == read.data
    assert StatusList.from_json(written.to_json()).data == read.data


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_setting_changes_one_entry_and_no_neighbour(bits: int) -> None:
    """ST-01: also from a value back to another."""
    found = StatusList.empty(bits, 32)
    top = (1 << bits) - 1
    found.set_all(range(32), top)
    found.set(9, 0)
    assert [found.get(each) for each in range(32)] == [top] * 9 + [0] + [top] * 22
    found.set(9, 1)
    assert found.get(9) == 1


def test_an_empty_list_is_valid_everywhere_and_large() -> None:
    """ST-32: filled with VALID; 2^20 entries unless said otherwise."""
    found = StatusList.empty(1)
    assert len(found) == DEFAULT_SIZE == 2**20
    assert not any(found.data)
    assert len(StatusList.empty(2, 5)) == 8


@pytest.mark.parametrize("index", [-1, 64, 2**40])
def test_an_index_outside_of_the_list_is_refused(index: int) -> None:
    """ST-53, N-40: Token Status List, section 8.3, step 6."""
    found = StatusList.empty(2, 64)
    with pytest.raises(IndexOutOfRange) as caught:
        found.get(index)
    assert caught.value.reason == "status_unavailable"
    assert not isinstance(caught.value, StatusUnavailable)  # no policy can wave it through
    with pytest.raises(InvalidInput):
        found.set(index, 1)


def test_values_and_sizes_that_do_not_fit_are_refused() -> None:
    """ST-01: bits is 1, 2, 4 or 8."""
    for bits in (0, 3, 5, 16, -1):
        with pytest.raises(InvalidInput):
            StatusList(bits, b"\0")
        with pytest.raises(InvalidInput):
            StatusList.empty(bits)
    with pytest.raises(InvalidInput):
        StatusList.empty(1, 0)
    for value in (-1, 2):
        with pytest.raises(InvalidInput):
            StatusList.empty(1, 8).set(0, value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"bits": 1},
        {"lst": "eNrbuRgAAhcBXQ"},
        {"bits": True, "lst": "eNrbuRgAAhcBXQ"},
        {"bits": "1", "lst": "eNrbuRgAAhcBXQ"},
        {"bits": 3, "lst": "eNrbuRgAAhcBXQ"},
        {"bits": 1, "lst": b"eNrbuRgAAhcBXQ"},
        {"bits": 1, "lst": "eNrbuRgAAhcBXQ=="},
    ],
)
def test_malformed_lists_are_refused(value: Any) -> None:
    """ST-01, ST-03, C-30: Token Status List, section 4.2."""
    with pytest.raises(InvalidInput):
        StatusList.from_json(value)


# ----------------------------------------------------------------- compression


def test_the_container_is_zlib_with_the_header_every_wallet_takes() -> None:
    """ST-02: Token Status List, section 4.1; first bytes 78 da at every size."""
    for size in (8, 2**20, 2**22):
        found = StatusList.empty(1, size)
        found.set(3, 1)
        packed = found.compress()
        assert packed[:2] == b"\x78\xda"
        assert zlib.decompress(packed) == found.data


@pytest.mark.parametrize(
    "packed",
    [
        b"",
        b"\x78\xda",
        b"no zlib at all",
        zlib.compress(b"data")[2:-4],
        zlib.compress(b"data")[:-1],
        zlib.compress(b"data") + b"more",
        zlib.compress(b""),
    ],
)
def test_what_is_not_one_whole_zlib_stream_is_refused(packed: bytes) -> None:
    """ST-02: neither raw DEFLATE nor gzip, nothing cut off, nothing behind it."""
    with pytest.raises(InvalidInput):
        expand(packed)


def test_a_zip_bomb_is_stopped_at_sixteen_mebibytes() -> None:
    """ST-53, S-20."""
    limit = 16 * 1024 * 1024
    assert len(expand(zlib.compress(bytes(limit)))) == limit
    with pytest.raises(InvalidInput):
        expand(zlib.compress(bytes(limit + 1)))


# ---------------------------------------------------------------------- tokens


def test_a_token_has_the_header_and_claims_of_the_draft() -> None:
    """ST-10, ST-42, C-21: Token Status List, section 5.1; HAIP 1.0, section 6.1."""
    head, body, _ = token(aggregation_uri="https://club.example/statuslists").split(".")
    header = parse_json_object(b64url_decode(head), max_bytes=10_000)
    assert (header["typ"], header["alg"], "x5c" in header) == ("statuslist+jwt", "ES256", True)
    claims = parse_json_object(b64url_decode(body), max_bytes=10_000)
    now = to_numeric_date(NOW)
    assert (claims["sub"], claims["iat"], claims["ttl"]) == (URI, now, 300)
    assert claims["exp"] == now + 86_400
    assert isinstance(claims["status_list"], dict)
    assert set(claims["status_list"]) == {"bits", "lst", "aggregation_uri"}


def test_a_signed_list_verifies_to_the_same_statuses() -> None:
    """ST-10, ST-51: round trip with several statuses."""
    status_list = StatusList.empty(2, 2**20)
    status_list.set_all([7, 2**20 - 1], Status.INVALID)
    status_list.set(8, Status.SUSPENDED)
    found = verified(token(status_list))
    assert found.list.data == status_list.data
    assert (found.uri, found.issued_at, found.ttl) == (URI, NOW, timedelta(seconds=300))
    assert found.expires_at == NOW + timedelta(hours=24)


def test_a_dense_list_of_a_million_entries_fits_the_limits() -> None:
    """S-20, ST-32: strings of a status list may be longer than others."""
    status_list = StatusList.empty(2, 2**20)
    status_list.set_all(range(0, 2**20, 3), Status.INVALID)
    status_list.set_all(range(0, 2**20, 7), Status.SUSPENDED)
    status_list.set_all(range(0, 2**20, 11), Status.VALID)
    noisy = StatusList(8, CountingBytes("noise")(300_000))
    assert len(token(noisy)) > 64 * 1024
    assert verified(token(status_list)).list.data == status_list.data
    assert verified(token(noisy)).list.data == noisy.data


REFUSED: dict[str, str] = {
    "another list": handmade(sub=URI + "/"),
    "no sub": handmade(sub=...),
    "no iat": handmade(iat=...),
    "iat in the future": handmade(iat=to_numeric_date(NOW) + 3600),
    "no status_list": handmade(status_list=...),
    "malformed status_list": handmade(status_list={"bits": 1}),
    "expired": handmade(exp=to_numeric_date(NOW) - 30),
    "ttl 0": handmade(ttl=0),
    "negative ttl": handmade(ttl=-1),
    "ttl as text": handmade(ttl="300"),
    "ttl true": handmade(ttl=True),
    "another typ": handmade(typ="JWT"),
    "a credential's typ": handmade(typ="dc+sd-jwt"),
    "no certificate": handmade(signer=SoftwareKey.generate()),
    "another root": handmade(signer=Authority.make("Other").signer(Profile.STATUS)),
    "broken signature": handmade()[:-4] + "AAAA",
    "not a JWT": "text",
}


@pytest.mark.parametrize("text", REFUSED.values(), ids=REFUSED.keys())
def test_a_token_that_fails_any_check_makes_no_statement(text: str) -> None:
    """ST-51, ST-54, ST-10, C-22: distinct from "invalid"."""
    with pytest.raises(StatusUnavailable) as caught:
        verified(text)
    assert caught.value.reason == "status_unavailable"


def test_minimal_tokens_and_unknown_claims_are_read() -> None:
    """ST-10, C-32: exp and ttl are only recommended."""
    found = verified(handmade(exp=..., ttl=..., iss="https://club.example", more={"a": 1}))
    assert (found.expires_at, found.ttl, found.aggregation_uri) == (None, None, None)
    named = verified(
        handmade(status_list={"bits": 1, "lst": "eNrbuRgAAhcBXQ", "aggregation_uri": "https://a"})
    )
    assert named.aggregation_uri == "https://a"
    assert verified(handmade(ttl=0.5)).ttl == timedelta(seconds=0.5)


def test_macs_and_foreign_algorithms_are_refused() -> None:
    """C-03, ST-51: TSL would allow MACs."""
    with pytest.raises(StatusUnavailable):
        verified(token(), algorithms=frozenset({"HS256"}))


def test_a_revoked_status_signer_is_refused() -> None:
    """C-22: thumbprints from the trust list."""
    from shared.crypto.x509 import thumbprint

    with pytest.raises(StatusUnavailable):
        verified(token(), revoked={thumbprint(SIGNER.certificates[0])})


def test_an_older_list_cannot_un_revoke() -> None:
    """DESIGN 7, ST-51: the newest iat ever seen per list decides."""
    assert verified(token(), newest=NOW)
    with pytest.raises(StatusUnavailable):
        verified(token(), newest=NOW + timedelta(seconds=1))


def test_no_token_is_signed_without_a_positive_ttl_or_a_certificate() -> None:
    """ST-10: ttl is a positive number; HAIP 1.0, section 6.1."""
    with pytest.raises(InvalidInput):
        token(ttl=timedelta(milliseconds=999))
    with pytest.raises(InvalidInput):
        token(signer=SoftwareKey.generate())


@pytest.mark.vectors
def test_the_official_token_is_read_with_its_key() -> None:
    """ST-10: Token Status List, section 5.1 (official vector, signed with a bare key)."""
    vector = vector_json("token-status-list/status_list_tokens.json")
    key = PublicKey.from_jwk(vector["public_jwk"])
    jwt = jws.verify_jwt(
        vector["status_list_token_jwt"], key=key, typ="statuslist+jwt", algorithms=ES256
    )
    assert jwt.claims == vector["jwt_claims"]
    assert StatusList.from_json(jwt.claims["status_list"]).data == bytes.fromhex("b9a3")


# ------------------------------------------------------------------- reference


def test_a_reference_is_read_from_the_status_claim() -> None:
    """ST-30: Token Status List, section 6.2."""
    claims: dict[str, Any] = {
        "status": {"status_list": {"idx": 0, "uri": "https://example.com/statuslists/1"}}
    }
    found = status_reference(claims)
    assert found == StatusReference(0, "https://example.com/statuslists/1")
    assert found is not None
    assert found.to_claim() == claims["status"]
    assert status_reference({}) is None


@pytest.mark.parametrize(
    "status",
    [
        None,
        "x",
        {},
        {"status_list": []},
        {"status_list": {}},
        {"status_list": {"idx": 0}},
        {"status_list": {"uri": "https://a"}},
        {"status_list": {"idx": "0", "uri": "https://a"}},
        {"status_list": {"idx": -1, "uri": "https://a"}},
        {"status_list": {"idx": True, "uri": "https://a"}},
        {"status_list": {"idx": 1.0, "uri": "https://a"}},
        {"status_list": {"idx": 0, "uri": ""}},
        {"status_list": {"idx": 0, "uri": 1}},
        {"status_list": {"idx": 0, "uri": "https://" + "a" * 2048}},
        {"identifier_list": {"id": "x", "uri": "https://a"}},
    ],
)
def test_a_status_without_a_well_formed_status_list_is_refused(status: Any) -> None:
    """ST-30, F-VC-02, CERTIFICATION 2.2.7: a status claim without status_list."""
    with pytest.raises(InvalidInput):
        status_reference({"status": status})


# ------------------------------------------------------------------ evaluating


def listed(value: int, bits: int = 4) -> VerifiedStatusList:
    status_list = StatusList.empty(bits, 64)
    status_list.set(HERE.index, value)
    return verified(token(status_list))


def test_valid_passes_and_its_neighbours_do_not_matter() -> None:
    """ST-04, ST-50."""
    status_list = StatusList.empty(2, 64)
    status_list.set_all([6, 8], Status.INVALID)
    verified(token(status_list)).check(HERE, now=NOW)


@pytest.mark.parametrize(
    ("value", "error", "reason"),
    [
        (1, Revoked, "revoked"),
        (2, Suspended, "suspended"),
        (3, Revoked, "revoked"),
        (0x0C, Revoked, "revoked"),
        (0x0B, Revoked, "revoked"),
    ],
)
def test_everything_else_is_refused_by_its_reason(
    value: int, error: type[VerificationError], reason: str
) -> None:
    """ST-04, V-63: application specific and reserved values are "not valid"."""
    with pytest.raises(error) as caught:
        listed(value).check(HERE, now=NOW)
    assert caught.value.reason == reason


def test_a_list_speaks_only_for_its_own_credentials_and_in_its_time() -> None:
    """ST-51, ST-53, ST-54."""
    found = listed(0)
    with pytest.raises(StatusUnavailable):
        found.check(StatusReference(7, URI + "2"), now=NOW)
    with pytest.raises(IndexOutOfRange):
        found.check(StatusReference(64, URI), now=NOW)
    found.check(HERE, now=NOW + timedelta(hours=24, seconds=29))
    with pytest.raises(StatusUnavailable):
        found.check(HERE, now=NOW + timedelta(hours=24, seconds=30))
    verified(handmade(exp=...)).check(StatusReference(1, URI), now=NOW + timedelta(days=3000))


@pytest.mark.parametrize(
    ("moment", "usable"),
    [
        (NOW - timedelta(seconds=1), False),
        (NOW, True),
        (NOW + timedelta(hours=24, seconds=-1), True),
        (NOW + timedelta(hours=24), False),
    ],
)
def test_history_is_answered_between_iat_and_exp(moment: datetime, usable: bool) -> None:
    """ST-57: Token Status List, section 8.4: iat <= time < exp."""
    assert usable_for(verified(token()), moment) is usable
    assert usable_for(verified(handmade(exp=...)), moment) is (moment >= NOW)


# ---------------------------------------------------------------------- states


def test_revoked_is_final_and_suspended_is_not() -> None:
    """ST-04, I-113: the state machine."""
    for suspendable in (True, False):
        assert allowed_moves(Status.INVALID, suspendable=suspendable) == set()
    assert allowed_moves(Status.VALID, suspendable=True) == {Status.INVALID, Status.SUSPENDED}
    assert allowed_moves(Status.SUSPENDED, suspendable=True) == {Status.INVALID, Status.VALID}
    check_move(Status.VALID, Status.SUSPENDED, suspendable=True)
    check_move(Status.SUSPENDED, Status.VALID, suspendable=True)
    check_move(Status.SUSPENDED, Status.INVALID, suspendable=False)


def test_a_pid_is_never_suspended() -> None:
    """E-01, ST-04: one bit, no SUSPENDED."""
    assert allowed_moves(Status.VALID, suspendable=False) == {Status.INVALID}
    with pytest.raises(StatusMoveRefused):
        check_move(Status.VALID, Status.SUSPENDED, suspendable=False)


@pytest.mark.parametrize("target", list(Status))
def test_a_refused_move_names_the_allowed_ones(target: Status) -> None:
    """I-113: a conflict, with what would be possible."""
    with pytest.raises(StatusMoveRefused) as caught:
        check_move(Status.INVALID, target, suspendable=True)
    assert isinstance(caught.value, Conflict)
    assert caught.value.allowed == ()
    with pytest.raises(StatusMoveRefused) as caught:
        check_move(Status.VALID, Status.VALID, suspendable=True)
    assert caught.value.allowed == (Status.INVALID, Status.SUSPENDED)


# ----------------------------------------------------------------- aggregation


def test_an_aggregation_names_all_lists() -> None:
    """ST-43: Token Status List, section 9.3."""
    uris = [f"https://example.com/statuslists/{each}" for each in (1, 2, 3)]
    assert aggregation(uris) == {"status_lists": uris}
    document = b'{"status_lists": ["https://example.com/statuslists/1"], "more": 1}'
    assert parse_aggregation(document) == ("https://example.com/statuslists/1",)
    assert parse_aggregation(b'{"status_lists": []}') == ()


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"{}",
        b'{"status_lists": "x"}',
        b'{"status_lists": [1]}',
        b'{"status_lists":[""]}',
    ],
)
def test_malformed_aggregations_are_refused(document: bytes) -> None:
    """ST-43: the refused twin."""
    with pytest.raises(InvalidInput):
        parse_aggregation(document)


def test_lists_survive_their_own_json() -> None:
    """ST-03: what is written is read."""
    found = StatusList.empty(8, 16)
    found.set(3, 255)
    value = found.to_json(aggregation_uri="https://a")
    assert StatusList.from_json(value).data == found.data
    assert value["lst"] == b64url_encode(found.compress())
