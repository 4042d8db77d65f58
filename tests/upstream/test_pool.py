"""Places, idle connections and the line for them; on both event loops."""

import asyncio
import random
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from gateway.upstream.connection import Connection
from gateway.upstream.dialing import Dialer, Origin
from gateway.upstream.outgoing import Outgoing
from gateway.upstream.pool import Pool
from tests.scripted_upstream import Connection as Peer
from tests.scripted_upstream import Script, ScriptedUpstream, answering, response
from tests.upstream.conftest import until

GET = Outgoing(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
GOOD = response(b'{"a":1}')
NOWHERE = Origin("127.0.0.1", 1, "")


@asynccontextmanager
async def opened(limit: int) -> AsyncIterator[Pool]:
    """A pool, closed with the block; it must hold nothing then."""
    pool = Pool(limit, Dialer(ssl.create_default_context()))
    yield pool
    pool.close()
    assert repr(pool) == f"<Pool 0 of {limit} open, 0 idle, 0 waiting>"


def origin(upstream: ScriptedUpstream) -> Origin:
    return Origin("127.0.0.1", int(upstream.url.rpartition(":")[2]), "")


async def ask(pool: Pool, where: Origin, patience: float = 5.0) -> bytes:
    """The body of one answer."""
    reply = await (await pool.connect(where, patience)).ask(GET)
    try:
        return b"".join([chunk async for chunk in reply])
    finally:
        reply.close()


def holding(go: asyncio.Event) -> Script:
    """A script that answers every request once `go` is set."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await go.wait()
            await peer.send(GOOD)

    return script


async def test_one_connection_serves_one_call_after_the_other() -> None:
    async with ScriptedUpstream(answering(GOOD)) as upstream, opened(5) as pool:
        for _ in range(5):
            assert await ask(pool, origin(upstream)) == b'{"a":1}'
        assert repr(pool) == "<Pool 1 of 5 open, 1 idle, 0 waiting>"
    assert len(upstream.connections) == 1


async def test_never_more_connections_than_allowed_and_all_are_served() -> None:
    go = asyncio.Event()
    async with ScriptedUpstream(holding(go)) as upstream, opened(2) as pool:
        calls = [asyncio.ensure_future(ask(pool, origin(upstream))) for _ in range(20)]
        await until(lambda: repr(pool) == "<Pool 2 of 2 open, 0 idle, 18 waiting>")
        go.set()
        assert await asyncio.gather(*calls) == [b'{"a":1}'] * 20
        assert len(upstream.connections) == 2
        assert repr(pool) == "<Pool 2 of 2 open, 2 idle, 0 waiting>"


async def test_a_head_that_came_on_one_connection_is_known_on_another() -> None:
    async with ScriptedUpstream(answering(GOOD)) as upstream, opened(3) as pool:
        connections = [await pool.connect(origin(upstream), 5.0) for _ in range(3)]
        one, two, three = [await connection.ask(GET) for connection in connections]
        assert one.headers == two.headers == three.headers
        assert three.headers is two.headers
        assert two.headers is not one.headers
    assert len(upstream.connections) == 3


async def test_who_waits_in_vain_was_never_sent() -> None:
    go = asyncio.Event()
    async with ScriptedUpstream(holding(go)) as upstream, opened(1) as pool:
        first = asyncio.ensure_future(ask(pool, origin(upstream)))
        await until(lambda: len(upstream.requests) == 1)
        with pytest.raises(httpx.PoolTimeout):
            await ask(pool, origin(upstream), 0.05)
        assert repr(pool) == "<Pool 1 of 1 open, 0 idle, 0 waiting>"
        go.set()
        await first
        assert await ask(pool, origin(upstream)) == b'{"a":1}'
    assert len(upstream.requests) == 2


async def test_a_turn_that_comes_to_one_who_leaves_is_the_next_ones() -> None:
    go = asyncio.Event()
    async with ScriptedUpstream(holding(go)) as upstream, opened(1) as pool:
        where = origin(upstream)
        first, second, third = (asyncio.ensure_future(ask(pool, where)) for _ in range(3))
        await until(lambda: repr(pool) == "<Pool 1 of 1 open, 0 idle, 2 waiting>")
        first.cancel()
        # until the place is free and the second's turn has come, but before it has run
        while "1 waiting" not in repr(pool):  # noqa: ASYNC110 - it happens between two rounds of the loop
            await asyncio.sleep(0)
        second.cancel()
        go.set()
        assert await third == b'{"a":1}'
        for ended in await asyncio.gather(first, second, return_exceptions=True):
            assert isinstance(ended, asyncio.CancelledError)
        assert repr(pool) == "<Pool 1 of 1 open, 1 idle, 0 waiting>"


async def test_who_is_forestalled_stays_first_in_line() -> None:
    async with ScriptedUpstream(answering(GOOD)) as upstream, opened(1) as pool:
        where = origin(upstream)
        connection = await pool.open(where, 5.0)
        line = [asyncio.ensure_future(ask(pool, where)) for _ in range(2)]
        await until(lambda: "2 waiting" in repr(pool))
        await connection.ask(GET)
        assert pool.take(where) is connection, "the first one's turn has come, and it has not run yet"
        await asyncio.sleep(0.01)
        assert repr(pool) == "<Pool 1 of 1 open, 0 idle, 2 waiting>"
        await connection.ask(GET)
        await line[0]
        assert await line[1] == b'{"a":1}'
    assert len(upstream.requests) == 4


async def test_an_idle_connection_to_elsewhere_makes_room() -> None:
    async with (
        ScriptedUpstream(answering(GOOD)) as one,
        ScriptedUpstream(answering(GOOD)) as other,
        opened(1) as pool,
    ):
        for upstream in (one, other, one):
            assert await ask(pool, origin(upstream)) == b'{"a":1}'
        assert repr(pool) == "<Pool 1 of 1 open, 1 idle, 0 waiting>"
    assert (len(one.connections), len(other.connections)) == (2, 1)


async def test_connections_that_are_idle_too_long_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.reply.KEPT_IDLE", 0.1)
    monkeypatch.setattr("gateway.upstream.pool._SWEEP_EVERY", 0.05)
    async with ScriptedUpstream(answering(GOOD)) as upstream, opened(5) as pool:
        for _ in range(2):
            await asyncio.gather(*(ask(pool, origin(upstream)) for _ in range(3)))
            await until(lambda: repr(pool) == "<Pool 0 of 5 open, 0 idle, 0 waiting>")
        assert pool._sweep is None, "nothing is looked for where nothing is"


async def test_a_connection_past_its_time_is_not_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.upstream.reply.KEPT_IDLE", 0.05)
    async with ScriptedUpstream(answering(GOOD)) as upstream, opened(5) as pool:
        await ask(pool, origin(upstream))
        await asyncio.sleep(0.1)
        await ask(pool, origin(upstream))
    assert len(upstream.connections) == 2


async def test_connections_that_upstream_closes_free_their_places() -> None:
    async def short(peer: Peer) -> None:
        await peer.request()
        await peer.send(GOOD)

    async with ScriptedUpstream(short) as upstream, opened(3) as pool:
        await asyncio.gather(*(ask(pool, origin(upstream)) for _ in range(3)))
        await until(lambda: repr(pool) == "<Pool 0 of 3 open, 0 idle, 0 waiting>")


class Dawdler(Dialer):
    """Takes a moment more, in which upstream may speak."""

    async def dial(self, origin: Origin, protocol: asyncio.Protocol, patience: float) -> None:
        await super().dial(origin, protocol, patience)
        await asyncio.sleep(0.1)


async def test_sm10_who_speaks_first_is_not_spoken_to() -> None:
    async def talkative(peer: Peer) -> None:
        await peer.send(GOOD)
        await peer.hold()

    pool = Pool(1, Dawdler(ssl.create_default_context()))
    async with ScriptedUpstream(talkative) as upstream:
        with pytest.raises(httpx.ConnectError, match="spoke before it was asked"):
            await ask(pool, origin(upstream))
        assert bytes(upstream.connections[0].received) == b""
    assert repr(pool) == "<Pool 0 of 1 open, 0 idle, 0 waiting>"
    pool.close()


async def test_a_connection_that_does_not_come_about_holds_no_place() -> None:
    async with ScriptedUpstream(answering(GOOD)) as upstream, opened(1) as pool:
        for _ in range(3):
            with pytest.raises(httpx.ConnectError):
                await ask(pool, NOWHERE)
        assert await ask(pool, origin(upstream)) == b'{"a":1}'


async def test_a_closed_pool_opens_nothing() -> None:
    go = asyncio.Event()
    async with ScriptedUpstream(holding(go)) as upstream, opened(1) as pool:
        calls = [asyncio.ensure_future(ask(pool, origin(upstream))) for _ in range(3)]
        await until(lambda: len(upstream.requests) == 1)
        pool.close()
        for ended in await asyncio.gather(*calls, return_exceptions=True):
            assert isinstance(ended, httpx.ReadError | httpx.ConnectError)
        assert len(upstream.requests) == 1


async def test_up16_thousands_of_cancelled_calls_leave_nothing_behind() -> None:
    chance = random.Random(16)

    async def slow(peer: Peer) -> None:
        while True:
            await peer.request()
            await asyncio.sleep(chance.uniform(0, 0.01))
            await peer.send(GOOD)

    async with ScriptedUpstream(slow) as upstream, opened(20) as pool:
        where = origin(upstream)
        for _ in range(60):
            calls = [asyncio.ensure_future(ask(pool, where)) for _ in range(50)]
            await asyncio.sleep(chance.uniform(0, 0.02))
            for call in calls:
                call.cancel()
            await asyncio.gather(*calls, return_exceptions=True)
        assert [await ask(pool, where) for _ in range(10)] == [b'{"a":1}'] * 10
        assert "0 waiting" in repr(pool)
        assert len(pool._places) == sum(map(len, pool._idle.values()))
        assert all(isinstance(connection, Connection) for connection in pool._places)
