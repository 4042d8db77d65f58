"""The same work for many, a few at a time: what nobody waits for must not crowd out the clients' calls to upstream."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

AT_ONCE = 32
"""Pieces of work at once that are not slow yet, in a round, where there may be many calls to upstream."""

PATIENCE = 1.0
"""Seconds after which work is slow."""

MOST_SLOW = 512
"""Pieces of slow work at once, however many calls there may be."""

SHARE = 4
"""One in so many of the calls that may be under way to upstream may be made for rounds: the others are clients'."""

TEAMS_SHARE = 3
"""One in so many of the pieces of slow work may be one team's: upstream may be slow with one team's jobs alone."""

Start = Callable[[Coroutine[Any, Any, None], str], "asyncio.Task[None]"]


class Rounds:
    """Rounds of work, in which what is slow does not hold up the rest: it goes on beside the rounds that follow.

    `most_calls` may be under way to upstream, whoever makes them. Of those of the rounds `at_once` are for work that is
    not slow yet, as many for looking up what was lost, and the others for what is slow. When those are taken, a team
    may still begin one piece where it has none, as long as there are any.
    """

    def __init__(self, most_calls: int) -> None:
        share = max(4, most_calls // SHARE)
        self.at_once = min(AT_ONCE, share // 4)
        self._most = share - self.at_once
        self._most_slow = min(MOST_SLOW, self._most - self.at_once)
        self._begun: Counter[str] = Counter()
        self._slow: Counter[str] = Counter()
        self._under_way: set[str] = set()

    async def run(
        self,
        items: Mapping[str, tuple[str, T]],
        work: Callable[[str, T], Coroutine[Any, Any, None]],
        start: Start,
        name: str,
    ) -> None:
        """One round: as `for_all`, until all are done or slow. `start` makes a task of each piece, by this name.

        The items, by what they are called, each with the team it is for. Left out are those whose work of an earlier
        round goes on, and those of a team that has no room for more slow work.
        """

        async def begin(item: tuple[str, tuple[str, T]]) -> None:
            called, (team, what) = item
            if called in self._under_way or not self._has_room(team):
                return
            self._under_way.add(called)
            _count(self._begun, team, 1)
            task = start(work(called, what), name)
            task.add_done_callback(lambda _: self._end(called, team))
            await asyncio.wait([task], timeout=PATIENCE)
            if task.done():
                task.result()
                return
            _count(self._slow, team, 1)
            task.add_done_callback(lambda _: _count(self._slow, team, -1))

        await for_all(items.items(), begin, self.at_once)

    def _has_room(self, team: str) -> bool:
        """Whether work for the team may begin, and become slow."""
        begun, slow = self._begun.total(), self._slow[team]
        if not self._begun[team]:
            return begun < self._most
        return begun < self._most_slow and (not slow or slow * TEAMS_SHARE < self._most_slow)

    def _end(self, called: str, team: str) -> None:
        self._under_way.discard(called)
        _count(self._begun, team, -1)


def _count(teams: Counter[str], team: str, change: int) -> None:
    """Change the team's count, and keep none of nothing."""
    teams[team] += change
    if not teams[team]:
        del teams[team]


async def for_all(items: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int) -> None:
    """Do the work for every item, for so many at once.

    Raises what the first that failed raised, when all are done: none goes on beside the next round.
    """
    places = asyncio.Semaphore(at_once)

    async def do(item: T) -> None:
        async with places:
            await work(item)

    ends = await asyncio.gather(*map(do, items), return_exceptions=True)
    fault = next(filter(None, ends), None)
    if fault is not None:
        raise fault
