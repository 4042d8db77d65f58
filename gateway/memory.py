"""What this process remembers of jobs, so that a poll costs neither the ledger nor upstream."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass, field
from math import inf

import msgspec
from cachetools import FIFOCache, LRUCache
from msgspec.structs import replace

from gateway.core.freshness import LIVE_RECORD_FRESH
from gateway.core.lifecycle import Outcome
from gateway.ledger.values import Owner
from gateway.looks import Failed, Looks, Seen
from gateway.records import Known, Records
from gateway.upstream.client import Answer

OWNER_TRUSTED_FOR = 60.0
"""Seconds an owner is believed without asking the ledger again."""

MISSING_APART = 10.0
"""Seconds between two answers that a job is missing, so that they are two and not one heard twice."""

_MOST_OWNERS = 100_000
_MOST_RECORD_BYTES = 64 * 1024**2
_LARGEST_ERROR = 256 * 1024
"""Bytes of an error of upstream's that is told again instead of being asked for again."""


class _Told(msgspec.Struct, frozen=True, gc=False):
    """What the ledger said of a job's owner at this instant of the monotonic clock."""

    owner: Owner
    at: float


def _new_future() -> "asyncio.Future[Seen]":
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class Audience:
    """Those who wait for one job to change. `news` is the next sight of it that is not the last one again.

    `told` is the tag of that last one. `looking` looks at the job on behalf of all of them.
    """

    size: int = 0
    told: bytes = b""
    news: "asyncio.Future[Seen]" = field(default_factory=_new_future)
    looking: "asyncio.Task[None] | None" = None


class JobMemory:
    """Owners, last seen records (bounded in bytes, least recently used goes first), looks under way, and who waits.

    Owners and records are none of the garbage collector's business (`gc=False`): nothing in them could lead back to
    them. To go through those of some ten thousand jobs halted every call for a tenth of a second.
    """

    def __init__(self, most_bytes: int = _MOST_RECORD_BYTES) -> None:
        self.looks = Looks()
        # The ledger names anew within a minute what is asked for or due: the first in is about the least needed.
        self._owners: FIFOCache[str, _Told] = FIFOCache(_MOST_OWNERS)
        self._records = Records(most_bytes)
        # Few jobs have either, but what either says must not go because of other jobs' records.
        self._changed: LRUCache[str, float] = LRUCache(_MOST_OWNERS)
        self._missing: LRUCache[str, tuple[int, float]] = LRUCache(_MOST_OWNERS)
        self._expected: set[tuple[str, str]] = set()
        self._searched: dict[str, tuple[float, float]] = {}
        self._audiences: dict[str, Audience] = {}

    def owner(self, request_id: str, ticks: float) -> Owner | None:
        """The owner, if the ledger said so within the last minute."""
        try:
            told = self._owners[request_id]
        except KeyError:
            return None
        return told.owner if ticks - told.at < OWNER_TRUSTED_FOR else None

    def remember_owner(self, request_id: str, owner: Owner, ticks: float) -> None:
        """The ledger's word, as of `ticks`."""
        self._owners[request_id] = _Told(owner, ticks)

    def confirm_owner(self, request_id: str, team: str, ticks: float) -> None:
        """The ledger said again, as of `ticks`, that the job is this team's. What is not remembered stays unknown."""
        owner = self.owner(request_id, ticks)
        if owner is not None and owner.team == team:
            self.remember_owner(request_id, owner, ticks)

    def learn_end(self, request_id: str, outcome: Outcome, ticks: float) -> None:
        """The job ended so, by the ledger's word: a record that says it lives is fresh no more."""
        owner = self.owner(request_id, ticks)
        if owner is None or owner.outcome is outcome:
            return
        self.remember_owner(request_id, replace(owner, outcome=outcome), ticks)
        known = self._records.peek(request_id)
        if outcome is not Outcome.EXPIRED and known.seen is not None and not known.seen.terminal:
            known.seen = replace(known.seen, asked_at=known.seen.asked_at - LIVE_RECORD_FRESH)

    def has_ended(self, request_id: str, ticks: float) -> bool:
        """Whether the ledger is known to have the job's end, by upstream's word."""
        owner = self.owner(request_id, ticks)
        return owner is not None and owner.outcome not in (None, Outcome.EXPIRED)

    def of(self, request_id: str) -> Known:
        """All that is remembered of the job, to be read only. Whoever serves it has checked the owner first."""
        return self._records.use(request_id)

    def seen(self, request_id: str) -> Seen | None:
        """The record last seen."""
        return self.of(request_id).seen

    def newer(self, request_id: str, asked_at: float) -> Seen | None:
        """The record beside which what was asked then says nothing new of a living job: its end, or one asked later."""
        seen = self.seen(request_id)
        return seen if seen is not None and (seen.terminal or seen.asked_at > asked_at) else None

    def see_again(self, request_id: str, answer: Answer, asked_at: float) -> Seen | None:
        """The live record last seen, seen once more, which is what upstream mostly answers; None if this is another.

        None also while it is still to be written down.
        """
        known = self._records.peek(request_id)
        last = known.seen
        if last is None or last.terminal or last.answer.body != answer.body or answer.status != 200 or known.unwritten:
            return None
        if last.asked_at > asked_at:
            return last
        seen = Seen(answer, asked_at, terminal=False, etag=last.etag)
        # Whether the job was changed need not be asked: a record of before that was forgotten then.
        is_news = known.error is not None or request_id in self._missing
        if not is_news and last.answer.headers == answer.headers:
            known.seen = seen  # as large as the one before
        else:
            self.remember(request_id, seen)
        return seen

    def remember(self, request_id: str, seen: Seen) -> None:
        """Keep the record, unless it alone is larger than the whole memory, or the job was changed since.

        Upstream knows the job: what it said to the contrary is forgotten.
        """
        self._missing.pop(request_id, None)
        if not self._is_outdated(request_id, seen):
            self._records.keep(request_id, Known(seen))

    def remember_end(self, request_id: str, seen: Seen) -> None:
        """Keep the record with which the job ended, by the ledger: no change of the job from here makes it untrue."""
        self._changed.pop(request_id, None)
        self.remember(request_id, seen)

    def note_unwritten(self, request_id: str) -> None:
        """The ledger did not take the record that is remembered."""
        known = self._records.peek(request_id)
        if known.seen is not None:
            known.unwritten = True

    def outdate(self, request_id: str, ticks: float) -> None:
        """The job was changed from here: nothing that was asked before is true of it any more."""
        self._changed[request_id] = ticks
        self.looks.forget(request_id)
        self.forget(request_id)

    def forget(self, request_id: str) -> None:
        """Drop what is known of the job's record; the next look brings it again."""
        self._records.drop(request_id)

    def remember_error(self, request_id: str, error: Seen | Failed) -> None:
        """This came instead of a record. What was seen before is still known."""
        is_small = isinstance(error, Failed) or error.answer.size <= _LARGEST_ERROR
        before, is_true = self.of(request_id), is_small and not self._is_outdated(request_id, error)
        known = Known(before.seen, error if is_true else None, before.unwritten)
        if not self._records.can_keep(known):
            known.error = None
        self._records.keep(request_id, known)

    def _is_outdated(self, request_id: str, news: Seen | Failed) -> bool:
        """Whether the job was changed from here since this was asked for."""
        return request_id in self._changed and news.asked_at < self._changed[request_id]

    def asked_at(self, request_id: str) -> float:
        """When upstream was last asked for what is remembered, on the monotonic clock."""
        known = self.of(request_id)
        return max((each.asked_at for each in (known.seen, known.error) if each is not None), default=-inf)

    def is_awaited(self, request_id: str) -> bool:
        """Whether anybody waits for the job to change."""
        return request_id in self._audiences

    def attend(self, request_id: str) -> Audience:
        """One more waits for the job to change, until it leaves.

        What the others were told is told again, which they know by its tag: this one may know of nothing yet.
        """
        audience = self._audiences.setdefault(request_id, Audience())
        audience.size += 1
        audience.told = b""
        return audience

    def leave(self, request_id: str) -> None:
        """One of those who waited does not any more. When nobody does, nobody looks on their behalf."""
        audience = self._audiences[request_id]
        audience.size -= 1
        if not audience.size:
            del self._audiences[request_id]
            if audience.looking is not None:
                audience.looking.cancel()

    def tell(self, request_id: str, seen: Seen) -> None:
        """Wake those who wait for the job, if this is not what they were told last.

        Errors and ends are always told: who came later may have missed them. A record beside a newer one never is.
        """
        audience = self._audiences.get(request_id)
        if audience is None or (not seen.terminal and seen.etag and self.newer(request_id, seen.asked_at) is not None):
            return
        if seen.terminal or not seen.etag or audience.told != seen.etag:
            audience.told = seen.etag
            audience.news.set_result(seen)
            audience.news = _new_future()

    def expect(self, request_id: str, team: str) -> None:
        """Upstream gave the job to the team, and the ledger is still to say whether it is the team's."""
        self._expected.add((request_id, team))

    def stop_expecting(self, request_id: str, team: str) -> None:
        """The ledger has said."""
        self._expected.discard((request_id, team))

    def is_expected(self, request_id: str, team: str) -> bool:
        """Whether the ledger may yet call the job the team's."""
        return (request_id, team) in self._expected

    def note_missing(self, request_id: str, now: float) -> int:
        """Upstream says there is no such job. How often it has said so by now, each time well after the last."""
        count, last = self._missing.get(request_id, (0, -inf))
        if now - last >= MISSING_APART:
            count += 1
            self._missing[request_id] = count, now
        return count

    def forget_missing(self, request_id: str) -> None:
        """The job is closed."""
        self._missing.pop(request_id, None)

    def searched(self, reservation_id: str) -> tuple[float, float] | None:
        """When a lost create was first and last looked for, on the monotonic clock; None if never."""
        return self._searched.get(reservation_id)

    def note_search(self, reservation_id: str, ticks: float) -> float:
        """A lost create is looked for now. When that was done for the first time."""
        known = self._searched.get(reservation_id)
        first = ticks if known is None else known[0]
        self._searched[reservation_id] = (first, ticks)
        return first

    def keep_searches(self, reservation_ids: Collection[str]) -> None:
        """Forget the creates that are none of these: nobody looks for them any more."""
        self._searched = {name: times for name, times in self._searched.items() if name in reservation_ids}
