"""Transaction data: OpenID4VP 1.0, sections 5.1, 8.4 and B.3.3; PROFILE HB-30 to HB-34."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest

from shared.encoding import JsonValue, b64url_encode
from shared.errors import InvalidInput, WrongTransactionData
from shared.formats import kb_jwt
from shared.oid4vp import dcql, transaction_data
from shared.oid4vp.errors import InvalidTransactionData
from shared.oid4vp.transaction_data import TransactionData

QUERY = dcql.parse(
    {
        "credentials": [
            {"id": "pid", "format": "dc+sd-jwt", "meta": {}},
            {"id": "card", "format": "dc+sd-jwt", "meta": {}},
            {"id": "mdl", "format": "mso_mdoc", "meta": {}},
            {
                "id": "ticket",
                "format": "dc+sd-jwt",
                "meta": {},
                "require_cryptographic_holder_binding": False,
            },
        ]
    }
)
NOON = datetime(2027, 3, 1, 12, tzinfo=UTC)


def payment(details: Mapping[str, JsonValue]) -> None:
    if set(details) != {"amount"} or not isinstance(details["amount"], int):
        raise InvalidInput("payment: not an amount alone")


def entry(**changes: Any) -> str:
    good: dict[str, Any] = {"type": "urn:payment", "credential_ids": ["pid"], "amount": 5}
    return transaction_data.make({**good, **changes})


def parse(*entries: str) -> tuple[TransactionData, ...]:
    return transaction_data.parse(entries, query=QUERY, types={"urn:payment": payment})


def bound(entries: tuple[TransactionData, ...]) -> kb_jwt.VerifiedKeyBinding:
    """What a Verifier finds in the KB-JWT that confirms *entries*."""
    hashes = kb_jwt.hash_transaction_data(
        [each.text for each in entries], algorithms=transaction_data.common_algorithms(entries)
    )
    return kb_jwt.VerifiedKeyBinding(NOON, hashes.hashes, hashes.algorithm)


def test_an_entry_stays_the_string_it_came_as() -> None:
    """HB-30, HB-32, C-34: also when it is not written as we would."""
    text = b64url_encode(b'{ "credential_ids":["pid"], "amount": 5, "type":"urn:payment" }')
    (found,) = parse(text)
    assert found.text == text
    assert found.credential_ids == ("pid",)
    assert found.details == {"amount": 5}
    assert found.algorithms is None


@pytest.mark.parametrize(
    "bad",
    [
        entry(type="urn:unknown"),
        entry(type=5),
        entry(type=""),
        entry(credential_ids=[]),
        entry(credential_ids="pid"),
        entry(credential_ids=["pid", "other"]),
        entry(credential_ids=["ticket"]),
        entry(credential_ids=["pid", "mdl"]),
        entry(amount="5"),
        entry(more=1),
        entry(transaction_data_hashes_alg=[]),
        entry(transaction_data_hashes_alg="sha-256"),
        entry(transaction_data_hashes_alg=["sha-256-32", "md5"]),
        b64url_encode(b'{"type":"urn:payment","credential_ids":["pid"]}'),
        b64url_encode(b'{"type":"urn:payment","type":"x","credential_ids":["pid"],"amount":5}'),
        b64url_encode(b"[]"),
        b64url_encode(b"not json"),
        entry() + "=",
        "{}",
    ],
)
def test_one_bad_entry_refuses_the_request(bad: str) -> None:
    """HB-30, HB-31, HB-33: unknown type, members that do not fit, no such id, no binding, mdoc."""
    with pytest.raises(InvalidTransactionData):
        parse(entry(), bad)


def test_the_array_is_neither_empty_nor_endless() -> None:
    """HB-30, S-21."""
    for entries in ((), (entry(),) * 21):
        with pytest.raises(InvalidTransactionData):
            parse(*entries)


def test_each_entry_is_confirmed_by_one_credential() -> None:
    """HB-31: the first of its list that is presented."""
    both, only_card = parse(entry(credential_ids=["pid", "card"]), entry(credential_ids=["card"]))
    assert transaction_data.assign((both, only_card), ["card", "pid"]) == {
        "pid": (both,),
        "card": (only_card,),
    }
    assert transaction_data.assign((both, only_card), ["card"]) == {"card": (both, only_card)}
    with pytest.raises(InvalidTransactionData):
        transaction_data.assign((both, only_card), ["pid"])


def test_the_algorithm_is_one_that_all_entries_allow() -> None:
    """HB-32: unsaid where none names any; sha-256 is the default of those that do not."""
    plain, wide, narrow = parse(
        entry(),
        entry(transaction_data_hashes_alg=["sha-512", "sha-256"]),
        entry(transaction_data_hashes_alg=["sha-512"]),
    )
    assert transaction_data.common_algorithms([plain]) is None
    assert transaction_data.common_algorithms([wide]) == ("sha-256", "sha-512")
    assert transaction_data.common_algorithms([plain, wide]) == ("sha-256",)
    assert transaction_data.common_algorithms([narrow, wide]) == ("sha-512",)
    with pytest.raises(InvalidTransactionData):
        transaction_data.common_algorithms([plain, narrow])


def test_the_verifier_finds_every_entry_confirmed() -> None:
    """HB-34: in a presentation that may confirm it."""
    entries = parse(entry(credential_ids=["pid", "card"]), entry(amount=7))
    transaction_data.check_confirmed(entries, {"pid": [bound(entries)]})
    first, second = entries
    transaction_data.check_confirmed(
        entries, {"card": [bound((first,))], "pid": [bound((second,))]}
    )
    named = parse(entry(transaction_data_hashes_alg=["sha-384"]))
    transaction_data.check_confirmed(named, {"pid": [bound(named)]})


def test_an_entry_that_nobody_confirmed_is_missed() -> None:
    """HB-34, V-63: not at all, in the wrong presentation, another amount, another algorithm."""
    (wanted,) = parse(entry())
    (other,) = parse(entry(amount=6))
    named = parse(entry(transaction_data_hashes_alg=["sha-512"]))
    missed: list[tuple[tuple[TransactionData, ...], dict[str, list[kb_jwt.VerifiedKeyBinding]]]] = [
        ((wanted,), {}),
        ((wanted,), {"pid": []}),
        ((wanted,), {"card": [bound((wanted,))]}),
        ((wanted,), {"pid": [bound((other,))]}),
        (named, {"pid": [bound((wanted,))]}),
    ]
    for entries, presented in missed:
        with pytest.raises(WrongTransactionData):
            transaction_data.check_confirmed(entries, presented)
