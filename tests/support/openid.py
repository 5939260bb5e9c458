"""OpenID Providers: the real one from npm as a process, and one in this process that may lie."""

import json
import shutil
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import httpcore2
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from .clock import NOW
from .components import missing

_INTEROP = Path(__file__).parents[1] / "interop"
CLIENT_ID, CLIENT_SECRET = "registry-login", "a-secret-of-the-tests"


@contextmanager
def real_provider(
    redirect_uri: str, people: Mapping[str, Any], *, port: int = 0, now: datetime = NOW
) -> Iterator[str]:
    """npm's oidc-provider on localhost, where it is *now*; its issuer."""
    program = shutil.which("node")
    if program is None or not (_INTEROP / "node_modules" / "oidc-provider").is_dir():
        missing("npm ci in tests/interop installs oidc-provider")
    options = {
        "port": port,
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "redirect_uris": [redirect_uri],
        "people": people,
        "ahead": (now - datetime.now(UTC)).total_seconds(),  # noqa: TID251  # a process of its own
    }
    with subprocess.Popen(
        [program, str(_INTEROP / "oidc_provider.mjs"), json.dumps(options)],
        cwd=_INTEROP,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "the provider did not start"
        drained = threading.Thread(target=process.stdout.read, daemon=True)
        drained.start()
        yield str(json.loads(line)["issuer"])
        process.stdin.close()
        process.wait(timeout=120)


class LyingProvider(httpcore2.ConnectionInterface):
    """Everything of a provider behind one transport; tests replace what is to be wrong."""

    issuer = "https://login.example"

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "one", "alg": "ES256", "use": "sig"})
        self.published = [self.key]
        self.metadata: dict[str, Any] = {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/jwks",
            "userinfo_endpoint": f"{self.issuer}/me",
        }
        self.claims: dict[str, Any] = {}
        self.header: dict[str, Any] = {"alg": "ES256", "kid": "one"}
        self.signer: Any = self.key
        self.userinfo: dict[str, Any] = {}
        self.token: dict[str, Any] = {"access_token": "at", "token_type": "Bearer"}
        self.with_id_token = True
        self.status = 200
        self.down = False
        self.forms: list[dict[str, str]] = []
        self.asked: list[str] = []

    def handle_request(self, request: httpcore2.Request) -> httpcore2.Response:
        path = request.url.target.decode()
        self.asked.append(path)
        if self.down:
            raise httpcore2.ConnectError("down")
        found: Any = {
            "/.well-known/openid-configuration": self.metadata,
            "/jwks": KeySet(self.published).as_dict(private=False),
            "/me": self.userinfo,
        }.get(path)
        status = 200
        if path == "/token":
            body = b"".join(request.stream)  # type: ignore[arg-type]
            self.forms.append(dict(parse_qsl(body.decode())))
            found, status = dict(self.token), self.status
            if self.with_id_token:
                found["id_token"] = jwt.encode(
                    self.header, self.claims, self.signer, algorithms=["ES256", "HS256"]
                )
        return httpcore2.Response(
            status,
            headers=[("Content-Type", "application/json")],
            content=json.dumps(found).encode(),
        )

    def close(self) -> None:
        return


__all__ = ["CLIENT_ID", "CLIENT_SECRET", "LyingProvider", "OctKey", "real_provider"]
