"""Traces: what the gateway tells of its calls and jobs, and of nothing unless an operator says where to.

What it is told to is OpenTelemetry's SDK, an extra, which is imported only then. The settings are the standard ones of
OpenTelemetry's specification (`OTEL_…`); whoever sets none of them pays for none of this.
"""

import re
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Protocol, cast

from gateway.core.headers import Headers

Facts = Mapping[str, str | int | float]
"""A span's attributes. Nothing a client could hide a secret in: no payload, no query, no path but the route's."""

BASE = "OTEL_EXPORTER_OTLP_ENDPOINT"
ENDPOINT = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"

_PROTOCOL = "http/protobuf"
_URL = re.compile(r"https?://[^\s/]+.*")


class TracesError(Exception):
    """Spans cannot be exported as the settings want; the text says why and what to do."""


class Span(Protocol):
    """A stretch of work that is recorded, or would be if its trace were."""

    @property
    def context(self) -> Headers:
        """`traceparent` and perhaps `tracestate`, for what is asked of others on its behalf."""

    @property
    def traceparent(self) -> str | None:
        """What others may be made children of or linked to; None unless the span is recorded."""

    def link(self, traceparent: str) -> None:
        """Say that the work of another span served this one too."""

    def end(self, name: str, facts: Facts, fault: str = "") -> None:
        """The work is done. With a `fault`, a word of a closed list, it failed."""


class Traces(Protocol):
    """Where spans are begun. `on` says whether that has any effect."""

    on: bool

    def begin_call(self, parent: Headers) -> Span:
        """A client's call begins. What is begun in this task from now on, and in those it starts, are its children."""

    def begin_question(self, name: str, facts: Facts) -> Span:
        """A call to upstream begins, for whatever this task works on."""

    def resume(self, traceparent: str | None) -> None:
        """This task goes on with what the span so named began; with None, with what is not recorded."""

    def record_job(self, traceparent: str, period: tuple[float, float], facts: Facts, fault: str = "") -> None:
        """A job of the create so named began and ended at these instants, wherever it was begun."""

    async def close(self) -> None:
        """Export what there is, for a moment at most."""


class NoSpan:
    """Work that is not recorded."""

    context: Headers = ()
    traceparent: str | None = None

    def link(self, traceparent: str) -> None:
        """Nothing."""

    def end(self, name: str, facts: Facts, fault: str = "") -> None:
        """Nothing."""


class NoTraces:
    """Nothing is recorded."""

    on = False

    def begin_call(self, parent: Headers) -> Span:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return NO_SPAN

    def begin_question(self, name: str, facts: Facts) -> Span:  # noqa: ARG002 - the protocol's
        """Nothing."""
        return NO_SPAN

    def resume(self, traceparent: str | None) -> None:
        """Nothing."""

    def record_job(self, traceparent: str, period: tuple[float, float], facts: Facts, fault: str = "") -> None:
        """Nothing."""

    async def close(self) -> None:
        """Nothing."""


NO_SPAN: Span = NoSpan()
NO_TRACES: Traces = NoTraces()


def open_traces(environment: Mapping[str, str], now: Callable[[], float], version: str) -> Traces:
    """Traces as the environment wants them. Raises TracesError where that is not possible."""
    where = endpoint_of(environment)
    if where is None:
        return NO_TRACES
    try:
        library = import_module("gateway.telemetry.otel")
    except ModuleNotFoundError:
        told = "spans are to be exported, but OpenTelemetry is not installed"
        remedy = "install it (pip install '.[otel]' in the checkout), or set OTEL_SDK_DISABLED=true"
        raise TracesError(f"{_variable(environment)}: {told}; {remedy}") from None
    try:
        return cast("Traces", library.OpenTelemetry(where, now, version))
    except ValueError as error:
        raise TracesError(f"OpenTelemetry cannot use its variables (OTEL_…): {error}") from error


def endpoint_of(environment: Mapping[str, str]) -> str | None:
    """Where spans are sent; None if they are not wanted. Raises TracesError for what this gateway cannot do."""
    exporters = {each.strip().lower() for each in environment.get("OTEL_TRACES_EXPORTER", "").split(",")} - {""}
    url = environment.get(ENDPOINT) or environment.get(BASE)
    if not url or exporters == {"none"} or environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if exporters - {"otlp"}:
        raise TracesError("OTEL_TRACES_EXPORTER: must be `otlp` or `none`")
    if not _URL.fullmatch(url):
        raise TracesError(f"{_variable(environment)}: must be a URL such as `http://collector:4318`")
    for variable in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        protocol = environment.get(variable)
        if protocol and protocol != _PROTOCOL:
            told = f"must be `{_PROTOCOL}`, which collectors take on port 4318"
            raise TracesError(f"{variable}: {told}")
        if protocol:
            break
    return url if environment.get(ENDPOINT) else f"{url.rstrip('/')}/v1/traces"


def _variable(environment: Mapping[str, str]) -> str:
    return ENDPOINT if environment.get(ENDPOINT) else BASE
