"""The demo: its story, its state file, its folder, its end."""

import json
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2
import pytest

from shared.demo.phone import Phone
from tests.support.components import missing

from .world import eventually

_INTEROP = Path(__file__).parents[1] / "interop"


@pytest.mark.parametrize("login", ["desk", "oidc"])
def test_the_demo_tells_its_story_and_ends_with_zero(tmp_path: Path, login: str) -> None:
    """DESIGN 9: `make demo CHECK=1`; and with LOGIN=oidc, at npm's oidc-provider."""
    if login == "oidc" and not (_INTEROP / "node_modules" / "oidc-provider").is_dir():
        missing("npm ci in tests/interop installs oidc-provider")
    options = ["--check", "--login", login, "--folder", str(tmp_path / "demo")]
    done = subprocess.run(
        [sys.executable, "-m", "shared.demo", *options],
        capture_output=True,
        text=True,
        timeout=6000,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "The story held." in done.stdout
    assert "revoked" in done.stdout
    pids = json.loads((tmp_path / "demo" / "state.json").read_text())["processes"].values()
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_the_demo_does_not_empty_a_folder_that_is_not_its_own(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = subprocess.run(
        [sys.executable, "-m", "shared.demo", "--check", "--folder", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 2
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_running_demo_can_be_driven_by_its_state_file_and_ends_on_sigterm(
    tmp_path: Path,
) -> None:
    """The file is all that another program needs."""
    folder = tmp_path / "demo"
    with (tmp_path / "out").open("wb") as out:
        demo = subprocess.Popen(
            [sys.executable, "-m", "shared.demo", "--folder", str(folder)],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:

        def up() -> bool:
            assert demo.poll() is None, (tmp_path / "out").read_text()
            return "Everything is up" in (tmp_path / "out").read_text()

        eventually(up, seconds=600)
        state = json.loads((folder / "state.json").read_text())
        assert (folder / "state.json").stat().st_mode & 0o077 == 0
        _drive(state)
        demo.send_signal(signal.SIGTERM)
        assert demo.wait(timeout=120) == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in state["processes"].values())
    finally:
        if demo.poll() is None:
            demo.terminate()
            demo.wait(timeout=120)


def _drive(state: Mapping[str, Any]) -> None:
    """Issue to a phone and check it, with nothing but what *state* says."""
    assert set(state["queries"]) >= {"over_18", "identity", "address", "driving"}
    assert "pid_sd_jwt" in state["credential_configuration_ids"]
    with httpx2.Client(timeout=120) as client:

        def call(role: str, path: str, body: Any = None, **headers: str) -> Any:
            api = state["apis"][role]
            fields = {"grant_type": "client_credentials"}
            token = client.post(
                api["token_endpoint"], data=fields, auth=(api["client_id"], api["client_secret"])
            ).json()["access_token"]
            answer = client.request(
                "GET" if body is None else "POST",
                f"{api['base']}/{path}",
                json=body,
                headers={"Authorization": f"Bearer {token}"} | headers,
            )
            assert answer.status_code < 300, answer.text
            return answer.json()

        subject = next(each for each in state["subjects"] if each != "AV-000014")
        offer = call("issuer", "offers", {"credentials": ["pid_sd_jwt"], "subject": subject})
        with httpx2.Client(base_url=state["urls"]["wallet"], timeout=120) as wallet:
            phone = Phone(wallet, origin=state["urls"]["wallet"])
            phone.create_wallet()
            phone.prove_recovery()
            phone.receive(offer["link"], offer["tx_code"])
            started = call("verifier", "transactions", {"query": "over_18"})
            phone.approve(phone.resolve(started["link"], cross_device=True))
        place = f"transactions/{started['transaction_id']}"
        result = call("verifier", place, **{"Transaction-Secret": started["secret"]})
        assert result["verdict"]["accepted"] is True
        root = f"{state['trust']['url']}/metadata/timestamp.json"
        assert client.get(root).json()["signed"]["_type"] == "timestamp"
        assert Path(state["trust"]["root"]).is_file()
        assert len(state["trust"]["anchors"]) == 3
