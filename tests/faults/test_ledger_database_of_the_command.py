"""A ledger in PostgreSQL fails under the real command: rows LE5 and LE7."""

import asyncio
import itertools
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Client, team
from tests.fake_upstream import Q
from tests.faults.conftest import LIMITS, unavailable
from tests.faults.unruly import UnrulyUpstream
from tests.faults.wire import KEY_A, KEY_B
from tests.ledger.samples import run_sql
from tests.postgres import Server, postgres
from tests.postgres_proxy import Proxy
from tests.served import eventually
from tests.site import NOTHING, PRICE, RUNNING, Site, site_at

__all__ = ["postgres"]

POLICIES = {"a.yaml": team("a", KEY_A, LIMITS), "b.yaml": team("b", KEY_B, LIMITS)}


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
    assert not await gateway.is_ready()
    assert (await gateway.ask_admin("/healthz")).status_code == 200
    client = gateway.client(KEY_A)
    for _ in range(3):
        began = time.monotonic()
        unavailable(await client.create())
        assert time.monotonic() - began < 5
    assert site.upstream.creates == []

    await proxy.listen()
    await eventually(gateway.is_ready)
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
            if answer.status_code == 503:
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
        await eventually(gateway.is_ready)
    assert max(load.refused, default=0.0) < 5
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
    unavailable(await client.create(headers=keyed))
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
            free.append((await b.create()).status_code)
        unavailable(*await locked)
        assert set(free) == {200}
    assert (await a.create()).status_code == 200
    assert len(site.upstream.creates) == 2 + len(free)

    async def nothing_is_held_of_the_others() -> bool:
        return await site.books("a") == {"jobs": 2, "slots": 2, "USD": 2 * PRICE}

    await eventually(nothing_is_held_of_the_others, 3)
