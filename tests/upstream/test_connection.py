"""One connection over a real socket, to an upstream that a test scripts; on both event loops."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from gateway.afterwards import Afterwards
from gateway.upstream.connection import Connection, State
from gateway.upstream.outgoing import Outgoing
from gateway.upstream.repeats import Repeats
from gateway.upstream.reply import Reply, Stage
from tests.scripted_upstream import Connection as Peer
from tests.scripted_upstream import Script, ScriptedUpstream, answering, response
from tests.upstream.conftest import until

GET = Outgoing(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
GOOD = response(b'{"a":1}')
MIB = 1024**2


class Told:
    """A connection, and what it told its pool."""

    def __init__(self) -> None:
        self.log: list[str] = []
        told = self.log.append
        self.connection = Connection(lambda _: told("free"), lambda _: told("closed"), Afterwards(), Repeats())


@asynccontextmanager
async def connected(script: Script) -> AsyncIterator[tuple[Told, ScriptedUpstream]]:
    """A connection to an upstream that runs the script."""
    async with ScriptedUpstream(script) as upstream:
        told = Told()
        port = int(upstream.url.rpartition(":")[2])
        await asyncio.get_running_loop().create_connection(lambda: told.connection, "127.0.0.1", port)
        yield told, upstream
        told.connection.close()


async def ask_patiently(connection: Connection) -> Reply:
    """Ask for GET, at the end of the loop's turn."""
    reply = connection.begin(GET.head, patient=True)
    while reply.stage is Stage.HEAD:
        await reply.more()
    reply.raise_failure()
    return reply


def post(*parts: bytes, length: int | None = None) -> Outgoing:
    """A request whose body comes in these parts."""

    async def body() -> AsyncIterator[bytes]:
        for part in parts:
            yield part

    whole = sum(map(len, parts)) if length is None else length
    return Outgoing(b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % whole, body(), whole)


async def test_a_connection_is_free_again_when_the_answer_is_whole() -> None:
    async with connected(answering(GOOD)) as (told, upstream):
        assert repr(told.connection) == "<Connection free>"
        for number in range(1, 4):
            assert told.connection.is_silent()
            reply = await told.connection.ask(GET)
            assert b"".join([chunk async for chunk in reply]) == b'{"a":1}'
            assert told.log == ["free"] * number
        reply.close()
        assert told.connection.state is State.IDLE, "the reply has let go of its connection"
    assert told.log == ["free"] * 3 + ["closed"]
    assert len(upstream.connections) == 1


async def test_sm10_what_comes_unasked_closes_an_idle_connection() -> None:
    async def talkative(peer: Peer) -> None:
        await peer.send(GOOD)
        await peer.hold()

    async with connected(talkative) as (told, _):
        await until(lambda: told.log == ["closed"])
        assert not told.connection.is_silent()


async def test_sm10_what_waits_in_the_socket_is_seen_at_once() -> None:
    async with connected(answering(GOOD)) as (told, upstream):
        await until(lambda: bool(upstream.connections))
        assert told.connection.is_silent()
        os.write(upstream.connections[0].writer.get_extra_info("socket").fileno(), b"x")
        assert not told.connection.is_silent()


async def test_a_connection_that_upstream_closes_is_noticed() -> None:
    async def short(peer: Peer) -> None:
        await peer.request()
        await peer.send(GOOD)

    async with connected(short) as (told, _):
        await told.connection.ask(GET)
        await until(lambda: told.log == ["free", "closed"])


class Full:
    """A transport that takes everything and sends nothing."""

    def __init__(self, owner: socket.socket) -> None:
        self.held = 0
        self._owner = owner

    def write(self, data: bytes) -> None:
        self.held += len(data)

    def get_write_buffer_size(self) -> int:
        return self.held

    def get_extra_info(self, name: str) -> Any:
        return self._owner

    def set_write_buffer_limits(self, high: int) -> None:
        pass

    def abort(self) -> None:
        pass


async def test_sm10_an_answer_that_comes_before_its_question_has_left_is_refused() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        told = Told()
        told.connection.connection_made(Full(ours))  # type: ignore[arg-type]  # as much of a transport as is used
        asking = asyncio.ensure_future(told.connection.ask(GET))
        await asyncio.sleep(0)
        told.connection.data_received(GOOD)
        with pytest.raises(httpx.RemoteProtocolError, match="before it was asked"):
            await asking
    assert told.log == ["closed"]


async def test_a_question_that_may_wait_leaves_at_the_end_of_the_turn() -> None:
    async with connected(answering(GOOD)) as (told, upstream):
        asking = asyncio.ensure_future(ask_patiently(told.connection))
        reply = await asking
        assert b"".join([chunk async for chunk in reply]) == b'{"a":1}'
        assert await (await told.connection.ask(GET)).__anext__() == b'{"a":1}'
    assert len(upstream.connections) == 1


async def test_sm10_an_answer_that_comes_while_its_question_still_waits_is_refused() -> None:
    async with connected(answering(GOOD)) as (told, upstream):
        asking = asyncio.ensure_future(ask_patiently(told.connection))
        asyncio.get_running_loop().call_soon(told.connection.data_received, GOOD)
        with pytest.raises(httpx.RemoteProtocolError, match="before it was asked"):
            await asking
        assert told.log == ["closed"]
        await until(lambda: [peer.writer.is_closing() for peer in upstream.connections] == [True])
        assert not upstream.requests


async def test_nothing_is_sent_on_a_connection_that_is_closed_in_the_same_turn() -> None:
    async with connected(answering(GOOD)) as (told, upstream):
        asking = asyncio.ensure_future(ask_patiently(told.connection))
        asyncio.get_running_loop().call_soon(told.connection.close)
        with pytest.raises(httpx.ReadError):
            await asking
        assert told.log == ["closed"]
        await until(lambda: [peer.writer.is_closing() for peer in upstream.connections] == [True])
        assert not upstream.requests


async def test_a_streamed_body_leaves_at_the_pace_it_is_taken() -> None:
    asked = asyncio.Event()
    given = 0

    async def parts() -> AsyncIterator[bytes]:
        nonlocal given
        for _ in range(64):
            given += MIB
            yield b"x" * MIB

    async def reluctant(peer: Peer) -> None:
        await asked.wait()
        await peer.request()
        await peer.send(GOOD)
        await peer.hold()

    head = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n" % (64 * MIB)
    async with connected(reluctant) as (told, upstream):
        asking = asyncio.ensure_future(told.connection.ask(Outgoing(head, parts(), 64 * MIB)))
        before = -1
        while given != before:
            before = given
            await asyncio.sleep(0.1)
        assert given < 32 * MIB, "what the sockets' buffers hold, and no more"
        asked.set()
        assert (await asking).status == 200
        assert told.log == ["free"]
        assert len(upstream.requests[0].body) == 64 * MIB


async def test_an_answer_before_the_body_has_left_is_delivered_and_the_connection_closed() -> None:
    async def early(peer: Peer) -> None:
        await peer.reader.readuntil(b"\r\n\r\n")
        await peer.send(response(b'{"error":"too large"}', "413 Too Large"))
        await asyncio.sleep(60)

    async with connected(early) as (told, _):
        reply = await told.connection.ask(post(*[b"x" * MIB] * 64))
        assert reply.status == 413
        assert b"".join([chunk async for chunk in reply]) == b'{"error":"too large"}'
        assert told.log == ["closed"]


@pytest.mark.parametrize(("length", "taken"), [(3, [b"abc"]), (7, [])])
async def test_a_body_of_another_length_is_broken_off(length: int, taken: list[bytes]) -> None:
    async with connected(answering(GOOD)) as (told, upstream):
        with pytest.raises(httpx.LocalProtocolError):
            await told.connection.ask(post(b"abc", b"de", length=length))
        assert told.log == ["closed"]
    assert [request.body for request in upstream.requests] in ([], taken), "no byte beyond what was announced"


async def test_a_body_that_cannot_be_had_is_broken_off() -> None:
    async def lost() -> AsyncIterator[bytes]:
        yield b"abc"
        raise RuntimeError("the client went away")

    async with connected(answering(GOOD)) as (told, upstream):
        with pytest.raises(RuntimeError):
            await told.connection.ask(Outgoing(post(b"abcdef").head, lost(), 6))
        assert told.log == ["closed"]
    assert upstream.requests == []


@pytest.mark.parametrize("large", [False, True])
async def test_up16_a_cancelled_caller_closes_the_connection_once(*, large: bool) -> None:
    async def silent(peer: Peer) -> None:
        await asyncio.sleep(60)

    async with connected(silent) as (told, _):
        asking = asyncio.ensure_future(told.connection.ask(post(*[b"x" * MIB] * 64) if large else GET))
        await asyncio.sleep(0.05)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert told.log == ["closed"]


async def test_a_connection_that_is_closed_breaks_off_the_answer() -> None:
    async def half(peer: Peer) -> None:
        await peer.request()
        await peer.send(GOOD[:-1])
        await peer.hold()

    async with connected(half) as (told, _):
        reply = await told.connection.ask(GET)
        told.connection.close()
        with pytest.raises(httpx.ReadError):
            _ = [chunk async for chunk in reply]


async def test_a_slow_reader_holds_upstream_back() -> None:
    sent = 0

    async def generous(peer: Peer) -> None:
        nonlocal sent
        await peer.request()
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 * MIB))
        for _ in range(64):
            await peer.send(b"x" * MIB)
            sent += MIB
        await peer.hold()

    async with connected(generous) as (told, _):
        reply = await told.connection.ask(GET)
        before = -1
        while sent != before:
            before = sent
            await asyncio.sleep(0.1)
        assert sent < 32 * MIB, "what the sockets' buffers hold, and no more"
        assert reply.stage is Stage.BODY
        assert sum([len(chunk) async for chunk in reply]) == 64 * MIB
        assert told.log == ["free"]


async def test_a_connection_closed_before_it_came_about_stays_closed() -> None:
    async with ScriptedUpstream(answering(GOOD)) as upstream:
        told = Told()
        told.connection.close()
        port = int(upstream.url.rpartition(":")[2])
        await asyncio.get_running_loop().create_connection(lambda: told.connection, "127.0.0.1", port)
        assert told.connection.state is State.CLOSED
        assert not told.connection.is_silent()
    assert told.log == ["closed"]
