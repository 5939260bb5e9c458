"""A trust list for tests: a registry that issues, a counter that asks, a wallet provider.

    trust = demo_trust()                          # in memory; `trust.current()` is the TrustList
    signer = trust.registry.signer(Role.CREDENTIAL)          # x5c = [leaf], anchor in the list
    access = trust.counter.signer(Role.ACCESS, dns=["verifier.example"])
    changed = trust_list(trust.registry.entry(revoked=[…]), trust.counter.entry())

tests/support/tuf.py makes the same as a published repository of files.
"""

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.trust import Role, TrustList

from .certificates import Authority
from .clock import NOW

PID = "urn:eudi:pid:1"
RESIDENCE = "urn:citizen-wallet:residence:1"
PID_MDOC = "eu.europa.ec.eudi.pid.1"
MDL = "org.iso.18013.5.1.mDL"
SD_JWT = "dc+sd-jwt"
MDOC = "mso_mdoc"
INTEGRITY = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="  # of nothing

CONTACTS = {
    "support": {"uri": "https://agency.example/help", "email": "help@agency.example"},
    "data_protection": {"email": "privacy@agency.example"},
    "supervisory_authority": {
        "name": {"en": "Data Protection Office"},
        "uri": "https://dpo.example",
    },
}


def issue(credential_type: str, **members: Any) -> dict[str, Any]:
    metadata = {"uri": "https://types.example/" + credential_type, "integrity": INTEGRITY}
    return {"format": SD_JWT, "type": credential_type, "type_metadata": metadata} | members


def ask(
    purpose: str, credential_type: str, *claims: Sequence[str | int | None], **members: Any
) -> dict[str, Any]:
    credential = {
        "format": SD_JWT,
        "type": credential_type,
        "claims": [list(each) for each in claims],
    }
    return {
        "purpose": purpose,
        "texts": {"en": f"Purpose {purpose}", "fr": f"Finalité {purpose}"},
        "retention_seconds": 3600,
        "cross_device": True,
        "credentials": [credential],
    } | members


def with_mdoc(asked: dict[str, Any], doctype: str, namespace: str, *names: str) -> dict[str, Any]:
    """The same purpose, for an mdoc too."""
    other = {
        "format": MDOC,
        "type": doctype,
        "claims": [[namespace, name] for name in names],
    }
    return asked | {"credentials": [*asked["credentials"], other]}


ASKS = [
    with_mdoc(
        with_mdoc(
            ask("proof_of_age", PID, ["age_equal_or_over", "18"]),
            PID_MDOC,
            PID_MDOC,
            "age_over_18",
        ),
        MDL,
        "org.iso.18013.5.1",
        "age_over_18",
    ),
    with_mdoc(
        ask(
            "identification",
            PID,
            ["family_name"],
            ["given_name"],
            ["birthdate"],
            ["place_of_birth"],
            ["nationalities"],
        ),
        PID_MDOC,
        PID_MDOC,
        "family_name",
        "given_name",
        "birth_date",
        "place_of_birth",
        "nationality",
    ),
    ask("proof_of_residence", RESIDENCE, ["family_name"], ["given_name"], ["address"]),
]


@dataclass
class Agency:
    """An entity with an authority for each of its roles."""

    id: str
    names: Mapping[str, str]
    authorities: Mapping[Role, Authority]
    members: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        entity_id: str,
        names: Mapping[str, str],
        roles: Collection[Role],
        *,
        now: datetime = NOW,
        **members: Any,
    ) -> "Agency":
        made = {
            role: Authority.make(f"{entity_id} {role}", now=now, country="AV")  # for mdocs
            for role in roles
        }
        return cls(entity_id, names, made, members)

    def signer(self, role: Role, **options: Any) -> SoftwareKey:
        """A key certified for *role*; options as `Authority.signer`."""
        return self.authorities[role].signer(Profile(role), **options)

    def entry(self, **members: Any) -> dict[str, Any]:
        """Its entry in the list; *members* replace or add."""
        anchors = {
            role.value: [base64.b64encode(each.certificate).decode()]
            for role, each in self.authorities.items()
        }
        base = {"id": self.id, "names": dict(self.names), "contacts": CONTACTS, "anchors": anchors}
        return base | dict(self.members) | members


def document(*entries: Mapping[str, Any], environment: str = "test") -> bytes:
    return json.dumps(
        {"format": "citizen-wallet-trust-list/1", "environment": environment, "entities": entries}
    ).encode()


def trust_list(
    *entries: Mapping[str, Any], environment: str = "test", version: int = 1
) -> TrustList:
    return TrustList.parse(document(*entries, environment=environment), version=version)


@dataclass
class DemoTrust:
    """Three agencies and the list that names them; stands where a service has its client."""

    registry: Agency
    counter: Agency
    provider: Agency
    held: TrustList = field(init=False)

    def __post_init__(self) -> None:
        self.held = trust_list(self.registry.entry(), self.counter.entry(), self.provider.entry())

    def current(self) -> TrustList:
        return self.held


def demo_trust(
    *,
    now: datetime = NOW,
    credential_issuer: str = "https://issuer.example/registry",
    issues: Sequence[Mapping[str, Any]] = (issue(PID), issue(RESIDENCE)),
    asks: Sequence[Mapping[str, Any]] = ASKS,
) -> DemoTrust:
    return DemoTrust(
        registry=Agency.make(
            "ent_registry",
            {"en": "Civil Registry of Avelonia", "fr": "Registre civil d'Avelonia"},
            [Role.CREDENTIAL, Role.STATUS, Role.METADATA],
            now=now,
            credential_issuers=[credential_issuer],
            issues=list(issues),
        ),
        counter=Agency.make(
            "ent_counter",
            {"en": "Avelonia Tax & Counters", "fr": "Impôts et guichets d'Avelonia"},
            [Role.ACCESS],
            now=now,
            asks=list(asks),
        ),
        provider=Agency.make(
            "ent_wallet",
            {"en": "Avelonia Wallet", "fr": "Portefeuille d'Avelonia"},
            [Role.WALLET_PROVIDER, Role.STATUS],
            now=now,
        ),
    )
