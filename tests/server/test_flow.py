"""When a connection is read and written, on real sockets: what stops it, and what starts it again."""

import asyncio

import pytest

from gateway.server.flow import Flow
from gateway.server.limits import ConnectionLimits
from gateway.server.listener import Bind, bind_socket, listen
from tests.server.conftest import App, Connect, Serve, get, render


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_an_app_is_told_both_ends(app: App, connect: Connect, host: str) -> None:
    listener = await listen(Bind(app, bind_socket(host, 0), render, limits=ConnectionLimits()))
    wire = await connect(listener)
    await wire.send(get())
    await wire.answer()
    scope = app.calls[0].scope
    assert scope["server"] == listener.address
    assert scope["client"] == wire.writer.get_extra_info("sockname")[:2]
    await listener.finish(0)


async def test_what_is_held_is_read_again_when_it_is_released_and_not_before(serve: Serve, connect: Connect) -> None:
    flow = await _flow(serve, connect)
    flow.hold()
    flow.resume_reading()
    assert flow.read_paused
    flow.release()
    assert not flow.read_paused


async def test_a_connection_that_is_gone_is_not_read_again(serve: Serve, connect: Connect) -> None:
    flow = await _flow(serve, connect)
    flow.pause_reading()
    flow._transport.abort()
    flow.resume_reading()
    assert flow.read_paused


async def test_who_writes_too_much_waits_until_it_was_taken(serve: Serve, connect: Connect) -> None:
    flow = await _flow(serve, connect)
    flow.pause_writing()
    waiting = asyncio.ensure_future(flow.drain())
    await asyncio.sleep(0)
    assert flow.write_paused
    assert not waiting.done()
    flow.resume_writing()
    await waiting
    assert not flow.write_paused


async def _flow(serve: Serve, connect: Connect) -> Flow:
    """That of a connection which has had one answer."""
    listener = await serve()
    wire = await connect(listener)
    await wire.send(get())
    await wire.answer()
    (connection,) = listener._state.connections
    return connection.flow
