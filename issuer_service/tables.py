"""The issuer's own database; nobody else reads it.

Tenant is part of every key. Rows on hot paths are found by a random key of their own, with which
their codes and tokens begin: no further index is kept. Codes and tokens are stored hashed (S-01),
Transaction Codes and references to people as HMAC; no table holds an issued credential, a
Disclosure or a proof key (I-112). Claims given by the API caller lie sealed in their offer until
it ends.
"""

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    func,
    literal_column,
)

from shared.runtime.database import UtcDateTime, new_metadata
from shared.runtime.tables import add_runtime_tables, add_staff_tables

metadata = new_metadata()
runtime = add_runtime_tables(metadata)
staff = add_staff_tables(metadata)

_TENANT, _ID, _CODE = String(64), String(40), String(40)

offers = Table(
    "offers",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", _ID, primary_key=True),  # off_…
    Column("state", String(12), nullable=False),  # open, redeemed, collected, cancelled
    Column("generation", Integer, nullable=False),  # renewed so many times
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("created_by", String(64), nullable=False),
    Column("configuration_ids", Text, nullable=False),  # separated by spaces
    Column("subject", LargeBinary(32)),  # HMAC; whom the claims are about
    Column("holder", LargeBinary(32)),  # HMAC; who is to hold the credential
    Column("content", LargeBinary, nullable=False),  # sealed: reference or claims; shape of tx_code
    Column("reference_hash", LargeBinary(32), nullable=False),  # of the offer's own URI
    Column("code_hash", LargeBinary(32), nullable=False),  # of the Pre-Authorized Code
    Column("tx_code", LargeBinary(32), nullable=False),  # HMAC
    Column("tries", Integer, nullable=False),  # wrong Transaction Codes so far
    Index(None, "tenant", "created_at", "id"),
)

# Offers whose content is still to be erased; most are erased soon after they were collected.
_SEALED = func.length(offers.c.content) > literal_column("0")
Index("ix_offers_sealed", offers.c.created_at, sqlite_where=_SEALED, postgresql_where=_SEALED)

# What a clerk is shown of one person.
_ABOUT = offers.c.subject.is_not(None)
Index(
    "ix_offers_subject",
    offers.c.tenant,
    offers.c.subject,
    sqlite_where=_ABOUT,
    postgresql_where=_ABOUT,
)

grants = Table(
    "grants",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("offer_id", _ID, primary_key=True),
    Column("id", _ID, primary_key=True),  # grt_…
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("jkt", String(43), nullable=False),  # the DPoP key that the token is bound to
    Column("client_id", String(200)),  # as the wallet says
    Column("attested", Boolean, nullable=False),  # whether its provider says so too
    Column("configuration_ids", Text, nullable=False),
    Column("identified", Boolean, nullable=False),  # credential_identifiers were given
    Column("expires_at", UtcDateTime, nullable=False),
    Column("issued", Integer, nullable=False),  # copies
    Column("revoked_at", UtcDateTime),
    ForeignKeyConstraint(["tenant", "offer_id"], ["offers.tenant", "offers.id"]),
    sqlite_with_rowid=False,
)

authorizations = Table(
    "authorizations",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", _ID, primary_key=True),  # azr_…; one pushed authorization request
    Column("request_hash", LargeBinary(32), nullable=False),  # of its request_uri
    Column("client_id", String(200), nullable=False),
    Column("attested", Boolean, nullable=False),  # whether its provider says so too
    Column("wallet_name", String(200)),  # as its provider says
    Column("redirect_uri", Text, nullable=False),
    Column("state", Text),
    Column("code_challenge", String(43), nullable=False),
    Column("dpop_jkt", String(43)),  # the key that the code is bound to
    Column("configuration_ids", Text, nullable=False),
    Column("identified", Boolean, nullable=False),  # authorization_details were used
    Column("scope", Text),  # what is granted, if less was granted than asked for
    Column("offer_id", _ID),  # behind issuer_state
    Column("opened_at", UtcDateTime),  # first shown to a person
    Column("expires_at", UtcDateTime, nullable=False),  # of request_uri, then login, then code
    Column("outcome", String(8)),  # granted, refused, redeemed
    Column("code_hash", LargeBinary(32)),
    Column("person", LargeBinary),  # sealed: who logged in; gone once the code is redeemed
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

# One-time codes with which a person logs in, handed out by a clerk. The first half of a code finds
# its row, the second half is the secret.
desk_codes = Table(
    "desk_codes",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", _ID, primary_key=True),  # dsk_…; with the first half of the code
    Column("state", String(12), nullable=False),  # open, used, cancelled
    Column("created_by", String(64), nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("code_hash", LargeBinary(32), nullable=False),  # HMAC
    Column("tries", Integer, nullable=False),  # wrong second halves so far
    Column("content", LargeBinary, nullable=False),  # sealed: the person; gone once it was used
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("offer_id", _ID, primary_key=True),
    Column("id", _ID, primary_key=True),  # rft_…
    Column("token_hash", LargeBinary(32), nullable=False),
    Column("client_id", String(200), nullable=False),
    Column("instance_jkt", String(43), nullable=False),  # the attested key it is bound to
    Column("configuration_ids", Text, nullable=False),
    Column("identified", Boolean, nullable=False),
    Column("used_at", UtcDateTime),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime),
    ForeignKeyConstraint(["tenant", "offer_id"], ["offers.tenant", "offers.id"]),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

# One record of the same data given to one person under one offer: every format and every copy of it
# hangs on it, so one revocation covers them all.
issuances = Table(
    "issuances",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", _ID, primary_key=True),  # iss_…; keyed hash of offer, dataset and data
    Column("grant_id", _ID, nullable=False),  # that it was first issued under
    Column("offer_id", _ID, nullable=False),
    Column("configuration_id", String(100), nullable=False),  # the first
    Column("configuration_ids", Text),  # all, separated by spaces; null: the first alone
    Column("dataset", String(100)),  # of all of them; null: made by a release that knew none
    Column("subject", LargeBinary(32)),
    Column("holder", LargeBinary(32)),
    Column("recipient", String(200)),  # the attested wallet it went to
    Column("issued_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("claims_fingerprint", LargeBinary(32), nullable=False),  # HMAC; the claims are not kept
    Column("register_version", String(64)),
    Column("refresh_after", UtcDateTime),  # when a derived claim becomes stale
    Column("state", String(12), nullable=False),  # valid, suspended, revoked
    Column("reason", _CODE),
    Column("changed_at", UtcDateTime),  # of the state; none was changed yet
    Column("notified", String(30)),  # the last event that a wallet told of one of its deliveries
    Index(None, "tenant", "issued_at", "id"),
    Index(None, "tenant", "subject"),
    sqlite_with_rowid=False,
)

# Rows that the publishing job looks for, and nothing for the many that never change.
for _name, _where, _column in (
    ("ix_issuances_not_valid", issuances.c.state != "valid", issuances.c.state),
    ("ix_issuances_changed", issuances.c.changed_at.is_not(None), issuances.c.changed_at),
):
    Index(_name, _column, sqlite_where=_where, postgresql_where=_where)

copies = Table(
    "copies",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("list", Integer, primary_key=True),
    Column("idx", Integer, primary_key=True),  # no two credentials share one: ST-31
    Column("issuance_id", _ID, nullable=False),
    Column("delivery_id", _ID),  # the answer it went out with
    Index(None, "tenant", "issuance_id"),
    sqlite_with_rowid=False,
)

# One credential response. Its id is a keyed hash of the request, so that a request which is sent
# again finds it; notification_id and transaction_id are derived from it and never stored.
deliveries = Table(
    "deliveries",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", _ID, primary_key=True),  # dlv_…
    Column("issuance_id", _ID, nullable=False),
    Column("offer_id", _ID, nullable=False),
    Column("client_id", String(200)),
    Column("configuration_id", String(100), nullable=False),
    Column("claims_fingerprint", LargeBinary(32), nullable=False),  # HMAC
    Column("delivered_at", UtcDateTime, nullable=False),
    Column("notified", String(30)),
    sqlite_with_rowid=False,
)

# Credential requests whose data is not ready: who may fetch it, for which keys (I-85).
deferrals = Table(
    "deferrals",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", _ID, primary_key=True),  # dlv_…; the id its delivery will have
    Column("offer_id", _ID, nullable=False),
    Column("client_id", String(200)),
    Column("configuration_id", String(100), nullable=False),
    Column("keys", LargeBinary, nullable=False),  # sealed: the public keys of the first proofs
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

# Keys that wallets encrypt credential requests to, one for each period; erased when it is over.
request_keys = Table(
    "request_keys",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("period", Integer, primary_key=True),
    Column("kid", String(43), nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),  # after the last request that knows it
    Index(None, "ends_at"),
    sqlite_with_rowid=False,
)

status_lists = Table(
    "status_lists",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("ttl", Integer, nullable=False),  # configurations of the same ttl share lists
    Column("taken", Integer, nullable=False),  # counters leased so far, from below
    Column("covers", Integer, nullable=False),  # unused indexes changed as cover, from above
    Column("needed_until", UtcDateTime, nullable=False),  # the last expiry of what refers to it
    Column("published_at", UtcDateTime, nullable=False),
    Column("version", Integer, nullable=False),
    Column("token", Text, nullable=False),  # the Status List Token as JWT
    Column("cwt", LargeBinary),  # and as CWT; null: signed by a release that knew none
    Column("packed", LargeBinary),  # the JWT in gzip; null likewise
    Index(None, "tenant", "ttl"),
)

used_values = Table(
    "used_values",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("hash", LargeBinary(32), primary_key=True),  # c_nonce, DPoP and attestation jti (S-02)
    Column("expires_at", UtcDateTime, nullable=False),
    Index(None, "expires_at"),
    sqlite_with_rowid=False,
)

audit = Table(
    "audit",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("id", _ID, primary_key=True),  # aud_…
    Column("at", UtcDateTime, nullable=False),
    Column("actor", String(64), nullable=False),  # an API client, staff (stf_…), "wallet" …
    Column("act", _CODE, nullable=False),
    Column("object", _ID, nullable=False),
    Column("reason", _CODE),
    Column("legal_basis", String(200)),
    Column("second_approver", String(100)),
    Column("sequence", Integer),  # given by the chaining job, together with the hash
    Column("hash", LargeBinary(32)),
    Index(None, "tenant", "sequence"),
    sqlite_with_rowid=False,
)

_UNCHAINED = audit.c.sequence.is_(None)
Index(
    "ix_audit_unchained",
    audit.c.tenant,
    audit.c.at,
    sqlite_where=_UNCHAINED,
    postgresql_where=_UNCHAINED,
)

audit_heads = Table(
    "audit_heads",
    metadata,
    Column("tenant", _TENANT, primary_key=True),
    Column("sequence", Integer, primary_key=True),
    Column("at", UtcDateTime, nullable=False),
    Column("hash", LargeBinary(32), nullable=False),
    Column("signature", Text, nullable=False),  # a JWT over tenant, sequence and hash
)
