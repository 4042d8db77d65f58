"""FLOW a job ended: settled once, whoever sees it first.

`look` is the one upstream call a job gets however many want to know; `gateway.following` makes it for the jobs that no
client asks about. Money comes back only on upstream's word, never by guess.
"""

import asyncio
import logging
from functools import partial

import msgspec
from msgspec.structs import replace

from gateway import counting
from gateway.context import Gateway
from gateway.core.fields import etag_of
from gateway.core.headers import JSON
from gateway.core.lifecycle import Outcome, is_behind, outcome_of
from gateway.core.policy import JOB_TIMEOUT
from gateway.endings import as_settled
from gateway.failpoints import Point, reach
from gateway.insistence import insist
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import KeptAnswer, OwnedByAnother, Owner, Placement, Sighting
from gateway.logs import log_event
from gateway.looks import Failed, Look, Seen
from gateway.upstream.client import Answer, Sent, UpstreamFailure
from gateway.upstream.translate import RecordHead, record_head, refused_request, slim_record

MISSING_CONFIRMATIONS = 2
"""Times upstream must say that an owned job is missing, asked anew each time, before its slot is freed."""

_PATIENCE = 0.25
"""Seconds that an answer waits for its record to be written down: that mostly takes a hundredth of it."""

MISSING_AT_FIRST = 60.0
"""Seconds after its create in which a job is not held to be missing, though upstream says so."""


async def look(gw: Gateway, request_id: str, owner: Owner) -> Seen:
    """Ask upstream for the record, together with everyone who is asking right now.

    Raises UpstreamFailure. Whoever comes first asks for all: one that may be cancelled lets a task of its own do it.
    """
    now = gw.ticks()
    shared = gw.jobs.looks.to_share(request_id, now)
    return await (ask(gw, request_id, owner, now) if shared is None else asyncio.shield(shared))


async def ask(gw: Gateway, request_id: str, owner: Owner, asked_at: float) -> Seen:
    """Ask upstream for the record, for whoever may come to share it. `asked_at` is now. Raises UpstreamFailure.

    If another call sees the job's end meanwhile, that is what there is to be told, whatever upstream's answer is.
    """
    looking = gw.jobs.looks.begin(request_id, asked_at)
    outcome: Seen | UpstreamFailure | None = None
    try:
        answer = await gw.upstream.get_request(owner.credential, request_id, owner.team)
        looking.is_answered = True
        # Who knew of the end when it began to ask has looked into the ledger before.
        is_news = owner.outcome is None and gw.jobs.has_ended(request_id, gw.ticks())
        ended = await as_settled(gw, request_id) if is_news else None
        seen = ended or gw.jobs.see_again(request_id, answer, asked_at)
        outcome = seen = seen or await _learn(gw, request_id, owner, answer, looking)
        gw.jobs.tell(request_id, seen)  # now that a slot which it freed is there for those who waited
    except UpstreamFailure as failure:
        outcome = failure
        if failure.was_asked or failure.sent is Sent.ANSWERED:
            gw.jobs.remember_error(request_id, Failed(asked_at))
        raise
    except asyncio.CancelledError:
        outcome = later = looking.give_way()
        if later is None:
            raise
        return later
    finally:
        gw.jobs.looks.end(request_id, looking, outcome)
    return seen


async def _learn(gw: Gateway, request_id: str, owner: Owner, answer: Answer, looking: Look) -> Seen:
    """What the answer says of the job that was not known before: a record, or an error of upstream's."""
    if answer.status == 200:
        return await _read(gw, request_id, owner, answer, looking)
    newer = _known_newer(gw, request_id, looking)
    if newer is not None:
        return newer
    if answer.status == 404:
        kept = await as_settled(gw, request_id, "missing") if gw.jobs.has_ended(request_id, gw.ticks()) else None
        if kept is not None:
            return kept
        await _note_missing(gw, request_id, owner)
    error = Seen(answer, looking.asked_at, terminal=False, etag=b"")
    gw.jobs.remember_error(request_id, error)
    return error


async def _read(gw: Gateway, request_id: str, owner: Owner, answer: Answer, looking: Look) -> Seen:
    """What the answer says of the job, remembered and written down; the end settles it."""
    head = record_head(answer.body)
    if head is None or head.request_id != request_id:
        raise UpstreamFailure.invalid("Upstream answered with another record than was asked for")
    outcome = outcome_of(head.status)
    newer = _known_newer(gw, request_id, looking, head.status) if outcome is None else None
    if newer is not None:
        return newer
    seen = Seen(answer, looking.asked_at, outcome is not None, etag_of(answer.body))
    if outcome is not None:
        seen = await settle(gw, _sighting(head, answer.body), owner, outcome) or seen
        gw.jobs.remember(request_id, seen)  # now that a slot which it freed is there for whoever is told
    else:
        said = gw.jobs.of(request_id).unwritten
        gw.jobs.remember(request_id, seen)
        await _write_down(gw, _sighting(head, answer.body), said=said)
    return seen


def _known_newer(gw: Gateway, request_id: str, looking: Look, status: str = "") -> Seen | None:
    """The record that is known already, where what this look says of a living job is no news beside it.

    Of two that were asked for at the same time that is also the one that had come further.
    """
    newer, known = gw.jobs.newer(request_id, looking.asked_at), gw.jobs.seen(request_id)
    if newer is not None or known is None or not looking.overlapped:
        return newer
    head = record_head(known.answer.body)
    return known if head is not None and is_behind(status, head.status) else None


def _sighting(head: RecordHead, body: bytes) -> Sighting:
    """What the ledger keeps of a record that is too large to be kept whole is its slim form."""
    return Sighting(head.request_id, head.status, *slim_record(body))


async def place(gw: Gateway, reservation_id: str, owner: Owner, answer: Answer, reply: KeptAnswer) -> str | None:
    """Upstream named the job: it is the owner's for ever, and settled at once if it has already ended. The job's id.

    A short record that says so is not taken for the end: the outcome, which clients wait for, is in the full one.

    None, with the reservation in doubt, when the answer names no job or one that is another's. While the ledger does
    not take the commit it is repeated; the client has its answer meanwhile, because upstream has the job. Nothing else
    is told or counted before the ledger has said whose the job is.
    """
    head = record_head(answer.body)
    if head is None:
        await doubt(gw, reservation_id)
        return None
    record, complete = slim_record(answer.body)
    outcome = outcome_of(head.status) if head.is_full else None
    placed = Placement(reservation_id, head.request_id, head.status, record, complete, outcome, reply)
    gw.jobs.expect(head.request_id, owner.team)
    is_placed = await insist(gw, partial(_place, gw, placed, owner, answer)) is not False
    return head.request_id if is_placed else None


async def _place(gw: Gateway, placed: Placement, owner: Owner, answer: Answer) -> bool:
    """Ask the ledger whose the job is, and go by its word. Raises LedgerUnavailable."""
    result = await gw.ledger.place(placed, gw.now())
    gw.jobs.stop_expecting(placed.request_id, owner.team)
    if isinstance(result, OwnedByAnother):
        event = "upstream named another team's job"
        log_event(logging.ERROR, event, team=owner.team, reservation=placed.reservation_id)
        return False
    gw.jobs.remember_owner(placed.request_id, replace(owner, outcome=placed.outcome), gw.ticks())
    counting.count_placed(gw, placed.request_id, owner)
    if placed.outcome is not None:
        counting.count_end(gw, placed.request_id, owner, placed.outcome)
        record = Answer(200, (JSON,), answer.body)  # a poll is not told the status and headers of a create
        gw.jobs.remember(placed.request_id, Seen(record, gw.ticks(), terminal=True, etag=etag_of(record.body)))
    return True


async def settle(gw: Gateway, sighting: Sighting, owner: Owner, outcome: Outcome) -> Seen | None:
    """The job ended: its slot comes back, its money is kept or returned, once.

    Where another call had settled it, its record as that saw it. Should the ledger not take it, the job stays open
    there and the follower settles it on a later look.
    """
    if owner.outcome not in (None, Outcome.EXPIRED):
        return None if owner.outcome is outcome else await as_settled(gw, sighting.request_id, sighting.status)
    reach(Point.LOOKED)
    try:
        first = await gw.ledger.settle(sighting, outcome, gw.now())
    except LedgerUnavailable:
        gw.metrics.settlement_errors.inc()
        return None
    reach(Point.SETTLED)
    if not first:
        return await as_settled(gw, sighting.request_id, sighting.status)
    gw.jobs.remember_owner(sighting.request_id, replace(owner, outcome=outcome), gw.ticks())
    counting.count_end(gw, sighting.request_id, owner, outcome)
    return None


async def expire(gw: Gateway, request_id: str, owner: Owner) -> None:
    """The job is closed without upstream's word, and keeps the record last seen."""
    await settle(gw, Sighting(request_id, Outcome.EXPIRED.value, None), owner, Outcome.EXPIRED)


async def _write_down(gw: Gateway, sighting: Sighting, *, said: bool) -> None:
    """Keep a live record for the team's list. If the ledger does not take it, a later look does that; said once.

    Whoever asked sees it in the list afterwards, but does not wait for a ledger that is away.
    """
    if gw.ledger.healthy:
        writing = gw.tasks.start(_observe(gw, sighting, said=said), "write a record down")
        await asyncio.wait([writing], timeout=_PATIENCE)
    else:
        _note_unwritten(gw, sighting, said=said)


async def _observe(gw: Gateway, sighting: Sighting, *, said: bool) -> None:
    try:
        await gw.ledger.observe(sighting, gw.now())
    except LedgerUnavailable:
        _note_unwritten(gw, sighting, said=said)


def _note_unwritten(gw: Gateway, sighting: Sighting, *, said: bool) -> None:
    gw.jobs.note_unwritten(sighting.request_id)
    if not said:
        log_event(logging.WARNING, "record not kept", request_id=sighting.request_id)


async def _note_missing(gw: Gateway, request_id: str, owner: Owner) -> None:
    """Upstream says there is no such job. If it says so twice, the slot is freed; the money stays, lest it be a guess.

    In a job's first minute this counts for nothing: not every part of upstream may know of it yet.
    """
    now = gw.now()
    if now - owner.created_at < MISSING_AT_FIRST:
        return
    if gw.jobs.note_missing(request_id, now) >= MISSING_CONFIRMATIONS:
        gw.jobs.forget_missing(request_id)
        await expire(gw, request_id, owner)


def timeout_of(gw: Gateway, owner: Owner) -> float:
    """Seconds after its create at which the owner's job, without end, frees its slot: by the policy of now."""
    team = gw.policies.current.teams.get(owner.team)
    return JOB_TIMEOUT if team is None else team.job_timeout


async def release(gw: Gateway, reservation_id: str, reply: KeptAnswer | None) -> None:
    """There is no job: give everything back, now or as soon as the ledger takes it."""
    await insist(gw, lambda: gw.ledger.release(reservation_id, gw.now(), reply))


async def refuse(gw: Gateway, reservation_id: str, left: Sighting | None, reply: KeptAnswer | None) -> None:
    """Upstream refused the create: everything comes back. A failed job that it `left` all the same is the team's."""
    if left is None:
        await release(gw, reservation_id, reply)
        return
    await insist(gw, lambda: gw.ledger.refuse(reservation_id, left, gw.now(), reply))


def left_behind(owner: Owner, answer: Answer, *, told: bool) -> Sighting | None:
    """The failed job that upstream keeps of the owner's create which it refused with this answer; None if none.

    In the list one of the gateway's stands for its own record, and says why it failed, if the team may be `told` that.
    """
    job = refused_request(answer.body)
    if job is None:
        return None
    at, status = int(owner.created_at), Outcome.FAILED.value
    record = {"request_id": job.request_id, "model": owner.model, "status": status, "outcome": {"error": job.error}}
    kept, _ = slim_record(msgspec.json.encode(record | dict.fromkeys(("created_at", "updated_at", "queued_at"), at)))
    return Sighting(job.request_id, status, kept if told else None, complete=False)


async def doubt(gw: Gateway, reservation_id: str, *, refused: bool = False) -> None:
    """Nobody knows whether there is a job: it stays charged until that is found out.

    `refused` when upstream itself answered that it failed, so that a first look at its list may release it.
    """
    await insist(gw, lambda: gw.ledger.doubt(reservation_id, gw.now(), refused=refused))
    gw.wake.set()
