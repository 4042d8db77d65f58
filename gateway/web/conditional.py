"""`If-None-Match` (RFC 9110 §13.1.2)."""

import re

_TAG = re.compile(rb'(?:W/)?("[^"]*")')


def unchanged(if_none_match: bytes | None, etag: bytes) -> bool:
    """Whether the client already holds the representation with this strong tag. The comparison is the weak one."""
    if if_none_match is None:
        return False
    return if_none_match.strip() == b"*" or etag in _TAG.findall(if_none_match)
