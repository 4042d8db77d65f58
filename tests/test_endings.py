"""A job's end, told alike by every gateway on the ledger."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import httpx
import pytest
from msgspec import structs

from gateway import settlement
from gateway.context import Gateway
from gateway.core.freshness import LIVE_RECORD_FRESH
from gateway.core.lifecycle import Outcome
from gateway.endings import Elsewhere
from gateway.ledger.ledger import LedgerUnavailable
from gateway.ledger.looks import Looks
from gateway.ledger.values import Job
from gateway.memory import OWNER_TRUSTED_FOR
from tests.clocks import WallClock, wall_clock
from tests.conftest import Client, House, OpenHouse, Q, team
from tests.events import listening
from tests.fake_upstream import FakeUpstream
from tests.scripted_upstream import response

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

    @property
    def outcome(self) -> Outcome | None:
        """What the second gateway remembers of how the job ended."""
        owner = self.second.gw.jobs.owner(self.job, self.second.gw.ticks())
        assert owner is not None
        return owner.outcome

    async def look_under_way(self) -> "tuple[asyncio.Future[httpx.Response], asyncio.Event]":
        """A poll at the second gateway that upstream reads while the job lives, and answers when the event is set."""
        path, held = f"{Q}/requests/{self.job}", asyncio.Event()
        seen = self.second.gw.jobs.seen(self.job)
        assert seen is not None
        self.says("processing")
        self.second.gw.jobs.remember(self.job, structs.replace(seen, asked_at=seen.asked_at - 1))
        self.upstream.held[path] = held
        slow = asyncio.ensure_future(self.poll(self.clients[1]))
        await self.second.eventually(lambda: len(self.upstream.calls("GET", path)) == 3)
        del self.upstream.held[path]
        return slow, held

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


@pytest.mark.parametrize("answer", ["processing", "404"])
async def test_an_answer_under_way_does_not_bring_an_ended_job_back(pair: Pair, answer: str) -> None:
    if answer == "404":
        pair.upstream.answers["GET", f"{Q}/requests/{pair.job}"] = response(b'{"error":"x"}', "404 Not Found")
    slow, held = await pair.look_under_way()
    pair.upstream.answers.clear()
    record = await pair.first_sees_it_end()
    await pair.second.eventually(lambda: pair.outcome is not None)
    held.set()
    assert [(await slow).content, (await pair.poll(pair.clients[1])).content] == [record, record]


async def test_of_a_record_the_ledger_has_not_whole_an_answer_under_way_does_not_replace_the_end(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, held = await pair.look_under_way()
    await pair.first_sees_it_end()
    await pair.second.eventually(lambda: pair.outcome is not None)
    go_on, asked = asyncio.Event(), 0

    async def without_record(*_: object) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            await go_on.wait()

    monkeypatch.setattr(pair.second.gw.ledger, "job", without_record)
    held.set()
    await pair.second.eventually(lambda: asked == 1)
    await asyncio.sleep(LIVE_RECORD_FRESH)  # until the look is so old that another is made beside it
    pair.says("success")
    assert (await pair.poll(pair.clients[1])).json()["status"] == "success"
    pair.says("processing")
    go_on.set()
    assert [(await each).json()["status"] for each in (slow, pair.poll(pair.clients[1]))] == ["success", "success"]


async def test_who_waits_beside_an_upstream_that_hangs_and_for_long_is_told(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    gw, path = pair.second.gw, f"{Q}/requests/{pair.job}"
    hanging = asyncio.Event()

    async def hang(*_: object) -> None:
        await hanging.wait()

    waiting = asyncio.ensure_future(pair.clients[1].get(path, headers={"prefer": "wait=20"}))
    await pair.second.eventually(lambda: pair.second.gw.waits.count == 1)
    record = b""
    with monkeypatch.context() as patch:
        patch.setattr(gw.upstream, "get_request", hang)
        owner = gw.jobs.owner(pair.job, gw.ticks())
        assert owner is not None
        gw.jobs.remember_owner(pair.job, owner, gw.ticks() - OWNER_TRUSTED_FOR)
        record = await pair.first_sees_it_end()
        answer = await asyncio.wait_for(waiting, 5)
    assert answer.content == record
    hanging.set()


async def test_who_waits_is_told_by_a_look_where_the_end_could_not_be_read_at_first(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    waiting = asyncio.ensure_future(pair.clients[1].get(f"{Q}/requests/{pair.job}", headers={"prefer": "wait=20"}))
    await pair.second.eventually(lambda: pair.second.gw.waits.count == 1)
    with monkeypatch.context() as patch:
        patch.setattr(pair.second.gw.ledger, "job", away)
        pair.says("processing")
        await asyncio.sleep(2 * LIVE_RECORD_FRESH)
        record = await pair.first_sees_it_end()
        await pair.second.eventually(lambda: pair.outcome is not None)
    assert (await asyncio.wait_for(waiting, 5)).content == record


async def test_who_gives_a_job_up_after_another_saw_its_end_tells_the_end(pair: Pair) -> None:
    owner = pair.second.gw.jobs.owner(pair.job, pair.second.gw.ticks())
    assert owner is not None
    record = await pair.first_sees_it_end()
    await settlement.expire(pair.second.gw, pair.job, owner)
    assert pair.outcome is Outcome.SUCCESS
    await asyncio.sleep(LIVE_RECORD_FRESH)
    assert (await pair.poll(pair.clients[1])).content == record


async def test_of_a_job_another_has_given_up_the_last_record_is_told_while_upstream_is_away(pair: Pair) -> None:
    first = pair.first.gw
    owner = first.jobs.owner(pair.job, first.ticks())
    assert owner is not None
    await settlement.expire(first, pair.job, owner)
    await pair.second.eventually(lambda: pair.outcome is Outcome.EXPIRED)
    await asyncio.sleep(LIVE_RECORD_FRESH)
    pair.upstream.answers["GET", f"{Q}/requests/{pair.job}"] = b"no HTTP at all\r\n\r\n"
    assert (await pair.poll(pair.clients[1])).json()["status"] == "queued"


async def test_where_the_end_cannot_be_read_upstream_is_asked(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> None:
        raise LedgerUnavailable("away")

    await pair.first_sees_it_end()
    await pair.second.eventually(lambda: pair.outcome is not None)
    monkeypatch.setattr(pair.second.gw.ledger, "job", away)
    assert (await pair.poll(pair.clients[1])).json()["status"] == "processing"


def reads_of_job(gw: Gateway, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """The jobs that the ledger is asked for from now on."""
    asked: list[object] = []
    real = gw.ledger.job

    async def job(request_id: str) -> Job | None:
        asked.append(request_id)
        return await real(request_id)

    monkeypatch.setattr(gw.ledger, "job", job)
    return asked


async def test_a_job_that_ends_while_it_is_deleted_is_told_from_memory_as_it_ended(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        client = house.client("key-a")
        job = (await client.create()).json()["request_id"]
        path, held = f"{Q}/requests/{job}", asyncio.Event()
        upstream.held[path] = held
        deleting = asyncio.ensure_future(client.call("DELETE", path))
        await house.eventually(lambda: len(upstream.calls("DELETE", path)) == 1)
        del upstream.held[path]
        upstream.jobs[job]["status"] = "success"
        record = (await client.get(path)).content
        upstream.jobs[job]["status"] = "cancelled"
        held.set()
        assert (await deleting).status_code == 200
        asked = reads_of_job(house.gw, monkeypatch)
        assert {(await client.get(path)).content for _ in range(20)} == {record}
        assert b'"success"' in (await client.get(f"/gateway/v1/requests/{job}/events")).content
        assert (await client.get(path)).content == record
        assert len(asked) <= 1


async def test_a_job_deleted_at_the_other_gateway_is_read_from_the_ledger_once(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = await pair.first_sees_it_end()
    pair.says("cancelled")
    assert (await pair.clients[1].call("DELETE", f"{Q}/requests/{pair.job}")).status_code == 200
    assert (await pair.poll(pair.clients[1])).content == record
    asked = reads_of_job(pair.second.gw, monkeypatch)
    assert {(await pair.poll(pair.clients[1])).content for _ in range(20)} == {record}
    assert len(asked) <= 1


@pytest.mark.parametrize("later", ["cancelled", "404"])
async def test_a_large_record_ends_but_once_though_it_is_not_kept_whole(
    pair: Pair, open_house: OpenHouse, later: str
) -> None:
    path = f"{Q}/requests/{pair.job}"
    pair.upstream.jobs[pair.job]["outcome"] = {"image": "x" * 400_000}
    whole = await pair.first_sees_it_end()
    assert len(whole) > 400_000
    assert (await pair.clients[0].call("DELETE", path)).status_code == 200
    pair.says("cancelled")
    if later == "404":
        pair.upstream.answers["GET", path] = response(b'{"error":"no such request"}', "404 Not Found")
    await pair.second.eventually(lambda: pair.outcome is not None)
    await asyncio.sleep(LIVE_RECORD_FRESH)
    restarted = await open_house(FILES, upstream=pair.upstream.url)
    for client in (pair.clients[1], restarted.client("key-a")):
        told = [await pair.poll(client) for _ in range(3)]
        assert [(answer.status_code, answer.json()["status"]) for answer in told] == [(200, "success")] * 3
    assert (await pair.poll(pair.clients[0])).content == whole
    assert len(pair.upstream.calls("GET", path)) <= 5


async def test_a_stream_resumed_at_another_gateway_tells_nothing_older_than_it_has_told(pair: Pair) -> None:
    first, second = pair.clients
    pair.says("processing")
    await asyncio.sleep(LIVE_RECORD_FRESH)
    pair.says("queued")
    assert (await pair.poll(second)).json()["status"] == "queued"
    pair.says("processing")
    async with listening(first, pair.job) as events:
        (told,) = await events.until(1)
    assert json.loads(told.data)["status"] == "processing"
    async with listening(second, pair.job, last_event_id=told.id) as events:
        await asyncio.sleep(LIVE_RECORD_FRESH)
        assert events.received == []
        pair.says("success")
        (more,) = await events.end()
    assert json.loads(more.data)["status"] == "success"


async def test_what_could_not_be_read_is_heard_of_later(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    async def away(*_: object) -> list[object]:
        raise LedgerUnavailable("away")

    elsewhere = Elsewhere(pair.second.gw)
    with monkeypatch.context() as patch:
        patch.setattr(Looks, "ended", away)
        await pair.first_sees_it_end()
        await elsewhere.hear()
        assert pair.outcome is None
    await elsewhere.hear()
    assert pair.outcome is Outcome.SUCCESS


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
