"""The rest of a large body, read straight into the memory where the app wants it.

Otherwise the transport would make an object of every part it reads, and the app one of them all: two copies more than
the kernel's own. So while an app waits for the whole rest, the transport deals with a stand-in for the connection that
gives it this memory to read into; it deals with the connection again once that is full, or the app stops waiting. The
memory is no longer than what is left of the body, so that what follows the body is read as ever.
"""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gateway.server.protocol import HardenedProtocol

_NOTHING = memoryview(b"")


class Filling(asyncio.BufferedProtocol):
    """What the transport of a connection deals with until `end`. `rest` is what has not come yet."""

    def __init__(self, connection: "HardenedProtocol", rest: memoryview) -> None:
        self._connection = connection
        self._rest = rest
        connection.transport.set_protocol(self)

    def end(self) -> None:
        """Give the transport back to its connection, and hold the app's memory no more."""
        self._rest = _NOTHING
        transport = self._connection.transport
        if transport.get_protocol() is self:
            transport.set_protocol(self._connection)

    # What the transport calls

    def get_buffer(self, _sizehint: int) -> memoryview:
        return self._rest

    def buffer_updated(self, size: int) -> None:
        self._rest = self._rest[size:]
        if not self._rest:
            self.end()
        self._connection.body_filled(size)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        self._connection.resume_writing()
