"""Pollers keep their pace, and a latency counts from the instant a poll was due."""

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import asdict

import pytest

from tests.bench.paced import Order, Pace, Poller, answer_length, poll_head, quantile

Answering = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def test_an_answer_is_as_long_as_it_says() -> None:
    assert answer_length(ANSWER) == len(ANSWER)
    assert answer_length(ANSWER + b"HTTP/1.1") == len(ANSWER)
    assert answer_length(ANSWER[:20]) is None
    assert answer_length(b"HTTP/1.1 304 Not Modified\r\n\r\n") == 29


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 3), (0.99, 4), (1.0, 4)])
def test_a_quantile_is_one_of_the_values(share: float, value: int) -> None:
    assert quantile([4, 2, 1, 3], share) == value


def test_the_quantile_of_nothing_is_nothing() -> None:
    assert quantile([], 0.5) == 0.0


async def paced(answer: Answering, period: float, seconds: float, *paths: str) -> Pace:
    """What one poller finds that asks these paths of a server that answers so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await answer(reader, writer)
            await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        order = Order(url, [[poll_head(url, path, "key") for path in paths]], period, seconds)
        pipe = asyncio.subprocess.PIPE
        command = (sys.executable, "-m", "tests.bench.paced")
        process = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe)
        out, _ = await process.communicate(json.dumps(asdict(order)).encode())
    return Pace(**json.loads(out))


async def test_each_poller_asks_its_heads_in_turn() -> None:
    asked: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1])
            writer.write(ANSWER)

    seen = await paced(answer, 0.05, 0.2, "/a", "/b")
    assert asked == [b"/a", b"/b", b"/a", b"/b"]
    assert (seen.requests, seen.errors) == (4, 0)


async def test_a_slow_answer_makes_the_polls_behind_it_late_too() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for wait in (0.5, 0.0, 0.0, 0.0):
            await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(wait)
            writer.write(ANSWER)

    seen = await paced(answer, 0.1, 0.4, "/a")
    assert seen.requests == 4
    assert seen.p50 >= 0.2


class AnsweringAtOnce(asyncio.Transport):
    """A connection on which everything is answered at once."""

    def __init__(self, poller: Poller) -> None:
        super().__init__()
        self._poller = poller

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self._poller.data_received(ANSWER)

    def abort(self) -> None:
        self._poller.connection_lost(None)


async def test_a_poller_that_is_late_itself_hides_nothing() -> None:
    order = Order("", [["GET / HTTP/1.1\r\n\r\n"]], 0.1, 0.1)
    poller = Poller(order.heads[0])
    poller.connection_made(AnsweringAtOnce(poller))
    asyncio.get_running_loop().call_later(0.05, time.sleep, 0.5)  # the loop stands still when the poll is due
    await poller.go(0.1, order)
    assert poller.errors == 0
    assert poller.latencies[0] >= 0.4


async def test_an_answer_that_is_no_200_is_an_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.readuntil(b"\r\n\r\n"):
            writer.write(ANSWER.replace(b"200 OK", b"502 Bad Gateway"))

    assert (await paced(answer, 0.05, 0.1, "/a")).errors == 2


async def test_a_connection_that_ends_fails_what_it_owes() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    seen = await paced(answer, 0.1, 0.2, "/a")
    assert seen.requests == 0
    assert seen.errors >= 1
