"""What the gateway counts, the latest refusals, and its spans: for Prometheus, for those who ask, and for traces."""

from gateway.telemetry.denials import OTHER, Denial, Denials
from gateway.telemetry.key_uses import KeyUses
from gateway.telemetry.metrics import Metrics
from gateway.telemetry.traces import NO_SPAN, NO_TRACES, Span, Traces

__all__ = ["NO_SPAN", "NO_TRACES", "OTHER", "Denial", "Denials", "KeyUses", "Metrics", "Span", "Traces"]
