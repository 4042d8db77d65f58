"""Calls without a network, and a gateway whose one team has a limit of each kind."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, cast

import pytest
from msgspec.structs import replace

from gateway.budget import LEAST_BODIES
from gateway.context import Gateway
from gateway.core.policy import Caller, Key, PolicySet, Team
from gateway.upstream.client import Trace
from gateway.web.call import Call
from gateway.web.room import Room
from tests.conftest import Client, House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream

LIMITS = """
limits:
  - 600 requests per minute
  - 5 jobs per day
  - 3 jobs at once
  - {limit: 20 USD per month, name: money}
  - {limit: 2 uploads per day, per: key}
  - {limit: 1 jobs per hour, mode: shadow, models: ["Kling-*"], name: kling}
"""


ANYBODY = Caller(Team("marketing"), Key("web", ""))


def call_with(*headers: tuple[bytes, bytes], messages: tuple[MutableMapping[str, Any], ...] = ()) -> Call:
    """A team's call that has not met a gateway yet; `messages` is what its `receive` gives, one by one."""
    waiting = iter(messages)

    async def receive() -> MutableMapping[str, Any]:
        return next(waiting)

    scope: MutableMapping[str, Any] = {"method": "POST", "headers": list(headers), "client": ("192.0.2.1", 40000)}
    nowhere = cast("Gateway", None)
    room = Room(calls=10, size=LEAST_BODIES)
    trace = Trace("request-1")
    return Call(nowhere, scope, receive, dict(headers), PolicySet({}, {}), "request-1", trace, 0.0, room, ANYBODY)


OpenShop = Callable[..., Awaitable[tuple[House, Client]]]


@pytest.fixture
def open_shop(open_house: OpenHouse) -> OpenShop:
    """`house, client = await open_shop()`: a slow simulator behind, so that jobs stay as they are."""

    async def open_(body: str = LIMITS, speed: float = 1, **settings: str) -> tuple[House, Client]:
        house = await open_house({"a.yaml": team("a", "canary-key-a", body)}, speed=speed, **settings)
        return house, house.client("canary-key-a")

    return open_


class Studio:
    """A gateway in front of an upstream whose jobs a test moves on."""

    def __init__(self, house: House, upstream: FakeUpstream) -> None:
        self.house = house
        self.upstream = upstream
        self.client = house.client("key-a")

    async def created(self) -> str:
        return str((await self.client.create()).json()["request_id"])

    def move(self, job: str, status: str) -> None:
        self.upstream.jobs[job]["status"] = status

    def looks(self, job: str) -> int:
        return len(self.upstream.calls("GET", f"{Q}/requests/{job}"))

    def age(self, job: str, seconds: float) -> None:
        """Make the record in memory so much older."""
        seen = self.house.gw.jobs.seen(job)
        assert seen is not None
        self.house.gw.jobs.remember(job, replace(seen, asked_at=seen.asked_at - seconds))

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Meanwhile upstream leaves every question about a job without an answer."""
        hanging = asyncio.ensure_future(asyncio.sleep(60))

        async def hang(*_: object) -> None:
            await asyncio.shield(hanging)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(type(self.house.gw.upstream), "get_request", hang)
            try:
                yield
            finally:
                hanging.cancel()


@pytest.fixture
async def studio(open_house: OpenHouse) -> AsyncIterator[Studio]:
    async with FakeUpstream() as upstream:
        files = {"a.yaml": team("a", "key-a"), "b.yaml": team("b", "key-b")}
        yield Studio(await open_house(files, upstream=upstream.url), upstream)
