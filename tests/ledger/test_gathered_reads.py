"""Reads that are asked for together are made together, and none is answered by what was read before it came."""

import asyncio
from collections.abc import Sequence

import pytest

from gateway.ledger.faults import LedgerUnavailable
from gateway.ledger.gathered_reads import GatheredReads
from gateway.ledger.values import Owner

OWNER = Owner("red", "web", "Veo3", "default", created_at=0.0, price=1, charge_failed=False)


class Ledger:
    """Owners that a test gives out, and what was read at a time; each read waits for `go`."""

    def __init__(self) -> None:
        self.owners: dict[str, Owner] = {}
        self.asked: list[list[str]] = []
        self.go = asyncio.Event()
        self.away = False

    async def read(self, ids: Sequence[str]) -> dict[str, Owner]:
        self.asked.append(sorted(ids))
        found = {name: self.owners[name] for name in ids if name in self.owners}
        await self.go.wait()
        if self.away:
            raise LedgerUnavailable("away")
        return found


async def owner_of(reads: GatheredReads[Owner], name: str) -> Owner | None:
    return (await reads.read((name,))).get(name)


async def asking(reads: GatheredReads[Owner], *ids: str) -> "asyncio.Future[list[Owner | None]]":
    """Ask for all of them at once, and give whatever can begin the time to."""
    answers = asyncio.ensure_future(asyncio.gather(*(owner_of(reads, name) for name in ids)))
    for _ in range(5):
        await asyncio.sleep(0)
    return answers


async def test_what_comes_while_one_is_under_way_goes_together_in_the_next() -> None:
    ledger = Ledger()
    reads = GatheredReads(ledger.read)
    first = await asking(reads, "a")
    ledger.owners["b"] = OWNER
    second = await asking(reads, "a", "b", "c")
    third = await asking(reads, "c", "d")
    assert ledger.asked == [["a"]]
    ledger.go.set()
    assert await first == [None]
    assert await second == [None, OWNER, None]
    assert await third == [None, None]
    assert ledger.asked == [["a"], ["a", "b", "c", "d"]]


async def test_a_job_that_was_placed_meanwhile_is_found_by_who_asks_afterwards() -> None:
    ledger = Ledger()
    reads = GatheredReads(ledger.read)
    before = await asking(reads, "a")
    ledger.owners["a"] = OWNER
    after = await asking(reads, "a")
    ledger.go.set()
    assert [await before, await after] == [[None], [OWNER]]


async def test_a_ledger_that_is_away_is_told_to_all_who_asked_and_to_nobody_later() -> None:
    ledger = Ledger()
    ledger.away = True
    ledger.go.set()
    reads = GatheredReads(ledger.read)
    failed = await asyncio.gather(owner_of(reads, "a"), owner_of(reads, "b"), return_exceptions=True)
    assert [type(each) for each in failed] == [LedgerUnavailable, LedgerUnavailable]
    ledger.away = False
    assert await owner_of(reads, "a") is None


async def test_who_goes_away_takes_nothing_from_the_others() -> None:
    ledger = Ledger()
    ledger.owners["b"] = OWNER
    reads = GatheredReads(ledger.read)
    gone, there = await asking(reads, "a"), await asking(reads, "b")
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    ledger.go.set()
    assert await there == [OWNER]
