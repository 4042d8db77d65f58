"""Calls under way are bounded, and what must go on does so with nobody waiting."""

import asyncio

import pytest

from gateway.core.errors import Code
from gateway.upstream.answer import Answer
from gateway.upstream.failures import Sent, UpstreamFailure
from gateway.upstream.under_way import Limits, UnderWay

ANSWER = Answer(200, (), b"{}")


async def test_a_call_goes_on_when_whoever_waits_is_cancelled() -> None:
    under_way, go, ended = UnderWay(Limits(in_flight=10, answers=1000)), asyncio.Event(), asyncio.Event()

    async def call() -> Answer:
        await go.wait()
        ended.set()
        return ANSWER

    waiting = asyncio.ensure_future(under_way.run_to_its_end(call(), "create"))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(under_way) == 1
    go.set()
    await ended.wait()
    await asyncio.sleep(0)
    assert len(under_way) == 0


async def test_whoever_waits_gets_the_answer_or_what_was_raised() -> None:
    under_way = UnderWay(Limits(in_flight=10, answers=1000))

    async def call() -> Answer:
        return ANSWER

    async def failing() -> Answer:
        raise UpstreamFailure.broken_off()

    assert await under_way.run_to_its_end(call(), "create") is ANSWER
    with pytest.raises(UpstreamFailure, match="broke off"):
        await under_way.run_to_its_end(failing(), "create")


async def test_more_than_a_share_of_what_is_allowed_is_refused_before_anything_is_sent() -> None:
    under_way = UnderWay(Limits(in_flight=10, answers=1000))
    under_way.reads = 9
    under_way.check(1)
    with pytest.raises(UpstreamFailure) as refused:
        under_way.check(0.9)
    assert (refused.value.sent, refused.value.code, refused.value.retry_after) == (Sent.NEVER, Code.OVERLOADED, 1)


async def test_breaking_off_ends_what_nobody_else_would() -> None:
    under_way = UnderWay(Limits(in_flight=10, answers=1000))

    async def call() -> Answer:
        await asyncio.Event().wait()
        return ANSWER

    waiting = asyncio.ensure_future(under_way.run_to_its_end(call(), "create"))
    await asyncio.sleep(0)
    await under_way.break_off()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert len(under_way) == 0
