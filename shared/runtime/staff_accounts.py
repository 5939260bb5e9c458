"""Accounts of staff: invited from the command line, or led here by an OpenID Provider.

A local account begins as an invitation, whose code is good once and for three days and is stored
hashed; whoever uses it makes a passkey. A further invitation of the same account replaces passkey
and sessions when it is used, so a lost device is struck off by the clerk who gets the new link. An
account of a provider begins with its first sign-in; its name and roles are what the provider last
said. Nobody can enrol, and no role is given, at a web page. ADR 0020.
"""

import hashlib
import hmac
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, insert, select, update

from ..crypto.sealing import TimedNonces, hkdf
from ..encoding import Clock, RandomBytes, b64url_encode
from ..errors import ExpectedError, InvalidInput, NotFound, VerificationError
from .database import Database, insert_once, once
from .languages import mark
from .sign_in import Recorder, StaffAct, StaffSessions
from .staff_files import NoRoles, StaffProviderFile
from .staff_passkeys import Gesture, Passkey, PasskeyParty, TookTooLong, WrongPasskey
from .tables import StaffTables

INVITED = timedelta(days=3)
OPERATOR = "operator"
"""The actor of what is done on the command line."""
_CHALLENGE = timedelta(minutes=5)
_ID_LENGTH = 22


class InvitationGone(ExpectedError):
    """Unknown, used, replaced, too old, or of a disabled account: nobody learns which (S-42)."""

    status = 403
    code = "invitation_gone"
    public = mark("This invitation is not good, or not any more: it works once, for three days.")
    next_step = mark("Ask whoever invited you for a new one.")


@dataclass(frozen=True, slots=True)
class AccountView:
    """An account as whoever manages it sees it."""

    id: str
    name: str
    roles: tuple[str, ...]
    state: str
    by_provider: bool


@dataclass(frozen=True, slots=True)
class Invited:
    """Whom an invitation is for, and what their browser is asked for."""

    name: str
    roles: tuple[str, ...]
    options: str


class StaffAccounts:
    """The accounts of one service's staff.

    Args:
        database: of the service.
        tables: see `add_staff_tables`.
        sessions: that sign-ins open.
        key: 32 bytes of the installation, for staff alone.
        public_url: of the service; passkeys belong to its host.
        roles: that there are.
        record: writes audit rows.
        clock: aware UTC.
        random_bytes: for ids and codes.
    """

    def __init__(
        self,
        database: Database,
        tables: StaffTables,
        *,
        sessions: StaffSessions,
        key: bytes,
        public_url: str,
        roles: Collection[str],
        record: Recorder,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        self.sessions = sessions
        self.roles = tuple(roles)
        self.public_url = public_url
        self._database = database
        self._table = tables.account
        self._challenge = tables.challenge
        self._key = key
        self._party = PasskeyParty(public_url)
        self._record = record
        self._clock = clock
        self._random_bytes = random_bytes

    # -- On the command line ---------------------------------------------------------------------

    def invite(self, tenant: str, name: str, roles: Collection[str]) -> str:
        """A new local account; the code of its invitation, which is shown this once.

        Raises:
            InvalidInput: the name is empty or too long, or a role is none.
        """
        self._check_roles(roles)
        if not 0 < len(name.strip()) <= 100 or not name.isprintable():
            raise InvalidInput("staff: a name has 1 to 100 letters")
        now = self._clock()
        account_id = f"stf_{b64url_encode(self._random_bytes(16))}"
        code, hashed = self._code(account_id)
        row = {
            "tenant": tenant,
            "id": account_id,
            "name": name.strip(),
            "roles": " ".join(sorted(roles)),
            "by_provider": False,
            "created_at": now,
            "invitation_hash": hashed,
            "invited_until": now + INVITED,
            "sign_count": 0,
            "lookups": 0,
            "lookups_until": now,
        }
        with self._database.transaction() as connection:
            connection.execute(insert(self._table).values(row))
            self._record(connection, StaffAct(tenant, OPERATOR, "staff_invited", account_id))
        return code

    def invite_again(self, tenant: str, account_id: str, roles: Collection[str] = ()) -> str:
        """A new invitation for an account that is there, with other *roles* if any are said.

        Raises:
            NotFound: there is no such local account, or it is disabled.
            InvalidInput: a role is none.
        """
        self._check_roles(roles or self.roles)
        code, hashed = self._code(account_id)
        changes: dict[str, object] = {
            "invitation_hash": hashed,
            "invited_until": self._clock() + INVITED,
        }
        if roles:
            changes["roles"] = " ".join(sorted(roles))
        account = self._table
        invited = (
            update(account)
            .where(account.c.tenant == tenant, account.c.id == account_id)
            .where(account.c.disabled_at.is_(None), ~account.c.by_provider)
            .values(changes)
        )
        with self._database.transaction() as connection:
            if not once(connection, invited):
                raise NotFound("staff: no such account, or it is disabled")
            self._record(connection, StaffAct(tenant, OPERATOR, "staff_invited", account_id))
        return code

    def disable(self, tenant: str, account_id: str) -> bool:
        """End an account and its sessions at once, for good; whether there was something to end."""
        account = self._table
        disabled = (
            update(account)
            .where(account.c.tenant == tenant, account.c.id == account_id)
            .where(account.c.disabled_at.is_(None))
            .values(disabled_at=self._clock(), invitation_hash=None, passkey=None, passkey_id=None)
        )
        with self._database.transaction() as connection:
            if not once(connection, disabled):
                return False
            self.sessions.end_all(connection, tenant, account_id)
            self._record(connection, StaffAct(tenant, OPERATOR, "staff_disabled", account_id))
        return True

    def all(self, tenant: str) -> Sequence[AccountView]:
        """Every account of *tenant*, by name."""
        account, now = self._table, self._clock()
        statement = (
            select(account).where(account.c.tenant == tenant).order_by(account.c.name, account.c.id)
        )
        with self._database.reading() as connection:
            rows = connection.execute(statement).all()
        return [
            AccountView(
                row.id, row.name, tuple(row.roles.split()), _state(row, now), row.by_provider
            )
            for row in rows
        ]

    def names(self, tenant: str, ids: Collection[str]) -> Mapping[str, str]:
        """The names behind some *ids*, for auditors."""
        account = self._table
        statement = select(account.c.id, account.c.name).where(
            account.c.tenant == tenant, account.c.id.in_(sorted(ids))
        )
        with self._database.reading() as connection:
            return {row.id: row.name for row in connection.execute(statement)}

    # -- An invitation is used -------------------------------------------------------------------

    def invited(self, tenant: str, code: str, *, agency: str) -> Invited:
        """Whom the invitation with this *code* is for; it stays good. Raises InvitationGone."""
        row = self._invitation(tenant, code)
        challenge = self._challenges(tenant, "enrol", row.id).make(
            self._clock(), self._random_bytes
        )
        options = self._party.creation_options(
            challenge=challenge.encode(), account=row.id, name=row.name, agency=agency
        )
        return Invited(row.name, tuple(row.roles.split()), options)

    def enrol(self, tenant: str, code: str, gesture: Gesture) -> str:
        """Use an invitation: its account gets this passkey instead of any other; of two, one does.

        Returns:
            the token of a new session.

        Raises:
            InvitationGone: the invitation is not good, or somebody was faster.
            WrongPasskey, TookTooLong: the passkey is not to be believed; the invitation stays good.
        """
        row = self._invitation(tenant, code)
        now = self._clock()
        nonces = self._challenges(tenant, "enrol", row.id)
        self._check_challenge(nonces, gesture, now)
        passkey = self._party.verify_creation(gesture, challenge=gesture.unverified_challenge)
        account = self._table
        used = (
            update(account)
            .where(account.c.tenant == tenant, account.c.id == row.id)
            .where(account.c.invitation_hash == row.invitation_hash)
            .where(account.c.invited_until > now, account.c.disabled_at.is_(None))
            .values(
                invitation_hash=None,
                invited_until=None,
                enrolled_at=now,
                passkey_id=passkey.id,
                passkey=passkey.key,
                sign_count=passkey.sign_count,
            )
        )
        with self._database.transaction() as connection:
            if not once(connection, used):
                raise InvitationGone("staff: the invitation was used meanwhile")
            self.sessions.end_all(connection, tenant, row.id)
            self._record(connection, StaffAct(tenant, row.id, "staff_enrolled", row.id))
            return self.sessions.open(connection, tenant, row.id)

    # -- Signing in ------------------------------------------------------------------------------

    def options(self, tenant: str) -> str:
        """What a browser is asked for at sign-in, as JSON; makes no row."""
        nonces = self._challenges(tenant, "sign in")
        challenge = nonces.make(self._clock(), self._random_bytes)
        return self._party.request_options(challenge=challenge.encode())

    def by_passkey(self, tenant: str, gesture: Gesture) -> str:
        """Sign in with a passkey: the token of a new session. A challenge is good once.

        Raises:
            WrongPasskey: unknown, not verified, or its account is disabled.
            TookTooLong: the challenge is too old, or was used.
        """
        now = self._clock()
        use = self._check_challenge(self._challenges(tenant, "sign in"), gesture, now)
        row = self._row(tenant, gesture.unverified_account)
        if row is None or row.passkey is None:
            if row is not None and row.disabled_at is not None:
                self._deny(tenant, row.id, "disabled")
            raise WrongPasskey("staff: no account with this passkey")
        known = Passkey(row.passkey_id, row.passkey, row.sign_count)
        try:
            count = self._party.verify_assertion(
                gesture, known, challenge=gesture.unverified_challenge
            )
        except WrongPasskey:
            self._deny(tenant, row.id, "passkey")
            raise
        account = self._table
        counted = (
            update(account)
            .where(account.c.tenant == tenant, account.c.id == row.id)
            .where(account.c.passkey == row.passkey, account.c.disabled_at.is_(None))
            .values(sign_count=count)
        )
        used = {"tenant": tenant, "hash": use, "expires_at": now + _CHALLENGE}
        with self._database.transaction() as connection:
            if not insert_once(connection, self._challenge, used):
                raise TookTooLong("staff: the challenge was used")
            if not once(connection, counted):
                raise WrongPasskey("staff: the account changed meanwhile")
            return self.sessions.open(connection, tenant, row.id)

    def by_provider(self, tenant: str, file: StaffProviderFile, claims: Mapping[str, Any]) -> str:
        """Sign in whom an OpenID Provider vouches for: the token of a new session.

        Raises:
            NoRoles: no claim gives a role here, or the account was disabled here.
        """
        subject = "\x00".join((tenant, file.issuer, str(claims["sub"])))
        digest = hmac.digest(hkdf(self._key, "staff", "subjects"), subject.encode(), "sha256")
        account_id = f"stf_{b64url_encode(digest[:16])}"
        roles = file.roles_of(claims) & set(self.roles)
        name = str(claims.get(file.name) or "")[:100] or account_id
        now, account = self._clock(), self._table
        said = {"name": name, "roles": " ".join(sorted(roles))}
        row = {
            "tenant": tenant,
            "id": account_id,
            "by_provider": True,
            "created_at": now,
            "enrolled_at": now,
            "sign_count": 0,
            "lookups": 0,
            "lookups_until": now,
            **said,
        }
        anew = (
            update(account)
            .where(account.c.tenant == tenant, account.c.id == account_id)
            .where(account.c.disabled_at.is_(None))
            .values(said)
        )
        if not roles:
            self._deny(tenant, account_id, "no_roles")
            raise NoRoles("staff: no claim gives a role")
        with self._database.transaction() as connection:
            known = insert_once(connection, account, row) or once(connection, anew)
            if known:
                return self.sessions.open(connection, tenant, account_id)
        self._deny(tenant, account_id, "disabled")
        raise NoRoles("staff: the account was disabled here")

    # -- Parts -----------------------------------------------------------------------------------

    def _check_roles(self, roles: Collection[str]) -> None:
        if not roles or not set(roles) <= set(self.roles):
            raise InvalidInput(f"staff: roles are one or more of {', '.join(self.roles)}")

    def _code(self, account_id: str) -> tuple[str, bytes]:
        """A code that finds its account, and its hash."""
        code = account_id[-_ID_LENGTH:] + b64url_encode(self._random_bytes(32))
        return code, hashlib.sha256(code.encode()).digest()

    def _invitation(self, tenant: str, code: str) -> Row[Any]:
        row = self._row(tenant, f"stf_{code[:_ID_LENGTH]}")
        hashed = hashlib.sha256(code.encode()).digest()
        if (
            row is None
            or row.invitation_hash is None
            or row.disabled_at is not None
            or row.invited_until <= self._clock()
            or not hmac.compare_digest(hashed, row.invitation_hash)
        ):
            raise InvitationGone("staff: no such invitation")
        return row

    def _row(self, tenant: str, account_id: str) -> Row[Any] | None:
        if not (account_id.isascii() and account_id.isprintable()):
            return None
        account = self._table
        statement = select(account).where(
            account.c.tenant == tenant, account.c.id == account_id[:40]
        )
        with self._database.reading() as connection:
            return connection.execute(statement).one_or_none()

    def _challenges(self, tenant: str, *purpose: str) -> TimedNonces:
        text = " of ".join(("staff", *purpose, tenant))
        return TimedNonces(hkdf(self._key, "staff", "challenges"), text, _CHALLENGE)

    def _check_challenge(self, nonces: TimedNonces, gesture: Gesture, now: datetime) -> bytes:
        try:
            return nonces.check(gesture.unverified_challenge.decode("ascii", "replace"), now)
        except VerificationError as error:
            raise TookTooLong("staff: not a challenge of ours, or too old") from error

    def _deny(self, tenant: str, account_id: str, reason: str) -> None:
        with self._database.transaction() as connection:
            denied = StaffAct(tenant, account_id, "staff_denied", account_id, reason)
            self._record(connection, denied)


def _state(row: Row[Any], now: datetime) -> str:
    if row.disabled_at is not None:
        return "disabled"
    if row.invitation_hash is not None:
        return "invited" if row.invited_until > now else "invitation expired"
    return "enrolled"
