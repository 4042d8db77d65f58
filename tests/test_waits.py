"""How many may wait, what wakes them, and that no wait outlives its key."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest

from gateway.core.errors import Code, Refusal
from gateway.core.policy import Caller, Key, PolicySet, Scope, Team
from gateway.waits import MOST_OF_KEY, Wait, Waits

KEY = Key("main", "digest-a")
NOW = 1_800_000_000.0


class Clock:
    """The monotonic clock, and how many stand aside."""

    def __init__(self) -> None:
        self.now = 100.0
        self.aside = 0

    def wait(self, key: Key = KEY, seconds: float = 60.0, team: str = "a", pulse: float = 60.0) -> Wait:
        return Wait(Caller(Team(team, keys=(key,)), key), self.now + seconds, lambda: self.now, self._aside, pulse)

    @contextmanager
    def _aside(self) -> Iterator[None]:
        self.aside += 1
        yield
        self.aside -= 1


def policy(*keys: Key, team: str = "a") -> PolicySet:
    return PolicySet({team: Team(team, keys=keys)}, {})


async def test_lp2_a_key_may_wait_so_often_and_a_place_is_free_again() -> None:
    clock, waits = Clock(), Waits(1000)
    of_key = [clock.wait() for _ in range(MOST_OF_KEY)]
    for wait in of_key:
        waits.begin(wait)
    with pytest.raises(Refusal) as refused:
        waits.begin(clock.wait())
    assert (refused.value.code, refused.value.retry_after) == (Code.CONCURRENCY_EXCEEDED, 5)
    waits.begin(clock.wait(Key("other", "digest-b")))
    waits.leave(of_key[0])
    waits.begin(clock.wait())
    assert waits.count == MOST_OF_KEY + 1


async def test_qu8_a_team_gets_a_third_of_all_waits_however_many_keys_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.waits.MOST_OF_KEY", 2)
    clock, waits = Clock(), Waits(9)
    first = clock.wait(Key("main", "digest-0"))
    for wait in (first, *(clock.wait(Key("main", f"digest-{number}")) for number in (1, 2))):
        waits.begin(wait)
    with pytest.raises(Refusal, match="This team has 3 calls") as refused:
        waits.begin(clock.wait(Key("main", "digest-3")))
    assert refused.value.code is Code.CONCURRENCY_EXCEEDED
    waits.begin(clock.wait(Key("main", "digest-4"), team="b"))
    waits.leave(first)
    waits.begin(clock.wait(Key("main", "digest-3")))


@pytest.mark.parametrize(("most", "of_team"), [(299, 99), (90, 30), (3, 1), (2, 1)])
async def test_qu8_one_team_leaves_places_to_others_in_a_small_gateway_too(most: int, of_team: int) -> None:
    clock, waits = Clock(), Waits(most)
    for _ in range(of_team):
        waits.begin(clock.wait())
    with pytest.raises(Refusal, match="This team has") as refused:
        waits.begin(clock.wait())
    assert refused.value.code is Code.CONCURRENCY_EXCEEDED
    waits.begin(clock.wait(Key("main", "digest-b"), team="b"))


async def test_a_gateway_of_one_call_has_a_place_for_whoever_is_first() -> None:
    clock, waits = Clock(), Waits(1)
    waits.begin(clock.wait())
    with pytest.raises(Refusal) as refused:
        waits.begin(clock.wait(Key("main", "digest-b"), team="b"))
    assert refused.value.code is Code.OVERLOADED


async def test_lp2_there_are_no_more_waits_than_calls_in_all() -> None:
    clock, waits = Clock(), Waits(2)
    for number in range(2):
        waits.begin(clock.wait(Key("main", f"digest-{number}"), team=f"team-{number}"))
    with pytest.raises(Refusal) as refused:
        waits.begin(clock.wait())
    assert refused.value.code is Code.OVERLOADED


@pytest.mark.parametrize(
    ("in_force", "goes_on"),
    [
        (policy(KEY), True),
        (policy(replace(KEY, name="renamed")), True),
        (policy(replace(KEY, scopes=frozenset((Scope.JOBS_READ,)))), True),
        (policy(replace(KEY, scopes=frozenset((Scope.MODELS,)))), False),
        (policy(replace(KEY, expires=NOW)), False),
        (policy(replace(KEY, expires=NOW + 1)), True),
        (policy(KEY, team="b"), False),
        (policy(), False),
    ],
)
async def test_au8_a_wait_ends_with_its_key(in_force: PolicySet, goes_on: bool) -> None:  # noqa: FBT001
    waits, wait = Waits(10), Clock().wait()
    waits.begin(wait)
    waits.review(in_force, NOW)
    assert wait.is_over is not goes_on


async def test_sh2_a_drain_ends_all() -> None:
    clock, waits = Clock(), Waits(10)
    all_of_them = [clock.wait(Key("main", f"digest-{number}")) for number in range(3)]
    for wait in all_of_them:
        waits.begin(wait)
    waits.end_all()
    assert all(wait.is_over for wait in all_of_them)
    for wait in all_of_them:
        waits.leave(wait)
    assert waits.count == 0


async def test_a_wait_hears_of_news_and_stands_aside_meanwhile() -> None:
    clock = Clock()
    wait = clock.wait()
    news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(wait.for_either(news))
    await asyncio.sleep(0)
    assert (clock.aside, waiting.done()) == (1, False)
    clock.now += 7
    news.set_result(None)
    await waiting
    assert (clock.aside, wait.waited, wait.is_over) == (0, 7, False)


async def test_a_wait_ends_when_told_and_leaves_the_future_to_the_others() -> None:
    wait = Clock().wait()
    news: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(wait.for_either(news))
    await asyncio.sleep(0)
    wait.end()
    wait.end()
    await waiting
    assert (wait.is_over, news.done()) == (True, False)


@pytest.mark.parametrize("bounds", [{"pulse": 0.01}, {"seconds": 0.01}, {"seconds": -1.0}])
async def test_a_wait_without_news_ends_with_its_pulse_or_its_time(bounds: dict[str, float]) -> None:
    clock = Clock()
    wait = clock.wait(KEY, bounds.get("seconds", 60.0), "a", bounds.get("pulse", 60.0))
    await wait.for_either(asyncio.get_running_loop().create_future())
    assert clock.aside == 0
    clock.now += 0.01
    assert wait.is_over is ("seconds" in bounds)


async def test_at_a_key_that_another_team_has_now_only_the_former_teams_waits_end() -> None:
    clock, waits = Clock(), Waits(10)
    former, present = clock.wait(team="a"), clock.wait(team="b")
    for wait in (former, present):
        waits.begin(wait)
    waits.review(policy(KEY, team="b"), NOW)
    assert [former.is_over, present.is_over] == [True, False]


async def test_a_pulse_comes_when_nothing_was_told_for_its_length_whatever_woke_the_wait() -> None:
    clock = Clock()
    wait = clock.wait(pulse=10.0)
    clock.now += 9
    assert not wait.has_pulse()
    clock.now += 1
    assert [wait.has_pulse(), wait.has_pulse()] == [True, False]
    clock.now += 9
    wait.begin_pulse()
    clock.now += 9
    assert not wait.has_pulse()
    clock.now += 60
    assert wait.is_over
    assert not wait.has_pulse()
