"""What this process refused, counted in memory and written to the ledger every few seconds.

Nothing is decided by these counts, so they are open on failure: while the ledger is away they wait, as many kinds as
there is room for, and a process that is killed loses its last seconds.
"""

import logging
from collections import Counter

from gateway.core.policy import Caller
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.ledger.values import Refused
from gateway.logs import log_event

QUARTER = 900
"""Seconds. In every time zone months begin at a whole quarter of an hour, so sums over them are exact; at a whole hour
they do not (India)."""

MOST_KINDS = 2000
"""Kinds that may wait. One write of so many takes the thread creates wait for some ten milliseconds."""


class Refusals:
    """Counts of calls refused alike, on their way to the ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._waiting: Counter[Refused] = Counter()
        self._lost = 0

    def note(self, caller: Caller, model: str, code: str, now: float) -> None:
        """Count one refused call. The caller of this sees to it that models are few."""
        self._add(Refused(caller.team.name, caller.key.name, model, code, now - now % QUARTER), 1)

    async def write(self) -> None:
        """Hand everything over in one operation. What the ledger cannot take now is kept for the next time.

        What it may have taken is not: counted twice it would be told as a fact.
        """
        waiting, self._waiting = self._waiting, Counter()
        if not waiting:
            return
        try:
            await self._ledger.add_refusals(waiting)
        except LedgerUnavailable as error:
            for refused, count in waiting.items() if not error.may_be_done else ():
                self._add(refused, count)
            return
        lost, self._lost = self._lost, 0
        if lost:
            log_event(logging.WARNING, "refusals missing from usage", count=lost)

    def _add(self, refused: Refused, count: int) -> None:
        if refused in self._waiting or len(self._waiting) < MOST_KINDS:
            self._waiting[refused] += count
        else:
            self._lost += count
