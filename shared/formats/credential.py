"""One face for all credential formats: issue, receive, present, verify, by format identifier.

A new format is one module and one line in `FORMATS`. What the functions share is in `values.py`.
Specification: OpenID4VP 1.0, appendix B; OpenID4VCI 1.0, appendix A.
"""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Protocol

from ..crypto.keys import PublicKey, Signer
from ..encoding import JsonValue, RandomBytes
from ..errors import InvalidInput, WrongHolder, WrongType
from . import sd_jwt, sd_jwt_vc
from .claims_path import ClaimPath, select
from .status_list import StatusReference
from .type_metadata import TypeMetadata
from .values import (
    Candidate,
    Held,
    HolderProof,
    Presented,
    Received,
    Session,
    Trusted,
    Validity,
)


class Format(Protocol):
    """What a format does; the functions below say what the arguments mean."""

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
        """One copy, signed."""
        ...

    def receive(
        self, text: str, *, trusted: Trusted, now: datetime, algorithms: Collection[str]
    ) -> Received:
        """What an Issuer handed over, verified."""
        ...

    def present(
        self, held: Held, *, paths: Collection[ClaimPath], proof: HolderProof | None
    ) -> str:
        """What a verifier gets to see."""
        ...

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
        """A presentation, believed."""
        ...


class _SdJwtVc:
    """`dc+sd-jwt`."""

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


FORMATS: Mapping[str, Format] = {sd_jwt_vc.FORMAT: _SdJwtVc()}


def _format(identifier: str) -> Format:
    if identifier not in FORMATS:
        raise InvalidInput("credential: this format is not known here")
    return FORMATS[identifier]


def issue(
    credential_format: str,
    claims: Mapping[str, JsonValue],
    *,
    metadata: TypeMetadata,
    holder: PublicKey | None,
    status: StatusReference | None,
    issued_at: datetime,
    expires_at: datetime | None,
    signer: Signer,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> str:
    """One copy of a credential, as the Credential Endpoint hands it over.

    Args:
        credential_format: for example "dc+sd-jwt".
        claims: about the person; nothing the format itself adds.
        metadata: effective, of the type: its name, what must be there, what can be withheld.
        holder: the proven key; None for a credential anybody may show.
        status: its own place in a status list.
        issued_at: rounded down to the UTC day.
        expires_at: rounded down, and never later than the signer's certificate ends.
        signer: of the format, with its certificates.
        random_bytes: for salts; fresh for each copy.

    Raises:
        InvalidInput: the claims do not obey the type, or the format is unknown.

    Specification: PROFILE F-TM-08, F-VC-02, I-110, I-111, I-115.
    """
    return _format(credential_format).issue(
        claims,
        metadata=metadata,
        holder=holder,
        status=status,
        issued_at=issued_at,
        expires_at=expires_at,
        signer=signer,
        random_bytes=random_bytes,
    )


def receive(
    credential_format: str,
    text: str,
    *,
    expected_type: str,
    keys: Collection[PublicKey],
    trusted: Trusted,
    now: datetime,
    algorithms: Collection[str],
) -> Received:
    """Verify what a Credential Issuer handed over, before a wallet stores it.

    Args:
        credential_format: of the configuration that was asked for.
        text: the member `credential` of the answer.
        expected_type: of the configuration.
        keys: those we proved; empty where the credential is bound to none.
        trusted: for the role credential and this type.
        now: aware.
        algorithms: accepted `alg` values.

    Raises:
        WrongType: another type.
        WrongHolder: bound to a key that is not ours, or not bound as expected.
        VerificationError, InvalidInput: not to be believed, or not readable.

    Specification: OpenID4VCI 1.0, section 13.5; RFC 9901, section 7.2; PROFILE W-40, W-41.
    """
    received = _format(credential_format).receive(
        text, trusted=trusted, now=now, algorithms=algorithms
    )
    if received.held.type != expected_type:
        raise WrongType("credential: of another type than asked for")
    if received.held.holder not in (keys or (None,)):
        raise WrongHolder("credential: not bound to a key of ours")
    return received


def present(held: Held, *, paths: Collection[ClaimPath], proof: HolderProof | None) -> str:
    """Show *paths* of a credential and nothing else that can be withheld.

    Args:
        held: from the wallet.
        paths: what the citizen approved; a whole object or array brings everything below it.
        proof: makes the Holder's signature; needed if the credential is bound to a key.

    Raises:
        InvalidInput: a path leads nowhere, or *proof* is missing.

    Specification: RFC 9901, section 7.2; PROFILE F-CP-03, F-SD-09, HB-04, Q-24.
    """
    return _format(held.format).present(held, paths=paths, proof=proof)


def verify(
    credential_format: str,
    text: str,
    *,
    session: Session,
    holder_binding: bool,
    trusted: Trusted,
    now: datetime,
    algorithms: Collection[str],
) -> Presented:
    """Believe one presentation of a VP Token: signature, chain, digests, times, holder binding.

    Args:
        credential_format: of the Credential Query it answers.
        text: the presentation.
        session: our request: audience and nonce.
        holder_binding: what the Credential Query demanded.
        trusted: for the role credential and the types asked for.
        now: aware.
        algorithms: accepted `alg` values.

    Raises:
        VerificationError: its `reason` is the check that failed (V-63).
        InvalidInput: not a presentation of this format.

    Specification: OpenID4VP 1.0, section 8.6; PROFILE V-60, V-61, V-64.
    """
    return _format(credential_format).verify(
        text,
        session=session,
        holder_binding=holder_binding,
        trusted=trusted,
        now=now,
        algorithms=algorithms,
    )


__all__ = [
    "FORMATS",
    "Candidate",
    "Format",
    "Held",
    "HolderProof",
    "Presented",
    "Received",
    "Session",
    "Trusted",
    "Validity",
    "issue",
    "present",
    "receive",
    "verify",
]
