"""DESIGN 6 as it reads: who learns what, and what lies where after a full run. S-40, S-41, S-44."""

import base64
import json
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlsplit

import pytest

from shared.crypto.software import SoftwareKey
from shared.demo.phone import Phone, Refused
from shared.formats import sd_jwt
from shared.jose.jws import parse_jws
from tests.support.clock import CountingBytes

from .world import PORTAL, SERVICES, AskedByHand, World, code_of, send

AGE = ("age_equal_or_over", "18")
_SHORTEST, _LONG = 6, 9
"""Bytes of a value that is sought at all; of a form that is found anywhere, not by itself only."""
_BY_CHANCE = 1e-5
"""How often, at most, a run may find a value that is not there: once in 100,000."""
_TX_CODE = "LETTER-7Q2M-XK4D"
_LISTS = ("GET", "/{tenant}/statuslists/{number}")


@dataclass
class Run:
    """What a full run knew: of the citizen, and what opened something on the way."""

    world: World
    subject: str
    phone: Phone
    secrets: dict[str, str] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)

    @property
    def personal(self) -> dict[str, str]:
        """What the register says, as far as it is long enough not to occur by chance."""
        person = self.world.people[self.subject]
        skipped = {"issuing_country", "country", "version", "driving_privileges"}
        return {
            name: each
            for name, each in person.items()
            if len(each.encode()) >= _SHORTEST and name not in skipped
        }


@pytest.fixture(scope="module")
def run(world: World) -> Run:
    """Journeys 1 to 4 with their refusals; every value that is nobody else's business is noted."""
    run = Run(world, world.person(), world.phone())
    secrets, phone, registry, counter = run.secrets, run.phone, world.registry, world.counter
    _issue_by_hand(run)
    offer = registry.offer(
        run.subject,
        "pid_sd_jwt",
        "residence_sd_jwt",
        tx_code={"value": _TX_CODE, "input_mode": "text"},
    )
    secrets |= {"code": code_of(offer), "offer": offer["credential_offer_uri"].split("/")[-1]}
    secrets["tx_code"] = _TX_CODE
    flow = phone.scan(offer["link"])
    with suppress(Refused):
        phone.accept(flow, _TX_CODE[::-1])
    phone.keep(phone.accept(flow, _TX_CODE)["id"])
    for query in ("over_18", "identity", "address"):
        started = counter.ask(query)
        asked = AskedByHand.fetch(started["link"])
        phone.approve(phone.resolve(started["link"], cross_device=True))
        result = counter.result(started)
        assert result["verdict"]["accepted"]
        names = ("secret", "nonce", "state")
        values = (started["secret"], asked.claims["nonce"], asked.claims["state"])
        secrets |= {f"{query} {name}": value for name, value in zip(names, values, strict=True)}
    started = counter.ask("over_18", flow="same_device", return_url=f"{PORTAL}/back")
    outcome = phone.approve(phone.resolve(started["link"]))
    secrets["response_code"] = str(outcome.redirect_uri).partition("response_code=")[2]
    phone.refuse(phone.resolve(counter.ask("identity")["link"], cross_device=True))
    phone.close()
    phone.open()
    registry.revoke(run.subject, reason="superseded")
    phone.refresh()
    secrets["session"] = str(phone._token)
    secrets |= {"recovery": phone.recovery_code, "revocation": phone.revocation_code}
    for name, agency in (("registry", registry), ("counter", counter)):
        secrets[f"{name} token"] = agency._token
        secrets[f"{name} client_secret"] = agency.credentials.client_secret
    return run


def _issue_by_hand(run: Run) -> None:
    """An issuance and a presentation whose every byte is known, and what is refused on the way."""
    world, wallet = run.world, run.world.wallet()
    offer = world.registry.offer(run.subject, "pid_sd_jwt")
    wallet.redeem(offer, tx_code="000000" if offer["tx_code"] != "000000" else "111111")
    token, nonce, key = wallet.token(offer), wallet.nonce(), SoftwareKey.generate()
    key_proof, proof = wallet.key_proof(key, nonce), wallet.dpop("credential", token)
    answer = wallet.ask(token, [key_proof], proof=proof)
    credential = answer.json["credentials"][0]["credential"]
    other = wallet.key_proof(SoftwareKey.generate(), nonce)
    assert wallet.ask(token, [key_proof], proof=proof).status == 401  # the proof is used
    assert wallet.ask(token, [other]).status == 400  # the nonce is used
    started = world.counter.ask("over_18")
    asked = AskedByHand.fetch(started["link"])
    shown = asked.presentation(world.held(credential, key), key, [AGE])
    assert asked.post(b"response=garbage").status == 400
    body = asked.body({"pid": [shown]})
    assert asked.post(body).status == 200
    assert asked.post(body).status == 400
    jwt, *disclosures, _ = credential.split("~")
    run.secrets.update(
        {
            "hand code": code_of(offer),
            "hand token": token,
            "hand c_nonce": nonce,
            "hand key proof": key_proof,
            "hand DPoP proof": proof,
            "hand credential": jwt,
            "hand payload": jwt.split(".")[1],
            "hand notification": answer.json["notification_id"],
            "hand secret": started["secret"],
            "hand request nonce": asked.claims["nonce"],
            "hand response": body.decode().removeprefix("response="),
            "hand presentation": shown.rpartition("~")[2],
        }
    )
    run.secrets.update({f"hand disclosure {each}": each for each in disclosures})
    run.keys.append(str(key.public.to_jwk()["x"]))


def test_the_search_finds_what_is_there(run: Run) -> None:
    """The positive control: the register has it all, in the clear, and so does the sample file."""
    text = (run.world.system.folder / "people.csv").read_bytes()
    assert _found(run.personal, text) == set(run.personal)
    for name in ("Zoë Sofía Núñez", "Zoë-Ann"):  # long, and short
        value = {"name": name}
        forms = (json.dumps(value), f"?name={quote(name)}&a", f"name={name};")
        for each in forms:
            assert _found(value, each.encode()) == {"name"}, each
        assert _found(value, base64.b64encode(name.encode())) == {"name"}
    for shift in range(4):
        content = base64.b64encode(b"x" * shift + "[Zoë Sofía Núñez]".encode())
        assert _found({"name": "Zoë Sofía Núñez"}, content) == {"name"}
    assert len(run.secrets) > 40


def test_the_search_finds_nothing_by_chance() -> None:
    """Random bytes and their base64, as sealed columns and tokens are: nothing is in there."""
    noise = CountingBytes()(1 << 20)
    wanted = {name: name for name in ("Islands", "Žitná", "AV-000021", "1961-08-12", "Old Quay 7")}
    for content in (noise, base64.b64encode(noise), base64.urlsafe_b64encode(noise)):
        assert not _found(wanted, content)


@pytest.mark.parametrize("module", [*SERVICES, "trust"])
def test_logs_hold_nothing_of_the_citizen_and_nothing_that_opens(run: Run, module: str) -> None:
    """DESIGN 6.4, S-44."""
    log = run.world.log(module).encode()
    assert log
    assert not _found(run.personal | run.secrets, log)


def test_logs_are_one_json_object_a_line(run: Run) -> None:
    for module in SERVICES:
        for line in run.world.log(module).splitlines():
            assert {"event", "service", "level", "timestamp"} <= json.loads(line).keys(), line


def test_the_logs_name_the_precise_reason_of_a_refusal(run: Run) -> None:
    """I-95: the peer got a registered code, the operator can see which check it was."""
    log = run.world.log("issuer_service")
    assert "wrong tx_code" in log
    assert "request_id" in log


def test_the_wallets_log_names_no_issuer_and_no_verifier(run: Run) -> None:
    """DESIGN 6.4: neither by host nor by name."""
    log = run.world.log("wallet_service")
    for module in ("issuer_service", "verifier_service"):
        port = urlsplit(run.world.system.urls[module]).port
        assert not re.search(rf":{port}\b", log)
    assert not re.search(r"registry|counter|Avelonia|ent_[0-9a-f]|urn:eudi", log, re.IGNORECASE)


@pytest.mark.parametrize("module", SERVICES)
def test_metrics_hold_templates_and_counts_alone(run: Run, module: str) -> None:
    """S-44: no id, no host, no tenant."""
    url = run.world.system.urls[module]
    text = send("GET", f"{url}/metrics").body
    assert not _found(run.personal | run.secrets, text)
    routes = {
        re.sub(r"\{\w+\}", "", each) for each in re.findall(r'route="([^"]*)"', text.decode())
    }
    assert routes
    assert not any(re.search(r"\d{3}|_[\w-]{10}|localhost", each) for each in routes), routes


def test_databases_hold_nothing_of_the_citizen_and_nothing_that_opens(run: Run) -> None:
    """DESIGN 5, 6.2 and "Decided"; S-01, V-21, I-112: as rows, and as the bytes of the files.

    A Request Object lies open until it is answered, as it went over the wire; the free pages of an
    SQLite file may show the nonce and state of one that was answered, which are worth nothing then.
    """
    everything = run.personal | run.secrets
    asked = {name for name in everything if name.endswith((" nonce", " state"))}
    lasting = {name: value for name, value in everything.items() if name not in asked}
    for name in run.world.databases:
        found = _found(everything, run.world.dump(name))
        assert not found, (name, found)
        found = _found(lasting, run.world.files(name))
        assert not found, (name, found)


def test_the_wallets_databases_name_nobody(run: Run) -> None:
    """DESIGN 5: no issuer, verifier, type or public key in the clear, and no card is described."""
    entities = json.loads((run.world.system.folder / "trust" / "trust-list.json").read_text())
    hosts = [
        urlsplit(run.world.system.urls[each]).netloc for each in SERVICES if "wallet" not in each
    ]
    words = [
        *hosts,
        *(each["id"] for each in entities["entities"]),
        *("registry", "counter", "Registry", "Counters", "urn:eudi:pid:1", "pid_sd_jwt"),
        *("over_18", "proof_of_age", "identification", "family_name", "dc+sd-jwt"),
    ]
    for name in ("wallet_service", "shares"):
        # Public: the trust list, and the wallet provider's own Status List.
        content = run.world.dump(name, without=("trust_state", "attestation_lists"))
        assert not _found({each: each for each in words}, content), name


def test_a_transaction_is_erased_when_its_asker_says_so(run: Run) -> None:
    """DESIGN 6.2: what stays is that there was one."""
    counter, world = run.world.counter, run.world
    phone = world.phone()
    world.receive(phone, world.person())
    started = counter.ask("identity")
    phone.approve(phone.resolve(started["link"], cross_device=True))
    place = f"transactions/{started['transaction_id']}"
    counter.call("DELETE", place, **{"Transaction-Secret": started["secret"]})
    columns = "sealed_claims, sealed_request, request_object, outcome"
    statement = f"SELECT {columns} FROM transactions WHERE id = :id"  # noqa: S608
    rows = world.rows("verifier_service", statement, id=started["transaction_id"])
    assert all(not any(row) for row in rows)
    answer = send(
        "GET",
        f"{counter.url}/api/v1/{counter.tenant}/{place}",
        Authorization=f"Bearer {counter._token}",
        Transaction_Secret=started["secret"],
    )
    assert answer.status == 404


@pytest.fixture(scope="module")
def lasting(sqlite_world: World) -> Iterator[World]:
    """Status lists live as long as in production."""
    modules = ("verifier_service", "wallet_service")
    lasting = {"VERIFIER_STATUS_TTL_MIN": "300", "WALLET_STATUS_TTL_MIN": "300"}
    sqlite_world.restart_all(modules, signal.SIGTERM, **lasting)
    yield sqlite_world
    sqlite_world.restart_all(modules, signal.SIGTERM)


def test_the_issuer_learns_nothing_of_presentations(lasting: World) -> None:
    """DESIGN 6.1, S-41: over thirty of them, nothing but a whole list now and then reaches it."""
    world, phones = lasting, []
    for _ in range(3):
        phones.append(world.phone())
        world.receive(phones[-1], world.person())
    before = world.requests("issuer_service")
    assert before["POST", "/{tenant}/token"] >= 3  # the counters count
    for _ in range(10):
        for phone in phones:
            phone.cards()
            assert world.check(phone)["verdict"]["accepted"]
    caused = world.requests("issuer_service") - before
    assert set(caused) <= {_LISTS}, caused
    assert caused[_LISTS] <= 2, caused  # the first time it is seen, or renewed by schedule


def test_a_status_list_is_fetched_whole_and_by_nobody_in_particular(world: World) -> None:
    """ST-41: no cookie, no identity, the same answer for all; conditional fetches work."""
    [(credential, _)] = world.wallet().receive(world.registry.offer(world.person(), "pid_sd_jwt"))
    status = _payload(credential)["status"]["status_list"]
    answers = [send("GET", status["uri"]) for _ in range(2)]
    assert answers[0].status == 200
    assert {"set-cookie", "vary"} & {each.lower() for each in answers[0].headers} == {"vary"}
    assert len(world.status_list(status["uri"]).list) >= 2**17
    etag = next(value for name, value in answers[1].headers.items() if name.lower() == "etag")
    assert send("GET", status["uri"], If_None_Match=etag).status in {200, 304}


# What two copies may have in common: DESIGN 6.3.
_MAY_BE_SHARED = {
    "header.alg",
    "header.typ",
    "header.kid",
    "header.x5c.0",
    "payload._sd_alg",
    "payload.iss",
    "payload.vct",
    "payload.vct#integrity",
    "payload.iat",
    "payload.nbf",
    "payload.exp",
    "payload.issuing_country",
    "payload.issuing_authority",
    "payload.status.status_list.uri",
    "payload.cnf.jwk.kty",
    "payload.cnf.jwk.crv",
    "digests",
    "claim.age_equal_or_over",
    "claim.18",
    "kb.header.alg",
    "kb.header.typ",
    "kb.payload.aud",
}


def test_two_presentations_share_only_what_they_must(world: World) -> None:
    """DESIGN 6.3, S-40: of one batch, to the same counter, with the same claim."""
    wallet = world.wallet()
    copies = wallet.receive(world.registry.offer(world.person(), "pid_sd_jwt"), copies=2)
    shown = []
    for text, key in copies:
        asked = AskedByHand.fetch(world.counter.ask("over_18")["link"])
        shown.append(_parts(asked.presentation(world.held(text, key), key, [AGE])))
    one, other = shown
    assert one.keys() == other.keys() | one.keys() & {"kb.payload.iat"}
    shared = {name for name in one.keys() & other.keys() if one[name] == other[name]}
    shared.discard("kb.payload.iat")  # of the same second here; of two visits it is not
    assert shared <= _MAY_BE_SHARED, shared - _MAY_BE_SHARED
    assert {"payload.vct", "header.x5c.0", "digests"} <= shared
    for name in ("payload.iat", "payload.exp"):
        assert one[name] % 86_400 == 0


def test_two_copies_share_no_digest_no_salt_and_no_neighbouring_place(world: World) -> None:
    """S-40, over a whole batch of ten."""
    offer = world.registry.offer(world.person(), "pid_sd_jwt")
    copies = [text for text, _ in world.wallet().receive(offer, copies=10)]
    digests = [each for text in copies for each in _digests(_payload(text))]
    disclosures = [each for text in copies for each in text.split("~")[1:-1]]
    assert len(digests) == len(set(digests))
    assert len(disclosures) == len(set(disclosures))
    salts = [json.loads(_decoded(each))[0] for each in disclosures]
    assert len(salts) == len(set(salts))
    places = sorted(_payload(text)["status"]["status_list"]["idx"] for text in copies)
    assert places[-1] - places[0] > 10_000
    assert len({_payload(text)["cnf"]["jwk"]["x"] for text in copies}) == 10


def _found(wanted: Mapping[str, str], content: bytes) -> set[str]:
    """Names of the values that *content* holds: plain, escaped, percent-encoded or in base64.

    Databases are full of random bytes, sealed or in base64: a form of few letters occurs in them by
    chance ("South" begins with U291 in base64, which a megabyte of tokens holds every 17th time).
    So a short form counts only where it stands by itself, as a value in the clear does: between
    bytes that are no letter of base64. `_chance` reckons what remains.
    """
    assert _chance(wanted, content) < _BY_CHANCE
    return {
        name
        for name, value in wanted.items()
        if any(_holds(content, each) for each in _forms(value))
    }


def _holds(content: bytes, form: bytes) -> bool:
    if len(form) >= _LONG:
        return form in content
    alone = rb"(?<![A-Za-z0-9+/_-])" + re.escape(form) + rb"(?![A-Za-z0-9+/_-])"
    return form in content and re.search(alone, content) is not None


def _chance(wanted: Mapping[str, str], content: bytes) -> float:
    """At most this is the probability that random content of this length holds a form.

    A long form may begin anywhere, in the worst case among 64 letters; a short one that stands by
    itself cannot lie in base64, only among random bytes.
    """
    return sum(
        len(content) * (64.0 if len(form) >= _LONG else 256.0) ** -len(form)
        for value in wanted.values()
        for form in _forms(value)
    )


def _forms(value: str) -> set[bytes]:
    plain = value.encode()
    whole = base64.b64encode(plain).rstrip(b"=")
    forms = {plain, json.dumps(value)[1:-1].encode(), quote(value).encode(), whole}
    for shift in range(3):  # as it stands somewhere inside an encoded text
        encoded = base64.b64encode(b"\0" * shift + plain)
        core = encoded[-(-shift * 8 // 6) : (shift + len(plain)) * 8 // 6]
        if len(core) >= _LONG:
            forms.add(core)
    return forms | {each.translate(bytes.maketrans(b"+/", b"-_")) for each in forms}


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def _payload(text: str) -> dict[str, Any]:
    return dict(parse_jws(text.split("~", 1)[0], max_bytes=64 * 1024).unverified_claims())


def _digests(value: Any) -> list[str]:
    if isinstance(value, dict):
        return [*value.get("_sd", []), *(x for each in value.values() for x in _digests(each))]
    return [x for each in value for x in _digests(each)] if isinstance(value, list) else []


def _parts(presented: str) -> dict[str, Any]:
    """Every value of a presentation under the path it has, digests as a number."""
    jwt, *disclosures, kb_jwt = presented.split("~")
    parts: dict[str, Any] = {"signature": jwt.split(".")[2], "kb.signature": kb_jwt.split(".")[2]}
    for prefix, token in (("", jwt), ("kb.", kb_jwt)):
        header, payload = (json.loads(_decoded(each)) for each in token.split(".")[:2])
        parts |= _flat(f"{prefix}header", header) | _flat(f"{prefix}payload", payload)
    for number, each in enumerate(disclosures):
        disclosure = sd_jwt.Disclosure.parse(each)
        parts[f"disclosure.{number}"] = each
        value = disclosure.value
        if isinstance(value, dict) and "_sd" in value:
            parts |= _flat(f"claim.{disclosure.name}", value)
            value = None
        parts[f"claim.{disclosure.name}"] = value
    return parts | {"digests": len(_digests(_payload(presented)))}


def _flat(prefix: str, value: Any) -> dict[str, Any]:
    if isinstance(value, dict):
        items: list[tuple[Any, Any]] = list(value.items())
    elif isinstance(value, list):
        items = list(enumerate(value))
    else:
        return {prefix: value}
    found: dict[str, Any] = {}
    for name, each in items:
        found |= _flat(f"{prefix}.{name}", each)
    return found
