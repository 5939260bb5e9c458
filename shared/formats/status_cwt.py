"""Status List Token as CWT: what the JWT says, in CBOR, for those who read no JSON.

Both forms are made from one list and stand at one URI; who verifies takes whichever came.
Specification: Token Status List draft 14, section 5.2; RFC 8392; PROFILE ST-03, ST-20.
"""

from collections.abc import Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from ..crypto import x509
from ..crypto.keys import Signer
from ..crypto.x509 import Profile
from ..errors import InvalidInput, StatusUnavailable, VerificationError
from . import cbor, cose, status_list
from .status_list import StatusList, VerifiedStatusList

MEDIA_TYPE = "application/statuslist+cwt"
_KEYS = {"sub": 2, "exp": 4, "iat": 6, "status_list": 65533, "ttl": 65534}
_NAMES = {number: name for name, number in _KEYS.items()}
_MAX_BYTES = 4 * 1024 * 1024 + 64 * 1024  # S-20: 4 MiB compressed, and what stands around it


def sign_token(
    listed: StatusList,
    *,
    uri: str,
    signer: Signer,
    now: datetime,
    ttl: timedelta,
    expires_in: timedelta = timedelta(hours=24),
    aggregation_uri: str | None = None,
) -> bytes:
    """Publish *listed* as a CWT; arguments and errors as for `status_list.sign_token`.

    Returns:
        A COSE_Sign1 with tag 18.

    Specification: Token Status List, sections 4.3 and 5.2; PROFILE ST-20.
    """
    claims = status_list.token_claims(
        uri=uri, signer=signer, now=now, ttl=ttl, expires_in=expires_in
    )
    entry: dict[str, object] = {"bits": listed.bits, "lst": listed.compress()}
    if aggregation_uri is not None:
        entry["aggregation_uri"] = aggregation_uri
    content = {_KEYS[name]: value for name, value in {**claims, "status_list": entry}.items()}
    payload = cbor.dumps(dict(sorted(content.items())))
    return cose.sign(payload, signer=signer, typ=MEDIA_TYPE, tagged=True)


def verify_token(
    token: bytes,
    *,
    uri: str,
    anchors: Collection[bytes],
    now: datetime,
    algorithms: Collection[str],
    newest: datetime | None,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
) -> VerifiedStatusList:
    """Believe a Status List Token, be it a JWT or a CWT, tagged or not.

    Args:
        token: the body of the answer.
        uri: as for `status_list.verify_token`, with all that follow.
        anchors: see *uri*.
        now: see *uri*.
        algorithms: see *uri*.
        newest: see *uri*.
        revoked: see *uri*.
        pinned: see *uri*.

    Raises:
        StatusUnavailable: whatever fails, this token makes no statement (ST-54).

    Specification: Token Status List, sections 5.1, 5.2 and 8.3; PROFILE ST-10, ST-20, ST-51.
    """
    if token[:1] not in {b"\x84", b"\xd2"}:
        return status_list.verify_token(
            token.decode("ascii", "replace"),
            uri=uri,
            anchors=anchors,
            now=now,
            algorithms=algorithms,
            newest=newest,
            revoked=revoked,
            pinned=pinned,
        )
    try:
        # 3a. type, alg, chain to a status anchor, signature.
        signed = cose.parse(cbor.loads(token, max_bytes=_MAX_BYTES))
        if signed.typ != MEDIA_TYPE:
            raise InvalidInput("CWT: another type")
        chain = x509.verify_chain(
            signed.unverified_chain(),
            anchors=anchors,
            profile=Profile.STATUS,
            now=now,
            revoked=revoked,
            pinned=pinned,
        )
        signed.verify(chain.public, algorithms=algorithms)
        claims = cbor.loads(signed.payload or b"", max_bytes=_MAX_BYTES)
        if not isinstance(claims, dict):
            raise InvalidInput("CWT: the claims are not a map")
        # 3b. to 5. As for a JWT.
        named = {_NAMES[each]: value for each, value in claims.items() if each in _NAMES}
        return status_list.believe(named, _read, uri=uri, now=now, newest=newest)
    except StatusUnavailable:
        raise
    except (InvalidInput, VerificationError) as error:
        raise StatusUnavailable(f"status list: {error}") from error


def _read(value: Any) -> StatusList:
    """The CBOR form of a list (section 4.3; ST-03)."""
    if not isinstance(value, Mapping):
        raise InvalidInput("status list: not a map")
    bits, packed = value.get("bits"), value.get("lst")
    if type(bits) is not int or not isinstance(packed, bytes):
        raise InvalidInput("status list: bits or lst missing")
    return StatusList(bits, status_list.expand(packed))
