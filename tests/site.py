"""Gateways of the real command around one ledger and one upstream, to be killed and halted at will."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.core.lifecycle import State
from gateway.failpoints import VARIABLE
from gateway.ledger.ledger import Ledger
from gateway.ledger.values import OpenReservation
from tests.fake_upstream import FakeUpstream
from tests.faults.unruly import UnrulyUpstream
from tests.ledger.samples import run_sql
from tests.postgres import Server
from tests.served import Served, environment_of, eventually, served

PRICE = 100_000
NOTHING = {"jobs": 0, "slots": 0, "USD": 0}
RUNNING = {"jobs": 1, "slots": 1, "USD": PRICE}
"""A site's books of no job, and of one at the fake upstream's price that runs or of which nobody knows."""


@dataclass
class Site:
    """What the gateways share. `ledger` reads it from outside: it is no gateway and looks after nothing."""

    folder: Path
    url: str
    upstream: UnrulyUpstream
    ledger: Ledger
    stack: AsyncExitStack
    environment: dict[str, str] = field(default_factory=dict)
    """What is told the gateways to come beside their settings."""
    started: list[Served] = field(default_factory=list)

    async def start(self, plan: str = "", **settings: str) -> Served:
        """One more gateway, broken off where `plan` says."""
        usual = {"create_timeout": "1.5", "upstream_timeout": "2", "ledger": self.url, "max_in_flight": "200"}
        environment = environment_of(self.folder, self.upstream.url, **usual | settings)
        environment |= self.environment | {VARIABLE: plan}
        gateway = await self.stack.enter_async_context(served(environment, "tests.hurried"))
        assert gateway.public, "".join(gateway.said)
        self.started.append(gateway)
        return gateway

    async def waiting(self) -> list[OpenReservation]:
        """Reservations without a job."""
        return await self.ledger.jobless.all()

    async def states(self) -> set[State]:
        return {each.state for each in await self.waiting()}

    async def all_clear(self, seconds: float = 30.0) -> None:
        """Nothing is reserved, sent or unknown any more once lease and patience are over."""

        async def is_clear() -> bool:
            return await self.waiting() == []

        await eventually(is_clear, seconds)

    async def books(self, of: str | None = None) -> dict[str, int]:
        """What all counters of one unit hold together: `jobs`, `slots`, `USD` (micro). Each of them is proven.

        Those of one team, or of all.
        """
        assert await self.ledger.verify() == []
        sums: dict[str, int] = {"jobs": 0, "slots": 0, "USD": 0}
        for name, value in run_sql(self.url, "SELECT name, value FROM counters"):
            unit, team, _, window, _ = str(name).split("/")
            if unit in sums and of in (None, team):
                sums["slots" if window == "at-once" else unit] += int(str(value))
        return sums

    async def verify(self) -> None:
        """`gmi-gateway ledger verify` finds nothing."""
        command = (sys.executable, "-m", "gateway", "ledger", "verify")
        environment = environment_of(self.folder, self.upstream.url, ledger=self.url)
        process = await asyncio.create_subprocess_exec(*command, env=environment)
        assert await process.wait() == 0


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a ledger, for a row that holds on each database."""
    if request.param == "postgresql":
        server: Server = request.getfixturevalue("postgres")
        return server.ledger()
    return f"sqlite:///{tmp_path / 'gateway.db'}"


async def received(upstream: FakeUpstream, method: str, path: str) -> None:
    """Wait until upstream got such a call."""

    async def came() -> bool:
        return any((each.method, each.target.partition("?")[0]) == (method, path) for each in upstream.received)

    await eventually(came)


async def killed(gateway: Served) -> None:
    """Wait until the gateway is gone as by kill -9."""
    assert await asyncio.wait_for(gateway.process.wait(), 30) == -signal.SIGKILL


async def halted(gateway: Served) -> None:
    """Wait until the gateway stands still."""

    async def stands_still() -> bool:
        return await asyncio.to_thread(_state_of, gateway.process.pid) == "T"

    await eventually(stands_still, 30)


def children_of(pid: int) -> list[int]:
    """The processes that this one forked and that are still there."""
    asked = subprocess.run(["ps", "-o", "pid=,state=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    rows = [line.split() for line in asked.stdout.splitlines()]
    return [int(child) for child, state in rows if not state.startswith("Z")]


def _state_of(pid: int) -> str:
    """The letter the system has for what a process does."""
    asked = subprocess.run(["ps", "-o", "state=", "-p", str(pid)], capture_output=True, text=True, check=True)
    return asked.stdout.strip()[:1]


@asynccontextmanager
async def site_at(folder: Path, url: str, policies: dict[str, str], upstream: UnrulyUpstream) -> AsyncIterator[Site]:
    """Policies and an upstream, and a ledger that the first gateway makes."""
    (folder / "policies").mkdir()
    for name, text in policies.items():
        (folder / "policies" / name).write_text(text)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(upstream)
        ledger = Ledger(url)
        await ledger.open()
        stack.push_async_callback(ledger.close)
        yield Site(folder, url, upstream, ledger, await stack.enter_async_context(AsyncExitStack()))
