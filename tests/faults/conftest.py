"""The world a fault happens in: a recording upstream, a gateway with two teams, clients that send bytes as they are.

The assertions are the notation of the fault rows: P a refusal in the gateway's own form, U what upstream was sent,
Q what the ledger holds, K and C whether the connection goes on. Whatever a test does, upstream must have seen only
paths, headers and the key that the gateway sends itself.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
import pytest

from gateway.core.errors import FACTS, Code
from gateway.core.limits import counters_of
from gateway.core.policy import Caller
from gateway.server.protocol import HardenedProtocol
from tests.conftest import REAL_KEY, REAL_ORG, Client, House, OpenHouse, team
from tests.fake_upstream import FakeUpstream, Q
from tests.faults.wire import KEY_A, KEY_B, Answer, Wire, get, parse

SECRETS = (KEY_A, KEY_B, REAL_KEY, REAL_ORG, "canary")
LIMITS = "limits: [1000 jobs per day, 1000 jobs at once, 1000 USD per month, 1000 uploads per day]\n"

_TARGETS = re.compile(
    rf"{Q}/(models|models/[A-Za-z0-9._~%-]+|requests|requests/[0-9A-Za-z_-]+|upload-url"
    r"|requests\?limit=\d+&offset=\d+&model_id=[A-Za-z0-9._~%-]+)"
)
_HEADERS = {
    *("host", "authorization", "x-organization-id", "accept", "accept-encoding", "content-type", "content-length"),
    *("user-agent", "traceparent", "tracestate", "x-request-id"),
}


@pytest.fixture
def bytes_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bytes the gateway took from its clients, reading by reading. What a client could send is no measure:
    most of it may lie in the kernel.
    """
    sizes: list[int] = []
    receive = HardenedProtocol.data_received

    def count(protocol: HardenedProtocol, data: bytes) -> None:
        sizes.append(len(data))
        receive(protocol, data)

    monkeypatch.setattr(HardenedProtocol, "data_received", count)
    return sizes


@dataclass
class World:
    """One gateway between two teams and a recording upstream."""

    house: House
    upstream: FakeUpstream
    wires: list[Wire] = field(default_factory=list)

    @property
    def a(self) -> Client:
        return self.house.client(KEY_A)

    @property
    def b(self) -> Client:
        return self.house.client(KEY_B)

    async def connect(self) -> Wire:
        address = urlsplit(self.house.running.public_url)
        self.wires.append(Wire(*await asyncio.open_connection(address.hostname, address.port)))
        return self.wires[-1]

    async def closing(self, *packets: bytes, pause: float = 0.0) -> Answer:
        """C: the one answer to these bytes, after which the gateway closes."""
        wire = await self.connect()
        receiving = asyncio.ensure_future(wire.rest())  # while sending: a reset after the answer would take it back
        await wire.send(*packets, pause=pause)
        (answer,) = parse(await receiving)
        assert answer.headers["connection"] == "close"
        return answer

    async def keeping(self, request: bytes, *, bodyless: bool = False) -> Answer:
        """K: the answer to these bytes, after which the same connection serves a correct second request."""
        wire = await self.connect()
        await wire.send(request)
        answer = await wire.answer(bodyless=bodyless)
        await wire.send(get("/gateway/v1/usage"))
        assert (await wire.answer()).status == 200
        return answer

    async def ask(self, request: bytes) -> Answer:
        """The answer to these bytes, whatever becomes of the connection."""
        wire = await self.connect()
        await wire.send(request)
        return await wire.answer()

    def hang_up(self) -> None:
        for wire in self.wires:
            wire.writer.transport.abort()

    def caller(self, name: str = "a") -> Caller:
        policy = self.house.gw.policies.current
        return next(each for each in policy.callers.values() if each.team.name == name)

    async def used(self, name: str = "a") -> dict[str, int]:
        """What the ledger holds of a team's limits: `jobs`, `slots`, `USD` (micro), `uploads`."""
        counters = await self.house.gw.ledger.used(counters_of(self.caller(name), self.house.gw.now()))
        used: dict[str, int] = {}
        for counter, value in counters.items():
            unit, _, _, window, _ = counter.split("/")
            used["slots" if window == "at-once" else unit] = value
        return used

    async def books(self, name: str = "a") -> tuple[int, int, int]:
        """A team's jobs counted, slots held and reservations without a job; every counter is proven on the way."""
        ledger = self.house.gw.ledger
        assert await ledger.verify() == []
        used = await self.used(name)
        waiting = [each for each in await ledger.jobless.all() if each.owner.team == name]
        return used["jobs"], used["slots"], len(waiting)

    async def untouched(self) -> None:
        """U0 Q0: upstream got no create, and the ledger holds nothing of either team."""
        assert self.upstream.creates == []
        assert [await self.books("a"), await self.books("b")] == [(0, 0, 0)] * 2

    async def created(self, jobs: int = 1) -> None:
        """U1 Q1: each create of team a went up once and is held as a live job."""
        assert len(self.upstream.creates) == jobs
        assert await self.books() == (jobs, jobs, 0)

    def upstream_saw_only_its_own(self) -> None:
        """Paths from templates, headers from the list, one Authorization, which is the real key."""
        for request in self.upstream.received:
            names = [name for name, _ in request.headers]
            assert _TARGETS.fullmatch(request.target), request.target
            assert set(names) <= _HEADERS
            assert len(names) == len(set(names))
            assert request.header("authorization") == f"Bearer {REAL_KEY}"


def refused(answer: Answer, status: int, code: Code | str) -> None:
    """P: the gateway's own error, whole and without a secret."""
    body = answer.json
    assert (answer.status, body["code"]) == (status, code)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["error"].endswith(".")
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["proxy-status"] == f"gmi-gateway; error={FACTS[Code(code)].proxy_error}"
    shown = answer.body.decode() + str(answer.headers)
    assert not [secret for secret in SECRETS if secret in shown]
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert ("allow" in answer.headers) == (status == 405)
    assert ("retry-after" in answer.headers) == (status in (429, 503))


def unavailable(*answers: httpx.Response) -> None:
    """The gateway lacked the ledger, and said no more."""
    for answer in answers:
        refused(Answer.of(answer), 503, "ledger_unavailable")


OpenWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def open_world(open_house: OpenHouse) -> AsyncIterator[OpenWorld]:
    """`await open_world()`: two teams with the same limits; `a` is further policy of team a, settings as keywords."""
    async with AsyncExitStack() as stack:

        async def open_(a: str = "", files: dict[str, str] | None = None, **settings: str) -> World:
            upstream = await stack.enter_async_context(FakeUpstream())
            teams = {"a.yaml": team("a", KEY_A, LIMITS + a), "b.yaml": team("b", KEY_B, LIMITS)}
            house = await open_house(teams | (files or {}), upstream=upstream.url, **settings)
            world = World(house, upstream)
            stack.callback(world.upstream_saw_only_its_own)
            stack.callback(world.hang_up)
            return world

        yield open_


@pytest.fixture
async def world(open_world: OpenWorld) -> World:
    """The usual one."""
    return await open_world()
