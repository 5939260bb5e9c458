"""compose.yaml and the image fit the services; no engine runs them, so their parts are checked."""

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from issuer_service.settings import IssuerSettings
from shared.runtime.settings import ServiceSettings
from verifier_service.settings import VerifierSettings
from wallet_service.settings import WalletSettings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SETTINGS: dict[str, type[ServiceSettings]] = {
    "issuer": IssuerSettings,
    "wallet": WalletSettings,
    "verifier": VerifierSettings,
}


def _named(service: str) -> set[str]:
    prefix = f"{service.upper()}_"
    names = (name.removeprefix(prefix) for name in COMPOSE["services"][service]["environment"])
    return {name.removesuffix("_FILE").lower() for name in names}


@pytest.mark.parametrize("service", SETTINGS)
def test_every_variable_in_compose_is_a_setting(service: str) -> None:
    assert _named(service) <= set(SETTINGS[service].model_fields)


@pytest.mark.parametrize("service", SETTINGS)
def test_every_required_setting_is_in_compose(service: str) -> None:
    required = {
        name for name, field in SETTINGS[service].model_fields.items() if field.is_required()
    }
    assert required <= _named(service)


def test_no_comfort_that_is_insecure_is_on_in_compose() -> None:
    assert "insecure" not in (ROOT / "compose.yaml").read_text().lower()


def test_every_secret_and_volume_that_is_used_is_defined_and_made(tmp_path: Path) -> None:
    used = {secret for each in COMPOSE["services"].values() for secret in each.get("secrets", [])}
    assert used == set(COMPOSE["secrets"])
    script = tmp_path / "secrets.sh"
    script.write_bytes((ROOT / "deploy" / "secrets.sh").read_bytes())
    for _ in range(2):  # the second run changes nothing
        subprocess.run(["sh", str(script)], check=True, capture_output=True)
    made = {path.name: path for path in (tmp_path / "secrets").iterdir()}
    assert {Path(each["file"]).name for each in COMPOSE["secrets"].values()} == set(made)
    assert all(path.stat().st_mode & 0o077 == 0 for path in made.values())
    assert len({path.read_text() for path in made.values()}) == len(made)


def test_bind_mounts_that_are_kept_here_exist() -> None:
    made_by_the_operator = {"config", "tls", "trust"}
    for each in COMPOSE["services"].values():
        for volume in each.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("./") and Path(source).name not in made_by_the_operator:
                assert (ROOT / source).exists(), source


def test_scripts_parse_and_may_be_run() -> None:
    for path in ("deploy/secrets.sh", "deploy/start", "deploy/database/10-roles.sh"):
        subprocess.run(["sh", "-n", str(ROOT / path)], check=True)
        assert os.access(ROOT / path, os.X_OK)


def test_the_image_copies_what_it_needs() -> None:
    text = (ROOT / "deploy" / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        assert all((ROOT / each).exists() for each in source.split())
    assert text.count("--require-hashes") == 1
