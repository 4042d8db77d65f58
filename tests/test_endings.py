"""A job's end, told alike by every gateway on the ledger."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx
import pytest
from msgspec import structs

from gateway.endings import Elsewhere
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.looks import Looks
from gateway.memory import OWNER_TRUSTED_FOR
from tests.clocks import WallClock, wall_clock
from tests.conftest import Client, House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream

FILES = {"a.yaml": team("a", "key-a")}
__all__ = ["wall_clock"]


@dataclass
class Pair:
    """Two gateways on one ledger, both of which know a job as living."""

    first: House
    second: House
    upstream: FakeUpstream
    job: str

    @property
    def clients(self) -> Sequence[Client]:
        return self.first.client("key-a"), self.second.client("key-a")

    def says(self, status: str) -> None:
        """Upstream's word for the job from now on."""
        self.upstream.jobs[self.job]["status"] = status

    async def poll(self, client: Client) -> httpx.Response:
        return await client.get(f"{Q}/requests/{self.job}")

    async def first_sees_it_end(self) -> bytes:
        """One gateway is told of the end, and what it tells; upstream itself says afterwards that the job lives."""
        self.says("success")
        seen = self.first.gw.jobs.seen(self.job)
        assert seen is not None
        self.first.gw.jobs.remember(self.job, structs.replace(seen, asked_at=seen.asked_at - 1))
        answer = await self.poll(self.clients[0])
        assert answer.json()["status"] == "success"
        self.says("processing")
        return answer.content


@pytest.fixture
async def pair(open_house: OpenHouse) -> AsyncIterator[Pair]:
    async with FakeUpstream() as upstream:
        first = await open_house(FILES, upstream=upstream.url)
        second = await open_house(FILES, upstream=upstream.url)
        await first.eventually(lambda: first.gw.ledger.replicas == second.gw.ledger.replicas == 2)
        job = (await first.client("key-a").create()).json()["request_id"]
        pair = Pair(first, second, upstream, job)
        for client in pair.clients:
            assert (await pair.poll(client)).json()["status"] == "queued"
        yield pair


async def test_what_one_gateway_saw_end_the_other_tells_within_a_second(pair: Pair) -> None:
    record = await pair.first_sees_it_end()
    ended_at = time.monotonic()
    while (answer := await pair.poll(pair.clients[1])).content != record:
        assert answer.json()["status"] == "queued"
        assert time.monotonic() - ended_at < 3, "a second, and time to spare"
        await asyncio.sleep(0.02)
    assert answer.headers["cache-status"] == "gmi-gateway; hit"


async def test_who_waits_at_the_other_gateway_is_told_as_well(pair: Pair) -> None:
    path = f"{Q}/requests/{pair.job}"
    waiting = asyncio.ensure_future(pair.clients[1].get(path, headers={"prefer": "wait=20"}))
    await pair.second.eventually(lambda: pair.second.gw.waits.count == 1)
    record = await pair.first_sees_it_end()
    answer = await asyncio.wait_for(waiting, 5)
    assert (answer.status_code, answer.content) == (200, record)


async def test_a_job_deleted_at_the_other_gateway_is_told_as_it_ended(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(*_: object) -> list[object]:
        return []

    monkeypatch.setattr(Looks, "ended", unheard)
    record = await pair.first_sees_it_end()
    pair.says("cancelled")
    assert (await pair.clients[1].call("DELETE", f"{Q}/requests/{pair.job}")).status_code == 200
    assert [(await pair.poll(client)).content for client in pair.clients] == [record, record]


async def test_an_answer_under_way_does_not_bring_an_ended_job_back(pair: Pair) -> None:
    path, held = f"{Q}/requests/{pair.job}", asyncio.Event()
    seen = pair.second.gw.jobs.seen(pair.job)
    assert seen is not None
    pair.says("processing")
    pair.second.gw.jobs.remember(pair.job, structs.replace(seen, asked_at=seen.asked_at - 1))
    pair.upstream.held[path] = held
    slow = asyncio.ensure_future(pair.poll(pair.clients[1]))
    await pair.second.eventually(lambda: len(pair.upstream.calls("GET", path)) == 3)
    del pair.upstream.held[path]
    record = await pair.first_sees_it_end()
    await pair.second.eventually(lambda: pair.second.gw.jobs.seen(pair.job) is None)
    held.set()
    assert (await slow).content == record
    assert (await pair.poll(pair.clients[1])).content == record


async def test_what_could_not_be_read_is_heard_of_later(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> list[object]:
        raise LedgerUnavailable("away")

    elsewhere = Elsewhere(pair.second.gw)
    with monkeypatch.context() as patch:
        patch.setattr(Looks, "ended", away)
        await pair.first_sees_it_end()
        await elsewhere.hear()
        owner = pair.second.gw.jobs.owner(pair.job, pair.second.gw.ticks())
        assert owner is not None
        assert owner.outcome is None
    await elsewhere.hear()
    owner = pair.second.gw.jobs.owner(pair.job, pair.second.gw.ticks())
    assert owner is not None
    assert owner.outcome == "success"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """Between which instants the ledger was asked for ends."""
    asked: list[tuple[float, float]] = []

    async def ended(_: Looks, since: float, until: float) -> list[object]:
        asked.append((since, until))
        return []

    monkeypatch.setattr(Looks, "ended", ended)
    return asked


async def test_alone_on_the_ledger_a_gateway_does_not_ask(
    open_house: OpenHouse, asked: list[tuple[float, float]]
) -> None:
    house = await open_house(FILES)
    await house.eventually(lambda: house.gw.ledger.replicas == 1)
    await Elsewhere(house.gw).hear()
    assert asked == []


async def test_who_has_heard_nothing_for_an_hour_reads_no_further_back_than_it_remembers(
    open_house: OpenHouse, asked: list[tuple[float, float]], wall_clock: WallClock
) -> None:
    house = await open_house(FILES)
    await house.eventually(lambda: house.gw.ledger.replicas == 1)
    elsewhere = Elsewhere(house.gw)

    async def reach() -> float:
        """How many seconds a round looks back."""
        house.gw.ledger.replicas = 2
        await elsewhere.hear()
        since, until = asked[-1]
        assert since < house.gw.now() < until
        return float(house.gw.now() - since)

    wall_clock.advance(3600)
    assert OWNER_TRUSTED_FOR <= await reach() < OWNER_TRUSTED_FOR + 5
    assert await reach() < 10
    wall_clock.advance(-1800)
    assert await reach() < 10
