"""A request as bytes. What could end a line early is refused here, so no value can become a header or a request."""

import re
from collections.abc import AsyncIterable, Iterable
from typing import NamedTuple

import httpx

from gateway.core.headers import Header

END = b"\r\n"
"""What ends the headers."""

_TARGET = re.compile(rb"[\x21-\x7e]+")
_SHORT = 64 * 1024
"""Bytes of a body that is copied behind its head, to leave in one write."""


class Outgoing(NamedTuple):
    """A request. `head` may have a short body behind it; `body` and its `length` are for one that is streamed.

    `bodiless` says that the answer has no body whatever its head says, as with HEAD.
    """

    head: bytes
    body: AsyncIterable[bytes] | None = None
    length: int = 0
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


def with_body(head: bytes, body: bytes | None) -> Outgoing:
    """A request with its body at hand. A short one leaves together with the head."""
    if body is None or len(body) <= _SHORT:
        return Outgoing(head + (body or b""))
    return Outgoing(head, httpx.ByteStream(body), len(body))
