"""Several requests on one connection: in order, bounded, and never an error in another answer's place."""

import asyncio

import pytest

from tests.server.conftest import App, Connect, Serve, get, parse, post, talk, until

GARBAGE = b"\x00\xff garbage\r\n\r\n"


async def test_sm9_three_requests_in_one_write_are_answered_in_order(serve: Serve, app: App) -> None:
    sent = get("/a") + post("/b", "Content-Length: 5", body=b"hello") + get("/c", "Connection: close")
    answers = await talk(await serve(), sent)
    assert [(answer.status, answer.body) for answer in answers] == [(200, b""), (200, b"hello"), (200, b"")]
    assert app.paths == ["/a", "/b", "/c"]


@pytest.mark.parametrize("together", [True, False])
async def test_sm9_garbage_after_a_create_leaves_the_create_its_own_answer(
    serve: Serve, connect: Connect, app: App, *, together: bool
) -> None:
    create = post("/wait", "Content-Length: 5", body=b"hello")
    wire = await connect(await serve())
    await wire.send(*((create + GARBAGE,) if together else (create, GARBAGE)))
    app.go.set()
    (answer,) = parse(await wire.rest())
    assert (answer.status, answer.body, answer.closes) == (200, b"hello", True)


async def test_sm9_a_bad_body_behind_an_owed_answer_is_dropped_unanswered(
    serve: Serve, connect: Connect, app: App
) -> None:
    wire = await connect(await serve())
    await wire.send(get("/wait") + post("/bad", "Transfer-Encoding: chunked", body=b"zz\r\n"))
    app.go.set()
    (answer,) = parse(await wire.rest())
    assert (answer.status, answer.closes) == (200, True)
    assert app.paths == ["/wait"]


async def test_sm9_ten_thousand_requests_in_one_write_are_all_answered_a_few_at_a_time(
    serve: Serve, connect: Connect, app: App
) -> None:
    listener = await serve(write_seconds=30.0)  # the client shares this loop, and reads only when it gets a turn
    wire = await connect(listener)
    sending = asyncio.ensure_future(wire.send(get("/wait") + get() * 10_000 + get("/last", "Connection: close")))
    await until(lambda: bool(app.calls))
    (connection,) = listener._state.connections
    await asyncio.sleep(0.05)
    assert len(connection._queue) < 200
    assert len(connection._backlog) <= 512 * 1024
    app.go.set()
    answers = parse(await wire.rest())
    await sending
    assert [answer.status for answer in answers] == [200] * 10_002
    assert app.paths[-1] == "/last"
    assert len(app.calls) == 10_002


async def test_what_follows_a_request_that_closes_is_ignored(serve: Serve, app: App) -> None:
    answers = await talk(await serve(), get("/", "Connection: close") + get("/more"), get("/more"))
    assert [answer.status for answer in answers] == [200]
    assert app.paths == ["/"]


async def test_an_http_1_0_request_is_the_last_even_if_it_asks_to_stay(serve: Serve, app: App) -> None:
    old = get("/", "Connection: keep-alive").replace(b"1.1", b"1.0")
    more = post("/more", "Content-Length: 2", body=b"hi")
    answers = await talk(await serve(), old + more, more)
    assert [answer.status for answer in answers] == [200]
    assert app.paths == ["/"]


async def test_a_disconnect_reaches_the_running_call_not_only_the_newest(
    serve: Serve, connect: Connect, app: App
) -> None:
    listener = await serve()
    wire = await connect(listener)
    await wire.send(get("/wait") + get("/next"))
    wire.writer.transport.abort()
    await until(lambda: not listener._state.connections)
    app.go.set()
    await until(lambda: not listener._state.tasks)
    assert app.paths == ["/wait"]
