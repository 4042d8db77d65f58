"""What lies between a gateway and its database: a TCP proxy that can be cut, also around a COMMIT."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Self

import pytest
from sqlalchemy import make_url

from tests.postgres import Server
from tests.servers import stop_listening

_COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"


class Proxy:
    """Forwards connections from a loopback port to the server's socket.

    While `flowing` is not set, the server hears nothing. `lose` makes it cut the next connection that commits: "before"
    the server hears of it, "while" it does, so that it has not yet committed when the client learns of the cut, or
    "after" it did, with its answer swallowed. The first `spared` that commit are let through.
    """

    def __init__(self, socket: str) -> None:
        self._socket = f"{socket}/.s.PGSQL.5432"
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._lost: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.lose: str | None = None
        self.spared = 0
        self.flowing = asyncio.Event()
        self.flowing.set()

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.cut()

    @property
    def armed(self) -> bool:
        """Whether the cut is still to come."""
        return self.lose is not None

    def url(self, url: str) -> str:
        """The URL of the same database, through here."""
        through = make_url(url).difference_update_query(["host"]).set(host="127.0.0.1", port=self.port)
        return through.render_as_string(hide_password=False)

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Drop every connection and take no new one, until `listen`."""
        assert self._server is not None
        await stop_listening(self._server)
        for writer in list(self._writers):
            writer.transport.abort()
        await asyncio.sleep(0.01)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_server, to_server = await asyncio.open_unix_connection(self._socket)
        self._writers |= {writer, to_server}
        with suppress(ConnectionError):
            await asyncio.gather(self._ask(reader, to_server, writer), self._answer(from_server, writer))
        for each in (writer, to_server):
            each.transport.abort()
            self._writers.discard(each)

    async def _ask(
        self, reader: asyncio.StreamReader, to_server: asyncio.StreamWriter, writer: asyncio.StreamWriter
    ) -> None:
        while data := await reader.read(65536):
            if data == _COMMIT and self._cuts():
                assert self.lose is not None
                when, self.lose = self.lose, None
                await self._lose(when, to_server, writer)
                return
            await self.flowing.wait()
            to_server.write(data)
        to_server.close()

    def _cuts(self) -> bool:
        """Whether it is this commit's turn."""
        if self.lose is None:
            return False
        self.spared -= 1
        return self.spared < 0

    async def _lose(self, when: str, to_server: asyncio.StreamWriter, writer: asyncio.StreamWriter) -> None:
        self._lost.add(writer)
        if when == "while":
            writer.transport.abort()
            await asyncio.sleep(0.3)
        if when != "before":
            to_server.write(_COMMIT)
            await asyncio.sleep(0.1)
        writer.transport.abort()
        to_server.transport.abort()

    async def _answer(self, from_server: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await from_server.read(65536):
            if writer not in self._lost:
                writer.write(data)
        writer.close()


@pytest.fixture
async def proxy(postgres: Server) -> AsyncIterator[Proxy]:
    """Before the tests' own server. A module that asks for it imports it."""
    async with Proxy(postgres.socket) as proxy:
        yield proxy
