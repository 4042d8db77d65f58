import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.freshness import (
    MODELS,
    NEGATIVE,
    Freshness,
    Rules,
    follow_interval,
    freshness,
    put_off_interval,
)

ORDER = list(Freshness)
ON_ERROR_ALONE = Rules(fresh=1.0, usable=1.0, on_error=60.0)
"""Never served while it is refreshed, only when asking fails."""


@pytest.mark.parametrize(
    ("rules", "age", "state"),
    [
        (MODELS, 0, Freshness.FRESH),
        (MODELS, 299.9, Freshness.FRESH),
        (MODELS, 300, Freshness.STALE_USABLE),
        (MODELS, 3599.9, Freshness.STALE_USABLE),
        (MODELS, 3600, Freshness.STALE_ON_ERROR),
        (MODELS, 86399.9, Freshness.STALE_ON_ERROR),
        (MODELS, 86400, Freshness.EXPIRED),
        (NEGATIVE, 29.9, Freshness.FRESH),
        (NEGATIVE, 30, Freshness.EXPIRED),
        (ON_ERROR_ALONE, 0.99, Freshness.FRESH),
        (ON_ERROR_ALONE, 1, Freshness.STALE_ON_ERROR),
        (ON_ERROR_ALONE, 59.9, Freshness.STALE_ON_ERROR),
        (ON_ERROR_ALONE, 60, Freshness.EXPIRED),
    ],
)
def test_an_answer_ages_through_its_states(rules: Rules, age: float, state: Freshness) -> None:
    assert freshness(age, rules) is state


@pytest.mark.parametrize("rules", [MODELS, NEGATIVE, ON_ERROR_ALONE])
def test_tw4_an_answer_from_the_future_is_asked_anew(rules: Rules) -> None:
    assert freshness(-1, rules) is Freshness.STALE_ON_ERROR


@given(st.sampled_from([MODELS, NEGATIVE, ON_ERROR_ALONE]), st.floats(0, 1e6), st.floats(0, 1e6))
def test_an_answer_never_gets_younger(rules: Rules, age: float, more: float) -> None:
    assert ORDER.index(freshness(age, rules)) <= ORDER.index(freshness(age + more, rules))


@pytest.mark.parametrize(("age", "seconds"), [(0, 5), (50, 5), (100, 10), (300, 30), (86400, 30), (-5, 5)])
def test_a_job_is_followed_ever_more_slowly(age: float, seconds: float) -> None:
    assert follow_interval(age) == seconds


@pytest.mark.parametrize(
    ("age", "seconds"), [(0, 5), (10, 5), (20, 10), (50, 25), (100, 20), (150, 15), (200, 20), (86400, 30), (-5, 5)]
)
def test_a_job_that_clients_ask_about_is_put_off(age: float, seconds: float) -> None:
    assert put_off_interval(age) == seconds


@given(st.floats(0, 150))
def test_a_young_job_that_nobody_asks_about_any_more_is_looked_at_within_half_a_minute(age: float) -> None:
    assert follow_interval(age) + put_off_interval(age) <= 30
