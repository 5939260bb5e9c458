"""shared/formats/sd_jwt_vc.py: the credential, its Issuer and its times."""

from datetime import timedelta
from typing import Any

import pytest

from shared.crypto.keys import PublicKey
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import b64url_decode, parse_json_object, to_numeric_date
from shared.errors import (
    BadSignature,
    Expired,
    InvalidInput,
    NotYetValid,
    Untrusted,
    WrongAudience,
    WrongDigest,
    WrongHolder,
    WrongNonce,
)
from shared.formats import kb_jwt, sd_jwt, sd_jwt_vc
from shared.formats.status_list import StatusReference
from shared.jose import jws
from tests.support.certificates import Authority
from tests.support.clock import NOW
from tests.support.credentials import (
    AUTHORITY,
    CLAIMS,
    ES256,
    IN_A_YEAR,
    ISSUER,
    MEMBERSHIP,
    SESSION,
    VCT,
    SessionProof,
    compact,
    disclosure,
)

HOLDER = SoftwareKey.generate()
STATUS = StatusReference(412, "https://club.example/statuslists/1")
TODAY = to_numeric_date(NOW.replace(hour=0))


def issued(claims: Any = None, **changes: Any) -> str:
    options: dict[str, Any] = {
        "vct": VCT,
        "conceal": MEMBERSHIP.conceal(CLAIMS) if claims is None else (),
        "holder": HOLDER.public,
        "status": STATUS,
        "issued_at": NOW,
        "expires_at": IN_A_YEAR,
        "signer": ISSUER,
    }
    return sd_jwt_vc.issue(CLAIMS if claims is None else claims, **{**options, **changes})


def handmade(*disclosures: str, typ: str = "dc+sd-jwt", signer: Any = ISSUER, **claims: Any) -> str:
    payload = {"vct": VCT, **claims}
    kept = {name: value for name, value in payload.items() if value is not ...}
    return compact(jws.sign_jwt(kept, typ=typ, signer=signer), *disclosures)


def verified(text: str, **changes: Any) -> sd_jwt_vc.VerifiedSdJwtVc:
    options: dict[str, Any] = {"anchors": AUTHORITY.anchors, "now": NOW, "algorithms": ES256}
    return sd_jwt_vc.verify(text, **{**options, **changes})


# --------------------------------------------------------------------- issuing


def test_header_and_claims_are_those_of_the_profile() -> None:
    """F-VC-01, F-VC-02, C-21, CERTIFICATION 2.2.7: SD-JWT VC, section 3.2; HAIP, section 6.1."""
    head, body, _ = issued().split("~")[0].split(".")
    header = parse_json_object(b64url_decode(head), max_bytes=10_000)
    assert set(header) == {"alg", "typ", "x5c"}
    assert (header["alg"], header["typ"]) == ("ES256", "dc+sd-jwt")
    assert isinstance(header["x5c"], list)
    assert len(header["x5c"]) == 1
    claims = parse_json_object(b64url_decode(body), max_bytes=10_000)
    assert claims["vct"] == VCT
    assert claims["cnf"] == {"jwk": HOLDER.public.to_jwk()}
    assert claims["status"] == {"status_list": {"idx": 412, "uri": STATUS.uri}}
    assert "iss" not in claims


def test_dates_are_rounded_down_to_the_utc_day() -> None:
    """I-115, F-VC-02, C-42, CERTIFICATION 2.2.7: they must not fingerprint."""
    claims = verified(issued()).claims
    assert claims["iat"] == claims["nbf"] == TODAY
    assert isinstance(claims["exp"], int)
    assert claims["exp"] % 86_400 == 0
    assert claims["exp"] <= to_numeric_date(IN_A_YEAR)


def test_no_credential_outlives_its_signers_certificate() -> None:
    """I-110: not longer than the signer certificate."""
    found = verified(issued(expires_at=NOW + timedelta(days=4000)))
    leaf_ends = verified(issued()).chain.not_after
    assert found.validity.expires_at is not None
    assert leaf_ends - timedelta(days=1) < found.validity.expires_at <= leaf_ends


def test_a_credential_without_withheld_claims_has_no_sd() -> None:
    """F-VC-03: SD-JWT VC, section 3.2.2.4."""
    text = issued({"level": 3})
    assert text.count("~") == 1
    claims = parse_json_object(b64url_decode(text.split(".")[1]), max_bytes=10_000)
    assert {"_sd", "_sd_alg"}.isdisjoint(claims)


@pytest.mark.parametrize(
    "name", ["vct", "iss", "iat", "nbf", "exp", "cnf", "status", "vct#integrity", "aud"]
)
def test_claims_cannot_set_what_the_format_sets(name: str) -> None:
    """F-VC-02: a register cannot overwrite the type, the key or the times."""
    with pytest.raises(InvalidInput):
        issued({name: 1})


def test_nothing_unlimited_and_nothing_already_over_is_issued() -> None:
    """I-110, F-VC-02: HAIP 1.0, section 6.1: exp, status or both."""
    assert "exp" not in verified(issued(expires_at=None)).claims
    assert "status" not in verified(issued(status=None)).claims
    for changes in ({"expires_at": None, "status": None}, {"expires_at": NOW}):
        with pytest.raises(InvalidInput):
            issued(**changes)


def test_a_signer_without_certificates_cannot_issue() -> None:
    """F-VC-01, F-VC-04: HAIP 1.0, section 6.1.1: x5c is required."""
    with pytest.raises(InvalidInput):
        issued(signer=SoftwareKey.generate())


def test_the_integrity_of_the_type_may_be_named() -> None:
    """F-VC-02: `vct#integrity`."""
    assert verified(issued(vct_integrity="sha256-AAAA")).claims["vct#integrity"] == "sha256-AAAA"


def test_decoys_hide_how_many_claims_there_are() -> None:
    """F-SD-06: RFC 9901, section 4.2.5."""
    claims = parse_json_object(b64url_decode(issued(decoys=5).split(".")[1]), max_bytes=10_000)
    assert isinstance(claims["_sd"], list)
    assert len(claims["_sd"]) == 4 + 5


# ------------------------------------------------------------------- verifying


def test_what_is_issued_verifies() -> None:
    """F-VC-01, F-VC-02, F-VC-04: everything a decision needs comes out typed."""
    found = verified(issued())
    assert {name: found.claims[name] for name in CLAIMS} == CLAIMS
    assert (found.vct, found.holder, found.status) == (VCT, HOLDER.public, STATUS)
    assert found.chain.leaf == ISSUER.certificates[0]
    assert found.validity.issued_at == NOW.replace(hour=0)


def test_minimal_claims_are_enough() -> None:
    """F-VC-02, C-08, T-30: iss, iat, nbf, exp, cnf, status are optional; unknown claims ignored."""
    found = verified(handmade(unknown={"deep": [1]}))
    assert (found.holder, found.status, found.validity.expires_at) == (None, None, None)
    bare = HOLDER.public.to_jwk()
    assert verified(handmade(cnf={"jwk": bare})).holder == HOLDER.public


@pytest.mark.parametrize("vct", [..., None, 1, ["urn:x"], "", "x" * 1025])
def test_a_credential_without_a_type_is_refused(vct: Any) -> None:
    """F-VC-02: vct is REQUIRED and a string."""
    with pytest.raises(InvalidInput):
        verified(handmade(vct=vct))


@pytest.mark.parametrize("name", ["iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "status"])
def test_what_controls_validity_may_not_be_withheld(name: str) -> None:
    """F-VC-02: SD-JWT VC, section 3.2.2.2; RFC 9901, section 9.7."""
    values = {
        "iss": "urn:club",
        "nbf": 1,
        "exp": to_numeric_date(IN_A_YEAR),
        "cnf": {"jwk": HOLDER.public.to_jwk()},
        "vct": VCT,
        "vct#integrity": "sha256-AAAA",
        "status": STATUS.to_claim(),
    }
    hidden = disclosure("salt", name, values[name])
    changes: dict[str, Any] = {name: ...}
    with pytest.raises(WrongDigest):
        verified(handmade(hidden, _sd=[sd_jwt.digest(hidden)], **changes))


def test_nor_any_part_of_it() -> None:
    """F-VC-02, N-31: the parts of cnf and status neither."""
    hidden = disclosure("salt", "jwk", HOLDER.public.to_jwk())
    with pytest.raises(WrongDigest):
        verified(handmade(hidden, cnf={"_sd": [sd_jwt.digest(hidden)]}))


@pytest.mark.parametrize("name", ["sub", "iat"])
def test_sub_and_iat_may_be_withheld(name: str) -> None:
    """F-VC-02: SD-JWT VC, section 3.2.2.2."""
    hidden = disclosure("salt", name, TODAY)
    assert verified(handmade(hidden, _sd=[sd_jwt.digest(hidden)])).claims[name] == TODAY


@pytest.mark.parametrize(
    "changes",
    [
        {"cnf": {}},
        {"cnf": "key"},
        {"cnf": {"kid": "https://wallet.example/key"}},
        {"cnf": {"jwk": {"kty": "RSA"}}},
        {"cnf": {"jwk": {**HOLDER.public.to_jwk(), "d": "AA"}}},
        {"status": {}},
        {"status": {"status_list": {"idx": -1, "uri": "https://a"}}},
        {"iss": 1},
        {"iss": "https://[club"},
        {"exp": "soon"},
        {"exp": 1.5},
        {"nbf": True},
    ],
)
def test_claims_of_another_shape_are_refused(changes: Any) -> None:
    """F-VC-02, C-07, C-11, C-42, ST-30: remote key references and private members too."""
    with pytest.raises(InvalidInput):
        verified(handmade(**changes))


def test_an_https_issuer_must_be_a_name_in_the_leaf() -> None:
    """F-VC-02, V-62: compared with the certificate, never believed alone."""
    assert verified(handmade(iss="https://club.example/tenant"))
    assert verified(handmade(iss="urn:club"))
    for other in ("https://other.example", "https://club.example.evil.example"):
        with pytest.raises(Untrusted):
            verified(handmade(iss=other))


def test_expiry_has_thirty_seconds_of_leeway() -> None:
    """C-40, ST-50: RFC 9901, section 7.1, step 6."""
    assert verified(handmade(exp=to_numeric_date(NOW) - 29))
    with pytest.raises(Expired):
        verified(handmade(exp=to_numeric_date(NOW) - 30))


def test_a_credential_before_its_beginning_is_refused() -> None:
    """C-40: nbf with leeway; iat no more than a minute ahead."""
    assert verified(handmade(nbf=to_numeric_date(NOW) + 30, iat=to_numeric_date(NOW) + 60))
    with pytest.raises(NotYetValid):
        verified(handmade(nbf=to_numeric_date(NOW) + 31))
    with pytest.raises(NotYetValid):
        verified(handmade(iat=to_numeric_date(NOW) + 61))


def test_only_the_registered_typ_is_accepted_unless_another_is_named() -> None:
    """F-VC-01, S-04: `vc+sd-jwt` only behind a switch."""
    old = handmade(typ="vc+sd-jwt")
    assert verified(old, typ=("dc+sd-jwt", "vc+sd-jwt"))
    for text in (old, handmade(typ="JWT"), handmade(typ="kb+jwt")):
        with pytest.raises(BadSignature):
            verified(text)


def test_the_issuers_key_comes_from_a_chain_to_an_anchor_and_nowhere_else() -> None:
    """F-VC-04, C-11, C-21, C-22: SD-JWT VC, section 3.5; HAIP 1.0, section 6.1.1."""
    with pytest.raises(Untrusted):
        verified(issued(), anchors=Authority.make("Other Root").anchors)
    with pytest.raises(Untrusted):
        verified(issued(), anchors=frozenset())
    bare = jws.sign_jwt(
        {"vct": VCT}, typ="dc+sd-jwt", signer=HOLDER, header={"jwk": HOLDER.public.to_jwk()}
    )
    with pytest.raises(InvalidInput):
        verified(bare + "~")


def test_a_certificate_of_another_key_does_not_help() -> None:
    """F-VC-04: the leaf's key is the one that verifies."""
    thief = SoftwareKey.generate().with_certificates(ISSUER.certificates)
    with pytest.raises(BadSignature):
        verified(issued(signer=thief))


def test_a_revoked_certificate_is_refused_and_a_pinned_leaf_believed() -> None:
    """C-22, DESIGN 4: revoked thumbprints; pinned leaves for tests and pilots."""
    chain = verified(issued()).chain
    with pytest.raises(Untrusted):
        verified(issued(), revoked=chain.thumbprints)
    pinned = frozenset(ISSUER.certificates)
    assert verified(issued(), anchors=frozenset(), pinned=pinned).chain.pinned


def test_a_status_signer_is_refused_by_its_anchor_not_by_its_name() -> None:
    """C-22, C-23: anchors are kept apart by role."""
    status_root = Authority.make("Status Root")
    signer = status_root.signer(Profile.STATUS, subject="Club", dns=["club.example"])
    with pytest.raises(Untrusted):
        verified(issued(signer=signer))


# ---------------------------------------------------------------- presentations


def presented(text: str | None = None, proof: SessionProof | None = None) -> str:
    parsed = sd_jwt.parse(text or issued())
    signer = proof or SessionProof(HOLDER)
    return parsed.presented + signer.kb_jwt(parsed.presented, hash_algorithm="sha-256")


def check(
    text: str, **changes: Any
) -> tuple[sd_jwt_vc.VerifiedSdJwtVc, kb_jwt.VerifiedKeyBinding | None]:
    options: dict[str, Any] = {
        "anchors": AUTHORITY.anchors,
        "now": NOW,
        "algorithms": ES256,
        "audience": SESSION.audience,
        "nonce": SESSION.nonce,
        "holder_binding": True,
    }
    return sd_jwt_vc.verify_presentation(text, **{**options, **changes})


def test_a_presentation_verifies_for_its_session() -> None:
    """HB-03, HB-04, HB-05: RFC 9901, section 7.3."""
    _, binding = check(presented())
    assert binding is not None
    assert binding.issued_at == NOW
    with pytest.raises(WrongNonce):
        check(presented(), nonce="another")
    with pytest.raises(WrongAudience):
        check(presented(), audience="origin:https://verifier.example")


def test_key_binding_is_demanded_by_the_query_not_offered_by_the_sender() -> None:
    """HB-04, HB-05: RFC 9901, section 7.3, steps 1 and 2."""
    with pytest.raises(WrongHolder):
        check(issued())
    with pytest.raises(WrongHolder):
        check(issued(holder=None))
    with pytest.raises(WrongHolder):
        check(presented(issued(holder=None)))


def test_without_demand_none_is_needed_but_one_that_came_must_be_right() -> None:
    """HB-05, V-64."""
    assert check(issued(), holder_binding=False)[1] is None
    assert check(presented(), holder_binding=False)[1] is not None
    with pytest.raises(WrongNonce):
        check(presented(), holder_binding=False, nonce="another")


def test_only_the_key_in_cnf_can_present() -> None:
    """HB-05, T-30: RFC 9901, section 7.3, step 5.1."""
    with pytest.raises(WrongHolder):
        check(presented(proof=SessionProof(SoftwareKey.generate())))


def test_the_issuer_is_checked_before_the_holder() -> None:
    """V-60: an untrusted credential is untrusted, whoever shows it."""
    with pytest.raises(Untrusted):
        check(presented(), anchors=frozenset(), nonce="another")


def test_an_expired_credential_is_not_saved_by_its_holder() -> None:
    """V-60, ST-50."""
    with pytest.raises(Expired):
        check(presented(), now=NOW + timedelta(days=301))


def test_sd_hash_follows_the_credentials_hash_algorithm() -> None:
    """HB-02, C-02: sha-512 on input."""
    hidden = disclosure("salt", "a", 1)
    text = handmade(
        hidden,
        _sd_alg="sha-512",
        _sd=[sd_jwt.digest(hidden, "sha-512")],
        cnf={"jwk": HOLDER.public.to_jwk()},
    )
    proof = kb_jwt.make(
        text,
        signer=HOLDER,
        audience=SESSION.audience,
        nonce=SESSION.nonce,
        now=NOW,
        hash_algorithm="sha-512",
    )
    assert check(text + proof)[0].claims["a"] == 1


def test_public_keys_in_cnf_may_carry_other_members() -> None:
    """C-08: kid, use and alg are neither needed nor minded."""
    jwk = {**HOLDER.public.to_jwk(), "kid": "k", "use": "sig", "alg": "ES256"}
    assert verified(handmade(cnf={"jwk": jwk})).holder == PublicKey.from_jwk(jwk)
