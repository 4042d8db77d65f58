"""Jobs that nobody asks about, or that upstream does not answer for. How a round goes on: also test_settlement.py."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from gateway import following
from gateway.core.lifecycle import Outcome
from gateway.core.policy import JOB_TIMEOUT
from gateway.following import UNASKED_AT_MOST
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.values import DueJob
from tests.clocks import WallClock, wall_clock
from tests.conftest import House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.test_settlement import LIMITS, books, created

__all__ = ["wall_clock"]


async def test_a_job_is_not_closed_for_its_age_because_there_was_no_asking(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        request_id = await created(house.client("key"))
        upstream.jobs[request_id]["status"] = "failed"
        wall_clock.advance(JOB_TIMEOUT + 1)
        crowd(house, 10**6)
        await following.follow(house.gw)
        crowd(house, -(10**6))
        assert upstream.calls("GET", f"{Q}/requests/{request_id}") == []
        assert await outcome(house, request_id) is None
        wall_clock.advance(60)
        await following.follow(house.gw)
        assert await outcome(house, request_id) is Outcome.FAILED
        assert await books(house) == (1, 0, 0)


async def test_a_job_is_closed_in_the_end_though_upstream_can_never_be_asked(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        request_id = await created(house.client("key"))
        crowd(house, 10**6)
        wall_clock.advance(JOB_TIMEOUT + UNASKED_AT_MOST + 1)
        await following.follow(house.gw)
        crowd(house, -(10**6))
        assert upstream.calls("GET", f"{Q}/requests/{request_id}") == []
        assert await outcome(house, request_id) is Outcome.EXPIRED
        jobs, slots, money = await books(house)
        assert (jobs, slots, money > 0) == (1, 0, True)  # the slot is free, the money stays


async def test_az3_a_job_that_is_due_has_its_owner_confirmed_by_the_ledger(
    open_house: OpenHouse, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        client = house.client("key")
        due, other = await created(client), await created(client)
        for request_id in (due, other):
            owner = house.gw.jobs.owner(request_id, house.gw.ticks())
            assert owner is not None
            house.gw.jobs.remember_owner(request_id, owner, house.gw.ticks() - 40)
        await house.gw.ledger.looks.begin([other], wall_clock() + 20)
        wall_clock.advance(10)
        await following.follow(house.gw)
        await house.gw.ledger.close()
        monkeypatch.setattr("gateway.memory.OWNER_TRUSTED_FOR", 30.0)
        answers = [await client.get(f"{Q}/requests/{request_id}") for request_id in (due, other)]
        assert [answer.status_code for answer in answers] == [200, 503]


@pytest.fixture
async def unhurried(
    open_house: OpenHouse, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[House, FakeUpstream]]:
    """A gateway that takes one job at a time, and follows only when a test says so."""
    monkeypatch.setattr("gateway.following._TAKEN_AT_ONCE", 1)
    monkeypatch.setattr("gateway.duties.SETTLE_EVERY", 60.0)
    async with FakeUpstream() as upstream:
        yield await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url), upstream


@pytest.mark.parametrize(("patience", "looked_at"), [(60.0, [0, 0, 0, 0]), (0.0, [0, 1, 2, 3])])
async def test_one_round_looks_at_more_jobs_than_are_taken_at_once(
    unhurried: tuple[House, FakeUpstream],
    wall_clock: WallClock,
    monkeypatch: pytest.MonkeyPatch,
    patience: float,
    looked_at: list[int],
) -> None:
    monkeypatch.setattr("gateway.following._PATIENCE", patience)
    house, upstream = unhurried
    request_ids = await ended(house, upstream, 3)
    wall_clock.advance(10)
    looked: list[int] = []
    real = house.gw.ledger.looks.take

    async def take(now: float, limit: int) -> list[DueJob]:
        looked.append(sum(each.target.startswith(f"{Q}/requests/") for each in upstream.received))
        taken: list[DueJob] = await real(now, limit)
        return taken

    monkeypatch.setattr(house.gw.ledger.looks, "take", take)
    await following.follow(house.gw)
    assert looked == looked_at
    assert [await outcome(house, request_id) for request_id in request_ids] == [Outcome.SUCCESS] * 3


async def test_one_round_looks_at_so_many_jobs_and_no_more(
    unhurried: tuple[House, FakeUpstream], wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.following._LOOKS_A_ROUND", 2)
    monkeypatch.setattr("gateway.following._PATIENCE", 60.0)
    house, upstream = unhurried
    request_ids = await ended(house, upstream, 3)
    wall_clock.advance(10)
    for left in (1, 0):
        await following.follow(house.gw)
        assert [await outcome(house, request_id) for request_id in request_ids].count(None) == left


async def test_a_job_that_a_client_is_asking_about_is_not_asked_about_twice(
    unhurried: tuple[House, FakeUpstream], wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.rounds.PATIENCE", 60.0)
    house, upstream = unhurried
    request_id = await created(house.client("key"))
    path = f"{Q}/requests/{request_id}"
    upstream.hung.add(path)
    poll = asyncio.ensure_future(house.client("key").get(path))
    await house.eventually(lambda: upstream.calls("GET", path))
    wall_clock.advance(10)
    await asyncio.wait_for(following.follow(house.gw), 5)
    assert len(upstream.calls("GET", path)) == 1
    poll.cancel()


async def test_what_was_found_due_is_looked_at_though_the_ledger_fails_then(
    open_house: OpenHouse, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.following._TAKEN_AT_ONCE", 1)
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        request_ids = await ended(house, upstream, 2)
        wall_clock.advance(10)
        takes, real = 0, house.gw.ledger.looks.take

        async def take(now: float, limit: int) -> list[DueJob]:
            nonlocal takes
            takes += 1
            if takes > 1:
                raise LedgerUnavailable("gone for a while")
            taken: list[DueJob] = await real(now, limit)
            return taken

        monkeypatch.setattr(house.gw.ledger.looks, "take", take)
        await following.follow(house.gw)
        assert sorted([str(await outcome(house, request_id)) for request_id in request_ids]) == ["None", "success"]
        with pytest.raises(LedgerUnavailable):
            await following.follow(house.gw)


async def test_a_job_that_hangs_is_followed_once_however_often_it_is_due(
    open_house: OpenHouse, wall_clock: WallClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.rounds.PATIENCE", 0.01)
    async with FakeUpstream() as upstream:
        house = await open_house({"a.yaml": team("a", "key", LIMITS)}, upstream=upstream.url)
        request_id = await created(house.client("key"))
        upstream.hung.add(f"{Q}/requests/{request_id}")
        for _ in range(4):
            wall_clock.advance(60)
            house.gw.jobs._owners.clear()
            await asyncio.wait_for(following.follow(house.gw), 5)
        assert [task.get_name() for task in asyncio.all_tasks()].count("follow") == 1


def crowd(house: House, calls: int) -> None:
    """Let so many more calls to upstream be under way than there are."""
    house.gw.upstream._under_way.reads += calls


async def outcome(house: House, request_id: str) -> Outcome | None:
    job = await house.gw.ledger.job(request_id)
    assert job is not None
    return job.outcome


async def ended(house: House, upstream: FakeUpstream, count: int) -> list[str]:
    """So many jobs that upstream has ended, and nobody has asked about."""
    request_ids = [await created(house.client("key")) for _ in range(count)]
    for request_id in request_ids:
        upstream.jobs[request_id]["status"] = "success"
    return request_ids
