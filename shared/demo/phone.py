"""A scripted phone: a citizen with a passkey, and a client of the wallet's public API alone.

The demo, the end-to-end tests and the bench use it. It is what an app does: it keeps the last
wallet version and log head and checks that both go on, it recomputes each challenge from the
payload it shows, and it refuses to approve what it was not asked for.

Specification: WALLET_SECURITY, sections 4, 6, 8 and 9.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..encoding import b64url_decode, b64url_encode
from ..errors import VerificationError
from . import browser
from .browser import Roots, UnlockerKeys
from .consent import Consent, Outcome, outcome, shows
from .passkey import SoftwarePasskey
from .wallet_client import Refused, WalletClient

__all__ = ["Consent", "Deceived", "Outcome", "Phone", "Refused"]


class Deceived(VerificationError):
    """The wallet asks to approve something else than what was shown, or has lost history."""


@dataclass(slots=True)
class Phone(WalletClient):
    """One citizen's phone. `client` reaches the wallet, `origin` is what its browser would say."""

    origin: str
    locale: str = "en"
    passkey: SoftwarePasskey = field(init=False)
    wallet: str = ""
    recovery_code: str = ""
    revocation_code: str = ""
    _k_read: bytes = b""
    _known: tuple[int, str] | None = None
    _marks: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.passkey = SoftwarePasskey(self.origin)

    # -- The wallet itself -----------------------------------------------------------------

    def create_wallet(self) -> str:
        """Make a wallet with this passkey, a recovery and a revocation code; it is open then."""
        options = self._post("/wallets/options")
        creation = self.passkey.create(options["creation"])
        assertion = self.passkey.get(options["assertion"])
        roots = Roots.make()
        self.recovery_code, self.revocation_code = browser.make_code(), browser.make_code()
        self.wallet = options["wallet"]
        answer = self._post(
            "/wallets",
            {
                "registration": options["registration"],
                "creation": creation,
                "assertion": assertion.response,
                "passkey": UnlockerKeys.of_passkey(assertion.prf).body(
                    roots, wallet=self.wallet, unlocker=options["passkey_unlocker"]
                ),
                "recovery": UnlockerKeys.of_code(self.recovery_code).body(
                    roots, wallet=self.wallet, unlocker=options["recovery_unlocker"]
                ),
                "recovery_lookup": browser.lookup(self.recovery_code),
                "revocation_lookup": browser.lookup(self.revocation_code),
                "k_read": b64url_encode(roots.read),
                "locale": self.locale,
                "session": "bearer",
            },
        )
        self._recognise(read=roots.read, act=roots.act)
        self._token, self._k_read = answer["token"], roots.read
        self.overview()
        return self.wallet

    def open(self) -> None:
        """One gesture with the `read` input; then look whether the history goes on."""
        options = self._post("/sessions/options")["options"]
        assertion = self.passkey.get(options)
        opening = self._post("/sessions/assertion", {"assertion": assertion.response})
        k_read = browser.open_root(
            browser.private_key(assertion.prf[0]),
            b64url_decode(opening["read_wrap"]),
            wallet=opening["wallet"],
            unlocker=opening["unlocker"],
            purpose="read",
        )
        self.wallet = opening["wallet"]
        self._recognise(read=k_read)
        answer = self._post(
            "/sessions",
            {"opening": opening["opening"], "k_read": b64url_encode(k_read), "session": "bearer"},
        )
        self._token, self._k_read = answer["token"], k_read
        self.overview()

    def close(self) -> None:
        """Sign out."""
        self._call("DELETE", "/sessions/current")
        self._token = None

    def overview(self) -> dict[str, Any]:
        """The first screen; raises Deceived if the wallet was rolled back or its log forked."""
        found: dict[str, Any] = self._get("/wallet")
        version, head = found["wallet_version"], found["log_head"]
        self._check_history(version, head)
        if self._known is not None and version > self._known[0] > 0:
            passed = self.log()[self._known[0] - 1]["entry_hash"]
            if passed != self._known[1]:
                raise Deceived("wallet: its log was forked")
        self._known = (version, head)
        return found

    def cards(self) -> list[dict[str, Any]]:
        """All cards with their state in words."""
        found: list[dict[str, Any]] = self.overview()["cards"]
        return found

    def card(self, card: str) -> dict[str, Any]:
        """One card with its claims under their labels."""
        return self._get(f"/credentials/{card}")

    def refresh(self) -> list[dict[str, Any]]:
        """Have the wallet look at the status lists, and show the cards again."""
        found: list[dict[str, Any]] = self._post("/wallet/refresh")["cards"]
        return found

    def log(self) -> list[dict[str, Any]]:
        """Everything that happened, oldest first."""
        found: list[dict[str, Any]] = self._get("/log")["entries"]
        return found

    def prove_recovery(self, code: str | None = None) -> None:
        """Type the recovery code back: it opens the same root, so it would work when needed."""
        code = self.recovery_code if code is None else code
        found = self._post("/recovery/proof/begin", {"lookup": browser.lookup(code)})
        k_read = browser.open_root(
            UnlockerKeys.of_code(code).read,
            b64url_decode(found["read_wrap"]),
            wallet=self.wallet,
            unlocker=found["unlocker"],
            purpose="read",
        )
        self._post("/recovery/proof", {"k_read": b64url_encode(k_read)})

    def add_passkey(self, new: "Phone") -> None:
        """Let *new*, another device of the same citizen, open this wallet too."""
        options = self._post("/unlockers/options")
        creation = new.passkey.create(options["creation"])
        assertion = new.passkey.get(options["assertion"])
        keys = UnlockerKeys.of_passkey(assertion.prf)
        public = keys.public()
        approval = self._post(
            "/unlockers",
            {
                "registration": options["registration"],
                "creation": creation,
                "assertion": assertion.response,
                **public,
            },
        )["approval"]
        found = self.approval(approval)
        if {name: found["payload"]["unlocker"][name] for name in public} != public:
            raise Deceived("approval: another device's keys")
        response, k_act = self._act(found)
        roots = Roots(self._k_read, k_act)
        sealed = keys.body(roots, wallet=self.wallet, unlocker=options["passkey_unlocker"])
        wraps = {"read": sealed["read_wrap"], "act": sealed["act_wrap"]}
        self._post(f"/approvals/{approval}/approve", {"assertion": response, "wraps": wraps})

    def replace_code(self, kind: str, code: str | None = None) -> str:
        """A new recovery or revocation code in the place of the old one; returns the new one."""
        code = browser.make_code() if code is None else code
        keys = UnlockerKeys.of_code(code) if kind == "recovery" else None
        public = keys.public() if keys else {}
        body = {"lookup": browser.lookup(code), **public}
        approval = self._post(f"/codes/{kind}", body)["approval"]
        found = self.approval(approval)
        new = found["payload"]["code"]
        if {name: new[name] for name in public} != public or new["kind"] != kind:
            raise Deceived("approval: another code")
        response, k_act = self._act(found)
        wraps = {}
        if keys:
            roots = Roots(self._k_read, k_act)
            sealed = keys.body(roots, wallet=self.wallet, unlocker=new["unlocker"])
            wraps = {"read": sealed["read_wrap"], "act": sealed["act_wrap"]}
        self._post(f"/approvals/{approval}/approve", {"assertion": response, "wraps": wraps})
        setattr(self, f"{kind}_code", code)
        return code

    def revoke(self) -> None:
        """From any device, without a session: freeze the wallet."""
        self._post("/revoke", {"lookup": browser.lookup(self.revocation_code)})

    def recover(self, wallet_of: "Phone") -> None:
        """On this new phone: open the wallet of a lost one with its recovery code."""
        code = wallet_of.recovery_code
        looked_up = {"lookup": browser.lookup(code)}
        options = self._post("/recovery/options", looked_up)
        wallet, keys = options["wallet"], UnlockerKeys.of_code(code)
        named = {"wallet": wallet, "unlocker": options["unlocker"]}
        read_wrap, act_wrap = (b64url_decode(options[f"{each}_wrap"]) for each in ("read", "act"))
        k_read = browser.open_root(keys.read, read_wrap, **named, purpose="read")
        k_act = browser.open_root(keys.act, act_wrap, **named, purpose="act", k_read=k_read)
        roots = Roots(k_read, k_act)
        creation = self.passkey.create(options["creation"])
        assertion = self.passkey.get(options["assertion"])
        answer = self._post(
            "/recovery/passkey",
            {
                **looked_up,
                "registration": options["registration"],
                "creation": creation,
                "assertion": assertion.response,
                "passkey": UnlockerKeys.of_passkey(assertion.prf).body(
                    roots, wallet=wallet, unlocker=options["passkey_unlocker"]
                ),
                "k_read": b64url_encode(roots.read),
                "session": "bearer",
            },
        )
        self.wallet, self.recovery_code = wallet, code
        self.revocation_code = wallet_of.revocation_code
        self._recognise(read=roots.read, act=roots.act)
        self._token, self._k_read = answer["token"], roots.read
        self.overview()

    def begin_recovery(self, code: str) -> int:
        """Begin the waiting period; returns when it ends (seconds since 1970)."""
        return int(self._post("/recovery", {"lookup": browser.lookup(code)})["not_before"])

    def delete_wallet(self) -> dict[str, Any]:
        """Leave and be forgotten; the answer is the receipt."""
        approval = self._post("/wallet/deletion")["approval"]
        receipt = self._approve(approval, lambda payload: payload["type"] == "delete_wallet")
        self._token = None
        return receipt

    def export(self) -> dict[str, Any]:
        """What moves the wallet elsewhere, not sealed yet (TS10 `MigrationData`)."""
        approval = self._post("/export")["approval"]
        found = self._approve(approval, lambda payload: payload["type"] == "export")
        migration: dict[str, Any] = found["migration"]
        return migration

    def delete_card(self, card: str) -> None:
        """Destroy one card with its keys."""
        approval = self._post(f"/credentials/{card}/deletion")["approval"]
        self._approve(approval, lambda payload: payload["credential"] == card)

    def delete_log_entry(self, seq: int) -> None:
        """Forget what one entry said."""
        approval = self._post(f"/log/{seq}/deletion")["approval"]
        self._approve(approval, lambda payload: payload["entry"] == seq)

    # -- Receiving -------------------------------------------------------------------------

    def scan(
        self, text: str, *, cross_device: bool = False, key: str | None = None
    ) -> dict[str, Any]:
        """Whatever the camera saw."""
        headers = {} if key is None else {"Idempotency-Key": key}
        return self._post("/scan", {"text": text, "cross_device": cross_device}, headers)

    def receive(self, offer_link: str, tx_code: str | None = None) -> list[str]:
        """Take an offer to its end; returns the new cards' ids."""
        flow = self.scan(offer_link)
        return self.keep(self.accept(flow, tx_code)["id"])

    def ask(self, issuer: str, configuration: str) -> dict[str, Any]:
        """Get a document from an agency without an offer."""
        return self._post("/issuances", {"issuer": issuer, "configuration": configuration})

    def sign_in(
        self, flow: Mapping[str, Any], browse: Callable[[str], Mapping[str, str]]
    ) -> dict[str, Any]:
        """Sign in at the agency: *browse* opens its page and says what stood in the way back."""
        url = self._post(f"/issuances/{flow['id']}/authorize")["authorize_url"]
        return self._post("/issuances/callback", {"parameters": dict(browse(url))})

    def accept(self, flow: Mapping[str, Any], tx_code: str | None = None) -> dict[str, Any]:
        """Enter the Transaction Code, approve with one gesture; then check the content."""
        place = f"/issuances/{flow['id']}"
        if tx_code is not None:
            self._post(f"{place}/tx-code", {"tx_code": tx_code})
        offered = flow["issuer"]["identifier"]
        approval = self._post(f"{place}/accept")["approval"]
        return self._approve(
            approval,
            lambda payload: (
                payload["type"] == "accept" and payload["issuer"]["identifier"] == offered
            ),
        )

    def keep(self, issuance: str) -> list[str]:
        """The content is right."""
        found: list[str] = self._post(f"/issuances/{issuance}/keep")["credentials"]
        return found

    # -- Presenting ------------------------------------------------------------------------

    def resolve(self, request_link: str, *, cross_device: bool = False) -> Consent:
        """Who asks, why, and what would answer."""
        flow = self.scan(request_link, cross_device=cross_device)
        return Consent(flow["id"], flow["consent"])

    def approve(
        self, consent: Consent, picks: Mapping[str, Sequence[str]] | None = None
    ) -> Outcome:
        """Share what was shown, with one gesture."""
        chosen = picks or {each["query"]: each["chosen"] for each in consent.model["credentials"]}
        chosen = {query: list(cards) for query, cards in chosen.items() if cards}
        place = f"/presentations/{consent.id}"
        approval = self._post(f"{place}/select", {"picks": chosen})["approval"]
        return outcome(self._approve(approval, lambda payload: shows(consent, chosen, payload)))

    def refuse(self, consent: Consent) -> Outcome:
        """Share nothing, and do not say why."""
        return outcome(self._post(f"/presentations/{consent.id}/refuse"))

    def retry(self, outcome_or_consent: Outcome | Consent) -> Outcome:
        """Post the stored answer again."""
        return outcome(self._post(f"/presentations/{outcome_or_consent.id}/retry"))

    # -- The gesture -----------------------------------------------------------------------

    def approval(self, approval: str) -> dict[str, Any]:
        """What there is to approve."""
        return self._get(f"/approvals/{approval}")

    def gesture(self, found: Mapping[str, Any]) -> dict[str, Any]:
        """One `navigator.credentials.get`: an assertion, and the keys of the named copies."""
        assertion, k_act = self._act(found)
        copies = [item["copy"] for item in found["payload"].get("items", [])]
        keys = {copy: b64url_encode(browser.copy_key(k_act, copy)) for copy in copies}
        return {"assertion": assertion, "copy_keys": keys}

    def _act(self, found: Mapping[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The assertion for a payload, and `K_act` out of the same gesture."""
        payload = found["payload"]
        computed = b64url_encode(browser.challenge(payload))
        if computed != found["options"]["challenge"]:
            raise Deceived("approval: the challenge is not that of the payload shown")
        assertion = self.passkey.get(found["options"])
        used = assertion.response["rawId"]
        wrap = next(each for each in found["act_wraps"] if each["credential_id"] == used)
        k_act = browser.open_root(
            browser.private_key(assertion.prf[0]),
            b64url_decode(wrap["wrap"]),
            wallet=payload["wallet"],
            unlocker=wrap["unlocker"],
            purpose="act",
            k_read=self._k_read,
        )
        self._recognise(act=k_act)
        return assertion.response, k_act

    def _approve(self, approval: str, expected: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        found = self.approval(approval)
        payload = found["payload"]
        if payload["wallet"] != self.wallet or not expected(payload):
            raise Deceived("approval: not what was shown")
        self._check_history(payload["wallet_version"], payload["log_head"])
        return self._post(f"/approvals/{approval}/approve", self.gesture(found))

    def _recognise(self, **roots: bytes) -> None:
        """The roots this device saw first are the wallet's: another one was put in their place."""
        for purpose, root in roots.items():
            mark = browser.mark_of(root, self.wallet)
            if self._marks.setdefault(purpose, mark) != mark:
                raise Deceived("wallet: another root than this device knows")

    def _check_history(self, version: int, head: str) -> None:
        """Whether what is claimed now goes on from what was last seen."""
        known, known_head = self._known or (version, head)
        if version < known or (version == known and head != known_head):
            raise Deceived("wallet: rolled back, or its log was forked")
