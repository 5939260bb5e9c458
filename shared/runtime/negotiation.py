"""Which form of a document a request prefers, and whether it has it already (RFC 9110)."""

from collections.abc import Sequence


def _weight(parameters: Sequence[str]) -> float:
    """The `q` of a media range: 0 to 1, at most three decimals; 0 if it is no such number."""
    for each in parameters:
        name, _, value = each.partition("=")
        if name.strip() == "q":
            whole, _, decimals = value.strip().partition(".")
            good = whole in {"0", "1"} and len(decimals) <= 3 and f"0{decimals}".isdecimal()
            return min(float(f"{whole}.{decimals}0"), 1.0) if good else 0.0
    return 1.0


def preferred(accept: Sequence[str], offered: Sequence[str]) -> str | None:
    """The media type of those *offered* that *accept* weighs most; of equals the first.

    Args:
        accept: every value of the header; none accepts everything.
        offered: by our own preference.

    Returns:
        None if nothing offered is acceptable.
    """
    ranges: dict[str, float] = {}
    for part in ",".join(accept).lower().split(","):
        media_range, *parameters = (each.strip() for each in part.split(";"))
        if media_range:
            ranges[media_range] = _weight(parameters)
    if not ranges:
        return offered[0]
    best, weight = None, 0.0
    for each in offered:
        # The most specific range that fits says how much (RFC 9110, 12.5.1).
        fitting = (each, f"{each.partition('/')[0]}/*", "*/*")
        found = next((ranges[name] for name in fitting if name in ranges), 0.0)
        if found > weight:
            best, weight = each, found
    return best


def accepts_gzip(accept_encoding: Sequence[str]) -> bool:
    """Whether gzip may be sent to who says so (RFC 9110, 12.5.3)."""
    for part in ",".join(accept_encoding).lower().split(","):
        coding, *parameters = (each.strip() for each in part.split(";"))
        if coding in {"gzip", "x-gzip", "*"} and _weight(parameters):
            return True
    return False


def matches(etag: str, if_none_match: Sequence[str]) -> bool:
    """Whether a condition `If-None-Match` names *etag*, by weak comparison, or anything."""
    tags = [each.strip() for each in ",".join(if_none_match).split(",")]
    return "*" in tags or etag in {each.removeprefix("W/") for each in tags}
