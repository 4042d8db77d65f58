"""How old a cached answer may be: closed states, and the rules that lead to them. Ages are in seconds."""

from dataclasses import dataclass
from enum import StrEnum

LIVE_RECORD_FRESH = 1.0
"""Seconds a live job's record is served without asking upstream again."""

LIVE_RECORD_STALE = 60.0
"""Seconds a live job's record may still be served while upstream cannot be asked."""

SHORTEST_INTERVAL = 5.0
"""Seconds after which a living job is looked at again at the earliest, when no client asks."""

LONGEST_INTERVAL = 30.0
"""Seconds after which a living job is looked at again at the latest."""

SHARE_OF_AGE = 10
"""A job that no client asks about is looked at again after its age divided by this, within those bounds."""

SHARE_OF_AGE_ASKED_ABOUT = 2
"""One that clients ask about is seen to again after its age divided by this, within tighter bounds."""


class Freshness(StrEnum):
    """What may be done with an answer of a certain age. Each state only ever leads to a later one."""

    FRESH = "fresh"
    """Serve it."""
    STALE_USABLE = "stale_usable"
    """Serve it, while one refresh runs (RFC 5861 §3)."""
    STALE_ON_ERROR = "stale_on_error"
    """Ask anew; serve it only if upstream fails (RFC 5861 §4)."""
    EXPIRED = "expired"
    """Ask anew; it is worth nothing."""


@dataclass(frozen=True, slots=True)
class Rules:
    """The ages at which an answer stops being fresh, usable while it is refreshed, and usable on error."""

    fresh: float
    usable: float
    on_error: float


MODELS = Rules(fresh=300.0, usable=3600.0, on_error=86400.0)
"""Listings and details of models."""

NEGATIVE = Rules(fresh=30.0, usable=30.0, on_error=30.0)
"""That there is no such model."""


def freshness(age: float, rules: Rules) -> Freshness:
    """The state of an answer that is `age` seconds old. A negative age means a clock went back: ask anew."""
    if 0 <= age < rules.fresh:
        return Freshness.FRESH
    if 0 <= age < rules.usable:
        return Freshness.STALE_USABLE
    return Freshness.STALE_ON_ERROR if age < rules.on_error else Freshness.EXPIRED


def follow_interval(age: float) -> float:
    """Seconds until a job of this age is looked at again when no client asks: a tenth of its age, from 5 to 30."""
    return min(LONGEST_INTERVAL, max(SHORTEST_INTERVAL, age / SHARE_OF_AGE))


def put_off_interval(age: float) -> float:
    """Seconds until a job of this age is seen to again of which is known, from clients that ask, that it lives.

    It was seen within the last `follow_interval`. Should nobody ask any more, it is looked at when that and this are
    over: together they are no more than the longest interval, as long as the job is young enough to have a choice.

    The ledger puts jobs off in SQL of its own, without reading them; this is what that is compared with.
    """
    interval = follow_interval(age)
    return max(interval, min(age / SHARE_OF_AGE_ASKED_ABOUT, LONGEST_INTERVAL - interval))
