"""A scripted issuer as strict as the official wallet tests, over whatever serves it.

It goes the whole way (offer, PAR, authorization, token, nonce, credential, deferred, notification)
in the variant a test chooses, broken where the test says so. What a wallet does wrong is noted in
`faults`; everything it calls stands in `calls`, so that "stopped" can be seen.

    suite = StrictIssuer("https://suite.example/test/a/x/", clock=…, wallet="https://wallet.example",
                         anchors=provider_anchors)
    link = suite.offer()                       # a wallet takes it, answers with an authorize URL
    parameters = suite.browse(authorize_url)   # what the browser brings back to /callback

Specification: CERTIFICATION 1.5, 2.1 and 2.3.
"""

import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.encoding import Clock, b64url_decode
from shared.errors import ExpectedError, WrongNonce
from shared.formats import credential as formats
from shared.formats import type_metadata
from shared.formats.status_list import StatusList, StatusReference, sign_token
from shared.oauth import attestation, dpop, pkce
from shared.oauth.encryption import EncryptionKey
from shared.oauth.messages import NonceSource
from shared.oid4vci import proofs
from shared.oid4vci.messages import (
    CredentialRequest,
    CredentialResponse,
    DeferredRequest,
    decrypt_request,
    encrypt,
)
from shared.oid4vci.metadata import CredentialIssuerMetadata
from shared.oid4vci.offer import CredentialOffer, offer_link
from shared.trust import Role

from .mdocs import CLAIMS as LICENCE_CLAIMS
from .mdocs import DOCTYPE, LICENCE
from .trust import INTEGRITY, PID, SD_JWT, Agency, issue
from .wallet import CLAIMS, GRANT, type_document

MDOC = "mso_mdoc"
CONFIGURATIONS = {SD_JWT: "eu.europa.ec.eudi.pid.1", MDOC: "org.iso.18013.5.1.mDL"}
DECOYS: tuple[dict[str, Any], ...] = (
    {"kty": "AKP", "alg": "ML-KEM-768", "kid": "pq", "pub": "AAAA", "use": "enc"},
    {"kty": "EC", "crv": "P-256", "alg": "ES256", "kid": "sig", "use": "sig", "x": "A", "y": "A"},
)
_BODY = {"credential_configuration_id", "credential_identifier", "proofs"}


@lru_cache(maxsize=1)
def entity() -> Agency:
    """The agency behind every strict issuer; its certificates are made once."""
    roles = [Role.CREDENTIAL, Role.STATUS]
    nowhere = {"uri": "https://nowhere.example/mdl", "integrity": INTEGRITY}  # names must do
    issues = [issue(PID), issue(DOCTYPE, format=MDOC, type_metadata=nowhere)]
    return Agency.make("ent_suite", {"en": "Conformance Suite"}, roles, issues=issues)


@lru_cache(maxsize=2)
def _signer(role: Role) -> SoftwareKey:
    return entity().signer(role, dns=["localhost"], country="UT")


@dataclass
class StrictIssuer:
    """Serve `app()` under the origin of *base*; attributes choose variant and breakage."""

    base: str
    clock: Clock
    wallet: str
    anchors: frozenset[bytes]
    format: str = SD_JWT
    proof: str = "jwt"
    key_attestation: bool = False
    dpop_nonces: bool = True
    challenge: bool = False
    batch_size: int | None = None
    deferred: bool = False
    ready: bool = True
    encrypted: bool = False
    identifiers: bool = False
    refresh: bool = False
    rotate: bool = False
    both: bool = False
    scheme: str = "DPoP"
    token: dict[str, Any] = field(default_factory=dict)
    claims: dict[str, Any] = field(default_factory=dict)
    server: Callable[[dict[str, Any]], dict[str, Any]] = lambda found: found
    back: Callable[[dict[str, str]], dict[str, str]] = lambda found: found
    interrupt: Callable[[str], Response | None] = lambda _: None
    tamper: Callable[[list[str]], list[str]] = lambda issued: issued
    lifetime: timedelta = timedelta(days=14)
    faults: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)
    attested: list[dict[str, Any]] = field(default_factory=list)
    pushed: dict[str, dict[str, str]] = field(default_factory=dict)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    tokens: dict[str, PublicKey] = field(default_factory=dict)
    refresh_tokens: dict[str, bytes] = field(default_factory=dict)
    seen: set[bytes] = field(default_factory=set)
    c_nonces: set[str] = field(default_factory=set)
    waiting: dict[str, tuple[PublicKey, ...]] = field(default_factory=dict)
    offers: dict[str, CredentialOffer] = field(default_factory=dict)
    key: SoftwareKey = field(default_factory=lambda: SoftwareKey.generate(kid="good"))
    statuses: StatusList = field(default_factory=lambda: StatusList.empty(2, 4096))
    next_status: int = 0
    challenges: int = 0
    nonces: dict[str, str] = field(default_factory=lambda: {"as": "as-0", "rs": "rs-0"})

    # -- What a test does ----------------------------------------------------------------------

    @property
    def configuration(self) -> str:
        return CONFIGURATIONS[self.format]

    @property
    def offered(self) -> list[str]:
        return list(CONFIGURATIONS.values()) if self.both else [self.configuration]

    def entry(self) -> dict[str, Any]:
        """Its entry in the trust list."""
        return entity().entry(credential_issuers=[self.base])

    def offer(self, *, code: str | None = None, by_reference: bool = False) -> str:
        """An offer link; with *code*, of the pre-authorized grant and its Transaction Code."""
        state = secrets.token_urlsafe(24)
        grants: dict[str, Any] = {"authorization_code": {"issuer_state": state}}
        if code is not None:
            pre_authorized = secrets.token_urlsafe(32)
            self.codes[pre_authorized] = {"tx_code": code}
            grants = {GRANT: {"pre-authorized_code": pre_authorized, "tx_code": {"length": 6}}}
        offer = CredentialOffer.from_object(
            {
                "credential_issuer": self.base,
                "credential_configuration_ids": self.offered,
                "grants": grants,
            }
        )
        self.offers[state] = offer
        if by_reference:
            return offer_link(offer_uri=f"{self.base}offers/{state}")
        return offer_link(offer=offer)

    def browse(self, url: str) -> dict[str, str]:
        """A browser at the authorization endpoint, where the person agrees at once."""
        parts = urlsplit(url)
        parameters = dict(parse_qsl(parts.query))
        self._expect(url.startswith(f"{self.base}authorize?"), "authorize: another endpoint")
        self._expect(set(parameters) == {"client_id", "request_uri"}, "authorize: more parameters")
        asked = self.pushed[parameters["request_uri"]]
        self._expect(parameters["client_id"] == asked["client_id"], "authorize: client_id")
        code = secrets.token_urlsafe(32)
        self.codes[code] = asked
        return self.back({"code": code, "state": asked["state"], "iss": self.base})

    def redeemed(self) -> list[str]:
        """The calls after which nothing may follow a stop (2.3.5)."""
        watched = {"par", "authorize", "token", "nonce", "credential", "deferred", "notification"}
        return [each for each in self.calls if each in watched]

    # -- Its endpoints -------------------------------------------------------------------------

    def app(self) -> Starlette:
        """Everything at any path, so that a path nobody published is a fault."""
        return Starlette(routes=[Route("/{path:path}", self._any, methods=["GET", "POST", "PUT"])])

    async def _any(self, request: Request) -> Response:
        path, place = request.url.path, urlsplit(self.base).path
        body = await request.body()
        well_known = {
            f"/.well-known/openid-credential-issuer{place}": self._metadata,
            f"/.well-known/oauth-authorization-server{place.removesuffix('/')}": self._server,
        }
        if path in well_known and request.method == "GET":
            self.calls.append(path)
            return well_known[path]()
        name = path.removeprefix(place) if path.startswith(place) else "?"
        if request.method == "GET":
            if name.startswith("offers/"):
                return JSONResponse(self.offers[name.removeprefix("offers/")].to_object())
            if name == "statuslists/1":
                return self._status()
            if name == "authorize":
                back = self.browse(str(request.url).replace("http:", "https:"))
                return RedirectResponse(f"{self.wallet}/callback?{urlencode(back)}", 302)
        act = getattr(self, f"_post_{name}", None)
        if act is None or request.method != "POST":
            self.faults.append(f"unexpected call: {request.method} {path}")
            return Response(status_code=404)
        self.calls.append(name)
        self._expect(not request.url.query, f"{name}: with a query")
        if (broken := self.interrupt(name)) is not None:
            return broken
        try:
            answer: Response = act(request, body)
        except ExpectedError as error:
            self.faults.append(f"{name}: {error}")
            code = getattr(error, "error", "invalid_request")
            answer = JSONResponse({"error": code}, getattr(error, "status", 400))
        return answer

    def _metadata(self) -> Response:
        return JSONResponse(self.metadata())

    def metadata(self) -> dict[str, Any]:
        proof: dict[str, Any] = {"proof_signing_alg_values_supported": ["ES256"]}
        if self.key_attestation:
            proof["key_attestations_required"] = {}
        configurations: dict[str, Any] = {
            CONFIGURATIONS[SD_JWT]: {"format": SD_JWT, "vct": PID, "scope": "eudi.pid.1"},
            CONFIGURATIONS[MDOC]: {"format": MDOC, "doctype": DOCTYPE, "scope": "mdl"},
        }
        for each in configurations.values():
            each["cryptographic_binding_methods_supported"] = ["jwk", "cose_key"]
            each["proof_types_supported"] = dict.fromkeys(self.proof.split(), proof)
        configurations["odd"] = {"format": "ldp_vc", "credential_definition": 5}
        found: dict[str, Any] = {
            "credential_issuer": self.base,
            "credential_endpoint": f"{self.base}credential",
            "nonce_endpoint": f"{self.base}nonce",
            "deferred_credential_endpoint": f"{self.base}deferred",
            "notification_endpoint": f"{self.base}notification",
            "credential_configurations_supported": configurations,
            "mtls_endpoint_aliases": {"credential_endpoint": "https://mtls.example/never"},
        }
        if self.batch_size is not None:
            found["batch_credential_issuance"] = {"batch_size": self.batch_size}
        if self.encrypted:
            jwk = EncryptionKey(self.key.public, self.key.kid).to_jwk()
            found["credential_request_encryption"] = {
                "jwks": {"keys": [*DECOYS, jwk]},
                "enc_values_supported": ["A128GCM", "A256GCM"],
                "encryption_required": True,
            }
            found["credential_response_encryption"] = {
                "alg_values_supported": ["ECDH-ES"],
                "enc_values_supported": ["A128GCM", "A256GCM"],
                "encryption_required": True,
            }
        return found

    def _server(self) -> Response:
        found: dict[str, Any] = {
            "issuer": self.base,
            "authorization_endpoint": f"{self.base}authorize",
            "token_endpoint": f"{self.base}token",
            "pushed_authorization_request_endpoint": f"{self.base}par",
            "require_pushed_authorization_requests": True,
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", GRANT]
            + (["refresh_token"] if self.refresh else []),
            "code_challenge_methods_supported": ["S256"],
            "authorization_response_iss_parameter_supported": True,
            "dpop_signing_alg_values_supported": ["ES256"],
            "token_endpoint_auth_methods_supported": ["attest_jwt_client_auth"],
            "client_attestation_signing_alg_values_supported": ["ES256"],
            "client_attestation_pop_signing_alg_values_supported": ["ES256"],
            "mtls_endpoint_aliases": {"token_endpoint": "https://mtls.example/never"},
        }
        if self.challenge:
            found["challenge_endpoint"] = f"{self.base}challenge"
        return JSONResponse(self.server(found))

    def _post_challenge(self, _request: Request, body: bytes) -> Response:
        self._expect(body == b"", "challenge: with a body")
        self.challenges += 1
        return JSONResponse({"attestation_challenge": f"challenge-{self.challenges}"})

    def _post_par(self, request: Request, body: bytes) -> Response:
        form = self._form(request, body)
        if refused := self._dpop(request, "par", None):
            return refused
        self._client(request, form)
        self._expect(form.get("response_type") == "code", "par: response_type")
        self._expect(form.get("redirect_uri") == f"{self.wallet}/callback", "par: redirect_uri")
        self._expect(form.get("code_challenge_method") == "S256", "par: PKCE")
        self._expect(43 <= len(form.get("code_challenge", "")) <= 128, "par: PKCE")
        self._expect(22 <= len(form.get("state", "")) <= 128, "par: state")
        self._expect("request" not in form and "request_uri" not in form, "par: request")
        known = self.metadata()["credential_configurations_supported"]
        scope = " ".join(known[each]["scope"] for each in self.offered)
        self._expect(form.get("scope") == scope, "par: scope")
        if self.offers:
            self._expect(form.get("issuer_state") in self.offers, "par: issuer_state")
        uri = f"urn:ietf:params:oauth:request_uri:{secrets.token_urlsafe(32)}"
        self.pushed[uri] = form
        return self._answer({"request_uri": uri, "expires_in": 60}, "as", status=201)

    def _post_token(self, request: Request, body: bytes) -> Response:
        form = self._form(request, body)
        if refused := self._dpop(request, "token", None):
            return refused
        self._client(request, form)
        if form.get("grant_type") == "refresh_token":
            instance = self.refresh_tokens.get(form["refresh_token"])
            if instance != self._instance(request):
                return JSONResponse({"error": "invalid_grant"}, 400)
            if self.rotate:
                del self.refresh_tokens[form["refresh_token"]]
        elif self._code(form) is None:
            return JSONResponse({"error": "invalid_grant"}, 400)
        token = secrets.token_urlsafe(32)
        proof = json.loads(b64url_decode(request.headers["dpop"].split(".")[0]))
        self.tokens[token] = PublicKey.from_jwk(proof["jwk"])
        answer: dict[str, Any] = {
            "access_token": token,
            "token_type": "DPoP",
            "expires_in": 300,
            "unknown": [1],
        }
        if self.identifiers:
            detail = {
                "type": "openid_credential",
                "credential_configuration_id": self.configuration,
                "credential_identifiers": [f"id-{self.configuration}"],
            }
            answer["authorization_details"] = [detail]
        if self.refresh and (self.rotate or form["grant_type"] != "refresh_token"):
            answer["refresh_token"] = secrets.token_urlsafe(32)
            self.refresh_tokens[answer["refresh_token"]] = self._instance(request)
        changed = {
            name: value for name, value in (answer | self.token).items() if value is not None
        }
        return self._answer(changed, "as")

    def _code(self, form: Mapping[str, str]) -> dict[str, str] | None:
        if form.get("grant_type") == GRANT:
            asked = self.codes.pop(form["pre-authorized_code"], None)
            return asked if asked is not None and form.get("tx_code") == asked["tx_code"] else None
        asked = self.codes.pop(form.get("code", ""), None)
        if asked is None:
            self.faults.append("token: unknown or used code")
            return None
        self._expect(form.get("redirect_uri") == asked["redirect_uri"], "token: redirect_uri")
        pkce.verify(form.get("code_verifier"), code_challenge=asked["code_challenge"])
        return asked

    def _post_nonce(self, request: Request, body: bytes) -> Response:
        self._expect(body == b"" and "authorization" not in request.headers, "nonce: not empty")
        nonce = secrets.token_urlsafe(32)
        self.c_nonces.add(nonce)
        return self._answer({"c_nonce": nonce}, "rs")

    def _post_credential(self, request: Request, body: bytes) -> Response:
        if refused := self._dpop(request, "credential", self._token(request)):
            return refused
        self.bodies.append(body)
        asked = self._opened(request, body, CredentialRequest)
        name = f"id-{self.configuration}" if self.identifiers else self.configuration
        said = (
            asked.credential_identifier if self.identifiers else asked.credential_configuration_id
        )
        if self.both and said in self.offered:
            self.format = next(each for each, its in CONFIGURATIONS.items() if its == said)
            name = self.configuration
        self._expect(said == name, "credential: identifier")
        configuration = CredentialIssuerMetadata.from_object(
            self.metadata()
        ).credential_configurations_supported[self.configuration]
        uses: set[bytes] = set()

        def check(nonce: str) -> bytes:
            uses.add(nonce.encode())
            if nonce not in self.c_nonces:
                raise WrongNonce("used or unknown")
            return nonce.encode()

        proven = proofs.verify(
            asked.proofs,
            audience=self.base,
            client_id=self.wallet,
            check_nonce=check,
            accept=configuration.proof_types_supported,
            max_keys=self.batch_size or 1,
            anchors=self.anchors,
            now=self.clock(),
        )
        self._expect(len(uses) == 1, "credential: proofs with several nonces")
        self.c_nonces -= {each.decode() for each in uses}
        if self.batch_size is not None:
            self._expect(len(proven.keys) >= 2, "credential: one proof where a batch is offered")
        if self.deferred:
            transaction = secrets.token_urlsafe(24)
            self.waiting[transaction] = proven.keys
            return self._sealed(asked, {"transaction_id": transaction, "interval": 5}, 202)
        return self._issue(asked, proven.keys)

    def _post_deferred(self, request: Request, body: bytes) -> Response:
        if refused := self._dpop(request, "deferred", self._token(request)):
            return refused
        asked = self._opened(request, body, DeferredRequest)
        if asked.transaction_id not in self.waiting:
            return JSONResponse({"error": "invalid_transaction_id"}, 400)
        if not self.ready:
            pending = {"transaction_id": asked.transaction_id, "interval": 5}
            return self._sealed(asked, pending, 202)
        return self._issue(asked, self.waiting.pop(asked.transaction_id))

    def _post_notification(self, request: Request, body: bytes) -> Response:
        if refused := self._dpop(request, "notification", self._token(request)):
            return refused
        message = json.loads(body)
        self._expect(set(message) <= {"notification_id", "event"}, "notification: members")
        self._expect(message["notification_id"] == "ntf-1", "notification: id")
        self.notifications.append(message["event"])
        return Response(status_code=204)

    def _status(self) -> Response:
        token = sign_token(
            self.statuses,
            uri=f"{self.base}statuslists/1",
            signer=_signer(Role.STATUS),
            now=self.clock(),
            ttl=timedelta(minutes=5),
        )
        return Response(token, media_type="application/statuslist+jwt")

    # -- What it checks ------------------------------------------------------------------------

    def _expect(self, held: bool, fault: str) -> None:  # an assertion
        if not held:
            self.faults.append(fault)

    def _form(self, request: Request, body: bytes) -> dict[str, str]:
        kind = request.headers.get("content-type", "")
        self._expect(kind == "application/x-www-form-urlencoded", "form: content type")
        return dict(parse_qsl(body.decode()))

    def _client(self, request: Request, form: Mapping[str, str]) -> None:
        """2.3.2: the attestation, its PoP and what they say, by hand beside the library."""
        challenges = None
        if self.challenge:
            current = f"challenge-{self.challenges}"

            def check(value: str) -> None:
                if value != current:
                    raise WrongNonce("not the newest challenge")

            challenges = NonceSource(check, lambda: current)
        found = attestation.verify(
            request.headers.getlist(attestation.HEADER),
            request.headers.getlist(attestation.POP_HEADER),
            audience=self.base,
            client_id=form.get("client_id"),
            anchors=self.anchors,
            now=self.clock(),
            challenges=challenges,
        )
        self._expect(found.use not in self.seen, "attestation: PoP used again")
        self.seen.add(found.use)
        claims = _claims(request.headers[attestation.HEADER])
        pop = _claims(request.headers[attestation.POP_HEADER])
        self._expect(claims["iss"] == self.wallet, "attestation: iss")
        self._expect(claims["sub"] == pop["iss"] == self.wallet, "attestation: sub")
        self._expect(pop["aud"] == self.base, "attestation: aud")
        self._expect(0 < claims["exp"] - claims["iat"] <= 86_400, "attestation: exp")
        self.attested.append(claims)

    def _instance(self, request: Request) -> bytes:
        jwk = _claims(request.headers[attestation.HEADER])["cnf"]["jwk"]
        return PublicKey.from_jwk(jwk).thumbprint()

    def _token(self, request: Request) -> str:
        self._expect("access_token" not in request.url.query, "token: in the query")
        return dpop.access_token(request.headers.getlist("authorization"))

    def _dpop(self, request: Request, name: str, token: str | None) -> Response | None:
        """2.3.3: one proof for one request; nonces change with every answer, and by server."""
        kind = "as" if token is None else "rs"
        proof = dpop.verify(
            request.headers.getlist("dpop"),
            method="POST",
            url=f"{self.base}{name}",
            now=self.clock(),
            access_token=token,
            expected_jkt=None,
            nonces=None,
        )
        self._expect(proof.use not in self.seen, f"{name}: DPoP proof used again")
        self.seen.add(proof.use)
        if token is not None and self.tokens.get(token) != proof.key:
            headers = {"WWW-Authenticate": f'{self.scheme} error="invalid_token"'}
            return JSONResponse({"error": "invalid_token"}, 401, headers)
        said = _claims(request.headers["dpop"]).get("nonce")
        if not self.dpop_nonces:
            self._expect(said is None, f"{name}: a nonce nobody gave")
            return None
        if said == self.nonces[kind]:
            return None
        self.nonces[kind] = f"{kind}-{secrets.token_urlsafe(8)}"
        challenge = f'{self.scheme} error="use_dpop_nonce", algs="ES256"'
        headers = {"DPoP-Nonce": self.nonces[kind]}
        if kind == "as":
            return JSONResponse({"error": "use_dpop_nonce"}, 400, headers)
        return Response(None, 401, headers | {"WWW-Authenticate": challenge})

    def _opened(self, request: Request, body: bytes, message: Any) -> Any:
        kind = request.headers.get("content-type", "")
        if self.encrypted:
            self._expect(kind == "application/jwt", "credential: content type")
            found = CredentialIssuerMetadata.from_object(self.metadata())
            assert found.credential_request_encryption is not None
            offered = found.credential_request_encryption
            return decrypt_request(body.decode(), message, key=self.key, offered=offered)
        self._expect(kind == "application/json", "credential: content type")
        allowed = _BODY if message is CredentialRequest else {"transaction_id"}
        self._expect(set(json.loads(body)) <= allowed, "credential: more members")
        return message.parse(body)

    # -- What it answers -----------------------------------------------------------------------

    def _answer(self, content: Any, kind: str, *, status: int = 200) -> Response:
        headers = {"Cache-Control": "no-store"}
        if self.dpop_nonces:
            self.nonces[kind] = f"{kind}-{secrets.token_urlsafe(8)}"
            headers["DPoP-Nonce"] = self.nonces[kind]
        return JSONResponse(content, status, headers)

    def _issue(self, asked: Any, keys: tuple[PublicKey, ...]) -> Response:
        issued = [{"credential": each} for each in self.tamper([self._one(each) for each in keys])]
        issued.reverse()  # W-40: order means nothing
        return self._sealed(asked, {"credentials": issued, "notification_id": "ntf-1"}, 200)

    def _one(self, key: PublicKey) -> str:
        self.next_status += 2  # even ones are valid
        known, licence = CLAIMS[PID], LICENCE_CLAIMS
        is_mdoc = self.format == MDOC
        return formats.issue(
            self.format,
            {**(licence if is_mdoc else known), **self.claims},
            metadata=LICENCE if is_mdoc else type_metadata.parse(type_document(PID), vct=PID),
            holder=key,
            status=StatusReference(self.next_status, f"{self.base}statuslists/1"),
            issued_at=self.clock(),
            expires_at=self.clock() + self.lifetime,
            signer=_signer(Role.CREDENTIAL),
        )

    def _sealed(self, asked: Any, content: dict[str, Any], status: int) -> Response:
        if not self.encrypted:
            return self._answer(content, "rs", status=status)
        how = asked.credential_response_encryption
        assert how is not None, "no key for the answer"
        key = EncryptionKey.from_jwk(how.jwk)
        token = encrypt(CredentialResponse.from_object(content), to=key, enc=how.enc)
        headers = {"DPoP-Nonce": self.nonces["rs"]} if self.dpop_nonces else {}
        return Response(token, status, headers, "application/jwt")


def _claims(token: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(b64url_decode(token.split(".")[1]))
    return found
