"""Certificates: an altered byte is refused, and so is noise, with our own errors."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto.x509 import Profile, parse_pem, parse_x5c, verify_chain
from shared.errors import InvalidInput, Untrusted
from tests.support.certificates import Authority
from tests.support.clock import NOW

ROOT = Authority.make()
(LEAF,) = ROOT.signer(Profile.CREDENTIAL, dns=["issuer.example"], country="FR").certificates


def verify(*chain: bytes) -> None:
    verify_chain(chain, anchors=ROOT.anchors, profile=Profile.CREDENTIAL, now=NOW)


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_an_altered_certificate_is_refused(index: int, bits: int) -> None:
    """C-20, C-22: any byte, anywhere."""
    changed = bytearray(LEAF)
    changed[index % len(LEAF)] ^= bits
    with pytest.raises((InvalidInput, Untrusted)):
        verify(*parse_x5c([base64.b64encode(changed).decode()]))


@given(st.integers(0, 10_000), st.integers(0, 10_000), st.binary(max_size=30))
def test_a_spliced_certificate_is_refused(start: int, end: int, middle: bytes) -> None:
    """C-20: lengths that do not fit, structures cut short."""
    spliced = LEAF[: start % len(LEAF)] + middle + LEAF[end % len(LEAF) :]
    if spliced != LEAF:
        with pytest.raises((InvalidInput, Untrusted)):
            verify(spliced)


@given(st.recursive(st.none() | st.integers() | st.text() | st.binary(max_size=9), st.lists))
def test_noise_is_no_x5c(value: Any) -> None:
    """C-20."""
    with pytest.raises(InvalidInput):
        parse_x5c(value)


@given(st.binary(max_size=200))
def test_noise_is_no_pem(data: bytes) -> None:
    with pytest.raises(InvalidInput):
        parse_pem(b"-----BEGIN CERTIFICATE-----\n" + data + b"\n-----END CERTIFICATE-----\n")
