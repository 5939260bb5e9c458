"""What this issuer says about itself: Credential Issuer and Authorization Server metadata.

Built once for each tenant at start, from its file and its configurations; the bytes and their ETag
never change while the process lives. OpenID4VCI 1.0, section 12.2; RFC 8414; PROFILE I-01 to I-11.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from shared.crypto.keys import Signer
from shared.formats.type_metadata import Image, TypeMetadata
from shared.oauth.messages import PRE_AUTHORIZED_CODE
from shared.oauth.metadata import AuthorizationServerMetadata
from shared.oid4vci.metadata import (
    BatchIssuance,
    ClaimDescription,
    CredentialConfiguration,
    CredentialDisplay,
    CredentialIssuerMetadata,
    CredentialMetadata,
    IssuerDisplay,
    Localised,
    Logo,
    ProofType,
)

from .catalogue import Configuration
from .tenants import TenantFile

BATCH_SIZE = 20
"""Keys that one request may bring (I-67, S-21); a configuration may give fewer copies."""
PROOF_TYPES: Mapping[str, ProofType] = {
    "jwt": ProofType(proof_signing_alg_values_supported=("ES256",))
}


_signed: dict[str, tuple[datetime, str]] = {}  # by issuer


@dataclass(frozen=True, slots=True)
class Documents:
    """The two metadata documents of one tenant as they are served."""

    issuer: CredentialIssuerMetadata
    issuer_json: bytes
    server_json: bytes


def signed_metadata(found: Documents, signer: Signer, now: datetime) -> str:
    """The issuer metadata as a JWT, signed once an hour (I-07)."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    held = _signed.get(found.issuer.credential_issuer)
    if held is None or held[0] != hour:
        token = found.issuer.sign(signer=signer, now=hour, lifetime=timedelta(days=1))
        held = _signed[found.issuer.credential_issuer] = hour, token
    return held[1]


def etag(content: bytes) -> str:
    """The entity tag of *content*."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def documents(
    identifier: str, tenant: TenantFile, configurations: Mapping[str, Configuration]
) -> Documents:
    """Both documents of the issuer *identifier*."""
    issuer = issuer_metadata(identifier, tenant, configurations)
    server = server_metadata(identifier, tenant, configurations)
    return Documents(issuer, issuer.to_json(), server.to_json())


def issuer_metadata(
    identifier: str, tenant: TenantFile, configurations: Mapping[str, Configuration]
) -> CredentialIssuerMetadata:
    """Credential Issuer Metadata (OpenID4VCI 1.0, section 12.2.4; PROFILE I-03 to I-08)."""
    return CredentialIssuerMetadata(
        credential_issuer=identifier,
        credential_endpoint=f"{identifier}/credential",
        nonce_endpoint=f"{identifier}/nonce",
        notification_endpoint=f"{identifier}/notification",
        batch_credential_issuance=BatchIssuance(batch_size=BATCH_SIZE),
        display=tuple(
            IssuerDisplay(name=name, locale=locale) for locale, name in tenant.names.items()
        ),
        credential_configurations_supported={
            name: _described(each) for name, each in configurations.items()
        },
    )


def _described(configuration: Configuration) -> CredentialConfiguration:
    return CredentialConfiguration(
        format=configuration.file.format,
        scope=configuration.file.scope,
        vct=configuration.vct,
        credential_signing_alg_values_supported=("ES256",),
        cryptographic_binding_methods_supported=("jwk",),
        proof_types_supported=dict(PROOF_TYPES),
        credential_metadata=CredentialMetadata(
            display=_display(configuration.type), claims=_claims(configuration.type)
        ),
    )


def _display(kind: TypeMetadata) -> tuple[CredentialDisplay, ...] | None:
    shown = []
    for each in kind.display or ():
        simple = each.rendering.simple if each.rendering else None
        shown.append(
            CredentialDisplay(
                name=each.name,
                locale=each.locale,
                description=each.description,
                logo=_image(simple.logo) if simple else None,
                background_image=_image(simple.background_image) if simple else None,
                background_color=simple.background_color if simple else None,
                text_color=simple.text_color if simple else None,
            )
        )
    return tuple(shown) or None


def _image(image: Image | None) -> Logo | None:
    return None if image is None else Logo(uri=image.uri, alt_text=image.alt_text)


def _claims(kind: TypeMetadata) -> tuple[ClaimDescription, ...] | None:
    described = tuple(
        ClaimDescription(
            path=each.path,
            mandatory=each.mandatory,
            display=tuple(Localised(name=text.label, locale=text.locale) for text in each.display)
            or None,
        )
        for each in kind.claims
    )
    return described or None


def server_metadata(
    identifier: str, tenant: TenantFile, configurations: Mapping[str, Configuration]
) -> AuthorizationServerMetadata:
    """Authorization Server Metadata of what is offered here (RFC 8414; PROFILE I-10, I-11)."""
    anonymous = tenant.wallets_without_attestation
    methods = ("attest_jwt_client_auth", "none") if anonymous else ("attest_jwt_client_auth",)
    return AuthorizationServerMetadata(
        issuer=identifier,
        token_endpoint=f"{identifier}/token",
        challenge_endpoint=f"{identifier}/challenge",
        grant_types_supported=(PRE_AUTHORIZED_CODE,),
        scopes_supported=tuple(sorted({each.file.scope for each in configurations.values()})),
        authorization_details_types_supported=("openid_credential",),
        dpop_signing_alg_values_supported=("ES256",),
        token_endpoint_auth_methods_supported=methods,
        client_attestation_signing_alg_values_supported=("ES256",),
        client_attestation_pop_signing_alg_values_supported=("ES256",),
        pre_authorized_grant_anonymous_access_supported=anonymous,
        status_list_aggregation_endpoint=f"{identifier}/statuslists",
    )
