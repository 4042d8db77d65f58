"""One request, one response: what makes it the connection's last, and what the app sees when its client leaves."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from gateway.server.limits import ConnectionLimits
from gateway.server.listener import Bind, Listener, bind_socket, listen
from gateway.server.state import ASGIApp, Receive, Scope, Send
from tests.server.conftest import HASTE, App, Connect, Serve, Wire, get, parse, post, render, respond, until


async def serve_app(app: ASGIApp) -> Listener:
    return await listen(Bind(app, bind_socket("127.0.0.1", 0), render, limits=ConnectionLimits(**HASTE)))


async def test_a_response_that_asks_to_close_is_the_last(serve: Serve) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"connection", b"close"), (b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})

    listener = await serve_app(app)
    wire = await Wire.to(listener)
    await wire.send(get())
    assert (await wire.rest()).count(b"connection: close") == 1
    await listener.finish(1)


async def test_a_response_cut_short_by_its_app_is_visibly_short(caplog: Any) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise LookupError("secret")

    listener = await serve_app(app)
    wire = await Wire.to(listener)
    await wire.send(get())
    raw = await wire.rest()
    assert raw.endswith(b"4\r\nhalf\r\n")
    assert [record.message for record in caplog.records] == ["the app failed"]
    await listener.finish(1)


async def test_a_response_cut_short_does_not_wait_for_a_client_that_does_not_take_it(connect: Connect) -> None:
    writing = asyncio.Event()

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": bytes(10_000_000), "more_body": True})
        writing.set()

    listener = await listen(Bind(app, bind_socket("127.0.0.1", 0), render, limits=ConnectionLimits()))
    wire = await connect(listener)
    await wire.send(get())
    await writing.wait()
    try:
        await until(lambda: not listener._state.connections)
    finally:
        await listener.finish(0)
    with pytest.raises(ConnectionResetError):
        while await wire._reader.read(65536):
            pass


async def test_a_body_that_goes_wrong_under_a_begun_response_gets_no_second_one(connect: Connect) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"so far", "more_body": True})
        while (await receive())["type"] != "http.disconnect":
            pass

    listener = await serve_app(app)
    wire = await connect(listener)
    await wire.send(post("/", "Transfer-Encoding: chunked", body=b"2\r\nhi\r\n"), b"zz\r\n")
    assert (await wire.rest()).count(b"HTTP/1.1") == 1
    await listener.finish(1)


async def test_lp2_an_app_that_waits_for_a_disconnect_is_told_and_cannot_write_after_it(connect: Connect) -> None:
    told: list[str] = []

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        told.append((await receive())["type"])
        await respond(send, 200, b"to nobody")
        told.append("sent")

    listener = await serve_app(app)
    wire = await connect(listener)
    await wire.send(get())
    wire.writer.transport.abort()
    await until(lambda: told == ["http.disconnect", "sent"])
    await listener.finish(1)


async def test_reading_stops_while_the_app_does_not_read(serve: Serve, connect: Connect, app: App) -> None:
    listener = await serve()
    wire = await connect(listener)
    sending = asyncio.ensure_future(wire.send(get("/wait") + post("/", "Content-Length: 5000000"), bytes(5_000_000)))
    await asyncio.sleep(0.3)
    (connection,) = listener._state.connections
    assert connection.flow.read_paused
    assert len(connection._backlog) < 1_000_000
    app.go.set()
    assert (await wire.answer()).status == 200
    assert len((await wire.answer()).body) == 5_000_000
    await sending


async def test_a_small_response_is_one_piece(connect: Connect) -> None:
    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        assert scope["respond"](200, [], b"all of it")

    listener = await serve_app(app)
    wire = await connect(listener)
    (connection,) = listener._state.connections
    pieces: list[bytes] = []
    connection.transport = Recorder(pieces)  # type: ignore[assignment]
    connection.data_received(get())
    await until(lambda: bool(pieces))
    assert len(pieces) == 1
    assert pieces[0].endswith(b"\r\n\r\nall of it")
    wire.writer.close()
    await listener.finish(1)


class Recorder:
    """A transport that keeps what is written."""

    def __init__(self, pieces: list[bytes]) -> None:
        self.write = pieces.append

    def is_closing(self) -> bool:
        return False

    def abort(self) -> None:
        return

    def close(self) -> None:
        return

    def get_write_buffer_size(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"x", b"a\r\nset-cookie: b")], b""),
        ([(b"x", b"a\nb")], b""),
        ([(b"x", b"a\rb")], b""),
        ([(b"content-length", b"3")], b"four"),
        ([(b"content-length", b"5")], b"four"),
    ],
)
async def test_a_response_that_cannot_be_framed_is_a_fault(
    connect: Connect, caplog: pytest.LogCaptureFixture, headers: list[tuple[bytes, bytes]], body: bytes
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    listener = await serve_app(app)
    wire = await connect(listener)
    await wire.send(get())
    (answer,) = parse(await wire.rest())
    assert (answer.status, answer.code, answer.closes) == (500, "internal_error", True)
    assert [record.message for record in caplog.records] == ["the app failed"]
    await listener.finish(1)


async def test_what_has_no_body_gets_none_whatever_the_app_sends(connect: Connect) -> None:
    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        status = 304 if scope["path"] == "/304" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"not for you"})

    listener = await serve_app(app)
    wire = await connect(listener)
    await wire.send(get("/304"), get().replace(b"GET", b"HEAD"), get("/", "Connection: close"))
    raw = await wire.rest()
    assert raw.count(b"not for you") == 1
    assert raw.count(b"transfer-encoding") == 1
    await listener.finish(1)


async def test_a_length_that_is_known_is_told_to_a_client_of_http_1_0_too(connect: Connect, serve: Serve) -> None:
    wire = await connect(await serve())
    await wire.send(b"GET /a HTTP/1.0\r\nHost: gateway\r\nConnection: keep-alive\r\n\r\n")
    answer = await wire.answer()
    assert (answer.status, answer.headers["content-length"]) == (200, "0")
    assert "transfer-encoding" not in answer.headers


async def test_a_body_of_unknown_length_ends_with_the_connection_of_a_client_of_http_1_0(connect: Connect) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for part in (b"one ", b"", b"two"):
            await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body"})

    listener = await serve_app(app)
    wire = await connect(listener)
    await wire.send(b"GET / HTTP/1.0\r\nHost: gateway\r\nConnection: keep-alive\r\n\r\n")
    head, _, body = (await wire.rest()).partition(b"\r\n\r\n")
    assert body == b"one two"
    assert b"connection: close" in head
    await listener.finish(1)


async def test_answers_of_one_turn_all_arrive_and_their_connections_go_on(
    app: App, serve: Serve, connect: Connect
) -> None:
    listener = await serve()
    wires = [await connect(listener) for _ in range(3)]
    for wire in wires:
        await wire.send(get("/wait"))
    await until(lambda: len(app.calls) == 3)
    app.go.set()
    assert [(await wire.answer()).status for wire in wires] == [200] * 3
    for wire in wires:
        await wire.send(post("/next", "Content-Length: 2", body=b"ab"))
    assert [(await wire.answer()).body for wire in wires] == [b"ab"] * 3


async def test_an_answer_that_waits_for_the_turn_s_end_is_not_lost_when_the_listener_finishes(
    serve: Serve, connect: Connect
) -> None:
    """The second call has company, so its answer waits; the listener closes what is idle in between."""
    finishing: list[asyncio.Task[None]] = []
    held = asyncio.Event()

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        if scope["path"] == "/held":
            await held.wait()
        else:
            finishing.append(asyncio.ensure_future(listener.finish(1)))
        assert scope["respond"](200, [], b"whole")

    listener = await serve_app(app)
    first, second = await connect(listener), await connect(listener)
    await first.send(get("/held"))
    await second.send(get("/last"))
    assert (await second.answer()).body == b"whole"
    held.set()
    assert (await first.answer()).body == b"whole"
    await finishing[0]
    assert listener.cut == 0


def beside_one_that_waits(held: asyncio.Event, first: Callable[[], object]) -> ASGIApp:
    """An app of which one call waits, so that another's answer does as well; that one does something `first`."""

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        if scope["path"] == "/held":
            await held.wait()
        else:
            first()
        assert scope["respond"](200, [], b"whole")

    return app


async def test_an_answer_that_waits_for_the_turn_s_end_is_owed_when_the_connection_is_cut_off(
    caplog: Any, connect: Connect
) -> None:
    held, loop = asyncio.Event(), asyncio.get_running_loop()
    listener = await serve_app(beside_one_that_waits(held, lambda: loop.call_soon(listener.cut_off)))
    first, second = await connect(listener), await connect(listener)
    await first.send(get("/held"))
    await second.send(get("/last"))
    assert (await second.rest(), await first.rest()) == (b"", b"")
    assert (listener.cut, caplog.records) == (2, [])
    held.set()
    await listener.finish(1)


async def test_sm5_garbage_behind_a_request_whose_answer_waits_for_the_turn_s_end_closes_the_connection(
    connect: Connect,
) -> None:
    held = asyncio.Event()
    garbage = b"\0no request\r\n\r\n"
    listener = await serve_app(beside_one_that_waits(held, lambda: second.writer.write(garbage)))
    first, second = await connect(listener), await connect(listener)
    await first.send(get("/held"))
    await second.send(get("/last"))
    assert (await second.rest(2)).count(b"HTTP/1.1 200 OK") == 1
    held.set()
    await listener.finish(1)


@pytest.mark.parametrize(
    ("request_head", "status", "headers", "body", "closes"),
    [
        (get(), 200, [], b"all", 0),
        (get().replace(b"GET", b"HEAD"), 200, [], b"", 0),
        (get(), 304, [], b"", 0),
        (get(), 204, [], b"", 0),
        (get(), 401, [(b"connection", b"close")], b"all", 1),
        (get(), 200, [(b"connection", b"close")], b"all", 1),
        (get("/", "Connection: close"), 200, [], b"all", 1),
        (get().replace(b"HTTP/1.1", b"HTTP/1.0"), 200, [], b"all", 1),
        (post("/", "Content-Length: 2"), 200, [], b"all", 1),
        (post("/", "Content-Length: 2", "Expect: 100-continue"), 200, [], b"all", 1),
    ],
)
async def test_an_answer_at_once_is_framed_and_ends_its_connection_where_it_must(
    connect: Connect, request_head: bytes, status: int, headers: list[tuple[bytes, bytes]], body: bytes, closes: int
) -> None:
    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        assert scope["respond"](status, headers, b"all")

    listener = await serve_app(app)
    wire = await connect(listener)
    await wire.send(request_head)
    if request_head.startswith((b"GET", b"HEAD")) and b"Connection" not in request_head:
        await wire.send(get("/last", "Connection: close"))
    raw = await wire.rest()
    await listener.finish(1)
    assert raw.count(b"HTTP/1.1 ") == 2 - closes
    head, _, rest = raw.split(b"HTTP/1.1 ")[1].partition(b"\r\n\r\n")
    assert (rest, head.count(b"connection: close")) == (body, closes)
    assert head.count(b"content-length: 3") == (status not in (204, 304))


async def test_an_answer_at_once_is_none_where_it_is_large_or_the_client_takes_nothing(connect: Connect) -> None:
    taken: list[bool] = []

    async def app(scope: Scope, _receive: Receive, send: Send) -> None:
        taken.append(scope["respond"](200, [], bytes(64 * 1024)))
        (connection,) = listener._state.connections
        connection.pause_writing()
        taken.append(scope["respond"](200, [], b"all"))
        connection.resume_writing()
        await respond(send, 200, b"after all")

    listener = await serve_app(app)
    wire = await connect(listener)
    await wire.send(get())
    assert ((await wire.answer()).body, taken) == (b"after all", [False, False])
    await listener.finish(1)
