"""A repeat is told what has become of the first create, and what to do."""

import pytest

from gateway.core.errors import Code
from gateway.core.lifecycle import State
from gateway.core.repeats import refusal_in_doubt, refusal_of_another_body, refusal_of_repeat


@pytest.mark.parametrize("state", [State.RESERVED, State.SENT])
def test_id3_a_first_create_that_runs_is_waited_for(state: State) -> None:
    refusal = refusal_of_repeat(state)
    assert (refusal.code, refusal.status, refusal.retry_after) == (Code.IDEMPOTENCY_IN_PROGRESS, 409, 1)


def test_ac2_a_first_create_in_doubt_is_a_conflict_and_not_a_timeout() -> None:
    refusal = refusal_of_repeat(State.UNKNOWN)
    assert (refusal.code, refusal.status, refusal.retry_after) == (Code.OUTCOME_UNKNOWN, 409, 5)


def test_another_body_wants_another_key() -> None:
    refusal = refusal_of_another_body()
    assert (refusal.code, refusal.status) == (Code.IDEMPOTENCY_MISMATCH, 422)
    assert "new key" in refusal.message


def test_ac1_a_lost_answer_says_where_to_look() -> None:
    refusal = refusal_in_doubt()
    assert (refusal.code, refusal.status) == (Code.OUTCOME_UNKNOWN, 504)
    assert "GET …/requests" in refusal.message
