"""Single flight, staleness, and bounds of the cache, on a clock the test turns."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cache import Cache, Fetched, How, Served
from gateway.core.freshness import MODELS, NEGATIVE, Rules


class Clock:
    """A monotonic clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Source:
    """Gives one value after another, or fails; counts how often it was asked, and waits while closed."""

    def __init__(self, rules: Rules = MODELS, size: int = 1) -> None:
        self.rules = rules
        self.size = size
        self.asked = 0
        self.age = 0.0
        self.failing = False
        self.open = asyncio.Event()
        self.open.set()

    async def __call__(self) -> Fetched[str]:
        self.asked += 1
        await self.open.wait()
        if self.failing:
            raise ConnectionError("down")
        return Fetched(f"value {self.asked}", self.size, self.rules, self.age)


async def settle() -> None:
    """Let what was started run."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_ch1_many_who_ask_at_once_share_one_fetch() -> None:
    cache, source = Cache(), Source()
    source.open.clear()
    asking = [asyncio.ensure_future(cache.get("k", source)) for _ in range(100)]
    await settle()
    source.open.set()
    served = await asyncio.gather(*asking)
    assert source.asked == 1
    assert [each.how for each in served] == [How.MISS] + [How.COLLAPSED] * 99
    assert {each.value for each in served} == {"value 1"}


async def test_ch1_the_first_who_goes_away_takes_nobody_with_him() -> None:
    cache, source = Cache(), Source()
    source.open.clear()
    first, second = (asyncio.ensure_future(cache.get("k", source)) for _ in range(2))
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    source.open.set()
    assert (await second).value == "value 1"
    assert source.asked == 1


async def test_ch1_a_fetch_goes_on_when_all_have_gone() -> None:
    cache, source = Cache(), Source()
    source.open.clear()
    only = asyncio.ensure_future(cache.get("k", source))
    await settle()
    only.cancel()
    source.open.set()
    await settle()
    assert "k" in cache
    assert (await cache.get("k", source)).how is How.HIT


async def test_ch1_a_failure_reaches_everyone_and_is_kept_nowhere() -> None:
    cache, source = Cache(), Source()
    source.failing = True
    asking = [asyncio.ensure_future(cache.get("k", source)) for _ in range(3)]
    assert all(isinstance(end, ConnectionError) for end in await asyncio.gather(*asking, return_exceptions=True))
    assert source.asked == 1
    assert "k" not in cache
    source.failing = False
    assert (await cache.get("k", source)).value == "value 2"


async def test_an_answer_grows_old_state_by_state() -> None:
    clock, source = Clock(), Source()
    cache = Cache(ticks=clock)
    assert (await cache.get("k", source)).how is How.MISS
    clock.now += 299
    served = await cache.get("k", source)
    assert (served.how, served.age) == (How.HIT, 299)

    source.failing = True
    clock.now += 2
    for _ in range(3):
        served = await cache.get("k", source)
        assert (served.how, served.value) == (How.STALE, "value 1")
        await settle()
    clock.now += 3600
    with pytest.raises(ConnectionError):
        await cache.get("k", source)
    kept = cache.on_error("k")
    assert kept is not None
    assert (kept.how, kept.value, kept.age) == (How.STALE_ERROR, "value 1", 3901)
    clock.now += 86400
    assert cache.on_error("k") is None
    assert cache.on_error("never") is None


async def test_what_is_brought_is_as_old_as_it_was_elsewhere_and_replaces_nothing() -> None:
    clock = Clock()
    cache, source = Cache(ticks=clock), Source()
    cache.bring("k", Fetched("brought", 1, MODELS, 299.0))
    assert await cache.get("k", source) == Served("brought", How.HIT, 299.0)
    clock.now += 1
    assert (await cache.get("k", source)).value == "brought"
    await settle()
    cache.bring("k", Fetched("brought again", 1, MODELS))
    assert (await cache.get("k", source)).value == "value 1"


async def test_one_refresh_runs_while_the_stale_answer_is_served() -> None:
    clock, source = Clock(), Source()
    cache = Cache(ticks=clock)
    await cache.get("k", source)
    clock.now += 301
    source.open.clear()
    for _ in range(5):
        assert (await cache.get("k", source)).how is How.STALE
        await settle()
    assert source.asked == 2
    source.open.set()
    await settle()
    served = await cache.get("k", source)
    assert (served.how, served.value, served.age) == (How.HIT, "value 2", 0)


async def test_negative_answers_are_kept_for_thirty_seconds() -> None:
    clock, source = Clock(), Source(NEGATIVE)
    cache = Cache(ticks=clock)
    await cache.get("k", source)
    clock.now += 29
    assert (await cache.get("k", source)).how is How.HIT
    clock.now += 2
    assert (await cache.get("k", source)).how is How.MISS
    assert source.asked == 2


async def test_a_caller_may_want_it_fresher() -> None:
    clock, source = Clock(), Source()
    cache = Cache(ticks=clock)
    await cache.get("k", source)
    clock.now += 30
    assert (await cache.get("k", source, fresher_than=31)).how is How.HIT
    assert (await cache.get("k", source, fresher_than=30)).value == "value 2"


async def test_a_fetch_may_bring_something_old() -> None:
    clock, source = Clock(), Source()
    cache = Cache(ticks=clock)
    source.age = 1000
    served = await cache.get("k", source)
    assert (served.how, served.age) == (How.STALE, 1000)
    source.age = 0
    assert (await cache.get("k", source)).how is How.STALE
    await settle()
    assert (await cache.get("k", source)).value == "value 2"


async def test_the_age_counts_from_the_question() -> None:
    clock, source = Clock(), Source()
    cache = Cache(ticks=clock)
    source.open.clear()
    asking = asyncio.ensure_future(cache.get("k", source))
    await settle()
    clock.now += 7
    source.open.set()
    assert (await asking).age == 7


async def test_what_is_larger_than_the_cache_is_served_and_not_kept() -> None:
    cache, source = Cache(largest=10_000), Source(size=20_000)
    assert (await cache.get("k", source)).value == "value 1"
    assert "k" not in cache


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4000)), max_size=60))
def test_rs5_the_sum_of_sizes_stays_within_the_bound(steps: list[tuple[int, int]]) -> None:
    async def run() -> None:
        cache = Cache(largest=10_000)
        for key, size in steps:
            await cache.get(key, _of_size(size), fresher_than=0)
            assert cache._entries.currsize <= 10_000
            assert cache._entries.currsize == sum(entry.size for entry in cache._entries.values())

    asyncio.run(run())


def _of_size(size: int) -> Callable[[], Awaitable[Fetched[int]]]:
    async def fetch() -> Fetched[int]:
        return Fetched(size, size, MODELS)

    return fetch


async def test_what_is_fresh_can_be_had_without_asking() -> None:
    ticks = [0.0]
    cache = Cache(ticks=lambda: ticks[0])

    async def fetch() -> Fetched[str]:
        return Fetched("value", 5, MODELS)

    assert cache.fresh("key") is None
    await cache.get("key", fetch)
    ticks[0] = MODELS.fresh - 1
    assert cache.fresh("key") == Served("value", How.HIT, MODELS.fresh - 1)
    ticks[0] = MODELS.fresh
    assert cache.fresh("key") is None
