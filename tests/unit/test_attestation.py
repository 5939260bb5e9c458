"""Wallet Attestation and PoP: ABCA draft -07; HAIP 4.4.1; PROFILE I-28 to I-32, W-22, T-01."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import to_numeric_date
from shared.errors import WrongNonce
from shared.jose import jws
from shared.oauth import attestation
from shared.oauth.errors import InvalidClient, UseAttestationChallenge, UseFreshAttestation
from shared.oauth.messages import NonceSource
from tests.support.certificates import Authority
from tests.support.clock import NOW, CountingBytes
from tests.support.vectors import vector_json

AS = "https://issuer.example/t1"
CLIENT = "https://wallet.example"
PROVIDER = Authority.make("Wallet Provider Root")
SIGNER = PROVIDER.signer(Profile.WALLET_PROVIDER)
INSTANCE = SoftwareKey.generate()
HOUR = timedelta(hours=1)


def attest(signer: SoftwareKey = SIGNER, **more: Any) -> str:
    expected: dict[str, Any] = {
        "client_id": CLIENT,
        "key": INSTANCE.public,
        "now": NOW,
        "lifetime": HOUR,
        **more,
    }
    return attestation.make_attestation(signer=signer, **expected)


def pop(**more: Any) -> str:
    return attestation.make_pop(
        **{"signer": INSTANCE, "client_id": CLIENT, "audience": AS, "now": NOW, **more}
    )


def signed(typ: str, claims: dict[str, Any], signer: SoftwareKey) -> str:
    return jws.sign_jwt({k: v for k, v in claims.items() if v is not None}, typ=typ, signer=signer)


def attestation_with(signer: SoftwareKey = SIGNER, typ: str = attestation.TYP, **more: Any) -> str:
    claims = {
        "iss": "https://provider.example",
        "sub": CLIENT,
        "exp": to_numeric_date(NOW + HOUR),
        "cnf": {"jwk": INSTANCE.public.to_jwk()},
        **more,
    }
    return signed(typ, claims, signer)


def pop_with(signer: SoftwareKey = INSTANCE, typ: str = attestation.POP_TYP, **more: Any) -> str:
    claims = {"iss": CLIENT, "aud": AS, "jti": "j", "iat": to_numeric_date(NOW), **more}
    return signed(typ, claims, signer)


def verify(
    attested: str | tuple[str, ...], proven: str | tuple[str, ...], **more: Any
) -> attestation.ClientAttestation:
    expected: dict[str, Any] = {
        "audience": AS,
        "client_id": CLIENT,
        "anchors": PROVIDER.anchors,
        "now": NOW,
        "challenges": None,
        **more,
    }
    return attestation.verify(
        (attested,) if isinstance(attested, str) else attested,
        (proven,) if isinstance(proven, str) else proven,
        **expected,
    )


def test_an_attested_client_is_authenticated() -> None:
    """I-30, I-31."""
    status = {"status_list": {"idx": 1, "uri": "https://provider.example/1"}}
    client = verify(
        attest(issuer="https://p.example", wallet_name="W", wallet_link="https://w", status=status),
        pop(),
    )
    assert client.client_id == CLIENT
    assert client.key == INSTANCE.public
    assert client.issued_at == NOW
    assert client.expires_at == NOW + HOUR
    assert client.status == status
    assert client.chain.leaf == SIGNER.certificates[0]


def test_the_attestation_says_nothing_of_the_instance_but_its_key() -> None:
    """W-22, S-40: the members, no more; x5c without the anchor."""
    made = jws.parse_jws(attest(), max_bytes=99999)
    assert set(json.loads(made.payload)) == {"sub", "iat", "exp", "cnf"}
    assert made.header["typ"] == "oauth-client-attestation+jwt"
    chain = made.header["x5c"]
    assert isinstance(chain, list)
    assert len(chain) == 1


def test_the_pop_says_what_the_suite_looks_for() -> None:
    """W-23; CERTIFICATION 2.3.2: one string as aud, a fresh jti, challenge only if given."""
    first, second = (jws.parse_jws(pop(challenge=c), max_bytes=9999) for c in (None, "c1"))
    claims = json.loads(first.payload)
    assert set(claims) == {"iss", "aud", "jti", "iat", "exp"}
    assert claims["aud"] == AS
    assert json.loads(second.payload)["challenge"] == "c1"
    assert json.loads(second.payload)["jti"] != claims["jti"]


def test_each_header_is_there_exactly_once() -> None:
    """I-29, T-01: no client attestation at all, or two."""
    bad: list[tuple[str | tuple[str, ...], str | tuple[str, ...]]] = [
        ((), pop()),
        (attest(), ()),
        ((attest(), attest()), pop()),
        (attest(), (pop(), pop())),
    ]
    for attested, proven in bad:
        with pytest.raises(InvalidClient):
            verify(attested, proven)


@pytest.mark.parametrize(
    "bad",
    [
        attestation_with(typ="JWT"),
        attestation_with(exp=to_numeric_date(NOW - timedelta(minutes=10))),
        attestation_with(exp=None),
        attestation_with(nbf=to_numeric_date(NOW + timedelta(minutes=10))),
        attestation_with(iat=to_numeric_date(NOW + timedelta(minutes=10))),
        attestation_with(sub=None),
        attestation_with(sub=""),
        attestation_with(sub=7),
        attestation_with(cnf=None),
        attestation_with(cnf={"jwk": {**INSTANCE.public.to_jwk(), "d": "AAAA"}}),
        attestation_with(cnf={"kid": "1"}),
        attestation_with(signer=SoftwareKey.generate()),
        attestation_with(signer=Authority.make("Stranger").signer(Profile.WALLET_PROVIDER)),
        attest()[:-4] + "AAAA",
        "nonsense",
    ],
)
def test_a_bad_attestation_is_an_invalid_client(bad: str) -> None:
    """I-30, T-01, C-07, C-21: typ, exp, sub, cnf, signature, chain."""
    with pytest.raises(InvalidClient):
        verify(bad, pop())


@pytest.mark.parametrize(
    "bad",
    [
        pop_with(typ="JWT"),
        pop_with(signer=SoftwareKey.generate()),
        pop_with(iss="https://other.example"),
        pop_with(aud=f"{AS}/par"),
        pop_with(aud=[AS]),
        pop_with(aud=None),
        pop_with(jti=None),
        pop_with(jti=""),
        pop_with(jti="x" * 257),
        pop_with(iat=None),
        pop_with(iat=to_numeric_date(NOW - timedelta(seconds=121))),
        pop_with(iat=to_numeric_date(NOW + timedelta(seconds=61))),
        pop()[:-4] + "AAAA",
        "nonsense",
    ],
)
def test_a_bad_pop_is_an_invalid_client(bad: str) -> None:
    """I-31, C-41, T-01: typ, key, iss, aud as endpoint or array, jti, iat, signature."""
    with pytest.raises(InvalidClient):
        verify(attest(), bad)


def test_members_that_drafts_dropped_may_be_absent() -> None:
    """N-50, I-30, I-31: no iss in the attestation or the PoP, no iat in the attestation."""
    client = verify(attestation_with(iss=None), pop_with(iss=None))
    assert client.client_id == CLIENT
    assert client.issued_at is None


@pytest.mark.parametrize("seconds", [-120, -10, 10, 60])
def test_a_pop_may_be_a_little_early_or_late(seconds: int) -> None:
    """C-40, C-41."""
    assert verify(attest(), pop(now=NOW + timedelta(seconds=seconds))).client_id == CLIENT


def test_client_id_in_the_request_is_the_attested_one() -> None:
    """I-32, I-55: another client's client_id; none is fine."""
    assert verify(attest(), pop(), client_id=None).client_id == CLIENT
    with pytest.raises(InvalidClient):
        verify(attest(), pop(), client_id="https://other.example")


def test_a_revoked_wallet_provider_is_refused() -> None:
    """C-22; DESIGN 4."""
    thumbprints = verify(attest(), pop()).chain.thumbprints
    with pytest.raises(InvalidClient):
        verify(attest(), pop(), revoked=thumbprints)


def challenges() -> NonceSource:
    def check(value: str) -> None:
        if value != "good":
            raise WrongNonce("challenge: not ours")

    return NonceSource(check=check, fresh=lambda: "next")


def test_a_demanded_challenge_is_asked_for_with_a_fresh_one() -> None:
    """I-32: missing, unknown or expired."""
    assert verify(attest(), pop(challenge="good"), challenges=challenges()).client_id == CLIENT
    for bad in (pop(), pop(challenge="old"), pop_with(challenge=1)):
        with pytest.raises(UseAttestationChallenge) as caught:
            verify(attest(), bad, challenges=challenges())
        assert caught.value.headers == {"OAuth-Client-Attestation-Challenge": "next"}


@pytest.mark.parametrize(
    ("name", "expected"), [("A Wallet", "A Wallet"), (7, None), ("", None), ("n" * 201, None)]
)
def test_the_name_of_the_wallet_is_for_people(name: Any, expected: str | None) -> None:
    """VCI, appendix E: what is no name is none; it decides nothing."""
    found = attestation.verify(
        [attestation_with(wallet_name=name)],
        [pop()],
        audience=AS,
        client_id=None,
        anchors=[PROVIDER.certificate],
        now=NOW,
        challenges=None,
    )
    assert found.wallet_name == expected


def test_an_old_attestation_has_to_be_renewed() -> None:
    """I-32: use_fresh_attestation; without iat its age cannot be known."""

    def at(now: datetime) -> str:
        return attest(now=now, lifetime=24 * HOUR)

    limit = {"max_age": 2 * HOUR}
    assert verify(at(NOW - 2 * HOUR), pop(), **limit).client_id == CLIENT
    for old in (at(NOW - 2 * HOUR - timedelta(seconds=1)), attestation_with()):
        with pytest.raises(UseFreshAttestation):
            verify(old, pop(), **limit)


def test_a_pop_is_recorded_under_one_name_for_its_key() -> None:
    """S-02, I-32: the same PoP twice gives the same name, every other another."""
    random_bytes = CountingBytes()
    first, second = pop(random_bytes=random_bytes), pop(random_bytes=random_bytes)
    assert verify(attest(), first).use == verify(attest(), first).use
    assert verify(attest(), first).use != verify(attest(), second).use


@pytest.mark.vectors
def test_the_printed_examples_have_the_members_we_read() -> None:
    """OpenID4VCI 1.0, appendix I.2; ABCA, section 5.1 (its PoP is stale: PROFILE 0)."""
    for path, member in [
        ("openid4vci-1_0/derived/wallet_attestation.json", "jwt"),
        ("attestation-based-client-auth/example.json", "client_attestation_jwt"),
    ]:
        parsed = jws.parse_jws(vector_json(path)[member], max_bytes=99999)
        assert parsed.header["typ"] == attestation.TYP
        assert {"sub", "exp", "cnf"} <= set(parsed.unverified_claims())


def test_a_ca_as_leaf_is_refused() -> None:
    """C-21: the example of OpenID4VCI, appendix I.2, is signed by a self-signed CA certificate."""
    root = PROVIDER.key.with_certificates((PROVIDER.certificate,))
    with pytest.raises(InvalidClient):
        verify(attestation_with(signer=root), pop())
