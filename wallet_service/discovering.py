"""What is known about an issuer before anything is taken from it: offer, metadata, token endpoint.

Everything is compared as strings (C-35), and a reference is fetched only from where an issuer of
the trust list lives. Well-known URLs are built one way and never guessed (CERTIFICATION 2.3.1).

Specification: OpenID4VCI 1.0, sections 4.1.3, 12.2 and 15.6; RFC 8414; PROFILE W-01, W-03, W-04.
"""

from datetime import datetime
from urllib.parse import urlsplit

from shared.errors import Conflict, InvalidInput, NotFound, Untrusted
from shared.oauth.metadata import AuthorizationServerMetadata, well_known_url
from shared.oid4vci.metadata import MAX_METADATA_BYTES, WELL_KNOWN, CredentialIssuerMetadata
from shared.oid4vci.offer import MAX_OFFER_BYTES, CredentialOffer, parse_offer
from shared.trust import Entity, Role, TrustList

from .context import Wallet

_GRANTS = ("authorization_code", "implicit")  # RFC 8414, section 2: where nothing is said


class UnknownAgency(Untrusted):
    """Nobody in the trust list offers this."""

    reason = "unknown_agency"
    whose_fault = "issuer"
    public = "This offer does not come from an agency on the trust list, or not for this document."
    next_step = "Do not enter any code. Ask the agency through a way you know."


class OfferOver(Conflict):
    """The agency has no such offer, or no longer."""

    code = "offer_over"
    whose_fault = "issuer"
    public = "This offer is over: it was used, withdrawn, or has expired."
    next_step = "Ask the agency for a new offer."


def fetch_offer(wallet: Wallet, trust: TrustList, uri: str) -> CredentialOffer:
    """W-01: a reference is fetched only from where a known issuer lives."""
    known = {_origin(each) for entity in trust.entities for each in entity.credential_issuers}
    if _origin(uri) not in known:
        raise UnknownAgency("offer: the reference is at nobody's address")
    try:
        answer = wallet.fetcher.get(uri, accept="application/json", max_bytes=MAX_OFFER_BYTES)
    except NotFound as error:
        raise OfferOver("offer: nothing at its reference") from error
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


def authorization_server(
    wallet: Wallet, metadata: CredentialIssuerMetadata, *, grant: str, offered: str | None
) -> AuthorizationServerMetadata:
    """The server that gives tokens for *grant*, by its own metadata (W-04).

    The *offered* one, or the first of the listed ones that goes this way. A server whose metadata
    names another issuer ends it: no second one is tried (CERTIFICATION 2.3.5).
    """
    servers = metadata.authorization_servers or (metadata.credential_issuer,)
    if offered is not None:
        servers = (metadata.authorization_server(offered),)
    for server in servers:
        found = server_metadata(wallet, server)
        if len(servers) == 1 or grant in (found.grant_types_supported or _GRANTS):
            return found
    raise InvalidInput("issuer metadata: no authorization server for this grant")


def server_metadata(wallet: Wallet, server: str) -> AuthorizationServerMetadata:
    """The metadata of the authorization server *server*, which must call itself that (RFC 8414)."""
    url = well_known_url(server, "oauth-authorization-server")
    answer = wallet.fetcher.get(url, accept="application/json", max_bytes=MAX_METADATA_BYTES)
    found = AuthorizationServerMetadata.parse(answer.body, max_bytes=MAX_METADATA_BYTES)
    found.check_issuer(server)
    return found


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
