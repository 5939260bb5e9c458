"""A person on the way from their wallet to their consent: what the browser keeps meanwhile.

All of it lies sealed in one cookie for each authorization request, so a page that is opened makes
no row, and any replica takes the next step. The cookie belongs to this host alone (`__Host-`), is
not sent from other sites' forms (SameSite=Lax), names its request, tenant and end, and carries the
token that every form of the next page must repeat; a sign-in replaces all of it. What may happen
once happens in the database: codes (desk.py), completion (authorizations.py). PROFILE I-47; ADR
0012.
"""

import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

from starlette.types import Scope

from shared.crypto.sealing import open_sealed, seal
from shared.encoding import b64url_decode, b64url_encode, dump_json
from shared.errors import ExpectedError, InvalidInput, VerificationError
from shared.runtime.languages import mark
from shared.runtime.openid import ProviderVisit
from shared.runtime.pages import cookie

from .authorizations import AuthorizationRequest, resume
from .context import Issuer, Tenant

COOKIE = "__Host-login-"
_FLOW_BYTES = 9


class LoginLost(ExpectedError):
    """The browser brings no login, a foreign one, or one whose time is over."""

    status = 400
    code = "login_lost"
    public = mark("This browser did not begin this step, or too much time has passed since.")
    next_step = mark("Go back to your wallet and start again. Cookies must be allowed.")


@dataclass(frozen=True, slots=True)
class Login:
    """One person's way through the pages for one authorization request.

    Attributes:
        flow: names it in URLs and in its cookie; no secret.
        request_id: of the authorization request.
        csrf: what the next form must bring.
        subject: who it is, as the register's reference, once they signed in.
        visit: to the OpenID Provider, while the browser is there.
    """

    flow: str
    request_id: str
    expires_at: datetime
    csrf: str
    subject: str | None = None
    visit: ProviderVisit | None = None

    @classmethod
    def start(cls, issuer: Issuer, request: AuthorizationRequest) -> Self:
        """A new one; each page of /authorize that is opened has its own."""
        flow = b64url_encode(issuer.random_bytes(_FLOW_BYTES))
        return cls(flow, request.id, request.expires_at, _token(issuer))

    @classmethod
    def read(cls, issuer: Issuer, tenant: Tenant, flow: str, scope: Scope) -> Self:
        """The login *flow* of the browser that sent the request.

        Raises:
            LoginLost: its cookie is missing, not ours, of another tenant or flow, or too old.
        """
        try:
            sealed = b64url_decode(cookie(scope, COOKIE + flow) or "")
            plain = open_sealed(issuer.secrets.logins, sealed, aad=_belongs(tenant, flow))
        except (InvalidInput, VerificationError) as error:
            raise LoginLost("login: no cookie of this flow") from error
        held = json.loads(plain)
        expires_at = datetime.fromtimestamp(held["expires_at"], UTC)
        if expires_at <= issuer.clock():
            raise LoginLost("login: took too long")
        visit = held["visit"]
        return cls(
            flow,
            held["request_id"],
            expires_at,
            held["csrf"],
            held["subject"],
            ProviderVisit(*visit) if visit else None,
        )

    def cookie(self, issuer: Issuer, tenant: Tenant) -> Mapping[str, str]:
        """The header that makes the browser keep it."""
        visit = self.visit
        plain = dump_json(
            {
                "request_id": self.request_id,
                "expires_at": self.expires_at.timestamp(),
                "csrf": self.csrf,
                "subject": self.subject,
                "visit": [visit.state, visit.nonce, visit.verifier] if visit else None,
            }
        )
        sealed = seal(
            issuer.secrets.logins,
            plain,
            aad=_belongs(tenant, self.flow),
            random_bytes=issuer.random_bytes,
        )
        seconds = int((self.expires_at - issuer.clock()).total_seconds())
        return {"Set-Cookie": self._cookie(b64url_encode(sealed), seconds)}

    def forget(self) -> Mapping[str, str]:
        """The header that makes the browser forget it."""
        return {"Set-Cookie": self._cookie("", 0)}

    def _cookie(self, value: str, seconds: int) -> str:
        name = COOKIE + self.flow
        return f"{name}={value}; Path=/; Max-Age={seconds}; Secure; HttpOnly; SameSite=Lax"

    def check_form(self, form: Mapping[str, str]) -> None:
        """Raises LoginLost unless *form* comes from the page that was last shown for this login."""
        if not hmac.compare_digest(form.get("csrf", "").encode(), self.csrf.encode()):
            raise LoginLost("login: a form that is not of the page last shown")

    def request(self, issuer: Issuer, tenant: Tenant) -> AuthorizationRequest:
        """What the wallet asked for; raises RequestGone."""
        return resume(issuer, tenant, self.request_id)

    def leaving(self, issuer: Issuer) -> "Login":
        """On the way to the OpenID Provider."""
        visit = ProviderVisit(
            f"{self.flow}.{_token(issuer)}",
            _token(issuer),
            b64url_encode(issuer.random_bytes(32)),
        )
        return replace(self, visit=visit)

    def signed_in(self, issuer: Issuer, subject: str) -> "Login":
        """As *subject*; forms of pages shown before are good for nothing any more."""
        return replace(self, subject=subject, csrf=_token(issuer), visit=None)


def flow_of(state: str) -> str:
    """The flow that a `state` from the OpenID Provider belongs to."""
    return state.partition(".")[0]


def _token(issuer: Issuer) -> str:
    return b64url_encode(issuer.random_bytes(16))


def _belongs(tenant: Tenant, flow: str) -> bytes:
    return dump_json(["login", tenant.name, flow])
