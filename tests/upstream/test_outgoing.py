"""No value becomes a header or a request."""

from collections.abc import AsyncIterator

import httpx
import pytest

from gateway.upstream.outgoing import Outgoing, header_lines, in_chunks, request_line, with_body


def test_a_request_as_bytes() -> None:
    head = request_line("GET", b"/a?b=c") + header_lines([(b"Host", b"h"), (b"X-A", b"")])
    assert head == b"GET /a?b=c HTTP/1.1\r\nHost: h\r\nX-A: \r\n\r\n"


@pytest.mark.parametrize("target", [b"", b"/a b", b"/a\r\nX: y", b"/\x00", b"/\xc3\xbc", b"/a\n"])
def test_a_target_that_could_end_its_line_is_refused(target: bytes) -> None:
    with pytest.raises(httpx.UnsupportedProtocol):
        request_line("GET", target)


@pytest.mark.parametrize("evil", [b"a\r\nX-Evil: 1", b"a\n", b"\r", b"a\0b"])
def test_a_header_that_could_begin_another_is_refused(evil: bytes) -> None:
    for field in ((b"X-A", evil), (evil, b"1")):
        with pytest.raises(httpx.UnsupportedProtocol):
            header_lines([(b"Host", b"h"), field])


def test_a_short_body_leaves_with_its_head_and_a_long_one_is_not_copied() -> None:
    assert with_body(b"H", b"{}") == Outgoing(b"H{}")
    long = with_body(b"H", b"x" * 100_000)
    assert (long.head, long.length) == (b"H", 100_000)
    assert long.body is not None


async def test_a_body_without_a_length_is_told_in_chunks() -> None:
    async def body() -> AsyncIterator[bytes]:
        for part in (b"abc", b"", b"x" * 17):
            yield part

    assert [part async for part in in_chunks(body())] == [b"3\r\nabc\r\n", b"11\r\n%b\r\n" % (b"x" * 17), b"0\r\n\r\n"]
