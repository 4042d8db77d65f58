"""Bytes in, requests out: the parser and the counts kept around it. No socket, no clock.

llhttp checks the grammar but bounds nothing: header names and values grow inside the parser until they end, chunk
extensions vanish in it uncounted, trailers arrive by the same callback as headers. So the reader counts what it
feeds, and takes header fields only until the head is complete. A body whose length the head told goes by the parser.
"""

from enum import Enum, auto
from typing import Protocol

import httptools

from gateway.server.framing import FRAMING_FIELDS, Field, chunk_excess, expects_continue, head_problem
from gateway.server.head import Head
from gateway.server.limits import ConnectionLimits
from gateway.server.repeats import Repeats

SLICE = 4096
"""The most bytes fed at once. Bounds how far any count can be overrun, and how many requests a slice can hold.

Within a body whose length is known there is nothing to count and no further request: all of it may be fed at once.
"""


class Phase(Enum):
    """Where in a request the next byte belongs."""

    IDLE = auto()
    """Between requests."""
    HEAD = auto()
    """In the request line or the headers."""
    BODY = auto()
    """In the body, its chunk framing or its trailers."""


# A member read through its class costs as much as a call; these are read for every header.
_IDLE, _HEAD, _BODY = Phase


class Unreadable(Exception):  # noqa: N818 - the client's fault, answered with a refusal
    """These bytes are no request the gateway takes. Nothing can be read from the connection any more."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Sink(Protocol):
    """Who is told what the bytes mean, in the order they mean it."""

    def request_began(self) -> None:
        """The first byte of a request line came."""

    def head_received(self, head: Head, *, is_whole: bool = False) -> None:
        """A head is complete. Of one that `is_whole` request nothing else is told, neither before nor after it."""

    def body_received(self, data: bytes) -> None:
        """Some of the body came, without its framing."""

    def request_received(self) -> None:
        """The request is complete."""


class RequestReader:
    """Reads the requests of one connection, one after the other. The `on_…` methods are httptools' callbacks.

    `repeats` are the heads that came on this connection and on others.
    """

    __slots__ = (
        "_body",
        "_chunked",
        "_chunks",
        "_end",
        "_excess",
        "_fault",
        "_fields",
        "_framing",
        "_head",
        "_headers",
        "_limits",
        "_parser",
        "_repeats",
        "_sink",
        "_target",
        "_unfinished",
        "phase",
    )

    def __init__(self, limits: ConnectionLimits, sink: Sink, repeats: Repeats) -> None:
        self.phase = _IDLE
        self._limits = limits
        self._sink = sink
        self._fault: Unreadable | None = None
        self._body = self._end = self._chunks = self._excess = 0
        self._chunked = False
        self._fields = b""
        self._repeats = repeats
        self._start_head()
        self._parser = httptools.HttpRequestParser(self)

    def end(self) -> None:
        """Read no more. What knows the reader and is known by it would wait for the garbage collector."""
        del self._parser, self._sink

    @property
    def takes(self) -> int:
        """How many bytes may be fed next: a slice, or what is left of a body whose length is known."""
        return SLICE if self._chunked or self.phase is not _BODY else self._end - self._body

    def feed(self, data: bytes) -> None:
        """Read at most so many bytes as it `takes`. Raises `Unreadable`; the reader is of no use after that."""
        was, body, chunks = self.phase, self._body, self._chunks
        if was is _IDLE and self._read_again(data):
            return
        if was is _BODY and not self._chunked:
            self._take_body(data)
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            fault = self._fault or Unreadable("invalid_request", "The request is not well-formed HTTP/1.1.")
            raise fault from None
        fields, self._fields = self._fields, b""  # an idle connection is not to keep them
        if was is self.phase is _IDLE and fields and self._head is not None:
            self._repeats.note(fields, self._head)
        elif self.phase is _HEAD:
            self._count_unfinished_head(len(data))
        elif was is _BODY and self.phase is _BODY:
            self._count_chunk_framing(len(data), self._body - body, self._chunks - chunks)

    def _read_again(self, data: bytes) -> bool:
        """Take a request whose header fields are known, without the parser. False, with nothing done, if it is none."""
        fields, head = self._repeats.find(data, self._limits.target_bytes)
        was_last = self._head is not None and not self._head.keep_alive  # the parser takes nothing after that
        if head is None or was_last:
            self._fields = fields
            return False
        self._sink.head_received(head, is_whole=True)
        return True

    def _take_body(self, data: bytes) -> None:
        """More of a body whose length is known. The parser would only copy it, so another one reads what follows."""
        self._sink.body_received(data)
        self.pass_by(len(data))

    def pass_by(self, size: int) -> None:
        """So many more bytes of a body whose length is known have come, of which the sink knows."""
        self._body += size
        if self._body == self._end:
            self._parser = httptools.HttpRequestParser(self)
            self.on_message_complete()

    def _count_unfinished_head(self, size: int) -> None:
        """A field is handed over only when it ends, so what has no end yet is counted by what was fed."""
        self._unfinished += size
        if self._unfinished > self._limits.target_bytes + self._limits.header_bytes + SLICE:
            raise self._headers_too_large()

    def _count_chunk_framing(self, size: int, data: int, chunks: int) -> None:
        self._excess = chunk_excess(self._excess, size - data, chunks, data)
        if self._excess > self._limits.chunk_overhead_bytes:
            raise Unreadable("headers_too_large", "The body's chunk extensions or trailers are too large.")

    def _headers_too_large(self) -> Unreadable:
        count, size = self._limits.header_count, self._limits.header_bytes
        return Unreadable("headers_too_large", f"Send at most {count} header fields and {size} bytes of them.")

    def _refuse(self, fault: Unreadable) -> None:
        """Stop the parser from within a callback: it swallows what is raised, so the reason is kept here."""
        self._fault = fault
        raise fault

    def _start_head(self) -> None:
        self._head: Head | None = None
        self._target = b""
        self._headers: list[Field] = []
        self._framing: list[Field] = []
        self._unfinished = 0

    def on_message_begin(self) -> None:
        self.phase = _HEAD
        self._start_head()
        self._sink.request_began()

    def on_url(self, part: bytes) -> None:
        self._target += part
        if len(self._target) > self._limits.target_bytes:
            message = f"Send a request target of at most {self._limits.target_bytes} bytes."
            self._refuse(Unreadable("uri_too_long", message))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.phase is not _HEAD:
            return  # a trailer: it could say anything after the headers were checked, so it says nothing
        name = name.lower()
        self._headers.append((name, value))
        if name in FRAMING_FIELDS:
            self._framing.append((name, value))

    def on_headers_complete(self) -> None:
        parser, framing = self._parser, self._framing
        method, version = parser.get_method(), parser.get_http_version()
        problem = head_problem(method, version, self._target, framing)
        if problem is not None:
            self._refuse(Unreadable("invalid_request", problem))
        limits = self._limits
        # A head that came in one slice cannot be larger than it: only longer ones are worth adding up.
        may_be_large = self._unfinished + SLICE > limits.header_bytes
        if len(self._headers) > limits.header_count or (may_be_large and self._header_size() > limits.header_bytes):
            self._refuse(self._headers_too_large())
        self.phase = _BODY
        waits = False
        if len(framing) > 1:  # more than the Host header
            self._begin_body(framing)
            waits = expects_continue(version, framing)
        # uvicorn keeps no HTTP/1.0 connection open, and neither do we: its clients rarely frame what they send.
        stays = version == "1.1" and parser.should_keep_alive()
        self._head = Head(method.decode(), self._target, version, self._headers, framing, waits, stays, {})
        self._sink.head_received(self._head)

    def _header_size(self) -> int:
        return sum(len(name) + len(value) + 4 for name, value in self._headers)

    def _begin_body(self, framing: list[Field]) -> None:
        """Let a Content-Length among the trailers pass, to be dropped like the others; in the head it was refused."""
        given = dict(framing)
        self._excess = 0
        self._end = self._body + int(given.get(b"content-length", b"0"))
        self._chunked = b"transfer-encoding" in given
        if self._chunked:
            self._parser.set_dangerous_leniencies(lenient_chunked_length=True)

    def on_chunk_header(self) -> None:
        self._chunks += 1

    def on_body(self, data: bytes) -> None:
        self._body += len(data)
        self._sink.body_received(data)

    def on_message_complete(self) -> None:
        self.phase = _IDLE
        if self._chunked:
            self._chunked = False
            self._parser.set_dangerous_leniencies(lenient_chunked_length=False)
        self._sink.request_received()
