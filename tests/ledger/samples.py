"""What the ledger's tests put into it."""

import hashlib

import pytest
from sqlalchemy import create_engine

from gateway.core.claims import Claim, OnSettle
from gateway.core.lifecycle import Outcome
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import Admitted, KeptAnswer, NewReservation, Placement

on_sqlite = pytest.mark.parametrize("url", ["sqlite"], indirect=True)
"""For a test that is about the file."""

NOW = 1_800_000_000.0
DAY = 86_400.0
REPLY = KeptAnswer(200, ((b"content-type", b"application/json"),), b'{"request_id":"1"}')


def claim(
    counter: str,
    amount: int = 1,
    ceiling: int | None = None,
    on_settle: OnSettle = OnSettle.KEEP,
    window_ends: float | None = NOW + DAY,
) -> Claim:
    return Claim(counter, amount, ceiling, on_settle, (), window_ends)


def slot(ceiling: int | None = None) -> Claim:
    return claim("red/at-once", ceiling=ceiling, on_settle=OnSettle.RETURN, window_ends=None)


def money(price: int, ceiling: int | None = None) -> Claim:
    return claim("red/usd/2027-01", price, ceiling, OnSettle.ADJUST)


def reservation(
    name: str,
    *claims: Claim,
    team: str = "red",
    model: str = "Veo3",
    price: int = 0,
    charge_failed: bool = False,
    key: str | None = None,
    body: bytes = b"body",
    at: float = NOW,
) -> NewReservation:
    return NewReservation(
        id=name,
        team=team,
        key="web",
        model=model,
        credential="default",
        price=price,
        seconds=8,
        charge_failed=charge_failed,
        claims=claims,
        body_digest=hashlib.sha256(body).digest(),
        payload_digest=hashlib.sha256(b"payload" + body).digest(),
        idempotency_key=key,
        created_at=at,
        repeats_for=24 * 3600.0,
    )


def placement(name: str, request_id: str, outcome: Outcome | None = None, reply: KeptAnswer = REPLY) -> Placement:
    status = "queued" if outcome is None else outcome.value
    return Placement(
        name, request_id, status, b'{"status":"%s"}' % status.encode(), complete=True, outcome=outcome, reply=reply
    )


async def reserve(ledger: Ledger, new: NewReservation) -> None:
    assert isinstance(await ledger.reserve(new, new.created_at), Admitted)


async def send(ledger: Ledger, new: NewReservation) -> None:
    await reserve(ledger, new)
    assert await ledger.mark_sent(new.id, new.created_at)


async def create(ledger: Ledger, new: NewReservation, outcome: Outcome | None = None) -> str:
    """A create that upstream accepted; its request id."""
    await send(ledger, new)
    request_id = f"request-{new.id}"
    assert await ledger.place(placement(new.id, request_id, outcome), new.created_at) is None
    return request_id


def run_sql(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Do something to the ledger behind its back; the rows of the last statement, if it has any."""
    engine = create_engine(url)
    with engine.begin() as connection:
        results = [connection.exec_driver_sql(statement) for statement in statements]
        rows = [tuple(row) for row in results[-1]] if results[-1].returns_rows else []
    engine.dispose()
    return rows
