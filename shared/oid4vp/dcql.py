"""DCQL: the syntax of a query (OpenID4VP 1.0, section 6; PROFILE Q-01 to Q-06, S-21).

`parse` refuses what section 6 forbids and ignores what it does not know. What a query means is in
`dcql_matching`, one evaluator for the Wallet (`select`) and the Verifier (`judge`).
"""

from collections.abc import Iterable
from functools import cached_property
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator
from pydantic import JsonValue as JsonMember

from ..encoding import JsonValue
from ..errors import InvalidInput
from ..formats.claims_path import ClaimPath, parse_path
from ..oauth.messages import ProtocolModel, Several, Text

MAX_CREDENTIALS = 20  # S-21
MAX_CLAIMS = 100
MAX_OPTIONS = 20
_REGISTERED = frozenset({"iss", "nbf", "exp", "cnf", "vct", "status"})  # V-30
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$", max_length=256)]


def _path(raw: object) -> ClaimPath:
    try:
        return parse_path(raw)
    except InvalidInput as error:
        raise ValueError(str(error)) from error


class ClaimsQuery(ProtocolModel):
    """Section 6.3 (Q-04)."""

    id: Id | None = None
    path: Annotated[ClaimPath, BeforeValidator(_path)]
    values: Several[str | bool | int] | None = None
    intent_to_retain: bool | None = None


class TrustedAuthorities(ProtocolModel):
    """Section 6.1.1; unknown types are kept, and match nothing (Q-12)."""

    type: Text
    values: Several[str]


class CredentialQuery(ProtocolModel):
    """Section 6.1 (Q-02, Q-03)."""

    id: Id
    format: Text
    meta: dict[str, JsonMember]
    multiple: bool = False
    require_cryptographic_holder_binding: bool = True
    trusted_authorities: Several[TrustedAuthorities] | None = None
    claims: Annotated[Several[ClaimsQuery], Field(max_length=MAX_CLAIMS)] | None = None
    claim_sets: Annotated[Several[Several[Id]], Field(max_length=MAX_OPTIONS)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _check_meta(self.format, self.meta)
        ids = [claim.id for claim in self.claims or ()]
        known = {each for each in ids if each is not None}
        if len(known) != sum(each is not None for each in ids):
            raise ValueError("claims: an id occurs twice")
        if self.claim_sets is not None:
            if self.claims is None:
                raise ValueError("claim_sets without claims")
            if None in ids:
                raise ValueError("claims: an id is missing beside claim_sets")
            if not known.issuperset(each for option in self.claim_sets for each in option):
                raise ValueError("claim_sets: unknown claim id")
        if self.format == "mso_mdoc":
            _check_mdoc_paths(claim.path for claim in self.claims or ())
        return self

    @cached_property
    def types(self) -> tuple[str, ...] | None:
        """The credential types asked for (`vct_values`, `doctype_value`); None for any."""
        values = self.meta.get("vct_values")
        if self.format == "dc+sd-jwt" and isinstance(values, list):
            return tuple(str(each) for each in values)
        if self.format == "mso_mdoc" and "doctype_value" in self.meta:
            return (str(self.meta["doctype_value"]),)
        if "type_values" in self.meta:
            return ()  # expanded types are compared when there are W3C credentials
        return None


class CredentialSet(ProtocolModel):
    """Section 6.2 (Q-05)."""

    options: Annotated[Several[Several[Id]], Field(max_length=MAX_OPTIONS)]
    required: bool = True


class DcqlQuery(ProtocolModel):
    """Section 6 (Q-01)."""

    credentials: Annotated[Several[CredentialQuery], Field(max_length=MAX_CREDENTIALS)]
    credential_sets: Annotated[Several[CredentialSet], Field(max_length=MAX_CREDENTIALS)] | None = (
        None
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = {query.id for query in self.credentials}
        if len(ids) != len(self.credentials):
            raise ValueError("credentials: an id occurs twice")
        for each in self.credential_sets or ():
            if not ids.issuperset(one for option in each.options for one in option):
                raise ValueError("credential_sets: unknown credential id")
        return self

    @cached_property
    def sets(self) -> tuple[CredentialSet, ...]:
        """The sets to satisfy; without `credential_sets`, one that requires every query (Q-20)."""
        if self.credential_sets is not None:
            return self.credential_sets
        everything = tuple(query.id for query in self.credentials)
        return (CredentialSet(options=(everything,)),)

    @cached_property
    def written(self) -> dict[str, JsonValue]:
        """The JSON object, to read only: a Verifier sends the same query again and again."""
        return self.to_object()

    def credential(self, query_id: str) -> CredentialQuery:
        """The Credential Query with this id.

        Raises:
            InvalidInput: there is none.
        """
        for query in self.credentials:
            if query.id == query_id:
                return query
        raise InvalidInput("DCQL: no Credential Query has this id")

    @property
    def unbound(self) -> bool:
        """Whether any presentation without holder binding is asked for (V-12)."""
        return not all(query.require_cryptographic_holder_binding for query in self.credentials)


def parse(value: object) -> DcqlQuery:
    """The query in the JSON object *value*.

    Raises:
        InvalidInput: it breaks a rule of section 6 or a limit of S-21.

    Specification: OpenID4VP 1.0, section 6; PROFILE Q-01 to Q-06.
    """
    return DcqlQuery.from_object(value)


def check_authored(query: DcqlQuery) -> None:
    """What a Verifier must not ask, though a Wallet tolerates it.

    Raises:
        InvalidInput: the same claim twice, or a registered claim such as `exp`; types left open.

    Specification: OpenID4VP 1.0, section 6.1; PROFILE Q-04, V-30; CERTIFICATION 2.5.3.
    """
    for each in query.credentials:
        paths = [claim.path for claim in each.claims or ()]
        if len(set(paths)) != len(paths):
            raise InvalidInput("DCQL: a claim is asked for twice")
        if each.format == "dc+sd-jwt" and any(path[0] in _REGISTERED for path in paths):
            raise InvalidInput("DCQL: a registered claim is asked for")
        if not each.types:
            raise InvalidInput("DCQL: no credential type is named")


def _check_meta(format_id: str, meta: dict[str, JsonMember]) -> None:
    """Q-03: present means well-formed, absent means no constraint."""
    if format_id == "dc+sd-jwt" and "vct_values" in meta:
        _check_strings(meta["vct_values"])
    elif format_id == "mso_mdoc" and "doctype_value" in meta:
        _check_strings([meta["doctype_value"]])
    elif format_id in {"jwt_vc_json", "vc+jwt"} and "type_values" in meta:
        types = meta["type_values"]
        if not isinstance(types, list) or not types:
            raise ValueError("meta: type_values is not a non-empty array")
        for each in types:
            _check_strings(each)


def _check_strings(value: object) -> None:
    if not isinstance(value, list) or not value:
        raise ValueError("meta: not a non-empty array")
    if not all(isinstance(each, str) and each for each in value):
        raise ValueError("meta: not a string")


def _check_mdoc_paths(paths: Iterable[ClaimPath]) -> None:
    """F-CP-02."""
    for path in paths:
        if len(path) != 2 or not all(isinstance(each, str) for each in path):
            raise ValueError("claims: an mdoc path is not [namespace, element]")
