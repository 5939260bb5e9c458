"""A wallet service in process, with an issuer and a verifier made from the library alone.

    world = WalletWorld.make(tmp_path, database_url, shares_url)
    phone = world.new_phone()                       # created, recovery code proven
    phone.receive(world.issuer.offer(PID))
    consent = phone.resolve(world.verifier.ask(OVER_18))
    phone.approve(consent)
    world.verifier.results[-1]

Both neighbours verify everything with the library, and misbehave when a test says so.
"""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.demo.phone import Phone, Refused
from shared.encoding import JsonValue, b64url_encode
from shared.formats import credential as formats
from shared.formats import type_metadata
from shared.formats.credential import Session, Trusted
from shared.formats.status_list import StatusList, StatusReference, sign_token
from shared.oauth import dpop
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci import proofs
from shared.oid4vci.messages import CredentialRequest
from shared.oid4vci.metadata import CredentialIssuerMetadata
from shared.oid4vci.offer import CredentialOffer, offer_link
from shared.oid4vp import client_id, dcql, dcql_matching, invocation, request, response
from shared.oid4vp.request import Purpose
from shared.runtime.database import Database
from shared.runtime.fetch import Fetcher, FetchPolicy
from shared.runtime.keys import KeyDirectory
from shared.runtime.migrations import migrate
from shared.runtime.trust_enrol import ROLES
from shared.trust import Role, TrustList
from wallet_service.app import SECRETS, create_app, make_wallet
from wallet_service.attesting import PROVIDER
from wallet_service.context import Wallet
from wallet_service.settings import WalletSettings

from .asgi import AsgiClient, neighbours
from .clock import FixedClock
from .trust import (
    ASKS,
    MDOC,
    PID,
    PID_MDOC,
    RESIDENCE,
    SD_JWT,
    DemoTrust,
    demo_trust,
    issue,
    trust_list,
)

WALLET = "https://wallet.example"
ISSUER = "https://issuer.example"
VERIFIER = "https://verifier.example"
TYPES = "https://types.example"
IDENTIFIER = f"{ISSUER}/registry"
TX_CODE = "8812997431"
GRANT = "urn:ietf:params:oauth:grant-type:pre-authorized_code"

CLAIMS: dict[str, dict[str, Any]] = {
    PID: {
        "family_name": "Möbius",
        "given_name": "Erika",
        "birthdate": "1964-08-12",
        "place_of_birth": {"locality": "Avelon"},
        "nationalities": ["AV", "FR"],
        "age_equal_or_over": {"18": True, "65": False},
        "issuing_country": "AV",
    },
    PID_MDOC: {
        PID_MDOC: {"family_name": "Möbius", "given_name": "Erika", "age_over_18": True},
    },
    RESIDENCE: {
        "family_name": "Möbius",
        "given_name": "Erika",
        "address": {"locality": "Avelon", "street_address": "Rue du Pont 7"},
    },
}
_LABELS: dict[str, Sequence[tuple[list[Any], str, str]]] = {
    PID: (
        (["family_name"], "Family name", "Nom"),
        (["given_name"], "Given name", "Prénom"),
        (["birthdate"], "Date of birth", "Date de naissance"),
        (["place_of_birth", "locality"], "Place of birth", "Lieu de naissance"),
        (["nationalities"], "Nationalities", "Nationalités"),
        (["age_equal_or_over", "18"], "Over 18", "Plus de 18 ans"),
        (["age_equal_or_over", "65"], "Over 65", "Plus de 65 ans"),
        (["issuing_country"], "Issuing country", "Pays de délivrance"),
    ),
    PID_MDOC: (
        ([PID_MDOC, "family_name"], "Family name", "Nom"),
        ([PID_MDOC, "given_name"], "Given name", "Prénom"),
        ([PID_MDOC, "age_over_18"], "Over 18", "Plus de 18 ans"),
    ),
    RESIDENCE: (
        (["family_name"], "Family name", "Nom"),
        (["given_name"], "Given name", "Prénom"),
        (["address"], "Address", "Adresse"),
    ),
}
FORMAT_OF = {PID: SD_JWT, RESIDENCE: SD_JWT, PID_MDOC: MDOC}
_NAMES = {
    PID_MDOC: ("Personal ID (mdoc)", "Carte d'identité (mdoc)"),
    PID: ("Personal ID", "Carte d'identité"),
    RESIDENCE: ("Proof of residence", "Justificatif de domicile"),
}

OVER_18: dict[str, Any] = {
    "purpose": "proof_of_age",
    "credentials": [
        {
            "id": "pid",
            "format": SD_JWT,
            "meta": {"vct_values": [PID]},
            "claims": [{"path": ["age_equal_or_over", "18"], "values": [True]}],
        }
    ],
}
IDENTITY: dict[str, Any] = {
    "purpose": "identification",
    "credentials": [
        {
            "id": "pid",
            "format": SD_JWT,
            "meta": {"vct_values": [PID]},
            "claims": [{"path": ["family_name"]}, {"path": ["given_name"]}],
        }
    ],
}


def type_document(credential_type: str) -> bytes:
    """Type Metadata with labels in two languages."""
    english, french = _NAMES[credential_type]
    document = {
        "vct": credential_type,
        "display": [{"locale": "en", "name": english}, {"locale": "fr", "name": french}],
        "claims": [
            {
                "path": path,
                "sd": "never" if path == ["issuing_country"] else "always",
                "display": [{"locale": "en", "label": one}, {"locale": "fr", "label": other}],
            }
            for path, one, other in _LABELS[credential_type]
        ],
    }
    return json.dumps(document, ensure_ascii=False).encode()


@lru_cache(maxsize=1)
def agencies() -> DemoTrust:
    """The registry issues both types; certificates are made once for all tests."""
    return demo_trust(
        issues=[
            issue(
                each,
                format=FORMAT_OF[each],
                type_metadata={
                    "uri": f"{TYPES}/{each}",
                    "integrity": type_metadata.integrity(type_document(each)),
                },
            )
            for each in FORMAT_OF
        ],
        asks=ASKS,
    )


@lru_cache(maxsize=8)
def _signer(role: Role) -> SoftwareKey:
    agency = agencies().counter if role is Role.ACCESS else agencies().registry
    return agency.signer(role, dns=["issuer.example"], country="AV")


@lru_cache(maxsize=4)
def _provider_key(purpose: str) -> SoftwareKey:
    return agencies().provider.signer(ROLES[purpose], dns=["wallet.example"])


@lru_cache(maxsize=2)
def _credential_signer(credential_format: str) -> SoftwareKey:
    if credential_format == SD_JWT:
        return _signer(Role.CREDENTIAL)
    authority = agencies().registry.authorities[Role.CREDENTIAL]
    return authority.signer(Profile.MDOC_SIGNER, country="AV")


@dataclass
class Source:
    """Where the wallet asks for the trust list; tests exchange `held`."""

    held: TrustList

    def current(self) -> TrustList:
        return self.held


@dataclass
class ToyIssuer:
    """A Credential Issuer with pre-authorized codes; attributes make it misbehave."""

    clock: FixedClock
    tx_code: str | None = TX_CODE
    tries_left: int | None = None
    batch_size: int = 10
    dpop_nonces: bool = True
    claims: dict[str, dict[str, Any]] = field(default_factory=lambda: dict(CLAIMS))
    tamper: Callable[[list[str]], list[str]] | None = None
    signer: SoftwareKey | None = None
    bind: Callable[[int, Any], Any] | None = None
    one_status: bool = False
    signed_metadata: str | None = None
    looks: Callable[[dict[str, Any]], object] = lambda found: found
    days_ago: int = 0
    down_once: set[str] = field(default_factory=set)
    refuse_nonce_once: bool = False
    offers: dict[str, CredentialOffer] = field(default_factory=dict)
    codes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    tokens: dict[str, tuple[str, ...]] = field(default_factory=dict)
    c_nonces: set[str] = field(default_factory=set)
    jtis: set[bytes] = field(default_factory=set)
    bodies: list[bytes] = field(default_factory=list)
    notifications: list[str] = field(default_factory=list)
    statuses: StatusList = field(default_factory=lambda: StatusList.empty(2, 4096))
    next_status: int = 0
    nonce: str = "as-nonce-1"

    def offer(self, *types: str, by_reference: bool = False, **members: Any) -> str:
        """A link; each code is good once."""
        code = secrets.token_urlsafe(24)
        self.codes[code] = types
        grant: dict[str, Any] = {"pre-authorized_code": code}
        if self.tx_code is not None:
            grant["tx_code"] = {"length": len(self.tx_code)}
        offer = CredentialOffer.from_object(
            {
                "credential_issuer": IDENTIFIER,
                "credential_configuration_ids": [_configuration(each) for each in types],
                "grants": {GRANT: grant},
                **members,
            }
        )
        if not by_reference:
            return offer_link(offer=offer)
        self.offers[code] = offer
        return offer_link(offer_uri=f"{IDENTIFIER}/offers/{code}")

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-credential-issuer/registry", self._metadata),
                Route("/.well-known/oauth-authorization-server/registry", self._server),
                Route("/registry/offers/{code}", self._offer),
                Route("/registry/token", self._token, methods=["POST"]),
                Route("/registry/nonce", self._nonce, methods=["POST"]),
                Route("/registry/credential", self._credential, methods=["POST"]),
                Route("/registry/notification", self._notification, methods=["POST"]),
                Route("/registry/statuslists/1", self._status),
            ]
        )

    def metadata(self) -> dict[str, JsonValue]:
        found: dict[str, Any] = CredentialIssuerMetadata.from_object(
            {
                "credential_issuer": IDENTIFIER,
                "credential_endpoint": f"{IDENTIFIER}/credential",
                "nonce_endpoint": f"{IDENTIFIER}/nonce",
                "notification_endpoint": f"{IDENTIFIER}/notification",
                "batch_credential_issuance": {"batch_size": self.batch_size},
                "credential_configurations_supported": {
                    _configuration(each): {
                        "format": FORMAT_OF[each],
                        formats.words(FORMAT_OF[each]).type_member: each,
                        "scope": _configuration(each),
                        "cryptographic_binding_methods_supported": [
                            formats.words(FORMAT_OF[each]).binding_method
                        ],
                        "proof_types_supported": {
                            "jwt": {"proof_signing_alg_values_supported": ["ES256"]}
                        },
                        "credential_metadata": {
                            "display": [{"name": _NAMES[each][0], "locale": "en"}]
                        },
                    }
                    for each in FORMAT_OF
                },
            }
        ).to_object()
        self.looks(found)
        return found

    async def _metadata(self, _request: Request) -> Response:
        if self.signed_metadata is not None:
            return Response(self.signed_metadata, media_type="application/jwt")
        return JSONResponse(self.metadata())

    async def _server(self, _request: Request) -> Response:
        return JSONResponse(
            {
                "issuer": IDENTIFIER,
                "token_endpoint": f"{IDENTIFIER}/token",
                "grant_types_supported": [GRANT],
            }
        )

    async def _offer(self, request: Request) -> Response:
        return JSONResponse(self.offers[request.path_params["code"]].to_object())

    async def _token(self, request: Request) -> Response:
        if refused := self._refuse(request, "token", None):
            return refused
        form = dict(await request.form())
        types = self.codes.get(str(form["pre-authorized_code"]))
        if types is None or form.get("tx_code") != self.tx_code:
            left = self.tries_left
            said = {} if left is None else {"Tx-Code-Tries-Left": str(left)}
            return JSONResponse({"error": "invalid_grant"}, 400, said)
        del self.codes[str(form["pre-authorized_code"])]
        token = secrets.token_urlsafe(24)
        self.tokens[token] = types
        return JSONResponse({"access_token": token, "token_type": "dpop", "expires_in": 300})

    async def _nonce(self, _request: Request) -> Response:
        nonce = secrets.token_urlsafe(16)
        self.c_nonces.add(nonce)
        return JSONResponse({"c_nonce": nonce}, headers={"Cache-Control": "no-store"})

    async def _credential(self, request: Request) -> Response:
        token = request.headers["authorization"].removeprefix("DPoP ")
        if refused := self._refuse(request, "credential", token):
            return refused
        body = await request.body()
        self.bodies.append(body)
        if "credential" in self.down_once:
            self.down_once.discard("credential")
            return JSONResponse({}, 503)
        if self.refuse_nonce_once:
            self.refuse_nonce_once = False
            return JSONResponse({"error": "invalid_nonce"}, 400)
        asked = CredentialRequest.parse(body)
        assert asked.credential_configuration_id is not None
        credential_type = _type(asked.credential_configuration_id)
        assert credential_type in self.tokens[token]
        proven = proofs.verify(
            asked.proofs,
            audience=IDENTIFIER,
            client_id=None,
            check_nonce=lambda nonce: nonce.encode() if nonce in self.c_nonces else b"",
            accept=CredentialIssuerMetadata.from_object(self.metadata())
            .credential_configurations_supported[asked.credential_configuration_id]
            .proof_types_supported,
            max_keys=self.batch_size,
            anchors=frozenset(),
            now=self.clock(),
        )
        issued = [self._issue(credential_type, n, key) for n, key in enumerate(proven.keys)]
        issued.reverse()  # W-40: order means nothing
        if self.tamper is not None:
            issued = self.tamper(issued)
        return JSONResponse(
            {
                "credentials": [{"credential": each} for each in issued],
                "notification_id": "ntf_1",
            }
        )

    def _issue(self, credential_type: str, number: int, key: Any) -> str:
        index = self.next_status
        self.next_status += 0 if self.one_status else 1
        return formats.issue(
            FORMAT_OF[credential_type],
            self.claims[credential_type],
            metadata=type_metadata.parse(type_document(credential_type), vct=credential_type),
            holder=key if self.bind is None else self.bind(number, key),
            status=StatusReference(index, f"{IDENTIFIER}/statuslists/1"),
            issued_at=self.clock() - timedelta(days=self.days_ago),
            expires_at=self.clock() + timedelta(days=200 - self.days_ago),
            signer=self.signer or _credential_signer(FORMAT_OF[credential_type]),
        )

    async def _notification(self, request: Request) -> Response:
        token = request.headers["authorization"].removeprefix("DPoP ")
        if refused := self._refuse(request, "notification", token):
            return refused
        self.notifications.append((await request.json())["event"])
        return Response(status_code=204)

    async def _status(self, _request: Request) -> Response:
        token = sign_token(
            self.statuses,
            uri=f"{IDENTIFIER}/statuslists/1",
            signer=_signer(Role.STATUS),
            now=self.clock(),
            ttl=timedelta(minutes=5),
        )
        return Response(token, media_type="application/statuslist+jwt")

    def _refuse(self, request: Request, endpoint: str, token: str | None) -> Response | None:
        """DPoP with a nonce that changes: the first call of every kind is refused (W-20)."""
        proof = dpop.verify(
            request.headers.getlist("dpop"),
            method="POST",
            url=f"{IDENTIFIER}/{endpoint}",
            now=self.clock(),
            access_token=token,
            expected_jkt=None,
            nonces=None,
        )
        assert proof.use not in self.jtis
        self.jtis.add(proof.use)
        claims = json.loads(_payload(request.headers["dpop"]))
        if self.dpop_nonces and claims.get("nonce") != self.nonce:
            status = 400 if token is None else 401
            return JSONResponse(
                {"error": "use_dpop_nonce"}, status, headers={"DPoP-Nonce": self.nonce}
            )
        return None


@dataclass
class ToyVerifier:
    """A Verifier that checks what it gets; `results` holds a dict for each accepted response."""

    clock: FixedClock
    trust: Source
    redirect_uri: str | None = None
    status: int = 200
    signer: SoftwareKey | None = None
    media_type: str = request.MEDIA_TYPE
    answer: Callable[[str], str] | None = None
    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)

    def ask(
        self,
        query: Mapping[str, Any],
        *,
        scheme: str = "openid4vp://",
        method: Any = None,
        entity: str = "ent_counter",
    ) -> str:
        """Start a transaction; the link that a QR code holds."""
        number = f"t{len(self.asked)}"
        key = SoftwareKey.generate(kid=f"enc-{number}")
        signer = self.signer or _signer(Role.ACCESS)
        identifier = client_id.x509_hash(signer.certificates[0])
        members = {
            "signer": signer,
            "client_id": identifier,
            "response_uri": f"{VERIFIER}/counter/response/{number}",
            "nonce": b64url_encode(secrets.token_bytes(24)),
            "state": b64url_encode(secrets.token_bytes(12)),
            "query": dcql.parse({k: v for k, v in query.items() if k != "purpose"}),
            "encryption_key": EncryptionKey(key.public, key.kid),
            "purpose": Purpose(entity, query["purpose"]) if query.get("purpose") else None,
        }
        self.asked[number] = {"members": members, "key": key}
        return invocation.request_link(
            endpoint=scheme,
            client_id=identifier,
            request_uri=f"{VERIFIER}/counter/request/{number}",
            method=method,
        )

    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/counter/request/{number}", self._request, methods=["GET", "POST"]),
                Route("/counter/response/{number}", self._response, methods=["POST"]),
            ]
        )

    async def _request(self, incoming: Request) -> Response:
        number = incoming.path_params["number"]
        self.fetched.append(number)
        assert "cookie" not in incoming.headers
        form = dict(await incoming.form()) if incoming.method == "POST" else {}
        token = request.make(
            **self.asked[number]["members"],
            now=self.clock(),
            wallet_nonce=str(form["wallet_nonce"]) if "wallet_nonce" in form else None,
        )
        if self.answer is not None:
            token = self.answer(token)
        return Response(token, media_type=self.media_type)

    async def _response(self, incoming: Request) -> Response:
        number = incoming.path_params["number"]
        body = await incoming.body()
        self.posted.append(body)
        if self.status != 200:
            return JSONResponse({"error": "invalid_request"}, self.status)
        asked = self.asked[number]
        token = response.parse_posted(body)
        assert isinstance(token, str)
        opened = response.decrypt(token, key=asked["key"])
        accepted = response.accept(
            opened, state=asked["members"]["state"], query=asked["members"]["query"]
        )
        if isinstance(accepted, response.WalletError):
            self.results.append({"error": accepted.code})
        else:
            self.results.append(self._verified(asked["members"], accepted))
        content = {} if self.redirect_uri is None else {"redirect_uri": self.redirect_uri}
        return JSONResponse(content)

    def _verified(
        self, members: Mapping[str, Any], presented: Mapping[str, Sequence[str]]
    ) -> dict[str, Any]:
        now, trust = self.clock(), self.trust.current()
        trusted = Trusted(trust.anchors(Role.CREDENTIAL, now=now), trust.revoked)
        session = Session(
            members["client_id"],
            members["nonce"],
            members["response_uri"],
            members["encryption_key"].public.thumbprint(),
        )
        shown = {
            query: [
                formats.verify(
                    members["query"].credential(query).format,
                    text,
                    session=session,
                    holder_binding=True,
                    trusted=trusted,
                    now=now,
                    algorithms=("ES256",),
                )
                for text in texts
            ]
            for query, texts in presented.items()
        }
        judgement = dcql_matching.judge(
            members["query"],
            {query: [each.candidate(query) for each in found] for query, found in shown.items()},
        )
        assert judgement.satisfied, judgement.refusal
        first = next(iter(shown.values()))[0]
        return {
            "claims": first.claims,
            "holder": (first.claims.get("cnf") or {"jwk": {"x": None}})["jwk"]["x"],
            "all": shown,
            "texts": presented,
        }


class _Keys(KeyDirectory):
    """Symmetric keys that are made without the cost of a password."""

    def secret(self, name: str) -> bytes:
        assert name in SECRETS
        return name.encode().ljust(32, b".")

    def latest_keyring(self, name: str) -> Any:
        return self.keyring(name)

    def keyring(self, name: str) -> Any:
        from shared.crypto.sealing import Keyring

        return Keyring("1", {"1": self.secret(name)})

    def signer(self, tenant: str, purpose: str) -> SoftwareKey:
        assert tenant == PROVIDER
        return _provider_key(purpose)


@dataclass
class WalletWorld:
    """The wallet, its neighbours, and phones."""

    wallet: Wallet
    client: TestClient
    clock: FixedClock
    trust: Source
    issuer: ToyIssuer
    verifier: ToyVerifier
    seen: list[tuple[str, str]]
    services: dict[str, AsgiClient]
    urls: tuple[str, str]

    @classmethod
    def make(
        cls,
        folder: Path,
        database_url: str,
        shares_url: str,
        *,
        outside: Callable[[dict[str, AsgiClient]], Any] = neighbours,
        **settings: Any,
    ) -> Self:
        """*outside* makes what carries the wallet's requests; it lists them in `seen`."""
        migrate(database_url, package="wallet_service")
        migrate(shares_url, package="wallet_service.shares")
        clock = FixedClock()
        held = agencies()
        trust = Source(
            trust_list(held.registry.entry(), held.counter.entry(), held.provider.entry())
        )
        issuer, verifier = ToyIssuer(clock), ToyVerifier(clock, trust)

        async def types(incoming: Request) -> Response:
            document = type_document(incoming.path_params["type"])
            return Response(document, media_type="application/json")

        services = {
            ISSUER: AsgiClient(issuer.app(), base_url=ISSUER),
            VERIFIER: AsgiClient(verifier.app(), base_url=VERIFIER),
            TYPES: AsgiClient(Starlette(routes=[Route("/{type}", types)]), base_url=TYPES),
        }
        transport = outside(services)
        wallet = make_wallet(
            WalletSettings(
                **{
                    "public_url": WALLET,
                    "database_url": SecretStr(database_url),
                    "shares_database_url": SecretStr(shares_url),
                    "rp_id": "wallet.example",
                    "requests_per_second": 0,
                    "trust_url": "https://trust.example",
                    "trust_root": folder / "root.json",
                    "key_directory": folder,
                    "key_password": SecretStr("unused"),
                    **settings,
                }
            ),
            database=Database(database_url),
            shares=Database(shares_url),
            keys=_Keys(folder, b"unused"),
            trust=trust,
            fetcher=Fetcher(getattr(transport, "policy", FetchPolicy()), transport=transport),
            clock=clock,
            random_bytes=secrets.token_bytes,
        )
        for each in services.values():
            each.__enter__()
        client = TestClient(create_app(wallet), base_url=WALLET)
        return cls(
            wallet,
            client,
            clock,
            trust,
            issuer,
            verifier,
            transport.seen,
            services,
            (database_url, shares_url),
        )

    def reset(self) -> None:
        """Neighbours behave again, and the trust list is the first one."""
        held = agencies()
        entries = held.registry.entry(), held.counter.entry(), held.provider.entry()
        self.trust.held = trust_list(*entries)
        for neighbour, anew in (
            (self.issuer, ToyIssuer(self.clock)),
            (self.verifier, ToyVerifier(self.clock, self.trust)),
        ):
            for each in fields(anew):
                if each.name not in {"asked", "next_status"}:
                    setattr(neighbour, each.name, getattr(anew, each.name))
        self.seen.clear()

    def at(self, part: str) -> list[str]:
        """The addresses called since the last reset that contain *part*."""
        return [url for _, url in self.seen if part in url]

    def close(self) -> None:
        for each in self.services.values():
            each.__exit__()
        self.client.close()
        self.wallet.database.close()
        self.wallet.shares.close()

    def phone(self, **options: Any) -> Phone:
        """A phone without a wallet."""
        return Phone(self.client, WALLET, **options)  # type: ignore[arg-type]  # starlette's client fits

    def new_phone(self, **options: Any) -> Phone:
        """A phone with an open wallet whose recovery code was proven."""
        phone = self.phone(**options)
        phone.create_wallet()
        phone.prove_recovery()
        return phone

    def phone_with(self, *types: str, **options: Any) -> Phone:
        """A phone that holds credentials of these types."""
        phone = self.new_phone(**options)
        for each in types:
            phone.receive(self.issuer.offer(each), self.issuer.tx_code)
        return phone


def refused(call: Callable[[], Any]) -> str:
    """The code with which *call* is refused; the citizen is told what to do next."""
    with pytest.raises(Refused) as caught:
        call()
    assert caught.value.problem["next_step"]
    assert caught.value.problem["support_id"]
    return caught.value.code


_CONFIGURATIONS = {PID: "pid_sd_jwt", RESIDENCE: "residence_sd_jwt", PID_MDOC: "pid_mdoc"}


def _configuration(credential_type: str) -> str:
    return _CONFIGURATIONS[credential_type]


def _type(configuration: str) -> str:
    return {name: each for each, name in _CONFIGURATIONS.items()}[configuration]


def _payload(token: str) -> bytes:
    from shared.encoding import b64url_decode

    return b64url_decode(token.split(".")[1])
