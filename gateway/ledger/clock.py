"""Whose clock decides: the database's, where gateways share one, else this machine's."""

from collections.abc import Callable

_EXACT = 0.2
"""Seconds a question may take for its answer to replace a known one."""


class LedgerClock:
    """Unix seconds by the database's clock, carried on by this process's own monotonic one.

    So gateways whose clocks differ agree on windows and leases, and one whose clock is set anew does not notice. Until
    the database has said the time, and where it has no clock of its own, it is `wall`'s.
    """

    def __init__(self, wall: Callable[[], float], ticks: Callable[[], float]) -> None:
        self._wall = wall
        self.ticks = ticks
        self._ahead: float | None = None

    def __call__(self) -> float:
        return self._wall() if self._ahead is None else self.ticks() + self._ahead

    def set(self, instant: float, asked: float, answered: float) -> None:
        """The database said `instant` between two readings of the monotonic clock."""
        if self._ahead is None or answered - asked <= _EXACT:
            self._ahead = instant - (asked + answered) / 2
