"""The wallet and mdocs: received, shown under labels, presented by its own signer."""

import base64
from collections.abc import Callable
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.demo.phone import Refused
from shared.encoding import JsonValue, b64url_decode, b64url_encode
from shared.formats import cbor, cose
from tests.support.mdocs import closed, opened
from tests.support.trust import MDOC, PID, PID_MDOC
from tests.support.wallet import TX_CODE, WalletWorld
from wallet_service.labelling import Labels, claims_shown

OVER_18: dict[str, Any] = {
    "purpose": "proof_of_age",
    "credentials": [
        {
            "id": "pid_mdoc",
            "format": MDOC,
            "meta": {"doctype_value": PID_MDOC},
            "claims": [{"path": [PID_MDOC, "age_over_18"], "values": [True]}],
        }
    ],
}
EITHER: dict[str, Any] = {
    "purpose": "proof_of_age",
    "credentials": [
        {
            "id": "pid",
            "format": "dc+sd-jwt",
            "meta": {"vct_values": [PID]},
            "claims": [{"path": ["age_equal_or_over", "18"], "values": [True]}],
        },
        *OVER_18["credentials"],
    ],
    "credential_sets": [{"options": [["pid"], ["pid_mdoc"]]}],
}


def test_an_mdoc_is_a_card_like_any_other(world: WalletWorld) -> None:
    """W-40, W-41, F-MD-08, PAIN_POINTS 16: ten copies, claims under their labels."""
    phone = world.phone_with(PID_MDOC)
    [card] = phone.cards()
    assert (card["format"], card["copies_left"]) == (MDOC, 10)
    shown = phone.card(card["id"])
    assert {each["label"]: each["value"] for each in shown["claims"]} == {
        "Family name": "Möbius",
        "Given name": "Erika",
        "Over 18": True,
    }


@pytest.mark.parametrize(
    ("data", "type_"),
    [
        (b"\xff\xd8\xff\xe0 jpeg", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n png", "image/png"),
        (b"<svg onload='x'/>", None),
        (b"\xff\xd8", None),
    ],
)
def test_a_portrait_is_shown_as_a_picture(data: bytes, type_: str | None) -> None:
    """PAIN_POINTS 16: bytes by the type's own word, and nothing but a JPEG or PNG."""
    path, texts = ["ns", "portrait"], {"en": "Portrait"}
    text = b64url_encode(data)
    claims: dict[str, JsonValue] = {"ns": {"portrait": text}}
    labels: Labels = [{"path": path, "texts": texts, "bytes": True}]
    plain = {"path": path, "label": "Portrait", "value": text, "text": text}
    picture = {
        **plain,
        "value": f"data:{type_};base64,{base64.b64encode(data).decode()}",
        "kind": "image",
        "text": "Portrait",
    }
    assert claims_shown(claims, labels, locale="en") == [picture if type_ else plain]
    other: Labels = [{"path": path, "texts": texts}]
    url = f"data:image/jpeg;base64,{base64.b64encode(data).decode()}"
    said = claims_shown({"ns": {"portrait": url}}, other, locale="en")
    assert said == [picture if type_ else {**plain, "value": url, "text": url}]
    assert claims_shown(claims, other, locale="en") == [plain]
    assert claims_shown({"ns": {"portrait": "no bytes="}}, labels, locale="en") == [
        {**plain, "value": "no bytes=", "text": "no bytes="}
    ]


def test_what_belongs_to_one_element_of_a_list_is_shown_together() -> None:
    """F-TM-09: a licence says which dates are of which vehicle category."""
    rights: JsonValue = [{"code": "AM", "until": "x"}, {"code": "B", "until": "y"}]
    labels: Labels = [
        {"path": ["ns", "driving"], "texts": {"en": "Categories"}},
        {"path": ["ns", "driving", None, "code"], "texts": {"en": "Category"}},
        {"path": ["ns", "driving", None, "until"], "texts": {"en": "Until"}},
        {"path": ["ns", "sign"], "texts": {"en": "Sign"}},
    ]
    claims: dict[str, JsonValue] = {"ns": {"sign": "AV", "driving": rights}}
    said: Any = claims_shown(claims, labels, locale="en")
    assert [(each["label"], each["text"]) for each in said] == [
        ("Category", "AM"), ("Until", "x"), ("Category", "B"), ("Until", "y"), ("Sign", "AV"),
    ]  # fmt: skip


def test_what_has_no_label_is_seen_all_the_same() -> None:
    """F-TM-09: a type that names some claims only hides none of the others."""
    labels: Labels = [
        {"path": ["ns", "driving", None, "code"], "texts": {"en": "Category"}},
        {"path": ["ns", "sign"], "texts": {"en": "Sign"}},
    ]
    claims: dict[str, JsonValue] = {
        "iss": "not shown",
        "ns": {"sign": "AV", "driving": [{"code": "B", "until": "y"}], "kind": "car"},
        "other": {"a": {"b": "c"}},
    }
    said: Any = claims_shown(claims, labels, locale="en")
    assert [(each["label"], each["value"]) for each in said] == [
        ("Category", "B"),
        ("ns driving until", "y"),
        ("Sign", "AV"),
        ("ns kind", "car"),
        ("other", {"a": {"b": "c"}}),
    ]


def test_the_wallet_shows_what_was_approved_and_nothing_else(world: WalletWorld) -> None:
    """HB-20 to HB-26, F-MD-09, Q-24: signed by the wallet's own signer for this session."""
    phone = world.phone_with(PID_MDOC)
    consent = phone.resolve(world.verifier.ask(OVER_18))
    [asked] = consent.model["credentials"]
    [option] = asked["options"]
    assert [(each["path"], each["value"]) for each in option["claims"]] == [
        ([PID_MDOC, "age_over_18"], True)
    ]
    assert option["always_disclosed"] == []
    assert phone.approve(consent).outcome == "shared"
    assert world.verifier.results[-1]["claims"] == {PID_MDOC: {"age_over_18": True}}


def test_the_citizen_chooses_the_format_without_knowing(world: WalletWorld) -> None:
    """Q-20 to Q-22: the verifier's first choice, of what there is."""
    phone = world.phone_with(PID_MDOC)
    assert phone.approve(phone.resolve(world.verifier.ask(EITHER))).outcome == "shared"
    assert world.verifier.results[-1]["claims"] == {PID_MDOC: {"age_over_18": True}}
    both = world.phone_with(PID_MDOC, PID)
    both.approve(both.resolve(world.verifier.ask(EITHER)))
    assert "age_equal_or_over" in world.verifier.results[-1]["claims"]


def other_key(text: str) -> str:
    value = opened(text)
    security = cbor.loads(cbor.unembed(value["issuerAuth"][2]))
    thief = cbor.loads(cose.encode_key(SoftwareKey.generate().public))
    security["deviceKeyInfo"] = {"deviceKey": thief}
    value["issuerAuth"][2] = cbor.embed(cbor.dumps(security))
    return closed(value)


@pytest.mark.parametrize(
    "tamper",
    [
        other_key,
        lambda text: text[:-8],
        lambda text: text + "AAAA",
        lambda text: b64url_encode(b64url_decode(text).replace(b"Erika", b"Irena")),
        lambda _: b64url_encode(b"\x81" * 10_000 + b"\0"),
        lambda text: b64url_encode(
            b64url_decode(text).replace(b"\x6anameSpaces", b"\x78\x0anameSpaces")
        ),
    ],
)
def test_an_mdoc_that_is_not_as_it_must_be_is_not_kept(
    world: WalletWorld, tamper: Callable[[str], str]
) -> None:
    """W-41, F-MD-01, F-MD-07: one bad copy, and none is kept."""
    world.issuer.tamper = lambda copies: [tamper(copies[0]), *copies[1:]]
    phone = world.new_phone()
    with pytest.raises(Refused):
        phone.receive(world.issuer.offer(PID_MDOC), TX_CODE)
    assert phone.cards() == []
