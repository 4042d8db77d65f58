"""Every metric's definition, and the latest refusals for those who ask.

Label sets are closed: a team, model or code that policy does not know is counted as `other`, so no client can grow
them. Bound children are kept in dictionaries, because looking a child up by its labels costs more than counting.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice
from typing import Generic, TypeVar

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

OTHER = "other"
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_LONGEST_KEPT = 500
_JOB = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 86400)

M = TypeVar("M", Counter, Gauge, Histogram)
L = TypeVar("L", bound=tuple[str, ...])


class Family(Generic[M]):
    """One metric and its children, each bound once."""

    __slots__ = ("children", "metric")

    def __init__(self, metric: M) -> None:
        self.metric: M = metric
        self.children: dict[tuple[str, ...], M] = {}

    def __call__(self, *labels: str) -> M:
        child = self.children.get(labels)
        if child is None:
            child = self.children[labels] = self.metric.labels(*labels) if labels else self.metric
        return child

    def keep(self, wanted: Collection[str]) -> None:
        """Drop the children whose first label (a team) is not wanted any more, so removed teams leave no series."""
        for labels in [labels for labels in self.children if labels[0] not in wanted]:
            self._drop(labels)

    def show(self: "Family[Gauge]", values: Mapping[L, float]) -> None:
        """Make a gauge show exactly these values: series that are not among them are dropped."""
        for labels in [labels for labels in self.children if labels not in values]:
            self._drop(labels)
        for labels, value in values.items():
            self(*labels).set(value)

    def _drop(self, labels: tuple[str, ...]) -> None:
        del self.children[labels]
        self.metric.remove(*labels)


@dataclass(frozen=True, slots=True)
class CallSeries:
    """What one kind of call is counted on, so that it is looked up at once."""

    requests: Counter
    duration: Histogram
    overhead: Histogram


class Metrics:
    """The gateway's metrics, prefix `gateway_`; one instance a process."""

    def __init__(self, version: str) -> None:
        # each `_created` series would double a counter to say what a restart shows anyway
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left this one untyped
        self.registry = CollectorRegistry()
        self._by_team: list[Family[Counter] | Family[Gauge]] = []
        counter, gauge, histogram = self._counter, self._gauge, self._histogram
        self.requests = counter("requests", "Calls answered on the public listener.", "team", "route", "method", "code")
        self.request_duration = histogram(
            "request_duration_seconds", "Time to answer a call.", _SECONDS, "route", "method", "code"
        )
        self.overhead = histogram(
            "overhead_seconds", "Time to answer a call, less the time upstream took.", _OVERHEAD, "route"
        )
        self.in_flight = gauge("requests_in_flight", "Calls being worked on.")()
        self.denied = counter("denied", "Calls the gateway refused, by error code.", "team", "reason")
        self.upstream_requests = counter("upstream_requests", "Calls made to upstream.", "operation", "code")
        self.upstream_duration = histogram(
            "upstream_request_duration_seconds", "Time upstream took to answer.", _SECONDS, "operation"
        )
        self.upstream_retries = counter("upstream_retries", "Calls repeated to upstream.", "operation", "reason")
        self.circuit = gauge("upstream_circuit_state", "1 for the state the circuit breaker is in.", "state")
        self.jobs_created = counter("jobs_created", "Jobs upstream accepted.", "team", "model")
        self.jobs_finished = counter("jobs_finished", "Jobs that ended.", "team", "model", "outcome")
        self.jobs_active = gauge("jobs_active", "Jobs that have not ended.", "team", "model")
        self.job_duration = histogram("job_duration_seconds", "Time from create to the end of a job.", _JOB, "model")
        self.job_cost = counter("job_cost_usd", "Money kept for ended jobs, in USD.", "team", "model")
        self.quota_limit = gauge("quota_limit", "A limit's amount in force (USD for money).", "team", "limit")
        self.quota_used = gauge("quota_used", "What is used of a limit in its window.", "team", "limit")
        self.shadow_denied = counter("quota_shadow_denied", "Calls a shadow limit would have refused.", "team", "limit")
        self.reservations_open = gauge("reservations_open", "Reservations that still hold their claims.", "state")
        self.reservation_age = gauge("reservation_age_max_seconds", "Age of the oldest reservation without a job.")()
        self.settlement_errors = counter("settlement_errors", "Attempts to settle or commit that failed.")()
        self.cache_requests = counter("cache_requests", "Look-ups in a cache.", "cache", "result")
        self.polls_coalesced = counter("polls_coalesced", "Polls answered by another poll's upstream call.")()
        self.uploads = counter("uploads", "Upload URLs issued.", "team", "file_type")
        self.reload_ok = gauge("policy_last_reload_successful", "Whether the last policy load was accepted.")()
        self.reload_time = gauge("policy_last_reload_timestamp_seconds", "When policies were last swapped in.")()
        self.policy_info = gauge("policy_info", "1 for the policy generation in force.", "hash")
        self.ledger_up = gauge("ledger_up", "Whether the ledger answers.")()
        self.ledger_duration = histogram(
            "ledger_operation_duration_seconds", "Time of a ledger operation.", _OVERHEAD, "operation"
        )
        self.key_expiry = gauge("key_expiry_timestamp_seconds", "When a team key expires.", "team", "key")
        self.build_info = gauge("build_info", "1 for the version that runs.", "version")
        self.build_info(version).set(1)
        self._calls: dict[tuple[str, str, str, int], CallSeries] = {}

    def _counter(self, name: str, meaning: str, *labels: str) -> Family[Counter]:
        family = Family(Counter(f"gateway_{name}", meaning, labels, registry=self.registry))
        if labels[:1] == ("team",):
            self._by_team.append(family)
        return family

    def _gauge(self, name: str, meaning: str, *labels: str) -> Family[Gauge]:
        family = Family(Gauge(f"gateway_{name}", meaning, labels, registry=self.registry))
        if labels[:1] == ("team",):
            self._by_team.append(family)
        return family

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Family[Histogram]:
        return Family(Histogram(f"gateway_{name}", meaning, labels, buckets=buckets, registry=self.registry))

    def calls(self, team: str, route: str, method: str, status: int) -> CallSeries:
        """What answered calls of this kind are counted on."""
        kind = (team, route, method, status)
        series = self._calls.get(kind)
        if series is None:
            series = self._calls[kind] = CallSeries(
                self.requests(team, route, method, str(status)),
                self.request_duration(route, method, f"{status // 100}xx"),
                self.overhead(route),
            )
        return series

    def keep_teams(self, teams: Collection[str]) -> None:
        """Drop the series of every team but these and `other`."""
        self._calls.clear()
        wanted = {*teams, OTHER}
        for family in self._by_team:
            family.keep(wanted)

    def render(self, accept: str, present: Sequence[bytes] = (), gone: Sequence[bytes] = ()) -> tuple[bytes, str]:
        """The series and their media type: OpenMetrics where the `Accept` header asks for it, else text 0.0.4.

        `present` and `gone` are the dumps of other workers, of which those that are gone have counted, but have no
        state any more. Takes milliseconds per thousand series. It may run in a thread while others count: every family
        and every value is read under a lock of its own.
        """
        encode, media_type = choose_encoder(accept)
        if not present and not gone:
            return encode(self.registry), media_type
        together = CollectorRegistry()
        together.register(
            Together(self.registry, [_decode(dump) for dump in present], [_decode(dump) for dump in gone])
        )
        return encode(together), media_type

    def dump(self) -> bytes:
        """Every series as it stands, for another worker's `render`."""
        return _encode({family.name: list(_samples(family)) for family in self.registry.collect()})


Sample = tuple[str, tuple[tuple[str, str], ...], float]
"""Name, labels and value of one series."""

Dump = dict[str, list[Sample]]
"""By family."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Dump).decode

_OVER_WORKERS: Mapping[str, Callable[[float, float], float]] = {
    "gateway_requests_in_flight": lambda one, other: one + other,
    "gateway_upstream_circuit_state": max,
    "gateway_policy_last_reload_successful": min,
    "gateway_policy_last_reload_timestamp_seconds": max,
    "gateway_policy_info": max,
    "gateway_ledger_up": min,
}
"""How the gauges that each worker has of its own are put together. The others all workers read from the ledger."""


class Together(Collector):
    """The series of several workers as one: counts are added up, gauges as `_OVER_WORKERS` says."""

    def __init__(self, own: CollectorRegistry, present: Sequence[Dump], gone: Sequence[Dump]) -> None:
        self._own = own
        self._present = present
        self._gone = gone

    def collect(self) -> Iterable[Metric]:
        """One family after the other."""
        for family in self._own.collect():
            values = {(name, labels): value for name, labels, value in _samples(family)}
            if family.type != "gauge":
                _combine(values, family.name, (*self._present, *self._gone), lambda one, other: one + other)
            elif family.name in _OVER_WORKERS:
                _combine(values, family.name, self._present, _OVER_WORKERS[family.name])
            whole = Metric(family.name, family.documentation, family.type)
            for (name, labels), value in values.items():
                whole.add_sample(name, dict(labels), value)
            yield whole


def _samples(family: Metric) -> Iterator[Sample]:
    return ((sample.name, tuple(sample.labels.items()), sample.value) for sample in family.samples)


def _combine(
    values: dict[tuple[str, tuple[tuple[str, str], ...]], float],
    family: str,
    dumps: Iterable[Dump],
    how: Callable[[float, float], float],
) -> None:
    for dump in dumps:
        for name, labels, value in dump.get(family, ()):
            known = values.get((name, labels))
            values[name, labels] = value if known is None else how(known, value)


@dataclass(frozen=True, slots=True)
class Denial:
    """One refused call. `time` in unix seconds; `key` by name; empty where it was not known yet."""

    time: float
    team: str
    key: str
    model: str
    code: str
    message: str
    request_id: str


class Denials:
    """The last refusals, in memory. Callers without a valid key have few places of their own.

    So a flood of unknown keys cannot push out what a team wants to know.
    """

    def __init__(self, most: int = 1000, most_unknown: int = 100) -> None:
        self._known: deque[Denial] = deque(maxlen=most)
        self._unknown: deque[Denial] = deque(maxlen=most_unknown)

    def add(self, denial: Denial) -> None:
        """Note one; the oldest goes. What a client may make long is cut."""
        kept = replace(denial, model=denial.model[:_LONGEST_KEPT], message=denial.message[:_LONGEST_KEPT])
        (self._unknown if denial.team == OTHER else self._known).append(kept)

    def dump(self) -> bytes:
        """All of them, for another worker's `latest`."""
        return _encode(list(self._newest()))

    def latest(
        self, limit: int, team: str | None = None, code: str | None = None, others: Iterable[bytes] = ()
    ) -> list[Denial]:
        """At most `limit`, newest first, of one team and one code where these are given.

        `others` are the dumps of other workers.
        """
        newest = merge(self._newest(), *map(_decode_denials, others), key=_newest_first)
        wanted = (each for each in newest if team in (None, each.team) and code in (None, each.code))
        return list(islice(wanted, limit))

    def _newest(self) -> Iterator[Denial]:
        return merge(reversed(self._known), reversed(self._unknown), key=_newest_first)


_decode_denials = msgspec.msgpack.Decoder(list[Denial]).decode


def _newest_first(denial: Denial) -> float:
    return -denial.time
