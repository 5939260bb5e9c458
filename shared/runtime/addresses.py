"""Which network addresses an outgoing call may reach (S-11)."""

import ipaddress
import socket
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as ResolverTimeout
from typing import TypeAlias

from ..errors import InvalidInput, Unavailable

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# Beside what Python's registry knows, which differs between its versions: protocol assignments with
# Oracle's metadata service, the old 6to4 relays, local NAT64, documentation, segment routing, and
# Azure's metadata service, which is public by its number only.
_SPECIAL_4 = tuple(
    ipaddress.IPv4Network(each) for each in ("192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32")
)
_SPECIAL_6 = tuple(
    ipaddress.IPv6Network(each)
    for each in ("64:ff9b:1::/48", "2001::/23", "2001:db8::/32", "3fff::/20", "5f00::/16")
)

# getaddrinfo has no timeout of its own.
_resolvers = ThreadPoolExecutor(4, thread_name_prefix="resolve")


def resolve(host: str, port: int, *, seconds: float) -> list[Address]:
    """Every address of *host*; one look-up, whose result is checked and connected to.

    Raises:
        Unavailable: the name does not resolve, or not in time.
    """
    try:
        return [ipaddress.ip_address(host)]
    except ValueError:
        pass
    looked_up = _resolvers.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    try:
        found = looked_up.result(timeout=seconds)
    except (OSError, UnicodeError) as error:  # ResolverTimeout is an OSError
        kind = "in time" if isinstance(error, ResolverTimeout) else "at all"
        raise Unavailable(f"fetch: the name does not resolve {kind}") from error
    return [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]


def check_public(addresses: list[Address]) -> None:
    """Refuse a host if any of its addresses is not a public one.

    Raises:
        InvalidInput: loopback, private, link-local, CGNAT, multicast, unspecified, reserved, cloud
            metadata, or one of these inside an IPv6 address (mapped, 6to4, Teredo, NAT64).
    """
    if not addresses or not all(_is_public(each) for each in addresses):
        raise InvalidInput("fetch: the host has an address that is not public")


def check_loopback(addresses: list[Address]) -> None:
    """Refuse a host that is not on this machine alone."""
    if not addresses or not all(each.is_loopback for each in addresses):
        raise InvalidInput("fetch: plain http is for loopback only")


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inside = _embedded(address)
        if inside is not None:
            return _is_public(inside)
        if address.is_site_local or any(address in each for each in _SPECIAL_6):
            return False
    elif any(address in each for each in _SPECIAL_4):
        return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_unspecified
    )


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
    return None
