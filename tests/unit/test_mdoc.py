"""shared/formats/mdoc.py: what an Issuer signs, and what is believed of it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from shared.crypto.document_signer import check_place
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import b64url_decode, b64url_encode
from shared.errors import (
    BadSignature,
    Expired,
    InvalidInput,
    NotYetValid,
    Untrusted,
    WrongDigest,
    WrongHolder,
    WrongType,
)
from shared.formats import cbor, credential, mdoc
from shared.formats.credential import Held, Trusted
from shared.formats.status_list import StatusReference
from shared.formats.values import IdentifierReference
from tests.support.certificates import Authority, authority_certificate, certificate
from tests.support.clock import NOW
from tests.support.credentials import IN_A_YEAR, metadata
from tests.support.mdocs import (
    CLAIMS,
    DOCTYPE,
    FORMAT,
    HOLDER,
    IACA,
    LICENCE,
    NAMESPACE,
    PERSON,
    SIGNER,
    STATUS,
    closed,
    issued,
    opened,
    received,
    rule,
    security_object,
    signed_again,
)
from tests.support.vectors import vector_json

DAY = timedelta(days=1)


def items(issuer_signed: Any) -> dict[str, Any]:
    found = [cbor.loads(each.value) for each in issuer_signed["nameSpaces"][NAMESPACE]]
    return {each["elementIdentifier"]: each for each in found}


def changed(change: Callable[[Any], Any], **issuing: Any) -> str:
    """An mdoc whose Mobile Security Object the Issuer signed after *change*."""
    value = opened(issued(**issuing))
    security = security_object(value)
    return closed(signed_again(value, change(security) or security))


# --------------------------------------------------------------------- issuing


def test_what_is_issued_says_what_was_given() -> None:
    """F-MD-07, F-MD-08, Q-14: dates and bytes come back as their text."""
    held = received().held
    assert held.claims == CLAIMS
    assert (held.type, held.format, held.holder) == (DOCTYPE, FORMAT, HOLDER.public)
    assert held.status == STATUS
    assert {place for place, _ in held.pieces} == {(NAMESPACE, name) for name in PERSON}
    assert held.always_shown() == (NAMESPACE,)


def test_the_document_is_as_the_standard_draws_it() -> None:
    """F-MD-01 to F-MD-06, I-115: tags, whole items, validity of whole days, no extras."""
    value = opened(issued())
    assert set(value) == {"nameSpaces", "issuerAuth"}
    security = security_object(value)
    assert security["version"] == "1.0"
    assert security["docType"] == DOCTYPE
    assert security["digestAlgorithm"] == "SHA-256"
    assert set(security["deviceKeyInfo"]) == {"deviceKey"}
    assert set(security["deviceKeyInfo"]["deviceKey"]) == {1, -1, -2, -3}
    assert security["status"] == {"status_list": {"idx": STATUS.index, "uri": STATUS.uri}}
    day = cbor.Tag(0, "2027-03-01T00:00:00Z")
    assert security["validityInfo"]["signed"] == security["validityInfo"]["validFrom"] == day
    assert security["validityInfo"]["validUntil"].value.endswith("T00:00:00Z")
    found = items(value)
    assert found["birth_date"]["elementValue"] == cbor.Tag(1004, "1964-08-12")
    assert found["issued"]["elementValue"] == cbor.Tag(0, "2027-02-01T08:30:00Z")
    assert found["portrait"]["elementValue"] == b"\xff\xd8 a picture"
    assert found["driving_privileges"]["elementValue"] == [
        {"vehicle_category_code": "B", "issue_date": cbor.Tag(1004, "1984-01-02")},
        {"vehicle_category_code": "AM"},
    ]
    assert all(len(each["random"]) >= 16 for each in found.values())


def test_what_is_issued_is_deterministic_cbor() -> None:
    """RFC 8949, section 4.2.1: shortest forms, keys in the order of their encodings."""

    def ordered(value: Any) -> None:
        if isinstance(value, cbor.Tag):
            value = value.value
        if isinstance(value, dict):
            keys = [cbor.dumps(each) for each in value]
            assert keys == sorted(keys)
            value = list(value.values())
        if isinstance(value, list):
            for each in value:
                ordered(each)

    raw = b64url_decode(issued())
    value = cbor.loads(raw)
    assert cbor.dumps(value) == raw
    ordered(value["issuerAuth"])
    ordered(security_object(value))
    for each in value["nameSpaces"][NAMESPACE]:
        ordered(cbor.loads(each.value))


def test_copies_cannot_be_matched() -> None:
    """I-111, F-MD-02, CERTIFICATION 2.2.7: randoms, digests, their numbers, and keys differ; what
    is equal is the same for everybody of that day."""
    copies = [
        opened(issued(holder=SoftwareKey.generate().public, status=StatusReference(n, STATUS.uri)))
        for n in range(12)
    ]
    securities = [security_object(each) for each in copies]
    randoms = [each["random"] for copy in copies for each in items(copy).values()]
    assert len(set(randoms)) == len(randoms)
    digests = [d for each in securities for d in each["valueDigests"][NAMESPACE].values()]
    assert len(set(digests)) == len(digests)
    orders = {tuple(each["digestID"] for _, each in sorted(items(copy).items())) for copy in copies}
    assert len(orders) > 1
    assert len({len(each["valueDigests"][NAMESPACE]) for each in securities}) == 1
    assert len({str(each["validityInfo"]) for each in securities}) == 1
    one, two = securities[:2]
    assert {name for name in one if one[name] != two[name]} == {
        "status",
        "valueDigests",
        "deviceKeyInfo",
    }


def test_decoys_hide_how_many_elements_there_are() -> None:
    """F-MD-02: always a multiple of four digests."""
    for count in (1, 4, 5):
        claims = {NAMESPACE: {"family_name": "A", "birth_date": "1964-08-12"}}
        claims[NAMESPACE] |= {f"n{each}": str(each) for each in range(count)}
        security = security_object(opened(issued(claims)))
        assert len(security["valueDigests"][NAMESPACE]) == -(-(count + 2) // 4) * 4


def test_several_namespaces_stand_side_by_side() -> None:
    """F-MD-02: a number is unique within its namespace."""
    claims = {**CLAIMS, "org.example.extra": {"level": 3, "family_name": "Other"}}
    held = received(issued(claims)).held
    assert held.claims == claims


@pytest.mark.parametrize(
    "claims",
    [
        {},
        {NAMESPACE: {}},
        {NAMESPACE: {"family_name": "A"}},  # birth_date is mandatory
        {"other": {"family_name": "A", "birth_date": "1964-08-12"}},
        {NAMESPACE: "text"},
        {NAMESPACE: {**PERSON, "birth_date": "1964"}},
        {NAMESPACE: {**PERSON, "birth_date": "1964-02-30"}},
        {NAMESPACE: {**PERSON, "birth_date": 1964}},
        {NAMESPACE: {**PERSON, "issued": "2027-02-01"}},
        {NAMESPACE: {**PERSON, "issued": "2027-02-01T25:00:00Z"}},
        {NAMESPACE: {**PERSON, "portrait": "not base64url!"}},
        {NAMESPACE: {**PERSON, "portrait": 3}},
        {NAMESPACE: {**PERSON, "driving_privileges": "B"}},
        {NAMESPACE: {**PERSON, "driving_privileges": ["B"]}},
        {NAMESPACE: {**PERSON, "family_name": "\ud800"}},
    ],
)
def test_claims_that_do_not_fit_their_type_are_not_signed(claims: dict[str, Any]) -> None:
    """F-TM-08, C-42: mandatory elements and the kinds that the data file names."""
    with pytest.raises(InvalidInput):
        credential.issue(
            FORMAT, claims, metadata=LICENCE, holder=HOLDER.public, status=STATUS, issued_at=NOW,
            expires_at=IN_A_YEAR, signer=SIGNER,
        )  # fmt: skip


def test_a_claim_is_checked_before_anything_is_promised() -> None:
    """F-TM-08: the same rules without a signature."""
    credential.check_claims(FORMAT, CLAIMS, metadata=LICENCE)
    with pytest.raises(InvalidInput):
        credential.check_claims(FORMAT, {NAMESPACE: {}}, metadata=LICENCE)
    credential.check_type(FORMAT, LICENCE)
    for path in (["family_name"], [NAMESPACE], [NAMESPACE, 0], [None, "a"]):
        with pytest.raises(InvalidInput):
            credential.check_type(FORMAT, metadata({"path": path}, vct=DOCTYPE))


@pytest.mark.parametrize(
    "changes",
    [
        {"signer": SoftwareKey.generate()},  # without a certificate
        {"holder": None},
        {"expires_at": None},
        {"expires_at": NOW},
        {"issued_at": NOW - 10 * DAY, "expires_at": IN_A_YEAR},  # before the certificate
    ],
)
def test_what_could_not_be_believed_is_not_signed(changes: dict[str, Any]) -> None:
    """F-MD-04, F-MD-05."""
    with pytest.raises(InvalidInput):
        issued(**changes)


def test_a_document_ends_with_its_signer() -> None:
    """F-MD-04: validUntil is cut to the certificate."""
    short = IACA.signer(Profile.MDOC_SIGNER, country="UT", days=20)
    held = received(issued(signer=short)).held
    assert held.validity.expires_at is not None
    assert held.validity.expires_at <= NOW + 20 * DAY


def test_only_certified_document_signers_sign() -> None:
    """C-24: said before the first credential, not after."""
    credential.check_signer(FORMAT, SIGNER.certificates[0])
    access = IACA.signer(Profile.ACCESS).certificates[0]
    with pytest.raises(Untrusted):
        credential.check_signer(FORMAT, access)
    credential.check_signer("dc+sd-jwt", access)


# ------------------------------------------------------------------- believing


def test_the_issuer_auth_of_the_status_list_specification_is_understood() -> None:
    """F-MD-03, F-MD-06, ST-30: COSE, chain and status of an mdoc of another project."""
    vector = vector_json("token-status-list/mdoc_issuer_auth_with_status.json")
    auth = cbor.loads(bytes.fromhex(vector["issuer_auth_cose_sign1_hex"]))
    leaf = auth[1][33]
    leaf = leaf if isinstance(leaf, bytes) else leaf[0]
    found = mdoc.verify(
        mdoc.parse({"issuerAuth": auth}),
        now=NOW.replace(year=2024, month=12),
        algorithms={"ES256"},
        trusted=Trusted(frozenset(), pinned=frozenset({leaf})),
    )
    assert found.doctype == DOCTYPE
    assert found.status == StatusReference(412, "https://example.com/statuslists/1")


def test_every_element_is_held_against_its_digest() -> None:
    """F-MD-01, F-MD-07: a value, a random, a number, a name that was changed; one too many."""
    value = opened(issued())
    contents = value["nameSpaces"][NAMESPACE]
    for change in (
        {"elementValue": "Other"},
        {"random": bytes(16)},
        {"digestID": 4000},
        {"elementIdentifier": "nickname"},
    ):
        forged = cbor.Tag(24, cbor.dumps({**cbor.loads(contents[0].value), **change}))
        shown = {**value, "nameSpaces": {NAMESPACE: [forged, *contents[1:]]}}
        with pytest.raises(WrongDigest):
            received(closed(shown))
    for namespaces in (
        {NAMESPACE: [*contents, contents[0]]},
        {"org.example.other": contents},
    ):
        with pytest.raises(WrongDigest):
            received(closed({**value, "nameSpaces": namespaces}))


def test_an_element_that_was_not_signed_is_refused() -> None:
    """F-MD-02, F-MD-07: not in the MSO."""
    value = opened(issued())
    extra = {"digestID": 0, "random": bytes(16), "elementIdentifier": "x", "elementValue": 1}
    contents = [*value["nameSpaces"][NAMESPACE], cbor.Tag(24, cbor.dumps(extra))]
    with pytest.raises(WrongDigest):
        received(closed({**value, "nameSpaces": {NAMESPACE: contents}}))


@pytest.mark.parametrize("algorithm", ["SHA-384", "SHA-512"])
def test_other_registered_digests_are_understood(algorithm: str) -> None:
    """C-02: accepted on input."""
    make = mdoc._HASHES[algorithm]
    value = opened(issued())
    security = security_object(value)
    security["digestAlgorithm"] = algorithm
    security["valueDigests"][NAMESPACE] = {
        cbor.loads(each.value)["digestID"]: make(cbor.dumps(each)).digest()
        for each in value["nameSpaces"][NAMESPACE]
    }
    assert received(closed(signed_again(value, security))).held.claims == CLAIMS


def test_the_signer_is_believed_by_its_path_alone() -> None:
    """C-22, C-24, F-MD-07: another root, another profile, a revoked or self-signed signer."""
    with pytest.raises(Untrusted):
        received(issued(signer=Authority.make().signer(Profile.MDOC_SIGNER, country="UT")))
    with pytest.raises(Untrusted, match="extended key usage"):
        received(issued(signer=IACA.signer(Profile.STATUS, country="UT")))
    revoked = received().chain.thumbprints
    with pytest.raises(Untrusted):
        received(trusted=Trusted(IACA.anchors, frozenset(revoked)))
    value = opened(issued())
    value["issuerAuth"][3] = bytes(64)
    with pytest.raises(BadSignature):
        received(closed(value))


def test_a_pinned_signer_needs_no_profile() -> None:
    """CERTIFICATION 2.5.4: the suite's document signer is a self-signed CA; named one by one it is
    believed, and in no other way."""
    key = SoftwareKey.generate()
    own = authority_certificate("certification.openid.net", key, "certification.openid.net", key)
    text = issued(signer=key.with_certificates((own,)))
    found = received(text, trusted=Trusted(frozenset(), pinned=frozenset({own})))
    assert found.chain.pinned
    for trusted in (Trusted(frozenset({own})), Trusted(IACA.anchors)):
        with pytest.raises(Untrusted):
            received(text, trusted=trusted)


@pytest.mark.parametrize(
    ("country", "claims", "fits"),
    [
        ("UT", {"issuing_country": "UT"}, True),
        ("UT", {"issuing_country": "FR"}, False),
        (None, {"issuing_country": "UT"}, False),
        (None, {}, True),
        ("UT", {"issuing_country": "UT", "issuing_jurisdiction": "UT-1"}, True),
    ],
)
def test_a_document_is_issued_where_its_signer_is(
    country: str | None, claims: dict[str, Any], *, fits: bool
) -> None:
    """F-MD-07: if `issuing_country` is shown."""
    signer = IACA.signer(Profile.MDOC_SIGNER, country=country)
    shown = {NAMESPACE: {"family_name": "A", "birth_date": "1964-08-12", **claims}}
    text = issued(shown, signer=signer)
    if fits:
        assert received(text)
    else:
        with pytest.raises(Untrusted, match="country"):
            received(text)


@pytest.mark.parametrize(
    ("state", "shown", "fits"),
    [
        ("UT-1", "UT-1", True),
        ("UT-1", "UT-2", False),
        ("UT-1", None, True),
        (None, "UT-2", True),  # the certificate speaks of no state
    ],
)
def test_a_document_is_issued_in_the_state_of_its_signer(
    state: str | None, shown: str | None, *, fits: bool
) -> None:
    """F-MD-07: `issuing_jurisdiction` is the stateOrProvinceName of the signer, if it has one."""
    parts = [x509.NameAttribute(NameOID.COUNTRY_NAME, "UT")]
    if state is not None:
        parts.append(x509.NameAttribute(NameOID.STATE_OR_PROVINCE_NAME, state))
    chain = replace(
        received().chain, leaf=certificate(x509.Name(parts), SIGNER, "Utopia IACA", IACA.key)
    )
    if fits:
        check_place(chain, country="UT", jurisdiction=shown)
    else:
        with pytest.raises(Untrusted, match="jurisdiction"):
            check_place(chain, country="UT", jurisdiction=shown)


@pytest.mark.parametrize(
    ("now", "error"),
    [(NOW - DAY, NotYetValid), (NOW + 301 * DAY, Expired), (NOW + 500 * DAY, Untrusted)],
)
def test_a_document_counts_in_its_time(now: Any, error: type[Exception]) -> None:
    """F-MD-07, C-40: validFrom, validUntil, and the signer's own end."""
    text = issued(signer=SIGNER)
    with pytest.raises(error):
        received(text, now=now)


def tdate(text: Any) -> cbor.Tag:
    return cbor.Tag(0, text)


@pytest.mark.parametrize(
    ("times", "error"),
    [
        ({"signed": tdate("2020-01-01T00:00:00Z")}, Untrusted),  # before its signer
        ({"validFrom": tdate("2027-02-28T00:00:00Z")}, InvalidInput),  # before it was signed
        ({"validUntil": tdate("2027-03-01T00:00:00Z")}, InvalidInput),
        ({"validUntil": tdate("2027-04-01T00:00:00.5Z")}, InvalidInput),
        ({"validUntil": tdate("2027-04-01T00:00:00+01:00")}, InvalidInput),
        ({"validUntil": tdate("2027-13-01T00:00:00Z")}, InvalidInput),
        ({"validUntil": tdate(7)}, InvalidInput),
        ({"validUntil": "2027-04-01T00:00:00Z"}, InvalidInput),
        ({"validUntil": cbor.Tag(1004, "2027-04-01")}, InvalidInput),
        ({"validFrom": None}, InvalidInput),
    ],
)
def test_times_are_in_order_and_form(times: dict[str, Any], error: type[Exception]) -> None:
    """F-MD-04, C-42: UTC, whole seconds."""
    with pytest.raises(error):
        received(changed(lambda security: security["validityInfo"].update(times)))


@pytest.mark.parametrize(
    ("members", "error"),
    [
        ({"version": "2.0"}, InvalidInput),
        ({"docType": ""}, InvalidInput),
        ({"docType": 3}, InvalidInput),
        ({"docType": "org.example.other"}, WrongType),
        ({"digestAlgorithm": "SHA-1"}, InvalidInput),
        ({"digestAlgorithm": 5}, InvalidInput),
        ({"valueDigests": None}, InvalidInput),
        ({"valueDigests": {}}, WrongDigest),
        ({"valueDigests": {NAMESPACE: []}}, WrongDigest),
        ({"deviceKeyInfo": None}, InvalidInput),
        ({"deviceKeyInfo": {"deviceKey": {1: 2}}}, InvalidInput),
        ({"validityInfo": None}, InvalidInput),
        ({"status": {"status_list": {"idx": -1, "uri": "x"}}}, InvalidInput),
        ({"status": {"status_list": {"idx": 1}}}, InvalidInput),
        ({"status": {"attestation": {}}}, InvalidInput),
        ({"status": 1}, InvalidInput),
        ({"status": {"identifier_list": {"id": b"", "uri": "https://x"}}}, InvalidInput),
        ({"status": {"identifier_list": {"id": b"1", "uri": ""}}}, InvalidInput),
        ({"status": {"identifier_list": {"id": "1", "uri": "https://x"}}}, InvalidInput),
        ({"status": {"identifier_list": 1}}, InvalidInput),
    ],
)
def test_a_security_object_is_whole(members: dict[str, Any], error: type[Exception]) -> None:
    """F-MD-06, F-MD-07: signed by the right key, and still not as it must be."""
    with pytest.raises(error):
        received(changed(lambda security: {**security, **members}))


def test_a_status_in_an_identifier_list_is_kept_for_what_it_is() -> None:
    """F-MD-06: received, and read again from its row; a status list beside it is preferred."""
    other = {"identifier_list": {"id": b"\x01\x02", "uri": "https://lists.example/1"}}
    held = received(changed(lambda security: {**security, "status": other})).held
    assert held.status == IdentifierReference(b"\x01\x02", "https://lists.example/1")
    assert Held.load(held.dump()).status == held.status
    both = {**STATUS.to_claim(), **other}
    assert received(changed(lambda security: {**security, "status": both})).held.status == STATUS


def test_no_status_is_none() -> None:
    assert received(issued(status=None)).held.status is None


def test_a_foreign_key_or_type_is_not_kept() -> None:
    """W-41: bound to a key of ours, of the type asked for."""
    with pytest.raises(WrongHolder):
        received(keys=[SoftwareKey.generate().public])
    with pytest.raises(WrongType):
        received(expected_type="org.example.other")


@pytest.mark.parametrize(
    "change",
    [
        lambda _: None,
        lambda _: [],
        lambda value: {"issuerAuth": value["issuerAuth"], "nameSpaces": []},
        lambda value: {**value, "nameSpaces": {NAMESPACE: []}},
        lambda value: {**value, "nameSpaces": {NAMESPACE: {}}},
        lambda value: {**value, "nameSpaces": {3: value["nameSpaces"][NAMESPACE]}},
        lambda value: {**value, "nameSpaces": {NAMESPACE: [b"untagged"]}},
        lambda value: {**value, "nameSpaces": {NAMESPACE: [cbor.Tag(24, b"\x01")]}},
        lambda value: {**value, "nameSpaces": {NAMESPACE: [cbor.Tag(24, b"\xa0")]}},
        lambda value: {**value, "nameSpaces": {NAMESPACE: [cbor.Tag(24, b"\xa0")] * 1001}},
        lambda value: {"nameSpaces": value["nameSpaces"]},
        lambda value: {**value, "issuerAuth": value["issuerAuth"][:3]},
        lambda value: {**value, "issuerAuth": [*value["issuerAuth"][:2], None, b"s"]},
    ],
)
def test_what_is_no_mdoc_is_refused(change: Callable[[Any], Any]) -> None:
    """F-MD-08, S-21."""
    with pytest.raises(InvalidInput):
        received(closed(change(opened(issued()))))


def test_elements_have_all_their_members_in_kind() -> None:
    """F-MD-02: a number, text as name, bytes as random."""
    value = opened(issued())
    contents = value["nameSpaces"][NAMESPACE]
    whole = cbor.loads(contents[0].value)
    for change in (
        {"digestID": -1},
        {"digestID": 1.0},
        {"digestID": True},
        {"digestID": "1"},
        {"elementIdentifier": 4},
        {"random": "text"},
    ):
        item = cbor.Tag(24, cbor.dumps({**whole, **change}))
        with pytest.raises(InvalidInput):
            received(closed({**value, "nameSpaces": {NAMESPACE: [item]}}))


def test_what_a_wallet_could_not_show_unchanged_is_refused() -> None:
    """C-34: another encoding of the same item, of a length not in its shortest form."""
    raw = b64url_decode(issued())
    longer = raw.replace(b"\x6anameSpaces", b"\x78\x0anameSpaces")
    assert cbor.loads(longer) == cbor.loads(raw)
    with pytest.raises(InvalidInput, match="deterministic"):
        received(b64url_encode(longer))
    with pytest.raises(InvalidInput):
        received(b64url_encode(raw + b"\0"))


def test_values_that_json_cannot_say_match_nothing() -> None:
    """Q-14: not convertible is null, never an error."""
    odd = {
        "a": float("inf"), "b": {1: 2}, "c": -(2**64), "d": 1.5, "e": None, "f": [b"\xff"],
    }  # fmt: skip
    metadata_of_any = metadata(rule("a"), vct=DOCTYPE)
    held = received(issued({NAMESPACE: odd}, metadata=metadata_of_any)).held
    assert held.claims == {
        NAMESPACE: {"a": None, "b": None, "c": None, "d": 1.5, "e": None, "f": ["_w"]}
    }
