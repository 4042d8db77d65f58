"""What is known of single names, such as whose a job is: what is asked while one read is under way goes together next.

Ids that nobody owns are asked for each time, whoever sends them, and so is what is used of a limit. One by one they
would keep every reading thread busy, and those the loop from the interpreter, for as long as one client cares to ask;
together they cost one.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Generic, TypeVar

V = TypeVar("V")


class GatheredReads(Generic[V]):
    """The reads of one kind in one process, one after the other.

    `read` gives what the ledger knows of these names, by name. Raises LedgerUnavailable.
    """

    def __init__(self, read: Callable[[Sequence[str]], Coroutine[Any, Any, dict[str, V]]]) -> None:
        self._read = read
        self._names: set[str] = set()
        self._next: asyncio.Task[dict[str, V]] | None = None
        """The read that has not begun, of `_names`."""
        self._latest: asyncio.Task[dict[str, V]] | None = None

    async def read(self, names: Iterable[str]) -> dict[str, V]:
        """What the ledger knows of them after this was asked, and of what others have asked for."""
        self._names.update(names)
        if self._next is None:
            self._next = self._latest = asyncio.ensure_future(self._read_after(self._latest))
            self._next.add_done_callback(lambda done: done.cancelled() or done.exception())  # who asked may be gone
        return await asyncio.shield(self._next)

    async def _read_after(self, earlier: "asyncio.Task[dict[str, V]] | None") -> dict[str, V]:
        if earlier is not None and not earlier.done():
            await asyncio.wait((earlier,))
        names, self._names, self._next = self._names, set(), None
        return await self._read(list(names))
