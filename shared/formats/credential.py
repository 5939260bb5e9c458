"""One face for all credential formats: issue, receive, present, verify, by format identifier.

A new format is one module and one line in `FORMATS`; a new type is a data file. What the functions
share is in `values.py`.
Specification: OpenID4VP 1.0, appendix B; OpenID4VCI 1.0, appendix A.
"""

import secrets
from collections.abc import Collection, Mapping
from datetime import datetime

from ..crypto.keys import PublicKey, Signer
from ..crypto.x509 import check_leaf
from ..encoding import JsonValue, RandomBytes
from ..errors import InvalidInput, WrongHolder, WrongType
from . import mdoc, sd_jwt_vc
from .claims_path import ClaimPath
from .format import Format, Words
from .mdoc_format import MDOC
from .sd_jwt_vc_format import SD_JWT_VC
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

FORMATS: Mapping[str, Format] = {
    sd_jwt_vc.FORMAT: SD_JWT_VC,
    mdoc.FORMAT: MDOC,
}


def _format(identifier: str) -> Format:
    if identifier not in FORMATS:
        raise InvalidInput("credential: this format is not known here")
    return FORMATS[identifier]


def words(credential_format: str) -> Words:
    """How the protocols speak of it; raises InvalidInput if it is not known here."""
    return _format(credential_format).words


def check_type(credential_format: str, metadata: TypeMetadata) -> None:
    """Whether *metadata* can be a type of this format: its name, and the paths of its claims.

    Raises:
        InvalidInput: it cannot, or the format is not known here.

    Specification: PROFILE I-14, F-CP-02.
    """
    _format(credential_format).check_type(metadata)


def check_claims(
    credential_format: str, claims: Mapping[str, JsonValue], *, metadata: TypeMetadata
) -> None:
    """Whether *claims* can be issued as this type, before anything is promised to anybody.

    Raises:
        InvalidInput: one is missing, not of its kind, or has a name the format gives a meaning.

    Specification: PROFILE F-TM-08, F-VC-02.
    """
    _format(credential_format).check_claims(claims, metadata=metadata)


def check_signer(credential_format: str, certificate: bytes) -> None:
    """Whether the key in *certificate* (DER) may sign this format.

    Raises:
        Untrusted: it lacks what verifiers ask for.

    Specification: PROFILE C-24.
    """
    check_leaf(certificate, words(credential_format).signer)


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
        session: our own request.
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
    "Words",
    "check_claims",
    "check_signer",
    "check_type",
    "issue",
    "present",
    "receive",
    "verify",
    "words",
]
