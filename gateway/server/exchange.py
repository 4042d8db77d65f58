"""One request and its response: uvicorn's cycle, told when the connection may not be used again."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.server.reader import Head
from gateway.server.state import Scope

if TYPE_CHECKING:
    from uvicorn._types import ASGI3Application, ASGISendEvent, HTTPScope

    from gateway.server.protocol import HardenedProtocol

logger = logging.getLogger("gateway.server")


class Flow(FlowControl):
    """uvicorn's flow control with a second reason to stop reading: enough was read already.

    While held, an app that waits for its body or for a disconnect does not start the reading again.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        super().__init__(transport)
        self.held = False

    def hold(self) -> None:
        """Stop reading until `release`."""
        self.held = True
        self.pause_reading()

    def release(self) -> None:
        """Read again."""
        self.held = False
        self.resume_reading()

    def resume_reading(self) -> None:
        if not self.held and not self._transport.is_closing():
            super().resume_reading()


class Outlet:
    """What a response is written to: the transport, but with the connection's own way of closing."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


def _scope(connection: "HardenedProtocol", head: Head) -> Scope:
    """The ASGI scope. `raw_path` is the path as it was sent, without the query."""
    raw_path, _, query = head.target.partition(b"?")
    path = raw_path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
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
    }


class Exchange(RequestResponseCycle):
    """A request being answered."""

    def __init__(self, connection: "HardenedProtocol", head: Head) -> None:
        super().__init__(
            scope=cast("HTTPScope", _scope(connection, head)),
            transport=cast("asyncio.Transport", connection.outlet),
            flow=connection.flow,
            logger=logger,
            access_logger=logger,
            access_log=False,
            default_headers=connection.state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=head.expects_continue,
            keep_alive=head.keep_alive,
            on_response=connection.response_complete,
        )
        self._state = connection.state
        self._abandoned = connection.response_abandoned

    async def run_asgi(self, app: "ASGI3Application") -> None:
        """Call the app. If it ends without a whole response, the client is shown that it did."""
        try:
            await app(self.scope, self.receive, self.send)
        finally:
            if not self.response_complete and not self.disconnected:
                self._abandoned(self)

    def send(self, message: "ASGISendEvent") -> Coroutine[Any, Any, None]:
        """ASGI's send. A response that starts before its request has ended, or while draining, is the last one."""
        if not self.response_started and (self.more_body or self._state.draining):
            self.keep_alive = False
        return super().send(message)

    def disconnect(self) -> None:
        """From now on the app receives `http.disconnect`, and what it sends goes nowhere."""
        self.disconnected = True
        self.message_event.set()
