from datetime import UTC, datetime

import pytest

from gateway.core.parse_limits import LARGEST_COUNT, default_name, kind_of
from gateway.core.policy import Limit, Mode, Period, Unit
from tests.policy_texts import TEAM, limits, problems, team

YEAR_END = datetime(2027, 1, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("text", "amount", "unit", "period", "name"),
    [
        ("600 requests per minute", 600, Unit.REQUESTS, Period.MINUTE, "requests-minute"),
        ("5 jobs at once", 5, Unit.JOBS, Period.AT_ONCE, "jobs-at-once"),
        ("1 job at once", 1, Unit.JOBS, Period.AT_ONCE, "jobs-at-once"),
        ("0 jobs per day", 0, Unit.JOBS, Period.DAY, "jobs-day"),
        ("3600 seconds per week", 3600, Unit.SECONDS, Period.WEEK, "seconds-week"),
        ("100 uploads per hour", 100, Unit.UPLOADS, Period.HOUR, "uploads-hour"),
        ("2 requests per second", 2, Unit.REQUESTS, Period.SECOND, "requests-second"),
        ("0.1 USD per month", 100_000, Unit.USD, Period.MONTH, "usd-month"),
        ("12.345678 USD per month", 12_345_678, Unit.USD, Period.MONTH, "usd-month"),
        ("1000000000 USD per month", 10**15, Unit.USD, Period.MONTH, "usd-month"),
        (f"{LARGEST_COUNT} jobs  per   day", LARGEST_COUNT, Unit.JOBS, Period.DAY, "jobs-day"),
    ],
)
def test_a_limit_says_its_amount_unit_and_period(text: str, amount: int, unit: Unit, period: Period, name: str) -> None:
    assert limits(f"[{text}]") == {name: Limit(name, amount, unit, period)}


def test_a_limit_as_a_table_says_the_rest() -> None:
    text = "[{limit: 500 USD per month, models: [Veo3], per: key, mode: shadow, warn: [80%, 50%], name: money}]"
    assert limits(text)["money"] == Limit(
        "money", 500_000_000, Unit.USD, Period.MONTH, ("Veo3",), per_key=True, mode=Mode.SHADOW, warn=(50, 80)
    )


def test_a_limit_that_is_narrowed_is_of_another_kind_and_name() -> None:
    found = limits("[200 jobs per day, {limit: 20 jobs per day, models: [Veo3]}, {limit: 50 jobs per day, per: key}]")
    assert list(found) == ["jobs-day", "jobs-day-Veo3", "jobs-day-per-key"]
    assert len({kind_of(limit) for limit in found.values()}) == 3


def test_a_name_made_of_patterns_is_a_name() -> None:
    limit = Limit("", 1, Unit.USD, Period.DAY, ("Kling-*-V2.1", "Flux Kontext ?"), per_key=True)
    assert default_name(limit) == "usd-day-Kling-V2.1-Flux-Kontext-per-key"


def test_the_order_of_patterns_makes_no_other_kind() -> None:
    one, other = (Limit("", 1, Unit.USD, Period.DAY, models) for models in (("a", "b"), ("b", "a")))
    assert kind_of(one) == kind_of(other)


def overridden(lines: str, limit: str = "500 USD per month") -> Limit:
    (found,) = team(f"limits:\n  - {limit}\noverrides:\n{lines}").limits
    return found


def test_an_override_holds_until_its_day() -> None:
    limit = overridden("  - {limit: 900 USD per month, until: 2027-01-01, reason: launch}\n")
    assert limit.ceiling(YEAR_END - 1) == 900_000_000
    assert limit.ceiling(YEAR_END) == 500_000_000
    assert limit.overrides[0].reason == "launch"


def test_overrides_follow_each_other_by_their_ends() -> None:
    limit = overridden(
        "  - {limit: 700 USD per month, until: 2027-02-01, reason: later}\n"
        "  - {limit: 900 USD per month, until: 2027-01-01, reason: first}\n"
    )
    assert [override.reason for override in limit.overrides] == ["first", "later"]
    assert limit.ceiling(YEAR_END) == 700_000_000


def test_an_override_finds_its_limit_by_kind_whatever_its_name() -> None:
    limit = overridden(
        "  - {limit: 30 jobs per day, models: [Veo3], per: key, until: 2027-01-01, reason: x}\n",
        "{limit: 20 jobs per day, models: [Veo3], per: key, name: films}",
    )
    assert limit.ceiling(0) == 30


def test_an_override_finds_its_limit_by_name_among_several_of_a_kind() -> None:
    text = (
        "limits: [500 USD per month, {limit: 400 USD per month, mode: shadow, name: trial}]\n"
        "overrides: [{limit: 450 USD per month, name: trial, until: 2027-01-01, reason: x}]\n"
    )
    assert [limit.ceiling(0) for limit in team(text).limits] == [500_000_000, 450_000_000]


def test_an_override_may_be_for_an_inherited_limit() -> None:
    text = "overrides: [{limit: 900 requests per minute, until: 2027-01-01, reason: x}]\n"
    (limit,) = team(text, "defaults: {limits: [600 requests per minute]}\n").limits
    assert limit.ceiling(0) == 900


def test_an_override_with_a_bad_field_names_it_alone() -> None:
    text = "limits: [5 jobs per day]\noverrides: [{limit: 6 jobs per day, until: soon, reason: [x]}, 7]\n"
    assert problems(TEAM + text) == [
        "a.yaml:4:44: `until` must be a date such as `2027-01-01`, or `2027-01-01T12:00:00Z`, not `soon`",
        "a.yaml:4:58: `reason` must be text",
        "a.yaml:4:64: an override must be a table of fields: `limit`, `until`, `reason`, `models`, …",
    ]


def test_qu6_null_is_not_unlimited() -> None:
    assert problems(f"{TEAM}limits: null\n") == [
        "a.yaml:3:9: `limits` is empty: give it a value or leave the field out"
    ]
