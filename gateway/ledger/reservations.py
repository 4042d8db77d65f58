"""The life of a reservation in the ledger. A change of state is one update, guarded by the states it may come from."""

from collections.abc import Sequence
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Row, Text, delete, insert, or_, select, update

from gateway.core.claims import OnSettle
from gateway.core.lifecycle import Outcome, State, money_is_kept, sources_of
from gateway.ledger import counters, deliveries, replies
from gateway.ledger.operation import APART, Apart, Separate
from gateway.ledger.rows import RowsStatement, types_of
from gateway.ledger.schema import claims, reservations
from gateway.ledger.statement import Statement, instant, switch, text
from gateway.ledger.values import Admitted, KeptAnswer, NewReservation, Owner, Reserved

_c = reservations.c


def may_become(target: State) -> ColumnElement[bool]:
    """The guard of an update to `target`."""
    return or_(*(_c.state == source for source in sources_of(target)))


_INSERT = RowsStatement(types_of(reservations), lambda rows: insert(reservations).values(rows))
_INSERT_CLAIMS = RowsStatement(types_of(claims), lambda rows: insert(claims).values(rows))
_MARK_SENT = Statement(
    update(reservations)
    .values(state=State.SENT, updated_at=instant("now"))
    .where(_c.id == text("reservation"), may_become(State.SENT))
)
_MARK_ALL_SENT = RowsStatement(
    {"reservation": Text, "now": Double},
    lambda rows: (
        update(reservations)
        .values(state=State.SENT, updated_at=rows[-1]["now"])
        .where(_c.id.in_([row["reservation"] for row in rows]), may_become(State.SENT))
    ),
)
_STATE = Statement(select(_c.state).where(_c.id == text("reservation")))
_LOCKED_STATE = Statement(select(_c.state).where(_c.id == text("reservation")).with_for_update())
_DOUBT = Statement(
    update(reservations)
    .values(state=State.UNKNOWN, updated_at=instant("now"), refused=switch("refused"))
    .where(_c.id == text("reservation"), may_become(State.UNKNOWN))
)


def _releasing(guard: ColumnElement[bool]) -> Statement:
    return Statement(
        update(reservations)
        .values(state=State.RELEASED, updated_at=instant("now"))
        .where(_c.id == text("reservation"), guard)
    )


_RELEASE = _releasing(may_become(State.RELEASED))
_RELEASE_UNSENT = _releasing(_c.state == State.RESERVED)
_SETTLE = Statement(
    update(reservations)
    .values(state=State.SETTLED, outcome=text("outcome"), updated_at=instant("now"))
    .where(_c.id == text("reservation"), may_become(State.SETTLED))
    .returning(_c.charge_failed)
)
_FORGIVE = Statement(update(reservations).values(charge_failed=False).where(_c.id == text("reservation")))
_ADOPT = Statement(
    update(reservations)
    .values(instance=text("instance"))
    .where(
        _c.id == text("reservation"),
        _c.state == State.UNKNOWN,
        _c.instance.is_not_distinct_from(text("from_instance")),
    )
)
_claims_held = claims.c.reservation_id == text("reservation")
_taken_back = (claims.c.counter, claims.c.amount)
_TAKE_ALL_BACK = Statement(delete(claims).where(_claims_held).returning(*_taken_back))
_TAKE_BACK = Statement(
    delete(claims).where(_claims_held, claims.c.on_settle == text("on_settle")).returning(*_taken_back)
)


def reserve(connection: Connection, new: NewReservation, now: float, instance: str) -> Reserved:
    """Take all claims of one create or none, unless its idempotency key already stands for another.

    `instance` is the gateway that looks after it.
    """
    if new.idempotency_key is not None:
        earlier = replies.claim_key(connection, new, now)
        if earlier is not None:
            return earlier
    used = counters.take(connection, new.claims, direct=False)
    _write_down(connection, [(new, now)], instance)
    return Admitted(used)


def reserve_together(
    connection: Connection, orders: Sequence[tuple[NewReservation, float]], instance: str
) -> list[Reserved | Apart]:
    """`reserve` for several at once. APART are those that do not all fit, and a second one with the same key."""
    results: dict[str, Reserved] = {}
    new_ones = _claim_keys(connection, orders, results)
    admitted: list[tuple[NewReservation, float]] = []
    taken = counters.take_together(connection, [new.claims for new, _ in new_ones])
    for (new, now), used in zip(new_ones, taken, strict=True):
        if used is not None:
            results[new.id] = Admitted(used)
            admitted.append((new, now))
        elif new.idempotency_key is not None:
            replies.keep_reply(connection, new.id, None)
    _write_down(connection, admitted, instance)
    return [results.get(new.id, APART) for new, _ in orders]


def _claim_keys(
    connection: Connection, orders: Sequence[tuple[NewReservation, float]], results: dict[str, Reserved]
) -> list[tuple[NewReservation, float]]:
    """Those of the creates that their keys stand for now. Of what came of an earlier one, the result is put down.

    Keys are claimed in their order, so that two transactions never wait for each other in a circle.
    """
    new_ones: list[tuple[NewReservation, float]] = []
    keyed: dict[tuple[str, str], tuple[NewReservation, float]] = {}
    for new, now in orders:
        if new.idempotency_key is None:
            new_ones.append((new, now))
        else:
            keyed.setdefault((new.team, new.idempotency_key), (new, now))
    for _, (new, now) in sorted(keyed.items(), key=itemgetter(0)):
        earlier = replies.claim_key(connection, new, now)
        if earlier is None:
            new_ones.append((new, now))
        else:
            results[new.id] = earlier
    return new_ones


def _write_down(connection: Connection, admitted: Sequence[tuple[NewReservation, float]], instance: str) -> None:
    _INSERT.run(
        connection,
        [
            (
                *(new.id, new.team, new.key, new.model, new.credential, State.RESERVED.value, False, None),
                *(new.price, new.seconds, new.charge_failed, new.body_digest, new.payload_digest),
                *(new.created_at, now, instance, new.trace),
            )
            for new, now in admitted
        ],
    )
    _INSERT_CLAIMS.run(
        connection,
        [
            (new.id, claim.counter, claim.amount, claim.on_settle.value)
            for new, _ in admitted
            for claim in new.claims
            if claim.amount > 0
        ],
    )
    for new, _ in admitted:
        deliveries.register(connection, new)


def reserve_again(connection: Connection, new: NewReservation, now: float, instance: str) -> Reserved:
    """`reserve` after an attempt whose commit was lost: what it took if it was committed, as the counters stand now.

    It is looked for twice, because that attempt may be committed while this one waits for the locks it holds.
    """
    if _STATE.row(connection, reservation=new.id) is None:
        reserved = reserve(connection, new, now, instance)
        if isinstance(reserved, Admitted) or _STATE.row(connection, reservation=new.id) is None:
            return reserved
    return Admitted({claim.counter: counters.value_of(connection, claim.counter) for claim in new.claims})


def mark_sent(connection: Connection, reservation_id: str, now: float) -> bool:
    """From here on upstream may have read the create. False if it is not `reserved` any more."""
    return _MARK_SENT.changes(connection, reservation=reservation_id, now=now) == 1


def mark_sent_together(connection: Connection, marks: Sequence[tuple[str, float]]) -> list[bool]:
    """`mark_sent` for several at once. Raises Separate unless all of them can be."""
    if _MARK_ALL_SENT.run(connection, marks) != len(marks):
        raise Separate
    return [True] * len(marks)


def mark_sent_again(connection: Connection, reservation_id: str, now: float) -> bool:
    """`mark_sent` after an attempt whose commit was lost. Nobody else marks this reservation.

    The update comes first: it waits for that attempt, should it be committing still.
    """
    marked = mark_sent(connection, reservation_id, now)
    return marked or _STATE.row(connection, reservation=reservation_id) == (State.SENT,)


def doubt(connection: Connection, reservation_id: str, now: float, *, refused: bool) -> bool:
    """Nobody knows whether there is a job: everything stays claimed. False if it is not `sent`."""
    return _DOUBT.changes(connection, reservation=reservation_id, now=now, refused=refused) == 1


def release(connection: Connection, reservation_id: str, now: float, reply: KeptAnswer | None) -> bool:
    """There is no job: every claim comes back. False if the reservation had already ended.

    `reply` is what a repeat with the same idempotency key is told; None lets a repeat execute anew.
    """
    return _end_without_job(connection, _RELEASE, reservation_id, now, reply)


def take_over(connection: Connection, reservation_id: str, now: float) -> bool:
    """Its gateway is gone: unsent, the create is released; sent, it is in doubt. False if it is neither by now.

    A gateway that was only cut off from the ledger may have sent it just now, so what was read before decides nothing.
    """
    released = _end_without_job(connection, _RELEASE_UNSENT, reservation_id, now, None)
    return released or doubt(connection, reservation_id, now, refused=False)


def _end_without_job(
    connection: Connection, update_of: Statement, reservation_id: str, now: float, reply: KeptAnswer | None
) -> bool:
    """Give everything back, and tell repeats this, if the update finds the reservation in a state it may end from."""
    if update_of.changes(connection, reservation=reservation_id, now=now) == 0:
        return False
    _return_claims(connection, reservation_id)
    replies.keep_reply(connection, reservation_id, reply)
    return True


def _return_claims(connection: Connection, reservation_id: str) -> None:
    counters.give_back(connection, _TAKE_ALL_BACK.rows(connection, reservation=reservation_id))


def forgive(connection: Connection, reservation_id: str) -> None:
    """Give every claim back before the job ends, also what a failed one would keep."""
    _FORGIVE.changes(connection, reservation=reservation_id)
    _return_claims(connection, reservation_id)


def adopt(connection: Connection, reservation_id: str, instance: str, from_instance: str | None) -> bool:
    """Look after a doubtful create from now on, in place of a gateway that is gone. True for the one that got it."""
    return _ADOPT.changes(connection, reservation=reservation_id, instance=instance, from_instance=from_instance) == 1


def free_slot(connection: Connection, reservation_id: str) -> bool:
    """A create stays unknown: its slots come back, all else stays claimed. False if it held none.

    Its state is locked, so that it is not placed meanwhile and loses a slot that it holds rightly.
    """
    if _LOCKED_STATE.row(connection, reservation=reservation_id) != (State.UNKNOWN,):
        return False
    taken_back = _TAKE_BACK.rows(connection, reservation=reservation_id, on_settle=OnSettle.RETURN.value)
    counters.give_back(connection, taken_back)
    return bool(taken_back)


def settle(connection: Connection, reservation_id: str, outcome: Outcome, now: float) -> bool:
    """The job ended: slots come back, money comes back where it is not kept. True for the one call that did it."""
    row = _SETTLE.row(connection, reservation=reservation_id, outcome=outcome.value, now=now)
    if row is None:
        return False
    kept = money_is_kept(outcome, charge_failed=bool(row[0]))
    taken_back: list[tuple[Any, ...]] = []
    for kind in (OnSettle.RETURN,) if kept else (OnSettle.RETURN, OnSettle.ADJUST):
        taken_back += _TAKE_BACK.rows(connection, reservation=reservation_id, on_settle=kind.value)
    counters.give_back(connection, taken_back)
    return True


def owner_from(row: Row[Any]) -> Owner:
    """The owner a row of `reservations` names."""
    return Owner(
        team=row.team,
        key=row.key,
        model=row.model,
        credential=row.credential,
        created_at=row.created_at,
        price=row.price,
        charge_failed=row.charge_failed,
        outcome=None if row.outcome is None else Outcome(row.outcome),
        trace=row.trace,
    )
