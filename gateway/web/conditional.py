"""Answers that are kept: what a client is told of their age, and `If-None-Match` (RFC 9110 §13.1.2)."""

import re
from collections.abc import Mapping

from gateway.cache import How, Served
from gateway.catalogue import Page
from gateway.core.headers import Header
from gateway.looks import Seen
from gateway.upstream.client import Answer
from gateway.web.call import Call
from gateway.web.respond import Reply

_PRIVATE = (b"cache-control", b"private, no-cache")
_STATUS: Mapping[How, Header] = {
    How.HIT: (b"cache-status", b"gmi-gateway; hit"),
    How.MISS: (b"cache-status", b"gmi-gateway; fwd=miss"),
    How.COLLAPSED: (b"cache-status", b"gmi-gateway; fwd=miss; collapsed"),
    How.STALE: (b"cache-status", b"gmi-gateway; hit; detail=stale"),
    How.STALE_ERROR: (b"cache-status", b"gmi-gateway; hit; detail=stale-error"),
}
"""`Cache-Status` (RFC 9211)."""

_TAG = re.compile(rb'(?:W/)?("[^"]*")')


def conditional_reply(call: Call, answer: Answer | Page, etag: bytes, age: float, how: How) -> Reply:
    """The answer, or 304 without its body if the client holds it. `age` is in seconds since upstream gave it.

    Without an `etag` it is an error of upstream's own, which is kept nowhere.
    """
    if not etag:
        return Reply(answer.status, answer.body, (*answer.headers, _STATUS[how]))
    headers = (_PRIVATE, (b"etag", etag), (b"age", b"%d" % age), _STATUS[how])
    if b"if-none-match" in call.named and unchanged(call.headers(b"if-none-match"), etag):
        return Reply(304, b"", headers)
    return Reply(answer.status, answer.body, answer.headers + headers)


def told(call: Call, served: Served[Seen]) -> Reply:
    """A job's record, or upstream's error, as whoever asks for it is told."""
    seen = served.value
    return conditional_reply(call, seen.answer, seen.etag, served.age, served.how)


def unchanged(if_none_match: list[bytes], etag: bytes) -> bool:
    """Whether the client already holds the representation with this strong tag, by its header lines `if_none_match`.

    The comparison is the weak one.
    """
    return any(line.strip() == b"*" or etag in _TAG.findall(line) for line in if_none_match)
