"""A ledger in a file fails under the real command: rows LE1, LE2 and LE3."""

import asyncio
import resource
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx

from gateway.core.lifecycle import State
from tests.conftest import Client, team
from tests.fake_upstream import Q
from tests.faults.conftest import LIMITS, unavailable
from tests.faults.unruly import CREATE, UnrulyUpstream
from tests.faults.wire import KEY_A, KEY_B
from tests.ledger_troubles import held_by_another
from tests.programs import require
from tests.scripted_upstream import response
from tests.served import Served, environment_of, eventually, served
from tests.site import NOTHING, PRICE, RUNNING, Site, received, site_at

POLICIES = {"a.yaml": team("a", KEY_A, LIMITS), "b.yaml": team("b", KEY_B, LIMITS)}


async def begun(site: Site, client: Client) -> "asyncio.Future[httpx.Response]":
    """A create that upstream has and does not answer."""
    site.upstream.go.clear()
    creating = asyncio.ensure_future(client.create())
    await received(site.upstream, *CREATE)
    return creating


@contextmanager
def mounted(folder: Path) -> Iterator[Path]:
    """A file system of its own, which is soon full."""
    require("mount", "umount", root=True)
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=True)
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
                unavailable(*answers)
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
                unavailable(await client.get(f"{Q}/requests/{request_id}"))
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
            began, alive = time.monotonic(), 0
            waiting = asyncio.gather(*(client.create() for _ in range(20)))
            while not waiting.done():
                assert (await gateway.ask_admin("/healthz")).status_code == 200
                alive += not waiting.done()
                assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
                await asyncio.sleep(0.1)
            unavailable(*await waiting)
            assert time.monotonic() - began < 10
            assert alive
            assert not await gateway.is_ready()
        assert len(site.upstream.creates) == 1
        await eventually(gateway.is_ready)
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
            unavailable(await client.create())
            assert (await client.get(f"{Q}/requests/{request_id}")).status_code == 200
            assert (await client.get(f"{Q}/requests")).json()["total"] == 1
            assert (await gateway.client(KEY_B).get(f"{Q}/requests/{request_id}")).status_code == 404
            assert (await client.get(f"{Q}/models")).status_code == 200
        assert len(site.upstream.creates) == 1
        assert (await client.create()).status_code == 200
        assert (await site.books())["jobs"] == 2
