"""The guide for agencies, run as it stands: from a certificate to a revoked credential."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.crypto.software import SoftwareKey
from shared.oauth import dpop
from shared.oid4vci import proofs
from shared.runtime.clock import utc_now
from tests.support.components import missing
from tests.support.issuer import GRANT
from tests.support.live import free_port

GUIDE = Path(__file__).parents[2] / "docs" / "agency-guide.md"
BLOCKS = re.findall(r"```sh\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
END = "__the block has ended__"


class Shell:
    """One shell in an empty folder; a block that fails ends the test with what it said."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {"8100": str(free_port()), "8400": str(free_port())}
        tools = Path(sys.executable).parent
        python = {"PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(GUIDE.parents[1])}
        clean = {name: each for name, each in os.environ.items() if not name.startswith("ISSUER_")}
        self.process = subprocess.Popen(
            ["bash", "-e"],
            cwd=folder,
            env=clean | python,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, block: str) -> None:
        for usual, free in self.ports.items():
            block = block.replace(usual, free)
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
        return json.loads((self.folder / "agency" / name).read_text())


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    if os.name != "posix" or not Path("/usr/bin/curl").exists():
        missing("curl")
    made = Shell(tmp_path)
    yield made
    os.killpg(made.process.pid, signal.SIGTERM)  # the servers of the guide, too
    made.process.communicate(timeout=120)


def collect(issuer: str, offer: dict[str, Any]) -> str:
    """What the citizen's wallet does."""
    key = SoftwareKey.generate()

    def proof(url: str, token: str | None = None) -> str:
        return dpop.make_proof(
            signer=key, method="POST", url=url, now=utc_now(), access_token=token
        )

    with httpx2.Client(timeout=120) as http:
        told = http.get(offer["credential_offer_uri"]).json()
        code = told["grants"][GRANT]["pre-authorized_code"]
        form = {"grant_type": GRANT, "pre-authorized_code": code, "tx_code": offer["tx_code"]}
        url = f"{issuer}/token"
        token = http.post(url, data=form, headers={"DPoP": proof(url)}).json()["access_token"]
        nonce = http.post(f"{issuer}/nonce").json()["c_nonce"]
        made = proofs.make_jwt_proof(
            signer=SoftwareKey.generate(), audience=issuer, nonce=nonce, now=utc_now()
        )
        url = f"{issuer}/credential"
        answer = http.post(
            url,
            json={"credential_configuration_id": "pid_sd_jwt", "proofs": {"jwt": [made]}},
            headers={"Authorization": f"DPoP {token}", "DPoP": proof(url, token)},
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["credentials"][0]["credential"])


def test_the_guide_works_as_it_stands(shell: Shell) -> None:
    """Issue 5, "Done when"; journeys 9 and 4: certificate, tenant, offer, credential, revoked."""
    collected = next(at for at, block in enumerate(BLOCKS) if "issuances/find" in block)
    for block in BLOCKS[:collected]:
        shell.run(block)
    issuer = f"http://localhost:{shell.ports['8100']}/registry"
    credential = collect(issuer, shell.read("offer.json"))
    assert credential.endswith("~")
    for block in BLOCKS[collected:]:
        shell.run(block)
    assert len(shell.read("desk-code.json")["code"]) == len("7K4P-92QX-5TDM")
    revoked = shell.read("revoked.json")
    assert (revoked["state"], revoked["reason"]) == ("revoked", "issued_in_error")
    log = (shell.folder / "agency" / "issuer.log").read_text()
    assert "AV-000001" not in log
