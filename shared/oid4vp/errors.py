"""Every registered error code of OpenID4VP 1.0, section 8.5 (PROFILE W-63).

The codes of OAuth mean the same here and are imported: a Wallet raises them while it reads a
request. Only `AccessDenied` is ever sent to the Verifier; the others are a page for the citizen
(CERTIFICATION 2.4.3).
"""

from ..errors import ProtocolError
from ..oauth.errors import AccessDenied, InvalidClient, InvalidRequest, InvalidScope

__all__ = [
    "AccessDenied",
    "InvalidClient",
    "InvalidRequest",
    "InvalidRequestUriMethod",
    "InvalidScope",
    "InvalidTransactionData",
    "VpFormatsNotSupported",
    "WalletUnavailable",
]


class VpFormatsNotSupported(ProtocolError):
    """No common format or algorithm."""

    error = "vp_formats_not_supported"
    public = "The wallet holds none of the formats that the request can take."


class InvalidRequestUriMethod(ProtocolError):
    """Neither `get` nor `post`."""

    error = "invalid_request_uri_method"
    public = "Use get or post as request_uri_method."


class InvalidTransactionData(ProtocolError):
    """HB-31."""

    error = "invalid_transaction_data"
    public = "The wallet does not know this transaction, or it is malformed."


class WalletUnavailable(ProtocolError):
    """Another component answers for an absent Wallet."""

    error = "wallet_unavailable"
    public = "The wallet cannot be reached."
