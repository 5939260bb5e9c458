"""S-22: one address cannot starve the others."""

from shared.runtime.app import make_app
from shared.runtime.limits import RateLimit
from tests.support.asgi import AsgiClient


def test_a_burst_passes_and_then_the_steady_rate() -> None:
    """S-22."""
    limit = RateLimit(5)
    assert all(limit.allows("a", now=0) for _ in range(50))
    assert not limit.allows("a", now=0)
    assert [limit.allows("a", now=1) for _ in range(6)] == [True] * 5 + [False]


def test_addresses_do_not_share() -> None:
    limit = RateLimit(1)
    assert all(limit.allows("a", now=0) for _ in range(10))
    assert not limit.allows("a", now=0)
    assert limit.allows("b", now=0)


def test_a_pause_fills_the_burst_and_no_more() -> None:
    limit = RateLimit(2)
    assert sum(limit.allows("a", now=0) for _ in range(100)) == 20
    assert sum(limit.allows("a", now=10_000) for _ in range(100)) == 20


def test_memory_is_bounded() -> None:
    limit = RateLimit(1)
    for number in range(30_000):
        limit.allows(str(number), now=0)
    assert len(limit._buckets) <= 20_000


def test_zero_is_no_limit() -> None:
    limit = RateLimit(0)
    assert all(limit.allows("a", now=0) for _ in range(10_000))


def test_beyond_the_limit_the_answer_is_429_and_health_still_answers() -> None:
    app = make_app(
        title="Sample",
        service="sample",
        public_url="https://service.example",
        context=None,
        routers=[],
        ready=dict,
        requests_per_second=1,
    )
    with AsgiClient(app) as client:
        statuses = [client.get("/api/v1/missing").status for _ in range(12)]
        assert statuses[:10] == [404] * 10
        assert statuses[-1] == 429
        refused = client.get("/api/v1/missing")
        assert refused.json()["code"] == "too_many_requests"
        assert refused.headers["retry-after"]
        assert client.get("/health/live").status == 200
