"""A gate that upstream's refusal of a model closes, and the line of creates that wait for it to open.

In the line each team's creates stand in the order they came, and the teams take turns. A create is sent once, so none
should be sent only to be refused: where upstream has said how many it takes in which time, no more are let through.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from math import inf

_MOST_AT_ONCE = 64
_MOST_TAKEN = 10_000

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
    """Who waits, and how many are let through at once: one at least, and as many as upstream has taken in a row.

    `moved` is set when somebody else may be next.
    """

    def __init__(self) -> None:
        self.moved = asyncio.Event()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        self._had: Counter[str] = Counter()
        self._least = 0
        self._taken: deque[float] = deque(maxlen=_MOST_TAKEN)
        self._under_way = 0
        self._in_a_row = 0

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._waiting.values()))

    @property
    def is_busy(self) -> bool:
        """Whether anybody waits, or was let through and has no answer yet."""
        return bool(self._waiting) or self._under_way > 0

    def join(self, team: str) -> "asyncio.Future[None]":
        """One more create of the team waits, behind its others. The future is done when its turn has come.

        A team that comes late, or comes back, stands as if it had had what those that wait had at least, or where none
        waits what the one with most had. From then on they are level: no turn of before counts for or against it.
        """
        if team not in self._waiting:
            had = [self._had[other] for other in self._waiting]
            least = min(had) if had else max(self._had.values(), default=0)
            if self._had[team] < least:
                self._had[team] = self._least = least
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(team, deque()).append(turn)
        self.moved.set()
        return turn

    def leave(self, team: str, turn: "asyncio.Future[None]") -> None:
        """It does not wait any more, or its turn came when it did not."""
        if turn.done():
            self._under_way -= 1
        else:
            turns = self._waiting[team]
            turns.remove(turn)
            if not turns:
                del self._waiting[team]
        self.moved.set()

    def let_through(self, limit: Mapping[str, str | int], ticks: float) -> float:
        """It is the turn of as many as may go at once, by what upstream says of its `limit`.

        Next is the team that has had least turns, and of several the one that has stood in the line for longest since
        its last turn. A turn counts as soon as it is given, or one team would get all that go at once. The seconds
        until another may go; infinite where that depends on an answer.
        """
        while self._waiting and self._under_way < min(_MOST_AT_ONCE, max(1, self._in_a_row)):
            pause = self.pause(limit, ticks)
            if pause > 0:
                return pause
            team = min(self._waiting, key=self._had.__getitem__)
            turns = self._waiting.pop(team)
            turns.popleft().set_result(None)
            self._under_way += 1
            self._had[team] += 1
            if turns:
                self._waiting[team] = turns
        return inf

    def pause(self, limit: Mapping[str, str | int], ticks: float) -> float:
        """Seconds until upstream has room for one more, by what it says of its `limit`; infinite as in `let_through`.

        In whichever span of them upstream counts, it sees no more than most.
        """
        most, seconds = limit.get("limit"), limit.get("interval_seconds")
        if not isinstance(most, int) or not isinstance(seconds, int) or not most:
            return 0.0
        while self._taken and self._taken[0] + seconds <= ticks:
            self._taken.popleft()
        if len(self._taken) + self._under_way < most:
            return 0.0
        return self._taken[0] + seconds - ticks if self._taken else inf

    def done(self, team: str, ticks: float, *, accepted: bool, limited: bool = False, sent: bool = True) -> None:
        """One of the team's that was let through has its answer; `limited` if that is upstream's 429.

        Then its turn is none: it was lost by nobody's fault. But a team that came since does not make up for it.
        Whatever else upstream says to one that was `sent`, it has counted it: by its limit a refused create is one too.
        """
        self._under_way -= 1
        if limited:
            self._had[team] = max(self._least, self._had[team] - 1)
        elif sent:
            self._taken.append(ticks)
        if accepted:
            self._in_a_row += 1
        self.moved.set()

    def slow_down(self) -> None:
        """Upstream refuses again: one at a time."""
        self._in_a_row = 0


class Turn:
    """A create of the team that was let through, until the line knows what came of it."""

    def __init__(self, line: Line, team: str, ticks: Callable[[], float]) -> None:
        self._line: Line | None = line
        self._team = team
        self._ticks = ticks
        self._timer: asyncio.TimerHandle | None = None

    def sent(self) -> None:
        """Upstream has the create now. If it does not refuse it soon, others may go."""
        self._timer = asyncio.get_running_loop().call_later(PATIENCE, partial(self.end, accepted=True))

    def never_left(self) -> None:
        """Upstream did not get the create after all."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, *, accepted: bool, limited: bool = False) -> None:
        """The create has its answer. Whatever comes after the line has been told is told it no more."""
        if self._timer is not None:
            self._timer.cancel()
        line, self._line = self._line, None
        if line is not None:
            was_sent = self._timer is not None
            line.done(self._team, self._ticks(), accepted=accepted, limited=limited, sent=was_sent)
