"""Token Status List: the bits, the signed list as JWT, and what a status means.

The byte order is that of the draft: the first entry is in the lowest bits of the first byte (the
W3C list is the other way round, ST-62, and lives elsewhere). Lists of up to 2^20 entries are
compressed as well as possible, larger ones fast.
Specification: Token Status List draft 14; PROFILE ST-01 to ST-57.
"""

import zlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

import deflate

from ..crypto.keys import Signer
from ..crypto.x509 import Profile
from ..encoding import (
    JsonValue,
    b64url_decode,
    b64url_encode,
    from_numeric_date,
    parse_json_object,
    to_numeric_date,
)
from ..errors import (
    InvalidInput,
    Revoked,
    StatusUnavailable,
    Suspended,
    VerificationError,
)
from ..jose import jws
from .status_states import Status

TYP = "statuslist+jwt"
MEDIA_TYPE = "application/statuslist+jwt"
DEFAULT_SIZE = 2**20  # ST-32
MAX_TOKEN = 6 * 1024 * 1024  # S-20: 4 MiB compressed, as base64url twice
MAX_EXPANDED = 16 * 1024 * 1024  # ST-53, S-20
MAX_URI = 2048
LEEWAY = timedelta(seconds=30)  # C-40
_THOROUGH = 256 * 1024  # bytes of list up to which the best compression takes under 0.1 s
_SHIFTS = {1: 3, 2: 2, 4: 1, 8: 0}  # bits -> entries in a byte, as a power of two


@dataclass(frozen=True, slots=True)
class StatusReference:
    """Where a credential's status is found: entry *index* of the list at *uri*."""

    index: int
    uri: str

    def to_claim(self) -> dict[str, JsonValue]:
        """The value of the claim `status` (section 6.2; ST-30)."""
        return {"status_list": {"idx": self.index, "uri": self.uri}}


def status_reference(claims: Mapping[str, JsonValue]) -> StatusReference | None:
    """The reference in verified *claims*; None if the credential has no status.

    Raises:
        InvalidInput: `status` is there without a well-formed `status_list` (F-VC-02, ST-30).

    Specification: Token Status List, section 6.2.
    """
    if "status" not in claims:
        return None
    status = claims["status"]
    entry = status.get("status_list") if isinstance(status, dict) else None
    if not isinstance(entry, dict):
        raise InvalidInput("status: no status_list")
    index, uri = entry.get("idx"), entry.get("uri")
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise InvalidInput("status: idx is not an integer from 0")
    if not isinstance(uri, str) or not 1 <= len(uri) <= MAX_URI:
        raise InvalidInput("status: uri is not a string")
    return StatusReference(index, uri)


class IndexOutOfRange(VerificationError):
    """The credential points past the end of its list: refused, whatever the policy (ST-53)."""

    reason: ClassVar[str] = "status_unavailable"


class StatusList:
    """A packed array of statuses, 1, 2, 4 or 8 bits each (section 4.1; ST-01)."""

    __slots__ = ("_data", "_mask", "_shift", "bits")

    def __init__(self, bits: int, data: bytes | bytearray) -> None:
        """*data* is copied; as long as the list is, in whole bytes."""
        if bits not in _SHIFTS:
            raise InvalidInput("status list: bits is not 1, 2, 4 or 8")
        self.bits = bits
        self._data = bytearray(data)
        self._shift = _SHIFTS[bits]
        self._mask = (1 << bits) - 1

    @classmethod
    def empty(cls, bits: int, size: int = DEFAULT_SIZE) -> "StatusList":
        """At least *size* entries, all VALID (ST-32)."""
        if bits not in _SHIFTS or size < 1:
            raise InvalidInput("status list: no such size")
        return cls(bits, bytes(-(-size * bits // 8)))

    def __len__(self) -> int:
        return len(self._data) << self._shift

    @property
    def data(self) -> bytes:
        """The byte array."""
        return bytes(self._data)

    def get(self, index: int) -> int:
        """The value of entry *index*.

        Raises:
            IndexOutOfRange: there is no such entry.
        """
        if not 0 <= index < len(self):
            raise IndexOutOfRange("status list: the index is outside of the list")
        offset = (index & ((1 << self._shift) - 1)) * self.bits
        return self._data[index >> self._shift] >> offset & self._mask

    def set(self, index: int, value: int) -> None:
        """Make entry *index* be *value*; raises InvalidInput if either does not fit."""
        self.set_all((index,), value)

    def set_all(self, indexes: Iterable[int], value: int) -> None:
        """Make all *indexes* be *value*: a list of millions is built in a fraction of a second."""
        if not 0 <= value <= self._mask:
            raise InvalidInput("status list: the value needs more bits")
        data, shift, bits, size = self._data, self._shift, self.bits, len(self)
        within = (1 << shift) - 1
        setting = [value << (each * bits) for each in range(within + 1)]
        keeping = [0xFF ^ self._mask << (each * bits) for each in range(within + 1)]
        for index in indexes:
            if not 0 <= index < size:
                raise InvalidInput("status list: the index is outside of the list")
            at, place = index >> shift, index & within
            data[at] = data[at] & keeping[place] | setting[place]

    def to_json(self, *, aggregation_uri: str | None = None) -> dict[str, JsonValue]:
        """The `status_list` object (section 4.2; ST-03)."""
        entry: dict[str, JsonValue] = {"bits": self.bits, "lst": b64url_encode(self.compress())}
        if aggregation_uri is not None:
            entry["aggregation_uri"] = aggregation_uri
        return entry

    @classmethod
    def from_json(cls, value: JsonValue) -> "StatusList":
        """Read a `status_list` object.

        Raises:
            InvalidInput: not that shape, not ZLIB, or more than 16 MiB when expanded.

        Specification: Token Status List, section 4.2; PROFILE ST-02, ST-03, ST-53.
        """
        if not isinstance(value, Mapping):
            raise InvalidInput("status list: not an object")
        bits, packed = value.get("bits"), value.get("lst")
        if isinstance(bits, bool) or not isinstance(bits, int) or not isinstance(packed, str):
            raise InvalidInput("status list: bits or lst missing")
        return cls(bits, expand(b64url_decode(packed)))

    def compress(self) -> bytes:
        """The byte array as ZLIB, with the header `78 da` that every wallet accepts (ST-02)."""
        level = 12 if len(self._data) <= _THOROUGH else 6
        return b"\x78\xda" + bytes(deflate.zlib_compress(bytes(self._data), level))[2:]


def expand(packed: bytes) -> bytes:
    """Decompress ZLIB with a cap on the output.

    Raises:
        InvalidInput: not exactly one ZLIB stream, or more than 16 MiB of output.

    Specification: Token Status List, section 4.1; PROFILE ST-02, ST-53, S-20.
    """
    reader = zlib.decompressobj()
    try:
        data = reader.decompress(packed, MAX_EXPANDED + 1)
    except zlib.error as error:
        raise InvalidInput("status list: not ZLIB") from error
    if len(data) > MAX_EXPANDED:
        raise InvalidInput("status list: expands to too much")
    if not reader.eof or reader.unused_data or not data:
        raise InvalidInput("status list: truncated, empty, or with something after its end")
    return data


def sign_token(
    status_list: StatusList,
    *,
    uri: str,
    signer: Signer,
    now: datetime,
    ttl: timedelta,
    expires_in: timedelta = timedelta(hours=24),
    aggregation_uri: str | None = None,
) -> str:
    """Publish *status_list* as a Status List Token.

    Args:
        status_list: what is said about every credential that points here.
        uri: of the list, exactly as the credentials name it; becomes `sub`.
        signer: with its certificates.
        now: becomes `iat`.
        ttl: how long a copy may be used without asking again, whole seconds, more than none.
        expires_in: after this nothing is said any more.
        aggregation_uri: where all lists are named (ST-43).

    Raises:
        InvalidInput: *ttl* is under a second, or the signer has no certificate.

    Specification: Token Status List, section 5.1; HAIP 1.0, section 6.1; PROFILE ST-10, ST-42.
    """
    claims = token_claims(uri=uri, signer=signer, now=now, ttl=ttl, expires_in=expires_in)
    entry = status_list.to_json(aggregation_uri=aggregation_uri)
    return jws.sign_jwt({**claims, "status_list": entry}, typ=TYP, signer=signer)


def token_claims(
    *, uri: str, signer: Signer, now: datetime, ttl: timedelta, expires_in: timedelta
) -> dict[str, JsonValue]:
    """What a token says beside its list; raises InvalidInput as `sign_token` does."""
    seconds = int(ttl.total_seconds())
    if seconds < 1:
        raise InvalidInput("status list: ttl is not positive")
    if not signer.certificates:
        raise InvalidInput("status list: the signer has no certificate")
    issued_at = to_numeric_date(now)
    return {
        "sub": uri,
        "iat": issued_at,
        "exp": issued_at + int(expires_in.total_seconds()),
        "ttl": seconds,
    }


@dataclass(frozen=True, slots=True)
class VerifiedStatusList:
    """A list that may be believed until `exp`, for the credentials that name *uri*."""

    uri: str
    list: StatusList
    issued_at: datetime
    expires_at: datetime | None
    ttl: timedelta | None
    aggregation_uri: str | None

    def check(self, reference: StatusReference, *, now: datetime) -> None:
        """Let pass a credential that is VALID; call it after everything else was verified (ST-50).

        Raises:
            Revoked: INVALID, or a value whose meaning is not known here (ST-04).
            Suspended: SUSPENDED.
            StatusUnavailable: this is another list, or it has expired.
            IndexOutOfRange: there is no such entry.

        Specification: Token Status List, sections 7.1 and 8.3; PROFILE ST-50 to ST-54.
        """
        if reference.uri != self.uri:
            raise StatusUnavailable("status list: not the one the credential names")
        if self.expires_at is not None and now >= self.expires_at + LEEWAY:
            raise StatusUnavailable("status list: expired")
        value = self.list.get(reference.index)
        if value == Status.SUSPENDED:
            raise Suspended("status: suspended")
        if value != Status.VALID:
            raise Revoked("status: not valid")


def verify_token(
    token: str,
    *,
    uri: str,
    anchors: Collection[bytes],
    now: datetime,
    algorithms: Collection[str],
    newest: datetime | None,
    revoked: Collection[str] = frozenset(),
    pinned: Collection[bytes] = frozenset(),
) -> VerifiedStatusList:
    """Believe a Status List Token.

    Args:
        token: the body of the answer.
        uri: as the credential names it; compared byte for byte.
        anchors: of the role status.
        now: aware.
        algorithms: what is accepted as `alg`; never a MAC.
        newest: the latest `iat` ever seen for this list; None the first time. An older list cannot
            un-revoke.
        revoked: thumbprints of certificates no longer believed.
        pinned: leaf certificates believed without a path (tests and pilots).

    Raises:
        StatusUnavailable: whatever fails, this token makes no statement (ST-54).

    Specification: Token Status List, sections 5.1 and 8.3; PROFILE ST-10, ST-51.
    """
    try:
        # 3a. typ, alg, chain to a status anchor, signature.
        jwt = jws.verify_x5c_jwt(
            token,
            typ=TYP,
            algorithms=algorithms,
            anchors=anchors,
            profile=Profile.STATUS,
            now=now,
            revoked=revoked,
            pinned=pinned,
            max_bytes=MAX_TOKEN,
            max_string=MAX_TOKEN,
        )
        return believe(jwt.claims, StatusList.from_json, uri=uri, now=now, newest=newest)
    except StatusUnavailable:
        raise
    except (InvalidInput, VerificationError) as error:
        raise StatusUnavailable(f"status list: {error}") from error


def believe(
    claims: Mapping[str, Any],
    read: Callable[[Any], StatusList],
    *,
    uri: str,
    now: datetime,
    newest: datetime | None,
) -> VerifiedStatusList:
    """The rest of verifying a token, whose signature was verified, by its claims' names in JSON.

    Args:
        claims: of the token.
        read: gives the list in the claim `status_list`.
        uri: as in `verify_token`, with *now* and *newest*.
        now: see *uri*.
        newest: see *uri*.

    Raises:
        InvalidInput, VerificationError: it makes no statement.
    """
    # 3b. The required claims; 4a. it is the list the credential names.
    if claims.get("sub") != uri:
        raise InvalidInput("status list: sub is another list")
    # 4b., 4c. Its times.
    jws.check_times(claims, now=now, leeway=LEEWAY, require=("iat", "sub", "status_list"))
    issued_at = from_numeric_date(claims["iat"])
    # 5. Decompress, with a cap.
    entry = claims["status_list"]
    status_list = read(entry)
    ttl = _ttl(claims.get("ttl"))
    # 4b. No older list than one already seen.
    if newest is not None and issued_at < newest:
        raise StatusUnavailable("status list: older than one already seen")
    aggregation = entry.get("aggregation_uri") if isinstance(entry, Mapping) else None
    return VerifiedStatusList(
        uri=uri,
        list=status_list,
        issued_at=issued_at,
        expires_at=from_numeric_date(claims["exp"]) if "exp" in claims else None,
        ttl=ttl,
        aggregation_uri=aggregation if isinstance(aggregation, str) else None,
    )


def _ttl(value: JsonValue) -> timedelta | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**9:
        raise InvalidInput("status list: ttl is not a positive number")
    return timedelta(seconds=value)


def aggregation(uris: Iterable[str]) -> dict[str, JsonValue]:
    """The Status List Aggregation naming all *uris* (section 9.3; ST-43)."""
    return {"status_lists": list(uris)}


def parse_aggregation(data: bytes, *, max_bytes: int = 1024 * 1024) -> tuple[str, ...]:
    """The URIs of a Status List Aggregation; each is then fetched alone, and may fail alone.

    Raises:
        InvalidInput: not an object with an array of strings.

    Specification: Token Status List, section 9.3; PROFILE ST-43.
    """
    found = parse_json_object(data, max_bytes=max_bytes).get("status_lists")
    if not isinstance(found, list) or not all(
        isinstance(each, str) and 1 <= len(each) <= MAX_URI for each in found
    ):
        raise InvalidInput("status list aggregation: not an array of URIs")
    return tuple(str(each) for each in found)
