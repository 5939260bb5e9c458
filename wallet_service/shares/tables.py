"""The shares store: with its own URL, its own backup, and its own migrations.

Without its row in here no wrap of a wallet opens, whoever holds the unlocker; so it is destroyed
first when a citizen leaves. Specification: WALLET_SECURITY, sections 2, 3 and 6.
"""

from typing import cast

from sqlalchemy import Index, Table, func, literal_column
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel

from shared.runtime.database import new_metadata


class Base(SQLModel, registry=registry(metadata=new_metadata())):
    """This store's table alone."""


class ShareRow(Base, table=True):
    """`S` of one wallet under the service's share key; two of them, while an unlocker goes."""

    __tablename__ = "shares"

    wallet: str = Field(primary_key=True, max_length=64)
    blob: bytes


metadata = Base.metadata
shares = cast(Table, ShareRow.__table__)  # type: ignore[attr-defined]  # SQLModel makes it

ONE_SECRET = 95
"""Bytes of a row at most; with two secrets it is longer, whatever the id of their key."""
has_two = func.length(shares.c.blob) > literal_column(str(ONE_SECRET))
Index("ix_shares_two_secrets", shares.c.wallet, sqlite_where=has_two, postgresql_where=has_two)
