"""Calls that wait: for a job to change, or for their turn. One key may have so many, and none outlives its key.

A wait ends in one of four ways: what is waited for happens, its time is over, its client leaves, or the gateway ends
it because the key is gone or the gateway itself is about to go.
"""

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from math import inf
from typing import Any

from gateway.core.access import may_call
from gateway.core.errors import Code, RateLimit, Refusal
from gateway.core.policy import Caller, PolicySet, Scope

MOST_OF_KEY = 100
"""Long-polls and event streams that one key may have open at a time, where its team may have as many."""

_TEAMS_SHARE = 3
"""One team gets this part of all waits, however many keys it has and however small the gateway is."""

_COME_BACK = 5
"""Seconds after which a call that found no place to wait may come again."""


@dataclass(eq=False, slots=True)
class Wait:
    """One call that waits, at most until the instant `until` on the clock `ticks`.

    `aside` is entered while it does nothing but wait. `pulse` are the seconds after which it wants to hear that nothing
    has happened, since `pulse_began`. `ended` is done when it must not go on. `waited` are the seconds it has waited so
    far.
    """

    caller: Caller
    until: float
    ticks: Callable[[], float]
    aside: Callable[[], AbstractContextManager[None]]
    pulse: float = inf
    ended: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    waited: float = 0.0
    pulse_began: float = field(init=False)

    def __post_init__(self) -> None:
        self.begin_pulse()

    @property
    def is_over(self) -> bool:
        """Whether its time has passed, or it was ended."""
        return self.ended.done() or self.ticks() >= self.until

    def end(self) -> None:
        """It must not go on. What it waits for may happen all the same."""
        if not self.ended.done():
            self.ended.set_result(None)

    def begin_pulse(self) -> None:
        """Something is told now."""
        self.pulse_began = self.ticks()

    def has_pulse(self) -> bool:
        """Whether a pulse's length has passed while nothing was told. Then another one begins."""
        if self.is_over or self.ticks() < self.pulse_began + self.pulse:
            return False
        self.begin_pulse()
        return True

    async def for_either(self, news: asyncio.Future[Any], within: float = inf) -> None:
        """Until there is news, a pulse's length or so many seconds have passed, or it is over.

        The future is left as it is.
        """
        began = self.ticks()
        seconds = max(0.0, min(self.pulse_began + self.pulse, self.until, began + within) - began)
        with self.aside():
            await asyncio.wait((news, self.ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        self.waited += self.ticks() - began


class Waits:
    """Every wait under way, by its key."""

    def __init__(self, most: int) -> None:
        """`most` is how many there may be in all."""
        self.count = 0
        """How many there are."""
        self._most = most
        self._most_of_team = max(1, most // _TEAMS_SHARE)
        self._waits: dict[str, set[Wait]] = {}
        self._of_team: Counter[str] = Counter()

    def begin(self, wait: Wait) -> None:
        """One more. Refusal 429 if its key or its team has as many as it may, 503 if the gateway has."""
        key, team = wait.caller.key, wait.caller.team.name
        if len(self._waits.get(key.digest, ())) >= MOST_OF_KEY:
            raise _too_many("key", MOST_OF_KEY)
        if self._of_team[team] >= self._most_of_team:
            raise _too_many("team", self._most_of_team)
        if self.count >= self._most:
            raise Refusal(
                Code.OVERLOADED, "As many calls wait as this gateway takes on; poll without waiting.", _COME_BACK
            )
        self._waits.setdefault(key.digest, set()).add(wait)
        self._of_team[team] += 1
        self.count += 1

    def leave(self, wait: Wait) -> None:
        """It is over, and its place is free. Nothing happens to one that has left."""
        wait.end()
        of_key = self._waits.get(wait.caller.key.digest, set())
        if wait not in of_key:
            return
        of_key.remove(wait)
        self.count -= 1
        team = wait.caller.team.name
        self._of_team[team] -= 1
        if not self._of_team[team]:
            del self._of_team[team]
        if not of_key:
            del self._waits[wait.caller.key.digest]

    def review(self, policy: PolicySet, now: float) -> None:
        """End the waits of every key that may not wait any more.

        It was taken away, given to another team, has expired, or lost its scope.
        """
        for digest, waits in self._waits.items():
            caller = policy.callers.get(digest)
            team = caller.team.name if caller is not None and _may_wait(caller, now) else None
            _end_all({wait for wait in waits if wait.caller.team.name != team})

    def end_all(self) -> None:
        """End every wait: the gateway drains."""
        for waits in self._waits.values():
            _end_all(waits)


def _too_many(whose: str, most: int) -> Refusal:
    return Refusal(
        Code.CONCURRENCY_EXCEEDED,
        f"This {whose} has {most} calls that wait for jobs or stream them, as many as one {whose} may; "
        "poll without waiting.",
        retry_after=_COME_BACK,
        rate_limit=RateLimit("waiting calls", most, 0, _COME_BACK * 1000),
    )


def _may_wait(caller: Caller, now: float) -> bool:
    return may_call(caller.key, Scope.JOBS_READ) and not caller.key.has_expired(now)


def _end_all(waits: set[Wait]) -> None:
    for wait in waits:
        wait.end()
