"""Serves a simulator on a socket of its own, in the running event loop."""

import asyncio
import socket
import time
from collections.abc import Callable
from typing import Self

from uvicorn import Config, Server
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateway.simulator.app import create_app
from gateway.simulator.settings import Settings
from gateway.simulator.simulation import Clock, Simulation, address_url

KEEP_ALIVE = 75
"""Seconds an idle connection stays open: like production's edge, longer than any client keeps it."""

STOP_TIMEOUT = 2
"""Seconds an answer may take to leave once the simulator stops."""


class Protocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol, lending its transport to the app so that a fault can reset the connection."""

    def on_message_begin(self) -> None:
        """Start a request's scope."""
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


def wall_clock() -> float:
    """The time in unix seconds."""
    return time.time()  # noqa: TID251 - the simulator stands outside the gateway and keeps its own time


class Simulator:
    """A simulator to start and stop: `async with Simulator() as simulator: … simulator.url`.

    `simulation` gives tests in the same process its jobs, faults and journal.
    """

    def __init__(self, settings: Settings | None = None, clock: Clock = wall_clock) -> None:
        self.settings = settings or Settings()
        self.simulation = Simulation(self.settings, clock)
        self._server: Server | None = None
        self._socket: socket.socket | None = None

    @property
    def url(self) -> str:
        """Scheme, host and port it listens on; RuntimeError before the start."""
        if self._socket is None:
            raise RuntimeError("the simulator is not running")
        return address_url(*self._socket.getsockname()[:2])

    async def start(self) -> None:
        """Listen; OSError if the address is taken."""
        settings = self.settings
        family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
        listener = socket.create_server((settings.host, settings.port), family=family)
        # Accepted sockets inherit it; without it an answer's body waits 40 ms for the client's delayed ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server = Server(_config(self.simulation))
        # uvicorn's own `serve` would take over the process's signals, which belong to whoever runs this loop.
        server.config.load()
        server.lifespan = server.config.lifespan_class(server.config)
        await server.startup(sockets=[listener])
        self._server, self._socket = server, listener

    async def stop(self) -> None:
        """Stop listening, answer what is held, and close every connection."""
        server = self._server
        if server is None:
            return
        self._server = self._socket = None
        self.simulation.stop()
        for listening in server.servers:
            listening.close()
        state = server.server_state
        for connection in list(state.connections):
            connection.shutdown()
        if state.tasks:
            await asyncio.wait(state.tasks, timeout=STOP_TIMEOUT)
        for connection in list(state.connections):
            connection.transport.abort()
        # Transports tell their protocols of the end in the loop's next turn.
        await asyncio.sleep(0)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.stop()


async def serve_forever(settings: Settings, ready: Callable[[str], None], clock: Clock = wall_clock) -> None:
    """Run a simulator until cancelled; `ready` is told its URL once it listens. OSError as `start`."""
    async with Simulator(settings, clock) as simulator:
        ready(simulator.url)
        await asyncio.Event().wait()


def _config(simulation: Simulation) -> Config:
    return Config(
        create_app(simulation),
        http=Protocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE,
    )
