"""Tenants: the verifiers in this service, each with its own key, queries and return addresses.

A tenant is a file `<tenant>.json` and a key `<tenant>/access`; an idle one costs nothing. Which
entity of the trust list it is follows from its access certificate, never from a name in the file.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated, Literal, Self

from cryptography import x509
from pydantic import Field, ValidationError, model_validator

from shared.crypto.keys import Signer
from shared.crypto.x509 import Profile, verify_chain
from shared.encoding import parse_json_object
from shared.errors import InvalidInput, NotFound, Unavailable, Untrusted
from shared.oid4vp import client_id
from shared.runtime.keys import KeyDirectory
from shared.runtime.staff_files import StaffFile
from shared.trust import Entity, Role, TrustList

from .queries import DataFile, Name, Query, check_entitled

_MAX_FILE = 64 * 1024
_REMEMBERED = timedelta(minutes=1)
_SCHEME = r"^[a-z][a-z0-9+.-]{1,40}$"
_DESKS = ("1", "2", "3", "4")
_NEVER = frozenset({"javascript", "data", "vbscript", "blob", "file", "about", "view-source"})


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
    client_id_prefix: Literal["x509_hash", "x509_san_dns", "redirect_uri"] = "x509_hash"
    response_mode: Literal["direct_post.jwt", "direct_post"] = "direct_post.jwt"
    wallet_schemes: list[Annotated[str, Field(pattern=_SCHEME)]] = Field(default_factory=list)
    webhook_url: Annotated[str, Field(pattern=r"^https?://[^\s#]+$", max_length=2000)] | None = None
    staff: StaffFile = StaffFile()

    desks: list[Annotated[str, Field(pattern=r"^[A-Za-z0-9-]{1,16}$")]] = Field(
        default_factory=lambda: list(_DESKS), min_length=1, max_length=2000
    )

    @model_validator(mode="after")
    def _not_dangerous(self) -> Self:
        if _NEVER.intersection(self.wallet_schemes):
            raise ValueError("wallet_schemes: one that runs or shows content")
        return self


@dataclass(frozen=True, slots=True)
class _Entitled:
    trust_list: TrustList
    entity: Entity
    until: datetime


@dataclass(frozen=True, slots=True)
class Tenant:
    """One verifier.

    Attributes:
        client_id: what wallets know it by, as long as its certificate lives; with the prefix
            `redirect_uri` every request has another one (`client_id_for`).
        signs: whether requests are signed; HAIP knows nothing else.
        response_mode: of requests over redirects.
        wallet_schemes: which wallets a caller may name beside those of web addresses.
        webhook_url: who is told when a transaction has ended.
        staff: how the agency's own people sign in to the counter.
        desks: where clerks work.
    """

    id: str
    signer: Signer
    client_id: str
    queries: Mapping[str, Query]
    return_origins: frozenset[str]
    signs: bool = True
    response_mode: Literal["direct_post.jwt", "direct_post"] = "direct_post.jwt"
    wallet_schemes: frozenset[str] = frozenset()
    webhook_url: str | None = None
    staff: StaffFile = field(default_factory=StaffFile)
    desks: tuple[str, ...] = _DESKS
    _entitled: dict[tuple[str, str], "_Entitled"] = field(default_factory=dict, repr=False)

    def client_id_for(self, response_uri: str) -> str:
        """The Client Identifier of one request."""
        return self.client_id if self.signs else client_id.redirect_uri(response_uri)

    def entitled(self, query: Query, trust_list: TrustList, *, flow: str, now: datetime) -> Entity:
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
    directory: Path, *, keys: KeyDirectory, queries: Mapping[str, Query], host: str
) -> dict[str, Tenant]:
    """All tenants of *directory* by id; everything wrong is reported at once.

    Args:
        directory: of their files.
        keys: with the access key of each.
        queries: what there is to ask.
        host: of the public URL, for the prefix `x509_san_dns`.

    Raises:
        InvalidInput: with a line for each tenant whose file or key is not usable.
    """
    found: dict[str, Tenant] = {}
    wrong: list[str] = []
    for path in sorted(directory.glob("*.json")):
        try:
            found[path.stem] = _load(path, keys=keys, queries=queries, host=host)
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


def _load(path: Path, *, keys: KeyDirectory, queries: Mapping[str, Query], host: str) -> Tenant:
    file = _read(path)
    if path.stem == "staff":
        raise InvalidInput("this name is taken by a path of the service")
    if unknown := sorted(set(file.queries).difference(queries)):
        raise InvalidInput(f"queries: unknown: {', '.join(unknown)}")
    signer = keys.signer(path.stem, "access")
    if not signer.certificates:
        raise InvalidInput("the access key has no certificate yet")
    identifier = client_id.x509_hash(signer.certificates[0])
    if file.client_id_prefix == "x509_san_dns":
        if not _is_for(signer.certificates[0], host):
            raise InvalidInput("client_id_prefix: the access certificate is not for this host")
        identifier = client_id.x509_san_dns(host)
    return Tenant(
        id=path.stem,
        signer=signer,
        client_id=identifier,
        queries={each: queries[each] for each in file.queries},
        return_origins=frozenset(file.return_origins),
        signs=file.client_id_prefix != "redirect_uri",
        response_mode=file.response_mode,
        wallet_schemes=frozenset(file.wallet_schemes),
        webhook_url=file.webhook_url,
        staff=file.staff,
        desks=tuple(file.desks),
    )


def _is_for(certificate: bytes, host: str) -> bool:
    try:
        names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
    except x509.ExtensionNotFound:
        return False
    return host in names.value.get_values_for_type(x509.DNSName)
