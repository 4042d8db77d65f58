"""What a create is told that repeats another one, or that should be repeated: nothing is ever sent twice."""

from gateway.core.errors import Code, Refusal
from gateway.core.lifecycle import State

REPEATS_FOR = 24 * 3600.0
"""Seconds a client's idempotency key stands for its first create, and the ledger keeps what that was answered."""


def refusal_of_repeat(state: State) -> Refusal:
    """The first of two equal creates has no answer yet: its reservation is in this state. 409 either way."""
    if state is State.UNKNOWN:
        return Refusal(
            Code.OUTCOME_UNKNOWN,
            "It is not yet known whether the first of these equal requests reached upstream; try again.",
            retry_after=5,
            status=409,
        )
    return Refusal(
        Code.IDEMPOTENCY_IN_PROGRESS,
        "The first of these equal requests is still running; try again to get its answer.",
        retry_after=1,
    )


def refusal_of_another_body() -> Refusal:
    """The key stands for a create with another body: 422."""
    return Refusal(
        Code.IDEMPOTENCY_MISMATCH,
        "This Idempotency-Key was used with another body; use a new key for a new request.",
    )


def refusal_in_doubt() -> Refusal:
    """The create was sent and its answer lost: 504."""
    return Refusal(
        Code.OUTCOME_UNKNOWN,
        "Upstream may or may not have taken this request; look in GET …/requests, where its job appears within a "
        "minute if there is one, or repeat it with the same Idempotency-Key, which never pays twice.",
    )
