"""In process: mdocs against the bare signatures of the same run, as `in_process` does for SD-JWTs.

The document has ten elements, of which three are shown.
"""

import gc
import hashlib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import b64url_decode
from shared.formats import cbor, credential, device_response, type_metadata
from shared.formats.credential import Held, Session, Trusted
from shared.formats.status_list import StatusReference

from .in_process import CALLS, CLAIMS, ES256, NOW, SHOWN, Figure, against, signer

DOCTYPE = "org.iso.18013.5.1.mDL"
NAMESPACE = "org.iso.18013.5.1"


@dataclass(frozen=True)
class _Proof:
    signer: SoftwareKey
    session: Session

    def kb_jwt(self, presented: str, *, hash_algorithm: str) -> str:
        raise NotImplementedError

    def device_signature(self, doctype: str) -> bytes:
        return device_response.sign(doctype, session=self.session, signer=self.signer)


def figures() -> dict[str, Figure]:
    """`mdoc.issue`, `mdoc.present`, `mdoc.verify`: through the face, with every check on."""
    issuer, anchors = signer(Profile.MDOC_SIGNER, country="DE")
    rules = [
        {"path": [NAMESPACE, name], "mandatory": True}
        | ({"cbor": "full-date"} if name == "birthdate" else {})
        for name in CLAIMS
    ]
    metadata = type_metadata.TypeMetadata.model_validate(
        {"vct": DOCTYPE, "claims": rules}, strict=False
    )
    trusted = Trusted(anchors)
    session = Session(
        "x509_hash:" + "a" * 43, "n" * 43, "https://verifier.example/response/1", os.urandom(32)
    )
    holders = [SoftwareKey.generate() for _ in range(CALLS)]
    expires_at = NOW + timedelta(days=90)
    uri = "https://issuer.example/registry/statuslists/1"
    places = [StatusReference(each, uri) for each in range(CALLS)]
    claims = {NAMESPACE: CLAIMS}

    def issue(number: int) -> str:
        return credential.issue(
            "mso_mdoc",
            claims,
            metadata=metadata,
            holder=holders[number].public,
            status=places[number],
            issued_at=NOW,
            expires_at=expires_at,
            signer=issuer,
        )

    held: list[Held] = [
        credential.receive(
            "mso_mdoc",
            issue(number),
            expected_type=DOCTYPE,
            keys=[holder.public],
            trusted=trusted,
            now=NOW,
            algorithms=ES256,
        ).held
        for number, holder in enumerate(holders)
    ]
    proofs = [_Proof(each, session) for each in holders]
    paths = [(NAMESPACE, *each) for each in SHOWN]

    def present(number: int) -> str:
        return credential.present(held[number], paths=paths, proof=proofs[number])

    shown = [present(number) for number in range(CALLS)]

    def verify(number: int) -> object:
        return credential.verify(
            "mso_mdoc",
            shown[number],
            session=session,
            holder_binding=True,
            trusted=trusted,
            now=NOW,
            algorithms=ES256,
        )

    gc.collect()
    gc.freeze()
    floors = _floors(issuer, holders, shown[0])
    return {
        f"mdoc.{name}": against(floors[name], product)
        for name, product in (("issue", issue), ("present", present), ("verify", verify))
    }


def _floors(
    issuer: SoftwareKey, holders: list[SoftwareKey], shown: str
) -> Mapping[str, Callable[[int], object]]:
    """Signatures over the bytes that are really signed, and digests of the size there is."""
    private, algorithm = issuer.to_crypto(), ec.ECDSA(hashes.SHA256())
    public, text = private.public_key(), os.urandom(80)
    document = cbor.loads(b64url_decode(shown))["documents"][0]
    issued = document["issuerSigned"]["issuerAuth"][2] + bytes(20)
    bound = os.urandom(180)
    signatures = [private.sign(each, algorithm) for each in (issued, bound)]
    points = [b"\x04" + each.public.x + each.public.y for each in holders]

    def digests(count: int) -> None:
        for _ in range(count):
            hashlib.sha256(text).digest()

    def issue(_: int) -> None:
        private.sign(issued, algorithm)
        digests(len(CLAIMS))

    def present(_: int) -> None:
        private.sign(bound, algorithm)
        digests(1)

    def verify(number: int) -> None:
        public.verify(signatures[0], issued, algorithm)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), points[number])
        public.verify(signatures[1], bound, algorithm)
        digests(len(SHOWN) + 1)

    return {"issue": issue, "present": present, "verify": verify}


if __name__ == "__main__":
    from .in_process import show

    show(figures())
