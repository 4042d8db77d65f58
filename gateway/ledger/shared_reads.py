"""What teams ask of the ledger as often as they like: for each, whoever asks while one read is made shares the next.

A full month is summed anew each time, and a page of jobs takes the interpreter ten times as long as a poll. One team
that asks often would keep every reading thread busy with that, all other teams waiting for theirs, and those threads
the loop from the interpreter; so a team has one of them at most.
"""

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from gateway.ledger.outbox import Doing

V = TypeVar("V")
Wanted = tuple[Hashable, ...]

_BREATH = 0.005
"""Seconds between two reads of one team. Others may ask meanwhile, and the loop has the interpreter to itself."""


@dataclass(eq=False, slots=True)
class _Turn(Generic[V]):
    """A read that has not begun, and how many wait for it."""

    task: "asyncio.Task[V]"
    waiting: int = 0


class SharedReads(Generic[V]):
    """The reads of one kind in one process: `work`, called `name` in metrics, for each team one after the other."""

    def __init__(self, read: Doing, name: str, work: Callable[..., V]) -> None:
        self._read = partial(read, name, work)
        self._next: dict[Wanted, _Turn[V]] = {}
        self._latest: dict[str | None, asyncio.Task[V]] = {}

    async def read(self, team: str | None, *what: Hashable) -> V:
        """What `work` finds for the team, None being all of them, as the ledger knows it after this was asked.

        Raises LedgerUnavailable.
        """
        wanted = team, *what
        turn = self._next.get(wanted)
        if turn is None:
            turn = self._next[wanted] = _Turn(asyncio.ensure_future(self._read_after(self._latest.get(team), wanted)))
            turn.task.add_done_callback(lambda done: self._done(team, done))
            self._latest[team] = turn.task
        turn.waiting += 1
        try:
            return await asyncio.shield(turn.task)
        finally:
            turn.waiting -= 1

    async def _read_after(self, earlier: "asyncio.Task[V] | None", wanted: Wanted) -> V:
        if earlier is not None and not earlier.done():
            await asyncio.wait((earlier,))
            if self._next[wanted].waiting:
                await asyncio.sleep(_BREATH)
        if not self._next.pop(wanted).waiting:
            raise asyncio.CancelledError  # all who asked have left
        return await self._read(*wanted)

    def _done(self, team: str | None, task: "asyncio.Task[V]") -> None:
        if self._latest.get(team) is task:
            del self._latest[team]
        if not task.cancelled():
            task.exception()  # who asked may be gone
