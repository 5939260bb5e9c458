"""The wallet's database: what remains in the clear is random ids, coarse dates, counts and states.

Everything the citizen may read is sealed under keys of `K_read` (`vault.py`), holder keys under the
key of one copy (`signer.py`). `S`, the server's half of each wrap, is in a database of its own
(`shares/tables.py`). No issuer, verifier, type or public key of a credential stands here readable.

Specification: WALLET_SECURITY, sections 2 and 3.
"""

from datetime import datetime
from typing import cast

from sqlalchemy import Index, Table, UniqueConstraint, literal_column
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.runtime.database import UtcDateTime, new_metadata
from shared.runtime.tables import add_runtime_tables

_ID = 64


class Base(SQLModel, registry=registry(metadata=new_metadata())):
    """This service's tables alone: SQLModel's own registry is global."""


class WalletRow(Base, table=True):
    """One wallet: its state, and the version and log head that every approval names."""

    __tablename__ = "wallets"

    id: str = Field(primary_key=True, max_length=_ID)
    state: str = Field(max_length=16)  # begun, active, frozen, leaving
    locale: str = Field(max_length=35)
    created_on: datetime = Field(sa_type=UtcDateTime)  # the day
    version: int  # one more with every entry of the log
    log_head: bytes  # 32 bytes; zeros before the first entry
    spent: bytes = b""  # sealed, for this version: the copies that were shown
    unlockers_mac: bytes  # under K_read, over the public keys of all unlockers
    backed_up: bool  # a second unlocker has worked once


class UnlockerRow(Base, table=True):
    """A passkey or the recovery code: public keys only."""

    __tablename__ = "unlockers"
    __table_args__ = (Index("unlockers_of", "wallet"),)

    id: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID)
    kind: str = Field(max_length=16)  # passkey, recovery
    credential_id: bytes | None = Field(default=None, unique=True)
    credential_key: bytes | None = None  # COSE_Key
    sign_count: int = 0
    read_key: bytes  # X25519
    act_key: bytes  # X25519


class WrapRow(Base, table=True):
    """One root for one unlocker: the outer layer is the service's, the inner the citizen's."""

    __tablename__ = "wraps"

    unlocker: str = Field(primary_key=True, max_length=_ID)
    purpose: str = Field(primary_key=True, max_length=8)  # read, act
    wallet: str = Field(max_length=_ID, index=True)
    blob: bytes


class SessionRow(Base, table=True):
    """An open wallet: K_read and its ends under the random value that only the browser holds."""

    __tablename__ = "sessions"

    id: str = Field(primary_key=True, max_length=_ID)
    token_hash: bytes = Field(unique=True)
    wallet: str = Field(max_length=_ID, index=True)
    unlocker: str = Field(max_length=_ID)
    sealed_key: bytes
    started_at: datetime = Field(sa_type=UtcDateTime)  # the hour
    ends_at: datetime = Field(sa_type=UtcDateTime, index=True)  # the hour after it; sealed: exact


class UsedChallengeRow(Base, table=True):
    """Challenges are sealed time and randomness; only their use is recorded."""

    __tablename__ = "used_challenges"

    hash: bytes = Field(primary_key=True)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class ApprovalRow(Base, table=True):
    """What the citizen is asked to approve; consumed once by a guarded UPDATE."""

    __tablename__ = "approvals"

    id: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID, index=True)
    type: str = Field(max_length=24)
    state: str = Field(max_length=16)  # pending, consumed, refused
    payload: bytes  # sealed
    payload_hash: bytes
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class CredentialRow(Base, table=True):
    """One card with its decoded claims, and the labels of its type: both sealed."""

    __tablename__ = "credentials"

    id: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID, index=True)
    sealed: bytes
    labels: bytes


class PictureRow(Base, table=True):
    """The images of one card, all of them sealed together, as they were received with it."""

    __tablename__ = "pictures"

    credential: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID, index=True)
    sealed: bytes


class CopyRow(Base, table=True):
    """One copy of a credential with its own holder key, which opens with `K_copy` only."""

    __tablename__ = "copies"
    __table_args__ = (Index("copies_of", "credential", "state"),)

    id: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID, index=True)
    credential: str = Field(max_length=_ID)
    state: str = Field(max_length=16)  # fresh, spent
    uses: int = 0
    sealed: bytes  # the credential, its public key, to whom it was shown
    key_blob: bytes


class GuessRow(Base, table=True):
    """How often codes were tried from one address in one hour; says no address."""

    __tablename__ = "guesses"

    bucket: bytes = Field(primary_key=True)
    tries: int
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class IssuanceRow(Base, table=True):
    """From Credential Offer to stored Credentials, one row a flow."""

    __tablename__ = "issuances"
    __table_args__ = (UniqueConstraint("wallet", "request_key"),)

    id: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID, index=True)
    step: str = Field(max_length=24)
    request_key: bytes  # of the Idempotency-Key, or random
    sealed: bytes
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class CallbackRow(Base, table=True):
    """A sign-in at an agency that was begun: its `state`, hashed, for one browser session; once."""

    __tablename__ = "callbacks"

    hash: bytes = Field(primary_key=True)
    wallet: str = Field(max_length=_ID, index=True)
    session: str = Field(max_length=_ID)
    issuance: str = Field(max_length=_ID)
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class RenewalRow(Base, table=True):
    """What renews one card without its citizen's gesture: refresh token, DPoP and instance keys."""

    __tablename__ = "renewals"

    credential: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID, index=True)
    sealed: bytes
    not_before: datetime = Field(sa_type=UtcDateTime)  # of two attempts one goes on, then a pause


class SpareKeyRow(Base, table=True):
    """A holder key made with the copies of a card and proven by no credential yet."""

    __tablename__ = "spare_keys"

    id: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID, index=True)
    credential: str = Field(max_length=_ID, index=True)
    sealed: bytes  # the public key
    key_blob: bytes


class AttestationListRow(Base, table=True):
    """A Status List of the wallet provider, as it was published last."""

    __tablename__ = "attestation_lists"

    number: int = Field(primary_key=True)
    taken: int
    covers: int
    needed_until: datetime = Field(sa_type=UtcDateTime)
    published_at: datetime = Field(sa_type=UtcDateTime)
    version: int
    digest: bytes  # of what is not valid in it
    token: str


class AttestationStatusRow(Base, table=True):
    """The place of one client instance in a Status List; whose it is, so that it can be revoked."""

    __tablename__ = "attestation_status"

    list: int = Field(primary_key=True)
    idx: int = Field(primary_key=True)
    wallet: str = Field(max_length=_ID, index=True)
    state: str = Field(max_length=16)  # valid, suspended, revoked
    needed_until: datetime = Field(sa_type=UtcDateTime, index=True)


class PresentationRow(Base, table=True):
    """From Authorization Request to answer, one row a flow."""

    __tablename__ = "presentations"
    __table_args__ = (UniqueConstraint("wallet", "request_key"),)

    id: str = Field(primary_key=True, max_length=_ID)
    wallet: str = Field(max_length=_ID, index=True)
    step: str = Field(max_length=24)
    request_key: bytes
    sealed: bytes
    expires_at: datetime = Field(sa_type=UtcDateTime, index=True)


class LogEntryRow(Base, table=True):
    """One entry of the citizen's log: sealed, chained; without body it is a tombstone."""

    __tablename__ = "log_entries"

    wallet: str = Field(primary_key=True, max_length=_ID)
    seq: int = Field(primary_key=True)
    head: bytes  # sealed: time, type, result
    body: bytes | None  # sealed
    body_hash: bytes
    previous_hash: bytes
    entry_hash: bytes


class CodeRow(Base, table=True):
    """Recovery and revocation codes, found by a MAC of what is derived from them."""

    __tablename__ = "codes"

    wallet: str = Field(primary_key=True, max_length=_ID)
    kind: str = Field(primary_key=True, max_length=16)  # recovery, revocation
    mac: bytes = Field(unique=True)
    not_before: datetime | None = Field(default=None, sa_type=UtcDateTime)


metadata = Base.metadata
add_runtime_tables(metadata)

wallets = cast(Table, WalletRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
unlockers = cast(Table, UnlockerRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
wraps = cast(Table, WrapRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
sessions = cast(Table, SessionRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
used_challenges = cast(Table, UsedChallengeRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
approvals = cast(Table, ApprovalRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
credentials = cast(Table, CredentialRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
pictures = cast(Table, PictureRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
copies = cast(Table, CopyRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
guesses = cast(Table, GuessRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
issuances = cast(Table, IssuanceRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
callbacks = cast(Table, CallbackRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
renewals = cast(Table, RenewalRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
spare_keys = cast(Table, SpareKeyRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
attestation_lists = cast(Table, AttestationListRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
attestation_status = cast(Table, AttestationStatusRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
presentations = cast(Table, PresentationRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
log_entries = cast(Table, LogEntryRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it
codes = cast(Table, CodeRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it

# Wallets that are not simply there: so few that the clean-up finds its own among them.
NOT_ACTIVE = wallets.c.state != literal_column("'active'")
Index("wallets_not_active", wallets.c.state, sqlite_where=NOT_ACTIVE, postgresql_where=NOT_ACTIVE)
