"""The real client over real sockets, to whatever upstream a test scripts."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from functools import partial
from pathlib import Path

import pytest
import uvloop

from gateway.core.policy import Credential, Source
from gateway.telemetry import Metrics
from gateway.upstream.client import Limits, Upstream, UpstreamFailure
from gateway.upstream.credentials import Credentials
from gateway.upstream.transport import build_transport

KEY = "eyJhbGciOiJIUzI1NiJ9.real-upstream-key.c2lnbmF0dXJl"
ENVIRONMENT = {"FIRST": KEY, "SECOND": "the-other-key", "ORG": "org-63729242"}
CREDENTIALS = {
    "default": Credential("default", (Source("env", "FIRST"),)),
    "two": Credential("two", (Source("env", "FIRST"), Source("env", "SECOND")), Source("env", "ORG")),
    "none": Credential("none", (Source("env", "ABSENT"),)),
}

Connect = Callable[..., Upstream]

ON_BOTH_LOOPS = ("test_connection.py", "test_pool.py", "test_tls.py")
"""Modules whose subject hangs on what a loop's transports do."""


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop the gateway runs on, and for some modules the one it falls back to."""
    both = item.path.name in ON_BOTH_LOOPS
    return {"uvloop": uvloop.new_event_loop} | ({"asyncio": asyncio.new_event_loop} if both else {})


def connect(
    url: str, opened: list[Upstream], limits: Limits | None = None, ticks: Callable[[], float] | None = None
) -> Upstream:
    """A client for `url` with a transport of its own, remembered in `opened`."""
    limits = limits or Limits(timeout=5.0, create_timeout=5.0, in_flight=50)
    credentials = Credentials(CREDENTIALS.get, ENVIRONMENT)
    transport = build_transport(connections=limits.in_flight + 10)
    clock = {"ticks": ticks} if ticks else {}
    upstream = Upstream(url, transport, credentials, Metrics("test"), limits, **clock)
    opened.append(upstream)
    return upstream


@pytest.fixture
async def client() -> AsyncIterator[Connect]:
    """Makes clients; what they hold open is closed with the test."""
    opened: list[Upstream] = []
    yield partial(connect, opened=opened)
    for upstream in opened:
        await upstream.close()


@pytest.fixture
def open_files() -> Callable[[], int]:
    """Counts this process's file descriptors."""
    return lambda: len(list(Path("/proc/self/fd").iterdir()))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come about soon, or fail."""
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come about")


async def failures_of(gmi: Upstream) -> tuple[UpstreamFailure, UpstreamFailure]:
    """How a read and a create fail."""
    with pytest.raises(UpstreamFailure) as read:
        await gmi.get_request("default", "r1")
    with pytest.raises(UpstreamFailure) as create:
        await gmi.create_request("default", b"{}")
    return read.value, create.value
