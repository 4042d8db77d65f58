"""One simulated upstream's state, shared by its endpoints."""

import asyncio
import contextlib
from collections.abc import Callable

from gateway.simulator.faults import Faults
from gateway.simulator.jobs import Jobs
from gateway.simulator.journal import Journal
from gateway.simulator.settings import Settings
from gateway.simulator.storage import Storage

Clock = Callable[[], float]
"""Tells the time in unix seconds."""


def address_url(host: str, port: int) -> str:
    """The URL of a listening address, which may be IPv6."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class Simulation:
    """Jobs, files, faults and the journal of one simulator."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.clock = clock
        self.faults = Faults(settings.faults)
        self.jobs = Jobs(settings.max_jobs, settings.max_payload_bytes, settings.speed, settings.seed)
        self.journal = Journal()
        self.storage = Storage(settings.max_object_bytes)
        self._stopping = asyncio.Event()

    async def pause(self, seconds: float) -> None:
        """Wait as long as production would keep a client waiting; a stop ends every wait at once."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def stop(self) -> None:
        """End every pause, now and from here on."""
        self._stopping.set()
