"""When a connection reads and writes, what becomes of what it reads, and whose it is."""

import asyncio
import fcntl
import socket
import struct
import termios
from contextlib import suppress
from enum import Enum, auto
from typing import Any

HIGH_WATER_LIMIT = 64 * 1024
"""Bytes that wait to be taken before no more are read, or written."""

Address = tuple[str, int]


class Stage(Enum):
    """What still happens to bytes that arrive."""

    OPEN = auto()
    """They are parsed."""
    LAST = auto()
    """They follow a request that announced it would be the last: ignored."""
    REFUSED = auto()
    """They follow something unreadable: ignored, and the connection closes after what it owes."""
    LINGERING = auto()
    """The response is out and the connection closed for writing: ignored."""


class Flow:
    """Flow control of one connection. There are two reasons to stop reading.

    An app that waits for its body or for a disconnect starts the reading again; but not while it is held, because
    enough was read already.
    """

    __slots__ = ("_held", "_transport", "_writable", "encrypted", "read_paused", "write_paused")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.encrypted = transport.get_extra_info("sslcontext") is not None
        transport.set_write_buffer_limits(HIGH_WATER_LIMIT)  # with TLS it would be eight times as much
        self._writable = asyncio.Event()
        self._writable.set()
        self._held = False
        self.read_paused = False
        self.write_paused = False

    async def drain(self) -> None:
        """Wait until the client has taken most of what was written, or is gone."""
        await self._writable.wait()

    def is_taken(self) -> bool:
        """Whether the client has taken all that was written, as far as can be told.

        What TLS has encrypted may wait in a transport of its own, which is not shown; then the kernel's queue is full.
        """
        if self._transport.get_write_buffer_size():
            return False
        return not (self.encrypted and self._in_kernel(termios.TIOCOUTQ))

    def has_unread(self) -> bool:
        """Whether the client has sent something that we have not been given yet."""
        return self._in_kernel(termios.FIONREAD) > 0

    def _in_kernel(self, which: int) -> int:
        """Bytes that the system has of it: for us, or those the client's has not said to have (tcp(7), SIOCOUTQ).

        0 where the system does not tell.
        """
        with suppress(OSError, ValueError):  # the latter where it has been closed
            queued = fcntl.ioctl(self._transport.get_extra_info("socket").fileno(), which, bytes(4))
            return int(struct.unpack("i", queued)[0])
        return 0

    def pause_writing(self) -> None:
        """Let nothing more be written for now."""
        self.write_paused = True
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let everybody write."""
        self.write_paused = False
        self._writable.set()

    def end_writing(self) -> None:
        """Tell the client that nothing more comes, where that can be told apart from a close: TLS cannot."""
        if self._transport.can_write_eof():
            with suppress(OSError):  # the client has reset the connection
                self._transport.write_eof()

    def reset(self) -> None:
        """End the connection at once. What the client has not got of what was written is dropped, by the system too."""
        if self._transport.is_closing():
            return
        with suppress(OSError):  # the client has reset the connection
            sock = self._transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def hold(self) -> None:
        """Stop reading until `release`."""
        self._held = True
        self.pause_reading()

    def release(self) -> None:
        """Read again."""
        self._held = False
        self.resume_reading()

    def pause_reading(self) -> None:
        """Stop reading until `resume_reading`."""
        if not self.read_paused:
            self.read_paused = True
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again, unless it is held."""
        if self.read_paused and not self._held and not self._transport.is_closing():
            self.read_paused = False
            self._transport.resume_reading()


def addresses(transport: asyncio.Transport) -> tuple[Address | None, Address | None]:
    """The two ends' IP addresses and ports: ours, the client's. None for one that is not known any more."""
    return _address(transport.get_extra_info("sockname")), _address(transport.get_extra_info("peername"))


def _address(place: Any) -> Address | None:
    """Of what the system calls it: for IPv6 that has two more parts (socket(2))."""
    return (str(place[0]), int(place[1])) if isinstance(place, tuple) else None
