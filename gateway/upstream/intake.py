"""The answers of upstream that are being read: how much of them is in memory, and which wait until there is room."""

import asyncio
from collections import OrderedDict
from contextlib import suppress

import msgspec

from gateway.core.errors import Code
from gateway.upstream.failures import Sent, UpstreamFailure

PATIENCE = 5.0
"""Seconds without a byte after which the one that goes on beyond the bound is no longer waited for."""

_PART = 256 * 1024
"""Bytes that are set apart for one that is let on: about what comes before it is asked again."""


class Reading(msgspec.Struct, eq=False):
    """One answer that is being read: how much of it is `held`, or set apart for it.

    `waits` tells, also of one that was broken off, whether it stood in the line.
    """

    may_wait: bool
    held: int = 0
    ahead: int = 0
    waits: bool = False


class Intake:
    """The answers that are being read: what of them has come is counted, and more than `most` is not asked for.

    A read that finds no room is refused, for it can be made again, unless nothing else is being read. The answer to a
    call that changed something may hold what was paid for: it is never refused, but stands in a line. One of these may
    go on beyond the bound, or all could wait for each other, and one that is larger than all this would not come in.
    Where nothing comes of that one, the next in line takes its place.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._line: OrderedDict[Reading, asyncio.Event] = OrderedDict()
        self._beyond: Reading | None = None
        self._moved = 0.0

    def take(self, one: Reading, size: int) -> None:
        """So many bytes of it have come."""
        more, one.ahead = size - one.ahead, 0
        one.held += more
        self._held += more
        if one is self._beyond:
            self._moved = asyncio.get_running_loop().time()

    def has_room(self, one: Reading) -> bool:
        """Whether more of it may be read at once. Reads leave what room there is to those that wait."""
        if one.may_wait:
            return self._held <= self._most or one is self._beyond
        return (self._held <= self._most and not self._line) or self._held == one.held

    async def wait(self, one: Reading) -> None:
        """Wait until more of it may be read. Raises UpstreamFailure for a read."""
        if not one.may_wait:
            message = "Answers of upstream fill the memory set apart for them; try again."
            raise UpstreamFailure(Sent.ANSWERED, Code.OVERLOADED, message, retry_after=1)
        may_go = self._line[one] = asyncio.Event()
        one.waits = True
        self._let_on()
        while not may_go.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(PATIENCE):
                    await may_go.wait()
            if asyncio.get_running_loop().time() - self._moved >= PATIENCE:
                self._beyond = None
                self._let_on()
        one.waits = False

    def end(self, one: Reading) -> None:
        """It has been read, or given up."""
        self._line.pop(one, None)
        self._held -= one.held
        if one is self._beyond:
            self._beyond = None
        self._let_on()

    def _let_on(self) -> None:
        """Let those at the head of the line go on for whom there is room, and one for whom there is none."""
        while self._line:
            if self._held + _PART > self._most:
                if self._beyond is not None:
                    return
                self._beyond = next(iter(self._line))
                self._moved = asyncio.get_running_loop().time()
            one, may_go = self._line.popitem(last=False)
            one.ahead = _PART
            one.held += _PART
            self._held += _PART
            may_go.set()
