"""The same work for many, a few at a time: what nobody waits for must not crowd out the clients' calls to upstream."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

AT_ONCE = 32
PATIENCE = 1.0
"""Seconds after which work is slow."""

MOST_SLOW = 512

SHARE = 4
"""One in so many of the calls that may be under way to upstream may be made for rounds: the others are clients'."""

Start = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Rounds:
    """Rounds of work, in which what is slow does not hold up the rest: it goes on beside the rounds that follow.

    `most_calls` may be under way to upstream, whoever makes them.
    """

    def __init__(self, most_calls: int) -> None:
        share = max(2, most_calls // SHARE)
        self._at_once = min(AT_ONCE, share // 2)
        self._slow = asyncio.Semaphore(min(MOST_SLOW, share - self._at_once))
        self._under_way: set[str] = set()

    async def run(
        self, items: Mapping[str, T], work: Callable[[str, T], Coroutine[Any, Any, None]], start: Start, name: str
    ) -> None:
        """One round: as `for_all`, until all are done or slow. `start` makes a task of each piece, by this name.

        An item whose work of an earlier round goes on is left out.
        """

        async def begin(item: tuple[str, T]) -> None:
            if item[0] in self._under_way:
                return
            self._under_way.add(item[0])
            task = start(work(*item), name)
            task.add_done_callback(lambda _: self._under_way.discard(item[0]))
            await asyncio.wait([task], timeout=PATIENCE)
            if task.done():
                task.result()
                return
            await self._slow.acquire()
            task.add_done_callback(lambda _: self._slow.release())

        await for_all(items.items(), begin, self._at_once)


async def for_all(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int | None = None) -> None:
    """Do the work for every item, for so many at once as upstream can be asked without harm to the clients' calls.

    Raises what the first that failed raised, when all are done: none goes on beside the next round.
    """
    places = asyncio.Semaphore(AT_ONCE if at_once is None else at_once)

    async def do(item: T) -> None:
        async with places:
            await work(item)

    ends = await asyncio.gather(*map(do, items), return_exceptions=True)
    for fault in (end for end in ends if end is not None):
        raise fault
