"""The guide for relying parties, run as it stands, against a live verifier and a wallet."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import pytest

from shared.crypto.keys import PublicKey
from shared.jose import jws
from shared.runtime.clock import utc_now
from shared.trust import Role
from tests.support.components import missing
from tests.support.live_verifier import LiveVerifier
from tests.support.suite_wallet import Asked, Suite
from verifier_service.results import RECEIPT_TYP

GUIDE = Path(__file__).parents[2] / "docs" / "relying-party-guide.md"
TEXT = GUIDE.read_text(encoding="utf-8")
BLOCKS, [PAGE], [SERVER] = (
    re.findall(rf"```{kind}\n(.*?)```", TEXT, re.DOTALL) for kind in ("sh", "html", "python")
)
END = "__the block has ended__"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveVerifier]:
    with LiveVerifier.start(tmp_path_factory.mktemp("guide")) as made:
        yield made


class Shell:
    """One shell in an empty folder; a block that fails ends the test with what it said."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            ["bash", "-e"],
            cwd=folder,
            env=dict(os.environ) | variables,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.communicate(timeout=120)

    def run(self, block: str) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{block}\necho {END}\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if line.startswith(END):
                return
            said.append(line)
        raise AssertionError("".join([block, *said]))

    def read(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


def test_the_guide_works_as_it_stands(live: LiveVerifier, tmp_path: Path) -> None:
    """Issue 8, "Done when"; DESIGN journeys 2 and 3: ask, approve, read, forget, on one phone."""
    if not Path("/usr/bin/curl").exists():
        missing("curl")
    first, ask, *rest = BLOCKS
    read, listen, forget, online, _ = rest  # the last is tests/browser/test_web_component.py
    suite = _suite(live)
    variables = {
        "VERIFIER": live.url,
        "TENANT": "counter",
        "CLIENT": "suite",
        "SECRET": live.secrets["counter"],
        "CURL_CA_BUNDLE": str(live.folder / "ca.pem"),
    }
    with Shell(tmp_path, **variables) as shell:
        shell.run(first)
        assert [each["id"] for each in shell.read("queries.json")["queries"]] == ["over_18"]
        shell.run(ask)
        _approve(suite, shell.read("asked.json")["link"])
        shell.run(read)
        answer = shell.read("answer.json")
        assert answer["claims"] == {"pid": {"age_equal_or_over": {"18": True}}}
        shell.run(listen)
        shell.run(forget)
        jwk = shell.read("keys.json")["keys"][0]
        receipt = jws.verify_jwt(
            shell.read("receipt.json")["receipt"],
            key=PublicKey.from_jwk(jwk),
            typ=RECEIPT_TYP,
            algorithms=("ES256",),
        )
        assert receipt.claims["sub"] == answer["transaction_id"]
        shell.run(online)
        page = (tmp_path / "page.html").read_text()
        assert "ask-browser" in page
        assert "open-wallet" in page


def test_the_ten_lines_are_ten_and_work(live: LiveVerifier) -> None:
    """Issue 10, item 2: two in the page, eight on the server; the browser gets an address."""
    lines = [each for each in (PAGE + SERVER).splitlines() if each]
    assert len(lines) <= 10
    shown = (GUIDE.parent / "component/index.html").read_text(encoding="utf-8")
    assert all(
        each.replace("https://verifier.example", "VERIFIER") in shown for each in PAGE.splitlines()
    )
    sessions: dict[str, dict[str, Any]] = {"same_device": {}, "cross_device": {}}
    current: dict[str, Any] = {}

    def api(method: str, path: str, body: Any) -> Any:
        headers = {
            "Authorization": f"Bearer {live.token('counter')}",
            "Transaction-Secret": current.get("secret", ""),
        }
        url = f"{live.url}/api/v1/counter/{path}"
        answer = live.http.request(method, url, json=body, headers=headers)
        assert answer.is_success, answer.text
        return answer.json()

    agency: dict[str, Any] = {"api": api}
    exec(SERVER, agency)  # noqa: S102  # the guide's own lines
    for flow, session in sessions.items():
        assert agency["start"](flow, session) == {"page": session["page"]}
    seen = {flow: live.http.get(f"{each['page']}/state").json() for flow, each in sessions.items()}
    assert "link" not in seen["same_device"]
    assert seen["cross_device"]["link"] == sessions["cross_device"]["link"]
    current = sessions["same_device"]
    suite = _suite(live)
    back = _approve(suite, current["link"])
    agency["back"](parse_qs(urlsplit(back).query)["response_code"][0], current)
    assert live.http.get(f"{current['page']}/state").json()["state"] == "verified"


def _suite(live: LiveVerifier) -> Suite:
    return Suite(
        http=live.http,
        credential_signer=live.trust.registry.signer(
            Role.CREDENTIAL, now=utc_now(), dns=["suite.example"]
        ),
        documents=live.documents,
        anchor=live.trust.counter.authorities[Role.ACCESS].certificate,
    )


def _approve(suite: Suite, link: str) -> str:
    """What the citizen's wallet does; where it sends its browser then."""
    [uri] = parse_qs(urlsplit(link).query)["request_uri"]
    claims = suite._claims(suite.http.get(uri).text)
    asked = Asked(claims["client_id"], claims)
    answer = suite.post(asked, suite.present_sd_jwt(asked))
    assert answer.status_code == 200
    return str(answer.json()["redirect_uri"])
