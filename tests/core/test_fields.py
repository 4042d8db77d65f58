from dataclasses import replace

from gateway.core.fields import ratelimit_fields
from gateway.core.limits import limit_states, request_bounds, request_state
from gateway.core.policy import Mode, Period, Unit
from tests.core.worlds import NOON, caller_with, limit

RATE = limit(600, Unit.REQUESTS, Period.MINUTE)


def test_qu7_a_request_rate_is_told_as_two_structured_lists() -> None:
    (bound,) = request_bounds(caller_with(RATE), NOON)
    assert ratelimit_fields([request_state(bound, 1, NOON + 28)]) == (
        (b"ratelimit-policy", b'"requests-minute";q=600;w=60'),
        (b"ratelimit", b'"requests-minute";r=599;t=32'),
    )


def test_several_limits_are_items_of_one_list_and_a_level_has_no_window() -> None:
    states = limit_states(caller_with(limit(200), limit(5, period=Period.AT_ONCE)), {}, NOON)
    assert ratelimit_fields(states) == (
        (b"ratelimit-policy", b'"jobs-day";q=200;w=86400, "jobs-at-once";q=5'),
        (b"ratelimit", b'"jobs-day";r=200;t=43200, "jobs-at-once";r=5'),
    )


def test_what_is_left_is_never_below_nothing() -> None:
    (state,) = limit_states(caller_with(RATE), {}, NOON)
    assert ratelimit_fields([state._replace(used=601)])[1] == (b"ratelimit", b'"requests-minute";r=0;t=60')


def test_money_and_shadow_limits_stay_out() -> None:
    money, shadow = limit(5, Unit.USD, Period.MONTH), replace(RATE, mode=Mode.SHADOW)
    assert ratelimit_fields(limit_states(caller_with(money, shadow), {}, NOON)) == ()
