"""A request body, read whole within its size, as plain JSON bytes."""

import asyncio
import hashlib
import re
from collections.abc import Awaitable, Callable
from io import BytesIO

from gateway.core.errors import Code, Refusal
from gateway.core.long_texts import LONG
from gateway.core.parts import Parts
from gateway.core.wire import Draft, parse_create, skim_create
from gateway.web.call import Call

_CONTENT_LENGTH = re.compile(rb"\d{1,18}")
_JSON_TYPE = re.compile(
    rb"application/(?:[a-z0-9.+-]+\+)?json\s*(?:;\s*charset\s*=\s*\"?utf-8\"?\s*)?;?", re.IGNORECASE
)

LARGEST_PARSED_AT_ONCE = LONG
"""Bytes up to which a body is parsed where it was read; a longer one would keep all other calls waiting.

It may be nothing but names, and those take the time: some ten thousand of them fifteen milliseconds.
"""

LARGEST_DIGESTED_AT_ONCE = 256 * 1024
"""Bytes up to which that holds for a digest, which takes a quarter of a millisecond."""

LARGEST_SKIMMED_AT_ONCE = 6 * 1024 * 1024
"""Bytes up to which that holds for a body that can be skimmed, at 4 MiB a millisecond."""

_TAKEN_AHEAD = 32
"""How many times what has come of a body may be taken up for it before the rest has come.

Then the rest can be read into one place. A client that only promises a body takes up nothing by that.
"""

_ReceiveRest = Callable[[memoryview], Awaitable[bool]]


async def read_draft(call: Call) -> Draft:
    """The create that the body holds. Raises Refusal 400 besides what `read_json_body` does."""
    body = await read_json_body(call, call.gw.settings.max_body)
    if len(body) <= LARGEST_PARSED_AT_ONCE:
        return parse_create(body)
    if len(body) <= LARGEST_SKIMMED_AT_ONCE:
        draft = skim_create(body)
        if draft is not None:
            return draft
    return await asyncio.to_thread(_parse_large, body)


def _parse_large(body: bytes) -> Draft:
    return skim_create(body) or parse_create(body)


async def digest_body(body: bytes) -> bytes:
    """Its SHA-256."""
    is_small = len(body) <= LARGEST_DIGESTED_AT_ONCE
    return (hashlib.sha256(body) if is_small else await asyncio.to_thread(hashlib.sha256, body)).digest()


async def read_json_body(call: Call, limit: int) -> bytes:
    """The body's bytes, which the call holds from now on.

    Refusal 415 unless it is unencoded JSON, 413 past `limit` bytes, 503 where the gateway has no room, 408 if it
    breaks off.
    """
    _check_type(call)
    length = _declared_length(call, limit)
    body = Parts()
    while True:
        message = await call.receive()
        if message["type"] == "http.disconnect":
            raise _broken_off()
        part = message.get("body", b"")
        if body.size + len(part) > limit:
            raise _too_large(limit)
        call.hold(len(part))
        body.add(part)
        if not message.get("more_body", False):
            return body.take()
        if 0 < length <= body.size * _TAKEN_AHEAD and "receive_rest" in message:
            call.hold(length - body.size)
            return await _receive_rest(body.take(), length, message["receive_rest"])


async def _receive_rest(begun: bytes, length: int, receive: _ReceiveRest) -> bytes:
    """The body of this length that has begun, when the rest has come too.

    The bytes of a BytesIO may be written, and are what it gives out in the end: nothing is copied but the beginning.
    """
    body = BytesIO(bytes(length))
    with body.getbuffer() as view:
        view[: len(begun)] = begun
        if not await receive(view[len(begun) :]):
            raise _broken_off()
    return body.getvalue()


def _declared_length(call: Call, limit: int) -> int:
    """What `Content-Length` says, 0 without one. Refusal 413 past the limit."""
    declared = call.header(b"content-length")
    if declared is None:
        return 0
    if not _CONTENT_LENGTH.fullmatch(declared) or int(declared) > limit:
        raise _too_large(limit)
    return int(declared)


def _check_type(call: Call) -> None:
    types = call.headers(b"content-type")
    if len(types) > 1 or (types and not _JSON_TYPE.fullmatch(types[0].strip())):
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Send the body as `Content-Type: application/json` in UTF-8.")
    encodings = call.headers(b"content-encoding")
    if any(encoding.strip().lower() not in (b"", b"identity") for encoding in encodings):
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE, "Send the body without Content-Encoding; it is not unpacked here.")


def _broken_off() -> Refusal:
    return Refusal(Code.REQUEST_TIMEOUT, "The body did not arrive whole; send it again.", close=True)


def _too_large(limit: int) -> Refusal:
    return Refusal(
        Code.BODY_TOO_LARGE,
        f"The body is larger than the {limit} bytes this gateway takes; upload large inputs through "
        "POST …/upload-url and send their URL.",
        close=True,
    )
