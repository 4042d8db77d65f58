"""What was used: sums over reservations, for people and for metrics, and the proof that the counters say the same."""

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, and_, case, cast, false, func, or_, select, true

from gateway.core.claims import OnSettle
from gateway.core.lifecycle import OPEN, Outcome, State, money_is_kept
from gateway.ledger.refusals import refused_between
from gateway.ledger.schema import claims, counters, jobs, refusals, reservations, without_job
from gateway.ledger.values import Difference, Misplaced, OpenCounts, UsageRow, Wrong

_c = reservations.c
is_open = or_(*(_c.state == state for state in sorted(OPEN)))
is_kept = or_(
    *(
        and_(_c.outcome == outcome, _c.charge_failed == charge_failed)
        for outcome in Outcome
        for charge_failed in (False, True)
        if money_is_kept(outcome, charge_failed=charge_failed)
    )
)
"""Settled reservations that keep their price, as `money_is_kept` says."""


def usage(connection: Connection, team: str | None, starts: float, ends: float) -> list[UsageRow]:
    """Usage of one team, or of all, by key and model, from `starts` until before `ends`.

    A job belongs to the instant its create was admitted. Calls refused for no model in particular have model `other`.
    """
    jobs = _jobs_between(connection, team, starts, ends)
    refused = refused_between(connection, team, starts, ends)
    return [_row(whose, jobs.get(whose, _NO_JOBS), refused.get(whose, 0)) for whose in sorted({*jobs, *refused})]


def _row(whose: tuple[str, str, str], jobs: tuple[int, ...], refused: int) -> UsageRow:
    made, succeeded, failed, unended, charged, held, seconds = jobs
    return UsageRow(*whose, made, succeeded, failed, unended, charged, held, refused, seconds)


def teams(connection: Connection) -> set[str]:
    """Every team that made a create or had a call refused."""
    made, refused = select(_c.team).distinct(), select(refusals.c.team).distinct()
    return {*connection.scalars(made), *connection.scalars(refused)}


_NO_JOBS = (0, 0, 0, 0, 0, 0, 0)
"""What `_jobs_between` would say of a key and model that made none."""


def _jobs_between(
    connection: Connection, team: str | None, starts: float, ends: float
) -> dict[tuple[str, str, str], tuple[int, ...]]:
    """Jobs, succeeded, failed and open ones, micro-USD charged and held, seconds: by team, key and model."""
    query = (
        select(
            _c.team,
            _c.key,
            _c.model,
            func.count(),
            _count(_c.outcome == Outcome.SUCCESS),
            _count(and_(_c.state == State.SETTLED, _c.outcome != Outcome.SUCCESS)),
            _count(is_open),
            _sum(is_kept),
            _sum(is_open),
            cast(func.sum(_c.seconds), BigInteger),
        )
        .where(_c.created_at >= starts, _c.created_at < ends, _c.state != State.RELEASED)
        .group_by(_c.team, _c.key, _c.model)
    )
    if team is not None:
        query = query.where(_c.team == team)
    return {(team, key, model): tuple(numbers) for team, key, model, *numbers in connection.execute(query)}


def _count(condition: ColumnElement[bool]) -> ColumnElement[int]:
    return func.count(case((condition, 1)))


def _sum(condition: ColumnElement[bool]) -> ColumnElement[Any]:
    return cast(func.coalesce(func.sum(case((condition, _c.price))), 0), BigInteger)


def open_counts(connection: Connection) -> OpenCounts:
    """What is under way right now, for metrics."""
    waiting = (
        select(_c.state, func.count(), func.min(_c.created_at))
        .where(without_job, or_(*(_c.state == state for state in (State.RESERVED, State.SENT, State.UNKNOWN))))
        .group_by(_c.state)
    )
    living = select(jobs.c.team, jobs.c.model, func.count()).where(jobs.c.settled_at.is_(None))
    rows = connection.execute(waiting).all()
    active = {(team, model): n for team, model, n in connection.execute(living.group_by(jobs.c.team, jobs.c.model))}
    by_state = dict.fromkeys(sorted(OPEN), 0) | {State(state): count for state, count, _ in rows}
    by_state[State.PLACED] = sum(active.values())
    return OpenCounts(by_state, min((made for _, _, made in rows), default=None), active)


def verify(connection: Connection, at_most: int | None = None) -> list[Wrong]:
    """Every counter that `_differences` finds, and every job whose reservation is neither placed nor settled."""
    return [*_differences(connection, at_most), *_misplaced(connection)]


def counted(connection: Connection) -> int:
    """How many counters are filled by reservations, and so can be added up again from them."""
    return connection.scalars(select(func.count()).where(counters.c.direct == false())).one()


def _misplaced(connection: Connection) -> list[Misplaced]:
    """Found from the reservations without a job, which are few: none of them may have one."""
    query = select(jobs.c.request_id, _c.state).join_from(reservations, jobs).where(without_job)
    return [Misplaced(request_id, State(state)) for request_id, state in connection.execute(query)]


def _differences(connection: Connection, at_most: int | None) -> list[Difference]:
    """Every counter whose value is not the sum of what its reservations must hold, and every claim held wrongly.

    What a reservation must hold is worked out from its state and outcome, not from what was taken back: an open one
    holds everything, a settled one its counts and the money it kept, a released one nothing. Counters filled by calls
    instead of reservations have nothing to be compared with. `at_most` so many counters are looked at, levels and the
    latest windows first; None looks at all.
    """
    chosen = select(counters.c.name).where(counters.c.direct == false())
    chosen = chosen.order_by(counters.c.window_ends.desc().nulls_first(), counters.c.name).limit(at_most)
    must_hold = or_(
        is_open,
        and_(_c.state == State.SETTLED, claims.c.on_settle == OnSettle.KEEP),
        and_(_c.state == State.SETTLED, claims.c.on_settle == OnSettle.ADJUST, is_kept),
    )
    sums = (
        select(
            claims.c.counter, cast(func.sum(case((must_hold, claims.c.amount), else_=0)), BigInteger).label("expected")
        )
        .join_from(claims, reservations)
        .where(true() if at_most is None else claims.c.counter.in_(chosen))
        .group_by(claims.c.counter)
        .subquery()
    )
    expected = func.coalesce(sums.c.expected, 0)
    wrong = (
        select(counters.c.name, counters.c.value, expected)
        .outerjoin_from(counters, sums, sums.c.counter == counters.c.name)
        .where(counters.c.direct == false(), counters.c.value != expected)
        .where(true() if at_most is None else counters.c.name.in_(chosen))
        .order_by(counters.c.name)
    )
    return [Difference(*row) for row in connection.execute(wrong)]
