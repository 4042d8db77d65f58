"""FLOW a job's end is the one that the ledger has: what one gateway saw, every gateway on the ledger tells.

Upstream's word alone does not suffice for that. It may lag behind itself, so that one gateway is told of the end while
another is still told that the job lives; and of a job deleted after its end it says something else from then on.
"""

from contextlib import suppress

from gateway.context import Gateway
from gateway.core.fields import etag_of
from gateway.core.headers import JSON
from gateway.core.lifecycle import Outcome, outcome_of
from gateway.ledger.ledger import LedgerUnavailable
from gateway.looks import Seen
from gateway.memory import OWNER_TRUSTED_FOR
from gateway.upstream.client import Answer
from gateway.upstream.translate import record_head

_LATE = 5.0
"""Seconds after the instant it bears that an end may come to be read, as where a commit took long."""


async def recall(gw: Gateway, request_id: str) -> Seen | None:
    """The terminal record from the ledger, if it was kept whole; it is in memory afterwards.

    A job that was closed without upstream's word has no such record, unless it ended after that.
    """
    job = await gw.ledger.job(request_id)
    if job is None or job.record is None or not job.complete or job.outcome is None:
        return None
    if job.outcome is Outcome.EXPIRED and not _says_end(job.record):
        return None
    ended_at = gw.now() if job.settled_at is None else job.settled_at
    asked_at = gw.ticks() - max(0.0, gw.now() - ended_at)
    seen = Seen(Answer(200, (JSON,), job.record), asked_at, terminal=True, etag=etag_of(job.record))
    gw.jobs.remember(request_id, seen)
    gw.jobs.tell(request_id, seen)
    return seen


async def as_settled(gw: Gateway, request_id: str) -> Seen | None:
    """`recall` for who has another word of upstream's; None also where the ledger cannot be read."""
    with suppress(LedgerUnavailable):
        return await recall(gw, request_id)
    return None


def _says_end(record: bytes) -> bool:
    head = record_head(record)
    return head is not None and outcome_of(head.status) is not None


class Elsewhere:
    """Hears round by round of the jobs that ended. Alone on the ledger there is nothing to hear."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw
        self._heard_until = gw.now()

    async def hear(self) -> None:
        """One round: all that ended since the last one, as far back as an owner is believed to be as remembered."""
        gw, now = self._gw, self._gw.now()
        since = max(min(self._heard_until, now) - _LATE, now - OWNER_TRUSTED_FOR)
        if gw.ledger.replicas > 1:
            try:
                ended = await gw.ledger.looks.ended(since, now + _LATE)
            except LedgerUnavailable:
                return
            for request_id, outcome in ended:
                is_news = gw.jobs.learn_end(request_id, outcome, gw.ticks())
                if is_news and gw.jobs.is_awaited(request_id):
                    await as_settled(gw, request_id)
        self._heard_until = now
