import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway.core.lifecycle import State
from gateway.ledger.instances import LEASE
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.ledger.values import Admitted, OpenReservation
from tests.ledger.samples import NOW, reservation, reserve, run_sql, send


@pytest.fixture
async def other(ledger: Ledger, url: str) -> AsyncIterator[Ledger]:
    """A second gateway on the same ledger."""
    other = Ledger(url)
    await other.open()
    yield other
    await other.close()


async def doubtful(ledger: Ledger) -> OpenReservation:
    (found,) = [each for each in await ledger.jobless.all() if each.state is State.UNKNOWN]
    return found


async def test_gateways_that_share_a_ledger_know_of_each_other(ledger: Ledger, other: Ledger) -> None:
    assert await ledger.present(NOW) == {ledger.instance}
    await ledger.renew(NOW)
    await other.renew(NOW)
    assert await ledger.present(NOW) == await other.present(NOW) == {ledger.instance, other.instance}
    assert (ledger.replicas, other.replicas) == (1, 2)
    await ledger.renew(NOW + 1)
    assert ledger.replicas == 2


async def test_kl5_one_that_gives_no_sign_of_life_is_gone_and_may_come_back(ledger: Ledger, other: Ledger) -> None:
    await ledger.renew(NOW)
    await other.renew(NOW)
    assert other.instance in await ledger.present(NOW + LEASE - 0.1)
    assert await ledger.present(NOW + LEASE) == {ledger.instance}
    await ledger.renew(NOW + LEASE)
    assert ledger.replicas == 1
    await other.renew(NOW + LEASE + 1)
    assert other.replicas == 2


async def test_one_that_closes_is_gone_at_once(ledger: Ledger, other: Ledger) -> None:
    await ledger.renew(NOW)
    await other.renew(NOW)
    await other.close()
    assert await ledger.present(NOW) == {ledger.instance}


async def test_tw4_a_lease_from_a_clock_that_was_set_back_since_does_not_count(ledger: Ledger, other: Ledger) -> None:
    await other.renew(NOW + 3600)
    assert await ledger.present(NOW) == {ledger.instance}


async def test_kl5_one_that_was_cut_off_is_present_again_before_it_takes_on_a_create(
    ledger: Ledger, other: Ledger
) -> None:
    await other.renew(NOW)
    await ledger.renew(NOW + LEASE)
    assert await ledger.present(NOW + LEASE) == {ledger.instance}
    await reserve(other, reservation("a", at=NOW + LEASE))
    assert other.instance in await ledger.present(NOW + LEASE)
    assert await ledger.jobless.unattended(NOW + LEASE, 60) == []


async def test_one_that_was_cut_off_says_once_that_it_is_there_for_all_creates_that_come(url: str) -> None:
    done: list[str] = []
    ledger = Ledger(url, lambda name, _: done.append(name))
    await ledger.open()
    await asyncio.gather(*(ledger.reserve(reservation(str(number)), NOW) for number in range(10)))
    await ledger.close()
    assert (done.count("renew"), done.count("reserve")) == (1, 10)


async def test_a_create_that_cannot_be_present_is_refused_and_the_next_tries_anew(ledger: Ledger, url: str) -> None:
    run_sql(url, "ALTER TABLE instances RENAME TO gone")
    refused = await asyncio.gather(*(ledger.reserve(reservation(name), NOW) for name in "ab"), return_exceptions=True)
    assert [type(each) for each in refused] == [LedgerUnavailable] * 2
    run_sql(url, "ALTER TABLE gone RENAME TO instances")
    assert isinstance(await ledger.reserve(reservation("c"), NOW), Admitted)
    assert [each.id for each in await ledger.jobless.all()] == ["c"]


async def test_one_that_is_present_does_not_say_so_with_every_create(ledger: Ledger, other: Ledger) -> None:
    await other.renew(NOW)
    await reserve(other, reservation("a", at=NOW + 1))
    assert await ledger.present(NOW + LEASE) == {ledger.instance}


async def test_tw4_one_whose_clock_was_set_back_is_present_with_its_next_create(ledger: Ledger, other: Ledger) -> None:
    await other.renew(NOW + 3600)
    await reserve(other, reservation("a", at=NOW))
    assert other.instance in await ledger.present(NOW)


async def test_a_doubtful_create_is_looked_after_by_one_gateway(ledger: Ledger, other: Ledger) -> None:
    await send(ledger, reservation("a"))
    await ledger.doubt("a", NOW)
    left = await doubtful(ledger)
    assert left.instance == ledger.instance
    adopted = await asyncio.gather(*(other.jobless.adopt(left) for _ in range(5)))
    assert sorted(adopted) == [False, False, False, False, True]
    assert (await doubtful(ledger)).instance == other.instance
    assert not await ledger.jobless.adopt(left)


async def test_only_what_is_in_doubt_can_be_adopted(ledger: Ledger, other: Ledger) -> None:
    await send(ledger, reservation("a"))
    (running,) = await ledger.jobless.all()
    assert not await other.jobless.adopt(running)
