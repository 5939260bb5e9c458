"""Properties of mdocs: round trips, subsets, tampering, parsers under noise."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_encode
from shared.errors import ExpectedError, InvalidInput
from shared.formats import cbor, cose, credential, elements
from tests.support.credentials import ES256, SessionProof, metadata
from tests.support.mdocs import DOCTYPE, HOLDER, SIGNER, issued, received, verified

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
leaves = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
values = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=12,
)
claims = st.dictionaries(
    names, st.dictionaries(names, values, min_size=1, max_size=6), min_size=1, max_size=3
)
ANY = metadata({"path": ["a", "b"]}, vct=DOCTYPE)
items = st.recursive(
    leaves | st.binary(max_size=20) | st.builds(cbor.Tag, st.just(1004), st.text(max_size=3)),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.integers(0, 2**40) | names, inner, max_size=4)
    ),
    max_leaves=12,
)


@given(claims, st.data())
@settings(max_examples=40, deadline=None)
def test_what_is_chosen_is_shown_and_nothing_else(given_claims: Any, data: st.DataObject) -> None:
    """F-MD-07, F-MD-09, Q-24: any claims, any subset, from issuer to verifier."""
    held = received(issued(given_claims, metadata=ANY)).held
    assert held.claims == given_claims
    every = [(namespace, name) for namespace in given_claims for name in given_claims[namespace]]
    chosen = data.draw(st.lists(st.sampled_from(every), unique=True))
    shown = verified(credential.present(held, paths=chosen, proof=SessionProof(HOLDER))).claims
    expected: dict[str, dict[str, Any]] = {}
    for namespace, name in chosen:
        expected.setdefault(namespace, {})[name] = given_claims[namespace][name]
    assert shown == expected


@given(items)
@settings(max_examples=60)
def test_cbor_goes_there_and_back(value: Any) -> None:
    """C-31."""
    raw = cbor.dumps(value)
    assert cbor.dumps(cbor.loads(raw)) == raw
    for cut in {1, len(raw) // 2}:
        if 0 < cut < len(raw):
            with pytest.raises(InvalidInput):
                cbor.loads(raw[:cut])
    with pytest.raises(InvalidInput):
        cbor.loads(raw + raw)
    elements.to_json(cbor.loads(raw))


@given(st.binary(max_size=200))
@settings(max_examples=60)
def test_an_embedded_item_is_the_only_one(data: bytes) -> None:
    """F-MD-01."""
    assert cbor.unembed(cbor.embed(data)) == data
    assert cbor.embed(data) == cbor.dumps(cbor.Tag(24, data))
    with pytest.raises(InvalidInput):
        cbor.unembed(cbor.embed(data) + b"\0")


@given(st.binary(max_size=100), st.binary(min_size=1, max_size=100))
@settings(max_examples=40, deadline=None)
def test_a_signature_is_over_one_payload(payload: bytes, other: bytes) -> None:
    """F-MD-03."""
    signed = cose.parse(cbor.loads(cose.sign(payload, signer=SIGNER)))
    signed.verify(SIGNER.public, algorithms=ES256)
    with pytest.raises(ExpectedError):
        signed._replace(payload=payload + other).verify(SIGNER.public, algorithms=ES256)
    with pytest.raises(ExpectedError):
        signed.verify(SoftwareKey.generate().public, algorithms=ES256)


@given(st.binary(max_size=400))
@settings(max_examples=60)
def test_noise_raises_our_errors_alone(data: bytes) -> None:
    """C-31, S-21."""
    text = b64url_encode(data)
    for call in (received, verified):
        with pytest.raises(ExpectedError):
            call(text)
