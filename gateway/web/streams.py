"""An answer that is sent part by part, for as long as its client is there to take it."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from gateway.core.headers import Header
from gateway.web.call import Call, Receive, Send
from gateway.web.respond import Reply

_TO_END_WITH_ITS_WAIT = 1.0
"""Seconds that the stream of an ended wait has to end as it should, before it is broken off."""


async def send_stream(call: Call, send: Send, reply: Reply, headers: Sequence[Header]) -> None:
    """Send an answer that has a `stream`, to the end or until the client leaves or the stream's time is up.

    Each part waits for the client to have taken what came before, so no more than one is ever on its way. When the
    call's wait ends, the stream is broken off soon, however slowly its client takes it. The client of HEAD gets none.
    What the stream raises is raised here, when the client has been shown that the rest is missing.
    """
    assert reply.stream is not None
    await send({"type": "http.response.start", "status": reply.status, "headers": list(headers)})
    if call.scope["method"] == "HEAD":
        await reply.stream.parts.aclose()
        await send({"type": "http.response.body"})
        return
    loop = asyncio.get_running_loop()
    writing = loop.create_task(_write(send, reply.stream.parts))
    leaving = loop.create_task(client_left(call.receive))
    try:
        ends = (writing, leaving) if call.wait is None else (writing, leaving, call.wait.ended)
        await asyncio.wait(ends, timeout=reply.stream.seconds, return_when=asyncio.FIRST_COMPLETED)
        if call.wait is not None and call.wait.ended.done():
            await asyncio.wait((writing, leaving), timeout=_TO_END_WITH_ITS_WAIT, return_when=asyncio.FIRST_COMPLETED)
    finally:
        writing.cancel()
        leaving.cancel()
        await asyncio.wait((writing, leaving))
    if not writing.cancelled():
        writing.result()


async def _write(send: Send, parts: AsyncGenerator[bytes, None]) -> None:
    async with aclosing(parts):
        async for part in parts:
            await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body"})


async def client_left(receive: Receive) -> None:
    """Until the client hangs up, or has its whole answer."""
    while (await receive())["type"] != "http.disconnect":
        pass
