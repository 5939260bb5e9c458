"""Tenants: the verifiers in this service, each with its own key, queries and return addresses.

A tenant is a file `<tenant>.json` and a key `<tenant>/access`; an idle one costs nothing. Which
entity of the trust list it is follows from its access certificate, never from a name in the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from shared.crypto.keys import Signer
from shared.crypto.x509 import Profile, verify_chain
from shared.encoding import parse_json_object
from shared.errors import InvalidInput, NotFound, Unavailable, Untrusted
from shared.oid4vp import client_id
from shared.runtime.keys import KeyDirectory
from shared.trust import Entity, Role, TrustList

from .queries import DataFile, Flow, Name, Query, check_entitled

_MAX_FILE = 64 * 1024
_REMEMBERED = timedelta(minutes=1)


class NotTrusted(Unavailable):
    """This tenant's access certificate does not lead into the trust list (now)."""

    code = "access_certificate_untrusted"
    public = "The access certificate of this verifier is not valid under the trust list."
    next_step = "Have the access certificate renewed, or the trust list published."


class _TenantFile(DataFile):
    queries: Annotated[list[Name], Field(min_length=1)]
    return_origins: list[Annotated[str, Field(pattern=r"^https?://[^/\s]+$")]] = Field(
        default_factory=list
    )


@dataclass(frozen=True, slots=True)
class _Entitled:
    trust_list: TrustList
    entity: Entity
    until: datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """One verifier. `client_id` is what wallets know it by, as long as its certificate lives."""

    id: str
    signer: Signer
    client_id: str
    queries: Mapping[str, Query]
    return_origins: frozenset[str]
    _entitled: dict[tuple[str, Flow], "_Entitled"] = field(default_factory=dict, repr=False)

    def entitled(self, query: Query, trust_list: TrustList, *, flow: Flow, now: datetime) -> Entity:
        """As `entity`, and it may ask *query*; remembered for a minute under the same list.

        Raises:
            NotTrusted: see `entity`.
            NotEntitled: see `check_entitled`.
        """
        found = self._entitled.get((query.id, flow))
        if found is None or found.trust_list is not trust_list or now >= found.until:
            entity = self.entity(trust_list, now=now)
            check_entitled(query, entity, flow=flow, now=now)
            found = _Entitled(trust_list, entity, now + _REMEMBERED)
            self._entitled[query.id, flow] = found
        return found.entity

    def entity(self, trust_list: TrustList, *, now: datetime) -> Entity:
        """The entry of the trust list that this tenant's access certificate leads to.

        Raises:
            NotTrusted: it leads nowhere, or was revoked; wallets would refuse every request.
        """
        try:
            chain = verify_chain(
                self.signer.certificates,
                anchors=trust_list.anchors(Role.ACCESS, now=now),
                profile=Profile.ACCESS,
                now=now,
                revoked=trust_list.revoked,
                pinned=trust_list.pinned(Role.ACCESS, now=now),
            )
            return trust_list.entity_for_chain(Role.ACCESS, chain, now=now)
        except Untrusted as error:
            raise NotTrusted(f"tenant {self.id}: {error}") from error


def load_tenants(
    directory: Path, *, keys: KeyDirectory, queries: Mapping[str, Query]
) -> dict[str, Tenant]:
    """All tenants of *directory* by id; everything wrong is reported at once.

    Raises:
        InvalidInput: with a line for each tenant whose file or key is not usable.
    """
    found: dict[str, Tenant] = {}
    wrong: list[str] = []
    for path in sorted(directory.glob("*.json")):
        try:
            found[path.stem] = _load(path, keys=keys, queries=queries)
        except (InvalidInput, NotFound) as error:
            wrong.append(f"{path.name}: {error}")
    if wrong:
        raise InvalidInput("; ".join(wrong))
    return found


def tenant_queries(directory: Path, tenant: str, queries: Mapping[str, Query]) -> dict[str, Query]:
    """The queries that the file of *tenant* names, also before it has a certificate."""
    path = directory / f"{tenant}.json"
    if not path.is_file():
        raise NotFound(f"{path}: there is no such tenant")
    file = _read(path)
    return {each: queries[each] for each in file.queries if each in queries}


def _read(path: Path) -> _TenantFile:
    content = parse_json_object(path.read_bytes(), max_bytes=_MAX_FILE)
    try:
        return _TenantFile.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InvalidInput(f"{place}: {first['msg']}") from error


def _load(path: Path, *, keys: KeyDirectory, queries: Mapping[str, Query]) -> Tenant:
    file = _read(path)
    if unknown := sorted(set(file.queries).difference(queries)):
        raise InvalidInput(f"queries: unknown: {', '.join(unknown)}")
    signer = keys.signer(path.stem, "access")
    if not signer.certificates:
        raise InvalidInput("the access key has no certificate yet")
    return Tenant(
        id=path.stem,
        signer=signer,
        client_id=client_id.x509_hash(signer.certificates[0]),
        queries={each: queries[each] for each in file.queries},
        return_origins=frozenset(file.return_origins),
    )
