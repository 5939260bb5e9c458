"""What `/api/v1` takes and answers: closed models, so that OpenAPI says all of it."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from .queries import DataFile, Flow, Shown, Text
from .transactions import State
from .verdicts import Verdict


class Answer(BaseModel):
    """Frozen, and nothing beyond its members."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StartRequest(DataFile):
    """What the asker says. `return_url` is where the browser comes back to (same device)."""

    query: str = Field(max_length=64)
    flow: Flow = "cross_device"
    return_url: str | None = Field(default=None, max_length=2000)
    wallet_endpoint: str | None = Field(default=None, max_length=2000)
    request_uri_method: Literal["get", "post"] = "get"


class Started(Answer):
    """A transaction has begun. `secret` is shown once and needed for everything that follows."""

    transaction_id: str
    secret: str
    query: str
    flow: Flow
    link: str
    """What to open, or to draw as QR code."""
    links: dict[Literal["openid4vp", "haip-vp"], str]
    expires_at: str


class TransactionAnswer(Answer):
    """Where a transaction is, and how it ended."""

    transaction_id: str
    query: str
    flow: Flow
    state: State
    created_at: str
    expires_at: str
    ended_at: str | None = None
    session_bound: bool | None = None
    """V-51: only in the same-device flow it is known whose browser answered."""
    verdict: Verdict | None = None
    claims: dict[str, JsonValue] | None = None
    """By Credential Query id, until `claims_until`; only what was asked for."""
    claims_until: str | None = None


class Return(Answer):
    """What the browser brought back."""

    response_code: str


class QueryAnswer(Answer):
    """A question that this tenant may ask."""

    id: str
    purpose: str
    texts: dict[str, Text]
    flows: tuple[Flow, ...]
    show: tuple[Shown, ...]


class Queries(Answer):
    """The questions of a tenant."""

    queries: tuple[QueryAnswer, ...]
