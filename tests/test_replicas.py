"""Several gateways on one PostgreSQL: the same exactness as one, and what one leaves behind another takes over."""

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from gateway.core.claims import Claim, OnSettle
from gateway.core.lifecycle import State
from gateway.ledger.instances import LEASE
from gateway.ledger.ledger import Ledger
from tests.clocks import WallClock, wall_clock
from tests.conftest import House, OpenHouse, Q, team
from tests.ledger.samples import reservation, run_sql
from tests.postgres import Server, postgres
from tests.postgres_proxy import Proxy, proxy

__all__ = ["postgres", "proxy", "wall_clock"]

Pair = tuple[House, House]


def a(limits: str) -> dict[str, str]:
    return {"a.yaml": team("a", "key", f"limits: {limits}")}


@pytest.fixture
def database(postgres: Server) -> str:
    return postgres.ledger()


@pytest.fixture
def open_pair(open_house: OpenHouse, database: str) -> Callable[..., Awaitable[Pair]]:
    """Two gateways on one ledger, in front of one simulator."""

    async def open_(files: dict[str, str], **settings: object) -> Pair:
        first = await open_house(files, ledger=database, **settings)
        return first, await open_house(files, upstream=first.upstream.url, ledger=database)

    return open_


def used(database: str, unit: str) -> int:
    [(value,)] = run_sql(database, f"SELECT sum(value)::int FROM counters WHERE starts_with(name, '{unit}/')")
    assert isinstance(value, int)
    return value


async def proven(*houses: House) -> None:
    for house in houses:
        assert await house.gw.ledger.verify() == []


async def test_qu1_replicas_admit_exactly_the_limit(open_pair: Callable[..., Awaitable[Pair]], database: str) -> None:
    first, second = await open_pair(a("[10 jobs per day, 1000 USD per month]"))
    answers = await asyncio.gather(*(house.client("key").create() for _ in range(30) for house in (first, second)))
    assert sorted(answer.status_code for answer in answers) == [200] * 10 + [429] * 50
    assert {answer.json()["code"] for answer in answers if answer.status_code == 429} == {"quota_exceeded"}
    assert first.received("create_request") == 10
    assert used(database, "jobs") == 10
    await proven(first, second)


async def test_id3_equal_creates_over_two_replicas_execute_once(open_pair: Callable[..., Awaitable[Pair]]) -> None:
    first, second = await open_pair(a("[10 jobs per day]"))
    once = {"Idempotency-Key": "k"}
    answers = await asyncio.gather(
        *(house.client("key").create(headers=once) for _ in range(10) for house in (first, second))
    )
    assert first.received("create_request") == 1
    ids = {answer.json()["request_id"] for answer in answers if answer.status_code == 200}
    assert len(ids) == 1
    assert {answer.status_code for answer in answers} <= {200, 409}
    for house in (first, second):
        replay = await house.client("key").create(headers=once)
        assert (replay.headers["idempotency-replayed"], replay.json()["request_id"]) == ("true", *ids)
    await proven(first, second)


async def test_ac2_a_lost_create_is_unknown_and_then_replayed_on_either_replica(
    open_pair: Callable[..., Awaitable[Pair]],
) -> None:
    first, second = await open_pair(a("[10 jobs per day]"), speed=1)
    first.break_upstream("create_request:reset-after:1:1", "list_requests:503")
    once = {"Idempotency-Key": "k"}
    assert (await first.client("key").create(headers=once)).json()["code"] == "outcome_unknown"
    for house in (first, second) * 5:
        repeat = await house.client("key").create(headers=once)
        assert (repeat.status_code, repeat.json()["code"]) == (409, "outcome_unknown")
    first.break_upstream()

    async def replayed() -> bool:
        first.gw.jobs.keep_searches(())
        first.gw.wake.set()
        return (await second.client("key").create(headers=once)).status_code == 200

    await first.eventually(replayed)
    assert first.received("create_request") == 1
    await proven(first, second)


async def test_bu4_an_end_that_everybody_sees_is_refunded_once(
    open_pair: Callable[..., Awaitable[Pair]], database: str
) -> None:
    first, second = await open_pair(a("[5 jobs at once, 100 USD per month]"))
    created = await asyncio.gather(*(first.client("key").create("luma-ray-2") for _ in range(5)))
    paths = [f"{Q}/requests/{answer.json()['request_id']}" for answer in created]

    async def ended() -> bool:
        polls = [house.client("key").get(path) for path in paths for house in (first, second) for _ in range(3)]
        return all(answer.json()["status"] == "failed" for answer in await asyncio.gather(*polls))

    await first.eventually(ended, 10)
    assert (used(database, "USD"), used(database, "jobs")) == (0, 0)
    finished = 0.0
    for house in (first, second):
        for line in (await house.admin("/metrics")).text.splitlines():
            if line.startswith("gateway_jobs_finished_total{"):
                finished += float(line.rpartition(" ")[2])
    assert finished == 5
    await proven(first, second)


async def test_kl2_what_a_replica_that_is_gone_had_sent_is_taken_over_when_its_lease_has_run_out(
    open_house: OpenHouse, database: str
) -> None:
    survivor = await open_house(a("[10 jobs per day]"), ledger=database)
    now = survivor.gw.now()
    gone = Ledger(database)
    await gone.open()
    await gone.renew(now - LEASE + 2)
    for name in ("unsent", "sent"):
        claims = (Claim(f"jobs/a//{name}/", 1, 10, OnSettle.KEEP, (), None),)
        await gone.reserve(reservation(name, *claims, team="a", at=now), now)
    await gone.mark_sent("sent", now)

    async def states() -> dict[str, State]:
        return {each.id: each.state for each in await survivor.gw.ledger.jobless.all()}

    async def taken_over() -> bool:
        return await states() == {"sent": State.UNKNOWN}

    await asyncio.sleep(1)
    assert await states() == {"unsent": State.RESERVED, "sent": State.SENT}
    await survivor.eventually(taken_over)
    await survivor.eventually(lambda: survivor.received("list_requests") >= 1)
    assert survivor.received("create_request") == 0
    assert not await gone.mark_sent("unsent", now), "one that was only asleep must not send it now"
    await proven(survivor)
    await gone.close()


async def test_a_job_whose_replica_ended_is_followed_by_the_other(
    open_pair: Callable[..., Awaitable[Pair]], database: str
) -> None:
    first, second = await open_pair(a("[5 jobs at once]"))
    assert (await first.client("key").create()).status_code == 200
    await first.gw.ledger.close()
    run_sql(database, "UPDATE jobs SET next_look_at = 0")

    async def settled() -> bool:
        return used(database, "jobs") == 0

    await second.eventually(settled, 10)
    await proven(second)


async def test_tw4_replicas_whose_clocks_differ_go_by_the_databases(
    open_house: OpenHouse, database: str, wall_clock: WallClock
) -> None:
    files = a("[1 jobs per day]")
    wall_clock.advance(86_400.0)
    ahead = await open_house(files, ledger=database)
    wall_clock.advance(-2 * 86_400.0)
    behind = await open_house(files, upstream=ahead.upstream.url, ledger=database)
    [(database_says,)] = run_sql(database, "SELECT extract(epoch FROM clock_timestamp())::float8")
    assert isinstance(database_says, float)
    for house in (ahead, behind):
        assert abs(house.gw.now() - database_says) < 1
    assert (await ahead.client("key").create()).status_code == 200
    assert (await behind.client("key").create()).status_code == 429
    assert (await ahead.client("key").create()).status_code == 429


async def test_qu9_replicas_together_reach_98_percent_of_a_rate_and_no_more(
    open_pair: Callable[..., Awaitable[Pair]],
) -> None:
    first, second = await open_pair(a("[200 requests per hour]"))
    await first.eventually(lambda: first.gw.ledger.replicas == second.gw.ledger.replicas == 2)
    passed = 0
    for _ in range(5):
        answers = await asyncio.gather(
            *(house.client("key").get(f"{Q}/models") for _ in range(25) for house in (first, second))
        )
        passed += sum(answer.status_code == 200 for answer in answers)
    assert 196 <= passed <= 200


async def test_le5_without_its_database_a_gateway_starts_unready_and_recovers(
    open_house: OpenHouse, database: str, proxy: Proxy
) -> None:
    await proxy.cut()
    house = await open_house(a("[5 jobs per day]"), ledger=proxy.url(database))
    assert (await house.admin("/readyz")).status_code == 503
    assert (await house.admin("/healthz")).status_code == 200
    refused = await house.client("key").create()
    assert (refused.status_code, refused.json()["code"]) == (503, "ledger_unavailable")
    assert house.received("create_request") == 0
    await proxy.listen()

    async def ready() -> bool:
        return bool((await house.admin("/readyz")).status_code == 200)

    await house.eventually(ready, 5)
    assert (await house.client("key").create()).status_code == 200


async def test_le5_a_database_that_dies_under_load_costs_503s_and_nothing_else(
    open_house: OpenHouse, database: str, proxy: Proxy
) -> None:
    house = await open_house(a("[1000 jobs per day, 1000 jobs at once]"), ledger=proxy.url(database))
    codes: list[int] = []

    async def load() -> None:
        while len(codes) < 400:
            began = time.perf_counter()
            answer = await house.client("key").create()
            codes.append(answer.status_code)
            assert time.perf_counter() - began < 2.5
            if answer.status_code == 503:
                assert answer.json()["code"] == "ledger_unavailable"
                await asyncio.sleep(0.1)

    async def troubles() -> None:
        for _ in range(3):
            await asyncio.sleep(0.3)
            await proxy.cut()
            await asyncio.sleep(0.5)
            await proxy.listen()

    await asyncio.gather(troubles(), *(load() for _ in range(8)))
    assert set(codes) == {200, 503}

    async def quiet() -> bool:
        waiting = await house.gw.ledger.jobless.all()
        return all(each.state is State.RESERVED for each in waiting)

    await house.eventually(quiet, 10)
    [(placed,)] = run_sql(database, "SELECT count(*) FROM jobs")
    assert placed == house.received("create_request") == codes.count(200)
    await proven(house)
