"""Reservations that have no job yet, and who looks after them: `Ledger.jobless`."""

from sqlalchemy import ColumnElement, Connection, and_, or_, select, true

from gateway.core.lifecycle import State
from gateway.ledger import reservations, schema
from gateway.ledger.instances import is_present
from gateway.ledger.outbox import Doing
from gateway.ledger.reservations import owner_from
from gateway.ledger.schema import instances, without_job
from gateway.ledger.values import OpenReservation

_c = schema.reservations.c


class Jobless:
    """Creates that have no job yet. Every method raises LedgerUnavailable. `instance` is this gateway's name."""

    def __init__(self, write: Doing, read: Doing, instance: str) -> None:
        self._write = write
        self._read = read
        self._instance = instance

    async def all(self) -> list[OpenReservation]:
        """Every reservation without a job (reserved, sent, unknown), oldest first."""
        return await self._read("open_reservations", everywhere)

    async def unattended(self, now: float, idle: float) -> list[OpenReservation]:
        """Those that are unknown, whose gateway is gone, or that have been as they are for `idle` seconds."""
        return await self._read("unattended", unattended, now, idle)

    async def sent(self, credential: str, model: str) -> list[OpenReservation]:
        """Creates of this model that were sent with this credential, oldest first."""
        return await self._read("sent_creates", sent, credential, model)

    async def take_over(self, reservation_id: str, now: float) -> bool:
        """A create was left behind: unsent it is released, sent it is in doubt. False if it is neither by now."""
        return await self._write("take_over", reservations.take_over, reservation_id, now)

    async def adopt(self, reservation: OpenReservation) -> bool:
        """Look after a doubtful create from now on, in place of a gateway that is gone. True if nobody was faster."""
        return await self._write("adopt", reservations.adopt, reservation.id, self._instance, reservation.instance)


def everywhere(connection: Connection) -> list[OpenReservation]:
    """Every reservation without a job, oldest first."""
    return _open_where(connection, true())


def unattended(connection: Connection, now: float, idle: float) -> list[OpenReservation]:
    """Those that are unknown, whose gateway is gone, or that have been as they are for `idle` seconds."""
    gone = and_(_c.instance.is_not(None), _c.instance.not_in(select(instances.c.id).where(is_present(now))))
    return _open_where(connection, or_(_c.state == State.UNKNOWN, gone, _c.updated_at < now - idle))


def sent(connection: Connection, credential: str, model: str) -> list[OpenReservation]:
    """Creates of this model that were sent with this credential and have no job yet, oldest first."""
    was_sent = _c.state.in_((State.SENT, State.UNKNOWN))
    return _open_where(connection, and_(_c.credential == credential, _c.model == model, was_sent))


def _open_where(connection: Connection, condition: ColumnElement[bool]) -> list[OpenReservation]:
    states = or_(*(_c.state == state for state in (State.RESERVED, State.SENT, State.UNKNOWN)))
    found = connection.execute(
        select(schema.reservations).where(without_job, states, condition).order_by(_c.updated_at, _c.id)
    )
    return [
        OpenReservation(
            id=row.id,
            owner=owner_from(row),
            state=State(row.state),
            payload_digest=row.payload_digest,
            refused=row.refused,
            updated_at=row.updated_at,
            instance=row.instance,
        )
        for row in found
    ]
