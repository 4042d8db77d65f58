"""Whether and where spans are exported is what OpenTelemetry's own variables say."""

import sys

import pytest

from gateway.telemetry.traces import NO_SPAN, NO_TRACES, TracesError, endpoint_of, open_traces
from tests.without_otel import Lacking

BASE, TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
COLLECTOR = {BASE: "http://collector:4318"}


@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [
        ({}, None),
        ({BASE: ""}, None),
        (COLLECTOR, "http://collector:4318/v1/traces"),
        ({BASE: "https://collector/otlp/"}, "https://collector/otlp/v1/traces"),
        ({TRACES: "https://collector/spans/"}, "https://collector/spans/"),
        (COLLECTOR | {TRACES: "http://other/spans"}, "http://other/spans"),
        (COLLECTOR | {"OTEL_SDK_DISABLED": "True"}, None),
        (COLLECTOR | {"OTEL_SDK_DISABLED": "false"}, "http://collector:4318/v1/traces"),
        (COLLECTOR | {"OTEL_TRACES_EXPORTER": "none"}, None),
        (COLLECTOR | {"OTEL_TRACES_EXPORTER": "otlp"}, "http://collector:4318/v1/traces"),
        ({"OTEL_TRACES_EXPORTER": "otlp"}, None),
        (COLLECTOR | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://collector:4318/v1/traces"),
        (
            COLLECTOR | {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "http://collector:4318/v1/traces",
        ),
    ],
)
def test_spans_go_where_the_variables_say(environment: dict[str, str], endpoint: str | None) -> None:
    assert endpoint_of(environment) == endpoint


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({BASE: "collector:4318 canary"}, f"{BASE}: must be a URL such as `http://collector:4318`"),
        ({TRACES: "http:// canary"}, f"{TRACES}: must be a URL such as `http://collector:4318`"),
        ({"OTEL_TRACES_EXPORTER": "otlp,canary"}, "OTEL_TRACES_EXPORTER: must be `otlp` or `none`"),
        (
            {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"},
            "OTEL_EXPORTER_OTLP_PROTOCOL: must be `http/protobuf`, which collectors take on port 4318",
        ),
        (
            {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
            "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL: must be `http/protobuf`, which collectors take on port 4318",
        ),
    ],
)
def test_what_cannot_be_done_is_said_without_quoting(wrong: dict[str, str], told: str) -> None:
    with pytest.raises(TracesError) as raised:
        endpoint_of(COLLECTOR | wrong)
    assert str(raised.value) == told


def test_nothing_is_imported_that_is_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith(("opentelemetry", "gateway.telemetry.otel"))]:
        monkeypatch.delitem(sys.modules, name)
    assert open_traces({}, lambda: 0.0, "1") is NO_TRACES
    assert not any(name.startswith("opentelemetry") for name in sys.modules)


def test_without_the_extra_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "gateway.telemetry.otel", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Lacking(), *sys.meta_path])
    for name in [name for name in sys.modules if name.startswith("opentelemetry")]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(TracesError) as raised:
        open_traces(COLLECTOR, lambda: 0.0, "1")
    assert str(raised.value) == (
        f"{BASE}: spans are to be exported, but OpenTelemetry is not installed; "
        "install it (pip install '.[otel]' in the checkout), or set OTEL_SDK_DISABLED=true"
    )


def test_what_the_library_cannot_use_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "100")
    with pytest.raises(TracesError, match=r"cannot use its variables .*max_queue_size"):
        open_traces(COLLECTOR, lambda: 0.0, "1")


async def test_no_traces_do_nothing() -> None:
    assert not NO_TRACES.on
    span = NO_TRACES.begin_call(())
    assert span is NO_TRACES.begin_question("name", {}) is NO_SPAN
    assert (span.context, span.traceparent) == ((), None)
    span.link("00-x")
    span.end("name", {})
    NO_TRACES.resume(None)
    NO_TRACES.record_job("00-x", (0.0, 1.0), {})
    await NO_TRACES.close()
