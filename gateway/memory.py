"""What this process remembers of jobs, so that a poll costs neither the ledger nor upstream."""

import asyncio
from dataclasses import dataclass

from cachetools import LRUCache

from gateway.ledger.values import Owner, Reply
from gateway.upstream.client import Answer

OWNER_TRUSTED_FOR = 60.0
"""Seconds an owner is believed without asking the ledger again."""

_MOST_OWNERS = 100_000
_MOST_RECORD_BYTES = 64 * 1024**2


@dataclass(frozen=True, slots=True)
class Seen:
    """A job's record as upstream gave it. `asked_at` is when the question left, on the monotonic clock."""

    answer: Answer
    asked_at: float
    terminal: bool
    etag: bytes


@dataclass(frozen=True, slots=True)
class Gate:
    """Upstream's refusal of a model, told again until `opens_at` on the monotonic clock."""

    opens_at: float
    answer: Reply


class JobMemory:
    """Owners, last seen records (bounded in bytes, least recently used goes first), and the looks under way."""

    def __init__(self) -> None:
        self._owners: LRUCache[str, tuple[Owner, float]] = LRUCache(_MOST_OWNERS)
        self._seen: LRUCache[str, Seen] = LRUCache(
            _MOST_RECORD_BYTES, getsizeof=lambda seen: len(seen.answer.body) + 1024
        )
        self.looking: dict[str, asyncio.Task[Seen]] = {}
        self.missing: dict[str, int] = {}
        """How often upstream denied a job, by request id."""
        self.looked_up: dict[str, tuple[float, float]] = {}
        """When a lost create was first and last looked for, by reservation id, on the monotonic clock."""

    def owner(self, request_id: str, ticks: float) -> Owner | None:
        """The owner, if the ledger said so within the last minute."""
        known = self._owners.get(request_id)
        return known[0] if known is not None and ticks - known[1] < OWNER_TRUSTED_FOR else None

    def remember_owner(self, request_id: str, owner: Owner, ticks: float) -> None:
        """The ledger's word, as of `ticks`."""
        self._owners[request_id] = (owner, ticks)

    def seen(self, request_id: str) -> Seen | None:
        """The record last seen. Whoever serves it has checked the owner first."""
        return self._seen.get(request_id)

    def remember(self, request_id: str, seen: Seen) -> None:
        """Keep the record, unless it alone is larger than the whole memory."""
        self._seen.pop(request_id, None)
        if len(seen.answer.body) + 1024 <= _MOST_RECORD_BYTES:
            self._seen[request_id] = seen

    def forget(self, request_id: str) -> None:
        """Drop the record, because the job was changed from here."""
        self._seen.pop(request_id, None)
