"""Storage as it is in the world: TLS under its own name, and everything it may do to a file on its way."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from gateway.outbound import Endpoint, Outside
from tests.conftest import House, OpenHouse, Q, team
from tests.fake_upstream import FakeUpstream
from tests.receiver import certificates, outside, port_of, tls, trusting
from tests.scripted_upstream import Connection, Script, ScriptedUpstream, answering, response

__all__ = ["certificates", "trusting"]

HOST = "storage.googleapis.com"
URL = f"https://{HOST}/bucket/film.mp4?X=1"
FILES = {"a.yaml": team("a", "key-a", "uploads: {relay: true}")}
PNG = {"Content-Type": "image/png"}
MIB = 1024**2


class World:
    """A gateway in front of an upstream whose files are at a storage that a test scripts."""

    def __init__(self, house: House, upstream: FakeUpstream, storage: ScriptedUpstream) -> None:
        self.house, self.upstream, self.storage = house, upstream, storage
        self.client = house.client("key-a")

    async def artifact(self, url: str = URL) -> str:
        """The path of a finished job's film."""
        job = str((await self.client.create()).json()["request_id"])
        self.upstream.jobs[job] |= {"status": "success", "outcome": {"video_url": url}}
        return f"/gateway/v1/requests/{job}/artifacts/video.mp4"

    async def upload(self) -> str:
        """The URL of an upload."""
        answer = await self.client.call("POST", f"{Q}/upload-url", json={"file_type": "png"})
        return str(answer.json()["upload_url"]).replace("https://gateway.example", self.house.running.public_url)

    def connect(self, request: str) -> socket.socket:
        """A client of its own making, which reads nothing unless told to."""
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", int(self.house.running.public_url.rpartition(":")[2])))
        client.sendall(request.encode())
        client.setblocking(False)
        return client


OpenWorld = Callable[..., Awaitable[World]]


@pytest.fixture
async def open_world(open_house: OpenHouse, trusting: Path) -> AsyncIterator[OpenWorld]:
    opened: list[Any] = []

    async def open_(*scripts: Script, around: Callable[[ScriptedUpstream], Outside] = outside) -> World:
        upstream = await FakeUpstream().__aenter__()
        storage = await ScriptedUpstream(*scripts, tls=tls(trusting, HOST)).__aenter__()
        opened.extend((upstream, storage))
        settings = {"upstream": upstream.url, "public_url": "https://gateway.example"}
        return World(await open_house(FILES, outside=around(storage), **settings), upstream, storage)

    yield open_
    for each in opened:
        await each.__aexit__(None, None, None)


def get(path: str) -> str:
    return f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer key-a\r\n\r\n"


async def test_ss4_storage_is_asked_under_its_own_name_and_told_nothing_more(open_world: OpenWorld) -> None:
    page = response(b"film", "206 Partial Content", "Content-Range: bytes 0-3/9", "Set-Cookie: a=b", "X-Goog-Hash: x")
    world = await open_world(answering(page))
    headers = {"Cookie": "a=b", "X-Organization-ID": "o", "Range": "bytes=0-3"}
    answer = await world.client.get(await world.artifact(), headers=headers)
    assert (answer.status_code, answer.content) == (206, b"film")
    assert not {"set-cookie", "x-goog-hash"} & set(answer.headers)
    (asked,) = world.storage.requests
    assert (asked.method, asked.target, asked.header("host")) == ("GET", "/bucket/film.mp4?X=1", HOST)
    assert {name for name, _ in asked.headers} == {"host", "accept-encoding", "connection", "user-agent", "range"}


@pytest.mark.parametrize("status", ["302 Found", "307 Temporary Redirect"])
async def test_ss3_no_redirect_is_followed(open_world: OpenWorld, status: str) -> None:
    world = await open_world(answering(response(b"", status, "Location: http://169.254.169.254/")))
    for answer in (
        await world.client.get(await world.artifact()),
        await world.house.http.put(await world.upload(), content=b"x", headers=PNG),
    ):
        assert (answer.status_code, answer.json()["code"]) == (502, "upstream_invalid")
        assert "location" not in answer.headers
    assert len(world.storage.requests) == 2


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "169.254.169.254", "10.0.0.1", "100.64.0.1", "::1", "fd00::1", "::ffff:10.0.0.1", "64:ff9b::a00:1"],
)
async def test_ss2_a_private_address_is_not_called(open_world: OpenWorld, address: str) -> None:
    def around(storage: ScriptedUpstream) -> Outside:
        return Outside(lambda _: [Endpoint(address, port_of(storage))])

    world = await open_world(answering(response(b"film")), around=around)
    for answer in (
        await world.client.get(await world.artifact()),
        await world.house.http.put(await world.upload(), content=b"x", headers=PNG),
    ):
        assert (answer.status_code, answer.json()["code"]) == (502, "upstream_unreachable")
        assert address not in answer.text
    assert world.storage.connections == []


@pytest.mark.parametrize(
    ("page", "status", "code"),
    [
        (response(b"", "404 Not Found"), 404, "request_not_found"),
        (response(b"", "403 Forbidden"), 502, "upstream_invalid"),
        (response(b"", "503 Service Unavailable"), 502, "upstream_invalid"),
        (response(b"\x1f\x8b", "200 OK", "Content-Encoding: gzip"), 502, "upstream_invalid"),
        (b"nonsense\r\n\r\n", 502, "upstream_unreachable"),
    ],
)
async def test_what_is_no_file_is_not_passed_for_one(
    open_world: OpenWorld, page: bytes, status: int, code: str
) -> None:
    world = await open_world(answering(page))
    answer = await world.client.get(await world.artifact())
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_what_storage_says_a_file_is_counts_if_it_is_harmless(open_world: OpenWorld) -> None:
    world = await open_world(
        answering(response(b"x", media_type="video/webm")), answering(response(media_type="text/html"))
    )
    path = await world.artifact()
    types = [(await world.client.get(path)).headers["content-type"] for _ in range(2)]
    assert types == ["video/webm", "application/octet-stream"]


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\n"


@pytest.mark.parametrize(
    "data",
    [HEAD + b"Content-Length: 100\r\n\r\nfilm", HEAD + b"Transfer-Encoding: chunked\r\n\r\n4\r\nfilm\r\n"],
    ids=["length", "chunked"],
)
async def test_up6_half_a_file_is_visibly_half(open_world: OpenWorld, data: bytes) -> None:
    seen = asyncio.Event()

    async def breaking_off(connection: Connection) -> None:
        await connection.request()
        await connection.send(data)
        await seen.wait()

    world = await open_world(breaking_off)
    client = world.connect(get(await world.artifact()))
    loop, received = asyncio.get_running_loop(), b""
    while part := await loop.sock_recv(client, 65536):
        received += part
        if b"film" in received:
            seen.set()
    client.close()
    assert received.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"film" in received
    assert not received.endswith(b"0\r\n\r\n")


async def test_storage_that_falls_silent_is_not_waited_for(
    open_world: OpenWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.storage.HEAD_PATIENCE", 0.3)

    async def mute(connection: Connection) -> None:
        await connection.hold()

    async def faltering(connection: Connection) -> None:
        await connection.request()
        await connection.send(HEAD + b"Content-Length: 9\r\n\r\nfilm")
        await connection.hold()

    world = await open_world(mute, faltering)
    path = await world.artifact()
    answer = await world.client.get(path)
    assert (answer.status_code, answer.json()["code"]) == (504, "upstream_timeout")
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed"):
        await world.client.get(path)


class Endless:
    """Storage that sends a file for as long as somebody takes it."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended = asyncio.Event()

    async def __call__(self, connection: Connection) -> None:
        await connection.request()
        await connection.send(HEAD + b"Content-Length: 10000000000\r\n\r\n")
        try:
            while True:
                await connection.send(b"x" * 65536)
                self.sent += 65536
        finally:
            self.ended.set()


async def test_rs4_a_client_that_reads_nothing_pauses_storage_and_one_that_leaves_ends_it(
    open_world: OpenWorld,
) -> None:
    endless = Endless()
    world = await open_world(endless)
    client = world.connect(get(await world.artifact()))
    before = -1

    def stands_still() -> bool:
        nonlocal before
        before, still = endless.sent, endless.sent == before and endless.sent > 0
        return still

    for _ in range(5):
        await world.house.eventually(stands_still)
    assert endless.sent < 32 * MIB  # what the kernel holds on both connections is most of it
    assert not endless.ended.is_set()
    client.close()
    await asyncio.wait_for(endless.ended.wait(), 10)


async def test_rs4_an_upload_waits_for_storage(open_world: OpenWorld) -> None:
    go = asyncio.Event()

    async def slow(connection: Connection) -> None:
        await connection.reader.readuntil(b"\r\n\r\n")
        await go.wait()
        await connection.reader.readexactly(48 * MIB)
        await connection.send(response(b""))

    world, sent = await open_world(slow), 0

    async def film() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(48):
            yield b"x" * MIB
            sent += MIB

    url = await world.upload()
    headers = PNG | {"Content-Length": str(48 * MIB)}
    putting = asyncio.ensure_future(world.house.http.put(url, content=film(), headers=headers))
    before = -1

    def stands_still() -> bool:
        nonlocal before
        before, still = sent, sent == before and sent > 0
        return still

    for _ in range(5):
        await world.house.eventually(stands_still)
    assert sent < 32 * MIB
    go.set()
    assert (await putting).status_code == 200


async def test_bo10_an_upload_that_breaks_off_is_broken_off_at_storage(open_world: OpenWorld) -> None:
    ended = asyncio.Event()

    async def storing(connection: Connection) -> None:
        try:
            await connection.request()
        finally:
            ended.set()

    world = await open_world(storing)
    path = (await world.upload()).removeprefix(world.house.running.public_url)
    client = world.connect(
        f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Type: image/png\r\nContent-Length: 100\r\n\r\nhalf"
    )
    await world.house.eventually(lambda: world.storage.connections)
    client.close()
    await asyncio.wait_for(ended.wait(), 10)
    assert world.storage.requests == []


async def test_storages_answer_to_an_upload_is_passed_on_without_its_hop_by_hop_part(open_world: OpenWorld) -> None:
    page = response(b"<Error/>", "403 Forbidden", "Set-Cookie: a=b", "X-Goog-Hash: c", media_type="application/xml")
    world = await open_world(answering(page), answering(response(b"x" * 100_000)))
    url = await world.upload()
    answer = await world.house.http.put(url, content=b"x", headers=PNG)
    assert (answer.status_code, answer.content, answer.headers["x-goog-hash"]) == (403, b"<Error/>", "c")
    assert "set-cookie" not in answer.headers
    (asked,) = world.storage.requests
    assert asked.target.endswith("?X-Goog-Signature=canary")
    endless = await world.house.http.put(url, content=b"x", headers=PNG)
    assert (endless.status_code, endless.json()["code"]) == (502, "upstream_invalid")
