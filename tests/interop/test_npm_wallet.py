"""A wallet of npm libraries receives from our issuer and presents to our verifier, over TLS.

`@openid4vc/*`, `@sd-jwt/*` and `dcql` write and judge every message, jose signs and encrypts;
`wallet.mjs` joins them. What is refused is refused as they understand it. Where they differ from
the specification, a test says so.
"""

import json
import re
import ssl
from collections.abc import Callable, Iterator
from csv import DictReader
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx2
import pytest

from shared.crypto.software import SoftwareKey
from shared.crypto.x509 import Profile
from shared.demo.agencies import Agency
from shared.demo.system import COUNTER, PROVIDER, REGISTRY, System
from shared.encoding import b64url_encode
from shared.jose.jws import parse_jws, sign_jwt
from shared.oid4vp.request import TYP
from shared.runtime.keys import KeyDirectory
from tests.e2e.world import AT_ONCE, eventually, now, ports
from tests.support.certificates import Authority
from tests.support.node import node
from tests.support.tls import TlsFiles

pytestmark = pytest.mark.interop
ISSUER, VERIFIER, WALLET = "issuer_service", "verifier_service", "wallet_service"
PID, PID_MDOC, RESIDENCE = "pid_sd_jwt", "pid_mdoc", "residence_sd_jwt"


class Secured(System):
    """Issuer and verifier end TLS themselves; the wallet is another project's."""

    def _tenant(self, module: str, name: str, **content: Any) -> None:
        self.urls[module] = self.urls[module].replace("http:", "https:")
        if module == ISSUER:
            content["wallets_without_attestation"] = True
        super()._tenant(module, name, **content)

    def _begin(self, module: str) -> None:
        if module != WALLET:
            super()._begin(module)

    def _await(self, module: str) -> None:
        if module != WALLET:
            super()._await(module)

    def key(self, module: str, tenant: str, purpose: str) -> SoftwareKey:
        environment = self.environment(module)
        prefix = module.partition("_")[0].upper()
        password = environment[f"{prefix}_KEY_PASSWORD"].encode()
        return KeyDirectory(self.folder / module / "keys", password).signer(tenant, purpose)

    def demand_dpop_nonces(self) -> None:
        file = self.folder / ISSUER / "tenants" / f"{REGISTRY}.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), "dpop_nonce": True}))
        self.processes.stop(ISSUER)
        self.start(ISSUER)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    folder = tmp_path_factory.mktemp("interop")
    files = TlsFiles.make(folder, now=now())
    settings = dict(AT_ONCE)
    for service in ("ISSUER", "VERIFIER"):
        settings[f"{service}_TLS_CERTIFICATE"] = files.certificate
        settings[f"{service}_TLS_KEY"] = files.key
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", files.authority)  # what Python's processes trust
        patch.setenv("NODE_EXTRA_CA_CERTS", files.authority)
        with Secured(folder / "system", ports=ports(70), settings=settings) as running:
            yield running


class Wallet:
    """The node program."""

    def __init__(self, ask: Callable[[Any], Any]) -> None:
        self._ask = ask

    def __call__(self, act: str, **asked: Any) -> Any:
        """What *act* finds; it must not be refused."""
        answer = self._ask({"act": act, **asked})
        assert "refused" not in answer, answer["refused"]
        return answer

    def refused(self, act: str, **asked: Any) -> Any:
        """Who refuses *act*, and how."""
        answer = self._ask({"act": act, **asked})
        assert "refused" in answer, answer
        return answer["refused"]

    def code(self, act: str, **asked: Any) -> str:
        """Status and error code with which the issuer refuses *act*."""
        found = self.refused(act, **asked)
        assert found["by"] == "issuer", found
        return f"{found['status']} {found['code']}"

    def accept(self, offer: dict[str, Any], **asked: Any) -> str:
        """Open and redeem *offer*; its link."""
        link = str(offer["link"])
        self("open", link=link)
        assert self("redeem", link=link, txCode=offer["tx_code"], **asked)["type"] == "DPoP"
        return link

    def receive(self, offer: dict[str, Any]) -> int:
        """The id under which the wallet holds what was offered."""
        link = self.accept(offer)
        [found] = self("collect", link=link, configuration=offer["credentials"][0])["found"]
        return int(found["id"])


@pytest.fixture(scope="module")
def wallet(system: Secured) -> Iterator[Wallet]:
    document = json.loads((system.folder / "trust" / "trust-list.json").read_text())
    entities = document["entities"]
    issued = [each for entity in entities for each in entity.get("issues", ())]
    anchors: dict[str, list[str]] = {}
    for entity in entities:
        for role, certificates in entity["anchors"].items():
            anchors.setdefault(role, []).extend(certificates)
    key = system.key(WALLET, PROVIDER, "wallet_provider")
    with node("wallet.mjs", package="@openid4vc/openid4vci") as ask:
        wallet = Wallet(ask)
        wallet(
            "trust",
            anchors=anchors,
            types={each["type"]: each["type_metadata"]["uri"] for each in issued},
            provider={
                "jwk": {**key.public.to_jwk(), "d": b64url_encode(key.scalar())},
                "x5c": [_base64(each) for each in key.certificates],
            },
        )
        yield wallet


def _base64(der: bytes) -> str:
    return "".join(ssl.DER_cert_to_PEM_cert(der).splitlines()[1:-1])


@pytest.fixture(scope="module")
def http(system: Secured) -> Iterator[httpx2.Client]:
    with httpx2.Client(verify=ssl.create_default_context()) as client:
        yield client


@pytest.fixture(scope="module")
def registry(system: Secured, http: httpx2.Client) -> Agency:
    return Agency(http, system.urls[ISSUER], REGISTRY, system.clients[ISSUER])


@pytest.fixture(scope="module")
def counter(system: Secured, http: httpx2.Client) -> Agency:
    return Agency(http, system.urls[VERIFIER], COUNTER, system.clients[VERIFIER])


@pytest.fixture(scope="module")
def people(system: Secured) -> Iterator[dict[str, str]]:
    """Adults without peculiarities; each test takes its own."""
    with (system.folder / "people.csv").open(encoding="utf-8", newline="") as file:
        rows = list(DictReader(file))
    return (
        each
        for each in rows
        if not each["marks"] and each["given_name"] and each["birth_date"] < "2000"
    )


@pytest.fixture
def person(people: Iterator[dict[str, str]]) -> dict[str, str]:
    return next(people)


@pytest.fixture
def offer(registry: Agency, person: dict[str, str]) -> Any:
    return registry.offer(person["reference"], PID)


@pytest.fixture(scope="module")
def pid(wallet: Wallet, registry: Agency, people: Iterator[dict[str, str]]) -> int:
    """A PID that several presentations may use."""
    return wallet.receive(registry.offer(next(people)["reference"], PID))


@pytest.fixture(scope="module")
def mdoc(wallet: Wallet, registry: Agency, people: Iterator[dict[str, str]]) -> int:
    """The same as an mdoc."""
    return wallet.receive(registry.offer(next(people)["reference"], PID_MDOC))


# -- Receiving --------------------------------------------------------------------------------


def test_it_understands_offer_and_metadata(
    wallet: Wallet, registry: Agency, person: dict[str, str]
) -> None:
    """I-01, I-02, I-07, I-10, I-22, I-23: by reference, final version, signed metadata."""
    offer = registry.offer(person["reference"], PID, RESIDENCE)
    found = wallet("open", link=offer["link"])
    assert found["calls"] == ["offers 200", "openid-credential-issuer 200", *found["calls"][2:]]
    assert found["offer"] == offer["credential_offer"]
    assert (found["version"], found["signed"]) == ("V1", True)
    assert {PID, PID_MDOC, RESIDENCE} <= set(found["known"])


def test_it_receives_two_types_in_copies(
    wallet: Wallet, registry: Agency, person: dict[str, str]
) -> None:
    """I-51 to I-53, I-60, I-65 to I-68, F-SD-07, ST-31, ST-40: the library verifies it all."""
    link = wallet.accept(registry.offer(person["reference"], PID, RESIDENCE))
    first = wallet("collect", link=link, configuration=PID, copies=3)
    second = wallet("collect", link=link, configuration=RESIDENCE)
    assert [each["type"] for each in first["found"]] == ["Person Identification Data"] * 3
    assert [each["payload"]["vct"] for each in second["found"]] == [
        "urn:citizen-wallet:residence:1"
    ]
    for each in (*first["found"], *second["found"]):
        assert each["payload"]["family_name"] == person["family_name"]
        assert wallet("status", id=each["id"])["status"] == 0
    indexes = [each["payload"]["status"]["status_list"]["idx"] for each in first["found"]]
    assert len(set(indexes)) == 3
    done = wallet("notify", link=link, notification=second["notification"])
    assert done["status"] == 204


def test_wrong_tx_codes_are_refused_and_the_right_one_is_still_good(
    wallet: Wallet, offer: dict[str, Any]
) -> None:
    """I-51: `invalid_grant`; where the offer asks for a code, the library does not go without."""
    wallet("open", link=offer["link"])
    wrong = f"{(int(offer['tx_code']) + 1) % 1_000_000:06}"
    for _ in range(2):
        assert wallet.code("redeem", link=offer["link"], txCode=wrong) == "400 invalid_grant"
    assert wallet.refused("redeem", link=offer["link"])["by"] == "wallet"
    wallet("redeem", link=offer["link"], txCode=offer["tx_code"])


def test_a_code_is_good_once(wallet: Wallet, offer: dict[str, Any]) -> None:
    """I-51: the second redemption is refused and stops what was not collected."""
    link = wallet.accept(offer)
    refused = wallet.code("redeem", link=link, txCode=offer["tx_code"])
    assert refused == "400 invalid_grant"
    assert wallet.code("collect", link=link, configuration=PID) == "401 invalid_token"


def test_a_cancelled_offer_is_gone(wallet: Wallet, registry: Agency, offer: dict[str, Any]) -> None:
    """I-23: the library says that the offer could not be fetched."""
    registry.call("POST", f"offers/{offer['offer_id']}/cancel")
    assert "status '404'" in wallet.refused("open", link=offer["link"])["message"]


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"nonce": "not-one-of-theirs"}, "400 invalid_nonce"),
        ({"audience": "https://other.example"}, "400 invalid_proof"),
        ({"spoil": "proof"}, "400 invalid_proof"),
        ({"spoil": "proof", "copies": 3}, "400 invalid_proof"),
        ({"spoil": "token"}, "401 invalid_token"),
        ({"spoil": "key"}, "401 invalid_token"),
        ({"configuration": RESIDENCE}, "403 insufficient_scope"),
    ],
)
def test_a_wrong_credential_request_is_refused_and_costs_nothing(
    wallet: Wallet, offer: dict[str, Any], asked: dict[str, Any], refused: str
) -> None:
    """I-61, I-66 to I-70, I-33: the codes of section 8.3.1 and RFC 9449; the token stays good."""
    link = wallet.accept(offer)
    assert wallet.code("collect", **{"link": link, "configuration": PID, **asked}) == refused
    wallet("collect", link=link, configuration=PID)


def test_a_nonce_is_good_once(wallet: Wallet, offer: dict[str, Any]) -> None:
    """I-61: other proofs with the same c_nonce."""
    link = wallet.accept(offer)
    nonce = wallet("collect", link=link, configuration=PID)["nonce"]
    refused = wallet.code("collect", link=link, configuration=PID, nonce=nonce)
    assert refused == "400 invalid_nonce"


def test_an_unknown_notification_is_refused(wallet: Wallet, offer: dict[str, Any]) -> None:
    """I-90: section 11.3."""
    link = wallet.accept(offer)
    wallet("collect", link=link, configuration=PID)
    refused = wallet.code("notify", link=link, notification="not-theirs")
    assert refused == "400 invalid_notification_id"


def test_it_says_who_made_it(wallet: Wallet, offer: dict[str, Any]) -> None:
    """I-28 to I-32: a Wallet Attestation of the library's making, from a provider on the list.

    The library has no part for the Challenge Endpoint (ABCA, section 8): without a challenge we
    refuse; the code of section 6.2 is none that it knows, but it hands it on.
    """
    link = offer["link"]
    wallet("open", link=link)
    refused = wallet.code("redeem", link=link, txCode=offer["tx_code"], attest=True)
    assert refused == "400 use_attestation_challenge"
    wallet("redeem", link=link, txCode=offer["tx_code"], attest=True, challenged=True)
    wallet("collect", link=link, configuration=PID)


def begin(wallet: Wallet, registry: Agency, reference: str, configuration: str) -> tuple[str, str]:
    """An offer that asks for a login, opened and pushed: its link, and the page to go to."""
    made = registry.call(
        "POST",
        "offers",
        {"credentials": [configuration], "subject": reference, "grant": "authorization_code"},
    )
    link = str(made["link"])
    wallet("open", link=link)
    started = wallet("authorize", link=link, configuration=configuration)
    assert started["calls"][-1] == "par 201"
    assert set(parse_qs(urlsplit(started["url"]).query)) == {"client_id", "request_uri"}
    return link, started["url"]


def agree(registry: Agency, url: str, reference: str, action: str = "accept") -> str:
    """A person logs in with a clerk's code and answers; where the browser goes then."""
    code = registry.call("POST", "desk-codes", {"subject": reference})["code"]
    with httpx2.Client(verify=ssl.create_default_context(), follow_redirects=True) as browser:
        page = browser.get(url)
        page = browser.post(page.url, data={"csrf": csrf(page), "code": code, "action": "sign-in"})
        assert 'id="consent-accept"' in page.text, page.text
        form = {"csrf": csrf(page), "action": action}
        answer = browser.post(page.url, data=form, follow_redirects=False)
    assert answer.status_code == 303
    return str(answer.headers["location"])


def csrf(page: httpx2.Response) -> str:
    found = re.search(r'name="csrf" value="([^"]+)"', page.text)
    assert found is not None, page.text
    return found[1]


@pytest.mark.parametrize("configuration", [PID, PID_MDOC])
def test_it_receives_after_a_login(
    wallet: Wallet, registry: Agency, person: dict[str, str], configuration: str
) -> None:
    """I-21, I-31, I-35, I-40, I-46 to I-50, HAIP 4: PAR, PKCE, DPoP and Wallet Attestation.

    The library pushes, checks `iss` and `state` of what comes back, exchanges, refreshes.
    """
    link, url = begin(wallet, registry, person["reference"], configuration)
    back = agree(registry, url, person["reference"])
    assert wallet("exchange", link=link, url=back)["type"] == "DPoP"
    first = wallet("collect", link=link, configuration=configuration, copies=2)["found"]
    assert len(first) == 2
    for each in first:
        assert each["payload"]["family_name"] == person["family_name"]
    assert wallet.code("exchange", link=link, url=back) == "400 invalid_grant"
    assert wallet.code("collect", link=link, configuration=configuration) == "401 invalid_token"


def test_it_refreshes(wallet: Wallet, registry: Agency, person: dict[str, str]) -> None:
    """I-54: the library's own refresh, with a new DPoP key; twice with the same token."""
    link, url = begin(wallet, registry, person["reference"], PID)
    wallet("exchange", link=link, url=agree(registry, url, person["reference"]))
    for _ in range(2):
        wallet("refresh", link=link)
        assert wallet("collect", link=link, configuration=PID)["found"]


def test_it_understands_what_a_person_refuses(
    wallet: Wallet, registry: Agency, person: dict[str, str]
) -> None:
    """I-49: `access_denied`, with `state` and `iss` as the library checks them."""
    link, url = begin(wallet, registry, person["reference"], PID)
    back = agree(registry, url, person["reference"], "cancel")
    assert wallet("exchange", link=link, url=back)["error"] == "access_denied"
    forged = back.replace("iss=", "iss=https%3A%2F%2Fother.example%2F&was=")
    assert wallet.refused("exchange", link=link, url=forged)["by"] == "wallet"


def test_it_receives_an_mdoc_with_a_code(
    wallet: Wallet, registry: Agency, person: dict[str, str]
) -> None:
    """I-51, I-72: the pre-authorized code leads to the other format, too."""
    link = wallet.accept(registry.offer(person["reference"], PID_MDOC))
    [found] = wallet("collect", link=link, configuration=PID_MDOC)["found"]
    assert found["payload"]["family_name"] == person["family_name"]


def test_one_proof_with_a_key_attestation_brings_a_copy_for_each_key(
    wallet: Wallet, offer: dict[str, Any]
) -> None:
    """I-69: OpenID4VCI, appendix D.1. The library writes the `typ` of a draft, which we refuse."""
    link = wallet.accept(offer, attest=True, challenged=True)
    asked = {"link": link, "configuration": PID, "copies": 2}
    assert wallet.code("collect", **asked, type="keyattestation+jwt") == "400 invalid_proof"
    assert len(wallet("collect", **asked, type="key-attestation+jwt")["found"]) == 2


def test_it_notices_another_signature(wallet: Wallet, pid: int) -> None:
    """F-SD-07, from the other side."""
    assert "Invalid JWT Signature" in wallet.refused("check", id=pid, spoil="issuer")["message"]


def test_it_does_not_believe_another_disclosure(wallet: Wallet, pid: int) -> None:
    """F-SD-07: RFC 9901, section 7.1, step 5 rejects the whole; the library only leaves it out."""
    good = wallet("check", id=pid)
    spoilt = wallet("check", id=pid, spoil="disclosure")
    assert spoilt["payload"] != good["payload"]
    assert "other" not in json.dumps(spoilt["payload"])


# -- Presenting -------------------------------------------------------------------------------


def outcome(counter: Agency, started: dict[str, Any]) -> tuple[str, str | None]:
    """State of the transaction, and why it was not accepted."""
    result = counter.result(started)
    verdict = result.get("verdict") or {}
    inner = [each.get("reason") for each in verdict.get("credentials", ())]
    return result["state"], next(filter(None, inner), verdict.get("reason"))


@pytest.mark.parametrize(
    ("query", "credential", "claims"),
    [
        ("over_18", PID, {"age_equal_or_over": {"18"}}),
        (
            "identity",
            PID,
            {
                "family_name": None,
                "given_name": None,
                "birthdate": None,
                "place_of_birth": {"country", "locality"},
                "nationalities": None,
            },
        ),
        ("address", RESIDENCE, {"family_name": None, "given_name": None, "address": {"country"}}),
    ],
)
def test_it_presents_what_is_asked_and_nothing_else(
    wallet: Wallet,
    registry: Agency,
    counter: Agency,
    person: dict[str, str],
    query: str,
    credential: str,
    claims: dict[str, Any],
) -> None:
    """V-10 to V-13, V-40, V-60, Q-20: x509_hash, DCQL, KB-JWT, direct_post.jwt."""
    held = wallet.receive(registry.offer(person["reference"], credential))
    started = counter.ask(query)
    seen = wallet("look", link=started["link"])
    assert (seen["prefix"], seen["mode"]) == ("x509_hash", "direct_post.jwt")
    answer = wallet("present", link=started["link"], ids=[held])
    assert answer["status"] == 200
    assert "response_code=" in answer["body"]["redirect_uri"]
    result = counter.result(started)
    assert (result["state"], result["verdict"]["accepted"]) == ("verified", True)
    [found] = result["claims"].values()
    assert set(found) == set(claims)
    for name, members in claims.items():
        if members is not None:
            assert members <= set(found[name])
    assert query != "over_18" or found == {"age_equal_or_over": {"18": True}}


def test_it_finds_nothing_to_present(wallet: Wallet, counter: Agency, pid: int) -> None:
    """Q-10: no residence credential is there."""
    started = counter.ask("address")
    assert wallet("present", link=started["link"], ids=[pid])["satisfied"] is False


@pytest.mark.parametrize(
    ("query", "elements"),
    [
        ("over_18", {"age_over_18"}),
        ("identity", {"family_name", "given_name", "birth_date", "place_of_birth", "nationality"}),
    ],
)
def test_it_presents_an_mdoc(
    wallet: Wallet, counter: Agency, mdoc: int, query: str, elements: set[str]
) -> None:
    """F-MD-08, F-MD-09, HB-22, HB-24, V-60: @owf/mdoc signs for our session, and shows no more."""
    started = counter.ask(query)
    answer = wallet("present", link=started["link"], ids=[mdoc])
    assert outcome(counter, started) == ("verified", None)
    assert answer["status"] == 200
    [found] = counter.result(started)["claims"].values()
    assert set(found["eu.europa.ec.eudi.pid.1"]) == elements


@pytest.mark.parametrize(
    "asked", [{"nonce": "another-nonce"}, {"audience": "x509_hash:another"}, {"spoil": "holder"}]
)
def test_an_mdoc_of_another_session_or_key_is_refused(
    wallet: Wallet, counter: Agency, mdoc: int, asked: dict[str, str]
) -> None:
    """HB-22, HB-26, V-42: the transcript is signed whole, so one reason serves."""
    started = counter.ask("over_18")
    answer = wallet("present", link=started["link"], ids=[mdoc], **asked)
    assert (answer["status"], answer["body"]["error"]) == (400, "invalid_request")
    assert outcome(counter, started) == ("rejected", "holder_binding")


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"nonce": "another-nonce"}, "nonce"),
        ({"audience": "x509_hash:another"}, "audience"),
        ({"spoil": "issuer"}, "signature"),
        ({"spoil": "binding"}, "holder_binding"),
        ({"spoil": "holder"}, "holder_binding"),
        ({"spoil": "unbound"}, "holder_binding"),
        ({"spoil": "withheld"}, "sd_hash"),
    ],
)
def test_a_wrong_presentation_is_refused(
    wallet: Wallet, counter: Agency, pid: int, asked: dict[str, str], reason: str
) -> None:
    """V-42, V-60, V-63, HB-01 to HB-05: one code for the wallet, the reason for the clerk."""
    started = counter.ask("over_18")
    answer = wallet("present", link=started["link"], ids=[pid], **asked)
    assert (answer["status"], answer["body"]["error"]) == (400, "invalid_request")
    assert outcome(counter, started) == ("rejected", reason)


def test_what_cannot_be_decrypted_ends_nothing(wallet: Wallet, counter: Agency, pid: int) -> None:
    """V-41, V-42: the right answer may still come; after it the request is gone."""
    link = (started := counter.ask("over_18"))["link"]
    answer = wallet("present", link=link, ids=[pid], spoil="encryption")
    assert (answer["status"], answer["body"]["error"]) == (400, "invalid_request")
    assert wallet("present", link=link, ids=[pid])["status"] == 200
    assert outcome(counter, started) == ("verified", None)
    assert wallet.refused("present", link=link, ids=[pid])["code"] == "invalid_request_uri"


def test_it_declines(wallet: Wallet, counter: Agency) -> None:
    """V-40, V-42: an error sent plain."""
    started = counter.ask("over_18")
    assert wallet("decline", link=started["link"])["status"] == 200
    assert outcome(counter, started) == ("refused", "refused")


def test_it_opens_only_what_the_named_verifier_signed(
    system: Secured, wallet: Wallet, counter: Agency, http: httpx2.Client
) -> None:
    """V-10, V-11: OpenID4VP, section 5.9.3: client_id is the hash of the certificate, signed."""
    asked = parse_qs(urlsplit(counter.ask("over_18")["link"]).query)
    token = http.get(asked["request_uri"][0]).text
    claims = parse_jws(token, max_bytes=64 * 1024).unverified_claims()
    client_id = str(claims["client_id"])
    key = system.key(VERIFIER, COUNTER, "access")

    def by_value(request: str, name: str = client_id) -> str:
        return f"openid4vp://?{urlencode({'client_id': name, 'request': request})}"

    def signed(signer: SoftwareKey, name: str = client_id) -> str:
        return sign_jwt({**claims, "client_id": name}, typ=TYP, signer=signer)

    other = f"x509_hash:{'A' * 43}"
    stranger = Authority.make(now=now()).signer(Profile.ACCESS, now=now())
    head, payload, signature = token.split(".")
    changed = f"{head}.{payload}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"
    assert wallet("look", link=by_value(signed(key)))["prefix"] == "x509_hash"
    assert wallet.refused("look", link=by_value(token, other))["code"] == "invalid_request"
    assert wallet.refused("look", link=by_value(signed(key, other), other))["code"] == (
        "invalid_request"
    )
    for each in (signed(stranger), changed):
        assert (
            "Error during verification of jwt"
            in (wallet.refused("look", link=by_value(each))["message"])
        )


def test_both_see_the_revocation(
    wallet: Wallet, registry: Agency, counter: Agency, offer: dict[str, Any], person: dict[str, str]
) -> None:
    """ST-42, ST-50: the library reads the same list as our verifier."""
    held = wallet.receive(offer)
    wallet("check", id=held)
    registry.revoke(person["reference"], reason="issued_in_error")
    eventually(lambda: wallet("status", id=held)["status"] == 1)
    assert "Status is not valid" in wallet.refused("check", id=held)["message"]

    def refused() -> bool:
        started = counter.ask("over_18")
        wallet("present", link=started["link"], ids=[held])
        return outcome(counter, started) == ("rejected", "revoked")

    eventually(refused)


# -- The issuer restarts with another setting; no test after this one ---------------------------


def test_it_sends_the_dpop_nonce_that_is_demanded(
    system: Secured, wallet: Wallet, registry: Agency, people: Iterator[dict[str, str]]
) -> None:
    """I-34: RFC 9449, sections 8 and 9; asked for once by each server, then sent by itself."""
    before, after = (registry.offer(next(people)["reference"], PID) for _ in range(2))

    def receive(offer: dict[str, Any]) -> list[str]:
        link = offer["link"]
        wallet("open", link=link)
        redeemed = wallet("redeem", link=link, txCode=offer["tx_code"])
        return [*redeemed["calls"], *wallet("collect", link=link, configuration=PID)["calls"]]

    assert receive(before) == ["token 200", "nonce 200", "credential 200"]
    system.demand_dpop_nonces()
    assert receive(after) == [
        *("token 400", "token 200"),
        "nonce 200",
        *("credential 401", "credential 200"),
    ]
