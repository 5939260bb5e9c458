"""Key proofs and key attestations: OpenID4VCI 1.0, appendices D and F; PROFILE I-67 to I-70."""

import hashlib
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import from_numeric_date, to_numeric_date
from shared.errors import InvalidInput, WrongNonce
from shared.jose import jws
from shared.oid4vci import key_attestation, proofs
from shared.oid4vci.errors import InvalidCredentialRequest, InvalidNonce, InvalidProof
from shared.oid4vci.messages import Proofs
from shared.oid4vci.metadata import ProofType
from shared.oid4vci.proofs import Proven
from tests.support.certificates import Authority, certificate
from tests.support.clock import NOW
from tests.support.vectors import vector_json

ISSUER = "https://issuer.example/t1"
CLIENT = "https://wallet.example"
PROVIDER = Authority.make("Wallet Provider Root")
SIGNER = PROVIDER.signer(Profile.WALLET_PROVIDER)
KEYS = [SoftwareKey.generate() for _ in range(3)]
PLAIN = ProofType(proof_signing_alg_values_supported=("ES256",))
ATTESTED = ProofType.from_object(
    {
        "proof_signing_alg_values_supported": ["ES256"],
        "key_attestations_required": {
            "key_storage": ["iso_18045_high", "iso_18045_moderate"],
            "user_authentication": ["iso_18045_high"],
        },
    }
)


def check_nonce(value: str) -> bytes:
    if not value.startswith("good"):
        raise WrongNonce("c_nonce: not ours")
    return hashlib.sha256(value.encode()).digest()


def use(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def prove(key: SoftwareKey = KEYS[0], **more: Any) -> str:
    return proofs.make_jwt_proof(
        **{"signer": key, "audience": ISSUER, "nonce": "good", "now": NOW, **more}
    )


def forged(
    key: SoftwareKey = KEYS[0],
    typ: str = proofs.TYP,
    header: dict[str, Any] | None = None,
    **claims: Any,
) -> str:
    """A proof with these changes; None takes a member away."""
    good = {"aud": ISSUER, "iat": to_numeric_date(NOW), "nonce": "good", **claims}
    head = {"jwk": key.public.to_jwk()} if header is None else header
    return jws.sign_jwt(
        {name: value for name, value in good.items() if value is not None},
        typ=typ,
        signer=key,
        header=head,
    )


def attest(*keys: SoftwareKey, signer: SoftwareKey = SIGNER, **more: Any) -> str:
    expected: dict[str, Any] = {
        "keys": [key.public for key in keys or KEYS],
        "nonce": "good",
        "now": NOW,
        "lifetime": timedelta(hours=1),
        "key_storage": ["iso_18045_moderate"],
        "user_authentication": ["iso_18045_high", "https://levels.example/own"],
        **more,
    }
    return key_attestation.make(signer=signer, **expected)


def forged_attestation(signer: SoftwareKey = SIGNER, typ: str | None = None, **claims: Any) -> str:
    good = {
        "iat": to_numeric_date(NOW),
        "exp": to_numeric_date(NOW) + 60,
        "attested_keys": [key.public.to_jwk() for key in KEYS],
        "nonce": "good",
        "key_storage": ["iso_18045_high"],
        "user_authentication": ["iso_18045_high"],
        **claims,
    }
    return jws.sign_jwt(
        {name: value for name, value in good.items() if value is not None},
        typ=typ or key_attestation.TYP,
        signer=signer,
    )


def verify(*tokens: str, kind: str = "jwt", accept: Any = None, **more: Any) -> Proven:
    expected: dict[str, Any] = {
        "audience": ISSUER,
        "client_id": CLIENT,
        "check_nonce": check_nonce,
        "accept": {"jwt": PLAIN, "attestation": PLAIN} if accept is None else accept,
        "max_keys": 20,
        "anchors": PROVIDER.anchors,
        "now": NOW,
        **more,
    }
    given = Proofs.from_object({kind: list(tokens)}) if tokens else None
    return proofs.verify(given, **expected)


def test_each_proof_proves_its_key() -> None:
    """I-68, I-70, W-32: one nonce for all of them is used once."""
    proven = verify(*(prove(key, client_id=CLIENT) for key in KEYS))
    assert proven.keys == tuple(key.public for key in KEYS)
    assert proven.nonce_uses == (use("good"),)
    assert proven.attestations == ()


def test_different_good_nonces_are_all_to_be_used_up() -> None:
    """I-61, I-68."""
    proven = verify(prove(KEYS[0], nonce="good1"), prove(KEYS[1], nonce="good2"))
    assert proven.nonce_uses == (use("good1"), use("good2"))


def test_a_configuration_without_binding_needs_no_proof() -> None:
    """I-67, I-05."""
    expected: dict[str, Any] = {
        "audience": ISSUER,
        "client_id": CLIENT,
        "check_nonce": check_nonce,
        "accept": None,
        "max_keys": 1,
        "anchors": PROVIDER.anchors,
        "now": NOW,
    }
    assert proofs.verify(None, **expected).keys == ()
    assert proofs.verify(Proofs(jwt=("nonsense",)), **expected).keys == ()


def test_missing_proofs_are_an_invalid_proof() -> None:
    """I-67, T-05; CERTIFICATION 1.3."""
    with pytest.raises(InvalidProof):
        verify()


def test_a_proof_type_that_is_not_listed_is_an_invalid_proof() -> None:
    """I-67, I-71: `di_vp` is off."""
    with pytest.raises(InvalidProof):
        verify(prove(), accept={"attestation": PLAIN})
    with pytest.raises(InvalidProof):
        verify(attest(), kind="attestation", accept={"jwt": PLAIN})
    given = Proofs.from_object({"di_vp": [{"type": ["VerifiablePresentation"]}]})
    with pytest.raises(InvalidProof):
        proofs.verify(
            given,
            audience=ISSUER,
            client_id=CLIENT,
            check_nonce=check_nonce,
            accept={"jwt": PLAIN},
            max_keys=1,
            anchors=PROVIDER.anchors,
            now=NOW,
        )


@pytest.mark.parametrize(
    "bad",
    [
        forged(typ="JWT"),
        forged(typ="dpop+jwt"),
        forged(aud=None),
        forged(aud=f"{ISSUER}/credential"),
        forged(aud=[ISSUER]),
        forged(aud=f"{ISSUER}/"),
        forged(iat=None),
        forged(iat="now"),
        forged(iat=to_numeric_date(NOW) - 301),
        forged(iat=to_numeric_date(NOW) + 61),
        forged(nonce=None),
        forged(nonce=5),
        forged(iss="https://other.example"),
        forged(header={}),
        forged(header={"jwk": KEYS[0].public.to_jwk(), "kid": "0"}),
        forged(header={"jwk": {**KEYS[0].public.to_jwk(), "d": "AAAA"}}),
        forged(header={"jwk": KEYS[1].public.to_jwk()}),
        forged(header={"kid": "did:example:1#1"}),
        forged(header={"x5c": ["AAAA"]}),
        forged(header={"jwk": KEYS[0].public.to_jwk(), "key_attestation": 5}),
        prove()[:-4] + "AAAA",
        "nonsense",
    ],
)
def test_a_bad_proof_is_an_invalid_proof(bad: str) -> None:
    """I-68, T-05, C-07, C-41: typ, aud, iat, nonce missing, iss, key, signature."""
    with pytest.raises(InvalidProof):
        verify(bad)


def test_one_bad_proof_fails_all() -> None:
    """I-68."""
    with pytest.raises(InvalidProof):
        verify(prove(KEYS[0]), prove(KEYS[1])[:-4] + "AAAA")


@pytest.mark.parametrize("seconds", [-300, -10, 10, 60])
def test_a_proof_may_be_a_little_early_or_late(seconds: int) -> None:
    """C-40, C-41."""
    assert verify(prove(now=NOW + timedelta(seconds=seconds))).keys == (KEYS[0].public,)


def test_a_nonce_that_is_not_good_has_its_own_code() -> None:
    """I-95, W-31; CERTIFICATION 1.3: invalid_nonce, for every one of them."""
    for tokens in ((prove(nonce="old"),), (prove(KEYS[0]), prove(KEYS[1], nonce="old"))):
        with pytest.raises(InvalidNonce):
            verify(*tokens)


def test_anonymous_access_has_no_iss() -> None:
    """I-68: must be absent for anonymous pre-authorized access, may be absent otherwise."""
    assert verify(prove(), client_id=None).keys
    with pytest.raises(InvalidProof):
        verify(prove(client_id=CLIENT), client_id=None)


def test_an_algorithm_that_is_not_listed_is_refused() -> None:
    """I-67, C-03."""
    other = ProofType(proof_signing_alg_values_supported=("ES384",))
    with pytest.raises(InvalidProof):
        verify(prove(), accept={"jwt": other})


def test_more_keys_than_the_batch_size_are_an_invalid_request() -> None:
    """I-67: (P) more is refused, with and without key attestation."""
    assert len(verify(prove(KEYS[0]), prove(KEYS[1]), max_keys=2).keys) == 2
    with pytest.raises(InvalidCredentialRequest):
        verify(prove(KEYS[0]), prove(KEYS[1]), max_keys=1)
    with pytest.raises(InvalidCredentialRequest):
        verify(attest(), kind="attestation", max_keys=2)


def test_a_key_is_proven_once() -> None:
    """I-70: duplicates in the request."""
    with pytest.raises(InvalidProof):
        verify(prove(KEYS[0]), prove(KEYS[0], nonce="good2"))


def test_a_certificate_may_carry_the_key() -> None:
    """I-68: x5c instead of jwk; the chain proves nothing but the key."""
    signer = Authority.make().signer(Profile.CREDENTIAL, key=KEYS[0])
    assert verify(forged(signer, header={"more": 1})).keys == (KEYS[0].public,)
    with pytest.raises(InvalidProof):
        verify(forged(signer))  # jwk and x5c


def test_a_certificate_with_another_kind_of_key_proves_nothing() -> None:
    """I-68, C-01: on another curve, of another kind, or of none that can be read."""
    issuer = SoftwareKey.generate()
    for public in (
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        ed25519.Ed25519PrivateKey.generate().public_key(),
    ):
        leaf = KEYS[0].with_certificates((certificate("leaf", public, "root", issuer),))
        with pytest.raises(InvalidProof):
            verify(forged(leaf, header={"more": 1}))
    good = certificate("leaf", KEYS[0], "root", issuer)
    spki = KEYS[0].public.to_crypto().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    off_curve = good.replace(spki, spki[:-1] + bytes([spki[-1] ^ 1]))
    with pytest.raises(InvalidProof):
        verify(forged(KEYS[0].with_certificates((off_curve,)), header={"more": 1}))


def test_a_key_attestation_brings_all_its_keys() -> None:
    """I-69, I-70, W-33: one credential for each attested key."""
    attestation = attest(status={"status_list": {"idx": 3, "uri": "https://p.example/1"}})
    proven = verify(prove(KEYS[1], key_attestation=attestation), accept={"jwt": ATTESTED})
    assert proven.keys == tuple(key.public for key in KEYS)
    assert proven.nonce_uses == (use("good"),)
    (found,) = proven.attestations
    assert found.key_storage == ("iso_18045_moderate",)
    assert found.status == {"status_list": {"idx": 3, "uri": "https://p.example/1"}}
    assert found.chain.leaf == SIGNER.certificates[0]
    assert found.expires_at == NOW + timedelta(hours=1)


def test_one_attestation_may_stand_in_several_proofs() -> None:
    """I-70: no key gets two credentials."""
    attestation = attest()
    tokens = [prove(key, key_attestation=attestation) for key in KEYS]
    assert verify(*tokens, accept={"jwt": ATTESTED}).keys == tuple(key.public for key in KEYS)


def test_kid_may_name_an_attested_key() -> None:
    """I-69: by its own kid, or by its decimal index."""
    jwks: list[Any] = [key.public.to_jwk() for key in KEYS]
    jwks[2]["kid"] = "mine"
    attestation = forged_attestation(attested_keys=jwks)
    for key, kid in ((KEYS[0], "0"), (KEYS[2], "mine"), (KEYS[2], "2")):
        token = forged(key, header={"kid": kid, "key_attestation": attestation})
        assert len(verify(token).keys) == 3
    jwks[1]["kid"] = "mine"
    ambiguous = forged_attestation(attested_keys=jwks)
    bad: list[tuple[SoftwareKey, object, str]] = [
        (KEYS[0], "3", attestation),
        (KEYS[0], "1", attestation),
        (KEYS[0], "x", attestation),
        (KEYS[0], 0, attestation),
        (KEYS[2], "mine", ambiguous),
    ]
    for key, name, attested in bad:
        with pytest.raises(InvalidProof):
            verify(forged(key, header={"kid": name, "key_attestation": attested}))


def test_the_proof_key_is_one_of_the_attested() -> None:
    """I-69; OpenID4VCI 1.0, appendix D.1."""
    with pytest.raises(InvalidProof):
        verify(prove(KEYS[0], key_attestation=attest(KEYS[1], KEYS[2])))


@pytest.mark.parametrize(
    "bad",
    [
        attest()[:-4] + "AAAA",
        attest(signer=SoftwareKey.generate()),
        attest(signer=Authority.make("Stranger").signer(Profile.WALLET_PROVIDER)),
        attest(nonce=None),
        attest(key_storage=["iso_18045_basic"]),
        attest(key_storage=[]),
        attest(user_authentication=["iso_18045_moderate"]),
        forged_attestation(typ="JWT"),
        forged_attestation(iat=None),
        forged_attestation(iat=to_numeric_date(NOW) + 3600),
        forged_attestation(exp=to_numeric_date(NOW) - 3600),
        forged_attestation(attested_keys=None),
        forged_attestation(attested_keys=[]),
        forged_attestation(attested_keys=[KEYS[0].public.to_jwk(), KEYS[0].public.to_jwk()]),
        forged_attestation(attested_keys=[{**KEYS[0].public.to_jwk(), "d": "AAAA"}]),
        forged_attestation(attested_keys=["x"]),
        forged_attestation(nonce=5),
        forged_attestation(key_storage="iso_18045_high"),
        forged_attestation(key_storage=[]),
        forged_attestation(user_authentication=[5]),
        "nonsense",
    ],
)
def test_a_bad_key_attestation_is_an_invalid_proof(bad: str) -> None:
    """I-69, T-05, C-21: in either place."""
    accept = {"jwt": ATTESTED, "attestation": ATTESTED}
    with pytest.raises(InvalidProof):
        verify(prove(key_attestation=bad), accept=accept)
    with pytest.raises(InvalidProof):
        verify(bad, kind="attestation", accept=accept)


def test_a_required_key_attestation_must_be_there() -> None:
    """I-69, I-05: `{}` demands one of any resistance."""
    any_level = ProofType.from_object(
        {"proof_signing_alg_values_supported": ["ES256"], "key_attestations_required": {}}
    )
    for accept in (ATTESTED, any_level):
        with pytest.raises(InvalidProof):
            verify(prove(), accept={"jwt": accept})
    weak = attest(key_storage=[], user_authentication=[])
    assert verify(prove(key_attestation=weak), accept={"jwt": any_level}).keys


def test_beside_a_proof_the_attestation_expires() -> None:
    """I-69: exp is required with the jwt proof, optional alone."""
    endless = forged_attestation(exp=None)
    assert verify(endless, kind="attestation").attestations[0].expires_at is None
    with pytest.raises(InvalidProof):
        verify(prove(key_attestation=endless))


def test_an_attestation_alone_proves_its_keys() -> None:
    """I-69, W-33: its nonce is a c_nonce."""
    proven = verify(attest(nonce="good7"), kind="attestation", accept={"attestation": ATTESTED})
    assert proven.keys == tuple(key.public for key in KEYS)
    assert proven.nonce_uses == (use("good7"),)
    with pytest.raises(InvalidNonce):
        verify(attest(nonce="old"), kind="attestation")
    with pytest.raises(InvalidNonce):
        verify(prove(key_attestation=attest(nonce="old")))


def test_a_revoked_wallet_provider_is_refused() -> None:
    """C-22; DESIGN 4."""
    (found,) = verify(attest(), kind="attestation").attestations
    with pytest.raises(InvalidProof):
        verify(attest(), kind="attestation", revoked=found.chain.thumbprints)


def test_levels_that_are_not_required_are_not_asked_for() -> None:
    """I-69."""
    attestation = key_attestation.verify(
        attest(), anchors=PROVIDER.anchors, algorithms=("ES256",), now=NOW
    )
    key_attestation.check_levels(attestation, None)
    with pytest.raises(InvalidInput):
        key_attestation.check_levels(
            attestation,
            ATTESTED.key_attestations_required.model_copy(
                update={"key_storage": ("iso_18045_high",)}
            )
            if ATTESTED.key_attestations_required
            else None,
        )


@pytest.mark.vectors
def test_the_printed_proof_verifies() -> None:
    """OpenID4VCI 1.0, appendix F.1."""
    vector = vector_json("openid4vci-1_0/derived/jwt_proof.json")
    proven = verify(
        vector["jwt"],
        audience="https://credential-issuer.example.com",
        now=from_numeric_date(vector["claims"]["iat"]),
        check_nonce=lambda value: value.encode(),
    )
    assert proven.nonce_uses == (b"LarRGSbmUPYtRYO6BQ4yn8",)
    assert [key.to_jwk() for key in proven.keys] == [vector["header"]["jwk"]]
