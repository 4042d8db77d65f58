"""How upstream and the caches do, from what this gateway's workers counted since they started."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.context import Gateway

_REQUESTS = "gateway_upstream_requests_total"
_SECONDS = "gateway_upstream_request_duration_seconds_sum"
_ANSWERS = "gateway_upstream_request_duration_seconds_count"
_CIRCUIT = "gateway_upstream_circuit_state"
_KEY_REFUSED = "gateway_upstream_key_refused"
_CACHE = "gateway_cache_requests_total"

_REFUSED_KEY = ("401", "403")

_BORNE = 0.1
"""The share of calls that may fail before upstream is not said to do well, as in the alert on its errors."""

Samples = Sequence[tuple[Mapping[str, str], float]]


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of call to upstream: how many, how many of them failed, and how many seconds they took on average."""

    name: str
    calls: int
    failed: int
    seconds: float


@dataclass(frozen=True, slots=True)
class CacheUse:
    """One cache: look-ups, and how many of them upstream was not asked for."""

    name: str
    lookups: int
    spared: int


@dataclass(frozen=True, slots=True)
class UpstreamHealth:
    """Everything about upstream; `circuit` is the worst state any worker sees, `refused` are credentials by name."""

    circuit: str
    refused: tuple[str, ...]
    operations: tuple[Operation, ...]
    caches: tuple[CacheUse, ...]

    @property
    def word(self) -> str:
        """How it does, for people. What it lets nobody do comes before what it refuses some credentials.

        The circuit may be closed although calls fail: a 500 is about one request, and one that works is enough.
        """
        if self.circuit != "closed":
            return "Failing" if self.circuit == "open" else "Recovering"
        if self.refused:
            return "Refusing"
        return "Unsteady" if self.failed > self.calls * _BORNE else "Well"

    @property
    def calls(self) -> int:
        """All calls made to upstream."""
        return sum(each.calls for each in self.operations)

    @property
    def failed(self) -> int:
        """All of them that failed."""
        return sum(each.failed for each in self.operations)

    @property
    def lookups(self) -> int:
        """All look-ups in caches."""
        return sum(each.lookups for each in self.caches)

    @property
    def spared(self) -> int:
        """All look-ups that upstream was not asked for."""
        return sum(each.spared for each in self.caches)


async def upstream_health(gw: Gateway) -> UpstreamHealth:
    """Over all workers of this machine."""
    present = await gw.siblings.ask("metrics")
    gone = await asyncio.to_thread(gw.siblings.left, present)
    names = (_REQUESTS, _SECONDS, _ANSWERS, _CIRCUIT, _KEY_REFUSED, _CACHE)
    series = await asyncio.to_thread(gw.metrics.series, names, list(present.values()), gone)
    answers = _by(series[_ANSWERS], "operation")
    seconds = _by(series[_SECONDS], "operation")
    operations = [
        Operation(name, int(calls), int(_sum_failed(series[_REQUESTS], name)), seconds[name] / answers[name])
        for name, calls in sorted(_by(series[_REQUESTS], "operation").items())
    ]
    refused = tuple(sorted(labels["credential"] for labels, value in series[_KEY_REFUSED] if value))
    return UpstreamHealth(_circuit(series[_CIRCUIT]), refused, tuple(operations), tuple(_caches(series[_CACHE])))


def _circuit(samples: Samples) -> str:
    """`open` before `half_open` before `closed`, which is also what it is before the first call."""
    states = {labels["state"] for labels, value in samples if value}
    return next((state for state in ("open", "half_open") if state in states), "closed")


def _caches(samples: Samples) -> list[CacheUse]:
    missed = _by([(labels, value) for labels, value in samples if labels["result"] == "miss"], "cache")
    return [
        CacheUse(name, int(lookups), int(lookups - missed.get(name, 0)))
        for name, lookups in sorted(_by(samples, "cache").items())
    ]


def _by(samples: Samples, label: str) -> dict[str, float]:
    sums: dict[str, float] = {}
    for labels, value in samples:
        sums[labels[label]] = sums.get(labels[label], 0) + value
    return sums


def _sum_failed(samples: Samples, operation: str) -> float:
    """Calls without an answer, those answered with a 5xx, and those whose key was refused."""
    return sum(value for labels, value in samples if labels["operation"] == operation and _is_failure(labels["code"]))


def _is_failure(code: str) -> bool:
    return not code.isdigit() or code.startswith("5") or code in _REFUSED_KEY
