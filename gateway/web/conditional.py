"""`If-None-Match` (RFC 9110 §13.1.2)."""

import re

_TAG = re.compile(rb'(?:W/)?("[^"]*")')


def unchanged(if_none_match: list[bytes], etag: bytes) -> bool:
    """Whether the client already holds the representation with this strong tag, by its header lines `if_none_match`.

    The comparison is the weak one.
    """
    return any(line.strip() == b"*" or etag in _TAG.findall(line) for line in if_none_match)
