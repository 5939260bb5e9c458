"""What operators and developers touch: commands, settings, data files."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from shared.demo.phone import Refused
from shared.demo.system import REGISTRY
from shared.runtime.keys import KeyDirectory
from shared.runtime.trust_enrol import enrol, make_request, read_request, read_response
from shared.runtime.trust_publish import Repository

from .world import SERVICES, World, as_json, now, send

# -- Commands --------------------------------------------------------------------------------

_TRUST = "shared.runtime.trust_tool"
Said = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def said(sqlite_world: World, tmp_path_factory: pytest.TempPathFactory) -> Said:
    """What every command ended with and printed; two at a time, since each takes a second."""
    world, empty = sqlite_world, tmp_path_factory.mktemp("empty")
    nothing = {each: os.environ[each] for each in ("PATH", "HOME") if each in os.environ}
    runs: dict[str, tuple[list[str], Mapping[str, str]]] = {
        f"{_TRUST} --help": ([_TRUST, "--help"], nothing),
    }
    for module in SERVICES:
        environment = world.system.environment(module)
        runs |= {
            f"{module} --help": ([module, "--help"], nothing),
            f"{module} serve without settings": ([module, "serve"], nothing),
            f"{module} doctor": ([module, "doctor"], environment),
        }
    issuer = world.system.environment("issuer_service")
    wallet = world.system.environment("wallet_service")
    runs |= {
        "migrate again": (["wallet_service", "migrate"], wallet),
        "doctor without tables": (
            ["wallet_service", "doctor"],
            wallet | {"WALLET_SHARES_DATABASE_URL": f"sqlite:///{empty}/shares.db"},
        ),
        "doctor with a wrong password": (
            ["issuer_service", "doctor"],
            issuer | {"ISSUER_KEY_PASSWORD": "wrong-password"},
        ),
        "serve with faults": (
            ["issuer_service", "serve"],
            issuer
            | {
                "ISSUER_PUBLIC_URL": "http://issuer.example/",
                "ISSUER_PORT": "many",
                "ISSUER_WORKERS": "0",
                "ISSUER_LOG_LEVEL": "LOUD",
                "ISSUER_STATUS_TICK_SECONDS": "60",
            },
        ),
        "serve with http elsewhere": (
            ["issuer_service", "serve"],
            issuer
            | {
                "ISSUER_PUBLIC_URL": "http://issuer.example",
                "ISSUER_TLS_KEY": str(empty / "missing.pem"),
            },
        ),
    }

    def run(each: tuple[list[str], Mapping[str, str]]) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", *each[0]],
            env={**os.environ, **each[1]} if each[1] is not nothing else dict(nothing),
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(runs, pool.map(run, runs.values()), strict=True))


@pytest.mark.parametrize("module", SERVICES)
def test_help_names_every_command(said: Said, module: str) -> None:
    code, text = said[f"{module} --help"]
    assert code == 0
    assert {"serve", "migrate", "doctor"} <= set(text.split())


def test_help_of_wallet_trust_names_the_ways_in_and_out(said: Said) -> None:
    code, text = said[f"{_TRUST} --help"]
    assert code == 0
    assert {"init", "request", "enrol", "accept", "publish", "revoke", "rotate"} <= set(
        text.split()
    )


@pytest.mark.parametrize("module", SERVICES)
def test_what_is_missing_is_said_all_at_once(said: Said, module: str) -> None:
    code, text = said[f"{module} serve without settings"]
    prefix = module.removesuffix("_service").upper()
    assert code == 2
    for name in ("PUBLIC_URL", "DATABASE_URL", "TRUST_URL", "TRUST_ROOT", "KEY_PASSWORD"):
        assert f"{prefix}_{name}: is missing" in text
    assert "Traceback" not in text


def test_what_is_wrong_is_said_all_at_once(said: Said) -> None:
    code, text = said["serve with faults"]
    assert code == 2
    for name in ("PUBLIC_URL", "PORT", "WORKERS", "LOG_LEVEL", "STATUS_TICK_SECONDS"):
        assert f"ISSUER_{name}:" in text
    assert "5 setting(s)" in text


def test_what_does_not_fit_together_is_said(said: Said) -> None:
    """C-50: plain http is for loopback alone."""
    code, text = said["serve with http elsewhere"]
    assert code == 2
    assert "public_url must be https" in text
    assert "tls_certificate and tls_key belong together" in text
    assert "tls_key: there is no such file" in text


@pytest.mark.parametrize("module", SERVICES)
def test_doctor_finds_a_running_system_well_and_names_what_is_insecure(
    said: Said, module: str
) -> None:
    code, text = said[f"{module} doctor"]
    assert code == 0, text
    assert "answers and is up to date" in text
    assert "insecure_http_loopback is on" in text
    assert "bad" not in text.split()


def test_doctor_says_what_to_do_about_a_database_without_tables(said: Said) -> None:
    code, text = said["doctor without tables"]
    assert code == 1
    assert "database of wallet_service: answers and is up to date" in text
    assert "database of wallet_service.shares: has not the tables it needs" in text
    assert "next: Run migrate." in text


def test_doctor_says_that_the_password_is_wrong(said: Said) -> None:
    code, text = said["doctor with a wrong password"]
    assert code == 1
    assert "KEY_PASSWORD" in text
    assert "Traceback" not in text


def test_migrate_may_run_again_at_any_time(said: Said) -> None:
    code, text = said["migrate again"]
    assert (code, "up to date" in text) == (0, True)


# -- An agency's own data file -----------------------------------------------------------------

_LIBRARY_CARD: dict[str, Any] = {
    "id": "library_card",
    "format": "dc+sd-jwt",
    "scope": "library_card",
    "validity_days": 365,
    "register": {
        "family_name": "family_name",
        "given_name": {"field": "given_name", "as": "text_or_empty"},
        "card_number": "document_number",
    },
    "type_metadata": {
        "vct": "urn:avelonia:library-card:1",
        "name": "Library card",
        "display": [
            {"locale": "en", "name": "Library card"},
            {"locale": "fr", "name": "Carte de bibliothèque"},
        ],
        "claims": [
            {"path": ["family_name"], "sd": "always", "mandatory": True},
            {"path": ["given_name"], "sd": "always"},
            {
                "path": ["card_number"],
                "sd": "always",
                "display": [{"locale": "en", "label": "Card number"}],
            },
        ],
    },
}

_FISHING_PERMIT = {
    "id": "fishing_permit",
    "format": "mso_mdoc",
    "scope": "fishing_permit",
    "validity_days": 365,
    "register": {
        "av.fishing.1/family_name": "family_name",
        "av.fishing.1/born": {"field": "birth_date", "as": "full_date"},
        "av.fishing.1/issuing_country": "tenant.country",
    },
    "type_metadata": {
        "vct": "av.fishing.permit.1",
        "name": "Fishing permit",
        "display": [{"locale": "en", "name": "Fishing permit"}],
        "claims": [
            {"path": ["av.fishing.1", "family_name"], "sd": "always", "mandatory": True},
            {
                "path": ["av.fishing.1", "born"],
                "sd": "always",
                "cbor": "full-date",
                "display": [{"locale": "en", "label": "Born on"}],
            },
        ],
    },
}


@pytest.fixture
def with_library(sqlite_world: World, tmp_path: Path) -> Iterator[World]:
    """A data file more in each format; enrolled anew with what the issuer's own command says."""
    world, system = sqlite_world, sqlite_world.system
    (tmp_path / "library_card.json").write_bytes(as_json(_LIBRARY_CARD))
    (tmp_path / "fishing_permit.json").write_bytes(as_json(_FISHING_PERMIT))
    more = {"ISSUER_CREDENTIALS_DIRECTORY": str(tmp_path)}
    world.restart("issuer_service", **more)
    subject, phone = world.person(), world.phone()
    with pytest.raises(Refused):  # the trust list does not say yet that the registry may
        world.receive(phone, subject, "library_card")
    system.settings = {**system.settings, **more}
    try:
        wanted = json.loads(system.command("issuer_service", "entry", REGISTRY))
    finally:
        system.settings = {
            name: system.settings[name] for name in system.settings if name not in more
        }
    password = system._password.encode()
    repository = Repository(system.folder / "trust", passwords=lambda _: password)
    listed = repository.document()["entities"]
    [entity] = [each for each in listed if each.get("credential_issuers")]
    directory = KeyDirectory(system.folder / "issuer_service" / "keys", password)
    keys = {each: directory.ensure(REGISTRY, each) for each in directory.purposes(REGISTRY)}
    request = make_request(
        entity={"names": entity["names"], "contacts": entity["contacts"]} | wanted,
        keys=keys,
        dns=["localhost"],
        country="AV",
        now=now(),
        entity_id=entity["id"],
    )
    answer = enrol(repository, read_request(request), now=now())
    publics = {purpose: key.public for purpose, key in keys.items()}
    same_id, chains = read_response(answer, keys=publics)
    assert same_id == entity["id"]
    for purpose, chain in chains.items():
        directory.install(REGISTRY, purpose, chain)
    repository.publish(now())
    world.restart_all(("issuer_service", "wallet_service"), signal.SIGTERM, **more)
    yield world
    world.restart("issuer_service")


def test_a_new_credential_type_is_one_data_file(with_library: World) -> None:
    """DESIGN 2.9: no Python written, whatever the format; offered, received, shown, beside the
    built-in ones."""
    world, subject = with_library, with_library.person()
    issuer = urlsplit(world.system.issuer)
    place = f"{issuer.scheme}://{issuer.netloc}/.well-known/openid-credential-issuer{issuer.path}"
    offered = send("GET", place, Accept="application/json").json[
        "credential_configurations_supported"
    ]
    assert {"pid_sd_jwt", "residence_sd_jwt", "library_card", "fishing_permit"} < set(offered)
    assert offered["library_card"]["vct"] == "urn:avelonia:library-card:1"
    assert offered["fishing_permit"]["doctype"] == "av.fishing.permit.1"
    assert offered["fishing_permit"]["cryptographic_binding_methods_supported"] == ["cose_key"]
    assert offered["fishing_permit"]["credential_signing_alg_values_supported"] == [-7, -9]
    phone = world.phone()
    [card] = world.receive(phone, subject, "library_card")
    shown = phone.card(card)
    assert shown["name"] == "Library card"
    values = {each["label"]: each["value"] for each in shown["claims"]}
    assert values["Card number"] == world.people[subject]["document_number"]
    [card] = world.receive(phone, subject, "fishing_permit")
    shown = phone.card(card)
    assert (shown["name"], shown["format"]) == ("Fishing permit", "mso_mdoc")
    values = {each["label"]: each["value"] for each in shown["claims"]}
    assert values["Born on"].startswith(world.people[subject]["birth_date"])
    world.receive(phone, subject)
    assert world.reason(phone) is None
