"""Who may issue or ask for what: entries, anchors by role, `entitled()` (DESIGN section 4).

The list is one signed JSON document; `runtime/trust_list.py` fetches and verifies it, here it is
understood.
"""

from .entitlement import Entitlement, Wanted, entitled
from .entries import (
    Ask,
    AskedCredential,
    ClaimPath,
    Contact,
    Contacts,
    Entity,
    Issue,
    Role,
    TypeMetadata,
)
from .trust_list import TrustList, may_issue

__all__ = [
    "Ask",
    "AskedCredential",
    "ClaimPath",
    "Contact",
    "Contacts",
    "Entitlement",
    "Entity",
    "Issue",
    "Role",
    "TrustList",
    "TypeMetadata",
    "Wanted",
    "entitled",
    "may_issue",
]
