"""FLOW a job is created: decide → reserve → send → commit | release | doubt.

Nothing is sent before everything it costs is in the ledger. What was not sent gives everything back at once; what may
have been, only when upstream has said, or its list has shown, that there is no job to pay for. From the reservation on,
the create runs to its end whoever hangs up.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from gateway import settlement
from gateway.context import Gateway
from gateway.core.access import caller_again, is_fair
from gateway.core.decide import Decision, decide, describe_claim
from gateway.core.errors import Code, Refusal
from gateway.core.lifecycle import ACCEPTED
from gateway.core.refusals import refusal_for
from gateway.core.repeats import refusal_in_doubt, refusal_of_another_body, refusal_of_repeat
from gateway.failpoints import Point, reach
from gateway.gates import await_turn, close_gate, closed_gate, line_for, told_again
from gateway.ledger.instances import LEASE
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import (
    Admitted,
    Full,
    InProgress,
    KeptAnswer,
    Mismatch,
    Owner,
    Replay,
)
from gateway.lines import Line, Turn
from gateway.logs import log_event
from gateway.notices import report_limits, report_shadowed
from gateway.orders import Created, Order, owner_of, reservation_of
from gateway.upstream.client import Answer, Sent, UpstreamFailure
from gateway.waits import Wait
from gateway.withholding import names_anothers_job

REPLAYED_STATUSES = frozenset((400, 404, 409, 413, 422))
"""Refusals of upstream that a repeat with the same idempotency key gets again: asking anew cannot change them."""


@dataclass(frozen=True, slots=True)
class Taken:
    """What a create took from the ledger: each counter's value afterwards, and the instant it did."""

    used: Mapping[str, int]
    at: float


async def create(gw: Gateway, order: Order, wait: Wait | None = None) -> Created:
    """Carry out the create. Raises Refusal for everything the gateway answers itself.

    Whoever waits may go away: the create goes on, is accounted for, and can be replayed by its idempotency key. One
    that can `wait` stands in line first, where upstream refuses a model that policy calls fair; there nothing of it has
    happened yet, and if its client goes away nothing will.
    """
    decision = decide(order.policy, order.caller, order.draft, order.detail, gw.now())
    order.on_decided(decision)
    if decision.refusal is not None:
        return await _first_answer_or_refuse(gw, order, decision, decision.refusal)
    met = await _meet_gate(gw, order, decision, wait)
    if met is not None:
        return met
    pause = gw.upstream.circuits.pause_of(order.caller.team.credential, order.caller.team.name, gw.ticks())
    if pause is not None:
        return await _first_answer_or_refuse(gw, order, decision, pause.as_refusal())
    return await gw.tasks.shield(_carry_out(gw, order, decision), "create")


async def _meet_gate(gw: Gateway, order: Order, decision: Decision, wait: Wait | None) -> Created | None:
    """What comes of a create whose model upstream wants left alone; None if the model may be asked for.

    It stands in line, if its client can wait and policy calls the model fair, and else is told so at once. Nothing is
    taken for that: other creates of the team would be refused meanwhile.
    """
    credential, model = order.caller.team.credential, order.draft.model
    if closed_gate(gw, credential, model) is None and (credential, model) not in gw.lines:
        return None
    earlier = await _earlier(gw, order, decision)
    if earlier is not None:
        return _first_answer(earlier)
    if wait is not None and is_fair(order.policy, model):
        line = line_for(gw, credential, model)
        if line is not None:
            return await _stand_in_line(gw, order, line, wait)
    told = closed_gate(gw, credential, model)  # which may have opened while the ledger was asked
    return None if told is None else Created(told, {})


async def _earlier(gw: Gateway, order: Order, decision: Decision) -> Replay | InProgress | Mismatch | None:
    """What came of the create that this one repeats; None if it repeats none."""
    now = gw.now()
    new = reservation_of(order, decision, now)
    return None if new.idempotency_key is None else await gw.ledger.earlier(new, now)


async def _stand_in_line(gw: Gateway, order: Order, line: Line, wait: Wait) -> Created:
    """Carry out the create when its turn has come; until then it holds nothing of what it will take."""
    if not await await_turn(line, wait):
        return Created(told_again(gw, order.caller.team.credential, order.draft.model), {})
    return await gw.tasks.shield(_carry_out_in_turn(gw, order, line), "create")


async def _carry_out_in_turn(gw: Gateway, order: Order, line: Line) -> Created:
    """Carry out the create by the policy and the time of now, and tell the line whether upstream takes them again.

    A first answer given again says nothing about that: upstream was not asked. One whose key is not good any more is
    refused, with nothing taken or sent.
    """
    accepted, limited, turn = False, False, Turn(line, order.caller.team.name, gw.ticks)
    try:
        policy = gw.policies.current
        order = replace(order, policy=policy, caller=caller_again(policy, order.caller, gw.now()))
        decision = decide(order.policy, order.caller, order.draft, order.detail, gw.now())
        order.on_decided(decision)
        if decision.refusal is not None:
            raise decision.refusal
        created = await _carry_out(gw, order, decision, turn)
        accepted = created.answer.status in ACCEPTED and not created.replayed
        limited = created.answer.status == 429
    finally:
        turn.end(accepted=accepted, limited=limited)
    return created


async def _carry_out(gw: Gateway, order: Order, decision: Decision, turn: Turn | None = None) -> Created:
    """Take from the ledger all that the create costs, or nothing, and then send it."""
    order.draft.forget_payload()
    reach(Point.ADMITTED)
    now = gw.now()
    reserved = await gw.ledger.reserve(reservation_of(order, decision, now), now)
    match reserved:
        case Full(claim, used):
            order.on_decided(describe_claim(decision, claim, used, order.caller))
            raise refusal_for(claim, used, order.caller, now, order.reservation_id)
        case Admitted(used):
            return await _fulfil(gw, order, decision, Taken(used, now), turn)
        case _:
            return _first_answer(reserved)


async def _first_answer_or_refuse(gw: Gateway, order: Order, decision: Decision, refusal: Refusal) -> Created:
    """What is refused today may be a repeat of what was not refused, and then gets that one's answer."""
    earlier = await _earlier(gw, order, decision)
    if earlier is None:
        raise refusal
    return _first_answer(earlier)


def _first_answer(earlier: Replay | InProgress | Mismatch) -> Created:
    """The answer to a create whose idempotency key stands for an earlier one."""
    match earlier:
        case Replay(reply):
            return Created(reply, {}, replayed=True)
        case InProgress(state):
            raise refusal_of_repeat(state)
        case Mismatch():
            raise refusal_of_another_body()


async def _fulfil(gw: Gateway, order: Order, decision: Decision, taken: Taken, turn: Turn | None) -> Created:
    """Send what is reserved, unless upstream has asked to be left alone with this model, and tell what came of it."""
    told = closed_gate(gw, order.caller.team.credential, order.draft.model, in_turn=turn is not None)
    if told is not None:
        await settlement.release(gw, order.reservation_id, None)
        return Created(told, {})
    report_shadowed(gw, order.caller.team, decision.claims, taken.used)
    report = partial(report_limits, gw, order.caller.team, decision.claims, taken.used)
    owner = owner_of(order, decision.price, taken.at)
    await _mark_sent(gw, order)
    if turn is not None:
        turn.sent()
    try:
        answer = await _send(gw, order, report, turn)
        reach(Point.ANSWERED)
        refused = 400 <= answer.status < 500
        if not refused:
            report()
        reply = await _conclude(gw, order, owner, answer)
    except Refusal:
        raise
    except Exception:
        await settlement.doubt(gw, order.reservation_id)  # nobody foresaw it, and there may be a job
        raise
    reach(Point.CONCLUDED)
    return Created(reply, {} if refused else taken.used, upstream_seconds=answer.elapsed)


async def _send(gw: Gateway, order: Order, report: Callable[[], None], turn: Turn | None) -> Answer:
    """Send what is marked as sent, once. A failure is settled before it is raised as Refusal.

    One that leaves everything taken is told to `report`, and one that never left to `turn`.
    """
    credential = order.caller.team.credential
    try:
        return await gw.upstream.create_request(credential, order.draft.body, order.trace, order.caller.team.name)
    except UpstreamFailure as failure:
        if turn is not None and failure.sent is Sent.NEVER:
            turn.never_left()
        reach(Point.ANSWERED)
        refusal = await _settle_failure(gw, order, failure, report)
        reach(Point.CONCLUDED)
        raise refusal from failure


async def _mark_sent(gw: Gateway, order: Order) -> None:
    """From here on the create counts as sent. Refusal, with nothing kept, if it must not be any more.

    A ledger that does not answer may have written it down all the same; since nothing was sent, nothing is kept. A
    process that stood still meanwhile finds its reservation released, or is itself taken for gone: then others look for
    the job only as long as a create may take, and none may come after that.
    """
    reach(Point.RESERVED)
    began = gw.ticks()
    try:
        marked = await gw.ledger.mark_sent(order.reservation_id, gw.now())
    except LedgerUnavailable:
        await settlement.release(gw, order.reservation_id, None)
        raise
    reach(Point.MARKED_SENT)
    if marked and gw.ticks() - began < LEASE:
        return
    await settlement.release(gw, order.reservation_id, None)
    raise Refusal(Code.LEDGER_UNAVAILABLE, "The reservation was lost; try again.", retry_after=1)


async def _conclude(gw: Gateway, order: Order, owner: Owner, answer: Answer) -> KeptAnswer:
    """Write down what upstream's answer means for the reservation: commit, doubt or release.

    Refusal where the answer is not told: it names another team's job, or no job although it is one of success.
    """
    if answer.status in ACCEPTED:
        return await _commit(gw, order, owner, answer)
    if answer.status == 402:
        log_event(logging.ERROR, "upstream wants credits", credential=order.caller.team.credential)
    if answer.status == 429:
        close_gate(gw, order.caller.team.credential, order.draft.model, answer)
    is_anothers = await names_anothers_job(gw, order, answer)
    reply = _kept(answer)
    if answer.status >= 500:
        await settlement.doubt(gw, order.reservation_id, refused=answer.status in (500, 503))
    else:
        repeated = reply if answer.status in REPLAYED_STATUSES and not is_anothers else None
        left = settlement.left_behind(owner, answer, told=not is_anothers)
        await settlement.refuse(gw, order.reservation_id, left, repeated)
    if is_anothers:
        raise Refusal(Code.UPSTREAM_INVALID, "Upstream's answer names a job that may not be yours and was withheld.")
    return reply


async def _commit(gw: Gateway, order: Order, owner: Owner, answer: Answer) -> KeptAnswer:
    """Upstream accepted: the job is the team's. An answer that names no job leaves its outcome unknown."""
    reply = _kept(answer)
    job = await settlement.place(gw, order.reservation_id, owner, answer, reply)
    if job is not None:
        order.on_placed(job)
        return reply
    raise Refusal(
        Code.UPSTREAM_INVALID,
        "Upstream accepted the request but its answer names no job of yours; "
        "the gateway looks for it, and it will appear in GET …/requests if it exists.",
    )


async def _settle_failure(gw: Gateway, order: Order, failure: UpstreamFailure, report: Callable[[], None]) -> Refusal:
    """What a failed call means for the reservation: released if no byte was sent or upstream refused, else in doubt."""
    if failure.sent is Sent.NEVER or failure.code is Code.UPSTREAM_CREDENTIALS_REJECTED:
        await settlement.release(gw, order.reservation_id, None)
        return failure.as_refusal()
    report()
    await settlement.doubt(gw, order.reservation_id)
    if failure.sent is Sent.ANSWERED and failure.code is Code.UPSTREAM_INVALID:
        return failure.as_refusal()
    return refusal_in_doubt()  # whatever else it was: a client that is told to try again would pay twice


def _kept(answer: Answer) -> KeptAnswer:
    return KeptAnswer(answer.status, answer.headers, answer.body)
