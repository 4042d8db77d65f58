"""An answer sent part by part: how it ends, and what is told of it afterwards."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

import httpx
import pytest

from gateway.core.errors import Code, Refusal
from gateway.server.listener import Bind, Listener, bind_socket, listen
from gateway.web.call import Call
from gateway.web.public import PublicApp
from gateway.web.respond import Reply, Stream, render_refusal
from gateway.web.routes import Method, Route, RouteTable, with_head
from tests.conftest import House, OpenHouse, team

KEY = {"Authorization": "Bearer key"}
Parts = Callable[[], AsyncGenerator[bytes, None]]


class Stage:
    """A gateway whose one route answers with a stream that a test gives."""

    def __init__(self, house: House, parts: Parts, seconds: float) -> None:
        self.house = house
        self.parts = parts
        self.closed = 0
        self._seconds = seconds

    async def open(self) -> Listener:
        route = Route("/parts", "/parts", with_head({"GET": Method(self._answer, None)}))
        app = PublicApp(self.house.gw, RouteTable((route,)))
        self.listener = await listen(Bind(app, bind_socket("127.0.0.1", 0), render_refusal))
        self.url = f"{self.listener.url}/parts"
        return self.listener

    async def _answer(self, _call: Call) -> Reply:
        return Reply(200, b"", ((b"content-type", b"text/plain"),), stream=Stream(self._watched(), self._seconds))

    async def _watched(self) -> AsyncGenerator[bytes, None]:
        try:
            async for part in self.parts():
                yield part
        finally:
            self.closed += 1

    def connect(self) -> socket.socket:
        """A client that asks, and reads nothing unless told to. Little fits on the way to it."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(self.listener.address)
        client.sendall(b"GET /parts HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key\r\n\r\n")
        return client

    async def metrics_say(self, line: str) -> None:
        """Wait until the metrics hold this line."""

        async def said() -> bool:
            return line in (await self.house.admin("/metrics")).text

        await self.house.eventually(said)


SetStage = Callable[..., Awaitable[Stage]]


@pytest.fixture
async def set_stage(open_house: OpenHouse) -> AsyncIterator[SetStage]:
    listeners: list[Listener] = []

    async def set_(parts: Parts, seconds: float = 60, **settings: str) -> Stage:
        stage = Stage(await open_house({"a.yaml": team("a", "key")}, **settings), parts, seconds)
        listeners.append(await stage.open())
        return stage

    yield set_
    for listener in listeners:
        await listener.finish(0)


async def three() -> AsyncGenerator[bytes, None]:
    for part in (b"one ", b"two ", b"three"):
        yield part
        await asyncio.sleep(0.02)


async def endless() -> AsyncGenerator[bytes, None]:
    while True:
        yield b"x" * 10_000


async def silent() -> AsyncGenerator[bytes, None]:
    yield b"hello"
    await asyncio.get_running_loop().create_future()


async def test_a_stream_arrives_whole_on_a_connection_that_stays(set_stage: SetStage) -> None:
    stage = await set_stage(three)
    async with httpx.AsyncClient(headers=KEY) as http:
        for _ in range(2):
            answer = await http.get(stage.url)
            assert (answer.status_code, answer.text) == (200, "one two three")
            assert answer.headers["transfer-encoding"] == "chunked"
            assert "content-length" not in answer.headers
    assert stage.closed == 2


async def test_a_client_of_http_1_0_gets_the_parts_bare_until_the_connection_ends(set_stage: SetStage) -> None:
    stage = await set_stage(three)
    reader, writer = await asyncio.open_connection(*stage.listener.address)
    writer.write(b"GET /parts HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nAuthorization: Bearer key\r\n\r\n")
    head, _, body = (await asyncio.wait_for(reader.read(), 5)).partition(b"\r\n\r\n")
    assert body == b"one two three"
    assert b"connection: close" in head
    assert b"transfer-encoding" not in head
    writer.close()


async def test_me1_head_gets_the_head_alone_and_keeps_its_connection(set_stage: SetStage) -> None:
    stage = await set_stage(endless)
    async with httpx.AsyncClient(headers=KEY) as http:
        for _ in range(2):
            answer = await http.head(stage.url)
            assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, "text/plain", b"")


async def test_lp2_a_client_that_leaves_ends_the_stream(set_stage: SetStage) -> None:
    stage = await set_stage(silent)
    client = stage.connect()
    await stage.metrics_say("gateway_requests_in_flight 1.0")
    client.close()
    await stage.metrics_say("gateway_requests_in_flight 0.0")
    assert stage.closed == 1


async def test_rs4_a_client_that_reads_nothing_is_not_written_to(set_stage: SetStage) -> None:
    made = 0

    async def counted() -> AsyncGenerator[bytes, None]:
        nonlocal made
        async for part in endless():
            made += len(part)
            yield part

    stage = await set_stage(counted)
    client = stage.connect()
    before = -1
    while made != before:
        before = made
        await asyncio.sleep(0.2)
    assert 0 < made < 8_000_000  # what the system takes for the client, and 64 KiB of ours
    client.close()
    await stage.house.eventually(lambda: stage.closed == 1)


async def test_a_stream_out_of_time_is_visibly_short(set_stage: SetStage) -> None:
    stage = await set_stage(silent, seconds=0.2)
    async with httpx.AsyncClient(headers=KEY) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            await http.get(stage.url)
    assert stage.closed == 1


@pytest.mark.parametrize("fault", [Refusal(Code.UPSTREAM_INVALID, "It broke off."), LookupError("canary-fault")])
async def test_a_stream_that_fails_is_visibly_short_and_says_nothing(
    set_stage: SetStage, fault: Exception, capfd: pytest.CaptureFixture[str]
) -> None:
    async def failing() -> AsyncGenerator[bytes, None]:
        yield b"half"
        raise fault

    stage = await set_stage(failing)
    client = stage.connect()
    client.settimeout(5)
    raw = await asyncio.to_thread(lambda: b"".join(iter(lambda: client.recv(65536), b"")))
    assert raw.endswith(b"4\r\nhalf\r\n")
    client.close()
    logging.getLogger().handlers[0].flush()
    said = capfd.readouterr().err
    is_ours = isinstance(fault, LookupError)
    assert ("unhandled" in said, "answer broken off" in said) == (is_ours, not is_ours)
    assert "canary-fault" not in said
    await stage.metrics_say('gateway_requests_total{code="200",method="GET",route="/parts",team="a"} 1.0')


async def test_a_streams_time_is_upstreams_in_log_and_metrics(
    set_stage: SetStage, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    async def slow() -> AsyncGenerator[bytes, None]:
        yield b"a"
        await asyncio.sleep(0.3)
        yield b"b"

    stage = await set_stage(slow, access_log="on")
    async with httpx.AsyncClient(headers=KEY) as http:
        await http.get(stage.url)
    await stage.metrics_say('gateway_overhead_seconds_bucket{le="0.1",route="/parts"} 1.0')
    stage.house.gw.access_log.flush()
    line = json.loads(capsysbinary.readouterr().out)
    assert line["ms"] >= 300
    assert line["upstream_ms"] >= 290
