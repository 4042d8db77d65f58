from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.core.claims import Claim
from gateway.core.errors import Code, Quota, RateLimit, Refusal
from gateway.core.limits import claims_for, request_bounds, upload_claims
from gateway.core.policy import Limit, Mode, Period, Unit
from gateway.core.refusals import refusal_for, refusal_for_requests
from tests.core.worlds import NOON, at, caller_with, limit

BERLIN = "Europe/Berlin"
ID = "request-1"


def refusal_of(full: Limit, *, used: int, price: int = 0, seconds: int = 0, now: float = NOON) -> Refusal:
    caller = caller_with(full, timezone=BERLIN)
    (claim,) = claims_for(caller, "Veo3", price, seconds, now)
    return refusal_for(claim, used, caller, now, ID)


def test_bu1_a_budget_says_price_left_and_reset() -> None:
    money = limit(10_000_000, Unit.USD, Period.MONTH, "money")
    refusal = refusal_of(money, used=8_800_000, price=3_000_000)
    assert (refusal.code, refusal.status, refusal.retry_after) == (Code.BUDGET_EXCEEDED, 402, None)
    assert refusal.message == (
        "This takes 3.00 USD, but of 10.00 USD per month (limit 'money') only 1.20 USD are left; "
        "ask for less, or try again after 2026-12-01 00:00 Europe/Berlin."
    )
    assert refusal.siblings == {"price": 3, "left": Decimal("1.2"), "resets_at": "2026-11-30T23:00:00Z"}
    resets_at = at("2026-12-01T00:00", BERLIN)
    assert refusal.quota == Quota("money", 10_000_000, 8_800_000, "USD", resets_at)
    assert refusal.rate_limit is not None
    assert (refusal.rate_limit.limit_type, refusal.rate_limit.limit) == ("USD per month", 10)
    assert refusal.rate_limit.interval_seconds == 30 * 86400


def test_a_price_that_never_fits_does_not_say_to_come_back() -> None:
    refusal = refusal_of(limit(2_000_000, Unit.USD, Period.MONTH, "money"), used=0, price=3_000_000)
    assert refusal.retry_after is None
    assert refusal.rate_limit is not None
    assert isinstance(refusal.rate_limit.retry_after_ms, int), "a client of GMI's reads a number here"
    assert refusal.message == (
        "This takes 3.00 USD, more than 2.00 USD per month (limit 'money') can ever give; "
        "ask for less, or ask your platform team."
    )


def test_qu7_a_full_count_is_429_with_both_siblings_and_retry_after() -> None:
    refusal = refusal_of(limit(200), used=200)
    left = int(at("2026-11-24T00:00", BERLIN) - NOON)
    assert (refusal.code, refusal.status) == (Code.QUOTA_EXCEEDED, 429)
    assert refusal.message == (
        "All 200 jobs per day (limit 'jobs-day') are used; try again after 2026-11-24 00:00 Europe/Berlin."
    )
    assert refusal.retry_after is not None
    assert left <= refusal.retry_after < left + 30
    assert refusal.rate_limit == RateLimit("jobs per day", 200, 86400, refusal.retry_after * 1000)
    assert refusal.quota == Quota("jobs-day", 200, 200, "jobs", NOON + left)
    assert refusal.siblings == {}


def test_seconds_say_what_is_left() -> None:
    refusal = refusal_of(limit(10, Unit.SECONDS), used=7, seconds=8)
    assert refusal.code is Code.QUOTA_EXCEEDED
    assert refusal.message == (
        "This takes 8 seconds, but of 10 seconds per day (limit 'seconds-day') only 3 seconds are left; "
        "ask for less, or try again after 2026-11-24 00:00 Europe/Berlin."
    )


def test_qu5_slots_are_429_and_worth_another_try_soon() -> None:
    refusal = refusal_of(limit(3, period=Period.AT_ONCE), used=3)
    assert (refusal.code, refusal.status) == (Code.CONCURRENCY_EXCEEDED, 429)
    assert refusal.message == (
        "All 3 jobs at once (limit 'jobs-at-once') are running; try again when one of them has ended."
    )
    assert refusal.retry_after in range(2, 6)
    assert refusal.rate_limit == RateLimit("jobs at once", 3, 0, (refusal.retry_after or 0) * 1000)
    assert refusal.quota == Quota("jobs-at-once", 3, 3, "jobs", None)


def test_qu6_a_limit_lowered_below_its_use_refuses_and_leaves_nothing() -> None:
    refusal = refusal_of(limit(2, Unit.SECONDS), used=50, seconds=2)
    assert "only 0 seconds are left" in refusal.message
    assert refusal.quota == Quota("seconds-day", 2, 50, "seconds", at("2026-11-24T00:00", BERLIN))


def test_qu6_a_limit_of_nothing_refuses_for_ever() -> None:
    assert refusal_of(limit(0), used=0).message == (
        "This takes 1 job, more than 0 jobs per day (limit 'jobs-day') can ever give; "
        "ask for less, or ask your platform team."
    )


def test_a_budget_at_once_has_no_reset() -> None:
    refusal = refusal_of(limit(5_000_000, Unit.USD, Period.AT_ONCE), used=4_000_000, price=2_000_000)
    assert refusal.siblings == {"price": 2, "left": 1, "resets_at": None}


def test_uploads_are_a_quota() -> None:
    caller = caller_with(limit(100, Unit.UPLOADS))
    (claim,) = upload_claims(caller, NOON)
    refusal = refusal_for(claim, 100, caller, NOON, ID)
    assert refusal.code is Code.QUOTA_EXCEEDED
    assert refusal.message.startswith("All 100 uploads per day (limit 'uploads-day') are used;")


def test_a_request_rate_is_rate_limited_as_upstream_words_it() -> None:
    rate = limit(600, Unit.REQUESTS, Period.MINUTE)
    caller = caller_with(rate)
    (bound,) = request_bounds(caller, NOON + 28.5)
    refusal = refusal_for_requests(bound, caller, NOON + 28.5, ID)
    assert (refusal.code, refusal.status) == (Code.RATE_LIMITED, 429)
    assert refusal.message == (
        "All 600 requests per minute (limit 'requests-minute') are used; try again after 2026-11-23 12:01 UTC."
    )
    assert refusal.retry_after in range(32, 38)
    assert refusal.rate_limit == RateLimit("RPM", 600, 60, (refusal.retry_after or 0) * 1000)
    assert refusal.quota == Quota("requests-minute", 600, 600, "requests", NOON + 60)


def test_other_request_rates_are_worded_by_their_window() -> None:
    caller = caller_with(limit(5, Unit.REQUESTS, Period.SECOND))
    (bound,) = request_bounds(caller, NOON)
    refusal = refusal_for_requests(bound, caller, NOON, ID)
    assert refusal.rate_limit is not None
    assert refusal.rate_limit.limit_type == "requests per second"
    assert "12:00:01 UTC" in refusal.message


def test_the_limit_named_is_the_tightest_that_refuses() -> None:
    shadow = replace(limit(1, name="shadow"), mode=Mode.SHADOW)
    caller = caller_with(limit(9, name="wide"), shadow, limit(5, name="tight"))
    (claim,) = claims_for(caller, "Veo3", 0, 0, NOON)
    quota = refusal_for(claim, 5, caller, NOON, ID).quota
    assert quota is not None
    assert quota.name == "tight"


def test_a_shadow_limit_refuses_nothing() -> None:
    caller = caller_with(replace(limit(1), mode=Mode.SHADOW))
    (claim,) = claims_for(caller, "Veo3", 0, 0, NOON)
    with pytest.raises(AssertionError, match="a shadow limit refuses nothing"):
        refusal_for(claim, 1, caller, NOON, ID)


def claim_of(period: Period) -> tuple[Claim, Limit]:
    full = limit(1, period=period)
    return claims_for(caller_with(full), "Veo3", 0, 0, NOON)[0], full


@given(st.sampled_from(list(Period)), st.text(min_size=1, max_size=32), st.floats(0, 0.999))
def test_tw6_retry_after_is_never_before_the_window_ends(period: Period, request_id: str, later: float) -> None:
    claim, full = claim_of(period)
    refusal = refusal_for(claim, 1, caller_with(full), NOON + later, request_id)
    assert refusal.retry_after is not None
    least = claim.window_ends - NOON - later if claim.window_ends is not None else 1
    assert least <= refusal.retry_after <= least + 31


@pytest.mark.parametrize(
    ("period", "moments"), [(Period.SECOND, 2), (Period.MINUTE, 6), (Period.DAY, 30), (Period.AT_ONCE, 4)]
)
def test_tw6_a_thousand_refused_clients_do_not_come_back_together(period: Period, moments: int) -> None:
    claim, full = claim_of(period)
    waits = [refusal_for(claim, 1, caller_with(full), NOON, str(number)).retry_after for number in range(1000)]
    assert len(set(waits)) == moments
    assert max(waits.count(wait) for wait in set(waits)) < 2 * 1000 / moments


def test_the_same_request_is_told_the_same_wait() -> None:
    claim, full = claim_of(Period.DAY)
    waits = {refusal_for(claim, 1, caller_with(full), NOON, ID).retry_after for _ in range(3)}
    assert len(waits) == 1
