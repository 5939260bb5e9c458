"""What `/api/v1` takes and answers: closed models, so that OpenAPI says all of it."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from .queries import DataFile, Flow, Shown, Text
from .transactions import State
from .verdicts import Verdict

Code = Annotated[str, Field(pattern=r"^[a-z0-9_]{1,64}$")]


class Answer(BaseModel):
    """Frozen, and nothing beyond its members."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class StartRequest(DataFile):
    """What the asker says. `return_url` is where the browser comes back to (same device)."""

    query: str = Field(max_length=64)
    flow: Flow | Literal["dc_api"] = "cross_device"
    return_url: str | None = Field(default=None, max_length=2000)
    wallet_endpoint: str | None = Field(default=None, max_length=2000)
    request_uri_method: Literal["get", "post"] = "get"
    transaction_data: list[dict[str, JsonValue]] = Field(default_factory=list, max_length=20)
    """What the citizen confirms beside the claims; types as the query's file allows."""


class Started(Answer):
    """A transaction has begun. `secret` is shown once and needed for everything that follows."""

    transaction_id: str
    secret: str
    query: str
    flow: Flow | Literal["dc_api"]
    link: str
    """What to open, or to draw as QR code."""
    links: dict[Literal["openid4vp", "haip-vp"], str]
    page: str
    """Where to send the browser in the flows of one device: it gets the start cookie there, and is
    asked for its wallet or led to another one. The web component takes it, too; the only address
    of a transaction that a browser may know."""
    expires_at: str


class TransactionAnswer(Answer):
    """Where a transaction is, and how it ended."""

    transaction_id: str
    query: str
    flow: Flow | Literal["dc_api"]
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


class Reason(DataFile):
    """Why a clerk does what the rules alone would not: a code, never a name or a sentence."""

    reason: Code


class Receipt(Answer):
    """A JWT that says what was erased, and when."""

    receipt: str


class HoldRequest(DataFile):
    """Nothing of the transaction is erased before *until*; by whose order, and who agreed."""

    until: str = Field(max_length=40)
    reason: Code
    legal_basis: str = Field(min_length=1, max_length=200)
    second_approver: str | None = Field(default=None, min_length=1, max_length=64)


class HoldAnswer(Answer):
    """Until when a transaction is held; None if it is not."""

    transaction_id: str
    held_until: str | None = None


class AuditAnswer(Answer):
    """Rows of the tenant's chain, and its newest signed head."""

    rows: tuple[dict[str, JsonValue], ...]
    head: str | None = None
    next_after: int | None = None


class Message(Answer):
    """What a webhook was told, or is to be told."""

    id: str
    transaction_id: str
    state: str
    at: str
    attempts: int
    next_attempt: str | None = None
    delivered_at: str | None = None


class Messages(Answer):
    """The newest first."""

    messages: tuple[Message, ...]


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
