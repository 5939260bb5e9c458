"""Client Identifier Prefixes: OpenID4VP 1.0, section 5.9; PROFILE W-54, V-11, T-21."""

import hashlib

import pytest

from shared.crypto.x509 import Profile, VerifiedChain, verify_chain
from shared.encoding import b64url_encode
from shared.oid4vp import client_id
from shared.oid4vp.errors import InvalidRequest
from tests.support.certificates import Authority
from tests.support.clock import NOW

ROOT = Authority.make("Access Root")
HOST = "verifier.example"
RESPONSE_URI = f"https://{HOST}/response/1"


def chain(*dns: str) -> VerifiedChain:
    signer = ROOT.signer(Profile.ACCESS, dns=dns)
    return verify_chain(signer.certificates, anchors=ROOT.anchors, profile=Profile.ACCESS, now=NOW)


def test_the_prefix_is_what_stands_before_the_first_colon() -> None:
    """OpenID4VP 1.0, section 5.9.1."""
    parsed = client_id.parse("x509_hash:Uvo3HtuIxuhC92rShpgqcT3YXwrqRxWEviRiA0OZszk")
    assert (parsed.prefix, parsed.value[:4]) == ("x509_hash", "Uvo3")
    assert client_id.parse("x509_san_dns:a:b").value == "a:b"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "example-client",
        "https://client.example.org",
        "x509_hash",
        "x509_hash:",
        "X509_HASH:abc",
        "unknown:abc",
        "origin:https://verifier.example",
        "redirect_uri:https://client.example.org/cb",
        "openid_federation:https://federation.example",
        "decentralized_identifier:did:example:123",
        "verifier_attestation:verifier.example",
    ],
)
def test_everything_else_is_an_invalid_request(text: str) -> None:
    """W-54, T-21: no client is pre-registered; `origin` is never accepted in a request."""
    with pytest.raises(InvalidRequest):
        client_id.parse(text)


def test_x509_hash_is_the_hash_of_the_leaf() -> None:
    """V-11, W-54; CERTIFICATION 2.1."""
    own, other = chain(), chain()
    text = client_id.x509_hash(own.leaf)
    assert text == "x509_hash:" + b64url_encode(hashlib.sha256(own.leaf).digest())
    client_id.check(client_id.parse(text), chain=own, response_uri=RESPONSE_URI)
    with pytest.raises(InvalidRequest):
        client_id.check(client_id.parse(text), chain=other, response_uri=RESPONSE_URI)


def test_x509_san_dns_is_a_name_of_the_leaf_and_the_host_of_the_response() -> None:
    """W-54: neither another name nor another host, and no wildcard."""
    good = client_id.parse(f"x509_san_dns:{HOST}")
    client_id.check(good, chain=chain("www.example", HOST), response_uri=RESPONSE_URI)
    for leaf, uri in [
        (chain("other.example"), RESPONSE_URI),
        (chain(), RESPONSE_URI),
        (chain("*.example"), RESPONSE_URI),
        (chain(HOST), "https://other.example/response/1"),
        (chain(HOST), f"https://{HOST}.evil.example/"),
    ]:
        with pytest.raises(InvalidRequest):
            client_id.check(good, chain=leaf, response_uri=uri)
