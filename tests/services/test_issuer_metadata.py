"""What the issuer says about itself, as a wallet and a conformance suite read it (PROFILE 5.1,
5.2)."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from issuer_service.catalogue import BUILT_IN, read_catalogue
from shared.errors import VerificationError
from shared.formats import type_metadata
from shared.formats.credential import FORMATS
from shared.haip import check_authorization_server
from shared.oauth.metadata import AuthorizationServerMetadata
from shared.oid4vci.metadata import CredentialIssuerMetadata
from shared.trust import Role
from tests.support.databases import sqlite_url
from tests.support.issuer import TENANT, IssuerWorld

ISSUER = "https://issuer.example/registry"
WORDS = {name: each.words for name, each in FORMATS.items()}
WELL_KNOWN = "/.well-known/openid-credential-issuer/registry"
SERVER = "/.well-known/oauth-authorization-server/registry"
STRICT: dict[str, Any] = {**TENANT, "tenant": "strict", "wallets_without_attestation": False}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IssuerWorld]:
    folder: Path = tmp_path_factory.mktemp("issuer")
    made = IssuerWorld.make(folder, sqlite_url(folder), tenants=(TENANT, STRICT))
    yield made
    made.close()


def urls(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [found for each in value.values() for found in urls(each)]
    if isinstance(value, list):
        return [found for each in value for found in urls(each)]
    return [value] if isinstance(value, str) and "://" in value else []


def test_the_well_known_string_stands_between_host_and_path(world: IssuerWorld) -> None:
    """I-01, I-11, T-07: never appended; another tenant is another document."""
    for path in (WELL_KNOWN, SERVER):
        assert world.client.get(path).status == 200
    for path in (
        "/registry/.well-known/openid-credential-issuer",
        "/.well-known/openid-credential-issuer",
        f"{WELL_KNOWN}/",
        "/.well-known/openid-credential-issuer/nobody",
    ):
        assert world.client.get(path).status == 404


def test_the_issuer_metadata_is_complete_and_ours(world: IssuerWorld) -> None:
    """I-02, I-03, C-52, CERTIFICATION 2.2.1: identical identifier, https everywhere, CORS, JSON."""
    answer = world.client.get(WELL_KNOWN)
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["access-control-allow-origin"] == "*"
    body = answer.json()
    parsed = CredentialIssuerMetadata.from_object(body)
    parsed.check_issuer(ISSUER)
    assert all(each.startswith("https://") for each in urls(body))
    assert parsed.nonce_endpoint == f"{ISSUER}/nonce"
    assert parsed.batch_size == 20
    assert "authorization_servers" not in body
    assert parsed.deferred_credential_endpoint == f"{ISSUER}/deferred_credential"
    assert [each["locale"] for each in body["display"]] == ["en", "fr"]


def test_every_configuration_has_what_haip_wants(world: IssuerWorld) -> None:
    """I-04, I-05, I-08, T-07: scope everywhere, binding with proof types, JOSE names, unique
    locales."""
    body = world.client.get(WELL_KNOWN).json()
    for each in body["credential_configurations_supported"].values():
        words = WORDS[each["format"]]
        assert each["scope"]
        assert each[words.type_member]
        assert each["cryptographic_binding_methods_supported"] == [words.binding_method]
        assert each["credential_signing_alg_values_supported"] == list(words.signing_algorithms)
        assert each["proof_types_supported"] == {
            "jwt": {"proof_signing_alg_values_supported": ["ES256"]},
            "attestation": {
                "proof_signing_alg_values_supported": ["ES256"],
                "key_attestations_required": {},
            },
        }
        shown = each["credential_metadata"]
        assert [text["locale"] for text in shown["display"]] == ["en", "fr", "de", "ar"]
        paths = [tuple(claim["path"]) for claim in shown["claims"]]
        assert len(set(paths)) == len(paths)


def test_the_server_metadata_offers_only_what_there_is(world: IssuerWorld) -> None:
    """I-10, I-11, I-28, CERTIFICATION 2.2.2: what HAIP demands; anonymous only where allowed."""
    body = world.client.get(SERVER).json()
    found = AuthorizationServerMetadata.from_object(body)
    found.check_issuer(ISSUER)
    check_authorization_server(found)
    assert body["grant_types_supported"] == [
        "authorization_code",
        "urn:ietf:params:oauth:grant-type:pre-authorized_code",
        "refresh_token",
    ]
    assert body["require_pushed_authorization_requests"] is True
    assert body["dpop_signing_alg_values_supported"] == ["ES256"]
    assert body["token_endpoint_auth_methods_supported"] == ["attest_jwt_client_auth", "none"]
    assert body["pre-authorized_grant_anonymous_access_supported"] is True
    assert all(each.startswith("https://") for each in urls(body))
    strict = world.client.get("/.well-known/oauth-authorization-server/strict").json()
    assert strict["token_endpoint_auth_methods_supported"] == ["attest_jwt_client_auth"]
    assert strict["pre-authorized_grant_anonymous_access_supported"] is False


def test_what_did_not_change_is_not_sent_again(world: IssuerWorld) -> None:
    """PERFORMANCE 3: ETag and 304, bytes from memory."""
    for path in (WELL_KNOWN, SERVER, "/registry/types/urn:eudi:pid:1"):
        first = world.client.get(path)
        again = world.client.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (again.status, again.body) == (304, b"")


def test_signed_metadata_is_given_to_who_asks_for_it(world: IssuerWorld) -> None:
    """I-07, I-02, E-02: typ, x5c, sub, all members; a wrong anchor does not verify it."""
    answer = world.client.get(WELL_KNOWN, headers={"Accept": "application/jwt"})
    assert answer.headers["content-type"] == "application/jwt"
    trust = world.trust.current()
    plain = CredentialIssuerMetadata.from_object(world.client.get(WELL_KNOWN).json())
    signed = CredentialIssuerMetadata.verify(
        answer.text,
        issuer=ISSUER,
        anchors=trust.anchors(Role.METADATA, now=world.clock()),
        now=world.clock(),
    )
    assert signed == plain
    with pytest.raises(VerificationError):
        CredentialIssuerMetadata.verify(
            answer.text,
            issuer=ISSUER,
            anchors=trust.anchors(Role.CREDENTIAL, now=world.clock()),
            now=world.clock(),
        )


@pytest.mark.parametrize(
    ("accept", "media_type"),
    [
        (None, "application/json"),
        ("*/*", "application/json"),
        ("text/html", "application/json"),
        ("application/json, application/jwt", "application/json"),
        ("application/json;q=0.5, application/jwt", "application/jwt"),
        ("application/jwt;q=0.5, application/json;q=0.9", "application/json"),
        ("application/jwt;q=0.2, application/*;q=0.1", "application/jwt"),
        ("application/jwt;q=0, */*", "application/json"),
        ("application/jwt;q=nonsense", "application/json"),
    ],
)
def test_the_accept_header_is_weighed(
    world: IssuerWorld, accept: str | None, media_type: str
) -> None:
    """I-02, RFC 9110 12.5.1: JSON is always there; the JWT for who prefers it."""
    answer = world.client.get(WELL_KNOWN, headers={"Accept": accept} if accept else {})
    assert (answer.status, answer.headers["content-type"]) == (200, media_type)
    assert "Accept" in answer.headers["vary"]
    tags = {
        "If-None-Match": f"W/{answer.headers['etag']}",
        **({"Accept": accept} if accept else {}),
    }
    assert world.client.get(WELL_KNOWN, headers=tags).status == 304


def test_the_metadata_says_how_to_encrypt(world: IssuerWorld) -> None:
    """I-03, T-07, C-11, CERTIFICATION 2.1, 2.2.1: a public P-256 key with kid, alg and use; no zip;
    another key the next day, and the old ETag is over."""
    first = world.client.get(WELL_KNOWN)
    asked, answered = (
        first.json()[f"credential_{each}_encryption"] for each in ("request", "response")
    )
    (key,) = asked["jwks"]["keys"]
    assert {key["kty"], key["crv"], key["alg"], key["use"]} == {"EC", "P-256", "ECDH-ES", "enc"}
    assert key["kid"]
    assert "d" not in key
    assert asked["enc_values_supported"] == answered["enc_values_supported"]
    assert asked["enc_values_supported"] == ["A128GCM", "A256GCM"]
    assert (asked["encryption_required"], answered["encryption_required"]) == (False, False)
    assert answered["alg_values_supported"] == ["ECDH-ES"]
    assert "zip_values_supported" not in asked | answered
    assert world.client.get(WELL_KNOWN).json() == first.json()
    world.clock.advance(seconds=24 * 3600)
    later = world.client.get(WELL_KNOWN, headers={"If-None-Match": first.headers["etag"]})
    assert later.status == 200
    (new,) = later.json()["credential_request_encryption"]["jwks"]["keys"]
    assert new["kid"] != key["kid"]


def test_type_metadata_has_stable_bytes(world: IssuerWorld) -> None:
    """I-14, F-TM-03: the integrity that the trust list names holds over what is served."""
    for configuration in read_catalogue([BUILT_IN]).values():
        answer = world.client.get(f"/registry/types/{configuration.vct}")
        assert answer.headers["content-type"] == "application/json"
        found = type_metadata.parse(
            answer.body, vct=configuration.vct, expected_integrity=configuration.integrity
        )
        assert found.vct == configuration.vct
        with pytest.raises(VerificationError):
            type_metadata.check_integrity(answer.body + b" ", configuration.integrity)
    assert world.client.get("/registry/types/urn:eudi:pid:2").status == 404


def test_identifiers_come_from_settings_alone(world: IssuerWorld) -> None:
    """C-53: no header of a request changes a URL."""
    headers = {"Host": "evil.example", "X-Forwarded-Host": "evil.example", "Forwarded": "host=evil"}
    assert "evil" not in world.client.get(WELL_KNOWN, headers=headers).text


def test_the_challenge_endpoint_gives_what_the_suite_wants(world: IssuerWorld) -> None:
    """I-26, CERTIFICATION 2.2.3: 200, no-store, 16 to 512 unreserved characters."""
    answer = world.client.post("/registry/challenge")
    assert (answer.status, answer.headers["cache-control"]) == (200, "no-store")
    value = answer.json()["attestation_challenge"]
    assert 16 <= len(value) <= 512
    assert value.replace("-", "").replace("_", "").isalnum()


def test_health_tells_nothing_but_health(world: IssuerWorld) -> None:
    assert world.client.get("/health/live").status == 200
    assert world.client.get("/health/ready").status == 200
