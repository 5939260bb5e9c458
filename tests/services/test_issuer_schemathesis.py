"""Schemathesis over the issuer's whole OpenAPI document, and over its protocol endpoints: whatever
is sent, no answer is a 5xx, each is of the face of its endpoint, and nothing sent is repeated."""

import importlib
import json
import warnings
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.oid4vci.messages import CredentialRequest, DeferredRequest, NotificationRequest
from tests.support.attested import AttestedWallet
from tests.support.databases import sqlite_url
from tests.support.issuer import GRANT, IssuerWorld, Wallet, sample_register

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    schemathesis = importlib.import_module("schemathesis")

EXAMPLES = settings(
    max_examples=20,
    derandomize=True,
    database=None,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
DOCUMENT = "/api/v1/openapi.json"
TEXT = {"type": "string"}


def _form(*names: str) -> dict[str, Any]:
    return {"type": "object", "properties": dict.fromkeys(names, TEXT)}


PROTOCOL: dict[str, dict[str, Any]] = {
    "credential": CredentialRequest.model_json_schema(),
    "deferred_credential": DeferredRequest.model_json_schema(),
    "notification": NotificationRequest.model_json_schema(),
    "token": _form(
        "grant_type", "code", "pre-authorized_code", "tx_code", "refresh_token", "scope"
    ),
    "par": _form("response_type", "client_id", "redirect_uri", "scope", "state", "code_challenge"),
    "revoke": _form("token", "token_type_hint", "client_id"),
    "nonce": {"type": "object"},
    "challenge": {"type": "object"},
}
WITH_TOKEN = {"credential", "deferred_credential", "notification"}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder = tmp_path_factory.mktemp("issuer")
    register = sample_register(folder)
    made = IssuerWorld.make(folder, sqlite_url(folder), register=register, requests_per_second=0)
    yield made
    made.close()


def _cases(document: dict[str, Any], path: str, method: str) -> Any:
    schema = schemathesis.openapi.from_dict(document)
    return schema[path][method.upper()].as_strategy()


def _looked_at(answer: Any, sent: str, face: str) -> None:
    assert answer.status < 500, answer.text
    if answer.status >= 400 and answer.status != 405:
        assert answer.headers["content-type"] == face
        assert answer.headers["cache-control"] == "no-store"
        assert len(sent) < 12 or sent not in answer.text


def test_the_agency_s_api_answers_whatever_is_sent(world: IssuerWorld) -> None:
    """Issue 5: every operation of the document, with and without a token, for things that exist and
    for things that do not."""
    document = world.client.get(DOCUMENT).json()
    offer, _ = Wallet(world).collect("pid_sd_jwt", subject="AV-000001")
    (found,) = world.api("POST", "/issuances/find", {"subject": "AV-000001"}).json()["issuances"]
    known = {
        "tenant": "registry",
        "offer_id": offer["offer_id"],
        "issuance_id": found["issuance_id"],
        "desk_code_id": "dsk_AAAAAAAAAAAAAAAAAAAAAA",
    }
    for path in ("/offers", "/issuances"):
        described = document["paths"][f"/api/v1/{{tenant}}{path}"]["get"]["parameters"]
        assert {each["name"] for each in described} == {"tenant", "limit", "after"}
    operations = [(path, method) for path, each in document["paths"].items() for method in each]
    assert len(operations) >= 18
    for path, method in operations:

        @EXAMPLES
        @given(case=_cases(document, path, method), real=st.booleans(), signed=st.booleans())
        def run(case: Any, *, real: bool, signed: bool) -> None:
            parameters = {**case.path_parameters, **(known if real or signed else {})}
            target = case.path
            for name, value in parameters.items():
                target = target.replace(f"{{{name}}}", quote(str(value), safe="") or "-")
            query = urlencode(case.query or {}, doseq=True)
            if case.path.endswith("/token"):  # OAuth's form, and OAuth's errors
                body = urlencode(_fields(case.body)).encode()
                headers = {"Content-Type": "application/x-www-form-urlencoded"}
                face = "application/json"
            else:
                body, headers = _bytes(case.body), {"Content-Type": "application/json"}
                face = "application/problem+json"
            if signed:
                headers["Authorization"] = f"Bearer {world.api_token('registry')}"
            answer = world.client.request(
                case.method, f"{target}?{query}", body=body, headers=headers
            )
            _looked_at(answer, body.decode(errors="replace"), face)

        run()


@pytest.mark.parametrize("path", ["/offers", "/issuances"])
def test_pages_answer_whatever_cursor_is_sent(world: IssuerWorld, path: str) -> None:
    """C-31: `limit` and `after`, also as texts that the document does not allow."""

    @EXAMPLES
    @given(limit=st.text(max_size=8) | st.integers().map(str), after=st.text(max_size=80))
    def run(limit: str, after: str) -> None:
        query = urlencode({"limit": limit, "after": after}, errors="surrogatepass")
        _looked_at(world.api("GET", f"{path}?{query}"), after, "application/problem+json")

    run()


def _bytes(body: Any) -> bytes:
    if isinstance(body, bytes):
        return body
    return b"" if type(body).__name__ == "NotSet" else json.dumps(body).encode()


def _fields(body: Any) -> dict[str, Any]:
    return body if isinstance(body, dict) else {}


@pytest.mark.parametrize("name", sorted(PROTOCOL))
def test_the_protocol_endpoints_answer_whatever_is_sent(world: IssuerWorld, name: str) -> None:
    """Issue 5, I-95, T-05: bodies by the endpoint's own model, with a token where it wants one."""
    form = name in {"token", "par", "revoke"}
    media_type = "application/x-www-form-urlencoded" if form else "application/json"
    model = dict(PROTOCOL[name])
    definitions = model.pop("$defs", {})
    document = {
        "openapi": "3.1.0",
        "info": {"title": name, "version": "1"},
        "components": {"schemas": definitions},
        "paths": {
            f"/registry/{name}": {
                "post": {
                    "requestBody": {"required": True, "content": {media_type: {"schema": model}}},
                    "responses": {"200": {"description": "as the specification says"}},
                }
            }
        },
    }
    text = json.dumps(document).replace("#/$defs/", "#/components/schemas/")
    wallet = AttestedWallet(world)
    access = str(wallet.tokens("AV-000001")["access_token"]) if name in WITH_TOKEN else ""

    @EXAMPLES
    @given(case=_cases(json.loads(text), f"/registry/{name}", "post"))
    def run(case: Any) -> None:
        if name in WITH_TOKEN:
            body = case.body
            if isinstance(body, dict) and body.get("credential_configuration_id") is not None:
                body = {**body, "credential_configuration_id": "pid_sd_jwt"}
            sent = _bytes(body)
            answer = wallet.request(access, sent, endpoint=name)
        else:
            fields = {str(key): str(each) for key, each in _fields(case.body).items()}
            if name == "token":
                fields.setdefault("grant_type", GRANT)
            sent = urlencode(fields).encode() if form else _bytes(case.body)
            headers = {"Content-Type": media_type, "DPoP": wallet.dpop(name), **wallet.attested()}
            answer = world.client.post(f"/registry/{name}", body=sent, headers=headers)
        _looked_at(answer, sent.decode(errors="replace"), "application/json")

    run()
