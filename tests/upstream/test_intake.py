"""Which answers are read on and which wait, without a connection."""

import asyncio
import time

import pytest

from gateway.core.errors import Code
from gateway.upstream.failures import Sent, UpstreamFailure
from gateway.upstream.intake import Intake, Reading

MIB = 1024**2


def create(intake: Intake, size: int) -> Reading:
    """The answer to a create, of which so much has come."""
    one = Reading(may_wait=True)
    intake.take(one, size)
    return one


def read(intake: Intake, size: int) -> Reading:
    """The answer to a read, of which so much has come."""
    one = Reading(may_wait=False)
    intake.take(one, size)
    return one


async def goes_on(intake: Intake, one: Reading) -> bool:
    """Whether more of it may be read, also after it has waited a little. It leaves if not."""
    if intake.has_room(one):
        return True
    try:
        await asyncio.wait_for(intake.wait(one), 0.02)
    except TimeoutError:
        intake.end(one)
        return False
    return True


async def test_rs5_a_read_that_finds_no_room_is_refused_unless_nothing_else_is_read() -> None:
    intake = Intake(MIB)
    first = read(intake, 2 * MIB)
    assert intake.has_room(first)
    second = read(intake, 1)
    assert not intake.has_room(second)
    with pytest.raises(UpstreamFailure) as raised:
        await intake.wait(second)
    failure = raised.value
    assert (failure.sent, failure.code, failure.retry_after) == (Sent.ANSWERED, Code.OVERLOADED, 1)
    intake.end(second)
    assert intake.has_room(first)
    intake.end(first)
    assert intake.has_room(read(intake, MIB))


async def test_rs5_creates_wait_in_a_line_and_leave_it_in_turn_as_room_comes_free() -> None:
    intake = Intake(MIB)
    beyond = create(intake, MIB + 1)
    await intake.wait(beyond)
    large = create(intake, MIB // 2)
    order: list[str] = []

    async def wait(name: str) -> Reading:
        one = create(intake, 1)
        await intake.wait(one)
        order.append(name)
        return one

    waiting = [asyncio.ensure_future(wait(name)) for name in "abcd"]
    await asyncio.sleep(0.01)
    assert order == []
    intake.end(beyond)
    await asyncio.sleep(0.01)
    assert order == ["a", "b"]  # a for whom there is room, b beyond it
    intake.end(large)
    await asyncio.sleep(0.01)
    assert order == ["a", "b", "c"]
    intake.end(waiting[1].result())
    await asyncio.wait_for(waiting[3], 1)


async def test_rs5_no_more_is_let_on_than_there_is_room_for() -> None:
    intake = Intake(4 * MIB)
    holders = [create(intake, MIB) for _ in range(5)]
    await intake.wait(holders[0])
    waiting = [create(intake, 1) for _ in range(60)]
    tasks = [asyncio.ensure_future(intake.wait(one)) for one in waiting]
    await asyncio.sleep(0.01)
    for holder in holders[1:3]:
        intake.end(holder)
    await asyncio.sleep(0.01)
    let_on = sum(task.done() for task in tasks)
    assert 1 <= let_on <= 4
    assert all(task.done() for task in tasks[:let_on])
    for task in tasks:
        task.cancel()


async def test_reads_leave_the_room_to_those_that_wait() -> None:
    intake = Intake(100 * MIB)
    beyond, other, gone = create(intake, 99 * MIB), create(intake, MIB // 2), create(intake, MIB)
    await intake.wait(beyond)
    waiting = asyncio.ensure_future(intake.wait(create(intake, 1)))
    await asyncio.sleep(0)
    intake.end(gone)
    assert (intake.has_room(read(intake, 1)), intake.has_room(other), waiting.done()) == (False, True, False)
    waiting.cancel()


async def test_a_create_larger_than_all_there_is_comes_in_and_the_next_after_it() -> None:
    intake = Intake(MIB)
    first, second = create(intake, 2 * MIB), create(intake, 2 * MIB)
    await intake.wait(first)
    for _ in range(10):
        intake.take(first, MIB)
        assert intake.has_room(first)
    waiting = asyncio.ensure_future(intake.wait(second))
    await asyncio.sleep(0.01)
    assert (waiting.done(), second.waits) == (False, True)
    intake.end(first)
    await asyncio.wait_for(waiting, 1)
    assert not second.waits
    assert intake.has_room(second)


async def test_a_create_that_comes_to_a_standstill_makes_way_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.intake.PATIENCE", 0.1)
    intake = Intake(MIB)
    stalled = create(intake, 2 * MIB)
    await intake.wait(stalled)
    second, third = create(intake, 1), create(intake, 1)
    last = asyncio.ensure_future(intake.wait(second)), asyncio.ensure_future(intake.wait(third))
    await asyncio.wait_for(last[0], 1)
    assert not last[1].done()
    assert not intake.has_room(stalled)
    intake.end(second)
    await asyncio.wait_for(last[1], 0.05)


async def test_a_create_that_moves_is_let_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.intake.PATIENCE", 0.2)
    intake = Intake(MIB)
    slow = create(intake, 2 * MIB)
    await intake.wait(slow)
    waiting = asyncio.ensure_future(intake.wait(create(intake, 1)))
    for _ in range(10):
        await asyncio.sleep(0.05)
        intake.take(slow, 1)
    assert (waiting.done(), intake.has_room(slow)) == (False, True)
    waiting.cancel()


async def test_one_that_waits_and_goes_leaves_nothing() -> None:
    intake = Intake(MIB)
    first = create(intake, 2 * MIB)
    assert await goes_on(intake, first)
    for _ in range(3):
        assert not await goes_on(intake, create(intake, MIB))
    intake.end(first)
    assert intake.has_room(read(intake, MIB))


async def test_rs5_many_that_are_read_take_no_more_steps_each_than_few() -> None:
    async def seconds_for(count: int) -> float:
        intake = Intake(20 * MIB)

        async def whole() -> None:
            one = Reading(may_wait=True)
            for _ in range(16):
                intake.take(one, MIB // 16)
                if not intake.has_room(one):
                    await intake.wait(one)
                await asyncio.sleep(0)
            intake.end(one)

        began = time.process_time()
        await asyncio.gather(*(whole() for _ in range(count)))
        return (time.process_time() - began) / count

    few = await seconds_for(200)
    assert await seconds_for(1800) < 5 * few
