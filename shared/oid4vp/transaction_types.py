"""The types of transaction data that this system asks for and confirms.

One today: a statement that the citizen makes with a presentation ("I apply for …"), in the words
of the Verifier, in several languages. A type that is not in `TYPES` is refused, as is every member
that its type does not name. Specification: OpenID4VP 1.0, section 8.4; PROFILE HB-30, HB-31, HB-34.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated

from pydantic import ConfigDict, Field

from ..encoding import JsonValue
from ..oauth.messages import ProtocolModel
from .transaction_data import TypeCheck

STATEMENT = "urn:citizen-wallet:transaction:statement:1"


class Statement(ProtocolModel):
    """What a citizen states: a text for each language, and the Verifier's reference."""

    model_config = ConfigDict(extra="forbid")

    texts: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*$")],
            Annotated[str, Field(min_length=1, max_length=2000)],
        ],
        Field(min_length=1, max_length=30),
    ]
    reference: Annotated[str, Field(min_length=1, max_length=100)] | None = None


def _statement(details: Mapping[str, JsonValue]) -> None:
    Statement.from_object(details)


TYPES: Mapping[str, TypeCheck] = MappingProxyType({STATEMENT: _statement})
