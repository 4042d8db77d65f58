"""What is opened when the gateway starts and can fail for a reason of its surroundings: said once, as a StartError."""

import logging
from collections.abc import Mapping

from gateway.ledger.clock import LedgerClock
from gateway.ledger.faults import LedgerUnreachable
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.logs import log_event
from gateway.settings import Settings
from gateway.telemetry import Metrics, Traces
from gateway.telemetry.traces import TracesError, open_traces


class StartError(Exception):
    """The gateway cannot start; the text says why and what to do, one line per problem."""


def begin_traces(environment: Mapping[str, str], clock: LedgerClock, version: str) -> Traces:
    """Where spans are told, by the `OTEL_…` variables. Raises StartError."""
    try:
        return open_traces(environment, clock, version)
    except TracesError as error:
        raise StartError(str(error)) from error


async def open_ledger(settings: Settings, metrics: Metrics) -> Ledger:
    """The ledger, which is opened later on if its server cannot be reached now: until then nothing is ready."""

    def timed(operation: str, seconds: float) -> None:
        metrics.ledger_duration(operation).observe(seconds)

    try:
        ledger = Ledger(settings.ledger, timed)
        await ledger.open()
    except LedgerUnreachable as error:
        log_event(logging.ERROR, "ledger cannot be reached", error=str(error))
    except LedgerUnavailable as error:
        raise StartError(f"ledger: {error}") from error
    return ledger
