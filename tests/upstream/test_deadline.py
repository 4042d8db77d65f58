"""A deadline ends what it was made for and nothing else."""

import asyncio

import pytest

from gateway.upstream.deadline import Deadline


async def test_a_deadline_cancels_its_task_and_says_so() -> None:
    deadline = Deadline(0.01)
    with pytest.raises(asyncio.CancelledError):
        await asyncio.get_running_loop().create_future()
    assert deadline.passed
    deadline.end()
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    async with asyncio.timeout(5):  # whose count of cancellations must not be off
        await asyncio.sleep(0)


async def test_a_deadline_that_is_ended_does_nothing() -> None:
    deadline = Deadline(0.01)
    deadline.end()
    await asyncio.sleep(0.05)
    assert not deadline.passed


async def test_another_cancellation_is_not_the_deadlines() -> None:
    async def work() -> bool:
        deadline = Deadline(60)
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            return deadline.passed
        finally:
            deadline.end()
        return True

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    task.cancel()
    assert await task is False
