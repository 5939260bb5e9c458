"""Whether a wallet provider still stands by an attestation it signed (I-30, I-69; E-02).

The list counts only if the provider's own status anchor signed it. What the attestation says is
refused when the list says so; when no statement can be had, the wallet is told to try again later.
"""

from datetime import datetime

from shared.crypto.x509 import VerifiedChain
from shared.encoding import JsonValue
from shared.errors import Expired, InvalidInput, NotFound, StatusUnavailable, Unavailable
from shared.formats import status_list
from shared.formats.status_list import VerifiedStatusList
from shared.runtime.documents import Document, OlderDocument
from shared.trust import Role

from .context import Issuer

_ALGORITHMS = frozenset({"ES256"})  # C-03, TSL 11.6


def check_status(issuer: Issuer, status: JsonValue, chain: VerifiedChain, *, now: datetime) -> None:
    """The attestation with the claim *status*, signed by *chain*, is not revoked.

    Args:
        issuer: has the trust list and what was fetched.
        status: the claim as it came; None if there is none.
        chain: of the attestation; its entity's status anchors count.
        now: aware.

    Raises:
        Revoked, Suspended, InvalidInput: the list says so, or the claim points nowhere.
        Unavailable: no statement can be had now.

    Specification: Token Status List, section 8.3; OpenID4VCI 1.0, appendices D.1 and E.
    """
    if status is None:
        return
    reference = status_list.status_reference({"status": status})
    if reference is None:
        return
    trust_list = issuer.trust.current()
    entity = trust_list.entity_for_chain(Role.WALLET_PROVIDER, chain, now=now)

    def verify(body: bytes, at: datetime) -> Document[VerifiedStatusList]:
        found = status_list.verify_token(
            body.decode("ascii", "replace"),
            uri=reference.uri,
            anchors=entity.anchors_for(Role.STATUS),
            now=at,
            algorithms=_ALGORITHMS,
            newest=None,  # the cache remembers it, beyond this process
            revoked=trust_list.revoked,
            pinned=trust_list.pinned(Role.STATUS, now=at),
        )
        held = len(found.list) * found.list.bits // 8
        return Document(found, found.issued_at, found.expires_at, found.ttl, held)

    try:
        found = issuer.documents.get(
            reference.uri,
            verify=verify,
            verified_for=(entity.id, trust_list.version),
            accept=status_list.MEDIA_TYPE,
            max_bytes=status_list.MAX_TOKEN,
        )
        if found.expires_at is not None and now >= found.expires_at + status_list.LEEWAY:
            raise Expired("status list: expired")
    except (Unavailable, NotFound, StatusUnavailable, OlderDocument, Expired) as error:
        raise Unavailable("attestation: its status cannot be had now") from error
    except InvalidInput as error:
        raise Unavailable("attestation: its status list is not readable") from error
    found.check(reference, now=now)
