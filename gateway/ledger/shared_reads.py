"""What teams ask of the ledger as often as they like: for each, whoever asks while one read is made shares the next.

A full month is summed anew each time, and a page of jobs takes the interpreter ten times as long as a poll. One team
that asks often would keep every reading thread busy with that, all other teams waiting for theirs, and those threads
the loop from the interpreter; so a team has one of them at most.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

from gateway.ledger.outbox import Doing

V = TypeVar("V")
Wanted = tuple[Hashable, ...]

_BREATH = 0.005
"""Seconds between two reads of one team. Others may ask meanwhile, and the loop has the interpreter to itself."""


class SharedReads(Generic[V]):
    """The reads of one kind in one process, for each team one after the other. Raises LedgerUnavailable."""

    def __init__(self, read: Doing) -> None:
        self._read = read
        self._next: dict[Wanted, asyncio.Task[V]] = {}
        """Reads that have not begun."""
        self._latest: dict[str | None, asyncio.Task[V]] = {}

    async def read(self, name: str, work: Callable[..., V], team: str | None, *what: Hashable) -> V:
        """What `work` finds for the team, None being all of them, as the ledger knows it after this was asked."""
        wanted = team, *what
        task = self._next.get(wanted)
        if task is None:
            task = asyncio.ensure_future(self._read_after(self._latest.get(team), name, work, wanted))
            task.add_done_callback(lambda done: self._done(team, done))
            self._next[wanted] = self._latest[team] = task
        return await asyncio.shield(task)

    async def _read_after(
        self, earlier: "asyncio.Task[V] | None", name: str, work: Callable[..., V], wanted: Wanted
    ) -> V:
        if earlier is not None and not earlier.done():
            await asyncio.wait((earlier,))
            await asyncio.sleep(_BREATH)
        del self._next[wanted]
        return await self._read(name, work, *wanted)

    def _done(self, team: str | None, task: "asyncio.Task[V]") -> None:
        if self._latest.get(team) is task:
            del self._latest[team]
        if not task.cancelled():
            task.exception()  # who asked may be gone
