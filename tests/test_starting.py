"""What cannot be opened is said in words, once, before any port is."""

from pathlib import Path

import pytest

from gateway.ledger.clock import LedgerClock
from gateway.settings import Settings
from gateway.starting import StartError, begin_traces, open_ledger
from gateway.telemetry import Metrics


async def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "gateway.db").write_text("this is no database, but a text that is long enough not to be taken for one")
    with pytest.raises(StartError, match="ledger: "):
        await open_ledger(Settings(ledger=f"sqlite:///{tmp_path / 'gateway.db'}"), Metrics("1"))


def test_traces_that_nobody_can_take_are_said() -> None:
    wanted = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}
    with pytest.raises(StartError, match="OTEL_"):
        begin_traces(wanted, LedgerClock(lambda: 0.0, lambda: 0.0), "1")
