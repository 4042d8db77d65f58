"""Every metric's definition.

Label sets are closed: a team, model or code that policy does not know is counted as `other`, so no client can grow
them. Bound children are kept in dictionaries, because looking a child up by its labels costs more than counting.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics
from prometheus_client.exposition import choose_encoder

from gateway.core.webhooks import Result
from gateway.telemetry.calls import CacheRequests, Calls, UpstreamCalls
from gateway.telemetry.denials import OTHER
from gateway.telemetry.shown import Shown
from gateway.telemetry.together import Together, dump

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
OVERHEAD = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)
_JOB = (1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 86400)

M = TypeVar("M", Counter, Gauge, Histogram)


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
            del self.children[labels]
            self.metric.remove(*labels)


class Metrics:
    """The gateway's metrics, prefix `gateway_`; one instance a process."""

    def __init__(self, version: str) -> None:
        # each `_created` series would double a counter to say what a restart shows anyway
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library left this one untyped
        self.registry = CollectorRegistry()
        self._by_team: list[Family[Counter]] = []
        counter, gauge, histogram, shown = self._counter, self._gauge, self._histogram, self._shown
        self.calls = Calls(SECONDS, OVERHEAD)
        self.registry.register(self.calls)
        self.in_flight = gauge("requests_in_flight", "Calls being worked on.")()
        self.waiting = gauge("requests_waiting", "Calls in flight that wait for a job or their turn, or stream.")()
        self.denied = counter("denied", "Calls the gateway refused, by error code.", "team", "reason")
        self.upstream_calls = UpstreamCalls(SECONDS)
        self.registry.register(self.upstream_calls)
        self.upstream_retries = counter("upstream_retries", "Calls repeated to upstream.", "operation", "reason")
        self.circuit = shown("upstream_circuit_state", "1 for each state that a credential's circuit is in.", "state")
        self.key_refused = shown(
            "upstream_key_refused", "1 while upstream takes no key of the credential.", "credential"
        )
        self.jobs_created = counter("jobs_created", "Jobs upstream accepted.", "team", "model")
        self.jobs_finished = counter("jobs_finished", "Jobs that ended.", "team", "model", "outcome")
        self.jobs_active = shown("jobs_active", "Jobs that have not ended.", "team", "model")
        self.job_duration = histogram("job_duration_seconds", "Time from create to the end of a job.", _JOB, "model")
        self.job_cost = counter("job_cost_usd", "Money kept for ended jobs, in USD.", "team", "model")
        self.quota_limit = shown("quota_limit", "A limit's amount in force (USD for money).", "team", "limit")
        self.quota_used = shown("quota_used", "What is used of a limit in its window.", "team", "limit")
        self.shadow_denied = counter("quota_shadow_denied", "Calls a shadow limit would have refused.", "team", "limit")
        self.reservations_open = shown("reservations_open", "Reservations that still hold their claims.", "state")
        self.reservation_age = gauge("reservation_age_max_seconds", "Age of the oldest reservation without a job.")()
        self.settlement_errors = counter("settlement_errors", "Attempts to settle or commit that failed.")()
        self.webhook_attempts = counter("webhook_attempts", "Attempts to deliver a webhook, by result.", "result")
        for result in Result:  # from the start: what has never come about is nothing, and not unknown
            self.webhook_attempts(result.value)
        self.webhooks_due = gauge("webhooks_due", "Webhooks still to be delivered.")()
        self.webhook_age = gauge("webhook_age_max_seconds", "Age of the oldest webhook still to be delivered.")()
        self.cache_requests = CacheRequests()
        self.registry.register(self.cache_requests)
        self.polls_coalesced = counter("polls_coalesced", "Polls answered by another poll's upstream call.")()
        self.uploads = counter("uploads", "Upload URLs issued.", "team", "file_type")
        self.reload_ok = gauge("policy_last_reload_successful", "Whether the last policy load was accepted.")()
        self.reload_time = gauge("policy_last_reload_timestamp_seconds", "When policies were last swapped in.")()
        self.policy_info = shown("policy_info", "1 for the policy generation in force.", "hash")
        self.ledger_up = gauge("ledger_up", "Whether the ledger can be written; readiness goes by the same.")()
        self.ledger_duration = histogram(
            "ledger_operation_duration_seconds", "Time of a ledger operation.", OVERHEAD, "operation"
        )
        self.key_expiry = shown("key_expiry_timestamp_seconds", "When a team key expires.", "team", "key")
        self.build_info = shown("build_info", "1 for the version that runs.", "version")
        self.build_info.show({(version,): 1})

    def _counter(self, name: str, meaning: str, *labels: str) -> Family[Counter]:
        family = Family(Counter(f"gateway_{name}", meaning, labels, registry=self.registry))
        if labels[:1] == ("team",):
            self._by_team.append(family)
        return family

    def _gauge(self, name: str, meaning: str, *labels: str) -> Family[Gauge]:
        return Family(Gauge(f"gateway_{name}", meaning, labels, registry=self.registry))

    def _shown(self, name: str, meaning: str, *labels: str) -> Shown:
        gauge = Shown(f"gateway_{name}", meaning, *labels)
        self.registry.register(gauge)
        return gauge

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Family[Histogram]:
        return Family(Histogram(f"gateway_{name}", meaning, labels, buckets=buckets, registry=self.registry))

    def keep_teams(self, teams: Collection[str]) -> None:
        """Drop what is counted for every team but these and `other`."""
        wanted = {*teams, OTHER}
        self.calls.keep(wanted)
        for family in self._by_team:
            family.keep(wanted)

    def render(self, accept: str, present: Sequence[bytes] = (), gone: Sequence[bytes] = ()) -> tuple[bytes, str]:
        """The series and their media type: OpenMetrics where the `Accept` header asks for it, else text 0.0.4.

        `present` and `gone` are the dumps of other workers, of which those that are gone have counted, but have no
        state any more. Takes milliseconds per thousand series. It may run in a thread while others count: every family
        and every value is read under a lock of its own, and a call's numbers are only ever added to.
        """
        encode, media_type = choose_encoder(accept)
        if not present and not gone:
            return encode(self.registry), media_type
        together = CollectorRegistry()
        together.register(Together(self.registry, present, gone))
        return encode(together), media_type

    def series(
        self, names: Collection[str], present: Sequence[bytes] = (), gone: Sequence[bytes] = ()
    ) -> dict[str, list[tuple[Mapping[str, str], float]]]:
        """Labels and values of these samples (`gateway_denied_total`), over all workers as in `render`."""
        found: dict[str, list[tuple[Mapping[str, str], float]]] = {name: [] for name in names}
        for family in Together(self.registry, present, gone).collect():
            for sample in family.samples:
                if sample.name in found:
                    found[sample.name].append((sample.labels, sample.value))
        return found

    def dump(self) -> bytes:
        """Every series as it stands, for another worker's `render`."""
        return dump(self.registry)
