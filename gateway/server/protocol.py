"""One client connection: what it sends is read by `reader`, answered by `exchange`, and bounded in time here.

Requests of one connection are answered one at a time and in order. While one is owed its answer at most one slice of
further requests is parsed; the rest waits unread, so ten thousand pipelined ones hold hardly more memory than two.

A connection ends in one of four ways. *Clean*: the last request was read whole; close. *Refused*: its bytes cannot be
trusted; what is owed is answered, or the refusal if nothing is, and then it closes. *Lingering*: closed for writing,
while the rest of the request is read and thrown away, because closing a socket with unread bytes resets it, and the
reset can overtake the answer (RFC 9112 §9.6). *Cut off* at once, what waits to be sent dropped: for want of a place, at
a drain's end, where nothing is taken for too long (`sweep`), or none of an answer that broke off (`Flow.reset`).

Deadlines are plain numbers, looked at by the listener's sweep: no timer is made or cancelled per request.
"""

import asyncio
from collections import deque
from typing import cast

from gateway.server.deadlines import NEVER, BodyPace, WriteWatch
from gateway.server.exchange import Exchange
from gateway.server.flow import HIGH_WATER_LIMIT, Flow, Stage, addresses
from gateway.server.head import Head
from gateway.server.reader import Phase, RequestReader, Unreadable
from gateway.server.state import ListenerState

# A member read through its class costs as much as a call; these are read for every request.
_OPEN, _LAST, _REFUSED, _LINGERING = Stage
_IDLE = Phase.IDLE


class HardenedProtocol(asyncio.Protocol):
    """The server's side of one connection."""

    transport: asyncio.Transport
    flow: Flow

    def __init__(self, state: ListenerState) -> None:
        self.state = state
        state.accepted_at = state.loop.time()
        self._limits = state.limits
        self._clock = state.loop.time
        self._reader = RequestReader(state.limits, self, state.repeats)
        self._stage = _OPEN
        self._deadline = NEVER
        self._running: Exchange | None = None
        self._queue: deque[Exchange] = deque()
        self._receiving: Exchange | None = None
        self._backlog = bytearray()
        self._discarded = 0
        self._pace = BodyPace(state.limits.body_seconds, state.limits.body_bytes_per_second)
        self._writing = WriteWatch(state.limits.write_seconds)

    @property
    def busy(self) -> bool:
        """Whether a request is being sent or a response is owed."""
        return self._running is not None or self._reader.phase is not _IDLE

    @property
    def idle_since(self) -> float:
        """When its last request was answered, or it was made; NEVER unless all is taken and it waits for another."""
        if self.busy or self._stage is not _OPEN or self.transport.is_closing() or not self.flow.is_taken():
            return NEVER
        return max(self._made, self._deadline - self._limits.idle_seconds)

    # What the transport calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.flow = Flow(self.transport)
        if not self.state.make_room():
            self.transport.abort()
            return
        self.state.connections[self] = None
        self.server, self.client = addresses(self.transport)
        self.scheme = "https" if self.flow.encrypted else "http"
        self._made = self._clock()
        self._deadline = self._made + self._limits.header_seconds

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - the same whoever ended it
        self.state.connections.pop(self, None)
        for exchange in (self._running, self._receiving, *self._queue):
            if exchange is not None:
                exchange.disconnect()
        self._running = self._receiving = None
        self._queue, self._backlog = deque(), bytearray()
        self._reader.end()
        self.flow.resume_writing()

    def pause_writing(self) -> None:
        self._writing.restart()
        self.flow.pause_writing()

    def resume_writing(self) -> None:
        self.flow.resume_writing()

    def data_received(self, data: bytes) -> None:
        """Parse slice by slice, until there is a request to answer after the one being answered."""
        start = 0
        while start < len(data):
            if self._stage is not _OPEN:
                self._discard(len(data) - start)
                return
            if self._queue:
                self._put_back(data[start:])
                return
            end = start + self._reader.takes
            try:
                self._reader.feed(data[start:end])
            except Unreadable as fault:
                self._refuse(fault.code, fault.message)
            start = end

    def _put_back(self, data: bytes) -> None:
        """Keep for later. Reading goes on until there is much: only reading notices a client that leaves."""
        self._backlog += data
        if len(self._backlog) > HIGH_WATER_LIMIT:
            self.flow.hold()

    def _discard(self, size: int) -> None:
        self._discarded += size
        if self._discarded > self._limits.linger_bytes:
            self.flow.hold()

    # What the reader calls

    def request_began(self) -> None:
        self._deadline = self._clock() + self._limits.header_seconds

    def head_received(self, head: Head, *, is_whole: bool = False) -> None:
        if self._stage is not _OPEN:
            return
        exchange = Exchange(self, head)
        if is_whole:
            exchange.more_body, self._deadline = False, NEVER
        else:
            self._receiving, self._deadline = exchange, self._clock() + self._limits.body_seconds
        if self._running is None:
            self._start(exchange)
        else:
            self._queue.append(exchange)

    def body_received(self, data: bytes) -> None:
        exchange = self._receiving
        if exchange is None:
            return
        self._pace.received += len(data)
        exchange.body.add(data)
        if exchange.body.size > HIGH_WATER_LIMIT:
            self.flow.pause_reading()
        exchange.wake()

    def body_filled(self, size: int) -> None:
        """So many bytes of the body have come, straight to the app."""
        self._pace.received += size
        self._reader.pass_by(size)

    def request_received(self) -> None:
        exchange = self._receiving
        if exchange is None:
            return
        self._receiving, self._deadline = None, NEVER
        exchange.more_body = False
        exchange.wake()
        if not exchange.keep_alive:
            self._stage = _LAST

    def _start(self, exchange: Exchange) -> None:
        self._running = exchange
        exchange.task = self.state.loop.create_task(exchange.run(self.state.app))
        self.state.tasks.add(exchange.task)

    # What the exchange calls

    def response_complete(self) -> None:
        """The response being written has ended, and the connection stays: go on with what came meanwhile."""
        self._running = None
        if self.transport.is_closing() or self._stage is _LINGERING:
            return
        if self._queue or self._backlog:
            self._go_on()
        if self.flow.read_paused and not self._queue and self._stage is _OPEN:
            self.flow.release()
        if self._running is None and self._reader.phase is _IDLE:
            self._deadline = self._clock() + self._limits.idle_seconds

    def _go_on(self) -> None:
        """Answer the next request that has come, and read what waits behind it."""
        if self._queue:
            self._start(self._queue.popleft())
        if not self._queue and self._backlog:
            waiting, self._backlog = bytes(self._backlog), bytearray()
            self.data_received(waiting)

    def response_abandoned(self, exchange: Exchange) -> None:
        """The app ended without a whole response. A part already sent is left visibly short."""
        if not exchange.started:
            self.transport.write(self.state.refusal("internal_error", "The gateway failed; the fault is in its log."))
        elif self.flow.write_paused:  # its client would keep the connection, and a drain, for as long as it likes
            self.flow.reset()
        exchange.disconnect()
        self.close()

    def close(self) -> None:
        """End the connection after what was written; linger if the client may still be sending."""
        whole = self._reader.phase is _IDLE and self._stage in (_OPEN, _LAST)
        self._writing.restart()
        if whole and not self.flow.read_paused:
            self._part()
        elif self._stage is not _LINGERING and not self.transport.is_closing():
            self._linger()

    def _part(self) -> None:
        """Close. With TLS the client is to do so as well: it gets the time of one that may still be sending."""
        self._deadline = self._clock() + self._limits.linger_seconds
        self.transport.close()

    def _linger(self) -> None:
        self._stage, self._receiving = _LINGERING, None
        self._deadline = self._clock() + self._limits.linger_seconds
        self._backlog.clear()
        self.flow.release()
        self.flow.end_writing()

    # Refusals

    def _refuse(self, code: str, message: str) -> None:
        """Answer what cannot be read; but if an earlier answer is owed, a refusal would be taken for that one."""
        if self._stage is not _OPEN:
            return
        self._stage = _REFUSED
        self._deadline = NEVER
        offender, self._receiving = self._receiving, None
        answered = offender is not None and offender.started
        if offender is not None:
            self._drop(offender)
        owed = self._queue[-1] if self._queue else self._running
        if owed is not None:
            owed.keep_alive = False
            return
        if not answered:
            self.transport.write(self.state.refusal(code, message))
        self.close()

    def _drop(self, exchange: Exchange) -> None:
        exchange.disconnect()
        if exchange is self._running:
            self._running = None
        else:
            self._queue.remove(exchange)

    # What the listener calls

    def close_if_idle(self, now: float) -> None:
        """Close, unless an answer is owed, some of a request has come, or who has just connected may yet send one."""
        is_unused = self._deadline == self._made + self._limits.header_seconds
        may_ask = is_unused and now < self._made + self._limits.first_seconds
        if not (self.busy or may_ask or self.transport.is_closing() or self.flow.has_unread()):
            self.close()

    def cut_off(self) -> bool:
        """End now, whatever is owed. True if a response, or some of one, was."""
        owed = self._running is not None or not self.flow.is_taken()
        self.transport.abort()
        return owed

    def sweep(self, now: float) -> None:
        """Enforce the deadlines. `now` is the loop's clock."""
        if self._receiving is not None:
            self._deadline = self._pace.deadline(self._deadline, now, waits_for_us=self._keeps_waiting(self._receiving))
        elif self._queue and self._reader.phase is not _IDLE:  # a head of which nothing more is read until it is next
            self._deadline = now + self._limits.header_seconds
        if now >= self._deadline:
            self._expire()
        elif (self.flow.write_paused or self.transport.is_closing()) and self._writing.stalled(
            self.transport.get_write_buffer_size(), now
        ):
            self.transport.abort()

    def _keeps_waiting(self, exchange: Exchange) -> bool:
        """Whether it is us who do not take the body: its turn has not come, or the app does not read."""
        return exchange is not self._running or self.flow.read_paused or exchange.waits_for_continue

    def _expire(self) -> None:
        self._deadline = NEVER
        if self.transport.is_closing() and self.flow.is_taken():
            self.transport.abort()
        elif self.transport.is_closing():
            self._deadline = self._clock() + self._limits.linger_seconds
        elif self._stage is _LINGERING or self._reader.phase is _IDLE:
            self._writing.restart()
            self._part()
        else:
            self._refuse("request_timeout", "The request did not arrive in time; send it again, faster.")
