"""The reader without a socket: the same bytes mean the same however they are cut."""

from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.head import Head
from gateway.server.limits import ConnectionLimits
from gateway.server.reader import SLICE, Phase, RequestReader, Unreadable
from gateway.server.repeats import Repeats
from tests.server.conftest import get, post


@dataclass
class Recorder:
    """Notes what it is told."""

    told: list[object] = field(default_factory=list)

    def request_began(self) -> None:
        self.told.append("began")

    def head_received(self, head: Head, *, is_whole: bool = False) -> None:
        assert not is_whole
        self.told.append((head.method, head.target, head.headers, head.keep_alive, head.expects_continue))

    def body_received(self, data: bytes) -> None:
        if isinstance(self.told[-1], bytes):
            self.told[-1] += data
        else:
            self.told.append(data)

    def request_received(self) -> None:
        self.told.append("received")


def feed_all(reader: RequestReader, data: bytes) -> None:
    while data:
        takes = reader.takes
        reader.feed(data[:takes])
        data = data[takes:]


STREAM = b"".join(
    (
        get("/a", "X: 1", "Y:", "X: 2"),
        b"\r\n",
        post("/b", "Content-Length: 5", "Expect: 100-continue", body=b"hello"),
        post("/c", "Transfer-Encoding: chunked", body=b"2;x=y\r\nhe\r\n3\r\nllo\r\n0\r\nContent-Length: 9\r\n\r\n"),
        post("/d", "Content-Length: 3", "Connection: close", body=b"end"),
    )
)
HOST = (b"host", b"gateway")
TOLD = [
    *("began", ("GET", b"/a", [HOST, (b"x", b"1"), (b"y", b""), (b"x", b"2")], True, False), "received", "began"),
    ("POST", b"/b", [HOST, (b"content-length", b"5"), (b"expect", b"100-continue")], True, True),
    *(b"hello", "received", "began"),
    ("POST", b"/c", [HOST, (b"transfer-encoding", b"chunked")], True, False),
    *(b"hello", "received", "began"),
    ("POST", b"/d", [HOST, (b"content-length", b"3"), (b"connection", b"close")], False, False),
    *(b"end", "received"),
]


@given(st.lists(st.integers(1, len(STREAM) - 1)))
def test_however_the_bytes_are_cut_they_mean_the_same(cuts: list[int]) -> None:
    recorder = Recorder()
    reader = RequestReader(ConnectionLimits(), recorder, Repeats())
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    for start, end in pairwise(edges):
        feed_all(reader, STREAM[start:end])
    assert recorder.told == TOLD
    assert reader.phase is Phase.IDLE


@given(st.binary(max_size=200))
def test_random_bytes_are_no_request_and_raise_nothing_but_unreadable(data: bytes) -> None:
    recorder = Recorder()
    with suppress(Unreadable):
        RequestReader(ConnectionLimits(), recorder, Repeats()).feed(data)
    assert "received" not in recorder.told


def test_a_length_in_both_head_and_body_is_refused_after_a_trailer_had_one() -> None:
    reader = RequestReader(ConnectionLimits(), Recorder(), Repeats())
    reader.feed(post("/", "Transfer-Encoding: chunked", body=b"0\r\nContent-Length: 5\r\n\r\n"))
    with pytest.raises(Unreadable):
        reader.feed(post("/", "Transfer-Encoding: chunked", "Content-Length: 5", body=b"0\r\n\r\n"))


@pytest.mark.parametrize(
    "piece", [b"X: y\r\n", b"Long", b"a" * SLICE], ids=["many-fields", "one-name", "one-name-in-large-pieces"]
)
def test_hd8_a_head_without_end_is_refused_before_it_is_large(piece: bytes) -> None:
    limits = ConnectionLimits()
    reader = RequestReader(limits, Recorder(), Repeats())
    reader.feed(b"GET / HTTP/1.1\r\n")
    fed = 0
    with pytest.raises(Unreadable) as refusal:
        while fed < 1_000_000:
            reader.feed(piece)
            fed += len(piece)
    assert refusal.value.code == "headers_too_large"
    assert fed <= limits.target_bytes + limits.header_bytes + SLICE


def test_hd8_the_size_of_headers_is_counted_to_the_byte() -> None:
    lines = [f"X{number}: {'y' * 500}" for number in range(60)]
    size = sum(len(line) + 2 for line in ["Host: gateway", *lines])
    recorder = Recorder()
    feed_all(RequestReader(ConnectionLimits(header_bytes=size), recorder, Repeats()), get("/", *lines))
    assert recorder.told[-1] == "received"
    with pytest.raises(Unreadable) as refusal:
        feed_all(RequestReader(ConnectionLimits(header_bytes=size - 1), Recorder(), Repeats()), get("/", *lines))
    assert refusal.value.code == "headers_too_large"


def test_a_body_of_known_length_is_taken_whole_and_nothing_after_it() -> None:
    recorder = Recorder()
    reader = RequestReader(ConnectionLimits(), recorder, Repeats())
    for size in (5 * SLICE, 0, 4):
        assert reader.takes == SLICE
        reader.feed(post("/", f"Content-Length: {size}"))
        left = size
        for part in (size // 3, size - size // 3) if size else ():
            assert reader.takes == left
            reader.feed(bytes(part))
            left -= part
        assert recorder.told[-1] == "received"
    reader.feed(post("/", "Transfer-Encoding: chunked"))
    assert reader.takes == SLICE


@given(st.lists(st.integers(1, 3 * SLICE), max_size=5))
def test_requests_in_one_piece_are_taken_apart(sizes: list[int]) -> None:
    data = b"".join(post("/", f"Content-Length: {size}", body=b"x" * size) for size in sizes)
    recorder = Recorder()
    reader = RequestReader(ConnectionLimits(), recorder, Repeats())
    feed_all(reader, data)
    assert [len(told) for told in recorder.told if isinstance(told, bytes)] == sizes
    assert recorder.told.count("received") == len(sizes)
