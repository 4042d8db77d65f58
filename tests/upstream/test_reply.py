"""What is one answer and what is not, a read at a time, without a socket."""

import asyncio
import gc
import tracemalloc

import httpx
import pytest

from gateway.upstream.repeats import Repeats
from gateway.upstream.reply import KEPT_IDLE, LONGEST_FIELD, MOST_FIELDS, Reply, Stage

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
PLAIN = HEAD + b'Content-Length: 7\r\n\r\n{"a":1}'
CHUNKED = HEAD + b'Transfer-Encoding: Chunked\r\n\r\n3\r\n{"a\r\n4;x=y\r\n":1}\r\n0\r\nAuthorization: x\r\n\r\n'
HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"


class Source:
    """Notes what the reply asks of its connection."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def pause(self) -> None:
        self.asked.append("pause")

    def resume(self) -> None:
        self.asked.append("resume")

    def close(self) -> None:
        self.asked.append("close")


def fed(*parts: bytes, bodiless: bool = False) -> Reply:
    """A reply that got these reads."""
    reply = Reply(Source(), Repeats(), bodiless=bodiless)
    for part in parts:
        reply.feed(part)
    return reply


async def read(reply: Reply) -> bytes:
    """The whole body, after the head."""
    while reply.stage is Stage.HEAD:
        await reply.more()
    reply.raise_failure()
    return b"".join([chunk async for chunk in reply])


@pytest.mark.parametrize("data", [PLAIN, CHUNKED, HINTS + PLAIN, HINTS * 8 + CHUNKED], ids=range(4))
async def test_an_answer_is_the_same_however_it_is_cut(data: bytes) -> None:
    for cut in range(1, len(data)):
        reply = fed(data[:cut])
        if reply.stage is not Stage.WHOLE:
            reply.feed(data[cut:])
        assert (reply.stage, reply.status, reply.keep_for) == (Stage.WHOLE, 200, KEPT_IDLE)
        assert await read(reply) == b'{"a":1}'
        assert b"authorization" not in [name.lower() for name, _ in reply.headers]
    assert len(fed(data).headers) == 2


async def test_an_answer_byte_by_byte() -> None:
    reply = Reply(Source(), Repeats())
    body = asyncio.ensure_future(read(reply))
    for index in range(len(CHUNKED)):
        reply.feed(CHUNKED[index : index + 1])
        await asyncio.sleep(0)
    assert await body == b'{"a":1}'


REFUSED = {
    "two": PLAIN + PLAIN,
    "trailing": PLAIN + b"x",
    "trailing-after-chunks": CHUNKED + b"x",
    "te-cl": PLAIN.replace(b"Content-Length", b"Transfer-Encoding: chunked\r\nContent-Length"),
    "cl-te": PLAIN.replace(b"\r\n\r\n", b"\r\nTransfer-Encoding: chunked\r\n\r\n"),
    "two-lengths": PLAIN.replace(b"\r\n\r\n", b"\r\nContent-Length: 7\r\n\r\n"),
    "bad-length": PLAIN.replace(b": 7", b": -7"),
    "huge-length": PLAIN.replace(b": 7", b": 99999999999999999999999"),
    "unknown-coding": CHUNKED.replace(b"Chunked", b"gzip, chunked"),
    "coding-twice": CHUNKED.replace(b"Chunked", b"chunked\r\nTransfer-Encoding: chunked"),
    "unchunked-coding": CHUNKED.replace(b"Chunked", b"gzip"),
    "bad-chunk": CHUNKED.replace(b"\r\n3\r\n", b"\r\nzz\r\n"),
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    "switching-plainly": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "many-hints": HINTS * 9 + PLAIN,
    "not-http": b"SSH-2.0-OpenSSH_9\r\n\r\n",
    "folded": PLAIN.replace(b"json\r\n", b"json\r\n ;x\r\n"),
    "cr-cr-lf": PLAIN.replace(b"\r\n\r\n", b"\r\r\n\r\r\n"),
    "one-bare-lf": PLAIN.replace(b"\r\n\r\n", b"\n\r\n"),
    "bare-lf": PLAIN.replace(b"\r\n", b"\n"),
    "space-before-colon": PLAIN.replace(b"Type:", b"Type :"),
    "many-headers": PLAIN.replace(b"\r\n\r\n", b"\r\nX: 1" * MOST_FIELDS + b"\r\n\r\n"),
    "long-header": PLAIN.replace(b"\r\n\r\n", b"\r\nX: " + b"1" * LONGEST_FIELD + b"\r\n\r\n"),
    "body-of-204": PLAIN.replace(b"200 OK", b"204 No Content"),
}


@pytest.mark.parametrize("data", REFUSED.values(), ids=REFUSED)
async def test_sm10_what_is_not_one_answer_is_refused(data: bytes) -> None:
    reply = fed(data)
    with pytest.raises(httpx.RemoteProtocolError):
        await read(reply)
    assert reply.stage is Stage.FAILED


ENDLESS = {
    "status": b"HTTP/1.1 200 " + b"O" * 1000,
    "header": HEAD + b"X-Long: ",
    "trailer": CHUNKED[:-2] + b"X-Long: ",
    "chunk-extension": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;",
}


@pytest.mark.parametrize("start", ENDLESS.values(), ids=ENDLESS)
async def test_up14_what_never_comes_to_a_body_is_refused(start: bytes) -> None:
    reply = fed(start)
    for _ in range(20):
        if reply.stage is not Stage.FAILED:
            reply.feed(b"x" * 16384)
    with pytest.raises(httpx.RemoteProtocolError):
        await read(reply)


async def test_up14_headers_without_end_are_refused() -> None:
    reply = fed(HEAD)
    for _ in range(20):
        if reply.stage is not Stage.FAILED:
            reply.feed(b"X: 1\r\n" * 3000)
    with pytest.raises(httpx.RemoteProtocolError, match="beside the body"):
        await read(reply)


async def test_a_body_may_end_with_the_connection_and_then_no_other_answer_follows() -> None:
    reply = fed(HEAD + b"\r\n", b"abc", b"def")
    assert (reply.stage, reply.keep_for) == (Stage.BODY, 0.0)
    reply.end(None)
    assert await read(reply) == b"abcdef"
    broken = fed(HEAD + b"\r\n", b"abc")
    broken.end(ConnectionResetError())
    with pytest.raises(httpx.ReadError):
        await read(broken)


@pytest.mark.parametrize(
    ("came", "failure"),
    [(b"", httpx.ReadError), (HEAD, httpx.RemoteProtocolError), (PLAIN[:-1], httpx.ReadError)],
    ids=["nothing", "half-a-head", "half-a-body"],
)
async def test_up6_half_an_answer_is_none(came: bytes, failure: type[Exception]) -> None:
    reply = fed(came) if came else fed()
    reply.end(None)
    with pytest.raises(failure):
        await read(reply)
    assert reply.had_head is (came == PLAIN[:-1])


@pytest.mark.parametrize(
    ("field", "kept"),
    [
        (b"Connection: close", 0.0),
        (b"Keep-Alive: timeout=5, max=100", 4.0),
        (b"Keep-Alive: timeout=1", 0.0),
        (b"Keep-Alive: timeout=0", 0.0),
        (b"Keep-Alive: timeout=600", KEPT_IDLE),
        (b"Keep-Alive: max=5", KEPT_IDLE),
    ],
)
def test_a_connection_is_kept_as_long_as_upstream_says(field: bytes, kept: float) -> None:
    assert fed(PLAIN.replace(b"\r\n\r\n", b"\r\n" + field + b"\r\n\r\n")).keep_for == kept


def test_an_old_server_keeps_nothing() -> None:
    assert fed(PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0")).keep_for == 0.0


async def test_an_answer_to_head_has_no_body_whatever_it_says() -> None:
    reply = fed(HEAD + b"Content-Length: 7\r\n\r\n", bodiless=True)
    assert (reply.stage, reply.keep_for) == (Stage.WHOLE, 0.0)
    assert await read(reply) == b""
    assert fed(PLAIN, bodiless=True).stage is Stage.FAILED


@pytest.mark.parametrize("status", [b"204 No Content", b"304 Not Modified"])
async def test_some_statuses_have_no_body(status: bytes) -> None:
    reply = fed(b"HTTP/1.1 " + status + b"\r\n\r\n")
    assert (await read(reply), reply.keep_for) == (b"", KEPT_IDLE)


async def test_a_slow_reader_stops_the_connection_and_sets_it_going_again_once_it_asks_for_more() -> None:
    source = Source()
    reply = Reply(source, Repeats())
    reply.feed(HEAD + b"Content-Length: 1000000\r\n\r\n")
    for _ in range(4):
        reply.feed(b"x" * 100_000)
    assert source.asked == ["pause"]
    assert await anext(reply) == b"x" * 400_000
    assert source.asked == ["pause"]
    more = asyncio.ensure_future(anext(reply))
    await asyncio.sleep(0)
    assert source.asked == ["pause", "resume"]
    reply.feed(b"y")
    assert await more == b"y"


async def test_a_reader_may_stop_the_connection_itself() -> None:
    source = Source()
    reply = Reply(source, Repeats())
    reply.feed(HEAD + b"Content-Length: 3\r\n\r\nx")
    assert await anext(reply) == b"x"
    reply.pause()
    reply.pause()
    assert source.asked == ["pause"]
    more = asyncio.ensure_future(anext(reply))
    await asyncio.sleep(0)
    assert source.asked == ["pause", "resume"]
    reply.feed(b"yz")
    assert await more == b"yz"
    reply.pause()
    assert source.asked == ["pause", "resume"]


async def test_closing_costs_the_connection_only_before_the_end() -> None:
    for part, asked in ((b"", ["close"]), (PLAIN[:-1], ["close"]), (PLAIN, [])):
        source = Source()
        reply = Reply(source, Repeats())
        if part:
            reply.feed(part)
        await reply.aclose()
        assert source.asked == asked


def test_a_reply_shows_where_it_stands() -> None:
    assert repr(fed()) == "<Reply ?, waiting for the head>"
    assert repr(fed(PLAIN)) == "<Reply 200, the last byte has come>"


def test_up14_a_name_too_long_is_kept_nowhere() -> None:
    tracemalloc.start()
    try:
        for number in range(50):
            name = b"x%d-" % number + b"a" * 200_000
            assert fed(b"HTTP/1.1 200 OK\r\n" + name + b": v\r\nContent-Length: 0\r\n\r\n").stage is Stage.FAILED
        gc.collect()
        assert tracemalloc.get_traced_memory()[0] < 2 * 1024**2
    finally:
        tracemalloc.stop()
