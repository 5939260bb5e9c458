"""The whole issuance that HAIP prescribes: authorization code, attested wallet, all encrypted.

Beside the plain flow it has a pushed request, the pages on which the citizen signs in and agrees,
a Wallet Attestation with its proof at both OAuth endpoints, a binding of the code to the DPoP key,
and an encrypted credential request and response. What the wallet's own calls cost and what the
citizen's pages cost are told apart: the plain flow, which PERFORMANCE compares with, has no pages.
"""

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import orjson

from shared.crypto.software import SoftwareKey
from shared.demo.system import PROVIDER, REGISTRY, System
from shared.demo.visitor import Visitor, over_http
from shared.jose import jwe
from shared.oauth import attestation, pkce
from shared.oauth.encryption import EncryptionKey
from shared.oid4vci import proofs
from shared.runtime.keys import KeyDirectory

from .flows import SD_JWT, Flows, Kind

CLIENT = "https://wallet.example"
_RETURN = f"{CLIENT}/callback"
_ENC = "A128GCM"


@dataclass(frozen=True, slots=True)
class Pushed:
    """One pushed request: the wallet's DPoP key and PKCE verifier, and its request_uri."""

    client: SoftwareKey
    verifier: str
    request_uri: str


class HaipFlows(Flows):
    """An attested wallet, a citizen at a browser, an agency that hands out codes to sign in."""

    def __init__(self, system: System, kind: Kind = SD_JWT) -> None:
        super().__init__(system, kind)
        password = system.environment("wallet_service")["WALLET_KEY_PASSWORD"].encode()
        keys = KeyDirectory(Path(system.folder) / "wallet_service" / "keys", password)
        self._instance = SoftwareKey.generate()
        self._attestation = attestation.make_attestation(
            signer=keys.signer(PROVIDER, "wallet_provider"),
            client_id=CLIENT,
            key=self._instance.public,
            now=datetime.now(UTC),
            lifetime=timedelta(hours=12),
            issuer=CLIENT,
        )
        challenge = self.issuer.json("POST", f"{self.issuer_id}/challenge")
        self._challenge = str(challenge["attestation_challenge"])
        place = urlsplit(self.issuer_id)
        path = f"/.well-known/openid-credential-issuer{place.path}"
        metadata = self.issuer.json("GET", f"{place.scheme}://{place.netloc}{path}")
        found = metadata["credential_configurations_supported"][self.kind.configuration]
        self._scope = str(found["scope"])
        self._to = EncryptionKey.from_jwk(
            metadata["credential_request_encryption"]["jwks"]["keys"][0]
        )
        self._people = httpx2.Client(timeout=30)

    def close(self) -> None:
        """End the connections."""
        self._people.close()
        super().close()

    def issue(self, subject: str) -> tuple[str, SoftwareKey]:
        """Whole issuance: pushed request, sign-in, consent, token, nonce, credential."""
        pushed = self.push()
        return self.redeem(pushed, self.signed_in(pushed, subject))

    def push(self) -> Pushed:
        """Step 1: a pushed authorization request."""
        client, verifier = SoftwareKey.generate(), pkce.make_verifier()
        answer = self._post(
            "par",
            client,
            response_type="code",
            client_id=CLIENT,
            redirect_uri=_RETURN,
            scope=self._scope,
            state=secrets.token_urlsafe(32),
            code_challenge=pkce.challenge(verifier),
            code_challenge_method="S256",
        )
        return Pushed(client, verifier, str(answer["request_uri"]))

    def redeem(self, pushed: Pushed, code: str) -> tuple[str, SoftwareKey]:
        """Step 3: the code's token, a nonce, the credential."""
        token = self._post(
            "token",
            pushed.client,
            grant_type="authorization_code",
            code=code,
            redirect_uri=_RETURN,
            code_verifier=pushed.verifier,
        )["access_token"]
        return self.credential(str(token), pushed.client)

    def _post(self, endpoint: str, client: SoftwareKey, **fields: str) -> Any:
        url = f"{self.issuer_id}/{endpoint}"
        pop = attestation.make_pop(
            signer=self._instance,
            client_id=CLIENT,
            audience=self.issuer_id,
            now=datetime.now(UTC),
            challenge=self._challenge,
        )
        return self.issuer.form(
            url,
            fields,
            DPoP=self._proof(client, url),
            OAuth_Client_Attestation=self._attestation,
            OAuth_Client_Attestation_PoP=pop,
        )

    def signed_in(self, pushed: Pushed, subject: str) -> str:
        """Step 2: the citizen signs in with a clerk's code and agrees: the authorization code."""
        desk = self.issuer.json(
            "POST",
            f"{self.issuer.url}/api/v1/{REGISTRY}/desk-codes",
            {"subject": subject},
            Authorization=self._issuing,
        )["code"]
        browser = Visitor(over_http(self._people), (self.issuer.url,))
        query = urlencode({"client_id": CLIENT, "request_uri": pushed.request_uri})
        login = browser.open(f"{self.issuer_id}/authorize?{query}")
        consent = browser.press(login, "login-submit", code=str(desk))
        done = browser.press(consent, "consent-accept")
        return parse_qs(urlsplit(done.leaves or "").query)["code"][0]

    def credential(self, token: str, client: SoftwareKey) -> tuple[str, SoftwareKey]:
        """A nonce, and the credential: request and response encrypted."""
        nonce = self.issuer.json("POST", f"{self.issuer_id}/nonce")["c_nonce"]
        key, reply_to = SoftwareKey.generate(), SoftwareKey.generate()
        proof = proofs.make_jwt_proof(
            signer=key, audience=self.issuer_id, nonce=nonce, now=datetime.now(UTC)
        )
        asked = {"jwk": {**reply_to.public.to_jwk(), "alg": "ECDH-ES"}, "enc": _ENC}
        body = {
            "credential_configuration_id": self.kind.configuration,
            "proofs": {"jwt": [proof]},
            "credential_response_encryption": asked,
        }
        url = f"{self.issuer_id}/credential"
        sealed = jwe.encrypt(
            orjson.dumps(body), to=self._to.public, kid=self._to.kid, enc=_ENC, cty="json"
        )
        _, answer = self.issuer.call(
            "POST",
            url,
            sealed.encode(),
            Content_Type="application/jwt",
            Authorization=f"DPoP {token}",
            DPoP=self._proof(client, url, access_token=token),
        )
        _, plain = jwe.decrypt(
            answer.decode(), key=reply_to, enc_values=[_ENC], max_bytes=1_000_000
        )
        return str(orjson.loads(plain)["credentials"][0]["credential"]), key
