"""What is known about an issuer before anything is taken from it: offer, metadata, token endpoint.

Everything is compared as strings (C-35), and a reference is fetched only from where an issuer of
the trust list lives. Well-known URLs are built one way and never guessed (CERTIFICATION 2.3.1).

Specification: OpenID4VCI 1.0, sections 4.1.3, 12.2 and 15.6; RFC 8414; PROFILE W-01, W-03, W-04.
"""

from datetime import datetime
from urllib.parse import urlsplit

from shared.errors import InvalidInput, Untrusted
from shared.oauth.metadata import AuthorizationServerMetadata, well_known_url
from shared.oid4vci.metadata import MAX_METADATA_BYTES, WELL_KNOWN, CredentialIssuerMetadata
from shared.oid4vci.offer import MAX_OFFER_BYTES, CredentialOffer, parse_offer
from shared.trust import Entity, Role, TrustList

from .context import Wallet


class UnknownAgency(Untrusted):
    """Nobody in the trust list offers this."""

    reason = "unknown_agency"
    whose_fault = "issuer"
    public = "This offer does not come from an agency on the trust list, or not for this document."
    next_step = "Do not enter any code. Ask the agency through a way you know."


def fetch_offer(wallet: Wallet, trust: TrustList, uri: str) -> CredentialOffer:
    """W-01: a reference is fetched only from where a known issuer lives."""
    known = {_origin(each) for entity in trust.entities for each in entity.credential_issuers}
    if _origin(uri) not in known:
        raise UnknownAgency("offer: the reference is at nobody's address")
    answer = wallet.fetcher.get(uri, accept="application/json", max_bytes=MAX_OFFER_BYTES)
    if answer.content_type != "application/json":
        raise InvalidInput("offer: not application/json")
    return parse_offer(answer.body)


def issuer_metadata(
    wallet: Wallet, trust: TrustList, issuer: str, entity: Entity, *, now: datetime
) -> CredentialIssuerMetadata:
    """The metadata of *issuer*, signed by a metadata key of *entity* if the policy asks for that.

    Specification: OpenID4VCI 1.0, section 12.2; PROFILE W-03.
    """
    signed = wallet.settings.signed_issuer_metadata
    accept = "application/jwt" if signed else "application/json"
    url = well_known_url(issuer, WELL_KNOWN)
    answer = wallet.fetcher.get(url, accept=accept, max_bytes=MAX_METADATA_BYTES)
    if answer.content_type != accept:
        raise InvalidInput("issuer metadata: another media type than asked for")
    if signed:
        return CredentialIssuerMetadata.verify(
            answer.body.decode("ascii", "replace"),
            issuer=issuer,
            anchors=entity.anchors_for(Role.METADATA),
            now=now,
            revoked=trust.revoked,
        )
    metadata = CredentialIssuerMetadata.parse(answer.body, max_bytes=MAX_METADATA_BYTES)
    metadata.check_issuer(issuer)
    return metadata


def token_endpoint(wallet: Wallet, server: str) -> str:
    """Where *server* gives tokens, by its own metadata (W-04)."""
    url = well_known_url(server, "oauth-authorization-server")
    answer = wallet.fetcher.get(url, accept="application/json", max_bytes=MAX_METADATA_BYTES)
    metadata = AuthorizationServerMetadata.parse(answer.body, max_bytes=MAX_METADATA_BYTES)
    metadata.check_issuer(server)
    return metadata.token_endpoint


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
