"""What anybody may read: metadata of issuer and Authorization Server, Type Metadata.

The well-known strings stand between host and path (I-01). Answers come from memory, with an ETag.
"""

from starlette.responses import Response

from shared.errors import NotFound
from shared.oauth.errors import InvalidRequest
from shared.runtime.routes import Call, ProtocolRouter, protocol_router

from ..context import Issuer
from ..metadata import etag, signed_metadata

router: ProtocolRouter[Issuer] = protocol_router(InvalidRequest)
_CACHE = "public, max-age=300"


def _document(call: Call, content: bytes, *, media_type: str = "application/json") -> Response:
    tag = etag(content)
    headers = {"ETag": tag, "Cache-Control": _CACHE, "Vary": "Accept"}
    if call.header("if-none-match") == tag:
        return Response(None, 304, headers)
    return Response(content, 200, headers, media_type)


@router.get("/.well-known/openid-credential-issuer/{tenant}", cors=True)
def credential_issuer_metadata(call: Call, issuer: Issuer) -> Response:
    """Credential Issuer Metadata, signed if asked for (OpenID4VCI 1.0, 12.2; I-02, I-07)."""
    tenant = issuer.tenant(call.path["tenant"])
    wanted = (call.header("accept") or "").partition(",")[0].partition(";")[0].strip().lower()
    if wanted == "application/jwt" and tenant.metadata_key is not None:
        token = signed_metadata(tenant.documents, tenant.metadata_key, issuer.clock())
        return _document(call, token.encode(), media_type="application/jwt")
    return _document(call, tenant.documents.issuer_json)


@router.get("/.well-known/oauth-authorization-server/{tenant}", cors=True)
def authorization_server_metadata(call: Call, issuer: Issuer) -> Response:
    """Authorization Server Metadata (RFC 8414; I-10, I-11)."""
    return _document(call, issuer.tenant(call.path["tenant"]).documents.server_json)


@router.get("/{tenant}/types/{vct}", cors=True)
def type_metadata(call: Call, issuer: Issuer) -> Response:
    """Type Metadata with the bytes that the trust list's integrity is over (I-14)."""
    tenant = issuer.tenant(call.path["tenant"])
    for configuration in tenant.configurations.values():
        if configuration.vct == call.path["vct"]:
            return _document(call, configuration.document)
    raise NotFound("type metadata: not a type of this tenant")
