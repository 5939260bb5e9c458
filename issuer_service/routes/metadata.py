"""What anybody may read: metadata of issuer and Authorization Server, Type Metadata.

The well-known strings stand between host and path (I-01). Answers come from memory, with an ETag.
"""

from starlette.responses import Response

from shared.errors import NotFound
from shared.oauth.errors import InvalidRequest
from shared.runtime.negotiation import matches, preferred
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from ..context import Issuer
from ..metadata import Served, etag

router: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)
_CACHE = "public, max-age=300"


def _document(call: Call, served: Served) -> Response:
    headers = {"ETag": served.etag, "Cache-Control": _CACHE, "Vary": "Accept"}
    if matches(served.etag, call.headers("if-none-match")):
        return Response(None, 304, headers)
    return Response(served.content, 200, headers, served.media_type)


def _json(call: Call, content: bytes) -> Response:
    return _document(call, Served(content, "application/json", etag(content)))


@router.get("/.well-known/openid-credential-issuer/{tenant}", cors=True)
def credential_issuer_metadata(call: Call, issuer: Issuer) -> Response:
    """Credential Issuer Metadata, signed for who prefers that (OpenID4VCI 1.0, 12.2; I-02, I-07).

    The unsigned form is always there, also for who asks for neither.
    """
    tenant, now = issuer.tenant(call.path["tenant"]), issuer.clock()
    key = issuer.request_keys.current(tenant.name, now)
    offered = ("application/json", "application/jwt")
    if (
        tenant.metadata_key is not None
        and preferred(call.headers("accept"), offered) == "application/jwt"
    ):
        return _document(call, tenant.documents.signed(key, tenant.metadata_key, now))
    return _document(call, tenant.documents.plain(key))


@router.get("/.well-known/oauth-authorization-server/{tenant}", cors=True)
def authorization_server_metadata(call: Call, issuer: Issuer) -> Response:
    """Authorization Server Metadata (RFC 8414; I-10, I-11)."""
    return _json(call, issuer.tenant(call.path["tenant"]).documents.server_json)


@router.get("/{tenant}/types/{vct}", cors=True)
def type_metadata(call: Call, issuer: Issuer) -> Response:
    """Type Metadata with the bytes that the trust list's integrity is over (I-14)."""
    tenant = issuer.tenant(call.path["tenant"])
    for configuration in tenant.configurations.values():
        if configuration.vct == call.path["vct"]:
            return _json(call, configuration.document)
    raise NotFound("type metadata: not a type of this tenant")
