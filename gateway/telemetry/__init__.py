"""What the gateway counts, and the latest refusals: for Prometheus, and for those who ask."""

from gateway.telemetry.denials import OTHER, Denial, Denials
from gateway.telemetry.key_uses import KeyUses
from gateway.telemetry.metrics import Metrics

__all__ = ["OTHER", "Denial", "Denials", "KeyUses", "Metrics"]
