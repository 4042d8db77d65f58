"""What upstream answered, made fit to be passed on: whole, uninflated, end-to-end fields only, without our key."""

import math
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from email.utils import parsedate_to_datetime
from itertools import chain
from typing import Annotated

import httpx
import msgspec

from gateway.core.headers import Headers
from gateway.core.lifecycle import ACCEPTED
from gateway.upstream.failures import UpstreamFailure
from gateway.upstream.intake import Intake, Reading
from gateway.upstream.reply import Reply, Stage
from gateway.upstream.request import Operation

LARGEST_BODY = 64 * 1024**2
"""Bytes of an answer's body; more is refused unread."""

LARGEST_CATALOGUE = 1024**2
"""Bytes of a listing of models, or of one's detail; looking through more would hold up every call for seconds.

GMI's have about ten thousand."""

# A member read through its class costs as much as a call; these are read for every answer.
_GET, _LIST = Operation.GET_REQUEST, Operation.LIST_REQUESTS

_CATALOGUE = (Operation.LIST_MODELS, Operation.GET_MODEL)
_JSON = b"application/json"
_SMALL = 64 * 1024
_BACKSLASH = ord("\\")
"""As a number: looking for that in bytes takes a fifth of what looking for bytes does."""

_TRY_LATER = (429, 503)
LONGEST_WAIT = 300
"""Seconds that a client is told to wait after a 429 or 503, at most."""

_USUAL_WAIT = 5

_SHORTEST_REFUSAL = 0.1
"""Seconds that a 429 holds at least: a line of creates, each of which is sent once, must not be used up in a moment."""


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Upstream's answer: status, end-to-end headers (names in lower case), body byte for byte.

    `elapsed` is the seconds from the first attempt to the last byte. `span` is the `traceparent` of the call that
    brought it, where that is recorded.
    """

    status: int
    headers: Headers
    body: bytes
    elapsed: float = 0.0
    span: str | None = None

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header; None if absent."""
        for key, value in self.headers:
            if key == name:
                return value
        return None

    @property
    def size(self) -> int:
        """Bytes of headers and body."""
        return len(self.body) + sum(map(len, chain.from_iterable(self.headers)))

    @property
    def content_type(self) -> str:
        """The `Content-Type` as it was sent; empty if absent."""
        return (self.header(b"content-type") or b"").decode("latin-1")


def whole_body(reply: Reply) -> bytes | None:
    """The body of an answer that may be passed on by its head, if all of it has come; None if it must be waited for.

    Raises UpstreamFailure for an answer that may not.
    """
    if not 200 <= reply.status <= 599 or 300 <= reply.status <= 399:
        raise UpstreamFailure.invalid("Upstream answered with a redirect or another status an API has no use for")
    if reply.is_coded:
        raise UpstreamFailure.invalid("Upstream's answer is compressed although it was asked not to be")
    body = reply.whole_body()
    if body is not None and len(body) > LARGEST_BODY:
        raise _too_large()
    return body


async def read_body(reply: Reply, intake: Intake, reading: Reading) -> bytes:
    """The body, when all of it has come. Raises UpstreamFailure if that does not happen, or if it is too much."""
    chunks: list[bytes] = []
    size = 0
    try:
        async for chunk in reply:
            size += len(chunk)
            if size > LARGEST_BODY:
                raise _too_large()
            chunks.append(chunk)
            intake.take(reading, len(chunk))
            if not intake.has_room(reading) and reply.stage is Stage.BODY:
                reply.pause()
                await intake.wait(reading)
    except httpx.TransportError as error:
        raise UpstreamFailure.invalid("Upstream broke off in the middle of its answer") from error
    finally:
        intake.end(reading)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large() -> UpstreamFailure:
    return UpstreamFailure.invalid("Upstream's answer is larger than the gateway takes")


def require_no_secret(reply: Reply, body: bytes, traces: Iterable[bytes]) -> None:
    """Raises UpstreamFailure for an answer with one of our keys in it, of which these are the traces.

    Escapes of JSON are seen through where that takes no time to speak of: errors that quote a key are short.
    """
    if reply.piece is not None:
        texts: tuple[bytes, ...] = (reply.piece,)
    else:
        texts = (b"\n".join([value for _, value in reply.headers]), body)
    if len(body) <= _SMALL and _BACKSLASH in body and (b"\\u00" in body or b"\\/" in body):
        texts += (_without_escapes(body),)
    for text in texts:
        for trace in traces:
            if text.find(trace) >= 0:  # which takes half as long as `in`
                raise UpstreamFailure.invalid("Upstream's answer contains a credential of the gateway and was withheld")


def _without_escapes(body: bytes) -> bytes:
    """The same JSON with every character as it is that may be (RFC 8259 §7); empty for what is no JSON."""
    try:
        return msgspec.json.encode(msgspec.json.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return b""


def headers_to_pass_on(reply: Reply, body: bytes) -> Headers:
    """What of an answer's headers is the client's business, with a `Retry-After` where it is to wait."""
    if reply.status not in _TRY_LATER:
        return reply.passed_on
    return (*reply.passed_on, (b"retry-after", b"%d" % retry_after(httpx.Headers(reply.headers), body)))


def retry_after(headers: Mapping[str, str], body: bytes) -> int:
    """Seconds to wait after a 429 or 503, from 1 to 300 (RFC 9110 §10.2.3).

    Upstream's own word, its body's `rate_limit.retry_after_ms`, else the header of whatever answered in its place, a
    date in it read by that one's clock, else 5.
    """
    seconds = _body_seconds(body)
    if seconds is None:
        seconds = _header_seconds(headers.get("retry-after", ""), headers.get("date", ""))
    return min(LONGEST_WAIT, max(1, math.ceil(_USUAL_WAIT if seconds is None else seconds)))


def seconds_refused(answer: Answer) -> float:
    """How long this 429 of upstream holds, 300 s at most: to the millisecond in its body, else its `Retry-After`."""
    stated = _body_seconds(answer.body)
    if stated is None or stated <= 0:
        return float(answer.header(b"retry-after") or 1)
    return min(LONGEST_WAIT, max(_SHORTEST_REFUSAL, stated))


def _header_seconds(text: str, date: str) -> float | None:
    if re.fullmatch(r"-?[0-9]{1,15}", text.strip()):
        return float(text)
    try:
        return (parsedate_to_datetime(text) - parsedate_to_datetime(date)).total_seconds()
    except (ValueError, TypeError):
        return None


def _body_seconds(body: bytes) -> float | None:
    try:
        return _decode_limited(body).rate_limit.retry_after_ms / 1000
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def stated_limit(body: bytes) -> dict[str, str | int]:
    """What the body of a 429 says of upstream's limit in `rate_limit`, in GMI's names: plain, short values alone."""
    try:
        fields = _decode_stated(body).rate_limit
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    stated: dict[str, str | int] = {}
    for name, decode in _STATED.items():
        with suppress(KeyError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            stated[name] = decode(fields[name])
    return stated


class _Stated(msgspec.Struct):
    rate_limit: dict[str, msgspec.Raw]


_Word = Annotated[str, msgspec.Meta(pattern=r"\A[A-Za-z0-9_-]{1,32}\Z")]
_Count = Annotated[int, msgspec.Meta(ge=0, le=10**9)]
_STATED: Mapping[str, Callable[[msgspec.Raw], str | int]] = {
    "limit_type": msgspec.json.Decoder(_Word).decode,
    "limit": msgspec.json.Decoder(_Count).decode,
    "interval_seconds": msgspec.json.Decoder(_Count).decode,
}
_decode_stated = msgspec.json.Decoder(_Stated).decode


class _RateLimit(msgspec.Struct):
    retry_after_ms: float


class _Limited(msgspec.Struct):
    rate_limit: _RateLimit


_decode_limited = msgspec.json.Decoder(_Limited).decode


def require_result(answer: Answer, operation: Operation) -> None:
    """Raises UpstreamFailure unless an answer of 2xx brings what was asked for: `application/json`, and one object.

    Whoever asked for a record or a page of them reads more of it than its being an object.
    """
    if answer.status not in ACCEPTED:
        raise UpstreamFailure.invalid("Upstream answered with a status that names no result")
    if operation is _LIST:
        return
    media_type = answer.header(b"content-type") or b""
    if media_type != _JSON and media_type.partition(b";")[0].strip().lower() != _JSON:
        raise UpstreamFailure.invalid("Upstream's answer is not JSON")
    if operation is _GET:
        return
    if operation in _CATALOGUE and len(answer.body) > LARGEST_CATALOGUE:
        raise _too_large()
    try:
        _decode_object(answer.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise UpstreamFailure.invalid("Upstream's answer is not a JSON object") from None


_decode_object = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
