"""What is planned happens at its point, once; the points themselves are tried in tests/faults/test_kill_points.py."""

import os
import signal
import time

import pytest

from gateway import failpoints
from gateway.failpoints import Action, Point, reach, read_plan
from gateway.settings import read_settings


def test_a_plan_names_points_and_what_happens_there() -> None:
    assert read_plan("") == {}
    assert read_plan("reserved=kill,looked=stop") == {Point.RESERVED: Action.KILL, Point.LOOKED: Action.STOP}


@pytest.mark.parametrize("text", ["nowhere=kill", "reserved=dance", "reserved"])
def test_what_does_not_exist_cannot_be_planned(text: str) -> None:
    with pytest.raises(ValueError):
        read_plan(text)


def test_nothing_is_planned_in_a_gateway_of_users() -> None:
    assert failpoints._plan == {}
    for point in Point:
        reach(point)


def test_the_variable_is_no_setting() -> None:
    assert read_settings({failpoints.VARIABLE: "reserved=kill"}, {}) == read_settings({}, {})


def test_what_is_planned_happens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failpoints, "_plan", {Point.RESERVED: Action.SLEEP})
    monkeypatch.setattr(failpoints, "PAUSE", 0.05)
    began = time.perf_counter()
    reach(Point.ADMITTED)
    assert time.perf_counter() - began < 0.05
    reach(Point.RESERVED)
    assert time.perf_counter() - began >= 0.05
    assert failpoints._plan == {}


@pytest.mark.parametrize(("action", "number"), [(Action.KILL, signal.SIGKILL), (Action.STOP, signal.SIGSTOP)])
def test_a_process_kills_or_halts_itself(monkeypatch: pytest.MonkeyPatch, action: Action, number: int) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(failpoints, "_plan", {Point.SETTLED: action})
    reach(Point.SETTLED)
    assert sent == [(os.getpid(), number)]
