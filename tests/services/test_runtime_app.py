"""runtime/app.py and routes.py, called through ASGI as a client would."""

import threading
from collections.abc import Iterable, Iterator
from typing import Annotated

import orjson
import pytest
from fastapi import Depends
from pydantic import BaseModel, ConfigDict

from shared.errors import InvalidInput, NotFound
from shared.oauth.errors import InvalidRequest
from shared.runtime import logs
from shared.runtime.app import ServiceApp, make_app
from shared.runtime.errors import PAGE_MARKER
from shared.runtime.routes import (
    Answer,
    ApiRouter,
    Call,
    PageRouter,
    ProtocolRouter,
    api_router,
    hot_api_router,
    page_router,
    protocol_router,
    service,
)
from tests.support.asgi import AsgiClient


class Context:
    name = "the context"
    ready = True


class Wanted(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    count: int
    note: str | None = None


class Made(BaseModel):
    id: str
    note: str | None = None


def _protocol() -> ProtocolRouter[Context]:
    router: ProtocolRouter[Context] = protocol_router(malformed=InvalidRequest)

    @router.post("/{tenant}/token")
    def token(call: Call, context: Context) -> Answer:
        form = call.form()
        return {"tenant": call.path["tenant"], "context": context.name, **form}

    @router.post("/{tenant}/credential", max_bytes=100)
    def credential(call: Call, _: Context) -> Answer:
        wanted = call.message(Wanted)
        return Made(id=f"made {wanted.count}")

    @router.get("/.well-known/metadata/{tenant}", cors=True, cache="public, max-age=300")
    def metadata(call: Call, _: Context) -> Answer:
        return {"query": call.query, "proofs": list(call.headers("DPoP"))}

    @router.get("/missing")
    def missing(_call: Call, _: Context) -> Answer:
        raise NotFound("offer: unknown")

    @router.get("/bug")
    def bug(_call: Call, _: Context) -> Answer:
        raise ZeroDivisionError

    @router.get("/thread")
    def thread(_call: Call, _: Context) -> Answer:
        return {"thread": threading.current_thread().name, "id": logs.request_id.get()}

    @router.post("/quick", waits=False)
    def quick(call: Call, _: Context) -> Answer:
        if call.body:
            raise InvalidInput("quick: takes nothing")
        return {"thread": threading.current_thread().name, "id": logs.request_id.get()}

    @router.get("/files/{name:path}")
    def files(call: Call, _: Context) -> Answer:
        return {"name": call.path["name"]}

    return router


def _hot() -> ApiRouter[Context]:
    router: ApiRouter[Context] = hot_api_router()

    @router.post("/{tenant}/offers", body=Wanted, answer=Made, status=201)
    def create_offer(call: Call, _: Context) -> Answer:
        """Create an offer."""
        return Made(id=str(call.message(Wanted).count))

    @router.delete("/{tenant}/offers/{offer}")
    def cancel_offer(_call: Call, _: Context) -> Answer:
        return None

    return router


_api = api_router()
_pages: PageRouter[Context] = page_router()


@_api.post("/{tenant}/rare")
def rare(tenant: str, wanted: Wanted, context: Annotated[Context, Depends(service)]) -> Made:
    return Made(id=f"{tenant} {wanted.count} {context.name}")


@_api.get("/bug")
def api_bug() -> None:
    raise ZeroDivisionError


@_api.get("/missing")
def api_missing() -> None:
    raise NotFound("transaction: unknown")


@_pages.get("/page")
def page(call: Call, _context: Context) -> Answer:
    raise InvalidInput(f"page: {call.query['step']} is not a step")


@pytest.fixture
def context() -> Context:
    return Context()


@pytest.fixture
def app(context: Context) -> ServiceApp:
    return make_app(
        title="Sample",
        service="sample",
        public_url="https://service.example",
        context=context,
        routers=[_protocol(), _hot(), _api, _pages],
        ready=lambda: {"database": context.ready},
    )


@pytest.fixture
def client(app: ServiceApp) -> Iterator[AsgiClient]:
    with AsgiClient(app) as made:
        yield made


JSON = {"Content-Type": "application/json"}


def test_an_act_gets_path_form_and_context(client: AsgiClient) -> None:
    """C-51: the answer is JSON that nobody keeps."""
    answer = client.post("/registry/token", form={"grant_type": "code", "empty": ""})
    assert answer.status == 200
    assert answer.json() == {
        "tenant": "registry",
        "context": "the context",
        "grant_type": "code",
        "empty": "",
    }
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"


def test_an_act_runs_in_a_thread_and_knows_its_request(client: AsgiClient) -> None:
    first, second = client.get("/thread"), client.get("/thread")
    assert first.json()["thread"].startswith("act-")
    assert first.json()["id"] == first.headers["x-request-id"]
    assert second.json()["id"] == second.headers["x-request-id"]
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


def test_an_act_that_never_waits_runs_in_the_loop_and_knows_its_request(client: AsgiClient) -> None:
    """It answers and refuses as the others do."""
    answer = client.post("/quick")
    assert not answer.json()["thread"].startswith("act-")
    assert answer.json()["id"] == answer.headers["x-request-id"]
    refused = client.post("/quick", body=b"x")
    assert (refused.status, refused.json()["error"]) == (400, "invalid_request")


def test_paths_of_any_length_find_their_route(client: AsgiClient) -> None:
    """Whether it has as many parts as its path, or any number of them."""
    for name in ("a", "a/b", "a/b/c/d/e/f/g"):
        assert client.get(f"/files/{name}").json() == {"name": name}
    for unknown in ("/", "/thread/", "/thread/a", "/registry/token/a/b/c/d/e/f"):
        assert client.get(unknown).status == 404
    assert client.get("/quick").status == 405


def test_a_message_is_parsed_and_unknown_members_are_ignored(client: AsgiClient) -> None:
    """C-32; what is None is left out."""
    answer = client.post("/registry/credential", json={"count": 3, "unknown": [1]})
    assert (answer.status, answer.json()) == (200, {"id": "made 3"})


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"", JSON),
        (b"[]", JSON),
        (b"null", JSON),
        (b'{"count":', JSON),
        (b'{"count":1,"count":2}', JSON),
        (b'{"count":"1"}', JSON),
        (b'{"count":true}', JSON),
        (b'{"note":"x"}', JSON),
        (b'\xff{"count":1}', JSON),
        (b'{"count":1}', {}),
        (b'{"count":1}', {"Content-Type": "text/plain"}),
        (b"count=1", {"Content-Type": "application/x-www-form-urlencoded"}),
    ],
)
def test_a_malformed_message_gets_the_protocol_s_own_error(
    client: AsgiClient, body: bytes, headers: dict[str, str]
) -> None:
    """C-31: also names that occur twice; RFC 6749, section 5.2."""
    answer = client.post("/registry/credential", body=body, headers=headers)
    assert answer.status == 400
    assert set(answer.json()) == {"error", "error_description"}
    assert answer.json()["error"] == "invalid_request"
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        (b"a=1&a=2", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"a=%zz&b=%ff", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"no-equals-sign", {"Content-Type": "application/x-www-form-urlencoded"}),
        (b"&".join(b"p%d=1" % each for each in range(300)), {}),
        (b"a=1", {"Content-Type": "multipart/form-data"}),
    ],
)
def test_a_malformed_form_gets_the_protocol_s_own_error(
    client: AsgiClient, body: bytes, headers: dict[str, str]
) -> None:
    """RFC 6749, section 3.2: parameters must not be included more than once."""
    answer = client.post("/registry/token", body=body, headers=headers)
    assert (answer.status, answer.json()["error"]) == (400, "invalid_request")


def test_every_value_of_a_header_is_there_and_a_query_has_each_name_once(
    client: AsgiClient,
) -> None:
    answer = client.get("/.well-known/metadata/x?a=1", headers=[("DPoP", "one"), ("dpop", "two ")])
    assert answer.json() == {"query": {"a": "1"}, "proofs": ["one", "two"]}
    assert client.get("/.well-known/metadata/x?a=1&a=2").status == 400


def test_cors_and_caching_are_for_the_routes_that_say_so(client: AsgiClient) -> None:
    """C-52."""
    public = client.get("/.well-known/metadata/x")
    assert public.headers["access-control-allow-origin"] == "*"
    assert public.headers["cache-control"] == "public, max-age=300"
    assert "access-control-allow-origin" not in client.get("/missing").headers


def _pieces(count: int, size: int) -> Iterable[bytes]:
    return [b"x" * size for _ in range(count)]


@pytest.mark.parametrize("body", [b"x" * 101, _pieces(11, 10)])
def test_a_body_beyond_the_limit_of_its_route_gets_413(
    client: AsgiClient, body: bytes | Iterable[bytes]
) -> None:
    """S-20: announced or not."""
    answer = client.post("/registry/credential", body=body, headers=JSON)
    assert answer.status == 413
    assert answer.json()["error"] == "invalid_request"


def test_a_body_of_exactly_the_limit_is_read(client: AsgiClient) -> None:
    body = orjson.dumps({"count": 1, "note": "x" * 79})
    assert len(body) == 100
    assert client.post("/registry/credential", body=body, headers=JSON).status == 200
    pieces = [body[:50], body[50:], b""]
    assert client.post("/registry/credential", body=pieces, headers=JSON).status == 200


def test_a_content_length_that_is_no_number_is_malformed(client: AsgiClient) -> None:
    answer = client.post(
        "/registry/credential", body=[b"{}"], headers={**JSON, "Content-Length": "-5"}
    )
    assert answer.status == 400


def test_fastapi_routes_have_the_same_limit(client: AsgiClient) -> None:
    body = b'{"count":1,"note":"' + b"x" * (64 * 1024) + b'"}'
    for sent in (body, [body[:70000], body[70000:]]):
        answer = client.post("/api/v1/registry/rare", body=sent, headers=JSON)
        assert answer.status == 413
        assert answer.json()["code"] == "too_large"


def test_headers_beyond_16_kib_get_431(client: AsgiClient) -> None:
    """S-20."""
    assert client.get("/thread", headers={"X-Much": "x" * 16000}).status == 200
    for path in ("/thread", "/api/v1/missing"):
        assert client.get(path, headers={"X-Much": "x" * 16384}).status == 431


@pytest.mark.parametrize("path", ["/thread", "/api/v1/missing", "/nowhere", "/bug", "/page"])
def test_every_answer_has_the_security_headers(client: AsgiClient, path: str) -> None:
    answer = client.get(path)
    names = [name for name, _ in answer.raw_headers]
    assert len(names) == len(set(names))
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["strict-transport-security"].startswith("max-age=")
    assert answer.headers["x-request-id"]
    assert "server" not in names


def test_pages_may_load_their_own_files_and_nothing_else(client: AsgiClient) -> None:
    answer = client.get("/page?step=1")
    assert answer.headers["content-type"].startswith("text/html")
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    assert "script-src" not in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"]


def test_plain_http_has_no_hsts() -> None:
    app = make_app(
        title="Sample",
        service="sample",
        public_url="http://localhost:8100",
        context=Context(),
        routers=[],
        ready=dict,
    )
    with AsgiClient(app) as client:
        assert "strict-transport-security" not in client.get("/health/live").headers


def test_errors_have_the_face_of_their_place(client: AsgiClient) -> None:
    """RFC 6749 at protocol endpoints, RFC 9457 at /api/v1, HTML with a fixed marker at pages."""
    protocol = client.get("/missing")
    assert (protocol.status, protocol.json()) == (
        404,
        {"error": "invalid_request", "error_description": "There is nothing here."},
    )
    problem = client.get("/api/v1/missing")
    assert problem.status == 404
    assert problem.headers["content-type"] == "application/problem+json"
    assert problem.json() == {
        "type": "urn:citizen-wallet:problem:not_found",
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing here.",
        "code": "not_found",
        "whose_fault": "you",
        "next_step": "Check the identifier.",
        "support_id": problem.headers["x-request-id"],
    }
    page = client.get("/page?step=1")
    assert page.status == 400
    assert PAGE_MARKER in page.text
    assert 'id="error-support-id">' + page.headers["x-request-id"] in page.text


def test_other_api_routes_get_path_body_and_context(client: AsgiClient) -> None:
    answer = client.post("/api/v1/registry/rare", json={"count": 7})
    assert (answer.status, answer.json()["id"]) == (200, "registry 7 the context")


def test_what_fastapi_refuses_has_the_face_of_its_place_too(client: AsgiClient) -> None:
    answer = client.post("/api/v1/registry/rare", json={"count": "no number"})
    assert answer.status == 400
    assert answer.json()["code"] == "invalid_input"
    assert "count" in answer.json()["detail"]
    assert "no number" not in answer.text
    page = client.get("/page?step=<script>")
    assert (page.status, PAGE_MARKER in page.text) == (400, True)
    assert "<script>" not in page.text


@pytest.mark.parametrize(
    ("method", "path", "accept", "status", "marker"),
    [
        ("GET", "/nowhere", "*/*", 404, '"error":"invalid_request"'),
        ("GET", "/nowhere", "text/html,*/*", 404, PAGE_MARKER),
        ("GET", "/api/v1/nowhere", "text/html", 404, '"code":"not_found"'),
        ("GET", "/registry/token", "*/*", 405, '"error":"invalid_request"'),
        ("DELETE", "/api/v1/registry/rare", "*/*", 405, '"code":"method_not_allowed"'),
        ("GET", "/api/v1/registry/offers", "*/*", 405, '"code":"method_not_allowed"'),
        ("GET", "/health/live/", "*/*", 404, '"error":"invalid_request"'),
    ],
)
def test_unknown_paths_and_methods_are_refused_with_the_face_of_their_place(
    client: AsgiClient, method: str, path: str, accept: str, status: int, marker: str
) -> None:
    answer = client.request(method, path, headers={"Accept": accept})
    assert answer.status == status
    assert marker in answer.text


@pytest.mark.parametrize(("path", "code"), [("/bug", "error"), ("/api/v1/bug", "code")])
def test_a_bug_is_a_500_with_a_reference_and_the_traceback_in_the_log_only(
    client: AsgiClient, caplog: pytest.LogCaptureFixture, path: str, code: str
) -> None:
    with caplog.at_level("ERROR"):
        answer = client.get(path)
    assert answer.status == 500
    assert answer.json()[code] == "server_error"
    assert answer.headers["x-request-id"] in answer.text
    assert "ZeroDivision" not in answer.text
    assert client.get("/thread").status == 200


def test_hot_api_routes_answer_and_refuse_as_api_routes_do(client: AsgiClient) -> None:
    made = client.post("/api/v1/registry/offers", json={"count": 5})
    assert (made.status, made.json()) == (201, {"id": "5"})
    assert made.headers["cache-control"] == "no-store"
    refused = client.post("/api/v1/registry/offers", json={})
    assert (refused.status, refused.json()["code"]) == (400, "invalid_input")
    gone = client.delete("/api/v1/registry/offers/off_1")
    assert (gone.status, gone.body) == (204, b"")


def test_openapi_describes_hot_and_other_api_routes_and_nothing_else(
    client: AsgiClient, app: ServiceApp
) -> None:
    schema = client.get("/api/v1/openapi.json").json()
    assert schema["info"]["title"] == "Sample"
    assert set(schema["paths"]) == {
        "/api/v1/{tenant}/offers",
        "/api/v1/{tenant}/offers/{offer}",
        "/api/v1/{tenant}/rare",
        "/api/v1/bug",
        "/api/v1/missing",
    }
    create = schema["paths"]["/api/v1/{tenant}/offers"]["post"]
    assert create["description"] == "Create an offer."
    assert [each["name"] for each in create["parameters"]] == ["tenant"]
    body = create["requestBody"]["content"]["application/json"]["schema"]
    assert body == {"$ref": "#/components/schemas/Wanted"}
    assert "201" in create["responses"]


def test_health_says_what_works(client: AsgiClient, context: Context) -> None:
    assert client.get("/health/live").json() == {"status": "ok"}
    assert client.get("/health/ready").json() == {"status": "ok", "parts": {"database": True}}
    context.ready = False
    answer = client.get("/health/ready")
    assert answer.status == 503
    assert answer.json() == {"status": "unavailable", "parts": {"database": False}}
    assert client.get("/health/live").status == 200


def test_metrics_count_by_route_template_and_never_by_id(client: AsgiClient) -> None:
    """S-44."""
    client.get("/.well-known/metadata/secret-id?token=secret-token")
    client.delete("/api/v1/registry/offers/off_secret")
    client.post("/api/v1/registry/rare", json={"count": 1})
    client.request("BREW", "/secret-path")
    text = client.get("/metrics").text
    assert 'route="/.well-known/metadata/{tenant}",service="sample",status="200"' in text
    assert 'route="/api/v1/{tenant}/offers/{offer}"' in text
    assert 'route="/api/v1/{tenant}/rare"' in text
    assert 'method="other",route="other"' in text
    assert "secret" not in text


def test_start_and_stop_run_once_each_in_their_order() -> None:
    done: list[str] = []
    app = make_app(
        title="Sample",
        service="sample",
        public_url="https://service.example",
        context=Context(),
        routers=[],
        ready=dict,
        on_start=[lambda: done.append("start")],
        on_stop=[lambda: done.append("stop 1"), lambda: done.append("stop 2")],
    )
    with AsgiClient(app) as client:
        client.get("/health/live")
        assert done == ["start"]
    assert done == ["start", "stop 1", "stop 2"]


def test_hosts_in_requests_change_nothing(client: AsgiClient) -> None:
    """C-53."""
    answer = client.get(
        "/.well-known/metadata/x", headers={"X-Forwarded-Host": "evil.example", "Host": "evil"}
    )
    assert "evil" not in answer.text
    assert "evil" not in str(answer.raw_headers)
