"""shared/formats/status_cwt.py: the same list in CBOR."""

from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.errors import InvalidInput, Revoked, StatusUnavailable, Suspended
from shared.formats import cbor, cose, status_cwt, status_list
from shared.formats.status_list import StatusList, StatusReference, VerifiedStatusList
from shared.formats.status_states import Status
from tests.support.certificates import Authority
from tests.support.clock import NOW
from tests.support.credentials import ES256
from tests.support.vectors import vector_json

ROOT = Authority.make("Status Root")
SIGNER = ROOT.signer(Profile.STATUS)
URI = "https://registry.example/statuslists/1"
OPTIONS: dict[str, Any] = {
    "uri": URI,
    "signer": SIGNER,
    "now": NOW,
    "ttl": timedelta(seconds=300),
}


def listed() -> StatusList:
    found = StatusList.empty(2, 1000)
    found.set(7, Status.INVALID)
    found.set(8, Status.SUSPENDED)
    return found


def token(**changes: Any) -> bytes:
    return status_cwt.sign_token(listed(), **{**OPTIONS, **changes})


def verify(text: bytes, **changes: Any) -> VerifiedStatusList:
    options: dict[str, Any] = {
        "uri": URI,
        "anchors": ROOT.anchors,
        "now": NOW,
        "algorithms": ES256,
        "newest": None,
    }
    return status_cwt.verify_token(text, **{**options, **changes})


def handmade(claims: Any, *, typ: str | None = status_cwt.MEDIA_TYPE, **signing: Any) -> bytes:
    options = {"signer": SIGNER, "typ": typ, "tagged": True, **signing}
    return cose.sign(cbor.dumps(claims), **options)


def claims(**changes: Any) -> dict[int, Any]:
    found = {
        2: URI,
        6: int(NOW.timestamp()),
        65533: {"bits": 2, "lst": listed().compress()},
    }
    return {**found, **{int(name[1:]): value for name, value in changes.items()}}


def test_both_forms_say_the_same() -> None:
    """ST-10, ST-20, ST-51: one list, one set of rules, a JWT or a CWT, tagged or not."""
    tagged = token(aggregation_uri="https://registry.example/statuslists")
    jwt = status_list.sign_token(
        listed(), **OPTIONS, aggregation_uri="https://registry.example/statuslists"
    )
    assert tagged[:1] == b"\xd2"
    found = [verify(tagged), verify(tagged[1:]), verify(jwt.encode())]
    for each in found:
        assert each.list.data == listed().data
        each.check(StatusReference(6, URI), now=NOW)
        with pytest.raises(Revoked):
            each.check(StatusReference(7, URI), now=NOW)
        with pytest.raises(Suspended):
            each.check(StatusReference(8, URI), now=NOW)
    assert len({(e.issued_at, e.expires_at, e.ttl, e.aggregation_uri) for e in found}) == 1


def test_the_token_is_as_the_draft_draws_it() -> None:
    """ST-20: type in the protected header, chain in the other, registered numbers, no tag 61."""
    value = cbor.loads(token())
    protected, unprotected, payload, _ = value.value
    assert value.tag == 18
    assert cbor.loads(protected) == {1: -7, 16: "application/statuslist+cwt"}
    assert unprotected == {33: SIGNER.certificates[0]}
    content = cbor.loads(payload)
    assert list(content) == [2, 4, 6, 65533, 65534]
    assert content[2] == URI
    assert set(content[65533]) == {"bits", "lst"}


@pytest.mark.parametrize(
    "name",
    [
        "status_list_token_cwt_draft14_untagged_hex",
        "status_list_token_cwt_draft20_cose_sign1_tagged_hex",
    ],
)
def test_the_tokens_of_the_drafts_are_read(name: str) -> None:
    """ST-03, ST-20: the examples carry no chain, so signature and claims apart."""
    vector = vector_json("token-status-list/status_list_tokens.json")
    signed = cose.parse(cbor.loads(bytes.fromhex(vector[name])))
    signed.verify(PublicKey.from_jwk(vector["public_jwk"]), algorithms=ES256)
    assert signed.typ == status_cwt.MEDIA_TYPE
    assert signed.payload is not None
    content = cbor.loads(signed.payload)
    assert content[2] == vector["jwt_claims"]["sub"]
    assert content[65534] == vector["jwt_claims"]["ttl"]
    read = status_cwt._read(content[65533])
    assert read.data == StatusList.from_json(vector["jwt_claims"]["status_list"]).data


def test_the_chain_may_stand_in_either_header() -> None:
    """ST-20."""
    bare = SoftwareKey.from_scalar(SIGNER.scalar())
    protected = cbor.dumps({1: -7, 16: status_cwt.MEDIA_TYPE, 33: SIGNER.certificates[0]})
    payload = cbor.dumps(claims())
    signature = bare.sign(cbor.dumps(["Signature1", protected, b"", payload]))
    assert verify(cbor.dumps([protected, {}, payload, signature]))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\xd2",
        b"\x84",
        cbor.dumps(cbor.Tag(61, cbor.loads(token()))),
        token() + b"\0",
        token()[:-1] + bytes([token()[-1] ^ 1]),
        handmade(claims(), typ="application/statuslist+jwt"),
        handmade(claims(), typ=None),
        handmade([1]),
        handmade(claims(_2=URI + "/other")),
        handmade(claims(_6="now")),
        handmade(claims(_4=1)),
        handmade(claims(_65534=0)),
        handmade(claims(_65533=[])),
        handmade(claims(_65533={"bits": 2})),
        handmade(claims(_65533={"bits": True, "lst": b""})),
        handmade(claims(_65533={"bits": 3, "lst": listed().compress()})),
        handmade(claims(_65533={"bits": 2, "lst": b"\x00"})),
        handmade({6: int(NOW.timestamp())}),
        handmade(claims(), signer=SoftwareKey.generate()),
        handmade(claims(), signer=Authority.make().signer(Profile.STATUS)),
    ],
)
def test_what_makes_no_statement_is_unavailable(text: bytes) -> None:
    """ST-51, ST-54: never "invalid"."""
    with pytest.raises(StatusUnavailable):
        verify(text)


def test_an_older_list_cannot_un_revoke() -> None:
    """ST-51."""
    assert verify(token(), newest=NOW)
    with pytest.raises(StatusUnavailable):
        verify(token(now=NOW - timedelta(seconds=5)), newest=NOW)


def test_revoked_and_pinned_signers() -> None:
    """C-22."""
    assert verify(token(), anchors=frozenset(), pinned=frozenset(SIGNER.certificates))
    with pytest.raises(StatusUnavailable):
        verify(token(), anchors=Authority.make().anchors)


@pytest.mark.parametrize("changes", [{"ttl": timedelta(0)}, {"signer": SoftwareKey.generate()}])
def test_a_token_that_nobody_could_use_is_not_signed(changes: dict[str, Any]) -> None:
    """ST-42."""
    with pytest.raises(InvalidInput):
        token(**changes)
