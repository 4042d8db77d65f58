"""What could not be written is written as soon as the ledger is back, behind the caller's back."""

import asyncio

import pytest

from gateway import insistence
from gateway.insistence import insist, insist_quietly
from gateway.ledger.ledger import LedgerUnavailable
from tests.conftest import House, OpenHouse, team


class Away:
    """A write that fails so many times first."""

    def __init__(self, times: int) -> None:
        self.left = times
        self.done = asyncio.Event()

    async def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise LedgerUnavailable("away")
        self.done.set()
        return "written"


@pytest.fixture
async def house(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> House:
    monkeypatch.setattr(insistence, "_AGAIN", (0.01,))
    opened: House = await open_house({"a.yaml": team("a", "key")})
    return opened


def failures(house: House) -> bytes:
    text: bytes = house.gw.metrics.render("")[0]
    return next(line for line in text.splitlines() if line.startswith(b"gateway_settlement_errors_total"))


async def test_what_can_be_written_is_written_at_once(house: House) -> None:
    assert await insist(house.gw, Away(0)) == "written"
    assert failures(house).endswith(b" 0.0")


async def test_what_settles_is_repeated_until_it_holds_and_its_failure_counted(house: House) -> None:
    write = Away(3)
    assert await insist(house.gw, write) is None
    await asyncio.wait_for(write.done.wait(), 10)
    assert failures(house).endswith(b" 1.0")


async def test_what_is_no_settlement_wakes_nobody(house: House) -> None:
    write = Away(2)
    assert await insist_quietly(house.gw, write) is None
    await asyncio.wait_for(write.done.wait(), 10)
    assert failures(house).endswith(b" 0.0")
