"""FLOW a job's end is the one that the ledger has: what one gateway saw, every gateway on the ledger tells.

Upstream's word alone does not suffice for that. It may lag behind itself, so that one gateway is told of the end while
another is still told that the job lives; and of a job deleted after its end it says something else from then on.
"""

from contextlib import suppress
from math import inf

from gateway.context import Gateway
from gateway.core.fields import etag_of
from gateway.core.headers import JSON
from gateway.core.lifecycle import Outcome, outcome_of
from gateway.ledger.ledger import LedgerUnavailable
from gateway.looks import Seen
from gateway.memory import OWNER_TRUSTED_FOR
from gateway.upstream.client import Answer
from gateway.upstream.translate import record_head

_APART = 5.0
"""Seconds that an end may come to be read after the instant it bears, as where a commit took long, or before it.

The second where another gateway's clock is ahead.
"""


async def recall(gw: Gateway, request_id: str, said: str = "") -> Seen | None:
    """The terminal record from the ledger, if it was kept whole; it is in memory afterwards, and so is the outcome.

    A job that was closed without upstream's word has no such record, unless it ended after that. What is kept of one
    too large to be kept whole will do where upstream has `said` that the job ended otherwise, or that there is none.
    """
    job = await gw.ledger.job(request_id)
    if job is None or job.outcome is None:
        return None
    gw.jobs.learn_end(request_id, job.outcome, gw.ticks())
    if job.record is None or (job.outcome is Outcome.EXPIRED and not _says_end(job.record)):
        return None
    if not job.complete and (not said or outcome_of(said) is job.outcome):
        return None
    ended_at = gw.now() if job.settled_at is None else job.settled_at
    asked_at = gw.ticks() - max(0.0, gw.now() - ended_at)
    seen = Seen(Answer(200, (JSON,), job.record), asked_at, terminal=True, etag=etag_of(job.record))
    gw.jobs.remember_end(request_id, seen)
    gw.jobs.tell(request_id, seen)
    return seen


async def as_settled(gw: Gateway, request_id: str, said: str = "") -> Seen | None:
    """`recall` for whoever can do without; None also where the ledger cannot be read."""
    with suppress(LedgerUnavailable):
        return await recall(gw, request_id, said)
    return None


def _says_end(record: bytes) -> bool:
    head = record_head(record)
    return head is not None and outcome_of(head.status) is not None


class Elsewhere:
    """Hears round by round of the jobs that ended. Alone on the ledger there is nothing to hear."""

    def __init__(self, gw: Gateway) -> None:
        self._gw = gw
        self._heard_until = gw.now()
        self._heard: frozenset[str] = frozenset()
        self._others_until = -inf

    async def hear(self) -> None:
        """One round: all that ended since the last one, or in the last minute, which is as long as owners are believed.

        Whoever waits for one of them is told now; all others when they ask.
        """
        gw, now = self._gw, self._gw.now()
        if gw.ledger.replicas > 1:
            self._others_until = gw.ticks() + _APART
        if gw.ticks() < self._others_until:
            since = max(min(self._heard_until, now) - _APART, now - OWNER_TRUSTED_FOR)
            try:
                ended = dict(await gw.ledger.looks.ended(since, now + _APART))
            except LedgerUnavailable:
                return
            for request_id in ended.keys() - self._heard:
                gw.jobs.learn_end(request_id, ended[request_id], gw.ticks())
                if gw.jobs.is_awaited(request_id):
                    await as_settled(gw, request_id)
            self._heard = frozenset(ended)
        self._heard_until = now
