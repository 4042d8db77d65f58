"""How a connection to upstream comes about: the name looked up, its addresses tried in turn, TLS verified.

Nothing of a request is sent here, so whatever fails raises one of the two of httpx's exceptions that say so.
"""

import asyncio
import socket
import ssl
import threading
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import NamedTuple

import httpx

_LOOKUPS = 4
"""Names looked up at a time, each in a thread: a resolver that hangs holds no more than these."""

_MOST_ADDRESSES = 8


class Address(NamedTuple):
    """Where to connect to: an IP address as text."""

    family: int
    host: str
    port: int


class Origin(NamedTuple):
    """Whom a connection leads to. `server_name` is what the certificate must name; empty without TLS."""

    host: str
    port: int
    server_name: str


class Resolver:
    """Looks names up in a few threads of its own, each name once however many ask at a time.

    The threads are daemons: one that hangs does not keep the process from ending.
    """

    def __init__(self) -> None:
        self._room = asyncio.Semaphore(_LOOKUPS)
        self._under_way: dict[tuple[str, int], asyncio.Task[list[Address]]] = {}

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a host in the order to try them, at least one. Raises OSError or ValueError."""
        with suppress(socket.gaierror):
            return _addresses(host, port, socket.AI_NUMERICHOST)
        lookup = self._under_way.get((host, port))
        if lookup is None:
            lookup = asyncio.get_running_loop().create_task(self._look_up(host, port), name="look up")
            self._under_way[host, port] = lookup
            lookup.add_done_callback(partial(self._found, host, port))
        try:
            return await asyncio.shield(lookup)
        except asyncio.CancelledError:
            if lookup.cancelled():
                raise OSError("the resolver was closed") from None
            raise

    async def close(self) -> None:
        """Give up on what is being looked up."""
        lookups = list(self._under_way.values())
        for lookup in lookups:
            lookup.cancel()
        await asyncio.gather(*lookups, return_exceptions=True)

    def _found(self, host: str, port: int, lookup: asyncio.Task[list[Address]]) -> None:
        del self._under_way[host, port]
        if not lookup.cancelled():
            lookup.exception()  # those who asked may be gone

    async def _look_up(self, host: str, port: int) -> list[Address]:
        async with self._room:
            found: Future[list[Address]] = Future()
            threading.Thread(target=_work, args=(host, port, found), daemon=True, name="look up").start()
            return await asyncio.wrap_future(found)


def _work(host: str, port: int, found: Future[list[Address]]) -> None:
    found.set_running_or_notify_cancel()
    try:
        addresses = _addresses(host, port, 0)
    except (OSError, ValueError) as error:  # ValueError: no name at all, such as an empty or an overlong label
        found.set_exception(error)
    else:
        found.set_result(addresses)


def _addresses(host: str, port: int, flags: int) -> list[Address]:
    """What the system's resolver says, without repetitions."""
    answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return list(dict.fromkeys(Address(family, str(place[0]), port) for family, _, _, _, place in answers))


class Dialer:
    """Connects protocols to origins. `trusted` verifies who an origin is where it has a server name."""

    def __init__(self, trusted: ssl.SSLContext) -> None:
        self._trusted = trusted
        self._resolver = Resolver()

    async def dial(self, origin: Origin, protocol: asyncio.Protocol, patience: float) -> None:
        """Connect `protocol`, within `patience` seconds for lookup, TCP and TLS together.

        Each address but the last gets an equal share of what is left. Raises ConnectTimeout or ConnectError.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        try:
            async with asyncio.timeout_at(deadline):
                addresses = (await self._resolver.resolve(origin.host, origin.port))[:_MOST_ADDRESSES]
            for others in range(len(addresses) - 1, -1, -1):
                try:
                    async with asyncio.timeout((deadline - loop.time()) / (others + 1)):
                        await self._connect(addresses[-1 - others], origin, protocol)
                except OSError:  # a TimeoutError too
                    if not others:
                        raise
                else:
                    return
        except TimeoutError as error:
            raise httpx.ConnectTimeout("upstream could not be connected to in time") from error
        except (OSError, ValueError) as error:
            raise httpx.ConnectError(f"upstream cannot be connected to: {type(error).__name__}") from error

    async def close(self) -> None:
        """Give up on what is being looked up."""
        await self._resolver.close()

    async def _connect(self, address: Address, origin: Origin, protocol: asyncio.Protocol) -> None:
        await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            address.host,
            address.port,
            family=address.family,
            ssl=self._trusted if origin.server_name else None,
            server_hostname=origin.server_name or None,
        )
