"""`wallet-trust` as its people use it, and the enrolment files that travel between them."""

import base64
import json
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile, parse_pem, thumbprint, verify_chain
from shared.errors import BadSignature, InvalidInput, NotFound, VerificationError
from shared.jose.jws import sign_jwt
from shared.runtime import trust_console, trust_tool
from shared.runtime.clock import utc_now
from shared.runtime.trust_enrol import enrol, make_request, read_request, read_response
from shared.runtime.trust_publish import Repository
from shared.trust import Role, TrustList
from tests.support.clock import NOW, CountingBytes
from tests.support.trust import ASKS, CONTACTS, PID, issue
from tests.support.tuf import passwords, published

REGISTRY = {
    "names": {"en": "Civil Registry of Avelonia", "fr": "Registre civil d'Avelonia"},
    "contacts": CONTACTS,
    "credential_issuers": ["https://issuer.example/registry"],
    "issues": [issue(PID)],
}
COUNTER = {"names": {"en": "Avelonia Tax & Counters"}, "contacts": CONTACTS, "asks": ASKS}


@pytest.fixture(autouse=True)
def _passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    for group in ("ROOT", "LIST", "ONLINE", "KEYS"):
        monkeypatch.setenv(f"WALLET_TRUST_{group}_PASSWORD", f"password of {group.lower()}")


def run(*arguments: object, typed: str | None = None) -> str:
    result = invoke(*arguments, typed=typed)
    assert result.exit_code == 0, (result.output, result.exception)
    return result.output


def invoke(*arguments: object, typed: str | None = None) -> Result:
    return CliRunner().invoke(trust_tool.app, [str(each) for each in arguments], input=typed)


@pytest.fixture
def joined(tmp_path: Path) -> Path:
    """Two agencies went the whole way by the command line."""
    folder = tmp_path / "trust"
    run("init", folder, "--holders", "2", "--threshold", "2")
    for tenant, entity, purposes in (
        ("registry", REGISTRY, ["credential", "status", "metadata"]),
        ("counter", COUNTER, ["access"]),
    ):
        wish, ask, answer = (tmp_path / f"{tenant}.{kind}.json" for kind in ("e", "q", "a"))
        wish.write_text(json.dumps(entity))
        options = [part for purpose in purposes for part in ("--purpose", purpose)]
        run(
            "request",
            "--keys",
            tmp_path / "keys",
            "--tenant",
            tenant,
            "--entity",
            wish,
            "--dns",
            "localhost",
            "--out",
            ask,
            *options,
        )
        run("enrol", folder, ask, "--out", answer)
        run("accept", answer, "--keys", tmp_path / "keys", "--tenant", tenant)
    run("publish", folder)
    return tmp_path


def listed(folder: Path) -> TrustList:
    return TrustList.parse((folder / "trust" / "trust-list.json").read_bytes(), version=1)


def test_an_agency_joins_by_files_and_its_chain_verifies(joined: Path) -> None:
    """DESIGN 4: enrolment by request and response files; C-21: leaf first, the anchor left out."""
    now = utc_now()
    trust_list = listed(joined)
    for tenant, purpose, role in (
        ("registry", "credential", Role.CREDENTIAL),
        ("registry", "status", Role.STATUS),
        ("counter", "access", Role.ACCESS),
    ):
        chain = parse_pem((joined / "keys" / tenant / f"{purpose}.crt").read_bytes())
        anchors = trust_list.anchors(role, now=now)
        verified = verify_chain(chain, anchors=anchors, profile=Profile(role), now=now)
        entity = trust_list.entity_for_chain(role, verified, now=now)
        assert entity.names["en"].startswith("Civil" if tenant == "registry" else "Avelonia")
        assert verified.dns_names == ("localhost",)
        pem = (joined / "keys" / tenant / f"{purpose}.pem").read_bytes()
        key = SoftwareKey.from_pem(pem, password=b"password of keys")
        assert key.public == verified.public


def test_what_is_published_verifies_from_the_initial_root(joined: Path) -> None:
    folder = joined / "trust"
    root = folder / "public" / "metadata" / "1.root.json"
    output = run("verify", folder / "public", "--root", root)
    assert "Civil" in output
    assert "TEST" in output
    target = next(p for p in (folder / "public" / "targets").iterdir() if b"ent_" in p.read_bytes())
    target.write_bytes(target.read_bytes().replace(b"Civil", b"Evil!"))
    refused = invoke("verify", folder / "public", "--root", root)
    assert isinstance(refused.exception, VerificationError)


def test_nothing_is_in_force_before_it_is_published(joined: Path) -> None:
    folder = joined / "trust"
    root = folder / "public" / "metadata" / "1.root.json"
    entity_id = listed(joined).entities[1].id
    run("withdraw", folder, entity_id, "--until", "2020-01-01")
    assert "2020-01-01" in run("show", folder)
    assert "2020-01-01" not in run("verify", folder / "public", "--root", root)
    run("publish", folder)
    assert "2020-01-01" in run("verify", folder / "public", "--root", root)


def test_a_certificate_is_revoked_by_its_file_or_its_thumbprint(joined: Path) -> None:
    folder, entity_id = joined / "trust", listed(joined).entities[0].id
    file = joined / "keys" / "registry" / "credential.crt"
    expected = thumbprint(parse_pem(file.read_bytes())[0])
    run("revoke", folder, entity_id, file)
    assert listed(joined).entity_by_id(entity_id).revoked == (expected,)
    run("revoke", folder, entity_id, "AB" * 32)
    assert listed(joined).revoked == {expected, "ab" * 32}
    assert isinstance(invoke("revoke", folder, entity_id, "xyz").exception, InvalidInput)
    assert isinstance(invoke("revoke", folder, "ent_nobody", "ab" * 32).exception, NotFound)


def test_rotations_and_renewal_from_the_command_line(joined: Path) -> None:
    folder = joined / "trust"
    root = joined / "initial.json"
    root.write_bytes((folder / "public" / "metadata" / "1.root.json").read_bytes())
    assert "until" in run("renew", folder)
    assert "in force" in run("rotate", folder, "targets", "timestamp")
    away = joined / "away"
    away.mkdir()
    (folder / "root" / "root-2.pem").rename(away / "root-2.pem")
    own = joined / "own" / "mine.pem"
    run("root-key", own)
    draft = joined / "draft.json"
    output = run(
        "rotate-root", folder, "--add", own.with_suffix(".pub"), "--threshold", "2", "--out", draft
    )
    assert "More holders" in output
    run("sign-root", folder, draft, "--root-keys", away)
    run("install-root", folder, draft)
    run("publish", folder)
    assert "Civil" in run("verify", folder / "public", "--root", root)


def test_an_entry_by_hand_may_pin_a_leaf_in_a_test_list_only(joined: Path, tmp_path: Path) -> None:
    """CERTIFICATION 2.5.4: a pinned leaf for the suite; DESIGN 4: refused in production."""
    chain = parse_pem((joined / "keys" / "registry" / "credential.crt").read_bytes())
    entry = tmp_path / "suite.json"
    entry.write_text(
        json.dumps(
            {
                "id": "ent_suite",
                "names": {"en": "Conformance suite"},
                "contacts": CONTACTS,
                "issues": [{"format": "mso_mdoc", "type": "org.iso.18013.5.1.mDL"}],
                "pinned": [
                    {
                        "certificate": base64.b64encode(chain[0]).decode(),
                        "role": "credential",
                        "type": "org.iso.18013.5.1.mDL",
                        "expires": "2027-08-03T00:00:00Z",
                    }
                ],
            }
        )
    )
    run("put", joined / "trust", entry)
    assert listed(joined).entity_by_id("ent_suite").pinned
    run("init", tmp_path / "production", "--environment", "production")
    refused = invoke("put", tmp_path / "production", entry)
    assert isinstance(refused.exception, InvalidInput)
    assert "production" in str(refused.exception)


def test_renewed_certificates_keep_id_and_anchors(joined: Path) -> None:
    """DESIGN 4: a stable id; the old certificate stays good beside the new one (overlap)."""
    before = listed(joined).entities[0]
    folder, keys = joined / "trust", joined / "keys"
    (keys / "registry" / "credential.pem").unlink()
    run(
        "request",
        "--keys",
        keys,
        "--tenant",
        "registry",
        "--entity",
        joined / "registry.e.json",
        "--purpose",
        "credential",
        "--dns",
        "localhost",
        "--entity-id",
        before.id,
        "--out",
        joined / "q2.json",
    )
    run("enrol", folder, joined / "q2.json", "--out", joined / "a2.json")
    run("accept", joined / "a2.json", "--keys", keys, "--tenant", "registry")
    after = listed(joined).entity_by_id(before.id)
    assert after.anchors == before.anchors


def test_help_and_errors_say_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    help_text = run("--help")
    for command in ("init", "enrol", "publish", "renew", "rotate-root", "verify"):
        assert command in help_text
    monkeypatch.setattr("shared.runtime.logs.configure", lambda **_: None)
    monkeypatch.setattr("sys.argv", ["wallet-trust", "publish", str(tmp_path)])
    with pytest.raises(SystemExit) as left:
        trust_tool.main()
    assert left.value.code == 1
    assert "wallet-trust init" in " ".join(capsys.readouterr().err.split())


def test_a_password_is_asked_for_once_and_an_empty_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trust_console, "_asked", {})
    monkeypatch.delenv("WALLET_TRUST_ROOT_PASSWORD")
    output = run("init", tmp_path / "asked", "--holders", "2", typed="secret\nsecret\n")
    assert "Counts until" in output
    pem = (tmp_path / "asked" / "root" / "root-2.pem").read_bytes()
    assert SoftwareKey.from_pem(pem, password=b"secret")
    empty = tmp_path / "empty"
    empty.write_text("\n")
    monkeypatch.setenv("WALLET_TRUST_LIST_PASSWORD_FILE", str(empty))
    assert isinstance(invoke("publish", tmp_path / "asked").exception, InvalidInput)


@pytest.mark.parametrize(
    "arguments",
    [
        ["rotate", "FOLDER", "root"],
        ["init", "NEW", "--environment", "staging"],
        ["rotate-root", "FOLDER", "--add", "NOTHING"],
        ["rotate-root", "FOLDER", "--add", "TEXT"],
        ["enrol", "FOLDER", "TEXT"],
        ["put", "FOLDER", "TEXT"],
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(tmp_path: Path, arguments: list[str]) -> None:
    folder = published(tmp_path).repository.path
    text = tmp_path / "text"
    text.write_text("{}")
    names = {"FOLDER": folder, "NEW": tmp_path / "n", "NOTHING": tmp_path / "0", "TEXT": text}
    result = invoke(*(names.get(each, each) for each in arguments))
    assert isinstance(result.exception, InvalidInput | NotFound)


# The files themselves


@pytest.fixture
def keys() -> dict[str, SoftwareKey]:
    return {purpose: SoftwareKey.generate() for purpose in ("credential", "status")}


def request_of(
    keys: Mapping[str, SoftwareKey],
    *,
    entity: Mapping[str, Any] = REGISTRY,
    entity_id: str | None = None,
) -> bytes:
    return make_request(
        entity=entity, keys=keys, dns=["issuer.example"], now=NOW, entity_id=entity_id
    )


def test_a_request_proves_possession_of_every_key(keys: dict[str, SoftwareKey]) -> None:
    request = read_request(request_of(keys))
    assert {key.purpose: key.public for key in request.keys} == {
        purpose: key.public for purpose, key in keys.items()
    }
    forged = json.loads(request_of(keys))
    head, body, _ = forged["proofs"][0].split(".")
    forged["proofs"][0] = f"{head}.{body}.{forged['proofs'][1].split('.')[2]}"
    with pytest.raises(BadSignature):
        read_request(json.dumps(forged).encode())


def test_a_proof_covers_the_entry_it_was_made_for(keys: dict[str, SoftwareKey]) -> None:
    changed = json.loads(request_of(keys))
    changed["entity"]["issues"].append(issue("urn:other"))
    with pytest.raises(VerificationError, match="another entry"):
        read_request(json.dumps(changed).encode())
    moved = json.loads(request_of(keys)) | {"entity_id": "ent_somebody"}
    with pytest.raises(VerificationError, match="another entry"):
        read_request(json.dumps(moved).encode())


def test_an_agency_cannot_ask_for_what_only_the_publisher_grants(
    keys: dict[str, SoftwareKey],
) -> None:
    with pytest.raises(InvalidInput, match="nothing beyond"):
        request_of(keys, entity=REGISTRY | {"anchors": {}})
    with pytest.raises(InvalidInput, match="purposes"):
        request_of({"tls": SoftwareKey.generate()})
    with pytest.raises(InvalidInput, match="purposes"):
        request_of({})


def test_one_key_has_one_purpose(keys: dict[str, SoftwareKey]) -> None:
    """C-10."""
    with pytest.raises(InvalidInput, match="C-10"):
        read_request(request_of({"credential": keys["status"], "status": keys["status"]}))


@pytest.mark.parametrize(
    "change",
    [
        {"format": "another/1"},
        {"entity": []},
        {"proofs": []},
        {"proofs": [1]},
        {"proofs": "x"},
        {"entity_id": 7},
    ],
)
def test_a_malformed_request_is_refused(
    keys: dict[str, SoftwareKey], change: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        read_request(json.dumps(json.loads(request_of(keys)) | change).encode())


def test_a_proof_of_another_kind_or_purpose_is_refused(keys: dict[str, SoftwareKey]) -> None:
    """S-04: the typ of the proof is its own."""
    key = keys["status"]
    request = json.loads(request_of(keys))
    claims = json.loads(_decode(request["proofs"][0].split(".")[1]))
    header = {"jwk": key.public.to_jwk()}
    for typ, changed in (
        ("JWT", claims),
        ("citizen-wallet-enrolment+jwt", claims | {"purpose": "tls"}),
        ("citizen-wallet-enrolment+jwt", claims | {"dns": "x"}),
    ):
        proof = sign_jwt(changed, typ=typ, signer=key, header=header)
        with pytest.raises((InvalidInput, VerificationError)):
            read_request(json.dumps(request | {"proofs": [proof]}).encode())


def test_a_response_for_other_keys_is_refused(keys: dict[str, SoftwareKey], tmp_path: Path) -> None:
    repository = published(tmp_path).repository
    entry = REGISTRY | {"credential_issuers": ["https://other.example/registry"]}
    response = enrol(repository, read_request(request_of(keys, entity=entry)), now=NOW)
    public = {purpose: key.public for purpose, key in keys.items()}
    entity_id, chains = read_response(response, keys=public)
    assert repository.document()["entities"][-1]["id"] == entity_id
    assert set(chains) == {"credential", "status"}
    with pytest.raises(InvalidInput, match="another key"):
        read_response(response, keys=public | {"status": SoftwareKey.generate().public})
    with pytest.raises(InvalidInput, match="no enrolment response"):
        read_response(request_of(keys), keys=public)


def test_an_entry_that_services_would_refuse_is_not_entered(
    keys: dict[str, SoftwareKey], tmp_path: Path
) -> None:
    """The issuer identifier of somebody listed cannot be taken over."""
    publisher = published(tmp_path)
    before = publisher.repository.document()
    with pytest.raises(InvalidInput, match="two entities"):
        enrol(publisher.repository, read_request(request_of(keys)), now=NOW)
    assert publisher.repository.document() == before
    wanted = read_request(request_of(keys, entity_id="ent_nobody"))
    with pytest.raises(NotFound):
        enrol(publisher.repository, wanted, now=NOW)


def test_each_entity_has_authorities_of_its_own(tmp_path: Path) -> None:
    """DESIGN 4: an anchor names one entity; key_attestation shares the wallet provider's role."""
    repository = Repository.create(tmp_path / "t", passwords=passwords, now=NOW, environment="test")
    found = []
    for number in range(2):
        own = {p: SoftwareKey.generate() for p in ("wallet_provider", "key_attestation")}
        entity = {"names": {"fr": "Fournisseur " + "é" * 80}, "contacts": CONTACTS}
        request = read_request(request_of(own, entity=entity))
        seed = CountingBytes(str(number))
        enrol(repository, request, now=NOW + timedelta(days=1), random_bytes=seed)
        found.append(repository.document()["entities"][-1]["anchors"])
    assert [list(each) for each in found] == [["wallet_provider"]] * 2
    assert len({anchor for each in found for anchor in each["wallet_provider"]}) == 2


def _decode(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
