"""The wallet's environment variables, prefix WALLET_."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from shared.oid4vci.key_attestation import Level
from shared.runtime.settings import CommaList, ServiceSettings, env_config


class WalletSettings(ServiceSettings):
    """Beside what every service has (`shared/runtime/settings.py`)."""

    model_config = env_config("WALLET_")

    shares_database_url: SecretStr = Field(
        description="URL of the shares store: another database, with another backup, than "
        "DATABASE_URL (WALLET_SECURITY 2)."
    )
    rp_id: str = Field(
        description="WebAuthn rpId: the exact host of the wallet, never a shared parent domain; "
        "passkeys are bound to it, so it can never change."
    )
    app_origins: CommaList = Field(
        default=(),
        description="Further WebAuthn origins beside PUBLIC_URL, for native apps "
        "(android:apk-key-hash:…).",
    )
    wallet_name: str = Field(default="Citizen Wallet", description="Name shown with passkeys.")
    client_id: str | None = Field(
        default=None,
        description="What this wallet is called at agencies, `sub` of its attestations, the same "
        "for all citizens; PUBLIC_URL unless set.",
    )
    key_storage_level: Level | None = Field(
        default=None,
        description="The resistance to attack that the PKCS #11 token was certified for, as key "
        "attestations state it; never said of keys in software.",
    )
    key_storage_certification: str | None = Field(
        default=None,
        description="URL of that certification, as key attestations name it; never for keys in "
        "software.",
    )
    certification: str | None = Field(
        default=None,
        description="URL that says who certified this wallet solution and for what, as its "
        "attestations name it; nothing is said without one.",
    )
    copies: int = Field(
        default=10, ge=1, le=20, description="Copies of a credential taken at once (S-21: 20)."
    )
    refill_below: int = Field(
        default=4,
        ge=0,
        le=20,
        description="With fewer unused copies than this a card is filled up when its wallet opens.",
    )
    session_idle_minutes: int = Field(
        default=10, ge=1, le=60, description="An open wallet closes after this time unused."
    )
    session_minutes: int = Field(
        default=60, ge=1, le=720, description="An open wallet closes after this time in any case."
    )
    recovery_hours: int = Field(
        default=24,
        ge=0,
        le=720,
        description="Waiting period between typing the recovery code and adding a passkey.",
    )
    over_asking: Literal["block", "warn"] = Field(
        default="block",
        description="What happens when an agency asks beyond its entitlement: no answer is "
        "possible, or a warning beside each claim.",
    )
    plain_requests: bool = Field(
        default=False,
        description="INSECURE: take requests outside HAIP too: unsigned ones, by value, and "
        "answered without encryption; for test plans.",
    )
    event_interval: float = Field(
        default=1.0,
        gt=0,
        description="Seconds between two looks at the database while an open wallet listens.",
    )
    status_ttl_min: int = Field(
        default=60, ge=1, description="Seconds a status list is used at least (ST-52)."
    )
    signed_issuer_metadata: bool = Field(
        default=False,
        description="Take issuer metadata only as JWT signed by a metadata key of the trust list.",
    )

    @field_validator("app_origins", mode="before")
    @classmethod
    def _split_origins(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(each.strip() for each in value.split(",") if each.strip())
        return value

    def insecure(self) -> tuple[str, ...]:
        """A sentence for each setting that trades security for comfort."""
        own = ("plain_requests is on: requests of nobody known are taken, never in production.",)
        return (*super().insecure(), *(own if self.plain_requests else ()))

    @property
    def allowed_origins(self) -> tuple[str, ...]:
        """WebAuthn origins: that of PUBLIC_URL, and those of native apps."""
        parts = urlsplit(self.public_url)
        return (f"{parts.scheme}://{parts.netloc}", *self.app_origins)
