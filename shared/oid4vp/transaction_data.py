"""Transaction data: what a presentation confirms beside the claims (OpenID4VP 1.0, 5.1 and 8.4).

An entry stays the string it was received as; hashes are over that string (HB-32, C-34). How a
KB-JWT carries them is in `formats.kb_jwt`. Lines HB-30 to HB-34.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ..encoding import JsonValue, b64url_decode, b64url_encode, dump_json, parse_json_object
from ..errors import InvalidInput, WrongTransactionData
from ..formats.sd_jwt import DEFAULT_HASH, HASHES
from ..oauth.messages import ProtocolModel, Several, Text
from .dcql import DcqlQuery
from .errors import InvalidTransactionData

TypeCheck: TypeAlias = Callable[[Mapping[str, JsonValue]], None]
"""Of one type: raises InvalidInput for members it does not know, misses or finds malformed."""
MAX_ENTRIES = 20
_MAX_BYTES = 64 * 1024
_OURS = frozenset({"type", "credential_ids", "transaction_data_hashes_alg"})


class _Common(ProtocolModel):
    """The members of every type (HB-30)."""

    type: Text
    credential_ids: Several[Text]
    transaction_data_hashes_alg: Several[Text] | None = None


@dataclass(frozen=True, slots=True)
class TransactionData:
    """One entry.

    Attributes:
        text: the base64url string of the request, which is what gets hashed.
        algorithms: `transaction_data_hashes_alg`, None if the entry had none.
        details: the members of its type alone, to show before consent.
    """

    text: str
    type: str
    credential_ids: tuple[str, ...]
    algorithms: tuple[str, ...] | None
    details: Mapping[str, JsonValue]


class Confirming(Protocol):
    """What may confirm an entry: a verified presentation or its key binding."""

    def confirms(self, entry: str, *, algorithms: Collection[str] | None) -> bool:
        """Whether the Holder signed *entry* in it."""
        ...


def make(entry: Mapping[str, JsonValue]) -> str:
    """The string that carries *entry* in a request (OpenID4VP 1.0, section 5.1)."""
    return b64url_encode(dump_json(entry))


def parse(
    entries: Collection[str], *, query: DcqlQuery, types: Mapping[str, TypeCheck]
) -> tuple[TransactionData, ...]:
    """The transactions that a request asks to confirm.

    Args:
        entries: the strings of the request.
        query: of the same request; its ids are what `credential_ids` may name.
        types: the known types; a Wallet that knows none refuses every request that has any.

    Raises:
        InvalidTransactionData: an unknown type, members that do not fit it, ids that match no
            Credential Query, or one without holder binding or of a format that cannot carry it.

    Specification: OpenID4VP 1.0, sections 5.1, 8.5 and B.3.3; PROFILE HB-30, HB-31, HB-33.
    """
    if not 0 < len(entries) <= MAX_ENTRIES:
        raise InvalidTransactionData("transaction data: none, or too many")
    try:
        return tuple(_parse_one(text, query, types) for text in entries)
    except InvalidInput as error:
        raise InvalidTransactionData(f"transaction data: {error}") from error


def assign(
    entries: Iterable[TransactionData], credential_ids: Collection[str]
) -> dict[str, tuple[TransactionData, ...]]:
    """Which presentation confirms which entries: of each list the first that is shown.

    Raises:
        InvalidTransactionData: no credential that could confirm an entry is shown.

    Specification: OpenID4VP 1.0, section 5.1; PROFILE HB-31.
    """
    assigned: dict[str, tuple[TransactionData, ...]] = {}
    for entry in entries:
        for query_id in entry.credential_ids:
            if query_id in credential_ids:
                assigned[query_id] = (*assigned.get(query_id, ()), entry)
                break
        else:
            raise InvalidTransactionData("transaction data: no credential for it is presented")
    return assigned


def common_algorithms(entries: Collection[TransactionData]) -> tuple[str, ...] | None:
    """The hash algorithms that all *entries* of one KB-JWT allow, None if none names any.

    Raises:
        InvalidTransactionData: they have none in common that we know.

    Specification: OpenID4VP 1.0, section B.3.3.1; PROFILE HB-32.
    """
    if all(entry.algorithms is None for entry in entries):
        return None
    allowed = [entry.algorithms or (DEFAULT_HASH,) for entry in entries]
    common = tuple(each for each in HASHES if all(each in one for one in allowed))
    if not common:
        raise InvalidTransactionData("transaction data: no common hash algorithm")
    return common


def check_confirmed(
    entries: Iterable[TransactionData], presented: Mapping[str, Collection[Confirming]]
) -> None:
    """Every entry we sent is confirmed by a presentation it may be confirmed by.

    Args:
        entries: of our request.
        presented: what was verified, by Credential Query id.

    Raises:
        WrongTransactionData: one is not.

    Specification: OpenID4VP 1.0, section B.3.3.1; PROFILE HB-34.
    """
    for entry in entries:
        if not any(
            each.confirms(entry.text, algorithms=entry.algorithms)
            for query_id in entry.credential_ids
            for each in presented.get(query_id, ())
        ):
            raise WrongTransactionData("transaction data: an entry is not confirmed")


def _parse_one(text: str, query: DcqlQuery, types: Mapping[str, TypeCheck]) -> TransactionData:
    content = parse_json_object(b64url_decode(text), max_bytes=_MAX_BYTES)
    common = _Common.from_object(content)
    check = types.get(common.type)
    if check is None:
        raise InvalidInput("the type is unknown")
    for query_id in common.credential_ids:
        referenced = query.credential(query_id)
        if not referenced.require_cryptographic_holder_binding:
            raise InvalidInput("it needs holder binding")
        if referenced.format != "dc+sd-jwt":
            raise InvalidInput("no other format carries it here")  # HB-33
    details = {name: value for name, value in content.items() if name not in _OURS}
    check(details)
    if not HASHES.keys() & (common.transaction_data_hashes_alg or (DEFAULT_HASH,)):
        raise InvalidInput("no hash algorithm that we know")
    return TransactionData(
        text, common.type, common.credential_ids, common.transaction_data_hashes_alg, details
    )
