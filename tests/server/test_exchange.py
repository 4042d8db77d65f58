"""One request, one response: what makes it the connection's last, and what the app sees when its client leaves."""

import asyncio
from typing import Any

from gateway.server.limits import ConnectionLimits
from gateway.server.listener import Bind, Listener, bind_socket, listen
from gateway.server.state import ASGIApp, Receive, Scope, Send
from tests.server.conftest import HASTE, App, Connect, Serve, Wire, get, post, render, respond, until


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


async def test_a_body_that_goes_wrong_under_a_begun_response_gets_no_second_one(connect: Connect) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
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
