"""When a read is asked again: once, after a short random pause, and only while repeats are few among all calls.

Only GETs are. A create is never repeated: upstream has no idempotency, and a second one is a second job.
"""

from enum import StrEnum

SHORTEST_PAUSE = 0.05
LONGEST_PAUSE = 0.25

UNAVAILABLE = frozenset((502, 503, 504))
"""Statuses of what stands in front of upstream and does not reach it."""


class Reason(StrEnum):
    """Why a read is repeated, as the metric `upstream_retries_total{reason}` names it."""

    UNREACHABLE = "unreachable"
    """No connection came about: nothing was sent."""
    RESET = "reset"
    """The connection broke before any of the answer came."""
    UNAVAILABLE = "unavailable"
    """502, 503 or 504: something in front of upstream could not reach it."""
    EDGE_ERROR = "edge_error"
    """500 with a page instead of JSON: the CDN's or load balancer's, not upstream's own word."""


def reason_to_repeat(status: int, content_type: str) -> Reason | None:
    """Why an answer with this status and `Content-Type` deserves a second try; None if it stands."""
    if status in UNAVAILABLE:
        return Reason.UNAVAILABLE
    if status == 500 and not content_type.lower().startswith("application/json"):
        return Reason.EDGE_ERROR
    return None


def pause(jitter: float) -> float:
    """Seconds to wait before the second try; `jitter` is random in [0, 1) and drawn by the caller."""
    return SHORTEST_PAUSE + (LONGEST_PAUSE - SHORTEST_PAUSE) * jitter


class RetryBudget:
    """Lets one call in ten be repeated: each call pays in a tenth, each repeat takes one out.

    It begins with one repeat and saves up at most ten, so upstream sees at most 1.1 times the calls and one more.
    """

    __slots__ = ("_tenths",)
    _REPEAT = 10
    _MOST = 100

    def __init__(self) -> None:
        self._tenths = self._REPEAT

    def note_call(self) -> None:
        """A first try is being made."""
        self._tenths = min(self._MOST, self._tenths + 1)

    def take(self) -> bool:
        """Whether one repeat may be made; it is paid for then."""
        if self._tenths < self._REPEAT:
            return False
        self._tenths -= self._REPEAT
        return True
