"""Two gateways of the real command in front of one ledger, whose deciding clock is a test's to set.

That is the database's own on PostgreSQL, and the machine's for a file.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.clocks import FileClock, WallClock
from tests.conftest import Client
from tests.faults.unruly import UnrulyUpstream
from tests.ledger.samples import run_sql
from tests.postgres import Server
from tests.served import eventually
from tests.site import Site, site_at


@dataclass
class Dated:
    """Two gateways whose deciding clock is the test's."""

    site: Site
    clock: WallClock

    def client(self, number: int = 0, key: str = "key") -> Client:
        return self.site.started[number].client(key)

    @property
    def clients(self) -> list[Client]:
        return [self.client(number) for number in range(len(self.site.started))]

    async def set(self, instant: float) -> None:
        """Put the clock there, and wait until every gateway has noticed.

        The database's they ask now and then; and by the machine's, leases are over until they are renewed.
        """
        self.clock.set(instant)

        async def noticed() -> bool:
            now = self.clock()
            return sum(now < ends < now + 4 for ends in leases(self.site).values()) == len(self.site.started)

        await eventually(noticed)

    async def advance(self, seconds: float) -> None:
        await self.set(self.clock() + seconds)

    async def statuses(self, *numbers: int) -> list[int]:
        """What creates come to, sent one after the other to these gateways."""
        return [(await self.client(number).create()).status_code for number in numbers]

    async def windows(self) -> dict[str, int]:
        """What each window's counter holds, by unit and window; every counter is proven."""
        assert await self.site.ledger.verify() == []
        rows = run_sql(self.site.url, "SELECT name, value FROM counters")
        named = [(str(name).split("/"), int(str(value))) for name, value in rows]
        return {f"{name[0]} {name[3]}": value for name, value in named}


def leases(site: Site) -> dict[str, float]:
    """Until when each gateway is known to be there."""
    rows = run_sql(site.url, "SELECT id, lease_until FROM instances")
    return {str(instance): float(str(ends)) for instance, ends in rows}


OpenDated = Callable[..., Awaitable[Dated]]


@pytest.fixture(params=["sqlite", "postgresql"])
async def open_dated(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenDated]:
    """`await open_dated(INSTANT, {"a.yaml": team(...)})`: settings as keywords."""
    async with AsyncExitStack() as stack:

        async def open_(instant: float, policies: dict[str, str], **settings: str) -> Dated:
            url = f"sqlite:///{tmp_path / 'gateway.db'}"
            clock: WallClock = FileClock(tmp_path / "clock")
            if request.param == "postgresql":
                server: Server = request.getfixturevalue("postgres")
                url, clock = server.ledger_with_clock()
            clock.set(instant)
            site = await stack.enter_async_context(site_at(tmp_path, url, policies, UnrulyUpstream()))
            site.environment[FileClock.VARIABLE] = str(tmp_path / "clock")
            await asyncio.gather(site.start(**settings), site.start(**settings))
            return Dated(site, clock)

        yield open_
