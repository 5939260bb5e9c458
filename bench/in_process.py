"""In process: SD-JWT and status lists against the bare signatures of the same run.

    python -m bench.in_process

CPU time of one process, medians of rounds in which floor and product take turns. The credential
has ten claims, all selectively disclosable, of which three are shown. The floor of a verification
reads the Holder's key from its coordinates, as PERFORMANCE section 1 has it; the product may
remember chains and keys (section 2). The floors of `status.*` are the targets of section 5.
"""

import gc
import hashlib
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from shared.crypto.authority import make_certificate, make_root
from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.encoding import JsonValue
from shared.formats import credential, kb_jwt, type_metadata
from shared.formats.credential import Held, Session, Trusted
from shared.formats.index_permutation import IndexPermutation
from shared.formats.status_list import (
    StatusList,
    StatusReference,
    sign_token,
    verify_token,
)
from shared.formats.status_states import Status

NOW = datetime(2027, 3, 1, 12, tzinfo=UTC)
ES256 = frozenset({"ES256"})
ROUNDS, CALLS = 15, 200
MILLIONS = 10_000_000

CLAIMS: dict[str, JsonValue] = {
    "family_name": "Möbius",
    "given_name": "Erika",
    "birthdate": "1964-08-12",
    "place_of_birth": {"locality": "Köln", "country": "DE"},
    "nationalities": ["DE"],
    "sex": 2,
    "email": "erika@example.org",
    "age_in_years": 62,
    "issuing_authority": "DE",
    "issuing_country": "DE",
}
SHOWN = (("family_name",), ("given_name",), ("birthdate",))
Figure = Mapping[str, float | str]


@dataclass(frozen=True)
class _Proof:
    signer: SoftwareKey
    session: Session

    def device_signature(self, doctype: str) -> bytes:
        raise NotImplementedError

    def kb_jwt(self, presented: str, *, hash_algorithm: str) -> str:
        return kb_jwt.make(
            presented,
            signer=self.signer,
            audience=self.session.audience,
            nonce=self.session.nonce,
            now=NOW,
            hash_algorithm=hash_algorithm,
        )


def _cpu(call: Callable[[int], object], calls: int) -> float:
    """Microseconds of CPU for one call."""
    start = time.process_time_ns()
    for number in range(calls):
        call(number)
    return (time.process_time_ns() - start) / calls / 1000


def against(floor: Callable[[int], object], product: Callable[[int], object]) -> Figure:
    rounds = [(_cpu(floor, CALLS), _cpu(product, CALLS)) for _ in range(ROUNDS)]
    least = statistics.median(each for each, _ in rounds)
    value = statistics.median(each for _, each in rounds)
    ratio = statistics.median(product / floor for floor, product in rounds)
    return {"value": value, "unit": "µs", "floor": least, "ratio": ratio}


def signer(profile: Profile, *, country: str | None = None) -> tuple[SoftwareKey, frozenset[bytes]]:
    root_key, key = SoftwareKey.generate(), SoftwareKey.generate()
    root = make_root("Bench Root", root_key, now=NOW, days=3650, country=country)
    leaf = make_certificate(
        subject="Bench",
        public=key.public,
        issuer_certificate=root,
        issuer_key=root_key,
        profile=profile,
        now=NOW,
        days=365,
        country=country,
        dns=["issuer.example"],
    )
    return key.with_certificates((leaf,)), frozenset({root})


def sd_jwt_figures() -> dict[str, Figure]:
    """`sdjwt.issue`, `sdjwt.present`, `sdjwt.verify`: through the face, with every check on."""
    issuer, anchors = signer(Profile.CREDENTIAL)
    rules = [{"path": [name], "sd": "always", "mandatory": True} for name in CLAIMS]
    metadata = type_metadata.TypeMetadata.model_validate(
        {"vct": "urn:eudi:pid:1", "claims": rules}, strict=False
    )
    trusted, session = Trusted(anchors), Session("x509_hash:" + "a" * 43, "n" * 43)
    holders = [SoftwareKey.generate() for _ in range(CALLS)]

    expires_at = NOW + timedelta(days=90)
    places = [
        StatusReference(each, "https://issuer.example/registry/statuslists/1")
        for each in range(CALLS)
    ]

    def issue(number: int) -> str:
        return credential.issue(
            "dc+sd-jwt",
            CLAIMS,
            metadata=metadata,
            holder=holders[number].public,
            status=places[number],
            issued_at=NOW,
            expires_at=expires_at,
            signer=issuer,
        )

    held: list[Held] = [
        credential.receive(
            "dc+sd-jwt",
            issue(number),
            expected_type="urn:eudi:pid:1",
            keys=[holder.public],
            trusted=trusted,
            now=NOW,
            algorithms=ES256,
        ).held
        for number, holder in enumerate(holders)
    ]
    proofs = [_Proof(each, session) for each in holders]

    def present(number: int) -> str:
        return credential.present(held[number], paths=SHOWN, proof=proofs[number])

    shown = [present(number) for number in range(len(holders))]

    def verify(number: int) -> object:
        return credential.verify(
            "dc+sd-jwt",
            shown[number],
            session=session,
            holder_binding=True,
            trusted=trusted,
            now=NOW,
            algorithms=ES256,
        )

    private, algorithm = issuer.to_crypto(), ec.ECDSA(hashes.SHA256())
    public, text = private.public_key(), os.urandom(80)
    parts = shown[0].split("~")
    issued, bound = (each.rpartition(".")[0].encode() for each in (parts[0], parts[-1]))
    presented = shown[0].removesuffix(parts[-1]).encode()
    signatures = [private.sign(each, algorithm) for each in (issued, bound)]

    def digests(count: int) -> None:
        for _ in range(count):
            hashlib.sha256(text).digest()

    def sign_and_ten_digests(_: int) -> None:
        private.sign(issued, algorithm)
        digests(10)

    def sign_and_one_digest(_: int) -> None:
        private.sign(bound, algorithm)
        hashlib.sha256(presented).digest()

    points = [b"\x04" + each.public.x + each.public.y for each in holders]

    def two_verifications_and_digests(number: int) -> None:
        public.verify(signatures[0], issued, algorithm)
        ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), points[number])
        public.verify(signatures[1], bound, algorithm)
        digests(len(SHOWN))
        hashlib.sha256(presented).digest()

    gc.collect()
    gc.freeze()  # what was made to set up is not walked again and again
    return {
        "sdjwt.issue": against(sign_and_ten_digests, issue),
        "sdjwt.present": against(sign_and_one_digest, present),
        "sdjwt.verify": against(two_verifications_and_digests, verify),
    }


def _milliseconds(call: Callable[[], object], target: float) -> Figure:
    value = statistics.median(_cpu(lambda _: call(), 1) for _ in range(3)) / 1000
    return {"value": value, "unit": "ms", "floor": target, "ratio": value / target}


def status_figures() -> dict[str, Figure]:
    """`status.*`: ten million entries; the floor is the target of PERFORMANCE section 5."""
    publisher, anchors = signer(Profile.STATUS)
    uri = "https://issuer.example/statuslists/1"
    figures: dict[str, Figure] = {}

    def sign(status_list: StatusList) -> str:
        return sign_token(
            status_list, uri=uri, signer=publisher, now=NOW, ttl=timedelta(seconds=300)
        )

    permutation = IndexPermutation(bytes(32), MILLIONS)
    scattered = [permutation.index(each) for each in range(MILLIONS // 10)]
    for percent, target in ((1, 500.0), (10, 1000.0)):
        revoked = scattered[: MILLIONS * percent // 100]
        held: list[StatusList] = []

        def rebuild(revoked: list[int] = revoked, held: list[StatusList] = held) -> str:
            status_list = StatusList.empty(1, MILLIONS)
            status_list.set_all(revoked, Status.INVALID)
            held[:] = [status_list]
            return sign(status_list)

        figures[f"status.rebuild.{percent}_percent"] = _milliseconds(rebuild, target)

        def change(held: list[StatusList] = held) -> str:
            held[0].set_all(scattered[-100:], Status.INVALID)
            return sign(held[0])

        figures[f"status.change.{percent}_percent"] = _milliseconds(change, 100.0)
    token = rebuild()
    figures["status.verify.10_percent"] = _milliseconds(
        lambda: verify_token(
            token, uri=uri, anchors=anchors, now=NOW, algorithms=ES256, newest=None
        ),
        100.0,
    )
    million = StatusList.empty(1)
    million.set_all((each % 2**20 for each in scattered[: 2**20 // 100]), Status.INVALID)
    figures["status.sign.million"] = _milliseconds(lambda: sign(million), 100.0)
    index = statistics.median(_cpu(permutation.index, 1000) for _ in range(9))
    figures["status.index"] = {"value": index, "unit": "µs", "floor": 20.0, "ratio": index / 20.0}
    return figures


def measure() -> dict[str, Figure]:
    """All figures of this module: name -> value, unit, floor and their ratio."""
    return {**sd_jwt_figures(), **status_figures()}


def show(figures: Mapping[str, Figure]) -> None:
    for name, each in figures.items():
        print(
            f"{name:<26} {each['value']:>9.1f} {each['unit']}"
            f"   floor {each['floor']:>7.1f}   ratio {each['ratio']:.2f}"
        )


if __name__ == "__main__":
    show(measure())
