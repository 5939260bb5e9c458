"""Requests that HAIP does not have: by value, and by nobody that a signature names.

OpenID4VP 1.0 alone allows them, and the official test plan outside HAIP sends them: parameters or
a signed Request Object in the link itself, and the prefix `redirect_uri`, with which a request is
never signed and all that is known of the Verifier is where the answer goes. A wallet takes them by
a setting only, and tells its citizen. PROFILE W-50, W-53, W-54.
Specification: OpenID4VP 1.0, sections 5.1, 5.7, 5.9.3 and 5.10; RFC 9101, section 4.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from ..encoding import JsonValue, parse_json
from ..errors import InvalidInput
from ..jose import jws
from ..oauth.messages import check_url
from . import client_id as client_ids
from . import request
from .errors import InvalidRequest
from .invocation import RequestLink, parameters_of, parse_request_parameters
from .request import VerifiedRequest
from .transaction_data import TypeCheck

PREFIXES = (*client_ids.SUPPORTED, client_ids.UNSIGNED)
RESPONSE_MODES = (request.RESPONSE_MODE, "direct_post")
_OBJECTS = ("dcql_query", "client_metadata", "transaction_data", "verifier_info")
"""Parameters that are JSON in a link (section 5.1)."""


@dataclass(frozen=True, slots=True)
class Carried:
    """A request that the link carries itself: a signed object, or else its parameters."""

    client_id: str
    signed: str | None
    parameters: Mapping[str, str]


def parse_link(link: str) -> RequestLink | Carried:
    """What *link* asks to fetch, or the request in it; as `invocation.parse_request_link`.

    Raises:
        InvalidRequest, InvalidRequestUriMethod: neither, or both.

    Specification: OpenID4VP 1.0, sections 5.1 and 5.7.
    """
    return parse_parameters(parameters_of(link))


def parse_parameters(parameters: Mapping[str, str]) -> RequestLink | Carried:
    """As `parse_link`, for the query parameters at the wallet's own authorization endpoint."""
    if "request_uri" in parameters:
        if "request" in parameters:
            raise InvalidRequest("request link: both request and request_uri")
        return parse_request_parameters(parameters, prefixes=PREFIXES)
    identified = client_ids.parse(parameters.get("client_id", ""), supported=PREFIXES)
    return Carried(identified.full, parameters.get("request"), parameters)


def verify_unsigned(
    carried: Mapping[str, str] | str,
    *,
    client_id: str,
    wallet_nonce: str | None,
    formats: Collection[str],
    transaction_types: Mapping[str, TypeCheck],
) -> VerifiedRequest:
    """Check a request that nobody signed; who asks stays unknown.

    Args:
        carried: the parameters of the link, or the Request Object (`alg` none) that was fetched.
        client_id: of the link; its prefix must be `redirect_uri`.
        wallet_nonce: what was posted to `request_uri`, None otherwise.
        formats: what the Wallet can present.
        transaction_types: what the Wallet can confirm.

    Raises:
        InvalidRequest, or another code of section 8.5: for a page, never for `response_uri`.

    Specification: OpenID4VP 1.0, sections 5.1 and 5.9.3; PROFILE W-54.
    """
    identified = client_ids.parse(client_id, supported=(client_ids.UNSIGNED,))
    try:
        check_url(identified.value)
        claims = _claims(carried)
    except InvalidInput as error:
        raise InvalidRequest(f"request: {error}") from error
    if claims.get("aud", request.STATIC_AUDIENCE) != request.STATIC_AUDIENCE:
        raise InvalidRequest("request: aud is another wallet")
    return request.check(
        claims,
        identified=identified,
        chain=None,
        wallet_nonce=wallet_nonce,
        formats=formats,
        transaction_types=transaction_types,
        response_modes=RESPONSE_MODES,
    )


def _claims(carried: Mapping[str, str] | str) -> Mapping[str, JsonValue]:
    """The parameters: of the link, or of an object whose header says that it is not signed."""
    if not isinstance(carried, str):
        return {
            name: parse_json(text, max_bytes=request.MAX_BYTES) if name in _OBJECTS else text
            for name, text in carried.items()
        }
    token = jws.parse_jws(carried, max_bytes=request.MAX_BYTES)
    if token.header["alg"] != "none" or token.signature or token.header.get("typ") != request.TYP:
        raise InvalidInput("object: signed, or of another type")
    return token.unverified_claims()
