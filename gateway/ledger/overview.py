"""What people look at: lists and sums by which nothing is decided. Each is a query for `Ledger.survey`."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, ColumnElement, Connection, case, cast, func, or_, select

from gateway.core.lifecycle import Outcome, State, money_is_kept
from gateway.core.webhooks import Standing
from gateway.ledger.deliveries import backlog
from gateway.ledger.jobs import COUNTED
from gateway.ledger.schema import deliveries, due_now, jobs, listed, refusals, reservations
from gateway.ledger.usage import is_kept, is_open


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs to show: None is any. `ended` False is those that live."""

    team: str | None = None
    model: str | None = None
    status: str | None = None
    ended: bool | None = None
    limit: int = 50
    offset: int = 0


@dataclass(frozen=True, slots=True)
class ShownJob:
    """One job without its record. Times are unix seconds, `price` micro-USD as it was reserved.

    `charge_failed` is what the team's policy said when the job was created.
    """

    request_id: str
    team: str
    key: str
    model: str
    status: str
    price: int
    created_at: float
    settled_at: float | None
    charge_failed: bool
    outcome: Outcome | None

    @property
    def is_given_back(self) -> bool:
        """Whether the job ended and its price does not count."""
        return self.outcome is not None and not money_is_kept(self.outcome, charge_failed=self.charge_failed)


@dataclass(frozen=True, slots=True)
class Spent:
    """What one model's jobs of one window came to: micro-USD kept or held. `window` counts from 0."""

    window: int
    model: str
    jobs: int
    amount: int


@dataclass(frozen=True, slots=True)
class RefusedCount:
    """How many calls of a team were refused with this code in the quarter of an hour from `starts`."""

    team: str
    code: str
    starts: float
    count: int


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the last attempt at a webhook of this team to this host came to nothing."""

    team: str
    host: str
    problem: str


@dataclass(frozen=True, slots=True)
class WebhookHealth:
    """How many webhooks are due, since when the first has been, and how many were given up lately.

    `trouble` is that of the one that has been due longest and was tried, else of the last that was given up, if any.
    """

    due: int
    oldest: float | None
    given_up: int
    trouble: Trouble | None


_job, _reservation, _refusal, _delivery = jobs.c, reservations.c, refusals.c, deliveries.c


def shown_jobs(connection: Connection, wanted: Wanted) -> tuple[list[ShownJob], int]:
    """One page of the jobs that still have their record, newest first, and how many there are in all.

    Or `COUNTED` more than were asked for, if there are more, as for a team's own list.
    """
    conditions: list[ColumnElement[bool]] = [listed]
    for column, value in ((_job.team, wanted.team), (_job.model, wanted.model), (_job.status, wanted.status)):
        if value is not None:
            conditions.append(column == value)
    if wanted.ended is not None:
        conditions.append(_job.settled_at.is_not(None) if wanted.ended else _job.settled_at.is_(None))
    counted = select(_job.request_id).where(*conditions).limit(wanted.offset + wanted.limit + COUNTED).subquery()
    total = connection.execute(select(func.count()).select_from(counted)).scalar_one()
    found = connection.execute(
        select(
            _job.request_id,
            _job.team,
            _reservation.key,
            _job.model,
            _job.status,
            _reservation.price,
            _job.created_at,
            _job.settled_at,
            _reservation.charge_failed,
            _reservation.outcome,
        )
        .join_from(jobs, reservations)
        .where(*conditions)
        .order_by(_job.created_at.desc(), _job.request_id.desc())
        .limit(wanted.limit)
        .offset(wanted.offset)
    )
    return [
        ShownJob(**{**row, "outcome": row["outcome"] and Outcome(row["outcome"])}) for row in found.mappings()
    ], total


def spent_by_window(connection: Connection, team: str | None, edges: Sequence[float]) -> list[Spent]:
    """What one team, or all, spent between each of the `edges` and the next, by model.

    A job belongs to the instant its create was admitted, as in `usage`.
    """
    number = case(*((_reservation.created_at < edge, position) for position, edge in enumerate(edges[1:])))
    amount = func.coalesce(func.sum(case((or_(is_open, is_kept), _reservation.price))), 0)
    query = (
        select(number.label("number"), _reservation.model, func.count(), cast(amount, BigInteger))
        .where(_reservation.created_at >= edges[0], _reservation.created_at < edges[-1])
        .where(_reservation.state != State.RELEASED)
        .group_by("number", _reservation.model)
    )
    if team is not None:
        query = query.where(_reservation.team == team)
    return [Spent(*row) for row in connection.execute(query)]


def refused_counts(connection: Connection, team: str | None, starts: float) -> list[RefusedCount]:
    """The refused calls of one team, or of all, since the quarter of an hour that begins at `starts`."""
    query = (
        select(_refusal.team, _refusal.code, _refusal.starts, cast(func.sum(_refusal["count"]), BigInteger))
        .where(_refusal.starts >= starts)
        .group_by(_refusal.team, _refusal.code, _refusal.starts)
    )
    if team is not None:
        query = query.where(_refusal.team == team)
    return [RefusedCount(*row) for row in connection.execute(query)]


def webhook_health(connection: Connection, since: float) -> WebhookHealth:
    """How webhooks fare; of those that were given up, the ones since then."""
    waiting = backlog(connection)
    lost = (_delivery.standing == Standing.FAILED, _delivery.ended_at >= since)
    given_up = connection.execute(select(func.count()).where(*lost)).scalar_one()
    trouble = select(_delivery.team, _delivery.host, _delivery.problem).limit(1)
    found = connection.execute(
        trouble.where(due_now, _delivery.problem.is_not(None)).order_by(_delivery.due_at)
    ).first()
    if found is None and given_up:
        found = connection.execute(trouble.where(*lost).order_by(_delivery.ended_at.desc())).first()
    return WebhookHealth(waiting.count, waiting.oldest, given_up, None if found is None else Trouble(*found))


def last_creates(connection: Connection, team: str, since: float) -> dict[str, float]:
    """When each key of the team last created a job, if it did since then: unix seconds by the key's name."""
    query = (
        select(_reservation.key, func.max(_reservation.created_at).label("last"))
        .where(_reservation.team == team, _reservation.created_at >= since)
        .group_by(_reservation.key)
    )
    return {row.key: row.last for row in connection.execute(query)}
