"""The official examples of RFC 9901 and SD-JWT VC: read exactly as printed.

Bulk vectors come from ../shared/specs/vectors; a few short ones stand in test_sd_jwt.py.
"""

from datetime import UTC, datetime
from typing import Any

import pytest
import yaml

from shared.crypto.keys import PublicKey
from shared.encoding import dump_json
from shared.errors import BadSignature, WrongAudience, WrongNonce, WrongSdHash
from shared.formats import kb_jwt, sd_jwt
from shared.formats.sd_jwt import Disclosure, VerifiedSdJwt
from shared.jose.jws import Jwt
from tests.support.credentials import ES256
from tests.support.vectors import vector_json, vector_text

pytestmark = pytest.mark.vectors

RFC = "sd-jwt-rfc9901"
VC = "sd-jwt-vc"
TYPES = ("example+sd-jwt", "dc+sd-jwt")
ISSUED = [f"{RFC}/simple", f"{RFC}/arf-pid", f"{RFC}/jsonld", f"{VC}/01", f"{VC}/03-pid"]
PRESENTED = [*ISSUED, f"{RFC}/complex_ekyc", f"{RFC}/simple_structured", f"{VC}/02"]
BOUND = [f"{RFC}/simple", f"{RFC}/arf-pid", f"{VC}/01", f"{VC}/03-pid"]
NONCE = "1234567890"
AUDIENCES = {RFC: "https://verifier.example.org", VC: "https://example.com/verifier"}


def key(example: str, who: str) -> PublicKey:
    jwk = vector_json(f"{example.split('/', maxsplit=1)[0]}/keys.json")[who]
    return PublicKey.from_jwk({name: jwk[name] for name in ("kty", "crv", "x", "y")})


def verified(example: str, kind: str) -> VerifiedSdJwt:
    text = "".join(vector_text(f"{example}/sd_jwt_{kind}.txt").split())
    return sd_jwt.verify(text, key=key(example, "issuer"), typ=TYPES, algorithms=ES256)


def test_every_printed_disclosure_hashes_to_the_printed_digest() -> None:
    """F-SD-03: RFC 9901, sections 4.2.1 to 4.2.3."""
    for each in vector_json(f"{RFC}/disclosure_hashing.json"):
        found = Disclosure.parse(each["disclosure"])
        assert [part for part in (found.salt, found.name) if part] == each["contents"][:-1]
        assert found.value == each["contents"][-1]
        assert found.digest() == each["sha-256"]
        for other in each.get("equivalent_encodings", []):
            assert Disclosure.parse(other).value == found.value


@pytest.mark.parametrize("example", ISSUED)
def test_issued_examples_verify_to_the_claims_they_were_made_of(example: str) -> None:
    """F-SD-07: RFC 9901, section 5.1 and appendix A; SD-JWT VC, section 3.3 and appendix B."""
    found = verified(example, "issuance")
    for name, value in vector_json(f"{example}/user_claims.json").items():
        folded = name == "portrait"  # the printed JSON breaks this long string into lines
        assert found.claims[name] == (value.replace(" ", "") if folded else value)
    listed = vector_json(f"{example}/disclosures.json")
    assert {text for _, text in found.disclosed} == {each["disclosure"] for each in listed}
    for each in listed:
        assert Disclosure.parse(each["disclosure"]).digest() == each["digest"]


@pytest.mark.parametrize("example", PRESENTED)
def test_presented_examples_verify_to_the_printed_contents(example: str) -> None:
    """F-SD-07, F-SD-08: RFC 9901, section 5.2 and appendix A; SD-JWT VC, section 4.3."""
    assert verified(example, "presentation").claims == vector_json(
        f"{example}/verified_contents.json"
    )


@pytest.mark.parametrize("example", PRESENTED)
def test_presented_examples_are_refused_with_another_key(example: str) -> None:
    """F-SD-07: the refused twin."""
    text = "".join(vector_text(f"{example}/sd_jwt_presentation.txt").split())
    with pytest.raises(BadSignature):
        sd_jwt.verify(text, key=key(example, "holder"), typ=TYPES, algorithms=ES256)


def wanted(selection: Any, value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of `holder_disclosed_claims`, where true means this claim with all below it."""
    if selection is True:
        return [path]
    if isinstance(selection, dict):
        return [
            each
            for name, below in selection.items()
            for each in wanted(below, value, (*path, name))
        ]
    if isinstance(selection, list):
        return [
            each for at, below in enumerate(selection) for each in wanted(below, value, (*path, at))
        ]
    return []


@pytest.mark.parametrize("example", ISSUED)
def test_presenting_the_issued_example_gives_the_printed_contents(example: str) -> None:
    """F-CP-03, F-SD-09: RFC 9901, section 5.2: the same selection shows the same claims."""
    chosen = yaml.load(vector_text(f"{example}/specification.yml"), _Specification)  # noqa: S506  a SafeLoader
    issued = verified(example, "issuance")
    paths = wanted(chosen["holder_disclosed_claims"], issued.claims)
    again = sd_jwt.verify(
        sd_jwt.present(issued, paths=paths),
        key=key(example, "issuer"),
        typ=TYPES,
        algorithms=ES256,
    )
    assert again.claims == vector_json(f"{example}/verified_contents.json")


class _Specification(yaml.SafeLoader):
    """Reads the mark `!sd` of the vectors as nothing."""


def _plain(loader: yaml.SafeLoader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.MappingNode):
        return {str(k): v for k, v in loader.construct_mapping(node, deep=True).items()}
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node, deep=True)
    assert isinstance(node, yaml.ScalarNode)
    return loader.construct_scalar(node)


_Specification.add_constructor("!sd", _plain)


@pytest.mark.parametrize("example", BOUND)
def test_printed_kb_jwts_verify_and_only_for_their_transaction(example: str) -> None:
    """HB-01, HB-02, HB-05: RFC 9901, section 5.2; SD-JWT VC, section 4.3."""
    found = verified(example, "presentation")
    audience = AUDIENCES[example.partition("/")[0]]
    payload = vector_json(f"{example}/kb_jwt_payload.json") if example != f"{VC}/01" else None
    issued_at = datetime.fromtimestamp(payload["iat"], UTC) if payload else kb_issued_at(found)
    expected: dict[str, Any] = {
        "key": key(example, "holder"),
        "audience": audience,
        "nonce": NONCE,
        "now": issued_at,
        "algorithms": ES256,
    }
    assert kb_jwt.verify(found.sd_jwt, **expected).issued_at == issued_at
    if payload:
        assert kb_jwt.sd_hash(found.sd_jwt.presented) == payload["sd_hash"]
    with pytest.raises(WrongNonce):
        kb_jwt.verify(found.sd_jwt, **{**expected, "nonce": "another"})
    with pytest.raises(WrongAudience):
        kb_jwt.verify(found.sd_jwt, **{**expected, "audience": audience + "/"})
    fewer = sd_jwt.SdJwt(found.sd_jwt.issuer_jwt, found.sd_jwt.disclosures[1:], found.sd_jwt.kb_jwt)
    with pytest.raises(WrongSdHash):
        kb_jwt.verify(fewer, **expected)


def kb_issued_at(found: VerifiedSdJwt) -> datetime:
    from shared.jose.jws import parse_jws

    assert found.sd_jwt.kb_jwt is not None
    claims = parse_jws(found.sd_jwt.kb_jwt, max_bytes=10_000).unverified_claims()
    assert isinstance(claims["iat"], int)
    return datetime.fromtimestamp(claims["iat"], UTC)


@pytest.mark.parametrize(
    "example",
    [
        "address_only_flat",
        "address_only_recursive",
        "address_only_structured",
        "address_only_structured_one_open",
        "complex_ekyc",
        "simple_structured",
    ],
)
def test_printed_payloads_withhold_everything_without_disclosures(example: str) -> None:
    """F-SD-07: RFC 9901, section 6 and appendix A: payloads with nothing disclosed."""
    payload = vector_json(f"{RFC}/{example}/sd_jwt_payload.json")
    jwt = Jwt({}, payload, dump_json(payload))
    found = sd_jwt.process(sd_jwt.SdJwt("a.b.c", (), None), jwt)
    assert found.disclosed == ()
    assert "_sd" not in str(found.claims)


def test_the_referenced_token_of_the_status_list_draft_verifies() -> None:
    """ST-30: Token Status List, section 6.2: an SD-JWT with a status reference."""
    from shared.formats.status_list import StatusReference, status_reference

    text = "".join(vector_text("token-status-list/referenced_token_sd_jwt.txt").split())
    found = sd_jwt.verify(text, key=key(f"{RFC}/x", "issuer"), typ=TYPES, algorithms=ES256)
    assert status_reference(found.claims) == StatusReference(0, "https://example.com/statuslists/1")
