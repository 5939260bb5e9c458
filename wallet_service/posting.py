"""POST to an agency with a DPoP proof, and the one retry that a server's nonce demands.

Each issuance has a DPoP key of its own, other than every holder key, so that two issuers see
nothing in common (W-21). Specification: RFC 9449, sections 4, 8 and 9; PROFILE W-20, W-21.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode
from shared.errors import InvalidInput
from shared.oauth import dpop
from shared.oauth.messages import ErrorResponse
from shared.oid4vci.messages import MAX_RESPONSE_BYTES
from shared.runtime.fetch import BadAnswer, Fetched

from .context import Wallet

MAX_ANSWER = 64 * 1024


class AgencyUnclear(BadAnswer):
    """The agency answered what no agency should."""

    whose_fault = "issuer"
    public = "The agency's system gave an answer that cannot be used."
    next_step = "Try again later; if it stays, tell the agency."


@contextmanager
def answer_of_agency() -> Iterator[None]:
    """Around reading what an agency answers: what is wrong with it is not the citizen's fault."""
    try:
        yield
    except InvalidInput as error:
        raise AgencyUnclear(str(error)) from error


def post_with_dpop(
    wallet: Wallet,
    state: Mapping[str, Any],
    url: str,
    body: bytes,
    *,
    content_type: str,
    token: str | None,
    now: datetime,
) -> Fetched:
    """POST with a DPoP proof by this issuance's own key; one retry for a nonce (W-20, W-21)."""
    key = SoftwareKey.from_scalar(b64url_decode(state["dpop_key"]))
    nonce: str | None = None
    for _ in range(2):
        proof = dpop.make_proof(
            signer=key,
            method="POST",
            url=url,
            now=now,
            access_token=token,
            nonce=nonce,
            random_bytes=wallet.random_bytes,
        )
        headers = {"DPoP": proof}
        if token is not None:
            headers["Authorization"] = f"DPoP {token}"
        with answer_of_agency():
            answer = wallet.fetcher.post_bytes(
                url, body, content_type=content_type, accept="application/json", headers=headers,
                max_bytes=MAX_RESPONSE_BYTES,
            )  # fmt: skip
        fresh = answer.headers.get("dpop-nonce")
        if answer.status not in {400, 401} or fresh is None or error_of(answer) != "use_dpop_nonce":
            return answer
        nonce = fresh
    return answer


def error_of(answer: Fetched) -> str | None:
    """The registered code in a refusal, from its body or its challenge; None if there is none."""
    if answer.status < 400:
        return None
    try:
        return ErrorResponse.parse(answer.body, max_bytes=MAX_ANSWER).error
    except InvalidInput:
        header = answer.headers.get("www-authenticate", "")
        return "use_dpop_nonce" if 'error="use_dpop_nonce"' in header else None
