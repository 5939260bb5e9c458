"""Credential Offer: by value and by reference (OpenID4VCI 1.0, section 4).

An offer is untrusted input: it is never signed, and what it names counts only after the metadata of
its issuer has confirmed it. Lines I-20 to I-25, W-01, W-02.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ..errors import InvalidInput
from ..oauth.messages import (
    PRE_AUTHORIZED_CODE,
    ProtocolModel,
    Several,
    Text,
    Url,
    check_url,
    make_form,
    parse_form,
)

MAX_OFFER_BYTES = 16 * 1024  # S-20
SCHEMES = frozenset({"openid-credential-offer", "haip-vci"})  # I-24


class TxCode(ProtocolModel):
    """What the Transaction Code looks like; present, even empty, means one is required (I-22)."""

    input_mode: Literal["numeric", "text"] = "numeric"
    length: Annotated[int, Field(ge=1, le=64)] | None = None
    description: Annotated[str, Field(max_length=300)] | None = None


class PreAuthorizedGrant(ProtocolModel):
    """The grant that carries its own code (I-22)."""

    pre_authorized_code: Text = Field(alias="pre-authorized_code")
    tx_code: TxCode | None = None
    authorization_server: str | None = None


class AuthorizationCodeGrant(ProtocolModel):
    """The grant that goes through the authorization endpoint (I-21)."""

    issuer_state: str | None = None
    authorization_server: str | None = None


class Grants(ProtocolModel):
    """The grants we know; others are ignored (W-05)."""

    authorization_code: AuthorizationCodeGrant | None = None
    pre_authorized: PreAuthorizedGrant | None = Field(default=None, alias=PRE_AUTHORIZED_CODE)


class CredentialOffer(ProtocolModel):
    """Section 4.1.1 (I-20)."""

    credential_issuer: Url
    credential_configuration_ids: Several[Text]
    grants: Grants | None = None

    @model_validator(mode="after")
    def _unique(self) -> Self:
        ids = self.credential_configuration_ids
        if len(set(ids)) != len(ids):
            raise ValueError("credential_configuration_ids repeated")
        return self

    @property
    def pre_authorized(self) -> PreAuthorizedGrant | None:
        """The pre-authorized grant, if offered."""
        return None if self.grants is None else self.grants.pre_authorized

    @property
    def authorization_code(self) -> AuthorizationCodeGrant | None:
        """The authorization code grant, if offered."""
        return None if self.grants is None else self.grants.authorization_code


@dataclass(frozen=True, slots=True)
class OfferLink:
    """What a link carries: the offer itself, or the https URL where it lies. Exactly one is set."""

    offer: CredentialOffer | None
    offer_uri: str | None


def parse_offer(data: bytes | str) -> CredentialOffer:
    """The offer in strict JSON *data*, as the `credential_offer_uri` answers.

    Raises:
        InvalidInput: not an offer, or larger than 16 KiB.

    Specification: OpenID4VCI 1.0, section 4.1.1; PROFILE I-20, W-01.
    """
    return CredentialOffer.parse(data, max_bytes=MAX_OFFER_BYTES)


def parse_offer_link(link: str) -> OfferLink:
    """What *link* (scanned, tapped or pasted) offers.

    Args:
        link: with one of our schemes, or any https link (claimed, or the wallet's own endpoint).

    Raises:
        InvalidInput: another scheme, both or neither parameter, a repeated one, a reference that is
            not https, or an offer that is malformed.

    Specification: OpenID4VCI 1.0, sections 4.1.2, 4.1.3 and 12.1.1; HAIP 4.2; PROFILE W-01, W-02.
    """
    scheme, _, rest = link.partition(":")
    if scheme.lower() not in SCHEMES:
        check_url(link)
    return parse_offer_parameters(parse_form(rest.partition("?")[2].encode(errors="surrogatepass")))


def parse_offer_parameters(parameters: Mapping[str, str]) -> OfferLink:
    """What the query parameters at the wallet's own credential offer endpoint offer.

    Raises:
        InvalidInput: as `parse_offer_link`.

    Specification: OpenID4VCI 1.0, section 4.1; PROFILE W-01.
    """
    by_value = parameters.get("credential_offer")
    by_reference = parameters.get("credential_offer_uri")
    if by_value is not None and by_reference is None:
        return OfferLink(parse_offer(by_value), None)
    if by_reference is not None and by_value is None:
        check_url(by_reference)
        return OfferLink(None, by_reference)
    raise InvalidInput("offer link: not exactly one of credential_offer and credential_offer_uri")


def offer_link(
    *,
    offer: CredentialOffer | None = None,
    offer_uri: str | None = None,
    endpoint: str = "openid-credential-offer://",
) -> str:
    """A link by value (*offer*) or by reference (*offer_uri*), exactly one of them.

    Args:
        offer: to go into the link itself.
        offer_uri: where the offer lies.
        endpoint: a scheme with `://`, or a wallet's https credential offer endpoint.

    Specification: OpenID4VCI 1.0, sections 4.1.2 and 4.1.3; PROFILE I-23, I-24.
    """
    if offer is not None and offer_uri is None:
        query = make_form({"credential_offer": offer.to_json().decode()})
    elif offer_uri is not None and offer is None:
        query = make_form({"credential_offer_uri": offer_uri})
    else:
        raise InvalidInput("offer link: not exactly one of offer and offer_uri")
    joint = "&" if "?" in endpoint else "?"
    return f"{endpoint}{joint}{query.decode()}"
