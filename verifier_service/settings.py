"""The verifier's environment variables, `VERIFIER_…`."""

from datetime import timedelta
from pathlib import Path

from pydantic import Field

from shared.runtime.settings import ServiceSettings, env_config


class VerifierSettings(ServiceSettings):
    """Settings of verifier_service."""

    model_config = env_config("VERIFIER_")

    tenants_directory: Path = Field(
        description="Directory with one file for each tenant, <tenant>.json."
    )
    queries_directory: Path | None = Field(
        default=None, description="Directory with further queries beside the built-in ones."
    )
    result_days: int = Field(
        default=30,
        ge=1,
        le=3650,
        description="For how many days a verdict, without claims, outlives its transaction.",
    )
    status_ttl_min: int = Field(
        default=60, ge=1, description="Seconds a status list is used at least (ST-52)."
    )
    status_ttl_max: int = Field(
        default=86_400, ge=1, description="Seconds a status list is used at most (ST-52)."
    )
    event_interval: float = Field(
        default=0.4,
        ge=0.05,
        le=5,
        description="Seconds between two looks at the database while somebody awaits events.",
    )

    counter_blank_seconds: int = Field(
        default=60,
        ge=20,
        le=1800,
        description="Seconds after which a counter's page blanks an answer by itself.",
    )

    @property
    def result_retention(self) -> timedelta:
        """How long verdicts are kept."""
        return timedelta(days=self.result_days)
