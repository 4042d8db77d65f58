"""Calls to upstream that are under way for a job: shared while they are young, given up for one that was sooner."""

import asyncio

import pytest

from gateway.looks import Look, Looks, Seen
from gateway.upstream.client import Answer, UpstreamFailure


def record(status: str = "queued", *, etag: bytes = b'"1"') -> Seen:
    return Seen(Answer(200, (), status.encode()), 0.0, terminal=False, etag=etag)


class Looking:
    """One look, whose answer is what `answer` is set to, and somebody who shares it from its beginning."""

    def __init__(self, looks: Looks, asked_at: float) -> None:
        self._looks = looks
        self._asked_at = asked_at
        self.answer: asyncio.Future[Seen] = asyncio.get_running_loop().create_future()
        self.look: Look | None = None
        self.news: asyncio.Future[Seen] | None = None
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> Seen | None:
        self.look = self._looks.begin("one", self._asked_at)
        self.news = self.look.news
        outcome: Seen | None = None
        try:
            outcome = await self.answer
        except asyncio.CancelledError:
            outcome = self.look.give_way()
            if outcome is None:
                raise
        finally:
            self._looks.end("one", self.look, outcome)
        return outcome


async def begun(looks: Looks, *asked_at: float) -> list[Looking]:
    looking = [Looking(looks, each) for each in asked_at]
    await asyncio.sleep(0)
    return looking


def news_of(looking: Looking) -> "asyncio.Future[Seen]":
    assert looking.news is not None
    return looking.news


async def test_a_look_is_shared_until_it_is_done() -> None:
    looks = Looks()
    (one,) = await begun(looks, 5.0)
    assert looks.is_under_way("one")
    assert looks.to_share("one", 5.9) is news_of(one)
    one.answer.set_result(record())
    assert await one.task is await news_of(one)
    assert not looks.is_under_way("one")
    assert looks.to_share("one", 5.9) is None


async def test_a_look_that_nobody_shares_ends_without_a_word() -> None:
    looks = Looks()
    for outcome in (record(), UpstreamFailure.broken_off(), None):
        look = looks.begin("one", 5.0)
        looks.end("one", look, outcome)
        assert not looks.is_under_way("one")


async def test_a_look_that_lasts_is_not_shared_but_where_there_are_as_many_as_may_be() -> None:
    looks = Looks()
    (first,) = await begun(looks, 5.0)
    assert looks.to_share("one", 6.0) is None
    (second,) = await begun(looks, 6.0)
    assert looks.to_share("one", 6.5) is looks.to_share("one", 60.0) is news_of(second)
    first.answer.set_result(record())
    await first.task
    assert looks.is_under_way("one")
    assert looks.to_share("one", 60.0) is None
    second.answer.set_result(record())
    await second.task
    assert not looks.is_under_way("one")


async def test_whoever_shares_a_look_that_is_broken_off_is_told_so() -> None:
    looks = Looks()
    (one,) = await begun(looks, 5.0)
    one.task.cancel()
    with pytest.raises(UpstreamFailure, match="broke off"):
        await news_of(one)
    assert one.task.cancelled()


async def test_a_look_that_hangs_gives_way_to_one_that_was_begun_later() -> None:
    looks, brought = Looks(), record()
    first, second = await begun(looks, 5.0, 6.0)
    second.answer.set_result(brought)
    assert await first.task is await news_of(first) is brought
    assert first.answer.cancelled()
    assert not looks.is_under_way("one")
    assert first.task.cancelling() == 0


async def test_it_does_not_give_way_to_an_error_nor_once_it_is_answered_nor_to_an_older_one() -> None:
    looks = Looks()
    first, second = await begun(looks, 5.0, 6.0)
    second.answer.set_result(record(etag=b""))
    await second.task
    (third,) = await begun(looks, 7.0)
    assert first.look is not None
    first.look.is_answered = True
    third.answer.set_result(record())
    await third.task
    (fourth,) = await begun(looks, 8.0)
    first.answer.set_result(record("late"))
    assert (await first.task) == record("late")
    assert fourth.look is not None
    assert fourth.look.overlapped
    assert not fourth.task.done()
    fourth.answer.set_result(record())
    await fourth.task


async def test_whose_caller_went_away_as_well_is_cancelled_all_the_same() -> None:
    looks = Looks()
    first, second = await begun(looks, 5.0, 6.0)
    second.answer.set_result(record())
    first.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first.task
    assert first.task.cancelled()
