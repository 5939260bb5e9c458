"""A wallet whose provider speaks for it, and the authorization code flow as it walks it.

wallet = AttestedWallet(world)
answer = wallet.tokens("AV-000001", scope="…")        # PAR, a person who agrees, token endpoint
credentials = wallet.credentials(answer["access_token"], "pid_sd_jwt")
"""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from issuer_service import authorizations
from shared.crypto.software import SoftwareKey
from shared.encoding import JsonValue
from shared.oauth import attestation, pkce
from shared.trust import Role

from .asgi import Answer
from .issuer import IssuerWorld, Wallet

CLIENT_ID = "https://wallet.example"


class AttestedWallet(Wallet):
    """One instance of a wallet; tests replace what they want to be wrong."""

    def __init__(
        self, world: IssuerWorld, *, tenant: str = "registry", client_id: str = CLIENT_ID
    ) -> None:
        super().__init__(world, tenant=tenant)
        self.provider = world.trust.provider.signer(Role.WALLET_PROVIDER)
        self.instance = SoftwareKey.generate()
        self.client_id = client_id
        self.redirect_uri = f"{client_id}/callback"
        self.verifier = pkce.make_verifier(random_bytes=self.random_bytes)
        self.attestation: dict[str, Any] = {}

    def attested(self, **changes: Any) -> dict[str, str]:
        """The two headers; keywords change the PoP, `self.attestation` the attestation."""
        now = self.world.clock()
        challenge = self.world.client.post(f"/{self.tenant}/challenge")
        members: dict[str, Any] = {
            "signer": self.instance,
            "client_id": self.client_id,
            "audience": self.identifier,
            "now": now,
            "random_bytes": self.random_bytes,
            "challenge": challenge.json()["attestation_challenge"],
            **changes,
        }
        made = attestation.make_attestation(
            **{
                "signer": self.provider,
                "key": self.instance.public,
                "client_id": self.client_id,
                "issuer": self.client_id,
                "wallet_name": "A Wallet",
                "now": now,
                "lifetime": timedelta(hours=1),
                **self.attestation,
            }
        )
        return {
            "OAuth-Client-Attestation": made,
            "OAuth-Client-Attestation-PoP": attestation.make_pop(**members),
        }

    def dpop_with_nonce(self, endpoint: str, **members: Any) -> str:
        nonces = self.world.issuer.tenant(self.tenant)
        at_resource = endpoint in {"credential", "deferred_credential", "notification"}
        source = nonces.rs_nonces if at_resource else nonces.as_nonces
        nonce = source.make(self.world.clock(), self.random_bytes)
        return self.dpop(endpoint, nonce=nonce, **members)

    def post(self, endpoint: str, form: dict[str, str | None], headers: Any = None) -> Answer:
        """A form with good headers unless others are given; a value None is left out."""
        if headers is None:
            headers = {"DPoP": self.dpop_with_nonce(endpoint), **self.attested()}
        sent = {name: value for name, value in form.items() if value is not None}
        return self.world.client.post(f"/{self.tenant}/{endpoint}", form=sent, headers=headers)

    def push(self, *, headers: Any = None, **changes: str | None) -> Answer:
        form: dict[str, str | None] = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": self.redirect_uri,
            "scope": self.scope("pid_sd_jwt"),
            "code_challenge": pkce.challenge(self.verifier),
            "code_challenge_method": "S256",
            "state": "a state",
            **changes,
        }
        return self.post("par", form, headers)

    def scope(self, configuration: str) -> str:
        tenant = self.world.issuer.tenant(self.tenant)
        return tenant.configurations[configuration].file.scope

    def begin(self, request_uri: str, **changes: str) -> authorizations.AuthorizationRequest:
        """The authorization endpoint opens the request."""
        return authorizations.begin(
            self.world.issuer,
            self.world.issuer.tenant(self.tenant),
            **{"client_id": self.client_id, "request_uri": request_uri, **changes},
        )

    def agreed(self, pushed: Answer, subject: str) -> dict[str, str]:
        """What comes back to the wallet after *subject* has logged in and agreed."""
        assert pushed.status == 201, pushed.text
        request = self.begin(pushed.json()["request_uri"])
        url = authorizations.grant(self.world.issuer, request, subject=subject)
        return dict(parse_qsl(urlsplit(url).query))

    def exchange(self, code: str, *, headers: Any = None, **changes: str | None) -> Answer:
        form: dict[str, str | None] = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirect_uri,
            "code_verifier": self.verifier,
            **changes,
        }
        return self.post("token", form, headers)

    def refresh(self, token: str, *, headers: Any = None, **changes: str | None) -> Answer:
        form = {"grant_type": "refresh_token", "refresh_token": token, **changes}
        return self.post("token", form, headers)

    def code(self, subject: str = "AV-000001", **changes: Any) -> str:
        return self.agreed(self.push(**changes), subject)["code"]

    def tokens(self, subject: str = "AV-000001", **changes: Any) -> dict[str, JsonValue]:
        answer = self.exchange(self.code(subject, **changes))
        assert answer.status == 200, answer.text
        found: dict[str, JsonValue] = answer.json()
        return found
