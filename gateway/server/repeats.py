"""Header fields that come again, byte for byte, are not taken apart again.

Whoever polls sends the same fields each time, and to read and judge them is a tenth of what a poll costs.

What fields mean depends on their bytes, and on the method and the version before them, and on nothing else. So those of
a request are remembered if the parser has read it, the reader has found nothing to refuse in it, and it is a GET of
HTTP/1.1 without a body after which the connection stays. Another request has the same head, but for its target, if all
that came is such a first line and behind it these bytes. The parser stands between two requests then, and stays there:
it does not see what is read here.
"""

import re

from gateway.server.head import Head

_LINE = re.compile(rb"GET (/[A-Za-z0-9._~/?=&%-]*) HTTP/1\.1\r\n")
"""Of targets only those in characters that mean the same to every parser."""

_MOST_ONCE = 16 * 1024
_MOST_BYTES = 16 * 1024**2
"""Enough for ten thousand keys, and little beside what a process takes."""

_HEAD_BYTES, _HEADER_BYTES = 800, 130
"""What a head and each of its headers takes in memory, notes included, besides the bytes of the fields twice."""


class Repeats:
    """The heads that came more than once, on whichever connections, in `most` bytes of memory.

    What came once is not among them: many clients put an id into every request, and nothing they send comes again.
    Where there are more, those that came first stay. To remember one in place of another takes longer than to read it,
    and of many that take turns each would be gone before it came again.
    """

    def __init__(self, most: int = _MOST_BYTES) -> None:
        self._most = most
        self._bytes = 0
        self._heads: dict[bytes, Head] = {}
        self._once: set[int] = set()
        self._turned_away = 0

    def find(self, data: bytes, longest: int) -> tuple[bytes, Head | None]:
        """The fields of `data`, if that is a plain first line and what may be fields, and the head, if they are known.

        No head for a target that is longer than `longest`.
        """
        line = _LINE.match(data)
        if line is None or len(line[1]) > longest:
            return b"", None
        fields = data[line.end() :]
        head = self._heads.get(fields)
        return fields, None if head is None else head.again(line[1])

    def note(self, fields: bytes, head: Head) -> None:
        """The parser has read these fields, behind a plain first line, to the end of a request, which has this head.

        That it is the only one is proven by its lines: one for each header, and the empty one.
        """
        if len(head.framing) > 1 or not head.keep_alive or not self._came_before(fields):  # more than the Host header
            return
        whole, lines = fields.endswith(b"\r\n\r\n"), len(head.headers) + 1
        if whole and fields.count(b"\r\n") == fields.count(b"\n") == fields.count(b"\r") == lines:
            self._remember(fields, head)

    def _came_before(self, fields: bytes) -> bool:
        """Whether they came lately. From now on they did."""
        if hash(fields) in self._once:
            return True
        if len(self._once) >= _MOST_ONCE:
            self._once.clear()
        self._once.add(hash(fields))
        return False

    def _remember(self, fields: bytes, head: Head) -> None:
        """There may be no room. When as many were turned away as are there, these may be of clients that are gone."""
        size = 2 * len(fields) + _HEADER_BYTES * len(head.headers) + _HEAD_BYTES
        if self._bytes + size > self._most:
            self._turned_away += 1
            if self._turned_away > len(self._heads):
                self._heads.clear()
                self._bytes = self._turned_away = 0
            return
        self._heads[fields] = head.again(b"")  # a target may be long, and the next one is another
        self._bytes += size
