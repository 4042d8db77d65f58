"""A listener on a real socket with an app that records its calls, and a client that sends bytes as they are."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import pytest
import uvloop

from gateway.server.limits import ConnectionLimits
from gateway.server.listener import Bind, Listener, bind_socket, listen
from gateway.server.state import Receive, Scope, Send
from gateway.server.tls import TLSFiles

HASTE: dict[str, Any] = {
    "header_seconds": 0.5,
    "first_seconds": 0.2,
    "body_seconds": 0.5,
    "body_bytes_per_second": 1000,
    "idle_seconds": 0.5,
    "write_seconds": 0.25,
    "linger_seconds": 0.2,
    "sweep_seconds": 0.02,
}


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Every test runs on the loop of production and on the one where there is none."""
    return {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


def render(code: str, message: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """A stand-in for the renderer of the layer above."""
    statuses = {"uri_too_long": 414, "headers_too_large": 431, "request_timeout": 408, "internal_error": 500}
    body = json.dumps({"error": message, "code": code, "request_id": "r1"}).encode()
    return statuses.get(code, 400), [(b"content-type", b"application/json"), (b"x-request-id", b"r1")], body


@dataclass
class Call:
    """One call of the app: what it was given, and how it ended."""

    scope: Scope
    body: bytes = b""
    disconnected: bool = False


@dataclass
class App:
    """Answers 200 with the body it read. `/early` is refused unread, `/wait` held until `go`, `/large` long."""

    calls: list[Call] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    sent: int = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call = Call(scope)
        self.calls.append(call)
        if scope["path"] == "/fail":
            raise LookupError("nothing here for you to see")
        if scope["path"] == "/early":
            await respond(send, 401, b"no")
            return
        if not await read_body(call, receive):
            return
        if scope["path"] == "/wait":
            await self.go.wait()
        if scope["path"] == "/large":
            await self._respond_at_length(send)
        elif scope["path"].startswith("/whole/"):
            await respond(send, 200, bytes(int(scope["path"].rpartition("/")[2])))
        else:
            await respond(send, 200, call.body)

    async def _respond_at_length(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
            self.sent += 100_000
        await send({"type": "http.response.body", "body": b""})

    @property
    def paths(self) -> list[str]:
        return [call.scope["path"] for call in self.calls]


async def read_body(call: Call, receive: Receive) -> bool:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            call.disconnected = True
            return False
        call.body += message["body"]
        if not message["more_body"]:
            return True


async def respond(send: Send, status: int, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@dataclass
class Answer:
    """A response as it came over the wire."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["code"])

    @property
    def closes(self) -> bool:
        return self.headers.get("connection") == "close"


def parse(raw: bytes) -> list[Answer]:
    """The responses in `raw`, all with a Content-Length."""
    found = []
    while raw:
        head, _, rest = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        size = int(headers.get("content-length", "0"))
        found.append(Answer(int(first.split()[1]), headers, rest[:size]))
        raw = rest[size:]
    return found


class Wire:
    """A client's side of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    @classmethod
    async def to(cls, listener: Listener) -> "Wire":
        return cls(*await asyncio.open_connection(*listener.address))

    async def send(self, *packets: bytes, pause: float = 0.02) -> None:
        """Send the packets one by one, and go on whatever the server makes of it."""
        with suppress(ConnectionError, RuntimeError):  # the latter is uvloop's for a transport that has closed
            for packet in packets:
                self.writer.write(packet)
                await self.writer.drain()
                await asyncio.sleep(pause)

    async def rest(self, seconds: float = 5) -> bytes:
        """All that comes until the server closes, which it must do within `seconds`."""
        received = b""
        with suppress(ConnectionError):
            while more := await asyncio.wait_for(self._reader.read(65536), seconds):
                received += more
        self.writer.close()
        return received

    async def answer(self) -> Answer:
        """The next response. The connection stays open."""
        head = await asyncio.wait_for(self._reader.readuntil(b"\r\n\r\n"), 5)
        (answer,) = parse(head)
        answer.body = await self._reader.readexactly(int(answer.headers.get("content-length", "0")))
        return answer


async def talk(listener: Listener, *packets: bytes, pause: float = 0.02) -> list[Answer]:
    """Send `packets` on a new connection and return every answer up to the server's close."""
    wire = await Wire.to(listener)
    receiving = asyncio.ensure_future(wire.rest())  # while sending: a reset after the answer would take it back
    await wire.send(*packets, pause=pause)
    return parse(await receiving)


def get(path: str = "/", *headers: str) -> bytes:
    return "\r\n".join((f"GET {path} HTTP/1.1", "Host: gateway", *headers, "", "")).encode()


def post(path: str = "/", *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join((f"POST {path} HTTP/1.1", "Host: gateway", *headers, "", "")).encode() + body


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what must become true within a few seconds."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - it waits for other people's state
            await asyncio.sleep(0.005)


@pytest.fixture
def app() -> App:
    return App()


Connect = Callable[[Listener], Awaitable[Wire]]


@pytest.fixture
async def connect() -> AsyncIterator[Connect]:
    """Connects to a listener; what is still open when the test ends is aborted."""
    wires: list[Wire] = []

    async def one(listener: Listener) -> Wire:
        wires.append(await Wire.to(listener))
        return wires[-1]

    yield one
    for wire in wires:
        wire.writer.transport.abort()


Serve = Callable[..., Awaitable[Listener]]


@pytest.fixture
async def serve(app: App) -> AsyncIterator[Serve]:
    """Serves the recording app on a free port, with deadlines of fractions of a second unless told otherwise."""
    listeners: list[Listener] = []

    async def start(tls: TLSFiles | None = None, **limits: Any) -> Listener:
        sock = bind_socket("127.0.0.1", 0)
        listeners.append(await listen(Bind(app, sock, render, limits=ConnectionLimits(**(HASTE | limits)), tls=tls)))
        return listeners[-1]

    yield start
    app.go.set()
    for listener in listeners:
        await listener.finish(1)
