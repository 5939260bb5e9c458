"""shared/formats/sd_jwt.py: issue, verify, present; every refusal of RFC 9901, section 7.1."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode, b64url_encode, parse_json_object
from shared.errors import BadSignature, InvalidInput, VerificationError, WrongDigest
from shared.formats import sd_jwt
from shared.formats.sd_jwt import Disclosure, VerifiedSdJwt, digest
from shared.jose import jws
from tests.support.clock import CountingBytes
from tests.support.credentials import CLAIMS, ES256, compact, disclosure

KEY = SoftwareKey.generate()
TYP = "example+sd-jwt"
EVERYTHING = (
    ("given_name",),
    ("address",),
    ("address", "locality"),
    ("nationalities", None),
    ("level",),
)


def issued(claims: Any = None, conceal: Any = EVERYTHING, **options: Any) -> str:
    return sd_jwt.issue(
        CLAIMS if claims is None else claims, conceal=conceal, typ=TYP, signer=KEY, **options
    )


def verified(text: str, **options: Any) -> VerifiedSdJwt:
    return sd_jwt.verify(text, **{"key": KEY.public, "typ": TYP, "algorithms": ES256, **options})


def signed(payload: Any, *disclosures: str) -> str:
    """An SD-JWT with any payload and any Disclosures."""
    return compact(jws.sign_jwt(payload, typ=TYP, signer=KEY), *disclosures)


def payload_of(text: str) -> dict[str, Any]:
    return dict(parse_json_object(b64url_decode(text.split(".")[1]), max_bytes=10**6))


# ---------------------------------------------------------------- Disclosures


def test_digest_covers_the_encoded_disclosure() -> None:
    """F-SD-02, F-SD-03: RFC 9901, section 4.2.3: over the base64url text, not over the JSON."""
    found = Disclosure.parse(
        "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0"
    )
    assert (found.name, found.value) == ("family_name", "Möbius")
    assert found.digest() == "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0"


@pytest.mark.parametrize(
    "text",
    [
        "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNXHUwMGY2Yml1cyJd",
        "WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsImZhbWlseV9uYW1lIiwiTcO2Yml1cyJd",
        "WwoiXzI2YmM0TFQtYWM2cTJLSTZjQlc1ZXMiLAoiZmFtaWx5X25hbWUiLAoiTcO2Yml1cyIKXQ",
    ],
)
def test_other_spellings_of_a_disclosure_mean_the_same_with_another_digest(text: str) -> None:
    """F-SD-03, C-34: RFC 9901, section 4.2.1: the variation the Issuer chose is what is signed."""
    found = Disclosure.parse(text)
    assert (found.name, found.value) == ("family_name", "Möbius")
    assert found.digest() != "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0"


def test_the_disclosure_of_an_array_element_has_two_members() -> None:
    """F-SD-02: RFC 9901, section 4.2.2 and 4.2.4.2."""
    found = Disclosure.parse("WyJsa2x4RjVqTVlsR1RQVW92TU5JdkNBIiwgIkZSIl0")
    assert (found.salt, found.name, found.value) == ("lklxF5jMYlGTPUovMNIvCA", None, "FR")
    assert found.digest() == "w0I8EKcdCtUPkGCNUrfwVp2xEgNjtoIDlOxc9-PlOhs"


@pytest.mark.parametrize(
    "text",
    [
        disclosure(),
        disclosure("salt"),
        disclosure("salt", "name", 1, 2),
        disclosure(1, "name", "value"),
        disclosure("salt", None, "value"),
        disclosure("salt", 1, "value"),
        b64url_encode(b'{"salt":"name"}'),
        b64url_encode(b"not JSON"),
        b64url_encode(b'["salt","name",{"a":1,"a":2}]'),
        disclosure("salt", "name", "value") + "=",
        "!!",
    ],
)
def test_malformed_disclosures_are_refused(text: str) -> None:
    """F-SD-02, C-30, C-31: RFC 9901, sections 4.2.1 and 4.2.2."""
    with pytest.raises(InvalidInput):
        Disclosure.parse(text)


# ------------------------------------------------------------------- splitting


def test_an_sd_jwt_ends_in_a_tilde_and_one_with_a_kb_jwt_does_not() -> None:
    """F-SD-01: RFC 9901, section 4."""
    plain, bound = sd_jwt.parse("a.b.c~D1~D2~"), sd_jwt.parse("a.b.c~D1~D2~x.y.z")
    assert (plain.issuer_jwt, plain.disclosures, plain.kb_jwt) == ("a.b.c", ("D1", "D2"), None)
    assert bound.kb_jwt == "x.y.z"
    assert plain.presented == bound.presented == "a.b.c~D1~D2~"
    assert sd_jwt.parse("a.b.c~").disclosures == ()


@pytest.mark.parametrize(
    "text", ["", "a.b.c", "~", "~D1~", "a.b.c~~", "a.b.c~D1~~D2~", "a.b.c~" + "D~" * 501]
)
def test_what_is_not_split_into_full_parts_is_refused(text: str) -> None:
    """F-SD-01, S-21: RFC 9901, section 4; at most 500 Disclosures."""
    with pytest.raises(InvalidInput):
        sd_jwt.parse(text)


def test_a_text_over_the_limit_is_refused_unread() -> None:
    """S-20: size limits come first."""
    text = "a.b.c~"
    assert sd_jwt.parse(text, max_bytes=6)
    with pytest.raises(InvalidInput):
        sd_jwt.parse(text, max_bytes=5)


# --------------------------------------------------------------------- issuing


def test_what_is_issued_verifies_to_the_same_claims() -> None:
    """F-SD-06, F-SD-07: flat, structured, recursive and array Disclosures."""
    found = verified(issued())
    assert found.claims == CLAIMS
    assert found.in_place == CLAIMS
    assert {path for path, _ in found.disclosed} == {
        ("given_name",),
        ("address",),
        ("address", "locality"),
        ("nationalities", 0),
        ("nationalities", 1),
        ("nationalities", 2),
        ("level",),
    }


def test_a_payload_holds_digests_where_claims_were() -> None:
    """F-SD-02, F-SD-05: RFC 9901, sections 4.1.1 and 4.2.4."""
    text = issued()
    payload = payload_of(text)
    assert payload["_sd_alg"] == "sha-256"
    assert sorted(payload) == ["_sd", "_sd_alg", "birthdate", "family_name", "nationalities"]
    assert len(payload["_sd"]) == 3
    assert payload["_sd"] == sorted(payload["_sd"])
    assert [list(each) for each in payload["nationalities"]] == [["..."]] * 3
    by_digest = {digest(each): Disclosure.parse(each) for each in text.split("~")[1:-1]}
    address = next(each for each in by_digest.values() if each.name == "address")
    assert isinstance(address.value, dict)
    assert set(address.value) == {"country", "street_address", "_sd"}


def test_without_concealed_claims_there_is_no_sd() -> None:
    """F-VC-03, F-SD-05: RFC 9901, section 4.2.4.1: an empty _sd is omitted."""
    text = issued(conceal=())
    assert text.count("~") == 1
    assert payload_of(text) == CLAIMS


def test_every_salt_is_fresh_and_of_128_bits_or_more() -> None:
    """F-SD-04, S-01: RFC 9901, section 9.3; also for many claims and across copies."""
    claims = {f"claim_{number}": number for number in range(40)}
    conceal = [(name,) for name in claims]
    salts = [
        Disclosure.parse(each).salt
        for text in (issued(claims, conceal), issued(claims, conceal))
        for each in text.split("~")[1:-1]
    ]
    assert len(set(salts)) == 80
    assert min(len(b64url_decode(each)) for each in salts) >= 16


def test_salts_come_from_the_given_source_of_chance() -> None:
    """F-SD-04: equal chance gives equal Disclosures, so nothing else is mixed in."""
    one, two = (issued(random_bytes=CountingBytes("x")).split("~")[1:] for _ in range(2))
    assert one == two


def test_decoys_look_like_digests_and_match_nothing() -> None:
    """F-SD-06: RFC 9901, section 4.2.5."""
    text = issued(conceal=(("given_name",),), decoys=4)
    digests = payload_of(text)["_sd"]
    assert len(set(digests)) == 5
    assert {len(each) for each in digests} == {43}
    assert digests == sorted(digests)
    assert verified(text).claims == CLAIMS


def test_index_and_wildcard_may_both_conceal_one_element() -> None:
    """F-SD-06: RFC 9901, section 4.2.6: recursive, in arrays of objects."""
    claims = {"list": [{"a": 1, "b": 2}, {"a": 3}]}
    conceal = (("list", None, "a"), ("list", 0), ("list", 0, "b"), ("list",))
    found = verified(issued(claims, conceal))
    assert found.claims == claims
    assert {path for path, _ in found.disclosed} == {
        ("list",),
        ("list", 0),
        ("list", 0, "a"),
        ("list", 0, "b"),
        ("list", 1, "a"),
    }


@pytest.mark.parametrize("conceal", [("nothing",), ("address", "planet"), ("nationalities", 7)])
def test_concealing_what_is_not_there_is_refused(conceal: Any) -> None:
    """F-SD-05: a typing error in a path must not reveal the claim."""
    with pytest.raises(InvalidInput):
        issued(conceal=(conceal,))


@pytest.mark.parametrize(
    "claims",
    [{"_sd": ["x"]}, {"...": "x"}, {"_sd_alg": "sha-256"}, {"a": {"_sd": []}}, {"a": [{"...": 1}]}],
)
def test_claims_with_reserved_names_are_not_issued(claims: Any) -> None:
    """F-SD-05: RFC 9901, section 4.1."""
    with pytest.raises(InvalidInput):
        issued(claims, ())


def test_further_header_parameters_are_signed() -> None:
    """RFC 9901, section 4.1: the JOSE header is the application's."""
    assert verified(issued(header={"kid": "k-1"})).header["kid"] == "k-1"


# ------------------------------------------------------------------- verifying


def test_a_withheld_claim_is_not_there_and_a_hidden_element_leaves_no_gap() -> None:
    """F-SD-07: RFC 9901, section 7.1, steps 3.4 and 3.5."""
    text = issued({"list": ["a", "b", "c"], "name": "x"}, (("list", None), ("name",)))
    jwt, *disclosures, _ = text.split("~")
    shown = [each for each in disclosures if Disclosure.parse(each).value in {"a", "c"}]
    found = verified(compact(jwt, *shown))
    assert found.claims == {"list": ["a", "c"]}
    assert isinstance(found.in_place["list"], list)
    assert found.in_place["list"][2] == "c"
    assert [path for path, _ in found.disclosed] == [("list", 0), ("list", 1)]


def test_an_object_without_disclosed_claims_is_empty() -> None:
    """F-SD-07: RFC 9901, section 7.1, step 3.5."""
    text = issued({"address": {"locality": "Köln"}}, (("address", "locality"),))
    assert verified(compact(text.split("~")[0])).claims == {"address": {}}


def test_the_default_hash_is_sha_256() -> None:
    """F-SD-05: RFC 9901, section 4.1.1."""
    text = disclosure("salt", "a", 1)
    assert verified(signed({"_sd": [digest(text)]}, text)).claims == {"a": 1}


@pytest.mark.parametrize("algorithm", ["sha-384", "sha-512"])
def test_stronger_hashes_are_read(algorithm: str) -> None:
    """C-02: accepted on input."""
    text = disclosure("salt", "a", 1)
    found = verified(signed({"_sd_alg": algorithm, "_sd": [digest(text, algorithm)]}, text))
    assert (found.claims, found.hash_algorithm) == ({"a": 1}, algorithm)


@pytest.mark.parametrize("algorithm", ["sha-256-32", "md5", "SHA-256", "", 256, None, ["sha-256"]])
def test_unknown_and_weak_hashes_are_refused(algorithm: Any) -> None:
    """C-02, F-SD-07: RFC 9901, section 7.1, step 2.4; section 9.4."""
    with pytest.raises(WrongDigest):
        verified(signed({"_sd_alg": algorithm, "_sd": []}))


ONE, TWO = disclosure("salt-1", "a", 1), disclosure("salt-2", "b", 2)
ELEMENT = disclosure("salt-3", "element")

REFUSED: dict[str, Callable[[], str]] = {
    "a Disclosure without a digest (step 5)": lambda: signed({"a": 1}, ONE),
    "a Disclosure twice (step 5)": lambda: signed({"_sd": [digest(ONE)]}, ONE, ONE),
    "a digest twice in one _sd (step 4)": lambda: signed({"_sd": [digest(ONE)] * 2}, ONE),
    "a digest twice at two levels (step 4)": lambda: signed(
        {"_sd": [digest(ONE)], "deep": {"_sd": [digest(ONE)]}}, ONE
    ),
    "a decoy twice (step 4)": lambda: signed({"_sd": ["decoy", "decoy"]}),
    "a digest in _sd and in an array (step 4)": lambda: signed(
        {"_sd": ["decoy"], "list": [{"...": "decoy"}]}
    ),
    "an element's Disclosure for a claim (step 3.3.2.1)": lambda: signed(
        {"_sd": [digest(ELEMENT)]}, ELEMENT
    ),
    "a claim's Disclosure for an element (step 3.3.3.1)": lambda: signed(
        {"list": [{"...": digest(ONE)}]}, ONE
    ),
    "a claim name that is a number (section 4.2.1)": lambda: signed(
        {"_sd": [digest(disclosure("salt", 1, "a"))]}, disclosure("salt", 1, "a")
    ),
    "a digest nested where escapes hide it": lambda: compact(
        jws.sign_jwt({"deep": {"_sd": ["decoy"] * 2}, "text": "\\"}, typ=TYP, signer=KEY)
    ),
    "a claim name already there (step 3.3.2.3)": lambda: signed(
        {"a": 0, "_sd": [digest(ONE)]}, ONE
    ),
    "two Disclosures of one name (step 3.3.2.3)": lambda: signed(
        {"_sd": [digest(ONE), digest(disclosure("other", "a", 2))]},
        ONE,
        disclosure("other", "a", 2),
    ),
    "an element with another member (section 4.2.4.2)": lambda: signed(
        {"list": [{"...": digest(ELEMENT), "more": 1}]}, ELEMENT
    ),
    "an element whose digest is no string": lambda: signed({"list": [{"...": 1}]}),
    "_sd that is no array": lambda: signed({"_sd": digest(ONE)}, ONE),
    "_sd with something else than strings": lambda: signed({"_sd": [1]}),
    "_sd_alg below the top": lambda: signed({"deep": {"_sd_alg": "sha-256"}}),
    "... as a claim": lambda: signed({"...": "digest"}),
}


@pytest.mark.parametrize("make", REFUSED.values(), ids=REFUSED.keys())
def test_disclosures_and_digests_that_do_not_fit_are_refused(make: Callable[[], str]) -> None:
    """F-SD-07: RFC 9901, section 7.1, steps 3 to 5."""
    with pytest.raises(WrongDigest) as caught:
        verified(make())
    assert caught.value.reason == "digest"


@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_a_disclosed_claim_may_not_have_a_reserved_name(name: str) -> None:
    """F-SD-07: RFC 9901, section 7.1, step 3.3.2.2."""
    text = disclosure("salt", name, "value")
    with pytest.raises(WrongDigest):
        verified(signed({"_sd": [digest(text)]}, text))


def test_a_claim_only_counts_if_its_digest_is_reached_from_the_signature() -> None:
    """F-SD-08: RFC 9901, section 9.2: a digest in an unreferenced Disclosure counts for nothing."""
    inner = disclosure("salt", "admin", True)
    outer = disclosure("salt", "role", {"_sd": [digest(inner)]})
    assert verified(signed({"_sd": [digest(outer)]}, outer, inner)).claims == {
        "role": {"admin": True}
    }
    with pytest.raises(WrongDigest):
        verified(signed({"_sd": ["another"]}, outer, inner))


def test_a_child_without_its_parent_is_refused() -> None:
    """F-SD-09: RFC 9901, section 4.2.6."""
    text = issued({"address": {"locality": "Köln"}}, (("address",), ("address", "locality")))
    jwt, *disclosures, _ = text.split("~")
    child = next(each for each in disclosures if Disclosure.parse(each).name == "locality")
    with pytest.raises(WrongDigest):
        verified(compact(jwt, child))


def nested(levels: int) -> str:
    texts = [disclosure("salt", "end", 1)]
    for _ in range(levels - 1):
        texts.append(disclosure("salt", "next", {"_sd": [digest(texts[-1])]}))
    return signed({"_sd": [digest(texts[-1])]}, *texts)


def test_disclosures_nest_eight_deep_and_no_deeper() -> None:
    """S-21: recursion at most 8."""
    assert verified(nested(8)).claims
    with pytest.raises(InvalidInput):
        verified(nested(9))


def test_signature_key_algorithm_and_typ_are_all_checked() -> None:
    """F-SD-07, C-03, S-04: RFC 9901, section 7.1, step 2."""
    text = issued()
    jwt, rest = text.split("~", 1)
    with pytest.raises(BadSignature):
        verified(f"{jwt[:-2]}{'AA' if jwt[-2:] != 'AA' else 'BA'}~{rest}")
    with pytest.raises(BadSignature):
        verified(text, key=SoftwareKey.generate().public)
    with pytest.raises(BadSignature):
        verified(text, algorithms=frozenset({"ES384"}))
    with pytest.raises(BadSignature):
        verified(text, typ="dc+sd-jwt")


def test_a_changed_disclosure_is_refused() -> None:
    """F-SD-07: RFC 9901, section 9.2."""
    text = issued({"a": "yes"}, (("a",),))
    jwt, found, _ = text.split("~")
    salt, name, _ = json.loads(b64url_decode(found))
    with pytest.raises(WrongDigest):
        verified(compact(jwt, disclosure(salt, name, "no")))


def test_a_disclosure_outside_of_ascii_raises_nothing_but_ours() -> None:
    """C-30: a parser raises only our errors."""
    text = issued({"a": 1}, ())
    with pytest.raises((InvalidInput, VerificationError)):
        verified(text + "ü~")


# ------------------------------------------------------------------ presenting


def shown(paths: Any, *, claims: Any = None, conceal: Any = EVERYTHING) -> dict[str, Any]:
    text = sd_jwt.present(verified(issued(claims, conceal)), paths=paths)
    assert text.endswith("~")
    return verified(text).claims


def test_presenting_nothing_shows_what_cannot_be_withheld() -> None:
    """F-CP-03, Q-13: no claims asked for, nothing disclosed."""
    assert shown([]) == {
        "family_name": "Möbius",
        "birthdate": "1964-08-12",
        "nationalities": [],
    }


def test_a_claim_brings_its_ancestors_and_nothing_beside_them() -> None:
    """F-SD-09, F-CP-03: RFC 9901, section 7.2: all ancestors that are withheld."""
    assert shown([("address", "locality")])["address"] == {
        "locality": "Köln",
        "country": "DE",
        "street_address": "Heidestraße 17",
    }
    strict = (*EVERYTHING, ("address", "country"), ("address", "street_address"))
    found = shown([("address", "locality")], conceal=strict)
    assert found["address"] == {"locality": "Köln"}


def test_an_object_or_array_as_a_whole_brings_everything_below_it() -> None:
    """F-CP-03: all descendants that are withheld."""
    assert shown([("address",)])["address"] == CLAIMS["address"]
    assert shown([("nationalities",)])["nationalities"] == CLAIMS["nationalities"]


def test_single_elements_are_shown_by_index() -> None:
    """F-CP-03: an element of an array is one Disclosure."""
    assert shown([("nationalities", 1)])["nationalities"] == ["FR"]
    assert shown([("nationalities", None)])["nationalities"] == ["DE", "FR", "IS"]


def test_paths_inside_hidden_arrays_bring_element_and_member() -> None:
    """F-SD-09: element and member are both withheld."""
    claims = {"list": [{"a": 1, "b": 2}, {"a": 3, "b": 4}]}
    conceal = (("list",), ("list", None), ("list", None, "a"), ("list", None, "b"))
    assert shown([("list", 1, "b")], claims=claims, conceal=conceal) == {"list": [{"b": 4}]}


def test_a_path_that_leads_nowhere_is_not_presented() -> None:
    """F-CP-01: the wallet says so instead of showing less."""
    with pytest.raises(InvalidInput):
        shown([("planet",)])


def test_presented_disclosures_keep_the_issuers_bytes() -> None:
    """C-34: copied as received."""
    text = issued()
    presented = sd_jwt.present(verified(text), paths=[("given_name",), ("level",)])
    assert set(presented.split("~")) < set(text.split("~"))
