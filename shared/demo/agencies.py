"""The two agencies' own systems: what a developer of an agency writes, in two HTTP calls each."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx2

from .system import ApiClient


class Refused(Exception):
    """The API answered with a problem; its members say what to do next."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        super().__init__(f"{status}: {problem.get('code') or problem.get('error')}")
        self.status = status
        self.problem = problem


@dataclass
class Agency:
    """A client of one agency API: `{url}/api/v1/{tenant}`."""

    http: httpx2.Client
    url: str
    tenant: str
    credentials: ApiClient
    _token: str = ""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        """One call; signs in first, and again if the token has expired."""
        if not self._token:
            self._sign_in()
        for _ in range(2):
            answer = self.http.request(
                method,
                f"{self.url}/api/v1/{self.tenant}/{path}",
                json=body,
                headers={"Authorization": f"Bearer {self._token}"} | headers,
            )
            if answer.status_code != 401:
                break
            self._sign_in()
        if answer.status_code >= 400:
            raise Refused(answer.status_code, answer.json())
        return answer.json() if answer.content else None

    def _sign_in(self) -> None:
        answer = self.http.post(
            f"{self.url}/api/v1/{self.tenant}/token",
            data={"grant_type": "client_credentials"},
            auth=(self.credentials.client_id, self.credentials.client_secret),
        )
        if answer.status_code != 200:
            raise Refused(answer.status_code, answer.json())
        self._token = answer.json()["access_token"]

    # As issuer

    def offer(self, subject: str, *credentials: str, **members: Any) -> Any:
        """Offer *credentials* to the person whom the register knows as *subject*."""
        body = {"credentials": list(credentials), "subject": subject, **members}
        return self.call("POST", "offers", body, **{"Idempotency-Key": secrets.token_urlsafe(16)})

    def desk_code(self, subject: str) -> str:
        """A code that a clerk hands out to the person, to sign in with at the agency's pages."""
        return str(self.call("POST", "desk-codes", {"subject": subject})["code"])

    def revoke(self, subject: str, *, reason: str, **members: Any) -> Any:
        """Revoke everything about *subject*."""
        body = {"subject": subject, "reason": reason, **members}
        return self.call("POST", "issuances/revoke", body)

    # As verifier

    def ask(self, query: str, **members: Any) -> Any:
        """Start a transaction: returns the link to show, and the secret that opens the result."""
        return self.call("POST", "transactions", {"query": query, **members})

    def result(self, started: Mapping[str, Any]) -> Any:
        """Where the transaction is, and its verdict once it has ended."""
        secret = {"Transaction-Secret": started["secret"]}
        return self.call("GET", f"transactions/{started['transaction_id']}", **secret)
