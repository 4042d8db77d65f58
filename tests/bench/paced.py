"""Open loop: so many pollers, each asking at its own fixed pace however long the answers take.

`python -m tests.bench.paced` reads an Order from stdin as JSON and prints a Pace. A latency counts from the instant a
poll was due, so that a slow server cannot hide behind pollers that wait for it (coordinated omission), nor a poller
that is late itself behind its own clock.
"""

import asyncio
import json
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from urllib.parse import urlsplit

from tests.bench.processes import CPU_OF_LOAD

_PATIENCE = 10.0
"""Seconds that the last answers are waited for."""


@dataclass(frozen=True)
class Order:
    """What is to be asked: `heads[n]` are the request heads that poller n sends in turn, every `period` seconds."""

    url: str
    heads: Sequence[Sequence[str]]
    period: float
    seconds: float


@dataclass(frozen=True)
class Pace:
    """What came of it. Times in seconds."""

    requests: int
    p50: float
    p99: float
    errors: int


class Poller(asyncio.Protocol):
    """One connection that is asked at a fixed pace."""

    def __init__(self, heads: Sequence[str]) -> None:
        self._heads = [head.encode() for head in heads]
        self._loop = asyncio.get_running_loop()
        self._due: deque[float] = deque()
        self._read = b""
        self._sent = 0
        self._idle = asyncio.Event()
        self.latencies: list[float] = []
        self.errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        self._idle.set()

    async def go(self, delay: float, order: Order) -> None:
        """Ask from `delay` on until the time is over, then wait for what is still owed."""
        began = self._loop.time() + delay
        for number in range(int(order.seconds / order.period)):
            due = began + number * order.period
            await asyncio.sleep(due - self._loop.time())
            if self._transport.is_closing():
                self.errors += 1
                continue
            self._due.append(due)
            self._idle.clear()
            if len(self._due) == 1:
                self._send()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), _PATIENCE)
        self.errors += len(self._due)
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._read += data
        length = answer_length(self._read)
        if length is None or len(self._read) < length:
            return
        self.errors += not self._read.startswith(b"HTTP/1.1 200")
        self._read = self._read[length:]
        self.latencies.append(self._loop.time() - self._due.popleft())
        if self._due:
            self._send()
        else:
            self._idle.set()

    def _send(self) -> None:
        self._transport.write(self._heads[self._sent % len(self._heads)])
        self._sent += 1


def answer_length(data: bytes) -> int | None:
    """Bytes of the first answer in the data, head and body; None while the head is not whole."""
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    for line in data[:end].split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return end + 4 + int(value)
    return end + 4


def quantile(values: Sequence[float], share: float) -> float:
    """The value that this share of the values does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def poll_head(url: str, path: str, key: str) -> str:
    """The head of one poll."""
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nAuthorization: Bearer {key}\r\n\r\n"


def pace(order: Order) -> Pace:
    """Carry the order out in a process of its own on the core of the load."""
    command = ("taskset", "-c", CPU_OF_LOAD, sys.executable, "-m", "tests.bench.paced")
    run = subprocess.run(command, input=json.dumps(asdict(order)), check=True, capture_output=True, text=True)
    return Pace(**json.loads(run.stdout))


async def _carry_out(order: Order) -> Pace:
    pollers = [await _connect(order.url, heads) for heads in order.heads]
    step = order.period / len(pollers)
    await asyncio.gather(*(poller.go(number * step, order) for number, poller in enumerate(pollers)))
    latencies = [latency for poller in pollers for latency in poller.latencies]
    errors = sum(poller.errors for poller in pollers)
    return Pace(len(latencies), quantile(latencies, 0.5), quantile(latencies, 0.99), errors)


async def _connect(url: str, heads: Sequence[str]) -> Poller:
    address = urlsplit(url)
    loop = asyncio.get_running_loop()
    _, poller = await loop.create_connection(lambda: Poller(heads), address.hostname or "", address.port or 80)
    return poller


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_carry_out(Order(**json.loads(sys.stdin.read())))))))
