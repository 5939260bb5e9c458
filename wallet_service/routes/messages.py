"""Bodies and answers of `/api/v1`: strict, unknown members ignored; bytes are base64url."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic import JsonValue as JsonMember

from shared.encoding import b64url_decode
from shared.errors import InvalidInput

from ..registering import NewUnlocker


def _bytes(value: object) -> bytes:
    try:
        return b64url_decode(value if isinstance(value, str) else "?")
    except InvalidInput as error:
        raise ValueError("not base64url") from error


Bytes = Annotated[bytes, BeforeValidator(_bytes, json_schema_input_type=str)]
Key = Annotated[Bytes, Field(min_length=32, max_length=32)]
Wrap = Annotated[Bytes, Field(min_length=1, max_length=256)]
JsonObject = dict[str, JsonMember]
Locale = Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$", max_length=35)]


class Message(BaseModel):
    """Base of all bodies and answers."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class UnlockerBody(Message):
    """An unlocker as the browser made it: X25519 public keys, and the roots sealed to them."""

    read_key: Key
    act_key: Key
    read_wrap: Wrap
    act_wrap: Wrap

    def value(self) -> NewUnlocker:
        """As the acts take it."""
        return NewUnlocker(
            self.read_key, self.act_key, {"read": self.read_wrap, "act": self.act_wrap}
        )


class SessionKind(Message):
    """Where the session's token goes."""

    session: Literal["cookie", "bearer"] = "cookie"


class NewWallet(SessionKind):
    """POST /wallets."""

    registration: str
    creation: JsonObject
    assertion: JsonObject
    passkey: UnlockerBody
    recovery: UnlockerBody
    recovery_lookup: Key
    revocation_lookup: Key
    k_read: Key
    locale: Locale = "en"


class AssertionBody(Message):
    """POST /sessions/assertion."""

    assertion: JsonObject


class NewSessionBody(SessionKind):
    """POST /sessions."""

    opening: str
    k_read: Key


class LookupBody(Message):
    """What is derived from a recovery or revocation code."""

    lookup: Key


class NewRecoveryCode(LookupBody):
    """POST /codes/recovery: a new recovery code's public keys beside what finds it."""

    read_key: Key
    act_key: Key


class ProofBody(Message):
    """POST /recovery/proof."""

    k_read: Key


class NewPasskey(Message):
    """POST /unlockers: a further passkey, to be approved."""

    registration: str
    creation: JsonObject
    assertion: JsonObject
    read_key: Key
    act_key: Key


class RecoveredPasskey(SessionKind):
    """POST /recovery/passkey: the passkey that a recovery code brings in."""

    lookup: Key
    registration: str
    creation: JsonObject
    assertion: JsonObject
    passkey: UnlockerBody
    k_read: Key


class ScanBody(Message):
    """POST /scan: whatever was scanned, tapped or pasted."""

    text: Annotated[str, Field(min_length=1, max_length=20_000)]
    cross_device: bool = False


class TxCodeBody(Message):
    """POST /issuances/{id}/tx-code."""

    tx_code: Annotated[str, Field(min_length=1, max_length=64)]


class AcceptBody(Message):
    """POST /issuances/{id}/accept: cards whose place the new ones take, of those `already` held."""

    replace: list[str] = Field(default=[], max_length=20)


class TicketBody(Message):
    """POST /presentations: what the page of `/authorize` carries."""

    ticket: Annotated[str, Field(min_length=1, max_length=250_000)]


class WishBody(Message):
    """POST /issuances: a document of an agency, without an offer.

    By the agency's own name for it, or by its format and type, as an export file says it.
    """

    issuer: Annotated[str, Field(min_length=1, max_length=2048)]
    configuration: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    format: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    type: Annotated[str, Field(min_length=1, max_length=512)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.configuration is None) != (None not in {self.format, self.type}):
            raise ValueError("configuration, or format and type")
        return self


class CallbackBody(Message):
    """POST /issuances/callback: what stood in the query when the browser came back."""

    parameters: dict[str, Annotated[str, Field(max_length=8192)]]


class SelectBody(Message):
    """POST /presentations/{id}/select: card ids by Credential Query id; absent for the proposal."""

    picks: dict[str, list[str]] | None = None


class ApproveBody(Message):
    """POST /approvals/{id}/approve: the gesture, and the keys of exactly the named copies."""

    assertion: JsonObject
    copy_keys: dict[str, Key] = {}
    wraps: dict[Literal["read", "act"], Wrap] = {}


class LetterBody(Message):
    """POST /history/{seq}/letters."""

    kind: Literal["erasure", "report"]


class LocaleBody(Message):
    """PATCH-like POST /wallet/locale."""

    locale: Locale


class Answer(Message):
    """An answer whose members docs/wallet-api.md describes."""

    model_config = ConfigDict(extra="allow")


class FlowAnswer(Answer):
    """A long flow: where it stands and what can be done."""

    id: str
    step: str
    allowed_actions: list[str]
    expires_at: int


class ApprovalAnswer(Answer):
    """What is to be approved, and what the one gesture needs."""

    id: str
    type: str
    state: str
    payload: JsonObject
    expires_at: int
