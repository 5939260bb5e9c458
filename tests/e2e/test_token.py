"""The wallet service as processes on a PKCS #11 token: register, receive, present, both formats.

SoftHSM is loaded by those processes alone; the keys that citizens get are wrapped by it, and
without it nobody presents what they hold.
"""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from shared.demo.phone import Refused
from tests.support.components import missing

from .world import World

MODULE = Path("/usr/lib/softhsm/libsofthsm2.so")
WALLET, PIN = "wallet_service", "5678"


@pytest.fixture
def token(tmp_path: Path) -> dict[str, str]:
    """The environment of a service with a new token."""
    if not MODULE.is_file():
        missing("no SoftHSM")
    (tmp_path / "tokens").mkdir()
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"directories.tokendir = {tmp_path}/tokens\nlog.level = ERROR\n")
    found = {"SOFTHSM2_CONF": str(configuration)}
    make = ["softhsm2-util", "--init-token", "--free", "--label", "wallet", "--so-pin", "1234"]
    subprocess.run(
        [*make, "--pin", PIN], check=True, capture_output=True, env={**os.environ, **found}
    )
    return found | {
        "WALLET_PKCS11_MODULE": str(MODULE),
        "WALLET_PKCS11_TOKEN": "wallet",
        "WALLET_PKCS11_PIN": PIN,
    }


def test_citizens_receive_and_present_with_keys_of_a_token(
    sqlite_world: World, token: dict[str, str]
) -> None:
    """S-30, S-31, W-44: with two processes; K_copy opens the wrap, and the token what is in it."""
    world = sqlite_world
    migrate = ["-m", WALLET, "migrate"]
    world.system.processes.run(migrate, world.system.environment(WALLET) | token)
    phones = []
    try:
        world.restart(WALLET, signal.SIGTERM, **token)
        for document in ("pid_sd_jwt", "pid_mdoc"):
            phone = world.phone()
            world.receive(phone, world.person(), document)
            assert world.check(phone)["verdict"]["accepted"]
            phones.append(phone)
    finally:
        world.restart(WALLET, signal.SIGKILL)
    # The keys are not the service's: without the token nothing is signed with them.
    for phone in phones:
        with pytest.raises(Refused):
            world.check(phone)
