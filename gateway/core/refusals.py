"""A limit that is used up, as the refusal its caller gets: what is used up, by how much, and when to come back."""

import zlib
from collections.abc import Mapping

from gateway.core.claims import Bound, Claim, OnSettle
from gateway.core.errors import Code, Quota, RateLimit, Refusal
from gateway.core.limits import RequestBound, seconds_until, tightest, window_of
from gateway.core.money import usd_number
from gateway.core.policy import Caller, Limit, Period, Unit
from gateway.core.wording import amount_words, instant_words, limit_words, rfc3339

_SHORTEST_SLOT_WAIT = 2
"""Seconds after which asking for a slot again may be worth it: nobody knows when a job ends."""

_SPREAD = {Period.SECOND: 2, Period.MINUTE: 6, Period.AT_ONCE: 4}
_WIDEST_SPREAD = 30
"""Over how many seconds callers that were refused together are told to come back; the widest for longer windows."""


def refusal_for(claim: Claim, used: int, caller: Caller, now: float, request_id: str) -> Refusal:
    """The refusal of a claim that does not fit on top of `used`: 402 for money, else 429.

    `request_id` spreads the moments at which refused callers come back. The claim must have a ceiling.
    """
    bound = tightest(claim.bounds)
    assert bound is not None, "a shadow limit refuses nothing"
    wait = _wait(bound.limit, claim.window_ends, now, request_id)
    money = bound.limit.unit is Unit.USD
    return Refusal(
        _code(bound.limit),
        _message(bound, claim, used, caller.team.timezone),
        retry_after=None if money else wait,
        rate_limit=_rate_limit(bound, caller, now, wait),
        quota=Quota(bound.limit.name, bound.ceiling, used, bound.limit.unit, claim.window_ends),
        siblings=_money_siblings(bound, claim, used) if money else {},
        used={claim.counter: used},
    )


def refusal_for_requests(bound: RequestBound, caller: Caller, now: float, request_id: str) -> Refusal:
    """The refusal of a call beyond its request rate: 429 `rate_limited`."""
    claim = Claim(bound.counter, 1, bound.ceiling, OnSettle.KEEP, bound.bounds, bound.window_ends)
    return refusal_for(claim, bound.ceiling, caller, now, request_id)


def _code(limit: Limit) -> Code:
    if limit.unit is Unit.USD:
        return Code.BUDGET_EXCEEDED
    if limit.unit is Unit.REQUESTS:
        return Code.RATE_LIMITED
    return Code.CONCURRENCY_EXCEEDED if limit.period is Period.AT_ONCE else Code.QUOTA_EXCEEDED


def _wait(limit: Limit, window_ends: float | None, now: float, request_id: str) -> int:
    """Whole seconds until the window has surely ended, and a few more that differ from caller to caller."""
    least = _SHORTEST_SLOT_WAIT if window_ends is None else seconds_until(window_ends, now)
    return least + zlib.crc32(request_id.encode()) % _SPREAD.get(limit.period, _WIDEST_SPREAD)


def _rate_limit(bound: Bound, caller: Caller, now: float, wait: int) -> RateLimit:
    limit = bound.limit
    window = window_of(limit, caller, now)
    return RateLimit(
        limit_type=_limit_type(limit),
        limit=usd_number(bound.ceiling) if limit.unit is Unit.USD else bound.ceiling,
        interval_seconds=window.seconds if window else 0,
        retry_after_ms=wait * 1000,
    )


def _limit_type(limit: Limit) -> str:
    """GMI's own `RPM` where it fits, else the limit's kind in words."""
    if limit.unit is Unit.REQUESTS and limit.period is Period.MINUTE:
        return "RPM"
    return f"{limit.unit} {limit.period}" if limit.period is Period.AT_ONCE else f"{limit.unit} per {limit.period}"


def _message(bound: Bound, claim: Claim, used: int, timezone: str) -> str:
    """One sentence: the limit, what is left of it, and what the caller can do."""
    limit, ceiling = bound.limit, bound.ceiling
    whole = f"{limit_words(limit, ceiling)} (limit {limit.name!r})"
    left = amount_words(max(0, ceiling - used), limit.unit)
    if claim.amount > ceiling:
        takes = amount_words(claim.amount, limit.unit)
        return f"This takes {takes}, more than {whole} can ever give; ask for less, or ask your platform team."
    if claim.window_ends is None:
        return f"All {whole} are running; try again when one of them has ended."
    resets = instant_words(claim.window_ends, timezone)
    if claim.amount == 1:
        return f"All {whole} are used; try again after {resets}."
    takes = amount_words(claim.amount, limit.unit)
    return f"This takes {takes}, but of {whole} only {left} are left; ask for less, or try again after {resets}."


def _money_siblings(bound: Bound, claim: Claim, used: int) -> Mapping[str, object]:
    """`price` and `left` in USD, and when the budget resets."""
    return {
        "price": usd_number(claim.amount),
        "left": usd_number(max(0, bound.ceiling - used)),
        "resets_at": None if claim.window_ends is None else rfc3339(claim.window_ends),
    }
