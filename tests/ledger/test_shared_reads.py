"""Of one team one read is under way at most, and none is answered by what was read before it asked."""

import asyncio
from typing import cast

import pytest

from gateway.ledger import usage
from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.outbox import Doing
from gateway.ledger.shared_reads import SharedReads
from gateway.ledger.values import UsageRow


class Ledger:
    """Jobs that a test counts up, and whose usage was read; each read waits for `go`."""

    def __init__(self) -> None:
        self.jobs = 0
        self.read_for: list[str | None] = []
        self.go = asyncio.Event()
        self.away = False

    async def read(self, _name: str, _work: object, team: str | None, *_: object) -> list[UsageRow]:
        self.read_for.append(team)
        rows = [UsageRow(team or "", "web", "Veo3", self.jobs, *[0] * 7)]
        await self.go.wait()
        if self.away:
            raise LedgerUnavailable("away")
        return rows


def reads_of(ledger: Ledger) -> SharedReads[list[UsageRow]]:
    return SharedReads(cast("Doing", ledger.read), "usage", usage.usage)


async def asking(reads: SharedReads[list[UsageRow]], *teams: str) -> "asyncio.Future[list[list[UsageRow]]]":
    """Ask for all of them at once, and give whatever can begin the time to."""
    answers = asyncio.ensure_future(asyncio.gather(*(reads.read(team, 0.0, 1.0) for team in teams)))
    for _ in range(5):
        await asyncio.sleep(0)
    return answers


async def test_qu8_a_team_that_asks_often_has_one_read_at_a_time_and_others_theirs() -> None:
    ledger = Ledger()
    reads = reads_of(ledger)
    first = await asking(reads, "a")
    ledger.jobs = 1
    more = await asking(reads, *["a"] * 50, "b")
    assert ledger.read_for == ["a", "b"]
    ledger.go.set()
    assert [row.jobs for (row,) in await first] == [0]
    assert [row.jobs for (row,) in await more] == [1] * 51
    assert ledger.read_for == ["a", "b", "a"]
    ledger.jobs = 2
    assert [row.jobs for (row,) in await (await asking(reads, "a"))] == [2]
    assert (reads._next, reads._latest) == ({}, {})


async def test_reads_of_one_team_for_different_things_take_turns_as_well() -> None:
    ledger = Ledger()
    reads = reads_of(ledger)
    asking = [asyncio.ensure_future(reads.read("a", 0.0, number)) for number in range(3)]
    await asyncio.sleep(0.01)
    assert ledger.read_for == ["a"]
    ledger.go.set()
    assert len(await asyncio.gather(*asking)) == 3
    assert ledger.read_for == ["a"] * 3


async def test_a_team_that_asks_all_the_time_leaves_a_breath_between_its_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.ledger.shared_reads._BREATH", 0.2)
    ledger = Ledger()
    reads = reads_of(ledger)
    clock = asyncio.get_running_loop().time
    began = clock()
    first, second = await asking(reads, "a"), await asking(reads, "a")
    ledger.go.set()
    await first
    assert clock() - began < 0.2, "one that has just come is not made to wait"
    await second
    assert clock() - began >= 0.2


async def test_whoever_leaves_takes_nobodys_answer_away() -> None:
    ledger = Ledger()
    reads = reads_of(ledger)
    leaving, staying = await asking(reads, "a"), await asking(reads, "a")
    leaving.cancel()
    ledger.go.set()
    assert [row.jobs for (row,) in await staying] == [0]


async def test_nothing_is_read_for_those_who_left_before_their_turn() -> None:
    ledger = Ledger()
    reads = reads_of(ledger)
    first = await asking(reads, "a")
    leaving = [asyncio.ensure_future(reads.read("a", 0.0, 2.0 + number)) for number in range(50)]
    await asyncio.sleep(0.01)
    for each in leaving:
        each.cancel()
    last = await asking(reads, "a")
    ledger.go.set()
    await first
    await last
    assert ledger.read_for == ["a", "a"]
    assert (reads._next, reads._latest) == ({}, {})


async def test_a_read_that_fails_fails_those_who_share_it_alone() -> None:
    ledger = Ledger()
    ledger.away = True
    reads = reads_of(ledger)
    ledger.go.set()
    with pytest.raises(LedgerUnavailable):
        await (await asking(reads, "a", "a"))
    ledger.away = False
    assert [row.team for (row,) in await (await asking(reads, "a"))] == ["a"]
