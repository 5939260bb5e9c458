"""OAuth client credentials for the agency APIs of issuer and verifier (RFC 6749, section 4.4).

Secrets are 256 random bits, stored as SHA-256 (S-01). A token is sealed (AEAD), not stored: tenant,
client, roles and end are inside, so checking one costs no database call; it lives ten minutes, and
a disabled client gets no new one.
"""

import base64
import hashlib
import hmac
import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import unquote_plus

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel
from sqlalchemy import MetaData, and_, bindparam, select, update

from ..crypto.sealing import open_sealed, seal
from ..encoding import (
    Clock,
    JsonValue,
    RandomBytes,
    b64url_decode,
    b64url_encode,
    dump_json,
    parse_json_object,
    to_numeric_date,
)
from ..errors import (
    Conflict,
    ExpectedError,
    Forbidden,
    InvalidInput,
    ProtocolError,
    Unauthenticated,
)
from .database import Database, insert_once, once

LIFETIME = timedelta(minutes=10)
_ERRORS = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}, "error_description": {"type": "string"}},
}
_REFUSED: dict[str, object] = {
    "description": "RFC 6749, section 5.2.",
    "content": {"application/json": {"schema": _ERRORS}},
}
_REMEMBERED = 1_000  # tokens that need not be opened again; their end is always looked at


class InvalidClient(ProtocolError):
    """RFC 6749, section 5.2."""

    error = "invalid_client"
    status = 401
    public = "The client is unknown or its secret is wrong."

    @property
    def headers(self) -> dict[str, str]:
        """The scheme in which the client may authenticate."""
        return {"WWW-Authenticate": 'Basic realm="api"'}


class UnsupportedGrantType(ProtocolError):
    """RFC 6749, section 5.2."""

    error = "unsupported_grant_type"
    public = "Only client_credentials is supported here."


class InvalidApiToken(Unauthenticated):
    """RFC 6750, section 3.1."""

    public = "The access token is missing, expired or not valid here."
    code = "invalid_token"
    headers = {"WWW-Authenticate": 'Bearer error="invalid_token"'}  # noqa: RUF012  # read only


class TokenAnswer(BaseModel):
    """RFC 6749, section 5.1."""

    access_token: str
    token_type: str
    expires_in: int
    scope: str


def describe_token(described: APIRouter) -> None:
    """Put the token endpoint, which takes a form and is no JSON call, into the OpenAPI document."""

    def token(tenant: str) -> None:
        """An access token by client credentials: HTTP Basic, or both in the form."""
        raise HTTPException(404, tenant)  # only its signature is read

    fields = {
        "grant_type": {"type": "string", "const": "client_credentials"},
        "client_id": {"type": "string"},
        "client_secret": {"type": "string"},
    }
    form = {"type": "object", "required": ["grant_type"], "properties": fields}
    content = {"application/x-www-form-urlencoded": {"schema": form}}
    described.add_api_route(
        "/{tenant}/token",
        token,
        methods=["POST"],
        response_model=TokenAnswer,
        responses={"default": _REFUSED},
        openapi_extra={"requestBody": {"required": True, "content": content}},
    )


@dataclass(frozen=True, slots=True)
class ApiCaller:
    """Who calls an agency API, by a token that was checked."""

    client_id: str
    tenant: str
    roles: frozenset[str]


class ApiClients:
    """The API clients of one service.

    Args:
        database: of the service; *metadata* has the table `api_client`.
        metadata: of the service.
        key: 32 bytes that seal tokens; the same in every replica.
        clock: aware UTC.
        random_bytes: for secrets.
    """

    def __init__(
        self,
        database: Database,
        metadata: MetaData,
        *,
        key: bytes,
        clock: Clock,
        random_bytes: RandomBytes = os.urandom,
    ) -> None:
        table = metadata.tables["api_client"]
        self._database = database
        self._table = table
        self._key = key
        self._clock = clock
        self._random_bytes = random_bytes
        self._opened: dict[tuple[str, str], tuple[ApiCaller, int]] = {}
        self._where = and_(
            table.c.tenant == bindparam("p_tenant"), table.c.client_id == bindparam("p_client")
        )
        self._select = select(table.c.secret_hash, table.c.roles).where(
            self._where, table.c.disabled_at.is_(None)
        )

    def register(self, tenant: str, client_id: str, roles: Collection[str]) -> str:
        """A new client; its secret, which is shown this once.

        Raises:
            Conflict: the tenant has a client of this name.
        """
        secret = b64url_encode(self._random_bytes(32))
        row = {
            "tenant": tenant,
            "client_id": client_id,
            "secret_hash": hashlib.sha256(secret.encode()).digest(),
            "roles": " ".join(sorted(roles)),
            "created_at": self._clock(),
        }
        with self._database.single() as connection:
            if not insert_once(connection, self._table, row):
                raise Conflict("api client: exists")
        return secret

    def disable(self, tenant: str, client_id: str) -> bool:
        """No further tokens for this client; whether it had been able to get some."""
        statement = (
            update(self._table)
            .where(self._where, self._table.c.disabled_at.is_(None))
            .values(disabled_at=self._clock())
        )
        with self._database.single() as connection:
            return once(connection, statement, {"p_tenant": tenant, "p_client": client_id})

    def token(
        self, tenant: str, *, form: Mapping[str, str], authorization: str | None
    ) -> dict[str, JsonValue]:
        """The answer of a token endpoint (RFC 6749, sections 4.4.3 and 5.1).

        Args:
            tenant: of the endpoint's path.
            form: the request's fields; client_id and client_secret may be in it.
            authorization: the header, Basic, if the client uses that.

        Raises:
            InvalidClient, UnsupportedGrantType, InvalidInput: as the class says.
        """
        if form.get("grant_type") is None:
            raise InvalidInput("token: grant_type is missing")
        if form["grant_type"] != "client_credentials":
            raise UnsupportedGrantType("token: another grant_type")
        client_id, secret = _credentials(form, authorization)
        with self._database.reading() as connection:
            values = {"p_tenant": tenant, "p_client": client_id}
            row = connection.execute(self._select, values).one_or_none()
        given = hashlib.sha256(secret.encode()).digest()
        if row is None or not hmac.compare_digest(given, row.secret_hash):
            raise InvalidClient("token: unknown client or wrong secret")
        content: dict[str, JsonValue] = {
            "client": client_id,
            "roles": row.roles,
            "exp": to_numeric_date(self._clock() + LIFETIME),
        }
        sealed = seal(
            self._key, dump_json(content), aad=_aad(tenant), random_bytes=self._random_bytes
        )
        return {
            "access_token": b64url_encode(sealed),
            "token_type": "Bearer",
            "expires_in": int(LIFETIME.total_seconds()),
            "scope": row.roles,
        }

    def verify(self, authorization: str | None, *, tenant: str, role: str) -> ApiCaller:
        """Who calls, if the token is for *tenant* and carries *role*.

        Raises:
            InvalidApiToken: no token, or not one of this tenant, or past its end.
            Forbidden: the client has not the role.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > 2048:
            raise InvalidApiToken("api token: missing")
        known = self._opened.get((tenant, token))
        if known is None:
            known = self._open(tenant, token)
            if len(self._opened) >= _REMEMBERED:
                self._opened.clear()
            self._opened[tenant, token] = known
        caller, end = known
        if _past(self._clock(), end):
            raise InvalidApiToken("api token: expired")
        if role not in caller.roles:
            raise Forbidden("api token: the client has not this role")
        return caller

    def _open(self, tenant: str, token: str) -> tuple[ApiCaller, int]:
        try:
            plain = open_sealed(self._key, b64url_decode(token.strip()), aad=_aad(tenant))
            content = parse_json_object(plain, max_bytes=2048)
        except ExpectedError as error:
            raise InvalidApiToken("api token: not ours, or of another tenant") from error
        client, roles, end = content["client"], content["roles"], content["exp"]
        if not isinstance(client, str) or not isinstance(roles, str) or not isinstance(end, int):
            raise InvalidApiToken("api token: not as written")
        return ApiCaller(client, tenant, frozenset(roles.split())), end


def _past(now: datetime, end: int) -> bool:
    return to_numeric_date(now) >= end


def _aad(tenant: str) -> bytes:
    return b"api token 1 " + tenant.encode()


def _credentials(form: Mapping[str, str], authorization: str | None) -> tuple[str, str]:
    """RFC 6749, section 2.3.1: Basic with urlencoded parts, or in the form; never both."""
    if authorization is None:
        if "client_id" not in form or "client_secret" not in form:
            raise InvalidClient("token: no client credentials")
        return form["client_id"], form["client_secret"]
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic" or "client_secret" in form:
        raise InvalidClient("token: not Basic, or two ways at once")
    try:
        name, colon, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except ValueError as error:  # of base64 and of UTF-8
        raise InvalidClient("token: Basic is not readable") from error
    if not colon or form.get("client_id", unquote_plus(name)) != unquote_plus(name):
        raise InvalidClient("token: Basic is not readable, or names another client")
    return unquote_plus(name), unquote_plus(secret)
