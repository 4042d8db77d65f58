"""Idempotency: (team, key, body) has one answer for a day. The table's primary key decides who was first."""

from collections.abc import Iterable, Sequence

import msgspec
from sqlalchemy import BigInteger, Connection, Text, Update, delete, insert, null, select, update

from gateway.core.headers import Headers
from gateway.core.lifecycle import State
from gateway.core.repeats import REPEATS_FOR
from gateway.ledger.common_sql import OnConflict
from gateway.ledger.rows import Parameters, RowsStatement, given
from gateway.ledger.schema import idempotency, reservations
from gateway.ledger.statement import Bytes, Statement, instant, text
from gateway.ledger.values import InProgress, KeptAnswer, Mismatch, NewReservation, Replay

encode_headers = msgspec.msgpack.Encoder().encode
decode_headers = msgspec.msgpack.Decoder(Headers).decode

_CLAIM = Statement(
    insert(idempotency)
    .values(
        team=text("team"),
        key=text("key"),
        reservation_id=text("reservation"),
        created_at=instant("now"),
        status=null(),
        headers=null(),
        body=null(),
    )
    .ext(
        OnConflict(
            "team",
            "key",
            set={
                "reservation_id": text("reservation"),
                "created_at": instant("now"),
                "status": null(),
                "headers": null(),
                "body": null(),
            },
            where=idempotency.c.created_at <= instant("stale"),
        )
    )
    .returning(idempotency.c.key)
)
_FIND = Statement(
    select(
        reservations.c.body_digest,
        reservations.c.state,
        idempotency.c.status,
        idempotency.c.headers,
        idempotency.c.body,
    )
    .join_from(idempotency, reservations)
    .where(
        idempotency.c.team == text("team"),
        idempotency.c.key == text("key"),
        idempotency.c.created_at > instant("stale"),
    )
)


def _answer(rows: Sequence[Parameters]) -> Update:
    answers = given(rows)
    values = {name: answers.c[name] for name in ("status", "headers", "body")}
    return update(idempotency).values(values).where(idempotency.c.reservation_id == answers.c.reservation)


_ANSWER = RowsStatement({"reservation": Text, "status": BigInteger, "headers": Bytes, "body": Bytes}, _answer)
_FORGET = Statement(delete(idempotency).where(idempotency.c.reservation_id == text("reservation")))


def claim_key(connection: Connection, new: NewReservation, now: float) -> Replay | InProgress | Mismatch | None:
    """Make the key stand for this create; None if it does now, else what came of the request it already stands for."""
    if _CLAIM.row(
        connection,
        team=new.team,
        key=new.idempotency_key,
        reservation=new.id,
        now=now,
        stale=_stale(new, now),
    ):
        return None
    found = earlier(connection, new, now)
    assert found is not None
    return found


def earlier(connection: Connection, new: NewReservation, now: float) -> Replay | InProgress | Mismatch | None:
    """What came of the request the create's key stands for; None if it stands for none."""
    found = _FIND.row(connection, team=new.team, key=new.idempotency_key, stale=_stale(new, now))
    if found is None:
        return None
    digest, state, status, headers, body = found
    if digest != new.body_digest:
        return Mismatch()
    if status is None:
        return InProgress(State(state))
    return Replay(KeptAnswer(status, decode_headers(headers), body))


def _stale(new: NewReservation, now: float) -> float:
    """A key from then or before stands for nothing."""
    return now - min(new.repeats_for, REPEATS_FOR)


def keep_reply(connection: Connection, reservation_id: str, reply: KeptAnswer | None) -> None:
    """A repeat is told this from now on; with None it executes anew. Nothing happens for a create without a key."""
    if reply is None:
        _FORGET.changes(connection, reservation=reservation_id)
        return
    keep_replies(connection, [(reservation_id, reply)])


def keep_replies(connection: Connection, replies: Iterable[tuple[str, KeptAnswer]]) -> None:
    """`keep_reply` for several creates, each by its reservation's id."""
    rows = [(name, reply.status, encode_headers(reply.headers), reply.body) for name, reply in replies]
    _ANSWER.run(connection, rows)
