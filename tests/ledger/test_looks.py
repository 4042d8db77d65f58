"""Which jobs are due, and when again."""

import pytest
from sqlalchemy import create_engine

from gateway.core.freshness import follow_interval, put_off_interval
from gateway.core.lifecycle import Outcome
from gateway.ledger import looks
from gateway.ledger.engine import ledger_url
from gateway.ledger.ledger import Ledger
from gateway.ledger.looks import FIRST_LOOK
from gateway.ledger.values import DueJob, Sighting
from tests.ledger.samples import NOW, create, reservation
from tests.postgres import Server


async def due(ledger: Ledger, now: float) -> list[str]:
    return [job.request_id for job in await ledger.looks.take(now, 10)]


async def test_a_job_is_due_a_while_after_its_create_and_an_interval_after_each_look(ledger: Ledger) -> None:
    first = await create(ledger, reservation("a", price=300))
    second = await create(ledger, reservation("b", at=NOW + 1))
    assert await due(ledger, NOW + FIRST_LOOK - 0.1) == []
    assert await ledger.looks.take(NOW + FIRST_LOOK + 1, 1) == [DueJob(first, "red", NOW)]
    assert await due(ledger, NOW + FIRST_LOOK + 1) == [second]
    assert await due(ledger, NOW + FIRST_LOOK + 5) == []
    await ledger.settle(Sighting(second, "success", b""), Outcome.SUCCESS, NOW + 100)
    assert await due(ledger, NOW + 100) == [first]
    await ledger.looks.begin([first, second], NOW + 100)
    assert await due(ledger, NOW + 109) == []
    assert await due(ledger, NOW + 110) == [first]


async def test_tw4_a_clock_that_was_set_back_puts_no_look_off(ledger: Ledger) -> None:
    request_id = await create(ledger, reservation("a", at=NOW + 3600))
    assert await due(ledger, NOW) == [request_id]
    assert await due(ledger, NOW + 1) == []


AGES = pytest.mark.parametrize("age", [0.0, 9.9, 10.1, 49.9, 50.1, 59.9, 60.1, 123.4, 299.9, 300.1, 86400.0])


@AGES
async def test_a_job_that_is_looked_at_is_due_again_after_the_interval_of_its_age(ledger: Ledger, age: float) -> None:
    request_id = await create(ledger, reservation("a"))
    looked_at = max(NOW + age, NOW + FIRST_LOOK)
    assert await ledger.looks.take(looked_at, 10) == [DueJob(request_id, "red", NOW)]
    await ledger.looks.begin([request_id], looked_at)
    due_again = looked_at + follow_interval(looked_at - NOW)
    assert await due(ledger, due_again - 0.01) == []
    assert await due(ledger, due_again + 0.01) == [request_id]


@AGES
async def test_a_job_that_clients_ask_about_is_put_off_for_longer(ledger: Ledger, age: float) -> None:
    request_id = await create(ledger, reservation("a"))
    taken_at = max(NOW + age, NOW + FIRST_LOOK)
    assert await due(ledger, taken_at) == [request_id]
    due_again = taken_at + put_off_interval(taken_at - NOW)
    assert await due(ledger, due_again - 0.01) == []
    assert await due(ledger, due_again + 0.01) == [request_id]


async def test_the_most_overdue_are_taken_first_and_no_more_than_asked_for(ledger: Ledger) -> None:
    for number in range(5):
        await create(ledger, reservation(f"r{number}", at=NOW + number))
    taken = [{job.request_id for job in await ledger.looks.take(NOW + 100, 2)} for _ in range(3)]
    assert taken == [{"request-r0", "request-r1"}, {"request-r2", "request-r3"}, {"request-r4"}]


async def test_a_job_that_another_gateway_is_taking_is_passed_by(postgres: Server) -> None:
    url = postgres.ledger()
    ledger = Ledger(url)
    await ledger.open()
    first, second = await create(ledger, reservation("a")), await create(ledger, reservation("b", at=NOW + 1))
    engine = create_engine(ledger_url(url).set(drivername="postgresql+psycopg"))
    with engine.begin() as other:
        looks.take(other, NOW + 60, 1)
        assert await due(ledger, NOW + 60) == [second]
        other.rollback()
    assert await due(ledger, NOW + 60) == [first]
    engine.dispose()
    await ledger.close()


async def test_the_jobs_that_ended_within_a_time_are_known_by_how_they_did(ledger: Ledger) -> None:
    early, late, _ = [await create(ledger, reservation(name)) for name in ("a", "b", "c")]
    await ledger.settle(Sighting(early, "failed", b""), Outcome.FAILED, NOW + 10)
    await ledger.settle(Sighting(late, "success", b""), Outcome.SUCCESS, NOW + 20)
    assert await ledger.looks.ended(NOW + 10, NOW + 19) == [(early, Outcome.FAILED)]
    assert sorted(await ledger.looks.ended(NOW, NOW + 20)) == sorted([(early, Outcome.FAILED), (late, Outcome.SUCCESS)])
    assert await ledger.looks.ended(NOW + 21, NOW + 30) == []
