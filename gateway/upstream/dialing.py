"""How a connection to upstream comes about: the name looked up, its addresses tried in turn, TLS verified.

Nothing of a request is sent here, so whatever fails raises one of the two of httpx's exceptions that say so.
"""

import asyncio
import socket
import ssl
from contextlib import suppress
from typing import NamedTuple

import httpx

from gateway.lookups import Lookups

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
    """Turns hosts into addresses, what is no address already in a few threads."""

    def __init__(self) -> None:
        self._lookups: Lookups[tuple[str, int], list[Address]] = Lookups(_look_up, _LOOKUPS)

    async def resolve(self, host: str, port: int) -> list[Address]:
        """The addresses of a host in the order to try them, at least one. Raises OSError or ValueError."""
        with suppress(socket.gaierror):
            return _addresses(host, port, socket.AI_NUMERICHOST)
        return await self._lookups.look_up((host, port))

    def close(self) -> None:
        """Give up on what is being looked up."""
        self._lookups.close()


def _look_up(place: tuple[str, int]) -> list[Address]:
    return _addresses(*place, 0)


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

    def close(self) -> None:
        """Give up on what is being looked up."""
        self._resolver.close()

    async def _connect(self, address: Address, origin: Origin, protocol: asyncio.Protocol) -> None:
        await asyncio.get_running_loop().create_connection(
            lambda: protocol,
            address.host,
            address.port,
            family=address.family,
            ssl=self._trusted if origin.server_name else None,
            server_hostname=origin.server_name or None,
        )
