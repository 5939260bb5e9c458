"""The short code beside the QR code, for people who cannot scan it.

They type `https://<verifier>/c/CODE`, or the code at `/c`, and get a page that says who asks for
what and leads to their wallet. A code is without letters that look alike; it counts until its
transaction is answered or over, for the first browser that comes with it. Looking at a link is no
use of it: only the button of the page is (browsers fetch what they think will be typed). What a
code opens is what the QR code on the same screen opens, no more.

Nobody may try them all, and nobody may be shut out because a neighbour behind the same address
tries. So no network is counted, but all wrong codes of an hour together, in the database: once
they could have found one with a probability of CHANCE, codes of eight characters open nothing for
the rest of that hour, and those shown from then on have twelve.

Specification: DESIGN, "Decided" (guesses of secrets); ADR 0022, ADR 0031.
"""

import hashlib
import hmac
from dataclasses import dataclass

from sqlalchemy import bindparam, or_, select, update

from shared.crypto.sealing import hkdf
from shared.encoding import b64url_encode
from shared.errors import NotFound
from shared.runtime import logs
from shared.runtime.database import insert_once
from shared.runtime.languages import mark
from shared.runtime.prepared import Prepared

from .context import Verifier
from .queries import Query
from .requesting import wallet_link
from .tables import desks, guesses
from .transactions import FOR_BROWSER, OPEN, state_now

ALPHABET = "234679ACDEFGHJKMNPQRTUWXY"
"""Neither 0 O, 1 I L, 5 S, 8 B, Z nor V."""
SHORT, LONG = 8, 12
CHANCE = 1e-6
"""That anybody, from however many networks, finds an open code within one hour."""
_GROUP = 4

log = logs.get_log(__name__)


class WrongCode(NotFound):
    """Mistyped, used in another browser, answered, or over."""

    code = "wrong_code"
    public = mark("This code is not right, or it is not good any more.")
    next_step = mark("Compare it with the screen at the desk, or ask there for a new one.")


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


def code_of(secret: str, length: int) -> str:
    """The code of the transaction with this *secret*: SHORT or LONG."""
    number = int.from_bytes(hashlib.sha256(b"short code:" + secret.encode()).digest())
    found = ""
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        found += ALPHABET[digit]
    return found


def shown(code: str) -> str:
    """As people read it: in groups of four."""
    return "-".join(code[at : at + _GROUP] for at in range(0, len(code), _GROUP))


def typed(text: str) -> str:
    """What somebody typed, without what they may have put between."""
    return "".join(each for each in text.upper() if each.isalnum())[: 2 * LONG]


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


def length(verifier: Verifier) -> int:
    """How many characters a code needs now."""
    return SHORT if _tries(verifier) < budget(verifier) else LONG


def budget(verifier: Verifier) -> int:
    """How many wrong short codes an hour has: each desk shows one that might have been found."""
    desks_ = sum(len(each.desks) for each in verifier.tenants.values())
    return int(CHANCE * len(ALPHABET) ** SHORT / max(1, desks_))


def shown_under(verifier: Verifier, secret: str, kept: bytes) -> str:
    """The code of the transaction with this *secret* whose hash was *kept* when it was asked."""
    short = code_of(secret, SHORT)
    return short if code_hash(verifier, short) == kept else code_of(secret, LONG)


def open_code(verifier: Verifier, text: str, *, cookie: str | None) -> Opened:
    """Open what the code in *text* stands for; the first browser that does is the only one.

    Args:
        verifier: this service.
        text: as typed.
        cookie: of a browser that came before.

    Raises:
        WrongCode: nothing is open under it for this browser, or it is too short now.
        NotTrusted, NotEntitled: the trust list does not know who asks, or that it may.
    """
    code, needed = typed(text), length(verifier)
    if len(code) < needed or not set(code) <= set(ALPHABET):
        raise WrongCode("code: none can look like this now")  # so it is no guess
    browser = cookie or b64url_encode(verifier.random_bytes(32))
    values = {
        "code_hash_": code_hash(verifier, code),
        "browser_": hashlib.sha256(b"code browser:" + browser.encode()).digest(),
    }
    desk = _OPEN.returned(verifier.database, values)
    row = None
    if desk is not None:
        here = {"tenant_": desk.tenant, "id_": desk.transaction_id}
        row = FOR_BROWSER.row(verifier.database, here)
    now = verifier.clock()
    if row is None or state_now(row, now) not in OPEN:
        if needed == SHORT:
            _count_wrong(verifier)
        raise WrongCode("code: unknown, of another browser, or over")
    tenant = verifier.tenant(desk.tenant)
    query = tenant.queries[row.query]
    entity = tenant.entitled(query, verifier.trust.current(), flow=row.flow, now=now)
    link = wallet_link(verifier, tenant, row.request_id)
    return Opened(query, dict(entity.names), desk.id, link, browser)


def _tries(verifier: Verifier) -> int:
    statement = select(guesses.c.tries).where(guesses.c.bucket == _bucket(verifier))
    with verifier.database.reading() as connection:
        return connection.execute(statement).scalar_one_or_none() or 0


def _count_wrong(verifier: Verifier) -> None:
    bucket = _bucket(verifier)
    ends = verifier.clock().replace(minute=59, second=59, microsecond=0)
    another = (
        update(guesses)
        .where(guesses.c.bucket == bucket)
        .values(tries=guesses.c.tries + 1)
        .returning(guesses.c.tries)
    )
    tries = 1
    with verifier.database.transaction() as connection:
        if not insert_once(connection, guesses, {"bucket": bucket, "tries": 1, "expires_at": ends}):
            tries = connection.execute(another).scalar_one()
    if tries == budget(verifier):
        log.warning("short codes are guessed; they are longer for the rest of the hour")


def _bucket(verifier: Verifier) -> bytes:
    """The hour."""
    name = f"{verifier.clock():%FT%H}".encode()
    return hmac.digest(hkdf(verifier.idempotency_key, "wrong codes"), name, "sha256")
