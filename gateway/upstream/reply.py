"""One answer of upstream as it comes in: parsed by httptools unless its head is known (`repeats`), bounded, and handed
out with backpressure.

Bytes are fed as they arrive; the one who asked waits for the head, then iterates over the body. What is fed is judged
before anybody is woken, so an answer that is followed by something else in the same read is refused, not delivered.
"""

import asyncio
from enum import Enum
from typing import Protocol, Self

import httptools
import httpx

from gateway.core.headers import Header, Headers
from gateway.upstream.fields import sorted_out
from gateway.upstream.repeats import AnswerHead, Repeats

LONGEST_FIELD = 16 * 1024
"""Bytes of one header, name and value."""

MOST_FIELDS = 128
_HARMLESS_HEAD = 4 * MOST_FIELDS
"""Bytes of a head in which there is room neither for too many headers nor for one that is too long."""

_LARGEST_HEAD = 256 * 1024
"""Bytes that may come in a row without one byte of a body: heads, chunk extensions, trailers."""

_MOST_INTERIM = 8
"""Heads of 1xx before the final one (RFC 9110 §15.2)."""

_MOST_HELD = 256 * 1024
"""Bytes of a body that wait for their reader before the connection is no longer read."""

KEPT_IDLE = 30.0
"""Seconds an idle connection is kept; load balancers commonly close theirs after 60 or more."""


class Stage(Enum):
    """How far an answer has come."""

    HEAD = "waiting for the head"
    BODY = "the head has come"
    WHOLE = "the last byte has come"
    FAILED = "refused or broken off"


# A member read through its class costs as much as a call; these are read for every answer.
_HEAD, _BODY, _WHOLE, _FAILED = Stage


class Source(Protocol):
    """What a reply asks of the connection it comes from."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def close(self) -> None:
        """Break the connection off."""


class _Refused(Exception):  # noqa: N818 - a verdict on upstream, not an error of ours
    """Upstream's bytes cannot be one answer to one question."""


class Reply(httpx.AsyncByteStream):
    """One answer; the iterator over its body, whose bytes are as they were sent.

    `status`, `headers`, `passed_on` (those that are the client's business) and `is_coded` hold once the head has come.
    A reply that is not read to its end must be closed, which costs its connection. `repeats` are the heads that came
    before, on this connection and on others.
    """

    is_coded = False
    """Whether the body is compressed, or in another coding (RFC 9110 §8.4)."""
    had_head = False
    """Of a reply that failed: whether its head had come, so that only its body was refused or broken off."""
    _interim = 0
    _paused = False
    _failure: httpx.TransportError | None = None

    def __init__(self, source: Source, repeats: Repeats, *, bodiless: bool = False) -> None:
        # What every reply writes stands in the instance from the start: the interpreter finds it there at once.
        self.stage = _HEAD
        self.status = 0
        self.headers: list[Header] = []
        self.passed_on: Headers = ()
        self.keep_for = 0.0
        """Seconds the connection may be kept once the reply is whole; 0 if it may not be used again."""
        self.began = False
        self.piece: bytes | None = None
        """All bytes of an answer that came in one read, its body unbroken among them; None of any other."""
        self._until_close = False
        self._barren = 0
        self._held = 0
        self._waiter: asyncio.Future[None] | None = None
        self._source = source
        self._bodiless = bodiless
        self._repeats = repeats
        self._parser: httptools.HttpResponseParser | None = None
        self._chunks: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Reply {self.status or '?'}, {self.stage.value}>"

    def feed(self, data: bytes) -> None:
        """Take what came from upstream. Bytes that are no HTTP or too many make the reply fail."""
        is_first, self.began = not self.began, True
        start, head = self._repeats.find(data) if is_first and not self._bodiless else (b"", None)
        if head is not None:
            self._take(data, head)
            return
        if is_first:
            self._parser = httptools.HttpResponseParser(self)
        assert self._parser is not None
        self._barren += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            reason = error.__context__ if isinstance(error.__context__, _Refused) else "it is not valid HTTP"
            self._end_as(_FAILED, httpx.RemoteProtocolError(f"upstream's answer was refused: {reason}"))
            return
        if self.stage is _WHOLE:
            self._parser = None
            if is_first and len(self._chunks) <= 1:
                self.piece = data
                if start and len(start) + self._held == len(data) and self._repeats.came_before(start):
                    self._note(start)
            self._wake()
            return
        if self._barren > _LARGEST_HEAD:
            self.fail(httpx.RemoteProtocolError("upstream's answer was refused: too many bytes beside the body"))
            return
        if self._held > _MOST_HELD:
            self.pause()
        if self.stage is _BODY:
            self._wake()

    def _take(self, data: bytes, head: AnswerHead) -> None:
        """These bytes are the whole answer, and its head is known."""
        self.status, self.headers, self.passed_on = head.status, head.headers, head.passed_on
        self.is_coded, self.keep_for = head.is_coded, head.keep_for
        if head.length:
            self._chunks.append(data[-head.length :])
        self.piece = data
        self.stage = _WHOLE
        self._wake()

    def _note(self, start: bytes) -> None:
        """This head and the body behind it were the whole answer."""
        head = AnswerHead(self.status, self.headers, self.passed_on, self.is_coded, self.keep_for, self._held)
        self._repeats.note(start, head)

    def end(self, error: Exception | None) -> None:
        """The connection is gone, with an error or closed by upstream."""
        if self.stage is _BODY and self._until_close and error is None:
            self._end_as(_WHOLE)
        elif self.stage is _HEAD and self.began and error is None:
            self.fail(httpx.RemoteProtocolError("upstream broke off in the middle of a head"))
        else:
            self.fail(httpx.ReadError("upstream broke off the connection"))

    def fail(self, failure: httpx.TransportError) -> None:
        """There will be no more of this reply. Nothing happens to one that has come to its end."""
        if self.stage in (_HEAD, _BODY):
            self._end_as(_FAILED, failure)

    def _end_as(self, stage: Stage, failure: httpx.TransportError | None = None) -> None:
        self.had_head = self.stage is not _HEAD
        self.stage = stage
        self._failure = failure
        self._parser = None  # it refers to this reply; both would wait for the garbage collector
        self._wake()

    def more(self) -> "asyncio.Future[None]":
        """What is done when more of the reply has come, or has failed to; for one at a time."""
        self._waiter = asyncio.get_running_loop().create_future()
        return self._waiter

    def raise_failure(self) -> None:
        """Raises httpx.TransportError if there will be no more of the reply."""
        if self._failure is not None:
            raise self._failure

    def whole_body(self) -> bytes | None:
        """The whole body, if it has come and nobody has taken any of it; None if it must be waited for."""
        if self.stage is not _WHOLE or self._paused:
            return None
        self._held = 0
        return self._chunks.pop() if len(self._chunks) == 1 else self._all_held()

    def _all_held(self) -> bytes:
        """What has come of the body and nobody has taken."""
        self._held = 0
        held = b"".join(self._chunks)
        self._chunks.clear()
        return held

    def pause(self) -> None:
        """Have no more come until it is asked for, after what has come already was taken."""
        if self.stage is _BODY and not self._paused:
            self._paused = True
            self._source.pause()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        while not self._chunks:
            if self.stage is _WHOLE:
                raise StopAsyncIteration
            self.raise_failure()
            if self._paused:
                self._paused = False
                self._source.resume()
            await self.more()
        return self._all_held()

    async def aclose(self) -> None:
        """As `close`, for httpx."""
        self.close()

    def close(self) -> None:
        """Break off what has not come to its end."""
        if self.stage in (_HEAD, _BODY):
            self._source.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What httptools calls. An exception here makes `feed_data` raise, whatever it parsed before.

    def on_message_begin(self) -> None:
        if self.stage is not _HEAD:
            raise _Refused("something follows it")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.stage is _HEAD:  # a trailer (RFC 9110 §6.5.1) is dropped, lest it pass for a header
            self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if status < 200:
            self._interim += 1
            if status == 101 or self._interim > _MOST_INTERIM:
                raise _Refused("it switches protocols or never comes to the point")
            self.headers.clear()
            return
        self.status = status
        self._read_framing(keep_alive=self._parser.should_keep_alive())
        self.stage = _WHOLE if self._bodiless else _BODY

    def _read_framing(self, *, keep_alive: bool) -> None:
        """Decide where the body ends and whether another answer may follow (RFC 9112 §6.3, §9.3)."""
        if self._barren > _HARMLESS_HEAD:
            self._check_headers()
        framing, self.passed_on = sorted_out(self.headers)
        if framing.ends > 1 or not framing.is_known:
            raise _Refused("its length is told twice, or in a way unknown")
        self.is_coded = framing.is_coded
        self._until_close = not framing.ends and self.status not in (204, 304)
        if keep_alive and not self._until_close and not self._bodiless:
            self.keep_for = KEPT_IDLE if framing.kept_for is None else min(KEPT_IDLE, framing.kept_for)

    def _check_headers(self) -> None:
        if len(self.headers) > MOST_FIELDS:
            raise _Refused("it has too many headers")
        if any(len(name) + len(value) > LONGEST_FIELD for name, value in self.headers):
            raise _Refused("a header is too long")

    def on_body(self, body: bytes) -> None:
        if self.stage is not _BODY:
            raise _Refused("it has a body where none may be")
        self._chunks.append(body)
        self._held += len(body)
        self._barren = 0

    def on_message_complete(self) -> None:
        if self.stage is _BODY:
            self.stage = _WHOLE
