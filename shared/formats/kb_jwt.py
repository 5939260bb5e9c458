"""KB-JWT: the Holder's signature over one presentation, for one verifier and one transaction.

Specification: RFC 9901, sections 4.3 and 7.3; OpenID4VP 1.0, appendices B.3.3 and B.3.6;
PROFILE HB-01 to HB-05, HB-30, HB-32, HB-34, C-41.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from ..crypto.keys import PublicKey, Signer
from ..encoding import JsonValue, from_numeric_date, to_numeric_date
from ..errors import (
    BadSignature,
    InvalidInput,
    VerificationError,
    WrongAudience,
    WrongHolder,
    WrongNonce,
    WrongSdHash,
)
from ..jose import jws
from .sd_jwt import DEFAULT_HASH, HASHES, SdJwt, digest

TYP = "kb+jwt"
MAX_AGE = timedelta(seconds=300)  # C-41
MAX_AHEAD = timedelta(seconds=60)  # C-41


def sd_hash(presented: str, algorithm: str = DEFAULT_HASH) -> str:
    """Over `<JWT>~<D1>~…~<Dn>~`, the last tilde included (RFC 9901, section 4.3.1; HB-02)."""
    return digest(presented, algorithm)


@dataclass(frozen=True, slots=True)
class TransactionDataHashes:
    """What a KB-JWT says about the transactions it confirms (HB-32)."""

    hashes: tuple[str, ...]
    algorithm: str | None
    """None when the request did not name any: then it is sha-256 and stays unsaid."""


def hash_transaction_data(
    entries: Sequence[str], *, algorithms: Collection[str] | None
) -> TransactionDataHashes:
    """Hash *entries* as they were received, before any decoding.

    Args:
        entries: base64url strings of the request's `transaction_data`.
        algorithms: what every entry's `transaction_data_hashes_alg` allows; None if none has it.

    Raises:
        InvalidInput: none of *algorithms* is known here.

    Specification: OpenID4VP 1.0, appendix B.3.3.1; PROFILE HB-32.
    """
    known = [each for each in HASHES if algorithms is None or each in algorithms]
    if not known:
        raise InvalidInput("transaction data: no hash algorithm in common")
    return TransactionDataHashes(
        tuple(digest(each, known[0]) for each in entries), None if algorithms is None else known[0]
    )


def make(
    presented: str,
    *,
    signer: Signer,
    audience: str,
    nonce: str,
    now: datetime,
    hash_algorithm: str = DEFAULT_HASH,
    transaction_data: TransactionDataHashes | None = None,
) -> str:
    """Sign *presented* for *audience*; appended to *presented* it makes an SD-JWT+KB.

    Args:
        presented: `<JWT>~<D>~…~`.
        signer: the key of `cnf`; `sd_hash` is computed here, over what is really shown.
        audience: the full Client Identifier, or "origin:" and the Origin (HB-03).
        nonce: of the Authorization Request.
        now: becomes `iat`.
        hash_algorithm: the credential's `_sd_alg`.
        transaction_data: the transactions this presentation confirms.

    Specification: RFC 9901, section 4.3; PROFILE HB-01 to HB-03, HB-32.
    """
    claims: dict[str, JsonValue] = {
        "iat": to_numeric_date(now),
        "aud": audience,
        "nonce": nonce,
        "sd_hash": sd_hash(presented, hash_algorithm),
    }
    if transaction_data is not None:
        claims["transaction_data_hashes"] = list(transaction_data.hashes)
        if transaction_data.algorithm is not None:
            claims["transaction_data_hashes_alg"] = transaction_data.algorithm
    return jws.sign_jwt(claims, typ=TYP, signer=signer)


class VerifiedKeyBinding(NamedTuple):
    """The Holder made this presentation, for us, in this transaction."""

    issued_at: datetime
    transaction_data_hashes: tuple[str, ...]
    transaction_data_hashes_alg: str | None

    def confirms(self, entry: str, *, algorithms: Collection[str] | None) -> bool:
        """Whether the Holder signed the transaction *entry*, as we sent it (HB-34).

        Args:
            entry: the base64url string of the request.
            algorithms: the entry's `transaction_data_hashes_alg`; None if it had none.
        """
        used = self.transaction_data_hashes_alg
        if algorithms is None:
            used = DEFAULT_HASH if used is None else used
            algorithms = (DEFAULT_HASH,)
        if used is None or used not in algorithms or used not in HASHES:
            return False
        return digest(entry, used) in self.transaction_data_hashes


def verify(
    sd_jwt: SdJwt,
    *,
    key: PublicKey,
    audience: str,
    nonce: str,
    now: datetime,
    algorithms: Collection[str],
    hash_algorithm: str = DEFAULT_HASH,
    max_age: timedelta = MAX_AGE,
    max_ahead: timedelta = MAX_AHEAD,
) -> VerifiedKeyBinding:
    """Believe that the holder of *key* made this presentation for *audience* and *nonce*.

    Args:
        sd_jwt: with its KB-JWT; the SD-JWT itself is verified before.
        key: from `cnf` of the verified SD-JWT, nowhere else.
        audience: our full Client Identifier, or "origin:" and our Origin.
        nonce: of this transaction.
        now: `iat` may be *max_age* before and *max_ahead* after it.
        algorithms: what is accepted as `alg`.
        hash_algorithm: of the verified SD-JWT.
        max_age: see *now*.
        max_ahead: see *now*.

    Raises:
        WrongHolder: no KB-JWT, not signed with *key*, of another `typ`, or out of its time.
        WrongNonce, WrongAudience, WrongSdHash: made for something else.
        InvalidInput: not a JWT.

    Specification: RFC 9901, section 7.3, step 5; PROFILE HB-05. Unknown claims are ignored.
    """
    # 5.1 There is one; whether it is required was the caller's decision, not the sender's.
    if sd_jwt.kb_jwt is None:
        raise WrongHolder("KB-JWT: missing")
    # 5.2 to 5.4 An allowed algorithm, the signature, the typ.
    try:
        jwt = jws.verify_jwt(sd_jwt.kb_jwt, key=key, typ=TYP, algorithms=algorithms)
    except BadSignature as error:
        raise WrongHolder("KB-JWT: signature, alg or typ") from error
    claims = jwt.claims
    # 5.5 Made just now.
    issued_at = from_numeric_date(claims.get("iat"))
    if not now - max_age <= issued_at <= now + max_ahead:
        raise WrongHolder("KB-JWT: iat is out of the window")
    # 5.6 For this transaction and for us.
    if claims.get("nonce") != nonce:
        raise WrongNonce("KB-JWT: another nonce")
    if claims.get("aud") != audience:
        raise WrongAudience("KB-JWT: another audience")
    # 5.7 Over exactly these Disclosures.
    if claims.get("sd_hash") != sd_hash(sd_jwt.presented, hash_algorithm):
        raise WrongSdHash("KB-JWT: sd_hash covers something else")
    # 5.8 Whatever else a JWT says about its time.
    if "exp" in claims or "nbf" in claims:
        try:
            jws.check_times(claims, now=now, leeway=max_ahead)
        except VerificationError as error:
            raise WrongHolder("KB-JWT: exp or nbf") from error
    hashes, algorithm = (
        claims.get("transaction_data_hashes", []),
        claims.get("transaction_data_hashes_alg"),
    )
    return VerifiedKeyBinding(
        issued_at,
        tuple(each for each in hashes if isinstance(each, str)) if isinstance(hashes, list) else (),
        algorithm if isinstance(algorithm, str) else None,
    )
