"""The rules a request's head must keep beyond what the parser checks, as plain functions.

Where two servers could read the same bytes as different requests, the gateway reads none of them (RFC 9112 §11.2).
"""

import re
from collections.abc import Sequence

Field = tuple[bytes, bytes]

FRAMING_FIELDS = frozenset({b"host", b"content-length", b"transfer-encoding", b"upgrade", b"expect"})
"""The header fields that decide where a request ends, whom it is for, or which protocol follows."""

_TARGET = re.compile(rb"/[!\"$-~]*")  # visible ASCII, no fragment
_HOST = re.compile(rb"([A-Za-z0-9._~-]+|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?")
_NEVER = frozenset({b"CONNECT", b"TRACE"})


def head_problem(method: bytes, version: str, target: bytes, fields: Sequence[Field]) -> str | None:
    """Why a request with this head is refused, as a sentence for its sender; None if it is not.

    `fields` are those of the head named in `FRAMING_FIELDS`, names in lower case. The parser has already refused
    unknown methods, and lengths that are no number.
    """
    if version not in ("1.1", "1.0"):
        return "Send HTTP/1.1."
    if method in _NEVER or not method.isalpha():  # of the parser's methods, all in capitals, M-SEARCH is no word
        return "The gateway does not take this method."
    if not _TARGET.fullmatch(target):
        return "The request target must be a path, such as /gateway/v1/usage."
    return _fields_problem(version, fields)


def _fields_problem(version: str, fields: Sequence[Field]) -> str | None:
    """RFC 9112 §6.3, with every repairable case refused instead of repaired."""
    given = dict(fields)
    if len(given) < len(fields):
        return "Send Host, Content-Length, Transfer-Encoding and Expect at most once each."
    if not _HOST.fullmatch(given.get(b"host", b"")):
        return "Send a Host header: a name or address, with an optional port."
    if b"upgrade" in given:
        return "The gateway speaks HTTP/1.1 only; send no Upgrade header."
    coding = given.get(b"transfer-encoding")
    if coding is None:
        return None
    if coding != b"chunked" or version == "1.0" or b"content-length" in given:
        return "The only Transfer-Encoding taken is `chunked`, with HTTP/1.1 and without Content-Length."
    return None


def expects_continue(version: str, fields: Sequence[Field]) -> bool:
    """Whether the client waits for `100 Continue` before it sends the body (RFC 9110 §10.1.1)."""
    return version == "1.1" and dict(fields).get(b"expect", b"").lower() == b"100-continue"


def chunk_excess(excess: int, overhead: int, chunks: int, data: int) -> int:
    """The running count of bytes that frame chunks without carrying anything.

    `overhead` bytes of sizes, extensions, line ends and trailers came with `chunks` chunks of `data` bytes. Each
    chunk is allowed 16 bytes and each byte of data two more, so that even one-byte chunks cost an honest client
    nothing. Go's net/http counts the same way.
    """
    return max(0, excess + overhead - 16 * chunks - 2 * data)
