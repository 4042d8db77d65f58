"""Each credential has a circuit of its own, and the metric tells of all of them."""

import pytest

from gateway.core.breaker import FAILURES_TO_OPEN, Circuit
from gateway.core.errors import Code
from gateway.telemetry import Metrics
from gateway.upstream.circuits import Circuits
from gateway.upstream.failures import Sent, UpstreamFailure


def opened(metrics: Metrics, credential: str) -> Circuits:
    circuits = Circuits(metrics)
    for number in range(FAILURES_TO_OPEN):
        circuits.note(credential, "", began=float(number), now=float(number), works=False)
    return circuits


def shown(metrics: Metrics) -> set[str]:
    """The states that the metric shows."""
    found = metrics.registry.collect()
    samples = [each for family in found if family.name == "gateway_upstream_circuit_state" for each in family.samples]
    return {sample.labels["state"] for sample in samples if sample.value}


def test_before_the_first_call_the_circuit_is_closed() -> None:
    metrics = Metrics("test")
    Circuits(metrics)
    assert shown(metrics) == {"closed"}


def test_what_fails_with_one_key_says_nothing_of_anothers() -> None:
    metrics = Metrics("test")
    circuits = opened(metrics, "default")
    assert [circuits.of("default").state, circuits.of("studio").state] == [Circuit.OPEN, Circuit.CLOSED]
    circuits.note("studio", "", began=9.0, now=9.0, works=True)
    circuits.admit("studio", 9.0)
    assert shown(metrics) == {"open", "closed"}
    with pytest.raises(UpstreamFailure) as refused:
        circuits.admit("default", 9.0)
    assert (refused.value.sent, refused.value.code) == (Sent.NEVER, Code.UPSTREAM_CIRCUIT_OPEN)
    pause = circuits.pause_of("default", "", 9.0)
    assert pause is not None
    assert (pause.code, pause.retry_after) == (Code.UPSTREAM_CIRCUIT_OPEN, refused.value.retry_after)
    assert [circuits.pause_of(name, "", 60.0) for name in ("default", "studio", "new")] == [None, None, None]
    circuits.admit("default", 60.0)
    assert shown(metrics) == {"half_open", "closed"}


def test_a_credential_that_is_gone_is_not_told_of_any_more() -> None:
    metrics = Metrics("test")
    circuits = opened(metrics, "former")
    circuits.keep({"default"})
    assert shown(metrics) == {"closed"}
