"""Heads of upstream's answers that come again, byte for byte, are not taken apart again.

An upstream that answers thousands of polls a second puts the same head before many of them, within a second at least.
To read and judge it takes a fifteenth of a forwarded poll.

What a head means depends on its bytes and on whether HEAD was asked (RFC 9112 §6.3), whose answers are all the
parser's. Where the head ends only the parser knows: an interim one may stand before it, and a chunked body has more
behind it than itself. So a head is remembered if the parser has read an answer that came in one piece and whole, and
behind its first empty line stood exactly the body, not a byte more: all before is the head then. Another answer has the
same one if it begins with these bytes and as many follow them; the parser is not asked about that. Whatever else comes
is the parser's, from its first byte.
"""

import msgspec

from gateway.core.headers import Header, Headers

_END = b"\r\n\r\n"
_LONGEST = 1024
"""Bytes of a head that is remembered. GMI's have a few hundred."""

_MOST_HEADS = 256
"""A quarter of a megabyte as they were sent, at most. Each second brings one for each length that records have."""

_MOST_ONCE = 4096
"""Heads of which it is remembered that they came: as many as an upstream sends in a second."""


class AnswerHead(msgspec.Struct, frozen=True):
    """What the head of an answer says, as in `Reply`; its body has `length` bytes.

    Replies share it: nobody changes `headers`.
    """

    status: int
    headers: list[Header]
    passed_on: Headers
    is_coded: bool
    keep_for: float
    length: int


class Repeats:
    """The heads that came more than once, on whichever connections.

    What came once is not among them: many servers put an id into every answer, and nothing they send comes again. Most
    put the time into it; so, unlike a client's fields (`server/repeats.py`), those that came first give way: when there
    are too many, nearly all are of a second that is over.
    """

    def __init__(self) -> None:
        self._heads: dict[bytes, AnswerHead] = {}
        self._once: set[int] = set()

    def find(self, data: bytes) -> tuple[bytes, AnswerHead | None]:
        """What may be the head of `data`, or nothing, and what it says, if that is known and as much follows it."""
        end = data.find(_END, 0, _LONGEST) + len(_END)
        if end < len(_END):
            return b"", None
        start = data[:end]
        head = self._heads.get(start)
        return start, head if head is not None and head.length == len(data) - end else None

    def came_before(self, start: bytes) -> bool:
        """Whether another answer lately began like this; from now on one did.

        It is asked first, so that nothing is made of a head that never comes again.
        """
        if hash(start) in self._once:
            return True
        if len(self._once) >= _MOST_ONCE:
            self._once.clear()
        self._once.add(hash(start))
        return False

    def note(self, start: bytes, head: AnswerHead) -> None:
        """The parser has read an answer that is `start` and as many bytes as its head says, and nothing else."""
        if len(self._heads) >= _MOST_HEADS:
            self._heads.clear()
        self._heads[start] = head
