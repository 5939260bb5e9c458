"""`entitled()`: does a query stay within its registered purpose?

One pure function for both sides: the verifier refuses to load a query that goes beyond its
entitlement, the wallet shows (and by policy blocks) it. DCQL lies above this layer, so a query
comes as `Wanted` values.

Specification: DESIGN section 4; TS5 sections 2.4.3 and 2.4.4; PROFILE V-30, V-31, W-57.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from .entries import Ask, AskedCredential, ClaimPath, Entity


@dataclass(frozen=True, slots=True)
class Wanted:
    """One Credential Query, as far as entitlement minds.

    `types` are the `vct` values or the doctype its `meta` names; `claims` every path that any of
    its options asks for (the union over its claim_sets).
    """

    credential_id: str
    format: str
    types: tuple[str, ...]
    claims: tuple[ClaimPath, ...]


@dataclass(frozen=True, slots=True)
class Entitlement:
    """What of a query goes beyond the registered purpose. Nothing does if `allowed`."""

    ask: Ask | None
    over_asked: tuple[tuple[str, ClaimPath], ...]
    types_not_registered: tuple[str, ...]
    cross_device_refused: bool

    @property
    def allowed(self) -> bool:
        """Whether the entity may ask exactly this."""
        return not self.warnings

    @property
    def warnings(self) -> tuple[str, ...]:
        """Stable codes, for consent page and log."""
        found = {
            "purpose_unknown": self.ask is None,
            "type_not_registered": bool(self.types_not_registered),
            "over_asked": bool(self.over_asked),
            "cross_device_not_allowed": self.cross_device_refused,
        }
        return tuple(code for code, applies in found.items() if applies)


def entitled(
    query: Iterable[Wanted],
    entry: Entity,
    *,
    purpose: str | None,
    cross_device: bool,
    now: datetime,
) -> Entitlement:
    """Hold a query against the registered purpose, claim by claim.

    The verifier refuses to load a query that is not `allowed`; the wallet shows what is too much.

    Args:
        query: one `Wanted` per Credential Query.
        entry: who asks, as found by its verified chain.
        purpose: the id its request names; None or an unknown one entitles to nothing.
        cross_device: whether the request came from another device (QR code).
        now: when it is asked, aware.

    Specification: DESIGN section 4; TS5 2.4.3 and 2.4.4; PROFILE V-30, V-31, W-57.
    """
    ask = next((each for each in entry.asks if each.purpose == purpose and each.covers(now)), None)
    if not entry.covers(now):
        ask = None
    over_asked: list[tuple[str, ClaimPath]] = []
    unregistered: list[str] = []
    for wanted in query:
        registered = [c for c in ask.credentials if c.format == wanted.format] if ask else []
        missing = set(wanted.types).difference(c.type for c in registered)
        if missing or not wanted.types:
            unregistered.append(wanted.credential_id)
        over_asked.extend(
            (wanted.credential_id, path)
            for path in wanted.claims
            if not _covered(path, wanted.types, registered)
        )
    return Entitlement(
        ask=ask,
        over_asked=tuple(over_asked),
        types_not_registered=tuple(unregistered),
        cross_device_refused=cross_device and not (ask is not None and ask.cross_device),
    )


def _covered(
    path: ClaimPath, types: tuple[str, ...], registered: Iterable[AskedCredential]
) -> bool:
    """Whether *path* is registered for every type that may answer."""
    by_type = [[p for c in registered if c.type == each for p in c.claims] for each in types]
    return bool(by_type) and all(any(_below(path, p) for p in paths) for paths in by_type)


def _below(path: ClaimPath, registered: ClaimPath) -> bool:
    """Whether *path* is *registered* or leads below it; null there covers every index here."""
    return len(registered) <= len(path) and all(
        ours == theirs or (theirs is None and isinstance(ours, int))
        for ours, theirs in zip(path, registered, strict=False)
    )
