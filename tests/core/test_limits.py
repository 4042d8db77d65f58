from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.claims import Bound, Claim, OnSettle
from gateway.core.limits import (
    LimitState,
    RequestBound,
    applies_to,
    claims_for,
    counters_of,
    crossed,
    limit_states,
    request_bounds,
    request_state,
    seconds_until,
    shadowed,
    upload_claims,
)
from gateway.core.policy import Caller, Key, Limit, Mode, Override, Period, Unit
from tests.core.worlds import KEY, NOON, at, caller_with, limit

DAY_ENDS = at("2026-11-24T00:00")


def test_a_create_takes_one_claim_per_counter_sorted() -> None:
    caller = caller_with(
        limit(200),
        limit(5, period=Period.AT_ONCE),
        limit(100, Unit.SECONDS),
        limit(500_000_000, Unit.USD, Period.MONTH),
        limit(600, Unit.REQUESTS, Period.MINUTE),
        limit(10, Unit.UPLOADS),
    )
    claims = claims_for(caller, "Veo3", 3_200_000, 8, NOON)
    assert [(claim.counter, claim.amount, claim.ceiling, claim.on_settle, claim.window_ends) for claim in claims] == [
        ("USD/marketing//2026-11/", 3_200_000, 500_000_000, OnSettle.ADJUST, at("2026-12-01T00:00")),
        ("jobs/marketing//2026-11-23/", 1, 200, OnSettle.KEEP, DAY_ENDS),
        ("jobs/marketing//at-once/", 1, 5, OnSettle.RETURN, None),
        ("seconds/marketing//2026-11-23/", 8, 100, OnSettle.KEEP, DAY_ENDS),
    ]


def test_what_costs_nothing_claims_nothing() -> None:
    caller = caller_with(limit(0, Unit.USD, Period.MONTH), limit(0, Unit.SECONDS))
    assert claims_for(caller, "Veo3", 0, 0, NOON) == ()


def test_limits_that_count_the_same_share_a_counter_tightest_first() -> None:
    wide, tight = limit(200, name="wide"), limit(100, name="tight")
    shadow = replace(limit(50, name="shadow"), mode=Mode.SHADOW)
    (claim,) = claims_for(caller_with(wide, shadow, tight), "Veo3", 0, 0, NOON)
    assert claim.bounds == (Bound(shadow, 50), Bound(tight, 100), Bound(wide, 200))
    assert claim.ceiling == 100


def test_a_counter_under_shadow_limits_alone_is_counted_without_ceiling() -> None:
    (claim,) = claims_for(caller_with(replace(limit(1), mode=Mode.SHADOW)), "Veo3", 0, 0, NOON)
    assert (claim.amount, claim.ceiling) == (1, None)


def test_qu6_editing_or_renaming_a_limit_keeps_its_counter() -> None:
    (before,) = claims_for(caller_with(limit(200)), "Veo3", 0, 0, NOON)
    (after,) = claims_for(caller_with(limit(3, name="renamed")), "Veo3", 0, 0, NOON)
    assert before.counter == after.counter


def test_models_keys_teams_units_and_windows_have_counters_of_their_own() -> None:
    other_key = replace(KEY, name="batch")
    limits = (
        limit(1),
        replace(limit(1, name="per-key"), per_key=True),
        replace(limit(1, name="veo"), models=("Veo3*", "A")),
        limit(1, period=Period.WEEK),
        limit(1, period=Period.HOUR),
        limit(1, Unit.UPLOADS),
    )
    assert counters_of(caller_with(*limits), NOON) == (
        "jobs/marketing//2026-11-23/",
        "jobs/marketing//2026-11-23/A,Veo3*",
        "jobs/marketing//2026-11-23T12+0000/",
        "jobs/marketing//2026-W48/",
        "jobs/marketing/web/2026-11-23/",
        "uploads/marketing//2026-11-23/",
    )
    theirs = counters_of(caller_with(*limits, key=other_key), NOON)
    assert set(theirs) - set(counters_of(caller_with(*limits), NOON)) == {"jobs/marketing/batch/2026-11-23/"}


def test_the_order_of_a_limits_models_does_not_matter() -> None:
    one, other = replace(limit(1), models=("B", "A")), replace(limit(1), models=("A", "B"))
    assert counters_of(caller_with(one), NOON) == counters_of(caller_with(other), NOON)


def test_patterns_that_hold_a_comma_have_counters_of_their_own() -> None:
    lists = [("a", "b"), ("a,b",), ("a\\", "b"), ("a\\,b",), ("a\\\\", "b"), ("a", ",b")]
    counters = [counters_of(caller_with(replace(limit(1), models=models)), NOON) for models in lists]
    assert counters[:3] == [
        ("jobs/marketing//2026-11-23/a,b",),
        ("jobs/marketing//2026-11-23/a\\,b",),
        ("jobs/marketing//2026-11-23/a\\\\,b",),
    ]
    assert len(set(counters)) == len(lists)


def test_a_limit_for_models_takes_from_those_alone() -> None:
    veo = replace(limit(20, name="veo"), models=("Veo3",))
    assert claims_for(caller_with(veo), "Veo3-Fast", 0, 0, NOON) == ()
    assert claims_for(caller_with(veo), "Veo3", 0, 0, NOON)[0].ceiling == 20
    assert applies_to(limit(1), "anything")


def test_tw3_a_claim_belongs_to_the_window_it_was_made_in() -> None:
    caller = caller_with(limit(5), timezone="Europe/Berlin")
    (late,) = claims_for(caller, "Veo3", 0, 0, at("2026-11-23T23:59:59.9", "Europe/Berlin"))
    (early,) = claims_for(caller, "Veo3", 0, 0, at("2026-11-24T00:00:00", "Europe/Berlin"))
    assert late.counter == "jobs/marketing//2026-11-23/"
    assert early.counter == "jobs/marketing//2026-11-24/"
    assert late.window_ends == at("2026-11-24T00:00:00", "Europe/Berlin")


def test_an_override_holds_until_its_instant() -> None:
    launch = replace(limit(5), overrides=(Override(9, NOON, "launch"),))
    assert claims_for(caller_with(launch), "Veo3", 0, 0, NOON - 1)[0].ceiling == 9
    assert claims_for(caller_with(launch), "Veo3", 0, 0, NOON)[0].ceiling == 5


def test_an_upload_takes_uploads_alone() -> None:
    caller = caller_with(limit(200), limit(100, Unit.UPLOADS))
    (claim,) = upload_claims(caller, NOON)
    assert claim == Claim(
        counter="uploads/marketing//2026-11-23/",
        amount=1,
        ceiling=100,
        on_settle=OnSettle.KEEP,
        bounds=(Bound(limit(100, Unit.UPLOADS), 100),),
        window_ends=DAY_ENDS,
    )


RATE = limit(600, Unit.REQUESTS, Period.MINUTE)


def test_every_call_counts_on_the_request_limits() -> None:
    per_key = replace(limit(9, Unit.REQUESTS, Period.DAY), per_key=True)
    bounds = request_bounds(caller_with(limit(1), RATE, per_key), NOON + 28.5)
    assert bounds == (
        RequestBound("requests/marketing//2026-11-23T12:00+0000/", RATE, 600, NOON + 60, 60, (Bound(RATE, 600),)),
        RequestBound("requests/marketing/web/2026-11-23/", per_key, 9, DAY_ENDS, 86400, (Bound(per_key, 9),)),
    )
    assert [bound.mode for bound in bounds] == [Mode.ENFORCE, Mode.ENFORCE]


def test_a_team_without_request_limits_has_no_bounds() -> None:
    assert request_bounds(caller_with(limit(1)), NOON) == ()


def test_request_bounds_are_remembered_within_their_window_and_renewed_after_it() -> None:
    caller = caller_with(RATE)
    first = request_bounds(caller, NOON)
    assert request_bounds(caller, NOON + 59.9) is first
    assert request_bounds(caller, NOON + 60)[0].window_ends == NOON + 120
    assert request_bounds(caller, NOON)[0].window_ends == NOON + 60


def test_request_bounds_follow_the_policy_and_its_overrides() -> None:
    launch = replace(RATE, overrides=(Override(900, NOON + 30, "launch"), Override(700, NOON - 30, "over")))
    caller = caller_with(launch)
    assert [request_bounds(caller, now)[0].ceiling for now in (NOON, NOON + 29, NOON + 30)] == [900, 900, 600]
    edited = caller_with(replace(RATE, amount=1))
    assert request_bounds(edited, NOON)[0].ceiling == 1


def test_a_request_limit_in_shadow_gives_way_to_one_that_refuses() -> None:
    shadow = replace(limit(10, Unit.REQUESTS, Period.MINUTE, "shadow"), mode=Mode.SHADOW)
    (both,) = request_bounds(caller_with(shadow, RATE), NOON)
    assert (both.limit, both.ceiling, both.mode) == (RATE, 600, Mode.ENFORCE)
    assert both.bounds == (Bound(shadow, 10), Bound(RATE, 600))
    (alone,) = request_bounds(caller_with(shadow), NOON)
    assert (alone.limit, alone.ceiling, alone.mode) == (shadow, 10, Mode.SHADOW)


def test_the_keys_of_a_team_have_their_request_bounds_together_unless_each_has_its_own() -> None:
    web = caller_with(RATE)
    app = Caller(web.team, Key("app", "a" * 64))
    assert request_bounds(app, NOON) is request_bounds(web, NOON)
    web = caller_with(replace(RATE, per_key=True))
    app = Caller(web.team, app.key)
    assert [bound.counter for caller in (web, app, web) for bound in request_bounds(caller, NOON)] == [
        "requests/marketing/web/2026-11-23T12:00+0000/",
        "requests/marketing/app/2026-11-23T12:00+0000/",
        "requests/marketing/web/2026-11-23T12:00+0000/",
    ]


def test_what_is_remembered_of_callers_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.core.limits._MOST_REMEMBERED", 2)
    remembered: dict[str, object] = {}
    monkeypatch.setattr("gateway.core.limits._remembered", remembered)
    per_key = replace(RATE, per_key=True)
    for number in range(5):
        assert len(request_bounds(caller_with(per_key, key=Key("k", str(number))), NOON)) == 1
    assert len(remembered) <= 2


def test_the_state_of_each_limit_in_policy_order() -> None:
    money, slots = limit(500_000_000, Unit.USD, Period.MONTH), limit(5, period=Period.AT_ONCE)
    used = {"USD/marketing//2026-11/": 1_000_000, "jobs/marketing//at-once/": 7}
    month_ends = at("2026-12-01T00:00")
    first, second = limit_states(caller_with(money, slots), used, NOON + 0.5)
    assert first == LimitState(
        limit=money,
        counter="USD/marketing//2026-11/",
        ceiling=500_000_000,
        used=1_000_000,
        resets_at=month_ends,
        window_seconds=30 * 86400,
        seconds_left=int(month_ends - NOON),
    )
    assert first.remaining == 499_000_000
    assert second == LimitState(slots, "jobs/marketing//at-once/", 5, 7, None, None, None)
    assert second.remaining == 0


def test_a_counter_nobody_has_used_stands_at_nothing() -> None:
    assert limit_states(caller_with(limit(5)), {}, NOON)[0].used == 0


def test_the_state_of_a_request_bound() -> None:
    (bound,) = request_bounds(caller_with(RATE), NOON)
    assert request_state(bound, 1, NOON + 28.2) == LimitState(RATE, bound.counter, 600, 1, NOON + 60, 60, 32)


@pytest.mark.parametrize(("left", "seconds"), [(0.1, 1), (1.0, 1), (1.1, 2), (0, 1), (-5, 1)])
def test_seconds_until_are_never_too_few(left: float, seconds: int) -> None:
    assert seconds_until(NOON + left, NOON) == seconds


def test_shadow_limits_that_would_have_refused() -> None:
    shadow = replace(limit(2, name="shadow"), mode=Mode.SHADOW)
    claims = claims_for(caller_with(limit(9), shadow), "Veo3", 0, 0, NOON)
    counter = claims[0].counter
    assert shadowed(claims, {counter: 3}) == (shadow,)
    assert shadowed(claims, {counter: 2}) == ()
    assert shadowed(claims, {}) == ()


@pytest.mark.parametrize(
    ("before", "after", "percentages"),
    [(0, 49, ()), (49, 50, (50,)), (50, 51, ()), (0, 80, (50, 80)), (79, 200, (80,)), (80, 90, ())],
)
def test_a_warning_is_given_once_when_it_is_reached(before: int, after: int, percentages: tuple[int, ...]) -> None:
    assert crossed(Bound(replace(limit(100), warn=(80, 50)), 100), before, after) == percentages


amounts = st.integers(0, 50)
some_limits = st.lists(
    st.builds(
        lambda amount, unit, period, models, mode: Limit("l", amount, unit, period, models, mode=mode),
        amounts,
        st.sampled_from([Unit.JOBS, Unit.SECONDS, Unit.USD]),
        st.sampled_from([Period.DAY, Period.MONTH]),
        st.sampled_from([(), ("Veo3",), ("Kling",)]),
        st.sampled_from(list(Mode)),
    ),
    max_size=6,
)


def admits(claims: tuple[Claim, ...], used: int) -> bool:
    return all(claim.ceiling is None or used + claim.amount <= claim.ceiling for claim in claims)


@given(some_limits, some_limits, amounts, amounts, amounts)
def test_monotone_more_limits_never_admit_more(
    limits: list[Limit], more: list[Limit], price: int, seconds: int, used: int
) -> None:
    before = claims_for(caller_with(*limits), "Veo3", price, seconds, NOON)
    after = claims_for(caller_with(*limits, *more), "Veo3", price, seconds, NOON)
    assert admits(before, used) or not admits(after, used)


@given(some_limits, amounts, amounts)
def test_claims_are_sorted_one_a_counter_and_never_of_nothing(limits: list[Limit], price: int, seconds: int) -> None:
    claims = claims_for(caller_with(*limits), "Veo3", price, seconds, NOON)
    counters = [claim.counter for claim in claims]
    assert counters == sorted(set(counters))
    assert all(claim.amount > 0 for claim in claims)
