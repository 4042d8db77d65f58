"""Work for many, a few at a time."""

import asyncio

import pytest

from gateway.context import Tasks
from gateway.ledger.ledger import LedgerUnavailable
from gateway.rounds import AT_ONCE, Rounds, for_all


async def test_one_that_fails_leaves_no_other_running_behind() -> None:
    done: list[int] = []

    async def work(item: int) -> None:
        if not item:
            raise LookupError("away")
        await asyncio.sleep(0.01)
        done.append(item)

    with pytest.raises(LookupError):
        await for_all(range(5), work)
    assert done == [1, 2, 3, 4]


async def test_only_so_many_are_done_at_once() -> None:
    under_way, most = 0, 0

    async def work(_: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    await for_all(range(3 * AT_ONCE), work)
    assert most == AT_ONCE


def named(*items: int) -> dict[str, int]:
    return {str(item): item for item in items}


@pytest.mark.parametrize(("most_calls", "most_slow", "allowed"), [(132, 512, 17), (2000, 33, 33), (1, 512, 1)])
async def test_what_is_slow_goes_on_beside_the_rounds_that_follow(
    monkeypatch: pytest.MonkeyPatch, most_calls: int, most_slow: int, allowed: int
) -> None:
    monkeypatch.setattr("gateway.rounds.PATIENCE", 0.01)
    monkeypatch.setattr("gateway.rounds.MOST_SLOW", most_slow)
    rounds, go, tasks = Rounds(most_calls), asyncio.Event(), Tasks()
    begun: list[int] = []

    async def work(_: str, item: int) -> None:
        begun.append(item)
        await go.wait()

    await rounds.run(named(*range(allowed)), work, tasks.start, "work")
    crowded = asyncio.ensure_future(rounds.run(named(allowed), work, tasks.start, "work"))
    await asyncio.sleep(0.05)
    assert (begun, crowded.done()) == ([*range(allowed + 1)], False)
    go.set()
    await asyncio.wait_for(crowded, 5)


async def test_what_goes_on_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rounds.PATIENCE", 0.01)
    rounds, go, tasks = Rounds(100), asyncio.Event(), Tasks()
    begun: list[str] = []

    async def work(name: str, _: int) -> None:
        begun.append(name)
        await go.wait()

    for _ in range(4):
        await asyncio.wait_for(rounds.run({"hung": 0}, work, tasks.start, "work"), 5)
    assert begun == ["hung"]
    await rounds.run({"hung": 0, "other": 0}, work, tasks.start, "work")
    assert begun == ["hung", "other"]
    go.set()
    await asyncio.sleep(0.01)
    await rounds.run({"hung": 0}, work, tasks.start, "work")
    assert begun == ["hung", "other", "hung"]


async def test_what_fails_in_a_round_is_told_when_all_are_done() -> None:
    rounds, tasks = Rounds(100), Tasks()
    done: list[int] = []

    async def work(_: str, item: int) -> None:
        if not item:
            raise LedgerUnavailable("away")
        await asyncio.sleep(0.01)
        done.append(item)

    with pytest.raises(LedgerUnavailable):
        await rounds.run(named(0, 1, 2), work, tasks.start, "work")
    assert done == [1, 2]
