import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.retry import Reason, RetryBudget, pause, reason_to_repeat


@pytest.mark.parametrize(
    ("status", "content_type", "reason"),
    [
        (502, "text/html", Reason.UNAVAILABLE),
        (503, "application/json", Reason.UNAVAILABLE),
        (504, "", Reason.UNAVAILABLE),
        (500, "text/html; charset=utf-8", Reason.EDGE_ERROR),
        (500, "", Reason.EDGE_ERROR),
        (500, "application/json", None),
        (500, "Application/JSON; charset=utf-8", None),
        (200, "text/html", None),
        (404, "text/html", None),
        (429, "application/json", None),
        (501, "text/html", None),
    ],
)
def test_up8_answers_of_the_edge_are_asked_for_again(status: int, content_type: str, reason: Reason | None) -> None:
    assert reason_to_repeat(status, content_type) is reason


def test_pauses_are_spread_and_short() -> None:
    assert pause(0) == 0.05
    assert pause(0.5) == pytest.approx(0.15)
    assert pause(0.999) < 0.25


def test_up8_the_first_failing_read_is_repeated() -> None:
    budget = RetryBudget()
    budget.note_call()
    assert budget.take()
    assert not budget.take()


def test_up15_while_everything_fails_one_call_in_ten_is_repeated() -> None:
    budget, repeats = RetryBudget(), 0
    for _ in range(1000):
        budget.note_call()
        repeats += budget.take()
    assert repeats == 101


def test_quiet_times_save_up_ten_repeats_at_most() -> None:
    budget = RetryBudget()
    for _ in range(10_000):
        budget.note_call()
    assert [budget.take() for _ in range(11)] == [True] * 10 + [False]


@given(st.lists(st.booleans(), max_size=300))
def test_up15_upstream_never_sees_more_than_a_tenth_more(calls: list[bool]) -> None:
    budget, repeats = RetryBudget(), 0
    for made, failing in enumerate(calls, start=1):
        budget.note_call()
        repeats += failing and budget.take()
        assert repeats <= made / 10 + 1
