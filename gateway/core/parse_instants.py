"""Instants in policy files: a date is the start of that day in the team's time zone, else RFC 3339."""

import re
import zoneinfo
from datetime import datetime

from gateway.core.nodes import Report, show, suggest
from gateway.core.parse_fields import Fields

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_INSTANT = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)

_FIRST_YEAR, _LAST_YEAR = 1970, 9998
"""Of these an instant can be told in every time zone; a day more on either side may not exist there.

The year after the last is how people write never, and counts as the last.
"""


def read_instant(fields: Fields, name: str, timezone: str) -> float | None:
    """Unix seconds of the field's date or instant; None where absent or (reported) not one."""
    text = fields.text(name)
    if text is None:
        return None
    try:
        return parse_instant(text, timezone)
    except ValueError as error:
        fields.report.error(fields.place(name), f"`{name}` {error}")
        return None


def parse_instant(text: str, timezone: str) -> float:
    """Unix seconds of `2027-01-01` or `2027-01-01T12:00:00+01:00` (RFC 3339 §5.6).

    Where a day begins inside a clock change, it begins with the change. Raises ValueError with a sentence.
    """
    is_date = _DATE.fullmatch(text) is not None
    if not is_date and not _INSTANT.fullmatch(text):
        raise ValueError(f"must be a date such as `2027-01-01`, or `2027-01-01T12:00:00Z`, not {show(text)}")
    try:
        instant = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"names a day or time that does not exist: {show(text)}") from None
    if instant.year < _FIRST_YEAR:
        raise ValueError(f"must not be before the year {_FIRST_YEAR}, not {show(text)}")
    instant = instant.replace(year=min(instant.year, _LAST_YEAR))
    if is_date:
        instant = instant.replace(tzinfo=zoneinfo.ZoneInfo(timezone))
    return instant.timestamp()


def check_timezone(fields: Fields, report: Report) -> str | None:
    """The `timezone` field, an IANA name; None where absent or (reported) unknown."""
    text = fields.text("timezone")
    if text is None:
        return None
    try:
        zoneinfo.ZoneInfo(text)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        near = suggest(text, zoneinfo.available_timezones())
        report.error(fields.place("timezone"), f"unknown time zone {show(text)}{near or '; write `Europe/Berlin`'}")
        return None
    return text
