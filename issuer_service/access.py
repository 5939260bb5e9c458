"""What the access token of a request allows; and what may be used only once.

Tokens are opaque, stored hashed, bound to the DPoP key. A proof is verified here and recorded in
the transaction of the act it was made for. RFC 9449; PROFILE I-33 to I-36, I-65, S-02.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from sqlalchemy import Connection, bindparam, select

from shared.errors import ProtocolError
from shared.oauth import dpop
from shared.oauth.errors import InvalidDpopProofAtResource, InvalidRequest, InvalidToken
from shared.runtime.calls import Call
from shared.runtime.prepared import Prepared, PreparedInsert

from .context import Issuer, Tenant, row_id
from .offers import hashed
from .tables import grants, offers, used_values

_BY_TOKEN = Prepared(
    select(
        grants.c.id,
        grants.c.jkt,
        grants.c.client_id,
        grants.c.attested,
        grants.c.configuration_ids,
        grants.c.identified,
        grants.c.expires_at,
        grants.c.revoked_at,
        offers.c.id.label("offer_id"),
        offers.c.subject,
        offers.c.holder,
        offers.c.content,
    )
    .join_from(
        grants, offers, (grants.c.tenant == offers.c.tenant) & (grants.c.offer_id == offers.c.id)
    )
    .where(
        grants.c.tenant == bindparam("of_tenant"),
        grants.c.offer_id == bindparam("of_offer"),
        grants.c.id == bindparam("of_grant"),
        grants.c.token_hash == bindparam("by_token"),
    )
)


_USE = PreparedInsert(used_values, ["tenant", "hash", "expires_at"])


@dataclass(frozen=True, slots=True)
class Headers:
    """What authenticates a request: every value of each header, as received."""

    authorization: Sequence[str]
    dpop: Sequence[str]
    attestation: Sequence[str]
    attestation_pop: Sequence[str]

    @classmethod
    def of(cls, call: Call) -> Self:
        """Those of *call*."""
        return cls(
            authorization=call.headers("authorization"),
            dpop=call.headers("dpop"),
            attestation=call.headers("oauth-client-attestation"),
            attestation_pop=call.headers("oauth-client-attestation-pop"),
        )


@dataclass(frozen=True, slots=True)
class AccessGrant:
    """What a verified access token allows, and the proof it came with.

    Attributes:
        client_id: as the wallet says; *attested* if its provider says so too.
        identified: whether credentials are asked for by `credential_identifier` (I-66).
        proof: its use is to be recorded in the transaction of the act.
    """

    id: str
    offer_id: str
    client_id: str | None
    attested: bool
    configuration_ids: tuple[str, ...]
    identified: bool
    subject: bytes | None
    holder: bytes | None
    content: bytes
    proof: dpop.DpopProof


def access_grant(
    issuer: Issuer, tenant: Tenant, headers: Headers, query: Mapping[str, str], *, endpoint: str
) -> AccessGrant:
    """What the access token of a request at *endpoint* allows.

    Raises:
        InvalidToken, InvalidDpopProofAtResource, UseDpopNonceAtResource: 401, each with a
            challenge.
        InvalidRequest: a token in the query string (I-36).

    Specification: RFC 9449, section 7; PROFILE I-33 to I-36, I-65.
    """
    if "access_token" in query:
        raise InvalidRequest("access token: in the query string")
    now = issuer.clock()
    token = dpop.access_token(headers.authorization)
    row = _BY_TOKEN.row(
        issuer.database,
        {
            "of_tenant": tenant.name,
            "of_offer": row_id("off", token),
            "of_grant": row_id("grt", token, 1),
            "by_token": hashed(token),
        },
    )
    if row is None:
        raise InvalidToken("access token: unknown")
    proof = dpop.verify(
        headers.dpop,
        method="POST",
        url=f"{tenant.identifier}/{endpoint}",
        now=now,
        access_token=token,
        expected_jkt=row.jkt,
        nonces=issuer.nonce_source(tenant.rs_nonces, now) if tenant.file.dpop_nonce else None,
    )
    if row.revoked_at is not None or row.expires_at <= now:
        raise InvalidToken("access token: revoked or expired")
    return AccessGrant(
        id=row.id,
        offer_id=row.offer_id,
        client_id=row.client_id,
        attested=row.attested,
        configuration_ids=tuple(row.configuration_ids.split()),
        identified=row.identified,
        subject=row.subject,
        holder=row.holder,
        content=row.content,
        proof=proof,
    )


def use_proof(connection: Connection, tenant: Tenant, grant: AccessGrant, now: datetime) -> None:
    """Record the proof that came with *grant*: InvalidDpopProofAtResource the second time."""
    use_once(connection, tenant, grant.proof.use, now + 2 * dpop.WINDOW, InvalidDpopProofAtResource)


def use_once(
    connection: Connection,
    tenant: Tenant,
    value: bytes,
    until: datetime,
    refusal: type[ProtocolError],
) -> None:
    """Record that *value* was used; of two at once one gets *refusal* (S-02).

    Args:
        connection: in the transaction of the act.
        tenant: in which it is used.
        value: 32 bytes that stand for it.
        until: when *value* is refused anyway, so that its record may go.
        refusal: of the second use.
    """
    row = {"tenant": tenant.name, "hash": value, "expires_at": until}
    if not _USE.once(connection, row):
        raise refusal("used already")
