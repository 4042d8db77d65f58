"""Calls without a network, and a gateway whose one team has a limit of each kind."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

import pytest

from gateway.context import Gateway
from gateway.core.policy import Caller, Key, PolicySet, Team
from gateway.upstream.client import Trace
from gateway.web.call import Call
from gateway.web.room import Room
from tests.conftest import Client, House, OpenHouse, team

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
    room = Room(calls=10, largest_body=1000)
    return Call(nowhere, scope, receive, PolicySet({}, {}), "request-1", Trace("request-1"), 0.0, room, ANYBODY)


OpenShop = Callable[..., Awaitable[tuple[House, Client]]]


@pytest.fixture
def open_shop(open_house: OpenHouse) -> OpenShop:
    """`house, client = await open_shop()`: a slow simulator behind, so that jobs stay as they are."""

    async def open_(body: str = LIMITS, speed: float = 1, **settings: str) -> tuple[House, Client]:
        house = await open_house({"a.yaml": team("a", "canary-key-a", body)}, speed=speed, **settings)
        return house, house.client("canary-key-a")

    return open_
