"""The real command in a process of its own: started, spoken to, told to end, or killed."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.conftest import REAL_KEY, Client


@dataclass
class Served:
    """A gateway that listens. `said` grows with what it writes to stderr."""

    process: asyncio.subprocess.Process
    http: httpx.AsyncClient
    said: list[str]
    public: str = ""
    admin: str = ""

    def client(self, key: str) -> Client:
        return Client(self.public, key, self.http)

    async def ask_admin(self, path: str) -> httpx.Response:
        return await self.http.get(self.admin + path)

    async def is_ready(self) -> bool:
        return (await self.ask_admin("/readyz")).status_code == 200

    async def ends(self, by: signal.Signals | None = None) -> int:
        """The exit status, after this signal if one is given; it must end within ten seconds."""
        if by is not None:
            self.process.send_signal(by)
        return await asyncio.wait_for(self.process.wait(), 10)


async def eventually(holds: Callable[[], Awaitable[bool]], seconds: float = 10.0) -> None:
    """Wait until it holds, or fail."""
    for _ in range(int(seconds / 0.02)):
        if await holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come to pass in time")


def environment_of(folder: Path, upstream: str, **settings: str) -> dict[str, str]:
    """What a gateway is given: policies and ledger in the folder, ports of its own."""
    settings = {f"GATEWAY_{name.upper()}": value for name, value in settings.items()}
    return {
        "PATH": os.environ["PATH"],
        "GMI_API_KEY": REAL_KEY,
        "GATEWAY_UPSTREAM_URL": upstream,
        "GATEWAY_POLICIES": str(folder / "policies"),
        "GATEWAY_LEDGER": f"sqlite:///{folder / 'gateway.db'}",
        "GATEWAY_PORT": "0",
        "GATEWAY_ADMIN_PORT": "0",
        "GATEWAY_ACCESS_LOG": "off",
        "GATEWAY_DRAIN_DELAY": "0",
    } | settings


@asynccontextmanager
async def served(environment: dict[str, str], module: str = "gateway") -> AsyncIterator[Served]:
    """Start the command and wait until it listens or has ended; it does not outlive the block."""
    command = (sys.executable, "-m", module, "serve")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stderr=pipe, env=environment)
    async with httpx.AsyncClient(timeout=30, trust_env=False) as http:
        gateway = Served(process, http, [])
        listening = asyncio.Event()
        reading = asyncio.ensure_future(_read(gateway, listening))
        try:
            await asyncio.wait_for(listening.wait(), 20)
            yield gateway
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            await reading


async def _read(gateway: Served, listening: asyncio.Event) -> None:
    assert gateway.process.stderr is not None
    places: dict[str, str] = {}
    async for raw in gateway.process.stderr:
        line = raw.decode()
        gateway.said.append(line)
        found = re.fullmatch(r"listening on (\S+) \((\w+)\)\n", line)
        if found:
            places[found[2]] = found[1]
        if len(places) == 2 and not listening.is_set():
            gateway.public, gateway.admin = places["public"], places["admin"]
            listening.set()
    listening.set()
