"""FLOW a job is watched: the owner first, then memory, then one shared call to upstream.

However many clients poll one live job, upstream is asked once a second; however old a terminal record is, it is not
asked again. Ownership is decided before memory is looked at, so nobody learns that another team's job exists.
"""

from gateway import settlement
from gateway.cache import How, Served
from gateway.context import Gateway
from gateway.core.errors import Code, Refusal
from gateway.core.freshness import LIVE_RECORD_FRESH, LIVE_RECORD_STALE
from gateway.core.policy import Caller
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import Owner
from gateway.memory import Seen
from gateway.upstream.client import UpstreamFailure


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
    """The job's record: from memory while fresh or terminal, else from upstream, else stale for a minute."""
    owner = await own(gw, caller, request_id)
    seen = gw.jobs.seen(request_id)
    if seen is not None and (seen.terminal or gw.ticks() - seen.asked_at < LIVE_RECORD_FRESH):
        return Served(seen, How.HIT, gw.ticks() - seen.asked_at)
    error = gw.jobs.error(request_id)
    if error is not None and gw.ticks() - error.asked_at < LIVE_RECORD_FRESH:
        return Served(error, How.HIT, gw.ticks() - error.asked_at)
    if seen is None and owner.outcome is not None:
        kept = await settlement.recall(gw, request_id)
        if kept is not None:
            return Served(kept, How.HIT, 0.0)
    shared = gw.jobs.look_under_way(request_id) is not None
    try:
        fresh = await settlement.look(gw, request_id, owner)
    except UpstreamFailure:
        if seen is not None and gw.ticks() - seen.asked_at < LIVE_RECORD_STALE:
            return Served(seen, How.STALE_ERROR, gw.ticks() - seen.asked_at)
        raise
    if shared:
        gw.metrics.polls_coalesced.inc()
    return Served(fresh, How.COLLAPSED if shared else How.MISS, 0.0)
