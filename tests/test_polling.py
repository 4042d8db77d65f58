"""A job is watched by many: upstream is asked seldom, and nobody learns of another team's job."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import replace
from math import inf
from typing import Any

import httpx
import pytest
from msgspec import structs

from gateway import polling, settlement
from gateway.cache import How
from gateway.core.freshness import LIVE_RECORD_FRESH
from gateway.core.lifecycle import Outcome
from gateway.ledger.ledger import Ledger, LedgerUnavailable
from gateway.ledger.values import Job, Sighting
from gateway.waits import Wait
from tests.conftest import Client, House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.scripted_upstream import response

FILES = {"a.yaml": team("a", "key-a"), "b.yaml": team("b", "key-b")}
STRANGER = "0d9b3f0e-6a51-4c1e-9d53-0c6a4c2f7f11"


async def created(client: Client, model: str = "Veo3") -> str:
    answer = await client.create(model)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["request_id"])


async def poll(client: Client, request_id: str, **options: dict[str, str]) -> httpx.Response:
    return await client.get(f"{Q}/requests/{request_id}", **options)


@asynccontextmanager
async def live_job(open_house: OpenHouse, **settings: str) -> AsyncIterator[tuple[House, FakeUpstream, str]]:
    """A job of team `a` at an upstream of the test's own."""
    async with FakeUpstream() as upstream:
        house = await open_house(FILES, upstream=upstream.url, **settings)
        yield house, upstream, await created(house.client("key-a"))


async def ended(house: House, client: Client, request_id: str) -> httpx.Response:
    """The record once the job is over, with the second that a live one is believed taken off."""
    for _ in range(200):
        answer = await poll(client, request_id)
        if answer.json()["status"] in ("success", "failed", "cancelled"):
            return answer
        age(house, request_id, 1.0)
        await asyncio.sleep(0.01)
    raise AssertionError("the job does not end")


def age(house: House, request_id: str, seconds: float) -> None:
    """Make the record in memory so much older."""
    seen = house.gw.jobs.seen(request_id)
    assert seen is not None
    house.gw.jobs.remember(request_id, structs.replace(seen, asked_at=seen.asked_at - seconds))


def anonymous(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """What a client is told, less what differs from call to call."""
    passing = ("x-request-id", "server-timing", "date")
    headers = {name: value for name, value in answer.headers.items() if name not in passing}
    return answer.status_code, headers, answer.content.replace(answer.headers["x-request-id"].encode(), b"")


@pytest.mark.parametrize("path", ["", "/events"])
async def test_an_end_that_another_gateway_saw_holds_though_upstream_says_the_job_lives(
    open_house: OpenHouse, path: str
) -> None:
    async with live_job(open_house) as (house, upstream, request_id):
        client, gw, target = house.client("key-a"), house.gw, f"{Q}/requests/{request_id}"
        assert (await poll(client, request_id)).json()["status"] == "queued"
        ended = json.dumps(upstream.jobs[request_id] | {"status": "success"}).encode()
        assert await gw.ledger.settle(Sighting(request_id, "success", ended), Outcome.SUCCESS, gw.now())
        owner = await gw.ledger.owner_of(request_id)
        assert owner is not None
        gw.jobs.remember_owner(request_id, owner, gw.ticks())
        age(house, request_id, LIVE_RECORD_FRESH)
        watched = f"/gateway/v1/requests/{request_id}/events" if path else target
        assert ended in (await asyncio.wait_for(client.get(watched), 5)).content
        assert (await poll(client, request_id)).content == ended


async def test_a_living_record_is_told_though_only_a_ledger_that_is_away_knows_better(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with live_job(open_house) as (house, _, request_id):
        client, gw = house.client("key-a"), house.gw
        assert (await poll(client, request_id)).json()["status"] == "queued"
        asked: list[str] = []
        for outcome, reads in ((Outcome.EXPIRED, []), (Outcome.SUCCESS, [request_id])):
            owner = gw.jobs.owner(request_id, gw.ticks())
            assert owner is not None
            gw.jobs.remember_owner(request_id, structs.replace(owner, outcome=outcome), gw.ticks())
            age(house, request_id, LIVE_RECORD_FRESH)

            async def away(_: Ledger, job: str) -> Job | None:
                asked.append(job)
                raise LedgerUnavailable("away")

            monkeypatch.setattr(Ledger, "job", away)
            told = await poll(client, request_id)
            assert (told.status_code, told.json()["status"], asked) == (200, "queued", reads)


async def test_lp2_a_hundred_polls_at_once_are_one_call_to_upstream(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    client = house.client("key-a")
    request_id = await created(client)
    house.break_upstream("get_request:latency:0.7")

    began = time.monotonic()
    answers = await asyncio.gather(*(poll(client, request_id) for _ in range(100)))
    seconds = int(time.monotonic() - began)  # one, unless the machine is very busy

    asked = house.received("get_request")
    assert {answer.status_code for answer in answers} == {200}
    assert 1 <= asked <= 1 + seconds
    assert len({answer.content for answer in answers}) <= asked
    told = [answer.headers["cache-status"] for answer in answers]
    assert told.count("gmi-gateway; fwd=miss") == asked
    assert told.count("gmi-gateway; fwd=miss; collapsed") > 20


async def test_ch2_a_live_record_is_asked_for_once_a_second(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    client = house.client("key-a")
    request_id = await created(client)
    for _ in range(5):
        await poll(client, request_id)
    assert house.received("get_request") == 1

    age(house, request_id, 0.4)
    hit = await poll(client, request_id)
    assert (hit.headers["cache-status"], hit.headers["cache-control"]) == ("gmi-gateway; hit", "private, no-cache")
    assert house.received("get_request") == 1
    age(house, request_id, 0.6)
    await poll(client, request_id)
    assert house.received("get_request") == 2


async def test_ch2_a_terminal_record_is_served_without_asking(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    client = house.client("key-a")
    request_id = await created(client)
    last = await ended(house, client, request_id)
    asked = house.received("get_request")

    age(house, request_id, 1e6)
    again = await poll(client, request_id)

    assert again.content == last.content
    assert again.headers["age"] == "1000000"
    assert house.received("get_request") == asked


async def test_ch2_after_a_restart_with_upstream_down_the_terminal_record_comes_from_the_ledger(
    open_house: OpenHouse,
) -> None:
    house = await open_house(FILES)
    client = house.client("key-a")
    request_id = await created(client)
    last = await ended(house, client, request_id)

    restarted = await open_house(FILES, upstream="http://127.0.0.1:1")
    for _ in range(2):
        again = await poll(restarted.client("key-a"), request_id)
        assert (again.status_code, again.content) == (200, last.content)
        assert again.headers["etag"] == last.headers["etag"]
        assert again.headers["cache-status"] == "gmi-gateway; hit"
    stranger = await poll(restarted.client("key-b"), request_id)
    assert stranger.status_code == 404


async def test_a_record_from_the_ledger_is_as_old_as_its_job_ended_long_ago(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(FILES)
    client = house.client("key-a")
    request_id = await created(client)
    await ended(house, client, request_id)

    real = Ledger.job

    async def settled_earlier(ledger: Ledger, job_id: str) -> Job | None:
        job = await real(ledger, job_id)
        assert job is not None
        assert job.settled_at is not None
        return replace(job, settled_at=job.settled_at - 500)

    monkeypatch.setattr(Ledger, "job", settled_earlier)
    restarted = await open_house(FILES, upstream="http://127.0.0.1:1")
    for _ in range(2):
        assert 500 <= int((await poll(restarted.client("key-a"), request_id)).headers["age"]) < 560


async def test_the_end_is_told_when_the_slot_is_free(open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await open_house({"a.yaml": team("a", "key-a", "limits: [{limit: 1 jobs at once}]")})
    client = house.client("key-a")
    request_id = await created(client)
    began, go_on, real = asyncio.Event(), asyncio.Event(), Ledger.settle

    async def slow(ledger: Ledger, *arguments: Any) -> bool:
        began.set()
        await go_on.wait()
        return await real(ledger, *arguments)

    monkeypatch.setattr(Ledger, "settle", slow)

    async def poll_to_the_end() -> None:
        await ended(house, client, request_id)

    first = house.gw.tasks.start(poll_to_the_end(), "the first to see the end")
    await began.wait()
    second = house.gw.tasks.start(poll(client, request_id), "another")
    done, _ = await asyncio.wait((second,), timeout=0.2)
    assert not done or second.result().json()["status"] != "success"
    go_on.set()
    assert (await second).json()["status"] == "success"
    assert (await client.create()).status_code == 200
    await first


async def test_a_job_closed_without_a_last_word_is_still_asked_for_after_a_restart(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    request_id = await created(house.client("key-a"))
    owner = await house.gw.ledger.owner_of(request_id)
    assert owner is not None
    await settlement.settle(house.gw, Sighting(request_id, "expired", None), owner, Outcome.EXPIRED)

    restarted = await open_house(FILES, upstream=house.upstream.url)
    answer = await poll(restarted.client("key-a"), request_id)
    assert answer.status_code == 200
    assert answer.headers["cache-status"] == "gmi-gateway; fwd=miss"
    assert house.received("get_request") == 1


async def test_up1_a_record_is_served_stale_for_a_minute_while_upstream_is_away(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    client = house.client("key-a")
    request_id = await created(client)
    last = await poll(client, request_id)
    house.break_upstream("get_request:reset-before")

    age(house, request_id, 30)
    stale = await poll(client, request_id)
    assert (stale.status_code, stale.content) == (200, last.content)
    assert stale.headers["cache-status"] == "gmi-gateway; hit; detail=stale-error"
    assert stale.headers["age"] == "30"

    age(house, request_id, 31)
    late = await poll(client, request_id)
    assert (late.status_code, late.json()["code"]) == (502, "upstream_unreachable")


async def test_az1_another_teams_job_looks_like_none_at_all(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    a, b = house.client("key-a"), house.client("key-b")
    request_id = await created(a)
    etag = (await poll(a, request_id)).headers["etag"]
    asked = house.received("get_request")

    nothing = anonymous(await poll(b, STRANGER))
    assert nothing[0] == 404
    assert anonymous(await poll(b, request_id)) == nothing
    assert anonymous(await poll(b, request_id, headers={"If-None-Match": etag, "Prefer": "wait=5"})) == nothing
    assert house.received("get_request") == asked


async def test_az3_without_the_ledger_only_the_owner_is_served(open_house: OpenHouse) -> None:
    house = await open_house(FILES)
    a, b = house.client("key-a"), house.client("key-b")
    request_id = await created(a)
    last = await ended(house, a, request_id)
    asked = house.received("get_request")
    await house.gw.ledger.close()

    assert (await poll(a, request_id)).content == last.content
    refused = anonymous(await poll(b, request_id))
    assert refused[0] == 503
    assert b'"ledger_unavailable"' in refused[2]
    assert anonymous(await poll(b, STRANGER)) == refused
    assert house.received("get_request") == asked


async def test_az3_an_owner_is_believed_for_a_minute_only(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = await open_house(FILES)
    client = house.client("key-a")
    request_id = await created(client)
    await ended(house, client, request_id)
    monkeypatch.setattr("gateway.memory.OWNER_TRUSTED_FOR", 0.0)
    await house.gw.ledger.close()
    with pytest.raises(LedgerUnavailable):
        await house.gw.ledger.owner_of(request_id)
    assert (await poll(client, request_id)).status_code == 503


async def test_a_poll_goes_on_when_the_client_that_began_it_hangs_up(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    client = house.client("key-a")
    request_id = await created(client)
    house.break_upstream("get_request:latency:0.3")
    first = asyncio.ensure_future(poll(client, request_id))
    await house.eventually(lambda: house.received("get_request") == 1)
    (look,) = house.gw.jobs.looks._under_way[request_id]
    second = asyncio.ensure_future(poll(client, request_id))
    await house.eventually(lambda: look._news is not None)  # somebody shares it
    first.cancel()
    assert (await second).status_code == 200
    assert house.received("get_request") == 1


async def test_ch2_a_look_that_hangs_does_not_keep_the_next_second_waiting(open_house: OpenHouse) -> None:
    async with live_job(open_house) as (house, upstream, request_id):
        client, target = house.client("key-a"), f"{Q}/requests/{request_id}"
        upstream.hung.add(target)
        hanging = asyncio.ensure_future(poll(client, request_id))
        await house.eventually(lambda: len(upstream.calls("GET", target)) == 1)
        upstream.hung.clear()
        await asyncio.sleep(LIVE_RECORD_FRESH)
        for seconds in (0, LIVE_RECORD_FRESH):
            await asyncio.sleep(seconds)
            answer = await asyncio.wait_for(poll(client, request_id), 5)
            assert answer.headers["cache-status"] == "gmi-gateway; fwd=miss"
        waited = await asyncio.wait_for(poll(client, request_id, headers={"prefer": "wait=1"}), 5)
        assert waited.json()["status"] == "queued"
        assert (await hanging).status_code == 200


async def test_ch2_where_upstream_hangs_a_job_is_asked_for_twice_and_no_more(open_house: OpenHouse) -> None:
    async with live_job(open_house) as (house, upstream, request_id):
        client, target = house.client("key-a"), f"{Q}/requests/{request_id}"
        upstream.held[target] = asyncio.Event()
        waiting = {"prefer": "wait=60"}
        polls = [asyncio.ensure_future(poll(client, request_id, headers=waiting))]
        for _ in range(6):
            polls += [asyncio.ensure_future(poll(client, request_id)) for _ in range(5)]
            await asyncio.sleep(LIVE_RECORD_FRESH / 2)
        assert len(upstream.calls("GET", target)) == 2
        for each in polls:
            each.cancel()


async def test_who_waits_has_no_second_look_made_while_half_of_all_calls_are_under_way(open_house: OpenHouse) -> None:
    async with live_job(open_house, MAX_IN_FLIGHT="12") as (house, upstream, request_id):
        client, target = house.client("key-a"), f"{Q}/requests/{request_id}"
        others = [f"{Q}/requests/{await created(client)}" for _ in range(6)]
        for path in (target, *others):
            upstream.held[path] = asyncio.Event()
        calls = [asyncio.ensure_future(client.get(path)) for path in others]
        await house.eventually(lambda: house.gw.upstream.in_flight == len(others))
        calls.append(asyncio.ensure_future(client.get(target, headers={"prefer": "wait=60"})))
        await asyncio.sleep(2 * LIVE_RECORD_FRESH)
        assert len(upstream.calls("GET", target)) == 1
        for each in calls:
            each.cancel()


async def test_a_record_that_a_poll_had_to_share_tells_how_old_it_is(open_house: OpenHouse) -> None:
    async with live_job(open_house) as (house, upstream, request_id):
        client, target = house.client("key-a"), f"{Q}/requests/{request_id}"
        held = upstream.held[target] = asyncio.Event()
        polls = [asyncio.ensure_future(poll(client, request_id))]
        for _ in range(3):
            await asyncio.sleep(LIVE_RECORD_FRESH + 0.05)
            polls.append(asyncio.ensure_future(poll(client, request_id)))
        await house.eventually(lambda: len(upstream.calls("GET", target)) == 2)
        await asyncio.sleep(0.1)
        held.set()
        answers = [await each for each in polls]
    assert [int(answer.headers["age"]) for answer in answers] == [0, 0, 1, 2]
    assert all(answer.headers["cache-status"].startswith("gmi-gateway; fwd=miss") for answer in answers)


class Overlap:
    """A job that is asked for by a first look, which is held, and by a second one from a second later on."""

    def __init__(self, house: House, upstream: FakeUpstream, request_id: str) -> None:
        self.client = house.client("key-a")
        self._house = house
        self._upstream = upstream
        self._request_id = request_id
        self._target = f"{Q}/requests/{request_id}"

    async def look(
        self, status: str, answer: bytes | None = None
    ) -> "tuple[asyncio.Task[httpx.Response], asyncio.Event]":
        """A poll that upstream reads now as of this status, and answers when the event is set."""
        self._upstream.jobs[self._request_id]["status"] = status
        if answer is not None:
            self._upstream.answers["GET", self._target] = answer
        release = self._upstream.held[self._target] = asyncio.Event()
        asked = len(self._upstream.calls("GET", self._target))
        polling = asyncio.ensure_future(poll(self.client, self._request_id))
        await self._house.eventually(lambda: len(self._upstream.calls("GET", self._target)) == asked + 1)
        self._upstream.answers.pop(("GET", self._target), None)
        del self._upstream.held[self._target]
        await asyncio.sleep(LIVE_RECORD_FRESH)
        return polling, release

    async def status(self) -> str:
        """What a poll says now, without asking upstream where that need not be asked."""
        return str((await poll(self.client, self._request_id)).json()["status"])

    async def listed(self) -> list[str]:
        """The statuses in the team's list."""
        return [job["status"] for job in (await self.client.get(f"{Q}/requests")).json()["requests"]]


@asynccontextmanager
async def overlap(open_house: OpenHouse) -> AsyncIterator[Overlap]:
    async with live_job(open_house) as made:
        yield Overlap(*made)


@pytest.mark.parametrize(
    "late",
    [None, response(b'{"error":"no"}', "404 Not Found"), response(b"{}", "429 Too Many"), response(b'{"error":"no"}')],
    ids=["record", "404", "429", "nonsense"],
)
async def test_ch2_a_look_that_hangs_is_answered_by_the_next(open_house: OpenHouse, late: bytes | None) -> None:
    async with overlap(open_house) as job:
        slow, release = await job.look("queued", late)
        quick, released = await job.look("processing")
        released.set()
        assert [(await each).json()["status"] for each in (quick, slow)] == ["processing"] * 2
        release.set()
        assert (await job.status(), await job.listed()) == ("processing", ["processing"])


@pytest.mark.parametrize("late", [None, response(b'{"error":"no"}', "404 Not Found")], ids=["record", "404"])
async def test_ch2_an_end_is_an_end_whatever_another_look_says(open_house: OpenHouse, late: bytes | None) -> None:
    async with overlap(open_house) as job:
        first, release = await job.look("success")
        second, released = await job.look("processing", late)
        release.set()
        assert (await first).json()["status"] == "success"
        released.set()
        assert (await second).json()["status"] == "success"
        await asyncio.sleep(LIVE_RECORD_FRESH)
        assert (await job.status(), await job.listed()) == ("success", ["success"])


async def test_ch2_of_two_looks_at_once_the_one_counts_that_says_more(open_house: OpenHouse) -> None:
    async with overlap(open_house) as job:
        first, release = await job.look("processing")
        second, released = await job.look("queued")
        release.set()
        assert (await first).json()["status"] == "processing"
        released.set()
        assert (await second).json()["status"] == "processing"
        assert await job.listed() == ["processing"]
        await asyncio.sleep(LIVE_RECORD_FRESH)
        assert await job.status() == "queued", "upstream was asked anew, and says so"


@pytest.mark.parametrize("path", ["", "/events"])
async def test_who_waits_hears_of_the_end_though_the_first_look_hangs(open_house: OpenHouse, path: str) -> None:
    async with live_job(open_house) as (house, upstream, request_id):
        client, target = house.client("key-a"), f"{Q}/requests/{request_id}"
        upstream.held[target] = asyncio.Event()
        watched = f"/gateway/v1/requests/{request_id}/events" if path else target
        waiting = asyncio.ensure_future(client.get(watched, headers={"prefer": "wait=20"}))
        await house.eventually(lambda: len(upstream.calls("GET", target)) == 1)
        upstream.jobs[request_id]["status"] = "success"
        del upstream.held[target]
        told = await asyncio.wait_for(waiting, 5)
        assert b'"success"' in told.content.replace(b" ", b"")
        assert len(upstream.calls("GET", target)) == 2


async def test_up8_an_error_of_upstreams_passes_untouched_and_is_kept_for_a_second(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    client = house.client("key-a")
    request_id = await created(client)
    house.break_upstream("get_request:429:1:1")
    limited = await poll(client, request_id)
    assert (limited.status_code, "code" in limited.json()) == (429, False)
    assert int(limited.headers["retry-after"]) >= 1
    again = await poll(client, request_id)
    assert (again.status_code, again.content) == (429, limited.content)
    assert again.headers["cache-status"] == "gmi-gateway; hit"
    assert house.received("get_request") == 1
    await asyncio.sleep(LIVE_RECORD_FRESH)
    assert (await poll(client, request_id)).status_code == 200


@pytest.mark.parametrize(
    "nonsense",
    [response(b"{}", "401 No"), response(b"{}", "302 There"), response(b"not a record")],
    ids=["401", "302", "no record"],
)
async def test_a_job_that_upstream_tells_nonsense_of_is_asked_for_once_a_second_too(
    open_house: OpenHouse, nonsense: bytes
) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        client = house.client("key-a")
        request_id = await created(client)
        known = await poll(client, request_id)
        age(house, request_id, LIVE_RECORD_FRESH)
        upstream.answers["GET", f"{Q}/requests/{request_id}"] = nonsense
        began, before = time.monotonic(), len(upstream.received)
        answers = [await poll(client, request_id) for _ in range(50)]
        asked, seconds = len(upstream.received) - before, int(time.monotonic() - began)
        assert 1 <= asked <= 1 + seconds
        assert {(answer.status_code, answer.content) for answer in answers} == {(200, known.content)}
        assert {answer.headers["cache-status"] for answer in answers} == {"gmi-gateway; hit; detail=stale-error"}
        await asyncio.sleep(LIVE_RECORD_FRESH)
        del upstream.answers["GET", f"{Q}/requests/{request_id}"]
        assert (await poll(client, request_id)).headers["cache-status"] == "gmi-gateway; fwd=miss"


async def test_a_job_whose_calls_get_no_answer_is_asked_for_once_a_second_too(open_house: OpenHouse) -> None:
    async with live_job(open_house) as (house, upstream, request_id):
        client = house.client("key-a")
        known = await poll(client, request_id)
        age(house, request_id, LIVE_RECORD_FRESH)
        upstream.answers["GET", f"{Q}/requests/{request_id}"] = b"no HTTP at all\r\n\r\n"
        began, before = time.monotonic(), len(upstream.received)
        answers = [await poll(client, request_id) for _ in range(50)]
        asked, seconds = len(upstream.received) - before, int(time.monotonic() - began)
        assert 1 <= asked <= 2 * (1 + seconds), "a GET may be tried twice"
        assert {(answer.status_code, answer.content) for answer in answers} == {(200, known.content)}
        assert {answer.headers["cache-status"] for answer in answers} == {"gmi-gateway; hit; detail=stale-error"}


async def test_2000_pollers_of_100_live_jobs_are_one_call_to_upstream_per_job_and_second(
    open_house: OpenHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock of the test's own: each poller asks once a second at an instant of its own, for ten seconds."""
    monkeypatch.setattr("gateway.duties.SETTLE_EVERY", 3600.0)  # the follower goes by another clock
    jobs, seconds = 100, 10
    async with FakeUpstream() as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        ids = [await created(house.client("key-a")) for _ in range(jobs)]
        clock = [house.gw.ticks()]
        gw = replace(house.gw, ticks=lambda: clock[0])
        caller = next(each for each in gw.policies.current.callers.values() if each.team.name == "a")
        began, before = clock[0], len(upstream.received)
        for number in range(2000 * seconds):
            clock[0] = began + number / 2000
            served = await polling.poll(gw, caller, ids[(number * 7919) % 2000 % jobs])
            assert served.age < 1
        assert len(upstream.received) - before <= 1.02 * jobs * seconds


async def test_a_record_is_last_seen_for_a_minute_only(open_house: OpenHouse) -> None:
    house = await open_house(FILES, speed=1)
    request_id = await created(house.client("key-a"))
    assert polling.last_seen(house.gw, request_id) is None
    await poll(house.client("key-a"), request_id)
    age(house, request_id, 59)
    seen = polling.last_seen(house.gw, request_id)
    assert seen is not None
    assert (seen.how, int(seen.age)) == (How.STALE, 59)
    age(house, request_id, 1)
    assert polling.last_seen(house.gw, request_id) is None


async def test_who_waits_without_a_record_is_told_that_the_job_is_gone(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        request_id = await created(house.client("key-a"))
        upstream.answers["GET", f"{Q}/requests/{request_id}"] = response(b'{"error":"none"}', "404 Not Found")
        caller = next(each for each in house.gw.policies.current.callers.values() if each.team.name == "a")
        owner = await polling.own(house.gw, caller, request_id)
        long_ago = structs.replace(owner, created_at=owner.created_at - 3600)
        wait = Wait(caller, house.gw.ticks() + 30, house.gw.ticks, nullcontext, inf)
        async with asyncio.timeout(5):
            assert [each async for each in polling.watch(house.gw, request_id, long_ago, b"", wait)] == []
        assert not wait.is_over


async def test_a_live_record_is_had_anew_but_upstream_is_not_asked_twice_in_a_second(open_house: OpenHouse) -> None:
    async with FakeUpstream() as upstream:
        house = await open_house(FILES, upstream=upstream.url)
        request_id = await created(house.client("key-a"))
        caller = next(each for each in house.gw.policies.current.callers.values() if each.team.name == "a")
        fresh = await polling.poll_anew(house.gw, caller, request_id)
        assert fresh.how is How.MISS
        upstream.jobs[request_id]["status"] = "success"
        again = await polling.poll_anew(house.gw, caller, request_id)
        assert again.value.terminal
        assert again.value.asked_at - fresh.value.asked_at >= LIVE_RECORD_FRESH
        assert (await polling.poll_anew(house.gw, caller, request_id)).how is How.HIT
