"""A job's record as server-sent events (WHATWG HTML §9.2), one at each change.

An event's id is the record's entity tag, so whoever comes back with it is told what has changed since, and nothing
twice. A stream holds no record while it waits, and one that its client does not take is asked for nothing more.
"""

from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing

from gateway import polling
from gateway.cache import Served
from gateway.core.errors import Refusal
from gateway.looks import Seen
from gateway.waits import Wait
from gateway.web.call import Call
from gateway.web.conditional import told
from gateway.web.respond import Reply, Stream
from gateway.web.waiting import begin_wait, check_key_again, end_with_client

LONGEST_STREAM = 3600.0
"""Seconds after which a stream ends, for its client to come back, wherever it is then sent."""

COMMENT_AFTER = 10.0
"""Seconds without an event after which a comment shows that the connection lives: well within 15."""

_TO_TAKE_THE_LAST = 60.0
_PART = 64 * 1024
_RETRY = b"retry: 2000\n"
_COMMENT = b":\n\n"
_NO_STORE = (b"cache-control", b"private, no-store")
_HEADERS = ((b"content-type", b"text/event-stream"), _NO_STORE, (b"x-accel-buffering", b"no"))


async def stream(call: Call) -> Reply:
    """`GET …/requests/{id}/events`: the record now and at each change, to its end.

    To one that comes back with the id of the last event there is nothing to tell: 204, which ends its coming back.
    """
    await polling.own(call.gw, call.caller, call.identifier)
    wait = begin_wait(call, LONGEST_STREAM, COMMENT_AFTER)
    served = await _first_look(call, wait)
    if served is not None and served.value.answer.status != 200:
        return told(call, served)
    etag, opening = b"", b"" if served is not None else _COMMENT
    if served is not None and call.header(b"last-event-id") == _id_of(served.value):
        if served.value.terminal:
            return Reply(204, b"", (_NO_STORE,))
        etag, opening = served.value.etag, _COMMENT
    owner = await polling.own(call.gw, call.caller, call.identifier)  # which may have been told of the end by now
    parts = _parts(call, opening, polling.watch(call.gw, call.identifier, owner, etag, wait))
    return Reply(200, b"", _HEADERS, stream=Stream(parts, LONGEST_STREAM + _TO_TAKE_THE_LAST))


async def _first_look(call: Call, wait: Wait) -> Served[Seen] | None:
    """The record now. If the wait ends first, or a comment is due, it is the one last seen; None if that is too old.

    The stream then begins without it: its client is to be shown that it lives, or to come back.
    """
    gw = call.gw
    leaving = end_with_client(call, wait)
    comes_back = b"last-event-id" in call.named  # perhaps from another gateway, which knew more than this one
    look = await polling.first_look(gw, call.caller, call.identifier, wait, anew=comes_back)
    leaving.cancel()  # while it streams, that is watched for where the parts are sent
    call.upstream_seconds = wait.waited
    if wait.is_over:
        check_key_again(call)
    served = look.result() if look.done() else polling.last_seen(gw, call.identifier)
    if served is not None:
        gw.metrics.cache_requests.note("jobs", served.how)
    return served


async def _parts(
    call: Call, opening: bytes, watching: AsyncGenerator[Served[Seen] | None, None]
) -> AsyncGenerator[bytes, None]:
    """The stream's bytes, `opening` first: a comment where there is no event to begin with.

    How soon to come back stands in the first event, and at the end if that is not the job's: in a block of its own some
    readers take it for an event without data.
    """
    yield opening
    retry, ended = _RETRY, False
    async with aclosing(watching) as sights:
        async for served in sights:
            if served is None:
                yield _COMMENT
                continue
            if not _hold(call, served):
                break
            for part in event_of(served.value, retry):
                yield part
            call.let_go()
            retry, ended = b"", served.value.terminal
            del served
    if not ended:
        yield _RETRY


def _hold(call: Call, served: Served[Seen]) -> bool:
    """Whether there is room for the record until the client has taken it."""
    try:
        call.hold(len(served.value.answer.body))
    except Refusal:
        return False
    return True


def event_of(seen: Seen, first: bytes = b"") -> Iterator[bytes]:
    """The event that tells this record, with `first` at its head.

    Each line of the record is a line of data, whatever ended it (§9.2.6).
    """
    body = seen.answer.body
    data = body.replace(b"\r\n", b"\n").replace(b"\r", b"\n").replace(b"\n", b"\ndata: ")
    head = b"%sevent: status\nid: %s\ndata: " % (first, _id_of(seen))
    if len(data) <= _PART:
        yield b"%s%s\n\n" % (head, data)
        return
    yield head
    for start in range(0, len(data), _PART):
        yield data[start : start + _PART]
    yield b"\n\n"


def _id_of(seen: Seen) -> bytes:
    return seen.etag.strip(b'"')
