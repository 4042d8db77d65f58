"""Several workers' counts as one."""

import pytest
from prometheus_client.parser import text_string_to_metric_families as parse_text

from gateway.telemetry import Metrics
from gateway.telemetry.together import merge


@pytest.fixture
def metrics() -> Metrics:
    return Metrics("1.2.3")


def test_workers_counts_are_added_up_and_those_that_are_gone_still_count(metrics: Metrics) -> None:
    other, gone, before = Metrics("1.2.3"), Metrics("1.2.3"), Metrics("1.2.3")
    for each, calls in ((metrics, 1), (other, 2), (gone, 4), (before, 8)):
        for _ in range(calls):
            each.calls.of("films", "/requests", "GET", 200).note(calls, 0.1)
        each.in_flight.set(calls)
        each.waiting.set(calls)
    other.calls.of("music", "/models", "GET", 200).note(0.1, 0.1)
    together, _ = metrics.render("", [other.dump()], [merge([gone.dump(), before.dump()])])
    found = {
        (sample.name, sample.labels.get("team"), sample.labels.get("route"), sample.labels.get("le")): sample.value
        for family in parse_text(together.decode())
        for sample in family.samples
    }
    assert found["gateway_requests_total", "films", "/requests", None] == 15
    assert found["gateway_requests_total", "music", "/models", None] == 1
    assert found["gateway_request_duration_seconds_sum", None, "/requests", None] == 1 + 2 * 2 + 4 * 4 + 8 * 8
    assert found["gateway_request_duration_seconds_count", None, "/requests", None] == 15
    assert found["gateway_request_duration_seconds_bucket", None, "/requests", "2.5"] == 3
    assert found["gateway_requests_in_flight", None, None, None] == 3, "one that is gone works on nothing"
    assert found["gateway_requests_waiting", None, None, None] == 3
    assert found["gateway_build_info", None, None, None] == 1


def test_a_worker_in_trouble_is_seen_in_the_whole(metrics: Metrics) -> None:
    other = Metrics("1.2.3")
    for each, well in ((metrics, True), (other, False)):
        each.reload_ok.set(well)
        each.ledger_up.set(well)
        each.circuit.show({("open",): int(not well), ("closed",): int(well)})
        each.policy_info.show({("new" if well else "old",): 1})
    metrics.quota_used.show({("films", "jobs-day"): 7})
    other.quota_used.show({("films", "jobs-day"): 6})
    together = metrics.render("", [other.dump()])[0].decode()
    assert "gateway_policy_last_reload_successful 0.0" in together
    assert "gateway_ledger_up 0.0" in together
    assert 'gateway_upstream_circuit_state{state="open"} 1.0' in together
    assert 'gateway_policy_info{hash="new"} 1.0' in together
    assert 'gateway_policy_info{hash="old"} 1.0' in together
    assert 'gateway_quota_used{limit="jobs-day",team="films"} 7.0' in together, "looked up in the ledger just now"


def test_what_workers_say_together_has_the_shape_of_what_one_says(metrics: Metrics) -> None:
    metrics.calls.of("films", "/requests", "GET", 200).note(0.1, 0.1)
    alone, media_type = metrics.render("application/openmetrics-text;version=1.0.0")
    together, same = metrics.render("application/openmetrics-text;version=1.0.0", [Metrics("1.2.3").dump()])
    assert same == media_type
    assert [line for line in together.splitlines() if line.startswith(b"#")] == [
        line for line in alone.splitlines() if line.startswith(b"#")
    ]
