"""What the ledger forgets, and when. Whose a job is and what it cost is never forgotten.

Forgetting goes in small bites, because the thread that forgets is the one creates wait for; after each bite the
counters still equal their claims.
"""

from collections import Counter

from sqlalchemy import Connection, delete, exists, select, true, tuple_, update

from gateway.core.lifecycle import State
from gateway.core.repeats import REPEATS_FOR
from gateway.ledger import counters as counting
from gateway.ledger import deliveries
from gateway.ledger.schema import (
    claims,
    counters,
    idempotency,
    jobs,
    listed,
    refusals,
    reservations,
    upload_slots,
    without_job,
)
from gateway.ledger.statement import Statement, instant

DAY = 24 * 3600.0

COUNTERS = 40 * DAY
"""Seconds a counter is kept after its window, so that last month can be looked at; released creates likewise."""

DIRECT_COUNTERS = DAY
"""The same for request rates, of which there is one a second, and uploads."""

RECORDS = 30 * DAY
"""Seconds after its create that a job's record is kept, and a delivery after its end."""

REFUSALS = 400 * DAY
"""Seconds counts of refused calls are kept, so that a month can be compared with last year's."""

BITE = 500
"""Rows of one kind forgotten in one operation."""

_ended = select(counters.c.name).where(counters.c.window_ends < instant("before"))
_of_ended = select(claims.c.reservation_id, claims.c.counter).where(claims.c.counter.in_(_ended)).limit(BITE)
_CLAIMS = Statement(
    delete(claims)
    .where(tuple_(claims.c.reservation_id, claims.c.counter).in_(_of_ended))
    .returning(claims.c.counter, claims.c.amount)
)
_COUNTERS = Statement(
    delete(counters).where(
        counters.c.name.in_(_ended.where(~exists().where(claims.c.counter == counters.c.name)).limit(BITE))
    )
)
_DIRECT = Statement(delete(counters).where(counters.c.name.in_(_ended.where(counters.c.direct == true()).limit(BITE))))
_RECORDS = Statement(
    update(jobs)
    .values(record=None, complete=False)
    .where(
        jobs.c.request_id.in_(
            select(jobs.c.request_id)
            .where(listed, jobs.c.created_at < instant("before"))
            .order_by(jobs.c.created_at)
            .limit(BITE)
        )
    )
)
_REPLIES = Statement(
    delete(idempotency).where(
        idempotency.c.reservation_id.in_(
            select(idempotency.c.reservation_id).where(idempotency.c.created_at < instant("before")).limit(BITE)
        )
    )
)
_RELEASED = Statement(
    delete(reservations).where(
        reservations.c.id.in_(
            select(reservations.c.id)
            .where(without_job, reservations.c.state == State.RELEASED, reservations.c.updated_at < instant("before"))
            .limit(BITE)
        )
    )
)
_refusal = tuple_(*refusals.primary_key.columns)
_REFUSALS = Statement(
    delete(refusals).where(
        _refusal.in_(select(*refusals.primary_key.columns).where(refusals.c.starts < instant("before")).limit(BITE))
    )
)

_SLOTS = Statement(
    delete(upload_slots).where(
        upload_slots.c.digest.in_(
            select(upload_slots.c.digest).where(upload_slots.c.expires_at < instant("before")).limit(BITE)
        )
    )
)


def purge(connection: Connection, now: float) -> bool:
    """Forget a bite of everything that is old enough; whether there may be more."""
    bites = (
        _forget_claims(connection, now - COUNTERS),
        _COUNTERS.changes(connection, before=now - COUNTERS),
        _DIRECT.changes(connection, before=now - DIRECT_COUNTERS),
        _RECORDS.changes(connection, before=now - RECORDS),
        _REPLIES.changes(connection, before=now - REPEATS_FOR),
        _RELEASED.changes(connection, before=now - COUNTERS),
        _REFUSALS.changes(connection, before=now - REFUSALS),
        _SLOTS.changes(connection, before=now),
        deliveries.forget(connection, now - RECORDS, BITE),
    )
    return BITE in bites


def _forget_claims(connection: Connection, before: float) -> int:
    """Forget claims on counters that are history, and take them off those counters."""
    rows = _CLAIMS.rows(connection, before=before)
    amounts: Counter[str] = Counter()
    for counter, amount in rows:
        amounts[counter] += amount
    counting.give_back(connection, amounts.items())
    return len(rows)
