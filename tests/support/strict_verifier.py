"""A scripted Verifier as strict as the official wallet tests, over whatever serves it.

It asks what a test tells it to ask, broken in the ways the tests name, and judges one answer by
hand: the form, the JWE header, the payload's members, every member of the KB-JWT. Whatever reaches
its Response URI, and however often, is counted.

Specification: CERTIFICATION 1.6, 2.1 and 2.4.
"""

import base64
import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, urlencode

import cbor2
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from shared.crypto.software import SoftwareKey
from shared.encoding import Clock, JsonValue, b64url_decode, b64url_encode
from shared.formats import credential as formats
from shared.formats.credential import Session, Trusted
from shared.jose import jwe, jws
from shared.oauth.encryption import EncryptionKey
from shared.oid4vp import client_id as client_ids
from shared.oid4vp import request
from shared.trust import Role, TrustList

MADE_UP_KEYS: tuple[dict[str, JsonValue], ...] = (
    {"kty": "AKP", "alg": "ML-KEM-768", "kid": "pq", "pub": "AAAA", "use": "enc"},
    {"kty": "XYZ", "alg": "MADE-UP", "kid": "made-up", "use": "enc"},
    {"kty": "EC", "crv": "P-256", "alg": "MADE-UP", "kid": "odd", "x": "AA", "y": "AA"},
)
_HEAD = '<!doctype html><link rel="icon" href="data:,"><title>Agency</title>'


@dataclass
class Case:
    """One authorization request and what came back for it.

    Attributes:
        query: the DCQL query.
        prefix: of the Client Identifier.
        method: how the request travels: `request_uri_signed`, `request_uri_unsigned`, `url_query`.
        mode: the response mode.
        change: breaks or varies the parameters before they are signed.
        tamper: breaks the signed object.
        link: breaks or varies the parameters of the link.
    """

    query: Mapping[str, Any]
    prefix: str = "x509_hash"
    method: str = "request_uri_signed"
    mode: str = "direct_post.jwt"
    post: bool = False
    state: str | None = None
    redirect_uri: str | None = None
    purpose: str | None = "identification"
    transaction_data: tuple[str, ...] = ()
    unusable_keys: bool = False
    change: Callable[[dict[str, Any]], None] = lambda _: None
    tamper: Callable[[str], str] = lambda token: token
    link: Callable[[dict[str, str]], dict[str, str]] = lambda parameters: parameters
    number: str = ""
    wallet: str = ""
    nonce: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    key: SoftwareKey = field(default_factory=lambda: SoftwareKey.generate(kid="good"))
    client_id: str = ""
    fetched: int = 0
    wallet_nonce: str | None = None
    posts: list[tuple[str, str, bytes]] = field(default_factory=list)
    status: int = 200


@dataclass
class StrictVerifier:
    """Serve `app()`; `start(case)` gives the page whose link opens the wallet."""

    url: str
    wallet: str
    clock: Clock
    trust: Callable[[], TrustList]
    signer: SoftwareKey
    cases: dict[str, Case] = field(default_factory=dict)

    def start(self, case: Case) -> str:
        """A page of this verifier with one link, as an agency's site has it."""
        case.number = f"c{len(self.cases)}"
        self.cases[case.number] = case
        case.client_id, case.wallet = self._client_id(case), self.wallet
        return f"{self.url}/start/{case.number}"

    def authorize_link(self, case: Case) -> str:
        """The wallet's authorization endpoint with this request."""
        if case.method == "url_query":
            parameters = {
                name: value if isinstance(value, str) else json.dumps(value)
                for name, value in self._parameters(case).items()
            }
        else:
            parameters = {
                "client_id": case.client_id,
                "request_uri": f"{self.url}/request/{case.number}",
            }
            if case.post:
                parameters["request_uri_method"] = "post"
        return f"{case.wallet}/authorize?{urlencode(case.link(parameters), quote_via=quote)}"

    def app(self) -> Starlette:
        """Its four endpoints."""
        return Starlette(
            routes=[
                Route("/start/{number}", self._start),
                Route("/request/{number}", self._request, methods=["GET", "POST"]),
                Route("/response/{number}", self._response, methods=["GET", "POST", "PUT"]),
                Route("/back", self._back),
            ]
        )

    # -- Asking ----------------------------------------------------------------------------

    def _client_id(self, case: Case) -> str:
        if case.prefix == "x509_hash":
            return client_ids.x509_hash(self.signer.certificates[0])
        if case.prefix == "x509_san_dns":
            return "x509_san_dns:localhost"
        return f"{case.prefix}:{self.url}/response/{case.number}"

    def _parameters(self, case: Case) -> dict[str, Any]:
        keys: list[dict[str, JsonValue]] = [EncryptionKey(case.key.public, "good").to_jwk()]
        if case.unusable_keys:
            del keys[0]["use"]
            keys = [*MADE_UP_KEYS, *keys]
        metadata: dict[str, Any] = {"vp_formats_supported": dict(request.VP_FORMATS)}
        if case.mode.endswith(".jwt"):
            metadata["jwks"] = {"keys": keys}
            metadata["encrypted_response_enc_values_supported"] = ["A256GCM"]
        parameters: dict[str, Any] = {
            "client_id": case.client_id,
            "response_type": "vp_token",
            "response_mode": case.mode,
            "response_uri": f"{self.url}/response/{case.number}",
            "nonce": case.nonce,
            "dcql_query": case.query,
            "client_metadata": metadata,
        }
        if case.method != "url_query":
            parameters["aud"] = request.STATIC_AUDIENCE
        if case.state is not None:
            parameters["state"] = case.state
        if case.purpose is not None:
            entry = request.Purpose("ent_counter", case.purpose).entry()
            parameters["verifier_info"] = [entry]
        if case.transaction_data:
            parameters["transaction_data"] = list(case.transaction_data)
        case.change(parameters)
        return parameters

    async def _start(self, incoming: Request) -> Response:
        case = self.cases[incoming.path_params["number"]]
        link = self.authorize_link(case).replace("&", "&amp;")
        return HTMLResponse(f'{_HEAD}<a id="go" href="{link}">Go</a>')

    async def _request(self, incoming: Request) -> Response:
        case = self.cases[incoming.path_params["number"]]
        assert not case.posts, "fetched again after the answer"
        assert incoming.headers["accept"] == request.MEDIA_TYPE
        assert "cookie" not in incoming.headers
        case.fetched += 1
        parameters = self._parameters(case)
        if case.post:
            assert incoming.method == "POST"
            assert incoming.url.query == ""
            form = dict(parse_qsl((await incoming.body()).decode(), strict_parsing=True))
            assert set(form) <= {"wallet_metadata", "wallet_nonce"}
            case.wallet_nonce = parameters["wallet_nonce"] = form["wallet_nonce"]
        else:
            assert incoming.method == "GET"
        if case.method == "request_uri_unsigned":
            token = _unsigned(parameters)
        else:
            token = jws.sign_jwt(parameters, typ=request.TYP, signer=self.signer)
        return Response(case.tamper(token), media_type=request.MEDIA_TYPE)

    # -- Being answered --------------------------------------------------------------------

    async def _response(self, incoming: Request) -> Response:
        case = self.cases[incoming.path_params["number"]]
        body = await incoming.body()
        case.posts.append((incoming.method, incoming.headers.get("content-type", ""), body))
        if case.status != 200:
            return JSONResponse({"error": "invalid_request"}, case.status)
        content = {} if case.redirect_uri is None else {"redirect_uri": case.redirect_uri}
        return JSONResponse(content)

    async def _back(self, _incoming: Request) -> Response:
        return HTMLResponse(f"{_HEAD}<h1>Back</h1>")

    def answer(self, case: Case) -> dict[str, Any]:
        """The one answer to *case*: the VP Token's or the error's members, judged."""
        [(method, content_type, body)] = case.posts
        assert method == "POST"
        assert content_type == "application/x-www-form-urlencoded"
        pairs = parse_qsl(body.decode("ascii"), strict_parsing=True, keep_blank_values=True)
        form = dict(pairs)
        assert len(form) == len(pairs)
        if case.mode == "direct_post":
            found = dict(form)
            if "vp_token" in form:
                found["vp_token"] = json.loads(form["vp_token"])
        else:
            assert set(form) == {"response"}
            found = self._opened(case, form["response"])
        assert found.get("state") == case.state
        assert ("state" in found) == (case.state is not None)
        known = {"vp_token", "state"} if "vp_token" in found else {"error", "state"}
        assert set(found) - {"error_description"} <= known
        return found

    def _opened(self, case: Case, token: str) -> dict[str, Any]:
        header = json.loads(b64url_decode(token.partition(".")[0]))
        assert header["kid"] == "good"
        assert (header["alg"], header["enc"]) == ("ECDH-ES", "A256GCM")
        assert header.get("cty", "json") == "json"
        _, plain = jwe.decrypt(token, key=case.key, enc_values=("A256GCM",), max_bytes=1_000_000)
        found: dict[str, Any] = json.loads(plain)
        assert not {"iss", "aud", "exp"} & set(found)
        return found

    def shown(self, case: Case) -> dict[str, list[Any]]:
        """Every presentation of the VP Token, verified and held against the strict rules."""
        token = self.answer(case)["vp_token"]
        queries = {each["id"]: each for each in case.query["credentials"]}
        assert set(token) <= set(queries)
        return {
            query_id: [self._presented(case, queries[query_id], text) for text in texts]
            for query_id, texts in token.items()
        }

    def _presented(self, case: Case, query: Mapping[str, Any], text: str) -> Any:
        now, trust = self.clock(), self.trust()
        thumbprint = case.key.public.thumbprint() if case.mode.endswith(".jwt") else None
        found = formats.verify(
            query["format"],
            text,
            session=Session(
                case.client_id,
                case.nonce,
                response_uri=f"{self.url}/response/{case.number}",
                key_thumbprint=thumbprint,
            ),
            holder_binding=True,
            trusted=Trusted(trust.anchors(Role.CREDENTIAL, now=now), trust.revoked),
            now=now,
            algorithms=("ES256",),
        )
        if query["format"] == "dc+sd-jwt":
            self._strict_kb_jwt(case, text)
        else:
            _strict_device_response(query, text)
        return found

    def _strict_kb_jwt(self, case: Case, text: str) -> None:
        presented, _, key_binding = text.rpartition("~")
        header, payload, _ = key_binding.split(".")
        assert json.loads(b64url_decode(header)) == {"alg": "ES256", "typ": "kb+jwt"}
        claims = json.loads(b64url_decode(payload))
        expected = {"iat", "aud", "nonce", "sd_hash"}
        if case.transaction_data:
            expected |= {"transaction_data_hashes"}
        assert set(claims) - {"transaction_data_hashes_alg"} == expected
        assert (claims["aud"], claims["nonce"]) == (case.client_id, case.nonce)
        assert abs(claims["iat"] - self.clock().timestamp()) < 300
        digest = hashlib.sha256(f"{presented}~".encode()).digest()
        assert claims["sd_hash"] == b64url_encode(digest)
        if case.transaction_data:
            hashes = [hashlib.sha256(each.encode()).digest() for each in case.transaction_data]
            assert claims["transaction_data_hashes"] == [b64url_encode(each) for each in hashes]


def _strict_device_response(query: Mapping[str, Any], text: str) -> None:
    """CERTIFICATION 2.4.2: one document, what was asked for, nothing signed by the device."""
    assert "=" not in text
    found = cbor2.loads(b64url_decode(text))
    assert (found["version"], found["status"]) == ("1.0", 0)
    [document] = found["documents"]
    spaces = document["issuerSigned"].get("nameSpaces", {})
    shown = {
        (space, cbor2.loads(item.value)["elementIdentifier"])
        for space, items in spaces.items()
        for item in items
    }
    assert shown == {tuple(each["path"]) for each in query.get("claims", ())}
    assert document["deviceSigned"]["nameSpaces"].value == b"\xa0"
    [protected, _, payload, _] = document["deviceSigned"]["deviceAuth"]["deviceSignature"]
    assert cbor2.loads(protected) == {1: -7}
    assert payload is None


def _unsigned(parameters: Mapping[str, Any]) -> str:
    header = {"alg": "none", "typ": request.TYP}
    parts = [json.dumps(each).encode() for each in (header, parameters)]
    return ".".join([*(b64url_encode(each) for each in parts), ""])


def broken_signature(token: str) -> str:
    """*token* with another signature of the right length."""
    head, payload, signature = token.split(".")
    raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
    raw[5] ^= 1
    return f"{head}.{payload}.{b64url_encode(bytes(raw))}"
