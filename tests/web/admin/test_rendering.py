"""How amounts, times and shares read on a page, and that nothing gets through as markup."""

import pytest

from gateway.core.policy import Limit, Period, Unit
from gateway.web.admin.rendering import ago, amount, clock, day, hour, limit_of, percent, render, span, until, usd

NOON = 1_764_072_000.0  # 2025-11-25T12:00:00Z


def test_money_is_shown_to_the_cent_and_counts_by_thousands() -> None:
    assert (usd(1_234_567_890), usd(35_000)) == ("1,234.57", "0.04")
    assert (amount(1234, Unit.JOBS), amount(1_500_000, Unit.USD)) == ("1,234", "1.50")


@pytest.mark.parametrize(
    ("seconds", "words"), [(-5, "0 s"), (59.9, "59 s"), (60, "1 min"), (7200, "2 h"), (86400 * 3.5, "3 d")]
)
def test_a_span_is_told_by_its_largest_unit(seconds: float, words: str) -> None:
    assert span(seconds) == words


def test_times_are_told_from_now() -> None:
    assert (ago(100.0, 100.5), ago(100.0, 280.0)) == ("now", "3 min ago")
    assert (until(7300.0, 100.0), until(100.0, 100.0)) == ("in 2 h", "over")


@pytest.mark.parametrize(
    ("part", "whole", "words"),
    [(0, 10, "0 %"), (1, 1000, "<1 %"), (1, 3, "33 %"), (999, 1000, "99 %"), (5, 5, "100 %"), (0, 0, "\N{EN DASH}")],
)
def test_only_all_of_it_is_a_hundred_percent(part: int, whole: int, words: str) -> None:
    assert percent(part, whole) == words


def test_clocks_are_those_of_the_team() -> None:
    assert (clock(NOON), clock(NOON, "Europe/Berlin")) == ("25 Nov 12:00 UTC", "25 Nov 13:00 Europe/Berlin")
    assert (day(NOON + 43200), day(NOON + 43200, "America/New_York")) == ("26 Nov", "25 Nov")
    assert hour(NOON) == "12:00 UTC"


def test_a_limit_is_told_with_its_window() -> None:
    assert limit_of(5, Limit("slots", 5, Unit.JOBS, Period.AT_ONCE)) == "5 jobs at once"
    assert limit_of(500_000_000, Limit("money", 0, Unit.USD, Period.MONTH)) == "500.00 USD a month"


def test_what_is_said_is_escaped() -> None:
    values = {"title": "<b>bold</b>", "message": "\"'><script>alert(1)</script>", "signed_in": False}
    text = render("notice.html", values).decode()
    assert "<script>alert" not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<b>" not in text
