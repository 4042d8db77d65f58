"""The world a fault happens in: a recording upstream, a gateway with two teams, and clients that send bytes as they are.

The assertions are the notation of the fault rows: P a refusal in the gateway's own form, U what upstream was sent,
Q what the ledger holds, K and C whether the connection goes on.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from gateway.core.errors import FACTS, Code
from gateway.core.limits import counters_of
from gateway.core.policy import Caller
from tests.conftest import REAL_KEY, REAL_ORG, Client, House, OpenHouse, team
from tests.fake_upstream import FakeUpstream, Q

KEY_A = "canary-key-of-team-a"
KEY_B = "canary-key-of-team-b"
SECRETS = (KEY_A, KEY_B, REAL_KEY, REAL_ORG)
LIMITS = "limits: [1000 jobs per day, 1000 jobs at once, 100 USD per month, 1000 uploads per day]\n"


@dataclass
class Answer:
    """A response as it came over the wire. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def parse(raw: bytes, *, bodyless: bool = False) -> list[Answer]:
    """The responses in `raw`, all with a Content-Length; `bodyless` for those to HEAD."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = 0 if bodyless else int(headers.get("content-length", "0"))
        found.append(Answer(int(first.split()[1]), headers, rest[:size]))
        raw = rest[size:]
    return found


def head(method: str, target: str, *lines: str, key: str | None = KEY_A) -> bytes:
    """A request's head, byte for byte, with a Host and (unless None) a team's key."""
    always = ["Host: gateway"] if key is None else ["Host: gateway", f"Authorization: Bearer {key}"]
    return "\r\n".join([f"{method} {target} HTTP/1.1", *always, *lines, "", ""]).encode("latin-1")


def post(body: bytes, *lines: str, target: str = f"{Q}/requests", key: str | None = KEY_A) -> bytes:
    """A whole POST with its right length."""
    return head("POST", target, f"Content-Length: {len(body)}", *lines, key=key) + body


def draft(model: str = "Veo3", **payload: Any) -> bytes:
    """The body of a create."""
    return json.dumps({"model": model, "payload": {"prompt": "a lighthouse"} | payload}).encode()


@dataclass
class Wire:
    """A client's side of one connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, *packets: bytes, pause: float = 0.0) -> None:
        """Send the packets one by one; that the gateway has closed meanwhile is for the test to judge."""
        with suppress(ConnectionError):
            for packet in packets:
                self.writer.write(packet)
                await self.writer.drain()
                await asyncio.sleep(pause)

    async def rest(self, seconds: float = 5.0) -> bytes:
        """All that comes until the gateway closes, which it must do within `seconds`."""
        received = b""
        with suppress(ConnectionError):
            while more := await asyncio.wait_for(self.reader.read(65536), seconds):
                received += more
        return received

    async def answer(self, *, bodyless: bool = False) -> Answer:
        """The next response. The connection stays open."""
        raw = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 5)
        (answer,) = parse(raw, bodyless=True)
        size = 0 if bodyless else int(answer.headers.get("content-length", "0"))
        answer.body = await asyncio.wait_for(self.reader.readexactly(size), 5)
        return answer


@dataclass
class World:
    """One gateway between two teams and a recording upstream."""

    house: House
    upstream: FakeUpstream
    wires: list[Wire]

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
        await wire.send(head("GET", "/gateway/v1/usage"))
        assert (await wire.answer()).status == 200
        return answer

    async def ask(self, request: bytes, *, bodyless: bool = False) -> Answer:
        """The answer to these bytes, whatever becomes of the connection."""
        wire = await self.connect()
        await wire.send(request)
        return await wire.answer(bodyless=bodyless)

    def caller(self, name: str = "a") -> Caller:
        policy = self.house.gw.policies.current
        return next(each for each in policy.callers.values() if each.team.name == name)

    async def used(self, name: str = "a") -> dict[str, int]:
        """What the ledger holds of each of a team's limits, by unit and window."""
        now = self.house.gw.now()
        counters = await self.house.gw.ledger.used(counters_of(self.caller(name), now))
        level = {"jobs/at-once": "slots"}
        used: dict[str, int] = {}
        for counter, value in counters.items():
            unit, _, _, label, _ = counter.split("/")
            used[level.get(f"{unit}/{label}", unit)] = value
        return used

    async def books(self, name: str = "a") -> tuple[int, int, int, int]:
        """Creates upstream got, and a team's jobs counted, slots held and reservations without a job."""
        ledger = self.house.gw.ledger
        assert await ledger.verify() == []
        used = await self.used(name)
        waiting = [each for each in await ledger.open_reservations() if each.owner.team == name]
        return len(self.upstream.creates), used["jobs"], used["slots"], len(waiting)

    async def untouched(self) -> None:
        """U0 Q0: upstream got no create, and the ledger holds nothing for either team."""
        assert [await self.books("a"), await self.books("b")] == [(0, 0, 0, 0)] * 2

    async def created(self, jobs: int = 1) -> None:
        """U1 Q1: each create of team a went up once and is held as a live job."""
        assert await self.books() == (jobs, jobs, jobs, 0)


def refused(answer: Answer, status: int, code: Code | str) -> None:
    """P: the gateway's own error, whole and without a secret."""
    assert (answer.status, answer.json["code"]) == (status, code), answer
    body = answer.json
    assert body["request_id"] == answer.headers["x-request-id"]
    assert isinstance(body["error"], str)
    assert body["error"]
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["proxy-status"] == f"gmi-gateway; error={FACTS[Code(code)].proxy_error}"
    shown = answer.body.decode() + str(answer.headers)
    assert not [secret for secret in SECRETS if secret in shown]
    assert ("www-authenticate" in answer.headers) == (status == 401)
    assert ("allow" in answer.headers) == (status == 405)
    assert ("retry-after" in answer.headers) == (status in (429, 503))


OpenWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def open_world(open_house: OpenHouse) -> AsyncIterator[OpenWorld]:
    """`await open_world()`: two teams with the same limits; `a` is further policy of team a, settings as keywords."""
    async with AsyncExitStack() as stack:

        async def open_(a: str = "", files: dict[str, str] | None = None, **settings: str) -> World:
            upstream = await stack.enter_async_context(FakeUpstream())
            teams = {"a.yaml": team("a", KEY_A, LIMITS + a), "b.yaml": team("b", KEY_B, LIMITS)}
            house = await open_house(teams | (files or {}), upstream=upstream.url, **settings)
            world = World(house, upstream, [])
            stack.callback(lambda: [wire.writer.transport.abort() for wire in world.wires])
            return world

        yield open_


@pytest.fixture
async def world(open_world: OpenWorld) -> World:
    """The usual one."""
    return await open_world()
