"""FLOW a create whose answer was lost is found in upstream's list, or shown to be absent.

The list is organisation-wide and its records echo the payload, mostly. A record is taken for the lost job when it is of
the same model, no older than the create, nobody's yet, its payload equal or not echoed at all, and when no create under
way may have made it. Two equal creates cannot take one job: the ledger lets a request id be placed once.
"""

import hashlib
import logging
from dataclasses import dataclass
from functools import partial

from gateway import settlement
from gateway.context import Gateway
from gateway.core.headers import JSON
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

GRACE = 60.0
"""Seconds beyond the longest that a step of a create may take, after which nobody is at it any more."""

_PAGE = 200
_MOST_PAGES = 10


@dataclass(frozen=True, slots=True)
class Search:
    """What one look at upstream's list brought.

    `found` may be the lost job, likeliest first. `conclusive` when the list was read back to the create and shows
    nothing that may be the lost job or another's: finding nothing then means that there is nothing.
    """

    found: list[ListedRecord]
    conclusive: bool


async def recover(gw: Gateway) -> None:
    """One round: of what a gateway that is gone left behind, release what was never sent and doubt what was; and look
    up the unknown, each in one gateway alone.

    A create that has outlived the longest it may take is treated alike, whoever made it: something failed on the way
    that nobody foresaw.
    """
    reservations = await gw.ledger.open_reservations()
    present = await gw.ledger.present(gw.now()) if reservations else frozenset()
    for each in reservations:
        if each.state is not State.UNKNOWN and (_is_orphan(each, present) or _is_overdue(gw, each)):
            await _take_over(gw, each)
    unknown = [each for each in reservations if each.state is State.UNKNOWN and _is_due(gw, each)]
    lost = [each for each in unknown if each.instance not in present and await gw.ledger.adopt(each)]
    lost += [each for each in unknown if each.instance == gw.ledger.instance]
    await settlement.in_turns(lost, partial(_look_up, gw))
    gw.jobs.keep_look_ups({each.id for each in reservations})


def _is_orphan(reservation: OpenReservation, present: frozenset[str]) -> bool:
    """Whether its gateway is gone. One too old to write its name down is given the time a create may take."""
    return reservation.instance is not None and reservation.instance not in present


def _is_overdue(gw: Gateway, reservation: OpenReservation) -> bool:
    """Whether nobody can be working on it any more: sending takes a moment, and waiting for the answer so long."""
    longest = GRACE if reservation.state is State.RESERVED else gw.settings.create_timeout + GRACE
    return gw.now() - reservation.updated_at > longest


async def _take_over(gw: Gateway, reservation: OpenReservation) -> None:
    log_event(logging.WARNING, "orphaned create", reservation=reservation.id, state=reservation.state.value)
    if reservation.state is State.RESERVED:
        await settlement.release(gw, reservation.id, None)
    else:
        await settlement.doubt(gw, reservation.id)


def _is_due(gw: Gateway, reservation: OpenReservation) -> bool:
    """Looks become rarer the longer it is looked: at once, after seconds, later after a quarter of the time."""
    looked = gw.jobs.looked_up(reservation.id)
    if looked is None:
        return True
    first, last = looked
    return gw.ticks() - last >= max(1.0, (last - first) / 4)


async def _look_up(gw: Gateway, reservation: OpenReservation) -> None:
    now = gw.ticks()
    first = gw.jobs.note_look_up(reservation.id, now)
    try:
        search = await _search(gw, reservation)
    except UpstreamFailure:
        return
    for record in search.found:
        if await _adopt(gw, reservation, record):
            return
    patience = PATIENCE_WHEN_REFUSED if reservation.refused else PATIENCE
    if search.conclusive and now - first >= patience:
        await settlement.release(gw, reservation.id, None)
        log_event(logging.WARNING, "create did not happen", reservation=reservation.id, team=reservation.owner.team)


async def _search(gw: Gateway, reservation: OpenReservation) -> Search:
    """Look for the lost job. The order matters: list, creates under way, owned ids.

    A job that another create made was sent before it could be listed: that create is then still under way, or its job
    is owned by the time the owned ids are read.
    """
    listed, whole = await _listed(gw, reservation)
    rivals = [each for each in await gw.ledger.open_reservations() if _is_rival(each, reservation)]
    owned = await gw.ledger.owned([record.request_id for record in listed])
    unowned = [record for record in listed if record.request_id not in owned]
    found = [record for record in unowned if not any(_may_have_made(rival, record) for rival in rivals)]
    found.sort(key=lambda record: (not record.payload, record.created_at))
    return Search(found, conclusive=whole and not unowned)


async def _listed(gw: Gateway, reservation: OpenReservation) -> tuple[list[ListedRecord], bool]:
    """Records the create may have made, and whether the list was read back to it."""
    owner = reservation.owner
    earliest = owner.created_at - CLOCK_TOLERANCE
    found: list[ListedRecord] = []
    for page in range(_MOST_PAGES):
        answer = await gw.upstream.list_requests(owner.credential, owner.model, _PAGE, page * _PAGE)
        records = list_page(answer.body) if answer.status == 200 else None
        if records is None:
            return [], False
        found += [record for record in records if record.created_at >= earliest and _fits(reservation, record)]
        if len(records) < _PAGE or records[-1].created_at < earliest:
            return found, True
    return found, False


def _fits(reservation: OpenReservation, record: ListedRecord) -> bool:
    """Whether the record could come from this create, by model and payload."""
    if record.model != reservation.owner.model:
        return False
    return not record.payload or _digest(record) == reservation.payload_digest


def _is_rival(other: OpenReservation, lost: OpenReservation) -> bool:
    """Whether the other create is under way where the lost one went."""
    same_place = (other.owner.model, other.owner.credential) == (lost.owner.model, lost.owner.credential)
    return same_place and other.state is State.SENT


def _may_have_made(rival: OpenReservation, record: ListedRecord) -> bool:
    return _fits(rival, record) and record.created_at >= rival.updated_at - CLOCK_TOLERANCE


def _digest(record: ListedRecord) -> bytes:
    return hashlib.sha256(canonical_payload(record.payload)).digest()


async def _adopt(gw: Gateway, reservation: OpenReservation, record: ListedRecord) -> bool:
    body = record.body
    adopted = await settlement.place(
        gw, reservation.id, reservation.owner, Answer(200, (JSON,), body), Reply(200, (JSON,), body)
    )
    if adopted:
        log_event(logging.INFO, "lost create found", request_id=record.request_id, team=reservation.owner.team)
    return adopted
