"""What may be in memory at once: bodies and answers under way, remembered records, listings, and what they leave.

Where a container bounds the memory, all of it fits into the bound together, so that a flood is shed and nothing killed.
"""

from dataclasses import dataclass

MIB = 1024**2
LEAST_BODIES = 256 * MIB

_ITSELF = 96 * MIB
"""The process without any call: code, policies, connections, and the heads of requests that are remembered."""

_LARGEST_BODIES = 4
_RECORDS = 64 * MIB
_LISTINGS = 64 * MIB
_KEPT_FREE = 128 * MIB


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes. `bodies` counts a body once, though it may be in memory up to six times while it is read and judged."""

    bodies: int
    records: int
    listings: int
    kept_free: int


def budget_for(limit: int | None, workers: int, largest_body: int) -> Budget:
    """What each of so many workers may keep under the bound they share; None for none."""
    bodies = max(LEAST_BODIES, _LARGEST_BODIES * largest_body)
    if limit is None:
        return Budget(bodies, _RECORDS, _LISTINGS, _KEPT_FREE)
    share = limit // workers
    spare = max(share // 4, share - _ITSELF)
    return Budget(
        bodies=min(bodies, spare // 8),
        records=min(_RECORDS, spare // 10),
        listings=min(_LISTINGS, spare // 20),
        kept_free=min(_KEPT_FREE, spare // 20),
    )
