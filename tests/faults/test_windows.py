"""Windows of time as a team sees them through two processes of the command: rows TW1 to TW6.

The clock that decides is set by each test: the database's own on PostgreSQL, the machine's for a file.
"""

import asyncio
from datetime import datetime
from pathlib import Path
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

import pytest

from tests.clocks import FileClock
from tests.conftest import team
from tests.dated import Dated, OpenDated, leases, open_dated
from tests.fake_upstream import Q
from tests.faults.unruly import CREATE, UnrulyUpstream
from tests.faults.wire import Answer, Wire, draft, post
from tests.postgres import Server, postgres
from tests.served import Served, eventually
from tests.site import Site, received, site_at

__all__ = ["open_dated", "postgres"]

PRICE = 100_000


def at(zone: str, text: str) -> float:
    """Unix seconds of a local time there."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).timestamp()


DAYS = {
    "kathmandu": ("Asia/Kathmandu", "2027-01-01T06:00", 18.0),
    "spring-forward": ("America/New_York", "2027-03-14T00:30", 22.5),
    "london": ("Europe/London", "2027-03-28T00:30", 22.5),
    "lord-howe": ("Australia/Lord_Howe", "2027-10-03T00:00", 23.5),
    "fall-back": ("America/New_York", "2027-11-07T00:30", 24.5),
}
"""By team, one after the other: its zone, an instant there, and the hours left until its midnight."""


async def test_tw1_a_day_ends_at_local_midnight_and_retry_after_are_real_seconds(open_dated: OpenDated) -> None:
    teams = {
        f"{name}.yaml": team(name, name, f"timezone: {zone}\nlimits: [1 jobs per day]")
        for name, (zone, _, _) in DAYS.items()
    }
    dated = await open_dated(at("UTC", "2026-12-31T12:00"), teams)
    for name, (zone, local, hours) in DAYS.items():
        one, other = dated.client(0, name), dated.client(1, name)
        midnight = at(zone, local) + hours * 3600
        await dated.set(at(zone, local))
        assert (await one.create()).status_code == 200
        asked = dated.clock()
        refused = await other.create()
        assert refused.status_code == 429
        assert refused.json()["quota"]["resets_at"] == _rfc3339(midnight)
        assert midnight - dated.clock() - 1 <= int(refused.headers["retry-after"]) <= midnight - asked + 32

        await dated.set(midnight - 30)
        assert (await one.create()).status_code == 429
        await dated.set(midnight + 1)
        assert [(await client.create()).status_code for client in (other, one)] == [200, 429]


def _rfc3339(instant: float) -> str:
    return datetime.fromtimestamp(instant, ZoneInfo("UTC")).strftime("%Y-%m-%dT%H:%M:%SZ")


TURNS = {
    "2027-01-01": {"day": ("2026-12-31", "2027-01-01"), "month": ("2026-12", "2027-01")},
    "2027-01-04": {"day": ("2027-01-03", "2027-01-04"), "week": ("2026-W53", "2027-W01")},
    "2027-02-01": {
        "day": ("2027-01-31", "2027-02-01"),
        "week": ("2027-W04", "2027-W05"),
        "month": ("2027-01", "2027-02"),
    },
    "2028-02-29": {"day": ("2028-02-28", "2028-02-29")},
    "2028-03-01": {"day": ("2028-02-29", "2028-03-01"), "month": ("2028-02", "2028-03")},
}
"""By the day that begins: the windows that end and begin with it."""


async def test_tw2_a_job_before_midnight_and_one_after_are_in_windows_that_touch(open_dated: OpenDated) -> None:
    limits = "limits: [90 jobs per day, 90 jobs per week, 90 jobs per month]"
    dated = await open_dated(at("UTC", "2026-12-31T12:00"), {"a.yaml": team("a", "key", limits)})
    for first_day, turns in TURNS.items():
        midnight = at("UTC", first_day)
        await dated.set(midnight - 30)
        before = await dated.windows()
        usage = (await dated.client().get("/gateway/v1/usage")).json()["limits"]
        ending = {limit["window"] for limit in usage if limit["resets_at"] == _rfc3339(midnight)}
        assert ending == set(turns)

        assert await dated.statuses(0) == [200]
        await dated.set(midnight + 1)
        assert await dated.statuses(1) == [200]
        after = await dated.windows()
        gained = {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}
        turned = {f"jobs {label}": 1 for pair in turns.values() for label in pair}
        assert {name: value for name, value in gained.items() if value == 1} == turned
        assert sorted(gained.values()) == [1] * len(turned) + [2] * (3 - len(turns))


async def test_tw3_what_comes_back_after_midnight_comes_back_to_the_day_it_was_taken_from(
    open_dated: OpenDated,
) -> None:
    limits = "limits: [10 jobs per day, {limit: 5 USD per day, name: daily}, 3 jobs at once]"
    dated = await open_dated(at("UTC", "2026-12-31T23:59:30"), {"a.yaml": team("a", "key", limits)})
    assert await dated.statuses(0) == [200]
    assert await dated.windows() == {"jobs 2026-12-31": 1, "USD 2026-12-31": PRICE, "jobs at-once": 1}
    (request_id,) = dated.site.upstream.jobs

    await dated.set(at("UTC", "2027-01-01T00:00:05"))
    assert await dated.statuses(1) == [200]
    dated.site.upstream.jobs[request_id] |= {"status": "failed", "outcome": {"error": "no"}}
    await settled(dated, request_id)
    assert await dated.windows() == {
        "jobs 2026-12-31": 1,
        "USD 2026-12-31": 0,
        "jobs 2027-01-01": 1,
        "USD 2027-01-01": PRICE,
        "jobs at-once": 1,
    }


async def settled(dated: Dated, request_id: str) -> None:
    """Wait until every gateway shows the job's end."""

    async def shown() -> bool:
        answers = [await client.get(f"{Q}/requests/{request_id}") for client in dated.clients]
        return {answer.json()["status"] for answer in answers} == {"failed"}

    await eventually(shown)


async def test_tw4_a_clock_that_steps_reopens_no_window_and_settles_once(open_dated: OpenDated) -> None:
    limits = "limits: [2 jobs per day, 5 USD per month]"
    dated = await open_dated(at("UTC", "2026-11-23T12:00"), {"a.yaml": team("a", "key", limits)})
    assert await dated.statuses(0) == [200]
    (request_id,) = dated.site.upstream.jobs
    await dated.advance(-3600)
    assert await dated.statuses(1, 0) == [200, 429]
    await dated.advance(24 * 3600)
    assert await dated.statuses(0) == [200]
    await dated.advance(-24 * 3600)
    assert await dated.statuses(0, 1) == [429, 429]

    dated.site.upstream.jobs[request_id] |= {"status": "failed", "outcome": {"error": "no"}}
    for step in (7200, -7200, 7200):
        await dated.advance(step)
        await settled(dated, request_id)
    assert await dated.windows() == {"jobs 2026-11-23": 2, "jobs 2026-11-24": 1, "USD 2026-11": 2 * PRICE}


@pytest.mark.parametrize("step", [3600, -3600])
async def test_tw4_a_create_under_way_while_the_clock_steps_is_answered_and_counted_once(
    open_dated: OpenDated, step: float
) -> None:
    limits = "limits: [9 jobs per day, 5 jobs at once, 5 USD per month]"
    now = at("UTC", "2026-11-23T12:00")
    dated = await open_dated(now, {"a.yaml": team("a", "key", limits)}, create_timeout="60")
    dated.site.upstream.go.clear()
    creating = asyncio.ensure_future(dated.client().create())
    await received(dated.site.upstream, *CREATE)
    await dated.advance(step)
    await renewed(dated.site)
    dated.site.upstream.go.set()
    answer = await creating
    assert (answer.status_code, [answer.json()["request_id"]]) == (200, list(dated.site.upstream.jobs))
    await dated.site.all_clear()
    assert await dated.site.books() == {"jobs": 1, "slots": 1, "USD": PRICE}
    assert len(dated.site.upstream.creates) == 1


async def renewed(site: Site) -> None:
    """Wait until each gateway has twice said that it is there, and looked after what those did that are not."""
    for _ in range(2):
        before = leases(site)

        async def all_again(before: dict[str, float] = before) -> bool:
            return len(leases(site).items() - before.items()) == len(site.started)

        await eventually(all_again)


async def test_tw4_the_databases_clock_decides_for_gateways_whose_own_are_wrong(
    postgres: Server, tmp_path: Path
) -> None:
    url, clock = postgres.ledger_with_clock()
    clock.set(at("UTC", "2026-11-23T23:30"))
    limits = {"a.yaml": team("a", "key", "limits: [2 jobs per day, 3 jobs at once, 5 USD per month]")}
    async with site_at(tmp_path, url, limits, UnrulyUpstream()) as site:
        dated = Dated(site, clock)
        late, early = FileClock(tmp_path / "late"), FileClock(tmp_path / "early")
        await started_by(site, tmp_path / "late", late, clock() - 300)
        await started_by(site, tmp_path / "early", early, clock() + 300)
        site.upstream.go.clear()
        creating = asyncio.ensure_future(dated.client().create())
        await received(site.upstream, *CREATE)
        late.advance(-3600)
        early.advance(24 * 3600)
        await renewed(site)
        assert {each.state for each in await site.waiting()} == {"sent"}
        site.upstream.go.set()
        assert (await creating).status_code == 200
        (request_id,) = site.upstream.jobs

        assert await dated.statuses(1, 1, 0) == [200, 429, 429]
        for client in dated.clients:
            day = (await client.get("/gateway/v1/usage")).json()["limits"][0]
            assert (day["name"], day["resets_at"]) == ("jobs-day", "2026-11-24T00:00:00Z")
        site.upstream.jobs[request_id] |= {"status": "failed", "outcome": {"error": "no"}}
        await settled(dated, request_id)
        assert await dated.windows() == {"jobs 2026-11-23": 2, "jobs at-once": 1, "USD 2026-11": PRICE}


async def started_by(site: Site, file: Path, wall: FileClock, instant: float) -> Served:
    """One more gateway, whose machine's clock says this."""
    wall.set(instant)
    site.environment[FileClock.VARIABLE] = str(file)
    return await site.start(create_timeout="60")


async def create_until(instant: float, gateway: Served) -> list[Answer]:
    """What one client is answered that creates again and again on its connection until then, by the loop's clock."""
    address = urlsplit(gateway.public)
    wire = Wire(*await asyncio.open_connection(address.hostname, address.port))
    answers: list[Answer] = []
    while not answers or asyncio.get_running_loop().time() < instant:
        await wire.send(post(draft(), "Content-Type: application/json", key="key"))
        answers.append(await wire.answer(seconds=60))
    wire.writer.close()
    return answers


async def test_tw6_at_the_reset_no_more_get_in_than_the_limit_and_the_rest_come_back_spread_out(
    open_dated: OpenDated,
) -> None:
    limit = {"a.yaml": team("a", "key", "limits: [20 jobs per day]")}
    dated = await open_dated(at("UTC", "2026-11-23T23:59:30"), limit, max_in_flight="2000", create_timeout="60")
    midnight = at("UTC", "2026-11-24T00:00")
    assert await dated.statuses(*[0, 1] * 10) == [200] * 20
    await dated.set(midnight - 3)
    done = asyncio.get_running_loop().time() + midnight + 1 - dated.clock()
    crowd = await asyncio.gather(*(create_until(done, dated.site.started[number % 2]) for number in range(1000)))
    answers = [answer for answers in crowd for answer in answers]
    assert {answer.status for answer in answers} <= {200, 429, 503}  # a ledger too busy takes none
    assert sum(answer.status == 200 for answer in answers) <= 20

    async def full() -> bool:
        await dated.statuses(0, 1)
        return await dated.windows() == {"jobs 2026-11-23": 20, "jobs 2026-11-24": 20}

    await eventually(full)
    assert await dated.statuses(0, 1) == [429, 429]
    assert len(dated.site.upstream.creates) == 40
    waits = {int(answer.headers["retry-after"]) for answer in answers if answer.status == 429}
    assert len(waits) > 10
