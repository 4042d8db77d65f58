"""The circuit breaker that spares an upstream which keeps failing: a table of states, and a little counting.

    closed ──10 failures in a row──▶ open ──cool-down over, one probe goes──▶ half open ──success──▶ closed
                                      ▲                                          │
                                      └────────── failure, cool-down doubled ────┘

Calls that began before the circuit opened may still report: their failures say nothing new, and in `open` their
successes are ignored too, because the probe decides.

A circuit that the calls of one team alone have opened binds that team alone: upstream may fail with what that team asks
for, and work for the others. As many failures of others in a row, and it binds everybody.
"""

from enum import StrEnum

FAILURES_TO_OPEN = 10
FIRST_COOL_DOWN = 1.0
LONGEST_COOL_DOWN = 30.0

SAME_NEWS = 1.0
"""Seconds after a failure in which other calls that were under way at the time tell of the same trouble."""

PROBE_PATIENCE = 330.0
"""Seconds after which a probe that never reported (its call was lost) makes room for another one."""


class Circuit(StrEnum):
    """Where the breaker stands, as the metric `upstream_circuit_state` names it."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


# A member read through its class costs as much as a call; these are read for every call to upstream.
_CLOSED, _OPEN, _HALF_OPEN = Circuit


class Breaker:
    """One circuit. `now` is any clock in seconds, always the same one, best a monotonic."""

    __slots__ = (
        "_cool_down",
        "_failed_at",
        "_failures",
        "_opened_at",
        "_other_failed_at",
        "_others",
        "_until",
        "state",
        "team",
    )

    def __init__(self) -> None:
        self.state = _CLOSED
        self._failures = 0
        self._failed_at = self._opened_at = float("-inf")
        self._cool_down = FIRST_COOL_DOWN
        self._until = 0.0
        self._others = 0
        self._other_failed_at = float("-inf")
        self.team: str | None = None
        """Whose calls alone have failed since the last success; None if several teams' have.

        Empty if they were nobody's own, such as those that fill a cache, which tell nothing of whose trouble it is.
        """

    def __repr__(self) -> str:
        return f"<Breaker {self.state}, {self._failures} failures, until {self._until:g}>"

    def binds(self, team: str) -> bool:
        """Whether it has a say in calls made for the team."""
        return self.state is not _CLOSED and not self._is_free(team)

    def _is_free(self, team: str) -> bool:
        """Whether the circuit, which is not closed, was opened by another team's calls alone."""
        return bool(self.team) and team != self.team

    def admit(self, now: float) -> bool:
        """Whether a call may be made for a team that it binds. In `half_open` only the one probe may."""
        if self.state is _CLOSED:
            return True
        if self.is_resting(now):
            return False
        self.state = _HALF_OPEN
        self._until = now + PROBE_PATIENCE
        return True

    def is_resting(self, now: float) -> bool:
        """Whether no call may be made. Asking takes no probe's place."""
        return self.state is not _CLOSED and now < self._until

    def succeed(self, team: str = "", now: float = float("-inf")) -> None:
        """A call for the team got an answer that shows upstream working."""
        if self.state is not _CLOSED and self._is_free(team):
            self._others = 0
            if now >= self._until + LONGEST_COOL_DOWN:  # the team that it binds asks for nothing any more
                self._close()
        elif self.state is not _OPEN:
            self._close()

    def _close(self) -> None:
        self.state = _CLOSED
        self._failures = self._others = 0
        self._cool_down = FIRST_COOL_DOWN

    def fail(self, began: float, now: float, team: str = "") -> None:
        """A call for the team that `began` then did not reach upstream, or got an answer that shows it failing.

        A failure counts unless it follows the last one that counted within `SAME_NEWS` and its call began before that:
        one hiccup breaks off many calls, but only an upstream that is down lets them fail for longer and none succeed.
        It never counts if its call began before the circuit last opened.
        """
        if began < self._opened_at:
            return
        if self.state is not _CLOSED and self._is_free(team):
            self._count_other(began, now)
            return
        if self.state is _OPEN:
            return
        self._blame(team)
        if _is_same_news(began, now, self._failed_at):
            return
        self._failures += 1
        self._failed_at = now
        if self.state is _HALF_OPEN:
            self._cool_down = min(LONGEST_COOL_DOWN, self._cool_down * 2)
        elif self._failures < FAILURES_TO_OPEN:
            return
        self._open(now)

    def _open(self, now: float) -> None:
        self.state = _OPEN
        self._opened_at = now
        self._until = now + self._cool_down

    def _blame(self, team: str) -> None:
        """It was a call for this team that failed."""
        if not self._failures or self.team == "":
            self.team = team
        elif team not in ("", self.team):
            self.team = None

    def _count_other(self, began: float, now: float) -> None:
        """A call has failed that the circuit does not bind."""
        if _is_same_news(began, now, self._other_failed_at):
            return
        self._others += 1
        self._other_failed_at = now
        if self._others == FAILURES_TO_OPEN:
            self.team = None
            self._open(now)

    def wait(self, now: float) -> int:
        """Whole seconds, at least 1, after which a refused caller may try again."""
        return max(1, min(int(LONGEST_COOL_DOWN), int(self._until - now) + 1))


def _is_same_news(began: float, now: float, last: float) -> bool:
    """Whether a failure tells of the same trouble as the `last` one."""
    return began < last and now < last + SAME_NEWS
