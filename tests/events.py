"""A client of server-sent events, as strict as a browser about what an event is (WHATWG HTML §9.2.6)."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import httpx

from tests.conftest import Client

_LINE_END = re.compile(rb"\r\n|\r|\n")


@dataclass
class Event:
    """One event as a browser would hand it over."""

    kind: str
    id: str
    data: bytes


@dataclass
class Events:
    """One stream. `retry` is the last hint in milliseconds, `comments` how many came, `ended` when it was closed."""

    response: httpx.Response
    retry: int | None = None
    comments: int = 0
    received: list[Event] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    _more: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> Self:
        self._reading = asyncio.ensure_future(self._read())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def until(self, count: int) -> list[Event]:
        """The first so many events."""
        async with asyncio.timeout(10):
            while len(self.received) < count:
                self._more.clear()
                await self._more.wait()
        return self.received[:count]

    async def end(self) -> list[Event]:
        """All events, when the server has closed the stream as it should."""
        await asyncio.wait_for(asyncio.shield(self._reading), 10)
        return self.received

    async def _read(self) -> None:
        rest = b""
        async for chunk in self.response.aiter_raw():
            *blocks, rest = (rest + chunk).split(b"\n\n")
            for block in blocks:
                self._take(block)
        assert rest in (b"", b"retry: 2000\n")
        self._take(rest)
        self.ended.set()

    def _take(self, block: bytes) -> None:
        fields: dict[bytes, list[bytes]] = {}
        for line in filter(None, _LINE_END.split(block)):
            name, _, value = line.partition(b":")
            fields.setdefault(name, []).append(value.removeprefix(b" "))
        self.comments += b"" in fields and b"data" not in fields
        if b"retry" in fields:
            self.retry = int(fields[b"retry"][-1])
        if b"data" in fields:
            kind, name = fields[b"event"][-1].decode(), fields[b"id"][-1].decode()
            self.received.append(Event(kind, name, b"\n".join(fields[b"data"])))
            self._more.set()


@asynccontextmanager
async def listening(client: Client, request_id: str, **headers: str) -> AsyncIterator[Events]:
    """The events of a job, from now on."""
    url = f"{client.base}/gateway/v1/requests/{request_id}/events"
    sent = {"Authorization": f"Bearer {client.key}"} | {name.replace("_", "-"): text for name, text in headers.items()}
    async with client.http.stream("GET", url, headers=sent) as response:
        assert response.status_code == 200, await response.aread()
        async with Events(response) as events:
            yield events
