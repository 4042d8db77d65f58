"""A request as bytes. What could end a line early is refused here, so no value can become a header or a request."""

import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable

import httpx
import msgspec

from gateway.core.headers import Header

END = b"\r\n"
"""What ends the headers."""

_TARGET = re.compile(rb"[\x21-\x7e]+")
_SHORT = 64 * 1024
"""Bytes of a body that is copied behind its head, to leave in one write."""


class Outgoing(msgspec.Struct, frozen=True):
    """A request. `head` may have a short body behind it; `body` and its `length` are for one that is streamed.

    A `length` of None is one that nobody knows: the body is sent in chunks.
    `bodiless` says that the answer has no body whatever its head says, as with HEAD.
    """

    head: bytes
    body: AsyncIterable[bytes] | None = None
    length: int | None = 0
    bodiless: bool = False


def request_line(method: str, target: bytes) -> bytes:
    """The first line of a request. Raises UnsupportedProtocol if the target could end it."""
    if not _TARGET.fullmatch(target):
        raise httpx.UnsupportedProtocol("the target holds what none may hold")
    return b"%b %b HTTP/1.1\r\n" % (method.encode("ascii"), target)


def header_lines(headers: Iterable[Header]) -> bytes:
    """The headers and the empty line. Raises UnsupportedProtocol if one of them could begin another."""
    fields = [b"%b: %b" % field for field in headers]
    lines = b"\r\n".join([*fields, b"", b""])
    if lines.count(b"\n") != len(fields) + 1 or lines.count(b"\r") != len(fields) + 1 or b"\0" in lines:
        raise httpx.UnsupportedProtocol("a header holds what none may hold")
    return lines


async def in_chunks(body: AsyncIterable[bytes]) -> AsyncIterator[bytes]:
    """The body as it is sent when nobody knows its length (RFC 9112 §7.1). One that breaks off has no last chunk."""
    async for part in body:
        if part:
            yield b"%x\r\n%b\r\n" % (len(part), part)
    yield b"0\r\n\r\n"


def with_body(head: bytes, body: bytes) -> Outgoing:
    """A request with its body at hand. A short one leaves together with the head."""
    if len(body) <= _SHORT:
        return Outgoing(head + body)
    return Outgoing(head, httpx.ByteStream(body), len(body))
