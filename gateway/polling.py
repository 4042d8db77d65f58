"""FLOW a job is watched: the owner first, then memory, then one shared call to upstream.

However many clients poll one live job, upstream is asked once a second; however old a terminal record is, it is not
asked again. Ownership is decided before memory is looked at, so nobody learns that another team's job exists.
"""

from enum import StrEnum
from typing import NamedTuple

from gateway import settlement
from gateway.context import Gateway
from gateway.core.errors import Code, Refusal
from gateway.core.freshness import LIVE_RECORD_FRESH, LIVE_RECORD_STALE
from gateway.core.policy import Caller
from gateway.ledger.values import Owner
from gateway.memory import Seen
from gateway.upstream.client import UpstreamFailure


class Served(StrEnum):
    """Where the record came from, as `Cache-Status` (RFC 9211) and the cache metric say it."""

    HIT = "hit"
    COLLAPSED = "collapsed"
    MISS = "miss"
    STALE = "stale"


class Watched(NamedTuple):
    """A record and how it was come by. `age` is in seconds since upstream was asked."""

    seen: Seen
    served: Served
    age: float


async def own(gw: Gateway, caller: Caller, request_id: str) -> Owner:
    """The owner entry of the caller's own job; Refusal 404, the same for a stranger's id and for none.

    Memory answers only for the caller's own: asking the ledger makes a stranger's id take as long as none, and fail
    with the ledger as none does.
    """
    owner = gw.jobs.owner(request_id, gw.ticks())
    if owner is None or owner.team != caller.team.name:
        owner = await gw.ledger.owner_of(request_id)
        if owner is not None:
            gw.jobs.remember_owner(request_id, owner, gw.ticks())
    if owner is None or owner.team != caller.team.name:
        raise Refusal(Code.REQUEST_NOT_FOUND, "There is no request with this id among this team's jobs.")
    return owner


async def poll(gw: Gateway, caller: Caller, request_id: str) -> Watched:
    """The job's record: from memory while fresh or terminal, else from upstream, else stale for a minute."""
    owner = await own(gw, caller, request_id)
    seen = gw.jobs.seen(request_id)
    if seen is not None and (seen.terminal or gw.ticks() - seen.asked_at < LIVE_RECORD_FRESH):
        return Watched(seen, Served.HIT, gw.ticks() - seen.asked_at)
    if seen is None and owner.outcome is not None:
        kept = await settlement.recall(gw, request_id)
        if kept is not None:
            return Watched(kept, Served.HIT, 0.0)
    shared = request_id in gw.jobs.looking
    try:
        fresh = await settlement.look(gw, request_id, owner)
    except UpstreamFailure:
        if seen is not None and gw.ticks() - seen.asked_at < LIVE_RECORD_STALE:
            return Watched(seen, Served.STALE, gw.ticks() - seen.asked_at)
        raise
    if shared:
        gw.metrics.polls_coalesced.inc()
    return Watched(fresh, Served.COLLAPSED if shared else Served.MISS, 0.0)
