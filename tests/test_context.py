"""Work that outlives the call that began it."""

import asyncio
import logging

import pytest

from gateway.context import Tasks
from gateway.core.errors import Code, Refusal
from gateway.ledger.ledger import LedgerUnavailable


async def test_ac3_shielded_work_goes_on_when_the_one_who_waits_is_cancelled() -> None:
    tasks, done = Tasks(), asyncio.Event()

    async def work() -> None:
        await asyncio.sleep(0.01)
        done.set()

    waiting = asyncio.ensure_future(tasks.shield(work(), "work"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.wait_for(done.wait(), 1)


async def test_the_result_and_the_fault_reach_the_one_who_waits() -> None:
    tasks = Tasks()

    async def work(number: int) -> int:
        return 10 // number

    assert await tasks.shield(work(2), "fine") == 5
    with pytest.raises(ZeroDivisionError):
        await tasks.shield(work(0), "faulty")


async def test_an_unforeseen_fault_is_logged_by_the_tasks_name(caplog: pytest.LogCaptureFixture) -> None:
    async def fail(fault: Exception) -> None:
        raise fault

    tasks = Tasks()
    with caplog.at_level(logging.DEBUG, "gateway"):
        for fault in (ValueError("secret"), Refusal(Code.OVERLOADED, "later"), LedgerUnavailable("full")):
            await asyncio.wait([tasks.start(fail(fault), "look")])
        await asyncio.sleep(0)
    (record,) = caplog.records
    place = f"ValueError at {__name__}.fail:{fail.__code__.co_firstlineno + 1}"
    assert (record.getMessage(), record.fields) == ("task failed", {"task": "look", "error": place})  # type: ignore[attr-defined]  # the formatter's own field


async def test_finishing_waits_for_what_ends_in_time_and_cancels_the_rest() -> None:
    tasks = Tasks()
    short = tasks.start(asyncio.sleep(0.01, "done"), "short")
    endless = tasks.start(asyncio.sleep(60), "endless")
    await tasks.finish(0.2)
    assert short.result() == "done"
    assert endless.cancelled()


async def test_finishing_with_nothing_under_way_ends_at_once() -> None:
    await asyncio.wait_for(Tasks().finish(60), 1)
