"""Attacks on the running service, with the loot in hand: its API, a stolen session, own signatures.

The thief also has a lawful wallet here (Mallory's), and whatever the service's keys can forge.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import httpx2

from shared.crypto.sealing import TimedNonces
from shared.crypto.software import SoftwareKey
from shared.demo import browser
from shared.demo.passkey import SoftwarePasskey
from shared.encoding import b64url_encode, dump_json, to_numeric_date
from tests.e2e.world import AskedByHand, now

from .at_home import held_in
from .burglar import Burglar
from .loot import read_stores
from .report import Report
from .scene import Scene

_SESSION = "a stolen session, everything of one captured approval"


def knock(scene: Scene, report: Report, burglar: Burglar) -> None:
    """Everything that leaves the citizens' stores as they are."""
    _replay(scene, report)
    _sign_by_session(scene, report)
    _others(scene, report)
    _fix_issuance(scene, report)
    _log_in(scene, report, burglar)
    _sign_by_hand(scene, report, burglar)


# -- The captured approval again ------------------------------------------------------------------


def _replay(scene: Scene, report: Report) -> None:
    sent = scene.approved
    answers = {
        "with the session": scene.call("POST", _path(sent.path), sent.body, token=scene.token),
        "without a session": scene.call("POST", _path(sent.path), sent.body),
        "in Mallory's session": scene.call("POST", _path(sent.path), sent.body, token=_own(scene)),
    }
    report.add(
        "Send the captured approval again: with its session, without, from another wallet",
        held=_SESSION,
        gained={f"approval {how}" for how, answer in answers.items() if answer.is_success},
        note=_codes(answers),
    )


def _sign_by_session(scene: Scene, report: Report) -> None:
    """Begin everything that takes an approval, and approve it with what was captured."""
    token, answers = scene.token, {}
    for kind, approval in _proposed(scene, token):
        found = scene.call("GET", f"/approvals/{approval}", token=token).json()
        named = [item["copy"] for item in found["payload"].get("items", [])]
        captured = scene.approved.body
        [key] = captured["copy_keys"].values()
        for what, keys in (
            ("captured keys", captured["copy_keys"]),
            ("captured key for the named copies", dict.fromkeys(named, key)),
        ):
            body = {"assertion": captured["assertion"], "copy_keys": keys}
            answers[f"{kind}, {what}"] = scene.call(
                "POST", f"/approvals/{approval}/approve", body, token=token
            )
        forged = dict(captured["assertion"])
        forged["response"] = {
            **forged["response"],
            "clientDataJSON": _client_data(scene, browser.challenge(found["payload"])),
        }
        body = {"assertion": forged, "copy_keys": dict.fromkeys(named, key)}
        answers[f"{kind}, old signature on new client data"] = scene.call(
            "POST", f"/approvals/{approval}/approve", body, token=token
        )
        scene.call("POST", f"/approvals/{approval}/refuse", token=token)
    report.add(
        "Act by session alone: present, take an offer, delete a card, the wallet, add a passkey",
        held=_SESSION,
        gained={each for each, answer in answers.items() if answer.is_success},
        note=_codes(answers),
    )


def _proposed(scene: Scene, token: str) -> Iterator[tuple[str, str]]:
    """Pending approvals of Alice's wallet, begun by the thief."""
    asked = scene.world.counter.ask("identity")["link"]
    flow = scene.call("POST", "/scan", {"text": asked, "cross_device": True}, token=token).json()
    yield "present", _approval(scene, f"/presentations/{flow['id']}/select", {}, token)
    offer = scene.world.registry.offer(scene.world.person(), "pid_sd_jwt")
    flow = scene.call("POST", "/scan", {"text": offer["link"]}, token=token).json()
    tx_code = {"tx_code": offer["tx_code"]}
    scene.call("POST", f"/issuances/{flow['id']}/tx-code", tx_code, token=token)
    yield "accept", _approval(scene, f"/issuances/{flow['id']}/accept", None, token)
    [card] = scene.call("GET", "/wallet", token=token).json()["cards"]
    yield "delete card", _approval(scene, f"/credentials/{card['id']}/deletion", None, token)
    yield "delete wallet", _approval(scene, "/wallet/deletion", None, token)
    options = scene.call("POST", "/unlockers/options", token=token).json()
    passkey = SoftwarePasskey(scene.mallory.origin)
    creation = passkey.create(options["creation"])
    gesture = passkey.get(options["assertion"])
    body = {
        "registration": options["registration"],
        "creation": creation,
        "assertion": gesture.response,
        **browser.UnlockerKeys.of_passkey(gesture.prf).public(),
    }
    yield "add passkey", _approval(scene, "/unlockers", body, token)


def _others(scene: Scene, report: Report) -> None:
    """What is Alice's through Mallory's session, and what is Mallory's through Alice's."""
    token, own = scene.token, _own(scene)
    [card] = scene.call("GET", "/wallet", token=token).json()["cards"]
    asked = scene.world.counter.ask("over_18")["link"]
    flow = scene.call("POST", "/scan", {"text": asked, "cross_device": True}, token=own).json()
    picks = {"picks": {each["query"]: [card["id"]] for each in flow["consent"]["credentials"]}}
    captured = _path(scene.approved.path).removesuffix("/approve")
    sessions = scene.call("GET", "/sessions", token=token).json()["sessions"]
    answers = {
        "Alice's card in Mallory's choice": scene.call(
            "POST", f"/presentations/{flow['id']}/select", picks, token=own
        ),
        "Alice's card": scene.call("GET", f"/credentials/{card['id']}", token=own),
        "Alice's approval": scene.call("GET", captured, token=own),
        "Mallory's flow": scene.call("GET", f"/presentations/{flow['id']}", token=token),
        "end Alice's session": scene.call("DELETE", f"/sessions/{sessions[0]['id']}", token=own),
    }
    report.add(
        "Name another wallet's card, approval, flow and session",
        held="a lawful wallet of one's own, ids from the databases",
        gained={each for each, answer in answers.items() if answer.is_success},
        note=_codes(answers),
    )


# -- Logging in -----------------------------------------------------------------------------------


def _fix_issuance(scene: Scene, report: Report) -> None:
    """Sign-ins at an agency that the thief began, finished by what is stored of them."""
    own = _own(scene)
    wish = {"issuer": scene.world.system.issuer, "configuration": "residence_sd_jwt"}
    begun = scene.call("POST", "/issuances", wish, token=own).json()
    begun = scene.call("POST", f"/issuances/{begun['id']}/authorize", token=own).json()
    [row] = read_stores(scene.loot.home)["callbacks"]
    said = {"code": "a code", "iss": scene.world.system.issuer}
    answers = {
        f"{what} in {whose} session": scene.call(
            "POST", "/issuances/callback", {"parameters": {**said, "state": state}}, token=token
        )
        for whose, token in (("the stolen", scene.token), ("Mallory's", own))
        for what, state in (
            ("the stored hash", b64url_encode(row["hash"])),
            ("the flow's id", begun["id"]),
        )
    }
    scene.call("POST", f"/issuances/{begun['id']}/refuse", token=own)
    report.add(
        "Finish a sign-in at an agency by what is stored of it, in the stolen session and another",
        held=_SESSION,
        gained={f"issuance by {how}" for how, answer in answers.items() if answer.is_success},
        note=_codes(answers),
    )


def _log_in(scene: Scene, report: Report, burglar: Burglar) -> None:
    keys = scene.loot.keys("after")
    tickets, bob = keys.keyring("ceremonies"), scene.bob.wallet
    rows = scene.loot.moments["after"]["unlockers"]
    unlocker = next(row for row in rows if row["wallet"] == bob and row["kind"] == "passkey")
    until = to_numeric_date(now() + timedelta(minutes=2))

    def ticket(purpose: str, **content: Any) -> str:
        content = {"wallet": bob, "until": until, **content}
        return b64url_encode(tickets.seal(dump_json(content), aad=purpose.encode()))

    def opened(k_read: bytes) -> httpx2.Response:
        body = {
            "opening": ticket("opening", unlocker=unlocker["id"]),
            "k_read": b64url_encode(k_read),
            "session": "bearer",
        }
        return scene.call("POST", "/sessions", body)

    roots = [each for each in burglar.secrets if len(each) == 32]  # with Alice's K_read
    answers = {f"root {number}": opened(each) for number, each in enumerate([*roots, bytes(32)])}
    challenge = TimedNonces(keys.secret("challenges"), "sign-in", timedelta(minutes=5)).make(
        now(), os.urandom
    )
    mallory = scene.mallory.passkey.get(
        {"rpId": "localhost", "challenge": b64url_encode(challenge.encode())}
    ).response
    named = b64url_encode(unlocker["credential_id"])
    gestures = {
        "Mallory's gesture in Bob's name": {**mallory, "id": named, "rawId": named},
        "the captured gesture": scene.approved.body["assertion"],
    }
    for how, gesture in gestures.items():
        answers[how] = scene.call("POST", "/sessions/assertion", {"assertion": gesture})
    lookups = {"a MAC from the database as code": b"", "a random code": os.urandom(32)}
    for how, lookup in lookups.items():
        mac = next(row["mac"] for row in scene.loot.moments["after"]["codes"])
        body = {"lookup": b64url_encode(lookup or mac)}
        for path in ("/recovery", "/recovery/options", "/revoke"):
            answers[f"{how}, {path}"] = scene.call("POST", path, body)
    report.add(
        f"Log in as Bob: forged tickets with {len(roots) + 1} roots, others' gestures, codes",
        held="the service's keys for tickets, challenges and codes, both stores, Alice's K_read",
        gained={each for each, answer in answers.items() if answer.is_success},
        note=_codes(answers),
    )


# -- Signing without the service ------------------------------------------------------------------


def _sign_by_hand(scene: Scene, report: Report, burglar: Burglar) -> None:
    """Copies from the opened rows, signed with the one key there is."""
    key = SoftwareKey.from_scalar(burglar.opened[f"holder key {scene.copy}"])
    rows = f"row of copies {scene.alice.wallet}:"
    gained, seen = set(), []
    for name, inside in burglar.opened.items():
        if not name.startswith(rows):
            continue
        started = scene.world.counter.ask("over_18")
        asked = AskedByHand.fetch(started["link"])
        shown = asked.presentation(held_in(inside), key, [("age_equal_or_over", "18")])
        query = asked.claims["dcql_query"]["credentials"][0]["id"]
        asked.post(asked.body({query: [shown]}))
        verdict = scene.world.counter.result(started)["verdict"]
        which = "the captured copy" if name == rows + scene.copy else f"another copy {name[-8:]}"
        seen.append(f"{'captured' if name == rows + scene.copy else 'other'}: {_why(verdict)}")
        if verdict["accepted"]:
            gained.add(f"a verifier's yes with {which}")
    report.add(
        "Sign at home for a fresh request: the captured copy, and every other with its key",
        held="the captured copy key, Alice's rows by her session",
        gained=gained,
        allowed={"a verifier's yes with the captured copy"},
        note="; ".join(sorted(set(seen))) + ". The captured copy is the price of A4",
    )


def _why(verdict: dict[str, Any]) -> str:
    if verdict["accepted"]:
        return "accepted"
    inner = [each.get("reason") for each in verdict.get("credentials", [])]
    return str(next((each for each in inner if each), verdict.get("reason")))


def _path(path: str) -> str:
    return path.removeprefix("/api/v1")


def _own(scene: Scene) -> str:
    return str(scene.mallory._token)


def _approval(scene: Scene, path: str, body: Any, token: str) -> str:
    answer = scene.call("POST", path, body, token=token)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["approval"])


def _client_data(scene: Scene, challenge: bytes) -> str:
    content = {
        "type": "webauthn.get",
        "challenge": b64url_encode(challenge),
        "origin": scene.alice.origin,
        "crossOrigin": False,
    }
    return b64url_encode(dump_json(content))


def _codes(answers: dict[str, httpx2.Response]) -> str:
    found = sorted({code_of(answer) for answer in answers.values()})
    return f"answers: {', '.join(found)}"


def code_of(answer: httpx2.Response) -> str:
    """The problem's code, or the status."""
    if answer.is_success:
        return f"yes ({answer.status_code})"
    return str(answer.json().get("code", answer.status_code))
