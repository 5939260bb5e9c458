"""Our wallet takes credentials from an issuer made of other projects' libraries, both formats.

@openid4vc/openid4vci and @openid4vc/oauth2 read and verify everything our wallet sends: attestation
and its proof, PAR, PKCE, DPoP, key proofs; @sd-jwt/sd-jwt-vc and @owf/mdoc issue what it holds.
"""

import base64
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.crypto.software import SoftwareKey
from shared.demo.phone import Refused
from shared.encoding import b64url_encode
from shared.trust import Role
from tests.support.asgi import AsgiClient
from tests.support.databases import sqlite_url
from tests.support.node import Ask, node
from tests.support.strict_issuer import MDOC, entity
from tests.support.trust import SD_JWT, trust_list
from tests.support.wallet import WalletWorld, agencies

pytestmark = pytest.mark.interop
ISSUER = "https://npm.example"
CLAIMS: dict[str, dict[str, Any]] = {
    SD_JWT: {"family_name": "Möbius", "given_name": "Erika", "nationalities": ["AV", "FR"]},
    MDOC: {"family_name": "Möbius", "age_over_18": True, "issuing_country": "UT"},
}


def private_jwk(key: SoftwareKey) -> dict[str, Any]:
    return {**key.public.to_jwk(), "d": b64url_encode(key.scalar())}


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with node("issuer.mjs", package="@openid4vc/openid4vci") as made:
        yield made


@pytest.fixture(scope="module")
def world(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalletWorld]:
    folder = tmp_path_factory.mktemp("wallet")
    made = WalletWorld.make(folder, sqlite_url(folder), sqlite_url(folder), copies=3)

    async def forward(request: Request) -> Response:
        body = (await request.body()).decode()
        answer = ask(
            {
                "act": "http",
                "now": made.clock().timestamp(),
                "method": request.method,
                "url": f"{ISSUER}{request.url.path}",
                "headers": dict(request.headers),
                "body": body,
            }
        )
        headers = {"Content-Type": "application/json"} | answer["headers"]
        return Response(answer["body"], answer["status"], headers)

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])])
    transport: Any = made.wallet.fetcher._pool
    with AsgiClient(app, base_url=ISSUER) as client:
        transport.services[ISSUER] = client
        npm = entity().entry(credential_issuers=[f"{ISSUER}/agency"])
        made.trust.held = trust_list(agencies().registry.entry(), agencies().provider.entry(), npm)
        yield made
    made.close()


def set_up(ask: Ask, kind: str) -> None:
    signer = entity().signer(Role.CREDENTIAL, dns=["npm.example"], country="UT")
    provider = agencies().provider.authorities[Role.WALLET_PROVIDER].certificate
    ask(
        {
            "act": "setup",
            "issuer": f"{ISSUER}/agency",
            "format": kind,
            "batch": 3,
            "claims": CLAIMS[kind],
            "providers": [base64.b64encode(provider).decode()],
            "key": {
                "jwk": private_jwk(signer),
                "x5c": [base64.b64encode(each).decode() for each in signer.certificates],
            },
        }
    )


@pytest.mark.parametrize("kind", [SD_JWT, MDOC])
@pytest.mark.parametrize("code", [None, "123456"], ids=["authorization_code", "pre_authorized"])
def test_our_wallet_takes_what_they_issue(
    world: WalletWorld, ask: Ask, kind: str, code: str | None
) -> None:
    """W-10 to W-14, W-16, W-21 to W-23, W-30 to W-32, W-40 to W-42."""
    set_up(ask, kind)
    phone = world.new_phone()
    flow = phone.scan(ask({"act": "offer", "code": code})["link"])
    if code is None:

        def browse(url: str) -> dict[str, str]:
            now = world.clock().timestamp()
            act = {"act": "http", "now": now, "method": "GET", "headers": {}, "body": ""}
            back = ask({**act, "url": url})["headers"]["location"]
            return dict(parse_qsl(urlsplit(back).query))

        flow = phone.sign_in(flow, browse)
    (card,) = phone.keep(phone.accept(flow, code)["id"])
    shown = json.dumps([each["value"] for each in phone.card(card)["claims"]], ensure_ascii=False)
    assert "Möbius" in shown
    assert phone.cards()[0]["copies_left"] == 3
    assert ask({"act": "events"})["events"][-1] == "credential_accepted"


def test_a_code_of_theirs_is_good_once(world: WalletWorld, ask: Ask) -> None:
    """W-16: their refusal is understood."""
    set_up(ask, SD_JWT)
    link = ask({"act": "offer", "code": "123456"})["link"]
    phone, other = world.new_phone(), world.new_phone()
    phone.keep(phone.accept(phone.scan(link), "123456")["id"])
    with pytest.raises(Refused) as caught:
        other.accept(other.scan(link), "123456")
    assert caught.value.code == "code_refused"
