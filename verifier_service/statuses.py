"""Whether a credential is still good: its entry in a status list (PROFILE 4.6).

Lists are cached and renewed in the background, so a presentation causes a fetch only for a list
that was never seen (S-41). A list counts only if the issuer's own status anchor signed it (ST-51).
What a list says, and each way in which it can say nothing, are different answers (ST-54).
"""

from datetime import datetime

from shared.errors import (
    Expired,
    InvalidInput,
    NotFound,
    Revoked,
    StatusUnavailable,
    Suspended,
    Unavailable,
)
from shared.formats import status_cwt, status_list
from shared.formats.status_list import IndexOutOfRange, StatusReference, VerifiedStatusList
from shared.formats.values import IdentifierReference
from shared.runtime.documents import Document, DocumentCache, OlderDocument
from shared.runtime.logs import get_log
from shared.runtime.trust_list import TrustSource
from shared.trust import Entity, Role

from .verdicts import Status

log = get_log(__name__)

_ALGORITHMS = frozenset({"ES256"})  # C-03, TSL 11.6


class StatusLists:
    """The status lists this verifier knows."""

    def __init__(self, documents: DocumentCache, trust: TrustSource) -> None:
        self._documents = documents
        self._trust = trust

    def check(
        self,
        reference: StatusReference | IdentifierReference | None,
        *,
        issuer: Entity,
        now: datetime,
    ) -> Status:
        """What is known about a credential that was verified in every other way (ST-50).

        Args:
            reference: from the credential; None if it carries no status.
            issuer: whose chain signed the credential; only its status anchors count.
            now: aware.

        Specification: Token Status List, section 8.3; PROFILE ST-50 to ST-56.
        """
        if reference is None:
            return Status.NONE
        if isinstance(reference, IdentifierReference):  # F-MD-06
            return _unknown(Status.LIST_UNREADABLE, StatusUnavailable("status: identifier list"))
        try:
            found = self._list(reference.uri, issuer.id)
            if found.expires_at is not None and now >= found.expires_at + status_list.LEEWAY:
                return Status.LIST_EXPIRED
            found.check(reference, now=now)
        except Revoked:
            return Status.REVOKED
        except Suspended:
            return Status.SUSPENDED
        except IndexOutOfRange:
            return Status.OUTSIDE_LIST
        except (Unavailable, NotFound) as error:
            return _unknown(Status.LIST_UNREACHABLE, error)
        except (StatusUnavailable, OlderDocument, InvalidInput) as error:
            late = isinstance(error.__cause__, Expired)
            return _unknown(Status.LIST_EXPIRED if late else Status.LIST_UNREADABLE, error)
        return Status.VALID

    def _list(self, uri: str, issuer_id: str) -> VerifiedStatusList:
        def verify(body: bytes, now: datetime) -> Document[VerifiedStatusList]:
            trust_list = self._trust.current()
            found = status_cwt.verify_token(  # a JWT, too
                body,
                uri=uri,
                anchors=trust_list.entity_by_id(issuer_id).anchors_for(Role.STATUS),
                now=now,
                algorithms=_ALGORITHMS,
                newest=None,  # the cache remembers it, beyond this process
                revoked=trust_list.revoked,
                pinned=trust_list.pinned(Role.STATUS, now=now),
            )
            held = len(found.list) * found.list.bits // 8
            return Document(found, found.issued_at, found.expires_at, found.ttl, held)

        return self._documents.get(
            uri,
            verify=verify,
            verified_for=(issuer_id, self._trust.current().version),
            accept=(status_list.MEDIA_TYPE, status_cwt.MEDIA_TYPE),
            max_bytes=status_list.MAX_TOKEN,
        )


def _unknown(status: Status, cause: Exception) -> Status:
    log.warning("status_unknown", status=status.value, detail=str(cause))
    return status
