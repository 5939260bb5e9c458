"""shared/crypto/x509.py: each refusal with certificates made for it."""

import base64
import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509 as crypto_x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import (
    decode_dss_signature,
    encode_dss_signature,
)
from cryptography.hazmat.primitives.serialization import Encoding

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import (
    Profile,
    VerifiedChain,
    key_identifier,
    parse_pem,
    parse_x5c,
    thumbprint,
    to_pem,
    validity,
    verify_chain,
)
from shared.errors import InvalidInput, Untrusted
from tests.support.certificates import (
    CERTIFICATE_SIGN,
    Authority,
    authority_certificate,
    certificate,
    usage,
)
from tests.support.clock import NOW

ROOT, CA, LEAF = SoftwareKey.generate(), SoftwareKey.generate(), SoftwareKey.generate()
SECOND = timedelta(seconds=1)
ROOT_CERTIFICATE = authority_certificate("Root", ROOT, "Root", ROOT)
CA_CERTIFICATE = authority_certificate("CA", CA, "Root", ROOT, path_length=0)
LEAF_CERTIFICATE = certificate("Leaf", LEAF, "CA", CA)
CHAIN = (LEAF_CERTIFICATE, CA_CERTIFICATE)
ANCHORS = frozenset({ROOT_CERTIFICATE})


def verify(*chain: bytes, **changed: Any) -> VerifiedChain:
    expectations: dict[str, Any] = {
        "anchors": ANCHORS,
        "profile": Profile.CREDENTIAL,
        "now": NOW,
        **changed,
    }
    return verify_chain(chain, **expectations)


def test_a_leaf_below_an_intermediate_below_an_anchor_is_believed() -> None:
    """C-20, C-22; RFC 5280, section 6."""
    chain = verify(*CHAIN)
    assert chain.public == LEAF.public
    assert (chain.leaf, chain.certificates, chain.anchor) == (
        LEAF_CERTIFICATE,
        CHAIN,
        ROOT_CERTIFICATE,
    )
    assert chain.thumbprints > {thumbprint(each) for each in (*CHAIN, ROOT_CERTIFICATE)}
    assert chain.subject_name == "CN=Leaf"
    assert not chain.pinned


def test_a_leaf_just_below_an_anchor_is_believed() -> None:
    """CERTIFICATION 2.1: x5c of one certificate is enough."""
    leaf = certificate("Leaf", LEAF, "Root", ROOT)
    assert verify(leaf).certificates == (leaf,)


def test_an_anchor_may_be_an_intermediate() -> None:
    """C-22: the trust list decides where a path ends."""
    leaf = certificate("Leaf", LEAF, "CA", CA)
    assert verify(leaf, anchors={CA_CERTIFICATE}).anchor == CA_CERTIFICATE


def test_the_names_and_key_identifiers_are_those_of_the_chain() -> None:
    """Q-12: of every certificate that is carried; F-VC: names of the leaf."""
    root = Authority.make(country="FR")
    signer = root.signer(
        Profile.ACCESS, dns=["verifier.example", "www.verifier.example"], uri=["https://v.example/"]
    )
    chain = verify(*signer.certificates, anchors=root.anchors, profile=Profile.ACCESS)
    assert chain.dns_names == ("verifier.example", "www.verifier.example")
    assert chain.uris == ("https://v.example/",)
    assert chain.authority_key_ids == {key_identifier(root.certificate)}
    deep = verify(*CHAIN)
    assert deep.authority_key_ids == {
        key_identifier(CA_CERTIFICATE),
        key_identifier(ROOT_CERTIFICATE),
    }
    assert deep.dns_names == ()


def test_the_window_is_that_of_the_whole_path() -> None:
    """C-22: valid at the time of checking, to the second, anchor included."""
    start, end = NOW - timedelta(hours=1), NOW + timedelta(hours=1)
    leaf = certificate("Leaf", LEAF, "CA", CA, start=start)
    ca = authority_certificate("CA", CA, "Root", ROOT, end=end)
    chain = verify(leaf, ca)
    assert (chain.not_before, chain.not_after) == (start, end)
    for moment in (start, end):
        verify(leaf, ca, now=moment)
    for moment in (start - SECOND, end + SECOND):
        with pytest.raises(Untrusted):
            verify(leaf, ca, now=moment)


@pytest.mark.parametrize("which", ["leaf", "ca", "root"])
@pytest.mark.parametrize("shift", [timedelta(days=-2), timedelta(days=2)], ids=["past", "future"])
def test_a_path_with_one_certificate_out_of_its_time_is_refused(
    which: str, shift: timedelta
) -> None:
    """C-22: expired or not yet valid, wherever it stands."""

    def window(name: str) -> dict[str, Any]:
        middle = NOW + shift if name == which else NOW
        return {"start": middle - timedelta(days=1), "end": middle + timedelta(days=1)}

    leaf = certificate("Leaf", LEAF, "CA", CA, **window("leaf"))
    ca = authority_certificate("CA", CA, "Root", ROOT, **window("ca"))
    root = authority_certificate("Root", ROOT, "Root", ROOT, **window("root"))
    with pytest.raises(Untrusted):
        verify(leaf, ca, anchors={root})


def test_another_root_of_the_same_name_is_no_anchor() -> None:
    """C-22: never "whatever root the chain ends in"."""
    stranger = SoftwareKey.generate()
    root = authority_certificate("Root", stranger, "Root", stranger)
    with pytest.raises(Untrusted):
        verify(*CHAIN, anchors={root})
    with pytest.raises(Untrusted):
        verify(*CHAIN, anchors=set())


def test_an_anchor_in_the_chain_is_refused() -> None:
    """C-21; HAIP 1.0, section 6.1.1."""
    with pytest.raises(Untrusted, match="carries a trust anchor"):
        verify(*CHAIN, ROOT_CERTIFICATE)
    with pytest.raises(Untrusted, match="carries a trust anchor"):
        verify(*CHAIN, anchors={ROOT_CERTIFICATE, CA_CERTIFICATE})


def test_a_leaf_that_is_an_anchor_is_refused() -> None:
    """C-21: even as the only one, even if it may sign."""
    own = certificate("Leaf", LEAF, "Leaf", LEAF)
    with pytest.raises(Untrusted, match="carries a trust anchor"):
        verify(own, anchors={own})


def test_a_self_signed_leaf_is_refused() -> None:
    """C-21; CERTIFICATION 2.1: by its names, or by its signature under another issuer's name."""
    by_name = certificate("Leaf", LEAF, "Leaf", LEAF)
    by_key = certificate("Leaf", CA, "CA", CA)
    for leaf in (by_name, by_key):
        with pytest.raises(Untrusted, match="self-signed"):
            verify(leaf)
    with pytest.raises(Untrusted, match="self-signed"):
        verify(by_key, CA_CERTIFICATE)


def test_a_leaf_that_is_a_ca_is_refused() -> None:
    """C-22: basicConstraints."""
    leaf = certificate(
        "Leaf",
        LEAF,
        "CA",
        CA,
        constraints=crypto_x509.BasicConstraints(ca=True, path_length=None),
        key_usage=usage("digital_signature", "key_cert_sign"),
    )
    with pytest.raises(Untrusted, match="is a CA"):
        verify(leaf, authority_certificate("CA", CA, "Root", ROOT))


@pytest.mark.parametrize("key_usage", [None, usage("key_agreement"), CERTIFICATE_SIGN])
def test_a_leaf_that_may_not_sign_is_refused(key_usage: crypto_x509.KeyUsage | None) -> None:
    """C-22: keyUsage digitalSignature."""
    leaf = certificate("Leaf", LEAF, "CA", CA, key_usage=key_usage)
    with pytest.raises(Untrusted, match="keyUsage"):
        verify(leaf, CA_CERTIFICATE)


def test_an_issuer_that_is_no_ca_is_refused() -> None:
    """C-22: basicConstraints on every issuer."""
    below = certificate("Below", LEAF, "Leaf", CA)
    leaf_as_ca = certificate("Leaf", CA, "Root", ROOT)
    plain = certificate("Leaf", CA, "Root", ROOT, key_usage=CERTIFICATE_SIGN)
    for issuer in (leaf_as_ca, plain):
        with pytest.raises(Untrusted, match="no valid path"):
            verify(below, issuer)


def test_an_issuer_that_may_not_certify_is_refused() -> None:
    """C-22: keyCertSign on every issuer."""
    ca = certificate(
        "CA",
        CA,
        "Root",
        ROOT,
        constraints=crypto_x509.BasicConstraints(ca=True, path_length=None),
        key_usage=usage("digital_signature", "crl_sign"),
    )
    with pytest.raises(Untrusted, match="no valid path"):
        verify(LEAF_CERTIFICATE, ca)


def test_a_path_longer_than_an_issuer_allows_is_refused() -> None:
    """C-22: pathLenConstraint, of an intermediate and of the anchor."""
    lower = SoftwareKey.generate()
    lower_certificate = authority_certificate("Lower", lower, "CA", CA)
    leaf = certificate("Leaf", LEAF, "Lower", lower)
    free = authority_certificate("CA", CA, "Root", ROOT)
    assert verify(leaf, lower_certificate, free)
    with pytest.raises(Untrusted, match="no valid path"):
        verify(leaf, lower_certificate, CA_CERTIFICATE)
    short = authority_certificate("Root", ROOT, "Root", ROOT, path_length=0)
    with pytest.raises(Untrusted, match="no valid path"):
        verify(*CHAIN, anchors={short})


def test_a_leaf_of_another_issuer_name_is_refused() -> None:
    """C-22: name chaining, even if the signature fits."""
    with pytest.raises(Untrusted, match="no valid path"):
        verify(certificate("Leaf", LEAF, "Another", CA), CA_CERTIFICATE)


def test_a_leaf_signed_by_another_key_is_refused() -> None:
    """C-22: signatures, even if the names fit."""
    with pytest.raises(Untrusted, match="no valid path"):
        verify(certificate("Leaf", LEAF, "CA", SoftwareKey.generate()), CA_CERTIFICATE)
    ca = authority_certificate("CA", CA, "Root", SoftwareKey.generate())
    with pytest.raises(Untrusted, match="no valid path"):
        verify(LEAF_CERTIFICATE, ca)


def test_every_altered_byte_of_a_signature_is_refused() -> None:
    """C-22."""
    for position in range(1, 60, 7):
        changed = bytearray(LEAF_CERTIFICATE)
        changed[-position] ^= 1
        with pytest.raises((Untrusted, InvalidInput)):
            verify(bytes(changed), CA_CERTIFICATE)


def test_certificates_out_of_order_or_of_strangers_are_refused() -> None:
    """C-20; RFC 7515, section 4.1.6: each certifies the one before."""
    stranger = authority_certificate("Stranger", ROOT, "Root", ROOT)
    leaf = certificate("Leaf", LEAF, "Root", ROOT)
    lower = SoftwareKey.generate()
    lower_certificate = authority_certificate("Lower", lower, "CA", CA)
    free = authority_certificate("CA", CA, "Root", ROOT)
    below = certificate("Below", LEAF, "Lower", lower)
    for chain in (
        (*CHAIN, stranger),
        (leaf, CA_CERTIFICATE),
        (below, free, lower_certificate),
        (LEAF_CERTIFICATE, CA_CERTIFICATE, CA_CERTIFICATE),
    ):
        with pytest.raises(Untrusted, match="not in order"):
            verify(*chain)
    with pytest.raises(Untrusted):
        verify(CA_CERTIFICATE, LEAF_CERTIFICATE)


def test_a_missing_intermediate_is_not_fetched() -> None:
    """C-22, S-10."""
    with pytest.raises(Untrusted, match="no valid path"):
        verify(LEAF_CERTIFICATE)


def test_no_certificate_or_too_many_are_refused() -> None:
    """S-21."""
    for chain in ((), (*CHAIN, *CHAIN, *CHAIN)):
        with pytest.raises(InvalidInput):
            verify(*chain)


def test_a_leaf_with_another_key_is_refused() -> None:
    """C-01: P-256 alone."""
    for key in (
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(),
    ):
        with pytest.raises(InvalidInput):
            verify(certificate("Leaf", key, "CA", CA), CA_CERTIFICATE)


def test_a_name_constraint_of_an_issuer_binds() -> None:
    """C-22; RFC 5280, section 4.2.1.10."""
    ca = certificate(
        "CA",
        CA,
        "Root",
        ROOT,
        constraints=crypto_x509.BasicConstraints(ca=True, path_length=None),
        key_usage=CERTIFICATE_SIGN,
        extensions=[
            (crypto_x509.NameConstraints([crypto_x509.DNSName("gov.example")], None), True)
        ],
    )

    def leaf(host: str) -> bytes:
        names = crypto_x509.SubjectAlternativeName([crypto_x509.DNSName(host)])
        return certificate("Leaf", LEAF, "CA", CA, extensions=[(names, False)])

    assert verify(leaf("tax.gov.example"), ca)
    with pytest.raises(Untrusted, match="no valid path"):
        verify(leaf("evil.example"), ca)


def test_a_critical_extension_nobody_knows_is_refused() -> None:
    """RFC 5280, section 4.2."""
    unknown = crypto_x509.UnrecognizedExtension(
        crypto_x509.ObjectIdentifier("1.3.6.1.4.1.55555.1"), b"\x05\x00"
    )
    assert verify(
        certificate("Leaf", LEAF, "CA", CA, extensions=[(unknown, False)]), CA_CERTIFICATE
    )
    with pytest.raises(Untrusted, match="no valid path"):
        verify(certificate("Leaf", LEAF, "CA", CA, extensions=[(unknown, True)]), CA_CERTIFICATE)


def test_an_extended_key_usage_is_demanded_of_mdoc_signers_alone() -> None:
    """C-24."""
    root = Authority.make()
    for profile in Profile:
        signer = root.signer(profile)
        verify(*signer.certificates, anchors=root.anchors, profile=profile)
    verify(
        *root.signer(Profile.CREDENTIAL).certificates,
        anchors=root.anchors,
        profile=Profile.MDOC_SIGNER,
    )
    plain = root.signer(Profile.STATUS).certificates
    verify(*plain, anchors=root.anchors, profile=Profile.CREDENTIAL)
    with pytest.raises(Untrusted, match="extended key usage"):
        verify(*plain, anchors=root.anchors, profile=Profile.MDOC_SIGNER)


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_revoked_certificate_anywhere_in_the_path_is_refused(position: int) -> None:
    """DESIGN 4: thumbprints of the trust list; also when the path is remembered."""
    verify(*CHAIN)
    gone = thumbprint((*CHAIN, ROOT_CERTIFICATE)[position])
    with pytest.raises(Untrusted, match="revoked"):
        verify(*CHAIN, revoked={gone})
    verify(*CHAIN, revoked={thumbprint(Authority.make().certificate)})


def rewritten(der: bytes) -> bytes:
    """The same certificate with the other signature that its issuer's key verifies."""
    loaded = crypto_x509.load_der_x509_certificate(der)
    r, s = decode_dss_signature(loaded.signature)
    other = encode_dss_signature(r, ec.SECP256R1().group_order - s)

    def tlv(tag: int, content: bytes) -> bytes:
        size = len(content)
        length = bytes([size]) if size < 128 else b"\x82" + size.to_bytes(2, "big")
        return bytes([tag]) + length + content

    algorithm = bytes.fromhex("300a06082a8648ce3d040302")  # ecdsa-with-SHA256
    assert algorithm in der
    return tlv(0x30, loaded.tbs_certificate_bytes + algorithm + tlv(0x03, b"\x00" + other))


@pytest.mark.parametrize("position", [0, 1])
def test_a_revoked_certificate_does_not_escape_by_another_signature(position: int) -> None:
    """DESIGN 4: anybody can rewrite an ECDSA signature, so the thumbprint does not cover it."""
    chain = list(CHAIN)
    chain[position] = rewritten(CHAIN[position])
    assert chain[position] != CHAIN[position]
    assert verify(*chain).public == LEAF.public
    with pytest.raises(Untrusted, match="revoked"):
        verify(*chain, revoked={thumbprint(CHAIN[position])})


def test_a_revoked_fingerprint_of_the_whole_certificate_counts_too() -> None:
    """DESIGN 4: what `openssl x509 -fingerprint -sha256` prints."""
    with pytest.raises(Untrusted, match="revoked"):
        verify(*CHAIN, revoked={hashlib.sha256(LEAF_CERTIFICATE).hexdigest()})


def test_a_signature_of_odd_bits_is_refused() -> None:
    """C-20: a bit string of whole bytes; one certificate, one DER."""
    loaded = crypto_x509.load_der_x509_certificate(LEAF_CERTIFICATE)
    changed = bytearray(LEAF_CERTIFICATE)
    changed[-len(loaded.signature) - 1] = 1
    with pytest.raises(InvalidInput):
        verify(bytes(changed), CA_CERTIFICATE)


def test_a_remembered_path_is_checked_against_the_time_again() -> None:
    """C-22: at the time of checking, which moves on."""
    leaf = certificate("Leaf", LEAF, "CA", CA, end=NOW + SECOND)
    assert verify(leaf, CA_CERTIFICATE) is verify(leaf, CA_CERTIFICATE, now=NOW + SECOND)
    with pytest.raises(Untrusted):
        verify(leaf, CA_CERTIFICATE, now=NOW + 2 * SECOND)


def test_a_remembered_path_counts_for_its_own_anchors_alone() -> None:
    """C-22, C-23: roles and trust lists do not mix."""
    verify(*CHAIN)
    with pytest.raises(Untrusted):
        verify(*CHAIN, anchors=Authority.make().anchors)
    with pytest.raises(Untrusted):
        verify(*CHAIN, profile=Profile.MDOC_SIGNER)


def test_a_refusal_is_not_remembered() -> None:
    """The same chain is believed once its anchor is there, or its time has come."""
    leaf = certificate("Leaf", LEAF, "CA", CA, start=NOW)
    with pytest.raises(Untrusted):
        verify(leaf, CA_CERTIFICATE, now=NOW - SECOND)
    assert verify(leaf, CA_CERTIFICATE)


def test_the_eldest_path_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many issuers do not fill the memory; who is forgotten is verified anew."""
    monkeypatch.setattr("shared.crypto.x509._REMEMBERED", 2)
    monkeypatch.setattr("shared.crypto.x509._remembered", {})
    leaves = [certificate(f"Leaf {number}", LEAF, "CA", CA) for number in range(3)]
    eldest, second, last = (verify(each, CA_CERTIFICATE) for each in leaves)
    assert verify(leaves[1], CA_CERTIFICATE) is second
    assert verify(leaves[2], CA_CERTIFICATE) is last
    again = verify(leaves[0], CA_CERTIFICATE)
    assert again is not eldest
    assert again == eldest


def test_paths_are_verified_by_many_threads() -> None:
    root = Authority.make()
    signers = [root.signer(Profile.STATUS) for _ in range(8)]

    def check(index: int) -> bool:
        signer = signers[index % 8]
        found = verify(*signer.certificates, anchors=root.anchors, profile=Profile.STATUS)
        return found.public == signer.public

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(check, range(200)))


def test_a_pinned_leaf_needs_no_path_and_says_so() -> None:
    """DESIGN 4, CERTIFICATION 2.5.4: a self-signed signer of a test suite, a CA even."""
    suite = authority_certificate("Suite", LEAF, "Suite", LEAF)
    chain = verify(suite, anchors=set(), pinned={suite})
    assert chain.pinned
    assert (chain.public, chain.anchor) == (LEAF.public, suite)
    with pytest.raises(Untrusted):
        verify(suite, anchors=set(), pinned={LEAF_CERTIFICATE})
    with pytest.raises(Untrusted, match="not valid at this time"):
        verify(suite, anchors=set(), pinned={suite}, now=NOW + timedelta(days=366))
    with pytest.raises(Untrusted, match="revoked"):
        verify(suite, anchors=set(), pinned={suite}, revoked={thumbprint(suite)})


def encoded(*chain: bytes) -> list[str]:
    return [base64.b64encode(each).decode() for each in chain]


def test_x5c_is_an_array_of_padded_standard_base64() -> None:
    """C-20; RFC 7515, section 4.1.6."""
    assert parse_x5c(encoded(*CHAIN)) == CHAIN


@pytest.mark.parametrize(
    "value",
    [
        None,
        "text",
        {},
        [],
        [1],
        [None],
        [["x"]],
        encoded(*CHAIN, *CHAIN, *CHAIN),
        encoded(b""),
        encoded(b"not DER"),
        encoded(LEAF_CERTIFICATE + b"\x00"),
        encoded(LEAF_CERTIFICATE[:-1]),
        [base64.urlsafe_b64encode(LEAF_CERTIFICATE + b"\xfb\xff").decode()],
        [encoded(LEAF_CERTIFICATE)[0] + "\n"],
        ["A" * 20_000],
        [to_pem([LEAF_CERTIFICATE]).decode()],
    ],
)
def test_any_other_x5c_is_refused(value: object) -> None:
    """C-20, S-21."""
    with pytest.raises(InvalidInput):
        parse_x5c(value)


def test_a_pem_file_holds_a_chain_in_its_order() -> None:
    """RFC 7468, section 5."""
    assert parse_pem(to_pem(CHAIN)) == CHAIN
    for nothing in (
        b"",
        b"no PEM",
        b"-----BEGIN CERTIFICATE-----\nAA\n-----END CERTIFICATE-----\n",
    ):
        with pytest.raises(InvalidInput):
            parse_pem(nothing)


def test_a_certificate_without_a_key_identifier_has_none() -> None:
    """V-30, Q-12."""
    bare = (
        crypto_x509.CertificateBuilder()
        .subject_name(crypto_x509.Name([]))
        .issuer_name(crypto_x509.Name([]))
        .public_key(LEAF.public.to_crypto())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW)
        .sign(LEAF.to_crypto(), hashes.SHA256())
    )
    with pytest.raises(InvalidInput):
        key_identifier(bare.public_bytes(Encoding.DER))


def test_a_certificate_says_how_long_it_is_valid() -> None:
    start, end = NOW - timedelta(days=3), NOW + timedelta(days=4)
    assert validity(certificate("Leaf", LEAF, "CA", CA, start=start, end=end)) == (start, end)
    with pytest.raises(InvalidInput):
        validity(b"no DER")
