"""Deliveries: what a team's receiver is to be told. Each is written once, and due from the instant it happened.

A job's is written with its reservation, and the database makes it due, or forgets it, in the transaction that settles
or releases that: see `gateway.ledger.schema`. What it tells of the job is the job's own record, which nothing changes
after its end.
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    case,
    delete,
    func,
    insert,
    null,
    or_,
    select,
    tuple_,
    update,
)

from gateway.core.addresses import Target
from gateway.core.webhooks import LONGEST_WAIT, Standing, message
from gateway.ledger.common_sql import OnConflict
from gateway.ledger.delivery_values import (
    PREFIX,
    Attempt,
    Backlog,
    Delivery,
    DeliveryState,
    DueDelivery,
    Notice,
    Wanted,
)
from gateway.ledger.schema import deliveries, due_now, jobs, reservations
from gateway.ledger.statement import Statement, instant, integer, text
from gateway.ledger.values import NewReservation

JOB = "job"
"""The kind of delivery that tells of a job's end."""

CLOCKS_APART = 60.0
"""Seconds that what has become due may lie ahead of now, for want of one clock, before it is said that one was set."""

_c = deliveries.c
_this = _c.id == text("id")
_INSERT = Statement(insert(deliveries).ext(OnConflict("event")))
_CLAIM = Statement(
    update(deliveries)
    .values(attempts=_c.attempts + 1, next_attempt_at=instant("until"))
    .where(_this, due_now, _c.attempts == integer("attempts"), _c.next_attempt_at <= instant("now"))
)
_CONCLUDE = Statement(
    update(deliveries)
    .values(
        standing=text("standing"),
        status=integer("status"),
        problem=text("problem"),
        next_attempt_at=instant("next"),
        ended_at=instant("ended"),
    )
    .where(_this, due_now, _c.attempts == integer("attempts"))
)
_over = or_(_c.standing == Standing.DELIVERED, _c.standing == Standing.FAILED)
_REDELIVER = Statement(
    update(deliveries)
    .values(
        standing=Standing.DUE,
        due_at=instant("now"),
        next_attempt_at=instant("now"),
        attempts=case((_over, 0), else_=_c.attempts),
        ended_at=null(),
    )
    .where(_this, _c.standing != Standing.WAITING)
)
_put_off = (
    select(_c.id)
    .where(
        due_now,
        _c.next_attempt_at > instant("now"),  # which has an index; what is due already needs nothing
        or_(_c.due_at > instant("now") + CLOCKS_APART, _c.next_attempt_at > instant("now") + LONGEST_WAIT),
    )
    .with_for_update(skip_locked=True)
)
_BRING_FORWARD = Statement(
    update(deliveries)
    .values(due_at=case((_c.due_at > instant("now"), instant("now")), else_=_c.due_at), next_attempt_at=instant("now"))
    .where(_c.id.in_(_put_off))
)
_with_job: Select[Any] = (
    select(
        *deliveries.c,
        reservations.c.outcome,
        jobs.c.request_id,
        jobs.c.model,
        jobs.c.record,
        jobs.c.settled_at,
    )
    .join_from(deliveries, reservations, _c.reservation_id == reservations.c.id, isouter=True)
    .join(jobs, jobs.c.reservation_id == reservations.c.id, isouter=True)
)

_listed: Select[Any] = select(
    _c.id,
    _c.kind,
    _c.team,
    _c.host,
    _c.standing,
    _c.attempts,
    _c.status,
    _c.problem,
    _c.created_at,
    _c.due_at,
    _c.next_attempt_at,
    _c.ended_at,
    jobs.c.request_id,
).join_from(deliveries, jobs, jobs.c.reservation_id == _c.reservation_id, isouter=True)
"""Without what is sent, which may be large and is not shown."""


def register(connection: Connection, new: NewReservation) -> None:
    """Write down that the end of this create's job is to be told, if it is."""
    if new.webhook is not None:
        _insert(connection, f"{JOB}/{new.id}", JOB, new.team, new.webhook, reservation_id=new.id, now=new.created_at)


def notify(connection: Connection, notice: Notice, now: float) -> bool:
    """Tell an event that is about no job. True for the one call that was first with its key."""
    event = f"{notice.kind}/{notice.event}"
    return _insert(connection, event, notice.kind, notice.team, notice.target, body=notice.body, now=now)


def _insert(connection: Connection, event: str, kind: str, team: str, target: Target, **further: Any) -> bool:
    """One delivery, unless there is one of this event. Without a reservation it is due at once."""
    now = further.pop("now")
    waits = "reservation_id" in further
    values = {
        "id": f"{PREFIX}{hashlib.sha256(event.encode()).hexdigest()[:32]}",
        "event": event,
        "kind": kind,
        "team": team,
        "reservation_id": None,
        "host": target.host,
        "path": target.path,
        "body": None,
        "standing": (Standing.WAITING if waits else Standing.DUE).value,
        "created_at": now,
        "due_at": None if waits else now,
        "next_attempt_at": None if waits else now,
        "attempts": 0,
        "status": None,
        "problem": None,
        "ended_at": None,
    }
    return _INSERT.changes(connection, **(values | further)) == 1


def due(
    connection: Connection,
    now: float,
    full_hosts: Sequence[str],
    full_teams: Sequence[str],
    full_pairs: Sequence[tuple[str, str]],
    limit: int,
) -> list[DueDelivery]:
    """What may be tried now, the longest due first, but not to the hosts, of the teams, and of a team to a host."""
    has_place = _c.host.not_in(full_hosts) & _c.team.not_in(full_teams) & tuple_(_c.team, _c.host).not_in(full_pairs)
    found = connection.execute(
        select(_c.id, _c.team, _c.host, _c.attempts)
        .where(due_now, _c.next_attempt_at <= now, has_place)
        .order_by(_c.next_attempt_at)
        .limit(limit)
    )
    return [DueDelivery(row.id, row.team, row.host, row.attempts) for row in found]


def backlog(connection: Connection) -> Backlog:
    """What is still to be delivered."""
    return Backlog(*connection.execute(select(func.count(), func.min(_c.due_at)).where(due_now)).one())


def claim(connection: Connection, wanted: Sequence[DueDelivery], now: float, until: float) -> list[Delivery]:
    """Those of the wanted that nobody else was faster to claim, in the order of their ids: no two wait in a circle."""
    claimed = [
        each.id
        for each in sorted(wanted, key=lambda each: each.id)
        if _CLAIM.changes(connection, id=each.id, attempts=each.attempts, now=now, until=until)
    ]
    return [_delivery(row) for row in connection.execute(_with_job.where(_c.id.in_(claimed)))]


def conclude(connection: Connection, delivery: Delivery, attempt: Attempt, now: float) -> bool:
    """Write down what came of the attempt. False if the delivery was claimed again since, or is over."""
    ended = attempt.standing is not Standing.DUE
    return (
        _CONCLUDE.changes(
            connection,
            id=delivery.id,
            attempts=delivery.attempts,
            standing=attempt.standing.value,
            status=attempt.status,
            problem=attempt.problem,
            next=attempt.next_at,
            ended=now if ended else None,
        )
        == 1
    )


def redeliver(connection: Connection, ids: Sequence[str], now: float) -> int:
    """Try these again from now on; how many there were."""
    return sum(_REDELIVER.changes(connection, id=each, now=now) for each in sorted(ids))


def bring_forward(connection: Connection, now: float) -> int:
    """As `Outbox.bring_forward`.

    What became due later than now, or waits for longer than any does, was written by a clock that was set back since.
    """
    return _BRING_FORWARD.changes(connection, now=now)


def forget(connection: Connection, before: float, limit: int) -> int:
    """Forget deliveries that ended before then, at most so many; how many there were."""
    old = select(_c.id).where(_c.ended_at < before).limit(limit)
    return connection.execute(delete(deliveries).where(_c.id.in_(old))).rowcount


def page(connection: Connection, wanted: Wanted) -> tuple[list[DeliveryState], int]:
    """One page, newest first, and how many there are in all."""
    conditions: list[ColumnElement[bool]] = []
    if wanted.team is not None:
        conditions.append(_c.team == wanted.team)
    if wanted.standing is not None:
        conditions.append(_c.standing == wanted.standing)
    if wanted.request_id is not None:
        conditions.append(jobs.c.request_id == wanted.request_id)
    if wanted.ids is not None:
        conditions.append(_c.id.in_(wanted.ids))
    total = connection.execute(_listed.with_only_columns(func.count(), maintain_column_froms=True).where(*conditions))
    found = connection.execute(
        _listed.where(*conditions)
        .order_by(_c.created_at.desc(), _c.id.desc())
        .limit(wanted.limit)
        .offset(wanted.offset)
    )
    return [_state(row) for row in found], total.scalar_one()


def _delivery(row: Row[Any]) -> Delivery:
    return Delivery(
        id=row.id,
        team=row.team,
        target=Target(row.host, row.path),
        attempts=row.attempts,
        due_at=row.due_at,
        body=_of_job(row) if row.body is None else row.body,
    )


def _of_job(row: Row[Any]) -> bytes:
    """The message about a job's end. One whose record is not kept is told of by its id."""
    data = row.record
    if data is None:
        data = json.dumps({"request_id": row.request_id, "model": row.model, "status": row.outcome}).encode()
    return message(f"request.{row.outcome}", row.settled_at or row.due_at, data)


def _state(row: Row[Any]) -> DeliveryState:
    return DeliveryState(
        id=row.id,
        kind=row.kind,
        team=row.team,
        request_id=row.request_id,
        host=row.host,
        standing=Standing(row.standing),
        attempts=row.attempts,
        status=row.status,
        problem=row.problem,
        created_at=row.created_at,
        due_at=row.due_at,
        next_attempt_at=row.next_attempt_at,
        ended_at=row.ended_at,
    )
