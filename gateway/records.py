"""What upstream last said of jobs, as much of it as fits: what was used longest ago goes first.

A cache of a library keeps that order as well, but moves a job in it at every look-up, of which a forwarded poll makes
three, and calls two functions for each. Here a poll moves its job once where the record is the one there was; another
one is put in anew.
"""

from collections import OrderedDict

import msgspec

from gateway.looks import Failed, Seen

_RECORD_BYTES = 1024
"""What a record costs besides its answer."""


class Known(msgspec.Struct, gc=False):
    """What upstream last said of one job.

    `seen` is its record, and `error` what it last answered instead, if it has given no record since. A record is
    `unwritten` while the ledger does not have it.
    """

    seen: Seen | None = None
    error: Seen | Failed | None = None
    unwritten: bool = False

    @property
    def size(self) -> int:
        """Bytes."""
        answers = [each.answer.size for each in (self.seen, self.error) if isinstance(each, Seen)]
        return _RECORD_BYTES + sum(answers)


_NOTHING = Known()
"""Of a job that is not remembered. Nobody writes to it."""


class Records:
    """What is known of jobs, by id, in `most` bytes. What is changed in place must stay as large as it is."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._bytes = 0
        self._known: OrderedDict[str, Known] = OrderedDict()

    def use(self, request_id: str) -> Known:
        """All that is known of the job, to be read only. It goes after all others from now on."""
        known = self._known.get(request_id)
        if known is None:
            return _NOTHING
        self._known.move_to_end(request_id)
        return known

    def peek(self, request_id: str) -> Known:
        """As `use`, for who has used it a moment ago, or does so only to see what is there."""
        return self._known.get(request_id, _NOTHING)

    def can_keep(self, known: Known) -> bool:
        """Whether this is not larger alone than all may be together."""
        return known.size <= self._most

    def keep(self, request_id: str, known: Known) -> None:
        """Put this in place of what was known, if it can be kept, and drop what has to go for it."""
        self.drop(request_id)
        if not self.can_keep(known):
            return
        self._known[request_id] = known
        self._bytes += known.size
        while self._bytes > self._most:
            self.drop(next(iter(self._known)))

    def drop(self, request_id: str) -> None:
        """Know nothing of the job any more."""
        known = self._known.pop(request_id, None)
        if known is not None:
            self._bytes -= known.size
