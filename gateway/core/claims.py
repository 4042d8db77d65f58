"""What one admitted call takes from the ledger: a sorted list of claims, all or nothing.

A slot, a daily count, video seconds and money are the same thing here: an amount on a counter below a ceiling.
A counter's name carries scope, unit and window, never a limit's name or amount. So editing a limit does not reset
what is used, and midnight between admission and settlement changes nothing.
"""

from dataclasses import dataclass
from enum import StrEnum

from gateway.core.policy import Limit


class OnSettle(StrEnum):
    """What happens to a claim when its job ends."""

    KEEP = "keep"
    """Counts stay used whatever became of the job that ran."""
    RETURN = "return"
    """A slot comes back with any terminal status."""
    ADJUST = "adjust"
    """Money is kept on success and comes back on `failed` and `cancelled`."""


@dataclass(frozen=True, slots=True)
class Bound:
    """One limit's hold on a counter: at most `ceiling`, for `limit`. A shadow bound only reports."""

    limit: Limit
    ceiling: int


@dataclass(frozen=True, slots=True)
class Claim:
    """`amount` more on `counter`, which may not pass `ceiling` (None: counted, never refused).

    `bounds` are the limits that share the counter, tightest first; `window_ends` the instant after which the
    counter is history (None for a level).
    """

    counter: str
    amount: int
    ceiling: int | None
    on_settle: OnSettle
    bounds: tuple[Bound, ...]
    window_ends: float | None
