"""Windows of time as a team sees them through a whole gateway: rows TW1, TW3, TW4 and TW6."""

import asyncio
from datetime import datetime
from zoneinfo import ZoneInfo

import pytest

from gateway import settlement
from tests.clocks import WallClock, wall_clock
from tests.conftest import House, OpenHouse, Q, team

__all__ = ["wall_clock"]

HAILUO = "minimax-hailuo-2.3-fast"
"""Fails every job."""


def at(zone: str, text: str) -> float:
    """Unix seconds of a local time there."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


async def in_windows(house: House) -> dict[str, int]:
    """What each window's counter holds, by unit and window; every counter is proven."""
    assert await house.gw.ledger.verify() == []
    values = await house.gw.ledger.used(await house.counters())
    return {f"{name.split('/')[0]} {name.split('/')[3]}": value for name, value in values.items()}


DAYS = {
    "spring-forward": ("America/New_York", "2027-03-14T00:30", 22.5),
    "fall-back": ("America/New_York", "2027-11-07T00:30", 24.5),
    "kathmandu": ("Asia/Kathmandu", "2027-01-01T06:00", 18.0),
    "london": ("Europe/London", "2027-03-28T00:00", 23.0),
    "lord-howe": ("Australia/Lord_Howe", "2027-10-03T00:00", 23.5),
}


@pytest.mark.parametrize(("zone", "local", "hours"), DAYS.values(), ids=DAYS)
async def test_tw1_a_day_ends_at_local_midnight_and_retry_after_are_real_seconds(
    open_house: OpenHouse, wall_clock: WallClock, zone: str, local: str, hours: float
) -> None:
    wall_clock.set(at(zone, local))
    house = await open_house({"a.yaml": team("a", "key", f"timezone: {zone}\nlimits: [1 jobs per day]")})
    client = house.client("key")
    assert (await client.create()).status_code == 200
    refused = await client.create()
    left = hours * 3600
    assert refused.status_code == 429
    assert left - 5 <= int(refused.headers["retry-after"]) <= left + 31
    assert refused.json()["quota"]["resets_at"] == _rfc3339(at(zone, local) + left)

    wall_clock.set(at(zone, local) + left - 60)
    assert (await client.create()).status_code == 429
    wall_clock.advance(61)
    assert [(await client.create()).status_code for _ in range(2)] == [200, 429]


def _rfc3339(instant: float) -> str:
    return datetime.fromtimestamp(instant, ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ")


async def test_tw3_what_comes_back_after_midnight_comes_back_to_the_day_it_was_taken_from(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    wall_clock.set(at("UTC", "2026-12-31T23:59:58"))
    limits = "limits: [10 jobs per day, {limit: 5 USD per day, name: daily}, 3 jobs at once]"
    house = await open_house({"a.yaml": team("a", "key", limits)})
    client = house.client("key")
    request_id = (await client.create(HAILUO)).json()["request_id"]
    held = {"jobs 2026-12-31": 1, "USD 2026-12-31": 190_000, "jobs at-once": 1}
    assert await in_windows(house) == held

    wall_clock.set(at("UTC", "2027-01-01T00:00:05"))
    assert (await client.create(HAILUO)).status_code == 200
    await asyncio.sleep(0.1)
    house.gw.jobs.forget(request_id)
    assert (await client.get(f"{Q}/requests/{request_id}")).json()["status"] == "failed"
    assert await in_windows(house) == {
        "jobs 2026-12-31": 1,
        "USD 2026-12-31": 0,
        "jobs 2027-01-01": 1,
        "USD 2027-01-01": 190_000,
        "jobs at-once": 1,
    }


async def test_tw4_a_clock_that_steps_reopens_no_window_and_settles_once(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    wall_clock.set(at("UTC", "2026-11-23T12:00:00"))
    house = await open_house({"a.yaml": team("a", "key", "limits: [2 jobs per day, 5 USD per month]")})
    client = house.client("key")
    request_id = (await client.create(HAILUO)).json()["request_id"]
    wall_clock.advance(-3600)
    assert [(await client.create(HAILUO)).status_code for _ in range(2)] == [200, 429]
    wall_clock.advance(24 * 3600)
    assert (await client.create(HAILUO)).status_code == 200
    wall_clock.advance(-24 * 3600)
    assert (await client.create(HAILUO)).status_code == 429

    await asyncio.sleep(0.1)
    for step in (7200, -7200, 7200):
        wall_clock.advance(step)
        await settlement.follow(house.gw)
        house.gw.jobs.forget(request_id)
        await client.get(f"{Q}/requests/{request_id}")
    assert (await in_windows(house))["USD 2026-11"] in (0, 190_000)
    job = await house.gw.ledger.job(request_id)
    assert job is not None
    assert job.outcome == "failed"


async def test_tw6_at_the_reset_no_more_get_in_than_the_limit_and_the_rest_come_back_spread_out(
    open_house: OpenHouse, wall_clock: WallClock
) -> None:
    wall_clock.set(at("UTC", "2026-11-23T23:59:59"))
    house = await open_house({"a.yaml": team("a", "key", "limits: [20 jobs per day]")}, speed=1)
    client = house.client("key")
    await client.create()
    wall_clock.advance(2)
    answers = await asyncio.gather(*(client.create() for _ in range(200)))
    assert sum(answer.status_code == 200 for answer in answers) == 20
    assert house.received("create_request") == 21
    waits = {int(answer.headers["retry-after"]) for answer in answers if answer.status_code == 429}
    assert len(waits) > 10
    assert min(waits) >= 24 * 3600 - 60
