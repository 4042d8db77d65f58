"""Clients that wait: many of them, ones that do not read, and what ends a wait when nothing else does."""

import asyncio
import signal
import socket
from contextlib import suppress
from pathlib import Path
from typing import Self

import pytest

from gateway.waits import MOST_OF_KEY
from tests.conftest import Client, digest, team
from tests.events import listening
from tests.fake_upstream import FakeUpstream, Q
from tests.faults.conftest import OpenWorld, World
from tests.faults.wire import KEY_A, Answer, get, parse
from tests.served import environment_of, eventually, served

WAIT = {"Prefer": "wait=60"}


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def created(world: World) -> str:
    return str((await world.a.create()).json()["request_id"])


def looks(world: World, job: str) -> int:
    return len(world.upstream.calls("GET", f"{Q}/requests/{job}"))


def waiting(client: Client, job: str) -> "asyncio.Future[tuple[int, str]]":
    """A long-poll under way: its status, and the job's or the error's name."""

    async def ask() -> tuple[int, str]:
        answer = await client.get(f"{Q}/requests/{job}", headers=WAIT)
        return answer.status_code, answer.json().get("code") or answer.json()["status"]

    return asyncio.ensure_future(ask())


async def _ask(world: World, job: str) -> Answer:
    wire = await world.connect()
    await wire.send(get(f"{Q}/requests/{job}", "Prefer: wait=60"))
    head = await wire.reader.readuntil(b"\r\n\r\n")
    (answer,) = parse(head)
    answer.body = await wire.reader.readexactly(int(answer.headers["content-length"]))
    return answer


async def test_lp2_a_thousand_long_polls_on_one_job_are_one_look_a_second(world: World) -> None:
    job = await created(world)
    asking = [asyncio.ensure_future(_ask(world, job)) for _ in range(1000)]
    await world.house.eventually(lambda: sum(each.done() for each in asking) == 900, seconds=30)
    assert {each.result().status for each in asking if each.done()} == {429}
    assert world.house.gw.waits.count == MOST_OF_KEY
    began, looked = asyncio.get_running_loop().time(), looks(world, job)
    await world.house.eventually(lambda: looks(world, job) >= looked + 3)
    world.upstream.jobs[job]["status"] = "success"
    answers = [answer for answer in await asyncio.gather(*asking) if answer.status == 200]
    seconds = asyncio.get_running_loop().time() - began
    assert [answer.json["status"] for answer in answers] == ["success"] * MOST_OF_KEY
    assert looks(world, job) - looked <= seconds + 2
    assert world.house.gw.waits.count == 0


async def test_lp2_a_key_that_waits_too_often_is_told_and_polls_all_the_same(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.waits.MOST_OF_KEY", 2)
    job = await created(world)
    poll = waiting(world.a, job)
    async with listening(world.a, job) as events:
        await events.until(1)
        await world.house.eventually(lambda: world.house.gw.waits.count == 2)
        for path in (f"{Q}/requests/{job}", f"/gateway/v1/requests/{job}/events"):
            answer = await world.a.get(path, headers=WAIT)
            assert (answer.status_code, answer.json()["code"]) == (429, "concurrency_exceeded")
            assert int(answer.headers["retry-after"]) >= 1
            assert answer.json()["rate_limit"]["limit"] == 2
        assert (await world.a.get(f"{Q}/requests/{job}")).status_code == 200
        at_once = await world.a.create(headers=WAIT)
        assert (at_once.status_code, "preference-applied" in at_once.headers) == (200, False)
        world.upstream.jobs[job]["status"] = "success"
        assert await poll == (200, "success")


async def test_qu8_calls_that_wait_leave_the_room_to_the_others(open_world: OpenWorld) -> None:
    world = await open_world(max_in_flight="1")
    job = await created(world)
    wait = waiting(world.a, job)
    await world.house.eventually(lambda: world.house.gw.waits.count == 1)
    assert [(await client.create()).status_code for client in (world.a, world.b)] == [200, 200]
    assert await waiting(world.b, job) == (404, "request_not_found")
    world.upstream.jobs[job]["status"] = "success"
    assert await wait == (200, "success")


async def test_lp2_a_consumer_that_never_reads_is_not_written_to_for_ever(world: World) -> None:
    """Each change is 300 kB; what its client does not take is not made."""
    job = await created(world)
    reader = socket.socket()
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    reader.connect(("127.0.0.1", int(world.house.running.public_url.rpartition(":")[2])))
    reader.sendall(get(f"/gateway/v1/requests/{job}/events"))
    before = open_files()
    room = None
    for number in range(30):
        world.upstream.jobs[job]["outcome"] = {"frame": f"{number}" + "x" * 300_000}
        world.house.gw.jobs.forget(job)
        await world.a.get(f"{Q}/requests/{job}")
        await asyncio.sleep(0)
        ((wait,),) = world.house.gw.waits._waits.values()
        room = wait.aside.func.__self__  # type: ignore[attr-defined]
        assert room.load.held <= 301_000
    reader.close()
    await world.house.eventually(lambda: world.house.gw.waits.count == 0)
    await world.house.eventually(lambda: room is not None and room.load.held == 0)
    await world.house.eventually(lambda: open_files() <= before)


class SlowReader:
    """A client of a job's events that takes 8 kB a second. `raw` is what it has got."""

    def __init__(self, client: Client, job: str) -> None:
        self.raw = b""
        self._pause = 0.5
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.connect(("127.0.0.1", int(client.base.rpartition(":")[2])))
        self._socket.sendall(get(f"/gateway/v1/requests/{job}/events"))
        self._socket.setblocking(False)
        self._begun = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._reading = asyncio.ensure_future(self._read())
        await asyncio.wait_for(self._begun.wait(), 10)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.wait((self._reading,))
        self._socket.close()

    async def _read(self) -> None:
        with suppress(ConnectionError):
            while more := await asyncio.get_running_loop().sock_recv(self._socket, 4096):
                self.raw += more
                if len(self.raw) > 10_000:
                    self._begun.set()
                await asyncio.sleep(self._pause)

    async def rest(self) -> bytes:
        """All that it gets until the connection is closed, from now on as fast as it can."""
        self._pause = 0
        await asyncio.wait_for(self._reading, 10)
        return self.raw


def large(upstream: FakeUpstream, job: str) -> None:
    """Let the job's record be larger than what the system takes for a client that does not read."""
    upstream.jobs[job]["outcome"] = {"inlineData": "x" * 8_000_000}


async def test_au8_a_stream_that_its_client_takes_slowly_ends_with_its_key(world: World) -> None:
    job = await created(world)
    large(world.upstream, job)
    async with SlowReader(world.a, job) as reader:
        (world.house.policies / "a.yaml").write_text(team("a", KEY_A).replace(digest(KEY_A), digest("another")))
        await world.house.eventually(lambda: world.house.gw.waits.count == 0)
        raw = await reader.rest()
    assert len(raw) < 8_000_000
    assert not raw.endswith(b"0\r\n\r\n")


async def test_lp2_clients_that_leave_are_forgotten(world: World) -> None:
    job = await created(world)
    polls = [waiting(world.a, job) for _ in range(20)]
    await world.house.eventually(lambda: world.house.gw.waits.count == 20)
    for poll in polls:
        poll.cancel()
    await world.house.eventually(lambda: world.house.gw.waits.count == 0)
    looked = looks(world, job)
    await asyncio.sleep(1.5)  # in which nobody is left to look for
    assert looks(world, job) == looked
    assert [task.get_name() for task in world.house.gw.tasks._running if "wait" in task.get_name()] == []


@pytest.mark.parametrize("change", ["revoked", "expired"])
async def test_au8_no_wait_outlives_its_key(world: World, change: str) -> None:
    job = await created(world)
    poll = waiting(world.a, job)
    create = asyncio.ensure_future(world.a.create(headers=WAIT))
    async with listening(world.a, job) as events:
        await events.until(1)
        await world.house.eventually(lambda: world.house.gw.waits.count == 3)
        await world.house.eventually(lambda: len(world.upstream.jobs) == 2)
        without = team("a", KEY_A).replace(digest(KEY_A), digest("another"))
        expired = team("a", KEY_A).replace("    hash", "    expires: 2026-01-01\n    hash")
        (world.house.policies / "a.yaml").write_text(without if change == "revoked" else expired)
        async with asyncio.timeout(5):
            assert await poll == (401, "key_invalid" if change == "revoked" else "key_expired")
            assert len(await events.end()) == 1
            assert (await create).json()["status"] == "queued"
    assert await world.house.gw.ledger.verify() == []
    for each in world.upstream.jobs.values():
        each["status"] = "success"


async def _is_watched(upstream: FakeUpstream, job: str) -> bool:
    return len(upstream.jobs) == 2 and len(upstream.calls("GET", f"{Q}/requests/{job}")) >= 2


async def test_sh2_a_drain_ends_every_wait_within_a_second(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(team("a", KEY_A))
    async with FakeUpstream() as upstream:
        environment = environment_of(tmp_path, upstream.url, drain_delay="3")
        async with served(environment) as gateway:
            client = gateway.client(KEY_A)
            job = str((await client.create()).json()["request_id"])
            poll = waiting(client, job)
            create = asyncio.ensure_future(client.create(headers=WAIT))
            async with listening(client, job) as events:
                await events.until(1)
                await eventually(lambda: _is_watched(upstream, job))
                gateway.process.send_signal(signal.SIGTERM)
                began = asyncio.get_running_loop().time()
                assert await poll == (200, "queued")
                assert (await create).status_code == 200
                assert len(await events.end()) == 1
                assert asyncio.get_running_loop().time() - began < 2.5  # before the drain's delay is over
            assert events.retry == 2000
            assert await gateway.ends() == 0


async def test_sh2_a_drain_does_not_wait_for_a_client_that_takes_its_events_slowly(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(team("a", KEY_A))
    async with (
        FakeUpstream() as upstream,
        served(environment_of(tmp_path, upstream.url, drain_timeout="20")) as gateway,
    ):
        client = gateway.client(KEY_A)
        job = str((await client.create()).json()["request_id"])
        large(upstream, job)
        async with SlowReader(client, job) as reader:
            gateway.process.send_signal(signal.SIGTERM)
            began = asyncio.get_running_loop().time()
            assert await gateway.ends() == 0
            assert asyncio.get_running_loop().time() - began < 5
            assert not (await reader.rest()).endswith(b"0\r\n\r\n")
