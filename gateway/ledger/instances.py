"""Which gateways share the ledger. Each keeps a lease of its own alive; whoever let it run out is gone.

What somebody who is gone had reserved is taken over by the others. Should they be there after all, having only slept,
they are fenced by the states their reservations are in by now.
"""

from sqlalchemy import ColumnElement, Connection, and_, delete, false, func, insert, or_, select

from gateway.ledger.common_sql import OnConflict
from gateway.ledger.schema import claims, counters, instances, reservations
from gateway.ledger.statement import Statement, instant, text

LEASE = 10.0
"""Seconds a gateway counts as present after it last said so."""

_FORGOTTEN_AFTER = 3600.0

_lease_until = instances.c.lease_until
_present = and_(_lease_until > instant("now"), _lease_until <= instant("latest"))
"""A lease that ends later than any could is from a clock that was set back since."""

_RENEW = Statement(
    insert(instances)
    .values(id=text("instance"), lease_until=instant("until"))
    .ext(OnConflict("id", set={"lease_until": instant("until")}))
)
_FORGET = Statement(delete(instances).where(or_(_lease_until < instant("past"), _lease_until > instant("future"))))
_COUNT = Statement(select(func.count()).select_from(instances).where(_present))
_TOUCH = [Statement(delete(table).where(false())) for table in (counters, reservations, claims)]
"""What changes nothing, yet waits for whoever keeps all creates from being written, such as a table that is locked."""

_LEAVE = Statement(delete(instances).where(instances.c.id == text("instance")))


def renew(connection: Connection, instance: str, now: float) -> int:
    """Count as present for another `LEASE`; how many gateways are. Not done where no create could be written."""
    for touch in _TOUCH:
        touch.changes(connection)
    _RENEW.changes(connection, instance=instance, until=now + LEASE)
    _FORGET.changes(connection, past=now - _FORGOTTEN_AFTER, future=now + _FORGOTTEN_AFTER)
    return int(_COUNT.rows(connection, now=now, latest=now + LEASE)[0][0])


def is_current(lease_until: float, now: float) -> bool:
    """Whether a lease that ends then has not run out, and is none from before a clock was set back."""
    return now < lease_until <= now + LEASE


def leave(connection: Connection, instance: str) -> None:
    """This gateway is gone from now on: nobody need wait for its lease to run out."""
    _LEAVE.changes(connection, instance=instance)


def present(connection: Connection, now: float) -> frozenset[str]:
    """The gateways that are there, by their ids."""
    return frozenset(connection.scalars(select(instances.c.id).where(is_present(now))))


def is_present(now: float) -> ColumnElement[bool]:
    """Whether a gateway is there."""
    return and_(_lease_until > now, _lease_until <= now + LEASE)
