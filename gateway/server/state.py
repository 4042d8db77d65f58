"""What the connections of one listener share."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from http import HTTPStatus
from itertools import islice
from math import inf
from typing import TYPE_CHECKING, Any

from gateway.afterwards import Afterwards
from gateway.core.headers import CLOSE, Header
from gateway.server.deadlines import NEVER
from gateway.server.limits import ConnectionLimits
from gateway.server.repeats import Repeats

if TYPE_CHECKING:
    from gateway.server.protocol import HardenedProtocol

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

RenderRefusal = Callable[[str, str], tuple[int, list[Header], bytes]]
"""Makes the answer to a request that never reached the app, from an error code and a sentence.

Passed in because the one renderer of errors lives a layer above. Its headers come without `Connection`,
`Content-Length` and `Date`, which are added here.
"""


_LOOKED_AT = 64
"""Connections of which one may have to go for a newcomer: so much work it makes at most."""


class _StatusLines(dict[int, bytes]):
    """By status (RFC 9112 §4), each made when it is first sent."""

    def __missing__(self, status: int) -> bytes:
        phrase = HTTPStatus(status).phrase if status in _KNOWN else ""
        line = self[status] = f"HTTP/1.1 {status} {phrase}\r\n".encode()
        return line


_KNOWN = frozenset(HTTPStatus)
STATUS_LINES = _StatusLines()


@dataclass(slots=True)
class ListenerState:
    """One listener's app, bounds and live connections."""

    app: ASGIApp
    limits: ConnectionLimits
    render_refusal: RenderRefusal
    loop: asyncio.AbstractEventLoop
    connections: "OrderedDict[HardenedProtocol, None]" = field(default_factory=OrderedDict)
    """Those looked at when there was no room stand last, so that others are looked at next."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    """The app's running calls, and who is taken in as the port closes."""
    writes: Afterwards = field(default_factory=Afterwards)
    """Whole small answers, written at the end of the loop's turn."""
    repeats: Repeats = field(default_factory=Repeats)
    date_line: bytes = b""
    """Sent with every response: the `Date` field's line (RFC 9110 §6.6.1)."""
    accepted_at: float = -inf
    """When the last client was accepted, by the loop's clock. With TLS its connection is made later, if at all."""
    draining: bool = False
    """Every response says `Connection: close`."""

    def make_room(self) -> bool:
        """Whether one more connection may stay. If there are too many, it takes the place of one that is idle.

        That is the one idle longest of the few looked at. It is not waited for: a client that takes its time to close
        would keep the place.
        """
        if len(self.connections) < self.limits.connections:
            return True
        looked_at = list(islice(self.connections, _LOOKED_AT))
        for connection in looked_at:
            self.connections.move_to_end(connection)
        idle = min(looked_at, key=lambda connection: connection.idle_since)
        if idle.idle_since == NEVER:
            return False
        del self.connections[idle]
        idle.cut_off()
        return True

    def refusal(self, code: str, message: str) -> bytes:
        """A whole response that says why a request never reached the app, or what became of it, and closes."""
        status, headers, body = self.render_refusal(code, message)
        ours = [(b"content-length", b"%d" % len(body)), CLOSE]
        lines = [b"%s: %s\r\n" % header for header in (*headers, *ours)]
        return b"".join((STATUS_LINES[status], self.date_line, *lines, b"\r\n", body))
