import pytest

from gateway.cli.expiry import FORMS, check_stated, read_expiry
from gateway.cli.invocation import CannotRunError
from gateway.core.policy import Key
from tests.command_line import NOW


@pytest.mark.parametrize(
    ("text", "written"),
    [
        (None, None),
        ("never", None),
        ("90d", "2027-02-21T12:00:00Z"),
        ("36 h", "2026-11-25T00:00:00Z"),
        ("2027-01-01", "2027-01-01"),
        ("2027-01-01T00:00:00+01:00", "2027-01-01T00:00:00+01:00"),
    ],
)
def test_an_end_is_a_date_an_instant_or_none(text: str | None, written: str | None) -> None:
    assert read_expiry(text, "Europe/Berlin", NOW) == written


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("90", f"must be {FORMS}, not `90`"),
        ("90 fortnights", f"must be {FORMS}, not `90 fortnights`"),
        ("tomorrow", f"must be {FORMS}, not `tomorrow`"),
        ("", f"must be {FORMS}, not nothing"),
        ("0d", "0d is in the past: the key would never work"),
        ("2026-11-23", "2026-11-23 is in the past: the key would never work"),
        ("2026-11-31", "names a day or time that does not exist: `2026-11-31`"),
        ("9999999d", "9999999d is after the year 9999: write `never`"),
    ],
)
def test_what_is_no_end_or_leaves_no_time_is_said(text: str, why: str) -> None:
    with pytest.raises(CannotRunError) as caught:
        read_expiry(text, "UTC", NOW)
    assert str(caught.value) == f"--expires {why}"


def test_a_day_begins_in_the_teams_time_zone() -> None:
    midnight_in_tokyo = NOW + 3 * 3600
    assert read_expiry("2026-11-24", "Asia/Tokyo", midnight_in_tokyo - 1) == "2026-11-24"
    with pytest.raises(CannotRunError, match="is in the past"):
        read_expiry("2026-11-24", "Asia/Tokyo", midnight_in_tokyo)


def test_the_successor_of_a_key_with_an_end_needs_one_said() -> None:
    check_stated(None, Key("web", ""))
    check_stated("never", Key("web", "", NOW))
    with pytest.raises(CannotRunError, match="the key `web` expires 2026-11-23T12:00:00Z: say when the new one does"):
        check_stated(None, Key("web", "", NOW))
