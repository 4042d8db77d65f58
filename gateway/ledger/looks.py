"""When each living job is looked at next, and which live no more: `Ledger.looks`.

A job that is due is given to one gateway, which either looks at it or knows of it from the clients that ask. The second
comes to so many jobs that it has to cost next to nothing, so those are put off for longer.
"""

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, Double, Text, bindparam, case, or_, select, update
from sqlalchemy.sql.elements import ClauseElement

from gateway.core.freshness import LONGEST_INTERVAL, SHARE_OF_AGE, SHARE_OF_AGE_ASKED_ABOUT, SHORTEST_INTERVAL
from gateway.core.lifecycle import Outcome
from gateway.ledger.outbox import Doing
from gateway.ledger.rows import Parameters, RowsStatement
from gateway.ledger.schema import jobs, reservations
from gateway.ledger.statement import Statement, instant, integer
from gateway.ledger.values import DueJob

FIRST_LOOK = 5.0
"""Seconds after its create that a job nobody asks about is looked at first."""

_job, _reservation = jobs.c, reservations.c


def _follow_interval(age: ColumnElement[float]) -> ColumnElement[float]:
    """As `freshness.follow_interval`."""
    return _least(LONGEST_INTERVAL, _most(SHORTEST_INTERVAL, age / SHARE_OF_AGE))


def _put_off_interval(age: ColumnElement[float]) -> ColumnElement[float]:
    """As `freshness.put_off_interval`."""
    interval = _follow_interval(age)
    return _most(interval, _least(age / SHARE_OF_AGE_ASKED_ABOUT, LONGEST_INTERVAL - interval))


def _least(one: ColumnElement[float] | float, other: ColumnElement[float]) -> ColumnElement[float]:
    return case((other > one, one), else_=other)


def _most(one: ColumnElement[float] | float, other: ColumnElement[float]) -> ColumnElement[float]:
    return case((other < one, one), else_=other)


_due = (
    select(_job.request_id)
    .where(
        _job.settled_at.is_(None),
        or_(_job.next_look_at <= instant("now"), _job.next_look_at > instant("now") + 2 * LONGEST_INTERVAL),
    )
    .order_by(_job.next_look_at)
    .limit(integer("limit"))
    .with_for_update(skip_locked=True)
    .cte("due")
)
_TAKE = Statement(
    update(jobs)
    .values(next_look_at=instant("now") + _put_off_interval(instant("now") - _job.created_at))
    .where(_job.request_id == _due.c.request_id)
    .returning(_job.request_id, _job.team, _job.created_at)
)


def _begin(rows: Sequence[Parameters]) -> ClauseElement:
    now = rows[-1]["now"]  # the same in every row
    return (
        update(jobs)
        .values(next_look_at=now + _follow_interval(now - _job.created_at))
        .where(_job.request_id.in_([row["request"] for row in rows]), _job.settled_at.is_(None))
    )


_BEGIN = RowsStatement({"request": Text, "now": Double}, _begin)


_ENDED = (
    select(_job.request_id, _reservation.outcome)
    .join_from(jobs, reservations)
    .where(_job.settled_at.between(bindparam("since"), bindparam("until")))
)


class Looks:
    """Which jobs are due, and which are over. Every method raises LedgerUnavailable."""

    def __init__(self, write: Doing, read: Doing) -> None:
        self._write = write
        self._read = read

    async def take(self, now: float, limit: int) -> list[DueJob]:
        """Jobs that live and whose next look is due, the most overdue of them.

        They are due again as jobs that clients ask about. Tell `begin` which of them are looked at.
        """
        return await self._write("take_looks", take, now, limit)

    async def begin(self, request_ids: Sequence[str], now: float) -> None:
        """No client asks about these of the jobs that were taken: they are looked at, and due again sooner."""
        await self._write("begin_looks", begin, request_ids, now)

    async def ended(self, since: float, until: float) -> list[tuple[str, Outcome]]:
        """The jobs that ended between these instants, whichever gateway saw it, and how."""
        return await self._read("ended", ended, since, until)


def take(connection: Connection, now: float, limit: int) -> list[DueJob]:
    """As `Looks.take`.

    Each is looked at by one gateway: another that asks meanwhile gets other jobs. A look that is due much later than
    any could be is from a clock that was set back since.
    """
    return [DueJob(*row) for row in _TAKE.rows(connection, now=now, limit=limit)]


def begin(connection: Connection, request_ids: Sequence[str], now: float) -> None:
    """As `Looks.begin`."""
    _BEGIN.run(connection, [(request_id, now) for request_id in request_ids])


def ended(connection: Connection, since: float, until: float) -> list[tuple[str, Outcome]]:
    """As `Looks.ended`."""
    rows = connection.execute(_ENDED, {"since": since, "until": until})
    return [(request_id, Outcome(outcome)) for request_id, outcome in rows]
