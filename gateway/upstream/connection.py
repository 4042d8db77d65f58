"""One connection to upstream: HTTP/1.1, one question at a time, on asyncio's protocol interface.

Theory of operation. A connection is in one of four states:

    NEW ──connected──▶ IDLE ──begin──▶ ASKED ──the reply is whole, nothing else came──▶ IDLE
     │                  │                 │
     └──────────────────┴───▶ CLOSED ◀────┘

* IDLE, any byte or end of stream from upstream closes it: upstream answers, it does not begin (RFC 9112 §9.2). Bytes
  the loop has not read yet are looked for in the socket by `is_usable` before the connection is used again.
* ASKED, bytes belong to the one reply. It is judged a read at a time, and only what is whole and followed by nothing
  sets the connection free. A reply that comes before its question has left is refused; one that comes before the end
  of a long question is delivered, and the connection closed.
* The body's bytes live in the reply, so a connection is free as soon as the last one has been read from the socket,
  however slow the one who asked; and closing a reply that is whole touches no connection.
* CLOSED is final and told to the pool once. Whatever ends the question early (a failure, a cancelled caller, a body
  that does not come) closes the connection, because the next question's answer could not be told from this one's.
"""

import asyncio
import select
from collections.abc import AsyncIterable, Callable
from enum import Enum
from typing import cast

import httpx

from gateway.afterwards import Afterwards
from gateway.upstream.outgoing import Outgoing
from gateway.upstream.repeats import Repeats
from gateway.upstream.reply import Reply, Stage

_SLICE = 1024 * 1024
"""Bytes of a part of a body handed to the transport at a time, uncopied; more waits until most of these have left."""

_BUFFER = 256 * 1024
"""Bytes that may wait in the transport while more is handed to it."""


class State(Enum):
    """Where a connection stands; see the module's text."""

    NEW = "not connected yet"
    IDLE = "free"
    ASKED = "awaiting an answer"
    CLOSED = "closed"


# A member read through its class costs as much as a call; these are read for every question.
_NEW, _IDLE, _ASKED, _CLOSED = State
_HEAD, _BODY, _WHOLE, _FAILED = Stage


class Connection(asyncio.Protocol):
    """One connection. `on_free` and `on_closed` tell the pool; each is called synchronously.

    `writes` takes what may wait for the end of the loop's turn. `repeats` are the heads that came on
    this connection and on others.
    """

    def __init__(
        self,
        on_free: Callable[["Connection"], None],
        on_closed: Callable[["Connection"], None],
        writes: Afterwards,
        repeats: Repeats,
    ) -> None:
        self.state = _NEW
        self.keep_until = 0.0
        """The loop's time up to which an idle connection may be used."""
        self._loop = asyncio.get_running_loop()
        self._on_free = on_free
        self._on_closed = on_closed
        self._writes = writes
        self._repeats = repeats
        self._unsent = b""
        self._transport: asyncio.Transport | None = None
        self._unread = select.poll()
        self._reply: Reply | None = None
        self._written = 0
        self._sending = False
        self._full = False
        self._room: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Connection {self.state.value}>"

    def is_silent(self) -> bool:
        """Whether nothing has come, not even upstream's close: neither read by the loop nor waiting in the socket."""
        return self.state is _IDLE and not self._unread.poll(0)

    def is_usable(self) -> bool:
        """Whether it may be asked again: nothing has come on it since it was, and it has not been idle too long."""
        return self.state is _IDLE and not self._unread.poll(0) and self._loop.time() < self.keep_until

    def begin(self, head: bytes, *, bodiless: bool = False, patient: bool = False) -> Reply:
        """Send a request's head, with what stands behind it. The reply is closed by whoever gives up waiting for it.

        One that is `patient` leaves at the end of the loop's turn, together with others. A request that changes
        something is not: whether it was sent must be known for certain.
        """
        assert self.state is _IDLE
        assert self._transport is not None
        self.state = _ASKED
        reply = self._reply = Reply(self, self._repeats, bodiless=bodiless)
        self._written = len(head)
        if patient:
            self._unsent = head
            self._writes.add(self._write_unsent)
        else:
            self._transport.write(head)
        return reply

    async def ask(self, request: Outgoing) -> Reply:
        """Send a request and wait for the answer's head.

        Raises httpx.TransportError: ReadError or RemoteProtocolError if upstream broke off or answered nonsense,
        LocalProtocolError if the body is not as long as it should be. The request may have reached upstream then.
        A reply whose body failed together with its head is one: reading it raises.
        """
        reply = self.begin(request.head, bodiless=request.bodiless)
        came = False
        try:
            if request.body is not None:
                await self._send_body(request.body, request.length, reply)
            while reply.stage is _HEAD:
                await reply.more()
            if not reply.had_head:
                reply.raise_failure()
            came = True
        finally:
            if not came and self._reply is reply:
                self.close()
        return reply

    def _write_unsent(self) -> None:
        """Send the head that has waited for the end of the turn, unless the connection ended meanwhile."""
        head, self._unsent = self._unsent, b""
        if self.state is _ASKED:
            assert self._transport is not None
            self._transport.write(head)

    async def _send_body(self, body: AsyncIterable[bytes], length: int | None, reply: Reply) -> None:
        """Send the body, at the pace at which it leaves, until an answer comes. A length of None bounds nothing."""
        self._sending = True
        left = length
        async for part in body:
            if left is not None:
                left -= len(part)
                if left < 0:
                    break
            view = memoryview(part)
            for start in range(0, len(part), _SLICE):
                if reply.stage is not _HEAD:
                    return
                await self._write(view[start : start + _SLICE])
        if left:
            raise httpx.LocalProtocolError("the body's length is not its Content-Length")
        self._sending = False

    async def _write(self, data: memoryview) -> None:
        assert self._transport is not None
        self._written += len(data)
        self._transport.write(data)
        if self._full and self.state is _ASKED:
            self._room = asyncio.get_running_loop().create_future()
            try:
                await self._room
            finally:
                self._room = None

    def _wake_writer(self) -> None:
        if self._room is not None and not self._room.done():
            self._room.set_result(None)

    def pause(self) -> None:
        """Read no more until `resume`: the reader of the reply is slow."""
        if self.state is _ASKED and self._transport is not None:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.state is _ASKED and self._transport is not None:
            self._transport.resume_reading()

    def close(self) -> None:
        """Break off: the pool is told, and a reply under way fails."""
        if self.state is _CLOSED:
            return
        self.state = _CLOSED
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.fail(httpx.ReadError("the connection to upstream was closed"))
        self._wake_writer()
        if self._transport is not None:
            self._transport.abort()
        self._on_closed(self)

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self.state is _CLOSED:
            self._transport.abort()
            return
        self._transport.set_write_buffer_limits(high=_BUFFER)
        self._unread.register(transport.get_extra_info("socket").fileno(), select.POLLIN)
        self.state = _IDLE

    def data_received(self, data: bytes) -> None:
        reply = self._reply
        if reply is None:
            self.close()
            return
        assert self._transport is not None
        # Whether no byte of the request has left the process yet.
        if not reply.began and (self._unsent or self._transport.get_write_buffer_size() >= self._written):
            reply.fail(httpx.RemoteProtocolError("upstream answered before it was asked"))
        else:
            reply.feed(data)
        if reply.stage is _WHOLE:
            self._free(reply)
        elif reply.stage is _FAILED:
            self.close()
        elif reply.stage is _BODY:
            self._wake_writer()

    def _free(self, reply: Reply) -> None:
        assert self._transport is not None
        self._reply = None
        if self._room is not None:
            self._wake_writer()
        if not reply.keep_for or self._sending or self._transport.get_write_buffer_size():
            self.close()
            return
        self.state = _IDLE
        self.keep_until = self._loop.time() + reply.keep_for
        self._on_free(self)

    def eof_received(self) -> None:
        self._lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)

    def _lost(self, error: Exception | None) -> None:
        if self._reply is not None:
            self._reply.end(error)
        self.close()

    def pause_writing(self) -> None:
        self._full = True

    def resume_writing(self) -> None:
        self._full = False
        self._wake_writer()
