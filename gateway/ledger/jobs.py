"""Jobs: placed once, each one team's for ever, with the record upstream last gave."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Double,
    Row,
    Select,
    Text,
    case,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

from gateway.core.lifecycle import Outcome, State
from gateway.ledger import looks, replies
from gateway.ledger.common_sql import OnConflict
from gateway.ledger.operation import APART, Apart, Separate
from gateway.ledger.reservations import doubt, forgive, may_become, owner_from, release, settle
from gateway.ledger.rows import Parameters, RowsStatement, given
from gateway.ledger.schema import jobs, listed, reservations
from gateway.ledger.statement import Bytes, Statement, blob, instant, switch, text
from gateway.ledger.values import Job, KeptAnswer, OwnedByAnother, Owner, Placement, Sighting

LARGEST_PAGE = 4 * 1024**2
"""Bytes of records in one page: two hundred of the largest would be fifty million."""

COUNTED = 100_000
"""Jobs counted beyond a page. Counting all would take as long as there are many."""


_job, _reservation = jobs.c, reservations.c


def _insert(rows: Sequence[Parameters]) -> ClauseElement:
    """Jobs of reservations that may become one. Each is locked: what it is now it still is when it is placed."""
    new = given(rows)
    values = {
        "request_id": new.c.request,
        "reservation_id": _reservation.id,
        "team": _reservation.team,
        "model": _reservation.model,
        "created_at": _reservation.created_at,
        "status": new.c.status,
        "complete": new.c.complete,
        "record": new.c.record,
        "looked_at": new.c.now,
        "next_look_at": new.c.next_look_at,
    }
    placeable = (
        select(*values.values())
        .join_from(new, reservations, _reservation.id == new.c.reservation)
        .where(may_become(State.PLACED))
        .with_for_update(of=reservations)
    )
    wanted = insert(jobs).from_select([*values], placeable).ext(OnConflict("request_id"))
    return wanted.returning(_job.request_id)


_INSERT = RowsStatement(
    {
        "request": Text,
        "reservation": Text,
        "status": Text,
        "complete": Boolean,
        "record": Bytes,
        "now": Double,
        "next_look_at": Double,
    },
    _insert,
)
_PLACE = RowsStatement(
    {"reservation": Text, "now": Double},
    lambda rows: (
        update(reservations)
        .values(state=State.PLACED, updated_at=rows[-1]["now"])
        .where(_reservation.id.in_([row["reservation"] for row in rows]), may_become(State.PLACED))
    ),
)
_HOLDER = Statement(select(_job.reservation_id).where(_job.request_id == text("request")))
_sighting = {
    "status": text("status"),
    "complete": case((blob("record").is_(None), _job.complete), else_=switch("complete")),
    "record": func.coalesce(blob("record"), _job.record),
    "looked_at": instant("now"),
}
_this_job = _job.request_id == text("request")
_OBSERVE = Statement(update(jobs).values(_sighting).where(_this_job, _job.settled_at.is_(None)))
_CORRECT = Statement(update(jobs).values(_sighting).where(_this_job, _job.status == Outcome.EXPIRED.value))
_END = Statement(update(jobs).values({**_sighting, "settled_at": instant("now")}).where(_this_job))

_with_owner = select(_job.request_id, *reservations.c).join_from(jobs, reservations)
_full: Select[Any] = select(*jobs.c, _reservation.key, _reservation.price, _reservation.outcome).join_from(
    jobs, reservations
)


def place(connection: Connection, placement: Placement, now: float) -> OwnedByAnother | None:
    """Upstream named the job. Settled at once if it has already ended; a repeat changes nothing.

    If the id cannot become this reservation's, the reservation is in doubt unless it has ended, and its job unplaced.
    """
    placed = _INSERT.run(connection, [_as_job(placement, now)])
    if not placed:
        holder = _HOLDER.row(connection, request=placement.request_id)
        if holder == (placement.reservation_id,):
            return None
        doubt(connection, placement.reservation_id, now, refused=False)
        return OwnedByAnother()
    _PLACE.run(connection, [(placement.reservation_id, now)])
    replies.keep_reply(connection, placement.reservation_id, placement.reply)
    if placement.outcome is not None:
        last = Sighting(placement.request_id, placement.status, None, placement.complete)
        end(connection, last, placement.outcome, now)
    return None


def place_together(
    connection: Connection, placements: Sequence[tuple[Placement, float]]
) -> list[OwnedByAnother | Apart | None]:
    """`place` for several at once. APART are those whose job has ended; raises Separate unless all else can be."""
    living = [(placement, now) for placement, now in placements if placement.outcome is None]
    if _INSERT.run(connection, [_as_job(placement, now) for placement, now in living]) != len(living):
        raise Separate
    if _PLACE.run(connection, [(placement.reservation_id, now) for placement, now in living]) != len(living):
        raise Separate
    replies.keep_replies(connection, [(placement.reservation_id, placement.reply) for placement, _ in living])
    return [None if placement.outcome is None else APART for placement, _ in placements]


def _as_job(placement: Placement, now: float) -> tuple[Any, ...]:
    return (
        *(placement.request_id, placement.reservation_id, placement.status),
        *(placement.complete, placement.record, now, now + looks.FIRST_LOOK),
    )


def refuse(connection: Connection, reservation_id: str, left: Sighting, now: float, reply: KeptAnswer | None) -> bool:
    """Upstream refused the create and keeps a failed job of it all the same: the team's, which costs nothing.

    Where the id is somebody's already the create is released, like any that is refused. False if it had ended before.
    """
    failed = (left.request_id, reservation_id, left.status, left.complete, left.record, now, now)
    if not _INSERT.run(connection, [failed]):
        return release(connection, reservation_id, now, reply)
    _PLACE.run(connection, [(reservation_id, now)])
    forgive(connection, reservation_id)
    end(connection, left, Outcome.FAILED, now)
    replies.keep_reply(connection, reservation_id, reply)
    return True


def observe(connection: Connection, sighting: Sighting, now: float) -> bool:
    """Keep what was last seen of a job that lives. False if there is none such."""
    return _OBSERVE.changes(connection, **_values(sighting), now=now) == 1


def end(connection: Connection, sighting: Sighting, outcome: Outcome, now: float) -> bool:
    """The job ended. True for the one call that settled it.

    Of one that was closed without upstream's word only the record is brought up to date.
    """
    holder = _HOLDER.row(connection, request=sighting.request_id)
    if holder is None or not settle(connection, holder[0], outcome, now):
        _CORRECT.changes(connection, **_values(sighting), now=now)
        return False
    _END.changes(connection, **_values(sighting), now=now)
    return True


def owners(connection: Connection, request_ids: Sequence[str]) -> dict[str, Owner]:
    """Whose jobs these are, by id; without those nobody owns."""
    rows = connection.execute(_with_owner.where(_job.request_id.in_(request_ids)))
    return {row.request_id: owner_from(row) for row in rows}


def job(connection: Connection, request_id: str) -> Job | None:
    """One job with its last seen record."""
    row = connection.execute(_full.where(_job.request_id == request_id)).one_or_none()
    return None if row is None else _job_from(row)


def page(connection: Connection, team: str | None, model: str | None, limit: int, offset: int) -> tuple[list[Job], int]:
    """One page of a team's jobs, or of all teams', newest first, and how many there are.

    That is exact up to `COUNTED` more than were asked for.

    Large records make it shorter, but never empty.
    """
    conditions: list[ColumnElement[bool]] = [listed]
    if team is not None:
        conditions.append(_job.team == team)
    if model is not None:
        conditions.append(_job.model == model)
    counted = select(_job.request_id).where(*conditions).limit(offset + limit + COUNTED).subquery()
    total = connection.execute(select(func.count()).select_from(counted)).scalar_one()
    order = (_job.created_at.desc(), _job.request_id.desc())
    sizes = select(_job.request_id, func.coalesce(func.length(_job.record), 0)).where(*conditions).order_by(*order)
    fitting = _fitting(connection.execute(sizes.limit(limit).offset(offset)))
    found = connection.execute(_full.where(_job.request_id.in_(fitting)).order_by(*order))
    return [_job_from(row) for row in found], total


def _fitting(sizes: Iterable[Row[str, int]]) -> list[str]:
    """The first jobs whose records make no page larger than allowed, but one at least."""
    fitting: list[str] = []
    room = LARGEST_PAGE
    for request_id, size in sizes:
        room -= size
        if room < 0 and fitting:
            break
        fitting.append(request_id)
    return fitting


def _values(sighting: Sighting) -> dict[str, Any]:
    return {
        "request": sighting.request_id,
        "status": sighting.status,
        "record": sighting.record,
        "complete": sighting.complete,
    }


def _job_from(row: Row[Any]) -> Job:
    return Job(
        request_id=row.request_id,
        team=row.team,
        key=row.key,
        model=row.model,
        status=row.status,
        record=row.record,
        complete=row.complete,
        price=row.price,
        created_at=row.created_at,
        settled_at=row.settled_at,
        outcome=None if row.outcome is None else Outcome(row.outcome),
    )
