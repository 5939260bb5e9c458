"""The citizen's side of the cryptography: what is derived, what opens what."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.crypto.sealing import hkdf
from shared.demo import browser
from shared.demo.browser import Roots, UnlockerKeys
from shared.encoding import b64url_decode, b64url_encode
from shared.errors import InvalidInput, VerificationError

CODE = "0123-4567-89AB-CDEF-GHJK-MNPQ-RSTV-WXYZ"


@given(st.binary(min_size=20, max_size=20))
def test_a_code_holds_its_160_bits(data: bytes) -> None:
    """WALLET_SECURITY 2: 160 random bits, 32 Crockford symbols."""
    code = browser.make_code(lambda count: data[:count])
    assert len(code.replace("-", "")) == 32
    assert browser.code_bytes(code) == data


def test_a_code_forgives_how_it_was_written_down() -> None:
    """Crockford base 32: O is 0, I and L are 1; case and hyphens mean nothing."""
    meant = browser.code_bytes(CODE)
    assert browser.code_bytes(CODE.lower().replace("-", " ")) == meant
    assert browser.code_bytes(CODE.replace("0", "O").replace("1", "l")) == meant


@pytest.mark.parametrize("code", ["", CODE[:-1], CODE + "0", CODE.replace("Z", "U"), "é" * 32])
def test_what_is_no_code_is_refused(code: str) -> None:
    with pytest.raises(InvalidInput):
        browser.code_bytes(code)


def test_a_root_opens_for_its_unlocker_wallet_and_purpose_only() -> None:
    """WALLET_SECURITY 2: the inner layer of a wrap."""
    roots = Roots(b"r" * 32, b"a" * 32)
    keys = UnlockerKeys.of_passkey((b"1" * 32, b"2" * 32))
    body = keys.body(roots, wallet="wal_1", unlocker="unl_1")
    wrap = b64url_decode(body["act_wrap"])
    place = {"wallet": "wal_1", "unlocker": "unl_1", "purpose": "act"}
    known = {"k_read": roots.read}
    assert browser.open_root(keys.act, wrap, **place, **known) == roots.act
    other = UnlockerKeys.of_passkey((b"1" * 32, b"3" * 32))
    for private, changed in (
        (keys.read, {}),
        (other.act, {}),
        (keys.act, {"wallet": "wal_2"}),
        (keys.act, {"unlocker": "unl_2"}),
        (keys.act, {"purpose": "read"}),
        (keys.act, {"k_read": b"x" * 32}),  # whoever sealed it must have known the other root
    ):
        with pytest.raises(VerificationError):
            browser.open_root(private, wrap, **{**place, **known, **changed})


def test_lookup_and_keys_of_a_code_have_nothing_in_common() -> None:
    """The service sees the lookup, and can derive no key from it."""
    keys, seen = UnlockerKeys.of_code(CODE), b64url_decode(browser.lookup(CODE))
    assert len({keys.read, keys.act, seen, browser.private_key(seen)}) == 4
    assert keys == UnlockerKeys.of_code(CODE.lower())


def test_a_challenge_is_the_hash_of_the_canonical_payload() -> None:
    """WALLET_SECURITY 4, step 2; RFC 8785: the order of members means nothing."""
    expected = hashlib.sha256(b'citizen-wallet/approve/v1\x00{"a":1,"b":["\xc3\xa9"]}').digest()
    assert browser.challenge({"b": ["é"], "a": 1}) == expected
    assert browser.challenge({"b": ["e"], "a": 1}) != expected


def test_the_key_of_one_copy_tells_nothing_about_another() -> None:
    """WALLET_SECURITY 2: `K_copy` = HKDF(`K_act`, copy id)."""
    root = b"a" * 32
    one, other = browser.copy_key(root, "cpy_1"), browser.copy_key(root, "cpy_2")
    assert one == hkdf(root, "citizen-wallet/copy/v1", "cpy_1")
    assert one != other
    assert b64url_encode(one) not in b64url_encode(other)
