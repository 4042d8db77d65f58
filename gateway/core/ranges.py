"""Which bytes of a file a `Range` header asks for (RFC 9110 §14)."""

import re

_ONE_RANGE = re.compile(rb"bytes=(?:([0-9]{1,18})-([0-9]{0,18})|-([0-9]{1,18}))", re.IGNORECASE)


def is_one_range(field: bytes) -> bool:
    """Whether the header asks for one range of bytes. Any other is ignored, as a server may (§14.2)."""
    match = _ONE_RANGE.fullmatch(field)
    return match is not None and not (match[2] and int(match[2]) < int(match[1]))


def bytes_asked(field: bytes, size: int) -> range:
    """The positions that one range asks for in a file of `size` bytes; empty if it has none of them (416)."""
    match = _ONE_RANGE.fullmatch(field)
    assert match is not None
    first, last, suffix = match.groups()
    if suffix is not None:
        return range(max(0, size - int(suffix)), size)
    return range(int(first), min(int(last) + 1, size) if last else size)
