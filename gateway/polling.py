"""FLOW a job is watched: the owner first, then memory, then one shared call to upstream.

However many clients poll one live job or wait for it, upstream is asked once a second by each worker or replica. A
terminal record is asked for again only where neither memory nor the ledger has the whole of it. Ownership is decided
before memory is looked at, so nobody learns that another team's job exists.
"""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import contextmanager
from math import inf

from gateway import settlement
from gateway.cache import How, Served
from gateway.context import Gateway
from gateway.core.errors import Code, Refusal
from gateway.core.freshness import LIVE_RECORD_FRESH, LIVE_RECORD_STALE
from gateway.core.lifecycle import Outcome
from gateway.core.policy import Caller
from gateway.endings import recall
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import Owner
from gateway.looks import MOST_LOOKS, Failed, Seen
from gateway.memory import Audience
from gateway.settlement import MISSING_AT_FIRST
from gateway.upstream.client import UpstreamFailure
from gateway.waits import Wait

# A member read through its class costs as much as a call; these are read for every poll.
_HIT, _MISS = How.HIT, How.MISS

_LASTING = (Code.UPSTREAM_CREDENTIALS_REJECTED, Code.UPSTREAM_INVALID)


async def own(gw: Gateway, caller: Caller, request_id: str) -> Owner:
    """The owner entry of the caller's own job; Refusal 404, the same for a stranger's id and for none.

    Memory answers only for the caller's own: asking the ledger makes a stranger's id take as long as none, and fail
    with the ledger as none does. LedgerUnavailable also for a job that upstream named and the ledger could not yet be
    told of: that it is not the caller's would be untrue.
    """
    owner = gw.jobs.owner(request_id, gw.ticks())
    if owner is None or owner.team != caller.team.name:
        owner = await gw.ledger.owner_of(request_id)
        if owner is not None:
            gw.jobs.remember_owner(request_id, owner, gw.ticks())
    if owner is None and gw.jobs.is_expected(request_id, caller.team.name):
        raise LedgerUnavailable("it does not know the job yet")
    if owner is None or owner.team != caller.team.name:
        raise Refusal(Code.REQUEST_NOT_FOUND, "There is no request with this id among this team's jobs.")
    return owner


async def poll(gw: Gateway, caller: Caller, request_id: str) -> Served[Seen]:
    """The job's record: from memory while fresh or terminal, else from upstream, else stale for a minute.

    What comes instead of a record stands for a second before upstream is asked again: an error of its own is told as
    it is, and in place of no answer or nonsense the last record.
    """
    now = gw.ticks()
    owner = gw.jobs.owner(request_id, now)
    if owner is None or owner.team != caller.team.name:
        owner = await own(gw, caller, request_id)  # which looks into memory again: mostly there is no need for it
        now = gw.ticks()
    known = gw.jobs.of(request_id)
    seen = known.seen
    if seen is not None and (seen.terminal or now - seen.asked_at < LIVE_RECORD_FRESH):
        return Served(seen, _HIT, now - seen.asked_at)
    error = _error_again(gw, request_id, known.error) if known.error is not None else None
    if error is not None:
        return error
    if owner.outcome is not None:
        kept = await _recall(gw, request_id, owner, seen)
        if kept is not None:
            return Served(kept, _HIT, gw.ticks() - kept.asked_at)
        now = gw.ticks()
    shared = gw.jobs.looks.to_share(request_id, now)
    try:
        fresh = await (settlement.ask(gw, request_id, owner, now) if shared is None else asyncio.shield(shared))
    except UpstreamFailure:
        lately = last_seen(gw, request_id, How.STALE_ERROR)
        if lately is None:
            raise
        return lately
    if shared is None:
        return Served(fresh, _MISS, 0.0)
    gw.metrics.polls_coalesced.inc()
    return Served(fresh, How.COLLAPSED, max(0.0, now - fresh.asked_at))


async def _recall(gw: Gateway, request_id: str, owner: Owner, seen: Seen | None) -> Seen | None:
    """The record with which the job ended, by the ledger: an end holds, whatever upstream says of the job afterwards.

    None where there is none, or where what was `seen` does: its end, or of one that was closed without upstream's word
    that it lives. Raises LedgerUnavailable if nothing was seen.
    """
    if owner.outcome is None or (seen is not None and (seen.terminal or owner.outcome is Outcome.EXPIRED)):
        return None
    try:
        return await recall(gw, request_id)
    except LedgerUnavailable:
        if seen is None:
            raise
        return None


def _error_again(gw: Gateway, request_id: str, error: Seen | Failed) -> Served[Seen] | None:
    """What came instead of a record less than a second ago, or the last record where that was no answer of upstream's.

    None if upstream is to be asked again, as where there is no record to be told.
    """
    if gw.ticks() - error.asked_at >= LIVE_RECORD_FRESH:
        return None
    if isinstance(error, Seen):
        return Served(error, _HIT, gw.ticks() - error.asked_at)
    return last_seen(gw, request_id, How.STALE_ERROR)


async def first_look(
    gw: Gateway, caller: Caller, request_id: str, wait: Wait, *, anew: bool = False
) -> "asyncio.Task[Served[Seen]]":
    """A poll for one who waits, or a `poll_anew`: done, unless the wait is over or a pulse of it passes first.

    Where upstream takes long for it, it is asked once more beside it.
    """
    ask = poll_anew if anew else poll
    polling = gw.tasks.start(ask(gw, caller, request_id), "first look")
    await wait.for_either(polling, LIVE_RECORD_FRESH)
    if not polling.done() and not wait.is_over:
        owner = await own(gw, caller, request_id)
        with _attending(gw, request_id, owner):
            await wait.for_either(polling)
    return polling


def is_passing_trouble(look: "asyncio.Task[Served[Seen]]") -> bool:
    """Whether all a look has brought is a trouble of upstream's that time may mend: no answer, a 429 or any 5xx.

    That it refuses the gateway's own key is none, nor is an answer that cannot be trusted: somebody has to see to it.
    """
    failure = look.exception()
    if failure is not None:
        return isinstance(failure, UpstreamFailure) and failure.code not in _LASTING
    return _may_pass(look.result().value.answer.status)


def _may_pass(status: int) -> bool:
    """Whether an error of upstream's that has this status may be over when it is asked again."""
    return status == 429 or status >= 500


async def poll_anew(gw: Gateway, caller: Caller, request_id: str) -> Served[Seen]:
    """The job's record as it is by now, for who may have heard of it from another gateway.

    A live one that was remembered is waited for until upstream may be asked again, which takes less than a second.
    """
    served = await poll(gw, caller, request_id)
    if served.how is not _HIT or served.value.terminal:
        return served
    del served  # those who wait keep no record in memory
    await asyncio.sleep(max(0.0, gw.jobs.asked_at(request_id) + LIVE_RECORD_FRESH - gw.ticks()))
    return await poll(gw, caller, request_id)


def last_seen(gw: Gateway, request_id: str, how: How = How.STALE) -> Served[Seen] | None:
    """The record as it is remembered, in place of the one that is not to be had now; None if that is too long ago."""
    seen = gw.jobs.seen(request_id)
    if seen is None or not (seen.terminal or _may_be_told(gw, seen)):
        return None
    return Served(seen, _HIT if seen.terminal else how, gw.ticks() - seen.asked_at)


def _may_be_told(gw: Gateway, live: Seen) -> bool:
    """Whether a live job's record is not too old to be told while there is no newer one."""
    return gw.ticks() - live.asked_at < LIVE_RECORD_STALE


async def watch(
    gw: Gateway, request_id: str, owner: Owner, etag: bytes, wait: Wait
) -> AsyncGenerator[Served[Seen] | None, None]:
    """The job's record whenever it is another than the one tagged `etag`, and then than the one before.

    It ends with the terminal record, with an error that lasts, and when the wait is over; None comes at each pulse of
    the wait. What upstream fails to answer is left out: it is asked again a second later. Whoever is given a record
    drops it before asking for the next, so that those who wait keep none of them in memory.

    Raises LedgerUnavailable where only the ledger has the record.
    """
    await _recall(gw, request_id, owner, gw.jobs.seen(request_id))
    with _attending(gw, request_id, owner) as audience:
        while not wait.is_over:
            seen = await _next(gw, audience, request_id, etag, wait)
            if seen is None:
                if wait.has_pulse():
                    yield None
                continue
            if seen.answer.status != 200:
                if _lasts(gw, seen, owner):
                    return
                continue
            etag, ended = seen.etag, seen.terminal
            wait.begin_pulse()
            yield Served(seen, _HIT, gw.ticks() - seen.asked_at)
            seen = None  # those who wait keep no record in memory
            if ended:
                return


async def _next(gw: Gateway, audience: Audience, request_id: str, etag: bytes, wait: Wait) -> Seen | None:
    """The record if it is another by now, else the next sight of the job; None if it is the same or a pulse passes."""
    seen = gw.jobs.seen(request_id)
    if seen is None or seen.etag == etag or not (seen.terminal or _may_be_told(gw, seen)):
        seen = None
        news = audience.news
        await wait.for_either(news)
        seen = news.result() if news.done() else None
    return None if seen is None or (seen.etag and seen.etag == etag) else seen  # errors have no tag


def _lasts(gw: Gateway, seen: Seen, owner: Owner) -> bool:
    """Whether upstream's error will not pass. A 404 is none of a job that not every part of it may know of yet."""
    status = seen.answer.status
    if status == 404:
        return gw.now() - owner.created_at >= MISSING_AT_FIRST
    return not _may_pass(status)


@contextmanager
def _attending(gw: Gateway, request_id: str, owner: Owner) -> Iterator[Audience]:
    """Among those who wait for the job; the first of them begins the looking on behalf of all."""
    audience = gw.jobs.attend(request_id)
    if audience.looking is None or audience.looking.done():
        audience.looking = gw.tasks.start(_keep_looking(gw, request_id, owner), "look for those who wait")
    try:
        yield audience
    finally:
        gw.jobs.leave(request_id)


async def _keep_looking(gw: Gateway, request_id: str, owner: Owner) -> None:
    """Look at the job once a second, while its end is not remembered. A look of somebody else's spares one.

    Whatever a look fails with, another one follows, and beside one that takes long as well, while there is room for
    twice as many calls: nobody else looks on behalf of those who wait.
    """
    asked_at, looks = -inf, set[asyncio.Task[Seen]]()
    while True:
        seen = gw.jobs.seen(request_id)
        ended = seen is not None and seen.terminal
        seen = None  # those who wait keep no record in memory
        asked_at = max(asked_at, gw.jobs.asked_at(request_id))
        pause = LIVE_RECORD_FRESH if ended else asked_at + LIVE_RECORD_FRESH - gw.ticks()
        if pause <= 0 and gw.jobs.looks.is_under_way(request_id) and _is_busy(gw):
            pause = LIVE_RECORD_FRESH
        if pause > 0:
            await asyncio.sleep(pause)
            continue
        asked_at = gw.ticks()
        looks.add(gw.tasks.start(settlement.look(gw, request_id, owner), "look"))
        patience = LIVE_RECORD_FRESH if len(looks) < MOST_LOOKS else None
        _, looks = await asyncio.wait(looks, timeout=patience, return_when=asyncio.FIRST_COMPLETED)


def _is_busy(gw: Gateway) -> bool:
    """Whether half of the calls to upstream that may be under way are: a second look would crowd others out."""
    return gw.upstream.in_flight * 2 >= gw.settings.max_in_flight
