"""A verifier for tests, whole and in process, and a small wallet that answers it.

with VerifierWorld.make(tmp_path, database_url) as world:
    started = world.start("over_18")
    wallet = HolderWallet(world)
    asked = wallet.open(started["link"])
    answer = wallet.answer(asked)                        # posts; answer.json()["redirect_uri"]
    world.result(started)["verdict"]["accepted"]
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode
from shared.errors import NotFound, Unavailable
from shared.formats import kb_jwt, sd_jwt_vc, status_list
from shared.formats.status_list import StatusList, StatusReference
from shared.formats.values import Session
from shared.oid4vp import invocation, request, response
from shared.oid4vp.request import VerifiedRequest
from shared.runtime.database import Database
from shared.runtime.documents import DatabaseDocuments, DocumentCache
from shared.runtime.fetch import Fetched
from shared.runtime.keys import KeyDirectory
from shared.runtime.migrations import migrate
from shared.trust import Role
from verifier_service import tables
from verifier_service.answers import TransactionAnswer
from verifier_service.app import SECRETS, create_app, make_verifier
from verifier_service.context import Verifier
from verifier_service.routes.asking import ROLE
from verifier_service.settings import VerifierSettings

from .asgi import Answer, AsgiClient
from .clock import NOW, CountingBytes, FixedClock
from .trust import PID, RESIDENCE, DemoTrust, demo_trust

PUBLIC_URL = "https://verifier.example"
LIST_URI = "https://issuer.example/registry/statuslists/1"
RETURN_URL = "https://portal.example/back"
TENANT: dict[str, Any] = {
    "queries": ["over_18", "identity", "address"],
    "return_origins": ["https://portal.example"],
}
PERSON: dict[str, Any] = {
    "family_name": "Möbius",
    "given_name": "Erika",
    "birthdate": "1964-08-12",
    "place_of_birth": {"locality": "Köln", "country": "DE"},
    "nationalities": ["DE", "FR"],
    "age_equal_or_over": {"18": True, "65": False},
    "sex": 2,
}
CONCEAL = [
    ("family_name",),
    ("given_name",),
    ("birthdate",),
    ("place_of_birth",),
    ("nationalities",),
    ("nationalities", None),
    ("age_equal_or_over",),
    ("age_equal_or_over", "18"),
    ("age_equal_or_over", "65"),
    ("sex",),
]


@lru_cache(maxsize=1)
def shared_trust() -> DemoTrust:
    return demo_trust()


@lru_cache(maxsize=64)
def signer(role: Role, tenant: str = "counter") -> SoftwareKey:
    """Made once for all tests: one key for each role and tenant."""
    trust = shared_trust()
    agency = trust.counter if role is Role.ACCESS else trust.registry
    return agency.signer(role, dns=[f"{tenant}.example"], country="AV")


class _Keys(KeyDirectory):
    """A key directory without files: encrypting a key takes its time."""

    def signer(self, tenant: str, purpose: str) -> SoftwareKey:
        return signer(Role(purpose), tenant)

    def secret(self, name: str) -> bytes:
        assert name in SECRETS
        return name.encode().ljust(32, b".")

    def keyring(self, name: str) -> Any:
        from shared.crypto.sealing import Keyring

        return Keyring("1", {"1": self.secret(name)})


@dataclass
class Publisher:
    """Where status lists are fetched from; counts, and may be down."""

    documents: dict[str, bytes] = field(default_factory=dict)
    media_type: str = status_list.MEDIA_TYPE
    down: bool = False
    fetches: int = 0

    def get(self, url: str, **_: Any) -> Fetched:
        self.fetches += 1
        if self.down:
            raise Unavailable("fetch: no answer")
        if url not in self.documents:
            raise NotFound("fetch: 404")
        return Fetched(url, 200, {}, self.media_type, self.documents[url])


@dataclass
class Statuses:
    """The registry's status list, published by hand."""

    publisher: Publisher
    clock: FixedClock
    bits: StatusList = field(default_factory=lambda: StatusList.empty(2, 1024))

    def publish(self, *, uri: str = LIST_URI, key: SoftwareKey | None = None, **times: Any) -> None:
        options: dict[str, Any] = {"ttl": timedelta(seconds=60), "now": self.clock()} | times
        token = status_list.sign_token(
            self.bits, uri=uri, signer=key or signer(Role.STATUS), **options
        )
        self.publisher.documents[LIST_URI] = token.encode()

    def set(self, index: int, value: int) -> None:
        self.bits.set(index, value)
        self.publish()


@dataclass
class VerifierWorld:
    """One verifier_service in this process, with an API client that is signed in."""

    verifier: Verifier
    client: AsgiClient
    clock: FixedClock
    trust: DemoTrust
    statuses: Statuses
    folder: Path
    client_id: str
    api_secret: str = ""
    tokens: dict[str, tuple[str, datetime]] = field(default_factory=dict)

    def __enter__(self) -> Self:
        self.client.__enter__()
        self.api_secret = self.verifier.clients.register("counter", self.client_id, [ROLE])
        return self

    def __exit__(self, *_: object) -> None:
        self.client.__exit__()
        self.verifier.database.close()

    @classmethod
    def make(
        cls,
        folder: Path,
        database_url: str,
        *,
        tenants: Mapping[str, Mapping[str, Any]] | None = None,
        queries: Sequence[Mapping[str, Any]] = (),
        clock: FixedClock | None = None,
        trust: DemoTrust | None = None,
        random_bytes: Callable[[int], bytes] | None = None,
        app: Mapping[str, Any] | None = None,
        **settings: Any,
    ) -> Self:
        directory, own = folder / "tenants", folder / "queries"
        directory.mkdir(exist_ok=True)
        own.mkdir(exist_ok=True)
        for name, content in (tenants or {"counter": TENANT}).items():
            (directory / f"{name}.json").write_text(json.dumps(content))
        for query in queries:
            (own / f"{query['id']}.json").write_text(json.dumps(query))
        migrate(database_url, package="verifier_service")
        database = Database(database_url)
        clock = clock or FixedClock()
        held = trust or replace(shared_trust())
        random_bytes = random_bytes or CountingBytes(str(folder))
        publisher = Publisher()
        documents = DocumentCache(
            publisher,  # type: ignore[arg-type]
            clock=clock,
            random_bytes=random_bytes,
            store=DatabaseDocuments(database, tables.metadata),
        )
        verifier = make_verifier(
            VerifierSettings(
                public_url=PUBLIC_URL,
                database_url=SecretStr("sqlite://"),
                trust_url="https://trust.example",
                trust_root=folder / "root.json",
                key_directory=folder,
                key_password=SecretStr("unused"),
                tenants_directory=directory,
                queries_directory=own,
                event_interval=0.05,
                requests_per_second=0,
                **settings,
            ),
            database=database,
            keys=_Keys(folder, b"unused"),
            trust=held,
            documents=documents,
            clock=clock,
            random_bytes=random_bytes,
        )
        statuses = Statuses(publisher, clock)
        statuses.publish()
        service = create_app(verifier, **(app or {}))
        client = AsgiClient(service, base_url=PUBLIC_URL)
        return cls(verifier, client, clock, held, statuses, folder, client_id=random_bytes(8).hex())

    def sign_in(self, tenant: str, client_id: str, secret: str) -> str:
        """An access token of an API client."""
        answer = self.client.post(
            f"/api/v1/{tenant}/token",
            form={
                "grant_type": "client_credentials",
                "client_id": client_id,
                "client_secret": secret,
            },
        )
        assert answer.status == 200, answer.text
        return str(answer.json()["access_token"])

    @property
    def token(self) -> str:
        """Of this world's client; a new one when the clock has moved on."""
        token, made = self.tokens.get("counter", ("", NOW - timedelta(days=1)))
        if not timedelta(0) <= self.clock() - made < timedelta(minutes=5):
            token = self.sign_in("counter", self.client_id, self.api_secret)
            self.tokens["counter"] = token, self.clock()
        return token

    def other_client(self, tenant: str, client_id: str) -> str:
        """An access token of a client that was registered just now."""
        secret = self.verifier.clients.register(tenant, client_id, [ROLE])
        return self.sign_in(tenant, client_id, secret)

    def start(
        self, query: str = "over_18", *, key: str | None = None, expect: int = 201, **asked: Any
    ) -> dict[str, Any]:
        headers = self.headers()
        if key is not None:
            headers["Idempotency-Key"] = key
        answer = self.client.post(
            "/api/v1/counter/transactions", json={"query": query, **asked}, headers=headers
        )
        assert answer.status == expect, answer.text
        return dict(answer.json())

    def headers(self, secret: str | None = None) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self.token}"}
        return headers if secret is None else headers | {"Transaction-Secret": secret}

    def call(
        self, method: str, started: Mapping[str, Any], path: str = "", **options: Any
    ) -> Answer:
        """One of the calls that need the transaction's secret."""
        return self.client.request(
            method,
            f"/api/v1/counter/transactions/{started['transaction_id']}{path}",
            headers=self.headers(started["secret"]),
            **options,
        )

    def result(self, started: Mapping[str, Any]) -> dict[str, Any]:
        answer = self.call("GET", started)
        assert answer.status == 200, answer.text
        TransactionAnswer.model_validate_json(answer.body)  # what OpenAPI says
        return dict(answer.json())

    def come_back(self, started: Mapping[str, Any], code: str) -> Answer:
        return self.call("POST", started, "/return", json={"response_code": code})

    def row(self, started: Mapping[str, Any]) -> Any:
        """The transaction as it lies in the database."""
        table = tables.transactions
        with self.verifier.database.reading() as connection:
            return connection.execute(
                table.select().where(table.c.id == started["transaction_id"])
            ).one_or_none()


@dataclass(frozen=True)
class Asked:
    """A request as the wallet sees it, and what its credential would show."""

    request: VerifiedRequest
    link: invocation.RequestLink
    object: str

    @property
    def response_path(self) -> str:
        return urlsplit(self.request.response_uri).path


@dataclass
class HolderWallet:
    """A wallet with one PID and one proof of residence, each bound to a key of its own."""

    world: VerifierWorld
    claims: dict[str, Any] = field(default_factory=lambda: dict(PERSON))
    index: int = 7
    holder: SoftwareKey = field(default_factory=SoftwareKey.generate)

    def credential(self, vct: str = PID, **changes: Any) -> str:
        """An SD-JWT VC as the registry issues it; *changes* replace arguments of `issue`."""
        options: dict[str, Any] = {
            "vct": vct,
            "conceal": [each for each in CONCEAL if each[0] in self.claims],
            "holder": self.holder.public,
            "status": StatusReference(self.index, LIST_URI),
            "issued_at": self.world.clock(),
            "expires_at": self.world.clock() + timedelta(days=90),
            "signer": signer(Role.CREDENTIAL),
        }
        if vct == RESIDENCE:
            claims = {"family_name": "Möbius", "given_name": "Erika"} | {
                "address": {"locality": "Köln", "street_address": "Heidestraße 17"}
            }
            options["conceal"] = [(name,) for name in claims]
            return sd_jwt_vc.issue(claims, **(options | changes))
        return sd_jwt_vc.issue(self.claims, **(options | changes))

    def fetch(
        self, link: str, *, post: Mapping[str, str] | None = None
    ) -> tuple[invocation.RequestLink, Answer]:
        parsed = invocation.parse_request_link(link)
        path = urlsplit(parsed.request_uri).path
        client = self.world.client
        answer = client.get(path) if post is None else client.post(path, form=post)
        return parsed, answer

    def open(self, link: str, *, post: Mapping[str, str] | None = None) -> Asked:
        parsed, answer = self.fetch(link, post=post)
        assert answer.status == 200, answer.text
        assert answer.headers["content-type"] == request.MEDIA_TYPE
        now = self.world.clock()
        trust = self.world.trust.current()
        verified = request.verify(
            answer.text,
            client_id=parsed.client_id,
            wallet_nonce=None if post is None else post.get("wallet_nonce"),
            formats=["dc+sd-jwt"],
            transaction_types={},
            anchors=trust.anchors(Role.ACCESS, now=now),
            now=now,
        )
        return Asked(verified, parsed, answer.text)

    def present(
        self, asked: Asked, *, credential: str | None = None, **changes: Any
    ) -> dict[str, list[str]]:
        """A VP Token that answers the first Credential Query; *changes* as in `presentation`."""
        query = asked.request.query.credentials[0]
        return self.present_to(asked, query.id, credential=credential, **changes)

    def present_to(
        self, asked: Asked, query_id: str, *, credential: str | None = None, **changes: Any
    ) -> dict[str, list[str]]:
        """A VP Token that answers one Credential Query."""
        query = asked.request.query.credential(query_id)
        text = credential or self.credential((query.types or (PID,))[0])
        changes.setdefault("paths", [claim.path for claim in query.claims or ()])
        return {query_id: [self.presentation(asked, text, **changes)]}

    def presentation(
        self,
        asked: Asked,
        credential: str,
        *,
        paths: Sequence[tuple[Any, ...]],
        session: Session | None = None,
        now: datetime | None = None,
        holder: SoftwareKey | None = None,
        shown_other: str | None = None,
    ) -> str:
        jwt, *disclosures, _ = credential.split("~")
        presented = "~".join((jwt, *(each for each in disclosures if self._shows(each, paths)), ""))
        session = session or Session(asked.request.client_id.full, asked.request.nonce)
        return presented + kb_jwt.make(
            shown_other or presented,
            signer=holder or self.holder,
            audience=session.audience,
            nonce=session.nonce,
            now=now or self.world.clock(),
        )

    def _shows(self, disclosure: str, paths: Sequence[tuple[Any, ...]]) -> bool:
        """Whether one of *paths* leads through or to *disclosure*; names are unique here."""
        _, *named, value = json.loads(b64url_decode(disclosure))
        if named:
            return any(named[0] in path for path in paths)
        elements = self.claims["nationalities"]
        return any(
            path[0] == "nationalities" and (len(path) == 1 or elements[path[1]] == value)
            for path in paths
        )

    def encrypt(
        self, asked: Asked, vp_token: Mapping[str, Sequence[str]], *, state: str | None = ""
    ) -> bytes:
        answer = response.presentations(
            vp_token, state=asked.request.state if state == "" else state
        )
        return response.encrypt(answer, to=asked.request.encryption_key, enc=asked.request.enc)

    def post(self, asked: Asked, body: bytes) -> Answer:
        return self.world.client.post(
            asked.response_path,
            body=body,
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

    def answer(self, asked: Asked, **changes: Any) -> Answer:
        """Present and post."""
        return self.post(asked, self.encrypt(asked, self.present(asked, **changes)))


def response_code(redirect_uri: str) -> str:
    parts = urlsplit(redirect_uri)
    return dict(parse_qsl(parts.query))["response_code"]
