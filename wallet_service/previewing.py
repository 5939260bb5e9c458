"""What an issuer's documents say about an offer, as far as receiving needs it.

The issuer is one the trust list knows, for exactly these types; each document is one this wallet
can hold, with a key proof it can make truthfully. What is encrypted, and to which key, is decided
here too.

Specification: OpenID4VCI 1.0, sections 4.1, 10 and 12.2; PROFILE W-01 to W-05, W-30, W-33 to W-35.
"""

from datetime import datetime
from typing import Any

from shared.encoding import JsonValue
from shared.errors import InvalidInput, Untrusted, VerificationError
from shared.formats.credential import FORMATS
from shared.oauth.attestation import AUTH_METHOD
from shared.oauth.encryption import choose_enc, choose_encryption_key
from shared.oauth.messages import PRE_AUTHORIZED_CODE
from shared.oauth.metadata import AuthorizationServerMetadata
from shared.oid4vci.metadata import CredentialConfiguration, CredentialIssuerMetadata
from shared.oid4vci.offer import CredentialOffer
from shared.trust import Entity, TrustList, may_issue

from . import picturing
from .context import Wallet
from .discovering import UnknownAgency, authorization_server, issuer_metadata


class NotSupported(VerificationError):
    """A way of issuing that this wallet does not go, or may not go truthfully."""

    reason = "not_supported"
    whose_fault = "us"
    public = "This wallet cannot take this kind of offer."
    next_step = "Ask the agency for an offer that other wallets can take."


def agency(trust: TrustList, issuer: str, *, now: datetime) -> Entity:
    """Who *issuer* is, before anything is fetched from it.

    Raises:
        UnknownAgency: nobody on the trust list, or not in force.
    """
    try:
        entity = trust.entity_for_issuer(issuer)
    except Untrusted as error:
        raise UnknownAgency(str(error)) from error
    if not entity.covers(now):
        raise UnknownAgency("offer: the entity is not in force")
    return entity


def preview(
    wallet: Wallet, trust: TrustList, offer: CredentialOffer, *, locale: str, now: datetime
) -> dict[str, Any]:
    """The state of a flow that receives what *offer* names, complete but for codes and keys.

    Raises:
        InvalidInput: the documents do not fit the offer or each other.
        UnknownAgency: not trusted for what it offers.
        NotSupported: only ways of issuing we do not go.
    """
    # 1. The issuer is one the trust list knows, before anything is fetched from it.
    entity = agency(trust, offer.credential_issuer, now=now)
    # 2. A grant we can use: a code that is there already, else signing in (W-05).
    grant = offer.pre_authorized or offer.authorization_code
    if grant is None and offer.grants is not None:
        raise NotSupported("offer: no grant we know")
    way = PRE_AUTHORIZED_CODE if offer.pre_authorized is not None else "authorization_code"
    # 3. Its own metadata, confirmed by string comparison (W-03, W-04).
    metadata = issuer_metadata(wallet, trust, offer.credential_issuer, entity, now=now)
    metadata.configurations(offer.credential_configuration_ids)
    offered = None if grant is None else grant.authorization_server
    server = authorization_server(wallet, metadata, grant=way, offered=offered)
    # 4. Each configuration is one we can hold, and one this entity may issue (C-23).
    return {
        "issuer": offer.credential_issuer,
        "entity": entity.id,
        "entity_names": dict(entity.names),
        "server": asked(server, by_code=way == "authorization_code"),
        **terms(
            wallet,
            entity,
            metadata,
            offer.credential_configuration_ids,
            refreshes="refresh_token" in (server.grant_types_supported or ()),
            locale=locale,
            now=now,
        ),
    }


def terms(
    wallet: Wallet,
    entity: Entity,
    metadata: CredentialIssuerMetadata,
    configurations: tuple[str, ...],
    *,
    refreshes: bool,
    locale: str,
    now: datetime,
) -> dict[str, Any]:
    """Where and how *configurations* are asked for, by the newest metadata of their issuer.

    Where it *refreshes* tokens and takes attestations as proofs, spare keys are made as well.
    What it says of their looks is taken in the language of *locale*.
    """
    named = metadata.configurations(configurations)
    copies = min(metadata.batch_size, wallet.settings.copies)
    parts = [
        {
            **_part(wallet, entity, name, each, now=now),
            "look": picturing.said_by_issuer(metadata, each, locale=locale),
        }
        for name, each in named.items()
    ]
    return {
        "endpoints": {
            "credential": metadata.credential_endpoint,
            "nonce": metadata.nonce_endpoint,
            "deferred": metadata.deferred_credential_endpoint,
            "notification": metadata.notification_endpoint,
        },
        "encryption": _encryption(metadata),
        "resource": metadata.credential_issuer if metadata.authorization_servers else None,
        "locale": locale,
        "status_seconds": metadata.preferred_client_status_period,
        "parts": [
            {**part, "copies": copies, "spares": copies if part["refills"] and refreshes else 0}
            for part in parts
        ],
    }


def asked(server: AuthorizationServerMetadata, *, by_code: bool) -> dict[str, JsonValue]:
    """What is needed of an authorization server; PAR always, so without it there is no way."""
    if by_code:
        methods = server.code_challenge_methods_supported
        if server.pushed_authorization_request_endpoint is None or (
            server.authorization_endpoint is None
        ):
            raise NotSupported("authorization server: no pushed authorization requests")
        if methods is not None and "S256" not in methods:
            raise NotSupported("authorization server: no S256")
    listed = AUTH_METHOD in (server.token_endpoint_auth_methods_supported or ())
    return {
        "issuer": server.issuer,
        "token": server.token_endpoint,
        "par": server.pushed_authorization_request_endpoint,
        "authorize": server.authorization_endpoint,
        "challenge": server.challenge_endpoint,
        "attested": listed or by_code,  # W-10; without need nobody is told which wallet this is
    }


def _part(
    wallet: Wallet,
    entity: Entity,
    name: str,
    configuration: CredentialConfiguration,
    *,
    now: datetime,
) -> dict[str, Any]:
    kind = configuration.type
    if configuration.format not in FORMATS or kind is None:
        raise NotSupported("offer: a format this wallet does not hold")
    try:
        may_issue(
            entity,
            credential_format=configuration.format,
            credential_type=kind,
            issued_at=None,
            now=now,
        )
    except Untrusted as error:
        raise UnknownAgency(str(error)) from error
    proof, refills, seconds = _proof(wallet, configuration)
    shown = configuration.credential_metadata
    names = {
        each.locale or "en": each.name
        for each in (shown.display if shown else None) or ()
        if each.name
    }
    return {
        "configuration": name,
        "format": configuration.format,
        "type": kind,
        "names": names or {"en": kind},
        "scope": configuration.scope,
        "proof": proof,
        "refills": refills,
        "status_seconds": seconds,
    }


def _proof(wallet: Wallet, configuration: CredentialConfiguration) -> tuple[str, bool, int | None]:
    """The proof to make (`jwt`, `attested_jwt` or `attestation`), and whether keys alone refill.

    The third is how long the issuer prefers the status of the key store to be kept (TS3 2.4.2).
    """
    offered = {
        name: each
        for name, each in (configuration.proof_types_supported or {}).items()
        if "ES256" in each.proof_signing_alg_values_supported
        and wallet.provider.meets(each.key_attestations_required)
    }
    refills = "attestation" in offered
    asked = [each.key_attestations_required for each in offered.values()]
    periods = [each.preferred_key_storage_status_period for each in asked if each is not None]
    seconds = max((each for each in periods if each is not None), default=None)
    if (jwt := offered.get("jwt")) is not None:
        way = "jwt" if jwt.key_attestations_required is None else "attested_jwt"
        return way, refills, seconds
    if refills:
        return "attestation", True, seconds
    raise NotSupported("offer: no key proof this wallet can make truthfully")


def _encryption(metadata: CredentialIssuerMetadata) -> dict[str, JsonValue] | None:
    """W-34: both ways where the issuer can; the request alone where only that is wanted."""
    request, response = (
        metadata.credential_request_encryption,
        metadata.credential_response_encryption,
    )
    if request is None:
        return None
    try:
        to, enc = choose_encryption_key(request.jwks), choose_enc(request.enc_values_supported)
    except InvalidInput as error:
        if request.encryption_required:
            raise NotSupported(str(error)) from error
        return None
    answer = None
    if response is not None:
        usable = "ECDH-ES" in response.alg_values_supported
        encs = {"A256GCM", "A128GCM"}.intersection(response.enc_values_supported)
        if usable and encs:
            answer = choose_enc(encs)
        elif response.encryption_required:
            raise NotSupported("issuer metadata: no way to encrypt the response")
    if answer is None and not request.encryption_required:
        return None
    return {"jwk": to.to_jwk(), "enc": enc, "response_enc": answer}
