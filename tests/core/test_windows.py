from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.core.policy import Period
from gateway.core.windows import Window, window_at
from tests.core.worlds import at

PERIODS = [period for period in Period if period is not Period.AT_ONCE]
HARD_ZONES = [
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/London",
    "America/St_Johns",
    "America/Havana",
    "America/Sao_Paulo",
    "Pacific/Apia",
    "Africa/Monrovia",
    "Asia/Beirut",
    "UTC",
]
zones = st.sampled_from(HARD_ZONES) | st.sampled_from(sorted(available_timezones()))
instants = st.floats(min_value=0, max_value=at("2040-01-01T00:00:00"), allow_nan=False)


@cache
def changes(timezone: str, year: int) -> list[float]:
    """The instants of a year at which the zone's clock is changed, to the hour."""
    zone, start = ZoneInfo(timezone), datetime(year, 1, 1, tzinfo=UTC)
    hours = [start + timedelta(hours=hour) for hour in range(366 * 24)]
    offsets = [hour.astimezone(zone).utcoffset() for hour in hours]
    return [hours[i].timestamp() for i in range(1, len(hours)) if offsets[i] != offsets[i - 1]]


def walk(period: Period, timezone: str, start: float, end: float) -> list[Window]:
    """The windows from `start` to `end`, each found at the end of the one before."""
    windows = [window_at(period, timezone, start)]
    while windows[-1].ends < end:
        windows.append(window_at(period, timezone, windows[-1].ends))
    return windows


@given(st.sampled_from(PERIODS), zones, instants)
@example(Period.DAY, "Europe/London", 2208988799.9999995)
def test_every_instant_lies_in_its_window(period: Period, timezone: str, now: float) -> None:
    window = window_at(period, timezone, now)
    assert window.starts <= now < window.ends


@given(st.sampled_from(PERIODS), zones, instants)
def test_windows_leave_no_gap_and_do_not_overlap(period: Period, timezone: str, now: float) -> None:
    window = window_at(period, timezone, now)
    following = window_at(period, timezone, window.ends)
    last_instant = window_at(period, timezone, max(window.starts, window.ends - 0.001))
    assert (following.starts, last_instant) == (window.ends, window)
    assert following.label != window.label


@given(st.sampled_from(PERIODS), zones, instants, instants)
def test_equal_labels_are_one_window(period: Period, timezone: str, one: float, other: float) -> None:
    first, second = window_at(period, timezone, one), window_at(period, timezone, other)
    assert (first.label == second.label) == (first == second)


@pytest.mark.parametrize("timezone", HARD_ZONES)
@pytest.mark.parametrize("period", [Period.MINUTE, Period.HOUR, Period.DAY, Period.WEEK, Period.MONTH])
def test_tw1_windows_partition_every_change_of_the_clocks(period: Period, timezone: str) -> None:
    for change in [*changes(timezone, 2026), *changes(timezone, 2011), *changes(timezone, 1987)]:
        windows = walk(period, timezone, change - 7500, change + 7500)
        assert len({window.label for window in windows}) == len(windows)
        for before, after in pairwise(windows):
            assert before.ends == after.starts
        for window in windows:
            middle = (window.starts + window.ends) / 2
            assert window_at(period, timezone, middle) == window


@pytest.mark.parametrize(
    ("now", "hours"), [("2026-03-08T12:00", 23), ("2026-11-01T12:00", 25), ("2026-11-02T12:00", 24)]
)
def test_tw1_a_day_in_new_york_has_23_24_or_25_hours(now: str, hours: int) -> None:
    window = window_at(Period.DAY, "America/New_York", at(now, "America/New_York"))
    assert (window.label, window.seconds) == (now[:10], hours * 3600)
    assert window.starts == at(f"{now[:10]}T00:00", "America/New_York")


def test_tw1_the_day_begins_at_local_midnight_in_kathmandu() -> None:
    window = window_at(Period.DAY, "Asia/Kathmandu", at("2026-11-23T18:15:00"))
    assert (window.label, window.starts) == ("2026-11-24", at("2026-11-23T18:15:00"))


def test_the_hour_that_comes_twice_is_two_windows() -> None:
    first = window_at(Period.HOUR, "Europe/Berlin", at("2026-10-25T02:30", "Europe/Berlin"))
    second = window_at(Period.HOUR, "Europe/Berlin", at("2026-10-25T02:30", "Europe/Berlin", fold=1))
    assert (first.label, second.label) == ("2026-10-25T02+0200", "2026-10-25T02+0100")
    assert (first.seconds, second.seconds, first.ends) == (3600, 3600, second.starts)


def test_half_an_hour_is_cut_off_where_lord_howe_changes_by_half_an_hour() -> None:
    zone = "Australia/Lord_Howe"
    spring = window_at(Period.HOUR, zone, at("2026-10-04T02:45", zone))
    assert (spring.label, spring.seconds) == ("2026-10-04T02+1100", 1800)
    autumn = [window_at(Period.HOUR, zone, at("2026-04-05T01:45", zone, fold=fold)) for fold in (0, 1)]
    assert [(window.label, window.seconds) for window in autumn] == [
        ("2026-04-05T01+1100", 3600),
        ("2026-04-05T01+1030", 1800),
    ]


def test_an_hour_ends_where_the_offset_does() -> None:
    """Monrovia left -0:44:30 for 0:00 on 1972-01-07 at 00:44:30 UTC, inside a local hour."""
    change = at("1972-01-07T00:44:30")
    before = window_at(Period.HOUR, "Africa/Monrovia", change - 1)
    after = window_at(Period.HOUR, "Africa/Monrovia", change)
    assert (before.ends, after.starts) == (change, change)
    assert (before.label, after.label) == ("1972-01-06T23-004430", "1972-01-07T00+0000")


def test_a_day_begins_with_the_change_where_midnight_is_skipped() -> None:
    window = window_at(Period.DAY, "Asia/Beirut", at("2026-03-29T12:00", "Asia/Beirut"))
    assert (window.starts, window.seconds) == (at("2026-03-28T22:00:00"), 23 * 3600)


def test_a_day_that_was_skipped_has_no_window() -> None:
    """Samoa went from Thursday the 29th to Saturday the 31st of December 2011."""
    before = window_at(Period.DAY, "Pacific/Apia", at("2011-12-29T12:00", "Pacific/Apia"))
    after = window_at(Period.DAY, "Pacific/Apia", before.ends)
    assert (before.label, after.label, before.seconds) == ("2011-12-29", "2011-12-31", 86400)


def test_a_day_that_has_begun_goes_on_when_the_clock_goes_back_over_midnight(monkeypatch: pytest.MonkeyPatch) -> None:
    """In St John's the clock went back at 00:01 in 1987, so 23:30 came again after midnight."""
    monkeypatch.setattr("gateway.core.windows._current", {})
    zone = "America/St_Johns"
    again = at("1987-10-24T23:30", zone, fold=1)
    assert window_at(Period.DAY, zone, again).label == "1987-10-25"
    assert window_at(Period.DAY, zone, again - 3600).label == "1987-10-24"


@pytest.mark.parametrize(
    ("period", "now", "label", "starts", "ends"),
    [
        (
            Period.SECOND,
            "2026-11-23T12:00:05.5",
            "2026-11-23T12:00:05+0000",
            "2026-11-23T12:00:05",
            "2026-11-23T12:00:06",
        ),
        (Period.MINUTE, "2026-11-23T12:00:05", "2026-11-23T12:00+0000", "2026-11-23T12:00", "2026-11-23T12:01"),
        (Period.HOUR, "2026-11-23T12:59:59", "2026-11-23T12+0000", "2026-11-23T12:00", "2026-11-23T13:00"),
        (Period.DAY, "2028-02-29T23:59:59", "2028-02-29", "2028-02-29", "2028-03-01"),
        (Period.MONTH, "2028-02-29T23:59:59", "2028-02", "2028-02-01", "2028-03-01"),
        (Period.MONTH, "2026-01-31T00:00:00", "2026-01", "2026-01-01", "2026-02-01"),
        (Period.MONTH, "2026-12-31T23:59:59", "2026-12", "2026-12-01", "2027-01-01"),
        (Period.WEEK, "2026-12-31T12:00:00", "2026-W53", "2026-12-28", "2027-01-04"),
        (Period.WEEK, "2027-01-03T23:59:59", "2026-W53", "2026-12-28", "2027-01-04"),
        (Period.WEEK, "2027-01-04T00:00:00", "2027-W01", "2027-01-04", "2027-01-11"),
        (Period.WEEK, "2026-11-23T00:00:00", "2026-W48", "2026-11-23", "2026-11-30"),
    ],
)
def test_tw2_windows_are_named_after_the_calendar(period: Period, now: str, label: str, starts: str, ends: str) -> None:
    assert window_at(period, "UTC", at(now)) == Window(label, at(starts), at(ends))


def test_a_clock_that_steps_back_gets_the_earlier_window_again() -> None:
    later = window_at(Period.MINUTE, "UTC", at("2026-11-23T12:05"))
    earlier = window_at(Period.MINUTE, "UTC", at("2026-11-23T12:01"))
    assert later.starts - earlier.starts == 240


def test_a_level_has_no_window() -> None:
    with pytest.raises(KeyError):
        window_at(Period.AT_ONCE, "UTC", 0)


def test_an_unknown_zone_is_an_error() -> None:
    with pytest.raises(ZoneInfoNotFoundError):
        window_at(Period.DAY, "Mars/Olympus", 0)
