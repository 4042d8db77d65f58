"""One listening socket and the connections it accepted, from the first to the last.

The event loop's own server with our protocol is all that is needed: uvicorn's `Server` would add signal handlers,
a lifespan, a polling main loop and a shutdown that refuses connections at once, each to be worked around.
"""

import asyncio
import socket
from contextlib import suppress
from dataclasses import dataclass, field, replace
from email.utils import formatdate

from gateway.server.limits import ConnectionLimits, connection_cap, open_files
from gateway.server.protocol import HardenedProtocol
from gateway.server.state import ASGIApp, ListenerState, RenderRefusal
from gateway.server.tls import Certificate, TLSFiles

_BACKLOG = 2048
_POLL_SECONDS = 0.02
_LAST_WORDS_SECONDS = 1.0
"""What an app whose client was cut off gets to end by itself before it is cancelled."""


def bind_socket(host: str, port: int) -> socket.socket:
    """A listening TCP socket; port 0 picks a free one. Raises OSError if the address is taken or unknown.

    Made apart from the listener so that several processes can inherit one.
    """
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.create_server(address[:2], family=family, backlog=_BACKLOG)
    sock.setblocking(False)
    return sock


@dataclass(frozen=True, slots=True)
class Bind:
    """What to serve where. `label` says in the `listening on` line which listener it is."""

    app: ASGIApp
    sock: socket.socket
    render_refusal: RenderRefusal
    label: str = "public"
    limits: ConnectionLimits = field(default_factory=ConnectionLimits)
    tls: TLSFiles | None = None


async def listen(bind: Bind) -> "Listener":
    """Serve in the running event loop, from now until `finish`.

    Raises OSError or ssl.SSLError if the TLS files cannot be used.
    """
    loop = asyncio.get_running_loop()
    certificate = Certificate(bind.tls) if bind.tls else None
    limits = replace(bind.limits, connections=connection_cap(bind.limits.connections, open_files()))
    state = ListenerState(bind.app, limits, bind.render_refusal, loop)
    server = await loop.create_server(
        lambda: HardenedProtocol(state),
        sock=bind.sock,
        backlog=_BACKLOG,
        ssl=certificate.context if certificate else None,
        ssl_handshake_timeout=limits.header_seconds if certificate else None,
    )
    return Listener(bind, state, server, certificate)


def _accept_all(sock: socket.socket) -> list[socket.socket]:
    """Who waits at the listening socket now, as far as this process may open so many."""
    accepted = []
    with suppress(OSError):  # mostly that nobody is left
        while True:
            accepted.append(sock.accept()[0])
    return accepted


class Listener:
    """A socket being served. Made by `listen`."""

    def __init__(
        self, bind: Bind, state: ListenerState, server: asyncio.Server, certificate: Certificate | None
    ) -> None:
        self.label = bind.label
        self.address: tuple[str, int] = bind.sock.getsockname()[:2]
        """Host and port as they are, also for port 0."""
        self.cut = 0
        """Responses that were owed when their connection was cut off."""
        self._sock = bind.sock
        self._state = state
        self._server = server
        self._certificate = certificate
        self._over = False
        self._sweep()

    @property
    def url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:8080`."""
        host, port = self.address
        scheme = "https" if self._certificate else "http"
        return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"

    def _sweep(self) -> None:
        """Keep the deadlines and the date. The next sweep is arranged first, whatever this one meets."""
        loop = self._state.loop
        self._next_sweep = loop.call_later(self._state.limits.sweep_seconds, self._sweep)
        self._state.date_line = b"date: %s\r\n" % formatdate(usegmt=True).encode()
        now = loop.time()
        for connection in tuple(self._state.connections):
            connection.sweep(now)
        if self._certificate:
            self._certificate.refresh(now)

    def begin_drain(self) -> None:
        """Go on accepting and answering, but say `Connection: close` each time, so that clients go elsewhere."""
        self._state.draining = True

    def stop_accepting(self) -> None:
        """Free the port, as far as this process holds it; the connections there are go on.

        Whoever waits at the port is taken in first. Closing it would reset them, whatever they have sent, and a
        balancer repeats no create that it has sent.
        """
        waiting = _accept_all(self._sock) if self._server.is_serving() else []
        self._server.close()
        for sock in waiting:
            task = self._state.loop.create_task(self._hear(sock))
            self._state.tasks.add(task)
            task.add_done_callback(self._state.tasks.discard)

    async def finish(self, timeout: float) -> None:  # noqa: ASYNC109 - the rest is cut off, not given up
        """Accept nothing more, wait at most `timeout` seconds for what is in flight, then cut off the rest."""
        self.begin_drain()
        self._over |= timeout <= 0
        self.stop_accepting()
        loop = self._state.loop
        deadline = loop.time() + timeout
        await asyncio.sleep(0)  # who came in the last turn is heard in this one
        self._close_idle()
        while self._is_busy() and loop.time() < deadline and not self._over:
            await asyncio.sleep(_POLL_SECONDS)
            self._close_idle()
        self.cut_off()
        await self._end_tasks()
        self._next_sweep.cancel()
        await self._server.wait_closed()

    async def _hear(self, sock: socket.socket) -> None:
        """Serve a connection that the event loop's server has not accepted, unless nobody is waited for."""
        if self._over:
            sock.close()
            return
        with suppress(OSError):  # it is gone, or its handshake failed
            await self._state.loop.connect_accepted_socket(
                lambda: HardenedProtocol(self._state),
                sock,
                ssl=self._certificate.context if self._certificate else None,
                ssl_handshake_timeout=self._state.limits.first_seconds if self._certificate else None,
            )

    def _is_busy(self) -> bool:
        """Whether there is anybody, who may be shaking hands included: such a one is no connection of ours yet."""
        greets_until = self._state.accepted_at + self._state.limits.first_seconds
        greets = self._certificate is not None and self._state.loop.time() < greets_until
        return greets or bool(self._state.connections or self._state.tasks)

    def _close_idle(self) -> None:
        now = self._state.loop.time()
        for connection in tuple(self._state.connections):
            connection.close_if_idle(now)

    def cut_off(self) -> None:
        """End every connection now, and count in `cut` those that were owed something. Nothing more is waited for."""
        self._over = True
        self.cut += sum(connection.cut_off() for connection in tuple(self._state.connections))

    async def _end_tasks(self) -> None:
        """An app sees its client disconnect and ends; one that does not is cancelled."""
        if self._state.tasks:
            _, stuck = await asyncio.wait(self._state.tasks, timeout=_LAST_WORDS_SECONDS)
            for task in stuck:
                task.cancel()
            await asyncio.gather(*stuck, return_exceptions=True)
