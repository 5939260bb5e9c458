"""SD-JWT VC, `dc+sd-jwt`: which claims it has, which may be withheld, whose key signed it.

The Issuer's key comes from `x5c` alone: `kid` URLs, `jku`, `x5u` and remote `cnf` keys are never
followed (C-11). Dates are rounded down to the UTC day (I-115).
Specification: SD-JWT VC draft 13, section 3; HAIP 1.0, section 6.1; PROFILE F-VC-01 to F-VC-05.
"""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import urlsplit

from cryptography import x509

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile, VerifiedChain
from ..encoding import JsonValue, RandomBytes, from_numeric_date, to_numeric_date
from ..errors import InvalidInput, Untrusted, WrongDigest, WrongHolder
from ..jose import jws
from . import kb_jwt, sd_jwt
from .claims_path import ClaimPath
from .kb_jwt import VerifiedKeyBinding
from .sd_jwt import SdJwt, VerifiedSdJwt
from .status_list import StatusReference, status_reference
from .values import Validity

TYP = "dc+sd-jwt"
FORMAT = "dc+sd-jwt"
NEVER_CONCEALED = frozenset(
    {"iss", "nbf", "exp", "cnf", "vct", "vct#integrity", "status"}
)  # F-VC-02
_TIMES = ("iat", "nbf", "exp")
RESERVED = NEVER_CONCEALED | {"iat", "aud"}
_MAX_VCT = 1024


def issue(
    claims: Mapping[str, JsonValue],
    *,
    vct: str,
    conceal: Collection[ClaimPath],
    holder: PublicKey | None,
    status: StatusReference | None,
    issued_at: datetime,
    expires_at: datetime | None,
    signer: Signer,
    vct_integrity: str | None = None,
    decoys: int = 0,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> str:
    """Sign *claims* about a person as an SD-JWT VC.

    Args:
        claims: what the credential says; no registered claim of the format (`sub` may be).
        vct: the type, compared exactly everywhere.
        conceal: what the Holder may withhold, as `TypeMetadata.conceal` gives it.
        holder: the key it is bound to (`cnf`); None for a credential anybody may show.
        status: its place in a status list.
        issued_at: becomes `iat` and `nbf`, rounded down to the UTC day.
        expires_at: becomes `exp`, rounded down, and never later than the signer's certificate ends.
        signer: with its certificates, which become `x5c`.
        vct_integrity: `vct#integrity`.
        decoys: see `sd_jwt.issue`.
        random_bytes: for the salts.

    Returns:
        `<Issuer-signed JWT>~<Disclosure>~…~`.

    Raises:
        InvalidInput: *claims* uses a name of the format, *conceal* leads nowhere, the signer has no
            certificate, or nothing limits the validity.

    Specification: SD-JWT VC, section 3.2; HAIP 1.0, section 6.1; PROFILE F-VC-01 to F-VC-03, I-110,
    I-115.
    """
    if not RESERVED.isdisjoint(claims):
        raise InvalidInput("SD-JWT VC: a claim has a name the format gives a meaning")
    if not signer.certificates:
        raise InvalidInput("SD-JWT VC: the signer has no certificate")
    if expires_at is None and status is None:
        raise InvalidInput("SD-JWT VC: neither exp nor status")
    day = _day(to_numeric_date(issued_at))
    payload: dict[str, JsonValue] = {"vct": vct, "iat": day, "nbf": day}
    if vct_integrity is not None:
        payload["vct#integrity"] = vct_integrity
    if expires_at is not None:
        end = _day(min(to_numeric_date(expires_at), _end_of(signer.certificates[0])))
        if end <= day:
            raise InvalidInput("SD-JWT VC: ends before it begins")
        payload["exp"] = end
    if holder is not None:
        payload["cnf"] = {"jwk": holder.to_jwk()}
    if status is not None:
        payload["status"] = status.to_claim()
    payload.update(claims)
    return sd_jwt.issue(
        payload,
        conceal=conceal,
        typ=TYP,
        signer=signer,
        decoys=decoys,
        random_bytes=random_bytes,
    )


def _day(seconds: int) -> int:
    """The beginning of the UTC day (I-115)."""
    return seconds - seconds % 86_400


@lru_cache(maxsize=256)
def _end_of(certificate: bytes) -> int:
    return to_numeric_date(x509.load_der_x509_certificate(certificate).not_valid_after_utc)


class VerifiedSdJwtVc(NamedTuple):
    """An SD-JWT VC whose signature, chain, claims and times were verified; not yet its status."""

    sd_jwt: VerifiedSdJwt
    vct: str
    chain: VerifiedChain
    holder: PublicKey | None
    """From `cnf`; None if it is bound to no key."""
    status: StatusReference | None
    validity: Validity

    @property
    def claims(self) -> dict[str, JsonValue]:
        """The processed payload, registered claims included."""
        return self.sd_jwt.claims


def verify(
    text: str | SdJwt,
    *,
    anchors: Collection[bytes],
    now: datetime,
    algorithms: Collection[str],
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
    typ: str | Collection[str] = TYP,
) -> VerifiedSdJwtVc:
    """Believe an SD-JWT VC for what its Issuer says; who shows it is `verify_presentation`'s.

    Args:
        text: the SD-JWT VC, or what `sd_jwt.parse` made of it; a KB-JWT is not looked at.
        anchors: of the role credential, best narrowed to the issuers of the expected type.
        now: aware.
        algorithms: what is accepted as `alg`.
        revoked: thumbprints of certificates no longer believed.
        pinned: leaf certificates believed without a path (tests and pilots).
        typ: also accept the old `vc+sd-jwt` by naming it; off by default (F-VC-01).

    Raises:
        Untrusted, WrongDigest, Expired, NotYetValid: what the name says.
        BadSignature: signature, `alg` or `typ`.
        InvalidInput: not an SD-JWT VC.

    Specification: SD-JWT VC, sections 3.4, 3.5; RFC 9901, section 7.1; PROFILE F-VC-01 to F-VC-04.
    """
    # 1. Separate the Issuer-signed JWT and the Disclosures.
    parsed = sd_jwt.parse(text) if isinstance(text, str) else text
    # 2. The Issuer's key from x5c, a path to an anchor of the role, the typ, the signature.
    jwt = jws.verify_x5c_jwt(
        parsed.issuer_jwt,
        typ=typ,
        algorithms=algorithms,
        anchors=anchors,
        profile=Profile.CREDENTIAL,
        now=now,
        revoked=revoked,
        pinned=pinned,
        max_bytes=sd_jwt.MAX_BYTES,
    )
    # 3. Disclosures and digests.
    verified = sd_jwt.process(parsed, jwt)
    claims = verified.claims
    # 4. What controls validity stands in the clear (F-VC-02).
    if not NEVER_CONCEALED.isdisjoint([path[0] for path, _ in verified.disclosed]):
        raise WrongDigest("SD-JWT VC: a claim that controls validity was selectively disclosable")
    # 5. The type, the Issuer's name, the key, the status reference have their shapes.
    vct = claims.get("vct")
    if not isinstance(vct, str) or not 1 <= len(vct) <= _MAX_VCT:
        raise InvalidInput("SD-JWT VC: vct is missing or no string")
    _check_issuer(claims.get("iss"), jwt.chain)
    holder = _holder(claims.get("cnf")) if "cnf" in claims else None
    status = status_reference(claims)
    # 6. It counts now.
    validity = Validity(
        *[from_numeric_date(claims[each]) if each in claims else None for each in _TIMES]
    )
    validity.check(now)
    return VerifiedSdJwtVc(verified, vct, jwt.chain, holder, status, validity)


def _check_issuer(issuer: JsonValue, chain: VerifiedChain) -> None:
    """F-VC-02: with `x5c` the Issuer is the leaf; an https `iss` must be one of its names."""
    if issuer is None:
        return
    if not isinstance(issuer, str):
        raise InvalidInput("SD-JWT VC: iss is not a string")
    if issuer.startswith("https://"):
        try:
            host = urlsplit(issuer).hostname
        except ValueError as error:
            raise InvalidInput("SD-JWT VC: iss is no URL") from error
        if host not in chain.dns_names and issuer not in chain.uris:
            raise Untrusted("SD-JWT VC: iss is not a name in the leaf certificate")


def _holder(cnf: JsonValue) -> PublicKey:
    if not isinstance(cnf, dict) or "jwk" not in cnf:
        raise InvalidInput("SD-JWT VC: cnf holds no jwk")
    return PublicKey.from_jwk(cnf["jwk"])


def verify_presentation(
    text: str,
    *,
    anchors: Collection[bytes],
    now: datetime,
    algorithms: Collection[str],
    audience: str,
    nonce: str,
    holder_binding: bool,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
) -> tuple[VerifiedSdJwtVc, VerifiedKeyBinding | None]:
    """Believe a presentation: the credential, and that its Holder shows it to us now.

    Args:
        text: `<JWT>~<D>~…~<KB-JWT>`.
        anchors: as in `verify`, with now, algorithms, revoked and pinned.
        now: see *anchors*.
        algorithms: see *anchors*.
        audience: our full Client Identifier, or "origin:" and our Origin.
        nonce: of this transaction.
        holder_binding: what our query demanded; never what arrived (HB-05).
        revoked: see *anchors*.
        pinned: see *anchors*.

    Returns:
        The credential; and the Holder's proof, None if none was demanded and none came.

    Raises:
        WrongHolder, WrongNonce, WrongAudience, WrongSdHash: the KB-JWT does not fit, or is missing.
        VerificationError, InvalidInput: as `verify`.

    Specification: RFC 9901, section 7.3; HAIP 1.0, section 6.1.1.1; PROFILE HB-04, HB-05.
    """
    # 3., 4. Split, and verify the SD-JWT.
    parsed = sd_jwt.parse(text)
    found = verify(
        parsed, anchors=anchors, now=now, algorithms=algorithms, revoked=revoked, pinned=pinned
    )
    # 1., 2., 5. Key binding, if our query demanded it; one that came anyway must be right too.
    if not holder_binding and parsed.kb_jwt is None:
        return found, None
    if found.holder is None:
        raise WrongHolder("SD-JWT VC: bound to no key")
    binding = kb_jwt.verify(
        parsed,
        key=found.holder,
        audience=audience,
        nonce=nonce,
        now=now,
        algorithms=algorithms,
        hash_algorithm=found.sd_jwt.hash_algorithm,
    )
    return found, binding
