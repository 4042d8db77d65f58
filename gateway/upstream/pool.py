"""The connections to upstream: kept while idle, never more than allowed, each used by one caller at a time.

A connection takes a place from before it is dialled until it is closed, whoever closes it. Who finds no place waits in
line; a place or a connection that comes free wakes the first. Nothing here awaits between finding a connection and
giving it away.
"""

import asyncio
from collections import deque

import httpx

from gateway.afterwards import Afterwards
from gateway.upstream.connection import Connection, State
from gateway.upstream.dialing import Dialer, Origin
from gateway.upstream.repeats import Repeats

_SWEEP_EVERY = 5.0
"""Seconds between two looks for connections that have been idle too long."""


class Pool:
    """At most `limit` connections, to any number of origins."""

    def __init__(self, limit: int, dialer: Dialer) -> None:
        self._limit = limit
        self._dialer = dialer
        self._writes = Afterwards()
        self._repeats = Repeats()
        self._places: dict[Connection, Origin] = {}
        self._idle: dict[Origin, dict[Connection, None]] = {}
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def __repr__(self) -> str:
        idle = sum(map(len, self._idle.values()))
        return f"<Pool {len(self._places)} of {self._limit} open, {idle} idle, {len(self._waiting)} waiting>"

    def take(self, origin: Origin) -> Connection | None:
        """An idle connection that nothing has come on since it was used: the one used last, which lives longest."""
        idle = self._idle.get(origin)
        while idle:
            connection, _ = idle.popitem()
            if connection.is_usable():
                return connection
            connection.close()
        return None

    async def connect(self, origin: Origin, patience: float) -> Connection:
        """A connection to ask on, which must be done before anything else is awaited.

        `patience` is how long to wait for a place, and again for a new connection. Raises as `open`.
        """
        return self.take(origin) or await self.open(origin, patience)

    async def open(self, origin: Origin, patience: float) -> Connection:
        """A new connection, or one that comes free while waiting for a place.

        Raises PoolTimeout, ConnectTimeout or ConnectError: nothing was sent.
        """
        if not self._make_room():
            free = await self._wait(origin, patience)
            if free is not None:
                return free
        connection = Connection(self._keep, self._forget, self._writes, self._repeats)
        self._places[connection] = origin
        ready = False
        try:
            await self._dialer.dial(origin, connection, patience)
            # On a new TLS connection session tickets may wait unread, which are not upstream's own words.
            ready = connection.is_silent() or (bool(origin.server_name) and connection.state is State.IDLE)
        finally:
            if not ready or self._closed:
                connection.close()
        if connection.state is State.CLOSED:
            raise httpx.ConnectError("upstream spoke before it was asked, or the pool was closed")
        return connection

    def close(self) -> None:
        """Close every connection; what is under way fails."""
        self._closed = True
        for connection in list(self._places):
            connection.close()
        if self._sweep is not None:
            self._sweep.cancel()
        self._dialer.close()

    def _make_room(self) -> bool:
        """Whether there is a place, if need be that of an idle connection to elsewhere."""
        if len(self._places) < self._limit:
            return True
        idle = next((connection for each in self._idle.values() for connection in each), None)
        if idle is not None:
            idle.close()
        return idle is not None

    async def _wait(self, origin: Origin, patience: float) -> Connection | None:
        """Stand in line for an idle connection or (None) a place for a new one."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        enlist = self._waiting.append
        while True:
            turn: asyncio.Future[None] = loop.create_future()
            enlist(turn)
            came = False
            try:
                async with asyncio.timeout_at(deadline):
                    await turn
                    came = True
            except TimeoutError as error:
                raise httpx.PoolTimeout("no connection to upstream came free in time") from error
            finally:
                if not came:
                    self._leave(turn)
            connection = self.take(origin)
            if connection is not None or self._make_room():
                return connection
            enlist = self._waiting.appendleft

    def _leave(self, turn: asyncio.Future[None]) -> None:
        """Leave the line. A turn that came and cannot be taken any more is the next one's."""
        if not turn.cancelled():
            self._wake()
        elif turn in self._waiting:
            self._waiting.remove(turn)

    def _wake(self) -> None:
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return

    def _keep(self, connection: Connection) -> None:
        """A connection is free again."""
        self._idle.setdefault(self._places[connection], {})[connection] = None
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(_SWEEP_EVERY, self._sweep_idle)
        if self._waiting:
            self._wake()

    def _forget(self, connection: Connection) -> None:
        """A connection is closed, and its place free."""
        origin = self._places.pop(connection)
        self._idle.get(origin, {}).pop(connection, None)
        self._wake()

    def _sweep_idle(self) -> None:
        now = asyncio.get_running_loop().time()
        for origin, idle in list(self._idle.items()):
            for connection in [each for each in idle if each.keep_until <= now]:
                connection.close()
            if not idle:
                del self._idle[origin]
        self._sweep = asyncio.get_running_loop().call_later(_SWEEP_EVERY, self._sweep_idle) if self._idle else None
