"""Connections of the guarded client: to checked addresses, never longer than allowed (S-11)."""

import ssl
import time
from collections.abc import Collection, Iterable
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

import httpcore2

from .addresses import check_loopback, check_public, resolve
from .settings import LOOPBACK

_CONNECT, _READ, _TOTAL = 3.0, 5.0, 10.0

deadline: ContextVar[float] = ContextVar("deadline")
"""When, on the monotonic clock, the call that this thread makes has to be over."""


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What a service may reach beyond https on public addresses."""

    permitted_private_hosts: frozenset[str] = frozenset()
    permitted_ports: frozenset[int] = frozenset({443})
    insecure_http_loopback: bool = False
    ca_bundle: Path | None = None
    timeouts: tuple[float, float, float] = (_CONNECT, _READ, _TOTAL)


class GuardedStream(httpcore2.NetworkStream):
    """A connection whose every wait ends at the deadline of the call that uses it."""

    def __init__(self, stream: httpcore2.NetworkStream) -> None:
        self._stream = stream

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """At most *max_bytes*, in time."""
        return self._stream.read(max_bytes, time_left(timeout, httpcore2.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """All of it, in time."""
        self._stream.write(buffer, time_left(timeout, httpcore2.WriteTimeout))

    def close(self) -> None:
        """Close the connection."""
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore2.NetworkStream:
        """TLS for the name, not for the address."""
        left = time_left(timeout, httpcore2.ConnectTimeout)
        return GuardedStream(self._stream.start_tls(ssl_context, server_hostname, left))

    def get_extra_info(self, info: str) -> object:
        """What the connection knows of itself."""
        return self._stream.get_extra_info(info)


def time_left(timeout: float | None, error: type[Exception]) -> float:
    """The seconds that a wait may take; raises *error* if the call's time is over."""
    left = deadline.get() - time.monotonic()
    if left <= 0:
        raise error("the call took too long in all")
    return left if timeout is None else min(timeout, left)


class GuardedBackend(httpcore2.NetworkBackend):
    """Connects to addresses that were checked."""

    def __init__(self, policy: FetchPolicy) -> None:
        self._policy = policy
        self._tcp = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,  # noqa: ARG002  # the base class's signature
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.NetworkStream:
        """The first address of *host* that answers, after all were checked."""
        addresses = resolve(host, port, seconds=time_left(timeout, httpcore2.ConnectTimeout))
        if host in LOOPBACK and self._policy.insecure_http_loopback:
            check_loopback(addresses)
        elif not listed(host, port, self._policy.permitted_private_hosts):
            check_public(addresses)
        for address in addresses[:-1]:
            try:
                return self._connect(str(address), port, timeout, socket_options)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout):
                continue
        return self._connect(str(addresses[-1]), port, timeout, socket_options)

    def _connect(
        self,
        address: str,
        port: int,
        timeout: float | None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None,
    ) -> httpcore2.NetworkStream:
        left = time_left(timeout, httpcore2.ConnectTimeout)
        return GuardedStream(
            self._tcp.connect_tcp(address, port, timeout=left, socket_options=socket_options)
        )


def listed(host: str, port: int, permitted: Collection[str]) -> bool:
    """Whether *host*, or *host* with this *port*, is among those that a setting permits."""
    return host in permitted or f"{host}:{port}" in permitted


def tls_client(ca_bundle: Path | None) -> ssl.SSLContext:
    """TLS 1.2 or newer, names checked (C-50); the system's CAs, and those of *ca_bundle*."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE+AESGCM:ECDHE+CHACHA20")
    if ca_bundle is not None:
        context.load_verify_locations(cafile=str(ca_bundle))
    return context
