"""The simulator in upstream's place, for who asked for one."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module


@dataclass(frozen=True, slots=True)
class StandIn:
    """A simulator that runs: where it is, and the key and organisation it takes. The URL ends without a slash."""

    url: str
    key: str
    organization: str


@asynccontextmanager
async def simulated() -> AsyncIterator[StandIn]:
    """A simulator of this process, until the block ends."""
    # Only now, because it brings a web server of its own: a gateway in front of the real upstream has no use for it.
    library = import_module("gateway.simulator")
    settings = library.Settings()
    async with library.Simulator(settings) as simulator:
        yield StandIn(simulator.url, settings.keys[0], settings.organizations[0])
