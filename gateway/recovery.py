"""FLOW a create whose answer was lost is found in upstream's list, or shown to be absent.

The list is organisation-wide and its records echo the payload, mostly. A record is taken for the lost job when it is of
the same model and payload, no older than the create, nobody's yet, and when no create under way and no other team's
lost one is as likely to have made it. Where that cannot be told, nothing is chosen: the create stays in doubt and
charged. Two equal creates cannot take one job: the ledger lets a request id be placed once.
"""

import logging
from dataclasses import dataclass
from functools import partial
from math import inf

from gateway import settlement
from gateway.context import Gateway
from gateway.core.digests import digest_payload
from gateway.core.headers import JSON
from gateway.core.lifecycle import State
from gateway.failpoints import Point, reach
from gateway.insistence import insist
from gateway.ledger.values import KeptAnswer, OpenReservation
from gateway.logs import log_event
from gateway.rounds import for_all
from gateway.upstream.client import Answer, UpstreamFailure
from gateway.upstream.translate import ListedRecord, list_page

PATIENCE = 60.0
"""Seconds beyond the longest a create may take, after which one that left no trace in upstream's list did not happen.

Until then upstream may still be at it: a sync model holds a create for minutes, whoever has hung up or given up.
"""

PATIENCE_WHEN_REFUSED = 2.0
"""The same where upstream answered 500 or 503: it says itself that there is no job."""

CLOCK_TOLERANCE = 5.0
"""Seconds by which upstream's `created_at`, which is in whole ones, may differ from our clock."""

LARGEST_SKEW = 60.0
"""Seconds its clock may be behind. A record so much too old is taken only in the end, if there is no other."""

GRACE = 60.0
"""Seconds beyond the longest that a step of a create may take, after which nobody is at it any more."""

_PAGE = 200
_MOST_PAGES = 25
"""Upstream may give shorter pages than it is asked for."""


@dataclass(frozen=True, slots=True)
class Search:
    """What one look at upstream's list brought.

    `records` are nobody's and may be the lost job, oldest first; `rivals` are the other creates that may have made
    them. `whole` when the list was read back to the create: showing nothing then means that there is nothing.
    """

    records: list[ListedRecord]
    rivals: list[OpenReservation]
    whole: bool


async def recover(gw: Gateway) -> None:
    """One round: of what a gateway that is gone left behind, release what was never sent and doubt what was; and look
    up the unknown, each in one gateway alone.

    A create that has outlived the longest it may take is treated alike, whoever made it: something failed on the way
    that nobody foresaw.
    """
    reservations = await gw.ledger.jobless.unattended(gw.now(), GRACE)
    present = await gw.ledger.present(gw.now()) if reservations else frozenset()
    for each in reservations:
        if each.state is not State.UNKNOWN and (_is_orphan(each, present) or _is_overdue(gw, each)):
            await _take_over(gw, each)
    unknown = [each for each in reservations if each.state is State.UNKNOWN and _is_due(gw, each)]
    lost = [each for each in unknown if each.instance not in present and await gw.ledger.jobless.adopt(each)]
    lost += [each for each in unknown if each.instance == gw.ledger.instance]
    gw.jobs.keep_searches({each.id for each in reservations})
    await for_all(lost, partial(_look_up, gw), gw.rounds.at_once)


def _is_orphan(reservation: OpenReservation, present: frozenset[str]) -> bool:
    """Whether its gateway is gone. One too old to write its name down is given the time a create may take."""
    return reservation.instance is not None and reservation.instance not in present


def _is_overdue(gw: Gateway, reservation: OpenReservation) -> bool:
    """Whether nobody can be working on it any more: sending takes a moment, and waiting for the answer so long."""
    longest = GRACE if reservation.state is State.RESERVED else gw.settings.create_timeout + GRACE
    return gw.now() - reservation.updated_at > longest


async def _take_over(gw: Gateway, reservation: OpenReservation) -> None:
    log_event(logging.WARNING, "orphaned create", reservation=reservation.id, state=reservation.state.value)
    reach(Point.TAKING_OVER)
    if await insist(gw, lambda: gw.ledger.jobless.take_over(reservation.id, gw.now())):
        gw.wake.set()


def _is_due(gw: Gateway, reservation: OpenReservation) -> bool:
    """Searches become rarer the longer they go on: at once, after seconds, later after a quarter of the time."""
    searched = gw.jobs.searched(reservation.id)
    if searched is None:
        return True
    first, last = searched
    return gw.ticks() - last >= max(1.0, (last - first) / 4)


async def _look_up(gw: Gateway, lost: OpenReservation) -> None:
    now = gw.ticks()
    first = gw.jobs.note_search(lost.id, now)
    try:
        search = await _search(gw, lost)
    except UpstreamFailure:
        return
    waited = max(now - first, gw.now() - lost.updated_at)  # the ledger's time outlives a restart, ours a clock set back
    over = search.whole and waited >= _patience(gw, lost)
    record = _found(lost, search) or (_left_over(lost, search) if over else None)
    if record is not None:
        await _adopt(gw, lost, record)
    elif over and not search.records:
        reach(Point.GIVEN_UP)
        await settlement.release(gw, lost.id, None)
        log_event(logging.WARNING, "create did not happen", reservation=lost.id, team=lost.owner.team)
    elif gw.now() - lost.owner.created_at >= settlement.timeout_of(gw, lost.owner) and await gw.ledger.free_slot(
        lost.id
    ):
        log_event(logging.ERROR, "create stays unknown", reservation=lost.id, team=lost.owner.team)


def _patience(gw: Gateway, lost: OpenReservation) -> float:
    """Seconds since it came into doubt, which is never before it was sent."""
    return PATIENCE_WHEN_REFUSED if lost.refused else gw.settings.create_timeout + PATIENCE


async def _search(gw: Gateway, lost: OpenReservation) -> Search:
    """Look for the lost job. The order matters: list, other creates, owned ids.

    A job that another create made was sent before it could be listed: that create is then still under way or lost too,
    or its job is owned by the time the owned ids are read.
    """
    listed, whole = await _listed(gw, lost)
    owner = lost.owner
    rivals = [each for each in await gw.ledger.jobless.sent(owner.credential, owner.model) if each.id != lost.id]
    owned = await gw.ledger.owners([record.request_id for record in listed])
    unowned = [record for record in reversed(listed) if record.request_id not in owned]
    return Search(sorted(unowned, key=lambda record: record.created_at), rivals, whole)


async def _listed(gw: Gateway, lost: OpenReservation) -> tuple[list[ListedRecord], bool]:
    """Records the create may have made, and whether the list, newest first, was read back to it."""
    owner = lost.owner
    earliest = owner.created_at - LARGEST_SKEW
    found: dict[str, ListedRecord] = {}
    offset = 0
    for _ in range(_MOST_PAGES):
        answer = await gw.upstream.list_requests(owner.credential, owner.model, _PAGE, offset)
        page = list_page(answer.body) if answer.status == 200 else None
        if page is None:
            return [], False
        fitting = [each for each in page.records if each.created_at >= earliest and _fits(lost, each)]
        found |= {record.request_id: record for record in fitting}
        if not page.records or not page.has_more or page.records[-1].created_at < earliest:
            return list(found.values()), True
        offset += len(page.records)
    return list(found.values()), False


def _found(lost: OpenReservation, search: Search) -> ListedRecord | None:
    """The lost job, or None while that cannot be told.

    As many records as the team lost equal creates are theirs in order; else it is the one nearest to the create. A
    record that does not echo the payload says little: it must be the only one, or there must be one for each create
    and only one way to deal them out.
    """
    timely = [each for each in search.records if _may_have_made(lost, each) and not _is_contested(each, lost, search)]
    echoed = [record for record in timely if record.payload]
    if not echoed:
        return timely[0] if timely and len(search.records) == 1 else _dealt_out(lost, search)
    twins = [lost, *(each for each in search.rivals if _is_twin(each, lost))]
    if len(twins) == len(echoed):
        return echoed[sorted(twins, key=_order).index(lost)]
    return min(echoed, key=lambda record: abs(record.created_at - _sent_at(lost)))


def _dealt_out(lost: OpenReservation, search: Search) -> ListedRecord | None:
    """The create's record where each was made while its own create, and no other but an equal one, was waited for."""
    creates = sorted([lost, *search.rivals], key=_order)
    if len(creates) != len(search.records):
        return None
    for record, maker in zip(search.records, creates, strict=True):
        if not _is_near(maker, record):
            return None
        if any(_is_near(each, record) and each != maker and not _is_twin(each, maker) for each in creates):
            return None
    return search.records[creates.index(lost)]


def _left_over(lost: OpenReservation, search: Search) -> ListedRecord | None:
    """The only record there is, although only a clock that is wrong explains its age."""
    if len(search.records) != 1:
        return None
    (only,) = search.records
    return None if _is_contested(only, lost, search) else only


def _is_contested(record: ListedRecord, lost: OpenReservation, search: Search) -> bool:
    """Whether another create may as well have made the record. Equal ones the team itself lost may share."""
    return any(
        _may_have_made(rival, record)
        and (_is_near(rival, record) or not _is_near(lost, record))
        and not (record.payload and _is_twin(rival, lost))
        for rival in search.rivals
    )


def _fits(create: OpenReservation, record: ListedRecord) -> bool:
    """Whether the record could come from this create, by model and payload."""
    if record.model != create.owner.model:
        return False
    return not record.payload or _digest(record) == create.payload_digest


def _is_twin(other: OpenReservation, lost: OpenReservation) -> bool:
    """Whether the same team lost another equal create."""
    equal = (other.owner.team, other.payload_digest) == (lost.owner.team, lost.payload_digest)
    return equal and other.state is State.UNKNOWN


def _may_have_made(create: OpenReservation, record: ListedRecord) -> bool:
    return _fits(create, record) and record.created_at >= _sent_at(create) - CLOCK_TOLERANCE


def _is_near(create: OpenReservation, record: ListedRecord) -> bool:
    """Whether the record was made while somebody waited for the create's answer."""
    waited_until = create.updated_at if create.state is State.UNKNOWN else inf
    return _sent_at(create) - CLOCK_TOLERANCE <= record.created_at <= waited_until + CLOCK_TOLERANCE


def _sent_at(create: OpenReservation) -> float:
    """When it was admitted, which is when it was sent, but for the moment the ledger takes to write that down."""
    return create.owner.created_at


def _order(create: OpenReservation) -> tuple[float, str]:
    """The order of creates, the same whichever of them is looked for."""
    return _sent_at(create), create.id


def _digest(record: ListedRecord) -> bytes:
    """The digest of the payload; none of a payload nested so deeply that no create of ours can have it."""
    try:
        return digest_payload(record.payload)
    except RecursionError:
        return b""


async def _adopt(gw: Gateway, reservation: OpenReservation, record: ListedRecord) -> None:
    body = record.body
    reach(Point.FOUND)
    job = await settlement.place(
        gw, reservation.id, reservation.owner, Answer(200, (JSON,), body), KeptAnswer(200, (JSON,), body)
    )
    if job is not None:
        log_event(logging.INFO, "lost create found", request_id=record.request_id, team=reservation.owner.team)
