"""Two gateways change one reservation at once: the second waits for the first, and goes by what that has made of it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import Connection

from gateway.core.lifecycle import Outcome
from gateway.ledger import jobs, postgresql, reservations, sqlite
from gateway.ledger.engine import ledger_url
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import OwnedByAnother, Sighting
from tests.ledger.samples import NOW, money, placement, reservation, reserve, run_sql, send, slot


@asynccontextmanager
async def another(url: str) -> AsyncIterator[Connection]:
    """A transaction of another gateway, which is committed once somebody waits for what it has locked."""
    backend = sqlite if url.startswith("sqlite") else postgresql
    engine = backend.writing_engine(ledger_url(url))
    with engine.begin() as connection:
        yield connection
        if backend is postgresql:
            for _ in range(500):
                if run_sql(url, "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                    break
                await asyncio.sleep(0.002)
    engine.dispose()


LATE: dict[str, tuple[Callable[[Ledger], Awaitable[object]], object]] = {
    "place": (lambda ledger: ledger.place(placement("a", "late"), NOW), OwnedByAnother()),
    "place at its end": (lambda ledger: ledger.place(placement("a", "late", Outcome.FAILED), NOW), OwnedByAnother()),
    "refuse": (lambda ledger: ledger.refuse("a", Sighting("late", "failed", b"{}"), NOW, None), False),
}


@pytest.mark.parametrize("late", LATE)
async def test_an_answer_that_comes_while_another_gateway_releases_makes_no_job(
    ledger: Ledger, url: str, late: str
) -> None:
    answer, told = LATE[late]
    await send(ledger, reservation("a", slot(), money(300)))
    async with another(url) as connection:
        assert reservations.release(connection, "a", NOW, None)
        answering = asyncio.ensure_future(answer(ledger))
        await asyncio.sleep(0)
    assert await answering == told
    assert await ledger.owner_of("late") is None
    assert run_sql(url, "SELECT state FROM reservations") == [("released",)]
    assert set((await ledger.used(["red/at-once", "red/usd/2027-01"])).values()) == {0}
    assert await ledger.verify() == []


async def test_a_create_that_is_found_while_its_slot_is_freed_keeps_the_slot(ledger: Ledger, url: str) -> None:
    await send(ledger, reservation("a", slot()))
    await ledger.doubt("a", NOW)
    async with another(url) as connection:
        assert jobs.place(connection, placement("a", "found"), NOW) is None
        freeing = asyncio.ensure_future(ledger.free_slot("a"))
        await asyncio.sleep(0)
    assert not await freeing
    assert await ledger.used(["red/at-once"]) == {"red/at-once": 1}
    assert await ledger.verify() == []


async def test_a_create_that_is_sent_while_it_is_taken_over_is_in_doubt_and_stays_charged(
    ledger: Ledger, url: str
) -> None:
    await reserve(ledger, reservation("a", slot(), money(300)))
    async with another(url) as connection:
        assert reservations.mark_sent(connection, "a", NOW)
        taking_over = asyncio.ensure_future(ledger.jobless.take_over("a", NOW))
        await asyncio.sleep(0)
    assert await taking_over
    assert run_sql(url, "SELECT state FROM reservations") == [("unknown",)]
    assert await ledger.used(["red/at-once", "red/usd/2027-01"]) == {"red/at-once": 1, "red/usd/2027-01": 300}
    assert await ledger.place(placement("a", "late"), NOW) is None
    assert await ledger.verify() == []
