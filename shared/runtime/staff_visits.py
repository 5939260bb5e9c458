"""A visit of staff to their OpenID Provider: what the browser takes along and must bring back.

It lies sealed in one cookie of ten minutes for each tenant, which is sent when the browser comes
back from there (SameSite=Lax). OpenID Connect Core 1.0, section 3.1; RFC 7636; ADR 0020.
"""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta

from starlette.types import Scope

from ..crypto.sealing import hkdf, open_sealed, seal
from ..encoding import RandomBytes, b64url_decode, b64url_encode, dump_json
from ..errors import ExpectedError, InvalidInput, VerificationError
from .languages import mark
from .openid import OpenIdProvider, ProviderVisit
from .pages import cookie
from .staff_files import Door, StaffProviderFile

_LONGEST = timedelta(minutes=10)
_COOKIE = "__Host-staff-visit-"


class NoSuchWay(InvalidInput):
    """The staff of this tenant do not sign in this way."""

    public = mark("The staff of this agency do not sign in this way.")


class VisitLost(ExpectedError):
    """The browser comes back from a provider to which it was not sent, or too late."""

    status = 400
    code = "visit_lost"
    public = mark("This browser did not begin this sign-in, or it took too long.")
    next_step = mark("Sign in again. Cookies must be allowed.")


@dataclass(frozen=True, slots=True)
class Visit:
    """What a browser left with.

    Attributes:
        to: the page of ours to which it goes on.
    """

    at_provider: ProviderVisit
    to: str

    @classmethod
    def of(cls, scope: Scope, tenant: str, *, key: bytes, now: datetime) -> "Visit":
        """The visit of the browser that sent the request.

        Raises:
            VisitLost: its cookie is missing, not ours, of another tenant, or too old.
        """
        try:
            sealed = b64url_decode(cookie(scope, _COOKIE + tenant) or "")
            kept = json.loads(open_sealed(_key(key), sealed, aad=tenant.encode()))
        except (InvalidInput, VerificationError) as error:
            raise VisitLost("staff: no visit of this browser") from error
        if datetime.fromisoformat(kept["until"]) <= now:
            raise VisitLost("staff: the visit took too long")
        return cls(ProviderVisit(*kept["visit"]), kept["to"])


def provider_of(door: Door) -> tuple[OpenIdProvider, StaffProviderFile]:
    """The provider behind *door*; raises NoSuchWay."""
    if door.provider is None or door.file.openid is None:
        raise NoSuchWay("staff: no OpenID Provider here")
    return door.provider, door.file.openid


def leave(
    door: Door,
    *,
    tenant: str,
    to: str,
    locale: str,
    key: bytes,
    now: datetime,
    random_bytes: RandomBytes,
) -> tuple[str, str]:
    """Where the browser goes, and the `Set-Cookie` that it takes along.

    Raises:
        NoSuchWay: the tenant has no provider.
        ProviderUnavailable: it does not answer.
    """
    provider, _ = provider_of(door)
    token = [b64url_encode(random_bytes(32)) for _ in range(3)]
    visit = ProviderVisit(state=token[0], nonce=token[1], verifier=token[2])
    url = provider.authorization_url(visit, locale=locale, now=now)
    kept = dump_json({"visit": token, "to": to, "until": (now + _LONGEST).isoformat()})
    sealed = seal(_key(key), kept, aad=tenant.encode(), random_bytes=random_bytes)
    return url, _cookie(tenant, b64url_encode(sealed), _LONGEST.seconds)


def forget(tenant: str) -> str:
    """The `Set-Cookie` that ends a visit."""
    return _cookie(tenant, "", 0)


def _key(key: bytes) -> bytes:
    return hkdf(key, "staff", "visits")


def _cookie(tenant: str, value: str, seconds: int) -> str:
    name = _COOKIE + tenant
    return f"{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"
