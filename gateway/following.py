"""FLOW open jobs are followed to their end, whether a client asks about them or not."""

import asyncio
import logging
from contextlib import suppress
from functools import partial

from gateway import settlement
from gateway.context import Gateway
from gateway.core.freshness import follow_interval
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import DueJob, Owner
from gateway.logs import log_event
from gateway.upstream.client import UpstreamFailure

_LOOKS_A_ROUND = 256

_TAKEN_AT_ONCE = 64
_BREATH = 0.01
"""Seconds between two portions of the jobs that are due. Thousands in one go would hold up every call meanwhile."""

_PATIENCE = 0.25
"""Seconds that jobs which need a look wait for others to be found."""

UNASKED_AT_MOST = 3600.0
"""Seconds beyond its age after which a job is closed although upstream could not be asked about it."""


async def follow(gw: Gateway) -> None:
    """One round of following: jobs that are due get one look each, and no look that lasts holds up another.

    A job that clients poll is passed over, so that any number of those costs a round next to nothing.
    """
    looked, more = 0, True
    while more and looked < _LOOKS_A_ROUND:
        due, more = await _take(gw, _LOOKS_A_ROUND - looked)
        looked += len(due)
        if due:
            await _look_at(gw, due)


async def _take(gw: Gateway, most: int) -> tuple[list[str], bool]:
    """Jobs that need a look, about `most`, and whether more are due. Those found do not wait for many to be passed."""
    due: list[str] = []
    began = gw.ticks()
    while True:
        asked_at = gw.ticks()
        try:
            taken = await gw.ledger.looks.take(gw.now(), _TAKEN_AT_ONCE)
        except LedgerUnavailable:
            if not due:
                raise
            return due, False
        for job in taken:  # the ledger names whose they are: clients that poll them need not wait for it to be asked
            gw.jobs.confirm_owner(job.request_id, job.team, asked_at)
        due += [job.request_id for job in taken if _needs_look(gw, job)]
        more = len(taken) == _TAKEN_AT_ONCE
        if not more or len(due) >= most or (due and gw.ticks() - began >= _PATIENCE):
            return due, more
        await asyncio.sleep(_BREATH)


async def _look_at(gw: Gateway, due: list[str]) -> None:
    with suppress(LedgerUnavailable):  # then they are due again later than they might be
        await gw.ledger.looks.begin(due, gw.now())
    owners = await gw.ledger.owners(due)
    jobs = {request_id: (owner.team, owner) for request_id, owner in owners.items()}
    await gw.rounds.run(jobs, partial(_follow_one, gw), gw.tasks.start, "follow")


def _needs_look(gw: Gateway, job: DueJob) -> bool:
    """Whether upstream is to be asked: not if it said lately that the job lives, nor while it is being asked."""
    age = gw.now() - job.created_at
    seen, owner = gw.jobs.seen(job.request_id), gw.jobs.owner(job.request_id, gw.ticks())
    if owner is None or age >= settlement.timeout_of(gw, owner):
        return True
    if gw.jobs.looks.is_under_way(job.request_id):
        return False
    return seen is None or seen.terminal or gw.ticks() - seen.asked_at >= follow_interval(age)


async def _follow_one(gw: Gateway, request_id: str, owner: Owner) -> None:
    """One look, and the end of a job that is too old, unless it has ended by upstream's word."""
    has_ended, was_asked = False, True
    gw.traces.resume(owner.trace)
    try:
        has_ended = (await settlement.look(gw, request_id, owner)).terminal
    except UpstreamFailure as failure:
        was_asked = failure.was_asked
        log_event(logging.DEBUG, "look failed", request_id=request_id)
    overdue = gw.now() - owner.created_at - settlement.timeout_of(gw, owner)
    if not has_ended and overdue >= (0 if was_asked else UNASKED_AT_MOST):
        await settlement.expire(gw, request_id, owner)
