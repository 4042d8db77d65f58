"""A gateway that lives on time passed in, can be broken off at any point, and is opened again on what it left."""

import asyncio
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import httpx

from gateway.app import opened
from gateway.context import Gateway
from gateway.ledger.ledger import LedgerUnavailable
from gateway.settings import read_settings
from gateway.web.public import PublicApp
from gateway.web.public_routes import public_routes
from tests.conftest import REAL_KEY, REAL_ORG
from tests.fake_upstream import Q
from tests.flow_model import Order
from tests.pretended_upstream import PretendedUpstream


class Crash(BaseException):
    """The process is gone at a fail point. Nothing in the gateway may catch it."""


@dataclass
class Clock:
    """What a gateway takes for the time: the wall clock may be set, the ticks go on evenly."""

    now: float
    ticks: float = 1000.0

    def advance(self, seconds: float) -> None:
        self.now += seconds
        self.ticks += seconds


class FaultyWriter:
    """The ledger's writer, which fails the next `faults` times."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self.faults = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._writer, name)

    def write(self, *arguments: Any) -> Any:
        if self.faults:
            self.faults -= 1
            raise LedgerUnavailable("a fault of the test")
        return self._writer.write(*arguments)


@dataclass
class Life:
    """One gateway from its opening to its end."""

    gw: Gateway
    http: httpx.AsyncClient
    writer: FaultyWriter
    stack: AsyncExitStack
    held: dict[str, tuple[Order, "asyncio.Task[httpx.Response]"]] = field(default_factory=dict)
    """Creates that upstream takes its time for, by X-Request-ID."""

    async def create(self, order: Order, key: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {key}", "X-Request-ID": order.name, "Content-Type": "application/json"}
        if order.key is not None:
            headers["Idempotency-Key"] = order.key
        return await self.http.post(f"{Q}/requests", content=order.body, headers=headers)

    async def get(self, key: str, path: str) -> httpx.Response:
        return await self.http.get(path, headers={"Authorization": f"Bearer {key}", "X-Request-ID": "poll"})

    async def quiet(self) -> None:
        """Wait until nothing goes on but creates that upstream holds."""
        async with asyncio.timeout(20):
            while len(running := self.gw.tasks._running) > len(self.held):
                await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                await asyncio.sleep(0)
        self.gw.upstream.circuits.keep(())

    async def end(self) -> None:
        """Close it as SIGTERM does."""
        await self.stack.aclose()

    async def break_off(self) -> None:
        """Leave what is in the ledger, and nothing else happens any more."""
        mine: list[asyncio.Task[Any]] = [call for _, call in self.held.values()]
        mine += [*self.gw.tasks._running, *self.gw.upstream._under_way.tasks]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)
        self.gw.ledger.replicas = 0  # a dead gateway does not say that it leaves
        await self.gw.ledger.close()
        with suppress(LedgerUnavailable):
            await self.stack.aclose()


async def _nothing() -> None:
    return


async def begin(url: str, policies: Path, upstream: PretendedUpstream, clock: Clock) -> Life:
    """Open a gateway whose rounds of following and recovering are the test's to call."""
    environment = {
        "GATEWAY_POLICIES": str(policies),
        "GATEWAY_LEDGER": url,
        "GATEWAY_ACCESS_LOG": "off",
        "GATEWAY_UPSTREAM_URL": "http://upstream",
        "GMI_API_KEY": REAL_KEY,
        "GMI_ORG_ID": REAL_ORG,
    }
    stack = AsyncExitStack()
    with (
        patch("gateway.app.begin_duties", lambda *_: _nothing),
        patch("gateway.app._now", lambda: clock.now),
        patch("gateway.app.configure", lambda *_: None),
        patch("gateway.app.build_transport", lambda *_: upstream),
        patch("gateway.app.trusted_context", lambda: None),
    ):
        gw, _ = await stack.enter_async_context(opened(read_settings(environment, {}), environment))
    gw = replace(gw, now=lambda: clock.now, ticks=lambda: clock.ticks)
    writer = FaultyWriter(gw.ledger._writer)
    gw.ledger._writer = writer
    app: Any = PublicApp(gw, public_routes())
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://gateway")
    return Life(gw, http, writer, stack)
