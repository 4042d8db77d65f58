"""What teams have used: for each, whoever asks while one sum is made shares the next.

A full month is summed anew each time. One team that asks often would keep every reading thread busy with that, and all
other teams waiting for theirs; so it has one of them at most.
"""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from gateway.ledger.values import UsageRow

Wanted = tuple[str | None, float, float]
"""The team, or None for all, and the first instant and the end of the time."""

Read = Callable[[str | None, float, float], Coroutine[Any, Any, list[UsageRow]]]
"""Reads the usage from the ledger. Raises LedgerUnavailable."""


class UsageReads:
    """The reads of one process, for each team one after the other."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._next: dict[Wanted, asyncio.Task[list[UsageRow]]] = {}
        """Reads that have not begun."""
        self._latest: dict[Wanted, asyncio.Task[list[UsageRow]]] = {}

    async def usage(self, wanted: Wanted) -> list[UsageRow]:
        """The usage as the ledger knows it after this was asked."""
        task = self._next.get(wanted)
        if task is None:
            task = asyncio.ensure_future(self._read_after(wanted, self._latest.get(wanted)))
            task.add_done_callback(lambda done: self._done(wanted, done))
            self._next[wanted] = self._latest[wanted] = task
        return await asyncio.shield(task)

    async def _read_after(self, wanted: Wanted, earlier: "asyncio.Task[list[UsageRow]] | None") -> list[UsageRow]:
        if earlier is not None and not earlier.done():
            await asyncio.wait((earlier,))
        del self._next[wanted]
        return await self._read(*wanted)

    def _done(self, wanted: Wanted, task: "asyncio.Task[list[UsageRow]]") -> None:
        if self._latest.get(wanted) is task:
            del self._latest[wanted]
        if not task.cancelled():
            task.exception()  # who asked may be gone
