import zoneinfo
from datetime import UTC, datetime

import pytest

from gateway.core.parse_instants import parse_instant
from tests.policy_texts import TEAM, problems, team


@pytest.mark.parametrize(
    ("text", "timezone", "instant"),
    [
        ("2027-01-01", "UTC", "2027-01-01T00:00:00+00:00"),
        ("2027-01-01", "Europe/Berlin", "2026-12-31T23:00:00+00:00"),
        ("2027-07-01", "Asia/Kathmandu", "2027-06-30T18:15:00+00:00"),
        # Midnight does not exist on this day: it begins at one, an hour of the clock after 23:59:59.
        ("2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00+00:00"),
        # Midnight comes twice on this day: it begins with the first.
        ("2027-11-07", "America/Havana", "2027-11-07T04:00:00+00:00"),
        ("2027-01-01T12:00:00Z", "Europe/Berlin", "2027-01-01T12:00:00+00:00"),
        ("2027-01-01t12:00:00.25z", "UTC", "2027-01-01T12:00:00.250000+00:00"),
        ("2027-01-01 12:00:00+05:45", "UTC", "2027-01-01T06:15:00+00:00"),
        ("1970-01-01", "Asia/Tokyo", "1969-12-31T15:00:00+00:00"),
        ("9998-12-31T23:59:59-23:59", "UTC", "9999-01-01T23:58:59+00:00"),
    ],
)
def test_a_date_is_the_start_of_that_day_where_the_team_is(text: str, timezone: str, instant: str) -> None:
    assert parse_instant(text, timezone) == datetime.fromisoformat(instant).timestamp()


@pytest.mark.parametrize("text", ["20270101", "2027-W01-1", "2027-1-1", "2027-01-01T12:00:00", "tomorrow", "2027"])
def test_other_forms_are_refused_with_the_right_ones(text: str) -> None:
    with pytest.raises(ValueError, match="must be a date such as `2027-01-01`"):
        parse_instant(text, "UTC")


@pytest.mark.parametrize("text", ["2027-02-29", "2027-13-01", "2027-01-01T24:01:00Z", "2027-01-01T00:00:00+25:00"])
def test_days_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="does not exist"):
        parse_instant(text, "UTC")


@pytest.mark.parametrize("text", ["0001-01-01", "1969-12-31"])
def test_years_that_not_every_time_zone_can_tell_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="must not be before the year 1970"):
        parse_instant(text, "Asia/Tokyo")
    (problem,) = problems(f"{TEAM}keys: [{{name: web, hash: sha256:{'ab' * 32}, expires: '{text}'}}]\n")
    assert problem.startswith("a.yaml:3:")
    assert "`expires` must not be before the year 1970" in problem


@pytest.mark.parametrize("text", ["9999-12-31", "9999-12-31T23:59:59Z"])
def test_the_last_of_all_years_means_never_and_can_be_told_everywhere(text: str) -> None:
    instant = datetime.fromtimestamp(parse_instant(text, "America/New_York"), zoneinfo.ZoneInfo("Asia/Tokyo"))
    assert instant.year in (9998, 9999)


def test_the_teams_own_time_zone_counts() -> None:
    key = f"keys: [{{name: web, hash: sha256:{'ab' * 32}, expires: 2027-01-01}}]\n"
    expires = team(f"timezone: Asia/Tokyo\n{key}").keys[0].expires
    assert expires == datetime(2026, 12, 31, 15, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("zone", ["Mars/Olympus", "/etc/passwd", "a/../UTC", '"a\\0b"', "Europe", "x" * 300])
def test_an_unknown_time_zone_is_a_problem(zone: str) -> None:
    (problem,) = problems(f"{TEAM}timezone: {zone}\n")
    assert problem.startswith("a.yaml:3:11: unknown time zone")
