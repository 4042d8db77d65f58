"""The latest refusals, for those who ask why."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from heapq import merge
from itertools import islice

import msgspec

OTHER = "other"
"""What is counted for anything a client could make up."""

_LONGEST_KEPT = 500
_MOST_STEPS = 50
_encode = msgspec.msgpack.Encoder().encode


@dataclass(frozen=True, slots=True)
class Denial:
    """One refused call. `time` in unix seconds; `key` by name; empty where it was not known yet.

    `steps` are those of a create's decision: the rule, its verdict, and why.
    """

    time: float
    team: str
    key: str
    model: str
    code: str
    message: str
    request_id: str
    steps: tuple[tuple[str, str, str], ...] = ()


class Denials:
    """The last refusals, in memory. Callers without a valid key have few places of their own.

    So a flood of unknown keys cannot push out what a team wants to know.
    """

    def __init__(self, most: int = 1000, most_unknown: int = 100) -> None:
        self._known: deque[Denial] = deque(maxlen=most)
        self._unknown: deque[Denial] = deque(maxlen=most_unknown)

    def add(self, denial: Denial) -> None:
        """Note one; the oldest goes. What a client may make long is cut."""
        steps = tuple((rule, verdict, text[:_LONGEST_KEPT]) for rule, verdict, text in denial.steps[:_MOST_STEPS])
        model, message = denial.model[:_LONGEST_KEPT], denial.message[:_LONGEST_KEPT]
        kept = replace(denial, model=model, message=message, steps=steps)
        (self._unknown if denial.team == OTHER else self._known).append(kept)

    def dump(self) -> bytes:
        """All of them, for another worker's `latest`."""
        return _encode(list(self._newest()))

    def latest(
        self, limit: int, team: str | None = None, code: str | None = None, others: Iterable[bytes] = ()
    ) -> list[Denial]:
        """At most `limit`, newest first, of one team and one code where these are given.

        `others` are the dumps of other workers.
        """
        newest = merge(self._newest(), *map(_decode_denials, others), key=_newest_first)
        wanted = (each for each in newest if team in (None, each.team) and code in (None, each.code))
        return list(islice(wanted, limit))

    def _newest(self) -> Iterator[Denial]:
        return merge(reversed(self._known), reversed(self._unknown), key=_newest_first)


_decode_denials = msgspec.msgpack.Decoder(list[Denial]).decode


def _newest_first(denial: Denial) -> float:
    return -denial.time
