"""Calls on the public listener, look-ups and calls to upstream: plain numbers that Prometheus reads when it asks.

Every call is counted here, up to five times over. The client library's own children cost a microsecond each for that,
locks and all; the loop is the only one that counts, so a tally needs none.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import accumulate

from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

Kind = tuple[str, str, str, int]
"""Team, route, method and status."""


class Distribution:
    """How durations are spread over buckets with these upper bounds, in seconds."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def observe(self, seconds: float) -> None:
        """Count one."""
        self.counts[bisect_left(self._bounds, seconds)] += 1
        self.total += seconds

    def buckets(self) -> list[tuple[str, float]]:
        """Each upper bound as Prometheus writes it, and how many were no longer."""
        names = [*map(floatToGoString, self._bounds), "+Inf"]
        return list(zip(names, map(float, accumulate(self.counts)), strict=True))


class Tally:
    """Calls of one kind, and where their durations are counted."""

    __slots__ = ("_duration", "_overhead", "count")

    def __init__(self, duration: Distribution, overhead: Distribution) -> None:
        self._duration = duration
        self._overhead = overhead
        self.count = 0

    def note(self, elapsed: float, overhead: float) -> None:
        """One more call: the seconds it took, and those that were not upstream's."""
        self.count += 1
        self._duration.observe(elapsed)
        self._overhead.observe(overhead)


class Calls(Collector):
    """Every kind of call there has been, with histogram buckets at `seconds` and, for the overhead, `overhead`."""

    def __init__(self, seconds: Sequence[float], overhead: Sequence[float]) -> None:
        self._seconds = seconds
        self._overhead_seconds = overhead
        self._tallies: dict[Kind, Tally] = {}
        self._durations: dict[tuple[str, ...], Distribution] = {}
        self._overheads: dict[tuple[str, ...], Distribution] = {}

    def of(self, team: str, route: str, method: str, status: int) -> Tally:
        """Where calls of this kind are counted."""
        kind = (team, route, method, status)
        tally = self._tallies.get(kind)
        if tally is None:
            duration = (route, method, f"{status // 100}xx")
            tally = self._tallies[kind] = Tally(
                self._durations.setdefault(duration, Distribution(self._seconds)),
                self._overheads.setdefault((route,), Distribution(self._overhead_seconds)),
            )
        return tally

    def keep(self, teams: Collection[str]) -> None:
        """Drop what is counted for every team but these. What is not counted by team stays."""
        self._tallies = {kind: tally for kind, tally in self._tallies.items() if kind[0] in teams}

    def collect(self) -> Iterable[Metric]:
        """The three families as they stand. It may run in a thread: dictionaries are copied before they are read."""
        requests = CounterMetricFamily(
            "gateway_requests", "Calls answered on the public listener.", labels=("team", "route", "method", "code")
        )
        for (team, route, method, status), tally in self._tallies.copy().items():
            requests.add_metric((team, route, method, str(status)), tally.count)
        duration = HistogramMetricFamily(
            "gateway_request_duration_seconds", "Time to answer a call.", labels=("route", "method", "code")
        )
        overhead = HistogramMetricFamily(
            "gateway_overhead_seconds", "Time to answer a call, less the time upstream took.", labels=("route",)
        )
        _add(duration, self._durations.copy())
        _add(overhead, self._overheads.copy())
        return requests, duration, overhead


class UpstreamCalls(Collector):
    """Every call to upstream there has been, with histogram buckets at `seconds`."""

    def __init__(self, seconds: Sequence[float]) -> None:
        self._counts: defaultdict[tuple[str, str], int] = defaultdict(int)
        self._durations: defaultdict[tuple[str, ...], Distribution] = defaultdict(lambda: Distribution(seconds))

    def note(self, operation: str, code: str, elapsed: float) -> None:
        """One more call: what it asked, the status or error it ended with, and the seconds it took."""
        self._durations[operation,].observe(elapsed)  # first, so that what is counted always has a duration
        self._counts[operation, code] += 1

    def collect(self) -> Iterable[Metric]:
        """The two families as they stand. It may run in a thread: dictionaries are copied before they are read."""
        requests = CounterMetricFamily(
            "gateway_upstream_requests", "Calls made to upstream.", labels=("operation", "code")
        )
        for labels, count in self._counts.copy().items():
            requests.add_metric(labels, count)
        duration = HistogramMetricFamily(
            "gateway_upstream_request_duration_seconds", "Time upstream took to answer.", labels=("operation",)
        )
        _add(duration, self._durations.copy())
        return requests, duration


class CacheRequests(Collector):
    """Every look-up in a cache there has been."""

    def __init__(self) -> None:
        self._counts: defaultdict[tuple[str, str], int] = defaultdict(int)

    def note(self, cache: str, result: str) -> None:
        """One more: in which cache, and how the value was come by."""
        self._counts[cache, result] += 1

    def collect(self) -> Iterable[Metric]:
        """The family as it stands. It may run in a thread: the dictionary is copied before it is read."""
        requests = CounterMetricFamily("gateway_cache_requests", "Look-ups in a cache.", labels=("cache", "result"))
        for labels, count in self._counts.copy().items():
            requests.add_metric(labels, count)
        return (requests,)


def _add(family: HistogramMetricFamily, distributions: Mapping[tuple[str, ...], Distribution]) -> None:
    for labels, distribution in distributions.items():
        family.add_metric(labels, buckets=distribution.buckets(), sum_value=distribution.total)
