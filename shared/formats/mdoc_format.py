"""`mso_mdoc` as one of the formats behind `credential`.

Claims are elements by namespace; a piece that can be shown or withheld is one element, kept as
base64url of the bytes that were hashed.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import Profile
from ..encoding import JsonValue, RandomBytes, b64url_decode, b64url_encode
from ..errors import ExpectedError, InvalidInput
from . import cbor, cose, device_response, mdoc
from .claims_path import ClaimPath, ConcretePath, select
from .format import Words
from .status_list import StatusReference
from .type_metadata import TypeMetadata
from .values import Held, HolderProof, Presented, Received, Session, Trusted

_WORDS = Words(
    type_member="doctype",
    signer=Profile.MDOC_SIGNER,
    binding_method="cose_key",
    signing_algorithms=(-7, -9),
    sd_hash=False,
    vp_formats={"issuerauth_alg_values": (-7, -9), "deviceauth_alg_values": (-7, -9)},
)


class _Mdoc:
    """ISO mdoc."""

    words = _WORDS

    def check_type(self, metadata: TypeMetadata) -> None:
        _ = metadata.elements

    def check_claims(self, claims: Mapping[str, JsonValue], *, metadata: TypeMetadata) -> None:
        metadata.elements.encode(claims)

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
        if holder is None or expires_at is None:
            raise InvalidInput("mdoc: not without a key and an end")
        return mdoc.issue(
            metadata.elements.encode(claims),
            doctype=metadata.vct,
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
        raw = b64url_decode(text)
        value = cbor.loads(raw)
        # What is shown later must be these bytes (C-34): so they are in the one shortest form.
        if cbor.dumps(value) != raw:
            raise InvalidInput("mdoc: not in deterministic encoding")
        found = mdoc.verify(mdoc.parse(value), trusted=trusted, now=now, algorithms=algorithms)
        held = Held(
            format=mdoc.FORMAT,
            type=found.doctype,
            claims=found.claims,
            signed=b64url_encode(cbor.dumps(value["issuerAuth"])),
            pieces=tuple(
                ((namespace, name), b64url_encode(whole)) for namespace, name, whole in found.items
            ),
            hash_algorithm=found.digest_algorithm,
            authority_key_ids=found.chain.authority_key_ids,
            holder=found.holder,
            status=found.status,
            validity=found.validity,
        )
        return Received(held, found.chain)

    def present(
        self, held: Held, *, paths: Collection[ClaimPath], proof: HolderProof | None
    ) -> str:
        if proof is None:
            raise InvalidInput("mdoc: shown with the signature of its device only")
        there = {place for place, _ in held.pieces}
        chosen = {
            place[:2]
            for path in paths
            for place in ([path] if path in there else _places(held, path))
        }
        return device_response.make(
            held.type,
            auth=b64url_decode(held.signed),
            items=[
                (str(place[0]), str(place[1]), b64url_decode(text))
                for place, text in held.pieces
                if place in chosen
            ],
            device_signature=proof.device_signature(held.type),
        )

    def verify(
        self,
        text: str,
        *,
        session: Session,
        holder_binding: bool,  # noqa: ARG002 - an mdoc is always bound
        trusted: Trusted,
        now: datetime,
        algorithms: Collection[str],
    ) -> Presented:
        presented, believe = _read(
            text, session=session, trusted=trusted, now=now, algorithms=algorithms
        )
        # Both signatures come last: between them, each bit of Python would find its caches empty.
        for each in believe:
            each()
        return presented


def _read(
    text: str, *, session: Session, trusted: Trusted, now: datetime, algorithms: Collection[str]
) -> tuple[Presented, tuple[cose.Belief, ...]]:
    """What is presented if both signatures verify."""
    document = device_response.parse(text)
    issued = document.issuer_signed
    chain, by_issuer = mdoc.signer(issued, trusted=trusted, now=now, algorithms=algorithms)
    try:
        found = mdoc.read(issued, chain=chain, now=now)
        by_holder = device_response.belief(document, found, session=session, algorithms=algorithms)
    except ExpectedError:
        by_issuer()  # what its Issuer has not signed is refused for that alone
        raise
    presented = Presented(
        format=mdoc.FORMAT,
        type=found.doctype,
        claims=found.claims,
        in_place=found.claims,
        disclosed=tuple([((namespace, name), "") for namespace, name, _ in found.items]),
        chain=chain,
        holder_bound=True,
        status=found.status,
        validity=found.validity,
        key_binding=None,
    )
    return presented, (by_issuer, by_holder)


def _places(held: Held, path: ClaimPath) -> list[ConcretePath]:
    return [place for place, _ in select(held.claims, path)]


MDOC = _Mdoc()
