"""Bytes that come in parts, put together once.

Growing one text part by part copies it many times over, and keeping every part as it came costs a sender of single
bytes nothing and us forty bytes each. So short parts are put together as they come, and all of them at the end.
"""

_SHORT = 4096
"""Bytes of a part from which on it is kept as it came."""


class Parts:
    """What has come so far. `size` is in bytes."""

    __slots__ = ("_parts", "size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def add(self, part: bytes) -> None:
        """One more part."""
        parts = self._parts
        self.size += len(part)
        if parts and len(part) < _SHORT and len(parts[-1]) < _SHORT:
            parts[-1] += part
        else:
            parts.append(part)

    def take(self) -> bytes:
        """All that came, after which there is nothing. A single part is not copied."""
        whole = b"".join(self._parts)
        self._parts.clear()
        self.size = 0
        return whole
