"""The rest of a large body goes straight to the app, and the client sees no difference."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from gateway.server.limits import ConnectionLimits
from gateway.server.listener import Bind, Listener, bind_socket, listen
from gateway.server.state import ASGIApp, Receive, Scope, Send
from gateway.server.tls import TLSFiles
from tests.server.conftest import HASTE, Connect, Wire, get, parse, post, render, respond, talk, until
from tests.server.test_tls import make_certificate, trusting

BODY = bytes(range(256)) * 12_000
LENGTH = f"Content-Length: {len(BODY)}"
FEW = 1000


@dataclass
class Taker:
    """Takes the first part of a body, when told to go on all the rest at once, and answers with both.

    One whose patience ends receives what is left part by part, and answers with that alone.
    """

    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    body: bytearray = field(default_factory=bytearray)
    """What it took of the last body."""
    patience: asyncio.Timeout | None = None
    """How long it still waits for the rest of the last body."""
    rests: list[bool] = field(default_factory=list)
    """Of each rest whether it came."""
    paths: list[str] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.paths.append(scope["path"])
        part = await receive()
        body = self.body = bytearray(part["body"])
        if part["more_body"]:
            await self.go_on.wait()
            body += bytes(len(BODY) - len(body))
            try:
                with memoryview(body) as view:
                    async with asyncio.timeout(30) as self.patience:
                        self.rests.append(await part["receive_rest"](view[len(part["body"]) :]))
                body += b"."  # which is an error while anybody else holds its memory
            except TimeoutError:
                body = self.body = bytearray()
                while part.get("more_body"):
                    part = await receive()
                    body += part["body"]
        await respond(send, 200, bytes(body))


ServeApp = Callable[..., Awaitable[Listener]]


@pytest.fixture
async def serve_app() -> AsyncIterator[ServeApp]:
    """Serves an app on a free port, with deadlines of fractions of a second unless told otherwise."""
    listeners: list[Listener] = []

    async def start(app: ASGIApp, tls: TLSFiles | None = None, **limits: float) -> Listener:
        bind = Bind(app, bind_socket("127.0.0.1", 0), render, limits=ConnectionLimits(**(HASTE | limits)), tls=tls)
        listeners.append(await listen(bind))
        return listeners[-1]

    yield start
    for listener in listeners:
        await listener.finish(1)


@pytest.fixture
def taker() -> Taker:
    taker = Taker()
    taker.go_on.set()
    return taker


@pytest.fixture
async def listener(taker: Taker, serve_app: ServeApp) -> Listener:
    return await serve_app(taker)


PACKETS = {
    "whole": [BODY],
    "two": [BODY[:FEW], BODY[FEW:]],
    "many": [BODY[:FEW], *(BODY[start : start + 100_000] for start in range(FEW, len(BODY), 100_000))],
    "last-byte": [BODY[:-1], BODY[-1:]],
}


@pytest.mark.parametrize("packets", PACKETS.values(), ids=PACKETS)
async def test_bo6_a_large_body_comes_whole_and_what_follows_it_is_read(
    listener: Listener, taker: Taker, packets: list[bytes]
) -> None:
    last = packets[-1] + get("/second"), get("/third", "Connection: close")
    first, second, third = await talk(listener, post("/first", LENGTH), *packets[:-1], *last)
    assert first.body == BODY + b"."
    assert (second.body, third.body) == (b"", b"")
    assert taker.paths == ["/first", "/second", "/third"]
    assert taker.rests == [True]


async def test_a_rest_that_has_come_before_it_is_asked_for(listener: Listener, taker: Taker, connect: Connect) -> None:
    taker.go_on.clear()
    wire = await connect(listener)
    await wire.send(post("/", LENGTH, body=BODY[:FEW]))
    await until(lambda: bool(taker.paths))
    await wire.send(BODY[FEW : 2 * FEW])
    taker.go_on.set()
    await wire.send(BODY[2 * FEW :])
    assert (await wire.answer()).body == BODY + b"."


async def test_a_body_that_was_whole_before_its_rest_is_asked_for(
    listener: Listener, taker: Taker, connect: Connect
) -> None:
    taker.go_on.clear()
    wire = await connect(listener)
    (connection,) = listener._state.connections
    await wire.send(post("/", LENGTH, body=BODY[:-FEW]))
    await until(lambda: bool(taker.paths))
    await wire.send(BODY[-FEW:] + get("/second"))
    taker.go_on.set()
    assert (await wire.answer()).body == BODY + b"."
    assert (await wire.answer()).body == b""
    assert not connection.busy


async def test_a_body_that_is_waited_for_with_100_continue(listener: Listener, taker: Taker, connect: Connect) -> None:
    wire = await connect(listener)
    await wire.send(post("/", LENGTH, "Expect: 100-continue"))
    assert (await wire.answer()).status == 100
    await wire.send(BODY[:FEW], BODY[FEW:])
    assert (await wire.answer()).body == BODY + b"."
    assert taker.rests == [True]


async def test_a_large_body_over_tls(serve_app: ServeApp, taker: Taker, tmp_path: Path) -> None:
    files = make_certificate(tmp_path, "gateway")
    listener = await serve_app(taker, files, body_seconds=30, write_seconds=30)
    wire = Wire(*await asyncio.open_connection(*listener.address, ssl=trusting(files), server_hostname="gateway"))
    await wire.send(post("/", LENGTH, body=BODY[:FEW]), BODY[FEW:] + get("/second", "Connection: close"))
    first, second = parse(await wire.rest())
    assert (first.body, second.body) == (BODY + b".", b"")
    assert taker.rests == [True]


@pytest.mark.parametrize("drip", [0, 1], ids=["silence", "1-byte-at-a-time"])
async def test_bo7_a_rest_that_does_not_come_is_answered_408(listener: Listener, taker: Taker, drip: int) -> None:
    (answer,) = await talk(listener, post("/", LENGTH, body=BODY[:FEW]), *[b"x"] * drip * 20, pause=0.03)
    assert (answer.status, answer.code, answer.closes) == (408, "request_timeout", True)
    await until(lambda: not listener._state.connections and not listener._state.tasks)
    assert taker.rests == [False]


async def test_bo7_a_rest_at_the_minimum_rate_may_take_longer_than_its_first_credit(
    serve_app: ServeApp, taker: Taker
) -> None:
    listener = await serve_app(taker, body_bytes_per_second=len(BODY))
    packets = [BODY[start : start + len(BODY) // 20] for start in range(0, len(BODY), len(BODY) // 20)]
    (answer,) = await talk(listener, post("/", LENGTH, "Connection: close"), *packets, pause=0.04)
    assert answer.body == BODY + b"."


async def test_bo7_a_client_that_leaves_in_a_rest_gets_nothing_and_holds_nothing(
    listener: Listener, taker: Taker, connect: Connect
) -> None:
    wire = await connect(listener)
    await wire.send(post("/", LENGTH, body=BODY[:FEW]), BODY[FEW:-1])
    wire.writer.write_eof()
    assert await wire.rest() == b""
    await until(lambda: not listener._state.connections and not listener._state.tasks)
    assert taker.rests == [False]


async def test_an_app_that_stops_waiting_for_a_rest_receives_on(
    serve_app: ServeApp, taker: Taker, connect: Connect
) -> None:
    wire = await connect(await serve_app(taker, body_seconds=30))
    await wire.send(post("/", LENGTH, body=BODY[:FEW]))
    await until(lambda: len(taker.body) == len(BODY))
    await wire.send(BODY[FEW : 2 * FEW])
    await until(lambda: taker.body[: 2 * FEW] == BODY[: 2 * FEW])
    assert taker.patience is not None
    taker.patience.reschedule(0)
    await until(lambda: not taker.body)
    await wire.send(BODY[2 * FEW :])
    assert (await wire.answer()).body == BODY[2 * FEW :]


async def test_sm8_what_comes_of_a_rest_after_its_refusal_is_no_request(listener: Listener, taker: Taker) -> None:
    """The connection is refused and told to close while the app still waits: nothing of that is parsed."""
    smuggled = get("/smuggled") * 2000
    (answer,) = await talk(listener, post("/", LENGTH, body=BODY[:FEW]), *[smuggled[:9]] * 20, smuggled, pause=0.03)
    assert answer.status == 408
    assert taker.paths == ["/"]


async def test_rs4_an_answer_begun_in_the_midst_of_a_rest_is_held_back_by_a_client_that_does_not_read(
    serve_app: ServeApp, connect: Connect
) -> None:
    told: list[str] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        rest = asyncio.ensure_future(first["receive_rest"](memoryview(bytearray(len(BODY) - FEW))))
        await asyncio.sleep(0)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(100_000), "more_body": True})
        told.append("sent")
        told.append(f"rest: {await rest}")

    listener = await serve_app(app, body_seconds=30, write_seconds=30)
    wire = await connect(listener)
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
    await wire.send(post("/", LENGTH, body=BODY[:FEW]))
    (connection,) = listener._state.connections
    await until(lambda: connection.flow.write_paused)
    assert told == []
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
    receiving = asyncio.ensure_future(wire.rest())
    await until(lambda: told == ["sent"])
    await wire.send(BODY[FEW:])
    await until(lambda: told == ["sent", "rest: True"])
    await receiving
