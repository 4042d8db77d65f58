"""Calls to hosts that are not upstream's: each connection goes to an address that was checked, under the host's name.

A name is resolved once for a call, every address it has must be one that may be called, and the connection is made to
that very address, so that a name which resolves anew to another one in between (DNS rebinding) gains nothing. TLS is
verified against the name. No redirect is followed, no cookie kept, and no connection is used twice: what was verified
for one host is never another's.
"""

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import httpx

from gateway.core.addresses import Target, is_public
from gateway.lookups import Lookups

DEADLINE = 15.0
"""Seconds for a whole call: name, connection, TLS, request and answer."""

AT_ONCE = 32
"""Calls under way in this process."""

AT_ONCE_PER_HOST = AT_ONCE // 2
"""Of these to one host, so that one that is slow keeps no other waiting."""

_PARTS = 4
"""Of the places that others leave it, a team may have one in so many."""

AT_ONCE_PER_TEAM = AT_ONCE // _PARTS
"""Of these for one team, however many hosts it names; fewer, the more others have."""

AT_ONCE_PER_TEAM_AND_HOST = AT_ONCE_PER_HOST // _PARTS
"""Of these for one team to one host: less than either has, so that a receiver that is slow keeps no other waiting.

Neither another one of the team's nor another team's, also where that is at the same host: fewer, the more others have.
"""

_LARGEST_ANSWER = 4096
"""Bytes of an answer that are read. Only its status matters; the rest lets a well-behaved server finish."""

_LOOKUPS = AT_ONCE
"""Names looked up at a time, each in a thread: a resolver that hangs holds no more than these.

As many as there are places for calls, so that none with a place waits for a thread.
"""

_MOST_ADDRESSES = 3
_CONNECT = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a connection goes."""

    address: str
    port: int


T = TypeVar("T")
Resolve = Callable[[str], Sequence[Endpoint]]
"""Every place a host has, in the order they are tried. It may block, and raises OSError where there is none."""


def resolve(host: str) -> Sequence[Endpoint]:
    """What the system's resolver knows, at the port of https."""
    found = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM)
    return [Endpoint(str(place[0]), 443) for *_, place in found]


@dataclass(frozen=True, slots=True)
class Outside:
    """The world around the gateway: how names become addresses, and which of those may be called.

    `simulator` is the origin of a simulator on this machine, whose storage is called as it is; empty without one.
    """

    resolve: Resolve = resolve
    permits: Callable[[str], bool] = is_public
    simulator: str = ""


class OutboundFailure(Exception):  # noqa: N818 - the flows speak of failures
    """A call that brought no answer. The text says why, and names neither path nor address."""


class Outbound:
    """Makes the calls, so many at once. `open_transport` gives a new transport for each."""

    def __init__(self, open_transport: Callable[[], httpx.AsyncBaseTransport], outside: Outside) -> None:
        self._open_transport = open_transport
        self._outside = outside
        self._lookups = Lookups(outside.resolve, _LOOKUPS)
        self._under_way: Counter[tuple[str, str]] = Counter()
        self.freed = asyncio.Event()
        """Set when a call's end brought somebody below a bound: whoever was left out for it may wait for this."""

    def enter(self, team: str, host: str) -> bool:
        """Take a place for a call of the team to the host, to `leave` or `withdraw`; False if there is none now."""
        if self._is_full(team, host):
            return False
        self._under_way[team, host] += 1
        return True

    def leave(self, team: str, host: str) -> None:
        """The call is over. Give the place back: if the host's name is still looked up, when that is over.

        A resolver keeps a thread busy long after a call gave up. So whoever has names that hang has fewer calls.
        """
        self._lookups.when_over(host, partial(self._free, team, host))

    def withdraw(self, team: str, host: str) -> None:
        """Give the place back of a call that was not made. It is `freed` for nobody: who took it may do so again."""
        self._under_way[team, host] -= 1
        self._under_way += Counter()  # drops what has none

    def _free(self, team: str, host: str) -> None:
        before = self._full()
        self.withdraw(team, host)
        if self._full() != before:
            self.freed.set()

    def _is_full(self, team: str, host: str) -> bool:
        hosts, teams, pairs, are_all = self._full()
        return are_all or host in hosts or team in teams or (team, host) in pairs

    def _full(self) -> tuple[list[str], list[str], list[tuple[str, str]], bool]:
        """The hosts, the teams and the pairs that have every place they may have, and whether there is none at all."""
        return self.full_hosts(), self.full_teams(), self.full_pairs(), self._under_way.total() >= AT_ONCE

    def full_hosts(self) -> list[str]:
        """The hosts that no further call may go to now."""
        hosts = Counter(host for _, host in self._under_way.elements())
        return [host for host, count in hosts.items() if count >= AT_ONCE_PER_HOST]

    def full_teams(self) -> list[str]:
        """The teams of which no further call may be made now."""
        teams, total = Counter(team for team, _ in self._under_way.elements()), self._under_way.total()
        return [team for team, count in teams.items() if count >= _part(AT_ONCE, total - count)]

    def full_pairs(self) -> list[tuple[str, str]]:
        """The teams of which no further call may go to a host now, each with that host."""
        hosts = Counter(host for _, host in self._under_way.elements())
        under_way = self._under_way.items()
        return [pair for pair, count in under_way if count >= _part(AT_ONCE_PER_HOST, hosts[pair[1]] - count)]

    async def post(self, target: Target, headers: Mapping[str, str], body: bytes) -> httpx.Response:
        """Send `body`; the answer's head, which counts whatever becomes of the rest. Raises OutboundFailure."""
        response: httpx.Response | None = None
        with suppress(TimeoutError, httpx.TransportError):
            async with asyncio.timeout(DEADLINE), AsyncExitStack() as stack:
                places = await self.places(target.host)
                response = await self.open(places, lambda place: _request(place, target, headers, body), stack)
                await _skim(response)
        if response is None:
            raise OutboundFailure("no answer in time")
        return response

    async def open(
        self, places: Sequence[Endpoint], make: Callable[[Endpoint], httpx.Request], stack: AsyncExitStack
    ) -> httpx.Response:
        """Ask at the first of the places that takes a connection; the answer when its head has come.

        It is read and sent at the pace of the one who asks, and broken off when `stack` closes. Raises OutboundFailure.
        """
        return await _at_first(places, partial(self._begin, make, stack))

    def close(self) -> None:
        """Wait for no name any more."""
        self._lookups.close()

    async def places(self, host: str) -> Sequence[Endpoint]:
        """Where the host is. Raises OutboundFailure.

        One address that may not be called spoils all: such a name is not to be trusted.
        """
        try:
            places = await self._lookups.look_up(host)
        except (OSError, ValueError):
            raise OutboundFailure("its name does not resolve") from None
        if not places:
            raise OutboundFailure("its name does not resolve")
        if not all(self._outside.permits(place.address) for place in places):
            raise OutboundFailure("its name resolves to an address that is not public")
        return places[:_MOST_ADDRESSES]

    async def _begin(
        self, make: Callable[[Endpoint], httpx.Request], stack: AsyncExitStack, place: Endpoint
    ) -> httpx.Response:
        transport = await stack.enter_async_context(self._open_transport())
        response = await transport.handle_async_request(make(place))
        stack.push_async_callback(response.aclose)
        return response


def _part(places: int, others: int) -> int:
    """How many of the places one team may have while others have so many: a part of what they leave it.

    So there are some left for another one, although the receivers of several are slow.
    """
    return (places - others) // _PARTS


async def _at_first(places: Sequence[Endpoint], call: Callable[[Endpoint], Awaitable[T]]) -> T:
    """One call at the first place that takes a connection."""
    fault: httpx.TransportError | None = None
    for place in places:
        try:
            return await call(place)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            fault = error
        except httpx.TransportError as error:
            raise OutboundFailure("the connection broke off before an answer") from error
    is_untrusted = fault is not None and isinstance(fault.__cause__, ssl.SSLCertVerificationError)
    raise OutboundFailure("no valid certificate for its name" if is_untrusted else "no connection") from fault


def url_of(place: Endpoint, scheme: str = "https") -> str:
    """The root of what is at a place."""
    address = f"[{place.address}]" if ":" in place.address else place.address
    return f"{scheme}://{address}:{place.port}"


def _request(place: Endpoint, target: Target, headers: Mapping[str, str], body: bytes) -> httpx.Request:
    """The request to one place. Host and the name that TLS verifies are the target's own."""
    return httpx.Request(
        "POST",
        f"{url_of(place)}{target.path}",
        headers={"Host": target.host, "Accept-Encoding": "identity", "Connection": "close", **headers},
        content=body,
        extensions={
            "sni_hostname": target.host,
            "target": target.path.encode(),
            "head_suffices": True,
            "timeout": {"connect": _CONNECT, "read": DEADLINE, "write": DEADLINE, "pool": _CONNECT},
        },
    )


async def _skim(response: httpx.Response) -> None:
    size = 0
    assert isinstance(response.stream, httpx.AsyncByteStream)
    async with aclosing(response.stream):
        async for part in response.stream:
            size += len(part)
            if size >= _LARGEST_ANSWER:
                return
