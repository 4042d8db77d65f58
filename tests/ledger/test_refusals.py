"""Refused calls, as the ledger counts them."""

from gateway.ledger.ledger import Ledger
from gateway.ledger.reader import read_ledger
from gateway.ledger.values import Refused
from tests.ledger.samples import NOW

KIND = Refused("red", "web", "Veo3", "quota_exceeded", NOW)
QUARTER = 900.0


async def refused(ledger: Ledger, starts: float, ends: float, team: str | None = None) -> int:
    return sum(row.refused for row in await ledger.usage(team, starts, ends))


async def test_what_several_processes_count_adds_up(ledger: Ledger) -> None:
    await ledger.add_refusals({KIND: 2})
    await ledger.add_refusals({KIND: 3, Refused("red", "web", "Veo3", "rate_limited", NOW): 1})
    await ledger.add_refusals({})
    assert await refused(ledger, NOW, NOW + QUARTER) == 6


async def test_they_belong_to_their_quarter_of_an_hour_and_their_team(ledger: Ledger) -> None:
    await ledger.add_refusals({KIND: 1, Refused("blue", "web", "Veo3", "quota_exceeded", NOW + QUARTER): 10})
    assert await refused(ledger, NOW - QUARTER, NOW) == 0
    assert await refused(ledger, NOW, NOW + QUARTER) == 1
    assert await refused(ledger, NOW + QUARTER, NOW + 2 * QUARTER) == 10
    assert await refused(ledger, NOW, NOW + 2 * QUARTER) == 11
    assert await refused(ledger, NOW, NOW + 2 * QUARTER, "blue") == 10


async def test_a_command_reads_them_beside_the_gateway(ledger: Ledger, url: str) -> None:
    await ledger.add_refusals({KIND: 4})
    with read_ledger(url) as reader:
        assert [row.refused for row in reader.usage("red", NOW, NOW + QUARTER)] == [4]
