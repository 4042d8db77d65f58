"""An upstream made of bytes: a raw socket server that does to each connection what a test's script says.

It is no HTTP server, so it can answer before it is asked, stop in the middle, or lie about lengths; and what it
received is there byte for byte.
"""

import asyncio
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.servers import stop_listening


@dataclass(frozen=True)
class Received:
    """One request as it came. `headers` keep their order; names are in lower case."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """The first value of a header."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass
class Connection:
    """One connection, for a script to act on. `received` is every byte that was read from it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    requests: list[Received] = field(default_factory=list)
    received: bytearray = field(default_factory=bytearray)

    async def request(self) -> Received:
        """Read one whole request. Raises IncompleteReadError if the peer goes away first."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.received += head
        first, *lines = head.decode("latin-1").split("\r\n")[:-2]
        method, target, _ = first.split(" ")
        pairs = (line.split(":", 1) for line in lines)
        headers = tuple((name.lower(), value.strip()) for name, value in pairs)
        length = int(next((value for name, value in headers if name == "content-length"), "0"))
        body = await self.reader.readexactly(length)
        self.received += body
        request = Received(method, target, headers, body)
        self.requests.append(request)
        return request

    async def send(self, data: bytes) -> None:
        """Write, and wait until the system has taken it."""
        self.writer.write(data)
        await self.writer.drain()

    async def drip(self, data: bytes, pause: float) -> None:
        """Write one byte after the other."""
        for index in range(len(data)):
            await self.send(data[index : index + 1])
            await asyncio.sleep(pause)

    async def hold(self) -> None:
        """Do nothing until the peer hangs up."""
        while data := await self.reader.read(65536):
            self.received += data

    def reset(self) -> None:
        """Close with a TCP RST."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[[Connection], Awaitable[None]]


class ScriptedUpstream:
    """Runs one script a connection: the first connection gets the first script, later ones the last.

    Entered as `async with ScriptedUpstream(script) as upstream`; a script that returns closes its connection.
    """

    def __init__(self, *scripts: Script, tls: ssl.SSLContext | None = None) -> None:
        self._scripts = scripts
        self._tls = tls
        self._server: asyncio.Server | None = None
        self._running: set[asyncio.Task[None]] = set()
        self.connections: list[Connection] = []
        self.url = ""
        """Scheme, host and port, once entered."""

    @property
    def requests(self) -> list[Received]:
        """Every request, connection by connection."""
        return [request for connection in self.connections for request in connection.requests]

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=self._tls)
        port = self._server.sockets[0].getsockname()[1]
        self.url = f"https://localhost:{port}" if self._tls else f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        await stop_listening(self._server)
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        for connection in self.connections:
            connection.writer.transport.abort()
        for _ in range(3):
            await asyncio.sleep(0)  # transports let go of their sockets in the loop's next turns

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(len(self.connections), len(self._scripts) - 1)]
        connection = Connection(reader, writer)
        self.connections.append(connection)
        task = asyncio.get_running_loop().create_task(self._run(script, connection))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    @staticmethod
    async def _run(script: Script, connection: Connection) -> None:
        try:
            await script(connection)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the peer went away, which is for the test to judge
        finally:
            connection.writer.close()


def response(body: bytes = b"{}", status: str = "200 OK", *headers: str, media_type: str = "application/json") -> bytes:
    """A whole response with its right length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {media_type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def answering(*responses: bytes) -> Script:
    """A script that answers request after request on its connection; the last response is repeated for ever."""

    async def script(connection: Connection) -> None:
        for number in range(10**9):
            await connection.request()
            await connection.send(responses[min(number, len(responses) - 1)])

    return script
