"""The issuer's environment variables; the common ones are in `shared.runtime.settings`."""

from pathlib import Path

from pydantic import Field

from shared.runtime.settings import ServiceSettings, env_config


class IssuerSettings(ServiceSettings):
    """What an operator decides for this service; what one agency decides is in its tenant file."""

    model_config = env_config("ISSUER_")

    tenants_directory: Path = Field(description="Directory with one JSON file for each tenant.")
    credentials_directory: Path | None = Field(
        default=None,
        description="Directory with an agency's own Credential Configurations, beside the built-in "
        "ones; a file with the id of a built-in one replaces it.",
    )
    offer_seconds: int = Field(
        default=300,
        ge=30,
        description="How long an offer is good if its creator does not say (I-22).",
    )
    offer_seconds_max: int = Field(
        default=604_800,
        ge=30,
        description="The longest life that the creator of an offer may ask for.",
    )
    offer_days: int = Field(
        default=400,
        ge=31,
        description="How long after it was made an offer that ended is still listed, then deleted.",
    )
    record_days: int | None = Field(
        default=None,
        ge=31,
        description="How long after its end the record of a credential is kept (for whom, which "
        "type, when, its places in status lists; no claims); unset: for ever.",
    )
    access_token_seconds: int = Field(
        default=300,
        ge=30,
        le=600,
        description="How long an access token of a wallet is good (I-53).",
    )
    request_key_hours: int = Field(
        default=24,
        ge=1,
        le=24 * 31,
        description="For how long each key for encrypted requests is published; it is good for an "
        "hour more, then erased (I-80).",
    )
    attestation_max_age_seconds: int | None = Field(
        default=None,
        ge=60,
        description="How old a Wallet Attestation may be, whatever end its provider gave it; "
        "unset, its own end decides (I-32).",
    )
    status_list_size: int = Field(
        default=2**20, ge=2**17, description="Entries of each new status list (ST-32)."
    )
    status_tick_seconds: int = Field(
        default=2,
        ge=1,
        le=5,
        description="Changes of status are published together this often (ST-33).",
    )
    status_ttl_max: int = Field(
        default=86_400,
        ge=1,
        description="Seconds that a Status List Token may be kept at most, whatever a "
        "configuration says: lower it where a revocation must be seen sooner (ST-42).",
    )
    status_block: int = Field(
        default=64, ge=20, le=4096, description="Status indexes that a process leases at a time."
    )
