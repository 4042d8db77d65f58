"""SH3: three gateways on one PostgreSQL behind nginx are replaced one by one, under load and with a reload between."""

import asyncio
import signal
import socket
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from gateway.ledger.ledger import Ledger
from gateway.simulator import Settings, Simulator
from tests.conftest import REAL_KEY, Client, Q, team
from tests.ledger.samples import run_sql
from tests.postgres import Server, postgres
from tests.programs import require
from tests.served import Served, environment_of, eventually, served

__all__ = ["postgres"]

KEY = "a-key"
BEFORE, AFTER = 20, 60
"""Jobs per day, before the reload and after."""

CLIENTS = 6
BALANCER = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream gateways {{ {servers} keepalive 16; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://gateways;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host gateway;
      proxy_next_upstream error;
    }}
  }}
}}
"""


def free_ports(number: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [each.getsockname()[1] for each in held]
    for each in held:
        each.close()
    return ports


@asynccontextmanager
async def balanced(ports: Sequence[int], folder: Path) -> AsyncIterator[str]:
    """The URL of an nginx before gateways at these ports, which tries another where it cannot connect."""
    (port,) = free_ports(1)
    servers = " ".join(f"server 127.0.0.1:{each} max_fails=0;" for each in ports)
    (folder / "nginx.conf").write_text(BALANCER.format(folder=folder, servers=servers, port=port))
    process = await asyncio.create_subprocess_exec("nginx", "-p", str(folder), "-c", str(folder / "nginx.conf"))
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


@dataclass
class Load:
    """Clients that create, read and list all the while, and repeat nothing."""

    client: Client
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    answers: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    """How many, by call, status and error code."""

    async def go_on(self) -> None:
        while not self.enough.is_set():
            created = await self._note("create", self.client.create())
            if created.status_code == 200:
                job = created.json()["request_id"]
                await self._note("read", self.client.get(f"{Q}/requests/{job}"))
            await self._note("list", self.client.get(f"{Q}/requests"))
            await asyncio.sleep(0.1)

    async def _note(self, what: str, call: Awaitable[httpx.Response]) -> httpx.Response:
        answer = await call
        self.answers[what, answer.status_code, answer.json().get("code", "")] += 1
        return answer

    @property
    def created(self) -> int:
        return self.answers["create", 200, ""]


def write_policies(folder: Path, jobs: int) -> None:
    """The team's file, swapped in at once."""
    limits = f"limits: [{jobs} jobs per day, 100000 requests per minute]"
    (folder / "new").write_text(team("a", KEY, limits))
    (folder / "new").replace(folder / "policies" / "a.yaml")


async def in_force(gateways: Sequence[Served]) -> set[str]:
    answers = [(await gateway.ask_admin("/readyz?verbose")).json() for gateway in gateways]
    return {answer["policies"]["version"] for answer in answers}


@pytest.mark.timeout(150)
async def test_sh3_a_rolling_restart_under_load_costs_no_client_anything_and_quotas_stay_exact(
    tmp_path: Path, postgres: Server
) -> None:
    require("nginx")
    database, ports = postgres.ledger(), free_ports(3)
    (tmp_path / "policies").mkdir()
    write_policies(tmp_path, BEFORE)
    async with AsyncExitStack() as stack:
        simulator = await stack.enter_async_context(Simulator(Settings(keys=(REAL_KEY,), speed=200)))

        async def start(port: int) -> Served:
            settings = {"ledger": database, "port": f"{port}", "drain_delay": "1"}
            return await stack.enter_async_context(served(environment_of(tmp_path, simulator.url, **settings)))

        gateways = [await start(port) for port in ports]
        url = await stack.enter_async_context(balanced(ports, tmp_path))
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=30, trust_env=False))

        async def balancer_answers() -> bool:
            try:
                return (await http.get(f"{url}/gateway/v1/usage")).status_code == 401
            except httpx.TransportError:
                return False

        await eventually(balancer_answers)
        load = Load(Client(url, KEY, http))
        clients = [asyncio.ensure_future(load.go_on()) for _ in range(CLIENTS)]
        for number, port in enumerate(ports):
            assert await gateways[number].ends(signal.SIGTERM) == 0
            gateways[number] = await start(port)
            if number == 0:
                (before,) = await in_force(gateways)
                write_policies(tmp_path, AFTER)

                async def all_follow(old: str = before) -> bool:
                    versions = await in_force(gateways)
                    return len(versions) == 1 and old not in versions

                await eventually(all_follow)

        async def used_up() -> bool:
            return load.created >= AFTER and load.answers["create", 429, "quota_exceeded"] > 0

        await eventually(used_up, 30)
        refused = load.answers["create", 429, "quota_exceeded"]

        async def refused_by_all() -> bool:
            return load.answers["create", 429, "quota_exceeded"] >= refused + 3 * CLIENTS

        await eventually(refused_by_all, 30)
        load.enough.set()
        await asyncio.gather(*clients)
        assert set(load.answers) == {
            ("create", 200, ""),
            ("create", 429, "quota_exceeded"),
            ("read", 200, ""),
            ("list", 200, ""),
        }
        assert load.created == AFTER
        creates = [each for each in simulator.simulation.journal.entries if each.operation == "create_request"]
        assert len(creates) == AFTER
        for gateway in gateways:
            assert await gateway.ends(signal.SIGTERM) == 0
    assert run_sql(database, "SELECT count(*) FROM jobs") == [(AFTER,)]
    ledger = Ledger(database)
    await ledger.open()
    assert await ledger.verify() == []
    await ledger.close()
