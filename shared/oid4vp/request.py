"""Authorization Request and its signed Request Object (OpenID4VP 1.0, section 5).

Signed, by reference, answered with `direct_post.jwt`: what HAIP leaves of the choices. The Verifier
makes, the Wallet verifies; only what stands in the object counts. PROFILE V-10 to V-22 and W-50 to
W-57.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from pydantic import JsonValue as JsonMember

from ..crypto.keys import Signer
from ..crypto.x509 import Profile, VerifiedChain
from ..encoding import JsonValue, from_numeric_date, to_numeric_date
from ..errors import InvalidInput, VerificationError
from ..jose import jws
from ..oauth.encryption import EncryptionKey, Jwks, choose_enc, choose_encryption_key
from ..oauth.messages import ProtocolModel, Several, Text, Url
from . import client_id as client_ids
from . import dcql, transaction_data
from .client_id import ClientId
from .dcql import DcqlQuery
from .errors import InvalidRequest, InvalidScope, VpFormatsNotSupported
from .transaction_data import TransactionData, TypeCheck

TYP = "oauth-authz-req+jwt"
MEDIA_TYPE = "application/oauth-authz-req+jwt"
STATIC_AUDIENCE = "https://self-issued.me/v2"  # W-52
RESPONSE_MODE = "direct_post.jwt"
LIFETIME = timedelta(minutes=5)  # V-11
MAX_BYTES = 128 * 1024  # S-20
ENC_VALUES = ("A128GCM", "A256GCM")  # V-21
PURPOSE_FORMAT = "citizen-wallet-registration"
VP_FORMATS: Mapping[str, JsonValue] = {
    "dc+sd-jwt": {"sd-jwt_alg_values": ["ES256"], "kb-jwt_alg_values": ["ES256"]}
}
"""What this system can present and check (V-20, V-22); one line for each format."""
_ALGORITHM_MEMBERS = {"dc+sd-jwt": ("sd-jwt_alg_values", "kb-jwt_alg_values")}
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


class ClientMetadata(ProtocolModel):
    """Verifier metadata in the request (section 5.1; V-20, W-55)."""

    jwks: Jwks
    encrypted_response_enc_values_supported: Several[str] = ("A128GCM",)
    vp_formats_supported: dict[str, dict[str, JsonMember]]


class VerifierInfo(ProtocolModel):
    """One entry of `verifier_info` (section 5.1)."""

    format: Text
    data: str | dict[str, JsonMember]
    credential_ids: Several[str] | None = None


class RequestObject(ProtocolModel):
    """The parameters we know, in a Request Object (section 5)."""

    client_id: Text
    response_type: Literal["vp_token"]
    response_mode: Literal["direct_post.jwt"]
    response_uri: Url
    nonce: Text
    state: str | None = None
    aud: str
    dcql_query: dict[str, JsonMember]
    client_metadata: ClientMetadata
    transaction_data: Several[str] | None = None
    verifier_info: Several[VerifierInfo] | None = None
    wallet_nonce: str | None = None


@dataclass(frozen=True, slots=True)
class VerifiedRequest:
    """A request whose sender is authenticated and whose every parameter was checked.

    Attributes:
        client_id: `.full` is the audience of all presentations.
        chain: of the access certificate: who asks.
        encryption_key, enc: what to encrypt the response with.
        purpose: named by the Verifier; to be looked up in the trust list.
    """

    client_id: ClientId
    chain: VerifiedChain
    nonce: str
    state: str | None
    response_uri: str
    query: DcqlQuery
    encryption_key: EncryptionKey
    enc: str
    transaction_data: tuple[TransactionData, ...]
    purpose: Purpose | None
    issued_at: datetime | None
    expires_at: datetime | None


def make(
    *,
    signer: Signer,
    client_id: str,
    response_uri: str,
    nonce: str,
    state: str | None,
    query: DcqlQuery,
    encryption_key: EncryptionKey,
    now: datetime,
    lifetime: timedelta = LIFETIME,
    purpose: Purpose | None = None,
    transaction_data: Sequence[str] = (),
    wallet_nonce: str | None = None,
    vp_formats: Mapping[str, JsonValue] = VP_FORMATS,
) -> str:
    """Sign a Request Object.

    Args:
        signer: the access key with its certificates.
        client_id: from `client_id.x509_hash(signer.certificates[0])`, or an `x509_san_dns`.
        response_uri: where the response goes.
        nonce: fresh, 128 bits or more, of URL-safe characters (V-12).
        state: likewise.
        query: what is asked for.
        encryption_key: new for every Authorization Request, with a `kid` (V-21).
        now: becomes `iat`.
        lifetime: gives `exp`.
        purpose: as registered.
        transaction_data: strings from `transaction_data.make`.
        wallet_nonce: exactly what the Wallet posted, None for GET (V-13).
        vp_formats: what we can verify; those asked for are named.

    Raises:
        InvalidInput: no `state` though a presentation without holder binding is asked for (V-12).

    Specification: OpenID4VP 1.0, section 5; HAIP 5, 5.1; PROFILE V-11, V-12, V-20 to V-22.
    """
    if state is None and query.unbound:
        raise InvalidInput("request: state is required without holder binding")
    asked = {each.format for each in query.credentials}
    claims: dict[str, JsonValue] = {
        "client_id": client_id,
        "aud": STATIC_AUDIENCE,
        "iat": to_numeric_date(now),
        "exp": to_numeric_date(now + lifetime),
        "response_type": "vp_token",
        "response_mode": RESPONSE_MODE,
        "response_uri": response_uri,
        "nonce": nonce,
        "dcql_query": query.to_object(),
        "client_metadata": {
            "jwks": {"keys": [encryption_key.to_jwk()]},
            "encrypted_response_enc_values_supported": list(ENC_VALUES),
            "vp_formats_supported": {f: v for f, v in vp_formats.items() if f in asked},
        },
    }
    if state is not None:
        claims["state"] = state
    if purpose is not None:
        claims["verifier_info"] = [purpose.entry()]
    if transaction_data:
        claims["transaction_data"] = list(transaction_data)
    if wallet_nonce is not None:
        claims["wallet_nonce"] = wallet_nonce
    return jws.sign_jwt(claims, typ=TYP, signer=signer)


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
        # 3. Parameters that must not be there, then those that must.
        _refuse_others(jwt.claims)
        sent = RequestObject.from_object(jwt.claims)
    except (InvalidInput, VerificationError) as error:
        raise InvalidRequest(f"request object: {error}") from error
    # 4. client_id is the one of the link, prefix included, and the leaf is its certificate.
    if sent.client_id != client_id:
        raise InvalidRequest("request object: client_id is not the one of the link")
    client_ids.check(identified, chain=jwt.chain, response_uri=sent.response_uri)
    # 5. Made for this wallet, and for this fetch of it.
    if sent.aud != audience:
        raise InvalidRequest("request object: aud is another wallet")
    if wallet_nonce is not None and sent.wallet_nonce != wallet_nonce:
        raise InvalidRequest("request object: wallet_nonce is missing or another one")
    # 6. nonce and state are of the URL-safe alphabet.
    for value in (sent.nonce, sent.state):
        if value is not None and not _URL_SAFE.fullmatch(value):
            raise InvalidRequest("request object: nonce or state has other characters")
    # 7. The query, the formats, the key, the transactions.
    try:
        query = dcql.parse(sent.dcql_query)
        key = choose_encryption_key(sent.client_metadata.jwks)
        enc = choose_enc(sent.client_metadata.encrypted_response_enc_values_supported)
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
        chain=jwt.chain,
        nonce=sent.nonce,
        state=sent.state,
        response_uri=sent.response_uri,
        query=query,
        encryption_key=key,
        enc=enc,
        transaction_data=transactions,
        purpose=_purpose(sent.verifier_info or ()),
        issued_at=_time(jwt.claims.get("iat")),
        expires_at=_time(jwt.claims.get("exp")),
    )


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
        lists = [theirs.get(member, ["ES256"]) for member in _ALGORITHM_MEMBERS.get(name, ())]
        if all(isinstance(each, list) and "ES256" in each for each in lists):
            return
    raise VpFormatsNotSupported("request object: no common format or algorithm")


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
