"""The life of a reservation and of a job, as tables. The ledger's guards and the documentation are made from them."""

from collections.abc import Mapping
from enum import StrEnum

ACCEPTED = (200, 201)
"""Statuses by which upstream says that it has done what it was asked: a create answered so has become a job."""


class State(StrEnum):
    """Where a reservation stands."""

    RESERVED = "reserved"
    """Claimed in the ledger; no byte has been sent."""
    SENT = "sent"
    """Upstream may have read the create; it is never sent again, but with the next key after 401 or 403."""
    UNKNOWN = "unknown"
    """Nobody knows whether the job exists; it stays charged until it is found or provably absent."""
    PLACED = "placed"
    """Upstream named the job; it belongs to the team for ever."""
    SETTLED = "settled"
    """The job ended and its claims were kept or returned."""
    RELEASED = "released"
    """There is no job: every claim was returned."""


TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.RESERVED: frozenset((State.SENT, State.RELEASED)),
    State.SENT: frozenset((State.PLACED, State.RELEASED, State.UNKNOWN)),
    State.UNKNOWN: frozenset((State.PLACED, State.RELEASED)),
    State.PLACED: frozenset((State.SETTLED,)),
    State.SETTLED: frozenset(),
    State.RELEASED: frozenset(),
}

OPEN = frozenset(state for state, following in TRANSITIONS.items() if following)
"""States in which a reservation still holds everything it claimed, but for a slot that was given up."""


def sources_of(target: State) -> tuple[State, ...]:
    """The states from which `target` may be entered, for the ledger's guarded update."""
    return tuple(state for state, following in TRANSITIONS.items() if target in following)


class Outcome(StrEnum):
    """How a job ended, as metrics and usage name it."""

    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    """No terminal status within the job timeout: the slot is freed, the money kept."""


_ALIASES: Mapping[str, Outcome] = {
    "success": Outcome.SUCCESS,
    "finished": Outcome.SUCCESS,
    "completed": Outcome.SUCCESS,
    "succeeded": Outcome.SUCCESS,
    "failed": Outcome.FAILED,
    "error": Outcome.FAILED,
    "rejected": Outcome.FAILED,
    "expired": Outcome.FAILED,
    "cancelled": Outcome.CANCELLED,
    "canceled": Outcome.CANCELLED,
}


_STAGES = ("created", "queued", "dispatched", "processing")
"""What GMI calls a living job, in the order in which it goes on. It may leave some out."""


def is_behind(status: str, other: str) -> bool:
    """Whether a living job of this status has not come as far as one of the other; False where that is not known."""
    return status in _STAGES and other in _STAGES and _STAGES.index(status) < _STAGES.index(other)


def outcome_of(status: str) -> Outcome | None:
    """The outcome a record's `status` stands for, or None while the job lives.

    GMI writes `success, failed, cancelled`; the aliases were seen in clients and cost nothing to understand. An
    unknown status counts as living: a job is never settled by guess.
    """
    return _ALIASES.get(status.lower())


def money_is_kept(outcome: Outcome, *, charge_failed: bool) -> bool:
    """Whether a job that ended so keeps its price. Success and expiry do; failure only where the team says so."""
    return outcome in (Outcome.SUCCESS, Outcome.EXPIRED) or charge_failed
