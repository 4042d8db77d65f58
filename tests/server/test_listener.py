"""A listener from bind to the last connection: addresses, caps, draining, cutting off."""

import asyncio
import socket
from time import monotonic

import pytest

from gateway.server.listener import Bind, Listener, bind_socket, listen
from tests.server.conftest import Answer, App, Connect, Serve, Wire, get, parse, post, render, talk, until


async def test_port_0_becomes_a_real_one(serve: Serve) -> None:
    listener = await serve()
    host, port = listener.address
    assert (host, listener.url) == ("127.0.0.1", f"http://127.0.0.1:{port}")
    assert port > 0


async def test_an_ipv6_address_is_bracketed_and_served(app: App) -> None:
    listener = await listen(Bind(app, bind_socket("::1", 0), render))
    assert listener.url == f"http://[::1]:{listener.address[1]}"
    assert [answer.status for answer in await talk(listener, get("/", "Connection: close"))] == [200]
    await listener.finish(1)


def test_a_taken_address_is_an_error() -> None:
    with bind_socket("127.0.0.1", 0) as taken, pytest.raises(OSError, match="in use"):
        bind_socket("127.0.0.1", taken.getsockname()[1])


async def test_every_response_has_a_date(serve: Serve) -> None:
    (answer,) = await talk(await serve(), get("/", "Connection: close"))
    assert answer.headers["date"].endswith("GMT")
    assert "server" not in answer.headers


def is_accepting(listener: Listener) -> bool:
    """Whether there is a place for newcomers."""
    try:
        socket.create_connection(listener.address).close()
    except ConnectionRefusedError:
        return False
    return True


async def closed(wires: list[Wire]) -> list[bool]:
    """Which of these connections, of which nothing more is to be read, the server has closed."""

    async def is_closed(wire: Wire) -> bool:
        try:
            return await wire.rest(0.2) == b""
        except TimeoutError:
            return False

    return await asyncio.gather(*(is_closed(wire) for wire in wires))


async def test_rs2_newcomers_beyond_the_cap_take_the_places_of_idle_connections(serve: Serve, connect: Connect) -> None:
    listener = await serve(connections=300, header_seconds=9, idle_seconds=9)
    idle = [await connect(listener) for _ in range(300)]
    newcomers = [await connect(listener) for _ in range(20)]
    for wire in newcomers:
        await wire.send(get("/"), pause=0)
        assert (await wire.answer()).status == 200
    assert len(listener._state.connections) == 300
    assert sum(await closed(idle)) == 20
    assert not any(await closed(newcomers))
    assert [answer.status for answer in await talk(listener, get("/", "Connection: close"))] == [200]


@pytest.mark.parametrize(("used", "longest"), [((2, 0, 3, 1), 2), ((0,), 1)], ids=["kept alive", "never used"])
async def test_rs2_the_connection_idle_longest_goes_for_a_newcomer(
    serve: Serve, connect: Connect, used: tuple[int, ...], longest: int
) -> None:
    listener = await serve(connections=4, header_seconds=5, idle_seconds=9)
    wires = [await connect(listener) for _ in range(4)]
    await asyncio.sleep(0.02)
    for wire in [wires[number] for number in used]:
        await wire.send(get("/"))
        assert (await wire.answer()).status == 200
    assert [answer.status for answer in await talk(listener, get("/", "Connection: close"))] == [200]
    assert await closed(wires) == [number == longest for number in range(4)]


async def test_rs2_busy_connections_are_not_closed_for_a_newcomer(serve: Serve, connect: Connect, app: App) -> None:
    listener = await serve(connections=4, header_seconds=5, body_seconds=5, write_seconds=5)
    head, body, answer, taken = [await connect(listener) for _ in range(4)]
    await head.send(get("/")[:20])
    await body.send(post("/", "Content-Length: 3", body=b"a"))
    await answer.send(get("/wait"))
    await taken.send(get("/large"))
    for _ in range(3):
        assert await (await Wire.to(listener)).rest(2) == b""
    app.go.set()
    assert (await answer.answer()).status == 200
    assert [answer.status for answer in await talk(listener, get("/", "Connection: close"))] == [200]
    assert await closed([answer]) == [True]
    await body.send(b"bc")
    assert (await body.answer()).body == b"abc"


async def test_rs2_a_connection_closed_for_a_newcomer_is_gone_at_once_though_its_client_keeps_it(
    serve: Serve, connect: Connect
) -> None:
    listener = await serve(connections=1, header_seconds=5)
    for _ in range(20):
        await connect(listener)
    await until(lambda: len(listener._state.connections) == 1)


async def ask_until_closed(listener_address: tuple[str, int], stop: asyncio.Event) -> list[int]:
    """A keep-alive client that never repeats a request. It connects again when it was told to."""
    statuses: list[int] = []
    wire = Wire(*await asyncio.open_connection(*listener_address))
    while not stop.is_set():
        await wire.send(get(), pause=0)
        answer = await wire.answer()
        statuses.append(answer.status)
        if answer.closes:
            wire.writer.close()
            wire = Wire(*await asyncio.open_connection(*listener_address))
        await asyncio.sleep(0.005)
    wire.writer.close()
    return statuses


async def test_sh1_keep_alive_clients_without_retries_lose_nothing_while_draining(serve: Serve, app: App) -> None:
    listener = await serve(header_seconds=9, idle_seconds=9)
    stop = asyncio.Event()
    clients = [asyncio.ensure_future(ask_until_closed(listener.address, stop)) for _ in range(50)]
    await asyncio.sleep(0.2)
    before = len(app.calls)
    listener.begin_drain()
    await asyncio.sleep(0.3)
    assert len(app.calls) > before + 50
    stop.set()
    statuses = await asyncio.gather(*clients)
    assert all(set(each) == {200} for each in statuses)
    await listener.finish(1)
    assert listener.cut == 0


async def test_sh1_what_is_in_flight_is_finished_and_idle_connections_are_closed(
    serve: Serve, connect: Connect, app: App
) -> None:
    listener = await serve()
    busy, idle = await connect(listener), await connect(listener)
    await idle.send(get())
    assert not (await idle.answer()).closes
    await busy.send(get("/wait"))
    finishing = asyncio.ensure_future(listener.finish(5))
    assert await idle.rest(1) == b""
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.address)
    app.go.set()
    answer = await busy.answer()
    await finishing
    assert (answer.status, answer.closes, listener.cut) == (200, True, 0)


async def test_sh2_what_does_not_end_is_cut_off_at_the_deadline_and_counted(
    serve: Serve, connect: Connect, app: App
) -> None:
    listener = await serve()
    wire = await connect(listener)
    await wire.send(get("/wait"))
    began = monotonic()
    await listener.finish(0.2)
    assert monotonic() - began < 2
    assert listener.cut == 1
    assert await wire.rest() == b""
    assert not listener._state.tasks


class Outside:
    """A client the event loop knows nothing of: what it does, the system has done before the loop goes on."""

    def __init__(self, listener: Listener) -> None:
        self.sock = socket.create_connection(listener.address)

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    async def answers(self) -> list[Answer]:
        with self.sock:
            self.sock.settimeout(5)
            return parse(await asyncio.to_thread(self._rest))

    def _rest(self) -> bytes:
        return b"".join(iter(lambda: self.sock.recv(65536), b""))


async def test_sh1_who_waited_at_the_port_when_it_closed_is_answered(serve: Serve) -> None:
    listener = await serve()
    waiting = [Outside(listener) for _ in range(20)]
    for client in waiting:
        client.send(get())
    finishing = asyncio.ensure_future(listener.finish(5))
    answers = await asyncio.gather(*(client.answers() for client in waiting))
    assert [[(answer.status, answer.closes) for answer in each] for each in answers] == [[(200, True)]] * 20
    await finishing
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.address)


async def ask_until_refused(listener_address: tuple[str, int]) -> list[int]:
    """A client that connects anew for each request and never repeats one."""
    statuses: list[int] = []
    while True:
        try:
            wire = Wire(*await asyncio.open_connection(*listener_address))
        except ConnectionRefusedError:
            return statuses
        await wire.send(get(), pause=0)
        statuses.append((await wire.answer()).status)
        wire.writer.close()


async def test_sh1_nobody_whom_the_port_still_took_is_lost_however_many_come(serve: Serve) -> None:
    listener = await serve(header_seconds=9, first_seconds=5)
    clients = [asyncio.ensure_future(ask_until_refused(listener.address)) for _ in range(50)]
    await asyncio.sleep(0.3)
    await listener.finish(5)
    answers = await asyncio.gather(*clients)
    assert {status for each in answers for status in each} == {200}
    assert all(answers)


async def test_sh1_a_request_that_the_loop_has_not_read_yet_keeps_its_connection(serve: Serve, app: App) -> None:
    listener = await serve(idle_seconds=9)
    client = Outside(listener)
    client.send(get())
    await until(lambda: [each.busy for each in listener._state.connections] == [False] and bool(app.calls))
    (connection,) = listener._state.connections
    client.send(get())
    connection.close_if_idle(monotonic() + 60)
    listener.begin_drain()
    assert [(answer.status, answer.closes) for answer in await client.answers()] == [(200, False), (200, True)]


async def test_a_port_that_was_given_up_before_is_not_looked_at_again(serve: Serve) -> None:
    listener = await serve()
    listener.stop_accepting()
    listener.stop_accepting()
    await listener.finish(1)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(listener.address)


async def test_sh2_who_is_not_waited_for_is_not_taken_in(serve: Serve, app: App) -> None:
    listener = await serve()
    with Outside(listener).sock as sock:
        sock.sendall(get())
        await listener.finish(0)
        with pytest.raises(ConnectionResetError):
            sock.recv(1)
    assert app.calls == []


async def test_sh1_a_request_that_had_come_on_an_idle_connection_is_answered(serve: Serve) -> None:
    listener = await serve(idle_seconds=9)
    idle = Outside(listener)
    idle.send(get("/first"))
    await until(lambda: [each.busy for each in listener._state.connections] == [False])
    idle.send(get("/second"))
    finishing = asyncio.ensure_future(listener.finish(5))
    assert [(answer.status, answer.closes) for answer in await idle.answers()] == [(200, False), (200, True)]
    await finishing


async def test_sh1_who_has_just_connected_may_still_bring_a_request(serve: Serve, connect: Connect, app: App) -> None:
    listener = await serve(header_seconds=9, first_seconds=2)
    began = monotonic()
    speaks, is_silent = await connect(listener), await connect(listener)
    finishing = asyncio.ensure_future(listener.finish(9))
    await asyncio.sleep(0.2)
    await speaks.send(get())
    assert (await speaks.answer()).closes
    assert await is_silent.rest() == b""
    await finishing
    assert 1.9 < monotonic() - began < 5
    assert (len(app.calls), listener.cut) == (1, 0)


async def test_sh1_a_request_half_sent_when_accepting_stops_is_still_answered(serve: Serve, connect: Connect) -> None:
    listener = await serve()
    wire = await connect(listener)
    await wire.send(get()[:20])
    finishing = asyncio.ensure_future(listener.finish(2))
    await until(lambda: not is_accepting(listener))
    await wire.send(get()[20:])
    assert (await wire.answer()).closes
    await finishing
    assert listener.cut == 0
