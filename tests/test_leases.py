"""Request rates counted ahead: never beyond the limit, and hardly below it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gateway.leases
from gateway.core.limits import RequestBound, request_bounds
from gateway.leases import Leases
from gateway.ledger.ledger import Ledger
from tests.policy_texts import DIGEST, policy

NOW = 1_800_000_000.0
minutes = count(1)
"""A window of its own for every example."""


def bounds_of(limits: str, now: float = NOW) -> list[RequestBound]:
    """What team a's calls are bounded by."""
    text = f"team: a\nkeys: [{{name: k, hash: 'sha256:{DIGEST}'}}]\nmodels: {{allow: [Veo3]}}\nlimits: {limits}"
    (caller,) = policy(text).callers.values()
    return list(request_bounds(caller, now))


@pytest.fixture
async def ledger(tmp_path: Path) -> AsyncIterator[Ledger]:
    opened = Ledger(f"sqlite:///{tmp_path / 'gateway.db'}")
    await opened.open()
    yield opened
    await opened.close()


async def admitted(leases: Leases, bounds: list[RequestBound], times: int, now: float = NOW) -> int:
    """How many of so many calls at once get through."""
    answers = await asyncio.gather(*(leases.take(bounds, now) for _ in range(times)))
    return sum(answer is None for answer in answers)


@pytest.mark.parametrize("limit", [1, 7, 60, 1000])
async def test_qu9_calls_at_once_get_exactly_the_limit(ledger: Ledger, limit: int) -> None:
    bounds = bounds_of(f"[{limit} requests per minute]")
    leases = Leases(ledger)
    assert await admitted(leases, bounds, limit) == limit
    assert await admitted(leases, bounds, 5) == 0
    assert (await ledger.used([bounds[0].counter])).popitem()[1] == limit


@pytest.mark.parametrize("turned", [False, True])
async def test_one_bound_without_anything_at_hand_keeps_a_call_from_counting(ledger: Ledger, *, turned: bool) -> None:
    bounds = bounds_of("[200 requests per minute, 500 requests per hour]")  # two and five are taken ahead
    bounds = bounds[::-1] if turned else bounds
    leases = Leases(ledger)
    assert await leases.take(bounds, NOW) is None
    assert leases.take_at_hand(bounds)
    assert not leases.take_at_hand(bounds)
    assert [leases.used(bound) for bound in bounds] == [2, 2]


async def test_what_is_at_hand_is_counted_at_once_and_what_is_not_counts_nothing(ledger: Ledger) -> None:
    bounds = bounds_of("[200 requests per minute]")  # of which two are taken ahead at a time
    leases = Leases(ledger)
    assert not leases.take_at_hand(bounds)
    assert leases.used(bounds[0]) == 0
    assert await leases.take(bounds, NOW) is None
    assert [leases.take_at_hand(bounds) for _ in range(2)] == [True, False]
    assert leases.used(bounds[0]) == 2


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=st.integers(1, 400),
    processes=st.integers(1, 4),
    windows=st.lists(
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 120)), min_size=1, max_size=12), min_size=1, max_size=2
    ),
)
async def test_qu9_processes_together_never_pass_the_limit_and_reach_98_percent_of_it(
    ledger: Ledger, limit: int, processes: int, windows: list[list[tuple[int, int]]]
) -> None:
    ledger.replicas = processes
    leases = [Leases(ledger) for _ in range(processes)]
    for schedule in windows:
        now = NOW + 60 * next(minutes)
        bounds = bounds_of(f"[{limit} requests per minute]", now)
        bursts = (admitted(leases[who % processes], bounds, times, now) for who, times in schedule)
        through = sum(await asyncio.gather(*bursts))
        asked = sum(times for _, times in schedule)
        assert min(asked, 0.98 * limit) <= through <= limit


async def test_qu9_a_call_that_one_bound_refuses_counts_on_none(ledger: Ledger) -> None:
    bounds = bounds_of("[100 requests per hour, 2 requests per minute]")
    leases = Leases(ledger)
    answers = [await leases.take(bounds, NOW) for _ in range(5)]
    assert [answer and answer.limit.name for answer in answers] == [None, None, *["requests-minute"] * 3]
    assert {bound.limit.name: leases.used(bound) for bound in bounds} == {"requests-hour": 2, "requests-minute": 2}


async def test_a_batch_is_handed_out_without_asking_the_ledger(ledger: Ledger) -> None:
    bounds = bounds_of("[1000 requests per minute]")
    leases = Leases(ledger)
    assert await leases.take(bounds, NOW) is None
    await ledger.close()
    assert [await leases.take(bounds, NOW) for _ in range(9)] == [None] * 9


async def test_a_raised_limit_admits_at_once_and_a_new_window_too(ledger: Ledger) -> None:
    leases = Leases(ledger)
    assert await admitted(leases, bounds_of("[2 requests per minute]"), 5) == 2
    assert await admitted(leases, bounds_of("[3 requests per minute]"), 5) == 1
    assert await admitted(leases, bounds_of("[2 requests per minute]", NOW + 60), 5, NOW + 60) == 2


async def test_a_shadow_bound_counts_on_and_refuses_nothing(ledger: Ledger) -> None:
    bounds = bounds_of("[{limit: 2 requests per minute, mode: shadow}]")
    leases = Leases(ledger)
    assert await admitted(leases, bounds, 5) == 5
    assert leases.used(bounds[0]) == 5


async def test_without_the_ledger_calls_go_on_within_the_limit(ledger: Ledger) -> None:
    bounds = bounds_of("[20 requests per minute]")
    leases = Leases(ledger)
    assert await admitted(leases, bounds, 5) == 5
    await ledger.close()
    assert await admitted(leases, bounds, 100) == 15


async def test_what_was_let_pass_without_the_ledger_is_counted_when_it_is_back(ledger: Ledger, tmp_path: Path) -> None:
    bounds = bounds_of("[20 requests per minute]")
    leases = Leases(ledger)
    assert await admitted(leases, bounds, 5) == 5
    await ledger.close()
    assert await admitted(leases, bounds, 10) == 10
    await ledger.open()
    assert await admitted(leases, bounds, 100) == 5
    assert (await ledger.used([bounds[0].counter])).popitem()[1] == 20


async def test_what_is_held_ahead_is_not_shown_as_used(ledger: Ledger) -> None:
    bounds = bounds_of("[1000 requests per minute]")
    leases = Leases(ledger)
    await admitted(leases, bounds, 3)
    counter = bounds[0].counter
    assert await ledger.used([counter]) == {counter: 10}
    assert leases.less_held({counter: 10, "another": 4}) == {counter: 3, "another": 4}


async def test_qu9_several_gateways_hold_no_more_together_than_one(ledger: Ledger) -> None:
    bounds = bounds_of("[1000 requests per minute]")
    ledger.replicas = 5
    for _ in range(5):
        assert await admitted(Leases(ledger), bounds, 1) == 1
    assert await ledger.used([bounds[0].counter]) == {bounds[0].counter: 10}


async def test_rs3_ended_windows_are_forgotten(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.leases._MOST_COUNTERS", 3)
    leases = Leases(ledger)
    for minute in range(10):
        now = NOW + 60 * minute
        await leases.take(bounds_of("[2 requests per minute]", now), now)
    assert len(leases._held) <= 3


async def test_what_is_held_comes_back_at_the_end(ledger: Ledger) -> None:
    bounds = bounds_of("[1000 requests per minute]")
    leases = Leases(ledger)
    assert await admitted(leases, bounds, 3) == 3
    assert (await ledger.used([bounds[0].counter])).popitem()[1] > 3
    await leases.close()
    assert (await ledger.used([bounds[0].counter])).popitem()[1] == 3
    await leases.close()
    assert (await ledger.used([bounds[0].counter])).popitem()[1] == 3


async def test_le5_an_end_without_the_ledger_is_an_end_all_the_same(ledger: Ledger) -> None:
    leases = Leases(ledger)
    assert await admitted(leases, bounds_of("[1000 requests per minute]"), 3) == 3
    await ledger.close()
    await leases.close()
    assert leases.used(bounds_of("[1000 requests per minute]")[0]) == 0


async def test_use_is_never_told_as_less_than_none(ledger: Ledger) -> None:
    bounds = bounds_of("[1000 requests per minute]")
    leases = Leases(ledger)
    before = await ledger.used([bounds[0].counter])
    assert await admitted(leases, bounds, 3) == 3  # for whom ten are taken ahead meanwhile
    assert leases.less_held(before) == {bounds[0].counter: 0}


async def test_rs3_counters_that_all_live_are_not_looked_through_for_each_new_one(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway.leases, "_MOST_COUNTERS", 8)
    leases = Leases(ledger)
    (bound,) = bounds_of("[1000 requests per day]")
    looked_at: list[float] = []

    class Ends(float):
        """When a window ends; it notes each comparison with the clock."""

        def __gt__(self, now: float) -> bool:
            looked_at.append(now)
            return float(self) > now

    for number in range(64):
        each = replace(bound, counter=f"requests/a/{number}/day/", window_ends=Ends(NOW + 60))
        assert await leases.take([each], NOW) is None
    assert len(looked_at) < 2 * 64
    for number in range(64):
        each = replace(bound, counter=f"requests/a/{number}/tomorrow/", window_ends=NOW + 120)
        assert await leases.take([each], NOW + 60) is None
    assert leases.used(replace(bound, counter="requests/a/0/day/")) == 0, "what has ended is forgotten"
