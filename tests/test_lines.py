"""Who is next in line: each team in turn, and within a team the one that came first."""

import asyncio
from collections.abc import Mapping
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway import lines
from gateway.lines import Line, Turn


class Queue:
    """A line whose creates have names, such as `a1`: the team, and which of its creates. Time is `now`."""

    def __init__(self, *names: str, limit: Mapping[str, str | int] | None = None) -> None:
        self.line = Line()
        self.now = 100.0
        self.pause = 0.0
        self._limit = limit or {}
        self.turns: dict[str, asyncio.Future[None]] = {name: self.line.join(name[0]) for name in names}
        self._told: set[str] = set()

    def next(self) -> list[str]:
        """Those that are let through now."""
        self.pause = self.line.let_through(self._limit, self.now)
        fresh = [name for name, turn in self.turns.items() if turn.done() and name not in self._told]
        self._told.update(fresh)
        return fresh

    def done(self, name: str, *, accepted: bool) -> None:
        """The create has its answer; by a refusal the line is slowed down."""
        if not accepted:
            self.line.slow_down()
        self.line.done(name[0], self.now, accepted=accepted, limited=not accepted)

    def in_order(self, upstream: str = "") -> list[str]:
        """All of them, one at a time; upstream takes (`+`) or refuses them in this pattern, in the end all refused."""
        order: list[str] = []
        while len(self.line):
            for name in self.next():
                self.done(name, accepted=upstream[len(order) : len(order) + 1] == "+")
                order.append(name)
        return order


def turn_of(queue: Queue) -> Turn:
    return Turn(queue.line, "a", lambda: queue.now)


def sent_first() -> tuple[Queue, Turn]:
    """Nine creates of one team, the first of which has been let through and sent."""
    queue = Queue(*(f"a{number}" for number in range(9)))
    assert queue.next() == ["a0"]
    turn = turn_of(queue)
    turn.sent()
    return queue, turn


async def test_the_teams_take_turns_and_each_keeps_its_order() -> None:
    assert Queue("a1", "a2", "a3", "b1", "c1", "c2").in_order() == ["a1", "b1", "c1", "a2", "c2", "a3"]


async def test_a_team_that_comes_late_does_not_wait_behind_all_of_another() -> None:
    queue = Queue("a1", "a2", "a3")
    assert queue.next() == ["a1"]
    queue.turns["b1"] = queue.line.join("b")
    queue.done("a1", accepted=False)
    assert queue.next() == ["a2"]
    queue.done("a2", accepted=False)
    assert queue.next() == ["b1"]


async def test_nor_does_it_go_before_one_that_has_waited_only_because_it_has_had_nothing_yet() -> None:
    queue = Queue(*(f"a{number}" for number in range(6)))
    for name in ("a0", "a1"):
        assert queue.next() == [name]
        queue.done(name, accepted=True)
    queue.line.slow_down()
    for name in ("b0", "b1"):
        queue.turns[name] = queue.line.join("b")
    assert queue.in_order("++++") == ["a2", "b0", "a3", "b1", "a4", "a5"]


async def test_a_team_that_comes_back_does_not_wait_until_another_has_had_as_many_turns_as_it() -> None:
    queue = Queue(*(f"a{number}" for number in range(6)))
    for number in range(5):
        assert queue.next() == [f"a{number}"]
        queue.done(f"a{number}", accepted=True)
        queue.line.slow_down()
    assert (queue.next(), len(queue.line)) == (["a5"], 0)
    for name in ("b0", "b1", "b2", "a6", "a7", "a8"):
        queue.turns[name] = queue.line.join(name[0])
    queue.done("a5", accepted=True)
    queue.line.slow_down()
    assert queue.in_order("++++++") == ["b0", "a6", "b1", "a7", "b2", "a8"]


async def test_who_has_had_least_does_not_get_all_that_may_go_at_once() -> None:
    queue = Queue("a0", "b0", *(f"a{number}" for number in range(1, 5)))
    for name in ("a0", "b0"):
        assert queue.next() == [name]
        queue.done(name, accepted=True)
    assert queue.next() == ["a1", "a2"]
    for number in range(1, 5):
        queue.turns[f"b{number}"] = queue.line.join("b")
    for name in ("a1", "a2"):
        queue.done(name, accepted=True)
    assert sorted(queue.next()) == ["a3", "a4", "b1", "b2"]


async def test_a_late_team_does_not_wait_for_what_another_lost_before_it_came() -> None:
    queue = Queue(*(f"a{number}" for number in range(12)))
    for _ in range(2):
        for name in queue.next():
            queue.done(name, accepted=True)
    lost = queue.next() + queue.next()
    assert len(lost) > 1
    for number in range(2):
        queue.turns[f"b{number}"] = queue.line.join("b")
    for name in lost:
        queue.done(name, accepted=False)
    assert [name[0] for name in queue.in_order("++++")][:4] == [*"abab"]


@given(st.lists(st.sampled_from(["join a", "join b", "join c", "hang up", "turn", "turn", "answer"]), max_size=120))
def test_while_two_teams_wait_neither_has_two_turns_more(steps: list[str]) -> None:
    async def stand_in_line() -> None:
        queue, under_way = Queue(), list[str]()
        since: dict[tuple[str, str], int] = {}
        for number, step in enumerate(steps):
            fresh: list[str] = []
            waiting = [name for name, turn in queue.turns.items() if not turn.done()]
            before = {name[0] for name in waiting}
            if step.startswith("join"):
                queue.turns[f"{step[-1]}{number}"] = queue.line.join(step[-1])
            elif step == "hang up" and waiting:
                name = waiting[number % len(waiting)]
                queue.line.leave(name[0], queue.turns.pop(name))
            elif step == "turn":
                fresh = queue.next()
                under_way += fresh
            elif step == "answer" and under_way:
                queue.done(under_way.pop(number % len(under_way)), accepted=True)
            teams = {name[0] for name, turn in queue.turns.items() if not turn.done()} & before
            for pair in (("a", "b"), ("b", "c"), ("a", "c")):
                if not teams.issuperset(pair):
                    since[pair] = 0
                    continue
                one, other = ([name[0] for name in fresh].count(team) for team in pair)
                since[pair] += one - other
                assert abs(since[pair]) <= 1

    asyncio.run(stand_in_line())


@pytest.mark.parametrize("upstream", ["+-", "+--", "+---", "++--"])
async def test_no_team_is_the_one_that_is_refused_whatever_pattern_upstream_has(upstream: str) -> None:
    queue = Queue(*(f"{team}{number:02}" for number in range(40) for team in "abc"))
    order = queue.in_order(upstream * 60)
    taken = [name[0] for name, word in zip(order, upstream * 60, strict=False) if word == "+"][:18]
    assert {team: taken.count(team) for team in "abc"} == {"a": 6, "b": 6, "c": 6}


async def test_a_team_of_which_nothing_is_taken_is_not_next_for_ever() -> None:
    queue = Queue("a0", "a1", "b0", "b1", "b2")
    order = []
    for number in range(2, 8):
        (name,) = queue.next()
        order.append(name[0])
        queue.turns[f"a{number}"] = queue.line.join("a")  # its queue never runs dry
        queue.line.done(name[0], queue.now, accepted=False)
    assert order == [*"ababab"]


async def test_nor_is_one_whose_clients_leave_when_their_turn_has_come() -> None:
    queue = Queue("a0", "a1", "a2", "b0")
    assert queue.next() == ["a0"]
    queue.line.leave("a", queue.turns["a0"])
    assert queue.next() == ["b0"]


async def test_one_at_a_time_and_as_many_as_upstream_has_taken_in_a_row() -> None:
    queue = Queue(*(f"a{number}" for number in range(9)))
    assert [queue.next(), queue.next()] == [["a0"], []]
    queue.done("a0", accepted=True)
    assert queue.next() == ["a1"]
    queue.done("a1", accepted=True)
    assert queue.next() == ["a2", "a3"]
    queue.done("a2", accepted=True)
    assert queue.next() == ["a4", "a5"]
    queue.line.slow_down()
    for name in ("a3", "a4", "a5"):
        assert queue.next() == []
        queue.done(name, accepted=False)
    assert queue.next() == ["a6"]


async def test_no_more_go_than_upstream_says_it_takes_in_any_span_of_time() -> None:
    queue = Queue(*(f"a{number}" for number in range(9)), limit={"limit": 2, "interval_seconds": 60})
    assert queue.next() == ["a0"]
    queue.now += 1
    queue.done("a0", accepted=True)
    assert queue.next() == ["a1"]
    assert (queue.next(), queue.pause) == ([], inf)
    queue.now += 1
    queue.done("a1", accepted=True)
    assert (queue.next(), queue.pause) == ([], 59)
    queue.now += 59
    assert (queue.next(), queue.pause) == (["a2"], 1)
    queue.now += 1
    assert (queue.next(), queue.pause) == (["a3"], inf), "one under way counts as taken"


@pytest.mark.parametrize("limit", [{}, {"limit": 2}, {"interval_seconds": 9}, {"limit": 0, "interval_seconds": 9}])
async def test_without_a_limit_that_says_so_nothing_is_put_off(limit: dict[str, str | int]) -> None:
    queue = Queue("a0", "a1", "a2", limit=limit)
    for name in ("a0", "a1", "a2"):
        assert queue.next() == [name]
        queue.done(name, accepted=True)


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
    queue.done("a1", accepted=True)
    assert not queue.line.is_busy


async def test_a_create_that_is_not_refused_soon_counts_as_taken_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.01)
    queue = Queue(*(f"a{number}" for number in range(9)))
    assert queue.next() == ["a0"]
    turn = turn_of(queue)
    await asyncio.sleep(0.05)
    assert queue.next() == []
    turn.sent()
    queue.line.moved.clear()
    await queue.line.moved.wait()
    assert queue.next() == ["a1"]
    turn.end(accepted=True)
    assert queue.next() == []


async def test_a_create_that_is_refused_later_still_slows_the_line_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.01)
    queue, turn = sent_first()
    await asyncio.sleep(0.05)
    queue.line.slow_down()
    turn.end(accepted=False)
    assert [queue.next(), queue.next()] == [["a1"], []]


async def test_what_never_left_is_not_counted_as_taken() -> None:
    queue = Queue("a1", "a2", "a3", limit={"limit": 1, "interval_seconds": 60})
    for name in ("a1", "a2"):
        assert queue.next() == [name]
        turn = Turn(queue.line, "a", lambda: queue.now)
        turn.sent()
        turn.never_left()
        turn.end(accepted=False)
    assert queue.next() == ["a3"]
    turn = Turn(queue.line, "a", lambda: queue.now)
    turn.sent()
    turn.end(accepted=False)
    queue.turns["a4"] = queue.line.join("a")
    assert (queue.next(), queue.pause) == ([], 60)


async def test_who_has_its_answer_soon_is_counted_by_that(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "PATIENCE", 0.01)
    queue, turn = sent_first()
    turn.end(accepted=False)
    await asyncio.sleep(0.05)
    assert [queue.next(), queue.next()] == [["a1"], []]
