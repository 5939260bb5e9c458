"""How a Wallet is called, and how it asks for the Request Object.

A link carries `client_id` and `request_uri`; everything else is in the signed object. Other
parameters of a link are ignored, requests by value or unsigned are refused (HAIP).
Specification: OpenID4VP 1.0, sections 5.1, 5.7, 5.10, 9 and 10; PROFILE V-10, V-13, W-50, W-51.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal

from ..encoding import JsonValue, dump_json, parse_json_object
from ..errors import InvalidInput
from ..oauth.messages import check_url, make_form, parse_form
from . import client_id as client_ids
from .dcql import DcqlQuery
from .errors import InvalidRequest, InvalidRequestUriMethod
from .request import MAX_BYTES, RESPONSE_MODE, VP_FORMATS

SCHEMES = frozenset({"openid4vp", "haip-vp"})


@dataclass(frozen=True, slots=True)
class RequestLink:
    """What a link or QR code carries (V-10, W-50)."""

    client_id: str
    request_uri: str
    method: Literal["get", "post"]


def request_link(
    *, endpoint: str, client_id: str, request_uri: str, method: Literal["post"] | None = None
) -> str:
    """The link or QR content that starts a presentation; it carries nothing else.

    Args:
        endpoint: "openid4vp://", "haip-vp://" or a wallet's https authorization endpoint.
        client_id: of the Request Object.
        request_uri: where it lies.
        method: "post" to learn about the Wallet first.

    Specification: OpenID4VP 1.0, sections 5.7 and 9; PROFILE V-10.
    """
    parameters = {"client_id": client_id, "request_uri": request_uri}
    if method is not None:
        parameters["request_uri_method"] = method
    joint = "&" if "?" in endpoint else "?"
    return f"{endpoint}{joint}{make_form(parameters).decode()}"


def value_link(*, endpoint: str, parameters: Mapping[str, JsonValue]) -> str:
    """A link that carries an unsigned request by value (`redirect_uri` prefix; outside HAIP).

    Args:
        endpoint: as `request_link`.
        parameters: from `request.parameters`; what is no string goes in as JSON.

    Specification: OpenID4VP 1.0, sections 5.7, 5.9.3 and 5.10.
    """
    fields = {
        name: value if isinstance(value, str) else dump_json(value).decode()
        for name, value in parameters.items()
    }
    joint = "&" if "?" in endpoint else "?"
    return f"{endpoint}{joint}{make_form(fields).decode()}"


def parse_request_link(link: str) -> RequestLink:
    """What *link* (scanned, tapped or pasted) asks to fetch.

    Raises:
        InvalidRequest, InvalidRequestUriMethod: see `parse_request_parameters`.

    Specification: OpenID4VP 1.0, section 5; PROFILE W-50.
    """
    return parse_request_parameters(parameters_of(link))


def parameters_of(link: str) -> dict[str, str]:
    """The query parameters of *link*, each at most once.

    Raises:
        InvalidRequest: neither one of the wallets' schemes nor an https URL, or no such query.
    """
    scheme, _, rest = link.partition(":")
    try:
        if scheme.lower() not in SCHEMES:
            check_url(link)
        return parse_form(rest.partition("?")[2].encode(errors="surrogatepass"))
    except InvalidInput as error:
        raise InvalidRequest(f"request link: {error}") from error


def parse_request_parameters(
    parameters: Mapping[str, str], *, prefixes: Collection[str] = client_ids.SUPPORTED
) -> RequestLink:
    """What the query parameters at the wallet's own authorization endpoint ask to fetch.

    Args:
        parameters: of the link.
        prefixes: of Client Identifiers to take.

    Raises:
        InvalidRequest: no `client_id` or a prefix we refuse; no https `request_uri`, hence
            unsigned or by value, which HAIP does not have.
        InvalidRequestUriMethod: neither `get` nor `post`.

    Specification: OpenID4VP 1.0, sections 5.1, 5.9 and 5.10; HAIP 5.1; PROFILE W-50.
    """
    client_id, request_uri = parameters.get("client_id"), parameters.get("request_uri")
    if client_id is None or request_uri is None:
        raise InvalidRequest("request link: client_id or request_uri is missing")
    client_ids.parse(client_id, supported=prefixes)
    try:
        check_url(request_uri)
    except InvalidInput as error:
        raise InvalidRequest(f"request_uri: {error}") from error
    match parameters.get("request_uri_method", "get"):
        case "get":
            return RequestLink(client_id, request_uri, "get")
        case "post":
            return RequestLink(client_id, request_uri, "post")
        case _:
            raise InvalidRequestUriMethod("request link: request_uri_method")


def wallet_metadata(
    formats: Collection[str],
    *,
    prefixes: Collection[str] = client_ids.SUPPORTED,
    response_modes: Collection[str] = (RESPONSE_MODE,),
) -> dict[str, JsonValue]:
    """What the Wallet says about itself when it posts to `request_uri` (W-51, W-55a)."""
    return {
        "vp_formats_supported": {each: VP_FORMATS[each] for each in formats},
        "client_id_prefixes_supported": list(prefixes),
        "request_object_signing_alg_values_supported": ["ES256"],
        "response_types_supported": ["vp_token"],
        "response_modes_supported": list(response_modes),
    }


def parse_request_post(form: Mapping[str, str], *, query: DcqlQuery) -> str | None:
    """The `wallet_nonce` of a POST to our `request_uri`, after a look at `wallet_metadata`.

    Raises:
        InvalidRequest: the nonce is too long, the metadata is no JSON object, or it names formats
            of which we ask for none.

    Specification: OpenID4VP 1.0, section 5.10; PROFILE V-13.
    """
    nonce, text = form.get("wallet_nonce"), form.get("wallet_metadata")
    if nonce is not None and len(nonce) > 1024:
        raise InvalidRequest("wallet_nonce: too long")
    if text is not None:
        try:
            formats = parse_json_object(text, max_bytes=MAX_BYTES).get("vp_formats_supported")
        except InvalidInput as error:
            raise InvalidRequest(f"wallet_metadata: {error}") from error
        asked = {each.format for each in query.credentials}
        if isinstance(formats, dict) and asked.isdisjoint(formats):
            raise InvalidRequest("wallet_metadata: no common format")
    return nonce
