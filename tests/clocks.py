"""A wall clock for a whole gateway, running on by itself and set by a test."""

import time

import pytest


class WallClock:
    """Unix seconds. `set` puts it to an instant, `advance` by seconds; in between it runs as every clock does."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self._ahead  # noqa: TID251 - what the gateway's own clock is made of

    def advance(self, seconds: float) -> None:
        self._ahead += seconds

    def set(self, instant: float) -> None:
        self._ahead += instant - self()


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The clock of every gateway that is opened afterwards."""
    clock = WallClock()
    monkeypatch.setattr("gateway.app._now", clock)
    return clock
