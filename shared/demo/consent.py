"""What a phone shows of a request, what came of it, and whether a payload is what was shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Consent:
    """A request as it is shown: `model` is the consent model of docs/wallet-api.md."""

    id: str
    model: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a presentation ended: `shared`, `refused` or `not_accepted`; where the browser goes."""

    id: str
    step: str
    outcome: str | None
    redirect_uri: str | None


def outcome(flow: Mapping[str, Any]) -> Outcome:
    """How the presentation *flow* stands."""
    return Outcome(flow["id"], flow["step"], flow.get("outcome"), flow.get("redirect_uri"))


def shows(
    consent: Consent, chosen: Mapping[str, Sequence[str]], payload: Mapping[str, Any]
) -> bool:
    """Whether *payload* says what the screen said: this verifier, these cards, these claims."""
    options = {
        (each["query"], option["credential"]): sorted(str(c["path"]) for c in option["claims"])
        for each in consent.model["credentials"]
        for option in each["options"]
    }
    shown = {
        (item["query"], item["credential"]): sorted(str(path) for path in item["claims"])
        for item in payload["items"]
    }
    wanted = {(query, card) for query, cards in chosen.items() for card in cards}
    return (
        payload["type"] == "present"
        and payload["verifier"]["entity"] == consent.model["verifier"]["entity"]
        and shown.keys() == wanted
        and all(set(shown[each]) <= set(options.get(each, ())) for each in shown)
    )
