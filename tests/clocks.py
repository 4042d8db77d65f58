"""Clocks of whole gateways, running on by themselves and set by a test."""

import os
import struct
import time
from pathlib import Path

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


class FileClock(WallClock):
    """The wall clock of gateways in processes of their own: how far it is ahead stands in a file they share."""

    VARIABLE = "TEST_WALL_CLOCK"
    """Names the file to `tests.hurried`."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT)
        if not os.fstat(self._file).st_size:
            super().__init__()

    @property
    def _ahead(self) -> float:
        (seconds,) = struct.unpack("d", os.pread(self._file, 8, 0))
        return float(seconds)

    @_ahead.setter
    def _ahead(self, seconds: float) -> None:
        os.pwrite(self._file, struct.pack("d", seconds), 0)


@pytest.fixture
def wall_clock(monkeypatch: pytest.MonkeyPatch) -> WallClock:
    """The clock of every gateway that is opened afterwards."""
    clock = WallClock()
    monkeypatch.setattr("gateway.app._now", clock)
    return clock
