"""Our wallet presents to a verifier made of other projects' libraries, both formats.

@openid4vc/openid4vp makes the signed request, opens and reads the answer, `dcql` judges it;
@sd-jwt/sd-jwt-vc (with the status list) and @owf/mdoc verify what was presented.
"""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from shared.crypto.software import SoftwareKey
from shared.demo.phone import Phone, Refused
from shared.encoding import b64url_encode
from shared.oid4vp import transaction_data
from shared.oid4vp.request import Purpose
from shared.oid4vp.transaction_types import STATEMENT
from shared.trust import Role
from tests.support.asgi import AsgiClient
from tests.support.databases import sqlite_url
from tests.support.node import Ask, node
from tests.support.trust import MDOC, PID, PID_MDOC, SD_JWT
from tests.support.wallet import IDENTIFIER, WalletWorld, agencies

pytestmark = pytest.mark.interop
VERIFIER = "https://npm.example"
KINDS = [(SD_JWT, PID), (MDOC, PID_MDOC)]
both_formats = pytest.mark.parametrize(("kind", "held"), KINDS, ids=["sd_jwt", "mdoc"])
PURPOSE = Purpose("ent_counter", "identification").entry()


def private_jwk(key: SoftwareKey) -> dict[str, Any]:
    return {**key.public.to_jwk(), "d": b64url_encode(key.scalar())}


def anchors(role: Role) -> list[str]:
    return [base64.b64encode(agencies().registry.authorities[role].certificate).decode()]


@pytest.fixture(scope="module")
def ask() -> Iterator[Ask]:
    with node("verifier.mjs", package="@openid4vc/openid4vp") as made:
        yield made


@pytest.fixture(scope="module")
def world(ask: Ask, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WalletWorld]:
    folder = tmp_path_factory.mktemp("wallet")
    made = WalletWorld.make(folder, sqlite_url(folder), sqlite_url(folder), copies=3)

    async def forward(request: Request) -> Response:
        answer = ask(
            {
                "act": "http",
                "now": made.clock().timestamp(),
                "url": f"{VERIFIER}{request.url.path}",
                "body": (await request.body()).decode(),
            }
        )
        return Response(answer["body"], answer["status"], answer["headers"])

    app = Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])])
    transport: Any = made.wallet.fetcher._pool
    with AsgiClient(app, base_url=VERIFIER) as client:
        transport.services[VERIFIER] = client
        signer = agencies().counter.signer(Role.ACCESS, dns=["npm.example"])
        status = made.services["https://issuer.example"].get("/registry/statuslists/1")
        ask(
            {
                "act": "setup",
                "place": f"{VERIFIER}/counter",
                "anchors": {
                    "credential": anchors(Role.CREDENTIAL),
                    "status": anchors(Role.STATUS),
                },
                "statuses": {f"{IDENTIFIER}/statuslists/1": status.text},
                "key": {
                    "jwk": private_jwk(signer),
                    "x5c": [base64.b64encode(each).decode() for each in signer.certificates],
                },
            }
        )
        yield made
    made.close()


@pytest.fixture(scope="module")
def phone(world: WalletWorld) -> Phone:
    return world.phone_with(PID, PID_MDOC)


def identity(kind: str, held: str) -> dict[str, Any]:
    sd_jwt = kind == SD_JWT
    names = ("family_name", "given_name")
    return {
        "credentials": [
            {
                "id": "pid",
                "format": kind,
                "meta": {"vct_values": [held]} if sd_jwt else {"doctype_value": held},
                "claims": [{"path": [each] if sd_jwt else [held, each]} for each in names],
            }
        ]
    }


def asked(ask: Ask, query: dict[str, Any], **members: Any) -> tuple[str, str]:
    question = {"act": "ask", "scheme": "openid4vp://", "query": query, "info": PURPOSE}
    answer = ask({**question, **members})
    return answer["link"], answer["number"]


@both_formats
@pytest.mark.parametrize("post", [False, True], ids=["get", "post"])
def test_they_believe_what_our_wallet_presents(
    phone: Phone, ask: Ask, kind: str, held: str, post: bool
) -> None:
    """W-50 to W-55, W-60 to W-62, Q-24, HB-01 to HB-06, HB-20 to HB-25."""
    back = "https://npm.example/thanks?session=1#done"
    link, number = asked(ask, identity(kind, held), post=post, redirect=back)
    outcome = phone.approve(phone.resolve(link))
    result = ask({"act": "result", "number": number})
    assert "refused" not in result, result
    assert (outcome.outcome, outcome.redirect_uri) == ("shared", back)
    [claims] = result["claims"]["pid"]
    shown = claims if kind == SD_JWT else claims[held]
    assert (shown["family_name"], shown["given_name"]) == ("Möbius", "Erika")
    assert not {"birthdate", "nationalities", "age_over_18"} & shown.keys()


def test_a_set_of_both_formats_is_answered_by_one(phone: Phone, ask: Ask) -> None:
    """Q-20: their judge takes the option that our wallet chose."""
    queries = [
        {**identity(kind, held)["credentials"][0], "id": name}
        for (kind, held), name in zip(KINDS, ("one", "other"), strict=True)
    ]
    sets = [{"options": [["other"], ["one"]]}]
    link, number = asked(ask, {"credentials": queries, "credential_sets": sets})
    phone.approve(phone.resolve(link))
    result = ask({"act": "result", "number": number})
    assert list(result["claims"]) == ["other"], result


def test_they_find_the_statement_confirmed(phone: Phone, ask: Ask) -> None:
    """HB-30 to HB-34: the hashes in our KB-JWT are those they reckon."""
    statement: dict[str, Any] = {
        "type": STATEMENT,
        "credential_ids": ["pid"],
        "texts": {"en": "I apply."},
    }
    entry = transaction_data.make(statement)
    link, number = asked(ask, identity(SD_JWT, PID), transaction=entry)
    phone.approve(phone.resolve(link))
    result = ask({"act": "result", "number": number})
    assert result.get("transaction") == ["pid"], result


@both_formats
def test_what_they_cannot_believe_is_not_called_shared(
    phone: Phone, ask: Ask, kind: str, held: str
) -> None:
    """W-62: the same request answered a second time is refused by them, and our wallet says so."""
    link, number = asked(ask, identity(kind, held))
    assert phone.approve(phone.resolve(link)).outcome == "shared"
    with pytest.raises(Refused) as caught:
        phone.approve(phone.resolve(link))
    assert caught.value.code == "verifier_refused"
    assert ask({"act": "result", "number": number})["claims"]
