"""A whole gateway on real sockets, in front of the simulator or of a scripted upstream."""

import asyncio
import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.app import Running, running
from gateway.context import Gateway
from gateway.outbound import Outside
from gateway.settings import read_settings
from gateway.simulator import Settings as SimulatorSettings
from gateway.simulator import Simulator, parse_fault

Q = "/api/v1/ie/requestqueue/apikey"
REAL_KEY = "canary-real-upstream-key-0123456789"
REAL_ORG = "canary-organization-42"
HOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"""The example secret of the Standard Webhooks specification."""


def digest(key: str) -> str:
    """A key as policies know it."""
    return f"sha256:{hashlib.sha256(key.encode()).hexdigest()}"


def team(name: str, key: str, body: str = "") -> str:
    """A policy file for one team with one key. `body` is further YAML."""
    allow = "" if body.startswith("models:") or "\nmodels:" in body else 'models: {allow: ["*"]}\n'
    return f"team: {name}\nkeys:\n  - name: main\n    hash: {digest(key)}\n{allow}{body}\n"


@dataclass
class Client:
    """An app that uses the gateway with one key."""

    base: str
    key: str
    http: httpx.AsyncClient

    async def call(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.key}"} | options.pop("headers", {})
        return await self.http.request(method, self.base + path, headers=headers, **options)

    async def get(self, path: str, **options: Any) -> httpx.Response:
        return await self.call("GET", path, **options)

    async def create(self, model: str = "Veo3", payload: Any = None, **options: Any) -> httpx.Response:
        """A create with a payload every video model of the simulator takes."""
        body = {"model": model, "payload": {"prompt": "a lighthouse"} if payload is None else payload}
        return await self.call("POST", f"{Q}/requests", json=body, **options)


@dataclass
class House:
    """One running gateway, the folder its policies live in, and clients for it."""

    running: Running
    policies: Path
    http: httpx.AsyncClient
    simulator: Simulator | None

    @property
    def gw(self) -> Gateway:
        return self.running.gw

    @property
    def upstream(self) -> Simulator:
        """The simulator behind the gateway: its jobs, its faults, and the journal of what it received."""
        assert self.simulator is not None
        return self.simulator

    def break_upstream(self, *faults: str) -> None:
        """Give the simulator these faults, such as `create_request:503`, instead of those it has."""
        self.upstream.simulation.faults.replace([parse_fault(fault) for fault in faults])

    def received(self, operation: str) -> int:
        """How many calls of this operation reached the simulator."""
        entries = self.upstream.simulation.journal.entries
        return sum(entry.operation == operation for entry in entries)

    async def used(self, unit: str, team: str) -> int:
        """What the ledger holds as used of the team's only counter of this unit."""
        names = [name for name in await self.counters() if name.startswith(f"{unit}/{team}/")]
        assert len(names) <= 1, names
        return (await self.gw.ledger.used(names))[names[0]] if names else 0

    async def counters(self) -> list[str]:
        """The names of every counter the ledger has."""
        path = self.gw.settings.ledger.removeprefix("sqlite:///")
        with closing(sqlite3.connect(path)) as database:
            return [name for (name,) in database.execute("SELECT name FROM counters")]

    def client(self, key: str) -> Client:
        return Client(self.running.public_url, key, self.http)

    async def admin(self, path: str) -> httpx.Response:
        return await self.http.get(self.running.admin_url + path)

    async def eventually(self, holds: Callable[[], Any], seconds: float = 5.0) -> None:
        """Wait until `holds` is true, or fail."""
        for _ in range(int(seconds / 0.02)):
            result = holds()
            if asyncio.iscoroutine(result):
                result = await result
            if result:
                return
            await asyncio.sleep(0.02)
        raise AssertionError("it did not come to pass in time")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """What a gateway needs: one team, a ledger, ports of its own, a key that no test sends anywhere."""
    (tmp_path / "policies").mkdir()
    (tmp_path / "policies" / "a.yaml").write_text(team("a", "key"))
    return {
        "GATEWAY_POLICIES": str(tmp_path / "policies"),
        "GATEWAY_LEDGER": f"sqlite:///{tmp_path / 'gateway.db'}",
        "GATEWAY_PORT": "0",
        "GATEWAY_ADMIN_PORT": "0",
        "GATEWAY_ACCESS_LOG": "off",
        "GMI_API_KEY": "canary-real-key",
    }


OpenHouse = Callable[..., Any]


def _around(simulator: Simulator | None) -> Outside:
    """The world of a gateway in front of the simulator, whose storage stands for Google's."""
    return Outside(simulator=simulator.url) if simulator is not None else Outside()


@pytest.fixture
async def open_house(tmp_path: Path) -> AsyncIterator[OpenHouse]:
    """`await open_house({"a.yaml": team(...)}, upstream=URL)`: without an upstream, a fast simulator stands in.

    Opened twice in one test, the second gateway finds the first one's ledger and policies.
    """
    async with AsyncExitStack() as stack:

        async def open_(
            files: dict[str, str],
            upstream: str | None = None,
            speed: float = 1000,
            origin: str | None = None,
            outside: Outside | None = None,
            **settings: str,
        ) -> House:
            policies = tmp_path / "policies"
            policies.mkdir(exist_ok=True)
            for name, text in files.items():
                (policies / name).write_text(text)
            environment = {
                "GATEWAY_POLICIES": str(policies),
                "GATEWAY_LEDGER": f"sqlite:///{tmp_path / 'gateway.db'}",
                "GATEWAY_PORT": "0",
                "GATEWAY_ADMIN_PORT": "0",
                "GATEWAY_ACCESS_LOG": "off",
            }
            simulator = None
            if upstream is None:
                simulated = SimulatorSettings(keys=(REAL_KEY,), organizations=(REAL_ORG,), speed=speed, origin=origin)
                made = Simulator(simulated)
                simulator = await stack.enter_async_context(made)
            environment["GATEWAY_UPSTREAM_URL"] = upstream or (simulator.url if simulator else "")
            environment |= {"GMI_API_KEY": REAL_KEY, "GMI_ORG_ID": REAL_ORG}
            environment["HOOK_SECRET"] = HOOK_SECRET
            environment |= {f"GATEWAY_{name.upper()}": value for name, value in settings.items()}
            run = await stack.enter_async_context(
                running(read_settings(environment, {}), environment, outside or _around(simulator))
            )
            http = await stack.enter_async_context(httpx.AsyncClient(timeout=30, trust_env=False))
            return House(run, policies, http, simulator)

        yield open_
