"""A cache that asks once for many: single flight, stale while refreshing, stale on error, bounded in bytes.

    FRESH ─────────▶ served                         (hit)
    STALE_USABLE ──▶ served, one refresh begins     (stale)
    STALE_ON_ERROR ▶ asked anew; `on_error` gives it (stale-error)
    EXPIRED, none ─▶ asked anew                     (miss; collapsed for those who joined)

What a fetch raises reaches everyone who waited for it and is kept nowhere. A fetch goes on when those who wait for it
go away, and they never cancel it for one another.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec
from cachetools import LRUCache

from gateway.core.freshness import Freshness, Rules, freshness

V = TypeVar("V")

_ENTRY_BYTES = 512
"""What an entry costs besides its value."""


class How(StrEnum):
    """How a value was come by, as the metric `cache_requests_total{result}` names it."""

    HIT = "hit"
    """From memory or from what was kept of it, fresh."""
    MISS = "miss"
    """Asked for."""
    COLLAPSED = "collapsed"
    """Asked for by someone else, and waited for together."""
    STALE = "stale"
    """From memory, while a refresh runs."""
    STALE_ERROR = "stale-error"
    """From memory, because asking failed."""


_HIT = How.HIT  # a member read through its class costs as much as a call


@dataclass(frozen=True, slots=True)
class Fetched(Generic[V]):
    """What a fetch brings: the value, its size in bytes, how long it may be kept, and its age in seconds if not new."""

    value: V
    size: int
    rules: Rules
    age: float = 0.0


class Served(msgspec.Struct, Generic[V], frozen=True):
    """A value from the cache or through it. `age` is in seconds."""

    value: V
    how: How
    age: float


@dataclass(frozen=True, slots=True)
class _Entry:
    value: Any
    size: int
    rules: Rules
    born: float
    recalled: bool
    """Whether the fetch asked nobody, but brought what had been kept elsewhere."""


class Cache:
    """Values by key. A key determines its value's type: who asks for it names it.

    `largest` bounds the sum of the sizes in bytes; what was used longest ago goes first. `ticks` is a monotonic clock.
    """

    def __init__(self, largest: int = 64 * 1024**2, ticks: Callable[[], float] = time.monotonic) -> None:
        self._ticks = ticks
        self._entries: LRUCache[Hashable, _Entry] = LRUCache(largest, getsizeof=lambda entry: entry.size)
        self._flights: dict[Hashable, asyncio.Task[_Entry]] = {}

    def __contains__(self, key: Hashable) -> bool:
        """Whether anything is kept for the key, however old."""
        return key in self._entries

    def fresh(self, key: Hashable) -> Served[Any] | None:
        """The value for `key` if it need not be asked for; a hit."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._ticks() - entry.born
        return Served(entry.value, _HIT, age) if 0 <= age < entry.rules.fresh else None

    async def get(
        self, key: Hashable, fetch: Callable[[], Awaitable[Fetched[V]]], *, fresher_than: float = float("inf")
    ) -> Served[V]:
        """The value for `key`, fetched if need be. Raises what the fetch raises.

        A value of `fresher_than` seconds or more is asked for anew, whatever its rules say.
        """
        hit = self.fresh(key)
        if hit is not None and hit.age < fresher_than:
            return hit
        entry = self._entries.get(key)
        if entry is not None:
            age = self._ticks() - entry.born
            if age < fresher_than and freshness(age, entry.rules) is Freshness.STALE_USABLE:
                self._fly(key, fetch)
                return Served(entry.value, How.STALE, age)
        joined = key in self._flights
        flight = self._fly(key, fetch)
        await asyncio.wait((flight,))
        entry = flight.result()
        age = self._ticks() - entry.born
        if entry.rules.fresh <= age:
            return Served(entry.value, How.STALE, age)
        if entry.recalled:
            return Served(entry.value, How.HIT, age)
        return Served(entry.value, How.COLLAPSED if joined else How.MISS, age)

    def bring(self, key: Hashable, fetched: Fetched[Any]) -> None:
        """Keep a value that nobody had to ask for, unless one is kept already."""
        if key not in self:
            self._enter(key, fetched, self._ticks())

    def on_error(self, key: Hashable) -> Served[Any] | None:
        """What may be served although asking failed; None if nothing is kept or it is too old even for that."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        age = self._ticks() - entry.born
        if freshness(age, entry.rules) is Freshness.EXPIRED:
            return None
        return Served(entry.value, How.STALE_ERROR, age)

    def _fly(self, key: Hashable, fetch: Callable[[], Awaitable[Fetched[V]]]) -> asyncio.Task[_Entry]:
        """The fetch under way for `key`, begun now if there is none."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.get_running_loop().create_task(self._land(key, fetch))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._landed(key, done))
        return flight

    async def _land(self, key: Hashable, fetch: Callable[[], Awaitable[Fetched[V]]]) -> _Entry:
        asked_at = self._ticks()
        return self._enter(key, await fetch(), asked_at)

    def _enter(self, key: Hashable, fetched: Fetched[Any], asked_at: float) -> _Entry:
        size, born = fetched.size + _ENTRY_BYTES, asked_at - fetched.age
        entry = _Entry(fetched.value, size, fetched.rules, born, fetched.age > 0)
        self._entries.pop(key, None)
        if entry.size <= self._entries.maxsize:
            self._entries[key] = entry
        return entry

    def _landed(self, key: Hashable, flight: asyncio.Task[_Entry]) -> None:
        del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # a refresh nobody waits for may fail; the next call asks again
