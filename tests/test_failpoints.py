"""What is planned happens at its point, once; the points themselves are tried in tests/faults/test_kill_points.py."""

import os
import signal

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


@pytest.fixture
def slept(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that were slept, without sleeping."""
    seconds: list[float] = []
    monkeypatch.setattr("time.sleep", seconds.append)
    return seconds


def test_what_is_planned_happens_once(monkeypatch: pytest.MonkeyPatch, slept: list[float]) -> None:
    monkeypatch.setattr(failpoints, "_plan", {Point.RESERVED: Action.SLEEP})
    reach(Point.ADMITTED)
    assert slept == []
    reach(Point.RESERVED)
    reach(Point.RESERVED)
    assert slept == [failpoints.PAUSE]


@pytest.mark.parametrize(
    ("action", "number", "before"),
    [(Action.KILL, signal.SIGKILL, []), (Action.STOP, signal.SIGSTOP, [failpoints.AT_HAND])],
)
def test_a_process_kills_or_halts_itself(
    monkeypatch: pytest.MonkeyPatch, slept: list[float], action: Action, number: int, before: list[float]
) -> None:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr("os.kill", lambda pid, number: sent.append((pid, number)))
    monkeypatch.setattr(failpoints, "_plan", {Point.SETTLED: action})
    reach(Point.SETTLED)
    assert (sent, slept) == ([(os.getpid(), number)], before)
