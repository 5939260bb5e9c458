"""Authorization Request and its signed Request Object (OpenID4VP 1.0, section 5).

Signed, by reference, answered with `direct_post.jwt`: what HAIP leaves of the choices. The Verifier
makes, the Wallet verifies; only what stands in the object counts. PROFILE V-10 to V-22 and W-50 to
W-57.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ..crypto.keys import Signer
from ..crypto.x509 import Profile, VerifiedChain
from ..encoding import JsonValue, from_numeric_date, to_numeric_date
from ..errors import InvalidInput, VerificationError
from ..formats.credential import FORMATS
from ..jose import jws
from ..oauth.encryption import EncryptionKey, choose_enc, choose_encryption_key
from . import client_id as client_ids
from . import dcql, transaction_data
from .client_id import ClientId
from .dcql import DcqlQuery
from .errors import InvalidRequest, InvalidScope, VpFormatsNotSupported
from .request_object import ClientMetadata, RequestObject, VerifierInfo
from .transaction_data import TransactionData, TypeCheck

TYP = "oauth-authz-req+jwt"
MEDIA_TYPE = "application/oauth-authz-req+jwt"
STATIC_AUDIENCE = "https://self-issued.me/v2"  # W-52
RESPONSE_MODE = "direct_post.jwt"
LIFETIME = timedelta(minutes=5)  # V-11
MAX_BYTES = 128 * 1024  # S-20
ENC_VALUES = ("A128GCM", "A256GCM")  # V-21
PURPOSE_FORMAT = "citizen-wallet-registration"
VP_FORMATS: Mapping[str, Mapping[str, JsonValue]] = {
    name: {member: list(values) for member, values in each.words.vp_formats.items()}
    for name, each in FORMATS.items()
}
"""What this system can present and check (V-20, V-22)."""
_LEEWAY = timedelta(seconds=30)  # C-40
_URL_SAFE = re.compile(r"[A-Za-z0-9\-._~]{1,1024}")


@dataclass(frozen=True, slots=True)
class Purpose:
    """The registered purpose a Verifier names; its texts come from the trust list."""

    entity: str
    purpose: str

    def entry(self) -> dict[str, JsonValue]:
        """As an entry of `verifier_info`."""
        return {
            "format": PURPOSE_FORMAT,
            "data": {"entity": self.entity, "purpose": self.purpose},
        }


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """A request whose sender is authenticated and whose every parameter was checked.

    Attributes:
        client_id: `.full` is the audience of all presentations.
        chain: of the access certificate: who asks; None if nobody signed (never in HAIP).
        encryption_key: what to encrypt the response to; None for plain `direct_post`.
        enc: how.
        purpose: named by the Verifier; to be looked up in the trust list.
    """

    client_id: ClientId
    chain: VerifiedChain | None
    nonce: str
    state: str | None
    response_uri: str
    query: DcqlQuery
    encryption_key: EncryptionKey | None
    enc: str
    transaction_data: tuple[TransactionData, ...]
    purpose: Purpose | None
    issued_at: datetime | None
    expires_at: datetime | None


def parameters(
    *,
    client_id: str | None,
    response_mode: str = RESPONSE_MODE,
    response_uri: str | None,
    nonce: str,
    state: str | None,
    query: DcqlQuery,
    encryption_key: EncryptionKey | None,
    purpose: Purpose | None = None,
    transaction_data: Sequence[str] = (),
    expected_origins: Sequence[str] = (),
    vp_formats: Mapping[str, JsonValue] = VP_FORMATS,
) -> dict[str, JsonValue]:
    """The parameters of a request, before anybody signs them.

    Args:
        client_id: None for an unsigned request over the Digital Credentials API (A.2).
        response_mode: `direct_post.jwt`; `direct_post` outside HAIP; `dc_api.jwt`.
        response_uri: where the response goes; None over the Digital Credentials API.
        nonce: fresh, 128 bits or more, of URL-safe characters (V-12).
        state: likewise.
        query: what is asked for.
        encryption_key: new for every Authorization Request, with a `kid` (V-21); None where the
            response is not encrypted.
        purpose: as registered.
        transaction_data: strings from `transaction_data.make`.
        expected_origins: of a signed request over the Digital Credentials API (V-70).
        vp_formats: what we can verify; those asked for are named.

    Raises:
        InvalidInput: no `state` though a presentation without holder binding is asked for (V-12),
            or no encryption key though the mode needs one.

    Specification: OpenID4VP 1.0, section 5 and appendix A.2; HAIP 5, 5.1; PROFILE V-11, V-12, V-20
        to V-22, V-70.
    """
    if state is None and query.unbound and response_uri is not None:
        raise InvalidInput("request: state is required without holder binding")
    if (encryption_key is not None) is not response_mode.endswith(".jwt"):
        raise InvalidInput("request: an encryption key goes with an encrypted response mode")
    asked = {each.format for each in query.credentials}
    metadata: dict[str, JsonValue] = {}
    if encryption_key is not None:
        metadata["jwks"] = {"keys": [encryption_key.to_jwk()]}
        metadata["encrypted_response_enc_values_supported"] = list(ENC_VALUES)
    metadata["vp_formats_supported"] = {f: v for f, v in vp_formats.items() if f in asked}
    claims: dict[str, JsonValue] = {
        "client_id": client_id,
        "response_type": "vp_token",
        "response_mode": response_mode,
        "response_uri": response_uri,
        "nonce": nonce,
        "dcql_query": query.written,
        "client_metadata": metadata,
        "state": state,
    }
    if purpose is not None:
        claims["verifier_info"] = [purpose.entry()]
    if transaction_data:
        claims["transaction_data"] = list(transaction_data)
    if expected_origins:
        claims["expected_origins"] = list(expected_origins)
    return {name: value for name, value in claims.items() if value is not None}


def sign(
    claims: Mapping[str, JsonValue],
    *,
    signer: Signer,
    now: datetime,
    lifetime: timedelta = LIFETIME,
    wallet_nonce: str | None = None,
) -> str:
    """Sign *claims*, of `parameters`, as a Request Object.

    Args:
        claims: what is asked.
        signer: the access key with its certificates.
        now: becomes `iat`.
        lifetime: gives `exp`.
        wallet_nonce: exactly what the Wallet posted, None for GET (V-13).

    Specification: OpenID4VP 1.0, sections 5.8 and 5.10; PROFILE V-11, V-13.
    """
    timed: dict[str, JsonValue] = {
        "aud": STATIC_AUDIENCE,
        "iat": to_numeric_date(now),
        "exp": to_numeric_date(now + lifetime),
    }
    if wallet_nonce is not None:
        timed["wallet_nonce"] = wallet_nonce
    return jws.sign_jwt({**claims, **timed}, typ=TYP, signer=signer)


def make(
    *,
    signer: Signer,
    now: datetime,
    lifetime: timedelta = LIFETIME,
    wallet_nonce: str | None = None,
    **asked: Any,
) -> str:
    """A signed Request Object in one step; *asked* as `parameters` takes it.

    Raises:
        InvalidInput: as `parameters`.

    Specification: OpenID4VP 1.0, section 5; HAIP 5, 5.1; PROFILE V-11 to V-13, V-20 to V-22.
    """
    return sign(
        parameters(**asked), signer=signer, now=now, lifetime=lifetime, wallet_nonce=wallet_nonce
    )


def verify(
    token: str,
    *,
    client_id: str,
    wallet_nonce: str | None,
    audience: str = STATIC_AUDIENCE,
    formats: Collection[str],
    transaction_types: Mapping[str, TypeCheck],
    anchors: Collection[bytes],
    now: datetime,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
    response_modes: Collection[str] = (RESPONSE_MODE,),
) -> VerifiedRequest:
    """Authenticate the sender of a Request Object and check all of it.

    Args:
        token: the Request Object.
        client_id: of the link that led here.
        wallet_nonce: what was posted to `request_uri`, None after GET.
        formats: what the Wallet can present.
        transaction_types: what the Wallet can confirm; empty refuses all transaction data.
        anchors: of access certificates.
        audience: what `aud` must be.
        now: aware.
        revoked: thumbprints of revoked certificates.
        pinned: leaves that are believed without a path.
        response_modes: those to take; HAIP has the default alone.

    Raises:
        InvalidRequest, or another code of section 8.5: for a page, never for `response_uri`.

    Specification: OpenID4VP 1.0, sections 5 and 5.10.1; HAIP 5, 5.1; PROFILE W-52 to W-55.
    """
    identified = client_ids.parse(client_id)
    try:
        # 1. typ, alg, a chain to an access anchor, the signature of its leaf.
        jwt = jws.verify_x5c_jwt(
            jws.parse_jws(token, max_bytes=MAX_BYTES),
            typ=TYP,
            algorithms=("ES256",),
            anchors=anchors,
            profile=Profile.ACCESS,
            now=now,
            revoked=revoked,
            pinned=pinned,
        )
        # 2. Not expired, not from the future.
        jws.check_times(jwt.claims, now=now, leeway=_LEEWAY)
    except (InvalidInput, VerificationError) as error:
        raise InvalidRequest(f"request object: {error}") from error
    # 3. Made for this wallet.
    if jwt.claims.get("aud") != audience:
        raise InvalidRequest("request object: aud is another wallet")
    return check(
        jwt.claims,
        identified=identified,
        chain=jwt.chain,
        wallet_nonce=wallet_nonce,
        formats=formats,
        transaction_types=transaction_types,
        response_modes=response_modes,
    )


def check(
    claims: Mapping[str, JsonValue],
    *,
    identified: ClientId,
    chain: VerifiedChain | None,
    wallet_nonce: str | None,
    formats: Collection[str],
    transaction_types: Mapping[str, TypeCheck],
    response_modes: Collection[str],
) -> VerifiedRequest:
    """Check every parameter of a request, whoever carried it; arguments as for `verify`.

    Raises:
        InvalidRequest, or another code of section 8.5.

    Specification: OpenID4VP 1.0, sections 5.1, 5.9.3 and 8.2; PROFILE W-52 to W-55.
    """
    try:
        # 1. Parameters that must not be there, then those that must.
        _refuse_others(claims)
        sent = RequestObject.from_object(claims)
    except InvalidInput as error:
        raise InvalidRequest(f"request object: {error}") from error
    # 2. client_id is the one of the link, prefix included, and belongs to who signed.
    if sent.client_id != identified.full:
        raise InvalidRequest("request object: client_id is not the one of the link")
    response_uri = _response_uri(sent, identified)
    if chain is not None:
        client_ids.check(identified, chain=chain, response_uri=response_uri)
    # 3. Answered in a way we know, made for this fetch of it.
    if sent.response_mode not in response_modes:
        raise InvalidRequest("request object: this response_mode is not taken")
    if wallet_nonce is not None and sent.wallet_nonce != wallet_nonce:
        raise InvalidRequest("request object: wallet_nonce is missing or another one")
    _check_texts(sent)
    # 4. The query, the key, the formats, the transactions.
    try:
        query = dcql.parse(sent.dcql_query)
        key, enc = _encryption(sent)
    except InvalidInput as error:
        raise InvalidRequest(f"request object: {error}") from error
    _check_formats(sent.client_metadata, query, formats)
    transactions: tuple[TransactionData, ...] = ()
    if sent.transaction_data is not None:
        transactions = transaction_data.parse(
            sent.transaction_data, query=query, types=transaction_types
        )
    return VerifiedRequest(
        client_id=identified,
        chain=chain,
        nonce=sent.nonce,
        state=sent.state,
        response_uri=response_uri,
        query=query,
        encryption_key=key,
        enc=enc,
        transaction_data=transactions,
        purpose=_purpose(sent.verifier_info or ()),
        issued_at=_time(claims.get("iat")),
        expires_at=_time(claims.get("exp")),
    )


def _check_texts(sent: RequestObject) -> None:
    """Nonce and state are of the URL-safe alphabet."""
    for value in (sent.nonce, sent.state):
        if value is not None and not _URL_SAFE.fullmatch(value):
            raise InvalidRequest("request object: nonce or state has other characters")


def _encryption(sent: RequestObject) -> tuple[EncryptionKey | None, str]:
    """The first usable key and the best `enc`, where the response is encrypted (W-61)."""
    if not sent.response_mode.endswith(".jwt"):
        return None, ""
    if sent.client_metadata.jwks is None:
        raise InvalidInput("no key to encrypt to")
    key = choose_encryption_key(sent.client_metadata.jwks)
    return key, choose_enc(sent.client_metadata.encrypted_response_enc_values_supported)


def _response_uri(sent: RequestObject, identified: ClientId) -> str:
    """Where the answer goes: with the prefix `redirect_uri`, that is the client (5.9.3)."""
    if identified.prefix == client_ids.UNSIGNED:
        if sent.response_uri not in {None, identified.value}:
            raise InvalidRequest("request object: response_uri is not the client_id")
        return identified.value
    if sent.response_uri is None:
        raise InvalidRequest("request object: response_uri is missing")
    return sent.response_uri


def _refuse_others(claims: Mapping[str, JsonValue]) -> None:
    """W-53: `redirect_uri` beside direct_post, `scope` beside or instead of a query."""
    if "redirect_uri" in claims:
        raise InvalidInput("redirect_uri beside direct_post")
    if "scope" in claims:
        if "dcql_query" in claims:
            raise InvalidInput("both scope and dcql_query")
        raise InvalidScope("request object: no scope stands for a query here")


def _check_formats(metadata: ClientMetadata, query: DcqlQuery, ours: Collection[str]) -> None:
    """At least one format is asked for that both sides can do, with ES256 (W-55)."""
    asked = {each.format for each in query.credentials}
    for name in asked.intersection(ours, metadata.vp_formats_supported):
        theirs = metadata.vp_formats_supported[name]
        known = [(theirs.get(member, can), can) for member, can in VP_FORMATS.get(name, {}).items()]
        if all(isinstance(each, list) and _common(each, can) for each, can in known):
            return
    raise VpFormatsNotSupported("request object: no common format or algorithm")


def _common(theirs: list[Any], ours: JsonValue) -> bool:
    return isinstance(ours, list) and any(each in ours for each in theirs)


def _purpose(entries: Sequence[VerifierInfo]) -> Purpose | None:
    """The first well-formed entry of our format; all others are ignored (W-56)."""
    for each in entries:
        if each.format == PURPOSE_FORMAT and isinstance(each.data, dict):
            entity, purpose = each.data.get("entity"), each.data.get("purpose")
            if isinstance(entity, str) and isinstance(purpose, str):
                return Purpose(entity, purpose)
    return None


def _time(value: JsonValue) -> datetime | None:
    return None if value is None else from_numeric_date(value)
