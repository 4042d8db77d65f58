"""The same work for many, a few at a time: what nobody waits for must not crowd out the clients' calls to upstream."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

AT_ONCE = 32
PATIENCE = 1.0
"""Seconds after which work is slow."""

MOST_SLOW = 512
"""Far fewer than the calls that may be under way to upstream."""

Start = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Turns:
    """Rounds of work, in which what is slow does not hold up the rest: it goes on beside the rounds that follow."""

    def __init__(self) -> None:
        self._slow = asyncio.Semaphore(MOST_SLOW)

    async def take(
        self, items: Iterable[T], work: Callable[[T], Coroutine[Any, Any, None]], start: Start, name: str
    ) -> None:
        """As `in_turns`, until all are done or slow. `start` makes a task of each piece of work, by this name."""

        async def take_turn(item: T) -> None:
            task = start(work(item), name)
            await asyncio.wait([task], timeout=PATIENCE)
            if task.done():
                task.result()
                return
            await self._slow.acquire()
            task.add_done_callback(lambda _: self._slow.release())

        await in_turns(items, take_turn)


async def in_turns(items: Iterable[T], work: Callable[[T], Awaitable[None]]) -> None:
    """Do the work for every item, for so many at once as upstream can be asked without harm to the clients' calls.

    Raises what the first that failed raised, when all are done: none goes on beside the next round.
    """
    turns = asyncio.Semaphore(AT_ONCE)

    async def take_turn(item: T) -> None:
        async with turns:
            await work(item)

    ends = await asyncio.gather(*(take_turn(item) for item in items), return_exceptions=True)
    for fault in (end for end in ends if end is not None):
        raise fault
