"""The ledger fails under the real command: rows LE1, LE2, LE3, LE5 and LE7."""

import asyncio
import itertools
import os
import resource
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
import psycopg
import pytest

from gateway.core.lifecycle import State
from tests.conftest import Client, team
from tests.fake_upstream import Q
from tests.faults.conftest import LIMITS
from tests.faults.unruly import CREATE, UnrulyUpstream
from tests.faults.wire import KEY_A, KEY_B
from tests.ledger.samples import run_sql
from tests.ledger_troubles import held_by_another
from tests.postgres import Server, postgres
from tests.postgres_proxy import Proxy
from tests.programs import require
from tests.scripted_upstream import response
from tests.served import Served, environment_of, eventually, served
from tests.site import Site, received, site_at

__all__ = ["postgres"]

PRICE = 100_000
NOTHING = {"jobs": 0, "slots": 0, "USD": 0}
RUNNING = {"jobs": 1, "slots": 1, "USD": PRICE}
"""What the counters hold of no job, and of one that runs or of which nobody knows."""

POLICIES = {"a.yaml": team("a", KEY_A, LIMITS), "b.yaml": team("b", KEY_B, LIMITS)}


def unavailable(answer: httpx.Response) -> bool:
    """Whether the ledger was what the gateway lacked."""
    return (answer.status_code, answer.json().get("code")) == (503, "ledger_unavailable")


async def is_ready(gateway: Served) -> bool:
    return (await gateway.ask_admin("/readyz")).status_code == 200


async def begun(site: Site, client: Client) -> "asyncio.Future[httpx.Response]":
    """A create that upstream has and does not answer."""
    site.upstream.go.clear()
    creating = asyncio.ensure_future(client.create())
    await received(site.upstream, *CREATE)
    return creating


# --- a file ---------------------------------------------------------------------------------------------------------


@contextmanager
def mounted(folder: Path, size: str = "4m") -> Iterator[Path]:
    """A file system of its own, which is soon full."""
    require("mount", "umount", root=True)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def write_protect(disk: Path) -> None:
    """Nothing there can be changed from now on."""
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """Not a byte more can be written there."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while file.write(b"\0" * size):
                    pass
            except OSError:
                continue
    yield
    ballast.unlink()


@contextmanager
def read_only(gateway: Served) -> Iterator[None]:
    """The gateway can write to no file any more; it reads them all."""
    _, most = resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (0, most))
    yield
    resource.prlimit(gateway.process.pid, resource.RLIMIT_FSIZE, (most, most))


@asynccontextmanager
async def on_a_file(folder: Path, disk: Path) -> AsyncIterator[tuple[Site, Served, Client]]:
    """A gateway whose ledger lies on the disk, and a client whose catalogue it knows already."""
    async with site_at(folder, f"sqlite:///{disk / 'gateway.db'}", POLICIES, UnrulyUpstream()) as site:
        gateway = await site.start(create_timeout="60")
        client = gateway.client(KEY_A)
        assert (await client.get(f"{Q}/models/Veo3")).status_code == 200
        yield site, gateway, client
        await site.verify()


async def test_le1_a_full_disk_refuses_creates_unsent_and_serves_owners(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        async with on_a_file(tmp_path, disk) as (site, gateway, client):
            request_id = (await client.create()).json()["request_id"]
            with full(disk):
                answers = await asyncio.gather(*(client.create() for _ in range(20)))
                assert all(unavailable(answer) for answer in answers)
                assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
                assert (await client.get(f"{Q}/requests")).json()["total"] == 1
                assert (await gateway.ask_admin("/healthz")).status_code == 200
            assert len(site.upstream.creates) == 1
            assert await site.books() == RUNNING

            async def again() -> bool:
                return (await client.create()).status_code == 200

            await eventually(again)
            assert (len(site.upstream.creates), (await site.books())["jobs"]) == (2, 2)


async def test_le1_an_accepted_create_is_answered_and_its_commit_repeated_until_it_holds(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        async with on_a_file(tmp_path, disk) as (site, gateway, client):
            creating = await begun(site, client)
            with full(disk):
                site.upstream.go.set()
                answer = await creating
                (request_id,) = site.upstream.jobs
                assert (answer.status_code, answer.json()["request_id"]) == (200, request_id)
                assert await site.states() == {State.SENT}
                assert unavailable(await client.get(f"{Q}/requests/{request_id}"))
                other = await gateway.client(KEY_B).get(f"{Q}/requests/{request_id}")
                assert other.status_code == 404
            await site.all_clear()
            assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
            assert await site.books() == RUNNING
            assert len(site.upstream.creates) == 1


async def test_le1_a_refused_create_is_given_back_as_soon_as_the_ledger_takes_it(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk") as disk:
        async with on_a_file(tmp_path, disk) as (site, _, client):
            site.upstream.answers[CREATE] = response(b'{"error":"no"}', "400 Bad Request")
            creating = await begun(site, client)
            with full(disk):
                site.upstream.go.set()
                answer = await creating
                assert (answer.status_code, answer.json()) == (400, {"error": "no"})
                assert await site.books() == RUNNING
            await site.all_clear()
            assert await site.books() == NOTHING


async def test_le2_a_lock_held_by_another_process_refuses_creates_in_time_and_the_gateway_stays_alive(
    tmp_path: Path,
) -> None:
    async with on_a_file(tmp_path, tmp_path) as (site, gateway, client):
        request_id = (await client.create()).json()["request_id"]
        with held_by_another(str(tmp_path / "gateway.db")):
            began = time.monotonic()
            waiting = asyncio.gather(*(client.create() for _ in range(20)))
            while not waiting.done():
                asked = time.monotonic()
                assert (await gateway.ask_admin("/healthz")).status_code == 200
                assert time.monotonic() - asked < 1
                assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
                await asyncio.sleep(0.1)
            assert all(unavailable(answer) for answer in await waiting)
            assert time.monotonic() - began < 8
            assert not await is_ready(gateway)
        assert len(site.upstream.creates) == 1
        await eventually(lambda: is_ready(gateway))
        assert (await client.create()).status_code == 200
        assert await site.books() == {"jobs": 2, "slots": 2, "USD": 2 * PRICE}


async def test_le3_a_gateway_does_not_start_where_it_may_not_write(tmp_path: Path) -> None:
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(POLICIES["a.yaml"])
    with mounted(tmp_path / "disk") as disk:
        environment = environment_of(tmp_path, "http://127.0.0.1:1", ledger=f"sqlite:///{disk / 'gateway.db'}")
        async with served(environment) as gateway:
            assert await gateway.ends(signal.SIGTERM) == 0
        write_protect(disk)
        async with served(environment) as gateway:
            assert (gateway.public, await gateway.ends()) == ("", 2)
            said = "".join(gateway.said)
            assert f"{disk / 'gateway.db'} cannot be used as the ledger" in said
            assert "Traceback" not in said


async def test_le3_a_ledger_that_can_only_be_read_still_shows_owners_their_jobs(tmp_path: Path) -> None:
    async with on_a_file(tmp_path, tmp_path) as (site, gateway, client):
        request_id = (await client.create()).json()["request_id"]
        with read_only(gateway):
            assert unavailable(await client.create())
            assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
            assert (await client.get(f"{Q}/requests")).json()["total"] == 1
            assert (await gateway.client(KEY_B).get(f"{Q}/requests/{request_id}")).status_code == 404
            assert (await client.get(f"{Q}/models")).status_code == 200
        assert len(site.upstream.creates) == 1
        assert (await client.create()).status_code == 200
        assert (await site.books())["jobs"] == 2


# --- a database -----------------------------------------------------------------------------------------------------


@pytest.fixture
async def proxied(postgres: Server, tmp_path: Path) -> AsyncIterator[tuple[Site, Proxy]]:
    """A site, and the proxy through which its gateways may reach the database."""
    async with (
        Proxy(postgres.socket) as proxy,
        site_at(tmp_path, postgres.ledger(), POLICIES, UnrulyUpstream()) as site,
    ):
        yield site, proxy
        await site.verify()


async def test_le5_without_its_database_it_starts_and_is_ready_when_that_comes(proxied: tuple[Site, Proxy]) -> None:
    site, proxy = proxied
    await proxy.cut()
    gateway = await site.start(ledger=proxy.url(site.url))
    assert not await is_ready(gateway)
    assert (await gateway.ask_admin("/healthz")).status_code == 200
    client = gateway.client(KEY_A)
    for _ in range(3):
        began = time.monotonic()
        assert unavailable(await client.create())
        assert time.monotonic() - began < 4
    assert site.upstream.creates == []

    await proxy.listen()
    await eventually(lambda: is_ready(gateway))
    assert (await client.create()).status_code == 200
    assert await site.books() == RUNNING
    assert gateway.process.returncode is None


@dataclass
class Load:
    """Clients that each want one job, and repeat their create until they are told that they have it."""

    clients: list[Client]
    refused: list[float] = field(default_factory=list)
    """Of each refusal for want of a ledger: the seconds it took."""
    jobs: list[str] = field(default_factory=list)

    async def insist(self, number: int) -> None:
        headers = {"Idempotency-Key": f"key-{number}"}
        for attempt in itertools.count(number):
            began = time.monotonic()
            answer = await self.clients[attempt % len(self.clients)].create(headers=headers)
            if answer.status_code == 200:
                self.jobs.append(answer.json()["request_id"])
                return
            if unavailable(answer):
                self.refused.append(time.monotonic() - began)
            await asyncio.sleep(0.1)


async def cut_off(_: Server, proxy: Proxy, load: Load) -> None:
    """Nobody reaches the server until somebody was refused for it."""
    await proxy.cut()

    async def felt() -> bool:
        return bool(load.refused)

    await eventually(felt)
    await proxy.listen()


async def killed(server: Server, _: Proxy, load: Load) -> None:
    """One of the server's processes is killed: it drops every connection, and recovers from its log."""
    assert load.jobs
    ((pid,),) = server.run("SELECT pid FROM pg_stat_activity WHERE application_name = 'gmi-gateway' LIMIT 1")
    os.kill(int(str(pid)), signal.SIGKILL)


async def told_to_go(server: Server, _: Proxy, load: Load) -> None:
    """The server ends every session of a gateway, as an administrator may ask it to: 57P01."""
    assert load.jobs
    server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'gmi-gateway'")


@pytest.mark.parametrize("trouble", [cut_off, killed, told_to_go])
async def test_le5_a_database_that_dies_under_load_and_returns_loses_and_doubles_nothing(
    proxied: tuple[Site, Proxy], postgres: Server, trouble: Callable[[Server, Proxy, Load], Awaitable[None]]
) -> None:
    site, proxy = proxied
    gateways = [await site.start(ledger=proxy.url(site.url)) for _ in range(2)]
    load = Load([gateway.client(KEY_A) for gateway in gateways])
    await asyncio.gather(*(load.insist(number) for number in range(10)))
    ended = list(load.jobs)
    insisting = asyncio.gather(*(load.insist(number) for number in range(10, 50)))
    for request_id in ended:
        site.upstream.jobs[request_id] |= {"status": "failed", "outcome": {"error": "no"}}
    await trouble(postgres, proxy, load)
    await insisting
    for gateway in gateways:
        await eventually(partial(is_ready, gateway))
    assert max(load.refused, default=0.0) < 4
    assert sorted(load.jobs) == sorted(site.upstream.jobs)
    assert len(site.upstream.creates) == 50
    await site.all_clear()

    async def settled() -> bool:
        return await site.books() == {"jobs": 50, "slots": 40, "USD": 40 * PRICE}

    await eventually(settled)


async def test_le5_a_create_refused_while_the_database_says_nothing_holds_nothing_once_it_speaks(
    proxied: tuple[Site, Proxy],
) -> None:
    site, proxy = proxied
    gateway = await site.start(ledger=proxy.url(site.url))
    client, keyed = gateway.client(KEY_A), {"Idempotency-Key": "k"}
    assert (await client.get(f"{Q}/models/Veo3")).status_code == 200
    proxy.flowing.clear()
    assert unavailable(await client.create(headers=keyed))
    proxy.flowing.set()

    async def taken_back() -> bool:
        states = run_sql(site.url, "SELECT state FROM reservations")
        return states == [("released",)] and await site.books() == NOTHING

    await eventually(taken_back)
    assert not [line for line in gateway.said if "orphaned create" in line]
    assert site.upstream.creates == []
    assert (await client.create(headers=keyed)).status_code == 200
    assert await site.books() == RUNNING


async def test_le7_a_team_whose_counters_are_locked_keeps_nobody_else_waiting(proxied: tuple[Site, Proxy]) -> None:
    site, _ = proxied
    gateway = await site.start()
    a, b = gateway.client(KEY_A), gateway.client(KEY_B)
    assert (await a.create()).status_code == 200
    with psycopg.connect(site.url) as other:
        other.execute("SELECT * FROM counters WHERE starts_with(name, 'jobs/a/') FOR UPDATE")
        locked = asyncio.gather(*(a.create() for _ in range(10)))
        free = []
        while not locked.done():
            began = time.monotonic()
            free.append((await b.create()).status_code)
            assert time.monotonic() - began < 1.5
        assert all(unavailable(answer) for answer in await locked)
        assert set(free) == {200}
    assert (await a.create()).status_code == 200
    assert len(site.upstream.creates) == 2 + len(free)

    async def nothing_is_held_of_the_others() -> bool:
        return await site.books("a") == {"jobs": 2, "slots": 2, "USD": 2 * PRICE}

    await eventually(nothing_is_held_of_the_others, 3)
