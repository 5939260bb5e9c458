"""The official suite as a wallet against an issuer: what it sends, and what it demands of answers.

first, second = SuiteClient.pair(live)
token = first.tokens()["access_token"]      # PAR, login, token, and all checks
first.check_credential(first.credential(token))
first.par(code_challenge=None)              # one thing wrong: the raw answer comes back

Two clients with a client_id, instance key and redirect URI each, one attester; it fetches one
challenge and keeps it until an answer brings a new one. CERTIFICATION 1.3, 1.4, 2.1, 2.2.
"""

import base64
import html
import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

import httpx2

from shared.crypto.software import SoftwareKey
from shared.oauth import attestation, dpop, pkce
from shared.oid4vci import proofs
from shared.runtime.clock import utc_now
from shared.runtime.errors import PAGE_MARKER
from shared.trust import Role
from tests.support.live_issuer import LiveIssuer

BASE = "https://suite.example:8443/test/a/citizen"
Form = dict[str, str | None]


def entropy(text: str) -> float:
    """Shannon's, times the length: more than 96 is demanded (2.1)."""
    shares = [count / len(text) for count in Counter(text).values()]
    return -sum(each * math.log2(each) for each in shares) * len(text)


def forged(jwt: str) -> str:
    """The same with one byte of its signature changed."""
    head, _, signature = jwt.rpartition(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[5] ^= 1
    return f"{head}.{base64.urlsafe_b64encode(raw).decode().rstrip('=')}"


def check_json(answer: httpx2.Response, status: int) -> Any:
    """2.1: the status, JSON, a Date within five minutes."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    moment = parsedate_to_datetime(answer.headers["date"])
    assert abs(utc_now() - moment) < timedelta(minutes=5)
    return answer.json()


def check_error(answer: httpx2.Response, statuses: set[int], codes: set[str]) -> None:
    """2.2: JSON with a registered code and none but the standard members."""
    assert answer.status_code in statuses, answer.text
    content = check_json(answer, answer.status_code)
    assert set(content) <= {"error", "error_description", "error_uri"}
    assert content["error"] in codes, content
    assert re.fullmatch(r"[\x20-\x21\x23-\x5B\x5D-\x7E]*", content.get("error_description", ""))


def check_page(answer: httpx2.Response) -> None:
    """3: an error page is 4xx HTML with the fixed marker text."""
    assert 400 <= answer.status_code < 500, answer.text
    assert answer.headers["content-type"].startswith("text/html")
    assert html.escape(PAGE_MARKER) in answer.text


@dataclass
class SuiteClient:
    """One of the two clients."""

    live: LiveIssuer
    number: int
    tenant: str = "haip"
    configuration: str = "pid_sd_jwt"
    redirect_uri: str = ""
    instance: SoftwareKey = field(default_factory=SoftwareKey.generate)
    key: SoftwareKey = field(default_factory=SoftwareKey.generate)
    verifier: str = field(default_factory=pkce.make_verifier)
    challenge: str | None = None
    nonces: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        query = "?dummy1=lorem&dummy2=ipsum" if self.number == 2 else ""
        self.redirect_uri = self.redirect_uri or f"{BASE}/callback{query}"
        self.attester = self.live.trust.provider.signer(Role.WALLET_PROVIDER, now=utc_now())

    @classmethod
    def pair(
        cls, live: LiveIssuer, *, tenant: str = "haip", configuration: str = "pid_sd_jwt"
    ) -> tuple[Self, Self]:
        return cls(live, 1, tenant, configuration), cls(live, 2, tenant, configuration)

    @property
    def client_id(self) -> str:
        return f"suite-client-{self.number}"

    @property
    def issuer(self) -> str:
        return f"{self.live.url}/{self.tenant}"

    # -- Client attestation (2.2.3) -------------------------------------------------------

    def fetched_challenge(self) -> str:
        answer = self.live.http.post(f"{self.issuer}/challenge")
        value = str(check_json(answer, 200)["attestation_challenge"])
        assert answer.headers["cache-control"] == "no-store"
        assert re.fullmatch(r"[A-Za-z0-9\-_.~]{16,512}", value)
        return value

    def attestation(self, **changes: Any) -> str:
        return attestation.make_attestation(
            **{
                "signer": self.attester,
                "client_id": self.client_id,
                "key": self.instance.public,
                "now": utc_now(),
                "lifetime": timedelta(minutes=30),
                "issuer": "https://attester.example",
                **changes,
            }
        )

    def pop(self, **changes: Any) -> str:
        if self.challenge is None:
            self.challenge = self.fetched_challenge()
        return attestation.make_pop(
            **{
                "signer": self.instance,
                "client_id": self.client_id,
                "audience": self.issuer,
                "now": utc_now(),
                "challenge": self.challenge,
                **changes,
            }
        )

    def attested(self, attested: str | None = None, pop: str | None = None) -> dict[str, str]:
        return {
            "OAuth-Client-Attestation": attested or self.attestation(),
            "OAuth-Client-Attestation-PoP": pop or self.pop(),
        }

    # -- DPoP -----------------------------------------------------------------------------

    def dpop(self, endpoint: str, **changes: Any) -> str:
        members = {
            "signer": self.key,
            "method": "POST",
            "url": f"{self.issuer}/{endpoint}",
            "now": utc_now(),
            "nonce": self.nonces.get("rs" if endpoint == "credential" else "as"),
            **changes,
        }
        return dpop.make_proof(**members)

    def _keep(self, answer: httpx2.Response, server: str) -> httpx2.Response:
        found = answer.headers.get_list("oauth-client-attestation-challenge")
        assert len(found) <= 1
        if found:
            self.challenge = found[0]
        if "dpop-nonce" in answer.headers:
            self.nonces[server] = answer.headers["dpop-nonce"]
        return answer

    # -- PAR and the authorization endpoint (2.2.4) --------------------------------------

    def par(self, headers: Mapping[str, str] | None = None, **changes: str | None) -> Any:
        """The raw answer; a value None leaves a parameter out. An unknown one is always there."""
        form: Form = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.configuration,
            "state": "state-of-the-suite",
            "code_challenge": pkce.challenge(self.verifier),
            "code_challenge_method": "S256",
            "unknown_parameter": "to be ignored",
            **changes,
        }
        return self.post("par", form, headers)

    def post(self, endpoint: str, form: Form, headers: Mapping[str, str] | None = None) -> Any:
        """A form to the Authorization Server; retried once with the nonce that it demands."""
        sent = {name: value for name, value in form.items() if value is not None}
        url = f"{self.issuer}/{endpoint}"
        if headers is not None:
            return self._keep(self.live.http.post(url, data=sent, headers=dict(headers)), "as")
        for _ in range(2):
            good = {**self.attested(), "DPoP": self.dpop(endpoint)}
            answer = self._keep(self.live.http.post(url, data=sent, headers=good), "as")
            if answer.status_code != 400 or answer.json()["error"] != "use_dpop_nonce":
                break
        return answer

    def pushed(self, **changes: Any) -> str:
        """A good PAR answer's request_uri."""
        answer = self.par(**changes)
        content = check_json(answer, 201)
        assert answer.headers["cache-control"] == "no-store"
        uri = str(content["request_uri"])
        assert entropy(uri.rpartition(":")[2]) > 96
        assert 5 <= content["expires_in"] <= 90
        return uri

    def authorize_url(self, request_uri: str, **changes: str) -> str:
        query = {"client_id": self.client_id, "request_uri": request_uri, **changes}
        return f"{self.issuer}/authorize?{httpx2.QueryParams(query)}"

    def browser(self) -> httpx2.Client:
        """A person's, without scripts."""
        return httpx2.Client(verify=self.live.tls.client(), timeout=120)

    def open(self, browser: httpx2.Client, url: str) -> httpx2.Response:
        """Follow redirects as long as they stay with the issuer."""
        answer = browser.get(url)
        while answer.is_redirect and answer.headers["location"].startswith(self.live.url):
            answer = browser.get(answer.headers["location"])
        return answer

    def submit(
        self, browser: httpx2.Client, page: httpx2.Response, **fields: str
    ) -> httpx2.Response:
        """Fill in the page's form and press a button."""
        csrf = re.search(r'name="csrf" value="([^"]+)"', page.text)
        assert csrf is not None, page.text
        form = {"csrf": html.unescape(csrf[1]), **fields}
        answer = browser.post(str(page.url), data=form)
        if answer.is_redirect and answer.headers["location"].startswith(self.live.url):
            return self.open(browser, answer.headers["location"])
        return answer

    def person(self, url: str, *, subject: str = "AV-000001", agree: bool = True) -> dict[str, str]:
        """Log in at the desk, agree or not: the parameters that come back to the client."""
        with self.browser() as browser:
            login = self.open(browser, url)
            assert login.status_code == 200, login.text
            code = self.live.desk_code(subject, tenant=self.tenant)
            consent = self.submit(browser, login, code=code, action="sign-in")
            assert 'id="consent-accept"' in consent.text, consent.text
            answer = self.submit(browser, consent, action="accept" if agree else "cancel")
        return self.redirected(answer)

    def redirected(self, answer: httpx2.Response) -> dict[str, str]:
        """What a redirect to this client carries, its own query parameters left out."""
        assert answer.status_code == 303, answer.text
        location = answer.headers["location"]
        assert location.startswith(self.redirect_uri + ("&" if "?" in self.redirect_uri else "?"))
        own = dict(parse_qsl(urlsplit(self.redirect_uri).query))
        found = parse_qsl(urlsplit(location).query, keep_blank_values=True)
        assert len(found) == len(dict(found))
        return {name: value for name, value in found if name not in own}

    def code(self, *, subject: str = "AV-000001", **changes: Any) -> str:
        """An authorization code, after everything that is demanded of it."""
        uri = self.pushed(**changes)
        found = self.person(self.authorize_url(uri), subject=subject)
        expected = {"code", "iss"} | ({"state"} if changes.get("state", "x") else set())
        assert set(found) == expected
        assert found["iss"] == self.issuer
        assert found.get("state", "") == (changes.get("state", "state-of-the-suite") or "")
        assert len(found["code"]) * 6 >= 128
        assert entropy(found["code"]) > 96
        return found["code"]

    # -- Token endpoint (2.2.5) ------------------------------------------------------------

    def token(
        self, code: str, headers: Mapping[str, str] | None = None, **changes: str | None
    ) -> Any:
        form: Form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            "client_id": self.client_id,
            "unknown_parameter": "to be ignored",
            **changes,
        }
        return self.post("token", form, headers)

    def refresh(
        self, token: str, headers: Mapping[str, str] | None = None, **changes: str | None
    ) -> Any:
        form: Form = {
            "grant_type": "refresh_token",
            "refresh_token": token,
            "scope": self.configuration,
            "client_id": self.client_id,
            **changes,
        }
        return self.post("token", form, headers)

    def check_token(self, answer: httpx2.Response) -> Any:
        """2.2.5: 200, no-store, DPoP, expires_in, enough entropy, no ID token."""
        content = check_json(answer, 200)
        assert answer.headers["cache-control"] == "no-store"
        assert content["token_type"] == "DPoP"
        assert content["expires_in"] > 0
        assert "id_token" not in content
        for name in ("access_token", "refresh_token"):
            if name in content:
                assert entropy(content[name]) > 96
        return content

    def tokens(self, **changes: Any) -> Any:
        return self.check_token(self.token(self.code(**changes)))

    # -- Protected endpoints (2.2.6) -------------------------------------------------------

    def c_nonce(self) -> str:
        answer = self._keep(self.live.http.post(f"{self.issuer}/nonce"), "rs")
        assert answer.headers["cache-control"] == "no-store"
        return str(check_json(answer, 200)["c_nonce"])

    def proof(self, key: SoftwareKey | None = None, **changes: Any) -> str:
        members = {
            "signer": key or SoftwareKey.generate(),
            "audience": self.issuer,
            "now": utc_now(),
            "client_id": self.client_id,
            **changes,
        }
        if "nonce" not in members:
            members["nonce"] = self.c_nonce()
        return proofs.make_jwt_proof(**members)

    def credential(
        self,
        token: str,
        configuration: str | None = None,
        *,
        headers: Mapping[str, str] | list[tuple[str, str]] | None = None,
        query: str = "",
        **members: Any,
    ) -> Any:
        """The raw answer; the body holds an unknown member, and *members* replace others."""
        url = f"{self.issuer}/credential"
        body = {
            "credential_configuration_id": configuration or self.configuration,
            "unknown_member": {"to": "be ignored"},
            **members,
        }
        if "proofs" not in members:
            body["proofs"] = {"jwt": [self.proof()]}
        content = json.dumps({name: each for name, each in body.items() if each is not None})
        kind = [("Content-Type", "application/json")]
        for _ in range(2):
            given = headers
            if given is None:
                proof = self.dpop("credential", access_token=token)
                given = [("Authorization", f"DPoP {token}"), ("DPoP", proof)]
            pairs = list(given.items()) if isinstance(given, Mapping) else list(given)
            answer = self.live.http.post(url + query, content=content, headers=kind + pairs)
            self._keep(answer, "rs")
            if (
                headers is not None
                or answer.headers.get("www-authenticate", "").find("use_dpop_nonce") < 0
            ):
                break
        return answer

    def check_credential(self, answer: httpx2.Response) -> str:
        """2.2.6: 200, at least one credential, nothing that is not registered."""
        content = check_json(answer, 200)
        assert set(content) <= {"credentials", "notification_id"}
        return str(content["credentials"][0]["credential"])
