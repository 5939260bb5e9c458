"""How a citizen reaches an agency: what the trust list says today, in their language.

An agency that has left the list, or a list that cannot be had, gives nothing: then its name is all
that is known. Specification: TS6, TS7 and TS8 of the EUDI wallet; PAIN_POINTS 19.
"""

from shared.encoding import JsonValue
from shared.errors import ExpectedError
from shared.trust import Entity, TrustList
from shared.trust.entries import Contact

from . import wording
from .context import Wallet


def trust_list(wallet: Wallet) -> TrustList | None:
    """The trust list, if it can be had."""
    try:
        return wallet.trust.current()
    except ExpectedError:
        return None


def entity(wallet: Wallet, entity_id: str) -> Entity | None:
    """The entry of *entity_id*, if there is one now."""
    try:
        return wallet.trust.current().entity_by_id(entity_id)
    except ExpectedError:
        return None


def contacts(found: Entity | None, *, locale: str) -> dict[str, JsonValue]:
    """`support` (who repairs data), `data_protection` (who erases), `supervisory_authority`."""
    if found is None:
        return dict.fromkeys(("support", "data_protection", "supervisory_authority"))
    name, listed = wording.choose(found.names, locale), found.contacts
    authority = listed.supervisory_authority
    return {
        "support": _shown(listed.support, name, locale),
        "data_protection": _shown(listed.data_protection, name, locale),
        "supervisory_authority": None if authority is None else _shown(authority, "", locale),
    }


def _shown(contact: Contact, name: str, locale: str) -> dict[str, JsonValue]:
    return {
        "name": wording.choose(contact.name or {}, locale) or name,
        "uri": contact.uri,
        "email": contact.email,
        "phone": contact.phone,
    }
