"""The end of the real command, as its clients see it: SIGTERM under load, in a reload, without a ledger."""

import asyncio
import json
import signal
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.conftest import team
from tests.fake_upstream import FakeUpstream, Q
from tests.faults.wire import KEY_A, Wire, get
from tests.served import Served, environment_of, eventually, served

DELAY = 3.0
CLIENTS = 200


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With the policies of one team."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(team("a", KEY_A, "limits: [100000 requests per minute]"))
    return tmp_path


@dataclass
class Crowd:
    """Clients that keep their connections as long as they may, and repeat nothing."""

    url: str
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    draining: asyncio.Event = field(default_factory=asyncio.Event)
    answers: Counter[tuple[bool, int, bool]] = field(default_factory=Counter)
    """How many, by whether the drain had begun when it was asked, status, and whether it was the connection's last."""

    async def ask_on_and_on(self) -> None:
        """Ask until it is enough. Raises whatever goes wrong on the wire."""
        while not self.enough.is_set():
            await self._use_up_a_connection()

    async def _use_up_a_connection(self) -> None:
        address = urlsplit(self.url)
        wire = Wire(*await asyncio.open_connection(address.hostname, address.port))
        try:
            last = False
            while not last and not self.enough.is_set():
                began = self.draining.is_set()
                await wire.send(get(f"{Q}/models"))
                answer = await wire.answer()
                last = answer.headers.get("connection") == "close"
                self.answers[began, answer.status, last] += 1
                await asyncio.sleep(0.4)
        finally:
            wire.writer.close()


async def status(gateway: Served, path: str) -> int:
    return (await gateway.ask_admin(path)).status_code


async def test_sh1_clients_that_repeat_nothing_lose_nothing_until_the_delay_is_over(folder: Path) -> None:
    async with AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(FakeUpstream())
        environment = environment_of(folder, upstream.url, drain_delay=f"{DELAY}")
        gateway = await stack.enter_async_context(served(environment))
        assert (await gateway.client(KEY_A).get(f"{Q}/models")).status_code == 200
        crowd = Crowd(gateway.public)
        asking = [asyncio.ensure_future(crowd.ask_on_and_on()) for _ in range(CLIENTS)]

        async def all_are_there() -> bool:
            return crowd.answers.total() >= 2 * CLIENTS

        await eventually(all_are_there, 20)
        gateway.process.send_signal(signal.SIGTERM)
        told = asyncio.get_running_loop().time()

        async def draining() -> bool:
            return await status(gateway, "/readyz") == 503

        await eventually(draining, 1)
        crowd.draining.set()
        await asyncio.sleep(max(0.0, told + DELAY - 1 - asyncio.get_running_loop().time()))
        assert await status(gateway, "/healthz") == 200
        crowd.enough.set()
        await asyncio.gather(*asking)
        assert await gateway.ends() == 0
    before = {kind for kind in crowd.answers if not kind[0]}
    assert before <= {(False, 200, False), (False, 200, True)}
    assert {kind for kind in crowd.answers if kind[0]} == {(True, 200, True)}
    assert crowd.answers[True, 200, True] >= CLIENTS


async def test_sh4_sigterm_in_the_middle_of_a_reload_is_a_clean_end(folder: Path) -> None:
    async with FakeUpstream() as upstream, served(environment_of(folder, upstream.url)) as gateway:
        for number in range(50):
            (folder / "policies" / f"{number}.yaml").write_text(team(f"t{number}", f"key-{number}"))
        gateway.process.send_signal(signal.SIGHUP)
        gateway.process.send_signal(signal.SIGTERM)
        assert await gateway.ends() == 0
        assert not [line for line in gateway.said if "Traceback" in line or "task failed" in line]


async def test_sh4_a_second_sigterm_ends_a_drain_that_waits_for_a_create_which_is_then_looked_up(folder: Path) -> None:
    async with FakeUpstream() as upstream:
        async with served(environment_of(folder, upstream.url)) as gateway:
            upstream.go.clear()
            creating = asyncio.ensure_future(gateway.client(KEY_A).create(headers={"Idempotency-Key": "k"}))

            async def arrived() -> bool:
                return len(upstream.creates) == 1

            await eventually(arrived)
            gateway.process.send_signal(signal.SIGTERM)

            async def draining() -> bool:
                return any('"draining"' in line for line in gateway.said)

            await eventually(draining)
            assert await gateway.ends(signal.SIGTERM) == 1
            assert isinstance((await asyncio.gather(creating, return_exceptions=True))[0], Exception)
        upstream.go.set()
        async with served(environment_of(folder, upstream.url)) as gateway:

            async def replayed() -> bool:
                answer = await gateway.client(KEY_A).create(headers={"Idempotency-Key": "k"})
                return answer.status_code == 200

            await eventually(replayed)
            assert await gateway.ends(signal.SIGTERM) == 0
        assert len(upstream.creates) == 1


async def test_sh5_without_its_database_it_is_alive_and_not_ready_and_still_ends_cleanly(folder: Path) -> None:
    async with FakeUpstream() as upstream:
        nowhere = "postgresql://gateway@127.0.0.1:1/ledger"
        async with served(environment_of(folder, upstream.url, ledger=nowhere)) as gateway:
            assert await status(gateway, "/healthz") == 200
            ready = await gateway.ask_admin("/readyz")
            assert (ready.status_code, ready.text) == (503, "not ready: ledger\n")
            refused = await gateway.client(KEY_A).create()
            assert (refused.status_code, refused.json()["code"]) == (503, "ledger_unavailable")
            assert await gateway.ends(signal.SIGTERM) == 0
            said = [json.loads(line)["event"] for line in gateway.said if line.startswith("{")]
            assert "ledger cannot be reached" in said
        assert upstream.creates == []
