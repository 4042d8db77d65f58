"""Names, addresses and patience. The resolver of the system is replaced; sockets are real."""

import asyncio
import socket
import ssl
import threading
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from gateway.upstream.dialing import Dialer, Origin, Resolver
from tests.scripted_upstream import ScriptedUpstream, answering, response

Found = list[tuple[Any, ...]]
_GETADDRINFO = socket.getaddrinfo


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[str, int], Found]], list[str]]:
    """Makes the system's resolver answer as told; gives the names it is asked for. Addresses are read as ever."""

    def replace(answer: Callable[[str, int], Found]) -> list[str]:
        asked: list[str] = []

        def getaddrinfo(host: str, port: int, **options: Any) -> Found:
            if options.get("flags"):
                return _GETADDRINFO(host, port, **options)
            asked.append(host)
            return answer(host, port)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
        return asked

    return replace


def at(*addresses: tuple[str, int]) -> Found:
    """What a resolver answers."""
    family = {True: socket.AF_INET6, False: socket.AF_INET}
    return [(family[":" in host], socket.SOCK_STREAM, 6, "", (host, port)) for host, port in addresses]


def dialer() -> Dialer:
    return Dialer(ssl.create_default_context())


def port_of(upstream: ScriptedUpstream) -> int:
    return int(upstream.url.rpartition(":")[2])


async def test_an_address_is_not_looked_up(names: Any) -> None:
    asked = names(lambda host, port: at())
    async with ScriptedUpstream(answering(response())) as upstream:
        await dialer().dial(Origin("127.0.0.1", port_of(upstream), ""), asyncio.Protocol(), 5.0)
    assert asked == []
    assert [address.host for address in await Resolver().resolve("::1", 443)] == ["::1"]


async def test_addresses_are_tried_in_turn_each_once(names: Any) -> None:
    async with ScriptedUpstream(answering(response())) as upstream:
        dead, alive = ("127.0.0.1", 1), ("127.0.0.1", port_of(upstream))
        names(lambda host, port: at(("127.0.0.2", port), ("127.0.0.2", port), ("::1", port), alive))
        await dialer().dial(Origin("gmi.example", alive[1], ""), asyncio.Protocol(), 5.0)
        assert len(await Resolver().resolve("gmi.example", 1)) == 3
        names(lambda host, port: at(dead))
        with pytest.raises(httpx.ConnectError, match="ConnectionRefusedError"):
            await dialer().dial(Origin("gmi.example", 1, ""), asyncio.Protocol(), 5.0)


async def test_up4_an_address_that_does_not_answer_leaves_time_for_the_next(names: Any) -> None:
    async with ScriptedUpstream(answering(response())) as upstream:
        port = port_of(upstream)
        with socket.socket() as full, socket.socket() as first, socket.socket() as second:
            full.bind(("127.0.0.3", port))
            full.listen(0)
            for waiting in (first, second):
                waiting.setblocking(False)
                waiting.connect_ex(("127.0.0.3", port))
            names(lambda host, port: at(("127.0.0.3", port), ("127.0.0.1", port)))
            await dialer().dial(Origin("gmi.example", port, ""), asyncio.Protocol(), 2.0)
            names(lambda host, port: at(("127.0.0.3", port)))
            with pytest.raises(httpx.ConnectTimeout):
                await dialer().dial(Origin("gmi.example", port, ""), asyncio.Protocol(), 0.2)


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
async def test_up2_a_name_that_is_none_cannot_be_connected_to(names: Any, error: Exception) -> None:
    def fail(host: str, port: int) -> Found:
        raise error

    names(fail)
    with pytest.raises(httpx.ConnectError, match=type(error).__name__):
        await dialer().dial(Origin("gmi.example", 443, ""), asyncio.Protocol(), 5.0)


async def test_up2_a_resolver_that_hangs_holds_four_threads_and_nobody_else(names: Any) -> None:
    go = threading.Event()

    def hang(host: str, port: int) -> Found:
        assert go.wait(30)
        return at(("127.0.0.1", 1))

    asked = names(hang)
    before = threading.active_count()
    ours = dialer()
    calls = [ours.dial(Origin(f"{number % 10}.example", 443, ""), asyncio.Protocol(), 0.3) for number in range(100)]
    under_way = asyncio.gather(*calls, return_exceptions=True)
    async with ScriptedUpstream(answering(response())) as upstream:
        await ours.dial(Origin("127.0.0.1", port_of(upstream), ""), asyncio.Protocol(), 5.0)
    assert await asyncio.to_thread(lambda: True), "the loop's own threads are free"
    assert all(isinstance(ended, httpx.ConnectTimeout) for ended in await under_way)
    assert len(asked) == 4
    assert threading.active_count() - before <= 4 + 1
    go.set()
    ours.close()


async def test_a_thread_that_cannot_be_started_is_no_connection(names: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_many(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names(lambda host, port: at(("127.0.0.1", port)))
    monkeypatch.setattr(threading.Thread, "start", too_many)
    with pytest.raises(httpx.ConnectError):
        await dialer().dial(Origin("gmi.example", 443, ""), asyncio.Protocol(), 5.0)


async def test_what_was_found_is_not_kept(names: Any) -> None:
    asked = names(lambda host, port: at(("127.0.0.1", port)))
    resolver = Resolver()
    for _ in range(2):
        await resolver.resolve("gmi.example", 443)
    assert asked == ["gmi.example"] * 2, "addresses change"


async def test_closing_gives_up_what_is_looked_up(names: Any) -> None:
    go = threading.Event()

    def wait(host: str, port: int) -> Found:
        assert go.wait(30)
        return at(("127.0.0.1", port))

    names(wait)
    ours = dialer()
    call = asyncio.ensure_future(ours.dial(Origin("gmi.example", 443, ""), asyncio.Protocol(), 60.0))
    await asyncio.sleep(0.01)
    ours.close()
    with pytest.raises(httpx.ConnectError):
        await call
    go.set()
