"""What this issuer says about itself: Credential Issuer and Authorization Server metadata.

Built from the tenant's file and its configurations, at start; the issuer's changes when the key for
encrypted requests does. Served from memory with an ETag. OpenID4VCI 1.0, section 12.2; RFC 8414;
PROFILE I-01 to I-11.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from shared.crypto.keys import Decrypter, Signer
from shared.formats import credential
from shared.formats.type_metadata import Image, TypeMetadata
from shared.oauth.encryption import EncryptionKey, Jwks
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
    RequestEncryption,
    ResponseEncryption,
)

from .catalogue import Configuration
from .tenants import TenantFile

BATCH_SIZE = 20
"""Keys that one request may bring (I-67, S-21); a configuration may give fewer copies."""
ENC_VALUES = ("A128GCM", "A256GCM")  # C-04
_SIGNED_FOR = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Served:
    """A document as it is sent."""

    content: bytes
    media_type: str
    etag: str


@dataclass(slots=True)
class Documents:
    """The two metadata documents of one tenant.

    Attributes:
        issuer: the part of the issuer's that stays the same while the process lives.
    """

    issuer: CredentialIssuerMetadata
    file: TenantFile
    server_json: bytes
    _held: dict[str, tuple[object, Served]] = field(default_factory=dict, repr=False)
    _current: tuple[str | None, CredentialIssuerMetadata] | None = field(default=None, repr=False)

    def current(self, key: Decrypter) -> CredentialIssuerMetadata:
        """The issuer metadata while *key* is the one to encrypt requests to."""
        held = self._current
        if held is None or held[0] != key.kid:
            encryption = {
                "credential_request_encryption": _request_encryption(self.file, key),
                "credential_response_encryption": _response_encryption(self.file),
            }
            held = self._current = key.kid, self.issuer.model_copy(update=encryption)
        return held[1]

    def plain(self, key: Decrypter) -> Served:
        """The issuer metadata as JSON (I-02)."""
        held = self._held.get("plain")
        if held is None or held[0] != key.kid:
            content = self.current(key).to_json()
            held = key.kid, Served(content, "application/json", etag(content))
            self._held["plain"] = held
        return held[1]

    def signed(self, key: Decrypter, signer: Signer, now: datetime) -> Served:
        """The issuer metadata as a JWT, signed once an hour (I-07)."""
        hour = now.replace(minute=0, second=0, microsecond=0)
        held = self._held.get("signed")
        if held is None or held[0] != (key.kid, hour):
            metadata = self.current(key)
            token = metadata.sign(signer=signer, now=hour, lifetime=_SIGNED_FOR).encode()
            held = (key.kid, hour), Served(token, "application/jwt", etag(token))
            self._held["signed"] = held
        return held[1]


def _request_encryption(tenant: TenantFile, key: Decrypter) -> RequestEncryption:
    """`credential_request_encryption` (I-03); nothing is compressed, so no `zip` (S-21)."""
    return RequestEncryption(
        jwks=Jwks.model_validate({"keys": [EncryptionKey(key.public, key.kid).to_jwk()]}),
        enc_values_supported=ENC_VALUES,
        encryption_required=tenant.encryption_required,
    )


def _response_encryption(tenant: TenantFile) -> ResponseEncryption:
    """`credential_response_encryption` (I-03)."""
    return ResponseEncryption(
        alg_values_supported=("ECDH-ES",),
        enc_values_supported=ENC_VALUES,
        encryption_required=tenant.encryption_required,
    )


def etag(content: bytes) -> str:
    """The entity tag of *content*."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def documents(
    identifier: str, tenant: TenantFile, configurations: Mapping[str, Configuration]
) -> Documents:
    """Both documents of the issuer *identifier*."""
    issuer = issuer_metadata(identifier, tenant, configurations)
    server = server_metadata(identifier, tenant, configurations)
    return Documents(issuer, tenant, server.to_json())


def issuer_metadata(
    identifier: str, tenant: TenantFile, configurations: Mapping[str, Configuration]
) -> CredentialIssuerMetadata:
    """Credential Issuer Metadata (OpenID4VCI 1.0, section 12.2.4; PROFILE I-03 to I-08)."""
    return CredentialIssuerMetadata(
        credential_issuer=identifier,
        credential_endpoint=f"{identifier}/credential",
        nonce_endpoint=f"{identifier}/nonce",
        deferred_credential_endpoint=f"{identifier}/deferred_credential",
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
    words = credential.words(configuration.file.format)
    return CredentialConfiguration(
        format=configuration.file.format,
        scope=configuration.file.scope,
        vct=configuration.vct if words.type_member == "vct" else None,
        doctype=configuration.vct if words.type_member == "doctype" else None,
        credential_signing_alg_values_supported=words.signing_algorithms,
        cryptographic_binding_methods_supported=(words.binding_method,),
        proof_types_supported=dict(configuration.proof_types),
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
        authorization_endpoint=f"{identifier}/authorize",
        token_endpoint=f"{identifier}/token",
        pushed_authorization_request_endpoint=f"{identifier}/par",
        require_pushed_authorization_requests=True,
        challenge_endpoint=f"{identifier}/challenge",
        revocation_endpoint=f"{identifier}/revoke",
        revocation_endpoint_auth_methods_supported=methods,
        jwks_uri=f"{identifier}/jwks",
        response_types_supported=("code",),
        response_modes_supported=("query",),
        grant_types_supported=(
            "authorization_code",
            PRE_AUTHORIZED_CODE,
            *(("refresh_token",) if tenant.refresh_token_days else ()),
        ),
        scopes_supported=tuple(sorted({each.file.scope for each in configurations.values()})),
        authorization_details_types_supported=("openid_credential",),
        code_challenge_methods_supported=("S256",),
        authorization_response_iss_parameter_supported=True,
        dpop_signing_alg_values_supported=("ES256",),
        token_endpoint_auth_methods_supported=methods,
        client_attestation_signing_alg_values_supported=("ES256",),
        client_attestation_pop_signing_alg_values_supported=("ES256",),
        pre_authorized_grant_anonymous_access_supported=anonymous,
        status_list_aggregation_endpoint=f"{identifier}/statuslists",
    )
