"""`dc+sd-jwt` as one of the formats behind `credential`."""

from collections.abc import Collection, Mapping
from datetime import datetime

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile
from ..encoding import JsonValue, RandomBytes
from ..errors import InvalidInput
from . import sd_jwt, sd_jwt_vc
from .claims_path import ClaimPath, select
from .format import Words
from .status_list import StatusReference
from .type_metadata import TypeMetadata
from .values import Held, HolderProof, Presented, Received, Session, Trusted

_WORDS = Words(
    type_member="vct",
    signer=Profile.CREDENTIAL,
    binding_method="jwk",
    signing_algorithms=("ES256",),
    sd_hash=True,
    vp_formats={"sd-jwt_alg_values": ("ES256",), "kb-jwt_alg_values": ("ES256",)},
)


class _SdJwtVc:
    """SD-JWT VC."""

    words = _WORDS

    def check_type(self, metadata: TypeMetadata) -> None:
        if not metadata.vct.startswith("urn:"):
            raise InvalidInput("SD-JWT VC: vct is not a URN (I-14)")

    def check_claims(self, claims: Mapping[str, JsonValue], *, metadata: TypeMetadata) -> None:
        if not sd_jwt_vc.RESERVED.isdisjoint(claims):
            raise InvalidInput("SD-JWT VC: a claim has a name the format gives a meaning")
        metadata.conceal(claims)

    def issue(
        self,
        claims: Mapping[str, JsonValue],
        *,
        metadata: TypeMetadata,
        holder: PublicKey | None,
        status: StatusReference | None,
        issued_at: datetime,
        expires_at: datetime | None,
        signer: Signer,
        random_bytes: RandomBytes,
    ) -> str:
        return sd_jwt_vc.issue(
            claims,
            vct=metadata.vct,
            conceal=metadata.conceal(claims),
            holder=holder,
            status=status,
            issued_at=issued_at,
            expires_at=expires_at,
            signer=signer,
            random_bytes=random_bytes,
        )

    def receive(
        self, text: str, *, trusted: Trusted, now: datetime, algorithms: Collection[str]
    ) -> Received:
        parsed = sd_jwt.parse(text)
        if parsed.kb_jwt is not None:
            raise InvalidInput("SD-JWT VC: an Issuer sent a KB-JWT")  # F-SD-09
        found = sd_jwt_vc.verify(
            parsed,
            anchors=trusted.anchors,
            now=now,
            algorithms=algorithms,
            revoked=trusted.revoked,
            pinned=trusted.pinned,
        )
        held = Held(
            format=sd_jwt_vc.FORMAT,
            type=found.vct,
            claims=found.claims,
            signed=parsed.issuer_jwt,
            pieces=found.sd_jwt.disclosed,
            hash_algorithm=found.sd_jwt.hash_algorithm,
            authority_key_ids=found.chain.authority_key_ids,
            holder=found.holder,
            status=found.status,
            validity=found.validity,
        )
        return Received(held, found.chain)

    def present(
        self, held: Held, *, paths: Collection[ClaimPath], proof: HolderProof | None
    ) -> str:
        places = [place for path in paths for place, _ in select(held.claims, path)]
        presented = "~".join((held.signed, *sd_jwt.needed(held.pieces, places), ""))
        if held.holder is None:
            return presented
        if proof is None:
            raise InvalidInput("SD-JWT VC: bound to a key, so shown with a KB-JWT only")  # HB-04
        return presented + proof.kb_jwt(presented, hash_algorithm=held.hash_algorithm)

    def verify(
        self,
        text: str,
        *,
        session: Session,
        holder_binding: bool,
        trusted: Trusted,
        now: datetime,
        algorithms: Collection[str],
    ) -> Presented:
        found, binding = sd_jwt_vc.verify_presentation(
            text,
            anchors=trusted.anchors,
            now=now,
            algorithms=algorithms,
            audience=session.audience,
            nonce=session.nonce,
            holder_binding=holder_binding,
            revoked=trusted.revoked,
            pinned=trusted.pinned,
        )
        verified = found.sd_jwt
        return Presented(
            sd_jwt_vc.FORMAT,
            found.vct,
            verified.claims,
            verified.in_place,
            verified.disclosed,
            found.chain,
            binding is not None,
            found.status,
            found.validity,
            binding,
        )


SD_JWT_VC = _SdJwtVc()
