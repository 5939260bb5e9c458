"""What was tried, with what in hand, and what came of it: for people to read and for the test."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from textwrap import indent, wrap

_WIDTH = 96


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attack. It went as it must if *gained* is exactly *allowed*: no more, and no less."""

    attack: str
    held: str
    gained: frozenset[str]
    allowed: frozenset[str]
    note: str = ""

    @property
    def as_it_must(self) -> bool:
        return self.gained == self.allowed


@dataclass
class Report:
    """All attempts, in the order they were made."""

    attempts: list[Attempt] = field(default_factory=list)

    def add(
        self,
        attack: str,
        *,
        held: str,
        gained: Iterable[str] = (),
        allowed: Iterable[str] = (),
        note: str = "",
    ) -> Attempt:
        attempt = Attempt(attack, held, frozenset(gained), frozenset(allowed), note)
        self.attempts.append(attempt)
        return attempt

    @property
    def holes(self) -> list[Attempt]:
        return [each for each in self.attempts if not each.as_it_must]

    def __str__(self) -> str:
        shown = [_shown(each) for each in self.attempts]
        held = f"{len(self.attempts)} attacks, {len(self.holes)} that did not end as they must."
        return "\n".join([*shown, "", held])


def _shown(attempt: Attempt) -> str:
    mark = "held" if attempt.as_it_must else "HOLE"
    lines = [f"[{mark}] {attempt.attack}", *_part("in hand", attempt.held)]
    lines += _part("gained", summary(attempt.gained))
    if not attempt.as_it_must:
        lines += _part("too much", summary(attempt.gained - attempt.allowed))
        lines += _part("too little", summary(attempt.allowed - attempt.gained))
    return "\n".join(lines + _part("note", attempt.note))


def _part(name: str, text: str) -> list[str]:
    if not text:
        return []
    first, *rest = wrap(text, _WIDTH - 18) or [""]
    return [
        f"       {name + ':':<11}{first}",
        *([indent("\n".join(rest), " " * 18)] if rest else []),
    ]


def summary(gains: Iterable[str]) -> str:
    """Gains that differ in their last word only are counted together."""
    kinds: dict[str, list[str]] = {}
    for each in sorted(gains):
        kinds.setdefault(each.rpartition(" ")[0], []).append(each)
    told = [
        found[0] if len(found) == 1 else f"{kind} ({len(found)})" for kind, found in kinds.items()
    ]
    return ", ".join(told) or "nothing"
