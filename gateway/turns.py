"""The same work for many, a few at a time: what nobody waits for must not crowd out the clients' calls to upstream."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

AT_ONCE = 32


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
