"""Heads that come again: whatever is remembered, a connection reads what it would have read without."""

import sys
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.server.head import Head
from gateway.server.limits import ConnectionLimits
from gateway.server.reader import RequestReader, Unreadable
from gateway.server.repeats import Repeats
from tests.server.conftest import get

ID = "/api/v1/ie/requestqueue/apikey/requests/0afc3a11-1111-2222-3333-444444444444"


class Deaf:
    """Keeps nothing of what it is told."""

    def request_began(self) -> None: ...
    def head_received(self, head: Head, *, is_whole: bool = False) -> None: ...
    def body_received(self, data: bytes) -> None: ...
    def request_received(self) -> None: ...


class Reading:
    """One connection: the heads and bodies that came of its bytes, and what it was refused with."""

    def __init__(self, repeats: Repeats, limits: ConnectionLimits | None = None) -> None:
        self._reader = RequestReader(limits or ConnectionLimits(), self, repeats)
        self.heads: list[Head] = []
        self.told: list[object] = []

    def request_began(self) -> None:
        """Nothing is told of it."""

    def head_received(self, head: Head, *, is_whole: bool = False) -> None:
        self.heads.append(head)
        self.told.append((head.method, head.target, head.version, head.headers, head.expects_continue, head.keep_alive))
        if is_whole:
            self.request_received()

    def body_received(self, data: bytes) -> None:
        self.told.append(data)

    def request_received(self) -> None:
        self.told.append("received")

    def read(self, *pieces: bytes) -> list[object]:
        for piece in pieces:
            try:
                self._reader.feed(piece)
            except Unreadable as fault:
                self.told.append(fault.code)
                break
        return self.told


def alone(*pieces: bytes) -> list[object]:
    """What a connection reads that remembers nothing."""
    return Reading(Repeats(most=0)).read(*pieces)


def known(*fields: str) -> Repeats:
    """What is remembered after a request with these fields came twice."""
    repeats = Repeats()
    Reading(repeats).read(get("/first", *fields), get("/second", *fields))
    return repeats


def test_fields_that_came_twice_are_read_again_for_another_target() -> None:
    repeats = Repeats()
    first, second, third = (get(path, "Authorization: Bearer k", "X: 1") for path in ("/a", "/b?c=%20d", ID))
    assert Reading(repeats).read(first, second, third) == alone(first, second, third)
    reading = Reading(repeats)
    assert reading.read(third, first) == alone(third, first)
    assert reading.heads[0].notes is reading.heads[1].notes
    assert reading.heads[0].headers is reading.heads[1].headers


def test_the_app_finds_its_notes_with_the_same_fields_and_no_others() -> None:
    repeats = known("Authorization: Bearer one")
    Reading(repeats).read(get("/", "Authorization: Bearer two"), get("/", "Authorization: Bearer two"))
    reading = Reading(repeats)
    reading.read(*(get("/", f"Authorization: Bearer {key}") for key in ("one", "two", "one", "TWO")))
    one, two, again, other = (head.notes for head in reading.heads)
    one["caller"] = "one"
    assert again == {"caller": "one"}
    assert two == other == {}


def test_what_came_once_is_not_remembered() -> None:
    repeats = Repeats()
    reading = Reading(repeats)
    reading.read(*(get("/", f"X-Request-Id: {number}") for number in range(10_000)))
    assert repeats.find(get("/", "X-Request-Id: 9999"), 100)[1] is None
    assert len({id(head.notes) for head in reading.heads}) == len(reading.heads)


@pytest.mark.parametrize(
    "data",
    [
        get("/", "X: 1").replace(b"\r\n", b"\n"),
        get("/", "X: 1").replace(b"GET", b"HEAD"),
        get("/", "X: 1").replace(b"GET", b"get"),
        get("/", "X: 1").replace(b"HTTP/1.1", b"HTTP/1.0"),
        get("/", "X: 1").replace(b"GET /", b"GET  /"),
        get("//a b", "X: 1"),
        get("/\x01", "X: 1"),
        get("/#", "X: 1"),
        get("*", "X: 1"),
        get("http://gateway/", "X: 1"),
        get("/", "X: 1")[:-2],
        get("/", "X: 1") + b"\r\n",
        b"\r\n" + get("/", "X: 1"),
        get("/", "X: 1") + get("/two", "X: 1"),
        get("/", "X: 1") + b"body",
        get("/", "X: 1", "Content-Length: 4"),
        get("/", "X: 1", "Content-Length: 0"),
        get("/", "X: 1", "Transfer-Encoding: chunked"),
        get("/", "X: 1", "Connection: close"),
        get("/", "X: 1", "Upgrade: websocket", "Connection: upgrade"),
        get("/", "X: 1", "Expect: 100-continue"),
        get("/", "X: 1", "Host: other"),
        get("/", "X: 1\r\n 2"),
        b"GET / HTTP/1.1\r\nX: 1\r\n\r\n",
    ],
)
def test_what_is_nearly_the_same_is_read_as_it_is_alone(data: bytes) -> None:
    plain = get("/plain", "X: 1")
    assert Reading(known("X: 1")).read(data, plain, data) == alone(data, plain, data)
    twice = Repeats()
    for _ in range(3):
        assert Reading(twice).read(data, plain) == alone(data, plain)


def test_a_target_too_long_is_refused_with_known_fields_too() -> None:
    limits = ConnectionLimits(target_bytes=20)
    assert Reading(known(), limits).read(get("/" + "a" * 20)) == ["uri_too_long"]
    assert Reading(known(), limits).read(get("/" + "a" * 19))[-1] == "received"


def test_requests_in_one_piece_are_not_taken_for_one() -> None:
    repeats = Repeats()
    pair = get("/a", "X: 1") + get("/b", "X: 1")
    for _ in range(3):
        assert Reading(repeats).read(pair) == alone(pair)
    assert repeats.find(pair, 1000)[1] is None


def test_of_more_than_may_be_remembered_the_first_stay_until_as_many_were_turned_away() -> None:
    repeats = Repeats(most=2500)
    pieces = [get("/", f"X: {number}" + "x" * 60) for number in range(3)]

    def known() -> list[bool]:
        return [repeats.find(piece, 100)[1] is not None for piece in pieces]

    for piece in pieces:
        Reading(repeats).read(piece, piece)
    assert known() == [True, True, False]
    Reading(repeats).read(pieces[2])
    assert known() == [True, True, False]
    Reading(repeats).read(pieces[2])
    assert known() == [False, False, False]
    Reading(repeats).read(pieces[2], pieces[0])
    assert known() == [True, False, True]


@pytest.mark.parametrize(
    ("target", "fields"), [("/" + "a" * 4000, []), ("/", []), ("/", ["a:"] * 98), ("/", ["A: " + "b" * 3000])]
)
def test_what_is_remembered_takes_no_more_memory_than_is_said(target: str, fields: list[str]) -> None:
    most = 512 * 1024
    repeats = Repeats(most)
    reading = RequestReader(ConnectionLimits(), Deaf(), repeats)
    tracemalloc.start()
    try:
        for number in range(2000):
            for path in ("/", target):
                reading.feed(get(path, *fields, f"N: {number}"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    once = sys.getsizeof(repeats._once) + sum(map(sys.getsizeof, repeats._once))  # by a number each
    assert most / 2 < peak - once < most


NAMES = st.sampled_from(["X", "Authorization", "Content-Length", "Transfer-Encoding", "Connection", "Host", "Expect"])
VALUES = st.sampled_from(["1", "0", "", "close", "keep-alive", "chunked", "Bearer k", "100-continue", "a\r\n b", "\n"])
REQUEST = st.builds(
    lambda target, fields, end: get(target, *(f"{name}: {value}" for name, value in fields)) + end,
    st.sampled_from(["/", "/a", "/a?b", "/%", "/ ", "/\x7f", "*"]),
    st.lists(st.tuples(NAMES, VALUES), max_size=3),
    st.sampled_from([b"", b"", b"", b"\r\n", b"x", b"0\r\n\r\n", get("/next")]),
)


@given(st.lists(REQUEST, max_size=4))
def test_whatever_comes_again_is_read_as_it_is_alone(requests: list[bytes]) -> None:
    repeats = Repeats()
    for _ in range(3):
        assert Reading(repeats).read(*requests) == alone(*requests)
