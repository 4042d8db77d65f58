"""Calls as plain numbers, and as Prometheus reads them."""

import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from gateway.telemetry.calls import CacheRequests, Calls, UpstreamCalls

SECONDS = (0.1, 1, 2.5)
NOTED = [
    ("films", "/models", "GET", 200, 0.1, 0.05),
    ("films", "/models", "GET", 304, 0.5, 0.5),
    ("music", "/models", "GET", 200, 9.0, 1.0),
    ("films", "/requests", "POST", 429, 1.0, 1.0),
]


@pytest.fixture
def calls() -> Calls:
    calls = Calls(SECONDS, (0.1, 0.5))
    for team, route, method, status, elapsed, overhead in NOTED:
        calls.of(team, route, method, status).note(elapsed, overhead)
    return calls


def test_prometheus_reads_what_its_own_library_would_have_counted(calls: Calls) -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    ours.register(calls)
    labels = ("route", "method", "code")
    requests = Counter("gateway_requests", "Calls answered on the public listener.", ("team", *labels), registry=theirs)
    duration = Histogram(
        "gateway_request_duration_seconds", "Time to answer a call.", labels, registry=theirs, buckets=SECONDS
    )
    overhead = Histogram(
        "gateway_overhead_seconds",
        "Time to answer a call, less the time upstream took.",
        ("route",),
        registry=theirs,
        buckets=(0.1, 0.5),
    )
    for team, route, method, status, elapsed, of_it in NOTED:
        requests.labels(team, route, method, str(status)).inc()
        duration.labels(route, method, f"{status // 100}xx").observe(elapsed)
        overhead.labels(route).observe(of_it)
    assert _lines(ours) == _lines(theirs)


def _lines(registry: CollectorRegistry) -> list[str]:
    return sorted(line for line in generate_latest(registry).decode().splitlines() if "_created" not in line)


def test_a_team_that_is_not_kept_is_counted_anew(calls: Calls) -> None:
    calls.keep({"films"})
    calls.of("music", "/models", "GET", 200).note(0.1, 0.1)
    assert calls.of("music", "/models", "GET", 200).count == 1
    assert calls.of("films", "/models", "GET", 200).count == 1
    assert sum(int(sample.value) for sample in next(iter(calls.collect())).samples) == 4


def test_look_ups_are_read_as_the_library_would_have_counted_them() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    requests = CacheRequests()
    ours.register(requests)
    counter = Counter("gateway_cache_requests", "Look-ups in a cache.", ("cache", "result"), registry=theirs)
    for cache, result in (("jobs", "hit"), ("models", "miss"), ("jobs", "hit")):
        requests.note(cache, result)
        counter.labels(cache, result).inc()
    assert _lines(ours) == _lines(theirs)


def test_calls_to_upstream_are_read_as_the_library_would_have_counted_them() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    calls = UpstreamCalls(SECONDS)
    ours.register(calls)
    requests = Counter("gateway_upstream_requests", "Calls made to upstream.", ("operation", "code"), registry=theirs)
    duration = Histogram(
        "gateway_upstream_request_duration_seconds",
        "Time upstream took to answer.",
        ("operation",),
        registry=theirs,
        buckets=SECONDS,
    )
    for operation, code, elapsed in (("get_request", "200", 0.1), ("get_request", "timeout", 9.0), ("list", "200", 1)):
        calls.note(operation, code, elapsed)
        requests.labels(operation, code).inc()
        duration.labels(operation).observe(elapsed)
    assert _lines(ours) == _lines(theirs)
