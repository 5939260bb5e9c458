"""SD-JWT against PyPI `sd-jwt`, the reference implementation: both ways, over generated claims."""

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto.jwk import JWK
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_encode
from shared.errors import ExpectedError
from shared.formats import kb_jwt, sd_jwt
from shared.formats.claims_path import ClaimPath
from shared.formats.sd_jwt import Disclosure
from tests.support.clock import NOW
from tests.support.credentials import ES256, SESSION, compact, disclosure

pytestmark = pytest.mark.interop
SETTINGS = settings(max_examples=150, deadline=None)
TYP = "example+sd-jwt"


def jwk(key: SoftwareKey) -> JWK:
    return JWK(**{**key.public.to_jwk(), "d": b64url_encode(key.scalar())})


ISSUER, HOLDER = SoftwareKey.generate(), SoftwareKey.generate()
ISSUER_JWK, HOLDER_JWK = jwk(ISSUER), jwk(HOLDER)
CNF = {"cnf": {"jwk": HOLDER.public.to_jwk()}}

names = st.text("abcdefgäß_-", min_size=1, max_size=6).filter(lambda each: each != "_sd")
leaves = st.booleans() | st.integers(-1000, 1000) | st.text(max_size=8) | st.none()
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(names, inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)
payloads = st.dictionaries(names, values, min_size=1, max_size=4)


def places(value: Any, path: ClaimPath = ()) -> list[ClaimPath]:
    found: list[ClaimPath] = [path] if path else []
    if isinstance(value, dict):
        found += [each for name in value for each in places(value[name], (*path, name))]
    elif isinstance(value, list):
        found += [each for at, below in enumerate(value) for each in places(below, (*path, at))]
    return found


@st.composite
def concealed(draw: st.DrawFn) -> tuple[dict[str, Any], list[ClaimPath]]:
    claims = draw(payloads)
    chosen = draw(st.lists(st.sampled_from(places(claims)), unique=True))
    return claims, [each for each in chosen if len(each) <= sd_jwt.MAX_RECURSION]


def marked(value: Any, conceal: set[ClaimPath], path: ClaimPath = ()) -> Any:
    """Their way to say what is selectively disclosable."""
    if isinstance(value, dict):
        return {
            (SDObj(name) if (*path, name) in conceal else name): marked(
                each, conceal, (*path, name)
            )
            for name, each in value.items()
        }
    if isinstance(value, list):
        return [
            SDObj(marked(each, conceal, (*path, at)))
            if (*path, at) in conceal
            else marked(each, conceal, (*path, at))
            for at, each in enumerate(value)
        ]
    return value


def frame(value: Any) -> Any:
    """Their way to say: all of it."""
    if isinstance(value, dict):
        return {name: frame(each) for name, each in value.items()}
    if isinstance(value, list):
        return [frame(each) for each in value]
    return True


def ours(text: str) -> dict[str, Any]:
    return sd_jwt.verify(text, key=ISSUER.public, typ=TYP, algorithms=ES256).claims


def theirs(text: str, **session: str) -> Any:
    return SDJWTVerifier(text, lambda *_: ISSUER_JWK, **session).get_verified_payload()


@SETTINGS
@given(concealed())
def test_they_verify_what_we_issue(made: tuple[dict[str, Any], list[ClaimPath]]) -> None:
    """F-SD-06, F-SD-07: any claims, anything withheld, recursively."""
    claims, conceal = made
    text = sd_jwt.issue(claims, conceal=conceal, typ=TYP, signer=ISSUER)
    assert theirs(text) == claims


@SETTINGS
@given(concealed(), st.booleans())
def test_we_verify_what_they_issue(
    made: tuple[dict[str, Any], list[ClaimPath]], decoys: bool
) -> None:
    """F-SD-06, F-SD-07: with decoys too."""
    claims, conceal = made
    text = SDJWTIssuer(
        marked(claims, set(conceal)),
        ISSUER_JWK,
        add_decoy_claims=decoys,
        extra_header_parameters={"typ": TYP},
    ).sd_jwt_issuance
    assert ours(text) == claims


@SETTINGS
@given(concealed(), st.data())
def test_any_selection_means_the_same_to_both(
    made: tuple[dict[str, Any], list[ClaimPath]], data: st.DataObject
) -> None:
    """F-SD-09, HB-02, F-CP-03: what we present they verify to what we verify."""
    claims, conceal = made
    text = sd_jwt.issue({**claims, **CNF}, conceal=conceal, typ=TYP, signer=ISSUER)
    verified = sd_jwt.verify(text, key=ISSUER.public, typ=TYP, algorithms=ES256)
    paths = data.draw(st.lists(st.sampled_from(places(claims)), unique=True))
    presented = sd_jwt.present(verified, paths=paths)
    bound = presented + kb_jwt.make(
        presented, signer=HOLDER, audience=SESSION.audience, nonce=SESSION.nonce, now=NOW
    )
    found = theirs(bound, expected_aud=SESSION.audience, expected_nonce=SESSION.nonce)
    assert found == ours(bound)


@SETTINGS
@given(concealed())
def test_their_presentation_of_everything_verifies_with_their_kb_jwt(
    made: tuple[dict[str, Any], list[ClaimPath]],
) -> None:
    """HB-05: their Holder, our verifier."""
    claims, conceal = made
    text = sd_jwt.issue({**claims, **CNF}, conceal=conceal, typ=TYP, signer=ISSUER)
    holder = SDJWTHolder(text)
    holder.create_presentation(
        frame(claims), nonce=SESSION.nonce, aud=SESSION.audience, holder_key=HOLDER_JWK
    )
    parsed = sd_jwt.parse(holder.sd_jwt_presentation)
    assert ours(holder.sd_jwt_presentation) == {**claims, **CNF}
    assert kb_jwt.verify(
        parsed,
        key=HOLDER.public,
        audience=SESSION.audience,
        nonce=SESSION.nonce,
        now=datetime.now(UTC),  # noqa: TID251  their Holder reads the clock itself
        algorithms=ES256,
    )


def test_both_refuse_the_same_tampering() -> None:
    """F-SD-07: RFC 9901, section 7.1: where the reference refuses, so do we."""
    text = sd_jwt.issue({"a": 1, "b": [2]}, conceal=[("a",), ("b", 0)], typ=TYP, signer=ISSUER)
    jwt, one, two, _ = text.split("~")
    salt = Disclosure.parse(one).salt
    for bad in (
        compact(jwt[:-4] + "AAAA", one, two),
        compact(jwt, one, two, one),
    ):
        with pytest.raises(ExpectedError):
            ours(bad)
        with pytest.raises(Exception):  # noqa: B017  theirs has no base class
            theirs(bad)
    unreferenced = compact(jwt, disclosure(salt, "admin", True))
    with pytest.raises(ExpectedError):
        ours(unreferenced)
    # A difference: the reference ignores a Disclosure that nothing refers to; step 5 refuses it.
    assert theirs(unreferenced) == {"b": []}
