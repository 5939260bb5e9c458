"""What a credential format is to the rest: a few acts, and the words protocols have for it.

Each format is a class in a module of its own; `credential` lists them and says what the arguments
mean.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile
from ..encoding import JsonValue, RandomBytes
from .claims_path import ClaimPath
from .status_list import StatusReference
from .type_metadata import TypeMetadata
from .values import Held, HolderProof, Presented, Received, Session, Trusted


@dataclass(frozen=True, slots=True)
class Words:
    """How the protocols speak of a format (OpenID4VCI 1.0, appendix A; OpenID4VP 1.0, B)."""

    type_member: str
    """Names the type in Credential Issuer Metadata (I-04)."""
    signer: Profile
    """Of the certificates that sign it (C-24)."""
    binding_method: str
    """Of `cryptographic_binding_methods_supported`."""
    signing_algorithms: tuple[str | int, ...]
    """Of `credential_signing_alg_values_supported`."""
    sd_hash: bool
    """Whether the holder's proof names a hash of what is shown (HB-02)."""
    vp_formats: Mapping[str, tuple[str | int, ...]]
    """Its entry in `vp_formats_supported` (V-20, V-22)."""


class Format(Protocol):
    """What a format does; the functions of `credential` say what the arguments mean."""

    @property
    def words(self) -> Words:
        """The protocols' words for it."""
        ...

    def check_type(self, metadata: TypeMetadata) -> None:
        """Whether *metadata* describes a type of this format."""
        ...

    def check_claims(self, claims: Mapping[str, JsonValue], *, metadata: TypeMetadata) -> None:
        """Whether *claims* obey their type."""
        ...

    def issue(
        self,
        claims: Mapping[str, JsonValue],
        *,
        metadata: TypeMetadata,
        holder: PublicKey | None,
        status: StatusReference | None,
        issued_at: datetime,
        expires_at: datetime | None,
        signer: Signer,
        random_bytes: RandomBytes,
    ) -> str:
        """One copy, signed."""
        ...

    def receive(
        self, text: str, *, trusted: Trusted, now: datetime, algorithms: Collection[str]
    ) -> Received:
        """What an Issuer handed over, verified."""
        ...

    def present(
        self, held: Held, *, paths: Collection[ClaimPath], proof: HolderProof | None
    ) -> str:
        """What a verifier gets to see."""
        ...

    def verify(
        self,
        text: str,
        *,
        session: Session,
        holder_binding: bool,
        trusted: Trusted,
        now: datetime,
        algorithms: Collection[str],
    ) -> Presented:
        """A presentation, believed."""
        ...
