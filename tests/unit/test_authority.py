"""shared/crypto/authority.py: certificates that our own verification takes."""

from datetime import timedelta

import pytest
from cryptography import x509

from shared.crypto.authority import make_certificate, make_root
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile, verify_chain
from shared.errors import InvalidInput, Untrusted
from tests.support.certificates import Authority
from tests.support.clock import NOW

DAY = timedelta(days=1)


def test_a_root_certifies_leaves_only() -> None:
    """C-22; CERTIFICATION 2.1: CA:TRUE, keyCertSign, path length 0."""
    root = x509.load_der_x509_certificate(Authority.make("Root", country="FR").certificate)
    constraints = root.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = root.extensions.get_extension_for_class(x509.KeyUsage).value
    assert (constraints.critical, constraints.value.ca, constraints.value.path_length) == (
        True,
        True,
        0,
    )
    assert usage.key_cert_sign
    assert not usage.digital_signature
    assert root.subject == root.issuer
    assert root.subject.rfc4514_string() == "CN=Root,C=FR"


@pytest.mark.parametrize("profile", list(Profile))
def test_a_leaf_signs_and_does_nothing_else(profile: Profile) -> None:
    """C-21, C-22, C-24; CERTIFICATION 2.1: CA:FALSE, SAN with the host, not self-signed."""
    root = Authority.make()
    signer = root.signer(profile, subject="Signer", country="FR", dns=["host.example"])
    (der,) = signer.certificates
    leaf = x509.load_der_x509_certificate(der)
    usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature
    assert not usage.key_cert_sign
    assert not leaf.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert leaf.issuer != leaf.subject
    found = verify_chain((der,), anchors=root.anchors, profile=profile, now=NOW)
    assert found.dns_names == ("host.example",)


def test_validity_starts_two_days_before() -> None:
    """DESIGN 7: a clock that lags believes it too."""
    root = Authority.make(days=10)
    leaf = root.signer(Profile.STATUS, days=5).certificates
    chain = verify_chain(leaf, anchors=root.anchors, profile=Profile.STATUS, now=NOW)
    assert (chain.not_before, chain.not_after) == (NOW - 2 * DAY, NOW + 5 * DAY)
    with pytest.raises(Untrusted):
        verify_chain(leaf, anchors=root.anchors, profile=Profile.STATUS, now=NOW + 6 * DAY)


def test_no_leaf_outlives_its_root() -> None:
    root = Authority.make(days=10)
    (der,) = root.signer(Profile.STATUS, days=365, now=NOW + DAY).certificates
    leaf = x509.load_der_x509_certificate(der)
    assert leaf.not_valid_after_utc == NOW + 10 * DAY
    for late in (NOW + 11 * DAY, NOW - 3 * DAY):
        with pytest.raises(InvalidInput):
            root.signer(Profile.STATUS, now=late)


def test_the_issuers_key_is_the_one_of_its_certificate() -> None:
    root, key = Authority.make(), SoftwareKey.generate()
    for issuer_certificate, issuer_key in [(root.certificate, key), (b"no DER", root.key)]:
        with pytest.raises(InvalidInput):
            make_certificate(
                subject="Leaf",
                public=key.public,
                issuer_certificate=issuer_certificate,
                issuer_key=issuer_key,
                profile=Profile.STATUS,
                now=NOW,
                days=1,
            )


def test_a_name_that_cannot_be_written_is_refused() -> None:
    key = SoftwareKey.generate()
    for name, country in [("x" * 65, None), ("", None), ("Root", "France")]:
        with pytest.raises(InvalidInput):
            make_root(name, key, now=NOW, days=1, country=country)
    with pytest.raises(InvalidInput):
        Authority.make().signer(Profile.ACCESS, dns=["münchen.example"])
