"""The short code beside the QR code, for people who cannot scan it.

They type `https://<verifier>/c/CODE`, or the code at `/c`, and get a page that says who asks for
what and leads to their wallet. A code has 37 random bits without letters that look alike; it counts
until its transaction is answered or over, for the first browser that comes with it, and wrong ones
are counted in the database for each network and hour, so that nobody tries them all. Looking at a
link is no use of it: only the button of the page is (browsers fetch what they think will be
typed). What a code opens is what the QR code on the same screen opens, no more.

Specification: DESIGN, "Decided" (guesses of secrets); ADR 0022.
"""

import hashlib
import hmac
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

from sqlalchemy import bindparam, or_, select, update

from shared.crypto.sealing import hkdf
from shared.encoding import b64url_encode
from shared.errors import NotFound, TooManyRequests
from shared.runtime.database import insert_once, once
from shared.runtime.languages import mark
from shared.runtime.prepared import Prepared

from .context import Verifier
from .queries import Query
from .requesting import wallet_link
from .tables import desks, guesses
from .transactions import FOR_BROWSER, OPEN, state_now

ALPHABET = "234679ACDEFGHJKMNPQRTUWXY"
"""Neither 0 O, 1 I L, 5 S, 8 B, Z nor V."""
LENGTH = 8
WRONG_AN_HOUR = 30
_HALF = LENGTH // 2


class WrongCode(NotFound):
    """Mistyped, used in another browser, answered, or over."""

    code = "wrong_code"
    public = mark("This code is not right, or it is not good any more.")
    next_step = mark("Compare it with the screen at the desk, or ask there for a new one.")


class TooManyCodes(TooManyRequests):
    """Too many wrong ones from one network in this hour."""

    code = "too_many_codes"
    public = mark("Too many wrong codes came from this place.")
    next_step = mark("Scan the code at the desk instead, or try again in an hour.")


@dataclass(frozen=True, slots=True)
class Opened:
    """What the page shows.

    Attributes:
        query: what is asked.
        asker: its names in the trust list, by language.
        desk: where.
        link: to a wallet app.
        cookie: what the browser shows when it comes again, to be set.
    """

    query: Query
    asker: dict[str, str]
    desk: str
    link: str
    cookie: str


def code_of(secret: str) -> str:
    """The code of the transaction with this *secret*."""
    number = int.from_bytes(hashlib.sha256(b"short code:" + secret.encode()).digest())
    found = ""
    for _ in range(LENGTH):
        number, digit = divmod(number, len(ALPHABET))
        found += ALPHABET[digit]
    return found


def shown(code: str) -> str:
    """As people read it: in two halves."""
    return f"{code[:_HALF]}-{code[_HALF:]}"


def typed(text: str) -> str:
    """What somebody typed, without what they may have put between."""
    return "".join(each for each in text.upper() if each.isalnum())[: 2 * LENGTH]


def code_hash(verifier: Verifier, code: str) -> bytes:
    """As a desk's row knows its code: 37 bits alone would be found by trying."""
    return hmac.digest(hkdf(verifier.idempotency_key, "short code"), code.encode(), "sha256")


_d = desks.c
_OPEN = Prepared(
    update(desks)
    .where(
        _d.code_hash == bindparam("code_hash_"),
        or_(_d.code_browser.is_(None), _d.code_browser == bindparam("browser_")),
    )
    .values(code_browser=bindparam("browser_"))
    .returning(_d.tenant, _d.id, _d.transaction_id)
)


def open_code(verifier: Verifier, text: str, *, cookie: str | None, address: str) -> Opened:
    """Open what the code in *text* stands for; the first browser that does is the only one.

    Args:
        verifier: this service.
        text: as typed.
        cookie: of a browser that came before.
        address: of the other side, for the limit.

    Raises:
        WrongCode: nothing is open under it for this browser.
        TooManyCodes: too many wrong ones from this network.
        NotTrusted, NotEntitled: the trust list does not know who asks, or that it may.
    """
    _check_limit(verifier, address)
    browser = cookie or b64url_encode(verifier.random_bytes(32))
    values = {
        "code_hash_": code_hash(verifier, typed(text)),
        "browser_": hashlib.sha256(b"code browser:" + browser.encode()).digest(),
    }
    desk = _OPEN.returned(verifier.database, values)
    row = None
    if desk is not None:
        here = {"tenant_": desk.tenant, "id_": desk.transaction_id}
        row = FOR_BROWSER.row(verifier.database, here)
    now = verifier.clock()
    if row is None or state_now(row, now) not in OPEN:
        _count_wrong(verifier, address)
        raise WrongCode("code: unknown, of another browser, or over")
    tenant = verifier.tenant(desk.tenant)
    query = tenant.queries[row.query]
    entity = tenant.entitled(query, verifier.trust.current(), flow=row.flow, now=now)
    link = wallet_link(verifier, tenant, row.request_id)
    return Opened(query, dict(entity.names), desk.id, link, browser)


def _check_limit(verifier: Verifier, address: str) -> None:
    statement = select(guesses.c.tries).where(guesses.c.bucket == _bucket(verifier, address))
    with verifier.database.reading() as connection:
        tries = connection.execute(statement).scalar_one_or_none()
    if (tries or 0) >= WRONG_AN_HOUR:
        raise TooManyCodes("code: too many wrong ones")


def _count_wrong(verifier: Verifier, address: str) -> None:
    bucket = _bucket(verifier, address)
    ends = verifier.clock().replace(minute=59, second=59, microsecond=0)
    another = update(guesses).where(guesses.c.bucket == bucket).values(tries=guesses.c.tries + 1)
    with verifier.database.transaction() as connection:
        if not insert_once(connection, guesses, {"bucket": bucket, "tries": 1, "expires_at": ends}):
            once(connection, another)


def _bucket(verifier: Verifier, address: str) -> bytes:
    """The network and the hour, under a key: the row tells no address."""
    name = f"{_network(address)}\x00{verifier.clock():%FT%H}".encode()
    return hmac.digest(hkdf(verifier.idempotency_key, "wrong codes"), name, "sha256")


def _network(address: str) -> str:
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address):
        return str(ip_network((found, 64), strict=False))
    return address
