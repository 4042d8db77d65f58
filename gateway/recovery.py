"""FLOW a create whose answer was lost is found in upstream's list, or shown to be absent.

The list is organisation-wide and its records echo the payload, mostly. A record is taken for the lost job when it is of
the same model, no older than the create, nobody's yet, and its payload is equal or not echoed at all. Two equal creates
cannot take one job: the ledger lets a request id be placed once.
"""

import hashlib
import logging

from gateway import settlement
from gateway.context import Gateway
from gateway.core.lifecycle import State
from gateway.core.wire import canonical_payload
from gateway.ledger.values import OpenReservation, Reply
from gateway.logs import log_event
from gateway.upstream.client import Answer, UpstreamFailure
from gateway.upstream.translate import ListedRecord, list_page

PATIENCE = 60.0
"""Seconds after which a create that left no trace in upstream's list did not happen."""

PATIENCE_WHEN_REFUSED = 2.0
"""The same where upstream answered 500 or 503: it says itself that there is no job."""

CLOCK_TOLERANCE = 60
"""Seconds upstream's `created_at` may lie before our own create."""

_PAGE = 200
_MOST_PAGES = 10
_JSON = ((b"content-type", b"application/json"),)


async def recover(gw: Gateway, *, orphaned_before: float) -> None:
    """One round: release what was never sent, doubt what was sent by a process that is gone, look the unknown up.

    `orphaned_before` is when this process began: a reservation it did not make itself has nobody else to finish it.
    """
    reservations = await gw.ledger.open_reservations()
    rivals = [each for each in reservations if each.state is State.SENT]
    for reservation in reservations:
        orphaned = reservation.updated_at < orphaned_before
        if reservation.state is State.UNKNOWN:
            if _is_due(gw, reservation) and not any(_could_be_the_same(reservation, rival) for rival in rivals):
                await _look_up(gw, reservation)
        elif orphaned and reservation.state is State.RESERVED:
            await settlement.release(gw, reservation.id, None)
        elif orphaned:
            await settlement.doubt(gw, reservation.id)
    for forgotten in gw.jobs.looked_up.keys() - {each.id for each in reservations}:
        del gw.jobs.looked_up[forgotten]


def _is_due(gw: Gateway, reservation: OpenReservation) -> bool:
    """Looks become rarer as the create grows older: at once, after seconds, later after a quarter of its age."""
    now = gw.now()
    last = gw.jobs.looked_up.get(reservation.id)
    return last is None or now - last >= max(1.0, (now - reservation.updated_at) / 4)


def _could_be_the_same(lost: OpenReservation, running: OpenReservation) -> bool:
    """Whether a create still under way may own what the list shows for a lost one: then it is waited for."""
    same_place = (lost.owner.model, lost.owner.credential) == (running.owner.model, running.owner.credential)
    return same_place and lost.payload_digest == running.payload_digest


async def _look_up(gw: Gateway, reservation: OpenReservation) -> None:
    gw.jobs.looked_up[reservation.id] = gw.now()
    try:
        candidates, whole = await _candidates(gw, reservation)
    except UpstreamFailure:
        return
    for record in candidates:
        if await _adopt(gw, reservation, record):
            return
    patience = PATIENCE_WHEN_REFUSED if reservation.refused else PATIENCE
    if whole and gw.now() - reservation.updated_at >= patience:
        await settlement.release(gw, reservation.id, None)
        log_event(logging.WARNING, "create did not happen", reservation=reservation.id, team=reservation.owner.team)


async def _candidates(gw: Gateway, reservation: OpenReservation) -> tuple[list[ListedRecord], bool]:
    """Records that may be the lost job, likeliest first, and whether the list was read back to the create."""
    earliest = reservation.owner.created_at - CLOCK_TOLERANCE
    found: list[ListedRecord] = []
    for page in range(_MOST_PAGES):
        answer = await gw.upstream.list_requests(
            reservation.owner.credential, reservation.owner.model, _PAGE, page * _PAGE
        )
        records = list_page(answer.body) if answer.status == 200 else None
        if records is None:
            return [], False
        found += [record for record in records if record.created_at >= earliest and _fits(reservation, record)]
        if len(records) < _PAGE or records[-1].created_at < earliest:
            return await _unowned(gw, found), True
    return await _unowned(gw, found), False


def _fits(reservation: OpenReservation, record: ListedRecord) -> bool:
    if record.model != reservation.owner.model:
        return False
    return not record.payload or _digest(record) == reservation.payload_digest


def _digest(record: ListedRecord) -> bytes:
    return hashlib.sha256(canonical_payload(record.payload)).digest()


async def _unowned(gw: Gateway, records: list[ListedRecord]) -> list[ListedRecord]:
    owned = await gw.ledger.owned([record.request_id for record in records])
    unowned = [record for record in records if record.request_id not in owned]
    return sorted(unowned, key=lambda record: (not record.payload, record.created_at))


async def _adopt(gw: Gateway, reservation: OpenReservation, record: ListedRecord) -> bool:
    body = record.body
    adopted = await settlement.place(
        gw, reservation.id, reservation.owner, Answer(200, _JSON, body), Reply(200, _JSON, body)
    )
    if adopted:
        log_event(logging.INFO, "lost create found", request_id=record.request_id, team=reservation.owner.team)
    return adopted
