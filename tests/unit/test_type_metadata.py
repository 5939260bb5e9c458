"""shared/formats/type_metadata.py: documents, integrity, extends, and the rules of a type."""

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.errors import InvalidInput
from shared.formats import sd_jwt, sd_jwt_vc
from shared.formats.type_metadata import (
    TypeMetadata,
    WrongIntegrity,
    check_integrity,
    in_language,
    integrity,
    parse,
    resolve,
)
from tests.support.clock import NOW
from tests.support.credentials import (
    AUTHORITY,
    CLAIMS,
    ES256,
    IN_A_YEAR,
    ISSUER,
    MEMBERSHIP,
    VCT,
    document,
    metadata,
)
from tests.support.vectors import vector_json, vectors

FOLDER = "sd-jwt-vc/type-metadata"


def sri(algorithm: str, data: bytes) -> str:
    return f"{algorithm}-{base64.b64encode(hashlib.new(algorithm, data).digest()).decode()}"


def store(*documents: bytes) -> Callable[[str], bytes]:
    """A local store of types (F-TM-02)."""
    by_type = {json.loads(each)["vct"]: each for each in documents}
    return lambda vct: by_type[vct]


# ------------------------------------------------------------------- documents


@pytest.mark.vectors
def test_the_printed_document_is_read_whole() -> None:
    """F-TM-01, F-TM-05, F-TM-06: SD-JWT VC, section 6.1 and appendix B.2."""
    vct = "https://betelgeuse.example.com/education_credential"
    found = parse(vectors(f"{FOLDER}/education_credential.json").read_bytes(), vct=vct)
    assert found.extends == "https://galaxy.example.com/galactic-education-credential-0.9"
    assert found.extends_integrity == "sha256-ilOUJsTultOwLfz7QUcFALaRa3BP/jelX1ds04kB9yU="
    assert found.display is not None
    assert [each.locale for each in found.display] == ["en-US", "de-DE"]
    rendering = found.display[0].rendering
    assert rendering is not None
    assert rendering.simple is not None
    assert rendering.simple.logo is not None
    assert rendering.simple.logo.alt_text == "Betelgeuse Ministry of Education logo"
    assert rendering.simple.background_color == "#12107c"
    assert rendering.svg_templates[0].properties is not None
    assert rendering.svg_templates[0].properties.orientation == "landscape"
    rules = {each.path: each for each in found.claims}
    assert (rules[("name",)].sd, rules[("name",)].mandatory) == ("always", True)
    assert rules[("address", "street_address")].svg_id == "address_street_address"
    assert rules[("degrees", None)].sd == "always"
    assert rules[("degrees", None, "field_of_study")].display[0].label == "Studienfach"


@pytest.mark.vectors
def test_the_printed_credential_obeys_the_printed_type() -> None:
    """F-TM-08: SD-JWT VC, appendix B.2: what the Issuer withholds."""
    vct = "https://betelgeuse.example.com/education_credential"
    found = parse(vectors(f"{FOLDER}/education_credential.json").read_bytes(), vct=vct)
    claims = vector_json(f"{FOLDER}/example_payload.json")
    own = {name: value for name, value in claims.items() if not name.startswith("vct")}
    assert set(found.conceal(own)) == {
        ("name",),
        ("address",),
        ("address", "street_address"),
        ("degrees", None),
        ("degrees", None, "date_awarded"),
    }


@pytest.mark.vectors
def test_the_printed_extension_gives_the_printed_result() -> None:
    """F-TM-04: SD-JWT VC, section 9.5.2."""
    names = ("base", "child")
    documents = [vectors(f"{FOLDER}/extends_{each}.json").read_bytes() for each in names]
    found = resolve("https://example.com/custom-type-metadata", load=store(*documents))
    expected = vector_json(f"{FOLDER}/extends_effective.json")["claims"]
    assert [
        (list(each.path), [{"label": d.label, "locale": d.locale} for d in each.display])
        for each in found.claims
    ] == [(each["path"], each["display"]) for each in expected]


def test_unknown_members_are_ignored() -> None:
    """F-TM-01, C-32: SD-JWT VC, section 6.2."""
    found = parse(document(more={"a": 1}, claims=[{"path": ["a"], "more": 1}], display=[]), vct=VCT)
    assert found.claims[0].path == ("a",)
    assert found.claims[0].sd == "allowed"
    assert found.claims[0].mandatory is False


DISPLAY = {"locale": "en", "name": "Club card"}
TEMPLATE = {"uri": "https://a.example/card.svg"}

REFUSED: dict[str, bytes] = {
    "not JSON": b"text",
    "an array": b"[]",
    "no vct": b"{}",
    "another vct": document("urn:example:other:1"),
    "a name twice": b'{"vct":"urn:example:membership:1","name":"a","name":"b"}',
    "claims no array": document(claims={}),
    "no path": document(claims=[{}]),
    "an empty path": document(claims=[{"path": []}]),
    "a negative index": document(claims=[{"path": ["a", -1]}]),
    "true in a path": document(claims=[{"path": ["a", True]}]),
    "a path twice": document(claims=[{"path": ["a"]}, {"path": ["a"]}]),
    "sd unknown": document(claims=[{"path": ["a"], "sd": "maybe"}]),
    "mandatory as text": document(claims=[{"path": ["a"], "mandatory": "true"}]),
    "svg_id from a digit": document(claims=[{"path": ["a"], "svg_id": "1a"}]),
    "svg_id with a hyphen": document(claims=[{"path": ["a"], "svg_id": "a-b"}]),
    "svg_id twice": document(
        claims=[{"path": ["a"], "svg_id": "x"}, {"path": ["b"], "svg_id": "x"}]
    ),
    "a claim's display without label": document(
        claims=[{"path": ["a"], "display": [{"locale": "en"}]}]
    ),
    "display without locale": document(display=[{"name": "Card"}]),
    "display without name": document(display=[{"locale": "en"}]),
    "a locale that is none": document(display=[{"locale": "<b>", "name": "Card"}]),
    "a logo without uri": document(
        display=[{**DISPLAY, "rendering": {"simple": {"logo": {"alt_text": "a"}}}}]
    ),
    "a colour that is none": document(
        display=[{**DISPLAY, "rendering": {"simple": {"text_color": "red;} body{"}}}]
    ),
    "two templates without properties": document(
        display=[{**DISPLAY, "rendering": {"svg_templates": [TEMPLATE, TEMPLATE]}}]
    ),
    "empty properties": document(
        display=[{**DISPLAY, "rendering": {"svg_templates": [{**TEMPLATE, "properties": {}}]}}]
    ),
    "an orientation unknown": document(
        display=[
            {
                **DISPLAY,
                "rendering": {
                    "svg_templates": [{**TEMPLATE, "properties": {"orientation": "upside"}}]
                },
            }
        ]
    ),
    "a name of a thousand characters": document(display=[{"locale": "en", "name": "x" * 1000}]),
    "larger than 256 KiB": document(more="x" * 1000, less=["y" * 60_000] * 5),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED.keys())
def test_malformed_documents_are_refused(data: bytes) -> None:
    """F-TM-01, F-TM-05, F-TM-06, F-TM-09, C-31, S-20: SD-JWT VC, sections 6.2, 8 and 9."""
    with pytest.raises(InvalidInput):
        parse(data, vct=VCT)


@pytest.mark.parametrize(
    "colour", ["#fff", "#12107c", "#12107cff", "rgb(18, 16, 124)", "rgba(18 16 124 / 50%)"]
)
def test_rgb_colours_are_read(colour: str) -> None:
    """F-TM-05: SD-JWT VC, section 8.1.1."""
    data = document(display=[{**DISPLAY, "rendering": {"simple": {"background_color": colour}}}])
    assert parse(data, vct=VCT).display


# ------------------------------------------------------------------- integrity


def test_integrity_covers_the_exact_bytes() -> None:
    """F-TM-03: SD-JWT VC, section 7."""
    data = document()
    assert parse(data, vct=VCT, expected_integrity=integrity(data))
    with pytest.raises(WrongIntegrity):
        parse(data + b" ", vct=VCT, expected_integrity=integrity(data))


def test_all_three_hashes_are_known() -> None:
    """F-TM-03: sha256, sha384, sha512."""
    for algorithm in ("sha256", "sha384", "sha512"):
        check_integrity(b"data", sri(algorithm, b"data"))
        with pytest.raises(WrongIntegrity):
            check_integrity(b"data", sri(algorithm, b"other"))


def test_the_strongest_hash_wins() -> None:
    """F-TM-03: Subresource Integrity, section 3.3.5."""
    check_integrity(b"data", f"{sri('sha256', b'other')} {sri('sha512', b'data')}")
    with pytest.raises(WrongIntegrity):
        check_integrity(b"data", f"{sri('sha256', b'data')} {sri('sha512', b'other')}")
    check_integrity(b"data", f"{sri('sha384', b'other')} {sri('sha384', b'data')}?option")


@pytest.mark.parametrize("expected", ["", "md5-AAAA", "sha256", "sha256-***", "sha1-AAAA sha2-AA"])
def test_an_integrity_string_without_a_usable_hash_is_refused(expected: str) -> None:
    """F-TM-03: if present it must be verified."""
    with pytest.raises(WrongIntegrity):
        check_integrity(b"data", expected)


# --------------------------------------------------------------------- extends


def child(**members: Any) -> bytes:
    return document("urn:example:child:1", extends=VCT, **members)


def test_a_child_without_display_keeps_the_parents_and_with_one_replaces_it() -> None:
    """F-TM-04: SD-JWT VC, section 8.2."""
    parent = document(display=[DISPLAY])
    kept = resolve("urn:example:child:1", load=store(parent, child()))
    assert kept.display is not None
    assert kept.display[0].name == "Club card"
    other = [{"locale": "fr", "name": "Carte"}]
    replaced = resolve("urn:example:child:1", load=store(parent, child(display=other)))
    assert replaced.display is not None
    assert [each.locale for each in replaced.display] == ["fr"]
    assert replaced.vct == "urn:example:child:1"


def rules(parent: dict[str, Any], changed: dict[str, Any]) -> TypeMetadata:
    return resolve(
        "urn:example:child:1",
        load=store(
            document(claims=[{"path": ["a"], **parent}]), child(claims=[{"path": ["a"], **changed}])
        ),
    )


@pytest.mark.parametrize(
    ("parent", "changed", "expected"),
    [
        ({}, {"sd": "always"}, ("always", False)),
        ({"sd": "allowed"}, {"sd": "never", "mandatory": True}, ("never", True)),
        ({"sd": "always"}, {"sd": "always"}, ("always", False)),
        ({"sd": "always", "mandatory": True}, {}, ("always", True)),
        ({"sd": "never"}, {"mandatory": True}, ("never", True)),
    ],
)
def test_a_child_may_tighten_a_rule(
    parent: dict[str, Any], changed: dict[str, Any], expected: tuple[str, bool]
) -> None:
    """F-TM-04: SD-JWT VC, section 9.5.1; what the child leaves unsaid stays."""
    found = rules(parent, changed).claims[0]
    assert (found.sd, found.mandatory) == expected


@pytest.mark.parametrize(
    ("parent", "changed"),
    [
        ({"sd": "always"}, {"sd": "never"}),
        ({"sd": "always"}, {"sd": "allowed"}),
        ({"sd": "never"}, {"sd": "always"}),
        ({"mandatory": True}, {"mandatory": False}),
    ],
)
def test_a_child_may_not_loosen_one(parent: dict[str, Any], changed: dict[str, Any]) -> None:
    """F-TM-04: SD-JWT VC, section 9.5.1."""
    with pytest.raises(InvalidInput):
        rules(parent, changed)


def test_an_inherited_svg_id_may_not_be_taken_by_another_claim() -> None:
    """F-TM-06: unique within the type."""
    documents = (
        document(claims=[{"path": ["a"], "svg_id": "x"}]),
        child(claims=[{"path": ["b"], "svg_id": "x"}]),
    )
    with pytest.raises(InvalidInput):
        resolve("urn:example:child:1", load=store(*documents))


def test_the_integrity_of_every_parent_is_checked() -> None:
    """F-TM-03, F-TM-04: `extends#integrity`."""
    parent = document()
    good = child(**{"extends#integrity": integrity(parent)})
    assert resolve(
        "urn:example:child:1", load=store(parent, good), expected_integrity=integrity(good)
    )
    bad = child(**{"extends#integrity": integrity(b"other")})
    with pytest.raises(WrongIntegrity):
        resolve("urn:example:child:1", load=store(parent, bad))


def ladder(steps: int) -> list[bytes]:
    return [
        document(f"urn:t:{each}", **({"extends": f"urn:t:{each + 1}"} if each < steps - 1 else {}))
        for each in range(steps)
    ]


def test_five_levels_are_followed_and_six_are_not() -> None:
    """F-TM-04: depth limit."""
    assert resolve("urn:t:0", load=store(*ladder(5))).vct == "urn:t:0"
    with pytest.raises(InvalidInput):
        resolve("urn:t:0", load=store(*ladder(6)))


def test_circles_are_refused() -> None:
    """F-TM-04: SD-JWT VC, section 10.3."""
    itself = document(extends=VCT)
    with pytest.raises(InvalidInput):
        resolve(VCT, load=store(itself))
    two = (document(extends="urn:example:child:1"), child())
    with pytest.raises(InvalidInput):
        resolve(VCT, load=store(*two))


def test_a_parent_of_another_type_than_named_is_refused() -> None:
    """F-TM-01, F-TM-04: identical to the reference it was fetched for."""
    with pytest.raises(InvalidInput):
        resolve("urn:example:child:1", load=lambda _: child())


# ------------------------------------------------------------------ at issuance


def test_always_and_allowed_claims_are_withheld_and_never_ones_are_not() -> None:
    """F-TM-08, F-TM-06: SD-JWT VC, section 9.4; as little as possible in the clear (I-116)."""
    found = metadata(
        {"path": ["a"], "sd": "always"},
        {"path": ["b"], "sd": "never"},
        {"path": ["c"]},
        {"path": ["list", None], "sd": "always"},
        {"path": ["list"], "sd": "never"},
        {"path": ["absent"], "sd": "always"},
        {"path": ["absent", "deep"], "sd": "always"},
        {"path": ["vct"], "sd": "never", "mandatory": True},
    )
    claims: dict[str, Any] = {"a": 1, "b": 2, "c": 3, "list": [4], "unmentioned": 5}
    assert set(found.conceal(claims)) == {("a",), ("c",), ("list", None), ("unmentioned",)}


@pytest.mark.parametrize(
    ("path", "claims"),
    [
        (["a"], {}),
        (["a", "b"], {"a": {}}),
        (["a", "b"], {"a": "text"}),
        (["list", None, "a"], {"list": []}),
        (["list", 1], {"list": [1]}),
    ],
)
def test_a_missing_mandatory_claim_is_not_issued(path: list[Any], claims: dict[str, Any]) -> None:
    """F-TM-08: SD-JWT VC, section 9.3."""
    with pytest.raises(InvalidInput):
        metadata({"path": path, "mandatory": True}).conceal(claims)
    assert metadata({"path": path}).conceal(claims) is not None


def test_a_claim_is_withheld_itself_and_not_because_its_parent_is() -> None:
    """F-TM-08: SD-JWT VC, section 9.4: each `always` is a Disclosure of its own."""
    text = sd_jwt_vc.issue(
        CLAIMS,
        vct=VCT,
        conceal=MEMBERSHIP.conceal(CLAIMS),
        holder=None,
        status=None,
        issued_at=NOW,
        expires_at=IN_A_YEAR,
        signer=ISSUER,
    )
    found = sd_jwt_vc.verify(text, anchors=AUTHORITY.anchors, now=NOW, algorithms=ES256)
    withheld = {path for path, _ in found.sd_jwt.disclosed}
    assert {("address",), ("address", "locality"), ("nationalities", 1)} <= withheld
    assert withheld.isdisjoint({("nationalities",), ("level",)})
    bare = sd_jwt.parse(text).issuer_jwt + "~"
    shown = sd_jwt_vc.verify(bare, anchors=AUTHORITY.anchors, now=NOW, algorithms=ES256).claims
    assert set(shown) & set(CLAIMS) == {"nationalities", "level"}
    assert shown["nationalities"] == []


# ------------------------------------------------------------------- languages


@pytest.mark.parametrize(
    ("languages", "locale"),
    [
        (["de"], "de-DE"),
        (["de-AT"], "de-DE"),
        (["fr-CA", "en"], "fr"),
        (["EN-us"], "en-US"),
        (["ja", "de"], "de-DE"),
        (["ja"], "en-US"),
        ([], "en-US"),
        (["d"], "en-US"),
    ],
)
def test_the_best_language_is_chosen(languages: list[str], locale: str) -> None:
    """F-TM-05: SD-JWT VC, section 8: what fits the person best."""
    display = [{"locale": each, "name": "x"} for each in ("en-US", "de-DE", "fr")]
    found = parse(document(display=display), vct=VCT).display
    assert found is not None
    chosen = in_language(found, languages)
    assert chosen is not None
    assert chosen.locale == locale


def test_without_texts_there_is_none() -> None:
    """F-TM-05: display is optional."""
    assert in_language(parse(document(display=[]), vct=VCT).display or (), ["en"]) is None
