"""Request ids, and the W3C trace context that is passed on (Trace Context §3.2, §3.3)."""

import os
import re

from gateway.core.headers import Header, Headers

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_TRACEPARENT = re.compile(rb"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_TRACESTATE = re.compile(rb"[\x20-\x7e]{1,512}")


class Randomness:
    """Random hexadecimal digits. Drawn from the system for some hundred calls at once: asking it costs more than the
    rest of a request id. A process has its own, so that two never give out the same.
    """

    def __init__(self) -> None:
        self._digits = ""
        self._taken = 0

    def take(self) -> str:
        """48 digits that nobody had before."""
        if self._taken >= len(self._digits):
            self._digits, self._taken = os.urandom(24 * 256).hex(), 0
        start, self._taken = self._taken, self._taken + 48
        return self._digits[start : start + 48]


def told_by(headers: list[Header]) -> list[Header]:
    """The caller's headers without those that its `Connection` calls that connection's alone (RFC 9110 §7.6.1)."""
    nominated = {
        token.strip().lower() for name, value in headers if name == b"connection" for token in value.split(b",")
    }
    return [header for header in headers if header[0] not in nominated]


def request_id_of(values: list[bytes], fresh: str) -> str:
    """The caller's own id if there is exactly one and it is plain, else the fresh one."""
    if len(values) == 1 and _REQUEST_ID.fullmatch(values[0]):
        return values[0].decode("ascii")
    return fresh


def trace_context(headers: list[Header], fresh: str) -> Headers:
    """`traceparent` and `tracestate` for upstream: the caller's if valid, else a new trace of `fresh`, 48 hex digits.

    A caller that sends no `traceparent` starts no trace here either.
    """
    context = callers_context(headers)
    if context is None:
        return ((b"traceparent", f"00-{fresh[:32]}-{fresh[32:48]}-00".encode()),)
    return context


def callers_context(headers: list[Header]) -> Headers | None:
    """The caller's `traceparent` and `tracestate`: empty if it sends none, None if it is malformed."""
    headers = told_by(headers)
    parents = [value for name, value in headers if name == b"traceparent"]
    if not parents:
        return ()
    if len(parents) > 1 or not _TRACEPARENT.fullmatch(parents[0]):
        return None
    state = b",".join(value for name, value in headers if name == b"tracestate")
    if not _TRACESTATE.fullmatch(state):
        return ((b"traceparent", parents[0]),)
    return ((b"traceparent", parents[0]), (b"tracestate", state))
