"""Request rates, counted ahead: a process takes small batches from the ledger and hands them out from memory.

A poll therefore costs no write. What a process holds and does not use before the window ends is lost to the limit, so
the error is on the strict side, and a batch is one percent of the limit, shared among the processes, to keep it below
two; more is taken only for calls that are waiting for it. While the ledger is away each process goes by what it last
knew, so several together may pass a limit of `requests`.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from gateway.core.limits import RequestBound
from gateway.core.policy import Mode
from gateway.ledger.ledger import Ledger, LedgerUnavailable

_SHARE = 100
_NO_CEILING = 2**62
_MOST_COUNTERS = 10_000


@dataclass(slots=True)
class _Held:
    """What this process may still hand out on one counter.

    `used` is the ledger's value when it last answered, and `owed` what was handed out since without its knowledge;
    `waiting` counts the calls that wait for the refill, and `exhausted_at` is the ceiling that was found reached.
    """

    window_ends: float
    left: int = 0
    used: int = 0
    owed: int = 0
    waiting: int = 0
    exhausted_at: int = -1
    refill: asyncio.Task[None] | None = None


class Leases:
    """The request allowances this process holds."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._held: dict[str, _Held] = {}
        self._look_at = _MOST_COUNTERS

    def take_at_hand(self, bounds: Sequence[RequestBound]) -> bool:
        """Count one request against every bound, if there is something at hand for each; whether that was done."""
        for bound in bounds:
            held = self._held.get(bound.counter)
            if held is None or held.left <= 0:
                return False
        self._hand_out(bounds)
        return True

    async def take(self, bounds: Sequence[RequestBound], now: float) -> RequestBound | None:
        """Count one request against every bound, or against none and return the bound that is used up.

        Awaits the ledger only when a batch has run out.
        """
        while empty := self._first_empty(bounds, now):
            if not await self._refill(empty, now):
                return empty
        self._hand_out(bounds)
        return None

    async def close(self) -> None:
        """Give back what was taken ahead and not handed out, so that a restart costs the limits nothing."""
        held, self._held = self._held, {}
        unused = {counter: each.left - each.owed for counter, each in held.items() if each.left > each.owed}
        if unused:
            with suppress(LedgerUnavailable):
                await self._ledger.give_ahead_back(unused)

    def used(self, bound: RequestBound) -> int:
        """What is used of a bound, as far as this process knows."""
        held = self._held.get(bound.counter)
        return 0 if held is None else max(0, held.used - held.left)

    def less_held(self, used: Mapping[str, int]) -> dict[str, int]:
        """The ledger's values, by counter, without what this process took ahead and has not handed out."""
        return {
            counter: max(0, value - self._held[counter].left) if counter in self._held else value
            for counter, value in used.items()
        }

    def _hand_out(self, bounds: Sequence[RequestBound]) -> None:
        for bound in bounds:
            self._held[bound.counter].left -= 1

    def _first_empty(self, bounds: Sequence[RequestBound], now: float) -> RequestBound | None:
        for bound in bounds:
            if self._find(bound, now).left <= 0:
                return bound
        return None

    def _find(self, bound: RequestBound, now: float) -> _Held:
        held = self._held.get(bound.counter)
        if held is None:
            self._forget_ended(now)
            held = self._held[bound.counter] = _Held(bound.window_ends)
        return held

    async def _refill(self, bound: RequestBound, now: float) -> bool:
        """Ask the ledger, together with all who wait for it. Whether it is worth looking again what is left."""
        held = self._find(bound, now)
        if held.exhausted_at == _ceiling(bound):
            return False
        held.waiting += 1
        try:
            if held.refill is None:
                held.refill = asyncio.get_running_loop().create_task(self._fetch(bound, held))
            await asyncio.shield(held.refill)
        finally:
            held.waiting -= 1
        return held.exhausted_at != _ceiling(bound)

    async def _fetch(self, bound: RequestBound, held: _Held) -> None:
        ceiling = _ceiling(bound)
        batch = max(1, bound.ceiling // (_SHARE * max(1, self._ledger.replicas)), held.waiting)
        try:
            granted, held.used = await self._ledger.take_ahead(
                bound.counter, batch + held.owed, ceiling, bound.window_ends
            )
        except LedgerUnavailable:
            # Reads go on within what this process knows of the window, and are counted when the ledger is back.
            granted = min(batch, max(0, ceiling - held.used))
            held.used += granted
            held.owed += granted
        else:
            granted -= held.owed
            held.owed = 0
        finally:
            held.refill = None
        held.left += granted
        held.exhausted_at = ceiling if granted <= 0 else -1

    def _forget_ended(self, now: float) -> None:
        if len(self._held) >= self._look_at:
            self._held = {name: held for name, held in self._held.items() if held.window_ends > now}
            self._look_at = max(_MOST_COUNTERS, 2 * len(self._held))


def _ceiling(bound: RequestBound) -> int:
    """A shadow bound counts on without end, so that it can say by how much it would have been passed."""
    return bound.ceiling if bound.mode is Mode.ENFORCE else _NO_CEILING
