"""The line to one agency: what one issuance says to its servers, and remembers of their answers.

Every issuance is another client: its own DPoP key, client instance and place in a Status List, so
that two agencies see nothing in common (W-21, W-22). Nonces of the authorization server and of the
resource are kept apart, taken from any answer, and asked for again at most once (W-20); so are the
challenge and the freshness of an attestation (W-23). What the line remembers is sealed with its
flow.

Specification: RFC 9449, sections 4, 8 and 9; attestation-based client authentication, sections 5,
6.2 and 8; PROFILE W-20 to W-23.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from shared.crypto.software import SoftwareKey
from shared.encoding import b64url_decode, b64url_encode
from shared.errors import InvalidInput, Unavailable
from shared.formats.status_list import StatusReference
from shared.oauth import attestation, dpop
from shared.oauth.messages import ChallengeResponse, ErrorResponse, make_form
from shared.oid4vci.messages import MAX_RESPONSE_BYTES
from shared.runtime.fetch import BadAnswer, Fetched

from .context import Wallet
from .vault import OpenWallet

MAX_ANSWER = 64 * 1024
_FORM = "application/x-www-form-urlencoded"
_JSON = "application/json"
_CHALLENGE = "oauth-client-attestation-challenge"
_CHALLENGED = re.compile(r'^\s*dpop\b.*?\berror="([a-z_]+)"', re.IGNORECASE)


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


@dataclass(slots=True)
class Line:
    """Calls of one client to one agency. *state* is changed in place and sealed by the caller."""

    wallet: Wallet
    state: dict[str, Any]
    status_seconds: int | None = None
    _attestation: str | None = None

    @classmethod
    def of(
        cls, wallet: Wallet, opened: OpenWallet, state: dict[str, Any], *, now: datetime
    ) -> Self:
        """The line of a flow, begun with the first call: attested where the server wants that."""
        if state["line"] is None:
            server, instance = state["server"], None
            if server["attested"]:
                place = wallet.provider.lists.take(opened.id, now=now)
                key = b64url_encode(SoftwareKey.generate().scalar())
                instance = {"key": key, "idx": place.index, "uri": place.uri}
            state["line"] = {
                "server": server["issuer"],
                "challenge_endpoint": server["challenge"],
                "dpop_key": b64url_encode(SoftwareKey.generate().scalar()),
                "nonces": {},
                "challenge": None,
                "instance": instance,
            }
        return cls(wallet, state["line"], state.get("status_seconds"))

    @property
    def client_id(self) -> str | None:
        """What this client is called; None where it is anonymous."""
        return None if self.state["instance"] is None else self.wallet.provider.client_id

    def ask(self, url: str, form: Mapping[str, str], *, now: datetime) -> Fetched:
        """POST a form to the authorization server: PAR or token (W-13, W-23).

        Raises:
            Unavailable: no answer. InstanceEnded: this wallet may not ask any more.
        """
        fields = dict(form) if self.client_id is None else {**form, "client_id": self.client_id}
        cured: set[str] = set()
        while True:
            headers = {"DPoP": self._proof("as", url, None, now), **self._attested(now)}
            with answer_of_agency():
                answer = self.wallet.fetcher.post_bytes(
                    url, make_form(fields), content_type=_FORM, accept=_JSON, headers=headers,
                    max_bytes=MAX_ANSWER,
                )  # fmt: skip
            self._remember("as", answer)
            code = error_of(answer)
            if code is None or code in cured or not self._cure(code, answer):
                return answer
            cured.add(code)

    def send(
        self,
        url: str,
        body: bytes,
        *,
        token: str,
        now: datetime,
        content_type: str = _JSON,
        accept: tuple[str, ...] = (_JSON,),
    ) -> Fetched:
        """POST to the resource: credential, deferred credential or notification."""
        retried = False
        while True:
            headers = {
                "DPoP": self._proof("rs", url, token, now),
                "Authorization": f"DPoP {token}",
            }
            with answer_of_agency():
                answer = self.wallet.fetcher.post_bytes(
                    url, body, content_type=content_type, accept=accept, headers=headers,
                    max_bytes=MAX_RESPONSE_BYTES,
                )  # fmt: skip
            self._remember("rs", answer)
            fresh = "dpop-nonce" in answer.headers and error_of(answer) == "use_dpop_nonce"
            if retried or not fresh:
                return answer
            retried = True

    def fetch_nonce(self, url: str) -> Fetched:
        """POST to the Nonce Endpoint, which needs no token and may bring a DPoP nonce (W-31)."""
        with answer_of_agency():
            answer = self.wallet.fetcher.post_bytes(
                url, b"", content_type=_JSON, accept=_JSON, max_bytes=MAX_ANSWER
            )
        self._remember("rs", answer)
        return answer

    def _proof(
        self, server: Literal["as", "rs"], url: str, token: str | None, now: datetime
    ) -> str:
        return dpop.make_proof(
            signer=SoftwareKey.from_scalar(b64url_decode(self.state["dpop_key"])),
            method="POST",
            url=url,
            now=now,
            access_token=token,
            nonce=self.state["nonces"].get(server),
            random_bytes=self.wallet.random_bytes,
        )

    def _attested(self, now: datetime) -> dict[str, str]:
        instance = self.state["instance"]
        if instance is None:
            return {}
        key = SoftwareKey.from_scalar(b64url_decode(instance["key"]))
        if self._attestation is None:
            place = StatusReference(instance["idx"], instance["uri"])
            self._attestation = self.wallet.provider.attest_client(
                key.public, place, seconds=self.status_seconds, now=now
            )
        if self.state["challenge"] is None and self.state["challenge_endpoint"] is not None:
            self.state["challenge"] = self._fetch_challenge()
        pop = attestation.make_pop(
            signer=key,
            client_id=self.wallet.provider.client_id,
            audience=self.state["server"],
            now=now,
            challenge=self.state["challenge"],
            random_bytes=self.wallet.random_bytes,
        )
        return {attestation.HEADER: self._attestation, attestation.POP_HEADER: pop}

    def _fetch_challenge(self) -> str:
        with answer_of_agency():
            answer = self.wallet.fetcher.post_bytes(
                self.state["challenge_endpoint"], b"", content_type=_FORM, accept=_JSON,
                max_bytes=MAX_ANSWER,
            )  # fmt: skip
            if answer.status != 200:
                raise Unavailable("challenge endpoint: no challenge")
            message = ChallengeResponse.parse(answer.body, max_bytes=MAX_ANSWER)
        return message.attestation_challenge

    def _remember(self, server: Literal["as", "rs"], answer: Fetched) -> None:
        if (nonce := answer.headers.get("dpop-nonce")) is not None:
            self.state["nonces"][server] = nonce
        if server == "as" and (challenge := answer.headers.get(_CHALLENGE)) is not None:
            self.state["challenge"] = challenge

    def _cure(self, code: str, answer: Fetched) -> bool:
        """Whether asking again, once, can help."""
        if code == "use_dpop_nonce":
            return "dpop-nonce" in answer.headers
        if code == "use_attestation_challenge" and self.state["instance"] is not None:
            if _CHALLENGE not in answer.headers:
                self.state["challenge"] = None
            return _CHALLENGE in answer.headers or self.state["challenge_endpoint"] is not None
        if code == "use_fresh_attestation" and self.state["instance"] is not None:
            self._attestation = None
            return True
        return False


def error_of(answer: Fetched) -> str | None:
    """The registered code in a refusal, from its body or its challenge; None if there is none."""
    if answer.status < 400:
        return None
    if found := _CHALLENGED.search(answer.headers.get("www-authenticate", "")):
        return found[1]
    try:
        return ErrorResponse.parse(answer.body, max_bytes=MAX_ANSWER).error
    except InvalidInput:
        return None


def tries_left(answer: Fetched) -> int | None:
    """How often another Transaction Code may be tried, if the agency says so as ours do."""
    said = answer.headers.get("tx-code-tries-left", "")
    return int(said) if re.fullmatch("[0-9]{1,2}", said) else None
