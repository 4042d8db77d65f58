"""An upstream that answers as GMI does, until a test tells it to do something else with one kind of call."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.conftest import OpenHouse, team
from tests.fake_upstream import FakeUpstream, Q
from tests.faults.conftest import LIMITS, World
from tests.faults.wire import KEY_A, KEY_B
from tests.scripted_upstream import Connection, Script

CREATE, LIST, MODELS = ("POST", f"{Q}/requests"), ("GET", f"{Q}/requests"), ("GET", f"{Q}/models")


class UnrulyUpstream(FakeUpstream):
    """`scripts` gives, by method and path, what is done with the connection once the request is read."""

    def __init__(self) -> None:
        super().__init__()
        self.scripts: dict[tuple[str, str], Script] = {}

    async def _serve(self, connection: Connection) -> None:
        while True:
            request = await connection.request()
            script = self.scripts.get((request.method, request.target.partition("?")[0]))
            if script is not None:
                await script(connection)
                return
            answer = self._answer(request)
            if request.method == "POST":
                await self.go.wait()
            await connection.send(answer)


@asynccontextmanager
async def unruly_world(open_house: OpenHouse, **settings: str) -> AsyncIterator[tuple[World, UnrulyUpstream]]:
    """A gateway with two teams in front of it, whose catalogue the gateway knows already."""
    async with UnrulyUpstream() as upstream:
        teams = {"a.yaml": team("a", KEY_A, LIMITS), "b.yaml": team("b", KEY_B, LIMITS)}
        house = await open_house(teams, upstream=upstream.url, **settings)
        world = World(house, upstream)
        assert (await world.a.get(f"{Q}/models/Veo3")).status_code == 200
        yield world, upstream
        world.upstream_saw_only_its_own()


def sending(data: bytes) -> Script:
    """Send these bytes and close."""

    async def script(connection: Connection) -> None:
        await connection.send(data)

    return script


async def reset(connection: Connection) -> None:
    """Break off with a RST."""
    connection.reset()


async def silence(connection: Connection) -> None:
    """Never answer."""
    await connection.hold()


def dripping(data: bytes, pause: float) -> Script:
    """One byte after the other."""

    async def script(connection: Connection) -> None:
        await connection.drip(data, pause)

    return script
