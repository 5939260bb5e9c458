"""Credential Issuer Metadata, plain and signed (OpenID4VCI 1.0, section 12.2).

Both sides use the same models: the issuer builds and publishes, the wallet parses what it fetched
and compares identifiers as plain strings (C-35). Configurations in formats that we do not know keep
nothing but the format. Lines I-01 to I-08, W-03, W-04.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from ..crypto.keys import Signer
from ..crypto.x509 import Profile
from ..encoding import to_numeric_date
from ..errors import InvalidInput
from ..formats.claims_path import ClaimPath, parse_path
from ..jose import jws
from ..oauth.encryption import Jwks
from ..oauth.messages import ProtocolModel, Several, Text, Url
from ..oauth.metadata import well_known_url

__all__ = ["CredentialIssuerMetadata", "well_known_url"]

WELL_KNOWN = "openid-credential-issuer"
SIGNED_TYP = "openidvci-issuer-metadata+jwt"
MAX_METADATA_BYTES = 1024 * 1024  # S-20
KNOWN_FORMATS = frozenset({"dc+sd-jwt", "mso_mdoc", "jwt_vc_json", "vc+jwt"})
_LEEWAY = timedelta(seconds=30)  # C-40
_SCOPE = r"[\x21\x23-\x5B\x5D-\x7E]+"  # RFC 6749, section 3.3
_LOCALE = re.compile(r"[A-Za-z]{1,8}(-[A-Za-z0-9]{1,8})*")


def _path(raw: object) -> ClaimPath:
    try:
        return parse_path(raw)
    except InvalidInput as error:
        raise ValueError(str(error)) from error


class Logo(ProtocolModel):
    """An image by `https:` or `data:` URI; untrusted."""

    uri: Text
    alt_text: str | None = None


class Localised(ProtocolModel):
    """What every display object has."""

    name: str | None = None
    locale: str | None = None

    @model_validator(mode="after")
    def _tagged(self) -> Self:
        if self.locale is not None and not _LOCALE.fullmatch(self.locale):
            raise ValueError("locale is not a language tag")  # I-08
        return self


class IssuerDisplay(Localised):
    """Section 12.2.4, `display` of the issuer."""

    logo: Logo | None = None


class CredentialDisplay(Localised):
    """Section 12.2.4, `display` of a credential: `name` is required."""

    name: str
    logo: Logo | None = None
    description: str | None = None
    background_color: str | None = None
    background_image: Logo | None = None
    text_color: str | None = None


class ClaimDescription(ProtocolModel):
    """Appendix B.2."""

    path: Annotated[ClaimPath, BeforeValidator(_path)]
    mandatory: bool = False
    display: Several[Localised] | None = None


class CredentialMetadata(ProtocolModel):
    """Section 12.2.4, `credential_metadata`."""

    display: Several[CredentialDisplay] | None = None
    claims: Several[ClaimDescription] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_locales(self.display)
        _check_claims(tuple(claim.path for claim in self.claims or ()))
        return self


class KeyAttestationsRequired(ProtocolModel):
    """Section 12.2.4: empty means required without constraint (I-05)."""

    key_storage: Several[str] | None = None
    user_authentication: Several[str] | None = None
    preferred_key_storage_status_period: Annotated[int, Field(ge=0)] | None = None  # TS3 2.4


class ProofType(ProtocolModel):
    """Section 12.2.4, one value of `proof_types_supported`."""

    proof_signing_alg_values_supported: Several[str]
    key_attestations_required: KeyAttestationsRequired | None = None


class CredentialDefinition(ProtocolModel):
    """Appendix A.1.1.2."""

    type: Several[str]


class CredentialConfiguration(ProtocolModel):
    """Section 12.2.4 and appendix A (I-04)."""

    format: Text
    scope: Annotated[str, Field(pattern=f"^{_SCOPE}$")] | None = None
    vct: str | None = None
    doctype: str | None = None
    credential_definition: CredentialDefinition | None = None
    credential_signing_alg_values_supported: Several[str | int] | None = None
    cryptographic_binding_methods_supported: Several[str] | None = None
    proof_types_supported: Annotated[dict[str, ProofType], Field(min_length=1)] | None = None
    credential_metadata: CredentialMetadata | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        typed = {
            "dc+sd-jwt": self.vct,
            "mso_mdoc": self.doctype,
            "jwt_vc_json": self.credential_definition,
            "vc+jwt": self.credential_definition,
        }
        if self.format in typed and typed[self.format] is None:
            raise ValueError("type member missing")
        if (self.proof_types_supported is None) != (
            self.cryptographic_binding_methods_supported is None
        ):
            raise ValueError("binding methods and proof types do not come together")  # I-05
        return self

    @property
    def type(self) -> str | None:
        """The credential type, where one name says it: the `vct` or the doctype."""
        return self.doctype if self.vct is None else self.vct

    @property
    def key_bound(self) -> bool:
        """Whether credentials of this configuration are bound to a key."""
        return self.cryptographic_binding_methods_supported is not None


class RequestEncryption(ProtocolModel):
    """Section 12.2.4, `credential_request_encryption`."""

    jwks: Jwks
    enc_values_supported: Several[str]
    zip_values_supported: Several[str] | None = None
    encryption_required: bool


class ResponseEncryption(ProtocolModel):
    """Section 12.2.4, `credential_response_encryption`."""

    alg_values_supported: Several[str]
    enc_values_supported: Several[str]
    zip_values_supported: Several[str] | None = None
    encryption_required: bool


class BatchIssuance(ProtocolModel):
    """Section 12.2.4, `batch_credential_issuance`."""

    batch_size: Annotated[int, Field(ge=2)]


def _known_only(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    return {
        name: {"format": each["format"]}
        if isinstance(each, Mapping)
        and isinstance(each.get("format"), str)
        and each["format"] not in KNOWN_FORMATS
        else each
        for name, each in value.items()
    }


class CredentialIssuerMetadata(ProtocolModel):
    """Section 12.2.4 (I-03)."""

    credential_issuer: Url
    authorization_servers: Several[Url] | None = None
    credential_endpoint: Url
    nonce_endpoint: Url | None = None
    deferred_credential_endpoint: Url | None = None
    notification_endpoint: Url | None = None
    credential_request_encryption: RequestEncryption | None = None
    credential_response_encryption: ResponseEncryption | None = None
    batch_credential_issuance: BatchIssuance | None = None
    preferred_client_status_period: Annotated[int, Field(ge=0)] | None = None  # TS3 2.4
    display: Several[IssuerDisplay] | None = None
    credential_configurations_supported: Annotated[
        dict[str, CredentialConfiguration], BeforeValidator(_known_only)
    ]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_locales(self.display)
        response = self.credential_response_encryption
        if (
            response is not None
            and response.encryption_required
            and self.credential_request_encryption is None
        ):
            raise ValueError("response encryption without request encryption")  # T-07
        return self

    @property
    def batch_size(self) -> int:
        """How many keys one request may bring: 1 without `batch_credential_issuance` (I-67)."""
        batch = self.batch_credential_issuance
        return 1 if batch is None else batch.batch_size

    def check_issuer(self, expected: str) -> None:
        """`credential_issuer` is, character for character, the one the metadata was fetched for.

        Raises:
            InvalidInput: it is not; the metadata must not be used.

        Specification: OpenID4VCI 1.0, section 12.2.4; PROFILE W-03, C-35.
        """
        if self.credential_issuer != expected:
            raise InvalidInput("issuer metadata: credential_issuer is another one")

    def authorization_server(self, offered: str | None = None) -> str:
        """The authorization server to use: the *offered* one if it is listed, else the first.

        Raises:
            InvalidInput: the offer names one that is not in `authorization_servers`.

        Specification: OpenID4VCI 1.0, sections 4.1.1 and 12.2.4; PROFILE W-04.
        """
        servers = self.authorization_servers or (self.credential_issuer,)
        if offered is None:
            return servers[0]
        if offered not in (self.authorization_servers or ()):
            raise InvalidInput("offer: authorization_server is not listed in the metadata")
        return offered

    def configurations(self, ids: Collection[str]) -> dict[str, CredentialConfiguration]:
        """The configurations that an offer names.

        Raises:
            InvalidInput: one of them is not in the metadata (W-01).
        """
        if not set(ids) <= self.credential_configurations_supported.keys():
            raise InvalidInput("offer: a configuration is not in the issuer metadata")
        return {each: self.credential_configurations_supported[each] for each in ids}

    def sign(self, *, signer: Signer, now: datetime, lifetime: timedelta | None = None) -> str:
        """The metadata as a signed JWT (section 12.2.3; PROFILE I-07).

        Args:
            signer: the metadata key with its certificates.
            now: becomes `iat`.
            lifetime: gives `exp`; without it there is none.
        """
        claims = {**self.to_object(), "sub": self.credential_issuer, "iat": to_numeric_date(now)}
        if lifetime is not None:
            claims["exp"] = to_numeric_date(now + lifetime)
        return jws.sign_jwt(claims, typ=SIGNED_TYP, signer=signer)

    @classmethod
    def verify(
        cls,
        token: str,
        *,
        issuer: str,
        anchors: Collection[bytes],
        now: datetime,
        revoked: Collection[str] = frozenset(),
        pinned: Collection[bytes] = frozenset(),
    ) -> Self:
        """The metadata in a signed JWT whose signer chains to a *metadata* anchor.

        Raises:
            InvalidInput, VerificationError: malformed, not trusted, of another issuer, out of time.
                There is no falling back to the unsigned form.

        Specification: OpenID4VCI 1.0, section 12.2.3; PROFILE W-03, I-07.
        """
        jwt = jws.verify_x5c_jwt(
            jws.parse_jws(token, max_bytes=MAX_METADATA_BYTES),
            typ=SIGNED_TYP,
            algorithms=("ES256",),
            anchors=anchors,
            profile=Profile.METADATA,
            now=now,
            revoked=revoked,
            pinned=pinned,
        )
        jws.check_times(jwt.claims, now=now, leeway=_LEEWAY, require=("iat",))
        if jwt.claims.get("sub") != issuer:
            raise InvalidInput("signed metadata: sub is another issuer")
        metadata = cls.from_object(jwt.claims)
        metadata.check_issuer(issuer)
        return metadata


def _check_locales(display: Collection[Localised] | None) -> None:
    locales = [each.locale for each in display or ()]
    if len(set(locales)) != len(locales):
        raise ValueError("a locale occurs twice")  # I-08


def _check_claims(paths: tuple[ClaimPath, ...]) -> None:
    """No claim twice; below one path, array and object use exclude each other (I-06)."""
    if len(set(paths)) != len(paths):
        raise ValueError("a claim is described twice")
    kinds: dict[ClaimPath, type] = {}
    for path in paths:
        for depth, component in enumerate(path):
            kind = kinds.setdefault(path[:depth], type(component))
            if kind is not type(component):
                raise ValueError("paths disagree about one node")
