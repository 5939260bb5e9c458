"""Authorization Requests: OpenID4VP 1.0, section 5; PROFILE V-10 to V-22, W-50 to W-56, T-21."""

import json
from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import to_numeric_date
from shared.errors import InvalidInput, ProtocolError
from shared.jose import jws
from shared.oauth.encryption import EncryptionKey
from shared.oid4vp import dcql, invocation, request, transaction_data
from shared.oid4vp.client_id import x509_hash
from shared.oid4vp.errors import (
    InvalidRequest,
    InvalidRequestUriMethod,
    InvalidScope,
    InvalidTransactionData,
    VpFormatsNotSupported,
)
from shared.oid4vp.request import Purpose, VerifiedRequest
from tests.support.certificates import Authority
from tests.support.clock import NOW
from tests.support.vectors import vector_json

ROOT = Authority.make("Access Root")
SIGNER = ROOT.signer(Profile.ACCESS, dns=["verifier.example"])
CLIENT = x509_hash(SIGNER.certificates[0])
KEY = SoftwareKey.generate(kid="k1")
TO_VERIFIER = EncryptionKey(KEY.public, "k1")
RESPONSE_URI = "https://verifier.example/counter/response/1"
REQUEST_URI = "https://verifier.example/counter/request/1"
QUERY = dcql.parse(
    {
        "credentials": [
            {
                "id": "pid",
                "format": "dc+sd-jwt",
                "meta": {"vct_values": ["urn:eudi:pid:1"]},
                "claims": [{"path": ["age_equal_or_over", "18"], "values": [True]}],
            }
        ]
    }
)
PURPOSE = Purpose("ent_counter", "proof_of_age")


def make(**more: Any) -> str:
    expected: dict[str, Any] = {
        "signer": SIGNER,
        "client_id": CLIENT,
        "response_uri": RESPONSE_URI,
        "nonce": "n-0S6_WzA2Mj",
        "state": "s.~-_1",
        "query": QUERY,
        "encryption_key": TO_VERIFIER,
        "now": NOW,
        **more,
    }
    return request.make(**expected)


def claims_of(token: str) -> dict[str, Any]:
    return dict(jws.parse_jws(token, max_bytes=99999).unverified_claims())


def forged(
    typ: str = request.TYP, signer: SoftwareKey = SIGNER, drop: str = "", **changes: Any
) -> str:
    """A Request Object with these changes, signed."""
    claims = {**claims_of(make()), **changes}
    claims.pop(drop, None)
    return jws.sign_jwt(claims, typ=typ, signer=signer)


def verify(token: str, **more: Any) -> VerifiedRequest:
    expected: dict[str, Any] = {
        "client_id": CLIENT,
        "wallet_nonce": None,
        "formats": {"dc+sd-jwt"},
        "transaction_types": {},
        "anchors": ROOT.anchors,
        "now": NOW,
        **more,
    }
    return request.verify(token, **expected)


def metadata(**changes: Any) -> dict[str, Any]:
    return {"client_metadata": {**claims_of(make())["client_metadata"], **changes}}


def test_a_request_verifies_and_says_who_asks_for_what() -> None:
    """V-11, W-52 to W-55."""
    verified = verify(make(purpose=PURPOSE))
    assert verified.client_id.full == CLIENT
    assert verified.chain.leaf == SIGNER.certificates[0]
    assert (verified.nonce, verified.state) == ("n-0S6_WzA2Mj", "s.~-_1")
    assert verified.response_uri == RESPONSE_URI
    assert verified.query == QUERY
    assert verified.encryption_key == TO_VERIFIER
    assert verified.enc == "A256GCM"
    assert verified.purpose == PURPOSE
    assert verified.transaction_data == ()
    assert verified.issued_at == NOW
    assert verified.expires_at == NOW + request.LIFETIME


def test_a_request_object_holds_what_certification_wants_and_no_more() -> None:
    """V-11, V-20 to V-22; CERTIFICATION 2.5.1, 2.5.2."""
    token = make()
    header = jws.parse_jws(token, max_bytes=99999).header
    assert (header["typ"], header["alg"]) == ("oauth-authz-req+jwt", "ES256")
    assert isinstance(header["x5c"], list)
    assert len(header["x5c"]) == 1
    claims = claims_of(token)
    assert claims == {
        "client_id": CLIENT,
        "aud": "https://self-issued.me/v2",
        "iat": to_numeric_date(NOW),
        "exp": to_numeric_date(NOW) + 300,
        "response_type": "vp_token",
        "response_mode": "direct_post.jwt",
        "response_uri": RESPONSE_URI,
        "nonce": "n-0S6_WzA2Mj",
        "state": "s.~-_1",
        "dcql_query": QUERY.to_object(),
        "client_metadata": {
            "jwks": {"keys": [TO_VERIFIER.to_jwk()]},
            "encrypted_response_enc_values_supported": ["A128GCM", "A256GCM"],
            "vp_formats_supported": {
                "dc+sd-jwt": {"sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"]}
            },
        },
    }
    assert claims["client_metadata"]["jwks"]["keys"][0] == {
        **KEY.public.to_jwk(),
        "use": "enc",
        "alg": "ECDH-ES",
        "kid": "k1",
    }


def test_wallet_nonce_is_echoed_when_posted_and_only_then() -> None:
    """V-13, W-52: never in an object that was fetched by GET."""
    assert "wallet_nonce" not in claims_of(make())
    assert verify(make(wallet_nonce="w1"), wallet_nonce="w1").nonce
    for token in (make(), make(wallet_nonce="w2")):
        with pytest.raises(InvalidRequest):
            verify(token, wallet_nonce="w1")


def test_state_is_required_without_holder_binding() -> None:
    """V-12; OpenID4VP 1.0, section 5.3."""
    loose = dcql.parse(
        {
            "credentials": [
                {
                    "id": "ticket",
                    "format": "dc+sd-jwt",
                    "meta": {},
                    "require_cryptographic_holder_binding": False,
                }
            ]
        }
    )
    assert verify(make(query=loose)).query == loose
    with pytest.raises(InvalidInput):
        make(query=loose, state=None)
    assert verify(make(state=None)).state is None


@pytest.mark.parametrize(
    "token",
    [
        make()[:-8] + "AAAAAAAA",
        forged(typ="JWT"),
        forged(signer=SoftwareKey.generate()),
        forged(signer=Authority.make("Stranger").signer(Profile.ACCESS)),
        forged(signer=ROOT.signer(Profile.ACCESS)),
        forged(drop="client_id"),
        forged(client_id="x509_hash:other"),
        forged(client_id=CLIENT.removeprefix("x509_hash:")),
        forged(drop="nonce"),
        forged(nonce=""),
        forged(nonce="a b"),
        forged(nonce="é"),
        forged(nonce=5),
        forged(state="a b"),
        forged(state="x" * 1025),
        forged(drop="aud"),
        forged(aud="https://wallet.example"),
        forged(aud=["https://self-issued.me/v2"]),
        forged(exp=to_numeric_date(NOW) - 31),
        forged(nbf=to_numeric_date(NOW) + 31),
        forged(iat=to_numeric_date(NOW) + 3600),
        forged(drop="response_type"),
        forged(response_type="vp_token id_token"),
        forged(response_mode="direct_post"),
        forged(response_mode="fragment"),
        forged(drop="response_uri"),
        forged(response_uri="http://verifier.example/response/1"),
        forged(response_uri=f"{RESPONSE_URI}#x"),
        forged(redirect_uri=RESPONSE_URI),
        forged(scope="age"),
        forged(drop="dcql_query"),
        forged(dcql_query=json.dumps(QUERY.to_object())),
        forged(dcql_query={"credentials": []}),
        forged(drop="client_metadata"),
        forged(**metadata(jwks={"keys": []})),
        forged(**metadata(jwks={"keys": [{"kty": "AKP", "alg": "ML-KEM-768"}]})),
        forged(**metadata(jwks=None)),
        forged(**metadata(encrypted_response_enc_values_supported=["A128CBC-HS256"])),
        forged(**metadata(encrypted_response_enc_values_supported=[])),
        forged(**metadata(vp_formats_supported=None)),
        forged(verifier_info=[]),
        forged(verifier_info=[{"format": "jwt"}]),
        forged(transaction_data=[]),
        "nonsense",
        "a" * (request.MAX_BYTES + 1),
    ],
)
def test_a_request_that_breaks_a_rule_is_an_invalid_request(token: str) -> None:
    """W-52, W-53, W-55, W-63, T-21, C-21; CERTIFICATION 1.6, 2.4.1."""
    with pytest.raises(InvalidRequest):
        verify(token)


def test_the_link_and_the_object_name_the_same_client() -> None:
    """W-52, T-21: mismatch between URL and object, prefix included."""
    for other in ("x509_hash:other", "x509_san_dns:verifier.example", "no-prefix"):
        with pytest.raises(InvalidRequest):
            verify(make(), client_id=other)


def test_a_verifier_may_be_known_by_its_host() -> None:
    """W-54: x509_san_dns."""
    client = "x509_san_dns:verifier.example"
    assert verify(make(client_id=client), client_id=client).client_id.full == client
    elsewhere = make(client_id=client, response_uri="https://other.example/1")
    with pytest.raises(InvalidRequest):
        verify(elsewhere, client_id=client)


def test_foreign_members_disturb_nobody() -> None:
    """W-52, T-21: unknown parameters, a foreign iss; no exp, no iat, no state."""
    token = forged(iss="https://other.example", unknown={"x": [1]}, request_uri_method="post")
    assert verify(token).nonce
    assert verify(forged(drop="exp")).expires_at is None
    assert verify(forged(drop="iat")).issued_at is None
    assert verify(forged(drop="state")).state is None
    long_state = forged(state="s" * 64, nonce="n" * 43)
    assert len(verify(long_state).nonce) == 43


def test_the_first_usable_key_is_taken_with_or_without_use() -> None:
    """W-61, C-08, T-21: keys of unknown kinds before it, no `use`, one enc value."""
    good = {name: value for name, value in TO_VERIFIER.to_jwk().items() if name != "use"}
    jwks = {"keys": [{"kty": "AKP", "alg": "ML-KEM-768", "kid": "pq"}, good]}
    changes = metadata(jwks=jwks, encrypted_response_enc_values_supported=["A256GCM"])
    assert verify(forged(**changes)).encryption_key.kid == "k1"
    no_list = metadata()
    del no_list["client_metadata"]["encrypted_response_enc_values_supported"]
    assert verify(forged(**no_list)).enc == "A128GCM"


def test_a_scope_stands_for_no_query_here() -> None:
    """W-53, W-63: invalid_scope; together with a query invalid_request."""
    with pytest.raises(InvalidScope):
        verify(forged(drop="dcql_query", scope="age"))


@pytest.mark.parametrize(
    "formats",
    [
        {},
        {"mso_mdoc": {"issuerauth_alg_values": [-7]}},
        {"dc+sd-jwt": {"sd-jwt_alg_values": ["ES384"], "kb-jwt_alg_values": ["ES256"]}},
        {"dc+sd-jwt": {"sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": []}},
        {"dc+sd-jwt": {"sd-jwt_alg_values": "ES256"}},
    ],
)
def test_no_common_format_or_algorithm_has_its_own_code(formats: dict[str, Any]) -> None:
    """W-55, W-63."""
    with pytest.raises(VpFormatsNotSupported):
        verify(forged(**metadata(vp_formats_supported=formats)))
    with pytest.raises(VpFormatsNotSupported):
        verify(make(), formats={"mso_mdoc"})


def test_algorithms_that_are_not_listed_are_left_to_us() -> None:
    """OpenID4VP 1.0, B.3.4: the members are optional."""
    assert verify(forged(**metadata(vp_formats_supported={"dc+sd-jwt": {}}))).nonce


def test_a_purpose_is_taken_from_our_entry_alone() -> None:
    """W-56: unknown formats are ignored; so is what is not a purpose."""
    entry = PURPOSE.entry()
    assert entry == {
        "format": "citizen-wallet-registration",
        "data": {"entity": "ent_counter", "purpose": "proof_of_age"},
    }
    other = {"format": "jwt", "data": "eyJ.e30.x", "credential_ids": ["pid"]}
    for entries, expected in [
        ([other, entry], PURPOSE),
        ([other], None),
        ([{**entry, "data": "text"}], None),
        ([{**entry, "data": {"entity": 5, "purpose": "x"}}], None),
    ]:
        assert verify(forged(verifier_info=entries)).purpose == expected


def test_transaction_data_is_refused_by_a_wallet_that_knows_no_type() -> None:
    """HB-31, T-21: one unknown type is enough."""
    text = transaction_data.make({"type": "urn:payment", "credential_ids": ["pid"], "amount": 5})
    with pytest.raises(InvalidTransactionData):
        verify(make(transaction_data=[text]))
    verified = verify(
        make(transaction_data=[text]), transaction_types={"urn:payment": lambda _: None}
    )
    assert verified.transaction_data[0].details == {"amount": 5}


def test_a_revoked_or_expired_access_certificate_is_refused() -> None:
    """C-22, W-54; DESIGN 4."""
    chain = verify(make()).chain
    with pytest.raises(InvalidRequest):
        verify(make(), revoked=chain.thumbprints)
    late = NOW + timedelta(days=400)
    with pytest.raises(InvalidRequest):
        verify(make(now=late), now=late)


@pytest.mark.parametrize(
    "endpoint", ["openid4vp://", "haip-vp://", "https://wallet.example/authorize?x=1"]
)
def test_links_carry_client_and_request_uri_alone(endpoint: str) -> None:
    """V-10, W-50; CERTIFICATION 2.5.1."""
    link = invocation.request_link(endpoint=endpoint, client_id=CLIENT, request_uri=REQUEST_URI)
    assert link.count("&") == (2 if "?" in endpoint else 1)
    parsed = invocation.parse_request_link(link)
    assert (parsed.client_id, parsed.request_uri) == (CLIENT, REQUEST_URI)
    assert parsed.method == "get"
    posted = invocation.request_link(
        endpoint=endpoint, client_id=CLIENT, request_uri=REQUEST_URI, method="post"
    )
    assert invocation.parse_request_link(posted + "&unknown=1").method == "post"


@pytest.mark.parametrize(
    "link",
    [
        "",
        "openid4vp://",
        f"openid4vp://?client_id={CLIENT}",
        f"openid4vp://?request_uri={REQUEST_URI}",
        f"openid4vp://?client_id={CLIENT}&request=eyJ.e30.x",
        f"openid4vp://?client_id={CLIENT}&response_type=vp_token&nonce=1&dcql_query=%7B%7D",
        f"openid4vp://?client_id={CLIENT}&request_uri=http://verifier.example/1",
        f"openid4vp://?client_id={CLIENT}&request_uri=urn:x",
        f"openid4vp://?client_id={CLIENT}&request_uri={REQUEST_URI}%23x",
        f"openid4vp://?client_id={CLIENT}&client_id={CLIENT}&request_uri={REQUEST_URI}",
        f"openid4vp://?client_id=origin:https://v.example&request_uri={REQUEST_URI}",
        f"openid4vp://?client_id=redirect_uri:https://v.example&request_uri={REQUEST_URI}",
        f"http://wallet.example/?client_id={CLIENT}&request_uri={REQUEST_URI}",
        f"javascript:alert(1)?client_id={CLIENT}&request_uri={REQUEST_URI}",
    ],
    ids=[str(number) for number in range(14)],  # the client's hash is new in every process
)
def test_unsigned_by_value_or_malformed_links_are_refused(link: str) -> None:
    """W-50, W-54, S-11, T-21: HAIP has only signed requests by reference."""
    with pytest.raises(InvalidRequest):
        invocation.parse_request_link(link)


def test_the_method_is_get_or_post() -> None:
    """W-50, W-63: case-sensitive."""
    parameters = {"client_id": CLIENT, "request_uri": REQUEST_URI}
    for method in ("POST", "put"):
        with pytest.raises(InvalidRequestUriMethod):
            invocation.parse_request_parameters({**parameters, "request_uri_method": method})


def test_a_posted_wallet_nonce_and_metadata_are_read() -> None:
    """V-13, W-51, W-55a: unknown fields are ignored; both are optional."""
    text = json.dumps({**invocation.wallet_metadata(["dc+sd-jwt"]), "unknown": 1})
    form = {"wallet_nonce": "w1", "wallet_metadata": text, "more": "x"}
    assert invocation.parse_request_post(form, query=QUERY) == "w1"
    assert invocation.parse_request_post({}, query=QUERY) is None
    assert invocation.parse_request_post({"wallet_metadata": "{}"}, query=QUERY) is None


@pytest.mark.parametrize(
    "form",
    [
        {"wallet_nonce": "w" * 1025},
        {"wallet_metadata": "not json"},
        {"wallet_metadata": "[]"},
        {"wallet_metadata": '{"a":1,"a":1}'},
        {"wallet_metadata": '{"vp_formats_supported":{"mso_mdoc":{}}}'},
    ],
)
def test_a_post_that_we_cannot_serve_is_an_invalid_request(form: dict[str, str]) -> None:
    """V-13: malformed JSON, no common format ⇒ 400."""
    with pytest.raises(InvalidRequest) as caught:
        invocation.parse_request_post(form, query=QUERY)
    assert caught.value.status == 400


def test_no_refusal_repeats_what_was_sent() -> None:
    """S-44: the log's text names the check only."""
    with pytest.raises(ProtocolError) as caught:
        verify(forged(nonce="Jane Doe"))
    assert "Jane" not in str(caught.value)


@pytest.mark.vectors
def test_the_printed_verifier_metadata_names_formats_as_we_do() -> None:
    """V-22; OpenID4VP 1.0, appendix B: names and types of the members."""
    printed = vector_json("openid4vp-1_0/client_metadata/sd_jwt_vc_verifier_metadata.json")
    ours = request.VP_FORMATS["dc+sd-jwt"]
    assert isinstance(ours, dict)
    assert printed["vp_formats_supported"]["dc+sd-jwt"].keys() == ours.keys()
    formats = printed["vp_formats_supported"]
    assert verify(forged(**metadata(vp_formats_supported=formats))).nonce
    for name in ("mso_mdoc", "w3c_jwt", "w3c_ldp"):
        other = vector_json(f"openid4vp-1_0/client_metadata/{name}_verifier_metadata.json")
        with pytest.raises(VpFormatsNotSupported):
            verify(forged(**metadata(**other)))
