"""The parameters of an Authorization Request as messages (OpenID4VP 1.0, sections 5 and 5.1).

Which of them a request must have, and in what combination, is checked in `request.py`.
"""

from typing import Literal

from pydantic import JsonValue as JsonMember

from ..oauth.encryption import Jwks
from ..oauth.messages import ProtocolModel, Several, Text, Url


class ClientMetadata(ProtocolModel):
    """Verifier metadata in the request (section 5.1; V-20, W-55)."""

    jwks: Jwks | None = None
    encrypted_response_enc_values_supported: Several[str] = ("A128GCM",)
    vp_formats_supported: dict[str, dict[str, JsonMember]]


class VerifierInfo(ProtocolModel):
    """One entry of `verifier_info` (section 5.1)."""

    format: Text
    data: str | dict[str, JsonMember]
    credential_ids: Several[str] | None = None


class RequestObject(ProtocolModel):
    """The parameters we know, in a Request Object (section 5)."""

    client_id: Text
    response_type: Literal["vp_token"]
    response_mode: Text
    response_uri: Url | None = None
    nonce: Text
    state: str | None = None
    aud: str | None = None
    dcql_query: dict[str, JsonMember]
    client_metadata: ClientMetadata
    transaction_data: Several[str] | None = None
    verifier_info: Several[VerifierInfo] | None = None
    wallet_nonce: str | None = None
