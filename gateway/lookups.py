"""Names looked up in threads: each once however many ask at a time, and only so many of them at a time.

The system's resolver blocks. The threads are daemons: one that hangs keeps its place, and not the process from ending.
"""

import asyncio
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import partial
from typing import Generic, TypeVar

Name = TypeVar("Name", bound=Hashable)
Found = TypeVar("Found")


class Lookups(Generic[Name, Found]):
    """Calls `find`, which blocks, in at most `at_once` threads. It raises OSError or ValueError for what is no name."""

    def __init__(self, find: Callable[[Name], Found], at_once: int) -> None:
        self._find = find
        self._room = asyncio.Semaphore(at_once)
        self._under_way: dict[Name, asyncio.Task[Found]] = {}

    async def look_up(self, name: Name) -> Found:
        """What `find` returns, which goes on when those who asked have given up.

        Raises what it raises, and OSError if the system gives no thread or this was closed meanwhile.
        """
        lookup = self._under_way.get(name)
        if lookup is None:
            lookup = asyncio.get_running_loop().create_task(self._look_up(name), name="look up")
            self._under_way[name] = lookup
            lookup.add_done_callback(partial(self._looked_up, name))
        try:
            return await asyncio.shield(lookup)
        except asyncio.CancelledError:
            asking = asyncio.current_task()
            if lookup.cancelled() and asking is not None and not asking.cancelling():
                raise OSError("no name is looked up any more") from None
            raise

    def when_over(self, name: Name, call: Callable[[], None]) -> None:
        """Call `call` once the name is not being looked up: at once, if it is not now."""
        lookup = self._under_way.get(name)
        if lookup is None:
            call()
        else:
            lookup.add_done_callback(lambda _: call())

    def close(self) -> None:
        """Give up on what is being looked up."""
        for lookup in self._under_way.values():
            lookup.cancel()

    def _looked_up(self, name: Name, lookup: asyncio.Task[Found]) -> None:
        del self._under_way[name]
        if not lookup.cancelled():
            lookup.exception()  # those who asked may be gone

    async def _look_up(self, name: Name) -> Found:
        async with self._room:
            found: Future[Found] = Future()
            thread = threading.Thread(target=_work, args=(self._find, name, found), daemon=True, name="look up")
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more threads
                raise OSError from error
            return await asyncio.wrap_future(found)


def _work(find: Callable[[Name], Found], name: Name, found: "Future[Found]") -> None:
    if not found.set_running_or_notify_cancel():
        return
    try:
        result = find(name)
    except (OSError, ValueError) as error:  # ValueError: no name at all, such as an empty or an overlong label
        found.set_exception(error)
    else:
        found.set_result(result)
