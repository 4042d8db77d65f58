"""A simulator on a real socket, clients for it, and a clock that stands still until told."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from gateway.simulator import Settings, Simulator

QUEUE = "/api/v1/ie/requestqueue/apikey"


class Clock:
    """Tells 2027-01-15 08:00 UTC until moved."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


Start = Callable[..., Awaitable[Simulator]]


@pytest.fixture
async def start(clock: Clock) -> AsyncIterator[Start]:
    """Starts a simulator with the given settings, fast unless told otherwise."""
    async with AsyncExitStack() as stack:

        async def start_one(**settings: Any) -> Simulator:
            return await stack.enter_async_context(Simulator(Settings(**{"speed": 1000} | settings), clock))

        yield start_one


@pytest.fixture
async def simulator(start: Start) -> Simulator:
    return await start()


@pytest.fixture
async def anonymous(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a key, at the simulator's root."""
    async with httpx.AsyncClient(base_url=simulator.url, trust_env=False) as client:
        yield client


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client with the accepted key, at the request queue."""
    async with httpx.AsyncClient(
        base_url=simulator.url + QUEUE,
        headers={"Authorization": "Bearer simulated-gmi-key"},
        trust_env=False,
    ) as client:
        yield client
