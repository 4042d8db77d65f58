"""A deadline ends what it was made for and nothing else."""

import asyncio

import pytest

from gateway.upstream.deadline import Deadlines


async def test_a_deadline_cancels_its_task_and_says_so() -> None:
    deadlines = Deadlines(0.01)
    deadline = deadlines.begin()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.get_running_loop().create_future()
    assert deadline.passed
    deadlines.end(deadline)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(5):  # whose count of cancellations must not be off
        await asyncio.sleep(0)


async def test_a_deadline_that_is_ended_does_nothing() -> None:
    deadlines = Deadlines(0.01)
    deadline = deadlines.begin()
    deadlines.end(deadline)
    await asyncio.sleep(0.05)
    assert not deadline.passed


async def test_another_cancellation_is_not_the_deadlines() -> None:
    deadlines = Deadlines(60)

    async def work() -> bool:
        deadline = deadlines.begin()
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return deadline.passed
        finally:
            deadlines.end(deadline)
        return True

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    assert await task is False
    deadlines.close()


async def test_each_task_has_its_own_time_from_when_it_began() -> None:
    deadlines = Deadlines(0.1)
    loop = asyncio.get_running_loop()

    async def wait_for_the_end() -> float:
        began = loop.time()
        deadline = deadlines.begin()
        try:
            await loop.create_future()
        except asyncio.CancelledError:
            assert deadline.passed
        finally:
            deadlines.end(deadline)
        return loop.time() - began

    async def begin_later() -> float:
        await asyncio.sleep(0.06)
        return await wait_for_the_end()

    spared = deadlines.begin()
    tasks = [asyncio.ensure_future(each()) for each in (wait_for_the_end, begin_later, wait_for_the_end)]
    await asyncio.sleep(0.01)
    deadlines.end(spared)
    lasted = await asyncio.gather(*tasks)
    assert all(seconds >= 0.099 for seconds in lasted), lasted
    assert not spared.passed
