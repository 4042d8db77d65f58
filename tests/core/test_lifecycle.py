from itertools import product

import pytest

from gateway.core.lifecycle import (
    OPEN,
    TRANSITIONS,
    Outcome,
    State,
    is_behind,
    money_is_kept,
    outcome_of,
    sources_of,
)

ALLOWED = {
    (State.RESERVED, State.SENT),
    (State.RESERVED, State.RELEASED),
    (State.SENT, State.PLACED),
    (State.SENT, State.RELEASED),
    (State.SENT, State.UNKNOWN),
    (State.UNKNOWN, State.PLACED),
    (State.UNKNOWN, State.RELEASED),
    (State.PLACED, State.SETTLED),
}


@pytest.mark.parametrize(("source", "target"), list(product(State, State)))
def test_exactly_these_transitions_exist(source: State, target: State) -> None:
    assert (target in TRANSITIONS[source]) is ((source, target) in ALLOWED)
    assert (source in sources_of(target)) is ((source, target) in ALLOWED)


def test_what_ended_holds_nothing_and_never_changes() -> None:
    assert {State.RESERVED, State.SENT, State.UNKNOWN, State.PLACED} == OPEN
    assert not TRANSITIONS[State.SETTLED]
    assert not TRANSITIONS[State.RELEASED]


def test_every_open_state_can_end() -> None:
    reached = {State.SETTLED, State.RELEASED}
    for _ in State:
        reached |= {state for state in State if TRANSITIONS[state] & reached}
    assert reached == set(State)


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        ("created", None),
        ("queued", None),
        ("dispatched", None),
        ("processing", None),
        ("running", None),
        ("something new", None),
        ("", None),
        ("success", Outcome.SUCCESS),
        ("SUCCESS", Outcome.SUCCESS),
        ("finished", Outcome.SUCCESS),
        ("completed", Outcome.SUCCESS),
        ("succeeded", Outcome.SUCCESS),
        ("failed", Outcome.FAILED),
        ("error", Outcome.FAILED),
        ("rejected", Outcome.FAILED),
        ("expired", Outcome.FAILED),
        ("cancelled", Outcome.CANCELLED),
        ("canceled", Outcome.CANCELLED),
    ],
)
def test_a_status_is_an_end_only_if_it_is_known_to_be(status: str, outcome: Outcome | None) -> None:
    assert outcome_of(status) is outcome


@pytest.mark.parametrize(
    ("outcome", "kept", "kept_if_failures_are_charged"),
    [
        (Outcome.SUCCESS, True, True),
        (Outcome.EXPIRED, True, True),
        (Outcome.FAILED, False, True),
        (Outcome.CANCELLED, False, True),
    ],
)
def test_bu4_money_is_kept_or_given_back_by_outcome(
    outcome: Outcome, *, kept: bool, kept_if_failures_are_charged: bool
) -> None:
    assert money_is_kept(outcome, charge_failed=False) is kept
    assert money_is_kept(outcome, charge_failed=True) is kept_if_failures_are_charged


@pytest.mark.parametrize(
    ("status", "other", "behind"),
    [
        ("queued", "processing", True),
        ("created", "queued", True),
        ("processing", "queued", False),
        ("queued", "queued", False),
        ("rendering", "processing", False),
        ("queued", "success", False),
        ("", "queued", False),
    ],
)
def test_a_job_is_behind_another_where_gmi_calls_it_by_an_earlier_name(status: str, other: str, behind: bool) -> None:  # noqa: FBT001
    assert is_behind(status, other) is behind
