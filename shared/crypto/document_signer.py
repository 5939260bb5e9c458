"""Document signers: the certificates that mdocs carry (ISO/IEC 18013-5, annex B.1).

The path and the extended key usage are checked as for every chain (`Profile.MDOC_SIGNER`); here is
what only mdocs ask: the bytes of `x5chain`, and that a signer speaks for the country it names.
"""

from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from ..errors import InvalidInput, Untrusted
from .x509 import MAX_CERTIFICATES, VerifiedChain, validity

_MAX_BYTES = 8 * 1024  # of one certificate


def parse_x5chain(value: object) -> tuple[bytes, ...]:
    """The certificates (DER) of the header parameter `x5chain`: one, or an array leaf first.

    Raises:
        InvalidInput: not one to five byte strings, or one of them is no certificate.

    Specification: RFC 9360, section 2; PROFILE F-MD-03, S-21.
    """
    chain = tuple(value) if isinstance(value, list) else (value,)
    if not 1 <= len(chain) <= MAX_CERTIFICATES:
        raise InvalidInput("x5chain: not one to five certificates")
    for each in chain:
        if type(each) is not bytes or len(each) > _MAX_BYTES:
            raise InvalidInput("x5chain: a member is no byte string, or too long")
    _check_readable(chain)
    return chain


@lru_cache(maxsize=512)
def _check_readable(chain: tuple[bytes, ...]) -> None:
    for each in chain:
        validity(each)


def check_place(chain: VerifiedChain, *, country: object, jurisdiction: object) -> None:
    """What a document says of its place of issue is what its signer may say.

    A pinned leaf is believed as it is.

    Args:
        chain: of the signer.
        country: the element `issuing_country`, None if it was not shown.
        jurisdiction: the element `issuing_jurisdiction`, None if it was not shown.

    Raises:
        Untrusted: the subject of the certificate names another country or state, or none.

    Specification: ISO/IEC 18013-5, section 9.3.1; PROFILE F-MD-07.
    """
    if chain.pinned or (country is None and jurisdiction is None):
        return
    countries, states = _places(chain.leaf)
    if country is not None and (country,) != countries:
        raise Untrusted("document signer: not of the issuing country")
    if jurisdiction is not None and states and (jurisdiction,) != states:
        raise Untrusted("document signer: not of the issuing jurisdiction")


@lru_cache(maxsize=256)
def _places(leaf: bytes) -> tuple[tuple[object, ...], tuple[object, ...]]:
    subject = x509.load_der_x509_certificate(leaf).subject
    countries, states = (
        tuple(each.value for each in subject.get_attributes_for_oid(kind))
        for kind in (NameOID.COUNTRY_NAME, NameOID.STATE_OR_PROVINCE_NAME)
    )
    return countries, states
