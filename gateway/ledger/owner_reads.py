"""Whose jobs these are: what is asked while one read is under way goes together in the next.

Ids that nobody owns are asked for each time, whoever sends them. One by one they would keep every reading thread busy,
and those the loop from the interpreter, for as long as one client cares to ask; together they cost one.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from gateway.ledger.values import Owner

Read = Callable[[Sequence[str]], Coroutine[Any, Any, dict[str, Owner]]]
"""Reads the owners of these ids, without those that nobody owns. Raises LedgerUnavailable."""


class OwnerReads:
    """The reads of one process, one after the other."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self._ids: set[str] = set()
        self._next: asyncio.Task[dict[str, Owner]] | None = None
        """The read that has not begun, of `_ids`."""
        self._latest: asyncio.Task[dict[str, Owner]] | None = None

    async def owner_of(self, request_id: str) -> Owner | None:
        """The owner as the ledger knows it after this was asked; None for an id nobody owns."""
        self._ids.add(request_id)
        if self._next is None:
            self._next = self._latest = asyncio.ensure_future(self._read_after(self._latest))
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())  # who asked may be gone
        owners = await asyncio.shield(self._next)
        return owners.get(request_id)

    async def _read_after(self, earlier: "asyncio.Task[dict[str, Owner]] | None") -> dict[str, Owner]:
        if earlier is not None and not earlier.done():
            await asyncio.wait((earlier,))
        ids, self._ids, self._next = self._ids, set(), None
        return await self._read(list(ids))
