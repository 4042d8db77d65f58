"""Who is next in line: each team in turn, and within a team the one that came first."""

import asyncio

import pytest

from gateway import lines
from gateway.lines import Line, Turn


class Queue:
    """A line whose creates have names, such as `a1`: the team, and which of its creates."""

    def __init__(self, *names: str) -> None:
        self.line = Line()
        self.turns: dict[str, asyncio.Future[None]] = {name: self.line.join(name[0]) for name in names}
        self._told: set[str] = set()

    def next(self) -> list[str]:
        """Those that are let through now."""
        self.line.let_through()
        fresh = [name for name, turn in self.turns.items() if turn.done() and name not in self._told]
        self._told.update(fresh)
        return fresh

    def in_order(self) -> list[str]:
        """All of them, one at a time, upstream refusing each."""
        order = []
        while len(self.line):
            order += self.next()
            self.line.done(accepted=False)
        return order


def sent_first() -> tuple[Queue, Turn]:
    """Nine creates of one team, the first of which has been let through and sent."""
    queue = Queue(*(f"a{number}" for number in range(9)))
    assert queue.next() == ["a0"]
    turn = Turn(queue.line)
    turn.sent()
    return queue, turn


async def test_the_teams_take_turns_and_each_keeps_its_order() -> None:
    assert Queue("a1", "a2", "a3", "b1", "c1", "c2").in_order() == ["a1", "b1", "c1", "a2", "c2", "a3"]


async def test_a_team_that_comes_late_does_not_wait_behind_all_of_another() -> None:
    queue = Queue("a1", "a2", "a3")
    assert queue.next() == ["a1"]
    queue.turns["b1"] = queue.line.join("b")
    queue.line.done(accepted=False)
    assert queue.next() == ["a2"]
    queue.line.done(accepted=False)
    assert queue.next() == ["b1"]


async def test_one_at_a_time_until_upstream_takes_them() -> None:
    queue = Queue(*(f"a{number}" for number in range(9)))
    assert [queue.next(), queue.next()] == [["a0"], []]
    queue.line.done(accepted=True)
    assert queue.next() == ["a1", "a2"]
    queue.line.done(accepted=True)
    assert queue.next() == ["a3", "a4", "a5"]
    queue.line.slow_down()
    for _ in range(4):
        assert queue.next() == []
        queue.line.done(accepted=False)
    assert queue.next() == ["a6"]


async def test_who_leaves_is_passed_over_and_its_team_with_its_last() -> None:
    queue = Queue("a1", "a2", "b1")
    queue.line.leave("a", queue.turns.pop("a1"))
    queue.line.leave("b", queue.turns.pop("b1"))
    assert (len(queue.line), queue.in_order()) == (1, ["a2"])


async def test_who_leaves_when_its_turn_has_come_gives_it_to_the_next() -> None:
    queue = Queue("a1", "b1")
    assert queue.next() == ["a1"]
    queue.line.moved.clear()
    queue.line.leave("a", queue.turns["a1"])
    assert queue.line.moved.is_set()
    assert queue.next() == ["b1"]


async def test_a_line_is_busy_until_the_last_has_its_answer() -> None:
    queue = Queue("a1")
    assert queue.next() == ["a1"]
    assert (len(queue.line), queue.line.is_busy) == (0, True)
    queue.line.done(accepted=True)
    assert not queue.line.is_busy


async def test_a_create_that_is_not_refused_soon_counts_as_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.01)
    queue = Queue(*(f"a{number}" for number in range(9)))
    assert queue.next() == ["a0"]
    turn = Turn(queue.line)
    await asyncio.sleep(0.05)
    assert queue.next() == []
    turn.sent()
    queue.line.moved.clear()
    await queue.line.moved.wait()
    assert queue.next() == ["a1", "a2"]
    turn.end(accepted=True)
    assert queue.next() == []


async def test_a_create_that_is_refused_later_still_slows_the_line_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.01)
    queue, turn = sent_first()
    await asyncio.sleep(0.05)
    queue.line.slow_down()
    turn.end(accepted=False)
    assert [queue.next(), queue.next()] == [["a1"], []]


async def test_who_has_its_answer_soon_is_counted_by_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.01)
    queue, turn = sent_first()
    turn.end(accepted=False)
    await asyncio.sleep(0.05)
    assert [queue.next(), queue.next()] == [["a1"], []]
