"""Prometheus metrics: counts and durations by route template; never an id or a host (S-44).

With several worker processes the server sets PROMETHEUS_MULTIPROC_DIR before they start, and any of
them answers for all.
"""

import os

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Metrics:
    """The metrics of one app."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self._requests = Counter(
            "http_requests_total",
            "Requests answered.",
            ["service", "route", "method", "status"],
            registry=self.registry,
        )
        self._seconds = Histogram(
            "http_request_seconds",
            "Time from the first byte of a request to the last of its answer.",
            ["service", "route"],
            buckets=_BUCKETS,
            registry=self.registry,
        )
        self._counters: dict[tuple[str, str, int], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        """Count one answered request; *route* is a template, so there are few of them."""
        method = method if method in _METHODS else "other"
        key = (route, method, status)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._requests.labels(self._service, route, method, str(status))
            self._counters[key] = counter
        counter.inc()
        histogram = self._histograms.get(route)
        if histogram is None:
            histogram = self._histograms[route] = self._seconds.labels(self._service, route)
        histogram.observe(seconds)

    def counter(self, name: str, text: str, labels: list[str]) -> Counter:
        """A further counter of the service, e.g. of refusals by reason code."""
        return Counter(name, text, labels, registry=self.registry)

    def text(self) -> bytes:
        """What a Prometheus server scrapes."""
        if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # the library has no types
        return generate_latest(registry)
