"""The tree is what the house style says: layers, names, documents that point at real files."""

import importlib.metadata
import re
import subprocess
import sys
from pathlib import Path

import pytest

import shared

ROOT = Path(__file__).parents[2]
PACKAGES = ("shared", "issuer_service", "wallet_service", "verifier_service")
DOCUMENTS = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return listed.stdout.splitlines()


def test_the_top_level_is_the_agreed_one() -> None:
    allowed = {
        "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "Makefile", "compose.yaml",
        "requirements.txt", "requirements-dev.txt", "docs", "deploy", "bench", "tests", *PACKAGES,
    }  # fmt: skip
    found = {path.split("/")[0] for path in _tracked()}
    assert {each for each in found if not each.startswith(".")} <= allowed


def test_the_import_name_shared_belongs_to_this_distribution_alone() -> None:
    others = set(importlib.metadata.packages_distributions().get("shared", ()))
    assert others <= {"citizen-wallet"}
    assert Path(shared.__file__).parents[1] == ROOT


def test_the_layers_hold() -> None:
    """import-linter's contracts of pyproject.toml, run as a test too."""
    result = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_modules_stay_small(package: str) -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in (ROOT / package).rglob("*.py")
        if "migrations" not in path.parts and (lines := len(path.read_text().splitlines())) > 400
    }
    assert long == {}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_real_files(document: Path) -> None:
    text = document.read_text()
    named = set(re.findall(r"`((?:shared|tests|docs|deploy|bench|\w+_service)/[\w./-]+)`", text))
    linked = set(re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)", text))
    named -= {f"deploy/{each}" for each in ("config", "secrets", "tls", "trust")}  # the operator's
    missing = {each for each in named if not (ROOT / each.split("::")[0]).exists()}
    missing |= {each for each in linked if not (document.parent / each).exists()}
    assert missing == set()


def test_pinned_requirements_carry_hashes_and_no_addresses() -> None:
    for name in ("requirements.txt", "requirements-dev.txt"):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert text.count("==") <= text.count("--hash=sha256:")


def test_no_module_is_for_leftovers() -> None:
    leftovers = {"utils", "helpers", "common", "misc", "base"}
    assert [path for path in _tracked() if Path(path).stem in leftovers] == []


def test_the_wheel_holds_the_four_packages(tmp_path: Path) -> None:
    """Data files of the services travel with them: credentials, queries, migrations."""
    built = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    import zipfile

    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info" not in name}
    assert tops == set(PACKAGES)
    assert any(re.match(r"issuer_service/credentials/.*\.json", name) for name in names)
    assert any(re.match(r"verifier_service/queries/.*\.json", name) for name in names)
    vendored = {
        "shared/runtime/static/vendor/qr/index.js",
        "shared/runtime/static/vendor/qr/LICENSE-MIT",
    }
    assert vendored <= set(names)
