"""Time: slow heads, slow bodies, slow readers and idle connections, with deadlines of half a second."""

import asyncio
import socket
import struct
from time import monotonic

import pytest

from tests.server.conftest import App, Connect, Serve, get, parse, post, talk, until


@pytest.mark.parametrize("half", [b"GET / HT", b"GET / HTTP/1.1\r\nHost: gateway\r\nX: "])
async def test_rs1_half_a_head_is_answered_408_at_its_deadline(serve: Serve, app: App, half: bytes) -> None:
    began = monotonic()
    (answer,) = await talk(await serve(), half)
    assert (answer.status, answer.code, answer.closes) == (408, "request_timeout", True)
    assert 0.2 < monotonic() - began < 2
    assert app.calls == []


async def test_rs1_a_dripping_head_gains_no_time(serve: Serve) -> None:
    began = monotonic()
    (answer,) = await talk(await serve(), *[b"GET / HTTP/1.1\r\n", *[b"X: y\r\n"] * 12], pause=0.05)
    assert answer.status == 408
    assert monotonic() - began < 2


async def test_rs1_a_silent_connection_is_closed_without_a_word(serve: Serve, connect: Connect) -> None:
    assert await (await connect(await serve())).rest(2) == b""


async def test_rs1_two_hundred_slow_clients_do_not_slow_an_honest_one(serve: Serve, connect: Connect, app: App) -> None:
    listener = await serve(header_seconds=3.0, body_seconds=3.0)
    slow = []
    for number in range(200):
        wire = await connect(listener)
        wire.writer.write(get()[:20] if number % 2 else post("/", "Content-Length: 100", body=b"x"))
        slow.append(wire)
    for _ in range(20):
        (answer,) = await talk(listener, get("/honest", "Connection: close"), pause=0)
        assert answer.status == 200
    assert len(listener._state.connections) >= len(slow)  # every answer came before a slow one's time was up
    await until(lambda: not listener._state.connections)
    await until(lambda: not listener._state.tasks)
    for wire in slow:
        assert [answer.status for answer in parse(await wire.rest())] == [408]


BODY = post("/", "Content-Length: 100000", body=bytes(50))


@pytest.mark.parametrize("drip", [0, 1], ids=["silence", "1-byte-at-a-time"])
async def test_bo7_a_body_that_does_not_come_is_answered_408(serve: Serve, app: App, drip: int) -> None:
    listener = await serve()
    began = monotonic()
    (answer,) = await talk(listener, BODY, *[b"x"] * drip * 20, pause=0.03)
    assert (answer.status, answer.code, answer.closes) == (408, "request_timeout", True)
    assert monotonic() - began < 2
    assert app.calls[0].disconnected
    await until(lambda: not listener._state.connections and not listener._state.tasks)


async def test_bo7_a_burst_buys_no_time_to_stall(serve: Serve, app: App) -> None:
    began = monotonic()
    (answer,) = await talk(await serve(), post("/", "Content-Length: 100000", body=bytes(99_999)))
    assert answer.status == 408
    assert monotonic() - began < 2


async def test_bo7_a_body_at_the_minimum_rate_may_take_longer_than_its_first_credit(serve: Serve) -> None:
    packets = [bytes(100)] * 20
    head = post("/", "Content-Length: 2000", "Connection: close")
    (answer,) = await talk(await serve(), head, *packets, pause=0.04)
    assert (answer.status, len(answer.body)) == (200, 2000)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_bo7_a_client_that_leaves_gets_nothing_and_holds_nothing(
    serve: Serve, connect: Connect, app: App, *, reset: bool
) -> None:
    listener = await serve()
    wire = await connect(listener)
    await wire.send(post("/", "Content-Length: 100", body=bytes(50)))
    if reset:
        sock: socket.socket = wire.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        wire.writer.close()
    else:
        wire.writer.write_eof()
        assert await wire.rest() == b""
    await until(lambda: not listener._state.connections and not listener._state.tasks)
    assert app.calls[0].disconnected


@pytest.mark.parametrize("expect", [(), ("Expect: 100-continue",)], ids=["queued", "expects-100"])
async def test_bo7_the_body_clock_stands_while_the_client_waits_for_us(
    serve: Serve, connect: Connect, app: App, expect: tuple[str, ...]
) -> None:
    wire = await connect(await serve())
    await wire.send(get("/wait") + post("/", "Content-Length: 5", "Connection: close", *expect))
    await asyncio.sleep(0.5)
    app.go.set()
    await wire.send(b"hello", pause=0.1)
    assert [answer.status for answer in parse(await wire.rest())] == [200, *[100] * len(expect), 200]


async def test_a_half_sent_head_behind_an_owed_answer_closes_after_that_answer(
    serve: Serve, connect: Connect, app: App
) -> None:
    wire = await connect(await serve())
    await wire.send(get("/wait") + get()[:20])
    await asyncio.sleep(0.8)
    app.go.set()
    (answer,) = parse(await wire.rest())
    assert (answer.status, answer.closes) == (200, True)


async def test_the_clock_of_a_half_read_head_stands_while_requests_before_it_are_answered(
    serve: Serve, connect: Connect, app: App
) -> None:
    """Its rest has come, but nothing is read of it until it is next."""
    wire, last = await connect(await serve()), get("/last", "Connection: close")
    await wire.send(get("/wait") + get("/next") + last[:10], last[10:])
    await until(lambda: app.paths == ["/wait"])
    await asyncio.sleep(1)
    app.go.set()
    assert [answer.status for answer in parse(await wire.rest())] == [200, 200, 200]
    assert app.paths == ["/wait", "/next", "/last"]


async def test_an_idle_connection_is_closed_and_a_waiting_one_is_not(serve: Serve, connect: Connect, app: App) -> None:
    listener = await serve(idle_seconds=0.2)
    idle, waiting = await connect(listener), await connect(listener)
    await idle.send(get())
    await waiting.send(get("/wait"))
    assert (await idle.answer()).status == 200
    assert await idle.rest(2) == b""
    await asyncio.sleep(0.3)
    app.go.set()
    assert (await waiting.answer()).status == 200


async def test_rs4_a_client_that_never_reads_is_cut_off_and_the_app_was_held_back(
    serve: Serve, connect: Connect, app: App
) -> None:
    listener = await serve()
    wire = await connect(listener)
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport reads
    await wire.send(get("/large"))
    await asyncio.sleep(0.1)
    assert 0 < app.sent < 50_000_000
    await until(lambda: not listener._state.connections)
    await until(lambda: not listener._state.tasks)


async def test_a_refused_client_that_keeps_sending_is_let_go_after_the_linger(serve: Serve, connect: Connect) -> None:
    listener = await serve(linger_bytes=100_000)
    wire = await connect(listener)
    await wire.send(b"garbage\r\n\r\n" + bytes(300_000), pause=0)
    await until(lambda: not listener._state.connections)
