"""Work for many, a few at a time."""

import asyncio

import pytest

from gateway.context import Tasks
from gateway.ledger.ledger import LedgerUnavailable
from gateway.rounds import SHARE, Rounds, for_all


async def test_one_that_fails_leaves_no_other_running_behind() -> None:
    done: list[int] = []

    async def work(item: int) -> None:
        if not item:
            raise LookupError("away")
        await asyncio.sleep(0.01)
        done.append(item)

    with pytest.raises(LookupError):
        await for_all(range(5), work, 2)
    assert done == [1, 2, 3, 4]


async def test_only_so_many_are_done_at_once() -> None:
    under_way, most = 0, 0

    async def work(_: int) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1

    await for_all(range(30), work, 10)
    assert most == 10


def named(*items: int, team: str = "a") -> dict[str, tuple[str, int]]:
    return {f"{team}{item}": (team, item) for item in items}


@pytest.mark.parametrize(("most_calls", "slow"), [(2000, 146), (264, 8), (132, 4), (1, 1)])
async def test_what_is_slow_goes_on_beside_the_rounds_that_follow(
    monkeypatch: pytest.MonkeyPatch, most_calls: int, slow: int
) -> None:
    """Of one team so much is begun as it may have slow work; another team's is done all the same."""
    monkeypatch.setattr("gateway.rounds.PATIENCE", 0.01)
    rounds, go, tasks = Rounds(most_calls), asyncio.Event(), Tasks()
    begun: set[str] = set()

    async def work(name: str, _: int) -> None:
        begun.add(name)
        if name[0] != "b":
            await go.wait()

    for number in range(0, 600, 20):
        await asyncio.wait_for(rounds.run(named(*range(number, number + 20)), work, tasks.start, "work"), 5)
    assert slow <= len(begun) <= slow + rounds.at_once
    await asyncio.wait_for(rounds.run(named(*range(5), team="b"), work, tasks.start, "work"), 5)
    assert begun >= set(named(*range(5), team="b"))
    go.set()
    await asyncio.sleep(0.01)
    before = len(begun)
    await asyncio.wait_for(rounds.run(named(1000, 1001), work, tasks.start, "work"), 5)
    assert len(begun) == before + 2


@pytest.mark.parametrize("most_calls", [100, 200, 2000])
async def test_however_many_teams_are_slow_the_rounds_have_their_share_of_the_calls_and_no_more(
    monkeypatch: pytest.MonkeyPatch, most_calls: int
) -> None:
    monkeypatch.setattr("gateway.rounds.PATIENCE", 0.01)
    rounds, go, tasks = Rounds(most_calls), asyncio.Event(), Tasks()
    begun: list[str] = []

    async def work(name: str, _: int) -> None:
        begun.append(name)
        await go.wait()

    for team in "abcdefgh":
        for first in range(0, 400, 40):
            items = named(*range(first, first + 40), team=team)
            await asyncio.wait_for(rounds.run(items, work, tasks.start, "work"), 5)
    assert len(begun) <= most_calls // SHARE - rounds.at_once
    assert {name[0] for name in begun} >= set("abcdef"), "none keeps another from beginning anything"
    go.set()
    await asyncio.sleep(0.01)


async def test_what_goes_on_is_not_begun_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.rounds.PATIENCE", 0.01)
    rounds, go, tasks = Rounds(100), asyncio.Event(), Tasks()
    begun: list[str] = []

    async def work(name: str, _: int) -> None:
        begun.append(name)
        await go.wait()

    for _ in range(4):
        await asyncio.wait_for(rounds.run({"hung": ("a", 0)}, work, tasks.start, "work"), 5)
    assert begun == ["hung"]
    await rounds.run({"hung": ("a", 0), "other": ("a", 0)}, work, tasks.start, "work")
    assert begun == ["hung", "other"]
    go.set()
    await asyncio.sleep(0.01)
    await rounds.run({"hung": ("a", 0)}, work, tasks.start, "work")
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
