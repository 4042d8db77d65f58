"""A gate that upstream's refusal of a model closes, and the line of creates that wait for it to open.

In the line each team's creates stand in the order they came, and the teams take turns.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

_MOST_AT_ONCE = 64

PATIENCE = 2.0
"""Seconds after which a create that upstream has not refused counts as taken: its 429 comes at once, but some models
answer a create no sooner than the job has ended."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Upstream's refusal of a model, told again until `opens_at` on the monotonic clock.

    `limit` is what it said of the limit that was reached, in its own names, and nothing else of its answer: that was
    one team's.
    """

    opens_at: float
    limit: Mapping[str, str | int]


class Line:
    """Who waits, and how many are let through at once: one, until upstream takes it; then two, then four.

    `moved` is set when somebody else may be next.
    """

    def __init__(self) -> None:
        self.moved = asyncio.Event()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._under_way = 0
        self._at_once = 1

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def is_busy(self) -> bool:
        """Whether anybody waits, or was let through and has no answer yet."""
        return bool(self._waiting) or self._under_way > 0

    def join(self, team: str) -> "asyncio.Future[None]":
        """One more create of the team waits, behind its others. The future is done when its turn has come."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(team, deque()).append(turn)
        self.moved.set()
        return turn

    def leave(self, team: str, turn: "asyncio.Future[None]") -> None:
        """It does not wait any more, or its turn came when it did not."""
        if turn.done():
            self.done(accepted=False)
            return
        turns = self._waiting[team]
        turns.remove(turn)
        if not turns:
            del self._waiting[team]
        self.moved.set()

    def let_through(self) -> None:
        """It is the turn of as many as may go at once. The team of each goes behind the others."""
        while self._waiting and self._under_way < self._at_once:
            team = next(iter(self._waiting))
            turns = self._waiting.pop(team)
            turns.popleft().set_result(None)
            self._under_way += 1
            if turns:
                self._waiting[team] = turns

    def done(self, *, accepted: bool) -> None:
        """One that was let through has its answer. Each that upstream accepts lets twice as many through."""
        self._under_way -= 1
        if accepted:
            self._at_once = min(_MOST_AT_ONCE, 2 * self._at_once)
        self.moved.set()

    def slow_down(self) -> None:
        """Upstream refuses again: one at a time."""
        self._at_once = 1
        self.moved.set()


class Turn:
    """A create that was let through, until the line knows what came of it."""

    def __init__(self, line: Line) -> None:
        self._line: Line | None = line
        self._timer: asyncio.TimerHandle | None = None

    def sent(self) -> None:
        """Upstream has the create now. If it does not refuse it soon, others may go."""
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, partial(self.end, accepted=True))

    def end(self, *, accepted: bool) -> None:
        """The create has its answer. Whatever comes after the line has been told is told it no more."""
        if self._timer is not None:
            self._timer.cancel()
        line, self._line = self._line, None
        if line is not None:
            line.done(accepted=accepted)
