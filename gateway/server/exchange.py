"""One request and its response, as ASGI's `receive` and `send` (ASGI 3.0, HTTP connection scope 2.3).

The head of a response waits for the first of its body, so that a small answer is one write and one packet; an app that
has nothing to say yet sends something all the same. Nothing here closes a connection or starts the next request: the
connection is told, and does.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, cast
from urllib.parse import unquote

from gateway.core.headers import CLOSE, Header
from gateway.core.parts import Parts
from gateway.server.filling import Filling
from gateway.server.flow import HIGH_WATER_LIMIT
from gateway.server.head import Head
from gateway.server.state import STATUS_LINES, ASGIApp, Message, Scope

if TYPE_CHECKING:
    from gateway.server.protocol import HardenedProtocol

logger = logging.getLogger("gateway.server")

_ASGI = {"version": "3.0", "spec_version": "2.3"}
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_WITHOUT_BODY = (204, 304)
_LINE_FEED, _CARRIAGE_RETURN = b"\n\r"
"""As numbers: looking for those in bytes takes a fifth of what looking for bytes does."""

_LARGE = 64 * 1024
"""Bytes of a body from which on it is not copied behind its head."""


class Exchange:
    """A request being answered.

    `request` is its head. `body` is what has come of its body and the app has not taken, and `more_body` says that
    there is more. The response has `started` once a byte of it was written. `task` is what runs the app, once it does.
    """

    disconnected = False
    _told_end = False
    _changed: asyncio.Event | None = None
    _left: int | None = None
    """Bytes of the response's body that its head promised and that were not sent; None where it told no length."""
    _bare = False
    """Whether a body without a length is not chunked, but ends with the connection."""
    _silent = False
    """Whether the response has a head alone: to HEAD, and where the status says so."""

    def __init__(self, connection: "HardenedProtocol", head: Head) -> None:
        # What every exchange writes stands in the instance from the start: the interpreter finds it there at once.
        self.task: asyncio.Task[None] | None = None
        self.more_body = True
        self.started = False
        self.complete = False
        self._head = b""
        self._connection = connection
        self.request = head
        self.keep_alive = head.keep_alive
        self.waits_for_continue = head.expects_continue
        self.body = Parts()

    async def run(self, app: ASGIApp) -> None:
        """Call the app. If it ends without a whole response, the client is shown that it did."""
        try:
            await app(self._scope(), self.receive, self.send)
        except Exception:  # the edge: nobody awaits the task that would raise it
            logger.exception("the app failed")
        finally:
            self._connection.state.tasks.discard(cast("asyncio.Task[None]", self.task))
            if not self.complete and not self.disconnected:
                self._connection.response_abandoned(self)

    def _scope(self) -> Scope:
        """The ASGI scope. `raw_path` is the path as it was sent, without the query.

        Its `respond` is an extension of `send`, and `notes` the app's own: see `Head`. The exchange does not keep the
        scope, or each would keep the other.
        """
        head, connection = self.request, self._connection
        raw_path, _, query = head.target.partition(b"?")
        path = raw_path.decode("ascii")
        return {
            "type": "http",
            "asgi": _ASGI,
            "http_version": head.version,
            "server": connection.server,
            "client": connection.client,
            "scheme": connection.scheme,
            "root_path": "",
            "method": head.method,
            "path": unquote(path) if "%" in path else path,
            "raw_path": raw_path,
            "query_string": query,
            "headers": head.headers,
            "state": {},
            "notes": head.notes,
            "respond": self.respond,
        }

    # What the connection tells

    def wake(self) -> None:
        """Something has come for the app that waits for it."""
        if self._changed is not None:
            self._changed.set()

    def disconnect(self) -> None:
        """From now on the app receives `http.disconnect`, and what it sends goes nowhere."""
        self.disconnected = True
        self.wake()

    # What the app calls

    async def receive(self) -> Message:
        """The next part of the body, as soon as there is one; after its end, the client's leaving.

        With a part that is not the last comes `receive_rest`, by which an app may have all others put into its memory.
        """
        if self.waits_for_continue:
            self.waits_for_continue = False
            self._connection.transport.write(_CONTINUE)
        flow = self._connection.flow
        while not (self.body.size or self.disconnected or self.complete or self._has_ended()):
            flow.resume_reading()
            self._changed = asyncio.Event()
            await self._changed.wait()
        flow.resume_reading()
        if self.disconnected or self.complete:
            return {"type": "http.disconnect"}
        self._told_end = not self.more_body
        part = {"type": "http.request", "body": self.body.take(), "more_body": self.more_body}
        if self.more_body:
            part["receive_rest"] = self._receive_rest
        return part

    async def _receive_rest(self, rest: memoryview) -> bool:
        """Read what is left of a body whose length the head told into `rest`, which is as long; whether it came."""
        came = self.body.take()
        rest[: len(came)] = came
        filling = Filling(self._connection, rest[len(came) :])
        try:
            while self.more_body and not (self.disconnected or self.complete):
                self._connection.flow.resume_reading()
                self._changed = asyncio.Event()
                await self._changed.wait()
        finally:
            filling.end()
        self._told_end = True
        return not (self.more_body or self.disconnected)

    def _has_ended(self) -> bool:
        """Whether the body came to an end that the app has not heard of."""
        return not self.more_body and not self._told_end

    def respond(self, status: int, headers: list[Header], body: bytes) -> bool:
        """Send a whole answer without waiting. False, with nothing done, if it is large or the client takes none now.

        Its length is told here. A small answer may find company until the loop's turn ends.
        """
        connection, request, keep_alive = self._connection, self.request, self.keep_alive
        if connection.flow.write_paused or self.disconnected or len(body) >= _LARGE:
            return False
        state = connection.state
        if self.more_body or state.draining or CLOSE in headers:
            keep_alive = False
        if not keep_alive:
            self.keep_alive = False
            headers = headers if CLOSE in headers else [*headers, CLOSE]
        first = STATUS_LINES[status] + state.date_line
        if status in _WITHOUT_BODY:
            self._head = _head(first, headers)
        else:
            head = _head(b"%bcontent-length: %d\r\n" % (first, len(body)), headers)
            self._head = head if request.method == "HEAD" else head + body
        self.complete, self.waits_for_continue = True, False
        self.wake()
        if keep_alive and len(state.tasks) > 1:
            state.writes.add(self._write_whole)
        else:
            self._write_whole()
        return True

    async def send(self, message: Message) -> None:
        """The response's head, then its body. What the client will not get any more is dropped."""
        flow = self._connection.flow
        if flow.write_paused and not self.disconnected:
            await flow.drain()
        if self.disconnected:
            await asyncio.sleep(0)  # or an app that waits for nothing else would write on, and nobody would be served
            return
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            rest = await self._send_most(body) if flow.encrypted and len(body) > HIGH_WATER_LIMIT else body
            if rest is not None:
                self._send_body(rest, more=message.get("more_body", False))
        else:
            self._begin(message["status"], message["headers"])

    async def _send_most(self, body: bytes) -> bytes | None:
        """Send a body piece by piece, as the client takes it. Its last piece, unsent; None if the client is gone.

        TLS makes a copy of all that is written to it at once, for each client its own.
        """
        start = 0
        while len(body) - start > HIGH_WATER_LIMIT and not self.disconnected:
            self._send_body(body[start : start + HIGH_WATER_LIMIT], more=True)
            start += HIGH_WATER_LIMIT
            await self._connection.flow.drain()
        return None if self.disconnected else body[start:]

    def _begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Make the head. A response that starts before its request has ended, or while draining, is the last one.

        So is one without a length to a client of HTTP/1.0, which knows no chunks (RFC 9112 §6.1).
        """
        assert not self._head
        state = self._connection.state
        self.waits_for_continue = False
        given = dict(headers)
        length = given.get(b"content-length")
        self._left = None if length is None else int(length)
        self._silent = self.request.method == "HEAD" or status in _WITHOUT_BODY
        self._bare = length is None and not self._silent and self.request.version == "1.0"
        if self.more_body or state.draining or self._bare:
            self.keep_alive = False
        if given.get(b"connection") == b"close":
            self.keep_alive = False
        elif not self.keep_alive:
            headers = [*headers, CLOSE]
        if length is None and not self._silent and not self._bare:
            headers = [*headers, (b"transfer-encoding", b"chunked")]
        self._head = _head(STATUS_LINES[status] + state.date_line, headers)

    def _send_body(self, body: bytes, *, more: bool) -> None:
        assert self._head or self.started
        if self._silent:
            body = b""
        elif self._left is None:
            body = body if self._bare else _chunk(body, more=more)
        else:
            self._left -= len(body)
            if self._left < 0 or (self._left and not more):
                raise ValueError("the response's body is not as long as its Content-Length says")
        self._write(body)
        if not more:
            self.complete = True
            self.wake()
            self._end()

    def _write_whole(self) -> None:
        """Write an answer that is small and complete; the connection is busy with it until now.

        What has come behind its request meanwhile may have made it the last one.
        """
        transport = self._connection.transport
        if not self.disconnected and not transport.is_closing():
            self.started = True
            transport.write(self._head)
            self._end()

    def _end(self) -> None:
        """The response is written whole."""
        if not self.keep_alive:
            self._connection.close()
        self._connection.response_complete()

    def _write(self, body: bytes) -> None:
        transport, head = self._connection.transport, self._head
        self.started, self._head = True, b""
        if len(body) < _LARGE:
            transport.write(head + body)
        else:
            transport.write(head)
            transport.write(body)


def _head(first: bytes, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
    """The head that begins with these lines. Raises ValueError if a header would be more than one."""
    lines = list(map(b": ".join, headers))
    text = b"".join(lines)
    if _LINE_FEED in text or _CARRIAGE_RETURN in text:
        raise ValueError("a header of the response holds a line break")
    return first + b"\r\n".join([*lines, b"\r\n"])


def _chunk(body: bytes, *, more: bool) -> bytes:
    """RFC 9112 §7.1. An empty part is no chunk: that would end the body."""
    part = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    return part if more else part + b"0\r\n\r\n"
