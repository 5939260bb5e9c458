"""The citizen's log as TS10 lists transactions, for other wallets and for authorities.

Names, purposes and claims (by path, never by value) are those of the log; how to reach the other
side, and its authority, is what the trust list says today. What neither knows is left out: the
registrar's page, which claims were asked for beside those shown, the kind of an issuer. What was
forgotten stays forgotten. Specification: TS10 1.2, sections 3.1 to 3.16.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from shared.encoding import JsonValue, b64url_encode, dump_json, from_numeric_date

from . import contacting
from .context import Wallet
from .logbook import Entry

_IDENTIFIERS = "citizen-wallet-trust-list/1"
"""What names agencies by the ids that stand here."""
_PRIVACY = "http://data.europa.eu/eudi/policy/privacy-policy"


def transactions(wallet: Wallet, entries: Sequence[Entry]) -> list[JsonValue]:
    """Each entry that can still be read, as a `Transaction`, the oldest first."""
    issued = {
        card: (kind, each.body)
        for each in entries
        if each.type == "issuance" and each.body is not None
        for card, kind in zip(each.body["credentials"], each.body["types"], strict=True)
    }
    return [
        {
            **_specific(wallet, each, each.body, issued),
            "transactionIdentifier": b64url_encode(each.entry_hash),
            "time": from_numeric_date(each.time).strftime("%Y-%m-%dT%H:%M:%S"),
        }
        for each in entries
        if each.body is not None
    ]


def texts(by_language: Mapping[str, str]) -> list[JsonValue]:
    """A `MultiLangString` for each language."""
    return [{"lang": tag, "content": content} for tag, content in by_language.items()]


def identifier(entity: str, *, registered: bool = True) -> dict[str, JsonValue]:
    """An `Identifier`: the stable id of the trust list, or what a stranger called itself."""
    return {"type": _IDENTIFIERS if registered else "client_id", "identifier": entity}


def _specific(
    wallet: Wallet,
    entry: Entry,
    body: Mapping[str, Any],
    issued: Mapping[str, tuple[str, Mapping[str, Any]]],
) -> dict[str, JsonValue]:
    match entry.type:
        case "presentation":
            shared = entry.result == "shared"
            said = _presentation(wallet, body)
            if not shared:
                said["reasonOfNoncompletion"] = "refused by the user"
            return _typed("Presentation", "presentation", said, completed=shared)
        case "issuance":
            renewed = entry.result == "renewed"
            kind = "CredentialReissuance" if renewed else "CredentialIssuance"
            return _typed(kind, "credentialIssuance", _issuance(wallet, body, renewed=renewed))
        case "credential_deleted" if body["credential"] in issued:
            kind, came = issued[body["credential"]]
            said = {
                "credentialIdentifier": kind,
                "credentialIssuerIdentifier": identifier(came["issuer"]),
                "credentialIssuerName": texts(came["names"]),
            }
            return _typed("CredentialDeletion", "credentialDeletion", said)
        case "erasure_asked":
            said = {**_named(body["verifier"]), "listOfClaims": _claims(body["items"])}
            return _typed("DataDeletionRequest", "dataDeletionRequest", said)
        case "authority_told":
            said = _authority(wallet, body["verifier"]["entity"])
            return _typed("DPAReport", "dpaReport", said)
    said = {"description": [f"{entry.type}: {entry.result}"]}
    return _typed("OtherTransaction", "otherTransaction", said)


def _typed(
    kind: str, member: str, said: dict[str, JsonValue], *, completed: bool = True
) -> dict[str, JsonValue]:
    result = "Completed" if completed else "NotCompleted"
    return {member: said, "transactionType": kind, "transactionResult": result}


def _presentation(wallet: Wallet, body: Mapping[str, Any]) -> dict[str, JsonValue]:
    verifier = body["verifier"]
    said: dict[str, JsonValue] = {
        **_named(verifier),
        **_contact(wallet, verifier["entity"]),
        "interactingPartyType": "ServiceProvider",
        "isIntermediary": False,
        "purpose": texts(verifier["purpose_texts"]),
        "listOfClaimsPresented": _claims(body.get("items", ())),
        **_authority(wallet, verifier["entity"]),
    }
    if verifier["privacy_policy"] is not None:
        said["privacyPolicy"] = [{"type": _PRIVACY, "policyURI": verifier["privacy_policy"]}]
    return said


def _issuance(wallet: Wallet, body: Mapping[str, Any], *, renewed: bool) -> dict[str, JsonValue]:
    kinds = list(body["types"])
    said: dict[str, JsonValue] = {
        "interactingPartyIdentifier": identifier(body["issuer"]),
        "interactingPartyName": texts(body["names"]),
        **_contact(wallet, body["issuer"]),
        "credentialNumberIssued": len(kinds),
        "credentialIdentifier": kinds,
    }
    return said if renewed else {**said, "isUserTriggered": True}


def _named(verifier: Mapping[str, Any]) -> dict[str, JsonValue]:
    registered = verifier["trust"] == "registered"
    return {
        "interactingPartyIdentifier": identifier(verifier["entity"], registered=registered),
        "interactingPartyName": texts(verifier["names"]),
    }


def _contact(wallet: Wallet, entity: str) -> dict[str, JsonValue]:
    """How *entity* is reached about the data it got, if the trust list knows it today."""
    found = contacting.entity(wallet, entity)
    if found is None:
        return {}
    ways = found.contacts.data_protection
    listed: list[JsonValue] = [each for each in (ways.email, ways.phone, ways.uri) if each]
    return {"interactingPartyContact": listed}


def _authority(wallet: Wallet, entity: str) -> dict[str, JsonValue]:
    """The data protection authority of *entity*, if the trust list names one."""
    found = contacting.entity(wallet, entity)
    authority = None if found is None else found.contacts.supervisory_authority
    if authority is None:
        return {}
    ways: list[JsonValue] = [e for e in (authority.email, authority.phone, authority.uri) if e]
    return {"dpaName": texts(authority.name or {}), "dpaContact": ways}


def _claims(items: Sequence[Mapping[str, Any]]) -> list[JsonValue]:
    """`ClaimInfo` for each credential shown; a path of one step is its name (TS10 4.1)."""
    return [
        {
            "credentialIdentifier": item["type"],
            "claims": [
                _pointer(each) for each in (*item["claims"], *([n] for n in item["always"]))
            ],
        }
        for item in items
    ]


def _pointer(path: Sequence[Any]) -> str:
    if len(path) == 1 and isinstance(path[0], str):
        return path[0]
    return dump_json(list(path)).decode()
